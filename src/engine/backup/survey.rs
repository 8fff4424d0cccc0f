//! How much there is to save, for the sake of whoever watches: a second walk, which reads no file.
//!
//! It begins after a second, so that short runs don't pay for it, and ends with the run. Until it is
//! through, the totals are those of the parent, if there is one.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::Backup;
use crate::event::Counters;
use crate::files::{Step, Walk};
use crate::format::tree::NodeKind;

/// A run that ends before has no survey.
const DELAY: Duration = Duration::from_secs(1);
/// After so many steps it is asked whether the run has ended.
const STEPS: usize = 256;

/// Counts what lies below the paths, until `ended` is closed.
pub(super) fn survey(backup: &Backup<'_>, ended: &Receiver<()>) {
    if ended.recv_timeout(DELAY) != Err(RecvTimeoutError::Timeout) {
        return;
    }
    let (mut items, mut bytes) = (0_u64, 0_u64);
    let options = backup.options;
    let agents = options.agents.roots.iter().map(|agent| (&agent.place, &agent.excludes));
    for (path, excludes) in agents.chain(options.paths.iter().map(|it| (it, &options.excludes))) {
        let walk = Walk::start(path, Arc::clone(excludes), 1);
        for (number, step) in walk.enumerate() {
            if number % STEPS == 0 && ended.try_recv().is_err_and(|error| error.is_disconnected()) {
                return;
            }
            if let Step::Entry(entry) = step {
                items = items.saturating_add(1);
                if entry.stat.kind == NodeKind::File {
                    bytes = bytes.saturating_add(entry.stat.size);
                }
            }
        }
    }
    let counters: &Counters = backup.counters;
    counters.total_items.store(items, Ordering::Relaxed);
    counters.total_bytes.store(bytes, Ordering::Relaxed);
    counters.total_known.store(true, Ordering::Relaxed);
}
