//! The configuration: one commented TOML file, `config.toml` in the configuration's folder.
//!
//! | section | says |
//! |---|---|
//! | `repository` | which of the repositories commands use when nothing else names one |
//! | `[repositories.N]` | where a repository lies, and what opens it |
//! | `[jobs.N]` | a named set of options of `backup` |
//! | `[agents.ID]` | where an agent keeps its files, and whether it is saved |
//! | `[sync]` | what is exchanged between machines |
//! | `[search]` | whether an index of sessions is kept |
//!
//! Keys are named as options are, without the dashes. No key holds a secret: a file or a command
//! that gives one is named instead. A file that is not there is an empty configuration; one that
//! can't be read, or holds a key, a word or a type that is not known, is [`Kind::Config`] with file
//! and line, and nothing of it holds.
//!
//! Precedence: option, environment, job in the configuration, default. Each value that was said
//! knows its line ([`Stated`]), and [`Config::settings`] tells of each which of them it came from.
//!
//! | file | owns |
//! |---|---|
//! | `entries` | what the sections hold |
//! | `read` | from the text to values |
//! | `settings` | what holds in the end, and who said so |
//! | `write` | changing the file, with its comments kept |
#![expect(clippy::disallowed_methods, reason = "this room owns the configuration file")]

mod entries;
mod read;
mod settings;
#[cfg(test)]
mod tests;
mod write;

use std::io::Read as _;
use std::path::{Path, PathBuf};

pub use entries::{
    AgentEntry, AgentsOfJob, Config, JobEntry, RepositoryEntry, SearchEntry, Stated, SyncEntry,
};
pub use settings::Setting;
pub use write::{ConfigDraft, change_config, edit_config, replace_config};

use super::environment::Environment;
use super::location::Location;
use super::places::Places;
use crate::agents::{Catalog, nearest};
use crate::error::{Error, Kind, Result};

/// A configuration longer than this, in bytes, is none.
const LONGEST: u64 = 1 << 20;

/// What can't be done if something is wrong with the file.
const DOING: &str = "cannot use the configuration";

impl Places {
    /// Returns where the configuration lies, or would.
    pub fn config_file(&self) -> PathBuf {
        self.config.join("config.toml")
    }
}

impl Config {
    /// Reads the configuration of these places.
    pub fn load(places: &Places) -> Result<Config> {
        let path = places.config_file();
        match read_text(&path)? {
            Some(text) => Config::parse(&path, &text),
            None => Ok(Config { path, ..Config::default() }),
        }
    }

    /// Reads a configuration that is said to lie at a path.
    pub fn parse(path: &Path, text: &str) -> Result<Config> {
        read::config(path, text)
    }

    /// Checks what can't be seen in the text alone: that agents are known, and locations understood.
    pub fn check(&self, catalog: &Catalog, environment: &Environment) -> Result<()> {
        for repository in &self.repositories {
            self.location_of(repository, environment)?;
        }
        self.check_agents(catalog)
    }

    /// Checks that the agents that are named are known.
    pub fn check_agents(&self, catalog: &Catalog) -> Result<()> {
        let named = self.agents.iter().map(|agent| (agent.id.as_str(), agent.line));
        let of_jobs = self.jobs.iter().flat_map(JobEntry::named_agents);
        let of_sync = self.sync.agents.iter();
        let of_sync = of_sync.flat_map(|it| it.value.iter().map(|id| (id.as_str(), it.line)));
        for (id, line) in named.chain(of_jobs).chain(of_sync) {
            if let Err(unknown) = catalog.find(id) {
                let error = self.error_at(line, format!("unknown agent `{id}`"));
                return Err(error.hint(unknown.hint_text().unwrap_or_default()));
            }
        }
        for (place, entry) in self.agents.iter().enumerate() {
            let agent = catalog.find(&entry.id)?;
            let mut earlier = self.agents.iter().take(place);
            if earlier.any(|it| catalog.find(&it.id).is_ok_and(|it| it.id == agent.id)) {
                let text = format!("`{}` is another name of an agent that has a section", entry.id);
                return Err(self.error_at(entry.line, text).hint("keep one of the sections"));
            }
            if let Some(projects) = entry.projects.as_ref().filter(|_| !agent.knows_projects()) {
                let text = format!("{} keeps nothing in projects", agent.name);
                return Err(self.error_at(projects.line, text).hint("leave `projects` out"));
            }
        }
        Ok(())
    }

    /// Returns an error about a line of the file.
    pub fn error_at(&self, line: usize, text: String) -> Error {
        let place = format!("{}:{line}", self.path.display());
        Error::new(Kind::Config, DOING).object(place).source(text)
    }

    /// Returns the repository of a name.
    pub fn repository(&self, name: &str) -> Option<&RepositoryEntry> {
        self.repositories.iter().find(|it| it.name == name)
    }

    /// Returns the repository that commands use when nothing else names one: the one that
    /// `repository` names, else the first.
    pub fn main_repository(&self) -> Option<&RepositoryEntry> {
        match &self.repository {
            Some(name) => self.repository(&name.value),
            None => self.repositories.first(),
        }
    }

    /// Returns where a repository lies.
    pub fn location_of(
        &self,
        repository: &RepositoryEntry,
        environment: &Environment,
    ) -> Result<Location> {
        let stated = &repository.location;
        let text = stated.value.as_str();
        let wrong = |error: &Error| {
            let own = self.error_at(stated.line, error.to_string());
            own.hint(error.hint_text().unwrap_or("a location is written as for `--repo`"))
        };
        let location =
            Location::parse(text.as_ref(), environment).map_err(|error| wrong(&error))?;
        let is_whole =
            ["/", "~", "file:", "local:/", "local:~"].iter().any(|it| text.starts_with(it));
        if location.folder().is_some() && !is_whole {
            let error = self.error_at(stated.line, format!("the folder `{text}` is not absolute"));
            return Err(error.hint("write it from the root on, or with `~/`"));
        }
        Ok(location)
    }

    /// Returns the repository that lies at a location. Entries that make no sense here don't count.
    pub fn repository_at(
        &self,
        location: &Location,
        environment: &Environment,
    ) -> Option<&RepositoryEntry> {
        let lies_there = |it: &&RepositoryEntry| {
            self.location_of(it, environment).is_ok_and(|own| own == *location)
        };
        self.repositories.iter().find(lies_there)
    }

    /// Returns the job of a name; the error names the nearest one.
    pub fn job(&self, name: &str) -> Result<&JobEntry> {
        if let Some(job) = self.jobs.iter().find(|it| it.name == name) {
            return Ok(job);
        }
        let names = self.jobs.iter().map(|it| it.name.as_str());
        let error = Error::usage("the configuration has no job").object(name);
        Err(match nearest(name, names.clone()) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error.hint(format!("it has {}", names.collect::<Vec<_>>().join(", "))),
        })
    }

    /// Returns what is said of an agent.
    pub fn agent(&self, id: &str) -> Option<&AgentEntry> {
        self.agents.iter().find(|it| it.id == id)
    }
}

/// Reads the text of a configuration; `None` if there is none.
fn read_text(path: &Path) -> Result<Option<String>> {
    let wrong = |why: String| {
        Error::new(Kind::Config, "cannot read the configuration")
            .object(path.display().to_string())
            .source(why)
            .hint("`--config-dir DIR` looks for it elsewhere")
    };
    // Asked before it is opened: a pipe of that name would be waited for.
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let is_link = std::fs::symlink_metadata(path).is_ok();
            return if is_link {
                Err(wrong("the link leads nowhere".to_owned()))
            } else {
                Ok(None)
            };
        }
        Ok(found) if found.is_dir() => return Err(wrong("it is a folder".to_owned())),
        Ok(found) if !found.is_file() => return Err(wrong("it is no file".to_owned())),
        Ok(_) => {}
        Err(error) => return Err(wrong(error.to_string())),
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| wrong(error.to_string()))?;
    let limit = LONGEST.saturating_add(1);
    file.take(limit).read_to_end(&mut bytes).map_err(|error| wrong(error.to_string()))?;
    if bytes.len() as u64 > LONGEST {
        return Err(wrong(format!("it is longer than {LONGEST} bytes")));
    }
    String::from_utf8(bytes).map(Some).map_err(|error| {
        let before = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let line = String::from_utf8_lossy(before).matches('\n').count().saturating_add(1);
        wrong(format!("line {line} is not valid UTF-8"))
    })
}
