//! `stash repo`: which repositories the configuration names, and moving from one to another.
//!
//! Every change is one write of the configuration. A move writes it last: whatever happens before,
//! it names the old repository, and running it again goes on.

use std::ffi::OsStr;

use super::open::Run;
use super::repository::{Make, Opened};
use crate::cli::args::{
    RepoAddArguments, RepoCommand, RepoMoveArguments, RepoRemoveArguments, RepoUseArguments,
};
use crate::cli::figures::{counted, size};
use crate::cli::json::{CopySummary, RepoChange, RepoLine};
use crate::cli::name::shown;
use crate::cli::table::{Align, Table};
use crate::codec::crypto::random_bytes;
use crate::engine::check::{CheckOptions, ReadData, check};
use crate::engine::copy::{CopyOptions, CopyReport, copy};
use crate::error::{Error, Kind, Result};
use crate::machine::{self, Chosen, Config, ConfigDraft, JobEntry, Location, RepositoryEntry};
use crate::repository::Repository;
use crate::repository::snapshots::SnapshotFilter;
use crate::time::Clock as _;

/// What the default local repository is called once it stands beside others.
const LOCAL: &str = "local";

pub(super) fn run(run: &Run, command: &RepoCommand) -> Result<u8> {
    match command {
        RepoCommand::List(_) => list(run),
        RepoCommand::Add(arguments) => add(run, arguments),
        RepoCommand::Use(arguments) => r#use(run, arguments),
        RepoCommand::Remove(arguments) => remove(run, arguments),
        RepoCommand::Move(arguments) => move_to(run, arguments),
    }
    .map(|()| 0)
}

fn list(run: &Run) -> Result<()> {
    let config = run.config()?;
    let mut lines = Vec::new();
    for entry in &config.repositories {
        let jobs = config.jobs.iter().filter(|job| saves_into(config, job, &entry.name));
        lines.push(RepoLine {
            name: entry.name.clone(),
            location: config.location_of(entry, &run.environment)?.to_string(),
            main: is_main(config, &entry.name),
            jobs: jobs.map(|job| job.name.clone()).collect(),
        });
    }
    if run.screen.is_json() {
        return run.screen.array(&lines);
    }
    if lines.is_empty() {
        let place = machine::choose(&run.global.location(), &run.environment, &run.places, config)?;
        run.screen.note(&format!(
            "the configuration names no repository, so commands use `{}`; `stash repo add` adds one",
            place.location()
        ));
        return Ok(());
    }
    let mut table = Table::new([
        ("name", Align::Left),
        ("", Align::Left),
        ("where", Align::Left),
        ("jobs", Align::Left),
    ]);
    for line in lines {
        let mark = if line.main { "main" } else { "" };
        let location = shown(line.location.as_bytes());
        table.row([line.name, mark.to_owned(), location, line.jobs.join(", ")]);
    }
    run.screen.text(table.to_string().trim_end())
}

fn is_main(config: &Config, name: &str) -> bool {
    config.main_repository().is_some_and(|it| it.name == name)
}

fn saves_into(config: &Config, job: &JobEntry, name: &str) -> bool {
    match &job.repositories {
        Some(names) => names.value.iter().any(|it| it == name),
        None => is_main(config, name),
    }
}

fn add(run: &Run, arguments: &RepoAddArguments) -> Result<()> {
    let config = run.config()?;
    let name = arguments.name.as_str();
    if config.repository(name).is_some() {
        return Err(Error::usage("the configuration has a repository of this name:")
            .object(name)
            .hint("`stash config edit` changes it; `stash repo remove` forgets it"));
    }
    let location = Location::parse(&arguments.location, &run.environment)?;
    if let Some(entry) = config.repository_at(&location, &run.environment) {
        return Err(Error::usage(format!("`{location}` is in the configuration already"))
            .hint(format!("it is called `{}`", entry.name)));
    }
    for job in &arguments.jobs {
        config.job(job)?;
    }
    machine::change_config(&run.places, |draft, config| {
        keep_default(run, draft, config);
        write_entry(run, draft, name, &written(&arguments.location, &location)?)?;
        for job in &arguments.jobs {
            add_to_job(draft, config, config.job(job)?, name)?;
        }
        if arguments.is_main {
            switch(draft, config, name);
        }
        Ok(())
    })?;
    say(run, "added", name, &location)?;
    let made = location.folder().is_some_and(|folder| folder.join("repo").exists());
    if !made {
        run.screen.note(&format!("`stash init -r {name}` makes it, if it is not there yet"));
    }
    Ok(())
}

/// While the configuration named none, commands used the default local repository: it stays the one
/// they use, by name.
fn keep_default(run: &Run, draft: &mut ConfigDraft, config: &Config) -> Option<String> {
    let folder = run.places.default_repository();
    let name = free_name(config, LOCAL);
    if !config.repositories.is_empty() || !folder.exists() {
        return None;
    }
    draft.set(&["repository"], name.as_str());
    draft.set(&["repositories", &name, "location"], folder.to_str()?);
    Some(name)
}

fn free_name(config: &Config, wanted: &str) -> String {
    let numbered = (2_u32..).map(|number| format!("{wanted}-{number}"));
    let mut names = std::iter::once(wanted.to_owned()).chain(numbered);
    names.find(|name| config.repository(name).is_none()).unwrap_or_default()
}

/// Returns how a location is written into the configuration: as it was typed, a folder from the root
/// on.
fn written(typed: &OsStr, location: &Location) -> Result<String> {
    let text = match location {
        Location::Local(folder) => machine::absolute_path(folder)?.into_os_string(),
        Location::Remote(_) | Location::Git(_) => typed.to_owned(),
    };
    text.into_string().map_err(|_| {
        Error::usage("this location is not valid UTF-8, and can't stand in the configuration")
    })
}

/// Writes a section, with what was said to open it.
fn write_entry(run: &Run, draft: &mut ConfigDraft, name: &str, location: &str) -> Result<()> {
    let section = |key: &'static str| ["repositories", name, key];
    draft.set(&section("location"), location);
    let global = &run.global;
    let text = |what: &str, text: &OsStr| {
        text.to_str().map(str::to_owned).ok_or_else(|| {
            Error::usage(format!("`--{what}` is not valid UTF-8, and can't be written down"))
        })
    };
    let absolute = |path: &std::path::PathBuf| {
        machine::absolute_path(path).map(std::path::PathBuf::into_os_string)
    };
    if let Some(id) = &global.repo_id {
        draft.set(&section("repo_id"), id.as_str());
    }
    if let Some(file) = &global.passphrase_file {
        draft.set(&section("passphrase_file"), text("passphrase-file", &absolute(file)?)?);
    }
    if let Some(command) = &global.passphrase_command {
        draft.set(&section("passphrase_command"), text("passphrase-command", command)?);
    }
    if let Some(command) = &global.credentials_command {
        draft.set(&section("credentials_command"), text("credentials-command", command)?);
    }
    if let Some(file) = &global.ca_file {
        draft.set(&section("ca_file"), text("ca-file", &absolute(file)?)?);
    }
    for (key, said) in [("region", &global.region), ("endpoint", &global.endpoint)] {
        if let Some(said) = said {
            draft.set(&section(key), said.as_str());
        }
    }
    for (key, said) in
        [("limit_upload", global.limit_upload), ("limit_download", global.limit_download)]
    {
        if let Some(said) = said {
            draft.set(&section(key), i64::try_from(said).unwrap_or(i64::MAX));
        }
    }
    Ok(())
}

/// Makes a repository a further one of a job.
fn add_to_job(draft: &mut ConfigDraft, config: &Config, job: &JobEntry, name: &str) -> Result<()> {
    let own = job.repositories.as_ref().map(|it| it.value.clone());
    let main = || config.main_repository().map(|it| it.name.clone());
    let mut names = own.or_else(|| main().map(|name| vec![name])).unwrap_or_default();
    if names.is_empty() {
        return Err(Error::usage(format!(
            "the job `{}` saves into the default repository, which has no name",
            job.name
        ))
        .hint("`stash repo add local LOCATION` names it first"));
    }
    names.push(name.to_owned());
    draft.set_list(&["jobs", &job.name, "repositories"], names.iter().map(String::as_str));
    Ok(())
}

/// Makes a repository the main one: of commands, and of the jobs whose main one was the one before.
fn switch(draft: &mut ConfigDraft, config: &Config, name: &str) {
    draft.set(&["repository"], name);
    let Some(before) = config.main_repository().map(|it| it.name.clone()) else { return };
    for job in &config.jobs {
        let Some(names) = &job.repositories else { continue };
        let Some((first, rest)) = names.value.split_first() else { continue };
        if *first == before && before != name {
            let rest = rest.iter().map(String::as_str).filter(|it| *it != name);
            draft.set_list(&["jobs", &job.name, "repositories"], std::iter::once(name).chain(rest));
        }
    }
}

fn r#use(run: &Run, arguments: &RepoUseArguments) -> Result<()> {
    let location = run.location(&arguments.repository)?;
    let mut used = String::new();
    machine::change_config(&run.places, |draft, config| {
        used = named(run, draft, config, &arguments.repository, &location)?;
        switch(draft, config, &used);
        Ok(())
    })?;
    say(run, "used", &used, &location)
}

/// Returns the name of the repository at a location; one that has none gets one.
fn named(
    run: &Run,
    draft: &mut ConfigDraft,
    config: &Config,
    typed: &OsStr,
    location: &Location,
) -> Result<String> {
    if let Some(entry) = config.repository_at(location, &run.environment) {
        return Ok(entry.name.clone());
    }
    let kept = keep_default(run, draft, config);
    let is_default = location.folder() == Some(&run.places.default_repository());
    if let Some(name) = kept.filter(|_| is_default) {
        return Ok(name);
    }
    let wanted = match location {
        Location::Local(folder) if is_default || folder.file_name().is_none() => LOCAL.to_owned(),
        Location::Local(folder) => plain(&folder.file_name().unwrap_or_default().to_string_lossy()),
        Location::Remote(place) => plain(&place.bucket),
        Location::Git(_) => "git".to_owned(),
    };
    // The default one's name may be taken by now, though the configuration was read before.
    let taken = config.repositories.is_empty() && wanted == LOCAL && !is_default;
    let name = free_name(config, if taken { "main" } else { &wanted });
    write_entry(run, draft, &name, &written(typed, location)?)?;
    Ok(name)
}

/// Returns the letters of a text that may stand in a name.
fn plain(text: &str) -> String {
    let letters = text.chars().filter(|it| it.is_alphanumeric() || "._-".contains(*it)).take(50);
    let name: String = letters.collect();
    let name = name.trim_start_matches(['.', '_', '-']);
    if name.is_empty() { "main".to_owned() } else { name.to_owned() }
}

fn remove(run: &Run, arguments: &RepoRemoveArguments) -> Result<()> {
    let config = run.config()?;
    let name = arguments.name.as_str();
    let entry = entry_of(config, name)?;
    let location = config.location_of(entry, &run.environment)?;
    for job in &config.jobs {
        let only = job.repositories.as_ref().is_some_and(|it| it.value == [name]);
        if only {
            return Err(Error::usage(format!("the job `{}` saves into it alone", job.name))
                .object(name)
                .hint("`stash repo use` or `stash repo move` gives it another one first"));
        }
    }
    let changed = machine::change_config(&run.places, |draft, config| {
        draft.remove(&["repositories", name]);
        if config.repository.as_ref().is_some_and(|it| it.value == name) {
            draft.remove(&["repository"]);
        }
        for job in &config.jobs {
            let Some(names) = &job.repositories else { continue };
            if names.value.iter().any(|it| it == name) {
                let rest = names.value.iter().map(String::as_str).filter(|it| *it != name);
                draft.set_list(&["jobs", &job.name, "repositories"], rest);
            }
        }
        Ok(())
    })?;
    say(run, "removed", name, &location)?;
    run.screen.note(&format!("what is saved in `{location}` stays there"));
    if is_main(config, name) {
        let now = match changed.main_repository() {
            Some(entry) => format!("`{}`", entry.name),
            None => "the default local repository".to_owned(),
        };
        run.screen.note(&format!("commands use {now} from now on"));
    }
    Ok(())
}

fn entry_of<'c>(config: &'c Config, name: &str) -> Result<&'c RepositoryEntry> {
    let unknown = || {
        let names = config.repositories.iter().map(|it| it.name.as_str());
        let error = Error::usage("the configuration has no repository").object(name);
        match crate::agents::nearest(name, names) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error.hint("`stash repo list` shows what it has"),
        }
    };
    config.repository(name).ok_or_else(unknown)
}

fn move_to(run: &Run, arguments: &RepoMoveArguments) -> Result<()> {
    run.stop_on_signals()?;
    let chosen = run.chosen()?;
    let from = chosen.location();
    let to = run.location(&arguments.to)?;
    if to == *from {
        return Err(Error::usage("everything is there already:").object(to.to_string()));
    }
    if !is_configured(run, &chosen)? {
        return Err(Error::usage(format!("`{from}` is not in the configuration"))
            .hint("a move is from a repository that it names; `stash copy` copies from any"));
    }
    let source = run.repository(Make::Never)?;
    // No backup of this machine writes into the old one meanwhile.
    let _lock = (!arguments.dry_run).then(|| run.lock(source.id())).transpose()?;
    run.catch_up(&source)?;
    let Some(target) = target(run, arguments, &source, &to)? else {
        let count = source.snapshots(&SnapshotFilter::default())?.len() as u64;
        let line =
            format!("would make a repository `{to}`, and copy {}", counted(count, "snapshot"));
        return run.screen.summary(&line);
    };
    let report = copy_all(run, arguments, &source, &target, arguments.dry_run)?;
    if arguments.dry_run {
        if run.screen.is_json() {
            return run.screen.message("summary", &CopySummary::new(&report, true));
        }
        let count = counted(report.copied.len() as u64, "snapshot");
        return run.screen.summary(&format!("would copy {count} into `{to}`"));
    }
    verify(run, arguments, &source, &target)?;
    run.counters.go_on()?;
    let mut used = String::new();
    machine::change_config(&run.places, |draft, config| {
        used = named(run, draft, config, &arguments.to, &to)?;
        switch(draft, config, &used);
        Ok(())
    })?;
    run.screen.note(&format!(
        "copied {}, stored as {}; all that was in `{from}` is in `{to}`",
        counted(report.copied.len() as u64, "snapshot"),
        size(report.stored_bytes)
    ));
    say(run, "moved", &used, &to)?;
    run.screen.note(&format!("what is saved in `{from}` stays there"));
    Ok(())
}

/// Returns whether a repository is one of the configuration, or the one that is used without any.
fn is_configured(run: &Run, chosen: &Chosen) -> Result<bool> {
    let is_default = chosen.location().folder() == Some(&run.places.default_repository());
    Ok(is_default || run.entry_at(chosen.location())?.is_some())
}

/// Opens the repository that is moved to; one that is not there is made. `None` in a dry run that
/// would make it.
fn target(
    run: &Run,
    arguments: &RepoMoveArguments,
    source: &Opened,
    to: &Location,
) -> Result<Option<Opened>> {
    match run.other_repository(to, &arguments.other) {
        Err(error) if error.kind() == Kind::NoRepository => {}
        // One that was cut off while it was made holds nothing.
        Err(error) if error.kind() == Kind::Damaged && run.is_unborn_at(to)? => {}
        opened => return opened.map(Some),
    }
    if arguments.dry_run {
        return Ok(None);
    }
    run.make_at(to, arguments.create_bucket, source).map(Some)
}

/// Copies every snapshot that is not there yet.
fn copy_all(
    run: &Run,
    arguments: &RepoMoveArguments,
    source: &Repository,
    target: &Opened,
    dry_run: bool,
) -> Result<CopyReport> {
    let entries = source.snapshots(&SnapshotFilter::default())?;
    let options = CopyOptions { dry_run, compression: arguments.compression.into() };
    let _lock = (!dry_run).then(|| run.lock(target.id())).transpose()?;
    let progress = run.screen.progress(&run.counters);
    let report = copy(source, target, &entries, &options, &run.clock, &run.counters, &*run.screen);
    drop(progress);
    let report = report?;
    if report.failed > 0 {
        return Err(Error::new(
            Kind::Damaged,
            format!("{} could not be read", counted(report.failed, "snapshot")),
        )
        .hint(
            "the configuration names the old repository still; `stash repair snapshots` saves what \
             is intact",
        ));
    }
    if report.forgotten > 0 {
        let count = counted(report.forgotten, "snapshot");
        run.screen
            .note(&format!("{count} were copied there before and forgotten there; they stay so"));
    }
    Ok(report)
}

/// Fails unless every snapshot of the old repository is in the new one, and that is whole.
fn verify(
    run: &Run,
    arguments: &RepoMoveArguments,
    source: &Repository,
    target: &Opened,
) -> Result<()> {
    run.catch_up(target)?;
    let left = copy_all(run, arguments, source, target, true)?;
    let failed = |what: String| {
        Error::new(Kind::Damaged, what)
            .hint("the configuration names the old repository still; run the same command again")
    };
    if !left.copied.is_empty() {
        let count = counted(left.copied.len() as u64, "snapshot");
        return Err(failed(format!("{count} did not arrive")));
    }
    let seed = random_bytes()
        .map_err(|error| Error::failed("cannot choose what to read").source(error))?;
    let options = CheckOptions {
        read_data: if arguments.read_data { ReadData::All } else { ReadData::None },
        seed: u64::from_le_bytes(seed),
        threads: machine::worker_count(),
        now: Some(run.clock.now()),
    };
    let progress = run.screen.progress_of("verifying", &run.counters);
    let report = check(target, &options, &run.counters);
    drop(progress);
    match report?.findings.first() {
        None => Ok(()),
        Some(finding) => Err(failed(format!("`{}`: {}", finding.object, finding.what))),
    }
}

fn say(run: &Run, action: &'static str, name: &str, location: &Location) -> Result<()> {
    let location = location.to_string();
    if run.screen.is_json() {
        let change = RepoChange { action, name: name.to_owned(), location };
        return run.screen.message("repository", &change);
    }
    let line = match action {
        "added" => format!("added `{name}`: `{location}`"),
        "removed" => format!("removed `{name}` from the configuration"),
        _ => format!("commands and jobs use `{name}` now: `{location}`"),
    };
    run.screen.summary(&line)
}
