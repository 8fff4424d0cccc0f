//! `benches/RESULTS.md`: sections, each with the circumstances under which it was measured.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::data::Writer;
use crate::{Bench, changes, live, remote, whole};

/// A section's name in `STASH_BENCH_SECTIONS`, its title, and what measures it.
type Section = (&'static str, &'static str, fn(&Bench, &mut Writer) -> String);

/// In the page's order.
pub const SECTIONS: [Section; 5] = [
    ("whole", "Whole runs", whole::whole),
    ("databases", "Databases between two backups", changes::databases),
    ("transcripts", "Transcripts that grow", changes::transcripts),
    ("live", "A database of 1 GiB under a writer", live::live),
    ("remote", "On an S3 server", remote::remote),
];

const HEAD: &str = "# Measured\n\n`cargo bench --bench whole` writes this page. All tools run in turn \
    in one run; shared machines are noisy, so read the ratios.\n";

/// The page's sections by title.
pub struct Page(BTreeMap<String, String>);

impl Page {
    fn path() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/RESULTS.md")
    }

    /// Reads what stands there.
    pub fn load() -> Page {
        let text = std::fs::read_to_string(Page::path()).unwrap_or_default();
        let sections = text.split("\n## ").skip(1).filter_map(|section| section.split_once('\n'));
        Page(sections.map(|(title, text)| (title.into(), text.trim().into())).collect())
    }

    pub fn set(&mut self, title: &str, circumstances: &str, text: &str) {
        self.0.insert(title.into(), format!("{circumstances}\n\n{}", text.trim()));
    }

    pub fn save(&self) {
        let mut page = HEAD.to_owned();
        let own = SECTIONS.iter().map(|(_, title, _)| *title);
        // What other benchmarks wrote stays.
        let others = self.0.keys().map(String::as_str);
        let others = others.filter(|title| SECTIONS.iter().all(|(_, own, _)| own != title));
        for title in own.chain(others) {
            if let Some(text) = self.0.get(title) {
                page += &format!("\n## {title}\n\n{text}\n");
            }
        }
        std::fs::write(Page::path(), page).expect("the results can be written");
    }
}

/// Returns a paragraph: where, how often, on what, and what the columns say.
pub fn circumstances(bench: &Bench, name: &str) -> String {
    let place = if bench.folder.starts_with("/dev/shm") { "in memory" } else { "on disk" };
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("?").to_owned();
    let columns = match name {
        "whole" => "The first line of each row is its floor.",
        "databases" | "transcripts" => {
            "Read: all that the process read, by any call but `mmap`, its libraries and caches \
             included. Stored: by how much the repository's files have grown in the last round. \
             Objects: the files written there, which are the PUTs of an object store."
        }
        "remote" => "The best of the rounds.",
        _ => "The writer updates a row of a random page in each transaction, in WAL mode.",
    };
    let rounds = match bench.rounds {
        rounds if name == "remote" => format!("{rounds} rounds"),
        1 => "One round".to_owned(),
        rounds => format!("Medians of {rounds} rounds"),
    };
    format!(
        "{rounds}, data and repositories in one folder ({place}), {processors} processors, load \
         {load} at the beginning. {columns}"
    )
}
