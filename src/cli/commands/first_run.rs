//! `stash` alone: how backups stand, or, where nothing is saved yet, what there would be to save and
//! the first commands to type.

use std::fmt::Write as _;
use std::path::Path;

use super::open::Run;
use super::status;
use crate::cli::args::StatusArguments;
use crate::cli::figures::counted;
use crate::error::{Kind, Result};
use crate::files::ExcludeOptions;
use crate::machine::doctor::forecast;
use crate::machine::{AgentWish, Chosen, MachineAgents, survey};
use crate::time::Clock as _;

pub(super) fn run(run: &Run) -> Result<u8> {
    let place = match run.chosen() {
        // restic's variables: worth saying, and no failure where nothing was asked for.
        Err(error) if error.kind() == Kind::NoRepository => {
            format!("{}: {}.", error, error.hint_text().unwrap_or_default())
        }
        Err(error) => return Err(error),
        Ok(Chosen::Named { .. }) => return status::run(run, &StatusArguments::default()),
        Ok(Chosen::Default(location)) => {
            if run.config()?.exists || location.folder().is_some_and(Path::exists) {
                return status::run(run, &StatusArguments::default());
            }
            format!("No repository is named, so it will be the local one, `{location}`.")
        }
    };
    run.screen.text(&format!(
        "stash keeps encrypted snapshots of your coding agents and folders, and gives back any of them.

{}  stash setup                            choose what to save and where to, save it, and prove it
  stash backup                           or at once: all coding agents, on this computer
  stash backup ~/work                    save a folder
  stash restore latest --target /tmp/x   get the newest state back
  stash help                             everything else

{place}",
        found(run)?
    ))?;
    Ok(0)
}

/// Says which agents are here, and which of their sessions will be deleted soon.
fn found(run: &Run) -> Result<String> {
    let agents = MachineAgents::find(&run.places, &run.environment)?;
    let sources = agents.sources(&AgentWish::default(), &ExcludeOptions::default())?;
    let mut text = String::new();
    // Writing to a String can't fail.
    for found in agents.found.iter().filter(|found| found.is_enabled) {
        let seen = survey(found, &sources, |_| {});
        let sessions = match (seen.sessions, seen.session_stores) {
            (0, 0) => "no session yet".to_owned(),
            (0, stores) => format!("sessions in {}", counted(stores, "file")),
            (sessions, _) => counted(sessions, "session"),
        };
        let _ = write!(text, "{}: {sessions}", found.agent.name);
        let will_go: u64 =
            forecast(found, &sources, |_| None, run.clock.now()).iter().map(|it| it.will_go).sum();
        if will_go > 0 {
            let _ = write!(text, ", {will_go} of which it deletes within 3 days");
        }
        text.push('\n');
    }
    Ok(if text.is_empty() { text } else { format!("Found here, and not saved yet:\n{text}\n") })
}
