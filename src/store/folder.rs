//! A folder as a store: making it, what makes names in it durable, and what dead writers leave in it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use object_store::local::LocalFileSystem;

use super::objects::Creation;
use super::{ObjectName, Store};
use crate::error::{Error, Kind, Result};

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
        // `object_store` panics when it should say that something lies already at a path that is
        // no text. Asked to write over it, it has nothing to say.
        let is_text = path.canonicalize().is_ok_and(|path| path.to_str().is_some());
        Ok(Store {
            inner: Arc::new(inner),
            description: description.into(),
            grid: 1,
            folder: Some(path.into()),
            is_remote: false,
            creation: Arc::new(Creation::new(is_text)),
            gathers: false,
            copies: None,
            remote: None,
            record_patience: Duration::ZERO,
            refuses_deletion: Arc::default(),
        })
    }

    /// Makes the name of an object, or that it is gone, durable in a folder: whoever put it there may
    /// have died before that. Other stores answer only when it is.
    pub(super) fn sync_name(&self, name: &ObjectName) -> Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let path = folder.join(name.to_string());
        for folder in path.ancestors().skip(1).take_while(|it| it.starts_with(folder)) {
            match sync(folder) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::new(Kind::Store, "cannot sync")
                        .object(folder.display().to_string())
                        .source(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Removes what a process that died while it stored an object has left in a folder: files
    /// whose names end in `#` and a number, last written `age` before `fresh`, an object that was
    /// stored just now. Only the disk's own times are compared: a clock that is wrong must not
    /// remove what another writer is about to store. They are no objects, and no reader sees them.
    /// Returns how many there were; failures are left for the next time.
    pub fn remove_staging(&self, fresh: &ObjectName, age: Duration) -> u64 {
        let Some(folder) = &self.folder else { return 0 };
        let written =
            |path: &Path| std::fs::symlink_metadata(path).and_then(|meta| meta.modified());
        let Ok(now) = written(&folder.join(fresh.to_string())) else { return 0 };
        let is_old = |path: &Path| {
            written(path).is_ok_and(|then| now.duration_since(then).is_ok_and(|it| it > age))
        };
        staging_files(folder).into_iter().filter(|path| is_old(path) && remove(path)).count() as u64
    }
}

#[expect(clippy::disallowed_methods, reason = "the store owns the repository's folder")]
fn sync(folder: &Path) -> std::io::Result<()> {
    std::fs::File::open(folder)?.sync_all()
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

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use bytes::Bytes;
    use futures_util::stream::BoxStream;
    use object_store::path::Path as StorePath;
    use object_store::{
        CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
        PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result as StoreResult,
    };

    use super::*;
    use crate::codec::crypto::object_hash;
    use crate::store::Prefix;

    /// A folder on a file system without hard links: `object_store` then fails with what the
    /// system says to `link`.
    #[derive(Debug)]
    struct NoLinks(Arc<dyn ObjectStore>, AtomicUsize, std::io::ErrorKind);

    impl std::fmt::Display for NoLinks {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("no links")
        }
    }

    #[async_trait::async_trait]
    impl ObjectStore for NoLinks {
        async fn put_opts(
            &self,
            location: &StorePath,
            payload: PutPayload,
            options: PutOptions,
        ) -> StoreResult<PutResult> {
            if matches!(options.mode, PutMode::Create) {
                self.1.fetch_add(1, Ordering::SeqCst);
                let source = Box::new(std::io::Error::from(self.2));
                return Err(object_store::Error::Generic { store: "folder", source });
            }
            self.0.put_opts(location, payload, options).await
        }

        async fn put_multipart_opts(
            &self,
            location: &StorePath,
            options: PutMultipartOptions,
        ) -> StoreResult<Box<dyn MultipartUpload>> {
            self.0.put_multipart_opts(location, options).await
        }

        async fn get_opts(
            &self,
            location: &StorePath,
            options: GetOptions,
        ) -> StoreResult<GetResult> {
            self.0.get_opts(location, options).await
        }

        fn delete_stream(
            &self,
            locations: BoxStream<'static, StoreResult<StorePath>>,
        ) -> BoxStream<'static, StoreResult<StorePath>> {
            self.0.delete_stream(locations)
        }

        fn list(&self, prefix: Option<&StorePath>) -> BoxStream<'static, StoreResult<ObjectMeta>> {
            self.0.list(prefix)
        }

        async fn list_with_delimiter(&self, prefix: Option<&StorePath>) -> StoreResult<ListResult> {
            self.0.list_with_delimiter(prefix).await
        }

        async fn copy_opts(
            &self,
            from: &StorePath,
            to: &StorePath,
            options: CopyOptions,
        ) -> StoreResult<()> {
            self.0.copy_opts(from, to, options).await
        }
    }

    fn put(store: &Store, bytes: &'static [u8]) -> Result<ObjectName> {
        let name = ObjectName::Pack(object_hash(bytes));
        store.put(name.clone(), &[Bytes::from_static(bytes)]).map(|_| name)
    }

    #[test]
    fn a_file_system_without_hard_links_holds_a_repository_and_is_asked_once() {
        for kind in [std::io::ErrorKind::PermissionDenied, std::io::ErrorKind::Unsupported] {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::folder(folder.path(), false).unwrap();
            let inner = Arc::new(NoLinks(Arc::clone(&store.inner), AtomicUsize::new(0), kind));
            let store = Store { inner: Arc::clone(&inner) as Arc<dyn ObjectStore>, ..store };
            for bytes in [b"one", b"two", b"one"] {
                let name = put(&store, bytes).unwrap();
                assert_eq!(store.get(&name).unwrap().unwrap(), &bytes[..]);
            }
            assert_eq!(store.list(Prefix::Packs).unwrap().len(), 2);
            assert_eq!(inner.1.load(Ordering::SeqCst), 1);
            assert!(staging_files(folder.path()).is_empty());
        }
        // Any other failure is one.
        let folder = tempfile::tempdir().unwrap();
        let store = Store::folder(folder.path(), false).unwrap();
        let full = std::io::ErrorKind::StorageFull;
        let inner = NoLinks(Arc::clone(&store.inner), AtomicUsize::new(0), full);
        let store = Store { inner: Arc::new(inner), ..store };
        assert_eq!(put(&store, b"one").unwrap_err().kind(), Kind::Failed);
    }

    #[test]
    fn a_folder_whose_name_is_no_text_is_a_store_like_others() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::folder(&folder.path().join(OsStr::from_bytes(b"\xff%20 #1")), true);
        let store = store.unwrap();
        let name = put(&store, b"one").unwrap();
        assert_eq!(put(&store, b"one").unwrap(), name);
        assert_eq!(store.get(&name).unwrap().unwrap(), "one");
        assert_eq!(store.find(name.clone()).unwrap().unwrap().1, 3);
        assert_eq!(store.list(Prefix::Packs).unwrap().len(), 1);
        assert_eq!(store.list_all().unwrap().1, [""; 0]);
        let slot = object_hash(b"slot");
        let bytes = Bytes::from_static(b"slot");
        store.put(ObjectName::KeySlot(slot), &[bytes]).unwrap();
        store.delete_key_slot(&slot).unwrap();
        assert_eq!(store.list(Prefix::Keys).unwrap(), []);
    }
}
