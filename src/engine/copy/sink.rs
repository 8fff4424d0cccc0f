//! Where blobs go: the packer, and a partial record now and then.

use crate::error::Result;
use crate::event::Counters;
use crate::format::record::Partial;
use crate::repository::Repository;
use crate::repository::index::Index;
use crate::repository::log::RecordParts;
use crate::repository::packer::Packer;
use crate::time::{Clock, SECOND};

/// A partial record is written after so many bytes,
const PARTIAL_BYTES: u64 = 1 << 30;
/// after so many nanoseconds,
const PARTIAL_TIME: i64 = 600 * SECOND;
/// or after so many blobs.
const PARTIAL_BLOBS: u64 = 100_000;

/// Where blobs go.
pub(super) struct Sink<'s> {
    pub(super) index: &'s Index,
    pub(super) packer: &'s Packer,
    pub(super) to: &'s Repository,
    clock: &'s dyn Clock,
    pub(super) counters: &'s Counters,
    partial: Partial,
    last_partial: i64,
    last_bytes: u64,
    /// Bytes of partial records.
    pub(super) published_bytes: u64,
}

impl<'s> Sink<'s> {
    /// Returns a sink; `partial` is what its partial records say.
    pub(super) fn new(
        to: &'s Repository,
        index: &'s Index,
        packer: &'s Packer,
        partial: Partial,
        clock: &'s dyn Clock,
        counters: &'s Counters,
    ) -> Self {
        let last_partial = clock.boot_nanoseconds();
        let (last_bytes, published_bytes) = (0, 0);
        Sink {
            index,
            packer,
            to,
            clock,
            counters,
            partial,
            last_partial,
            last_bytes,
            published_bytes,
        }
    }

    /// Publishes what is durable, now and then, so that a run that dies leaves little behind.
    pub(super) fn step(&mut self) -> Result<()> {
        self.counters.go_on()?;
        let stored = self.packer.stored_bytes();
        let grown = stored.saturating_sub(self.last_bytes);
        let elapsed = self.clock.boot_nanoseconds().saturating_sub(self.last_partial);
        let is_due = grown > 0 && (grown >= PARTIAL_BYTES || elapsed >= PARTIAL_TIME);
        if !is_due && self.packer.finished_blobs() < PARTIAL_BLOBS {
            return Ok(());
        }
        let packs = self.packer.take_finished()?;
        self.last_partial = self.clock.boot_nanoseconds();
        self.last_bytes = stored;
        if packs.is_empty() {
            return Ok(());
        }
        let published: Vec<_> = packs.iter().map(|pack| pack.get().object_and_blobs()).collect();
        let partial = Some(self.partial.clone());
        let parts = RecordParts { partial, packs, ..RecordParts::default() };
        let committed = self.to.append(parts, self.clock.now())?;
        self.published_bytes = self.published_bytes.saturating_add(committed.stored_bytes);
        self.index.published(&published);
        Ok(())
    }
}
