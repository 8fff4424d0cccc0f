//! Writers of databases as processes of their own, and what must hold for every copy.
//!
//! A writer is the test binary, started again with the name of the test [`WRITER`] and its orders in
//! the environment: locks are a process's, so a thread would prove nothing. It commits numbered
//! transfers between accounts: the sum of balances never changes, the log has a row for each
//! of the last 2,000 commits, and a row tells the number of the last. What it has committed it also writes to a file
//! beside, so that a copy's number can be held against what was committed before and after.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "each test takes what it needs, and stops where things are not as they should be"
)]

use std::fs::File;
use std::io::{BufRead as _, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};
use stash::error::Kind;
use stash::files::sqlite::{LAST_ATTEMPT, Method, TakeOptions, Taken, take};
use stash::time::{Clock, Timestamp};

/// The name of the test that every test binary with writers has.
pub const WRITER: &str = "writer_process";
const ORDERS: &str = "STASH_TEST_SQLITE_WRITER";
/// What each account begins with.
const BALANCE: i64 = 1_000;

/// The wall clock.
pub struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        let since = std::time::UNIX_EPOCH.elapsed().unwrap();
        Timestamp(i64::try_from(since.as_nanos()).unwrap())
    }
    fn boot_nanoseconds(&self) -> i64 {
        self.now().0
    }
}

/// What a writer is to do.
#[derive(Debug, Clone)]
pub struct Orders {
    pub path: PathBuf,
    /// Statements at each opening: journal mode, synchronous, auto-checkpoint.
    pub pragmas: String,
    /// A statement that is run now and then.
    pub now_and_then: String,
    /// So many transactions between two of these.
    pub every: u64,
    /// Open the database anew each so many transactions; 0: never.
    pub reopen: u64,
    /// Wait between transactions.
    pub pause: Duration,
    /// Do not transfer at all; only run the statement.
    pub only_statement: bool,
    /// Tells the writers of one database apart.
    pub number: u32,
    /// A log of more bytes is carried over and cut, whatever it takes: passive checkpoints never
    /// catch up with several writers, and the log would fill the disk.
    pub longest_log: u64,
}

impl Orders {
    pub fn new(path: &Path, pragmas: &str) -> Orders {
        Orders {
            path: path.to_path_buf(),
            pragmas: pragmas.into(),
            now_and_then: String::new(),
            every: 0,
            reopen: 0,
            pause: Duration::ZERO,
            only_statement: false,
            number: 0,
            longest_log: 64 << 20,
        }
    }

    fn encode(&self) -> String {
        let path = self.path.to_str().unwrap();
        let (pragmas, statement) = (&self.pragmas, &self.now_and_then);
        let (every, reopen, pause) = (self.every, self.reopen, self.pause.as_micros());
        let (only, number) = (self.only_statement, self.number);
        let log = self.longest_log;
        format!(
            "{path}\n{pragmas}\n{statement}\n{every}\n{reopen}\n{pause}\n{only}\n{number}\n{log}"
        )
    }

    fn decode(text: &str) -> Orders {
        let lines: Vec<&str> = text.split('\n').collect();
        Orders {
            path: lines[0].into(),
            pragmas: lines[1].into(),
            now_and_then: lines[2].into(),
            every: lines[3].parse().unwrap(),
            reopen: lines[4].parse().unwrap(),
            pause: Duration::from_micros(lines[5].parse().unwrap()),
            only_statement: lines[6] == "true",
            number: lines[7].parse().unwrap(),
            longest_log: lines[8].parse().unwrap(),
        }
    }
}

/// A running writer; killed when dropped.
pub struct Writer {
    child: Child,
    notes: PathBuf,
}

/// Where a writer says how far it is: last commit, longest transaction in µs, failures.
fn notes_of(orders: &Orders) -> PathBuf {
    orders.path.with_extension(format!("notes{}", orders.number))
}

impl Writer {
    pub fn start(orders: &Orders) -> Writer {
        Writer::start_as(orders, None)
    }

    /// As another user, if a number is given.
    pub fn start_as(orders: &Orders, user: Option<u32>) -> Writer {
        let notes = notes_of(orders);
        if !notes.exists() {
            File::create(&notes).unwrap();
            if let Some(user) = user {
                std::os::unix::fs::chown(&notes, Some(user), None).unwrap();
            }
        }
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([WRITER, "--exact", "--nocapture"]).env(ORDERS, orders.encode());
        command.stdout(Stdio::null()).stdin(Stdio::piped());
        if let Some(user) = user {
            std::os::unix::process::CommandExt::uid(&mut command, user);
        }
        Writer { child: command.spawn().unwrap(), notes }
    }

    fn note(&self, offset: u64) -> u64 {
        let mut bytes = [0; 8];
        match File::open(&self.notes).and_then(|file| file.read_exact_at(&mut bytes, offset)) {
            Ok(()) => u64::from_le_bytes(bytes),
            Err(_) => 0,
        }
    }

    /// The last commit that it is known to have made.
    pub fn committed(&self) -> u64 {
        self.note(0)
    }

    pub fn longest_stall(&self) -> Duration {
        Duration::from_micros(self.note(8))
    }

    pub fn forget_stalls(&self) {
        let file = File::options().write(true).open(&self.notes).unwrap();
        file.write_all_at(&[1], 24).unwrap();
    }

    pub fn failures(&self) -> u64 {
        self.note(16)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has made so many commits more.
    pub fn wait_for(&mut self, more: u64) {
        let goal = self.committed() + more;
        let began = Instant::now();
        while self.committed() < goal {
            assert!(self.child.try_wait().unwrap().is_none(), "the writer ended by itself");
            assert!(began.elapsed() < Duration::from_mins(1), "the writer makes no progress");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Lets it end its transaction and close the database.
    pub fn stop(&mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

const HELD: &str = "STASH_TEST_SQLITE_HOLDER";

/// A process that has run some statements and now keeps its connection as it is.
pub struct Holder(Child);

impl Holder {
    pub fn start(path: &Path, statements: &str) -> Holder {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["holder_process", "--exact", "--nocapture"]);
        command.env(HELD, format!("{}\n{statements}", path.to_str().unwrap()));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.map_while(Result::ok).any(|line| line.contains("holding")));
        Holder(child)
    }

    pub fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// The body of the test `holder_process`: does nothing unless it is started as one.
pub fn holder_process() {
    let Ok(orders) = std::env::var(HELD) else { return };
    let (path, statements) = orders.split_once('\n').unwrap();
    let connection = Connection::open(path).unwrap();
    connection.execute_batch(statements).unwrap();
    println!("holding");
    let _end = std::io::stdin().read_to_end(&mut Vec::new());
    drop(connection);
}

/// Makes a database of so many accounts, with `filler` bytes each.
pub fn create(path: &Path, pragmas: &str, accounts: u32, filler: u32) {
    let connection = Connection::open(path).unwrap();
    connection.execute_batch(pragmas).unwrap();
    connection
        .execute_batch(&format!(
            "PRAGMA synchronous = OFF;
             CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INTEGER, filler BLOB);
             CREATE TABLE last (number INTEGER);
             CREATE TABLE log (number INTEGER PRIMARY KEY, source INT, target INT, note TEXT);
             CREATE INDEX by_source ON log (source, note);
             BEGIN;
             INSERT INTO last VALUES (0);
             WITH RECURSIVE it(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM it WHERE i < {accounts})
             INSERT INTO accounts SELECT i, {BALANCE}, randomblob({filler}) FROM it;
             COMMIT;"
        ))
        .unwrap();
}

/// The body of the test [`WRITER`]: does nothing unless it is started as a writer.
pub fn writer_process() {
    let Ok(orders) = std::env::var(ORDERS) else { return };
    let orders = Orders::decode(&orders);
    // The end of standard input is the order to stop.
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let seen = stop.clone();
    std::thread::spawn(move || {
        let _end = std::io::stdin().read_to_end(&mut Vec::new());
        seen.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    let notes = File::options().read(true).write(true).open(notes_of(&orders)).unwrap();
    let mut worst = 0_u64;
    let mut connection = open_as_writer(&orders);
    let mut number: i64 = 0;
    let mut random = fastrand::Rng::new();
    let mut count = 0_u64;
    let mut failures = 0_u64;
    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
        count += 1;
        if orders.only_statement {
            // Whether a checkpoint is refused is of no interest.
            let _row = connection.query_row(&orders.now_and_then, [], |_| Ok(()));
            std::thread::sleep(orders.pause);
            continue;
        }
        if orders.every > 0 && count.is_multiple_of(orders.every) {
            let _row = connection.query_row(&orders.now_and_then, [], |_| Ok(()));
        }
        if orders.reopen > 0 && count.is_multiple_of(orders.reopen) {
            drop(connection);
            connection = open_as_writer(&orders);
        }
        if count.is_multiple_of(64) && log_bytes(&orders.path) > orders.longest_log {
            let _row = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        }
        let began = Instant::now();
        match transfer(&mut connection, &mut random) {
            Ok(committed) => number = committed,
            Err(error) => {
                failures += 1;
                assert!(
                    matches!(
                        error.sqlite_error_code(),
                        Some(
                            rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked
                        )
                    ),
                    "{error}"
                );
            }
        }
        let took = u64::try_from(began.elapsed().as_micros()).unwrap();
        let mut reset = [0];
        if notes.read_at(&mut reset, 24).unwrap() == 1 && reset == [1] {
            notes.write_all_at(&[0], 24).unwrap();
            worst = 0;
        }
        worst = worst.max(took);
        let number = u64::try_from(number).unwrap();
        notes.write_all_at(&number.to_le_bytes(), 0).unwrap();
        notes.write_all_at(&worst.to_le_bytes(), 8).unwrap();
        notes.write_all_at(&failures.to_le_bytes(), 16).unwrap();
        if !orders.pause.is_zero() {
            std::thread::sleep(orders.pause);
        }
    }
    drop(connection);
}

fn log_bytes(path: &Path) -> u64 {
    std::fs::metadata(format!("{}-wal", path.display())).map_or(0, |metadata| metadata.len())
}

fn open_as_writer(orders: &Orders) -> Connection {
    let connection = Connection::open(&orders.path).unwrap();
    connection.busy_timeout(Duration::from_secs(20)).unwrap();
    connection.execute_batch(&orders.pragmas).unwrap();
    connection
}

/// One transaction, now and then a large one; returns its number.
fn transfer(connection: &mut Connection, random: &mut fastrand::Rng) -> rusqlite::Result<i64> {
    let transaction =
        connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let accounts: i64 =
        transaction.query_row("SELECT max(id) FROM accounts", [], |row| row.get(0))?;
    let times = if random.u8(..) < 4 { 60 } else { 1 };
    let (mut source, mut target) = (0, 0);
    for _ in 0..times {
        (source, target) = (random.i64(1..=accounts), random.i64(1..=accounts));
        let amount = random.i64(1..100);
        for (id, change) in [(source, -amount), (target, amount)] {
            transaction
                .prepare_cached("UPDATE accounts SET balance = balance + ?2 WHERE id = ?1")?
                .execute((id, change))?;
        }
    }
    transaction.prepare_cached("UPDATE last SET number = number + 1")?.execute([])?;
    let number: i64 = transaction.query_row("SELECT number FROM last", [], |row| row.get(0))?;
    let note = "x".repeat(random.usize(..200));
    transaction
        .prepare_cached("INSERT INTO log VALUES (?1, ?2, ?3, ?4)")?
        .execute((number, source, target, note))?;
    // The log keeps its last rows, so that checking a copy does not take longer and longer.
    transaction.prepare_cached("DELETE FROM log WHERE number <= ?1 - 2000")?.execute([number])?;
    transaction.commit()?;
    Ok(number)
}

/// Checks a copy; returns the number of its last commit.
pub fn verify(path: &Path) -> Result<u64, String> {
    let uri = format!("file:{}?immutable=1", path.display());
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(uri, flags).map_err(|it| it.to_string())?;
    let text = |sql: &str| {
        connection
            .query_row(sql, [], |row| row.get::<_, String>(0))
            .map_err(|error| format!("{sql}: {error}"))
    };
    let number = |sql: &str| {
        connection
            .query_row(sql, [], |row| row.get::<_, i64>(0))
            .map_err(|error| format!("{sql}: {error}"))
    };
    let sound = text("PRAGMA integrity_check")?;
    if sound != "ok" {
        return Err(sound);
    }
    let sum = number("SELECT sum(balance) FROM accounts")?;
    let expected = number("SELECT count(*) FROM accounts")? * BALANCE;
    if sum != expected {
        return Err(format!("the balances sum up to {sum}, not {expected}"));
    }
    let last = number("SELECT number FROM last")?;
    let (rows, highest) =
        (number("SELECT count(*) FROM log")?, number("SELECT coalesce(max(number), 0) FROM log")?);
    if (rows, highest) != (last.min(2_000), last) {
        return Err(format!("{rows} rows up to {highest} in the log after commit {last}"));
    }
    Ok(u64::try_from(last).unwrap())
}

pub fn options(folder: &Path, attempt: u32) -> TakeOptions<'_> {
    TakeOptions {
        temporary_folder: folder,
        clock: &WallClock,
        patience: Duration::from_secs(5),
        attempt,
    }
}

/// Writes the image to a file by the stream; returns how long it was.
pub fn write_out(taken: &mut Taken, path: &Path) -> u64 {
    let mut file = File::create(path).unwrap();
    let length = std::io::copy(taken, &mut file).unwrap();
    assert_eq!(length, taken.image().length_bytes());
    length
}

/// Takes a database as the engine would: again, while it was in vain.
pub fn take_to(path: &Path, copy: &Path, tries: &mut u64) -> (Method, Option<String>) {
    take_patiently(path, copy, tries, Duration::from_secs(5))
}

/// The same, waiting for locks no longer than that.
pub fn take_patiently(
    path: &Path,
    copy: &Path,
    tries: &mut u64,
    patience: Duration,
) -> (Method, Option<String>) {
    let folder = copy.parent().unwrap();
    for attempt in 0..=LAST_ATTEMPT {
        *tries += 1;
        let options = TakeOptions { patience, ..options(folder, attempt) };
        let mut taken = take(path, &options).unwrap();
        write_out(&mut taken, copy);
        let (method, doubt) = (taken.method(), taken.doubt().map(str::to_owned));
        match taken.finish() {
            Ok(()) => return (method, doubt),
            Err(error) => assert_eq!(error.kind(), Kind::Busy, "{error}"),
        }
    }
    panic!("the last attempt was in vain");
}
