//! The engine for those who build a backup tool for an agent of their own: a repository, an agent
//! as data, and three things to do with them.
//!
//! ```no_run
//! use stash::{AgentDefinition, Stash, StashOptions};
//!
//! # fn main() -> stash::Result<()> {
//! let stash = Stash::open_or_create("/backups/mine".as_ref(), "a passphrase", StashOptions::default())?;
//! let agent = AgentDefinition::known("claude-code")?; // or `from_toml`, for one of your own
//! let saved = stash.back_up(&agent, "/home/ann".as_ref())?;
//! for snapshot in stash.snapshots()? {
//!     println!("{} {} {}", snapshot.id.short(), snapshot.time.to_rfc3339(), snapshot.host);
//! }
//! stash.restore(&saved.id, &agent, "/home/ann".as_ref())?;
//! # Ok(())
//! # }
//! ```
//!
//! What holds for the program holds here: databases are taken whole while they are written to,
//! caches stay out, what an agent deletes of sessions, memory and history stays in the snapshots, and
//! the program itself (`stash -r /backups/mine …`) reads and verifies what was saved. Definitions
//! are written like those of the program's own catalog (`src/agents/catalog/`).
//!
//! Every call blocks until it is done; a [`Stash`] may be shared between threads.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::agents::{Agent, AgentRoot, Catalog, Origin, Places, System};
use crate::codec::Compression;
use crate::codec::crypto::SlotSecret;
use crate::engine::backup::{BackupOptions, backup};
use crate::engine::restore::{
    Destination, NodeRule, Overwrite, PathFilter, RestoreOptions, restore,
};
use crate::error::{Error, Kind, Result};
use crate::event::{Counters, Silent};
use crate::files::{ApplyOptions, ExcludeOptions, Excludes};
use crate::format::key::REPOSITORY_EXCLUSIVE;
use crate::format::record::{RootKind, SNAPSHOT_SAFETY, Snapshot};
use crate::format::tree::{Category, Node};
use crate::id::SnapshotId;
use crate::machine::{
    self, AgentWish, Environment, FoundAgent, Identity, MachineAgents, SharedLock, SystemClock,
};
use crate::repository::snapshots::SnapshotFilter;
use crate::repository::{InitOptions, LocalFolders, LockedRepository, Repository};
use crate::store::Store;
use crate::time::{Clock as _, Timestamp};

/// How long to wait for somebody who deletes in the repository.
const PATIENCE: Duration = Duration::from_mins(1);
const DEFINITION: &str = "definition.toml";

/// What may be said about a repository's use; all of it may be left out.
#[derive(Debug, Clone, Default)]
pub struct StashOptions {
    /// A folder for a copy of the index, which makes later runs faster; safe to delete.
    pub cache: Option<PathBuf>,
    /// A folder for what this machine remembers: what was read when.
    pub state: Option<PathBuf>,
    /// The machine's name in snapshots; else what the system says.
    pub host: Option<String>,
}

/// An agent, as data.
#[derive(Debug, Clone)]
pub struct AgentDefinition {
    catalog: Catalog,
    agent: Arc<Agent>,
}

/// An open repository.
pub struct Stash {
    repository: Repository,
    identity: Identity,
    _shared: Option<SharedLock>,
}

/// A snapshot that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StashSnapshot {
    /// Its id.
    pub id: SnapshotId,
    /// The moment that it stands for.
    pub time: Timestamp,
    /// The machine.
    pub host: String,
    /// The agents that it holds something of.
    pub agents: Vec<String>,
    /// Files in it.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What a backup did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Saved {
    /// The snapshot that holds what is there now; the one before if nothing had changed.
    pub id: SnapshotId,
    /// Whether it is new.
    pub is_new: bool,
    /// Files in it.
    pub files: u64,
    /// Files that could not be read, and are missing in it.
    pub failed: u64,
}

/// What a restore did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    /// Files written.
    pub written: u64,
    /// Files that were the same, or are joined by hand and were left alone.
    pub unchanged: u64,
    /// Files that could not be restored.
    pub failed: u64,
}

impl AgentDefinition {
    /// Reads a definition; an error names the line.
    pub fn from_toml(text: &str) -> Result<AgentDefinition> {
        let catalog = Catalog::with_user_files(vec![(DEFINITION.into(), text.to_owned())])?;
        let own = |agent: &&Agent| matches!(agent.origin, Origin::File(_));
        let agent = catalog.agents().iter().find(own).cloned();
        let agent = agent.ok_or_else(|| Error::failed("the definition defines no agent"))?;
        Ok(AgentDefinition { catalog, agent: Arc::new(agent) })
    }

    /// Returns one of the agents that the program knows, by its id.
    pub fn known(id: &str) -> Result<AgentDefinition> {
        let catalog = Catalog::builtin()?;
        let agent = Arc::new(catalog.find(id)?.clone());
        Ok(AgentDefinition { catalog, agent })
    }

    /// Returns its id.
    pub fn id(&self) -> &str {
        &self.agent.id
    }

    /// Returns where it keeps its files below a home, by label; variables of this process that move
    /// them are followed.
    fn found(&self, home: &Path) -> FoundAgent {
        let environment = Environment::of_process();
        let system = if cfg!(target_os = "macos") { System::Macos } else { System::Linux };
        let set = self.agent.declared_roots.iter().flat_map(|root| &root.variables);
        let set = set.filter_map(|it| Some((it.name.clone(), environment.get(&it.name)?)));
        let places = Places { variables: set.collect(), ..Places::new(home, system) };
        let roots = self.agent.roots(&places);
        let agent = Arc::clone(&self.agent);
        FoundAgent {
            agent,
            roots,
            program: None,
            is_enabled: true,
            exclude: Vec::new(),
            follows_links: false,
        }
    }
}

impl Stash {
    /// Opens the repository in a folder.
    pub fn open(folder: &Path, passphrase: &str, options: StashOptions) -> Result<Stash> {
        let locked = LockedRepository::find(Store::folder(folder, false)?, None)?;
        let repository = locked.unlock(&secret(passphrase), &folders(&options))?;
        Self::with(repository, folder, options)
    }

    /// Makes a repository in a folder; one that is there already is an error. Whoever loses the
    /// passphrase loses what is saved: `stash key add` makes further ways to open it.
    pub fn create(folder: &Path, passphrase: &str, options: StashOptions) -> Result<Stash> {
        let store = Store::folder(folder, true)?;
        Repository::refuse_occupied(&store)?;
        let init =
            InitOptions { flags: machine::repository_flags(folder), ..InitOptions::default() };
        let secrets = [(secret(passphrase), "passphrase".to_owned())];
        let now = SystemClock.now();
        let repository = Repository::init(&store, &init, &secrets, now, &folders(&options))?;
        Self::with(repository, folder, options)
    }

    /// Opens the repository in a folder, or makes it if none is there.
    pub fn open_or_create(folder: &Path, passphrase: &str, options: StashOptions) -> Result<Stash> {
        match Self::open(folder, passphrase, options.clone()) {
            Err(error) if error.kind() == Kind::NoRepository => {
                Self::create(folder, passphrase, options)
            }
            result => result,
        }
    }

    fn with(repository: Repository, folder: &Path, options: StashOptions) -> Result<Stash> {
        let mut identity = Identity::find(&Environment::of_process())?;
        identity.host = options.host.unwrap_or(identity.host);
        let is_exclusive = repository.header().flags & REPOSITORY_EXCLUSIVE != 0;
        let shared = is_exclusive
            .then(|| SharedLock::take(folder, PATIENCE, &SystemClock, &Counters::default()));
        repository.sync()?;
        Ok(Stash { repository, identity, _shared: shared.transpose()? })
    }

    /// Saves what an agent keeps below a home.
    pub fn back_up(&self, agent: &AgentDefinition, home: &Path) -> Result<Saved> {
        let found = agent.found(home);
        if !found.roots.iter().any(AgentRoot::is_usable) {
            return Err(
                Error::failed("nothing of this agent is below").object(home.display().to_string())
            );
        }
        let known = MachineAgents::of(agent.catalog.clone(), vec![found]);
        let (wish, excludes) = (AgentWish::default(), ExcludeOptions::default());
        let temporary = tempfile::tempdir()
            .map_err(|error| Error::failed("cannot make a temporary folder").source(error))?;
        let options = BackupOptions {
            agents: known.sources(&wish, &excludes)?,
            paths: Vec::new(),
            excludes: Arc::new(Excludes::new(&excludes)?),
            host: self.identity.host.clone(),
            user: self.identity.user.clone(),
            job: "agents".to_owned(),
            tags: Vec::new(),
            time: None,
            offset_minutes: 0,
            force: false,
            always: false,
            is_safety: false,
            dry_run: false,
            compression: Compression::Auto,
            threads: machine::worker_count(),
            check_databases_after: None,
            observer: None,
            temporary_folder: temporary.path().to_owned(),
        };
        let counters = Counters::default();
        let report = backup(&self.repository, &options, &SystemClock, &counters, &Silent)?;
        let id = report.snapshot.or(report.parent);
        Ok(Saved {
            id: id.ok_or_else(|| Error::failed("nothing was saved"))?,
            is_new: report.snapshot.is_some(),
            files: report.statistics.files,
            failed: report.statistics.errors,
        })
    }

    /// Returns the snapshots, the oldest first.
    pub fn snapshots(&self) -> Result<Vec<StashSnapshot>> {
        self.repository.sync()?;
        let entries = self.repository.snapshots(&SnapshotFilter::default())?;
        let listed = entries.into_iter().filter(|it| it.snapshot.flags & SNAPSHOT_SAFETY == 0);
        let listed = listed.map(|entry| {
            let roots = entry.snapshot.roots.iter();
            let roots = roots.filter(|root| root.kind == RootKind::Agent as u64);
            let mut agents: Vec<String> = roots.map(|root| root.agent.clone()).collect();
            agents.sort_unstable();
            agents.dedup();
            StashSnapshot {
                id: entry.id,
                time: Timestamp(entry.snapshot.time),
                host: entry.snapshot.host,
                agents,
                files: entry.snapshot.statistics.files,
                bytes: entry.snapshot.statistics.bytes,
            }
        });
        let mut listed: Vec<StashSnapshot> = listed.collect();
        listed.sort_by_key(|snapshot| snapshot.time);
        Ok(listed)
    }

    /// Brings an agent's files back below a home, wherever they were when they were saved. Files that
    /// differ are replaced; files that the snapshot lacks stay, and so do those that the definition
    /// wants joined and run-time files.
    pub fn restore(
        &self,
        id: &SnapshotId,
        agent: &AgentDefinition,
        home: &Path,
    ) -> Result<Restored> {
        self.repository.sync()?;
        let entries = self.repository.cached_snapshots()?;
        let entry = entries.into_iter().find(|entry| entry.id == *id && entry.forgotten.is_none());
        let entry =
            entry.ok_or_else(|| Error::failed("there is no snapshot").object(id.short()))?;
        let (snapshot, rule) = lay(&entry.snapshot, &agent.found(home));
        if snapshot.roots.is_empty() {
            return Err(Error::failed("the snapshot holds nothing of the agent").object(agent.id()));
        }
        let options = RestoreOptions {
            destination: Destination::InPlace,
            path: Vec::new(),
            filter: PathFilter::default().with_rule(Arc::new(rule)),
            overwrite: Overwrite::IfChanged,
            keeps_longer: false,
            delete: false,
            verify: false,
            salvage: false,
            with_absent: false,
            dry_run: false,
            apply: ApplyOptions::default(),
            threads: machine::worker_count(),
        };
        let counters = Counters::default();
        let report = restore(&self.repository, &snapshot, &options, &counters, &Silent)?;
        Ok(Restored {
            written: report.files_created.saturating_add(report.files_overwritten),
            unchanged: report.files_unchanged,
            failed: report.failed,
        })
    }
}

fn secret(passphrase: &str) -> SlotSecret {
    SlotSecret::Passphrase(Zeroizing::new(passphrase.to_owned()))
}

fn folders(options: &StashOptions) -> LocalFolders {
    LocalFolders { cache: options.cache.clone(), state: options.state.clone() }
}

/// Lays the agent's roots in a snapshot onto the places below a home.
fn lay(snapshot: &Snapshot, found: &FoundAgent) -> (Snapshot, Take) {
    let mut laid = Snapshot { roots: Vec::new(), ..snapshot.clone() };
    let mut rule = Take { agent: Arc::clone(&found.agent), places: Vec::new() };
    for root in &snapshot.roots {
        let is_own = root.kind == RootKind::Agent as u64 && root.agent == found.agent.id;
        let here = found.roots.iter().find(|it| is_own && it.label == root.label);
        let Some(here) = here else { continue };
        let mut root = root.clone();
        root.place = here.place.as_os_str().as_bytes().into();
        root.node.name = here.place.file_name().map_or(&[][..], OsStr::as_bytes).into();
        rule.places.push((here.place.clone(), root.label.clone()));
        laid.roots.push(root);
    }
    (laid, rule)
}

/// Decides what of an agent's files comes back.
struct Take {
    agent: Arc<Agent>,
    places: Vec<(PathBuf, String)>,
}

impl NodeRule for Take {
    fn takes(&self, path: &[u8], _node: &Node) -> bool {
        let at = Path::new(OsStr::from_bytes(path));
        let root = self.places.iter().filter(|(place, _)| at.starts_with(place));
        // Of roots that lie in one another the innermost.
        let root = root.max_by_key(|(place, _)| place.as_os_str().len());
        let Some((place, label)) = root else { return false };
        let below = at.strip_prefix(place).unwrap_or(Path::new(""));
        let class = self.agent.classify(label, below.as_os_str().as_bytes());
        class.is_some_and(|class| {
            let is_joined = class.merge.is_some() && machine::is_file(at);
            !class.run_time && class.category != Category::Cache && !is_joined
        })
    }
}
