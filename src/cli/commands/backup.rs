//! Saving what one job is about, wherever it goes. Which jobs there are is in `jobs`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::also::{self, Brought};
use super::backup_summary::{AgentPlan, show};
use super::jobs::Job;
use super::open::Run;
use super::repository::{Make, Opened};
use super::sessions::keep_index;
use super::{forget, jobs, maintenance};
use crate::cli::args::{BackupArguments, SecretsPolicy};
use crate::cli::figures::counted;
use crate::cli::name;
use crate::codec::crypto::object_hash;
use crate::engine::backup::{
    AgentSources, BackupOptions, BackupReport, Observer, StreamSource, backup, backup_stream,
};
use crate::error::{Error, Kind, Result};
use crate::files::{ExcludeOptions, Excludes};
use crate::machine::sessions::{SessionObserver, local_files};
use crate::machine::{
    self, AgentCounts, AgentWish, Bare, FoundAgent, MachineAgents, RunFigures, RunRecord,
    SourceCommand, holdings, outside_links,
};
use crate::time::{Clock as _, Timestamp};

/// A job's name is shown and stored with each snapshot: longer ones are cut, and told apart by a
/// hash.
const JOB_LENGTH: usize = 512;

/// Private copies that a run which was killed has left are removed when they are this old.
const COPY_AGE: Duration = Duration::from_hours(24);

/// When a run began, by both clocks.
pub(super) struct Began {
    pub(super) time: Timestamp,
    pub(super) boot: i64,
}

/// The coding agents that are to be saved.
pub(super) struct AgentsWish {
    /// Those of this machine.
    pub(super) all: MachineAgents,
    /// The ids of those that are read.
    pub(super) read: Vec<String>,
    /// The ids of those that stay as they were if they are not read; `None` for all.
    pub(super) carried: Option<Vec<String>>,
}

/// What is to be saved, wherever it goes.
struct Wish {
    paths: Vec<PathBuf>,
    /// What links in agents' folders lead to.
    linked: Vec<PathBuf>,
    /// The coding agents, if any are to be saved.
    agents: Option<AgentsWish>,
    excludes: ExcludeOptions,
    time: Option<Timestamp>,
    began: Began,
}

/// What the engine is told, and what will tell what it met of agents.
struct Told {
    options: BackupOptions,
    counts: AgentCounts,
}

/// Saves what a job is about, and says so; what came of it is noted in `record` as it becomes known.
pub(super) fn save_job(run: &Run, job: &Job, record: &mut RunRecord) -> Result<u8> {
    let arguments = &job.arguments;
    let paths = paths(arguments)?;
    let agents = jobs::agents(run, job, &paths)?;
    let excludes = exclude_options(arguments)?;
    // Patterns that make no sense must not leave a new repository behind.
    Excludes::new(&excludes)?;
    let time = arguments.time.as_deref().map(|text| run.moment(text, Bare::Start)).transpose()?;
    let began = Began { time: run.clock.now(), boot: run.clock.boot_nanoseconds() };
    let linked = linked(run, arguments, agents.as_ref(), &excludes)?;
    let wish = Wish { paths, linked, agents, excludes, time, began };
    record.job = arguments.job.clone().unwrap_or_else(|| job_of(&wish));
    let (repository, report) = match save_main(run, job, &wish, record) {
        Ok(saved) => saved,
        Err(error) => return Err(without_main(run, job, &wish, record, error)),
    };
    let mut failed = 0;
    if !arguments.dry_run {
        if let Some(id) = report.snapshot.or(report.parent) {
            failed = also::each(run, arguments, record, |other| {
                let brought =
                    also::bring(run, &repository, other, id, arguments.compression.into())?;
                keep(run, job, other, &report, true);
                Ok(brought)
            })?;
        }
        keep(run, job, &repository, &report, false);
    }
    if let Some(agents) = wish.agents.as_ref().filter(|_| report.snapshot.is_some()) {
        keep_index(run, &repository, &agents.all);
    }
    maintenance::after_backup(run, arguments, &repository);
    Ok(if report.statistics.errors > 0 || failed > 0 { 3 } else { 0 })
}

/// Saves into the repository that is meant, and says what was saved.
fn save_main(
    run: &Run,
    job: &Job,
    wish: &Wish,
    record: &mut RunRecord,
) -> Result<(Opened, BackupReport)> {
    let arguments = &job.arguments;
    record.location = job.main.location().to_string();
    let make = if arguments.dry_run { Make::InMemory } else { Make::Default };
    let repository = run.repository_of(&job.main, make)?;
    record.repository = Some(repository.id().to_string());
    let _lock = (!arguments.dry_run).then(|| run.lock(repository.id())).transpose()?;
    let Told { options, counts } = told(run, arguments, wish, &repository)?;
    let progress = run.screen.progress(&run.counters);
    let report = save(run, arguments, &repository, &options);
    drop(progress);
    let report = report?;
    note(record, &report);
    record.agents = counts.by_agent();
    let plan = if arguments.dry_run { agents_plan(wish, &options) } else { Vec::new() };
    show(run, arguments, &repository, &options, &report, &wish.began, &plan)?;
    tell_agents(run, &counts);
    if let Some(agents) = wish.agents.as_ref().filter(|_| report.statistics.errors == 0) {
        tell_expiring(run, arguments, agents)?;
    }
    Ok((repository, report))
}

/// Returns what links in agents' folders lead to, where that is to be saved; says what is not.
fn linked(
    run: &Run,
    arguments: &BackupArguments,
    agents: Option<&AgentsWish>,
    excludes: &ExcludeOptions,
) -> Result<Vec<PathBuf>> {
    let Some(agents) = agents else { return Ok(Vec::new()) };
    let is_read = |it: &&FoundAgent| agents.read.contains(&it.agent.id);
    let mut paths = Vec::new();
    for found in agents.all.found.iter().filter(is_read) {
        let follows = arguments.follow_links || found.follows_links;
        if !follows && !arguments.dry_run {
            continue;
        }
        let sources = agents.all.sources_of(&[found], &agent_wish(arguments), excludes)?;
        for link in outside_links(found, &sources, run.environment.home().as_deref()) {
            let names = [&link.link, &link.target].map(|it| name::shown(it.as_os_str().as_bytes()));
            let [at, target] = names;
            if !follows {
                run.screen.warning(&format!(
                    "`{at}` is a link to `{target}`, which is not saved; `--follow-links` saves it, too"
                ));
            } else if link.is_too_much {
                run.screen.warning(&format!(
                    "`{at}` is a link to `{target}`, which holds much more; only the link is saved"
                ));
            } else {
                paths.push(link.target);
            }
        }
    }
    paths.sort_unstable();
    paths.dedup();
    Ok(paths)
}

/// Counts what would be saved of each agent that is read.
fn agents_plan<'a>(wish: &'a Wish, options: &BackupOptions) -> Vec<AgentPlan<'a>> {
    let agents = wish.agents.iter().flat_map(|agents| {
        agents.all.found.iter().filter(|found| agents.read.contains(&found.agent.id))
    });
    agents.map(|found| AgentPlan { found, kept: holdings(found, &options.agents) }).collect()
}

/// Notes what was saved.
fn note(record: &mut RunRecord, report: &BackupReport) {
    let statistics = &report.statistics;
    record.snapshot = report.snapshot.or(report.parent).map(|id| id.to_string());
    record.unchanged = report.snapshot.is_none();
    record.figures = RunFigures {
        files: statistics.files,
        bytes: statistics.bytes,
        files_new: statistics.files_new,
        files_changed: statistics.files_changed,
        added_bytes: statistics.added_bytes,
        stored_bytes: statistics.stored_bytes,
        errors: statistics.errors,
    };
}

/// Says what of the agents should be known.
fn tell_agents(run: &Run, counts: &AgentCounts) {
    for (agent, place, in_projects) in counts.without_sessions() {
        run.screen.warning(&format!(
            "no session of {agent} was recognised in `{}`; all that is there is saved{}",
            name::shown(place.as_os_str().as_bytes()),
            if in_projects {
                ". It keeps them in projects: `stash setup` looks for these"
            } else {
                ""
            }
        ));
    }
    let mixed = counts.mixed_secrets();
    if !mixed.is_empty() {
        let shown = |path: &PathBuf| format!("`{}`", name::shown(path.as_os_str().as_bytes()));
        run.screen.warning(&format!(
            "these hold credentials beside other things, and are saved: {}",
            mixed.iter().map(shown).collect::<Vec<_>>().join(", ")
        ));
    }
}

/// Says which sessions their agents will delete soon: they are saved now.
fn tell_expiring(run: &Run, arguments: &BackupArguments, agents: &AgentsWish) -> Result<()> {
    if arguments.dry_run || run.screen.is_quiet() || run.screen.is_json() {
        return Ok(());
    }
    let deletes = |found: &&FoundAgent| {
        agents.read.contains(&found.agent.id)
            && found.agent.retention.as_ref().is_some_and(|it| it.deletes)
    };
    let found: Vec<&FoundAgent> = agents.all.found.iter().filter(deletes).collect();
    let sources =
        agents.all.sources_of(&found, &AgentWish::default(), &ExcludeOptions::default())?;
    let now = run.clock.now();
    let files = local_files(&found, &sources);
    let count = files.iter().filter(|file| file.is_expiring(now)).count();
    if count > 0 {
        run.screen.note(&format!(
            "{} will be deleted by their agents within three days, and are saved: `stash list --expiring`",
            counted(count as u64, "session")
        ));
    }
    Ok(())
}

/// Forgets what the job's policy does not keep, if all was saved. What comes of it is told, and does
/// not change what came of the backup.
fn keep(run: &Run, job: &Job, repository: &Opened, report: &BackupReport, is_locked: bool) {
    let Some(policy) = job.policy().filter(|_| report.statistics.errors == 0) else { return };
    let host = job.arguments.host.as_ref().unwrap_or(&run.identity.host);
    let name = job.arguments.job.as_deref().unwrap_or_default();
    let lock = (!is_locked).then(|| run.lock(repository.id())).transpose();
    let applied = lock.and_then(|_lock| forget::by_job(run, repository, host, name, policy));
    if let Err(error) = applied {
        run.screen.warning(&format!(
            "the policy of the job `{name}` was not applied: {}",
            error.with_hint()
        ));
    }
}

/// Saves straight into the further repositories, since the main one failed; returns that failure.
fn without_main(run: &Run, job: &Job, wish: &Wish, record: &mut RunRecord, error: Error) -> Error {
    let arguments = &job.arguments;
    let may_help =
        matches!(error.kind(), Kind::Store | Kind::Damaged | Kind::NoRepository | Kind::Failed);
    let is_stream = arguments.stdin || arguments.stdin_from_command;
    if arguments.also.is_empty() || arguments.dry_run || is_stream || !may_help {
        return error;
    }
    run.screen
        .warning(&format!("{}; saving straight into the other repositories", error.with_hint()));
    let saved = also::each(run, arguments, record, |other| {
        let Told { options, .. } = told(run, arguments, wish, other)?;
        let report = save(run, arguments, other, &options)?;
        let stored_bytes = report.statistics.stored_bytes;
        Ok(Brought { snapshot: report.snapshot, was_there: false, stored_bytes })
    });
    match saved {
        Err(other) if other.kind() == Kind::Interrupted => other,
        _ => error,
    }
}

fn told(run: &Run, arguments: &BackupArguments, wish: &Wish, repository: &Opened) -> Result<Told> {
    let skip = own_folders(run, arguments, repository);
    let excludes = ExcludeOptions { skip, ..wish.excludes.clone() };
    let (agents, counts, elsewhere) = match &wish.agents {
        Some(agents) => agent_sources(arguments, agents, &excludes)?,
        None => Default::default(),
    };
    let moment = wish.time.unwrap_or(wish.began.time);
    let options = BackupOptions {
        agents,
        excludes: Arc::new(Excludes::new(&excludes)?.with_elsewhere(elsewhere.into_iter())),
        host: arguments.host.clone().unwrap_or_else(|| run.identity.host.clone()),
        user: run.identity.user.clone(),
        job: arguments.job.clone().unwrap_or_else(|| job_of(wish)),
        paths: wish.paths.iter().chain(&wish.linked).cloned().collect(),
        tags: tags(arguments),
        time: wish.time,
        offset_minutes: machine::offset_minutes(moment, &run.zone).into(),
        force: arguments.force,
        always: arguments.always,
        is_safety: false,
        dry_run: arguments.dry_run,
        compression: arguments.compression.into(),
        threads: machine::worker_count(),
        check_databases_after: arguments.check_databases.interval(),
        observer: wish.agents.as_ref().map(|agents| observer(agents)),
        temporary_folder: temporary_folder(run)?,
    };
    Ok(Told { options, counts })
}

/// Returns what notes the sessions of the agents that are read.
fn observer(agents: &AgentsWish) -> Arc<dyn Observer> {
    let read = agents.all.found.iter().filter(|it| agents.read.contains(&it.agent.id));
    Arc::new(SessionObserver::new(read.map(|found| Arc::clone(&found.agent))))
}

/// Returns what is read of agents, and the places that are theirs alone.
fn agent_sources(
    arguments: &BackupArguments,
    agents: &AgentsWish,
    excludes: &ExcludeOptions,
) -> Result<(AgentSources, AgentCounts, Vec<PathBuf>)> {
    let is_read = |it: &&FoundAgent| agents.read.contains(&it.agent.id);
    let read: Vec<&FoundAgent> = agents.all.found.iter().filter(is_read).collect();
    let (mut sources, counts) =
        agents.all.counted_sources(&read, &agent_wish(arguments), excludes)?;
    if let Some(carried) = &agents.carried {
        sources.carried.retain(|id| carried.contains(id) || agents.read.contains(id));
    }
    let whole = agents.all.whole_places(&sources);
    Ok((sources, counts, whole))
}

fn save(
    run: &Run,
    arguments: &BackupArguments,
    repository: &Opened,
    options: &BackupOptions,
) -> Result<BackupReport> {
    let (clock, counters, screen) = (&run.clock, &*run.counters, &*run.screen);
    let path = || options.paths.first().cloned().unwrap_or_default();
    if arguments.stdin_from_command {
        let (mut command, mut output) = SourceCommand::start(&arguments.paths)?;
        let source =
            StreamSource { reader: &mut output, path: path(), finish: &mut || command.finish() };
        return backup_stream(repository, options, source, clock, counters, screen);
    }
    if arguments.stdin {
        let mut input = std::io::stdin();
        let source = StreamSource { reader: &mut input, path: path(), finish: &mut || Ok(()) };
        return backup_stream(repository, options, source, clock, counters, screen);
    }
    backup(repository, options, clock, counters, screen)
}

/// Returns what to save, as absolute paths; for a stream the path that it gets in the snapshot.
fn paths(arguments: &BackupArguments) -> Result<Vec<PathBuf>> {
    if arguments.stdin || arguments.stdin_from_command {
        let below_root = Path::new("/").join(&arguments.stdin_filename);
        let path = machine::absolute_path(&below_root)?;
        return match path.file_name() {
            Some(_) => Ok(vec![path]),
            None => Err(Error::usage("`--stdin-filename` is no file's name")),
        };
    }
    let mut words: Vec<OsString> = arguments.paths.clone();
    for file in &arguments.files_from {
        words.extend(machine::read_entries(file)?);
    }
    if words.is_empty() && !arguments.files_from.is_empty() {
        return Err(Error::usage("nothing to save: the list of paths is empty"));
    }
    words.iter().map(|path| machine::absolute_path(Path::new(path))).collect()
}

fn agent_wish(arguments: &BackupArguments) -> AgentWish {
    AgentWish {
        agents: arguments.agents.clone(),
        only: arguments.only.iter().flat_map(|word| word.0.iter().copied()).collect(),
        without_secrets: arguments.secrets == Some(SecretsPolicy::Exclude),
    }
}

/// All runs for agents are of one line, whatever is chosen: what is not chosen is carried over.
fn job_of(wish: &Wish) -> String {
    match (&wish.agents, wish.paths.is_empty()) {
        (Some(_), true) => "agents".to_owned(),
        (Some(_), false) => job_name_of(&["agents".to_owned(), job_name(&wish.paths)]),
        (None, _) => job_name(&wish.paths),
    }
}

fn tags(arguments: &BackupArguments) -> Vec<String> {
    let mut tags: Vec<String> =
        arguments.tags.iter().filter(|tag| !tag.is_empty()).cloned().collect();
    tags.sort_unstable();
    tags.dedup();
    tags
}

fn exclude_options(arguments: &BackupArguments) -> Result<ExcludeOptions> {
    let mut exclude_lines = Vec::new();
    for file in &arguments.exclude_file {
        exclude_lines.extend(machine::read_lines(file)?);
    }
    Ok(ExcludeOptions {
        exclude: patterns(&arguments.exclude)?,
        iexclude: patterns(&arguments.iexclude)?,
        exclude_lines,
        exclude_if_present: patterns(&arguments.exclude_if_present)?,
        exclude_caches: arguments.leaves_out_caches(),
        exclude_larger_than: arguments.exclude_larger_than,
        one_file_system: arguments.one_file_system,
        gitignore: arguments.gitignore,
        skip: Vec::new(),
    })
}

/// Returns patterns as text, which they must be.
pub(super) fn patterns(words: &[OsString]) -> Result<Vec<String>> {
    let text = |word: &OsString| {
        word.to_str().map(str::to_owned).ok_or_else(|| {
            Error::usage("this pattern is not valid UTF-8:")
                .object(name::shown(word.as_bytes()))
                .hint("`?` stands for a letter that can't be written")
        })
    };
    words.iter().map(text).collect()
}

/// The folders that no backup holds: what is in them is made from the repository, or is it.
fn own_folders(run: &Run, arguments: &BackupArguments, repository: &Opened) -> Vec<PathBuf> {
    let own = [&run.places.cache, &run.places.state];
    let also = arguments.also.iter().filter_map(|text| run.location(text).ok());
    let folders = repository.folder().into_iter().chain(own.map(PathBuf::as_path));
    let mut folders: Vec<PathBuf> = folders.map(Path::to_owned).collect();
    folders.extend(also.filter_map(|location| location.folder().map(Path::to_owned)));
    folders
}

/// Returns where private copies of databases go: beside the cache, which no backup includes.
pub(super) fn temporary_folder(run: &Run) -> Result<PathBuf> {
    let folder = run.places.cache.join("tmp");
    machine::make_private_folder(&folder)?;
    machine::remove_older(&folder, COPY_AGE);
    Ok(folder)
}

/// Returns a name that is the same whenever the same paths are given.
fn job_name(paths: &[PathBuf]) -> String {
    let mut names: Vec<String> =
        paths.iter().map(|path| name::shown(path.as_os_str().as_bytes())).collect();
    names.sort_unstable();
    names.dedup();
    job_name_of(&names)
}

fn job_name_of(names: &[String]) -> String {
    let whole = names.join(" ");
    if whole.len() <= JOB_LENGTH {
        return whole;
    }
    let end = whole.floor_char_boundary(JOB_LENGTH);
    let begin = whole.get(..end).unwrap_or_default();
    format!("{begin}… {}", object_hash(whole.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_named_by_its_paths_whatever_their_order() {
        let job = |paths: &[&str]| job_name(&paths.iter().map(PathBuf::from).collect::<Vec<_>>());
        assert_eq!(job(&["/b", "/a", "/b"]), "/a /b");
        assert_eq!(job(&["/a\n"]), "/a\\n");
        let many: Vec<String> = (0..200).map(|number| format!("/folder/{number}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let (all, fewer) = (job(&many), job(many.split_last().unwrap().1));
        assert!(all.len() < 600 && all != fewer);
    }
}
