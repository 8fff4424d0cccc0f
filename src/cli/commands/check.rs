//! `stash check`.

use std::fmt::Write as _;
use std::time::Duration;

use super::open::Run;
use super::repository::Make;
use crate::cli::args::{CheckArguments, ReadSubset};
use crate::cli::figures::{counted, duration, size};
use crate::cli::json::{CheckSummary, FindingLine, NoteLine, RepairableLine};
use crate::cli::name;
use crate::codec::crypto::random_bytes;
use crate::engine::check::{CheckOptions, CheckReport, Finding, ReadData, check};
use crate::engine::repair::{RepairDataOptions, repair_data};
use crate::error::{Error, Kind, Result};
use crate::id::SnapshotId;
use crate::machine;
use crate::repository::Repository;
use crate::time::Clock as _;

pub(super) fn run(run: &Run, arguments: &CheckArguments) -> Result<u8> {
    run.stop_on_signals()?;
    let repository = run.repository(Make::Never)?;
    let seed = random_bytes()
        .map_err(|error| Error::failed("cannot choose what to read").source(error))?;
    let options = CheckOptions {
        read_data: read_data(arguments),
        seed: u64::from_le_bytes(seed),
        threads: machine::worker_count(),
        now: Some(run.clock.now()),
    };
    let began = run.clock.boot_nanoseconds();
    let progress = run.screen.progress(&run.counters);
    let report = check(&repository, &options, &run.counters);
    drop(progress);
    let report = report?;
    let took = run.clock.boot_nanoseconds().saturating_sub(began);
    show(run, &report, Duration::from_nanos(u64::try_from(took).unwrap_or(0)))?;
    if report.is_clean() {
        return Ok(0);
    }
    if let Some(with) = &arguments.with {
        look_elsewhere(run, &repository, arguments, with, options)?;
    }
    Ok(Kind::Damaged.exit_code())
}

/// Says how much of what is damaged another repository could give back.
fn look_elsewhere(
    run: &Run,
    repository: &Repository,
    arguments: &CheckArguments,
    with: &std::ffi::OsStr,
    checked: CheckOptions,
) -> Result<()> {
    let location = run.location(with)?;
    let other = run.other_repository(&location, &arguments.other)?;
    run.catch_up(&other)?;
    let CheckOptions { read_data, threads, .. } = checked;
    let options = RepairDataOptions { read_data, threads, dry_run: true };
    let report = repair_data(repository, &other, &options, run.clock.now(), &run.counters)?;
    if run.screen.is_json() {
        let line = RepairableLine::new(location.to_string(), &report);
        return run.screen.message("repairable", &line);
    }
    run.screen.summary(&format!(
        "`{location}` has {} of what is lost here, {} can still be read, {} in neither; `stash \
         repair data --with {location}` stores it anew",
        counted(report.fetched_blobs, "blob"),
        counted(report.saved_blobs, "blob"),
        counted(report.lost_blobs, "blob"),
    ))
}

fn read_data(arguments: &CheckArguments) -> ReadData {
    match arguments.read_data_subset {
        _ if arguments.read_data => ReadData::All,
        None => ReadData::None,
        Some(ReadSubset::Percent(percent)) => ReadData::Percent(percent),
        Some(ReadSubset::Part { part, of }) => ReadData::Part { part, of },
        Some(ReadSubset::Bytes(bytes)) => ReadData::Bytes(bytes),
    }
}

fn show(run: &Run, report: &CheckReport, took: Duration) -> Result<()> {
    for note in &report.notes {
        run.screen.note(&format!("`{}`: {}", note.object, note.text));
    }
    if run.screen.is_json() {
        for finding in &report.findings {
            run.screen.message("finding", &FindingLine::from(finding))?;
        }
        for note in &report.notes {
            run.screen.message("note", &NoteLine::from(note))?;
        }
        let summary =
            CheckSummary { total_duration: took.as_secs_f64(), ..CheckSummary::of(report) };
        return run.screen.message("summary", &summary);
    }
    for finding in &report.findings {
        run.screen.text(&lines(finding))?;
    }
    let line = format!("{}: {}", figures(report, took), verdict(report));
    if report.is_clean() { run.screen.summary(&line) } else { run.screen.text(&line) }
}

/// Returns a finding in a few lines: what is wrong, what it costs and what not, what to do.
fn lines(finding: &Finding) -> String {
    let mut text = format!("`{}`: {}", finding.object, finding.what);
    if !finding.snapshots.is_empty() {
        let snapshots: Vec<String> =
            finding.snapshots.iter().take(4).map(SnapshotId::short).collect();
        let files: Vec<String> =
            finding.files.iter().take(3).map(|path| format!("`{}`", name::shown(path))).collect();
        // Writing to a String can't fail.
        let _ = write!(
            text,
            "\n  {} ({}{}) can't be restored whole: {} ({}{})",
            counted(finding.snapshots.len() as u64, "snapshot"),
            snapshots.join(", "),
            more(finding.snapshots.len() as u64, snapshots.len()),
            counted(finding.file_count, "path"),
            files.join(", "),
            more(finding.file_count, files.len())
        );
    }
    let _ = write!(text, "\n  {}\n  {}", finding.intact, finding.next_step);
    text
}

fn more(count: u64, shown: usize) -> &'static str {
    if count > shown as u64 { ", …" } else { "" }
}

fn figures(report: &CheckReport, took: Duration) -> String {
    let read = if report.objects_read > 0 {
        format!("; read {} in {}", size(report.bytes_read), counted(report.objects_read, "object"))
    } else {
        String::new()
    };
    format!(
        "checked {}, {}, {}, {}{read}, in {}",
        counted(report.snapshots, "snapshot"),
        counted(report.records, "record"),
        counted(report.packs, "pack"),
        counted(report.metadata_blobs, "tree"),
        duration(took)
    )
}

fn verdict(report: &CheckReport) -> String {
    match report.findings.len() as u64 {
        0 => "no damage".to_owned(),
        count => counted(count, "finding"),
    }
}
