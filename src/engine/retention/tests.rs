use proptest::prelude::*;

use super::*;
use crate::format::record::Root;
use crate::time::SECOND;

const NOW: Timestamp = Timestamp(i64::MAX / 2);

fn nanoseconds(text: &str) -> i64 {
    let moment: jiff::Timestamp = text.parse().unwrap();
    i64::try_from(moment.as_nanosecond()).unwrap()
}

fn entry(number: u32, time: i64, offset_minutes: i64) -> SnapshotEntry {
    let mut id = SnapshotId::default();
    id.0[..4].copy_from_slice(&number.to_be_bytes());
    let snapshot = Snapshot { time, offset_minutes, host: "box".into(), ..Snapshot::default() };
    SnapshotEntry { id, snapshot, forgotten: None, pinned: false }
}

/// Snapshots at these moments, each with its offset from UTC as it is written.
fn at(times: &[&str]) -> Vec<SnapshotEntry> {
    let entries = (0..).zip(times).map(|(number, text)| {
        let offset = text.get(text.len() - 6..).unwrap();
        let (hours, minutes) = offset.get(1..).unwrap().split_once(':').unwrap();
        let minutes = hours.parse::<i64>().unwrap() * 60 + minutes.parse::<i64>().unwrap();
        let sign = if offset.starts_with('-') { -1 } else { 1 };
        entry(number, nanoseconds(text), sign * minutes)
    });
    entries.collect()
}

fn counts(counts: &[(Period, u32)]) -> Policy {
    let counts = counts.iter().map(|(period, number)| (*period, Count::Number(*number)));
    Policy { counts: counts.collect(), ..Policy::default() }
}

/// What becomes of each snapshot: its reasons, joined; empty if it is dropped.
fn outcome(entries: &[SnapshotEntry], policy: &Policy) -> Vec<String> {
    let carriers = Carriers::among(entries, NOW);
    let groups = plan(entries, policy, GroupBy::default(), &carriers, NOW);
    let verdicts = groups.iter().flat_map(|group| &group.verdicts);
    let text = |verdict: &Verdict<'_>| {
        let reasons: Vec<String> = verdict.reasons.iter().map(ToString::to_string).collect();
        reasons.join(", ")
    };
    verdicts.map(text).collect()
}

fn kept(times: &[&str], period: Period, number: u32) -> Vec<bool> {
    let outcome = outcome(&at(times), &counts(&[(period, number)]));
    outcome.iter().map(|reasons| !reasons.is_empty()).collect()
}

#[test]
fn of_each_day_the_newest_is_kept_and_the_oldest_while_days_are_left() {
    let times = [
        "2026-05-01T08:00:00+02:00",
        "2026-05-01T09:00:00+02:00",
        "2026-05-02T08:00:00+02:00",
        "2026-05-02T23:59:59+02:00",
        "2026-05-03T00:00:00+02:00",
    ];
    let entries = at(&times);
    let daily = |number| outcome(&entries, &counts(&[(Period::Daily, number)]));
    assert_eq!(daily(1), ["", "", "", "", "daily snapshot"]);
    assert_eq!(daily(2), ["", "", "", "daily snapshot", "daily snapshot"]);
    let all = ["", "daily snapshot", "", "daily snapshot", "daily snapshot"];
    assert_eq!(daily(3), all);
    assert_eq!(daily(4)[0], "oldest daily snapshot");
    assert_eq!(daily(4)[1..], all[1..]);
}

#[test]
fn every_reason_is_named() {
    let entries = at(&["2026-05-01T08:00:00+00:00", "2026-05-02T08:00:00+00:00"]);
    let policy = Policy {
        within: vec![
            (Period::Last, Within::parse("1h").unwrap()),
            (Period::Daily, Within::parse("7d").unwrap()),
        ],
        ..counts(&[(Period::Last, 1), (Period::Yearly, 1)])
    };
    assert_eq!(
        outcome(&entries, &policy),
        ["daily within 7d", "last snapshot, yearly snapshot, within 1h, daily within 7d"]
    );
}

#[test]
fn the_hour_that_autumn_repeats_counts_twice_and_spring_leaves_no_hole() {
    let autumn = [
        "2026-10-25T01:30:00+02:00",
        "2026-10-25T02:10:00+02:00",
        "2026-10-25T02:30:00+02:00",
        "2026-10-25T02:30:00+01:00",
        "2026-10-25T03:30:00+01:00",
    ];
    assert_eq!(kept(&autumn, Period::Hourly, 4), [true, false, true, true, true]);
    assert_eq!(kept(&autumn, Period::Daily, 2), [true, false, false, false, true]);
    let spring = [
        "2026-03-28T23:30:00+01:00",
        "2026-03-29T00:30:00+01:00",
        "2026-03-29T01:30:00+01:00",
        "2026-03-29T03:30:00+02:00",
        "2026-03-30T00:30:00+02:00",
    ];
    assert_eq!(kept(&spring, Period::Hourly, 4), [false, true, true, true, true]);
    assert_eq!(kept(&spring, Period::Daily, 3), [true, false, false, true, true]);
}

#[test]
fn leap_days_are_days_and_weeks_do_not_end_with_the_year() {
    let leap = [
        "2028-02-28T12:00:00+00:00",
        "2028-02-29T12:00:00+00:00",
        "2028-02-29T13:00:00+00:00",
        "2028-03-01T12:00:00+00:00",
    ];
    assert_eq!(kept(&leap, Period::Daily, 2), [false, false, true, true]);
    assert_eq!(kept(&leap, Period::Monthly, 2), [false, false, true, true]);
    let new_year = [
        "2026-12-27T12:00:00+00:00", // Sunday of week 52
        "2026-12-28T12:00:00+00:00", // Monday of week 53
        "2026-12-31T12:00:00+00:00",
        "2027-01-03T12:00:00+00:00", // Sunday of the same week
        "2027-01-04T12:00:00+00:00", // Monday of week 1
    ];
    assert_eq!(kept(&new_year, Period::Weekly, 2), [false, false, false, true, true]);
    assert_eq!(kept(&new_year, Period::Yearly, 2), [false, false, true, false, true]);
}

#[test]
fn a_traveller_keeps_days_of_the_calendar_and_hours_that_passed() {
    // Berlin in the morning; San Francisco, where the same clock hour comes nine hours later.
    let travel = [
        "2026-07-01T10:15:00+02:00",
        "2026-07-01T10:15:00-07:00",
        "2026-07-01T23:30:00-07:00",
        "2026-07-02T00:30:00-07:00",
        // Back: it is the third already at home.
        "2026-07-03T01:00:00+02:00",
    ];
    assert_eq!(kept(&travel, Period::Hourly, 5), [true; 5]);
    assert_eq!(kept(&travel, Period::Daily, 2), [false, false, false, true, true]);
    assert_eq!(kept(&travel, Period::Daily, 3), [false, false, true, true, true]);
    // Half an hour beside the others, hours begin at other moments.
    let delhi =
        ["2026-07-01T10:35:00+05:30", "2026-07-01T10:55:00+05:30", "2026-07-01T11:05:00+05:30"];
    assert_eq!(kept(&delhi, Period::Hourly, 2), [false, true, true]);
}

/// By the clocks of two machines the days alternate; that must not use up the policy's days.
#[test]
fn days_that_come_up_again_are_counted_once() {
    let times = [
        "2026-06-30T12:00:00-07:00",
        "2026-07-01T22:00:00+02:00",
        "2026-07-01T14:00:00-07:00",
        "2026-07-02T00:10:00+02:00",
        "2026-07-01T16:00:00-07:00",
        "2026-07-02T02:00:00+02:00",
    ];
    assert_eq!(kept(&times, Period::Daily, 3), [true, false, false, false, true, true]);
}

#[test]
fn what_is_set_aside_is_kept_and_stands_for_no_period() {
    let mut entries = at(&[
        "2026-05-01T08:00:00+00:00",
        "2026-05-02T08:00:00+00:00",
        "2026-05-02T09:00:00+00:00",
        "2026-05-02T11:00:01+00:00",
    ]);
    entries[2].snapshot.flags = SNAPSHOT_SAFETY;
    let now = Timestamp(nanoseconds("2026-05-02T10:00:00Z"));
    let policy = counts(&[(Period::Last, 1)]);
    let groups = plan(&entries, &policy, GroupBy::default(), &Carriers::default(), now);
    let reasons: Vec<&[Reason]> =
        groups[0].verdicts.iter().map(|verdict| verdict.reasons.as_slice()).collect();
    let last = Reason::Newest(Period::Last);
    assert_eq!(reasons, [&[][..], &[last], &[Reason::Safety], &[Reason::Future]]);
    assert!(!groups[0].loses_all());
    let by_tag = Policy { tags: vec![vec!["x".into()]], ..Policy::default() };
    let groups = plan(&entries, &by_tag, GroupBy::default(), &Carriers::default(), now);
    assert!(groups[0].loses_all(), "what is set aside is no backup of the group");
}

#[test]
fn pinned_tagged_and_carrying_snapshots_are_kept_whatever_the_counts_say() {
    let mut entries = at(&[
        "2026-05-01T08:00:00+00:00",
        "2026-05-02T08:00:00+00:00",
        "2026-05-03T08:00:00+00:00",
        "2026-05-04T08:00:00+00:00",
        "2026-05-05T08:00:00+00:00",
    ]);
    let root = |agent: &str| Root { kind: 1, agent: agent.into(), ..Root::default() };
    entries[0].pinned = true;
    entries[1].snapshot.tags = vec!["a".into(), "b".into()];
    entries[2].snapshot.roots = vec![root("claude"), root("codex")];
    entries[3].snapshot.roots = vec![root("codex")];
    let policy = Policy {
        tags: vec![vec!["a".into(), "c".into()], vec!["b".into()]],
        ..counts(&[(Period::Last, 1)])
    };
    assert_eq!(
        outcome(&entries, &policy),
        ["pinned", "has tags b", "newest with claude", "newest with codex", "last snapshot"]
    );
}

#[test]
fn groups_are_by_machine_and_job_unless_something_else_is_said() {
    let mut entries = at(&[
        "2026-05-01T08:00:00+00:00",
        "2026-05-02T08:00:00+00:00",
        "2026-05-03T08:00:00+00:00",
    ]);
    entries[0].snapshot.host = "old".into();
    entries[1].snapshot.job = "etc".into();
    entries[1].snapshot.tags = vec!["x".into()];
    let policy = counts(&[(Period::Last, 1)]);
    let kept = |by: GroupBy| {
        let groups = plan(&entries, &policy, by, &Carriers::default(), NOW);
        let kept = groups.iter().flat_map(|group| &group.verdicts);
        (groups.len(), kept.filter(|verdict| verdict.is_kept()).count())
    };
    assert_eq!(kept(GroupBy::default()), (3, 3));
    let none = GroupBy { host: false, job: false, ..GroupBy::default() };
    assert_eq!(kept(none), (1, 1));
    assert_eq!(kept(GroupBy { tags: true, ..none }), (2, 2));
    assert_eq!(kept(GroupBy { paths: true, ..none }), (1, 1));
}

fn policies() -> impl Strategy<Value = Policy> {
    let count = prop_oneof![(0_u32..5).prop_map(Count::Number), Just(Count::Unlimited)];
    let counts = prop::collection::vec((0_usize..6, count), 0..4);
    let within = prop::collection::vec((0_usize..6, 1_u32..900), 0..3);
    (counts, within, any::<bool>()).prop_map(|(counts, within, tagged)| Policy {
        counts: counts.into_iter().map(|(period, count)| (Period::ALL[period], count)).collect(),
        within: within
            .into_iter()
            .map(|(period, hours)| {
                (Period::ALL[period], Within::parse(&format!("{hours}h")).unwrap())
            })
            .collect(),
        tags: if tagged { vec![vec!["x".into()]] } else { Vec::new() },
    })
}

/// Snapshots some minutes to weeks apart, in any zone, some of them special.
fn histories() -> impl Strategy<Value = Vec<SnapshotEntry>> {
    let gap = prop_oneof![0_i64..90, 0_i64..3000, 0_i64..60_000];
    let step = (gap, -14_i64..15, 0_u8..12);
    prop::collection::vec(step, 0..60).prop_map(|steps| {
        let mut minutes = 29_000_000_i64;
        let entries = (0..).zip(steps).map(|(number, (gap, zone, special))| {
            minutes += gap;
            let mut entry = entry(number, minutes * 60 * SECOND, zone * 30);
            match special {
                0 => entry.pinned = true,
                1 => entry.snapshot.tags = vec!["x".into()],
                2 => entry.snapshot.flags = SNAPSHOT_SAFETY,
                3 => entry.snapshot.roots = vec![Root { kind: 1, ..Root::default() }],
                _ => {}
            }
            entry
        });
        entries.collect()
    })
}

fn keep(entries: &[SnapshotEntry], policy: &Policy) -> Vec<SnapshotEntry> {
    let outcome = outcome(entries, policy);
    entries.iter().zip(outcome).filter(|(_, why)| !why.is_empty()).map(|(e, _)| e.clone()).collect()
}

proptest! {
    #[test]
    fn applied_to_what_it_kept_a_policy_keeps_everything(
        entries in histories(), policy in policies()
    ) {
        let once = keep(&entries, &policy);
        prop_assert_eq!(keep(&once, &policy).len(), once.len());
    }

    #[test]
    fn a_policy_of_larger_numbers_keeps_no_less(
        entries in histories(), policy in policies(), more in 1_u32..5
    ) {
        let mut larger = policy.clone();
        for (_, count) in &mut larger.counts {
            *count = match *count {
                Count::Number(number) => Count::Number(number + more),
                Count::Unlimited => Count::Unlimited,
            };
        }
        let all: HashSet<SnapshotId> = keep(&entries, &larger).iter().map(|e| e.id).collect();
        for entry in keep(&entries, &policy) {
            prop_assert!(all.contains(&entry.id));
        }
    }
}
