//! A repository of 10,000 snapshots by 10 machines, an hour apart, on an S3 server: what opening,
//! listing, a tiny backup and restoring one file cost in seconds, requests and memory.
//!
//! `cargo bench --bench many` makes it by the library, within memory and with a clock of its own: a
//! prune each day writes the checkpoints and deletes what they replace, as maintenance does. Nothing
//! is forgotten. What lies there then is put into the tests' own S3 server (50 ms slower than it
//! is, in the second table), and real processes of the release build work on it.
//!
//! `STASH_MANY_HOURS` (1000) says how many snapshots each machine has. What is made is kept in
//! `STASH_MANY_FOLDER`, if that is set, and taken from there the next time; `STASH_MANY_STASH` names
//! another build of the program to measure. The tables are printed, and written into
//! `benches/RESULTS.md`.
#![allow(
    missing_docs,
    clippy::pedantic,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    dead_code,
    unreachable_pub,
    reason = "a benchmark owns its machine"
)]

#[path = "../../tests/common_engine/mod.rs"]
mod common_engine;
#[path = "../../tests/common_s3/mod.rs"]
mod common_s3;
#[path = "../whole/measure.rs"]
mod measure;

mod kept;
mod made;

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use common_s3::{Behaviour, KEY, Request, Server, round_trips};
use made::{Made, make};
use measure::{Measured, run};

const TITLE: &str = "10,000 snapshots of 10 machines";

fn main() {
    // `cargo test --benches` only asks whether this builds.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let hours = std::env::var("STASH_MANY_HOURS").ok().and_then(|text| text.parse().ok());
    let folder = std::env::var_os("STASH_MANY_FOLDER").map(std::path::PathBuf::from);
    let made = folder.as_deref().and_then(kept::load).unwrap_or_else(|| {
        let made = make(hours.unwrap_or(1000));
        folder.iter().for_each(|folder| kept::save(&made, folder));
        made
    });
    let mut text = made.told.clone();
    for latency in [Duration::ZERO, Duration::from_millis(50)] {
        let table = measured(&made, latency);
        write!(text, "\n\nLatency added to each answer: {} ms.\n\n{table}", latency.as_millis())
            .unwrap();
    }
    println!("{text}");
    write_section(&text);
}

/// A machine that works on what was made.
struct Scene<'m> {
    server: &'m Server,
    made: &'m Made,
    folder: tempfile::TempDir,
    rows: String,
}

fn measured(made: &Made, latency: Duration) -> String {
    let server = Server::start(Behaviour { page: 1000, latency, ..Behaviour::default() });
    made.place(&server, &made.before);
    let mut scene = Scene {
        server: &server,
        made,
        folder: tempfile::tempdir().unwrap(),
        rows: String::from(
            "| what | seconds | round trips | LIST | GET | HEAD | PUT | DELETE | read MB | peak MiB |\n\
             |---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
        ),
    };
    scene.new_home("one");
    scene.run("open anew, list", "one", "snapshots");
    scene.run("list again", "one", "snapshots");
    let [first, second] = &made.restored;
    scene.run("restore one small file", "one", &format!("restore {first} --target out"));
    scene.run("the same again", "one", &format!("restore {first} --target out2"));
    scene.run("one of another machine", "one", &format!("restore {second} --target out3"));
    made.place(&server, &made.last_hour);
    scene.run("list, 10 new ones", "one", "snapshots");
    scene.new_home("two");
    scene.write("two", "a");
    scene.run("first backup of a new machine", "two", "backup work");
    scene.write("two", "b");
    scene.run("tiny backup", "two", "backup work");
    scene.run("nothing changed", "two", "backup work");
    scene.write("one", "c");
    scene.run("first backup, cache is warm", "one", "backup work");
    scene.rows
}

impl Scene<'_> {
    fn home(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn new_home(&self, name: &str) {
        let keys = self.home(name).join(".local/share/stash/keys");
        std::fs::create_dir_all(&keys).unwrap();
        stash::machine::write_device_key(&keys, self.made.id, &[9; 32]).unwrap();
    }

    fn write(&self, name: &str, text: &str) {
        let folder = self.home(name).join("work");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("notes"), text).unwrap();
    }

    fn run(&mut self, what: &str, name: &str, words: &str) {
        let home = self.home(name);
        let _before = self.server.take();
        let command = format!(
            "exec env -i HOME={} PATH=/usr/bin:/bin TZ=UTC STASH_HOST={name} AWS_ACCESS_KEY_ID={KEY} \
             AWS_SECRET_ACCESS_KEY=x STASH_REPOSITORY=minio:{}/bucket/many {} -q {words}",
            home.display(),
            self.server.endpoint(),
            std::env::var("STASH_MANY_STASH")
                .unwrap_or_else(|_| env!("CARGO_BIN_EXE_stash").into()),
        );
        let measured = run(&home, &command);
        let requests = self.server.take();
        self.rows += &row(what, &measured, &requests);
        eprint!("{}", row(what, &measured, &requests));
        if std::env::var_os("STASH_MANY_SHOW").is_some() {
            for request in &requests {
                eprintln!(
                    "  {} {} {} {:?}",
                    request.method, request.path, request.query, request.range
                );
            }
        }
    }
}

fn row(what: &str, measured: &Measured, requests: &[Request]) -> String {
    let count =
        |method: &str| requests.iter().filter(|it| it.method == method && !it.is_list()).count();
    format!(
        "| {what} | {:.2} | {} | {} | {} | {} | {} | {} | {:.1} | {:.0} |\n",
        measured.wall,
        round_trips(requests),
        requests.iter().filter(|request| request.is_list()).count(),
        count("GET"),
        count("HEAD"),
        count("PUT"),
        count("DELETE"),
        measured.read_bytes / 1e6,
        measured.memory,
    )
}

/// Puts the text into the page of all results, and leaves the rest of it as it is.
fn write_section(text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/RESULTS.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let head = format!("\n## {TITLE}\n");
    let page = match page.split_once(&head) {
        Some((before, after)) => {
            let rest =
                after.split_once("\n## ").map_or(String::new(), |it| format!("\n## {}", it.1));
            format!("{before}{head}\n{}\n{rest}", text.trim())
        }
        None => format!("{page}{head}\n{}\n", text.trim()),
    };
    std::fs::write(path, page).unwrap();
}
