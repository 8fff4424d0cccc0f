//! `stash sessions history`: how a session grew.

use super::pick::{find, pick};
use crate::cli::args::SessionsHistoryArguments;
use crate::cli::commands::open::Run;
use crate::cli::figures::{count, size};
use crate::cli::json::SessionVersionLine;
use crate::cli::table::{Align, Table};
use crate::error::{Error, Kind, Result};
use crate::machine;
use crate::machine::sessions::{SessionsWish, session_versions};
use crate::time::Timestamp;

pub(super) fn run(run: &Run, arguments: &SessionsHistoryArguments) -> Result<u8> {
    let wish = SessionsWish {
        agents: arguments.agent.iter().cloned().collect(),
        hosts: arguments.host.iter().cloned().collect(),
        at: None,
    };
    let sessions = find(run, &wish)?;
    let row = pick(&sessions.rows, &arguments.id)?;
    let Some(repository) = &sessions.repository else {
        return Err(Error::new(Kind::NoRepository, "nothing is saved yet")
            .hint("`stash backup` begins a history"));
    };
    let versions = session_versions(repository, row)?;
    if run.screen.is_json() {
        let lines: Vec<SessionVersionLine> = versions
            .iter()
            .map(|version| SessionVersionLine {
                snapshot_id: version.snapshot.to_string(),
                time: Timestamp(version.time).to_rfc3339(),
                turns: version.entry.turns,
                bytes: version.entry.bytes,
                deleted: version.entry.gone.is_some(),
            })
            .collect();
        return run.screen.array(&lines).map(|()| 0);
    }
    let mut table = Table::new([
        ("snapshot", Align::Left),
        ("time", Align::Left),
        ("turns", Align::Right),
        ("size", Align::Right),
        ("", Align::Left),
    ]);
    for version in &versions {
        table.row([
            version.snapshot.short(),
            machine::show_moment(Timestamp(version.time), &run.zone),
            count(version.entry.turns),
            size(version.entry.bytes),
            if version.entry.gone.is_some() { "deleted" } else { "" }.to_owned(),
        ]);
    }
    if versions.is_empty() {
        run.screen.note("this session is not saved yet");
        return Ok(0);
    }
    run.screen.text(table.to_string().trim_end())?;
    run.screen.note(&format!(
        "`stash show {} --at TIME` shows it as it was",
        super::list::first(&row.id, 12)
    ));
    Ok(0)
}
