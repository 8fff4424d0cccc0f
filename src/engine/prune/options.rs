//! What a prune is asked to do, and what it did.

use std::collections::{BTreeSet, HashSet};

use crate::error::{Error, Kind, Result};
use crate::id::{LaneId, SnapshotId};

/// How many records make a checkpoint due (page 8, rule 37).
pub const CHECKPOINT_RECORDS: usize = 256;

/// How many bytes of records make one due.
pub const CHECKPOINT_BYTES: u64 = 8 << 20;

/// How much may stay unused, or may be copied.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    /// Any amount.
    Unlimited,
    /// This share of what is used, in percent.
    Percent(f64),
    /// So many bytes.
    Bytes(u64),
}

impl Limit {
    /// Returns whether it lets nothing pass.
    pub fn is_nothing(self) -> bool {
        self.of(u64::MAX) == 0
    }

    /// Returns the limit in bytes, where `used` bytes are used.
    pub fn of(self, used: u64) -> u64 {
        match self {
            Limit::Unlimited => u64::MAX,
            Limit::Bytes(bytes) => bytes,
            #[expect(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a share of bytes need not be exact, and casting saturates"
            )]
            Limit::Percent(percent) => (used as f64 * percent.max(0.0) / 100.0) as u64,
        }
    }
}

impl std::str::FromStr for Limit {
    type Err = Error;

    /// Reads `unlimited`, `5%`, or a number of bytes, with `K`, `M`, `G` or `T` behind it.
    fn from_str(text: &str) -> Result<Limit> {
        if text == "unlimited" {
            return Ok(Limit::Unlimited);
        }
        let bad = || {
            Error::usage("bad limit").object(text).hint("say `5%`, `500M`, `10G` or `unlimited`")
        };
        if let Some(percent) = text.strip_suffix('%') {
            let percent: f64 = percent.parse().map_err(|_| bad())?;
            return if (0.0..=10_000.0).contains(&percent) {
                Ok(Limit::Percent(percent))
            } else {
                Err(bad())
            };
        }
        let (digits, shift) = match text.as_bytes().last() {
            Some(b'k' | b'K') => (text.get(..text.len() - 1), 10),
            Some(b'm' | b'M') => (text.get(..text.len() - 1), 20),
            Some(b'g' | b'G') => (text.get(..text.len() - 1), 30),
            Some(b't' | b'T') => (text.get(..text.len() - 1), 40),
            _ => (Some(text), 0),
        };
        let number: u64 = digits.and_then(|digits| digits.parse().ok()).ok_or_else(bad)?;
        number.checked_mul(1 << shift).map(Limit::Bytes).ok_or_else(bad)
    }
}

/// A doubt that stops a deletion unless the user says, case by case, that it is no matter (rule 30).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Brake {
    /// A pack or a record is gone that no sweep named.
    Vanished,
    /// More than half of the bytes would go.
    Half,
    /// A blob that a snapshot needs can't be had any more.
    Lost,
    /// The clocks of machine, store and log don't agree.
    Clock,
    /// The repository was set back: what this machine wrote is not there.
    Rollback,
}

impl Brake {
    /// All of them.
    pub const ALL: [Brake; 5] =
        [Brake::Vanished, Brake::Half, Brake::Lost, Brake::Clock, Brake::Rollback];

    /// Returns the word that accepts it.
    pub fn word(self) -> &'static str {
        match self {
            Brake::Vanished => "vanished",
            Brake::Half => "half",
            Brake::Lost => "lost",
            Brake::Clock => "clock",
            Brake::Rollback => "rollback",
        }
    }
}

/// The doubts that the user has dealt with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accepted(pub BTreeSet<Brake>);

impl Accepted {
    /// Stops with this problem unless the doubt was accepted.
    pub fn stop(&self, brake: Brake, problem: String, kind: Kind) -> Result<()> {
        if self.0.contains(&brake) {
            return Ok(());
        }
        let word = brake.word();
        Err(Error::new(kind, problem).hint(format!(
            "nothing was deleted; if this is as it should be, add `--accept {word}`"
        )))
    }
}

/// What is sealed anew, whether or not something in it is unused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reseal {
    /// Nothing.
    #[default]
    Nothing,
    /// Objects of an older epoch than the newest.
    Older,
    /// All objects, as if there was a newer epoch: for a plan.
    Everything,
}

/// What a prune is asked to do.
#[derive(Debug, Clone)]
pub struct PruneOptions {
    /// How much may stay unused within objects that hold something needed.
    pub max_unused: Limit,
    /// How many bytes may be copied by one run.
    pub max_repack: Limit,
    /// A longer grace than the repository's, in seconds.
    pub grace: Option<u64>,
    /// Whether nobody else reads or writes meanwhile: then no grace need pass.
    pub alone: bool,
    /// A checkpoint is due when it would cover so many records.
    pub checkpoint_records: usize,
    /// Nothing may stay that no snapshot needs, such as what was purged; so it is too if `max_unused`
    /// is nothing.
    pub thorough: bool,
    /// What is sealed anew.
    pub reseal: Reseal,
    /// Only plan.
    pub dry_run: bool,
    /// Snapshots that count as forgotten just now: a plan may ask what forgetting them would free.
    pub forgotten: HashSet<SnapshotId>,
    /// Nobody asked for it: what is forgotten can be brought back for as long as was promised, even
    /// alone, and nothing is condemned where the store lets nobody delete.
    pub automatic: bool,
    /// Writes a checkpoint if one is due, and neither condemns nor deletes.
    pub only_checkpoint: bool,
    /// The lanes, beside this machine's own, whose words count in an append-only repository (page 8,
    /// rule 38); elsewhere all do.
    pub trusted_lanes: Option<HashSet<LaneId>>,
    /// Doubts that don't stop it.
    pub accepted: Accepted,
}

impl Default for PruneOptions {
    fn default() -> Self {
        PruneOptions {
            max_unused: Limit::Percent(5.0),
            max_repack: Limit::Unlimited,
            grace: None,
            alone: false,
            checkpoint_records: CHECKPOINT_RECORDS,
            thorough: false,
            reseal: Reseal::Nothing,
            dry_run: false,
            forgotten: HashSet::new(),
            automatic: false,
            only_checkpoint: false,
            trusted_lanes: None,
            accepted: Accepted::default(),
        }
    }
}

impl PruneOptions {
    /// Returns whether nothing may stay that no snapshot needs.
    pub fn is_thorough(&self) -> bool {
        self.thorough || self.max_unused.is_nothing()
    }
}

/// What a prune did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PruneReport {
    /// Snapshots whose content is kept.
    pub snapshots: u64,
    /// Objects that were listed.
    pub objects: u64,
    /// What they take, in bytes.
    pub bytes: u64,
    /// Of that, what the kept snapshots use, in bytes.
    pub used_bytes: u64,
    /// Objects condemned by this run.
    pub condemned_objects: u64,
    /// What they take, in bytes.
    pub condemned_bytes: u64,
    /// Of these, objects whose needed blobs were copied.
    pub repacked_objects: u64,
    /// What the copies take, in bytes.
    pub copied_bytes: u64,
    /// Blobs that were needed again and stored anew.
    pub rescued_blobs: u64,
    /// Objects deleted.
    pub deleted_objects: u64,
    /// What they took, in bytes.
    pub deleted_bytes: u64,
    /// Condemned objects whose grace is not over.
    pub waiting_objects: u64,
    /// What they take, in bytes.
    pub waiting_bytes: u64,
    /// What stays unused within objects that are kept, in bytes.
    pub unused_bytes: u64,
    /// Records that came late and were looked into.
    pub late_records: u64,
    /// Of these, those of which something is lost.
    pub broken_records: u64,
    /// Objects that could not be deleted; the next run tries again.
    pub undeleted_objects: u64,
    /// Records that a new checkpoint covers.
    pub covered_records: u64,
    /// Lanes that asked for something and were not heeded (page 8, rule 38), in how many records.
    pub unheeded: Vec<(LaneId, u64)>,
    /// Blobs stored in full, so that they need no other that no snapshot needs.
    pub raised_blobs: u64,
    /// Of the kept snapshots, those that are forgotten, and live a while longer.
    pub forgotten_snapshots: u64,
    /// What a thorough prune had to leave.
    pub left: Left,
    /// If objects of older epochs were to be sealed anew: those that could not be, and stay for now.
    pub older_objects: u64,
}

impl PruneReport {
    /// Returns what it says about what is kept, of a run that neither condemns nor deletes.
    pub(super) fn of_keeping(&self) -> PruneReport {
        PruneReport {
            snapshots: self.snapshots,
            objects: self.objects,
            bytes: self.bytes,
            used_bytes: self.used_bytes,
            late_records: self.late_records,
            broken_records: self.broken_records,
            unheeded: self.unheeded.clone(),
            forgotten_snapshots: self.forgotten_snapshots,
            left: self.left,
            ..PruneReport::default()
        }
    }
}

/// What a thorough prune leaves although no snapshot needs all that is in it, and why.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Left {
    /// The newest records of other machines: these go on from there.
    pub lane_records: u64,
    /// Records that no checkpoint may cover yet.
    pub open_records: u64,
    /// Objects that runs keep which have not come to their end.
    pub unfinished_objects: u64,
    /// Objects that are too young to be condemned.
    pub young_objects: u64,
    /// Objects that a later run gets to, such as those that this one may not copy from any more.
    pub limited_objects: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_shares_bytes_or_none() {
        let of = |text: &str| text.parse::<Limit>().map(|limit| limit.of(1000)).ok();
        assert_eq!(of("5%"), Some(50));
        assert_eq!(of("0"), Some(0));
        let is_nothing = |text: &str| text.parse::<Limit>().unwrap().is_nothing();
        assert!(is_nothing("0") && is_nothing("0%") && !is_nothing("0.1%") && !is_nothing("1"));
        assert_eq!(of("2k"), Some(2048));
        assert_eq!(of("1G"), Some(1 << 30));
        assert_eq!(of("unlimited"), Some(u64::MAX));
        for bad in ["", "%", "-1%", "5x", "1.5G", "99999999999999T", "nan%"] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }
}
