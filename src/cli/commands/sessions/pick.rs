//! Which sessions there are, and which of them are meant.

use std::path::PathBuf;

use crate::cli::args::SessionFilterOptions;
use crate::cli::commands::open::Run;
use crate::cli::commands::repository::Opened;
use crate::cli::figures::counted;
use crate::cli::name;
use crate::error::{Error, Kind, Result};
use crate::files::ExcludeOptions;
use crate::machine::sessions::{
    SessionRow, SessionState, SessionsWish, list_sessions, local_files, saved_sessions,
};
use crate::machine::{AgentWish, Bare, MachineAgents, absolute_path};
use crate::time::{Clock as _, Timestamp};

/// So many candidates are named where an id is ambiguous.
const CANDIDATES: usize = 10;
/// Lists show at least so many letters of an id.
const SHORT: usize = 8;

/// All sessions, and where they are read from.
pub(super) struct Sessions {
    /// The repository, if there is one.
    pub(super) repository: Option<Opened>,
    /// The agents of this machine, and all that are known.
    pub(super) agents: MachineAgents,
    /// The sessions, newest first.
    pub(super) rows: Vec<SessionRow>,
}

/// Finds the sessions of all machines, those on this disk among them. Without a repository there
/// are only these.
pub(super) fn find(run: &Run, wish: &SessionsWish) -> Result<Sessions> {
    let repository = match run.current_repository() {
        Ok(repository) => Some(repository),
        Err(error) if error.kind() == Kind::NoRepository && wish.at.is_none() => None,
        Err(error) => return Err(error),
    };
    let agents = MachineAgents::find(&run.places, &run.environment)?;
    let wish = SessionsWish { agents: ids(&agents, &wish.agents)?, ..wish.clone() };
    let saved = match &repository {
        Some(repository) => saved_sessions(repository, &wish, run.clock.now())?,
        None => Vec::new(),
    };
    let is_wanted = |id: &String| wish.agents.is_empty() || wish.agents.contains(id);
    let here = wish.hosts.is_empty() || wish.hosts.contains(&run.identity.host);
    let found: Vec<_> = agents.found.iter().filter(|it| here && is_wanted(&it.agent.id)).collect();
    let sources = agents.sources_of(&found, &AgentWish::default(), &ExcludeOptions::default())?;
    let local = if wish.at.is_some() { Vec::new() } else { local_files(&found, &sources) };
    let rows = list_sessions(saved, local, &run.identity.host, |file, error| {
        let path = absolute_of(&file.place, &file.relative);
        run.screen.warning(&format!("`{path}`: {error}"));
    });
    Ok(Sessions { repository, agents, rows })
}

fn absolute_of(place: &std::path::Path, relative: &[u8]) -> String {
    use std::os::unix::ffi::OsStrExt as _;
    let whole = place.join(std::ffi::OsStr::from_bytes(relative));
    name::shown(whole.as_os_str().as_bytes())
}

fn ids(agents: &MachineAgents, names: &[String]) -> Result<Vec<String>> {
    names.iter().map(|name| Ok(agents.catalog.find(name)?.id.clone())).collect()
}

/// What the options ask for, understood.
pub(super) struct Filter {
    project: Option<String>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    deleted: bool,
}

impl Filter {
    pub(super) fn new(run: &Run, options: &SessionFilterOptions) -> Result<Filter> {
        let moment = |text: &Option<String>, bare: Bare| {
            text.as_deref().map(|text| run.moment(text, bare)).transpose()
        };
        let (since, until) = match &options.date {
            Some(day) => (Some(run.moment(day, Bare::Start)?), Some(run.moment(day, Bare::End)?)),
            None => (moment(&options.since, Bare::Start)?, moment(&options.until, Bare::End)?),
        };
        let project = match &options.project {
            Some(text) if text.contains('/') || text.starts_with(['.', '~']) => {
                let path = run.environment.expand_home(&PathBuf::from(text))?;
                Some(absolute_path(&path)?.display().to_string())
            }
            other => other.clone(),
        };
        Ok(Filter { project, since, until, deleted: options.deleted })
    }

    /// Returns whether a session is meant.
    pub(super) fn takes(&self, row: &SessionRow) -> bool {
        let entry = &row.entry;
        let first = entry.started.or(entry.last);
        let is_in = |project: &String| {
            if !project.contains('/') {
                return entry.project.to_lowercase().contains(&project.to_lowercase());
            }
            let rest = entry.project.strip_prefix(project.trim_end_matches('/'));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.project.as_ref().is_none_or(is_in)
            && self.since.is_none_or(|since| row.last() >= since)
            && self.until.is_none_or(|until| first.is_some_and(|first| first <= until.0))
            && (!self.deleted || row.state == SessionState::Deleted)
    }
}

/// Returns the wish that options stand for.
pub(super) fn wish(options: &SessionFilterOptions) -> SessionsWish {
    SessionsWish { agents: options.agents.clone(), hosts: options.hosts.clone(), at: None }
}

/// Finds the session that the beginning of an id names. Of one session on several machines it is the one
/// here, else the one that went on longest.
pub(super) fn pick<'r>(rows: &'r [SessionRow], prefix: &str) -> Result<&'r SessionRow> {
    let fits = |row: &&SessionRow| row.id.starts_with(prefix) && !prefix.is_empty();
    let mut found: Vec<&SessionRow> = rows.iter().filter(fits).collect();
    if found.iter().any(|row| row.id == prefix) {
        found.retain(|row| row.id == prefix);
    }
    let Some(first) = found.first() else {
        return Err(Error::failed("no session has an id that begins with")
            .object(name::shown(prefix.as_bytes()))
            .hint("`stash sessions` lists them; `stash search WORDS` looks into them"));
    };
    if found.iter().any(|row| row.id != first.id || row.agent != first.agent) {
        let mut lines: Vec<String> = found.iter().map(|row| candidate(row)).collect();
        lines.dedup();
        let more = lines.len().saturating_sub(CANDIDATES);
        lines.truncate(CANDIDATES);
        let more = if more > 0 { format!("\n  and {more} more") } else { String::new() };
        return Err(Error::usage(format!(
            "{} have an id that begins with `{}`:\n{}{more}",
            counted(found.len() as u64, "session"),
            name::shown(prefix.as_bytes()),
            lines.join("\n")
        ))
        .hint("give more of the id, or `--agent ID`"));
    }
    let rank = |row: &&&SessionRow| (row.local.is_some(), row.last(), row.entry.turns);
    Ok(found.iter().max_by_key(rank).copied().unwrap_or(first))
}

fn candidate(row: &SessionRow) -> String {
    let title = name::shown(row.entry.title.as_bytes());
    format!("  {}  {}  {title}", name::shown(row.id.as_bytes()), row.agent)
}

/// Returns how many letters of ids tell all of them apart; at least eight.
pub(super) fn short_length(rows: &[SessionRow]) -> usize {
    let mut ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    let common = |one: &str, other: &str| {
        one.chars().zip(other.chars()).take_while(|(one, other)| one == other).count()
    };
    let pairs = ids.windows(2).filter_map(|pair| match pair {
        [one, other] => Some(common(one, other).saturating_add(1)),
        _ => None,
    });
    pairs.max().unwrap_or(0).max(SHORT)
}
