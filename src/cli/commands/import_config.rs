//! `stash import-config`: exported settings into the folders where this machine's agents keep theirs.

use std::collections::BTreeMap;

use super::open::Run;
use super::repository::{Opened, passphrase_text};
use super::restore_agent::{remember_paths, save_before};
use crate::agents::AgentRoot;
use crate::cli::args::ImportConfigArguments;
use crate::cli::ask;
use crate::cli::figures::counted;
use crate::cli::json::{ImportSummary, SettingLine};
use crate::cli::name;
use crate::error::{Error, Kind, Result};
use crate::id::SnapshotId;
use crate::machine::{
    self, FoundAgent, LONGEST_SETTINGS, MachineAgents, Opener, PlannedSetting, RunLock,
    SettingsFate,
};

pub(super) fn run(run: &Run, arguments: &ImportConfigArguments) -> Result<u8> {
    let file = machine::absolute_path(&arguments.file)?;
    let bytes = machine::read_bytes(&file, LONGEST_SETTINGS)?;
    let bytes = if machine::is_sealed(&bytes) { open(run, arguments, &bytes)? } else { bytes };
    let (manifest, files) = machine::read_settings(&bytes)?;
    let agents = MachineAgents::find(&run.places, &run.environment)?;
    let mut known: BTreeMap<String, Option<FoundAgent>> = BTreeMap::new();
    let mut plan = Vec::new();
    for file in files {
        let found = known
            .entry(file.agent.clone())
            .or_insert_with(|| agents.known(&file.agent, &run.environment).ok());
        plan.push(machine::plan_setting(found.as_ref(), file, arguments.force)?);
    }
    match &manifest {
        Some(manifest) => run.screen.note(&format!(
            "settings of `{}`, exported {}",
            name::shown(manifest.host.as_bytes()),
            name::shown(manifest.time.as_bytes())
        )),
        None => run.screen.note("settings that claude-backup exported"),
    }
    show(run, &plan)?;
    if arguments.dry_run || !plan.iter().any(PlannedSetting::writes) {
        return end(run, arguments, &plan, false);
    }
    consent(run, arguments)?;
    let touched = known
        .into_values()
        .flatten()
        .filter(|found| plan.iter().any(|it| it.writes() && it.agent == found.agent.id));
    let touched: Vec<FoundAgent> = touched.collect();
    if !arguments.force {
        touched.iter().try_for_each(machine::refuse_running)?;
    }
    let saved = save(run, arguments, &agents, &touched)?;
    let mut result = Ok(());
    let mut made: Vec<&PlannedSetting> = Vec::new();
    for planned in plan.iter().filter(|planned| planned.writes()) {
        result = planned.write();
        if result.is_err() {
            break;
        }
        made.push(planned);
    }
    if let Some(saved) = &saved {
        for (agent, before) in &saved.befores {
            let paths = made.iter().filter(|it| it.agent == *agent);
            let new = paths.filter(|it| it.fate == SettingsFate::New);
            let new = new.filter_map(|it| it.path()).collect();
            let what = format!("imported settings of {agent}");
            remember_paths(run, &saved.repository, agent, *before, what, new)?;
        }
    }
    result?;
    let can_undo = saved.is_some_and(|saved| saved.befores.len() == touched.len());
    end(run, arguments, &plan, can_undo)
}

/// Opens an age file.
fn open(run: &Run, arguments: &ImportConfigArguments, bytes: &[u8]) -> Result<Vec<u8>> {
    let opener = match &arguments.identity {
        Some(file) => Opener::Identities(machine::read_text(file)?.into()),
        None if machine::is_by_passphrase(bytes)? => Opener::Passphrase(passphrase(run)?),
        None => {
            return Err(Error::new(
                Kind::WrongPassphrase,
                "the age file is for the owner of a key",
            )
            .hint("`--identity FILE` names the file with the secret key"));
        }
    };
    machine::open_sealed(bytes, &opener, LONGEST_SETTINGS)
}

fn passphrase(run: &Run) -> Result<zeroize::Zeroizing<String>> {
    if let Some(passphrase) = machine::explicit_source(&run.global.secret(), &run.environment)? {
        return passphrase_text(&passphrase.text);
    }
    let text = ask::secret("passphrase of the age file: ")?.ok_or_else(|| {
        Error::new(
            Kind::WrongPassphrase,
            "the age file needs a passphrase, and nobody can be asked",
        )
        .hint("give `--passphrase-file FILE`")
    })?;
    passphrase_text(&text)
}

fn show(run: &Run, plan: &[PlannedSetting]) -> Result<()> {
    for planned in plan {
        let (action, what) = words(planned.fate);
        if planned.fate == SettingsFate::Same {
            continue;
        }
        if run.screen.is_json() {
            let mut item = serde_json::Map::new();
            name::insert(&mut item, "item", &planned.name);
            let line = SettingLine { action, what: what.map(str::to_owned), item };
            run.screen.line("setting", &line)?;
        } else {
            let why = what.map(|what| format!(" ({what})")).unwrap_or_default();
            run.screen.summary(&format!("{action:<9} {}{why}", name::shown(&planned.name)))?;
        }
    }
    Ok(())
}

fn words(fate: SettingsFate) -> (&'static str, Option<&'static str>) {
    match fate {
        SettingsFate::New => ("new", None),
        SettingsFate::Same => ("same", None),
        SettingsFate::Joined => ("joined", None),
        SettingsFate::Replaced => ("replaced", None),
        SettingsFate::Kept(why) => ("kept", Some(why)),
        SettingsFate::Skipped(why) => ("skipped", Some(why)),
    }
}

fn consent(run: &Run, arguments: &ImportConfigArguments) -> Result<()> {
    if arguments.yes {
        return Ok(());
    }
    match ask::consent("Settings and skills may hold commands that the agent runs. Go on?")? {
        Some(true) => Ok(()),
        Some(false) => {
            run.screen.note("nothing was changed");
            Err(Error::new(Kind::Interrupted, "not confirmed; nothing was changed"))
        }
        None => Err(Error::usage("files would change, and nobody can be asked")
            .hint("`--yes` says so in advance; `--dry-run` shows what would change")),
    }
}

/// What the agents had before, and the lock that keeps other runs away.
struct Saved {
    repository: Opened,
    befores: Vec<(String, SnapshotId)>,
    _lock: RunLock,
}

/// Saves what the agents have now. Without a repository nothing is replaced, and nothing undone.
fn save(
    run: &Run,
    arguments: &ImportConfigArguments,
    agents: &MachineAgents,
    touched: &[FoundAgent],
) -> Result<Option<Saved>> {
    let repository = match run.current_repository() {
        Ok(repository) => repository,
        Err(error) if error.kind() == Kind::NoRepository && !arguments.force => {
            run.screen.note("there is no repository, so this can't be undone");
            return Ok(None);
        }
        Err(error) if error.kind() == Kind::NoRepository => {
            return Err(error.hint("`--force` saves what it replaces: run `stash backup` first"));
        }
        Err(error) => return Err(error),
    };
    let lock = run.lock(repository.id())?;
    let mut befores = Vec::new();
    for found in touched {
        // Of an agent that has no folder here yet there is nothing to save.
        if found.roots.iter().any(AgentRoot::is_usable) {
            let before = save_before(run, agents, &repository, found)?;
            befores.push((found.agent.id.clone(), before));
        }
    }
    Ok(Some(Saved { repository, befores, _lock: lock }))
}

fn end(
    run: &Run,
    arguments: &ImportConfigArguments,
    plan: &[PlannedSetting],
    can_undo: bool,
) -> Result<u8> {
    let count =
        |wanted: &str| plan.iter().filter(|planned| words(planned.fate).0 == wanted).count() as u64;
    let summary = ImportSummary {
        dry_run: arguments.dry_run,
        new: count("new"),
        joined: count("joined"),
        replaced: count("replaced"),
        same: count("same"),
        kept: count("kept"),
        skipped: count("skipped"),
        can_undo,
    };
    if run.screen.is_json() {
        run.screen.message("import_summary", &summary)?;
        return Ok(0);
    }
    let begin = if arguments.dry_run { "would import" } else { "imported" };
    let mut text = format!(
        "{begin} {} ({} joined, {} replaced); {} the same, {} kept, {} passed over",
        counted(summary.new + summary.joined + summary.replaced, "file"),
        summary.joined,
        summary.replaced,
        summary.same,
        summary.kept,
        summary.skipped,
    );
    if can_undo {
        text.push_str("; `stash undo` takes it back");
    }
    if summary.kept > 0 && !arguments.force {
        text.push_str("; `--force` replaces what is kept");
    }
    run.screen.summary(&text)?;
    Ok(0)
}
