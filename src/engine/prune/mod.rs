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
//! Memory: nine bytes for each blob, 24 for each unit, 300 for each object, 8 MiB of units.

mod checkpoint;
mod copies;
mod facts;
mod needs;
mod options;
mod plan;
mod run;
mod usage;

pub use options::{Accepted, Brake, CHECKPOINT_RECORDS, Limit, PruneOptions, PruneReport};
pub use plan::PrunePlan;
pub use run::prune;
