//! `stash stats`.

use super::ls::code;
use super::open::Run;
use crate::cli::args::StatsArguments;
use crate::cli::figures::{counted, size};
use crate::cli::json::{StatsLine, ratio};
use crate::engine::inspect::stats::{StatsReport, of_repository, of_selection};
use crate::error::Result;

pub(super) fn run(run: &Run, arguments: &StatsArguments) -> Result<u8> {
    let repository = run.current_repository()?;
    let mut entries = run.pick_all(&repository, &arguments.snapshots, &arguments.filter)?;
    run.keep_agents(&mut entries, &arguments.agents)?;
    let filter = &arguments.filter;
    let is_whole = arguments.snapshots.is_empty()
        && arguments.agents.is_empty()
        && filter.hosts.is_empty()
        && filter.tags.is_empty()
        && filter.paths.is_empty();
    let report = if is_whole {
        of_repository(&repository, &entries)?
    } else {
        of_selection(&repository, &entries, &run.counters, &*run.screen)?
    };
    if run.screen.is_json() {
        run.screen.message("stats", &StatsLine::from(&report))?;
    } else {
        run.screen.text(&text(&report, is_whole))?;
    }
    Ok(code(report.failed))
}

/// Says each figure with what it is compared with, so that no ratio can be misread.
fn text(report: &StatsReport, is_whole: bool) -> String {
    let what = if is_whole { "taken by the whole repository" } else { "stored for these" };
    let end = if report.stored_bytes <= report.distinct_bytes {
        format!(
            "compression saves {}, keeping 1 of {:.1} bytes",
            size(report.distinct_bytes.saturating_sub(report.stored_bytes)),
            ratio(report.distinct_bytes, report.stored_bytes),
        )
    } else {
        "so little is saved that keys and records take more than compression saves".to_owned()
    };
    let saved = |from: u64, to: u64| size(from.saturating_sub(to));
    format!(
        "{}, {}\n\
         {:>12}  if each snapshot were kept whole\n\
         {:>12}  distinct data: deduplication saves {}, keeping 1 of {:.1} bytes\n\
         {:>12}  {what}, encrypted: {end}\n\
         in all, 1 byte is stored for each {:.1} that the snapshots hold",
        counted(report.snapshots, "snapshot"),
        counted(report.files, "file"),
        size(report.whole_bytes),
        size(report.distinct_bytes),
        saved(report.whole_bytes, report.distinct_bytes),
        ratio(report.whole_bytes, report.distinct_bytes),
        size(report.stored_bytes),
        ratio(report.whole_bytes, report.stored_bytes),
    )
}
