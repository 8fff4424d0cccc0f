//! A folder as a store: making it, and what dead writers leave in it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use object_store::local::LocalFileSystem;

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
        Ok(Store {
            inner: Arc::new(inner),
            description: description.into(),
            grid: 1,
            folder: Some(path.into()),
            is_remote: false,
            gathers: false,
            copies: None,
            remote: None,
            record_patience: Duration::ZERO,
            refuses_deletion: Arc::default(),
        })
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
