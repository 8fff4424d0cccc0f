//! A policy and a year of hourly snapshots: which are kept, and why, as a reviewed file.
//!
//! `STASH_BLESS=1 cargo test --test retention` writes the file anew; read the diff.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test reads its own files and stops where they are not as they should be"
)]

use std::fmt::Write as _;

use jiff::tz::TimeZone;
use jiff::{Span, Zoned};
use stash::engine::retention::{Carriers, Count, GroupBy, Period, Policy, Within, plan};
use stash::format::record::{Root, Snapshot};
use stash::id::SnapshotId;
use stash::repository::cache::SnapshotEntry;
use stash::time::Timestamp;

/// Returns a year and a week of a laptop that is backed up each hour while it is awake: at home in
/// Berlin, three weeks in San Francisco, some evenings late, at weekends little.
fn year() -> Vec<SnapshotEntry> {
    let berlin = TimeZone::get("Europe/Berlin").unwrap();
    let away = TimeZone::get("America/Los_Angeles").unwrap();
    let mut hour: Zoned = "2026-01-01T00:04:11[Europe/Berlin]".parse().unwrap();
    let end: Zoned = "2027-01-08T20:00:00[Europe/Berlin]".parse().unwrap();
    let mut random = fastrand::Rng::with_seed(2026);
    let mut entries = Vec::new();
    while hour < end {
        let travels = hour.date() >= jiff::civil::date(2026, 7, 6)
            && hour.date() < jiff::civil::date(2026, 7, 27);
        let here = hour.with_time_zone(if travels { away.clone() } else { berlin.clone() });
        let is_weekend = here.date().weekday().to_monday_zero_offset() >= 5;
        let awake = match here.hour() {
            9..=19 => !is_weekend || random.u8(..4) == 0,
            20..=23 => random.u8(..3) == 0,
            // The nights on which the clocks change.
            0..=4 => {
                let changes = [jiff::civil::date(2026, 3, 29), jiff::civil::date(2026, 10, 25)];
                changes.contains(&here.date())
            }
            _ => false,
        };
        if awake {
            entries.push(entry(entries.len(), &here));
        }
        hour = hour.checked_add(Span::new().hours(1)).unwrap();
    }
    entries
}

fn entry(number: usize, moment: &Zoned) -> SnapshotEntry {
    let mut id = SnapshotId::default();
    id.0[..8].copy_from_slice(&(number as u64).to_be_bytes());
    let root = Root { kind: 1, agent: "claude".into(), ..Root::default() };
    let snapshot = Snapshot {
        time: i64::try_from(moment.timestamp().as_nanosecond()).unwrap(),
        offset_minutes: i64::from(moment.offset().seconds() / 60),
        host: "laptop".into(),
        roots: vec![root],
        ..Snapshot::default()
    };
    SnapshotEntry { id, snapshot, forgotten: None, pinned: number == 1000 }
}

fn shown(title: &str, entries: &[SnapshotEntry], policy: &Policy, text: &mut String) {
    let now = Timestamp(entries.last().unwrap().snapshot.time);
    let carriers = Carriers::among(entries, now);
    let groups = plan(entries, policy, GroupBy::default(), &carriers, now);
    let verdicts = groups.iter().flat_map(|group| &group.verdicts);
    let kept: Vec<_> = verdicts.filter(|verdict| verdict.is_kept()).collect();
    writeln!(text, "{title}: {} of {} snapshots are kept", kept.len(), entries.len()).unwrap();
    for verdict in kept {
        let snapshot = &verdict.entry.snapshot;
        let seconds = i32::try_from(snapshot.offset_minutes * 60).unwrap();
        let offset = jiff::tz::Offset::from_seconds(seconds).unwrap();
        let moment = jiff::Timestamp::from_nanosecond(snapshot.time.into()).unwrap();
        let local = moment.to_zoned(offset.to_time_zone());
        let reasons: Vec<String> = verdict.reasons.iter().map(ToString::to_string).collect();
        let local = local.strftime("%Y-%m-%d %a %H:%M %:z");
        writeln!(text, "  {local}  {}", reasons.join(", ")).unwrap();
    }
}

#[test]
fn a_year_of_hourly_snapshots_is_thinned_as_reviewed() {
    let entries = year();
    let mut text = String::new();
    shown("default for agents", &entries, &Policy::for_agents(), &mut text);
    let many = Policy {
        counts: vec![
            (Period::Hourly, Count::Number(24)),
            (Period::Weekly, Count::Number(60)),
            (Period::Yearly, Count::Unlimited),
        ],
        within: vec![(Period::Daily, Within::parse("1m").unwrap())],
        ..Policy::default()
    };
    shown("hourly, weekly, yearly, and daily within 1m", &entries, &many, &mut text);
    // As it would have been thinned an hour after the clocks changed.
    let hours = Policy { counts: vec![(Period::Hourly, Count::Number(8))], ..Policy::default() };
    for date in [jiff::civil::date(2026, 3, 29), jiff::civil::date(2026, 10, 25)] {
        let five = date.at(5, 0, 0, 0).in_tz("Europe/Berlin").unwrap().timestamp();
        let until: Vec<SnapshotEntry> = entries
            .iter()
            .filter(|entry| i128::from(entry.snapshot.time) < five.as_nanosecond())
            .cloned()
            .collect();
        shown(&format!("hourly, on the morning of {date}"), &until, &hours, &mut text);
    }
    let path =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/retention/year.txt");
    if std::env::var_os("STASH_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &text).unwrap();
    }
    let reviewed = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, reviewed, "read the difference, then STASH_BLESS=1");
}
