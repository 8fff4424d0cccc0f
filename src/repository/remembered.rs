//! Header and key slots of a remote repository, kept in the cache so that opening it costs one
//! request instead of half a dozen.
//!
//! Both are write-once, and kept under the hash that is their name. That the repository is still
//! there is asked of the store each time, by the header's name: one that was deleted, or made anew
//! in the same place, is read from the beginning. A slot that was added since is found when no
//! remembered one fits; one that was removed since opens here until the memory is renewed, for a
//! machine that had opened it before and so could have kept the key itself.

#![expect(clippy::disallowed_methods, reason = "this module owns its file in the cache")]

use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::LockedRepository;
use crate::codec::crypto::object_hash;
use crate::error::Result;
use crate::format::LIMITS;
use crate::format::key::{KeySlot, RepositoryHeader};
use crate::store::{ObjectName, Store};

/// Where a repository is remembered.
#[derive(Debug, Clone)]
pub(super) struct Memory {
    file: PathBuf,
    wanted: Option<String>,
}

impl LockedRepository {
    /// Reads header and key slots, those of a remote store from the cache in `cache` if they are
    /// there. `wanted` as for [`LockedRepository::find`].
    pub fn find_remembered(
        store: Store,
        wanted: Option<&str>,
        cache: Option<&Path>,
    ) -> Result<LockedRepository> {
        let Some(cache) = cache.filter(|_| store.is_remote()) else {
            return LockedRepository::find(store, wanted);
        };
        let hash = blake3::hash(store.description().as_bytes()).to_hex();
        let file = cache.join("opened").join(hash.get(..32).unwrap_or_default());
        let memory = Memory { file, wanted: wanted.map(str::to_owned) };
        if let Some(mut locked) = memory.read(&store) {
            let name = ObjectName::Repository(object_hash(&locked.header_bytes));
            if store.size(&name)? == Some(locked.header_bytes.len() as u64) {
                locked.memory = Some(memory);
                return Ok(locked);
            }
        }
        let locked = LockedRepository::find(store, wanted)?;
        memory.write(&locked);
        Ok(locked)
    }

    /// Reads from the store what was remembered of it; `None` if nothing is different there.
    pub fn renewed(&self) -> Result<Option<LockedRepository>> {
        let Some(memory) = &self.memory else { return Ok(None) };
        let fresh = LockedRepository::find(self.store.clone(), memory.wanted.as_deref())?;
        memory.write(&fresh);
        let is_same = fresh.header_bytes == self.header_bytes
            && fresh.slots.iter().map(|(hash, _)| hash).eq(self.slots.iter().map(|(hash, _)| hash));
        Ok((!is_same).then_some(fresh))
    }
}

impl Memory {
    fn read(&self, store: &Store) -> Option<LockedRepository> {
        let bytes = std::fs::read(&self.file).ok()?;
        let mut parts = parts(&bytes)?.into_iter();
        let header_bytes = parts.next()?;
        let header = RepositoryHeader::decode(&header_bytes).ok()?;
        let wanted = self.wanted.as_deref();
        if wanted.is_some_and(|wanted| !header.id.to_string().starts_with(wanted)) {
            return None;
        }
        let slot = |bytes: Vec<u8>| Some((object_hash(&bytes), KeySlot::decode(&bytes).ok()?));
        let slots = parts.map(slot).collect::<Option<Vec<_>>>()?;
        Some(LockedRepository {
            store: store.clone(),
            header,
            header_bytes,
            slots,
            damaged_slots: Vec::new(),
            memory: None,
        })
    }

    /// Writes the file; what goes wrong costs requests, and nothing else.
    fn write(&self, locked: &LockedRepository) {
        // What is damaged must be told each time.
        if !locked.damaged_slots.is_empty() || locked.slots.is_empty() {
            let _removed = std::fs::remove_file(&self.file);
            return;
        }
        let names: Vec<ObjectName> =
            locked.slots.iter().map(|(hash, _)| ObjectName::KeySlot(*hash)).collect();
        let mut parts = vec![locked.header_bytes.clone()];
        for bytes in locked.store.get_many(&names) {
            match bytes {
                Ok(Some(bytes)) => parts.push(bytes.to_vec()),
                _ => return,
            }
        }
        let mut bytes = Vec::new();
        for part in parts {
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
        let _written = write();
    }
}

/// Parts what [`Memory::write`] wrote; `None` if a bit of it is different.
fn parts(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let (check, mut rest) = bytes.split_first_chunk::<32>()?;
    if blake3::hash(rest).as_bytes() != check {
        return None;
    }
    let mut parts = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<8>() {
        let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
        if parts.len() > LIMITS.key_slots {
            return None;
        }
        let (part, after) = after.split_at_checked(length)?;
        parts.push(part.to_vec());
        rest = after;
    }
    Some(parts)
}
