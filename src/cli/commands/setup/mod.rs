//! `stash setup`: asks, proposes a Plan, writes once.
//!
//! Nothing is written before the Plan is agreed to. Then come the repository, the configuration, the
//! first backup and the proof that it can be had back, in this order: whatever ends the run between
//! two of them, the same command goes on from there, since what is there is taken as the answer.

mod place;
mod proof;
mod questions;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use self::place::Place;
use self::questions::Questions;
use super::key_device::prefer_keychain;
use super::open::Run;
use super::repository::{Make, Opened};
use super::{jobs, key};
use crate::cli::args::{Arguments, Command, SecretsPolicy, SetupArguments, parse};
use crate::cli::figures::{counted, size};
use crate::cli::table::{Align, Table};
use crate::codec::crypto::{SlotSecret, read_recovery_words};
use crate::error::{Error, Kind, Result};
use crate::files::ExcludeOptions;
use crate::format::tree::Category;
use crate::machine::{
    self, AgentWish, AgentsOfJob, Config, ConfigDraft, MachineAgents, Passphrase, SecretText,
    change_config,
};
use crate::repository::InitOptions;
use crate::repository::snapshots::{SnapshotFilter, SnapshotWish};
use crate::time::Clock as _;

/// The job that setup makes.
const JOB: &str = "agents";
/// How often it runs, unless something else is said.
const HOURLY: &str = "hourly";
/// What is kept of its snapshots: the last ones, and by day, week and month.
const KEEP: [(&str, i64); 4] = [("last", 7), ("daily", 30), ("weekly", 12), ("monthly", 6)];

/// What was answered.
struct Answers {
    /// Ids; `None`: all that are found, and those that come.
    agents: Option<Vec<String>>,
    paths: Vec<PathBuf>,
    without_secrets: bool,
    /// `None`: only when it is told to.
    schedule: Option<String>,
    passphrase: Option<SecretText>,
    /// By agent the folders in which it keeps sessions, those that the configuration names among them.
    projects: BTreeMap<String, Vec<String>>,
}

pub(super) fn run(run: &Run, arguments: &SetupArguments) -> Result<u8> {
    run.stop_on_signals()?;
    if run.screen.is_json() {
        return Err(Error::usage("`setup` has no JSON")
            .hint("`stash config show --json` and `stash agents list --json` say what it did"));
    }
    // It becomes part of a file's name before the configuration is checked with it.
    let is_plain = |letter: char| letter.is_alphanumeric() || "._-".contains(letter);
    if !arguments.name.starts_with(char::is_alphanumeric) || !arguments.name.chars().all(is_plain) {
        return Err(Error::usage("a repository can't be called").object(arguments.name.clone()));
    }
    let config = run.config()?.clone();
    let agents = MachineAgents::find(&run.places, &run.environment)?;
    let questions = Questions::new(arguments.yes)?;
    let mut answers = Answers {
        agents: ask_agents(run, &questions, arguments, &agents, &config)?,
        paths: ask_paths(run, &questions, arguments, &agents, &config)?,
        without_secrets: ask_secrets(&questions, arguments, &config)?,
        schedule: None,
        passphrase: None,
        projects: BTreeMap::new(),
    };
    answers.projects = projects(run, &answers, &agents, &config)?;
    let place = place::find(run, &questions)?;
    check_join(arguments, &questions, &place)?;
    if !place.is_taken && run.named_passphrase(&place.location)?.is_none() {
        answers.passphrase = ask_passphrase(run, &questions)?;
    }
    answers.schedule = ask_schedule(&questions, arguments, &config)?;
    run.screen.note(&plan(&place, &answers, &agents));
    if !questions.agree("Do this?", true)? {
        return Err(Error::new(Kind::Interrupted, "not agreed to; nothing was set up"));
    }
    set_up(arguments, &questions, place, &answers)
}

/// Returns where agents keep sessions in projects: what the configuration names, and what is found.
fn projects(
    run: &Run,
    answers: &Answers,
    agents: &MachineAgents,
    config: &Config,
) -> Result<BTreeMap<String, Vec<String>>> {
    let Some(home) = run.environment.home() else { return Ok(BTreeMap::new()) };
    let mut projects = BTreeMap::new();
    for (id, folders) in machine::discover_projects(agents, &home)? {
        if answers.agents.as_ref().is_some_and(|chosen| !chosen.contains(&id)) {
            continue;
        }
        let entry = config.agents.iter().find(|entry| entry.id == id);
        let named = entry.and_then(|entry| entry.projects.as_ref());
        let mut all: Vec<String> = Vec::new();
        for folder in named.iter().flat_map(|it| &it.value).chain(&folders) {
            let text = folder.display().to_string();
            if !all.contains(&text) {
                all.push(text);
            }
        }
        projects.insert(id, all);
    }
    Ok(projects)
}

/// Does what was agreed to.
fn set_up(
    arguments: &SetupArguments,
    questions: &Questions,
    mut place: Place,
    answers: &Answers,
) -> Result<u8> {
    let repository = make_or_join(arguments, &place, answers)?;
    if arguments.keychain {
        prefer_keychain(&place.run, &repository);
    }
    test_recovery(&place.run, questions, &repository)?;
    drop(repository);
    let command = place.credentials.take().map(|it| it.keep(&arguments.name)).transpose()?;
    write_config(&place, arguments, answers, command.as_deref())?;
    let run = place.run.with_repository(&place.text, command.map(Into::into))?;
    run.screen.note(&format!("wrote {}", run.places.config_file().display()));
    let mut code = 0;
    if !arguments.no_backup {
        code = save(&run)?;
        tell_proof(&run, &place)?;
    }
    tell_schedule(&run, answers);
    run.screen
        .note("`stash status` says how it is; `stash restore --agent ID` brings an agent back");
    Ok(code)
}

fn ask_agents(
    run: &Run,
    questions: &Questions,
    arguments: &SetupArguments,
    agents: &MachineAgents,
    config: &Config,
) -> Result<Option<Vec<String>>> {
    if !arguments.agents.is_empty() {
        let chosen = agents.chosen(&arguments.agents)?;
        return Ok(Some(chosen.into_iter().map(|it| it.agent.id.clone()).collect()));
    }
    let before = config.jobs.iter().find(|job| job.name == JOB).and_then(|job| job.agents.clone());
    let before = match before.map(|stated| stated.value) {
        Some(AgentsOfJob::These(ids)) => Some(ids),
        _ => None,
    };
    if agents.found.is_empty() {
        run.screen
            .note("no coding agent was found; `stash agents list` shows where one is looked for");
        return Ok(before);
    }
    run.screen.note(&format!("found:\n{}", found_table(agents)?));
    if !questions.is_asked() {
        return Ok(before);
    }
    let items: Vec<String> = agents.found.iter().map(|it| it.agent.name.clone()).collect();
    let is_on = |id: &String| before.as_ref().is_none_or(|ids| ids.contains(id));
    let proposed: Vec<bool> = agents.found.iter().map(|it| is_on(&it.agent.id)).collect();
    let chosen = questions.choose_many("Which agents to save?", &items, &proposed)?;
    if chosen.len() == items.len() {
        return Ok(None);
    }
    let ids = agents.found.iter().map(|it| it.agent.id.clone()).enumerate();
    Ok(Some(ids.filter(|(place, _)| chosen.contains(place)).map(|(_, id)| id).collect()))
}

fn found_table(agents: &MachineAgents) -> Result<String> {
    let sources = agents.sources(&AgentWish::default(), &ExcludeOptions::default())?;
    let mut table = Table::new([
        ("agent", Align::Left),
        ("session files", Align::Right),
        ("files", Align::Right),
        ("size", Align::Right),
        ("where", Align::Left),
    ]);
    for found in &agents.found {
        let holdings = machine::holdings(found, &sources);
        let sums = holdings.categories.values();
        let (files, bytes) = sums.fold((0_u64, 0_u64), |all, one| {
            (all.0.saturating_add(one.0), all.1.saturating_add(one.1))
        });
        let sessions = holdings.categories.get(&Category::Sessions);
        let place = found.roots.iter().find(|root| root.is_usable());
        table.row([
            found.agent.name.clone(),
            sessions.map_or(0, |it| it.0).to_string(),
            files.to_string(),
            size(bytes),
            place.map(|root| root.place.display().to_string()).unwrap_or_default(),
        ]);
    }
    Ok(table.to_string())
}

fn ask_paths(
    run: &Run,
    questions: &Questions,
    arguments: &SetupArguments,
    agents: &MachineAgents,
    config: &Config,
) -> Result<Vec<PathBuf>> {
    let before = config.jobs.iter().find(|job| job.name == JOB).and_then(|job| job.paths.clone());
    let mut paths = before.map(|stated| stated.value).unwrap_or_default();
    for path in &arguments.paths {
        let path = machine::absolute_path(path)?;
        if !path.exists() {
            return Err(Error::usage("there is no such folder:").object(path.display().to_string()));
        }
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    while questions.is_asked() && arguments.paths.is_empty() {
        let text = questions.text("Another folder to save, too (Enter: none)", "")?;
        if text.trim().is_empty() {
            break;
        }
        let path = machine::absolute_path(&run.environment.expand_home(Path::new(text.trim()))?)?;
        if path.exists() && !paths.contains(&path) {
            paths.push(path);
        } else if !path.exists() {
            questions.say(&format!("there is no `{}`", path.display()));
        }
    }
    if agents.found.is_empty() && paths.is_empty() {
        return Err(Error::usage("there is nothing to save: no coding agent was found").hint(
            "`stash setup --path FOLDER` saves a folder; `stash agents list` shows where agents \
             are looked for",
        ));
    }
    Ok(paths)
}

fn ask_secrets(questions: &Questions, arguments: &SetupArguments, config: &Config) -> Result<bool> {
    if let Some(policy) = arguments.secrets {
        return Ok(policy == SecretsPolicy::Exclude);
    }
    let before = config.jobs.iter().find(|job| job.name == JOB);
    let before = before.and_then(|job| job.without_secrets.as_ref()).is_some_and(|it| it.value);
    let question = "Save the agents' sign-in files, too? Everything is encrypted before it leaves";
    questions.agree(question, !before).map(|saved| !saved)
}

fn ask_schedule(
    questions: &Questions,
    arguments: &SetupArguments,
    config: &Config,
) -> Result<Option<String>> {
    if arguments.no_schedule {
        return Ok(None);
    }
    if let Some(given) = &arguments.schedule {
        return Ok((given != "off").then(|| given.clone()));
    }
    let before = config.jobs.iter().find(|job| job.name == JOB);
    let before = before.and_then(|job| job.schedule.as_ref()).map(|it| it.value.clone());
    let now = before.unwrap_or_else(|| HOURLY.to_owned());
    let items = ["hourly", "every 6 hours", "daily", "only when told to"].map(str::to_owned);
    let words = [HOURLY, "6h", "daily", "off"];
    let proposed = words.iter().position(|word| *word == now);
    let Some(proposed) = proposed else { return Ok(Some(now)) };
    let chosen = words.get(questions.choose("How often?", &items, proposed)?).copied();
    Ok(chosen.filter(|word| *word != "off").map(str::to_owned))
}

fn ask_passphrase(run: &Run, questions: &Questions) -> Result<Option<SecretText>> {
    if !questions.is_asked() {
        return Ok(None);
    }
    questions.say(
        "This computer opens the repository with a key of its own. A passphrase opens it from \
         anywhere; the recovery code, shown later, does, too.",
    );
    loop {
        let Some(first) = questions.secret("Passphrase (Enter: none): ")? else { return Ok(None) };
        let typed = Passphrase { text: first, came_from: "the terminal".to_owned() };
        if let Err(error) = typed.check_new() {
            run.screen.warning(&error.with_hint());
            continue;
        }
        match questions.secret("The same again: ")? {
            Some(second) if second.as_bytes() == typed.text.as_bytes() => {
                return Ok(Some(typed.text));
            }
            _ => questions.say("they differ; once more"),
        }
    }
}

/// A repository that is there is joined, and a missing one made, only as it was said.
fn check_join(arguments: &SetupArguments, questions: &Questions, place: &Place) -> Result<()> {
    match (place.is_taken, arguments.join) {
        (false, true) => Err(Error::new(Kind::NoRepository, "there is no repository to join in")
            .object(place.text.clone())
            .hint("leave `--join` out to make one")),
        (true, false) if questions.is_asked() => {
            let question = format!("A repository is in {} already. Save into it?", place.text);
            if questions.agree(&question, true)? {
                Ok(())
            } else {
                Err(Error::new(Kind::Interrupted, "not agreed to; nothing was set up"))
            }
        }
        _ => Ok(()),
    }
}

fn plan(place: &Place, answers: &Answers, agents: &MachineAgents) -> String {
    let mut text = String::from("plan:\n");
    let what = if place.is_taken { "save into" } else { "make" };
    let _ = writeln!(text, "  {what} the repository {}", place.text);
    let names = match &answers.agents {
        None if agents.found.is_empty() => "coding agents, when there are any".to_owned(),
        None => format!("{}, and agents that come", counted(agents.found.len() as u64, "agent")),
        Some(ids) => ids.join(", "),
    };
    let _ = writeln!(text, "  save {names}");
    for (id, folders) in &answers.projects {
        let name = agents.catalog.find(id).map_or(id.as_str(), |agent| agent.name.as_str());
        let _ = writeln!(text, "  save what {name} keeps in {}", folders.join(", "));
    }
    for path in &answers.paths {
        let _ = writeln!(text, "  save {}", path.display());
    }
    let secrets = if answers.without_secrets {
        "leave out files that hold nothing but credentials"
    } else {
        "save sign-in files, too, encrypted as all else (`--secrets exclude` leaves them out)"
    };
    let _ = writeln!(text, "  {secrets}");
    let kept = KEEP.map(|(period, count)| format!("{count} {period}")).join(", ");
    let _ = writeln!(text, "  keep of the snapshots: {kept}");
    let schedule = answers.schedule.as_deref().unwrap_or("only when told to");
    let _ = write!(text, "  save {schedule}");
    text
}

fn make_or_join(arguments: &SetupArguments, place: &Place, answers: &Answers) -> Result<Opened> {
    let run = &place.run;
    if !place.is_taken {
        let made = run.make_repository(arguments.create_bucket, None, &InitOptions::default())?;
        if let Some(passphrase) = &answers.passphrase {
            let text = super::repository::passphrase_text(passphrase)?;
            let secret = SlotSecret::Passphrase(text);
            made.add_key(&secret, "passphrase", None, run.clock.now())?;
        }
        return Ok(made);
    }
    let repository = run.repository(Make::Never)?;
    if machine::read_device_key(&run.places.keys(), repository.id())?.is_none() {
        key::add_device(run, &repository, None)?;
    }
    Ok(repository)
}

/// Has the recovery code proven to be kept, by three of its words.
fn test_recovery(run: &Run, questions: &Questions, repository: &Opened) -> Result<()> {
    let keys = run.places.keys();
    let Some(words) = machine::read_pending_recovery(&keys, repository.id())? else {
        return Ok(());
    };
    if !questions.is_asked() || read_recovery_words(&words).is_none() {
        return Ok(());
    }
    let words: Vec<&str> = words.split_whitespace().collect();
    for number in asked_words(words.len(), run.clock.now().0) {
        let question =
            format!("Word {} of the recovery code (Enter: later)", number.saturating_add(1));
        loop {
            let answer = questions.text(&question, "")?;
            if answer.trim().is_empty() {
                run.screen.note(
                    "the code waits on this computer until `stash key recovery --test` confirms it",
                );
                return Ok(());
            }
            if words.get(number).is_some_and(|word| word.eq_ignore_ascii_case(answer.trim())) {
                break;
            }
            questions.say("that is another word; look at the code above");
        }
    }
    machine::remove_pending_recovery(&keys, repository.id())?;
    run.screen.note("the recovery code is yours now; its copy on this computer is deleted");
    Ok(())
}

/// Returns which words are asked for: three, in ascending order, others each time.
fn asked_words(count: usize, now: i64) -> impl Iterator<Item = usize> {
    let seed = usize::try_from(now.unsigned_abs() / 1_000_000_007).unwrap_or_default();
    let third = (count / 3).max(1);
    (0..3)
        .map(move |part| part * third + (seed >> (part * 3)) % third)
        .filter(move |it| *it < count)
}

fn write_config(
    place: &Place,
    arguments: &SetupArguments,
    answers: &Answers,
    credentials_command: Option<&str>,
) -> Result<()> {
    let name = arguments.name.as_str();
    change_config(&place.run.places, |draft, _| {
        draft.set(&["repository"], name);
        draft.set(&["repositories", name, "location"], place.text.as_str());
        let global = &place.run.global;
        let given = [
            ("region", global.region.clone()),
            ("endpoint", global.endpoint.clone()),
            ("ca_file", global.ca_file.as_ref().map(|path| path.display().to_string())),
            ("credentials_command", credentials_command.map(str::to_owned)),
        ];
        for (key, value) in given {
            if let Some(value) = value {
                draft.set(&["repositories", name, key], value);
            }
        }
        draft.set_list(&["jobs", JOB, "repositories"], [name]);
        set_job(draft, answers);
        Ok(())
    })
    .map(drop)
}

fn set_job(draft: &mut ConfigDraft, answers: &Answers) {
    match &answers.agents {
        None => draft.set_list(&["jobs", JOB, "agents"], ["all"]),
        Some(ids) => draft.set_list(&["jobs", JOB, "agents"], ids.iter().map(String::as_str)),
    }
    let paths: Vec<String> = answers.paths.iter().map(|it| it.display().to_string()).collect();
    if paths.is_empty() {
        draft.remove(&["jobs", JOB, "paths"]);
    } else {
        draft.set_list(&["jobs", JOB, "paths"], paths.iter().map(String::as_str));
    }
    for (id, folders) in &answers.projects {
        draft.set_list(&["agents", id, "projects"], folders.iter().map(String::as_str));
    }
    let secrets = if answers.without_secrets { "exclude" } else { "encrypt" };
    draft.set(&["jobs", JOB, "secrets"], secrets);
    draft.set(&["jobs", JOB, "schedule"], answers.schedule.as_deref().unwrap_or("off"));
    draft.set_numbers_if_absent(&["jobs", JOB, "keep"], &KEEP);
}

/// Saves for the first time, as every run of the job will.
fn save(run: &Run) -> Result<u8> {
    let words = ["stash", "backup", "--job", JOB].map(OsString::from);
    match parse(&words, &run.environment) {
        Ok(Arguments { command: Some(Command::Backup(arguments)), .. }) => {
            jobs::run(run, &arguments)
        }
        _ => Err(Error::failed("`stash backup` can't be called; please report this")),
    }
}

/// Restores a sample of what was saved, and says what came of it.
fn tell_proof(run: &Run, place: &Place) -> Result<()> {
    let repository = run.repository(Make::Never)?;
    let filter = SnapshotFilter {
        hosts: vec![run.identity.host.clone()],
        job: Some(JOB.to_owned()),
        ..SnapshotFilter::default()
    };
    let wish = SnapshotWish::Latest(0);
    let entry = repository.find_snapshot(&wish, &filter, run.clock.now())?;
    drop(repository);
    let proof = proof::prove(run, &place.location, entry.id)?;
    let changed = match proof.changed {
        0 => String::new(),
        count => format!(
            "; {} changed meanwhile, or are databases, which were checked",
            counted(count, "file")
        ),
    };
    run.screen.note(&format!(
        "proof: read back {} ({}) from the repository alone: {} equal{changed}",
        counted(proof.equal.saturating_add(proof.changed), "file"),
        size(proof.bytes),
        proof.equal,
    ));
    Ok(())
}

/// Until stash has schedules of its own, cron does it.
fn tell_schedule(run: &Run, answers: &Answers) {
    let Some(schedule) = &answers.schedule else { return };
    let command = format!("'{}' backup -q", machine::own_program().display());
    let times = match schedule.as_str() {
        HOURLY => "17 * * * *",
        "30m" => "*/30 * * * *",
        "6h" => "17 */6 * * *",
        "daily" => "0 3 * * *",
        "weekly" => "17 3 * * 1",
        _ => {
            run.screen.note(&format!("have cron or a timer run this, {schedule}:\n  {command}"));
            return;
        }
    };
    run.screen.note(&format!(
        "for it to run by itself, add this line with `crontab -e`:\n  {times} {command}"
    ));
}
