//! The coding agents of this machine, as what a backup is to read.
//!
//! The catalog is the program's own and the user's files in `agents/` beside the configuration; the
//! environment and the home come from here. What is not chosen is carried over by the engine.
#![expect(
    clippy::disallowed_methods,
    reason = "definitions of the user's lie beside the configuration"
)]

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::config::{AgentEntry, Config, Stated};
use super::environment::Environment;
use super::places::Places;
use super::runs::RunAgent;
use super::session_projects::keeps_sessions_in_projects;
use crate::agents::{self, Agent, AgentRoot, Catalog, PathKind, Prune, System};
use crate::engine::backup::{AgentClass, AgentRules, AgentSource, AgentSources};
use crate::error::{Error, IoContext as _, Result};
use crate::files::{ExcludeOptions, ExcludeReason, Excludes, LeaveOut};
use crate::format::tree::Category;

/// What of the agents is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AgentWish {
    /// Ids or aliases; none means all that are found.
    pub agents: Vec<String>,
    /// Categories that are read; none means all.
    pub only: Vec<Category>,
    /// Whether files that hold nothing but credentials are left out.
    pub without_secrets: bool,
}

/// One agent that was found here.
#[derive(Debug, Clone)]
pub struct FoundAgent {
    /// The agent.
    pub agent: Arc<Agent>,
    /// Its roots, also those that are not there or have a problem.
    pub roots: Vec<AgentRoot>,
    /// Its program, if one was found.
    pub program: Option<PathBuf>,
    /// Whether it is saved where nobody names it: the configuration may switch it off.
    pub is_enabled: bool,
    /// Patterns of what of it the configuration leaves out.
    pub exclude: Vec<String>,
    /// Whether what its links lead to is saved, too.
    pub follows_links: bool,
}

/// The agents that are known, and those that are here.
#[derive(Debug)]
pub struct MachineAgents {
    /// All that are known.
    pub catalog: Catalog,
    /// Those that are here, in the order of the catalog.
    pub found: Vec<FoundAgent>,
    config: Config,
}

impl MachineAgents {
    /// Looks which agents are here. Definitions of the user's that can't be used are an error that
    /// names file and line, and so is a configuration that can't.
    pub fn find(places: &Places, environment: &Environment) -> Result<MachineAgents> {
        let catalog = agent_catalog(places)?;
        let config = Config::load(places)?;
        config.check_agents(&catalog)?;
        let told = agent_places(&catalog, &config, environment)?;
        let found = catalog.detect(&told).into_iter();
        let found = found.map(|it| of_config(it.agent, it.roots, it.program, &catalog, &config));
        let found = found.collect();
        Ok(MachineAgents { catalog, found, config })
    }

    /// Returns these agents, whatever is configured.
    pub fn of(catalog: Catalog, found: Vec<FoundAgent>) -> MachineAgents {
        MachineAgents { catalog, found, config: Config::default() }
    }

    /// Returns the agents of these ids or aliases, or all that are here and not switched off if none
    /// is named. One that is known and not here is an error.
    pub fn chosen(&self, names: &[String]) -> Result<Vec<&FoundAgent>> {
        if names.is_empty() {
            return Ok(self.found.iter().filter(|it| it.is_enabled).collect());
        }
        let mut chosen: Vec<&FoundAgent> = Vec::new();
        for name in names {
            let id = &self.catalog.find(name)?.id;
            let found = self.found.iter().find(|it| it.agent.id == *id).ok_or_else(|| {
                Error::failed("this agent is not on this machine:")
                    .object(id.clone())
                    .hint("`stash agents list` shows what was found, and where it was looked for")
            })?;
            if !chosen.iter().any(|it| it.agent.id == *id) {
                chosen.push(found);
            }
        }
        Ok(chosen)
    }

    /// Returns an agent that is known, with the places where it keeps its files here, whether it is
    /// here yet or not.
    pub fn known(&self, name: &str, environment: &Environment) -> Result<FoundAgent> {
        let agent = self.catalog.find(name)?;
        if let Some(found) = self.found.iter().find(|it| it.agent.id == agent.id) {
            return Ok(found.clone());
        }
        let roots = agent.roots(&agent_places(&self.catalog, &self.config, environment)?);
        Ok(of_config(agent, roots, None, &self.catalog, &self.config))
    }

    /// Returns what a backup is to read. `excludes` hold in every root.
    pub fn sources(&self, wish: &AgentWish, excludes: &ExcludeOptions) -> Result<AgentSources> {
        self.sources_of(&self.chosen(&wish.agents)?, wish, excludes)
    }

    /// Returns the same for these agents, whatever the wish names.
    pub fn sources_of(
        &self,
        agents: &[&FoundAgent],
        wish: &AgentWish,
        excludes: &ExcludeOptions,
    ) -> Result<AgentSources> {
        self.counted_sources(agents, wish, excludes).map(|(sources, _)| sources)
    }

    /// Returns the same, and what will tell how many files of each agent were met.
    pub fn counted_sources(
        &self,
        agents: &[&FoundAgent],
        wish: &AgentWish,
        excludes: &ExcludeOptions,
    ) -> Result<(AgentSources, AgentCounts)> {
        let mut roots = Vec::new();
        let mut counts = AgentCounts::default();
        for found in agents {
            let mut excludes = excludes.clone();
            excludes.exclude.extend(found.exclude.iter().cloned());
            for root in found.roots.iter().filter(|root| root.is_usable()) {
                let rules = Arc::new(RootRules::new(found, root, wish));
                counts.rules.push(Arc::clone(&rules));
                let leave_out = Arc::clone(&rules) as Arc<dyn LeaveOut>;
                roots.push(AgentSource {
                    agent: found.agent.id.clone(),
                    label: root.label.clone(),
                    place: root.place.clone(),
                    excludes: Arc::new(Excludes::new(&excludes)?.with_rules(leave_out)),
                    rules,
                });
            }
        }
        let carried = self.carried(agents);
        let is_partial = !wish.only.is_empty();
        Ok((AgentSources { roots, is_partial, carried, gathered: None }, counts))
    }

    /// Returns the agents whose roots stay as the parent has them, if they are not read: all but those
    /// that are switched off, unless they are read now.
    fn carried(&self, read: &[&FoundAgent]) -> Vec<String> {
        let ids = self.catalog.agents().iter().map(|agent| agent.id.clone());
        ids.filter(|id| {
            let is_on =
                entry_of(id, &self.catalog, &self.config).is_none_or(AgentEntry::is_enabled);
            is_on || read.iter().any(|it| it.agent.id == *id)
        })
        .collect()
    }

    /// Returns the places of which everything is an agent's. Of those that others share, projects
    /// among them, an agent has only what its rules name.
    pub fn whole_places(&self, sources: &AgentSources) -> Vec<PathBuf> {
        let is_whole = |source: &&AgentSource| {
            let found = self.catalog.agents().iter().find(|agent| agent.id == source.agent);
            found.is_some_and(|agent| !agent.shares_root(&source.label))
        };
        sources.roots.iter().filter(is_whole).map(|source| source.place.clone()).collect()
    }
}

/// Returns the agents that are known here: those of the program and of the user's files.
pub fn agent_catalog(places: &Places) -> Result<Catalog> {
    Catalog::with_user_files(user_definitions(&places.config)?)
}

/// Returns the user's definitions, as path and text.
fn user_definitions(config: &Path) -> Result<Vec<(PathBuf, String)>> {
    let folder = config.join("agents");
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).at("cannot list", &folder),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.at("cannot list", &folder)?.path();
        if path.extension().is_some_and(|it| it == "toml") {
            paths.push(path);
        }
    }
    paths.sort_unstable();
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).at("cannot read", &path)?;
        Ok((path, text))
    };
    paths.into_iter().map(read).collect()
}

/// Returns what the configuration says of an agent, under its id or another name of it.
fn entry_of<'c>(id: &str, catalog: &Catalog, config: &'c Config) -> Option<&'c AgentEntry> {
    let means = |it: &&AgentEntry| catalog.find(&it.id).is_ok_and(|agent| agent.id == id);
    config.agents.iter().find(means)
}

fn of_config(
    agent: &Agent,
    roots: Vec<AgentRoot>,
    program: Option<PathBuf>,
    catalog: &Catalog,
    config: &Config,
) -> FoundAgent {
    let entry = entry_of(&agent.id, catalog, config);
    let exclude = entry.and_then(|it| it.exclude.as_ref()).map(|it| it.value.clone());
    FoundAgent {
        agent: Arc::new(agent.clone()),
        roots,
        program,
        is_enabled: entry.is_none_or(AgentEntry::is_enabled),
        exclude: exclude.unwrap_or_default(),
        follows_links: entry.and_then(|it| it.follow_links.as_ref()).is_some_and(|it| it.value),
    }
}

/// Returns what the agents room is told about this machine.
fn agent_places(
    catalog: &Catalog,
    config: &Config,
    environment: &Environment,
) -> Result<agents::Places> {
    let home = environment.home().ok_or_else(|| {
        Error::failed("cannot tell where your home is").hint("set HOME to its path")
    })?;
    let system = if cfg!(target_os = "macos") { System::Macos } else { System::Linux };
    let set = catalog.variables().into_iter();
    let set = set.filter_map(|name| Some((name.to_owned(), environment.get(name)?)));
    let mut places =
        agents::Places { variables: set.collect(), ..agents::Places::new(home, system) };
    for entry in &config.agents {
        let id = catalog.find(&entry.id)?.id.clone();
        let whole = |stated: &Option<Stated<Vec<PathBuf>>>| {
            let paths = stated.iter().flat_map(|it| &it.value);
            paths.map(|path| environment.expand_home(path)).collect::<Result<Vec<_>>>()
        };
        places.overrides.insert(id.clone(), whole(&entry.roots)?);
        places.projects.insert(id, whole(&entry.projects)?);
    }
    Ok(places)
}

/// What lies below one root.
struct RootRules {
    agent: Arc<Agent>,
    label: String,
    place: PathBuf,
    /// Other roots of the agent that lie in this one.
    inner: Vec<PathBuf>,
    only: Vec<Category>,
    without_secrets: bool,
    /// Files that a walk met and did not leave out, by category.
    met: [AtomicU64; Category::ALL.len()],
    /// Those of them that hold credentials beside other things.
    mixed: Mutex<Vec<PathBuf>>,
}

impl RootRules {
    fn new(found: &FoundAgent, root: &AgentRoot, wish: &AgentWish) -> RootRules {
        let usable = found.roots.iter().filter(|it| it.is_usable());
        RootRules {
            agent: Arc::clone(&found.agent),
            label: root.label.clone(),
            place: root.place.clone(),
            inner: usable
                .filter(|it| it.inside.as_ref() == Some(&root.label))
                .map(|it| it.place.clone())
                .collect(),
            only: wish.only.clone(),
            without_secrets: wish.without_secrets,
            met: Default::default(),
            mixed: Mutex::default(),
        }
    }

    fn below<'p>(&self, path: &'p Path) -> &'p [u8] {
        path.strip_prefix(&self.place).map_or(&[], |below| below.as_os_str().as_bytes())
    }
}

impl AgentRules for RootRules {
    fn class(&self, path: &[u8]) -> AgentClass {
        let found = self.agent.classify(&self.label, path);
        let category = found.map_or(Category::Other, |it| it.category);
        let is_unwanted = self.without_secrets && category == Category::Secrets;
        AgentClass {
            category,
            is_saved: found.is_some() && category != Category::Cache && !is_unwanted,
            is_read: self.only.is_empty() || self.only.contains(&category),
        }
    }
}

impl LeaveOut for RootRules {
    fn reason(&self, path: &Path, is_directory: bool) -> Option<ExcludeReason> {
        if self.inner.iter().any(|inner| inner == path) {
            return Some(ExcludeReason::Elsewhere);
        }
        let below = self.below(path);
        if is_directory {
            // What lies deeper may be another root's, and that one's alone.
            return match self.agent.prunes(&self.label, below)? {
                Prune::Cache(_) => Some(ExcludeReason::AgentCache),
                Prune::Foreign => Some(ExcludeReason::Foreign),
            };
        }
        match self.agent.classify(&self.label, below) {
            None => Some(ExcludeReason::Foreign),
            Some(found) => match found.category {
                Category::Cache => Some(ExcludeReason::AgentCache),
                Category::Secrets if self.without_secrets => Some(ExcludeReason::Secrets),
                category => {
                    self.count(category);
                    if found.mixed_secrets && self.without_secrets {
                        lock(&self.mixed).push(path.to_owned());
                    }
                    None
                }
            },
        }
    }
}

impl RootRules {
    fn count(&self, category: Category) {
        let place = Category::ALL.iter().position(|it| *it == category);
        if let Some(met) = place.and_then(|place| self.met.get(place)) {
            met.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// How many files of each agent a walk met. Asked after it.
#[derive(Default)]
pub struct AgentCounts {
    rules: Vec<Arc<RootRules>>,
}

impl AgentCounts {
    /// Returns the agents that were read, each with its files by category.
    pub fn by_agent(&self) -> Vec<RunAgent> {
        let mut agents: Vec<RunAgent> = Vec::new();
        for rules in &self.rules {
            let id = &rules.agent.id;
            if !agents.iter().any(|it| it.id == *id) {
                agents.push(RunAgent { id: id.clone(), ..RunAgent::default() });
            }
            let Some(own) = agents.iter_mut().find(|it| it.id == *id) else { continue };
            for (category, met) in Category::ALL.iter().zip(&rules.met) {
                let met = met.load(Ordering::Relaxed);
                if met > 0 {
                    let sum = own.files.entry(category.name().to_owned()).or_default();
                    *sum = sum.saturating_add(met);
                }
            }
        }
        agents
    }

    /// Returns the agents that keep sessions, and of which none was recognised, each with the first
    /// place that was looked at, and whether it keeps them in projects.
    pub fn without_sessions(&self) -> Vec<(String, PathBuf, bool)> {
        let sessions = Category::Sessions.name();
        let by_agent = self.by_agent();
        let lacking = by_agent.iter().filter(|it| !it.files.contains_key(sessions));
        let place = |id: &str| self.rules.iter().find(|rules| rules.agent.id == id);
        let lacking = lacking.filter_map(|it| place(&it.id));
        let lacking = lacking.filter(|rules| !rules.agent.sessions.is_empty());
        let told = |rules: &Arc<RootRules>| {
            let in_projects = keeps_sessions_in_projects(&rules.agent);
            (rules.agent.name.clone(), rules.place.clone(), in_projects)
        };
        lacking.map(told).collect()
    }

    /// Returns files that hold credentials beside other things, where those that hold nothing else
    /// are left out.
    pub fn mixed_secrets(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> =
            self.rules.iter().flat_map(|rules| lock(&rules.mixed).clone()).collect();
        files.sort_unstable();
        files.dedup();
        files
    }
}

/// A panic elsewhere leaves a list whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns what a root is, in a word.
pub fn kind_word(kind: PathKind) -> &'static str {
    match kind {
        PathKind::Folder => "folder",
        PathKind::File => "file",
    }
}
