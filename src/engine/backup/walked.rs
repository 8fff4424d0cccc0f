//! What a walk through all roots came to.

use std::path::PathBuf;

use super::BackupReport;
use super::contributors::Contributors;
use super::health::Health;
use super::seen::Seen;

/// What was remembered, and what is to be.
pub(super) struct SeenPair {
    pub(super) before: Seen,
    pub(super) now: Seen,
    /// How many items were found in `before`, unchanged.
    pub(super) reused: u64,
}

/// What the walk came to.
pub(super) struct Walked {
    pub(super) report: BackupReport,
    /// Kind and place of each root.
    pub(super) places: Vec<(u64, PathBuf)>,
    pub(super) seen: SeenPair,
    pub(super) health: Health,
    /// Bytes of partial records.
    pub(super) published: u64,
    pub(super) contributors: Contributors,
}
