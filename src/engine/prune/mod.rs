//! `prune`: what no snapshot needs is condemned, and swept when the grace is over.
//!
//! ```text
//! log, read anew ─┐
//! full listing ───┼─▶ facts ─▶ needs ─▶ usage ─▶ plan ─▶ copies ─▶ record ─▶ deletion
//! live snapshots ─┘  (brakes)  (trees)  (places)   │     durable,  condemns,  by permit
//!                                                  │     read back sweeps
//!                                                  └─ `--dry-run` ends here
//! ```
//!
//! The rules and why nothing is lost by them are page 8's (`format-spec/8-order.md`). Where this
//! process holds the repository alone, an object is condemned and swept in one go; elsewhere a grace
//! lies between, and whoever comes then decides again.
//!
//! A prune is **thorough** if nothing may stay unused (`--max-unused 0`, and after a purge): whatever
//! holds something that no snapshot needs is written anew, bases, records and segments too. What has
//! to stay all the same is counted (`left`).
//!
//! Memory: nine bytes for each blob, 24 for each unit, 300 for each object, 8 MiB of units.

mod checkpoint;
mod copies;
mod facts;
mod gathered;
mod lanes;
mod left;
mod needs;
mod options;
mod plan;
mod reseal;
mod run;
mod usage;

pub use options::{
    Accepted, Brake, CHECKPOINT_BYTES, CHECKPOINT_RECORDS, Left, Limit, PruneOptions, PruneReport,
    Reseal,
};
pub use plan::PrunePlan;
pub use run::prune;

use crate::error::{Kind, Result};
use crate::event::Counters;
use crate::format::record::Snapshot;
use crate::repository::Repository;

/// Returns whether everything that a snapshot needs stands: on that a new promise may be given.
pub fn stands(repository: &Repository, snapshot: &Snapshot, counters: &Counters) -> Result<bool> {
    let mut walk = needs::NeedsWalk::new(repository, counters)?;
    match walk.snapshot(snapshot) {
        Ok(()) => {}
        Err(error) if error.kind() == Kind::Damaged => return Ok(false),
        Err(error) => return Err(error),
    }
    let usage = usage::Usage::choose(repository.cache(), &mut walk.finish(), None)?;
    Ok(usage.fallen.is_empty())
}
