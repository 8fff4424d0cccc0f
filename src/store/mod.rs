//! The edge to object storage: typed names, ranges, lists, and the proof that an object is durable.
//!
//! Everything goes through `object_store`. This is the only room with futures in it; it offers
//! blocking calls that may be made from any thread. A folder's calls run on the caller's thread.
//! Objects are named by the hash of their bytes, so an answer that says nothing (a lost reply, "already
//! exists") is settled by reading the object back.

mod copies;
mod name;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use object_store::{
    GetOptions, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload,
    local::LocalFileSystem, memory::InMemory,
};

pub use name::{LOCK_FILE, ObjectName, RecordName};

use copies::Copies;

use crate::error::{Error, Kind, Result};
use crate::format::LIMITS;

/// Proof that something is in the store and stays there. Only [`Store::put`] and [`Store::find`] make one.
#[derive(Debug, Clone)]
pub struct Durable<T>(T);

impl<T> Durable<T> {
    /// Returns what is durable.
    pub fn get(&self) -> &T {
        &self.0
    }

    /// Takes what is durable out of the proof.
    pub fn into_inner(self) -> T {
        self.0
    }

    /// Passes the proof on to what follows from it.
    pub fn map<U>(self, follow: impl FnOnce(T) -> U) -> Durable<U> {
        Durable(follow(self.0))
    }
}

/// One row of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The object.
    pub name: ObjectName,
    /// Its length in bytes.
    pub size: u64,
}

/// What to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prefix {
    /// Repository headers.
    Repository,
    /// Key slots.
    Keys,
    /// Records.
    Log,
    /// Packs.
    Packs,
    /// Index segments.
    Index,
}

impl Prefix {
    fn path(self) -> object_store::path::Path {
        object_store::path::Path::from(match self {
            Prefix::Repository => "repo",
            Prefix::Keys => "keys",
            Prefix::Log => "log",
            Prefix::Packs => "packs",
            Prefix::Index => "index",
        })
    }
}

/// A store. Cloning it gives another handle to the same store.
#[derive(Clone)]
pub struct Store {
    inner: Arc<dyn ObjectStore>,
    description: Arc<str>,
    grid: u64,
    folder: Option<Arc<Path>>,
    is_remote: bool,
    copies: Option<Arc<Copies>>,
}

impl Store {
    /// Returns the store in a folder; with `create`, makes the folder (0700) if it is missing.
    #[expect(clippy::disallowed_methods, reason = "the store owns the repository's folder")]
    pub fn folder(path: &Path, create: bool) -> Result<Store> {
        use std::os::unix::fs::DirBuilderExt as _;
        let description = path.display().to_string();
        if create {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(
                |error| crate::error::io_error("cannot make the repository's folder", path, error),
            )?;
        }
        match std::fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => {
                return Err(Error::new(Kind::NoRepository, "not a folder").object(description));
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::new(Kind::NoRepository, "no repository at")
                    .object(description)
                    .hint("`stash init` makes one; `-r` names another place"));
            }
            Err(error) => {
                return Err(Error::new(Kind::Store, "cannot reach repository")
                    .object(description)
                    .source(error));
            }
        }
        let inner = LocalFileSystem::new_with_prefix(path)
            .map_err(|error| {
                Error::new(Kind::Store, "cannot reach repository")
                    .object(description.clone())
                    .source(error)
            })?
            .with_fsync(true);
        Ok(Store {
            inner: Arc::new(inner),
            description: description.into(),
            grid: 1,
            folder: Some(path.into()),
            is_remote: false,
            copies: None,
        })
    }

    /// Returns a store that lives in memory.
    pub fn memory() -> Store {
        Store::from_object_store(Arc::new(InMemory::new()), "memory")
    }

    /// Wraps a store that answers without a runtime of its own, such as one that a test wraps.
    pub fn from_object_store(inner: Arc<dyn ObjectStore>, description: &str) -> Store {
        Store {
            inner,
            description: description.into(),
            grid: 1,
            folder: None,
            is_remote: false,
            copies: None,
        }
    }

    /// Says that every byte read from this store is a byte over a network.
    #[must_use]
    pub fn remote(self) -> Store {
        Store { is_remote: true, ..self }
    }

    /// Returns whether every byte read is a byte over a network.
    pub fn is_remote(&self) -> bool {
        self.is_remote
    }

    /// Keeps copies of what is stored from now on in a folder of this machine, `most_bytes` of them.
    #[must_use]
    pub fn with_copies(self, folder: &Path, most_bytes: u64) -> Store {
        Store { copies: Copies::open(folder, most_bytes).map(Arc::new), ..self }
    }

    /// Returns the bytes of an object from `start` to `end` without a network: from the store if it
    /// is near, or from a copy. `None` if they are not at hand.
    pub fn get_near(&self, name: &ObjectName, start: u64, end: u64) -> Result<Option<Bytes>> {
        if !self.is_remote {
            return self.get_range(name, start, end);
        }
        let copies = self.copies.as_ref();
        Ok(copies.and_then(|copies| copies.read(name, start, end)).map(Bytes::from))
    }

    /// Returns the place, as people are shown it; never with a secret in it.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// Returns the grid, in bytes, to which range reads are widened; 1 where nobody watches.
    pub fn grid(&self) -> u64 {
        self.grid
    }

    /// Stores an object, the parts being its bytes in order. When this returns, it is durable.
    pub fn put(&self, name: ObjectName, parts: &[Bytes]) -> Result<Durable<ObjectName>> {
        let length = parts.iter().fold(0_usize, |sum, part| sum.saturating_add(part.len()));
        if length > LIMITS.object {
            return Err(
                Error::failed("object is larger than the format allows").object(name.to_string())
            );
        }
        let path = path_of(&name);
        let payload: PutPayload = parts.iter().cloned().collect();
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match block_on(self.inner.put_opts(&path, payload, options)) {
            Ok(_) => {
                if let Some(copies) = &self.copies {
                    copies.keep(&name, parts);
                }
                Ok(Durable(name))
            }
            Err(object_store::Error::AlreadyExists { .. }) => {
                let stored = self.get(&name)?.unwrap_or_default();
                let same = stored.len() == length
                    && blake3::hash(&stored).as_bytes() == name.hash().as_bytes();
                if same {
                    Ok(Durable(name))
                } else {
                    Err(Error::damaged("another object lies in the place of", name.to_string())
                        .hint("run `stash check --read-data`"))
                }
            }
            Err(error) => Err(self.error("cannot store", &name.to_string(), error)),
        }
    }

    /// Puts an object back whose place is empty or holds something else than its name says. What
    /// is given must be what the name says, so this never changes an object: the one call that
    /// writes over anything.
    pub fn put_back(&self, name: ObjectName, bytes: Bytes) -> Result<Durable<ObjectName>> {
        if blake3::hash(&bytes).as_bytes() != name.hash().as_bytes() {
            return Err(Error::failed("not the bytes of").object(name.to_string()));
        }
        let options = PutOptions { mode: PutMode::Overwrite, ..PutOptions::default() };
        match block_on(self.inner.put_opts(&path_of(&name), bytes.into(), options)) {
            Ok(_) => Ok(Durable(name)),
            Err(error) => Err(self.error("cannot store", &name.to_string(), error)),
        }
    }

    /// Returns an object's bytes, or `None` if there is none of this name.
    pub fn get(&self, name: &ObjectName) -> Result<Option<Bytes>> {
        self.fetch(name, GetOptions::default())
    }

    /// Returns the bytes of an object from `start` to `end`, fewer if it is shorter.
    pub fn get_range(&self, name: &ObjectName, start: u64, end: u64) -> Result<Option<Bytes>> {
        let options = GetOptions { range: Some((start..end).into()), ..GetOptions::default() };
        self.fetch(name, options)
    }

    /// Returns the last bytes of an object, all of it if it is shorter.
    pub fn get_tail(&self, name: &ObjectName, length: u64) -> Result<Option<Bytes>> {
        let options = GetOptions {
            range: Some(object_store::GetRange::Suffix(length)),
            ..GetOptions::default()
        };
        self.fetch(name, options)
    }

    fn fetch(&self, name: &ObjectName, options: GetOptions) -> Result<Option<Bytes>> {
        let path = path_of(name);
        let start = match &options.range {
            Some(object_store::GetRange::Bounded(range)) => Some(range.start),
            Some(_) => Some(0),
            None => None,
        };
        let fail = |error| self.error("cannot read", &name.to_string(), error);
        let result = match block_on(self.inner.get_opts(&path, options)) {
            Ok(result) => result,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => {
                // A range behind the object's end is refused; here it is an answer like another.
                return match (start, self.size(name)) {
                    (Some(start), Ok(Some(size))) if size <= start => Ok(Some(Bytes::new())),
                    _ => Err(fail(error)),
                };
            }
        };
        if result.range.end.saturating_sub(result.range.start) > LIMITS.object as u64 {
            return Err(Error::damaged(
                "object is larger than the format allows",
                name.to_string(),
            ));
        }
        block_on(result.bytes()).map(Some).map_err(fail)
    }

    /// Looks for an object; returns the proof that it is there, and its length in bytes.
    pub fn find(&self, name: ObjectName) -> Result<Option<(Durable<ObjectName>, u64)>> {
        Ok(self.size(&name)?.map(|size| (Durable(name), size)))
    }

    /// Returns an object's length in bytes, or `None` if there is none of this name.
    pub fn size(&self, name: &ObjectName) -> Result<Option<u64>> {
        match block_on(self.inner.head(&path_of(name))) {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.error("cannot look for", &name.to_string(), error)),
        }
    }

    /// Deletes a key slot: the one thing besides garbage that is ever deleted, and only when the
    /// user asks for it. A slot that is gone already is no error.
    pub fn delete_key_slot(&self, id: &crate::id::ObjectHash) -> Result<()> {
        let name = ObjectName::KeySlot(*id);
        match block_on(self.inner.delete(&path_of(&name))) {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.error("cannot delete", &name.to_string(), error)),
        }
    }

    /// Removes what a process that died while it stored an object has left in a folder: files
    /// whose names end in `#` and a number, last written `age` before `fresh`, an object that was
    /// stored just now. Only the disk's own times are compared: a clock that is wrong must not
    /// remove what another writer is about to store. They are no objects, and no reader sees them.
    /// Returns how many there were; failures are left for the next time.
    pub fn remove_staging(&self, fresh: &ObjectName, age: std::time::Duration) -> u64 {
        let Some(folder) = &self.folder else { return 0 };
        let written =
            |path: &Path| std::fs::symlink_metadata(path).and_then(|meta| meta.modified());
        let Ok(now) = written(&folder.join(fresh.to_string())) else { return 0 };
        let is_old = |path: &Path| {
            written(path).is_ok_and(|then| now.duration_since(then).is_ok_and(|it| it > age))
        };
        staging_files(folder).into_iter().filter(|path| is_old(path) && remove(path)).count() as u64
    }

    /// Lists objects in ascending order of their names. What is no object's name is left out.
    pub fn list(&self, prefix: Prefix) -> Result<Vec<Listed>> {
        let path = prefix.path();
        let stream = self.inner.list(Some(&path)).try_filter_map(|meta| {
            let listed = ObjectName::parse(meta.location.as_ref())
                .map(|name| Listed { name, size: meta.size });
            std::future::ready(Ok(listed))
        });
        let mut listed: Vec<Listed> = block_on(stream.try_collect())
            .map_err(|error| self.error("cannot list", path.as_ref(), error))?;
        listed.sort_by(|a, b| a.name.cmp(&b.name));
        listed.dedup();
        Ok(listed)
    }

    /// Lists everything: objects in ascending order of their names, and what has no object's name.
    pub fn list_all(&self) -> Result<(Vec<Listed>, Vec<String>)> {
        let rows: Vec<object_store::ObjectMeta> = block_on(self.inner.list(None).try_collect())
            .map_err(|error| self.error("cannot list", "", error))?;
        let (mut objects, mut others) = (Vec::new(), Vec::new());
        for row in rows {
            match ObjectName::parse(row.location.as_ref()) {
                Some(name) => objects.push(Listed { name, size: row.size }),
                None if row.location.as_ref() == LOCK_FILE => {}
                None => others.push(row.location.to_string()),
            }
        }
        objects.sort_by(|a, b| a.name.cmp(&b.name));
        objects.dedup();
        others.sort();
        Ok((objects, others))
    }

    fn error(&self, doing: &str, object: &str, error: object_store::Error) -> Error {
        let kind = classify(&error);
        let full = find_io(&error).is_some_and(|io| {
            matches!(io.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
        });
        let result = Error::new(kind, format!("{doing} `{object}` in")).object(&*self.description);
        if full {
            result
                .source(std::io::Error::from(std::io::ErrorKind::StorageFull))
                .hint("nothing saved is lost; free some space and run the same command again")
        } else if let Some(io) = find_io(&error) {
            result.source(std::io::Error::new(io.kind(), io.to_string()))
        } else {
            result.source(error)
        }
    }
}

fn find_io(error: &object_store::Error) -> Option<&std::io::Error> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return Some(io);
        }
        cause = error.source();
    }
    None
}

/// A disk that is full is an ordinary failure; anything else is the store's.
fn classify(error: &object_store::Error) -> Kind {
    match find_io(error).map(std::io::Error::kind) {
        Some(std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded) => Kind::Failed,
        _ => Kind::Store,
    }
}

#[expect(clippy::disallowed_methods, reason = "the store owns the repository's folder")]
fn remove(path: &Path) -> bool {
    std::fs::remove_file(path).is_ok()
}

#[expect(clippy::disallowed_methods, reason = "the store owns the repository's folder")]
fn staging_files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut open: Vec<std::path::PathBuf> =
        ["repo", "keys", "log", "packs", "index"].map(|name| folder.join(name)).into();
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(next).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| name.rsplit_once('#')).map(|it| it.1);
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                open.push(entry.path());
            } else if number.is_some_and(|number| number.bytes().all(|it| it.is_ascii_digit())) {
                found.push(entry.path());
            }
        }
    }
    found
}

fn path_of(name: &ObjectName) -> object_store::path::Path {
    object_store::path::Path::from(name.to_string())
}

fn block_on<F: Future>(future: F) -> F::Output {
    futures_executor::block_on(future)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test makes its own leftovers")]
mod tests {
    use super::*;
    use crate::codec::crypto::object_hash;

    fn both() -> Vec<(Store, Option<tempfile::TempDir>)> {
        let folder = tempfile::tempdir().unwrap();
        vec![
            (Store::memory(), None),
            (Store::folder(&folder.path().join("new"), true).unwrap(), Some(folder)),
        ]
    }

    #[test]
    fn what_is_put_is_read_listed_and_cut_into_ranges() {
        for (store, _guard) in both() {
            let parts = [Bytes::from_static(b"hello "), Bytes::from_static(b"world")];
            let name = ObjectName::Pack(object_hash(b"hello world"));
            assert_eq!(store.get(&name).unwrap(), None);
            store.put(name.clone(), &parts).unwrap();
            assert_eq!(store.get(&name).unwrap().unwrap(), "hello world");
            assert_eq!(store.get_range(&name, 6, 11).unwrap().unwrap(), "world");
            assert_eq!(store.get_tail(&name, 3).unwrap().unwrap(), "rld");
            assert_eq!(store.get_range(&name, 11, 20).unwrap().unwrap(), "");
            assert_eq!(store.get_range(&name, 500, 501).unwrap().unwrap(), "");
            assert_eq!(store.size(&name).unwrap(), Some(11));
            assert_eq!(
                store.list(Prefix::Packs).unwrap(),
                [Listed { name: name.clone(), size: 11 }]
            );
            // The same again is no error; other bytes under the name are.
            store.put(name.clone(), &parts).unwrap();
            let foreign = ObjectName::Pack(object_hash(b"x"));
            store.put(foreign.clone(), &[Bytes::from_static(b"y")]).unwrap();
            assert_eq!(store.put(foreign.clone(), &parts).unwrap_err().kind(), Kind::Damaged);
            // What is wrong in its place may be replaced by what belongs there, and by nothing else.
            assert!(store.put_back(foreign.clone(), Bytes::from_static(b"z")).is_err());
            store.put_back(foreign.clone(), Bytes::from_static(b"x")).unwrap();
            assert_eq!(store.get(&foreign).unwrap().unwrap(), "x");
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a stranger's file")]
    fn a_full_listing_tells_objects_from_what_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::folder(folder.path(), false).unwrap();
        let name = ObjectName::Pack(object_hash(b"x"));
        store.put(name.clone(), &[Bytes::from_static(b"x")]).unwrap();
        std::fs::write(folder.path().join("notes.txt"), "mine").unwrap();
        std::fs::write(folder.path().join(LOCK_FILE), "").unwrap();
        let (objects, others) = store.list_all().unwrap();
        assert_eq!(objects, [Listed { name, size: 1 }]);
        assert_eq!(others, ["notes.txt"]);
    }

    #[test]
    fn leftovers_of_a_dead_writer_go_when_they_are_old_and_objects_never() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::folder(folder.path(), true).unwrap();
        let name = ObjectName::Pack(object_hash(b"x"));
        store.put(name.clone(), &[Bytes::from_static(b"x")]).unwrap();
        let leftover = folder.path().join(format!("{name}#1"));
        std::fs::write(&leftover, b"half").unwrap();
        let hour = std::time::Duration::from_hours(1);
        assert_eq!(store.remove_staging(&name, hour), 0);
        let old = std::time::SystemTime::now() - 2 * hour;
        std::fs::File::options().write(true).open(&leftover).unwrap().set_modified(old).unwrap();
        assert_eq!(store.remove_staging(&name, hour), 1);
        assert!(!leftover.exists());
        assert_eq!(store.get(&name).unwrap().unwrap(), "x");
    }

    #[test]
    fn a_missing_folder_is_no_repository() {
        let folder = tempfile::tempdir().unwrap();
        let error = Store::folder(&folder.path().join("none"), false).err().unwrap();
        assert_eq!(error.kind(), Kind::NoRepository);
    }
}
