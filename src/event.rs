//! What happens on the way: events for whoever started an operation, and counters to look at.
//!
//! The rooms below `cli` never print. They call a [`Reporter`] for what must be told item by
//! item, and add to [`Counters`] what is only ever shown as a sum; the screen reads those when it
//! likes, so no operation needs a clock for its progress.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What was done with one item of a backup or a restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Not in the parent snapshot, or not on disk.
    New,
    /// There, but different.
    Modified,
    /// There, and the same.
    Unchanged,
    /// Removed.
    Deleted,
    /// Left out, or left alone.
    Skipped,
}

/// Something that happened to one item, or that the user should know.
#[derive(Debug)]
pub enum Event<'a> {
    /// An item was dealt with. Told only for items, in no promised order.
    Item {
        /// The path, as bytes.
        path: &'a [u8],
        /// What was done.
        action: Action,
        /// The item's size in bytes; 0 for what has none.
        size_bytes: u64,
    },
    /// One item among many failed; the operation goes on.
    ItemFailed {
        /// The path, as bytes.
        path: &'a [u8],
        /// Why.
        error: &'a crate::error::Error,
    },
    /// Something that is no failure, but that the user should know.
    Warning {
        /// One line, lower case, no final full stop.
        message: &'a str,
    },
}

/// Whoever wants to know what happens. Called from several threads.
pub trait Reporter: Send + Sync {
    /// Takes one event.
    fn event(&self, event: &Event<'_>);
}

/// A reporter that drops every event.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Reporter for Silent {
    fn event(&self, _event: &Event<'_>) {}
}

/// Sums of a running operation, and the switch that stops it.
///
/// Totals grow while the operation still looks around; `total_known` says when they are final.
#[derive(Debug, Default)]
pub struct Counters {
    /// Items found so far.
    pub total_items: AtomicU64,
    /// Bytes found so far.
    pub total_bytes: AtomicU64,
    /// Whether the two above are final.
    pub total_known: AtomicBool,
    /// Whether somebody looks at the totals, so that finding them out is worth something.
    pub is_watched: AtomicBool,
    /// Items done.
    pub done_items: AtomicU64,
    /// Bytes done.
    pub done_bytes: AtomicU64,
    /// Bytes handed to the store.
    pub stored_bytes: AtomicU64,
    /// Items that failed.
    pub failed_items: AtomicU64,
    /// Set to stop the operation at its next step; it then returns `Kind::Interrupted`.
    pub stop: AtomicBool,
}

impl Counters {
    /// Adds to a counter.
    pub fn add(counter: &AtomicU64, amount: u64) {
        counter.fetch_add(amount, Ordering::Relaxed);
    }

    /// Reads a counter.
    pub fn get(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }

    /// Returns `Kind::Interrupted` once the operation was asked to stop.
    pub fn go_on(&self) -> crate::error::Result<()> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(crate::error::Error::new(crate::error::Kind::Interrupted, "interrupted")
                .hint("what is durable is used by the next run"));
        }
        Ok(())
    }
}
