//! A large database while another process writes to it: how fast it is read, and how long the writer
//! is made to wait.

use std::fmt::Write as _;
use std::io::{BufRead as _, Read, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use stash::files::sqlite::{LAST_ATTEMPT, TakeOptions, take};
use stash::time::{Clock, Timestamp};

use crate::Bench;
use crate::data::Writer;
use crate::measure::{middle, run};
use crate::opencode::{create, open};

/// Names the database, for the process that writes to it.
const WRITER: &str = "STASH_BENCH_WRITER";
/// One transaction in this time.
const PACE: Duration = Duration::from_millis(1);
/// How often it is read, and saved.
const READS: usize = 9;
const BACKUPS: usize = 10;

/// A process that writes a thousand transactions a second.
struct Agent {
    child: Child,
    orders: ChildStdin,
    answers: std::io::BufReader<ChildStdout>,
}

impl Agent {
    fn start(path: &Path) -> Agent {
        let mut child = Command::new(std::env::current_exe().expect("this program has a path"))
            .arg("--bench")
            .env(WRITER, path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the writer starts");
        let orders = child.stdin.take().expect("a pipe");
        let answers = std::io::BufReader::new(child.stdout.take().expect("a pipe"));
        let mut agent = Agent { child, orders, answers };
        std::thread::sleep(Duration::from_secs(3));
        agent.ask();
        agent
    }

    /// Returns how many transactions it has made since it was last asked, and the longest in µs.
    fn ask(&mut self) -> (u64, u64) {
        self.orders.write_all(b"\n").expect("the writer lives");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("the writer lives");
        let (count, longest) = line.trim().split_once(' ').expect("two numbers");
        (count.parse().expect("a number"), longest.parse().expect("a number"))
    }

    /// Does something; returns transactions a second and the longest in ms meanwhile.
    fn during<T>(&mut self, act: impl FnOnce() -> T) -> (T, f64, f64) {
        self.ask();
        let began = Instant::now();
        let result = act();
        let seconds = began.elapsed().as_secs_f64();
        let (count, longest) = self.ask();
        (result, count as f64 / seconds, longest as f64 / 1e3)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

/// The writer's process: returns false unless it is one.
pub fn write_if_asked() -> bool {
    let Some(path) = std::env::var_os(WRITER) else { return false };
    let sums: Arc<[AtomicU64; 2]> = Arc::default();
    let shared = Arc::clone(&sums);
    std::thread::spawn(move || {
        let mut out = std::io::stdout();
        for _ in std::io::stdin().lines() {
            let [count, longest] =
                [0, 1].map(|place: usize| shared[place].swap(0, Ordering::SeqCst));
            let _gone = writeln!(out, "{count} {longest}");
        }
        // Whoever asked is gone.
        std::process::exit(0);
    });
    let mut connection = open(Path::new(&path)).expect("the database opens");
    let rows: u64 = connection
        .query_row("SELECT max(rowid) FROM part", [], |row| row.get(0))
        .expect("the database can be read");
    let mut random = fastrand::Rng::with_seed(3);
    let mut next = Instant::now();
    for number in 0_u64.. {
        let began = Instant::now();
        let transaction = connection
            .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
            .expect("the writer is never refused");
        transaction
            .prepare_cached("UPDATE part SET time_updated = ?2 WHERE rowid = ?1")
            .and_then(|mut it| it.execute((random.u64(1..=rows), number)))
            .and_then(|_| transaction.commit())
            .expect("the writer is never refused");
        let took = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        sums[0].fetch_add(1, Ordering::SeqCst);
        sums[1].fetch_max(took, Ordering::SeqCst);
        next = (next + PACE).max(Instant::now());
        std::thread::sleep(next - Instant::now());
    }
    true
}

struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        let since = std::time::UNIX_EPOCH.elapsed().expect("later than 1970");
        Timestamp(i64::try_from(since.as_nanos()).expect("before 2262"))
    }
    fn boot_nanoseconds(&self) -> i64 {
        self.now().0
    }
}

/// Reads to the end; returns GB a second.
fn drain(mut source: impl Read, buffer: &mut [u8], began: Instant) -> f64 {
    let mut sum = 0;
    loop {
        match source.read(buffer).expect("it can be read") {
            0 => return sum as f64 / 1e9 / began.elapsed().as_secs_f64(),
            count => sum += count,
        }
    }
}

fn read_as_of_one_moment(path: &Path, folder: &Path, buffer: &mut [u8]) -> f64 {
    for attempt in 0..LAST_ATTEMPT {
        let began = Instant::now();
        let options = TakeOptions {
            temporary_folder: folder,
            clock: &WallClock,
            patience: Duration::from_secs(5),
            attempt,
        };
        let mut taken = take(path, &options).expect("it can be taken");
        let speed = drain(&mut taken, buffer, began);
        assert!(taken.doubt().is_none(), "{:?}", taken.doubt());
        if taken.finish().is_ok() {
            return speed;
        }
    }
    panic!("it was written to each time it was read");
}

/// Returns the section's text.
pub fn live(bench: &Bench, writer: &mut Writer) -> String {
    let source = bench.folder.join("live");
    std::fs::create_dir_all(&source).expect("a folder can be made");
    let path = source.join("opencode.db");
    eprintln!("generating a live database");
    create(writer, &path, ((1_u64 << 30) as f64 * bench.scale) as u64).expect("it can be written");
    let mut agent = Agent::start(&path);
    let mut buffer = vec![0; 4 << 20];
    let ((), alone_rate, alone_stall) = agent.during(|| std::thread::sleep(Duration::from_secs(5)));
    let (mut plain, mut own) = (Vec::new(), Vec::new());
    let mut reading_stall = 0.0_f64;
    for _ in 0..READS {
        let began = Instant::now();
        let file = std::fs::File::open(&path).expect("it can be opened");
        plain.push(drain(file, &mut buffer, began));
        let (speed, _, stall) =
            agent.during(|| read_as_of_one_moment(&path, &bench.folder, &mut buffer));
        own.push(speed);
        reading_stall = reading_stall.max(stall);
    }
    let stash = &bench.tools.stash;
    run(&bench.folder, &format!("rm -rf s-repo s-home && mkdir s-home && {stash} init"));
    let save = || run(&bench.folder, &format!("exec {stash} backup live")).wall;
    let (first, first_rate, first_stall) = agent.during(save);
    let mut later = Vec::new();
    let (mut rate, mut later_stall) = (Vec::new(), 0.0_f64);
    for _ in 0..BACKUPS {
        let (wall, transactions, stall) = agent.during(save);
        later.push(wall);
        rate.push(transactions);
        later_stall = later_stall.max(stall);
    }
    drop(agent);
    for folder in ["live", "s-repo", "s-home"] {
        let _gone = std::fs::remove_dir_all(bench.folder.join(folder));
    }
    let (plain, own) = (middle(plain), middle(own));
    let mut text = String::from(
        "| a writer at its work | seconds | transactions/s | longest transaction ms |\n\
         |---|---:|---:|---:|\n",
    );
    let mut line = |what: &str, seconds: f64, rate: f64, stall: f64| {
        let _ = writeln!(text, "| {what} | {seconds:.2} | {rate:.0} | {stall:.1} |");
    };
    line("alone", 5.0, alone_rate, alone_stall);
    line("first backup", first, first_rate, first_stall);
    line(&format!("{BACKUPS} backups more, in a row"), middle(later), middle(rate), later_stall);
    let _ = write!(
        text,
        "\nRead as of one moment at {own:.2} GB/s, plainly (as `cat` does) at {plain:.2} GB/s: {:.2} \
         (medians of {READS}, in turn, 4 MiB at a time); the writer's longest transaction meanwhile: \
         {reading_stall:.1} ms. No backup was in doubt, and the writer was never refused.\n",
        own / plain,
    );
    text
}
