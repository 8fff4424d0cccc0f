//! `stash status`.

use std::fmt::Write as _;

use super::concerns::concerns;
use super::open::Run;
use super::repository::Opened;
use crate::cli::args::StatusArguments;
use crate::cli::figures::{count, counted, size};
use crate::cli::json::{
    AgentStatusRow, ChangesRow, ExpiringRow, JobRow, RepositoryRow, StatusReport, ratio,
};
use crate::cli::name::shown;
use crate::cli::table::{Align, Table};
use crate::engine::backup::{AgentSource, AgentSources};
use crate::engine::inspect::stats::of_repository;
use crate::error::{Error, Kind, Result};
use crate::files::ExcludeOptions;
use crate::format::record::SNAPSHOT_SAFETY;
use crate::machine::doctor::{self, PurgeForecast, ScheduleFound};
use crate::machine::{
    self, AgentStatus, AgentWish, JobHealth, MachineAgents, RunHistory, SavedRootFiles,
    agent_statuses, job_health, saved_files, saved_roots, snapshots_of_agents,
};
use crate::repository::cache::SnapshotEntry;
use crate::repository::reader::BlobReader;
use crate::time::{Clock as _, SECOND, Timestamp};

/// The exit code of backups that are overdue.
const OVERDUE: u8 = 15;

/// All that is shown.
pub(super) struct Status {
    checked: bool,
    repository: Option<RepositoryRow>,
    pub(super) jobs: Vec<JobHealth>,
    pub(super) agents: Vec<AgentStatus>,
    pub(super) schedule: ScheduleFound,
    next_run: Option<Timestamp>,
    /// What agents will delete soon.
    expiring: Vec<PurgeForecast>,
    warnings: Vec<String>,
    /// Why the repository could not be looked at, beside its not being there.
    failure: Option<Error>,
}

pub(super) fn run(run: &Run, arguments: &StatusArguments) -> Result<u8> {
    let status = gather(run, arguments)?;
    if run.screen.is_json() {
        run.screen.array(&report(&status))?;
    } else {
        run.screen.text(text(run, &status).trim_end())?;
        for warning in &status.warnings {
            run.screen.warning(&shown(warning.as_bytes()));
        }
    }
    match status.failure {
        Some(failure) => Err(failure),
        None => Ok(if status.is_overdue() { OVERDUE } else { 0 }),
    }
}

impl Status {
    pub(super) fn is_overdue(&self) -> bool {
        self.jobs.iter().any(|job| job.is_overdue)
    }

    fn health(&self) -> &'static str {
        match (&self.failure, self.is_overdue()) {
            (Some(_), _) => "unknown",
            (None, true) => "overdue",
            (None, false) => "ok",
        }
    }
}

fn gather(run: &Run, arguments: &StatusArguments) -> Result<Status> {
    let config = run.config()?;
    let opened = if arguments.check {
        run.repository_unasked().and_then(|it| run.catch_up(&it).map(|()| it))
    } else {
        run.repository_remembered().and_then(|it| match it.folder() {
            // What other writers did here costs no network.
            Some(_) => run.catch_up(&it).map(|()| it),
            None => Ok(it),
        })
    };
    let (opened, failure) = match opened {
        Ok(opened) => (Some(opened), None),
        // That nothing was saved yet is no failure of looking.
        Err(error) if error.kind() == Kind::NoRepository && !arguments.check => (None, None),
        Err(error) => (None, Some(error)),
    };
    let now = run.clock.now();
    let host = &run.identity.host;
    let entries = match &opened {
        Some(opened) => snapshots_of_agents(opened, host, now)?,
        None => Vec::new(),
    };
    let agents = MachineAgents::find(&run.places, &run.environment)?;
    let sources = agents.sources(&AgentWish::default(), &excludes(run, opened.as_ref()))?;
    let saved: Vec<SavedRootFiles<'_>> = saved_roots(&entries, host, now)
        .into_iter()
        .map(|it| (it, opened.as_ref().and_then(|opened| files_of(opened, it.root))))
        .collect();
    let runs = RunHistory::load(&run.places)?;
    let jobs = job_health(config, &runs, &entries, host, now);
    let statuses = agent_statuses(&agents, &sources, &saved);
    let checked = arguments.check || opened.as_ref().is_some_and(|it| it.folder().is_some());
    let row = |it: &Opened| repository_row(it, &entries, checked);
    let repository = opened.as_ref().map(row).transpose()?;
    let mut status = Status {
        checked,
        repository,
        jobs,
        agents: statuses,
        next_run: None,
        expiring: expiring(&agents, &sources, &saved, now),
        schedule: doctor::find_schedule(&run.environment),
        warnings: Vec::new(),
        failure,
    };
    if let ScheduleFound::Running { cron: Some(cron), .. } = &status.schedule {
        status.next_run = doctor::next_run(cron, now, &run.zone);
    }
    status.warnings = concerns(run, &status, opened.as_ref(), &entries, &agents, &sources);
    Ok(status)
}

/// Returns what agents will delete within three days.
fn expiring(
    agents: &MachineAgents,
    sources: &AgentSources,
    saved: &[SavedRootFiles<'_>],
    now: Timestamp,
) -> Vec<PurgeForecast> {
    let find = |source: &AgentSource| {
        let is_it = |it: &&SavedRootFiles<'_>| {
            it.0.root.agent == source.agent && it.0.root.label == source.label
        };
        saved.iter().find(is_it).and_then(|(_, files)| files.as_ref())
    };
    let enabled = agents.found.iter().filter(|found| found.is_enabled);
    let all = enabled.flat_map(|found| doctor::forecast(found, sources, find, now));
    all.filter(|forecast| forecast.will_go > 0).collect()
}

/// The folders that no backup holds.
fn excludes(run: &Run, opened: Option<&Opened>) -> ExcludeOptions {
    let own = [run.places.cache.clone(), run.places.state.clone()];
    let folder = opened.and_then(|it| it.folder()).map(std::path::Path::to_owned);
    ExcludeOptions { skip: own.into_iter().chain(folder).collect(), ..ExcludeOptions::default() }
}

/// Reads which files a root holds, as far as that is at hand.
fn files_of(
    repository: &Opened,
    root: &crate::format::record::Root,
) -> Option<machine::SavedFiles> {
    saved_files(&mut BlobReader::new(repository).ok()?.near(), root).ok()
}

fn repository_row(
    opened: &Opened,
    entries: &[SnapshotEntry],
    checked: bool,
) -> Result<RepositoryRow> {
    let stands = || entries.iter().filter(|entry| entry.forgotten.is_none());
    let is_safety = |entry: &&SnapshotEntry| entry.snapshot.flags & SNAPSHOT_SAFETY != 0;
    let bytes = |entry: &SnapshotEntry| entry.snapshot.statistics.bytes;
    // What is remembered of a store's objects is the content in them.
    let stored_bytes = if checked {
        of_repository(opened, entries)?.stored_bytes
    } else {
        opened.cache().totals()?.stored_bytes
    };
    let whole_bytes = stands().map(bytes).sum();
    let safety_snapshots = stands().filter(is_safety).count() as u64;
    Ok(RepositoryRow {
        location: opened.location.to_string(),
        id: opened.id().to_string(),
        snapshots: (stands().count() as u64).saturating_sub(safety_snapshots),
        stored_bytes,
        whole_bytes,
        ratio: ratio(whole_bytes, stored_bytes),
        safety_snapshots,
        safety_bytes: stands().filter(is_safety).map(bytes).sum(),
    })
}

fn text(run: &Run, status: &Status) -> String {
    let now = run.clock.now();
    // Writing to a String can't fail.
    let mut text = format!("{}\n", health_line(status, now));
    if let Some(repository) = &status.repository {
        let _ = writeln!(text, "{}", repository_line(repository, status.checked));
    }
    if let ScheduleFound::Running { what, .. } = &status.schedule {
        let next = status.next_run.map(|next| machine::show_moment(next, &run.zone));
        let next = next.map(|next| format!(", next {next}")).unwrap_or_default();
        let _ = writeln!(text, "runs by itself: {}{next}", shown(what.as_bytes()));
    }
    for forecast in &status.expiring {
        let _ = writeln!(text, "{}", forecast.text());
    }
    if !status.agents.is_empty() {
        let _ = write!(text, "\n{}", table(status, now));
    }
    text
}

/// Says in one line how it stands.
fn health_line(status: &Status, now: Timestamp) -> String {
    if status.failure.is_some() {
        return "not known: the repository can't be looked at".to_owned();
    }
    let overdue: Vec<&JobHealth> = status.jobs.iter().filter(|job| job.is_overdue).collect();
    if let Some(first) = overdue.first() {
        let more = match overdue.len() {
            1 => String::new(),
            count => format!(", and {} more", counted(count.saturating_sub(1) as u64, "job")),
        };
        let job = shown(first.job.as_bytes());
        return match first.last_success {
            Some(time) => format!(
                "overdue: `{job}` last succeeded {}{more}; `stash backup` runs it now",
                ago(time, now)
            ),
            None => {
                format!("overdue: nothing is saved yet by `{job}`{more}; `stash backup` begins")
            }
        };
    }
    let newest = status.jobs.iter().filter_map(|job| job.last_success).max();
    let last = newest.map_or_else(|| "never".to_owned(), |time| ago(time, now));
    let known = status.agents.iter().filter_map(|agent| agent.changes);
    let changes: u64 = known.map(|changes| changes.count()).sum();
    format!("ok: last backup {last}, {} since", counted(changes, "change"))
}

fn repository_line(repository: &RepositoryRow, checked: bool) -> String {
    let safety = match repository.safety_snapshots {
        0 => String::new(),
        count => format!(
            ", and {} ({} if kept whole)",
            counted(count, "safety snapshot"),
            size(repository.safety_bytes)
        ),
    };
    let remembered = if checked { "" } else { " (as remembered here)" };
    // A small repository takes more than what it holds: nothing to tell.
    let ratio = if repository.ratio < 1.05 {
        String::new()
    } else {
        format!(", 1 byte for each {:.1}", repository.ratio)
    };
    format!(
        "`{}`: {}{safety}; {} stored{ratio}{remembered}",
        repository.location,
        counted(repository.snapshots, "snapshot"),
        size(repository.stored_bytes),
    )
}

fn table(status: &Status, now: Timestamp) -> Table {
    let mut table = Table::new([
        ("agent", Align::Left),
        ("last saved", Align::Left),
        ("sessions", Align::Right),
        ("files", Align::Right),
        ("size", Align::Right),
        ("since then", Align::Left),
    ]);
    for agent in &status.agents {
        table.row([
            shown(agent.id.as_bytes()),
            agent.last_read.map_or_else(|| "never".to_owned(), |time| ago(time, now)),
            sessions(agent),
            count(agent.files),
            size(agent.bytes),
            since(agent),
        ]);
    }
    table
}

fn sessions(agent: &AgentStatus) -> String {
    match (agent.sessions, agent.session_stores) {
        (sessions, 0) => count(sessions),
        (0, stores) => format!("in {}", counted(stores, "file")),
        (sessions, stores) => format!("{} + in {}", count(sessions), counted(stores, "file")),
    }
}

fn since(agent: &AgentStatus) -> String {
    if !agent.is_here {
        return "no longer on this machine".to_owned();
    }
    if !agent.is_enabled {
        return "switched off".to_owned();
    }
    let Some(changes) = agent.changes else {
        return if agent.last_read.is_some() { "not known" } else { "all of it" }.to_owned();
    };
    let parts = [(changes.new, "new"), (changes.changed, "changed"), (changes.gone, "gone")];
    let parts: Vec<String> = parts
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, word)| format!("{} {word}", count(number)))
        .collect();
    if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") }
}

/// Returns how long ago something was.
fn ago(time: Timestamp, now: Timestamp) -> String {
    let seconds = u64::try_from(now.0.saturating_sub(time.0) / SECOND).unwrap_or(0);
    match seconds {
        0..60 => "just now".to_owned(),
        60..7200 => format!("{} min ago", seconds / 60),
        7200..172_800 => format!("{} h ago", seconds / 3600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

fn report(status: &Status) -> StatusReport {
    let time = |time: Option<Timestamp>| time.map(Timestamp::to_rfc3339);
    let agent = |agent: &AgentStatus| AgentStatusRow {
        id: agent.id.clone(),
        here: agent.is_here,
        enabled: agent.is_enabled,
        last_saved: time(agent.last_read),
        sessions: agent.sessions,
        session_stores: agent.session_stores,
        files: agent.files,
        bytes: agent.bytes,
        changes: agent.changes.map(|it| ChangesRow {
            new: it.new,
            changed: it.changed,
            gone: it.gone,
        }),
    };
    let job = |job: &JobHealth| JobRow {
        job: job.job.clone(),
        last_success: time(job.last_success),
        overdue_after: job.overdue_after.as_secs(),
        overdue: job.is_overdue,
    };
    StatusReport {
        health: status.health(),
        checked: status.checked,
        repository: status.repository.clone(),
        jobs: status.jobs.iter().map(job).collect(),
        agents: status.agents.iter().map(agent).collect(),
        schedule: match &status.schedule {
            ScheduleFound::Running { what, .. } => Some(what.clone()),
            _ => None,
        },
        next_run: time(status.next_run),
        expiring: status
            .expiring
            .iter()
            .map(|it| ExpiringRow {
                agent: it.agent.clone(),
                sessions: it.will_go,
                unsaved: it.unsaved,
            })
            .collect(),
        warnings: status.warnings.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Changes;

    #[test]
    fn how_long_ago_is_told_in_the_unit_that_matters() {
        let hour = 3600 * SECOND;
        for (past, text) in [
            (59 * SECOND, "just now"),
            (hour, "60 min ago"),
            (2 * hour, "2 h ago"),
            (47 * hour, "47 h ago"),
            (72 * hour, "3 days ago"),
            (-hour, "just now"),
        ] {
            assert_eq!(ago(Timestamp(0), Timestamp(past)), text);
        }
    }

    #[test]
    fn the_first_lines_and_the_table_are_as_reviewed() {
        let hour = 3600 * SECOND;
        let now = Timestamp(100 * hour);
        let agent = |id: &str, changes| AgentStatus {
            id: id.to_owned(),
            is_here: true,
            is_enabled: true,
            files: 1204,
            bytes: 3 << 20,
            sessions: 57,
            session_stores: 0,
            last_read: Some(Timestamp(97 * hour)),
            changes,
            is_odd: false,
        };
        let job = JobHealth {
            job: "agents".to_owned(),
            last_success: Some(Timestamp(97 * hour)),
            failure: None,
            schedule: None,
            overdue_after: std::time::Duration::from_hours(48),
            is_overdue: false,
        };
        let repository = RepositoryRow {
            location: "s3://backups/laptop".to_owned(),
            id: String::new(),
            snapshots: 14,
            stored_bytes: 12 << 20,
            whole_bytes: 98 << 20,
            ratio: 8.16,
            safety_snapshots: 2,
            safety_bytes: 1 << 20,
        };
        let changes = Changes { new: 2, changed: 1, gone: 0 };
        let mut database = agent("opencode", None);
        (database.sessions, database.session_stores, database.last_read) = (0, 1, None);
        let mut status = Status {
            checked: false,
            repository: None,
            jobs: vec![job],
            agents: vec![agent("claude-code", Some(changes)), database],
            schedule: ScheduleFound::Nothing,
            next_run: None,
            expiring: Vec::new(),
            warnings: Vec::new(),
            failure: None,
        };
        assert_eq!(health_line(&status, now), "ok: last backup 3 h ago, 3 changes since");
        assert_eq!(
            repository_line(&repository, false),
            "`s3://backups/laptop`: 14 snapshots, and 2 safety snapshots (1.0 MiB if kept whole); \
             12.0 MiB stored, 1 byte for each 8.2 (as remembered here)"
        );
        assert_eq!(
            table(&status, now).to_string(),
            "agent        last saved   sessions  files     size  since then\n\
             claude-code  3 h ago            57  1,204  3.0 MiB  2 new, 1 changed\n\
             opencode     never       in 1 file  1,204  3.0 MiB  all of it\n"
        );
        assert_eq!((status.health(), status.is_overdue()), ("ok", false));
        status.jobs.iter_mut().for_each(|job| job.is_overdue = true);
        assert_eq!(status.health(), "overdue");
        assert_eq!(
            health_line(&status, now),
            "overdue: `agents` last succeeded 3 h ago; `stash backup` runs it now"
        );
    }
}
