//! The index of `stash search`, kept up after backups.

use std::time::Duration;

use crate::cli::commands::backup::temporary_folder;
use crate::cli::commands::open::Run;
use crate::cli::commands::repository::Opened;
use crate::error::Result;
use crate::files::ExcludeOptions;
use crate::machine::sessions::index::after_backup;
use crate::machine::sessions::{
    SessionReader, SessionsWish, list_sessions, local_files, saved_sessions,
};
use crate::machine::{AgentWish, MachineAgents};
use crate::time::Clock as _;

/// A backup takes no longer than this for it; the next search does the rest.
const LIMIT: Duration = Duration::from_secs(5);

/// Brings the index up to date, if there is one. What comes of it changes nothing of the backup.
pub(in crate::cli::commands) fn keep_index(run: &Run, repository: &Opened, agents: &MachineAgents) {
    if let Err(error) = update(run, repository, agents) {
        run.screen.warning(&format!("the index of `stash search` was not kept up: {error}"));
    }
}

fn update(run: &Run, repository: &Opened, agents: &MachineAgents) -> Result<()> {
    let search = &run.config()?.search;
    let found: Vec<_> = agents.found.iter().collect();
    let sources = agents.sources_of(&found, &AgentWish::default(), &ExcludeOptions::default())?;
    let saved = saved_sessions(repository, &SessionsWish::default(), run.clock.now())?;
    let local = local_files(&found, &sources);
    let rows = list_sessions(saved, local, &run.identity.host, |_, _| {});
    let folder = temporary_folder(run)?;
    let reader = SessionReader {
        catalog: &agents.catalog,
        repository: Some(repository),
        temporary_folder: &folder,
    };
    let bounds = (LIMIT, &run.clock as &dyn crate::time::Clock, &*run.counters);
    after_backup(&run.places, repository.id(), search, &reader, &rows, bounds).map(|_report| ())
}
