//! `stash sessions restore`: a conversation back to where its agent finds it.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use super::list::{cut, first};
use super::pick::{Filter, Sessions, find, pick, short_length};
use crate::agents::AgentRoot;
use crate::cli::args::SessionsRestoreArguments;
use crate::cli::ask;
use crate::cli::commands::backup::temporary_folder;
use crate::cli::commands::open::Run;
use crate::cli::commands::repository::Opened;
use crate::cli::commands::restore_agent::{remember_paths, save_before};
use crate::cli::figures::counted;
use crate::cli::json::PlacedLine;
use crate::cli::name::shown;
use crate::cli::table::{Align, Table};
use crate::error::{Error, Kind, Result};
use crate::id::SnapshotId;
use crate::machine::sessions::{
    Fate, SessionPlacer, SessionPlan, SessionReader, SessionRow, SessionsWish, list_sessions,
    saved_sessions,
};
use crate::machine::{Bare, absolute_path};
use crate::time::Clock as _;

/// A title takes at most so many columns.
const TITLE: usize = 40;

pub(super) fn run(run: &Run, arguments: &SessionsRestoreArguments) -> Result<u8> {
    if arguments.as_copy && arguments.force {
        return Err(Error::usage("`--as-copy` and `--force` exclude each other"));
    }
    let wish = SessionsWish { agents: arguments.filter.agents.clone(), ..SessionsWish::default() };
    let sessions = find(run, &wish)?;
    let repository = sessions.repository.as_ref().ok_or_else(|| {
        Error::new(Kind::NoRepository, "no repository to take sessions from")
            .hint("`stash backup` makes one; `--repo LOCATION` names another")
    })?;
    let saved = saved_rows(run, arguments, &sessions, repository)?;
    let wanted = chosen(run, arguments, &saved)?;
    let named = arguments.project_dir.as_deref().map(absolute_path).transpose()?;
    if let Some(named) = named.as_deref().filter(|named| !named.is_dir()) {
        return Err(Error::usage("`--project-dir` names no folder:").object(shown_path(named)));
    }
    let folder = temporary_folder(run)?;
    let placer = SessionPlacer {
        reader: SessionReader {
            catalog: &sessions.agents.catalog,
            repository: Some(repository),
            temporary_folder: &folder,
        },
        agents: &sessions.agents,
        environment: &run.environment,
        rows: &sessions.rows,
        project: named.as_deref(),
        force: arguments.force,
        as_copy: arguments.as_copy,
    };
    let plans: Vec<(&SessionRow, Result<SessionPlan>)> =
        wanted.iter().map(|row| (*row, placer.plan(row))).collect();
    if let [(_, Err(error))] = plans.as_slice() {
        return Err(error.clone());
    }
    let length = short_length(&sessions.rows);
    if plans.len() > 1 && !run.screen.is_json() {
        let plan = table(&plans, length).to_string();
        if arguments.dry_run {
            run.screen.text(plan.trim_end())?;
        } else {
            run.screen.note(plan.trim_end());
        }
    }
    let is_wanted = |plan: &Result<SessionPlan>| plan.as_ref().is_ok_and(|it| it.fate.writes());
    let count = plans.iter().filter(|(_, plan)| is_wanted(plan)).count();
    if arguments.dry_run {
        return told(run, arguments, plans, false);
    }
    if count > 0 && plans.len() > 1 {
        consent(arguments, count)?;
    }
    let (mut done, mut can_undo) = (Vec::new(), false);
    if count > 0 {
        let _lock = run.lock(repository.id())?;
        let writes = plans.iter().filter(|(_, plan)| is_wanted(plan));
        let agents: Vec<&str> = writes.map(|(row, _)| row.agent.as_str()).collect();
        let before = safety(run, &sessions, repository, &agents)?;
        let mut made: HashMap<&str, (u64, Vec<PathBuf>)> = HashMap::new();
        for (row, plan) in plans {
            let result = match plan {
                Ok(plan) if plan.fate.writes() => {
                    run.counters.go_on().and_then(|()| placer.place(row))
                }
                Ok(plan) => Ok((plan, Vec::new())),
                Err(error) => Err(error),
            };
            let placed = result.map(|(plan, files)| {
                let of_agent = made.entry(row.agent.as_str()).or_default();
                of_agent.0 = of_agent.0.saturating_add(u64::from(plan.fate.writes()));
                of_agent.1.extend(files);
                plan
            });
            done.push((row, placed));
        }
        for (agent, snapshot) in before {
            let (count, files) = made.remove(agent).unwrap_or_default();
            if count > 0 {
                let what = format!("restored {} of {agent}", counted(count, "session"));
                remember_paths(run, repository, agent, snapshot, what, files)?;
                can_undo = true;
            }
        }
    } else {
        done = plans;
    }
    told(run, arguments, done, can_undo)
}

/// Returns the sessions that are saved, as they were at the moment that is asked for.
fn saved_rows(
    run: &Run,
    arguments: &SessionsRestoreArguments,
    sessions: &Sessions,
    repository: &Opened,
) -> Result<Vec<SessionRow>> {
    let hosts = &arguments.filter.hosts;
    let at = arguments.at.as_deref().map(|text| run.moment(text, Bare::End)).transpose()?;
    let mut rows = sessions.rows.clone();
    if at.is_some() {
        let names = arguments.filter.agents.iter();
        let agents = names.map(|name| Ok(sessions.agents.catalog.find(name)?.id.clone()));
        let wish =
            SessionsWish { agents: agents.collect::<Result<_>>()?, hosts: hosts.clone(), at };
        let saved = saved_sessions(repository, &wish, run.clock.now())?;
        rows = list_sessions(saved, Vec::new(), &run.identity.host, |_, _| {});
    }
    rows.retain(|row| hosts.is_empty() || hosts.contains(&row.host));
    Ok(rows)
}

/// Returns the sessions that are meant, each once: of several machines' the one that went on longest.
fn chosen<'r>(
    run: &Run,
    arguments: &SessionsRestoreArguments,
    rows: &'r [SessionRow],
) -> Result<Vec<&'r SessionRow>> {
    let filter = Filter::new(run, &arguments.filter)?;
    let mut wanted: Vec<&SessionRow> = Vec::new();
    if arguments.ids.is_empty() {
        let options = &arguments.filter;
        let says = arguments.all
            || arguments.last.is_some()
            || options.project.is_some()
            || options.date.is_some()
            || options.since.is_some()
            || options.until.is_some()
            || options.deleted;
        if !says {
            return Err(Error::usage("which sessions?")
                .hint("give their ids, or `--last N`, `--date DAY`, `--project PATH` or `--all`"));
        }
        let fits = |row: &&SessionRow| {
            row.snapshot.is_some() && row.entry.parent.is_empty() && filter.takes(row)
        };
        wanted.extend(rows.iter().filter(fits));
    } else {
        for id in &arguments.ids {
            wanted.push(pick(rows, id)?);
        }
    }
    let mut seen: Vec<(&str, &str)> = Vec::new();
    wanted.retain(|row| {
        let key = (row.agent.as_str(), row.id.as_str());
        let is_new = !seen.contains(&key);
        seen.push(key);
        is_new
    });
    if let Some(last) = arguments.last.filter(|_| arguments.ids.is_empty()) {
        wanted.truncate(last);
    }
    if wanted.is_empty() {
        return Err(
            Error::failed("no saved session is meant by this").hint("`stash sessions` lists them")
        );
    }
    let longest = |row: &SessionRow| {
        let same = rows
            .iter()
            .filter(|it| it.snapshot.is_some() && it.agent == row.agent && it.id == row.id);
        same.max_by_key(|it| (it.entry.turns, it.last(), it.entry.gone.is_none()))
    };
    Ok(wanted.into_iter().map(|row| longest(row).unwrap_or(row)).collect())
}

fn consent(arguments: &SessionsRestoreArguments, count: usize) -> Result<()> {
    if arguments.yes {
        return Ok(());
    }
    if !ask::has_terminal() {
        return Err(Error::usage(format!(
            "{} would be restored, and nobody can be asked",
            counted(count as u64, "session")
        ))
        .hint("`stash sessions restore … --yes` says so in advance; `--dry-run` shows what would be done"));
    }
    if ask::consent("Go on?")? == Some(true) {
        return Ok(());
    }
    Err(Error::new(Kind::Interrupted, "not confirmed; nothing was changed"))
}

/// Saves what the agents have now.
fn safety<'a>(
    run: &Run,
    sessions: &Sessions,
    repository: &Opened,
    agents: &[&'a str],
) -> Result<BTreeMap<&'a str, SnapshotId>> {
    let mut before = BTreeMap::new();
    for agent in agents {
        if !before.contains_key(agent) {
            let found = sessions.agents.known(agent, &run.environment)?;
            // Where nothing is yet, nothing can be lost.
            if !found.roots.iter().any(AgentRoot::is_usable) {
                continue;
            }
            before.insert(*agent, save_before(run, &sessions.agents, repository, &found)?);
        }
    }
    Ok(before)
}

/// Tells what became of each session, or would.
fn told(
    run: &Run,
    arguments: &SessionsRestoreArguments,
    done: Vec<(&SessionRow, Result<SessionPlan>)>,
    can_undo: bool,
) -> Result<u8> {
    let (count, mut failed) = (done.len(), 0);
    for (row, result) in done {
        if run.screen.is_json() {
            let line = PlacedLine::new(row, result.as_ref(), arguments.dry_run);
            run.screen.line("placed_session", &line)?;
        }
        match result {
            Ok(plan) => {
                if !run.screen.is_json() {
                    tell(run, row, &plan, arguments.dry_run)?;
                }
            }
            // A single one's error is the command's own.
            Err(error) if count == 1 => return Err(error),
            Err(error) => {
                failed += 1;
                let hint = error.hint_text().map_or(String::new(), |hint| format!("; {hint}"));
                run.screen.warning(&format!("`{}`: {error}{hint}", shown(row.id.as_bytes())));
            }
        }
    }
    // Where an agent had nothing before, there is nothing to go back to.
    if can_undo {
        run.screen.note("`stash undo` takes it back, for each agent");
    }
    Ok(if failed > 0 { 3 } else { 0 })
}

fn tell(run: &Run, row: &SessionRow, plan: &SessionPlan, is_rehearsal: bool) -> Result<()> {
    let title = cut(&shown(row.entry.title.as_bytes()), TITLE);
    let (id, path) = (shown(plan.id.as_bytes()), shown_path(&plan.path));
    let what = match (plan.fate, is_rehearsal) {
        (Fate::Same, _) => "is here as it is saved:",
        (Fate::Longer, _) => "is here, and longer than what is saved (`--force` replaces it):",
        (Fate::New, false) => "restored into",
        (Fate::Grows, false) => "got what it lacked, in",
        (Fate::Completed, false) => "got what belongs to it, beside",
        (Fate::Replaced, false) => "replaced what was in",
        (Fate::Copied, false) => "restored under this new id into",
        (Fate::New, true) => "would be restored into",
        (Fate::Grows, true) => "would get what it lacks, in",
        (Fate::Completed, true) => "would get what belongs to it, beside",
        (Fate::Replaced, true) => "would replace what is in",
        (Fate::Copied, true) => "would be restored under a new id into",
    };
    run.screen.summary(&format!("{id} ({title}) {what} `{path}`"))?;
    for remark in &plan.remarks {
        run.screen.note(&format!("  {}", shown(remark.as_bytes())));
    }
    match &plan.resume {
        Some(resume) if !is_rehearsal => {
            run.screen.text(&format!("  {}", shown(resume.as_bytes())))
        }
        None if !is_rehearsal => {
            let project = shown_path(&plan.project.path);
            run.screen.note(&format!("  open {} in `{project}` to go on with it", row.agent));
            Ok(())
        }
        _ => Ok(()),
    }
}

fn table(plans: &[(&SessionRow, Result<SessionPlan>)], length: usize) -> Table {
    let mut table = Table::new([
        ("plan", Align::Left),
        ("id", Align::Left),
        ("agent", Align::Left),
        ("title", Align::Left),
        ("project here", Align::Left),
    ]);
    for (row, plan) in plans {
        let (fate, project) = match plan {
            Ok(plan) => (plan.fate.name(), shown_path(&plan.project.path)),
            Err(_) => ("refused", String::new()),
        };
        table.row([
            fate.to_owned(),
            shown(first(&row.id, length).as_bytes()),
            shown(row.agent.as_bytes()),
            cut(&shown(row.entry.title.as_bytes()), TITLE),
            project,
        ]);
    }
    table
}

fn shown_path(path: &std::path::Path) -> String {
    use std::os::unix::ffi::OsStrExt as _;
    shown(path.as_os_str().as_bytes())
}
