//! Credentials that may only add, a whole life long; and a record that is sent again.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use stash::engine::check::{CheckOptions, ReadData, check};
use stash::engine::copy::{CopyOptions, copy};
use stash::engine::maintenance::{Due, Maintained, MaintenanceOptions, due, maintain};
use stash::error::Kind;
use stash::event::{Counters, Silent};
use stash::format::record::{Mark, MarkKind};
use stash::repository::log::RecordParts;
use stash::repository::{InitOptions, Repository};
use stash::time::{Clock as _, Timestamp};

use crate::common_engine::{
    Notes, folders, latest, noise, open, open_fresh, put, restored, save, secret, snapshots,
};
use crate::common_s3::{Action, Behaviour, Request, Server};
use crate::scene::{Machine, connect, connect_with, hasty};

fn add_only(request: &Request) -> Action {
    if request.method == "DELETE" { Action::Refuse(403, "AccessDenied") } else { Action::Serve }
}

fn tag(repository: &Repository, times: usize, now: i64) {
    let snapshot = snapshots(repository)[0].id;
    for number in 0..times {
        let tags = vec![number.to_string()];
        let mark = Mark { snapshot, kind: MarkKind::Tags as u64, tags, ..Mark::default() };
        let parts = RecordParts { marks: vec![mark], ..RecordParts::default() };
        repository.append(parts, Timestamp(now)).unwrap();
    }
}

#[test]
fn credentials_that_may_only_add_are_enough_for_all_but_freeing_space() {
    let server = Server::start(Behaviour { page: 1000, ..Behaviour::default() });
    server.rule(add_only);
    let store = connect(&server, "r");
    assert!(store.probe().into_failure().is_none());
    let base = tempfile::tempdir().unwrap();
    let source = base.path().join("source");
    let now = stash::machine::SystemClock.now().0;
    let slots = [(secret(), "test".to_owned())];
    let places = folders(base.path());
    let repository =
        Repository::init(&store, &InitOptions::default(), &slots, Timestamp(now), &places).unwrap();
    for number in 0..3 {
        put(&source.join("file"), noise(number, 700_000));
        save(&repository, &source, now).unwrap();
    }
    let forgotten = snapshots(&repository)[0].id;
    let mark = Mark { snapshot: forgotten, kind: MarkKind::Forget as u64, ..Mark::default() };
    let parts = RecordParts { marks: vec![mark], ..RecordParts::default() };
    repository.append(parts, Timestamp(now)).unwrap();
    tag(&repository, 40, now);
    assert!(!store.refuses_deletion());
    // Cleaning up finds out, writes what it may, and asks for no more for a month.
    let clock = stash::machine::SystemClock;
    let options = MaintenanceOptions::default();
    let clean = |due: Due| {
        let (counters, stop) = (Counters::default(), AtomicBool::new(false));
        maintain(&repository, due, &options, &clock, &counters, &stop, &Silent).unwrap()
    };
    server.take();
    let Maintained::MayNotDelete(report) = clean(Due { checkpoint: true, space: true }) else {
        panic!("it may not delete");
    };
    assert!(report.covered_records >= 32, "{report:?}");
    assert_eq!((report.condemned_objects, report.undeleted_objects), (0, 0));
    let deletes = |requests: &[Request]| requests.iter().filter(|it| it.method == "DELETE").count();
    assert!(deletes(&server.take()) <= 2, "only what the time was asked with, once for each look");
    // A year's worth of records later, by the clock of the next day.
    tag(&repository, 300, now);
    let day = 25 * 3600 * crate::common_engine::SECOND;
    let wanted = due(&repository, &options, Timestamp(now + day)).unwrap();
    assert_eq!(wanted, Due { checkpoint: true, space: false });
    let report = match clean(wanted) {
        Maintained::Done(report) | Maintained::MayNotDelete(report) => report,
        other => panic!("{other:?}"),
    };
    assert!(report.covered_records >= 300, "{report:?}");
    assert_eq!(deletes(&server.take()), 0, "what only writes asks for no time");
    let month = Timestamp(now + 31 * day);
    assert!(due(&repository, &options, month).unwrap().space, "leave may have been given");
    // Everything else is as ever.
    put(&source.join("file"), noise(9, 700_000));
    save(&repository, &source, now).unwrap();
    let other = connect(&server, "second");
    let second = Repository::init(
        &other,
        &InitOptions::default(),
        &slots,
        Timestamp(now),
        &folders(&base.path().join("second")),
    )
    .unwrap();
    let entries = snapshots(&repository);
    let copies = CopyOptions::default();
    copy(&repository, &second, &entries, &copies, &clock, &Counters::default(), &Silent).unwrap();
    for store in [&store, &other] {
        let fresh = open_fresh(store);
        let options =
            CheckOptions { read_data: ReadData::All, threads: 3, ..CheckOptions::default() };
        let report = check(&fresh, &options, &Counters::default()).unwrap();
        assert!(report.findings.is_empty(), "{:#?}", report.findings);
        let out = tempfile::tempdir().unwrap();
        let got = restored(&fresh, &latest(&fresh), out.path());
        assert_eq!(std::fs::read(got.join("file")).unwrap(), noise(9, 700_000));
    }
}

/// Refuses records from the `good`-th on for a while after the first refusal.
fn records_fail_for(span: Duration) -> impl Fn(&Request) -> Action + Send + Sync {
    let begun = std::sync::OnceLock::new();
    move |request| {
        let is_record = request.is_put() && request.path.contains("/log/");
        if is_record && begun.get_or_init(Instant::now).elapsed() < span {
            Action::Refuse(503, "SlowDown")
        } else {
            Action::Serve
        }
    }
}

/// `hasty` gives up on anything else after 3 s.
#[test]
fn a_record_is_sent_again_for_longer_than_what_it_names() {
    let server = Server::start(Behaviour::default());
    let notes = Arc::new(Notes::default());
    let options = stash::store::RemoteOptions {
        reporter: Arc::clone(&notes) as Arc<dyn stash::event::Reporter>,
        ..hasty()
    };
    let store = connect_with(&server, "r", &options).unwrap();
    let mut machine = Machine::new();
    machine.fill(1, 1);
    drop(machine.init(&store));
    server.rule(records_fail_for(Duration::from_secs(7)));
    let begun = Instant::now();
    machine.save(&store).unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(7), "{:?}", begun.elapsed());
    assert!(notes.take().iter().any(|line| line.contains("trying for 59")), "it says so");
    machine.assert_restores(&store, "after a pause");
    // What will not pass is not waited for.
    server.rule(|request| {
        let is_record = request.is_put() && request.path.contains("/log/");
        if is_record { Action::Refuse(403, "AccessDenied") } else { Action::Serve }
    });
    machine.fill(2, 1);
    let begun = Instant::now();
    assert_eq!(machine.save(&store).unwrap_err().kind(), Kind::Store);
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

#[test]
fn a_record_is_sent_for_no_longer_than_a_window() {
    let server = Server::start(Behaviour::default());
    let store = connect(&server, "r");
    let base = tempfile::tempdir().unwrap();
    let options = InitOptions { window: 5, grace: 100, ..InitOptions::default() };
    let slots = [(secret(), "test".to_owned())];
    let (now, places) = (stash::machine::SystemClock.now(), folders(base.path()));
    drop(Repository::init(&store, &options, &slots, now, &places).unwrap());
    let source = base.path().join("source");
    put(&source.join("file"), b"content");
    server.rule(records_fail_for(Duration::from_mins(1)));
    let repository = open(&store, &places).unwrap();
    let begun = Instant::now();
    let error = save(&repository, &source, now.0).unwrap_err();
    assert_eq!(error.kind(), Kind::Store, "{error}");
    let took = begun.elapsed();
    assert!((4..9).contains(&took.as_secs()), "{took:?}");
}
