//! `stash restore --agent` and `stash undo`: an agent's files back to where this machine keeps them.
//!
//! The snapshot's roots are laid onto the places of this machine, by label; what is there is saved
//! first, as a snapshot that no policy forgets, so that `stash undo` can bring it back.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::agent_merge::{Merges, merge_all};
use super::open::Run;
use super::repository::Opened;
use super::restore::{exit_code, figures, plan_of, restore_options};
use crate::agents::{Agent, PROJECT};
use crate::cli::args::{self, RestoreArguments, UndoArguments};
use crate::cli::ask;
use crate::cli::figures::{counted, size};
use crate::cli::json::RestoreSummary;
use crate::cli::name::shown;
use crate::engine::backup::{AgentSources, BackupOptions, backup};
use crate::engine::restore::{Destination, NodeRule, Overwrite, RestoreReport, restore};
use crate::error::{Error, Kind, Result};
use crate::event::{Action, Counters, Event, Reporter};
use crate::files::ExcludeOptions;
use crate::format::record::{Root, RootKind, SNAPSHOT_SAFETY, Snapshot};
use crate::format::tree::{Category, Node};
use crate::id::SnapshotId;
use crate::machine::{
    self, AgentWish, FoundAgent, MachineAgents, MadeFile, Undoable, remember_undoable, undoables,
};
use crate::repository::cache::SnapshotEntry;
use crate::time::{Clock as _, Timestamp};

/// An agent's roots in a snapshot, and where they go.
struct Laid {
    snapshot: Snapshot,
    /// Place and label of each root.
    places: Vec<(PathBuf, String)>,
    /// Labels of roots for which this machine has no place.
    homeless: Vec<String>,
}

pub(super) fn run(run: &Run, arguments: &RestoreArguments) -> Result<u8> {
    let agents = MachineAgents::find(&run.places, &run.environment)?;
    let repository = run.current_repository()?;
    let names = arguments.agents.clone();
    let mut code = 0;
    for name in &names {
        let found = agents.known(name, &run.environment)?;
        code = code.max(one(run, arguments, &agents, &repository, &found)?);
    }
    Ok(code)
}

fn one(
    run: &Run,
    arguments: &RestoreArguments,
    agents: &MachineAgents,
    repository: &Opened,
    found: &FoundAgent,
) -> Result<u8> {
    let agent = &found.agent;
    let (entry, is_foreign) = find(run, repository, arguments, &agent.id)?;
    let target = arguments.target.as_deref().map(machine::absolute_path).transpose()?;
    let home = run.environment.home();
    let laid = lay(&entry.snapshot, found, home.as_deref(), target.as_deref());
    for label in &laid.homeless {
        run.screen.warning(&format!(
            "this machine has no place for the root `{label}` of {}; `--target DIR` brings it back",
            agent.name
        ));
    }
    if target.is_none() && !arguments.dry_run && !arguments.force {
        machine::refuse_running(found)?;
    }
    let merges = Merges::default();
    let rule = Arc::new(Take {
        agent: Arc::clone(agent),
        places: laid.places.clone(),
        only: arguments.only.iter().flat_map(|word| word.0.iter().copied()).collect(),
        is_in_place: target.is_none(),
        merges: merges.clone(),
    });
    let mut options = restore_options(run, arguments, Destination::InPlace)?;
    options.keeps_longer = target.is_none()
        && arguments.at.is_none()
        && arguments.overwrite == args::Overwrite::default();
    options.filter = options.filter.with_rule(rule);
    let plan = plan_of(repository, &laid.snapshot, &mut options, run)?;
    let line = format!(
        "plan: {} from snapshot {} of `{}`, {}, {}: {}",
        agent.name,
        entry.id.short(),
        entry.snapshot.host,
        machine::show_moment(Timestamp(entry.snapshot.time), &run.zone),
        target.as_deref().map_or_else(
            || "to where this machine keeps it".to_owned(),
            |folder| { format!("to `{}`", shown(folder.as_os_str().as_bytes())) }
        ),
        figures(&plan)
    );
    if arguments.dry_run {
        return say(run, arguments, &entry, &plan, &line).map(|()| 0);
    }
    run.screen.note(&line);
    consent(run, arguments, &entry, is_foreign, &plan)?;
    let _lock = run.lock(repository.id())?;
    let before = match target {
        None => Some(save_before(run, agents, repository, found)?),
        Some(_) => None,
    };
    merges.begin();
    options.dry_run = false;
    let made = Made { screen: &*run.screen, paths: Mutex::default() };
    let progress = run.screen.progress(&run.counters);
    let report = restore(repository, &laid.snapshot, &options, &run.counters, &made);
    drop(progress);
    let report = report?;
    let merged = merge_all(repository, &laid.snapshot, &merges)?;
    let refreshed = refresh(found, &laid, &made, target.is_none())?;
    if let Some(before) = before {
        let what = format!("restored {} from snapshot {}", agent.id, entry.id.short());
        remember(run, repository, &agent.id, before, what, &made)?;
    }
    let mut text = format!(
        "restored {} of {}: {}; from snapshot {}",
        size(report.bytes_written),
        agent.name,
        figures(&report),
        entry.id.short()
    );
    if merged > 0 {
        // Writing to a String can't fail.
        let _ = write!(text, "; joined {} with what was there", counted(merged, "file"));
    }
    if refreshed > 0 {
        let _ = write!(
            text,
            "; {} got the present time, since {} deletes old ones by it",
            counted(refreshed, "session file"),
            agent.name
        );
    }
    if target.is_none() {
        text.push_str("; `stash undo` takes it back");
    }
    say(run, arguments, &entry, &report, &text)?;
    Ok(exit_code(&report))
}

fn say(
    run: &Run,
    arguments: &RestoreArguments,
    entry: &SnapshotEntry,
    report: &RestoreReport,
    line: &str,
) -> Result<()> {
    if run.screen.is_json() {
        let summary = RestoreSummary {
            dry_run: arguments.dry_run,
            snapshot_id: entry.id,
            ..RestoreSummary::of(report)
        };
        return run.screen.message("summary", &summary);
    }
    run.screen.summary(line)
}

/// Finds the newest snapshot at or before the moment that holds the agent: this machine's, or that
/// of another which is named, or which a person consents to.
fn find(
    run: &Run,
    repository: &Opened,
    arguments: &RestoreArguments,
    agent: &str,
) -> Result<(SnapshotEntry, bool)> {
    if arguments.snapshot.is_some() && !arguments.snapshot().is_latest() {
        let picked = run.pick(
            repository,
            &arguments.snapshot().name,
            arguments.at.as_deref(),
            &arguments.filter,
        )?;
        let is_foreign = picked.snapshot.host != run.identity.host;
        return Ok((picked, is_foreign));
    }
    let until = match arguments.at.as_deref() {
        Some(at) => run.moment(at, machine::Bare::End)?,
        None => Timestamp(i64::MAX),
    };
    let mut entries = repository.snapshot_heads(&run.filter(&arguments.filter)?)?;
    entries.retain(|entry| {
        entry.snapshot.flags & SNAPSHOT_SAFETY == 0
            && entry.snapshot.roots.iter().any(|root| is_of(root, agent))
    });
    let newest = |own: bool| {
        let host = &run.identity.host;
        let of = entries.iter().filter(|entry| !own || entry.snapshot.host == *host);
        let of = of.filter(|entry| entry.snapshot.time <= until.0);
        of.max_by_key(|entry| (entry.snapshot.time, entry.snapshot.written)).cloned()
    };
    let names_host = !arguments.filter.hosts.is_empty();
    if let Some(entry) = newest(!names_host) {
        return repository.whole(&entry).map(|entry| (entry, false));
    }
    if let Some(entry) = newest(false) {
        return repository.whole(&entry).map(|entry| (entry, true));
    }
    let nearest = entries.iter().min_by_key(|entry| entry.snapshot.time);
    let hint = match nearest {
        Some(entry) => format!(
            "the oldest is {}, {}",
            entry.id.short(),
            machine::show_moment(Timestamp(entry.snapshot.time), &run.zone)
        ),
        None => "`stash backup` saves all agents that are found".to_owned(),
    };
    Err(Error::failed("no snapshot from then holds the agent").object(agent).hint(hint))
}

fn is_of(root: &Root, agent: &str) -> bool {
    root.kind == RootKind::Agent as u64 && root.agent == agent
}

/// Lays the agent's roots onto the places of this machine, or below a folder. A project that nothing
/// names here any more goes back to where it was, if that is below this home.
fn lay(
    snapshot: &Snapshot,
    found: &FoundAgent,
    home: Option<&Path>,
    target: Option<&Path>,
) -> Laid {
    let agent = &found.agent;
    let own_place = |root: &Root| {
        let named = found.roots.iter().find(|it| it.label == root.label);
        let was = PathBuf::from(OsStr::from_bytes(&root.place));
        let is_project = agent.declared_label(&root.label) == Some(PROJECT);
        let comes_back = is_project && home.is_some_and(|home| was.starts_with(home));
        named.map(|it| it.place.clone()).or_else(|| comes_back.then_some(was))
    };
    let mut laid = Laid { snapshot: snapshot.clone(), places: Vec::new(), homeless: Vec::new() };
    laid.snapshot.roots.clear();
    for root in snapshot.roots.iter().filter(|root| is_of(root, &agent.id)) {
        let place = match target {
            Some(folder) => Some(folder.join(&agent.id).join(&root.label)),
            None => own_place(root),
        };
        let Some(place) = place else {
            laid.homeless.push(root.label.clone());
            continue;
        };
        let mut root = root.clone();
        root.place = place.as_os_str().as_bytes().into();
        root.node.name = place.file_name().map_or(&[][..], OsStr::as_bytes).into();
        laid.places.push((place, root.label.clone()));
        laid.snapshot.roots.push(root);
    }
    laid
}

/// Decides what of an agent's files comes back.
struct Take {
    agent: Arc<Agent>,
    places: Vec<(PathBuf, String)>,
    only: Vec<Category>,
    is_in_place: bool,
    merges: Merges,
}

impl NodeRule for Take {
    fn takes(&self, path: &[u8], node: &Node) -> bool {
        let at = Path::new(OsStr::from_bytes(path));
        let root = self.places.iter().filter(|(place, _)| at.starts_with(place));
        // Of roots that lie in one another the innermost.
        let Some((place, label)) = root.max_by_key(|(place, _)| place.as_os_str().len()) else {
            return false;
        };
        let below = at.strip_prefix(place).unwrap_or(Path::new(""));
        let Some(class) = self.agent.classify(label, below.as_os_str().as_bytes()) else {
            return false;
        };
        if class.run_time || class.category == Category::Cache {
            return false;
        }
        let category = Category::from_number(node.category).unwrap_or(class.category);
        if !self.only.is_empty() && !self.only.contains(&category) {
            return false;
        }
        match class.merge {
            Some(merge) if self.is_in_place => !self.merges.note(at, merge),
            _ => true,
        }
    }
}

fn consent(
    run: &Run,
    arguments: &RestoreArguments,
    entry: &SnapshotEntry,
    is_foreign: bool,
    plan: &RestoreReport,
) -> Result<()> {
    let host = &entry.snapshot.host;
    if arguments.yes || (!is_foreign && (arguments.in_place || arguments.target.is_some())) {
        return Ok(());
    }
    if !super::restore::changes_something(plan) && !is_foreign {
        return Ok(());
    }
    let question = if is_foreign {
        format!("These are files of `{host}`, another machine. Restore them here?")
    } else {
        "Go on?".to_owned()
    };
    if !ask::has_terminal() {
        let hint = "`--yes` says so in advance; `--dry-run` shows what would change";
        let what = if is_foreign {
            format!("the snapshot is of `{host}`, another machine; nobody can be asked")
        } else {
            "files would change, and nobody can be asked".to_owned()
        };
        return Err(Error::usage(what).hint(hint));
    }
    if ask::consent(&question)? == Some(true) {
        return Ok(());
    }
    run.screen.note("nothing was changed");
    Err(Error::new(Kind::Interrupted, "not confirmed; nothing was changed"))
}

/// Saves what the agent has now.
pub(super) fn save_before(
    run: &Run,
    agents: &MachineAgents,
    repository: &Opened,
    found: &FoundAgent,
) -> Result<SnapshotId> {
    let wish = AgentWish::default();
    // What the configuration leaves out of backups may be overwritten all the same.
    let found = &FoundAgent { exclude: Vec::new(), ..found.clone() };
    let sources = agents.sources_of(&[found], &wish, &ExcludeOptions::default())?;
    let options = safety_options(run, sources)?;
    let (clock, screen) = (&run.clock, &*run.screen);
    let report = backup(repository, &options, clock, &Counters::default(), screen)?;
    if report.statistics.errors > 0 {
        return Err(Error::failed(
            "what is there now could not all be saved, so nothing was changed",
        )
        .hint("the warnings above say what; `--force` does not help here"));
    }
    report.snapshot.ok_or_else(|| Error::failed("what is there now was not saved"))
}

fn safety_options(run: &Run, agents: AgentSources) -> Result<BackupOptions> {
    let now = run.clock.now();
    Ok(BackupOptions {
        agents,
        paths: Vec::new(),
        excludes: Arc::new(crate::files::Excludes::new(&ExcludeOptions::default())?),
        host: run.identity.host.clone(),
        user: run.identity.user.clone(),
        job: "agents".to_owned(),
        tags: vec!["safety".to_owned()],
        time: None,
        offset_minutes: machine::offset_minutes(now, &run.zone).into(),
        force: false,
        always: true,
        is_safety: true,
        dry_run: false,
        compression: crate::codec::Compression::Auto,
        threads: machine::worker_count(),
        check_databases_after: None,
        observer: None,
        temporary_folder: super::backup::temporary_folder(run)?,
    })
}

/// Remembers which files a restore made.
struct Made<'s> {
    screen: &'s dyn Reporter,
    paths: Mutex<HashMap<PathBuf, Action>>,
}

impl Reporter for Made<'_> {
    fn event(&self, event: &Event<'_>) {
        if let Event::Item { path, action, .. } = event
            && matches!(action, Action::New | Action::Modified)
        {
            let path = Path::new(OsStr::from_bytes(path)).to_owned();
            self.paths.lock().unwrap_or_else(PoisonError::into_inner).insert(path, *action);
        }
        self.screen.event(event);
    }
}

impl Made<'_> {
    fn of(&self, wanted: Option<Action>) -> Vec<PathBuf> {
        let paths = self.paths.lock().unwrap_or_else(PoisonError::into_inner);
        let chosen = paths.iter().filter(|(_, action)| wanted.is_none_or(|it| it == **action));
        let mut chosen: Vec<PathBuf> = chosen.map(|(path, _)| path.clone()).collect();
        chosen.sort_unstable();
        chosen
    }
}

/// Gives restored files of categories that the agent purges by their time the present one.
fn refresh(found: &FoundAgent, laid: &Laid, made: &Made<'_>, is_in_place: bool) -> Result<u64> {
    let Some(rules) = found.agent.restore.as_ref().filter(|_| is_in_place) else { return Ok(0) };
    let mut count = 0_u64;
    for path in made.of(None) {
        let root = laid.places.iter().filter(|(place, _)| path.starts_with(place));
        let Some((place, label)) = root.max_by_key(|(place, _)| place.as_os_str().len()) else {
            continue;
        };
        let below = path.strip_prefix(place).unwrap_or(Path::new(""));
        let class = found.agent.classify(label, below.as_os_str().as_bytes());
        if class.is_some_and(|class| rules.refresh_mtime.contains(&class.category)) {
            machine::touch(&path)?;
            count = count.saturating_add(1);
        }
    }
    Ok(count)
}

fn remember(
    run: &Run,
    repository: &Opened,
    agent: &str,
    before: SnapshotId,
    what: String,
    made: &Made<'_>,
) -> Result<()> {
    remember_paths(run, repository, agent, before, what, made.of(Some(Action::New)))
}

/// Remembers what was done to an agent's files, and which were made, for `stash undo`.
pub(super) fn remember_paths(
    run: &Run,
    repository: &Opened,
    agent: &str,
    before: SnapshotId,
    what: String,
    made: Vec<PathBuf>,
) -> Result<()> {
    let made = made.into_iter().filter_map(|path| machine::made_file(&path));
    remember_undoable(
        &run.places,
        Undoable {
            time: run.clock.now().0,
            repository: repository.id().to_string(),
            before: before.to_string(),
            agent: agent.to_owned(),
            what,
            made: made.collect(),
        },
    )
}

pub(super) fn undo(run: &Run, arguments: &UndoArguments) -> Result<u8> {
    let list = undoables(&run.places)?;
    if arguments.list {
        for it in list.iter().rev() {
            let when = machine::show_moment(Timestamp(it.time), &run.zone);
            let before = it.before.get(..8).unwrap_or_default();
            run.screen.text(&format!("{when}  {}; as it was before: {before}", it.what))?;
        }
        if list.is_empty() {
            run.screen.note("nothing was restored into an agent's folders");
        }
        return Ok(0);
    }
    let repository = run.current_repository()?;
    let last = list.iter().rev().find(|it| it.is_in(repository.id())).ok_or_else(|| {
        Error::failed("there is nothing to undo")
            .hint("only what was restored into an agent's folders can be undone")
    })?;
    let agents = MachineAgents::find(&run.places, &run.environment)?;
    let found = agents.known(&last.agent, &run.environment)?;
    let heads = repository.cached_heads()?;
    let head = heads.into_iter().find(|entry| last.is_before(&entry.id)).ok_or_else(|| {
        Error::failed("the snapshot taken before it is no longer there")
            .object(last.before.get(..8).unwrap_or_default())
    })?;
    let entry = repository.whole(&head)?;
    if !arguments.force {
        machine::refuse_running(&found)?;
    }
    let when = machine::show_moment(Timestamp(last.time), &run.zone);
    run.screen.note(&format!("undo: {}, {when}", last.what));
    if !arguments.yes && ask::has_terminal() && ask::consent("Go on?")? != Some(true) {
        return Err(Error::new(Kind::Interrupted, "not confirmed; nothing was changed"));
    }
    let _lock = run.lock(repository.id())?;
    let before = save_before(run, &agents, &repository, &found)?;
    let laid = lay(&entry.snapshot, &found, run.environment.home().as_deref(), None);
    let mut options = super::restore::plain_options(Destination::InPlace);
    options.overwrite = Overwrite::IfChanged;
    let made = Made { screen: &*run.screen, paths: Mutex::default() };
    let report = restore(&repository, &laid.snapshot, &options, &run.counters, &made)?;
    let removed = remove_made(&last.made)?;
    let what = format!("undid: {}", last.what);
    remember(run, &repository, &found.agent.id, before, what, &made)?;
    run.screen.summary(&format!(
        "undone: {}; {} removed that the restore had made; `stash undo` again takes this back",
        figures(&report),
        counted(removed, "file")
    ))?;
    Ok(exit_code(&report))
}

/// Removes files that a restore made, unless they have changed since.
fn remove_made(made: &[MadeFile]) -> Result<u64> {
    let mut removed = 0_u64;
    for file in made {
        if machine::made_file(&file.path).as_ref() == Some(file) {
            machine::remove_file(&file.path)?;
            removed = removed.saturating_add(1);
        }
    }
    Ok(removed)
}
