//! Cleaning up a little after a backup, so that nobody need think of it.
//!
//! ```text
//! memory ─▶ cache ─▶ situation ─▶ due? ─no─▶ nothing was asked of the store
//!                                  │yes
//!                                  ▼
//!                     a prune with bounds: time, bytes copied, no doubt accepted
//! ```
//!
//! Looking costs a few queries of the local cache once an hour, doing something a full listing at
//! most once a day on each machine. What is done is a prune like any other
//! (`format-spec/8-order.md`), which may die at any moment; only it spares what can still be brought
//! back, whoever holds the repository alone, and what it can't finish in time it leaves.
//!
//! A doubt that would stop a prune is handed back and never accepted here.

mod decide;
mod memory;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub use decide::{Due, Memory, Situation};

use super::prune::{Limit, PruneOptions, PruneReport, prune};
use crate::error::{Error, Kind, Result};
use crate::event::{Counters, Reporter};
use crate::id::LaneId;
use crate::repository::Repository;
use crate::time::{Clock, Timestamp};

/// A checkpoint that is due is made if it covers at least so many records: those behind a young
/// condemnation have to wait.
const LEAST_RECORDS: usize = 32;
/// How often the time is looked at.
const WATCH: Duration = Duration::from_millis(20);

/// The bounds of a run.
#[derive(Debug, Clone)]
pub struct MaintenanceOptions {
    /// Whether nobody else reads or writes meanwhile.
    pub alone: bool,
    /// Whose words count in an append-only repository, as in [`PruneOptions`].
    pub trusted_lanes: Option<HashSet<LaneId>>,
    /// How long it may take.
    pub most_time: Duration,
    /// How many bytes may be copied to free others.
    pub most_bytes: u64,
}

impl Default for MaintenanceOptions {
    fn default() -> Self {
        MaintenanceOptions {
            alone: false,
            trusted_lanes: None,
            most_time: Duration::from_secs(30),
            most_bytes: 64 << 20,
        }
    }
}

/// What came of a run.
#[derive(Debug)]
pub enum Maintained {
    /// It came to its end.
    Done(PruneReport),
    /// The same, but the store refuses to delete: that is the business of other credentials.
    MayNotDelete(PruneReport),
    /// Other machines kept changing the repository.
    GaveWay,
    /// There was not enough time. What is durable is used by the next run.
    OutOfTime,
    /// Something is in doubt, or failed; nothing was deleted.
    Stopped(Error),
}

/// Says whether there is something to do, from what is known on this machine. To be asked after a
/// backup, which has read what others did.
pub fn due(repository: &Repository, options: &MaintenanceOptions, now: Timestamp) -> Result<Due> {
    let lifetimes = repository.lifetimes();
    let mut memory = memory::load(repository);
    // In an append-only repository somebody must say whose words count; until then others prune.
    let has_no_say = repository.is_append_only() && options.trusted_lanes.is_none();
    if has_no_say || repository.state().is_none() || memory.is_fresh(now.0, &lifetimes) {
        return Ok(Due::default());
    }
    memory.looked = Some(now.0);
    memory::save(repository, &memory)?;
    let clutter = repository.clutter(now)?;
    let death = |state: &crate::repository::marks::MarkState| {
        let died = state.forgotten?.since.saturating_add(lifetimes.forgotten);
        (died <= now.0).then_some(died)
    };
    let last_death = repository.cache().mark_states()?.values().filter_map(death).max();
    Ok(Situation { clutter, last_death, memory, now: now.0 }.due(&lifetimes))
}

/// Does what is due, within its bounds. `counters` are those of this run alone: they are told to
/// stop when its time is over, or when `stop` is set, which gives [`Kind::Interrupted`].
pub fn maintain(
    repository: &Repository,
    due: Due,
    options: &MaintenanceOptions,
    clock: &dyn Clock,
    counters: &Counters,
    stop: &AtomicBool,
    reporter: &dyn Reporter,
) -> Result<Maintained> {
    let mut memory = memory::load(repository);
    // Noted before it begins: what kills it must not do so at every backup.
    memory.tried = Some(clock.now().0);
    memory::save(repository, &memory)?;
    let prune_options = PruneOptions {
        alone: options.alone,
        trusted_lanes: options.trusted_lanes.clone(),
        max_repack: Limit::Bytes(options.most_bytes),
        checkpoint_records: if due.checkpoint { LEAST_RECORDS } else { usize::MAX },
        automatic: true,
        only_checkpoint: !due.space,
        ..PruneOptions::default()
    };
    let began = clock.boot_nanoseconds();
    let is_over = || {
        let spent = clock.boot_nanoseconds().saturating_sub(began);
        u128::try_from(spent).unwrap_or(0) >= options.most_time.as_nanos()
    };
    let result = watched(
        counters,
        || is_over() || stop.load(Ordering::Relaxed),
        || prune(repository, &prune_options, clock, counters, reporter),
    );
    if due.space && repository.store().refuses_deletion() {
        memory.refused = Some(clock.now().0);
        memory::save(repository, &memory)?;
    }
    match result {
        Ok(report) if repository.store().refuses_deletion() => Ok(Maintained::MayNotDelete(report)),
        Ok(report) => Ok(Maintained::Done(report)),
        Err(error) if error.kind() == Kind::Busy => Ok(Maintained::GaveWay),
        Err(error) if error.kind() != Kind::Interrupted => Ok(Maintained::Stopped(error)),
        Err(error) if stop.load(Ordering::Relaxed) => Err(error),
        Err(_) => Ok(Maintained::OutOfTime),
    }
}

/// Does something while a thread looks whether it is to end.
fn watched<T>(
    counters: &Counters,
    is_to_end: impl Fn() -> bool + Sync,
    act: impl FnOnce() -> T,
) -> T {
    let (done, waits) = crossbeam_channel::bounded::<()>(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let waits = waits;
            while waits.recv_timeout(WATCH) == Err(crossbeam_channel::RecvTimeoutError::Timeout) {
                if is_to_end() {
                    counters.stop.store(true, Ordering::Relaxed);
                }
            }
        });
        let result = act();
        drop(done);
        result
    })
}
