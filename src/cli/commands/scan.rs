//! `stash scan`: which files hold what looks like a live credential.

use std::os::unix::ffi::OsStrExt as _;

use super::open::Run;
use crate::cli::args::ScanArguments;
use crate::cli::figures::{counted, size};
use crate::cli::json::{ScanSummary, SecretLine};
use crate::cli::name;
use crate::error::Result;
use crate::files::ExcludeOptions;
use crate::machine::{AgentWish, FoundSecret, MachineAgents, SecretScan, SecretScanner};

pub(super) fn run(run: &Run, arguments: &ScanArguments) -> Result<u8> {
    run.stop_on_signals()?;
    let progress = run.screen.progress_of("scanning", &run.counters);
    let mut show = |found: &FoundSecret| show(run, found);
    let mut scanner =
        SecretScanner { found: &mut show, counters: &run.counters, sums: SecretScan::default() };
    if arguments.paths.is_empty() {
        let agents = MachineAgents::find(&run.places, &run.environment)?;
        let chosen = agents.chosen(&arguments.agents)?;
        let wish = AgentWish::default();
        let sources = agents.sources_of(&chosen, &wish, &ExcludeOptions::default())?;
        for found in chosen {
            scanner.agent(found, &sources)?;
        }
    }
    for path in &arguments.paths {
        scanner.path(path)?;
    }
    let sums = scanner.sums;
    drop(progress);
    for (path, error) in &sums.failed {
        run.screen.warning(&format!("{}: {error}", name::shown(path.as_os_str().as_bytes())));
    }
    end(run, &sums)?;
    Ok(match (arguments.fail && sums.findings > 0, sums.failed.is_empty()) {
        (true, _) => 1,
        (false, true) => 0,
        (false, false) => 3,
    })
}

/// Shows where something was found, never what.
pub(super) fn show(run: &Run, found: &FoundSecret) -> Result<()> {
    let finding = found.finding;
    let path = found.path.as_os_str().as_bytes();
    if run.screen.is_json() {
        let mut file = serde_json::Map::new();
        name::insert(&mut file, "file", path);
        let has_lines = !found.is_database;
        return run.screen.line(
            "secret",
            &SecretLine {
                line: has_lines.then_some(finding.line),
                column: has_lines.then_some(finding.column),
                offset: finding.offset,
                kind: finding.kind.id,
                agent: found.agent.as_ref().map(|(agent, _)| agent.clone()),
                category: found.agent.as_ref().map(|(_, category)| category.name()),
                file,
            },
        );
    }
    run.screen.text(&line(found))
}

/// Returns where something was found, in a line.
pub(super) fn line(found: &FoundSecret) -> String {
    let path = name::shown(found.path.as_os_str().as_bytes());
    let place = if found.is_database {
        format!("byte {}", found.finding.offset)
    } else {
        found.finding.line.to_string()
    };
    format!("{path}:{place}: {}", found.finding.kind.name)
}

fn end(run: &Run, sums: &SecretScan) -> Result<()> {
    if run.screen.is_json() {
        return run.screen.message(
            "scan_summary",
            &ScanSummary {
                files: sums.files,
                bytes: sums.bytes,
                findings: sums.findings,
                files_with_findings: sums.files_with_findings,
                secret_files: sums.secret_files,
                error_count: sums.failed.len() as u64,
            },
        );
    }
    run.screen.flush()?;
    let looked = format!("{}, {}", counted(sums.files, "file"), size(sums.bytes));
    if sums.findings == 0 {
        run.screen.note(&format!("nothing that looks like a live credential in {looked}"));
    } else {
        run.screen.note(&format!(
            "{} in {}, of {looked}; the values are not shown",
            counted(sums.findings, "finding"),
            counted(sums.files_with_findings, "file"),
        ));
    }
    if sums.secret_files > 0 {
        run.screen.note(&format!(
            "not looked into: {} that agents keep for nothing but credentials",
            counted(sums.secret_files, "file")
        ));
    }
    Ok(())
}
