//! Copies of what this machine has stored in a repository that is far away, so that the old bytes
//! are at hand when something changes.
//!
//! Objects as they are in the store, sealed, in a folder of the cache; the oldest go when they take
//! more than they may, and each goes with the object that it is a copy of. A copy is compared with its name before it is first read: one that is cut
//! or changed is removed, and counts as not there. Nothing is ever read from here in place of the
//! store by who wants to know what is in the store.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;

use super::ObjectName;
use crate::format::LIMITS;
use crate::id::ObjectHash;

/// A folder of copies.
#[derive(Debug)]
pub(super) struct Copies {
    folder: PathBuf,
    most_bytes: u64,
    /// Whether copies that were looked at are whole. No handles: there may be thousands.
    known: Mutex<HashMap<ObjectHash, bool>>,
    /// How many bytes they take together, once that was summed up; what other processes add counts
    /// when it is summed up next.
    together: Mutex<Option<u64>>,
}

impl Copies {
    /// Opens (and makes, 0700) the folder. `None` if that can't be: nothing is then kept.
    pub(super) fn open(folder: &Path, most_bytes: u64) -> Option<Copies> {
        use std::os::unix::fs::DirBuilderExt as _;
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).ok()?;
        Some(Copies {
            folder: folder.to_owned(),
            most_bytes,
            known: Mutex::default(),
            together: Mutex::default(),
        })
    }

    /// Keeps a copy of what was just stored. What goes wrong costs a copy, and nothing else.
    pub(super) fn keep(&self, name: &ObjectName, parts: &[Bytes]) {
        if !is_worth_keeping(name) {
            return;
        }
        self.make_room(parts.iter().map(|part| part.len() as u64).sum());
        let write = || {
            let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
            for part in parts {
                file.write_all(part)?;
            }
            file.persist(self.path(&name.hash())).map_err(|error| error.error)
        };
        if write().is_ok() {
            self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(&name.hash());
        }
    }

    /// Removes a copy, if there is one: what is deleted in the store is not to lie on here.
    #[expect(clippy::disallowed_methods, reason = "the copies lie in the cache")]
    pub(super) fn remove(&self, hash: &ObjectHash) {
        // One that can't be removed now goes as all do, when it is the oldest.
        let _removed = std::fs::remove_file(self.path(hash));
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(*hash, false);
    }

    /// Reads from a copy; `None` if there is none, or it is shorter.
    pub(super) fn read(&self, name: &ObjectName, start: u64, end: u64) -> Option<Vec<u8>> {
        let file = self.find(&name.hash())?;
        let length = usize::try_from(end.checked_sub(start)?).ok()?;
        if length > LIMITS.object {
            return None;
        }
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, start).ok()?;
        Some(bytes)
    }

    #[expect(clippy::disallowed_methods, reason = "the copies lie in the cache")]
    fn find(&self, hash: &ObjectHash) -> Option<File> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(hash).copied();
        match known {
            Some(true) => File::open(self.path(hash)).ok(),
            Some(false) => None,
            None => {
                let found = self.verify(hash);
                let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
                known.insert(*hash, found.is_some());
                found
            }
        }
    }

    /// Opens a copy that is what its name says, and removes one that is not.
    #[expect(clippy::disallowed_methods, reason = "the copies lie in the cache")]
    fn verify(&self, hash: &ObjectHash) -> Option<File> {
        let path = self.path(hash);
        let mut file = File::open(&path).ok()?;
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0; 256 << 10];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => hasher.update(buffer.get(..count).unwrap_or_default()),
                Err(_) => return None,
            };
        }
        if hasher.finalize().as_bytes() == hash.as_bytes() {
            return Some(file);
        }
        let _removed = std::fs::remove_file(&path);
        None
    }

    /// Sees to it that so many bytes more may be kept.
    fn make_room(&self, bytes: u64) {
        let mut together = self.together.lock().unwrap_or_else(PoisonError::into_inner);
        let grown = together.map(|together| together.saturating_add(bytes));
        *together = grown.filter(|grown| *grown <= self.most_bytes).or_else(|| self.sweep(bytes));
    }

    /// Removes the oldest copies until so many bytes more may be kept, and a few more, so that it
    /// need not be done for each that comes. Returns how many there are then.
    #[expect(clippy::disallowed_methods, reason = "the copies lie in the cache")]
    fn sweep(&self, bytes: u64) -> Option<u64> {
        let entries = std::fs::read_dir(&self.folder).ok()?;
        let mut copies: Vec<(SystemTime, u64, PathBuf)> = entries
            .flatten()
            .filter_map(|entry| {
                let metadata = entry.metadata().ok()?;
                Some((metadata.modified().ok()?, metadata.len(), entry.path()))
            })
            .collect();
        let mut together = copies.iter().fold(bytes, |sum, copy| sum.saturating_add(copy.1));
        if together <= self.most_bytes {
            return Some(together);
        }
        copies.sort_unstable();
        for (_, length, path) in copies {
            if together <= self.most_bytes - self.most_bytes / 16 {
                break;
            }
            if std::fs::remove_file(path).is_ok() {
                together = together.saturating_sub(length);
            }
        }
        Some(together)
    }

    fn path(&self, hash: &ObjectHash) -> PathBuf {
        self.folder.join(hash.to_string())
    }
}

/// Only what holds units is of use.
fn is_worth_keeping(name: &ObjectName) -> bool {
    matches!(name, ObjectName::Pack(_) | ObjectName::Record(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a test looks at the disk")]
    #[test]
    fn copies_are_verified_and_the_oldest_go() {
        let folder = tempfile::tempdir().unwrap();
        let object = |byte: u8| {
            let bytes = Bytes::from(vec![byte; 1000]);
            (ObjectName::Pack(ObjectHash(*blake3::hash(&bytes).as_bytes())), bytes)
        };
        let copies = Copies::open(folder.path(), 2500).unwrap();
        for byte in 0..3 {
            let (name, bytes) = object(byte);
            assert_eq!(copies.read(&name, 0, 10), None);
            copies.keep(&name, &[bytes.slice(..400), bytes.slice(400..)]);
            std::thread::sleep(std::time::Duration::from_millis(15));
        }
        assert_eq!(*copies.together.lock().unwrap(), Some(2000));
        let again = || Copies::open(folder.path(), 2500).unwrap();
        assert_eq!(again().read(&object(0).0, 0, 10), None);
        assert_eq!(copies.read(&object(1).0, 390, 410), Some(vec![1; 20]));
        assert_eq!(copies.read(&object(2).0, 990, 1001), None);
        copies.remove(&object(1).0.hash());
        assert_eq!(
            (copies.read(&object(1).0, 0, 1), again().read(&object(1).0, 0, 1)),
            (None, None)
        );
        let path = folder.path().join(object(2).0.hash().to_string());
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[500] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(again().read(&object(2).0, 0, 10), None);
        assert!(!path.exists());
    }
}
