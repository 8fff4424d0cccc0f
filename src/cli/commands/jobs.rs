//! `stash backup`: which jobs run, with which options, and what happens around each.
//!
//! Without a job in the configuration, or with a path, there is one: what the command line says. Else
//! each job of the configuration is one, or the one that `--job` names. What an option or a variable
//! says holds before what the job says; patterns to leave out add up. A job that fails does not stop
//! the next.

use std::ffi::OsString;
use std::path::PathBuf;

use super::backup::{AgentsWish, save_job};
use super::open::Run;
use crate::agents::Catalog;
use crate::cli::args::{BackupArguments, CategoryWord, SecretsPolicy};
use crate::engine::retention::Policy;
use crate::error::{Error, Kind, Result};
use crate::machine::{
    self, AgentsOfJob, Chosen, JobEntry, MachineAgents, RunFigures, RunRecord, RunResult,
};
use crate::time::Clock as _;

/// One run of `backup`: what is saved and where to, and what happens around it.
pub(super) struct Job {
    /// The options, those of the configuration among them.
    pub(super) arguments: BackupArguments,
    /// The main repository.
    pub(super) main: Chosen,
    /// What the configuration says of it; `None` for what only the command line says.
    entry: Option<JobEntry>,
}

impl Job {
    /// Returns the policy that applies after it.
    pub(super) fn policy(&self) -> Option<&Policy> {
        let keep = self.entry.as_ref()?.keep.as_ref().filter(|_| !self.arguments.no_forget);
        keep.map(|it| &it.value)
    }

    fn command(
        &self,
        pick: impl Fn(&JobEntry) -> Option<&machine::Stated<String>>,
    ) -> Option<&str> {
        let entry = self.entry.as_ref().filter(|_| !self.arguments.dry_run)?;
        pick(entry).map(|it| it.value.as_str())
    }

    fn name(&self) -> &str {
        self.entry.as_ref().map_or("", |it| it.name.as_str())
    }
}

pub(super) fn run(run: &Run, arguments: &BackupArguments) -> Result<u8> {
    run.stop_on_signals()?;
    let jobs = chosen(run, arguments)?;
    if let [job] = jobs.as_slice() {
        return one(run, job);
    }
    let mut code = 0;
    for job in &jobs {
        run.screen.note(&format!("job `{}`", job.name()));
        match one(run, job) {
            Ok(own) => code = worse(code, own),
            Err(error) if error.kind() == Kind::Interrupted => return Err(error),
            Err(error) => {
                run.screen.failure(&error);
                code = worse(code, error.kind().exit_code());
            }
        }
    }
    Ok(code)
}

/// Returns the worse of two exit codes: that some items failed is better than any failure, and of
/// two failures the first is told.
fn worse(one: u8, other: u8) -> u8 {
    let rank = |code: u8| match code {
        0 => 0,
        3 => 1,
        _ => 2,
    };
    if rank(other) > rank(one) { other } else { one }
}

/// Returns what is to run.
fn chosen(run: &Run, arguments: &BackupArguments) -> Result<Vec<Job>> {
    let config = run.config()?;
    let names_paths = !arguments.paths.is_empty()
        || !arguments.files_from.is_empty()
        || arguments.stdin
        || arguments.stdin_from_command;
    let typed = || Ok(vec![Job { arguments: arguments.clone(), main: run.chosen()?, entry: None }]);
    if config.jobs.is_empty() {
        return typed();
    }
    match (&arguments.job, names_paths) {
        (Some(name), true) if config.jobs.iter().any(|it| it.name == *name) => {
            Err(Error::usage(format!("the configuration says what the job `{name}` saves"))
                .hint("leave the path out, or name another line of snapshots"))
        }
        (_, true) => typed(),
        (Some(name), false) => Ok(vec![merged(run, config.job(name)?, arguments)?]),
        (None, false) => {
            let mut jobs: Vec<&JobEntry> = config.jobs.iter().collect();
            if !arguments.agents.is_empty() || !arguments.only.is_empty() {
                let catalog = machine::agent_catalog(&run.places)?;
                jobs.retain(|job| takes(job, &arguments.agents, &catalog));
            }
            if jobs.is_empty() {
                return typed();
            }
            jobs.into_iter().map(|job| merged(run, job, arguments)).collect()
        }
    }
}

/// Returns whether a job saves one of these agents; any, if none is named.
fn takes(job: &JobEntry, names: &[String], catalog: &Catalog) -> bool {
    match job.agents.as_ref().map(|it| &it.value) {
        None | Some(AgentsOfJob::All) => true,
        Some(AgentsOfJob::These(own)) if names.is_empty() => !own.is_empty(),
        Some(AgentsOfJob::These(own)) => {
            let id = |name: &String| catalog.find(name).ok().map(|agent| agent.id.clone());
            own.iter().any(|own| names.iter().any(|name| id(own).is_some() && id(own) == id(name)))
        }
    }
}

/// Returns a job with the options that hold for it.
fn merged(run: &Run, job: &JobEntry, said: &BackupArguments) -> Result<Job> {
    let mut arguments = said.clone();
    arguments.job = Some(job.name.clone());
    if let Some(paths) = &job.paths {
        for path in &paths.value {
            arguments.paths.push(run.environment.expand_home(path)?.into_os_string());
        }
    }
    if let Some(only) = job.only.as_ref().filter(|_| said.only.is_empty()) {
        arguments.only = vec![CategoryWord(only.value.clone())];
    }
    if let Some(exclude) = &job.exclude {
        for pattern in &exclude.value {
            let whole = run.environment.expand_home(&PathBuf::from(pattern))?;
            // Only a home is spelled out: the pattern may end in a slash.
            let is_home = pattern.starts_with("~/");
            let own = if is_home { whole.into_os_string() } else { OsString::from(pattern) };
            arguments.exclude.push(own);
        }
    }
    let policy =
        |exclude: bool| if exclude { SecretsPolicy::Exclude } else { SecretsPolicy::Encrypt };
    arguments.secrets = said.secrets.or(job.without_secrets.as_ref().map(|it| policy(it.value)));
    let main = repositories(run, job, &mut arguments)?;
    Ok(Job { arguments, main, entry: Some(job.clone()) })
}

/// Returns the main repository of a job, and adds the further ones to the options.
fn repositories(run: &Run, job: &JobEntry, arguments: &mut BackupArguments) -> Result<Chosen> {
    let is_named = machine::is_named(&run.global.location(), &run.environment);
    let Some(names) = job.repositories.as_ref().filter(|_| !is_named) else { return run.chosen() };
    let config = run.config()?;
    let Some((main, further)) = names.value.split_first() else { return run.chosen() };
    if arguments.also.is_empty() {
        arguments.also = further.iter().map(OsString::from).collect();
    }
    match config.repository(main) {
        Some(entry) => machine::chosen_entry(entry, &run.environment, config),
        None => run.chosen(),
    }
}

/// Returns the agents that a job reads and carries on, if it is about any.
pub(super) fn agents(run: &Run, job: &Job, paths: &[PathBuf]) -> Result<Option<AgentsWish>> {
    let arguments = &job.arguments;
    let taken = match &job.entry {
        Some(entry) => entry.agents.as_ref().map_or(&AgentsOfJob::All, |it| &it.value),
        None if arguments.agents.is_empty() && !paths.is_empty() => {
            return refuse_only(arguments).map(|()| None);
        }
        None => &AgentsOfJob::All,
    };
    if let (AgentsOfJob::These(none), true) = (taken, arguments.agents.is_empty())
        && none.is_empty()
    {
        return if paths.is_empty() { Err(saves_nothing(job)) } else { Ok(None) };
    }
    let all = MachineAgents::find(&run.places, &run.environment)?;
    let carried = match taken {
        AgentsOfJob::All => None,
        AgentsOfJob::These(names) => Some(ids(&all, names)?),
    };
    let read: Vec<String> = match (&carried, arguments.agents.is_empty()) {
        (Some(ids), true) => present(run, &all, ids),
        _ => all.chosen(&arguments.agents)?.into_iter().map(|it| it.agent.id.clone()).collect(),
    };
    if read.is_empty() && (job.entry.is_none() || paths.is_empty()) {
        return Err(Error::usage("no coding agent was found, and no path is named")
            .hint("`stash backup PATH` saves any path; `stash agents list` shows where agents are looked for"));
    }
    Ok(Some(AgentsWish { all, read, carried }))
}

fn ids(all: &MachineAgents, names: &[String]) -> Result<Vec<String>> {
    names.iter().map(|name| Ok(all.catalog.find(name)?.id.clone())).collect()
}

/// Returns those of the agents that are here; the others are told, and do not stop the rest.
fn present(run: &Run, all: &MachineAgents, ids: &[String]) -> Vec<String> {
    let (here, gone): (Vec<&String>, Vec<&String>) =
        ids.iter().partition(|id| all.found.iter().any(|it| it.agent.id == **id));
    for id in gone {
        run.screen.warning(&format!("the agent `{id}` is not on this machine"));
    }
    here.into_iter().cloned().collect()
}

fn refuse_only(arguments: &BackupArguments) -> Result<()> {
    if arguments.only.is_empty() {
        return Ok(());
    }
    Err(Error::usage("`--only` chooses among agents' files, and a path has none")
        .hint("leave the path out, or name an agent with `--agent`"))
}

fn saves_nothing(job: &Job) -> Error {
    Error::new(
        Kind::Config,
        format!("the job `{}` saves nothing: it has no agents and no paths", job.name()),
    )
    .hint("give it `paths`, or `agents = [\"all\"]`")
}

/// Runs one job, with its own commands around it, and remembers what came of it.
fn one(run: &Run, job: &Job) -> Result<u8> {
    let mut record = RunRecord {
        job: job.arguments.job.clone().unwrap_or_default(),
        repository: None,
        location: String::new(),
        began: run.clock.now().0,
        ended: 0,
        result: RunResult::Failed,
        exit_code: 0,
        error: None,
        snapshot: None,
        unchanged: false,
        figures: RunFigures::default(),
        agents: Vec::new(),
        also: Vec::new(),
        warnings: Vec::new(),
    };
    // What was told of another job is not this one's.
    drop(run.screen.take_warnings());
    let result = before(run, job).and_then(|()| save_job(run, job, &mut record));
    if job.arguments.dry_run {
        return result;
    }
    end(&mut record, &result);
    let result = after(run, job, &record, result);
    if let Err(error) = &result {
        record.exit_code = error.kind().exit_code();
        record.error.get_or_insert_with(|| error.to_string());
    }
    record.ended = run.clock.now().0;
    record.warnings = run.screen.take_warnings();
    if let Err(error) = machine::remember_run(&run.places, record) {
        run.screen.warning(&error.with_hint());
    }
    result
}

/// Notes what came of a run.
fn end(record: &mut RunRecord, result: &Result<u8>) {
    (record.result, record.exit_code) = match result {
        Ok(0) => (RunResult::Done, 0),
        Ok(code) => (RunResult::Partial, *code),
        Err(error) if error.kind() == Kind::Interrupted => {
            (RunResult::Interrupted, error.kind().exit_code())
        }
        Err(error) => (RunResult::Failed, error.kind().exit_code()),
    };
    record.error = result.as_ref().err().map(ToString::to_string);
}

fn before(run: &Run, job: &Job) -> Result<()> {
    let Some(command) = job.command(|it| it.before.as_ref()) else { return Ok(()) };
    machine::run_job_command("before", command, job.name(), None)?;
    run.counters.go_on()
}

/// Runs what is to run after a job: `on_failure` if it failed, and `after` in any case. Where the
/// backup itself failed, that stays the error.
fn after(run: &Run, job: &Job, record: &RunRecord, result: Result<u8>) -> Result<u8> {
    if let (Some(command), RunResult::Failed) =
        (job.command(|it| it.on_failure.as_ref()), record.result)
        && let Err(error) =
            machine::run_job_command("on_failure", command, job.name(), Some(record))
    {
        run.screen.warning(&error.with_hint());
    }
    let Some(command) = job.command(|it| it.after.as_ref()) else { return result };
    let done = machine::run_job_command("after", command, job.name(), Some(record));
    match (result, done) {
        (Ok(_), Err(error)) => Err(error),
        (result, Ok(())) => result,
        (Err(failed), Err(error)) => {
            run.screen.warning(&error.with_hint());
            Err(failed)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_exit_code_counts_and_of_two_failures_the_first() {
        for (one, other, both) in
            [(0, 0, 0), (0, 3, 3), (3, 0, 3), (3, 14, 14), (14, 3, 14), (14, 17, 14), (17, 0, 17)]
        {
            assert_eq!(worse(one, other), both, "{one} {other}");
        }
    }
}
