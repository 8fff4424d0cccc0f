//! A repository that was found and not opened yet: its header, and what lies under `keys/`.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::cache::{Cache, Swept};
use super::keyring::{Holder, KeyObjects, Keyring};
use super::lifetimes::Lifetimes;
use super::remembered::Memory;
use super::state::StateFolder;
use super::{LocalFolders, Repository};
use crate::codec::CodecError;
use crate::codec::crypto::{
    MasterKeys, OpenSlot, RepositoryKeys, SlotSecret, object_hash, open_slot,
};
use crate::error::{Error, Kind, Result};
use crate::format::key::{REPOSITORY_APPEND_ONLY, RepositoryHeader, SlotKind};
use crate::id::{ObjectHash, RepositoryId};
use crate::store::{ObjectName, Prefix, Store};

/// What copies of stored objects may take in the cache of a repository that is far away, in bytes.
const COPIES_BYTES: u64 = 512 << 20;

/// A repository whose secrets are still sealed.
pub struct LockedRepository {
    pub(super) store: Store,
    pub(super) header: RepositoryHeader,
    pub(super) header_bytes: Vec<u8>,
    pub(super) keys: KeyObjects,
    /// Where it is remembered, if it is.
    pub(super) memory: Option<Memory>,
    /// Whether it was read from there, and not from the store.
    pub(super) is_remembered: bool,
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
        let keys = KeyObjects::load(&store, &slots)?;
        Ok(LockedRepository { keys, ..LockedRepository::made(store, header, header_bytes) })
    }

    /// Returns a repository of which no key slot was read.
    pub(super) fn made(
        store: Store,
        header: RepositoryHeader,
        header_bytes: Vec<u8>,
    ) -> LockedRepository {
        let keys = KeyObjects::default();
        LockedRepository { store, header, header_bytes, keys, memory: None, is_remembered: false }
    }

    /// Reads the key slots of a repository whose header is missing or damaged: each holds a sealed
    /// copy of it, which then counts.
    pub fn find_without_header(store: Store) -> Result<LockedRepository> {
        let keys = KeyObjects::read(&store)?;
        let header = RepositoryHeader::default();
        Ok(LockedRepository { keys, ..LockedRepository::made(store, header, Vec::new()) })
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

    /// Returns the repository's id.
    pub fn id(&self) -> RepositoryId {
        self.header.id
    }

    /// Returns which kinds of secrets have a slot.
    pub fn slot_kinds(&self) -> Vec<SlotKind> {
        let slots = self.keys.slots.iter();
        slots.filter_map(|(_, slot)| SlotKind::from_number(slot.kind).ok()).collect()
    }

    /// Returns the key slots and grants that can't be read, with the reason.
    pub fn damaged_slots(&self) -> &[(ObjectName, Error)] {
        &self.keys.damaged
    }

    /// Returns whether some key slot takes a secret.
    pub fn takes(&self, secret: &SlotSecret) -> bool {
        self.keys.slots.iter().any(|(_, slot)| open_slot(slot, secret).is_ok())
    }

    /// Opens the repository with `secret`. A secret that no slot takes gives
    /// [`Kind::WrongPassphrase`].
    pub fn unlock(&self, secret: &SlotSecret, folders: &LocalFolders) -> Result<Repository> {
        let kind = secret.kind();
        let mut failure = None;
        for (hash, slot) in self.keys.slots.iter().filter(|(_, slot)| slot.kind == kind as u64) {
            match open_slot(slot, secret) {
                Ok(open) if open.header == self.header_bytes => {
                    return self.assemble_for(*hash, open, folders, &self.keys);
                }
                Ok(open) if self.header_bytes.is_empty() => {
                    let located = self.with_header(&open.header)?;
                    return located.assemble_for(*hash, open, folders, &self.keys);
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
    fn with_header(&self, header_bytes: &[u8]) -> Result<LockedRepository> {
        let header = RepositoryHeader::decode(header_bytes).map_err(|error| {
            Error::new(Kind::NoRepository, "cannot read repository in")
                .object(self.store.description())
                .source(error)
                .hint("a newer stash may be needed; nothing was changed")
        })?;
        Ok(LockedRepository::made(self.store.clone(), header, header_bytes.to_vec()))
    }

    fn assemble_for(
        &self,
        slot: ObjectHash,
        open: OpenSlot,
        folders: &LocalFolders,
        keys: &KeyObjects,
    ) -> Result<Repository> {
        let OpenSlot { master, exchange, .. } = open;
        self.assemble(master, folders, Some(Holder { slot, exchange }), keys)
    }

    /// Puts an open repository together; `found` is what was read of `keys/`.
    pub(super) fn assemble(
        &self,
        master: MasterKeys,
        folders: &LocalFolders,
        holder: Option<Holder>,
        found: &KeyObjects,
    ) -> Result<Repository> {
        let keys = Arc::new(RepositoryKeys::derive(&master, &self.header.id));
        let is_append_only = self.header.flags & REPOSITORY_APPEND_ONLY != 0;
        let swept = if is_append_only { Swept::Doubtful } else { Swept::Gone };
        let cache = Arc::new(Cache::open(folders.cache.as_deref(), &self.header.id, swept)?);
        let state = match &folders.state {
            Some(folder) => Some(StateFolder::open(folder, &self.header.id)?),
            None => None,
        };
        let lifetimes = Lifetimes::new(self.header.window, self.header.grace);
        let patience = u64::try_from(lifetimes.record_put).unwrap_or(0);
        let mut store = self.store.clone().with_record_patience(Duration::from_nanos(patience));
        if let Some(folder) = folders.cache.as_ref().filter(|_| store.is_remote()) {
            let folder = folder.join(self.header.id.to_string()).join("copies");
            store = store.with_copies(&folder, COPIES_BYTES);
        }
        let repository = Repository {
            store,
            header: self.header.clone(),
            header_bytes: self.header_bytes.clone(),
            keyring: Arc::new(Keyring::new(master, holder, self.memory.clone(), state.clone())),
            keys,
            cache,
            state,
            lane: Mutex::default(),
            heads: Mutex::default(),
            trust: None,
        };
        repository.adopt(found)?;
        // What is remembered may be older than what this machine has known since.
        if self.is_remembered && repository.lacks_epoch() {
            repository.key_objects()?;
        }
        Ok(repository)
    }
}
