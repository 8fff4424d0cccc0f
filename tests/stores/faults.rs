//! A server that dies, hangs, refuses or lies in the middle of things: an error that says so, no half
//! snapshot, and the next run finds all in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use stash::codec::crypto::{MasterKeys, RepositoryKeys};
use stash::error::Kind;
use stash::format::pack::{BlobKind, UnitForm};
use stash::repository::{container::PlainUnit, packer::Packer};

use crate::common_engine::{Notes, open_fresh, snapshots};
use crate::common_s3::{Action, Behaviour, Request, Server};
use crate::scene::{Machine, connect, connect_with, hasty};

/// Decides about the packs that are put: the first `good` are, the others are not.
fn after_packs(good: usize, action: Action) -> impl Fn(&Request) -> Action + Send + Sync {
    let seen = AtomicUsize::new(0);
    move |request| {
        let is_one = request.is_put() && request.is_pack();
        if is_one && seen.fetch_add(1, Ordering::SeqCst) >= good { action } else { Action::Serve }
    }
}

#[test]
fn a_failure_in_the_middle_of_an_upload_is_an_error_and_the_next_run_is_fine() {
    for action in [
        Action::Break,
        Action::Refuse(403, "AccessDenied"),
        Action::Refuse(503, "SlowDown"),
        Action::Hang,
    ] {
        let server = Server::start(Behaviour::default());
        let store = connect(&server, "r");
        let mut machine = Machine::new();
        machine.fill(1, 2);
        drop(machine.init(&store));
        machine.save(&store).unwrap();
        machine.fill(2, 60);
        server.rule(after_packs(1, action));
        let begun = Instant::now();
        let error = machine.save(&store).unwrap_err();
        assert_eq!(error.kind(), Kind::Store, "{action:?}: {error}");
        assert!(error.hint_text().is_some(), "{action:?}: {error}");
        assert!(begun.elapsed() < Duration::from_secs(25), "{action:?}: {:?}", begun.elapsed());
        server.heal();
        let store = connect(&server, "r");
        assert_eq!(snapshots(&open_fresh(&store)).len(), 1, "{action:?}");
        server.take();
        machine.save(&store).unwrap();
        let packs = server.take().iter().filter(|it| it.is_put() && it.is_pack()).count();
        assert!(packs <= 4, "{action:?}: what was durable was stored again: {packs} packs");
        machine.assert_restores(&store, "after the failure");
        Machine::assert_sound(&store, "after the failure");
    }
}

#[test]
fn what_fails_in_passing_is_tried_again_and_told() {
    let server = Server::start(Behaviour::default());
    let notes = Arc::new(Notes::default());
    let options = stash::store::RemoteOptions {
        reporter: Arc::clone(&notes) as Arc<dyn stash::event::Reporter>,
        ..hasty()
    };
    let store = connect_with(&server, "r", &options).unwrap();
    let mut machine = Machine::new();
    machine.fill(1, 20);
    drop(machine.init(&store));
    // The second of each three requests fails, each time in another way; replies get lost, too.
    let number = AtomicUsize::new(0);
    server.rule(move |_| {
        let number = number.fetch_add(1, Ordering::SeqCst);
        match number % 6 {
            1 => Action::Refuse(500, "InternalError"),
            3 => Action::LoseReply,
            5 => Action::Break,
            _ => Action::Serve,
        }
    });
    machine.save(&store).unwrap();
    let told = notes.take();
    assert!(told.iter().any(|line| line.contains("trying again (2)")), "{told:?}");
    server.heal();
    machine.assert_restores(&store, "a bad line");
    Machine::assert_sound(&store, "a bad line");
}

#[test]
fn a_server_that_was_killed_is_told_and_one_that_hangs_is_not_waited_for_long() {
    let server = Server::start(Behaviour::default());
    let store = connect(&server, "r");
    let mut machine = Machine::new();
    machine.fill(1, 1);
    drop(machine.init(&store));
    server.rule(|_| Action::Hang);
    let begun = Instant::now();
    let error = machine.save(&store).unwrap_err();
    assert!(error.to_string().contains("no answer"), "{error}");
    // Silence and patience together, and a little.
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    // A store that never answered is not even tried twice.
    let begun = Instant::now();
    let error = connect_with(&server, "r", &hasty()).err().unwrap();
    assert!(error.to_string().contains("no answer"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    drop(server);
    let error = machine.save(&store).unwrap_err();
    assert_eq!(error.kind(), Kind::Store);
    assert!(error.to_string().contains("refused"), "{error}");
}

#[test]
fn a_create_whose_reply_was_lost_is_settled_by_reading_back() {
    let server = Server::start(Behaviour::default());
    let store = connect(&server, "r");
    let mut machine = Machine::new();
    machine.fill(1, 1);
    drop(machine.init(&store));
    let lost = AtomicUsize::new(0);
    server.rule(move |request| {
        let first = request.is_put() && lost.fetch_add(1, Ordering::SeqCst) == 0;
        if first { Action::LoseReply } else { Action::Serve }
    });
    machine.save(&store).unwrap();
    assert_eq!(snapshots(&open_fresh(&store)).len(), 1);
    // Another request is making it: nothing is there yet, so it is put.
    let conflict = AtomicUsize::new(0);
    server.rule(move |request| {
        let first = request.is_put() && conflict.fetch_add(1, Ordering::SeqCst) == 0;
        if first { Action::Refuse(409, "ConditionalRequestConflict") } else { Action::Serve }
    });
    machine.fill(3, 1);
    server.take();
    machine.save(&store).unwrap();
    // Asked again in the same way: a bucket may take no other.
    assert!(server.take().iter().all(|request| request.create || !request.is_put()));
    machine.assert_restores(&store, "after a conflict");
}

/// The policy of docs/stores.md: what may write over something is refused.
#[test]
fn a_bucket_that_takes_only_what_is_new_takes_all_that_is_needed() {
    let server = Server::start(Behaviour::default());
    server.rule(|request| {
        let denied = request.is_put() && !request.create;
        if denied { Action::Refuse(403, "AccessDenied") } else { Action::Serve }
    });
    let store = connect(&server, "r");
    assert!(store.probe().into_failure().is_none());
    let mut machine = Machine::new();
    machine.fill(1, 1);
    drop(machine.init(&store));
    machine.save(&store).unwrap();
    store.now().unwrap();
    machine.assert_restores(&store, "where nothing is written over");
    // Whoever mends an object writes over it.
    let bytes = bytes::Bytes::from_static(b"x");
    let name = stash::store::ObjectName::Pack(stash::codec::crypto::object_hash(b"x"));
    assert_eq!(store.put_back(name, bytes).unwrap_err().kind(), Kind::Store);
}

#[test]
fn a_store_that_takes_no_conditions_is_asked_once() {
    let server = Server::start(Behaviour::default());
    let store = connect(&server, "r");
    server.rule(
        |request| {
            if request.create { Action::Refuse(501, "NotImplemented") } else { Action::Serve }
        },
    );
    let mut machine = Machine::new();
    machine.fill(1, 1);
    drop(machine.init(&store));
    machine.save(&store).unwrap();
    let asked = server.take().iter().filter(|request| request.create).count();
    assert_eq!(asked, 1);
    assert_eq!(store.learned().unwrap().creates, Some(false));
    machine.assert_restores(&store, "without conditions");
}

#[test]
fn a_listing_that_repeats_is_harmless_and_one_that_drops_loses_nothing() {
    for action in [Action::RepeatRows, Action::DropRows, Action::CutRows] {
        let server = Server::start(Behaviour::default());
        let store = connect(&server, "r");
        let mut machine = Machine::new();
        drop(machine.init(&store));
        for round in 0..4 {
            machine.fill(round, 1);
            machine.save(&store).unwrap();
        }
        let is_log = |request: &Request| request.is_list() && request.query.contains("log");
        server.rule(move |request| if is_log(request) { action } else { Action::Serve });
        machine.fill(9, 2);
        machine.save(&store).unwrap();
        server.heal();
        assert_eq!(snapshots(&open_fresh(&store)).len(), 5, "{action:?}");
        machine.assert_restores(&store, "after bad listings");
        Machine::assert_sound(&store, "after bad listings");
    }
}

#[test]
fn credentials_that_may_only_add_are_enough_for_backups() {
    let server = Server::start(Behaviour::default());
    let store = connect(&server, "r");
    let names = std::sync::Mutex::new(std::collections::HashSet::new());
    server.rule(move |request| {
        let over = request.is_put() && !names.lock().unwrap().insert(request.path.clone());
        let denied = over || request.method == "DELETE" || request.method == "POST";
        if denied { Action::Refuse(403, "AccessDenied") } else { Action::Serve }
    });
    let mut machine = Machine::new();
    drop(machine.init(&store));
    for round in 0..3 {
        machine.fill(round, 20);
        machine.save(&store).unwrap();
        machine.assert_restores(&store, "with append-only credentials");
    }
    let requests = server.take();
    assert!(requests.iter().all(|request| request.method != "DELETE"), "something was deleted");
    Machine::assert_sound(&store, "with append-only credentials");
}

#[test]
fn two_repositories_in_one_bucket_do_not_see_each_other() {
    let server = Server::start(Behaviour::default());
    let machines = ["one", "one/two", "onemore"].map(|prefix| {
        let (store, mut machine) = (connect(&server, prefix), Machine::new());
        machine.fill(prefix.len() as u64, 2);
        drop(machine.init(&store));
        machine.save(&store).unwrap();
        (store, machine)
    });
    for (store, machine) in &machines {
        assert_eq!(snapshots(&open_fresh(store)).len(), 1);
        machine.assert_restores(store, "beside others");
    }
}

#[test]
fn an_answer_that_never_ends_is_not_taken() {
    let server = Server::start(Behaviour::default());
    let store = connect(&server, "r");
    let name = stash::store::ObjectName::Pack(stash::codec::crypto::object_hash(b"x"));
    server.rule(|_| Action::Endless);
    let begun = Instant::now();
    let listed = store.list(stash::store::Prefix::Packs).unwrap_err();
    assert!(listed.to_string().contains("more than was asked for"), "{listed}");
    assert_eq!(store.get(&name).unwrap_err().kind(), Kind::Store);
    assert_eq!(store.get_range(&name, 0, 10).unwrap_err().kind(), Kind::Store);
    assert!(store.probe().into_failure().is_some());
    assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", begun.elapsed());
    // Beside what each may be, what lies in the buffers of both sides.
    let most = (4 * (65 + 16)) << 20;
    assert!(server.endless_bytes() < most, "{}", server.endless_bytes());
}

/// At 20 KiB a second 64 KiB take longer than this store is waited for.
#[test]
fn a_slow_limit_is_not_taken_for_silence() {
    let server = Server::start(Behaviour::default());
    let options = stash::store::RemoteOptions { upload_limit: Some(20 << 10), ..hasty() };
    let store = connect_with(&server, "r", &options).unwrap();
    let bytes = crate::common_engine::noise(1, 90 << 10);
    let name = stash::store::ObjectName::Pack(stash::codec::crypto::object_hash(&bytes));
    let begun = Instant::now();
    store.put(name, &[bytes.into()]).unwrap();
    assert!(begun.elapsed() > Duration::from_secs(3), "{:?}", begun.elapsed());
    assert_eq!(server.take().iter().filter(|request| request.is_put()).count(), 1);
}

/// The length of a [`noise_unit`], in bytes.
const UNIT: usize = 1 << 20;

/// A unit of one blob that no other number has.
fn noise_unit(keys: &RepositoryKeys, number: u64) -> PlainUnit {
    let payload = crate::common_engine::noise(number, UNIT);
    let blobs = vec![(keys.blob_id(BlobKind::Data, &payload), UNIT as u64)];
    let (kind, form) = (BlobKind::Data, UnitForm::Raw);
    PlainUnit { kind, form, payload, blobs, bases: Vec::new(), depth: 0 }
}

/// What is taken from those who add and not yet stored, however many they are.
#[test]
fn what_waits_for_a_slow_store_is_bounded() {
    let latency = Duration::from_millis(300);
    let server = Server::start(Behaviour { latency, ..Behaviour::default() });
    let store = connect(&server, "r");
    let keys = MasterKeys::from_parts([1; 32], [2; 32]);
    let keys = Arc::new(RepositoryKeys::derive(&keys, &stash::id::RepositoryId([3; 16])));
    let packer = Packer::start(store, Arc::clone(&keys), [4; 16], None, 0);
    let (added, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (packer, keys, added, most) = (&packer, &keys, &added, &most);
            scope.spawn(move || {
                for number in 0..25 {
                    let unit = noise_unit(keys, thread * 100 + number);
                    let given = added.fetch_add(UNIT, Ordering::SeqCst) + UNIT;
                    let stored = usize::try_from(packer.stored_bytes()).unwrap();
                    most.fetch_max(given.saturating_sub(stored), Ordering::SeqCst);
                    packer.add(unit).unwrap();
                }
            });
        }
    });
    packer.finish().unwrap();
    // One being filled, one that waits, one sealed, two on their way, and a unit for each thread.
    let most = most.into_inner() >> 20;
    assert!(most <= 5 * 18 + 8, "{most} MiB");
}

/// Whoever asks first must not be the only one who hears why.
#[test]
fn every_later_call_of_a_packer_returns_the_failure() {
    let server = Server::start(Behaviour::default());
    let store = connect(&server, "r");
    let keys = MasterKeys::from_parts([1; 32], [2; 32]);
    let keys = Arc::new(RepositoryKeys::derive(&keys, &stash::id::RepositoryId([3; 16])));
    let packer = Packer::start(store, Arc::clone(&keys), [4; 16], None, 0);
    server.rule(after_packs(0, Action::Refuse(403, "AccessDenied")));
    let first = (0..64).find_map(|number| packer.add(noise_unit(&keys, number)).err());
    let first = first.expect("four packs were taken by a store that refuses each");
    for again in [packer.add(noise_unit(&keys, 99)).unwrap_err(), packer.finish().err().unwrap()] {
        assert_eq!(again.kind(), Kind::Store, "{again}");
        assert_eq!(again.to_string(), first.to_string());
        assert_eq!(again.hint_text(), first.hint_text());
    }
}

/// Opening costs one request, and a tiny backup a listing and a record more.
#[test]
fn a_tiny_backup_is_few_requests() {
    let server = Server::start(Behaviour { page: 1000, ..Behaviour::default() });
    let options = stash::store::RemoteOptions { region: Some("us-east-1".into()), ..hasty() };
    let mut machine = Machine::new();
    let store = connect_with(&server, "r", &options).unwrap();
    machine.fill(1, 20);
    drop(machine.init(&store));
    machine.save(&store).unwrap();
    crate::common_engine::put(&machine.source().join("tiny"), "a few bytes");
    let now = stash::time::Timestamp(machine.now);
    let open = || {
        let store = connect_with(&server, "r", &options).unwrap();
        let folders = crate::common_engine::folders(machine.base.path());
        let cache = folders.cache.clone().unwrap();
        let locked =
            stash::repository::LockedRepository::find_remembered(store, None, Some(&cache), now);
        locked.unwrap().unlock(&crate::common_engine::secret(), &folders).unwrap()
    };
    drop(open());
    server.take();
    let repository = open();
    let opening = server.take();
    assert_eq!(opening.len(), 1, "{opening:#?}");
    assert_eq!(opening[0].method, "HEAD");
    crate::common_engine::save(&repository, &machine.source(), machine.now + 99).unwrap();
    let requests = server.take();
    let count = |of: fn(&Request) -> bool| requests.iter().filter(|request| of(request)).count();
    assert_eq!(count(Request::is_put), 1, "{requests:#?}");
    assert!(count(Request::is_list) <= 2, "{requests:#?}");
    assert!(requests.len() <= 3, "{requests:#?}");
}

/// What opens a repository is remembered for a while: a rotation is noticed at once all the same, and a
/// removed key within a week.
#[test]
fn what_is_remembered_of_the_keys_is_read_again_in_time() {
    use stash::codec::crypto::{Key, SlotSecret};
    use stash::repository::{LocalFolders, LockedRepository, Repository};

    let server = Server::start(Behaviour { page: 1000, ..Behaviour::default() });
    let store = connect(&server, "r");
    let machine = Machine::new();
    let maker = machine.init(&store);
    let other = || SlotSecret::Device(Key([5; 32]));
    let now = stash::time::Timestamp(machine.now);
    let slot = maker.add_key(&other(), "other", None, now).unwrap();
    let base = tempfile::tempdir().unwrap();
    let folders = crate::common_engine::folders(base.path());
    let open_at = |days: i64| -> stash::error::Result<Repository> {
        let (store, cache) = (connect(&server, "r"), folders.cache.clone().unwrap());
        let now = stash::time::Timestamp(machine.now + days * 24 * 3600 * 1_000_000_000);
        LockedRepository::find_remembered(store, None, Some(&cache), now)?
            .unlock(&other(), &folders)
    };
    let listings = || {
        let taken = server.take();
        taken.iter().filter(|it| it.is_list() && it.query.contains("%2Fkeys%2F")).count()
    };
    server.take();
    open_at(0).unwrap().sync().unwrap();
    assert_eq!(listings(), 1);
    let under_way = open_at(1).unwrap();
    assert_eq!(listings(), 0, "it is remembered");

    // Append-only credentials suffice to rotate: what can't be deleted is told.
    server.rule(|request| {
        let denied = request.method == "DELETE" || request.method == "POST";
        if denied { Action::Refuse(403, "AccessDenied") } else { Action::Serve }
    });
    let plan = maker.plan_rotation(&[]).unwrap();
    assert!(maker.rotate(&plan, now).unwrap().undeleted.is_empty());
    let plan = maker.plan_rotation(&[]).unwrap();
    let undeleted = maker.rotate(&plan, now).unwrap().undeleted;
    assert_eq!(undeleted.len(), 2, "the grants before: {undeleted:?}");
    server.heal();
    server.take();

    // One that is open, and one that is opened from what is remembered, meet the new epoch.
    under_way.sync().unwrap();
    assert_eq!(listings(), 1, "keys/ is read once more");
    let again = open_at(2).unwrap();
    again.sync().unwrap();
    assert_eq!(listings(), 0, "and remembered again");
    let record = again.append(stash::repository::log::RecordParts::default(), now).unwrap().record;
    let fresh = connect(&server, "r");
    let bytes = fresh.get(&record).unwrap().unwrap();
    assert_ne!(bytes[12..16], [0; 4], "sealed under the new epoch");

    // What this machine itself changes is not remembered as it was.
    let third = SlotSecret::Device(Key([6; 32]));
    again.add_key(&third, "third", None, now).unwrap();
    server.take();
    drop(open_at(2).unwrap());
    assert_eq!(listings(), 1);

    // Removed elsewhere: within the week what is remembered still opens.
    maker.remove_key(&slot).unwrap();
    assert!(open_at(3).is_ok());
    let error = open_at(9).err().unwrap();
    assert_eq!(error.kind(), Kind::WrongPassphrase, "{error}");
    let error = open_at(3).err().unwrap();
    assert_eq!(error.kind(), Kind::WrongPassphrase, "what was read anew is remembered: {error}");
    let nowhere = LocalFolders::default();
    let found = LockedRepository::find(connect(&server, "r"), None).unwrap();
    assert!(found.unlock(&crate::common_engine::secret(), &nowhere).is_ok());
}
