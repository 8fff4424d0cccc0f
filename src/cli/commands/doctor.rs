//! `stash doctor`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::answers::show;
use super::backup::temporary_folder;
use super::open::Run;
use super::repository::Opened;
use crate::cli::args::DoctorArguments;
use crate::cli::ask;
use crate::cli::name::shown;
use crate::engine::backup::AgentSources;
use crate::error::Result;
use crate::files::ExcludeOptions;
use crate::format::record::RootKind;
use crate::machine::doctor::{self, Answer, Fix, Verdict};
use crate::machine::{
    self, AgentWish, Chosen, Config, Location, MachineAgents, RunHistory, SavedFiles, job_health,
    saved_files, saved_roots, snapshots_of_agents,
};
use crate::repository::cache::SnapshotEntry;
use crate::repository::reader::BlobReader;
use crate::time::Clock as _;

pub(super) fn run(run: &Run, arguments: &DoctorArguments) -> Result<u8> {
    run.stop_on_signals()?;
    let mut answers = Asked::of(run, arguments).answers;
    let mut fixed = BTreeMap::new();
    if arguments.fix {
        for answer in &answers {
            if let Some(fix) = &answer.fix
                && mend(run, arguments, fix)?
            {
                fixed.insert(answer.name, fix.what.clone());
            }
        }
        if !fixed.is_empty() {
            // What stands now is what counts.
            answers = Asked::of(run, arguments).answers;
        }
    }
    show(run, &answers, &fixed)?;
    Ok(u8::from(answers.iter().any(|answer| answer.verdict == Verdict::Broken)))
}

/// Mends one thing, if it may be; says what was done, and whether it was.
fn mend(run: &Run, arguments: &DoctorArguments, fix: &Fix) -> Result<bool> {
    let what = shown(fix.what.as_bytes());
    let agreed = !fix.needs_consent
        || arguments.yes
        || ask::consent(&format!("This {what}. Go on?"))?.unwrap_or_else(|| {
            run.screen.note(&format!("not done without `--yes`: this {what}"));
            false
        });
    if !agreed {
        return Ok(false);
    }
    match fix.run() {
        Ok(()) => {
            run.screen.note(&format!("done: this {what}"));
            Ok(true)
        }
        Err(error) => {
            run.screen.warning(&format!("not mended: {}", error.with_hint()));
            Ok(false)
        }
    }
}

/// The questions, as they are asked one after the other.
struct Asked<'a> {
    run: &'a Run,
    arguments: &'a DoctorArguments,
    /// The configuration, or an empty one if it can't be used.
    config: Config,
    answers: Vec<Answer>,
}

/// What the later questions need of the repository.
struct Open {
    repository: Opened,
    entries: Vec<SnapshotEntry>,
}

impl<'a> Asked<'a> {
    fn of(run: &'a Run, arguments: &'a DoctorArguments) -> Self {
        let config = run.config().cloned();
        let agents = MachineAgents::find(&run.places, &run.environment);
        let mut asked = Asked { run, arguments, config: Config::default(), answers: Vec::new() };
        asked.say(doctor::configuration(config.as_ref(), agents.as_ref(), &run.environment));
        asked.config = config.unwrap_or_default();
        asked.say(doctor::own_folders(&run.places));
        asked.say(doctor::leftovers(&run.places));
        let chosen = run.chosen();
        let open = match &chosen {
            Ok(chosen) => asked.repository(chosen),
            Err(error) => {
                asked.skip(REPOSITORY, &error.to_string());
                None
            }
        };
        let folder = chosen.as_ref().ok().and_then(|chosen| chosen.location().folder());
        asked.say(doctor::free_space(&run.places, folder));
        match &agents {
            Ok(agents) => asked.agents(agents, open.as_ref()),
            Err(_) => asked.skip(AGENTS, "the configuration, or a definition, can't be used"),
        }
        asked.runs(open.as_ref());
        asked
    }

    fn say(&mut self, answer: Answer) {
        self.answers.push(answer);
    }

    fn skip(&mut self, names: &[&'static str], reason: &str) {
        self.answers.extend(names.iter().map(|name| Answer::skipped(name, reason)));
    }

    /// Asks about the repository; returns it if it can be opened.
    fn repository(&mut self, chosen: &Chosen) -> Option<Open> {
        let run = self.run;
        let location = chosen.location();
        match run.find_locked() {
            Err(error) => {
                self.say(doctor::opened_unattended(Err(&error)));
                let others: Vec<_> =
                    REPOSITORY.iter().copied().filter(|name| *name != "repository").collect();
                self.skip(&others, "there is no repository to ask about");
                return None;
            }
            Ok(locked) => {
                let (keys, id) = (run.places.keys(), locked.id());
                let source = self.other_source(location);
                self.say(doctor::device_key(&keys, id, source.as_deref()));
                self.say(doctor::recovery_code(&keys, id, &locked.slot_kinds()));
            }
        }
        let opened = run.repository_unasked();
        let shown = location.to_string();
        self.say(doctor::opened_unattended(opened.as_ref().map(|_| shown.as_str())));
        let Ok(repository) = opened else {
            self.skip(OPENED, "the repository did not open");
            return None;
        };
        let unattended = self.unattended(chosen);
        self.say(unattended);
        // What it is too late to read now is in the cache from the last time.
        if let Err(error) = run.catch_up(&repository) {
            run.screen.warning(&error.with_hint());
        }
        let entries = snapshots_of_agents(&repository, &run.identity.host, run.clock.now())
            .unwrap_or_default();
        self.say(doctor::probe(repository.store()));
        self.say(doctor::clocks(repository.store().now(), run.clock.now(), &entries));
        self.say(doctor::format_version(&repository, &entries, env!("CARGO_PKG_VERSION")));
        self.say(doctor::locks(&run.places.state, repository.id()));
        Some(Open { repository, entries })
    }

    /// Returns what opens the repository beside a device key, in words.
    fn other_source(&self, location: &Location) -> Option<String> {
        let entry = self.config.repository_at(location, &self.run.environment);
        let configured = entry.and_then(|entry| {
            let file = entry.passphrase_file.as_ref().map(|_| "passphrase_file");
            let key = file.or(entry.passphrase_command.as_ref().map(|_| "passphrase_command"))?;
            Some(format!("`repositories.{}.{key}`", entry.name))
        });
        configured.or_else(|| {
            let named = machine::explicit_source(&self.run.global.secret(), &self.run.environment);
            named.ok().flatten().map(|passphrase| passphrase.came_from)
        })
    }

    /// Runs this program as a timer would, where that opens the same repository.
    fn unattended(&self, chosen: &Chosen) -> Answer {
        const NAME: &str = "unattended";
        let (run, location) = (self.run, chosen.location());
        if machine::is_named(&run.global.location(), &run.environment)
            && self.config.repository_at(location, &run.environment).is_none()
        {
            return Answer::note(
                NAME,
                format!("`{location}` is named for this run alone, and no timer knows of it"),
            )
            .remedy("name it in the configuration: `[repositories.NAME] location = \"…\"`");
        }
        let Some(home) = run.environment.home() else {
            return Answer::skipped(NAME, "HOME is not set");
        };
        let mut options: Vec<OsString> = Vec::new();
        let global = &run.global;
        let folders: [(&str, Option<&PathBuf>); 4] = [
            ("--config-dir", global.config_dir.as_ref()),
            ("--state-dir", global.state_dir.as_ref()),
            ("--cache-dir", global.cache_dir.as_ref()),
            ("--data-dir", global.data_dir.as_ref()),
        ];
        for (option, folder) in folders {
            if let Some(folder) = folder.and_then(|it| std::path::absolute(it).ok()) {
                options.extend([option.into(), folder.into()]);
            }
        }
        if machine::is_named(&global.location(), &run.environment)
            && let Some(entry) = self.config.repository_at(location, &run.environment)
        {
            options.extend(["--repo".into(), entry.name.clone().into()]);
        }
        doctor::unattended_command(&home, &options, &run.clock)
    }

    fn agents(&mut self, agents: &MachineAgents, open: Option<&Open>) {
        let run = self.run;
        let entries = open.map(|open| open.entries.as_slice()).unwrap_or_default();
        let saved = saved_roots(entries, &run.identity.host, run.clock.now());
        self.say(doctor::found_agents(agents));
        self.say(doctor::moved_agents(agents, &saved));
        self.say(doctor::gone_agents(agents, &saved));
        let sources = match agents.sources(&AgentWish::default(), &self.excludes(open)) {
            Ok(sources) => sources,
            Err(error) => {
                return self.skip(AGENTS.get(3..).unwrap_or_default(), &error.to_string());
            }
        };
        let enabled: Vec<_> = agents.found.iter().filter(|found| found.is_enabled).collect();
        let surveys = enabled
            .iter()
            .map(|found| (*found, machine::survey(found, &sources, |_| {})))
            .collect::<Vec<_>>();
        self.say(doctor::layouts(&surveys));
        let files: Vec<_> = match open {
            Some(open) => {
                saved.iter().map(|it| (it, files_of(&open.repository, it.root))).collect()
            }
            None => Vec::new(),
        };
        self.databases(open, files.iter().filter_map(|(_, files)| files.as_ref().ok()), &sources);
        let now = run.clock.now();
        let find = |source: &crate::engine::backup::AgentSource| {
            let found = files
                .iter()
                .find(|(it, _)| it.root.agent == source.agent && it.root.label == source.label);
            found.and_then(|(_, files)| files.as_ref().ok())
        };
        let forecasts: Vec<_> =
            enabled.iter().flat_map(|found| doctor::forecast(found, &sources, find, now)).collect();
        self.say(doctor::purge_clocks(&forecasts));
        self.second_target(open, &sources);
    }

    fn databases<'f>(
        &mut self,
        open: Option<&Open>,
        files: impl Iterator<Item = &'f SavedFiles>,
        sources: &AgentSources,
    ) {
        const NAME: &str = "databases";
        if self.arguments.databases {
            let answer = match temporary_folder(self.run) {
                Ok(folder) => {
                    let found = doctor::find_databases(sources);
                    doctor::check_databases(&found, &folder, &self.run.clock)
                }
                Err(error) => Answer::broken_by(NAME, &error),
            };
            return self.say(answer);
        }
        let databases: Vec<PathBuf> = files.flat_map(|files| files.databases.clone()).collect();
        self.say(match open {
            Some(open) => doctor::remembered_databases(&open.repository, &databases),
            None => Answer::skipped(NAME, "the repository did not open; `--databases` looks now"),
        });
    }

    /// The folders that no backup holds.
    fn excludes(&self, open: Option<&Open>) -> ExcludeOptions {
        let places = &self.run.places;
        let own = [&places.cache, &places.state].map(Clone::clone);
        let repository = open.and_then(|open| open.repository.folder()).map(Path::to_owned);
        let skip = own.into_iter().chain(repository).collect();
        ExcludeOptions { skip, ..ExcludeOptions::default() }
    }

    fn second_target(&mut self, open: Option<&Open>, sources: &AgentSources) {
        let Some(open) = open else {
            return self.skip(&["second target"], "the repository did not open");
        };
        let others = self.config.repositories.iter();
        let others =
            others.filter_map(|it| self.config.location_of(it, &self.run.environment).ok());
        let others: Vec<Location> = others.collect();
        let host = &self.run.identity.host;
        let own =
            open.entries.iter().filter(|it| it.forgotten.is_none() && it.snapshot.host == *host);
        let saved: Vec<PathBuf> = own
            .flat_map(|it| &it.snapshot.roots)
            .filter(|root| root.kind == RootKind::Path as u64)
            .map(|root| {
                use std::os::unix::ffi::OsStrExt as _;
                std::ffi::OsStr::from_bytes(&root.place).into()
            })
            .filter(|path: &PathBuf| path.exists())
            .collect();
        let sources = sources.roots.iter().map(|root| root.place.as_path());
        let sources = sources.chain(saved.iter().map(PathBuf::as_path));
        let answer = doctor::same_disk(&open.repository.location, &others, sources);
        self.say(answer);
    }

    fn runs(&mut self, open: Option<&Open>) {
        let run = self.run;
        let entries = open.map(|open| open.entries.as_slice()).unwrap_or_default();
        let runs = RunHistory::load(&run.places).unwrap_or_else(|error| {
            run.screen.warning(&error.with_hint());
            RunHistory::default()
        });
        let jobs = job_health(&self.config, &runs, entries, &run.identity.host, run.clock.now());
        self.say(doctor::schedule(&doctor::find_schedule(&run.environment), &jobs));
        self.say(doctor::last_success(&jobs, &run.zone));
    }
}

/// Questions that need a repository.
const REPOSITORY: &[&str] = &[
    "device key",
    "recovery code",
    "repository",
    "unattended",
    "store",
    "clock",
    "format",
    "locks",
];
/// Those of them that need it open.
const OPENED: &[&str] = &["unattended", "store", "clock", "format", "locks"];
/// Questions about agents.
const AGENTS: &[&str] = &[
    "agents",
    "agents moved",
    "agents gone",
    "agent layouts",
    "databases",
    "purge clocks",
    "second target",
];

fn files_of(repository: &Opened, root: &crate::format::record::Root) -> Result<SavedFiles> {
    saved_files(&mut BlobReader::new(repository)?, root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_question_has_one_name() {
        let mut names: Vec<&str> = REPOSITORY.iter().chain(AGENTS).copied().collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), REPOSITORY.len() + AGENTS.len());
        assert!(OPENED.iter().all(|name| REPOSITORY.contains(name)));
    }
}
