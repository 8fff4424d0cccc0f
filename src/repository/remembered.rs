//! Header, key slots and grants of a remote repository, kept in the cache so that opening it costs
//! one request instead of half a dozen.
//!
//! All are write-once, and kept under the hash that is their name. That the repository is still
//! there is asked of the store each time, by the header's name: one that was deleted, or made anew
//! in the same place, is read from the beginning. A slot that was added since is found when no
//! remembered one fits, a grant when an object turns up whose epoch is not known. A slot that was
//! removed since opens here until what is remembered is a week old, or a rotation is noticed: for a
//! machine that had opened it before and so could have kept the key itself.

#![expect(clippy::disallowed_methods, reason = "this module owns its file in the cache")]

use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::LockedRepository;
use super::keyring::KeyObjects;
use crate::codec::crypto::object_hash;
use crate::error::Result;
use crate::format::LIMITS;
use crate::format::key::{Grant, KeySlot, RepositoryHeader};
use crate::store::{ObjectName, Store};
use crate::time::{SECOND, Timestamp};

/// What was read so long ago is read anew, in nanoseconds.
const LASTS: i64 = 7 * 24 * 3600 * SECOND;

/// Where a repository is remembered.
#[derive(Debug, Clone)]
pub(super) struct Memory {
    file: PathBuf,
    wanted: Option<String>,
    now: Timestamp,
}

impl LockedRepository {
    /// Reads header and key slots, those of a remote store from the cache in `cache` if they are
    /// there and not old. `wanted` as for [`LockedRepository::find`].
    pub fn find_remembered(
        store: Store,
        wanted: Option<&str>,
        cache: Option<&Path>,
        now: Timestamp,
    ) -> Result<LockedRepository> {
        let Some(cache) = cache.filter(|_| store.is_remote()) else {
            return LockedRepository::find(store, wanted);
        };
        let file = file_of(cache, store.description());
        let memory = Memory { file, wanted: wanted.map(str::to_owned), now };
        if let Some(mut locked) = memory.read(&store) {
            let name = ObjectName::Repository(object_hash(&locked.header_bytes));
            if store.size(&name)? == Some(locked.header_bytes.len() as u64) {
                (locked.memory, locked.is_remembered) = (Some(memory), true);
                return Ok(locked);
            }
        }
        let mut locked = LockedRepository::find(store, wanted)?;
        memory.write(&locked.header_bytes, &locked.keys);
        locked.memory = Some(memory);
        Ok(locked)
    }

    /// Returns a repository as this machine last read it, however long ago, and asks its store for
    /// nothing; `None` if it is not remembered. `description` is that of its store.
    pub fn remembered(description: &str, cache: &Path) -> Option<LockedRepository> {
        let memory = Memory { file: file_of(cache, description), wanted: None, now: Timestamp(0) };
        memory.read_within(&Store::not_asked(description), i64::MIN..i64::MAX)
    }

    /// Reads from the store what was remembered of it; `None` if nothing is different there.
    pub fn renewed(&self) -> Result<Option<LockedRepository>> {
        let Some(memory) = self.memory.as_ref().filter(|_| self.is_remembered) else {
            return Ok(None);
        };
        let mut fresh = LockedRepository::find(self.store.clone(), memory.wanted.as_deref())?;
        memory.write(&fresh.header_bytes, &fresh.keys);
        fresh.memory = Some(memory.clone());
        let slots =
            |keys: &KeyObjects| keys.slots.iter().map(|(hash, _)| *hash).collect::<Vec<_>>();
        let is_same =
            fresh.header_bytes == self.header_bytes && slots(&fresh.keys) == slots(&self.keys);
        Ok((!is_same).then_some(fresh))
    }
}

fn file_of(cache: &Path, description: &str) -> PathBuf {
    let hash = blake3::hash(description.as_bytes()).to_hex();
    cache.join("opened").join(hash.get(..32).unwrap_or_default())
}

impl Memory {
    fn read(&self, store: &Store) -> Option<LockedRepository> {
        self.read_within(store, 0..LASTS)
    }

    /// Reads what was written so many nanoseconds ago.
    fn read_within(&self, store: &Store, ages: std::ops::Range<i64>) -> Option<LockedRepository> {
        let bytes = std::fs::read(&self.file).ok()?;
        let (read_at, parts) = parts(&bytes)?;
        if !ages.contains(&self.now.0.saturating_sub(read_at)) {
            return None;
        }
        let mut parts = parts.into_iter();
        let header_bytes = parts.next()?;
        let header = RepositoryHeader::decode(&header_bytes).ok()?;
        let wanted = self.wanted.as_deref();
        if wanted.is_some_and(|wanted| !header.id.to_string().starts_with(wanted)) {
            return None;
        }
        let mut locked = LockedRepository::made(store.clone(), header, header_bytes);
        for bytes in parts {
            let hash = object_hash(&bytes);
            if let Ok(grant) = Grant::decode(&bytes) {
                locked.keys.grants.push((hash, grant));
            } else {
                locked.keys.slots.push((hash, KeySlot::decode(&bytes).ok()?));
            }
        }
        Some(locked)
    }

    /// Writes the file; what goes wrong costs requests, and nothing else.
    pub(super) fn write(&self, header_bytes: &[u8], keys: &KeyObjects) {
        // What is damaged must be told each time.
        if !keys.damaged.is_empty() || keys.slots.is_empty() {
            return self.forget();
        }
        // What is canonical is encoded as it was stored.
        let slots = keys.slots.iter().map(|(_, slot)| slot.encode());
        let grants = keys.grants.iter().map(|(_, grant)| grant.encode());
        let mut bytes = self.now.0.to_le_bytes().to_vec();
        for part in std::iter::once(header_bytes.to_vec()).chain(slots).chain(grants) {
            bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
            bytes.extend_from_slice(&part);
        }
        let check = *blake3::hash(&bytes).as_bytes();
        let folder = self.file.parent().unwrap_or(&self.file);
        let write = || {
            use std::os::unix::fs::DirBuilderExt as _;
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            file.write_all(&check)?;
            file.write_all(&bytes)?;
            file.persist(&self.file).map_err(|error| error.error)
        };
        if write().is_err() {
            // An older one would say less than this process knows.
            self.forget();
        }
    }

    /// Removes the file: the next opening reads from the store.
    pub(super) fn forget(&self) {
        let _removed = std::fs::remove_file(&self.file);
    }
}

/// Parts what [`Memory::write`] wrote: when it was read, and the objects. `None` if a bit of it is
/// different.
fn parts(bytes: &[u8]) -> Option<(i64, Vec<Vec<u8>>)> {
    let (check, rest) = bytes.split_first_chunk::<32>()?;
    if blake3::hash(rest).as_bytes() != check {
        return None;
    }
    let (read_at, mut rest) = rest.split_first_chunk::<8>()?;
    let mut parts = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<8>() {
        let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
        if parts.len() > LIMITS.key_slots.saturating_add(LIMITS.grants) {
            return None;
        }
        let (part, after) = after.split_at_checked(length)?;
        parts.push(part.to_vec());
        rest = after;
    }
    Some((i64::from_le_bytes(*read_at), parts))
}
