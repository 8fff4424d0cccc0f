//! What the stored objects mean together: a repository, its keys, its log, its index.
//!
//! Opening goes in two steps, since the secret to use may depend on which repository it is:
//! [`LockedRepository::find`] reads header and key slots, [`LockedRepository::unlock`] opens them.
//! A [`Repository`] may be used from several threads.

pub mod cache;
pub mod container;
pub mod index;
mod keyring;
pub mod ledger;
pub mod lifetimes;
mod locked;
pub mod log;
pub mod marks;
pub mod packer;
pub mod page_memory;
pub mod reader;
mod remembered;
mod rotate;
pub mod snapshots;
pub mod state;
pub mod trust;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use self::keyring::SlotEntry;
pub use self::locked::LockedRepository;
pub use self::rotate::{Rotated, RotationPlan};

use self::cache::{Cache, Clutter, ClutterQuestion};
use self::keyring::{Holder, KeyObjects, Keyring, put_slot};
use self::state::{LaneState, StateFolder};
use self::trust::Trust;
use crate::codec::CodecError;
use crate::codec::crypto::{
    MasterKeys, RepositoryKeys, SlotSecret, make_slot, object_hash, random_bytes,
};
use crate::error::{Error, Result};
use crate::format::key::{About, REPOSITORY_APPEND_ONLY, REPOSITORY_EXCLUSIVE, RepositoryHeader};
use crate::id::RepositoryId;
use crate::store::{ObjectName, Prefix, RecordName, Store};
use crate::time::Timestamp;

/// Where the cache and this machine's memory of a repository live.
#[derive(Debug, Clone, Default)]
pub struct LocalFolders {
    /// The cache; `None` keeps it in memory.
    pub cache: Option<PathBuf>,
    /// The state; `None` remembers nothing.
    pub state: Option<PathBuf>,
}

/// A pack shorter than this is small, and put together with others once there are many, in bytes.
pub const SMALL_PACK: u64 = 4 << 20;

/// What a new repository is told once and for all.
#[derive(Debug, Clone)]
pub struct InitOptions {
    /// The id, where something must know it before the repository exists; else one is drawn.
    pub id: Option<RepositoryId>,
    /// Seconds that a writer may go on without looking at the log again.
    pub window: u64,
    /// Seconds between condemning and deleting; at least twenty windows.
    pub grace: u64,
    /// Flags of the header.
    pub flags: u64,
}

impl Default for InitOptions {
    fn default() -> Self {
        InitOptions { id: None, window: 3600, grace: 72 * 3600, flags: 0 }
    }
}

/// A repository. See the module's head.
pub struct Repository {
    store: Store,
    header: RepositoryHeader,
    header_bytes: Vec<u8>,
    keyring: Arc<Keyring>,
    keys: Arc<RepositoryKeys>,
    cache: Arc<Cache>,
    state: Option<StateFolder>,
    lane: Mutex<Option<LaneState>>,
    heads: Mutex<Vec<RecordName>>,
    /// Whose words count; `None`: everybody's.
    trust: Option<Arc<Trust>>,
}

fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Repository {
    /// Makes a repository in an empty store, with one key slot for each secret.
    ///
    /// The slots are durable before the header: a header that nobody can open never exists.
    pub fn init(
        store: &Store,
        options: &InitOptions,
        secrets: &[(SlotSecret, String)],
        now: Timestamp,
        folders: &LocalFolders,
    ) -> Result<Repository> {
        let master = MasterKeys::random().map_err(cannot_make)?;
        Self::make(store, options, master, secrets, now, folders)
    }

    /// Does the same; the new repository takes the same units as this one (`stash copy` carries them
    /// over as they are), and opens by other keys.
    pub fn init_like(
        &self,
        store: &Store,
        options: &InitOptions,
        secrets: &[(SlotSecret, String)],
        now: Timestamp,
        folders: &LocalFolders,
    ) -> Result<Repository> {
        let master = self.keyring.master.sharing_content().map_err(cannot_make)?;
        Self::make(store, options, master, secrets, now, folders)
    }

    fn make(
        store: &Store,
        options: &InitOptions,
        master: MasterKeys,
        secrets: &[(SlotSecret, String)],
        now: Timestamp,
        folders: &LocalFolders,
    ) -> Result<Repository> {
        Self::refuse_occupied(store)?;
        let header = RepositoryHeader {
            id: match options.id {
                Some(id) => id,
                None => RepositoryId(random_bytes().map_err(cannot_make)?),
            },
            created: now.0,
            flags: options.flags,
            window: options.window,
            grace: options.grace,
            chunker: 1,
            ..RepositoryHeader::default()
        };
        let header_bytes = header.encode();
        RepositoryHeader::decode(&header_bytes)
            .map_err(|error| Error::usage("bad options for a repository").source(error))?;
        let mut first = None;
        for (secret, label) in secrets {
            let about = About { label: label.clone(), created: now.0, ..About::default() };
            let (slot, exchange) =
                make_slot(&master, &header_bytes, secret, &about, None).map_err(cannot_make)?;
            let slot = put_slot(store, &slot)?;
            first.get_or_insert(Holder { slot, exchange });
        }
        let name = ObjectName::Repository(object_hash(&header_bytes));
        store.put(name, &[header_bytes.clone().into()])?;
        let locked = LockedRepository::made(store.clone(), header, header_bytes);
        locked.assemble(master, folders, first, &KeyObjects::default())
    }

    /// Fails if a repository lies in the store.
    pub fn refuse_occupied(store: &Store) -> Result<()> {
        if store.list(Prefix::Repository)?.is_empty() {
            return Ok(());
        }
        Err(Error::failed("a repository exists already in")
            .object(store.description())
            .hint("`stash backup` uses it; `-r` names another place"))
    }

    /// Returns whether nothing was ever stored here: no header, no record, no pack. Key slots that
    /// a run left which died before it wrote the header don't count.
    pub fn is_unborn(store: &Store) -> Result<bool> {
        Ok(store.list(Prefix::Repository)?.is_empty()
            && store.list(Prefix::Log)?.is_empty()
            && store.list(Prefix::Packs)?.is_empty())
    }

    /// Returns another handle to the same repository, whose cache is empty, its own, and gone with
    /// it. What it is then told by a sync comes from the store alone; of what those say who are not
    /// trusted, it hears only what protects.
    pub fn with_private_cache(&self, trust: Option<Arc<Trust>>) -> Result<Repository> {
        Ok(Repository {
            store: self.store.clone(),
            header: self.header.clone(),
            header_bytes: self.header_bytes.clone(),
            keyring: Arc::clone(&self.keyring),
            keys: Arc::clone(&self.keys),
            cache: Arc::new(Cache::temporary()?),
            state: None,
            lane: Mutex::default(),
            heads: Mutex::default(),
            trust,
        })
    }

    /// Returns the store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Returns the header.
    pub fn header(&self) -> &RepositoryHeader {
        &self.header
    }

    /// Returns whether it lies on a single computer's own disk, where a lock file tells who uses it.
    pub fn is_exclusive(&self) -> bool {
        self.header.flags & REPOSITORY_EXCLUSIVE != 0
    }

    /// Returns whether its writers may not delete, so that whoever may takes orders only from those
    /// whom its user has named.
    pub fn is_append_only(&self) -> bool {
        self.header.flags & REPOSITORY_APPEND_ONLY != 0
    }

    /// Counts what there may be to clean up, by what is known on this machine.
    pub fn clutter(&self, now: Timestamp) -> Result<Clutter> {
        let lifetimes = self.lifetimes();
        let question = ClutterQuestion {
            own: self.remembered_lane().map(|lane| lane.lane).unwrap_or_default(),
            heard_since: now.plus(-lifetimes.rest.saturating_mul(30)).0,
            condemned_before: now.plus(-lifetimes.grace).0,
            small: SMALL_PACK,
        };
        self.cache.clutter(&question)
    }

    /// Returns how long things last here.
    pub fn lifetimes(&self) -> lifetimes::Lifetimes {
        lifetimes::Lifetimes::new(self.header.window, self.header.grace)
    }

    /// Returns the header's bytes.
    pub fn header_bytes(&self) -> &[u8] {
        &self.header_bytes
    }

    /// Returns the repository's id.
    pub fn id(&self) -> RepositoryId {
        self.header.id
    }

    /// Returns the derived keys.
    pub fn keys(&self) -> &Arc<RepositoryKeys> {
        &self.keys
    }

    /// Returns the local copy of the log.
    pub fn cache(&self) -> &Arc<Cache> {
        &self.cache
    }

    /// Returns what this machine remembers, if it is to remember anything.
    pub fn state(&self) -> Option<&StateFolder> {
        self.state.as_ref()
    }

    fn lane(&self) -> MutexGuard<'_, Option<LaneState>> {
        guard(&self.lane)
    }

    fn heads(&self) -> MutexGuard<'_, Vec<RecordName>> {
        guard(&self.heads)
    }
}

fn cannot_make(error: CodecError) -> Error {
    Error::failed("cannot make a repository").source(error)
}
