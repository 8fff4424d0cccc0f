//! What `stash backup` says when it is done.

use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Map;

use super::backup::Began;
use super::open::Run;
use super::repository::Opened;
use crate::cli::args::BackupArguments;
use crate::cli::figures::{count, counted, duration, size};
use crate::cli::json::{AgentPlanLine, BackupContributor, BackupSummary};
use crate::cli::name;
use crate::cli::table::{Align, Table};
use crate::engine::backup::{BackupOptions, BackupReport};
use crate::error::Result;
use crate::machine::{self, AgentHoldings, FoundAgent, Location};
use crate::time::Clock as _;

/// What a dry run counted of one agent.
pub(super) struct AgentPlan<'a> {
    pub(super) found: &'a FoundAgent,
    pub(super) kept: AgentHoldings,
}

pub(super) fn show(
    run: &Run,
    arguments: &BackupArguments,
    repository: &Opened,
    options: &BackupOptions,
    report: &BackupReport,
    began: &Began,
    plan: &[AgentPlan<'_>],
) -> Result<()> {
    let took = run.clock.boot_nanoseconds().saturating_sub(began.boot);
    let took = Duration::from_nanos(u64::try_from(took).unwrap_or(0));
    let is_beside =
        |folder: &Path| sources(options).any(|path| machine::is_same_file_system(path, folder));
    let mut also = arguments.also.iter().filter_map(|text| run.location(text).ok());
    let is_elsewhere =
        |other: Location| other.folder().is_none_or(|folder| folder.exists() && !is_beside(folder));
    let same_disk = repository.folder().is_some_and(is_beside) && !also.any(is_elsewhere);
    let left_out = own_left_out(repository, report);
    if run.screen.is_json() {
        let mut summary = summary(run, options, report, began, took, same_disk);
        summary.agents = plan
            .iter()
            .map(|agent| AgentPlanLine::new(&agent.found.agent.id, &agent.kept))
            .collect();
        return run.screen.message("summary", &summary);
    }
    if let Some(path) = left_out {
        run.screen.note(&format!("left out the repository itself, `{}`", path.display()));
    }
    if options.dry_run {
        if !plan.is_empty() {
            run.screen.text(agents_text(plan).trim_end())?;
        }
        for line in dry_run_lines(report) {
            run.screen.summary(&line)?;
        }
        return Ok(());
    }
    run.screen.summary(&line(report, took))?;
    if same_disk {
        run.screen.summary("same disk: a second target is missing")?;
    }
    Ok(())
}

/// Says for each agent what would be saved, what would not and why, and what should be thought of.
fn agents_text(plan: &[AgentPlan<'_>]) -> String {
    let mut table = Table::new([
        ("agent", Align::Left),
        ("category", Align::Left),
        ("files", Align::Right),
        ("size", Align::Right),
        ("", Align::Left),
    ]);
    for agent in plan {
        let mut id = agent.found.agent.id.clone();
        for (category, (files, bytes)) in &agent.kept.categories {
            let is_unread = agent.kept.unread.contains(category);
            let remark = if is_unread { "not read now: stays as last saved" } else { "" };
            let category = category.name().to_owned();
            let id = std::mem::take(&mut id);
            table.row([id, category, count(*files), size(*bytes), remark.to_owned()]);
        }
        for (reason, (items, bytes)) in &agent.kept.left_out {
            let bytes = if *bytes == 0 { String::new() } else { size(*bytes) };
            let remark = format!("each {reason}");
            let id = std::mem::take(&mut id);
            table.row([id, "(left out)".to_owned(), count(*items), bytes, remark]);
        }
    }
    let mut text = table.to_string();
    for agent in plan {
        for file in &agent.kept.mixed_secrets {
            let file = name::shown(file.as_os_str().as_bytes());
            // Writing to a String can't fail.
            let _ = writeln!(text, "holds credentials beside other things: {file}");
        }
    }
    text
}

/// Returns the places that are read.
fn sources(options: &BackupOptions) -> impl Iterator<Item = &Path> {
    let agents = options.agents.roots.iter().map(|root| root.place.as_path());
    agents.chain(options.paths.iter().map(PathBuf::as_path))
}

fn own_left_out<'a>(repository: &Opened, report: &'a BackupReport) -> Option<&'a PathBuf> {
    let folder = repository.folder()?;
    let is_it = |path: &&PathBuf| {
        path.as_path() == folder || path.canonicalize().ok() == folder.canonicalize().ok()
    };
    report.own_left_out.iter().find(is_it)
}

fn line(report: &BackupReport, took: Duration) -> String {
    let statistics = &report.statistics;
    let text = match (report.snapshot, report.parent) {
        (None, Some(parent)) => format!(
            "nothing changed: {}, {} in {}; nothing was written, the newest snapshot stays {}",
            counted(statistics.files, "file"),
            size(statistics.bytes),
            duration(took),
            parent.short(),
        ),
        (id, _) => format!(
            "saved {}, {} in {}: {} new, {} changed, {} unchanged; added {}, stored as {}; \
             snapshot {}",
            counted(statistics.files, "file"),
            size(statistics.bytes),
            duration(took),
            count(statistics.files_new),
            count(statistics.files_changed),
            count(report.files_unchanged),
            size(statistics.added_bytes),
            size(statistics.stored_bytes),
            id.map(|id| id.short()).unwrap_or_default(),
        ),
    };
    match statistics.errors {
        0 => text,
        errors => format!("{text} (without {} that failed)", counted(errors, "item")),
    }
}

fn dry_run_lines(report: &BackupReport) -> Vec<String> {
    let statistics = &report.statistics;
    let mut lines = vec![format!(
        "would read {} of {}: {} new, {} changed, {} unchanged; {} left out",
        size(report.bytes_to_read),
        size(statistics.bytes),
        count(statistics.files_new),
        count(statistics.files_changed),
        count(report.files_unchanged),
        counted(report.excluded_items, "item"),
    )];
    if !report.contributors.is_empty() {
        lines.push("most of it lies in".to_owned());
    }
    lines.extend(report.contributors.iter().map(|it| {
        let files = if it.files == 1 {
            String::new()
        } else {
            format!("  ({})", counted(it.files, "file"))
        };
        format!("{:>12}  {}{files}", size(it.bytes), name::shown(&it.path))
    }));
    lines
}

fn summary(
    run: &Run,
    options: &BackupOptions,
    report: &BackupReport,
    began: &Began,
    took: Duration,
    same_disk: bool,
) -> BackupSummary {
    let statistics = &report.statistics;
    let largest = report.contributors.iter().map(|it| {
        let mut item = Map::new();
        name::insert(&mut item, "item", &it.path);
        BackupContributor { bytes: it.bytes, files: it.files, item }
    });
    BackupSummary {
        dry_run: options.dry_run,
        job: options.job.clone(),
        files_new: statistics.files_new,
        files_changed: statistics.files_changed,
        files_unmodified: report.files_unchanged,
        dirs_new: report.directories_new,
        blobs_added: report.blobs_added,
        data_added: if options.dry_run { report.bytes_to_read } else { statistics.added_bytes },
        data_added_packed: statistics.stored_bytes,
        total_files_processed: statistics.files,
        total_dirs_processed: statistics.directories,
        total_bytes_processed: statistics.bytes,
        total_duration: took.as_secs_f64(),
        backup_start: began.time.to_rfc3339(),
        backup_end: run.clock.now().to_rfc3339(),
        excluded_items: report.excluded_items,
        error_count: statistics.errors,
        snapshot_id: report.snapshot,
        parent: report.parent,
        same_disk,
        largest: largest.collect::<Vec<_>>(),
        agents: Vec::new(),
    }
}
