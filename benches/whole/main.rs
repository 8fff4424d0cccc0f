//! Whole runs of the real binary against the floors and against other tools, in one run.
//!
//! `cargo bench --bench whole` writes the tables into `benches/RESULTS.md`. Each row's commands are run
//! in turn, so that a machine that drifts drifts for all; the median of the rounds counts.
//!
//! `STASH_BENCH_SECTIONS` says which to run (`whole,databases,transcripts,live,remote`; all by default; the
//! others stay on the page as they are), `STASH_BENCH_FOLDER` where to work (by default a temporary
//! folder, in memory where `/dev/shm` is: 12 GB for the databases), `STASH_BENCH_ROUNDS` how often
//! (3), and `STASH_BENCH_SCALE` scales the data (1 = databases of 1 GiB, 200 MB and 2 GB, and
//! 23,000 files of 600 MB).
#![allow(
    missing_docs,
    clippy::pedantic,
    clippy::disallowed_methods,
    clippy::exit,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    unreachable_pub,
    reason = "a benchmark owns its machine"
)]

#[path = "../../tests/common_s3/mod.rs"]
mod common_s3;

mod changes;
mod data;
mod live;
mod measure;
mod opencode;
mod page;
mod race;
mod remote;
mod whole;

use std::path::{Path, PathBuf};

use measure::is_installed;
use race::Tools;

/// What all sections share.
pub struct Bench {
    pub folder: PathBuf,
    pub rounds: usize,
    pub scale: f64,
    pub tools: Tools,
    environment: String,
}

impl Bench {
    /// Returns a command with what the tools need to know.
    pub fn with_environment(&self, command: &str) -> String {
        format!("{}{command}", self.environment)
    }

    /// Returns the folder of transcripts, which is made if it is not there, and how many they are.
    pub fn tree(&self, writer: &mut data::Writer) -> (PathBuf, usize) {
        let (folder, files) = (self.folder.join("tree"), (23_000.0 * self.scale) as usize);
        let files = files.max(10);
        if !folder.exists() {
            eprintln!("generating transcripts");
            let made = writer.tree(&folder, files, (600e6 * self.scale) as u64);
            made.expect("the tree can be written");
        }
        (folder, files)
    }
}

fn main() {
    // `cargo test --benches` only asks whether this builds.
    if !std::env::args().any(|argument| argument == "--bench") || live::write_if_asked() {
        return;
    }
    let variable = |name: &str| std::env::var(name).ok();
    let number = |name: &str, default: f64| {
        variable(name).and_then(|text| text.parse::<f64>().ok()).unwrap_or(default)
    };
    let memory = Path::new("/dev/shm");
    let parent = variable("STASH_BENCH_FOLDER").map_or_else(
        || if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() },
        PathBuf::from,
    );
    let guard = tempfile::tempdir_in(parent).expect("a folder to work in");
    let folder = guard.path().to_owned();
    let binary = env!("CARGO_BIN_EXE_stash");
    let tools = Tools {
        stash: format!(
            "env HOME={0}/s-home STASH_REPOSITORY={0}/s-repo {binary} -q",
            folder.display()
        ),
        restic: is_installed("restic"),
        borg: is_installed("borg"),
        rustic: is_installed("rustic"),
    };
    let environment = format!(
        "export RESTIC_REPOSITORY={0}/r-repo RESTIC_PASSWORD=x XDG_CACHE_HOME={0}/cache \
         BORG_REPO={0}/b-repo BORG_PASSPHRASE=x BORG_BASE_DIR={0}/borg \
         RUSTIC_REPOSITORY={0}/u-repo RUSTIC_PASSWORD=x; ",
        folder.display()
    );
    let bench = Bench {
        rounds: number("STASH_BENCH_ROUNDS", 3.0).max(1.0) as usize,
        scale: number("STASH_BENCH_SCALE", 1.0),
        tools,
        environment,
        folder,
    };
    let wanted = variable("STASH_BENCH_SECTIONS");
    let mut page = page::Page::load();
    for (name, title, section) in page::SECTIONS {
        if wanted.as_deref().is_none_or(|wanted| wanted.split(',').any(|it| it == name)) {
            eprintln!("{title}");
            let mut writer = data::Writer::new(7);
            page.set(title, &page::circumstances(&bench, name), &section(&bench, &mut writer));
            page.save();
        }
    }
    eprintln!("written: benches/RESULTS.md");
}
