use proptest::prelude::*;

use super::*;
use crate::time::SECOND;
use MarkKind::{Forget, Pin, Tags, Unforget, Unpin};

const HOUR: i64 = 3600 * SECOND;
const SNAPSHOT: SnapshotId = SnapshotId([1; 32]);

fn hash(number: u8) -> ObjectHash {
    ObjectHash([number; 32])
}

fn tip(number: u8) -> Tip {
    Tip([number; 8])
}

/// A record of `log/g`.
fn record(number: u8, previous: Option<u8>, view: &[u8]) -> RecordLink {
    RecordLink {
        hash: hash(number),
        lane: LaneId::default(),
        previous: previous.map(hash),
        view: view.iter().map(|number| tip(*number)).collect(),
        is_global: true,
    }
}

/// A mark about the snapshot, written at the hour of its record's number.
fn said(record: u8, kind: MarkKind, tags: &[&str]) -> SaidMark {
    SaidMark {
        record: hash(record),
        written: i64::from(record) * HOUR,
        mark: Mark {
            snapshot: SNAPSHOT,
            kind: kind as u64,
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            ..Mark::default()
        },
    }
}

fn state(records: Vec<RecordLink>, marks: Vec<SaidMark>) -> MarkState {
    let log = MarkLog { records, marks, checkpoints: Vec::new() };
    log.states().remove(&SNAPSHOT).unwrap_or_default()
}

fn since(number: u8) -> Forgotten {
    Forgotten { since: i64::from(number) * HOUR }
}

#[test]
fn a_mark_beats_those_that_its_writer_had_read() {
    // Two lanes: 2 has read 1, and 3 has read 2.
    let records = vec![record(1, None, &[]), record(2, None, &[1]), record(3, Some(1), &[2])];
    let marks = vec![said(1, Forget, &[]), said(2, Unforget, &[])];
    assert_eq!(state(records.clone(), marks.clone()).forgotten, None);
    let again = [marks, vec![said(3, Forget, &[])]].concat();
    assert_eq!(state(records, again).forgotten, Some(since(3)));
}

#[test]
fn of_marks_that_do_not_know_each_other_the_one_that_keeps_wins() {
    let records = vec![record(1, None, &[]), record(2, None, &[])];
    for marks in [
        vec![said(1, Unforget, &[]), said(2, Forget, &[])],
        vec![said(1, Forget, &[]), said(2, Unforget, &[])],
    ] {
        assert_eq!(state(records.clone(), marks).forgotten, None);
    }
    for marks in
        [vec![said(1, Pin, &[]), said(2, Unpin, &[])], vec![said(1, Unpin, &[]), said(2, Pin, &[])]]
    {
        assert!(state(records.clone(), marks).pinned.is_some());
    }
    let tags = vec![said(1, Tags, &["z", "b"]), said(2, Tags, &["a", "b"])];
    let (tags, _) = state(records.clone(), tags).tags.unwrap();
    assert_eq!(tags, ["a", "b", "z"]);
    // Said twice, it does not begin anew: what may be swept already must not live again.
    let marks = vec![said(2, Forget, &[]), said(1, Forget, &[])];
    assert_eq!(state(records, marks).forgotten, Some(since(1)));
}

#[test]
fn a_later_record_of_a_lane_knows_the_earlier_ones_whatever_its_view_says() {
    // 2 is a snapshot's record: the chain runs through it.
    let mut between = record(2, Some(1), &[]);
    between.is_global = false;
    let records = vec![record(1, None, &[]), between, record(3, Some(2), &[])];
    let marks = vec![said(1, Pin, &[]), said(3, Unpin, &[])];
    assert_eq!(state(records, marks).pinned, None);
}

#[test]
fn a_tip_stands_for_its_whole_chain_and_not_for_what_came_after() {
    let chain = [record(1, None, &[]), record(2, Some(1), &[]), record(3, Some(2), &[])];
    let with = |view: &[u8]| [chain.to_vec(), vec![record(9, None, view)]].concat();
    let marks = |pinned: u8| vec![said(pinned, Pin, &[]), said(9, Unpin, &[])];
    assert_eq!(state(with(&[2]), marks(1)).pinned, None);
    assert_eq!(state(with(&[2]), marks(2)).pinned, None);
    assert!(state(with(&[2]), marks(3)).pinned.is_some());
}

#[test]
fn in_a_forked_lane_the_one_branch_does_not_know_the_other() {
    let fork = vec![
        record(1, None, &[]),
        record(2, Some(1), &[1]),
        record(3, Some(1), &[1]),
        record(4, Some(3), &[3]),
    ];
    // 4 comes later in the lane by its number, but 2 is not on its chain.
    let marks = vec![said(2, Pin, &[]), said(4, Unpin, &[])];
    assert!(state(fork.clone(), marks.clone()).pinned.is_some());
    let both = [fork, vec![record(5, Some(4), &[2, 4])]].concat();
    let marks = [marks, vec![said(5, Unpin, &[])]].concat();
    assert_eq!(state(both, marks).pinned, None);
}

#[test]
fn a_tip_that_could_mean_two_records_claims_nothing_and_one_of_log_s_is_as_good() {
    let mut twin = record(2, None, &[]);
    twin.hash.0[31] = 7;
    let marks = || vec![said(2, Pin, &[]), said(9, Unpin, &[])];
    let records = vec![record(2, None, &[]), twin, record(9, None, &[2])];
    assert!(state(records, marks()).pinned.is_some());
    let mut local = record(2, None, &[]);
    local.is_global = false;
    assert_eq!(state(vec![local, record(9, None, &[2])], marks()).pinned, None);
}

#[test]
fn matters_do_not_meet_and_marks_of_one_record_count_together() {
    let records = vec![record(1, None, &[]), record(2, Some(1), &[])];
    let marks = vec![
        said(1, Forget, &[]),
        said(1, Pin, &[]),
        said(2, Tags, &[]),
        said(2, Unforget, &[]),
        said(2, Forget, &[]),
    ];
    let state = state(records, marks);
    assert_eq!(state.forgotten, None, "in one record neither knows the other");
    assert_eq!(state.pinned, Some(HOUR));
    assert_eq!(state.tags, Some((Vec::new(), 2 * HOUR)));
}

/// A checkpoint's sweep deletes a forget and its unforget in any order, and may die in between.
#[test]
fn what_a_checkpoint_replaces_does_not_come_back_when_a_half_of_it_is_deleted() {
    let all = vec![record(1, None, &[]), record(2, None, &[1]), record(3, Some(2), &[1])];
    let replaced = Replaced {
        checkpoint: hash(3),
        records: [hash(1), hash(2)].into(),
        snapshots: [SNAPSHOT].into(),
    };
    let marks = [said(1, Forget, &[]), said(2, Unforget, &[])];
    for left in [vec![], vec![0], vec![1], vec![0, 1]] {
        let log = MarkLog {
            records: all.clone(),
            marks: left.iter().map(|place: &usize| marks[*place].clone()).collect(),
            checkpoints: vec![replaced.clone()],
        };
        let state = log.states().remove(&SNAPSHOT).unwrap_or_default();
        assert_eq!(state.forgotten, None, "{left:?}");
    }
    // A snapshot that the checkpoint does not list stays forgotten.
    let log = MarkLog {
        records: all,
        marks: vec![said(1, Forget, &[])],
        checkpoints: vec![Replaced { snapshots: HashSet::new(), ..replaced }],
    };
    assert_eq!(log.states()[&SNAPSHOT].forgotten, Some(since(1)));
}

#[test]
fn a_repeated_mark_keeps_its_moment_and_what_another_checkpoint_did_not_know_still_wins() {
    let before = state(
        vec![record(1, None, &[]), record(2, Some(1), &[])],
        vec![said(1, Pin, &[]), said(1, Tags, &["a"]), said(2, Forget, &[])],
    );
    let repeat = |record: u8, state: &MarkState| -> Vec<SaidMark> {
        let marks = state.repeated(SNAPSHOT);
        let said = |mark| SaidMark { record: hash(record), written: 50 * HOUR, mark };
        marks.into_iter().map(said).collect()
    };
    let replaced = |checkpoint: u8, records: &[u8]| Replaced {
        checkpoint: hash(checkpoint),
        records: records.iter().map(|number| hash(*number)).collect(),
        snapshots: [SNAPSHOT].into(),
    };
    let log = MarkLog {
        records: vec![record(8, None, &[2])],
        marks: repeat(8, &before),
        checkpoints: vec![replaced(8, &[1, 2])],
    };
    assert_eq!(log.states()[&SNAPSHOT], before);
    // 3 took the forget back; one checkpoint knows it, the other does not, and 1 to 3 are swept.
    let after = MarkState { forgotten: None, unforgotten: Some(3 * HOUR), ..before.clone() };
    let log = MarkLog {
        records: vec![record(8, None, &[2]), record(9, None, &[3])],
        marks: [repeat(8, &before), repeat(9, &after)].concat(),
        checkpoints: vec![replaced(8, &[1, 2]), replaced(9, &[1, 2, 3])],
    };
    assert_eq!(log.states()[&SNAPSHOT], after);
    let kinds: Vec<u64> = after.repeated(SNAPSHOT).iter().map(|mark| mark.kind).collect();
    assert_eq!(kinds, [2, 3, 5]);
}

#[test]
fn a_forgotten_snapshot_returns_for_sixty_hours_and_lives_for_seventy_two() {
    let forgotten = Forgotten { since: HOUR };
    let usual = Lifetimes::new(3600, 72 * 3600);
    assert_eq!(forgotten.returns_until(&usual), Timestamp(61 * HOUR));
    assert!(!forgotten.is_dead(&usual, Timestamp(73 * HOUR - 1)));
    assert!(forgotten.is_dead(&usual, Timestamp(73 * HOUR)));
}

/// One record after the other: its predecessor and view are drawn from those before it.
fn logs() -> impl Strategy<Value = MarkLog> {
    let step = (any::<u8>(), prop::collection::vec(any::<u8>(), 0..3), any::<bool>(), 0_u64..8);
    prop::collection::vec(step, 1..14).prop_map(|steps| {
        let mut log = MarkLog::default();
        for (number, (previous, view, is_global, kind)) in (1_u8..).zip(steps) {
            let among = |draw: u8| draw.checked_rem(number).filter(|found| *found > 0);
            let view: Vec<u8> = view.into_iter().filter_map(among).collect();
            let mut link = record(number, among(previous), &view);
            link.is_global = is_global || (1..=5).contains(&kind);
            log.records.push(link);
            if (1..=5).contains(&kind) {
                let mut mark = said(number, Forget, &[&number.to_string()]);
                mark.mark.kind = kind;
                log.marks.push(mark);
            }
        }
        log
    })
}

/// Whether `a` covers `b`, by the words of the page.
fn covers(log: &MarkLog, a: ObjectHash, b: ObjectHash) -> bool {
    let find = |hash: ObjectHash| log.records.iter().find(|link| link.hash == hash).unwrap();
    let reaches = |mut at: Option<ObjectHash>| {
        while let Some(hash) = at {
            if hash == b {
                return true;
            }
            at = find(hash).previous;
        }
        false
    };
    let link = find(a);
    reaches(link.previous)
        || link.view.iter().any(|tip| {
            let named = log.records.iter().find(|link| link.hash.0[..8] == tip.0);
            named.is_some_and(|link| reaches(Some(link.hash)))
        })
}

proptest! {
    #[test]
    fn the_order_in_which_records_are_heard_of_does_not_matter(
        (log, shuffled) in logs().prop_flat_map(|log| {
            let records = Just(log.records.clone()).prop_shuffle();
            let marks = Just(log.marks.clone()).prop_shuffle();
            let shuffled = (records, marks).prop_map(|(records, marks)| {
                MarkLog { records, marks, checkpoints: Vec::new() }
            });
            (Just(log), shuffled)
        })
    ) {
        prop_assert_eq!(log.states(), shuffled.states());
    }

    #[test]
    fn the_outcome_is_the_one_of_the_rule(log in logs()) {
        let state = log.states().remove(&SNAPSHOT).unwrap_or_default();
        let standing = |kinds: &[MarkKind]| -> Vec<&SaidMark> {
            let among = |said: &&SaidMark| kinds.iter().any(|kind| said.is(*kind));
            let group: Vec<&SaidMark> = log.marks.iter().filter(among).collect();
            let unbeaten = |said: &&&SaidMark| {
                !group.iter().any(|other| covers(&log, other.record, said.record))
            };
            group.iter().filter(unbeaten).copied().collect()
        };
        let forgetting = standing(&[Forget, Unforget]);
        let forgotten = !forgetting.is_empty() && forgetting.iter().all(|said| said.is(Forget));
        prop_assert_eq!(state.forgotten.is_some(), forgotten);
        let pinned = standing(&[Pin, Unpin]).iter().any(|said| said.is(Pin));
        prop_assert_eq!(state.pinned.is_some(), pinned);
        let tags = standing(&[Tags]);
        let all: BTreeSet<String> = tags.iter().flat_map(|said| said.mark.tags.clone()).collect();
        let found: BTreeSet<String> = state.tags.into_iter().flat_map(|(tags, _)| tags).collect();
        prop_assert_eq!(found, all);
    }

    #[test]
    fn who_has_read_everything_has_the_last_word(log in logs()) {
        let everything: Vec<u8> = (1_u8..).take(log.records.len()).collect();
        let number = 100;
        for (kind, forgotten) in [(Forget, true), (Unforget, false)] {
            let mut log = log.clone();
            log.records.push(record(number, None, &everything));
            log.marks.push(said(number, kind, &[]));
            prop_assert_eq!(log.states()[&SNAPSHOT].forgotten.is_some(), forgotten);
        }
    }
}
