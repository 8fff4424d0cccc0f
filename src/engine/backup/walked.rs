//! What a walk through all roots came to.

use std::path::PathBuf;

use super::BackupReport;
use super::contributors::Contributors;
use super::health::Health;
use super::observing::ObservedWalk;
use super::seen::Seen;
use crate::format::record::RootKind;

/// What was remembered, and what is to be.
pub(super) struct SeenPair {
    pub(super) before: Seen,
    pub(super) now: Seen,
    /// How many items were found in `before`, unchanged.
    pub(super) reused: u64,
}

/// A root, in the order in which their nodes come.
pub(super) struct PlacedRoot {
    pub(super) kind: RootKind,
    pub(super) agent: String,
    pub(super) label: String,
    pub(super) place: PathBuf,
}

/// What the walk came to.
pub(super) struct Walked {
    pub(super) report: BackupReport,
    /// Each root, without its node.
    pub(super) places: Vec<PlacedRoot>,
    pub(super) seen: SeenPair,
    pub(super) health: Health,
    /// Bytes of partial records.
    pub(super) published: u64,
    pub(super) contributors: Contributors,
    pub(super) observed: ObservedWalk,
}
