//! `stash find`.

use super::backup::patterns;
use super::ls::{code, item_line};
use super::open::Run;
use crate::cli::args::FindArguments;
use crate::cli::json;
use crate::engine::browse::Found;
use crate::engine::inspect::find::{Finder, Wanted};
use crate::engine::restore::PathFilter;
use crate::error::{Error, Result};
use crate::format::tree::FileTime;
use crate::machine::{self, Bare};
use crate::repository::cache::SnapshotEntry;
use crate::repository::reader::BlobReader;
use crate::time::{SECOND, Timestamp};

pub(super) fn run(run: &Run, arguments: &FindArguments) -> Result<u8> {
    let moment = |text: &Option<String>, bare| {
        text.as_deref().map(|text| run.moment(text, bare).map(file_time)).transpose()
    };
    let wanted = Wanted {
        names: PathFilter::of_names(&patterns(&arguments.patterns)?, arguments.ignore_case)?,
        oldest: moment(&arguments.oldest, Bare::Start)?,
        newest: moment(&arguments.newest, Bare::End)?,
    };
    let repository = run.current_repository()?;
    let mut entries = run.pick_all(&repository, &arguments.snapshots, &arguments.filter)?;
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.snapshot.time));
    let mut reader = BlobReader::new(&repository)?;
    let mut finder = Finder::new(&wanted);
    let mut output = Output { run, long: arguments.long, hits: 0 };
    output.begin()?;
    for entry in &entries {
        let mut is_first = true;
        let whole = repository.whole(entry)?;
        let found = finder.find(
            &mut reader,
            &whole.snapshot,
            &run.counters,
            &*run.screen,
            &mut |found: &Found| {
                let first = std::mem::take(&mut is_first);
                output.item(entry, found, first)
            },
        )?;
        output.end_snapshot(found)?;
    }
    output.end()?;
    if output.hits == 0 {
        run.screen.note(&format!(
            "found nothing in {} snapshots; `find` compares names, not what files hold: `stash search` looks into sessions",
            entries.len()
        ));
    }
    Ok(code(finder.failed))
}

fn file_time(moment: Timestamp) -> FileTime {
    let nanoseconds = u32::try_from(moment.0.rem_euclid(SECOND)).unwrap_or(0);
    FileTime(moment.0.div_euclid(SECOND), nanoseconds)
}

/// Findings as they come: lines below their snapshot's, or one JSON array written in pieces.
struct Output<'a> {
    run: &'a Run,
    long: bool,
    hits: u64,
}

impl Output<'_> {
    fn begin(&self) -> Result<()> {
        self.json("[")
    }

    fn item(&mut self, entry: &SnapshotEntry, found: &Found, is_first: bool) -> Result<()> {
        if self.run.screen.is_json() {
            let row = serde_json::to_string(&json::node(&found.path, &found.node))
                .map_err(|error| Error::failed("cannot write JSON").source(error))?;
            if !is_first {
                return self.json(&format!(",{row}"));
            }
            let comma = if self.hits == 0 { "" } else { "," };
            self.hits = self.hits.saturating_add(1);
            return self
                .json(&format!("{comma}{{\"snapshot\":\"{}\",\"matches\":[{row}", entry.id));
        }
        self.hits = self.hits.saturating_add(1);
        if is_first {
            let time = machine::show_moment(Timestamp(entry.snapshot.time), &self.run.zone);
            self.run.screen.text(&format!(
                "snapshot {} of `{}`, {time}",
                entry.id.short(),
                entry.snapshot.host
            ))?;
        }
        self.run.screen.text(&format!("  {}", item_line(self.run, found, self.long)))
    }

    fn end_snapshot(&self, found: u64) -> Result<()> {
        if found > 0 { self.json(&format!("],\"hits\":{found}}}")) } else { Ok(()) }
    }

    fn end(&self) -> Result<()> {
        self.json("]\n")
    }

    fn json(&self, text: &str) -> Result<()> {
        if self.run.screen.is_json() { self.run.screen.bytes(text.as_bytes()) } else { Ok(()) }
    }
}
