//! Which snapshots a policy keeps, with every reason, and which it drops.
//!
//! Pure: snapshots, a policy and a moment in, a plan out. The words and their meanings are restic's:
//! of each period the newest snapshot is kept, for as many periods as the policy says, from the
//! newest on; as long as some are left, the oldest snapshot is kept too. Days, weeks, months and
//! years are those of the calendar where the snapshot was made (its own offset); weeks are ISO's. An hour is an
//! hour that passed: the one that a clock repeats in autumn, or that a traveller lives through
//! twice, counts twice.
//!
//! Whatever the policy says, it keeps pinned snapshots, safety snapshots, those dated more than an
//! hour past now (the last two are set aside and do not count for any period), and of each machine
//! the newest that holds a root of an agent: what the agent has deleted since is carried on from it.

mod policy;
mod span;

use std::collections::{BTreeMap, HashMap, HashSet};

use self::policy::offset;
pub use self::policy::{Count, Period, Policy, Reason};
pub use self::span::Within;
use crate::format::record::{RootKind, SNAPSHOT_SAFETY, Snapshot};
use crate::id::SnapshotId;
use crate::repository::cache::SnapshotEntry;
use crate::repository::snapshots::is_future;
use crate::time::Timestamp;

/// By what snapshots are grouped; a policy applies to each group by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupBy {
    /// By machine.
    pub host: bool,
    /// By job.
    pub job: bool,
    /// By the places of their roots.
    pub paths: bool,
    /// By their tags.
    pub tags: bool,
}

impl Default for GroupBy {
    fn default() -> Self {
        GroupBy { host: true, job: true, paths: false, tags: false }
    }
}

/// What the snapshots of a group share; what they are not grouped by is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupName {
    /// The machine.
    pub host: Option<String>,
    /// The job.
    pub job: Option<String>,
    /// The places of the roots, in ascending order.
    pub paths: Option<Vec<Vec<u8>>>,
    /// The tags, in ascending order.
    pub tags: Option<Vec<String>>,
}

impl GroupName {
    fn of(snapshot: &Snapshot, by: GroupBy) -> GroupName {
        let sorted = |mut tags: Vec<String>| {
            tags.sort_unstable();
            tags
        };
        let paths = || {
            let mut paths: Vec<Vec<u8>> =
                snapshot.roots.iter().map(|root| root.place.to_vec()).collect();
            paths.sort_unstable();
            paths
        };
        GroupName {
            host: by.host.then(|| snapshot.host.clone()),
            job: by.job.then(|| snapshot.job.clone()),
            paths: by.paths.then(paths),
            tags: by.tags.then(|| sorted(snapshot.tags.clone())),
        }
    }
}

/// What becomes of one snapshot.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict<'a> {
    /// The snapshot.
    pub entry: &'a SnapshotEntry,
    /// Why it is kept; without a reason it is dropped.
    pub reasons: Vec<Reason>,
}

impl Verdict<'_> {
    /// Returns whether it is kept.
    pub fn is_kept(&self) -> bool {
        !self.reasons.is_empty()
    }
}

/// What becomes of a group.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupPlan<'a> {
    /// What its snapshots share.
    pub name: GroupName,
    /// Its snapshots, oldest first.
    pub verdicts: Vec<Verdict<'a>>,
}

impl GroupPlan<'_> {
    /// Returns whether it would lose every snapshot but those that are set aside.
    pub fn loses_all(&self) -> bool {
        let stays =
            |verdict: &Verdict<'_>| verdict.reasons.iter().any(|reason| !reason.sets_aside());
        self.verdicts.iter().any(|verdict| !verdict.is_kept()) && !self.verdicts.iter().any(stays)
    }
}

/// Of each machine, the newest snapshots that hold its agents' roots: what must not be dropped,
/// since what the agents have deleted is carried on from there.
#[derive(Debug, Clone, Default)]
pub struct Carriers(HashMap<SnapshotId, Vec<String>>);

impl Carriers {
    /// Finds them among all live snapshots of the repository, in ascending order of time.
    pub fn among(live: &[SnapshotEntry], now: Timestamp) -> Carriers {
        let mut newest: BTreeMap<(&str, &str, &str), SnapshotId> = BTreeMap::new();
        for entry in live.iter().filter(|entry| !is_set_aside(&entry.snapshot, now)) {
            let roots = entry.snapshot.roots.iter();
            for root in roots.filter(|root| root.kind == RootKind::Agent as u64) {
                let key = (entry.snapshot.host.as_str(), root.agent.as_str(), root.label.as_str());
                newest.insert(key, entry.id);
            }
        }
        let mut carriers: HashMap<SnapshotId, Vec<String>> = HashMap::new();
        for ((_, agent, _), id) in newest {
            let agents = carriers.entry(id).or_default();
            if agents.last().is_none_or(|last| last != agent) {
                agents.push(agent.to_owned());
            }
        }
        Carriers(carriers)
    }

    /// Adds a snapshot that is the newest with something; `what` says with what, for people.
    pub fn keep(&mut self, snapshot: SnapshotId, what: String) {
        let kept = self.0.entry(snapshot).or_default();
        if !kept.contains(&what) {
            kept.push(what);
        }
    }

    /// Returns the agents that a snapshot carries on.
    pub fn agents_of(&self, snapshot: &SnapshotId) -> &[String] {
        self.0.get(snapshot).map(Vec::as_slice).unwrap_or_default()
    }
}

fn is_set_aside(snapshot: &Snapshot, now: Timestamp) -> bool {
    snapshot.flags & SNAPSHOT_SAFETY != 0 || is_future(snapshot, now)
}

/// Decides about `entries`, in ascending order of time.
pub fn plan<'a>(
    entries: &'a [SnapshotEntry],
    policy: &Policy,
    by: GroupBy,
    carriers: &Carriers,
    now: Timestamp,
) -> Vec<GroupPlan<'a>> {
    let mut groups: BTreeMap<GroupName, Vec<&SnapshotEntry>> = BTreeMap::new();
    for entry in entries {
        groups.entry(GroupName::of(&entry.snapshot, by)).or_default().push(entry);
    }
    let of_group = |(name, entries): (GroupName, Vec<&'a SnapshotEntry>)| {
        let mut verdicts: Vec<Verdict<'a>> =
            entries.into_iter().map(|entry| Verdict { entry, reasons: Vec::new() }).collect();
        for verdict in &mut verdicts {
            verdict.reasons = standing_reasons(verdict.entry, carriers, now);
        }
        apply(policy, &mut verdicts);
        GroupPlan { name, verdicts }
    };
    groups.into_iter().map(of_group).collect()
}

/// Returns why a snapshot is kept whatever the policy says.
fn standing_reasons(entry: &SnapshotEntry, carriers: &Carriers, now: Timestamp) -> Vec<Reason> {
    let mut reasons = Vec::new();
    if is_future(&entry.snapshot, now) {
        reasons.push(Reason::Future);
    }
    if entry.snapshot.flags & SNAPSHOT_SAFETY != 0 {
        reasons.push(Reason::Safety);
    }
    if entry.pinned {
        reasons.push(Reason::Pinned);
    }
    reasons.extend(carriers.agents_of(&entry.id).iter().cloned().map(Reason::Carries));
    reasons
}

/// A rule of the policy that keeps one snapshot of each period.
struct Bucket<'p> {
    period: Period,
    left: Count,
    /// How long it reaches back, and since when that is (nanoseconds, UTC).
    within: Option<(&'p Within, i64)>,
    seen: HashSet<i64>,
}

impl Bucket<'_> {
    /// Returns why the snapshot is kept, if it is. They come newest first.
    fn weigh(&mut self, snapshot: &Snapshot, place: usize, is_oldest: bool) -> Option<Reason> {
        if !self.left.is_left() || self.within.is_some_and(|(_, since)| snapshot.time <= since) {
            return None;
        }
        let is_first = self.seen.insert(self.period.number(snapshot, place));
        if !is_first && !is_oldest {
            return None;
        }
        self.left = self.left.less_one();
        Some(match self.within {
            Some((within, _)) => Reason::Within(self.period, within.to_string()),
            None if is_first => Reason::Newest(self.period),
            None => Reason::Oldest(self.period),
        })
    }
}

/// Adds the policy's reasons; the verdicts are in ascending order of time.
fn apply(policy: &Policy, verdicts: &mut [Verdict<'_>]) {
    let mut counted: Vec<&mut Verdict<'_>> = verdicts
        .iter_mut()
        .filter(|verdict| !verdict.reasons.iter().any(Reason::sets_aside))
        .collect();
    let Some(newest) = counted.last().map(|verdict| verdict.entry) else { return };
    let bucket = |(period, left): &(Period, Count)| Bucket {
        period: *period,
        left: *left,
        within: None,
        seen: HashSet::new(),
    };
    let mut buckets: Vec<Bucket<'_>> = policy.counts.iter().map(bucket).collect();
    buckets.extend(policy.within.iter().map(|(period, within)| {
        let since = within.before(newest.snapshot.time, offset(&newest.snapshot));
        Bucket { within: Some((within, since)), ..bucket(&(*period, Count::Unlimited)) }
    }));
    let last = counted.len().saturating_sub(1);
    for (place, verdict) in counted.iter_mut().rev().enumerate() {
        let snapshot = &verdict.entry.snapshot;
        let has = |all: &&Vec<String>| all.iter().all(|tag| snapshot.tags.contains(tag));
        verdict.reasons.extend(policy.tags.iter().find(has).cloned().map(Reason::Tags));
        let weighed = buckets.iter_mut().map(|bucket| bucket.weigh(snapshot, place, place == last));
        verdict.reasons.extend(weighed.flatten());
    }
}

#[cfg(test)]
mod tests;
