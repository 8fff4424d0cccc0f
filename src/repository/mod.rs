//! What the stored objects mean together: a repository, its keys, its log, its index.
//!
//! Opening goes in two steps, since the secret to use may depend on which repository it is:
//! [`LockedRepository::find`] reads header and key slots, [`LockedRepository::unlock`] opens them.
//! A [`Repository`] may be used from several threads.

pub mod cache;
pub mod container;
pub mod index;
pub mod ledger;
pub mod lifetimes;
pub mod log;
pub mod marks;
pub mod packer;
pub mod page_memory;
pub mod reader;
mod remembered;
pub mod snapshots;
pub mod state;
pub mod trust;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::cache::{Cache, Clutter, ClutterQuestion, Swept};
use self::state::{LaneState, StateFolder};
use self::trust::Trust;
use crate::codec::CodecError;
use crate::codec::crypto::{
    MasterKeys, RepositoryKeys, SlotSecret, make_slot, object_hash, open_about, open_slot,
    random_bytes,
};
use crate::error::{Error, Kind, Result};
use crate::format::LIMITS;
use crate::format::key::{
    About, KeySlot, REPOSITORY_APPEND_ONLY, REPOSITORY_EXCLUSIVE, RepositoryHeader, SlotKind,
};
use crate::id::{ObjectHash, RepositoryId};
use crate::store::{Listed, ObjectName, Prefix, RecordName, Store};
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
/// What copies of stored objects may take in the cache of a repository that is far away, in bytes.
const COPIES_BYTES: u64 = 512 << 20;

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

/// A repository whose secrets are still sealed.
pub struct LockedRepository {
    store: Store,
    header: RepositoryHeader,
    header_bytes: Vec<u8>,
    slots: Vec<(ObjectHash, KeySlot)>,
    damaged_slots: Vec<(ObjectName, Error)>,
    memory: Option<remembered::Memory>,
}

/// A repository. See the module's head.
pub struct Repository {
    store: Store,
    header: RepositoryHeader,
    header_bytes: Vec<u8>,
    master: MasterKeys,
    keys: Arc<RepositoryKeys>,
    cache: Arc<Cache>,
    state: Option<StateFolder>,
    lane: Mutex<Option<LaneState>>,
    heads: Mutex<Vec<RecordName>>,
    slot: Option<ObjectHash>,
    /// Whose words count; `None`: everybody's.
    trust: Option<Arc<Trust>>,
}

/// A key slot, as people see it.
#[derive(Debug, Clone)]
pub struct SlotEntry {
    /// Its object.
    pub id: ObjectHash,
    /// What opens it.
    pub kind: SlotKind,
    /// Whose it is.
    pub label: String,
    /// When it was made (nanoseconds, UTC).
    pub created: i64,
    /// Whether this run opened the repository with it.
    pub in_use: bool,
}

fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LockedRepository {
    /// Reads header and key slots. With several headers in one place, `wanted` (the beginning of
    /// an id) says which.
    pub fn find(store: Store, wanted: Option<&str>) -> Result<LockedRepository> {
        let mut listed = store.list_many(&[(Prefix::Repository, None), (Prefix::Keys, None)])?;
        let (slots, headers) = (listed.pop().unwrap_or_default(), listed.pop().unwrap_or_default());
        let mut found = Vec::new();
        for row in headers {
            let bytes = store.get(&row.name)?.unwrap_or_default();
            if object_hash(&bytes) != row.name.hash() {
                return Err(Error::damaged("repository header is damaged:", row.name.to_string())
                    .hint(
                        "each key slot holds a copy: run `stash repair index` to write it anew",
                    ));
            }
            let header = RepositoryHeader::decode(&bytes).map_err(|error| {
                Error::new(Kind::NoRepository, "cannot read repository in")
                    .object(store.description())
                    .source(error)
                    .hint("a newer stash may be needed; nothing was changed")
            })?;
            if wanted.is_none_or(|wanted| header.id.to_string().starts_with(wanted)) {
                found.push((header, bytes.to_vec()));
            }
        }
        if found.len() > 1 {
            let ids: Vec<String> = found.iter().map(|(header, _)| header.id.short()).collect();
            return Err(Error::usage("several repositories lie in")
                .object(store.description())
                .hint(format!("choose one with `--repo-id`: {}", ids.join(", "))));
        }
        let Some((header, header_bytes)) = found.pop() else {
            return Err(Self::without_header(&store, slots.is_empty()));
        };
        let mut locked = LockedRepository {
            store,
            header,
            header_bytes,
            slots: Vec::new(),
            damaged_slots: Vec::new(),
            memory: None,
        };
        locked.load_slots(slots)?;
        Ok(locked)
    }

    /// Reads the key slots of a repository whose header is missing or damaged: each holds a sealed
    /// copy of it, which then counts.
    pub fn find_without_header(store: Store) -> Result<LockedRepository> {
        let mut locked = LockedRepository {
            store,
            header: RepositoryHeader::default(),
            header_bytes: Vec::new(),
            slots: Vec::new(),
            damaged_slots: Vec::new(),
            memory: None,
        };
        let slots = locked.store.list(Prefix::Keys)?;
        locked.load_slots(slots)?;
        Ok(locked)
    }

    /// Without a header there is nothing to open; what else lies there decides what to say.
    fn without_header(store: &Store, is_empty: bool) -> Error {
        let place = store.description().to_owned();
        if is_empty {
            return Error::new(Kind::NoRepository, "no repository in")
                .object(place)
                .hint("`stash init` makes one; `-r` names another place");
        }
        Error::damaged("the repository's header is missing in", place)
            .hint("each key slot holds a copy: run `stash repair index` to write it anew")
    }

    fn load_slots(&mut self, rows: Vec<Listed>) -> Result<()> {
        if rows.len() > LIMITS.key_slots {
            return Err(Error::damaged("too many key slots in", self.store.description()));
        }
        let names: Vec<ObjectName> = rows.iter().map(|row| row.name.clone()).collect();
        for (row, bytes) in rows.into_iter().zip(self.store.get_many(&names)) {
            let bytes = bytes?.unwrap_or_default();
            let slot = KeySlot::decode(&bytes).map_err(|error| {
                Error::damaged("cannot read key slot", row.name.to_string()).source(error)
            });
            if object_hash(&bytes) != row.name.hash() {
                // What a secret opens is authentic under any name: it is tried all the same.
                let error = Error::damaged("key slot is damaged:", row.name.to_string());
                self.damaged_slots.push((row.name.clone(), error));
                self.slots.extend(slot.ok().map(|slot| (row.name.hash(), slot)));
                continue;
            }
            match slot {
                Ok(slot) => self.slots.push((row.name.hash(), slot)),
                Err(error) => self.damaged_slots.push((row.name, error)),
            }
        }
        Ok(())
    }

    /// Returns the repository's id.
    pub fn id(&self) -> RepositoryId {
        self.header.id
    }

    /// Returns which kinds of secrets have a slot.
    pub fn slot_kinds(&self) -> Vec<SlotKind> {
        self.slots.iter().filter_map(|(_, slot)| SlotKind::from_number(slot.kind).ok()).collect()
    }

    /// Returns the key slots that can't be read, with the reason.
    pub fn damaged_slots(&self) -> &[(ObjectName, Error)] {
        &self.damaged_slots
    }

    /// Opens the repository with `secret`. A secret that no slot takes gives
    /// [`Kind::WrongPassphrase`].
    pub fn unlock(&self, secret: &SlotSecret, folders: &LocalFolders) -> Result<Repository> {
        let kind = secret.kind();
        let mut failure = None;
        for (hash, slot) in self.slots.iter().filter(|(_, slot)| slot.kind == kind as u64) {
            match open_slot(slot, secret) {
                Ok((master, header)) if header == self.header_bytes => {
                    return self.assemble(master, folders, Some(*hash));
                }
                Ok((master, header)) if self.header_bytes.is_empty() => {
                    return self.with_header(header)?.assemble(master, folders, Some(*hash));
                }
                Ok(_) => {
                    let name = ObjectName::KeySlot(*hash).to_string();
                    failure = Some(
                        Error::damaged("the repository's header is not the one sealed in", name)
                            .hint("someone has changed it, or put two repositories in one place"),
                    );
                }
                Err(CodecError::WrongKey) => {}
                Err(error) => {
                    let name = ObjectName::KeySlot(*hash).to_string();
                    failure = Some(Error::damaged("cannot open key slot", name).source(error));
                }
            }
        }
        Err(failure.unwrap_or_else(|| {
            Error::new(
                Kind::WrongPassphrase,
                format!(
                    "cannot open repository `{}`: wrong {}",
                    self.store.description(),
                    match kind {
                        SlotKind::Device => "device key",
                        SlotKind::Passphrase => "passphrase",
                        SlotKind::Recovery => "recovery code",
                    }
                ),
            )
        }))
    }

    /// Returns this with the header that a key slot held.
    fn with_header(&self, header_bytes: Vec<u8>) -> Result<LockedRepository> {
        let header = RepositoryHeader::decode(&header_bytes).map_err(|error| {
            Error::new(Kind::NoRepository, "cannot read repository in")
                .object(self.store.description())
                .source(error)
                .hint("a newer stash may be needed; nothing was changed")
        })?;
        Ok(LockedRepository {
            store: self.store.clone(),
            header,
            header_bytes,
            slots: Vec::new(),
            damaged_slots: Vec::new(),
            memory: None,
        })
    }

    fn assemble(
        &self,
        master: MasterKeys,
        folders: &LocalFolders,
        slot: Option<ObjectHash>,
    ) -> Result<Repository> {
        let keys = Arc::new(RepositoryKeys::derive(&master, &self.header.id));
        let is_append_only = self.header.flags & REPOSITORY_APPEND_ONLY != 0;
        let swept = if is_append_only { Swept::Doubtful } else { Swept::Gone };
        let cache = Arc::new(Cache::open(folders.cache.as_deref(), &self.header.id, swept)?);
        let state = match &folders.state {
            Some(folder) => Some(StateFolder::open(folder, &self.header.id)?),
            None => None,
        };
        let lifetimes = lifetimes::Lifetimes::new(self.header.window, self.header.grace);
        let patience = u64::try_from(lifetimes.record_put).unwrap_or(0);
        let mut store =
            self.store.clone().with_record_patience(std::time::Duration::from_nanos(patience));
        if let Some(folder) = folders.cache.as_ref().filter(|_| store.is_remote()) {
            let folder = folder.join(self.header.id.to_string()).join("copies");
            store = store.with_copies(&folder, COPIES_BYTES);
        }
        Ok(Repository {
            store,
            header: self.header.clone(),
            header_bytes: self.header_bytes.clone(),
            master,
            keys,
            cache,
            state,
            lane: Mutex::default(),
            heads: Mutex::default(),
            slot,
            trust: None,
        })
    }
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
        let master = self.master.sharing_content().map_err(cannot_make)?;
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
            let slot =
                make_slot(&master, &header_bytes, secret, &about, None).map_err(cannot_make)?;
            let hash = put_slot(store, &slot)?;
            first.get_or_insert(hash);
        }
        let name = ObjectName::Repository(object_hash(&header_bytes));
        store.put(name, &[header_bytes.clone().into()])?;
        let locked = LockedRepository {
            store: store.clone(),
            header,
            header_bytes,
            slots: Vec::new(),
            damaged_slots: Vec::new(),
            memory: None,
        };
        locked.assemble(master, folders, first)
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
            master: self.master.clone(),
            keys: Arc::clone(&self.keys),
            cache: Arc::new(Cache::temporary()?),
            state: None,
            lane: Mutex::default(),
            heads: Mutex::default(),
            slot: self.slot,
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

    /// Returns whether a key slot is one of this repository, as what it says about itself proves.
    pub fn owns_slot(&self, slot: &KeySlot) -> bool {
        open_about(&self.master, slot).is_ok()
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

    /// Returns the key slots.
    pub fn key_slots(&self) -> Result<Vec<SlotEntry>> {
        let mut entries = Vec::new();
        for row in self.store.list(Prefix::Keys)? {
            let bytes = self.store.get(&row.name)?.unwrap_or_default();
            let Ok(slot) = KeySlot::decode(&bytes) else { continue };
            let Ok(kind) = SlotKind::from_number(slot.kind) else { continue };
            let about = open_about(&self.master, &slot).unwrap_or_default();
            entries.push(SlotEntry {
                id: row.name.hash(),
                kind,
                label: about.label,
                created: about.created,
                in_use: self.slot == Some(row.name.hash()),
            });
        }
        Ok(entries)
    }

    /// Adds a key slot. `kdf_memory` (KiB) raises the cost of a passphrase.
    pub fn add_key(
        &self,
        secret: &SlotSecret,
        label: &str,
        kdf_memory: Option<u32>,
        now: Timestamp,
    ) -> Result<ObjectHash> {
        if self.store.list(Prefix::Keys)?.len() >= LIMITS.key_slots {
            return Err(Error::failed("the repository has as many key slots as it may have")
                .hint("remove one with `stash key remove`"));
        }
        let about = About { label: label.to_owned(), created: now.0, ..About::default() };
        let slot = make_slot(&self.master, &self.header_bytes, secret, &about, kdf_memory)
            .map_err(|error| Error::failed("cannot make a key slot").source(error))?;
        put_slot(&self.store, &slot)
    }

    /// Puts a key slot in another's place, even if this run opened the repository with that one.
    pub fn replace_key(
        &self,
        old: &ObjectHash,
        secret: &SlotSecret,
        label: &str,
        kdf_memory: Option<u32>,
        now: Timestamp,
    ) -> Result<ObjectHash> {
        let id = self.add_key(secret, label, kdf_memory, now)?;
        self.store.delete_key_slot(old)?;
        Ok(id)
    }

    /// Removes a key slot. The last one, and the one in use, stay.
    pub fn remove_key(&self, id: &ObjectHash) -> Result<()> {
        if self.slot == Some(*id) {
            return Err(Error::usage("this run opened the repository with that key")
                .object(id.short())
                .hint("open it with another key to remove this one"));
        }
        let rows = self.store.list(Prefix::Keys)?;
        if rows.len() <= 1 {
            return Err(Error::usage("the last key slot stays: without it nothing can be read"));
        }
        self.store.delete_key_slot(id)
    }
}

fn cannot_make(error: CodecError) -> Error {
    Error::failed("cannot make a repository").source(error)
}

fn put_slot(store: &Store, slot: &KeySlot) -> Result<ObjectHash> {
    let bytes = slot.encode();
    let hash = object_hash(&bytes);
    store.put(ObjectName::KeySlot(hash), &[bytes.into()])?;
    Ok(hash)
}
