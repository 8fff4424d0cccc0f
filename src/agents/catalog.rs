//! All agents that are known: those that come with the program, and those of the user.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::agent::{Agent, Origin};
use super::definition;
use super::disk::find_program;
use super::places::Places;
use super::roots::AgentRoot;
use super::template::Placeholder;
use super::words::nearest;
use crate::error::{Error, Result};

macro_rules! builtin {
    ($($id:literal),+ $(,)?) => {
        /// The definitions that come with the program, in the order in which they are listed.
        const BUILTIN: &[(&str, &str)] =
            &[$((concat!($id, ".toml"), include_str!(concat!("catalog/", $id, ".toml")))),+];
    };
}

builtin!(
    "claude-code",
    "opencode",
    "gemini",
    "codex",
    "openclaw",
    "aider",
    "continue",
    "cursor",
    "copilot",
    "goose",
    "qwen",
    "crush",
    "cline",
    "roo",
    "kiro",
    "zed",
    "pi",
    "droid",
    "amp",
    "windsurf",
    "shared-agents",
);

/// The agents that are known. Ids, and aliases, are each there once.
#[derive(Debug, Clone)]
pub struct Catalog {
    agents: Vec<Agent>,
}

/// An agent that is on a machine.
#[derive(Debug, Clone)]
pub struct Detected<'a> {
    /// The agent.
    pub agent: &'a Agent,
    /// Its roots, also those that are not there or have a problem.
    pub roots: Vec<AgentRoot>,
    /// Its program, if one was found.
    pub program: Option<PathBuf>,
}

impl Catalog {
    /// Returns the agents that come with the program.
    pub fn builtin() -> Result<Catalog> {
        Self::with_user_files(Vec::new())
    }

    /// Returns the agents that come with the program and those of the user's files, given as path
    /// and text; one with a known id takes that one's place. An error names file and line.
    pub fn with_user_files(files: Vec<(PathBuf, String)>) -> Result<Catalog> {
        let mut catalog = Catalog { agents: Vec::new() };
        for (name, text) in BUILTIN {
            catalog.add(Path::new(name), text, Origin::Builtin)?;
        }
        for (path, text) in files {
            catalog.add(&path, &text, Origin::File(path.clone()))?;
        }
        Ok(catalog)
    }

    fn add(&mut self, path: &Path, text: &str, origin: Origin) -> Result<()> {
        let agent = definition::read(path, text, origin, &self.agents)?;
        match self.agents.iter_mut().find(|known| known.id == agent.id) {
            Some(known) => *known = agent,
            None => self.agents.push(agent),
        }
        Ok(())
    }

    /// Returns all agents, in the order in which they are listed.
    pub fn agents(&self) -> &[Agent] {
        &self.agents
    }

    /// Returns the agent of an id or an alias; the error names the nearest one.
    pub fn find(&self, name: &str) -> Result<&Agent> {
        if let Some(agent) = self.agents.iter().find(|agent| agent.is_called(name)) {
            return Ok(agent);
        }
        let names = self.agents.iter().flat_map(|agent| agent.aliases.iter().chain([&agent.id]));
        let error = Error::usage("unknown agent").object(name);
        if let Some(near) = nearest(name, names.map(String::as_str)) {
            return Err(error.hint(format!("did you mean `{near}`?")));
        }
        let ids: Vec<_> = self.agents.iter().map(|agent| agent.id.as_str()).collect();
        Err(error.hint(format!("known are {}", ids.join(", "))))
    }

    /// Returns the names of all variables that [`Places`] should hold if they are set.
    pub fn variables(&self) -> BTreeSet<&str> {
        let roots = self.agents.iter().flat_map(|agent| &agent.declared_roots);
        let own = roots.flat_map(|root| &root.variables).map(|variable| variable.name.as_str());
        let mut names: BTreeSet<&str> = own.collect();
        for name in Placeholder::variables().chain(["PATH"]) {
            names.insert(name);
        }
        names
    }

    /// Returns the agents that are on a machine: one of their telling roots is there, or one of
    /// their programs, or the user names roots or projects for them.
    pub fn detect(&self, places: &Places) -> Vec<Detected<'_>> {
        let folders = places.program_folders();
        let detected = self.agents.iter().filter_map(|agent| {
            let roots = agent.roots(places);
            let program = agent.programs.iter().find_map(|name| find_program(&folders, name));
            let named = [&places.overrides, &places.projects];
            let is_named =
                named.iter().any(|it| it.get(&agent.id).is_some_and(|it| !it.is_empty()));
            let is_there = is_named || program.is_some() || roots.iter().any(|it| it.shows_agent);
            is_there.then_some(Detected { agent, roots, program })
        });
        detected.collect()
    }
}

impl Agent {
    /// Returns whether a name is its id or an alias.
    pub(super) fn is_called(&self, name: &str) -> bool {
        self.id == name || self.aliases.iter().any(|alias| alias == name)
    }
}
