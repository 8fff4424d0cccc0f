//! Every state that a database can be found in: each with a real file, taken, checked, and left as
//! it was.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops where things are not as they should be"
)]

mod common_sqlite;

use std::collections::BTreeMap;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use common_sqlite::{
    Holder, Orders, WallClock, Writer, create, take_patiently, take_to, verify, write_out,
};
use rusqlite::Connection;
use stash::error::Kind;
use stash::files::sqlite::{
    Fingerprint, LAST_ATTEMPT, Method, TakeOptions, find_holder, integrity_check, is_database,
    quick_check, remove_companions, take,
};
use stash::time::{Clock as _, Timestamp};

#[test]
fn writer_process() {
    common_sqlite::writer_process();
}

#[test]
fn holder_process() {
    common_sqlite::holder_process();
}

const WAL: &str = "PRAGMA journal_mode = WAL;";
/// One transaction, or a part of one.
const COMMIT: &str = "SAVEPOINT it; UPDATE last SET number = number + 1;
    INSERT INTO log SELECT number, 1, 2, 'by hand' FROM last; RELEASE it;";

/// A folder with a database in it, and another for copies.
struct Scene {
    folder: tempfile::TempDir,
    copies: tempfile::TempDir,
}

type Listing = BTreeMap<PathBuf, (i64, i64, Vec<u8>)>;

impl Scene {
    fn empty() -> Scene {
        Scene { folder: tempfile::tempdir().unwrap(), copies: tempfile::tempdir().unwrap() }
    }

    fn new(pragmas: &str) -> Scene {
        let scene = Scene::empty();
        create(&scene.path(), pragmas, 200, 100);
        scene
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("data.db")
    }

    fn beside(&self, ending: &str) -> PathBuf {
        self.folder.path().join(format!("data.db{ending}"))
    }

    fn copy(&self) -> PathBuf {
        self.copies.path().join("copy")
    }

    fn options(&self, attempt: u32) -> TakeOptions<'_> {
        TakeOptions {
            patience: Duration::from_millis(300),
            ..common_sqlite::options(self.copies.path(), attempt)
        }
    }

    /// Names, times and bytes of all that lies in the folder.
    fn listing(&self) -> Listing {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let entries = entries.map(|entry| {
            let path = entry.unwrap().path();
            let metadata = std::fs::symlink_metadata(&path).unwrap();
            let bytes = std::fs::read(&path).unwrap();
            (path, (metadata.mtime(), metadata.mtime_nsec(), bytes))
        });
        entries.collect()
    }

    /// Takes the database, and checks that nothing in the folder has changed.
    #[track_caller]
    fn take(&self) -> (Method, Option<String>) {
        let before = self.listing();
        let patience = self.options(0).patience;
        let found = take_patiently(&self.path(), &self.copy(), &mut 0, patience);
        let mut after = self.listing();
        if let Some(index) = after.get_mut(&self.beside("-shm")) {
            // The read mark of a live database is kept there.
            *index = before[&self.beside("-shm")].clone();
        }
        let names = |listing: &Listing| listing.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&before), names(&after));
        assert!(before == after, "something in the folder was written to");
        assert_eq!(std::fs::read_dir(self.copies.path()).unwrap().count(), 1, "copies are left");
        found
    }

    #[track_caller]
    fn takes(&self, method: Method, number: u64) {
        assert_eq!(self.take(), (method, None));
        assert_eq!(verify(&self.copy()), Ok(number));
    }

    #[track_caller]
    fn takes_raw(&self, companions: &[&str]) {
        let (method, doubt) = self.take();
        assert_eq!(method, Method::Raw);
        assert!(doubt.is_some());
        assert_eq!(std::fs::read(self.copy()).unwrap(), std::fs::read(self.path()).unwrap());
        let taken = take(&self.path(), &self.options(0)).unwrap();
        let expected: Vec<PathBuf> = companions.iter().map(|it| self.beside(it)).collect();
        assert_eq!(taken.companions(), expected);
        assert_eq!(taken.fingerprint(), None);
        taken.finish().unwrap();
    }
}

/// Runs statements and closes, without carrying the log into the file where there is one.
fn commit(path: &Path, statements: &str) {
    let connection = Connection::open(path).unwrap();
    let option = rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
    connection.set_db_config(option, true).unwrap();
    connection.execute_batch(statements).unwrap();
}

#[test]
fn a_closed_database_in_wal_mode_is_read_without_a_trace() {
    let scene = Scene::new(WAL);
    assert_eq!(scene.listing().len(), 1);
    scene.takes(Method::Immutable, 0);
    assert_eq!(std::fs::read(scene.copy()).unwrap(), std::fs::read(scene.path()).unwrap());
    std::fs::write(scene.beside("-wal"), b"").unwrap();
    scene.takes(Method::Immutable, 0);
    std::fs::write(scene.beside("-shm"), vec![0; 32_768]).unwrap();
    scene.takes(Method::Immutable, 0);
    std::fs::remove_file(scene.beside("-wal")).unwrap();
    scene.takes(Method::Immutable, 0);
}

#[test]
fn what_a_crash_left_in_the_log_is_in_the_copy() {
    let scene = Scene::new(WAL);
    commit(&scene.path(), COMMIT);
    assert!(scene.beside("-wal").exists() && scene.beside("-shm").exists());
    scene.takes(Method::StablePair, 1);
    std::fs::remove_file(scene.beside("-shm")).unwrap();
    scene.takes(Method::StablePair, 1);
    // A log that holds no transaction counts for nothing, nor does one that is no log.
    let log = std::fs::read(scene.beside("-wal")).unwrap();
    std::fs::write(scene.beside("-wal"), &log[..log.len() - 1]).unwrap();
    scene.takes(Method::StablePair, 0);
    std::fs::write(scene.beside("-wal"), b"no log at all, but long enough to have a header")
        .unwrap();
    scene.takes(Method::StablePair, 0);
}

#[test]
fn a_live_database_with_nothing_in_its_log_is_its_file() {
    let scene = Scene::new(WAL);
    let checkpoint = format!("{COMMIT} PRAGMA wal_checkpoint(TRUNCATE);");
    let _holder = Holder::start(&scene.path(), &checkpoint);
    scene.takes(Method::DatabaseAlone, 1);
    let _second = Holder::start(&scene.path(), &format!("{COMMIT} PRAGMA wal_checkpoint;"));
    assert!(std::fs::metadata(scene.beside("-wal")).unwrap().len() > 0);
    scene.takes(Method::DatabaseAlone, 2);
}

#[test]
fn a_live_database_that_idles_keeps_its_log_and_its_index() {
    let scene = Scene::new(WAL);
    let _holder = Holder::start(&scene.path(), COMMIT);
    scene.takes(Method::LiveWal, 1);
    let _reader = Holder::start(&scene.path(), "BEGIN; SELECT * FROM last;");
    let _writer = Holder::start(&scene.path(), &format!("{COMMIT} BEGIN IMMEDIATE; {COMMIT}"));
    scene.takes(Method::LiveWal, 2);
}

#[test]
fn a_transaction_that_stands_in_the_log_uncommitted_makes_the_fingerprint_worthless() {
    let scene = Scene::new(WAL);
    let fingerprint = |scene: &Scene| {
        let taken = take(&scene.path(), &scene.options(0)).unwrap();
        let fingerprint = taken.fingerprint().copied();
        taken.finish().unwrap();
        fingerprint
    };
    let holder = Holder::start(&scene.path(), COMMIT);
    assert!(fingerprint(&scene).is_some());
    drop(holder);
    // A cache of few pages makes it spill.
    let spill = format!(
        "PRAGMA cache_size = 2; BEGIN; {COMMIT} UPDATE accounts SET filler = randomblob(900);"
    );
    let _writer = Holder::start(&scene.path(), &spill);
    assert_eq!(fingerprint(&scene), None);
    scene.takes(Method::LiveWal, 1);
}

#[test]
fn a_database_in_rollback_mode_is_read_under_a_lock_or_watched() {
    let scene = Scene::new("PRAGMA journal_mode = DELETE;");
    scene.takes(Method::Shared, 0);
    let _idle = Holder::start(&scene.path(), "SELECT * FROM last;");
    let _reading = Holder::start(&scene.path(), "BEGIN; SELECT * FROM last;");
    let _reserved = Holder::start(&scene.path(), &format!("BEGIN IMMEDIATE; {COMMIT}"));
    scene.takes(Method::Shared, 0);

    let large = Scene::empty();
    create(&large.path(), "PRAGMA journal_mode = DELETE;", 2_000, 3_000);
    large.takes(Method::Watched, 0);
    let _reserved = Holder::start(&large.path(), &format!("BEGIN IMMEDIATE; {COMMIT}"));
    large.takes(Method::Watched, 0);
    // The second attempt does so with a private copy.
    let mut taken = take(&large.path(), &large.options(1)).unwrap();
    assert_eq!(taken.method(), Method::Watched);
    assert_eq!(std::fs::read_dir(large.copies.path()).unwrap().count(), 2);
    write_out(&mut taken, &large.copy());
    taken.finish().unwrap();
    assert_eq!(verify(&large.copy()), Ok(0));
}

#[test]
fn a_watched_database_that_is_written_to_is_taken_again() {
    let scene = Scene::empty();
    create(&scene.path(), "PRAGMA journal_mode = DELETE;", 2_000, 3_000);
    for attempt in 0..=LAST_ATTEMPT {
        let mut taken = take(&scene.path(), &scene.options(attempt)).unwrap();
        let before = std::fs::metadata(scene.path()).unwrap();
        drop(Holder::start(&scene.path(), COMMIT));
        write_out(&mut taken, &scene.copy());
        // Size and modification time may well be put back by someone.
        let file = std::fs::File::options().write(true).open(scene.path()).unwrap();
        file.set_modified(before.modified().unwrap()).unwrap();
        assert_eq!(taken.method(), Method::Watched);
        if attempt == 0 {
            assert_eq!(taken.finish().unwrap_err().kind(), Kind::Busy);
        } else {
            // From then on it is a private copy, which nobody can overtake.
            taken.finish().unwrap();
            assert_eq!(verify(&scene.copy()), Ok(u64::from(attempt)));
        }
    }
}

#[test]
fn what_journals_leave_behind_is_no_interrupted_transaction() {
    for mode in ["PERSIST", "TRUNCATE"] {
        let scene = Scene::new(&format!("PRAGMA journal_mode = {mode};"));
        commit(&scene.path(), &format!("PRAGMA journal_mode = {mode}; {COMMIT}"));
        let journal = std::fs::metadata(scene.beside("-journal")).unwrap().len();
        assert_eq!(journal > 0, mode == "PERSIST");
        scene.takes(Method::Shared, 1);
    }
}

/// A database whose file has pages of a transaction that never ended, and the journal of it.
fn interrupted(scene: &Scene) {
    let other = Scene::new("PRAGMA journal_mode = DELETE;");
    let connection = Connection::open(other.path()).unwrap();
    connection.execute_batch(COMMIT).unwrap();
    connection
        .execute_batch(&format!(
            "PRAGMA cache_size = 2; BEGIN; {COMMIT}
             UPDATE accounts SET balance = 1, filler = randomblob(1000);"
        ))
        .unwrap();
    for ending in ["", "-journal"] {
        std::fs::copy(other.beside(ending), scene.beside(ending)).unwrap();
    }
}

#[test]
fn an_interrupted_transaction_is_rolled_back_in_a_copy() {
    let scene = Scene::empty();
    interrupted(&scene);
    assert!(verify(&scene.path()).is_err());
    scene.takes(Method::RecoveredPair, 1);
    // Where there is no room for a copy, both are saved as they are.
    let nowhere = scene.folder.path().join("nowhere");
    let options = TakeOptions { temporary_folder: &nowhere, ..scene.options(0) };
    let error = take(&scene.path(), &options).unwrap_err();
    assert!(error.to_string().contains("nowhere"), "{error}");
}

#[test]
fn a_database_held_exclusively_in_rollback_mode_is_saved_raw_with_its_journal() {
    let scene = Scene::new("PRAGMA journal_mode = DELETE;");
    let holder = Holder::start(
        &scene.path(),
        &format!(
            "PRAGMA cache_size = 2; BEGIN EXCLUSIVE; {COMMIT} UPDATE accounts SET filler = randomblob(900);"
        ),
    );
    scene.takes_raw(&["-journal"]);
    drop(holder);
    scene.takes(Method::RecoveredPair, 0);
}

#[test]
fn a_database_held_exclusively_in_wal_mode_is_read_while_it_holds_still() {
    let scene = Scene::new(WAL);
    let _holder =
        Holder::start(&scene.path(), &format!("PRAGMA locking_mode = EXCLUSIVE; {COMMIT}"));
    assert!(!scene.beside("-shm").exists());
    scene.takes(Method::StablePair, 1);
}

#[test]
fn a_writer_that_holds_a_database_exclusively_leaves_only_raw_copies() {
    let scene = Scene::new(WAL);
    let mut orders = Orders::new(
        &scene.path(),
        "PRAGMA locking_mode = EXCLUSIVE; PRAGMA wal_autocheckpoint = 5;",
    );
    orders.pragmas += " PRAGMA synchronous = OFF;";
    let mut writer = Writer::start(&orders);
    writer.wait_for(5);
    let taken = take(&scene.path(), &scene.options(LAST_ATTEMPT)).unwrap();
    assert_eq!(taken.method(), Method::Raw);
    assert!(taken.doubt().is_some());
    taken.finish().unwrap();
    writer.stop();
}

#[test]
fn what_is_no_database_is_a_plain_file() {
    let scene = Scene::empty();
    for bytes in [&b""[..], b"SQLite format 3", &[0x5a; 8192]] {
        assert!(!is_database(bytes));
        std::fs::write(scene.path(), bytes).unwrap();
        assert!(take(&scene.path(), &scene.options(0)).is_err());
    }
    std::fs::remove_file(scene.path()).unwrap();
    let other = Scene::new(WAL);
    commit(&other.path(), COMMIT);
    std::fs::copy(other.beside("-wal"), scene.beside("-wal")).unwrap();
    assert!(!is_database(&std::fs::read(scene.beside("-wal")).unwrap()));
    let error = take(&scene.path(), &scene.options(0)).unwrap_err();
    assert!(error.is_io(std::io::ErrorKind::NotFound), "{error}");
}

#[test]
fn what_cannot_be_understood_is_saved_raw() {
    let versions = Scene::new(WAL);
    commit(&versions.path(), COMMIT);
    let file = std::fs::File::options().write(true).open(versions.path()).unwrap();
    file.write_all_at(&[3, 3], 18).unwrap();
    versions.takes_raw(&["-wal"]);

    let damaged = Scene::new("PRAGMA journal_mode = DELETE;");
    let file = std::fs::File::options().write(true).open(damaged.path()).unwrap();
    file.write_all_at(&[0x12, 0x34], 16).unwrap();
    damaged.takes_raw(&[]);

    for pragmas in [WAL, "PRAGMA journal_mode = DELETE;"] {
        let cut = Scene::new(pragmas);
        let file = std::fs::File::options().write(true).open(cut.path()).unwrap();
        file.set_len(8192).unwrap();
        cut.takes_raw(&[]);
        file.set_len(50).unwrap();
        cut.takes_raw(&[]);
    }
}

#[test]
fn a_damaged_database_is_still_taken_and_its_damage_told() {
    for pragmas in [WAL, "PRAGMA journal_mode = DELETE;"] {
        let scene = Scene::new(pragmas);
        let check = |scene: &Scene| {
            let taken = take(&scene.path(), &scene.options(0)).unwrap();
            assert_eq!(taken.doubt(), None);
            let problems = quick_check(&taken, scene.copies.path()).unwrap();
            taken.finish().unwrap();
            problems
        };
        assert_eq!(check(&scene), Vec::<String>::new());
        assert_eq!(integrity_check(&scene.path()).unwrap(), Vec::<String>::new());
        let file = std::fs::File::options().write(true).open(scene.path()).unwrap();
        file.write_all_at(&[0xff; 5_000], 6_000).unwrap();
        assert_ne!(check(&scene), Vec::<String>::new());
        assert_ne!(integrity_check(&scene.path()).unwrap(), Vec::<String>::new());
        assert_eq!(std::fs::read_dir(scene.folder.path()).unwrap().count(), 1);
    }
}

#[test]
fn pages_of_every_size_and_with_room_left_over() {
    for size in [512, 1024, 8192, 65_536] {
        let scene = Scene::new(&format!("PRAGMA page_size = {size}; {WAL}"));
        let holder = Holder::start(&scene.path(), COMMIT);
        scene.takes(Method::LiveWal, 1);
        drop(holder);
        scene.takes(Method::StablePair, 1);
    }
    // Encryption and checksums keep bytes at each page's end. A database of one empty page can be
    // given some by hand.
    let scene = Scene::empty();
    commit(&scene.path(), "PRAGMA user_version = 1");
    let file = std::fs::File::options().write(true).open(scene.path()).unwrap();
    file.write_all_at(&[32], 20).unwrap();
    file.write_all_at(&(4096_u16 - 32).to_be_bytes(), 105).unwrap();
    create(&scene.path(), WAL, 200, 100);
    let _holder = Holder::start(&scene.path(), COMMIT);
    scene.takes(Method::LiveWal, 1);
    assert_eq!(std::fs::read(scene.copy()).unwrap()[20], 32);
}

#[test]
fn a_database_that_shrinks_or_grows_within_its_log_has_its_new_length() {
    let scene = Scene::new(WAL);
    let shrink = "DELETE FROM accounts WHERE id > 10; UPDATE accounts SET balance = 1000; VACUUM;";
    let holder = Holder::start(&scene.path(), shrink);
    let before = std::fs::metadata(scene.path()).unwrap().len();
    scene.takes(Method::LiveWal, 0);
    assert!(std::fs::metadata(scene.copy()).unwrap().len() < before);
    drop(holder);
    scene.takes(Method::StablePair, 0);
    let grow = "WITH RECURSIVE it(i) AS (SELECT 11 UNION ALL SELECT i + 1 FROM it WHERE i < 5000)
        INSERT INTO accounts SELECT i, 1000, randomblob(300) FROM it;";
    let _holder = Holder::start(&scene.path(), &format!("PRAGMA wal_autocheckpoint = 0; {grow}"));
    scene.takes(Method::LiveWal, 0);
    assert!(std::fs::metadata(scene.copy()).unwrap().len() > 3 * before);
}

#[test]
fn a_link_leads_to_the_database_and_its_log() {
    let scene = Scene::new(WAL);
    let _holder = Holder::start(&scene.path(), COMMIT);
    let link = scene.copies.path().join("link.db");
    std::os::unix::fs::symlink(scene.path(), &link).unwrap();
    assert_eq!(take_to(&link, &scene.copy(), &mut 0), (Method::LiveWal, None));
    assert_eq!(verify(&scene.copy()), Ok(1));
}

#[test]
fn a_second_name_of_a_database_in_use_is_saved_raw() {
    let scene = Scene::new(WAL);
    let second = scene.copies.path().join("second.db");
    std::fs::hard_link(scene.path(), &second).unwrap();
    assert_eq!(take_to(&second, &scene.copy(), &mut 0), (Method::Immutable, None));
    let _holder = Holder::start(&scene.path(), COMMIT);
    assert_eq!(take_to(&second, &scene.copy(), &mut 0).0, Method::Raw);
    // Under the name that is in use it is no trouble.
    assert_eq!(take_to(&scene.path(), &scene.copy(), &mut 0), (Method::LiveWal, None));
    assert_eq!(verify(&scene.copy()), Ok(1));
}

#[test]
fn a_database_that_is_removed_or_replaced_on_the_way() {
    let scene = Scene::new(WAL);
    let mut taken = take(&scene.path(), &scene.options(0)).unwrap();
    let other = Scene::new(WAL);
    commit(&other.path(), &format!("{COMMIT} PRAGMA wal_checkpoint(TRUNCATE);"));
    std::fs::rename(other.path(), scene.path()).unwrap();
    write_out(&mut taken, &scene.copy());
    assert_eq!(taken.finish().unwrap_err().kind(), Kind::Busy);
    scene.takes(Method::Immutable, 1);

    // A live one is what it was when it was taken, whatever becomes of its names.
    let holder = Holder::start(&scene.path(), COMMIT);
    let mut taken = take(&scene.path(), &scene.options(0)).unwrap();
    assert_eq!(taken.method(), Method::LiveWal);
    for ending in ["", "-wal", "-shm"] {
        std::fs::remove_file(scene.beside(ending)).unwrap();
    }
    write_out(&mut taken, &scene.copy());
    taken.finish().unwrap();
    assert_eq!(verify(&scene.copy()), Ok(2));
    drop(holder);
    assert!(take(&scene.path(), &scene.options(0)).is_err());
}

#[test]
fn a_lock_that_was_lost_is_noticed_at_the_end() {
    let scene = Scene::new(WAL);
    let _holder = Holder::start(&scene.path(), COMMIT);
    let taken = take(&scene.path(), &scene.options(0)).unwrap();
    assert_eq!(taken.method(), Method::LiveWal);
    // What no other part of the program may do: open and close.
    for ending in ["", "-wal", "-shm"] {
        drop(std::fs::File::open(scene.beside(ending)).unwrap());
    }
    drop(Holder::start(&scene.path(), &format!("{COMMIT} PRAGMA wal_checkpoint(TRUNCATE);")));
    assert_eq!(taken.finish().unwrap_err().kind(), Kind::Busy);
    scene.takes(Method::DatabaseAlone, 2);
}

#[test]
fn one_thread_at_a_time_has_a_database() {
    let scene = Scene::new(WAL);
    let taken = take(&scene.path(), &scene.options(0)).unwrap();
    let error = take(&scene.path(), &scene.options(0)).unwrap_err();
    assert_eq!(error.kind(), Kind::Busy);
    std::thread::scope(|scope| {
        let options = TakeOptions { patience: Duration::from_secs(20), ..scene.options(0) };
        let path = scene.path();
        let waiting = scope.spawn(move || take(&path, &options).unwrap().finish());
        taken.finish().unwrap();
        waiting.join().unwrap().unwrap();
    });
}

const TAKEN_AS: &str = "STASH_TEST_SQLITE_TAKER";

/// Takes a database as a user who may write nothing; does nothing unless it is started for that.
#[test]
fn taker_process() {
    let Ok(orders) = std::env::var(TAKEN_AS) else { return };
    let (path, copy) = orders.split_once('\n').unwrap();
    let (method, _) = take_to(Path::new(path), Path::new(copy), &mut 0);
    std::fs::write(Path::new(copy).with_extension("method"), format!("{method:?}")).unwrap();
}

/// Takes the database as another user from a folder that can't be written to.
fn take_as_stranger(scene: &Scene) -> (String, Result<u64, String>) {
    let folder = tempfile::tempdir().unwrap();
    let mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let program = folder.path().join("taker");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    mode(folder.path(), 0o777);
    mode(scene.folder.path(), 0o555);
    let mut command = std::process::Command::new(&program);
    command.args(["taker_process", "--exact"]);
    let copy = folder.path().join("copy");
    command.env(TAKEN_AS, format!("{}\n{}", scene.path().display(), copy.display()));
    if rustix::process::getuid().is_root() {
        std::os::unix::process::CommandExt::uid(&mut command, 65_534);
    }
    let before = scene.listing();
    let output = loop {
        match command.output() {
            // A process that another test has just begun still has the copy open for writing.
            Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => {}
            output => break output.unwrap(),
        }
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(scene.listing().keys().eq(before.keys()));
    mode(scene.folder.path(), 0o755);
    let method = std::fs::read_to_string(folder.path().join("copy.method")).unwrap();
    (method, verify(&copy))
}

#[test]
fn a_folder_that_cannot_be_written_to_is_no_obstacle() {
    let scene = Scene::new(WAL);
    assert_eq!(take_as_stranger(&scene), ("Immutable".into(), Ok(0)));
    commit(&scene.path(), COMMIT);
    assert_eq!(take_as_stranger(&scene), ("StablePair".into(), Ok(1)));
    let holder = Holder::start(&scene.path(), COMMIT);
    assert_eq!(take_as_stranger(&scene), ("LiveWal".into(), Ok(2)));
    drop(holder);
    let unreadable = rustix::process::getuid().is_root();
    if unreadable {
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(scene.beside("-wal"), private).unwrap();
        assert_eq!(take_as_stranger(&scene).0, "Raw");
    }
    let rollback = Scene::new("PRAGMA journal_mode = DELETE;");
    assert_eq!(take_as_stranger(&rollback), ("Shared".into(), Ok(0)));
    let hot = Scene::empty();
    interrupted(&hot);
    assert_eq!(take_as_stranger(&hot), ("RecoveredPair".into(), Ok(1)));
}

#[test]
fn a_log_cut_or_altered_anywhere_is_read_as_sqlite_would() {
    let scene = Scene::new(&format!("PRAGMA page_size = 1024; {WAL}"));
    let some = "UPDATE accounts SET filler = randomblob(200) WHERE id % 17 = abs(random()) % 17;";
    let statements = format!("{COMMIT} {some}").repeat(12);
    commit(&scene.path(), &format!("PRAGMA wal_autocheckpoint = 0; {statements}"));
    let (database, log) =
        (std::fs::read(scene.path()).unwrap(), std::fs::read(scene.beside("-wal")).unwrap());
    let mut random = fastrand::Rng::with_seed(7);
    for round in 0..60 {
        let mut altered = log.clone();
        if round % 2 == 0 {
            altered.truncate(random.usize(..log.len()));
        } else {
            let place = random.usize(..log.len());
            altered[place] ^= 1 << random.u8(..8);
        }
        std::fs::write(scene.beside("-wal"), &altered).unwrap();
        let _index = std::fs::remove_file(scene.beside("-shm"));
        let mut taken = take(&scene.path(), &scene.options(0)).unwrap();
        write_out(&mut taken, &scene.copy());
        taken.finish().unwrap();

        let model = Scene::empty();
        std::fs::write(model.path(), &database).unwrap();
        std::fs::write(model.beside("-wal"), &altered).unwrap();
        let connection = Connection::open(model.path()).unwrap();
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        drop(connection);
        let (own, theirs) =
            (std::fs::read(scene.copy()).unwrap(), std::fs::read(model.path()).unwrap());
        assert!(own == theirs, "round {round}: {} and {} bytes", own.len(), theirs.len());
    }
}

#[test]
fn an_image_is_what_sqlites_own_backup_gives() {
    let scene = Scene::new(WAL);
    let pragmas = format!("{WAL} PRAGMA synchronous = OFF; PRAGMA wal_autocheckpoint = 100;");
    for round in 0..20 {
        let mut writer = Writer::start(&Orders::new(&scene.path(), &pragmas));
        writer.wait_for(5 + round * 7);
        // Killed, so that the log stays; a holder makes it live again.
        writer.kill();
        let holder = Holder::start(&scene.path(), "SELECT count(*) FROM last;");
        let mut taken = take(&scene.path(), &scene.options(0)).unwrap();
        let method = taken.method();
        write_out(&mut taken, &scene.copy());
        taken.finish().unwrap();
        let other = scene.copies.path().join("backup");
        let source = Connection::open(scene.path()).unwrap();
        source.backup("main", &other, None::<fn(rusqlite::backup::Progress)>).unwrap();
        drop((source, holder));
        let (mut own, mut theirs) =
            (std::fs::read(scene.copy()).unwrap(), std::fs::read(&other).unwrap());
        assert_eq!(own.len(), theirs.len());
        for bytes in [&mut own, &mut theirs] {
            // A backup counts as a change: change counter, schema cookie, valid-for and version.
            for range in [24..28, 40..44, 92..100] {
                bytes[range].fill(0);
            }
        }
        assert!(own == theirs, "round {round}: {method:?}");
        std::fs::remove_file(other).unwrap();
    }
}

#[test]
fn every_commit_shows_in_the_fingerprint() {
    for pragmas in [WAL, "PRAGMA journal_mode = DELETE;", "PRAGMA journal_mode = PERSIST;"] {
        let scene = Scene::new(pragmas);
        let find = || Fingerprint::find(&scene.path()).unwrap().unwrap();
        let connection = Connection::open(scene.path()).unwrap();
        connection.execute_batch(pragmas).unwrap();
        connection.execute_batch(COMMIT).unwrap();
        let mut last = find();
        for round in 0..80 {
            assert!(last.is_same(&find()), "looking does not change it");
            // The times have the resolution of the clock's tick; that is what settling is for.
            std::thread::sleep(Duration::from_millis(12));
            let statement = if round % 20 == 19 { "PRAGMA wal_checkpoint" } else { COMMIT };
            connection.execute_batch(statement).unwrap();
            let now = find();
            assert!(round % 20 == 19 || !last.is_same(&now), "{pragmas} {round}");
            assert_eq!(last.is_same(&now), last.digest() == now.digest());
            last = now;
        }
        drop(connection);
        let began = WallClock.now();
        assert!(!find().is_settled(began));
        assert!(find().is_settled(Timestamp(began.0 + 3_000_000_000)));
    }
}

#[test]
fn an_empty_log_is_as_good_as_none_and_a_time_put_back_is_noticed() {
    let scene = Scene::new(WAL);
    let find = || Fingerprint::find(&scene.path()).unwrap().unwrap();
    let without = find();
    std::fs::write(scene.beside("-wal"), b"").unwrap();
    std::fs::write(scene.beside("-journal"), b"").unwrap();
    assert!(find().is_same(&without));
    assert_eq!(find().digest(), without.digest());
    let modified = std::fs::metadata(scene.path()).unwrap().modified().unwrap();
    std::thread::sleep(Duration::from_millis(12));
    let file = std::fs::File::options().write(true).open(scene.path()).unwrap();
    file.write_all_at(b"x", 5_000).unwrap();
    file.set_modified(modified).unwrap();
    assert!(!find().is_same(&without));
    assert_eq!(Fingerprint::find(&scene.path().join("none")).unwrap(), None);
}

#[test]
fn whoever_holds_a_database_is_found() {
    for pragmas in [WAL, "PRAGMA journal_mode = DELETE;"] {
        let scene = Scene::new(pragmas);
        assert_eq!(find_holder(&scene.path()).unwrap(), None);
        let holder = Holder::start(&scene.path(), "BEGIN; SELECT * FROM last;");
        let found = find_holder(&scene.path()).unwrap().unwrap();
        assert_eq!((found.pid, found.is_locked), (Some(holder.pid()), true));
        drop(holder);
        assert_eq!(find_holder(&scene.path()).unwrap(), None);
        let idle = Holder::start(&scene.path(), "SELECT * FROM last;");
        let found = find_holder(&scene.path()).unwrap();
        if pragmas == WAL {
            assert!(found.unwrap().is_locked);
        } else if cfg!(target_os = "linux") {
            let found = found.unwrap();
            assert_eq!((found.pid, found.is_locked), (Some(idle.pid()), false));
        }
    }
    assert_eq!(find_holder(Path::new("/nowhere/at.all")).unwrap(), None);
}

#[test]
fn a_stale_log_goes_before_the_restored_database_comes() {
    let scene = Scene::new(WAL);
    commit(&scene.path(), COMMIT);
    std::fs::write(scene.beside("-journal"), b"stale").unwrap();
    let removed = remove_companions(&scene.path()).unwrap();
    assert_eq!(removed, ["-wal", "-shm", "-journal"].map(|ending| scene.beside(ending)));
    assert_eq!(verify(&scene.path()), Ok(0));
    assert_eq!(remove_companions(&scene.path()).unwrap(), Vec::<PathBuf>::new());
}
