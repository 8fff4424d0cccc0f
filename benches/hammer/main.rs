//! Several machines and pruners over one bucket, all of them killed and stopped at random moments:
//! every snapshot that was acknowledged must restore byte for byte, and space must be freed.
//!
//! `cargo bench --bench hammer` runs for `STASH_HAMMER_SECONDS` (300), with `STASH_HAMMER_WRITERS` (2)
//! homes that change files, back up, forget, unforget and restore, and `STASH_HAMMER_PRUNERS` (1)
//! that prune, each with real processes of the release build, in a repository with a window of 5
//! seconds and a grace of 100. One run in four is killed, one in twenty is stopped for longer than
//! the window; with `STASH_HAMMER_LONG=1` now and then for longer than the grace, which may end in
//! records that come late. `STASH_HAMMER_SEED` repeats the decisions, though not the moments.
//!
//! `STASH_HAMMER_STASH` names another build of the program.
//!
//! The bucket is that of the server that `STASH_TEST_S3` names (`ENDPOINT KEY SECRET REGION`, as
//! `tests/servers/ceph.sh env` prints it), else of one within this process.
//!
//! A snapshot is acknowledged if its run ended by itself, with 0 or 3, and printed the id. The exit
//! code is 1 if one of them is lost, if a check finds damage, or if space does not converge.
#![allow(
    missing_docs,
    clippy::pedantic,
    clippy::disallowed_methods,
    clippy::exit,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    unreachable_pub,
    reason = "a benchmark owns its machine"
)]

#[path = "../../tests/common_s3/mod.rs"]
mod common_s3;

mod judge;
mod ledger;
mod machine;
mod pruner;
mod tree;
mod writer;

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common_s3::{Behaviour, KEY, Server};
use judge::Judge;
use ledger::{Ledger, Tally};
use machine::{Machine, Reach};

/// What all threads share.
pub struct Scene {
    pub folder: PathBuf,
    pub reach: Reach,
    pub ledger: Mutex<Ledger>,
    pub tally: Mutex<Tally>,
    pub is_over: AtomicBool,
    pub long_stops: bool,
}

impl Scene {
    pub fn machine(&self, name: &str) -> Machine {
        Machine::new(&self.folder, name, &self.reach)
    }

    pub fn goes_on(&self) -> bool {
        !self.is_over.load(Ordering::SeqCst)
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn main() {
    // `cargo test --benches` only asks whether this builds.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let seconds = number("STASH_HAMMER_SECONDS", 300);
    let (writers, pruners) = (number("STASH_HAMMER_WRITERS", 2), number("STASH_HAMMER_PRUNERS", 1));
    let seed = number("STASH_HAMMER_SEED", std::process::id().into());
    let guard = match std::env::var_os("STASH_HAMMER_FOLDER") {
        Some(parent) => tempfile::tempdir_in(parent),
        None => tempfile::tempdir(),
    };
    let guard = guard.expect("a folder to work in");
    let outside = std::env::var("STASH_TEST_S3").ok();
    let own =
        outside.is_none().then(|| Server::start(Behaviour { page: 1000, ..Behaviour::default() }));
    let reach = match (&outside, &own) {
        (Some(text), _) => Reach::outside(text, seed),
        (_, Some(server)) => Reach::new(&server.endpoint(), KEY, "x", "us-east-1", seed),
        _ => unreachable!("one of both is there"),
    };
    println!(
        "hammer: {writers} writers, {pruners} pruners, {seconds} s, seed {seed}, {}",
        if own.is_some() { "a server within this process" } else { "a server outside" }
    );
    let scene = Scene {
        folder: guard.path().to_owned(),
        reach,
        ledger: Mutex::default(),
        tally: Mutex::default(),
        is_over: AtomicBool::new(false),
        long_stops: number("STASH_HAMMER_LONG", 0) == 1,
    };
    make(&scene);
    let mut judge = Judge::new(&scene, seed);
    std::thread::scope(|scope| {
        let scene = &scene;
        for number in 0..writers {
            scope.spawn(move || writer::run(scene, number, seed));
        }
        for number in 0..pruners {
            scope.spawn(move || pruner::run(scene, number, seed));
        }
        let end = Instant::now() + Duration::from_secs(seconds);
        let mut next = Instant::now() + Duration::from_secs(45);
        while Instant::now() < end {
            std::thread::sleep(Duration::from_millis(200));
            // They are not looked at here, and would fill memory.
            let _requests = own.as_ref().map(Server::take);
            if Instant::now() > next {
                judge.look(8, "meanwhile");
                next = Instant::now() + Duration::from_secs(45);
            }
        }
        scene.is_over.store(true, Ordering::SeqCst);
    });
    judge.look(usize::MAX, "at the end of the hammering");
    let is_converged = judge.converge(own.as_ref());
    scene.tally.lock().unwrap().print(&scene.ledger.lock().unwrap());
    judge.print();
    if judge.has_failed() || !is_converged {
        println!("FAILED; what was left lies in {}", guard.keep().display());
        std::process::exit(1);
    }
    println!("nothing lost");
}

/// Makes the bucket and the repository, which everyone opens by a passphrase the first time.
fn make(scene: &Scene) {
    let maker = scene.machine("maker");
    let words = ["init", "--create-bucket", "--window", "5s", "--grace", "100s"];
    let made = maker.run(&words, None);
    assert_eq!(made.code, Some(0), "{}", made.err);
}
