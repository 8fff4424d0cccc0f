//! `stash repair index`, `stash repair data` and `stash repair snapshots`.

use super::open::Run;
use super::repository::Make;
use crate::cli::args::{
    RepairCommand, RepairDataArguments, RepairIndexArguments, RepairSnapshotsArguments,
};
use crate::cli::figures::counted;
use crate::cli::json::{
    RepairDataSummary, RepairIndexSummary, RepairSnapshotsSummary, RepairedLine,
};
use crate::cli::name;
use crate::engine::check::ReadData;
use crate::engine::mark::refuse_rollback;
use crate::engine::repair::{
    RepairDataOptions, RepairDataReport, RepairIndexReport, RepairSnapshotsOptions, Repaired,
    RepairedSnapshot, put_header_back, repair_data, repair_index, repair_snapshots,
};
use crate::error::{Kind, Result};
use crate::machine;
use crate::time::Clock as _;

pub(super) fn run(run: &Run, command: &RepairCommand) -> Result<u8> {
    run.stop_on_signals()?;
    match command {
        RepairCommand::Index(arguments) => index(run, arguments),
        RepairCommand::Data(arguments) => data(run, arguments),
        RepairCommand::Snapshots(arguments) => snapshots(run, arguments),
    }
}

fn data(run: &Run, arguments: &RepairDataArguments) -> Result<u8> {
    let location = run.location(&arguments.with)?;
    let other = run.other_repository(&location, &arguments.other)?;
    run.catch_up(&other)?;
    let repository = run.current_repository()?;
    let dry_run = arguments.dry_run;
    let _lock = (!dry_run).then(|| run.lock(repository.id())).transpose()?;
    let options =
        RepairDataOptions { read_data: ReadData::All, threads: machine::worker_count(), dry_run };
    let progress = run.screen.progress(&run.counters);
    let report = repair_data(&repository, &other, &options, run.clock.now(), &run.counters);
    drop(progress);
    let report = report?;
    if run.screen.is_json() {
        run.screen.message("summary", &RepairDataSummary::new(&report, dry_run))?;
    } else {
        run.screen.summary(&data_line(&report, dry_run))?;
    }
    Ok(if report.lost_blobs > 0 { Kind::Damaged.exit_code() } else { 0 })
}

fn data_line(report: &RepairDataReport, dry_run: bool) -> String {
    if report.objects == 0 {
        return "nothing to repair: no object is damaged".to_owned();
    }
    let stored = if dry_run { "would be stored anew" } else { "stored anew" };
    let mut line = format!(
        "{} damaged: {} {stored} from what can still be read, {} from the other repository",
        counted(report.objects, "object"),
        counted(report.saved_blobs, "blob"),
        counted(report.fetched_blobs, "blob"),
    );
    if report.lost_blobs > 0 {
        let lost = counted(report.lost_blobs, "blob");
        line += "; ";
        line += &lost;
        line += " in neither: `stash repair snapshots` saves the rest";
    }
    line
}

fn index(run: &Run, arguments: &RepairIndexArguments) -> Result<u8> {
    let repository = match run.repository(Make::Never) {
        Err(error) if error.kind() == Kind::Damaged => {
            run.screen.warning(&error.to_string());
            run.repository_without_header()?
        }
        result => result?,
    };
    let dry_run = arguments.dry_run;
    let _lock = (!dry_run).then(|| run.lock(repository.id())).transpose()?;
    let header_restored = put_header_back(&repository, dry_run)?;
    let progress = run.screen.progress(&run.counters);
    let report = repair_index(&repository, dry_run, run.clock.now(), &run.counters);
    drop(progress);
    show_index(run, &report?, header_restored, dry_run)?;
    Ok(0)
}

fn show_index(
    run: &Run,
    report: &RepairIndexReport,
    header_restored: bool,
    dry_run: bool,
) -> Result<()> {
    let unreadable: Vec<String> = report.unreadable.iter().map(ToString::to_string).collect();
    if run.screen.is_json() {
        let damaged = report.damaged_records.iter().map(|record| record.name.to_string());
        return run.screen.message(
            "summary",
            &RepairIndexSummary {
                dry_run,
                header_restored,
                packs_added: report.packs_added,
                blobs_added: report.blobs_added,
                unreadable_packs: unreadable,
                damaged_records: damaged.collect(),
                noted_records: report.noted_records,
            },
        );
    }
    for record in &report.damaged_records {
        run.screen.warning(&format!("{}; what only it says is lost", record.error));
    }
    for pack in &unreadable {
        run.screen.warning(&format!("`{pack}` can't be read, and no record names it"));
    }
    let would = if dry_run { "would be " } else { "" };
    let header =
        if header_restored { format!("the header {would}put back; ") } else { String::new() };
    let noted = match report.noted_records {
        0 => String::new(),
        count => format!("; {} {would}taken note of", counted(count, "damaged or missing record")),
    };
    run.screen.summary(&match report.packs_added {
        0 => format!("{header}the index holds every pack that can be read{noted}"),
        packs => format!(
            "{header}{} with {} {would}put into the index{noted}",
            counted(packs, "pack"),
            counted(report.blobs_added, "blob")
        ),
    })
}

fn snapshots(run: &Run, arguments: &RepairSnapshotsArguments) -> Result<u8> {
    let repository = run.current_repository()?;
    let dry_run = arguments.dry_run;
    let _lock = (!dry_run).then(|| run.lock(repository.id())).transpose()?;
    if arguments.forget && !dry_run {
        refuse_rollback(&repository).map_err(|error| {
            error.hint("without `--forget` nothing is forgotten, and it goes on")
        })?;
    }
    let entries = run.pick_all(&repository, &arguments.snapshots, &arguments.filter)?;
    let options = RepairSnapshotsOptions {
        only: Some(entries.iter().map(|entry| entry.id).collect()),
        read_data: ReadData::All,
        forget: arguments.forget,
        dry_run,
        threads: machine::worker_count(),
    };
    let progress = run.screen.progress(&run.counters);
    let repaired = repair_snapshots(&repository, &options, &run.clock, &run.counters, &*run.screen);
    drop(progress);
    let repaired = repaired?;
    for snapshot in &repaired.snapshots {
        if run.screen.is_json() {
            run.screen.message("repaired", &RepairedLine::of(snapshot, dry_run))?;
        } else {
            run.screen.text(&lines(snapshot, dry_run))?;
        }
    }
    if run.screen.is_json() {
        run.screen.message("summary", &RepairSnapshotsSummary::of(&repaired, dry_run))?;
    }
    run.screen.summary(&verdict(&repaired))?;
    Ok(0)
}

/// Returns what became of a snapshot, and every path that is lost.
fn lines(snapshot: &RepairedSnapshot, dry_run: bool) -> String {
    let holes = counted(snapshot.holes.len() as u64, "path");
    let old = snapshot.old.short();
    let mut text = match snapshot.new {
        Some(new) => format!("snapshot {old} lacks {holes}; what is intact is now {}", new.short()),
        None if dry_run => format!("snapshot {old} lacks {holes}"),
        None => format!("snapshot {old} lacks {holes}; nothing of it is left"),
    };
    if snapshot.forgotten {
        text.push_str("; the old one is forgotten");
    }
    for hole in &snapshot.holes {
        text.push_str("\n  ");
        text.push_str(&name::shown(&hole.path));
        if hole.is_directory {
            text.push_str(" (a folder, all or in part)");
        }
    }
    text
}

fn verdict(repaired: &Repaired) -> String {
    let whole = counted(repaired.whole, "snapshot");
    match repaired.snapshots.len() as u64 {
        0 => format!("nothing to repair: {whole} whole"),
        damaged => format!("{} damaged, {whole} whole", counted(damaged, "snapshot")),
    }
}
