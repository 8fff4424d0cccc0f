//! The lock of a ref, as git itself has it: a file beside the ref, made only if none is there, which
//! becomes the ref.
//!
//! Its holder may die, so one that is old is broken. To break one, to commit and to let go is done
//! under the kernel's lock on `HEAD`, and each looks again what it is about to rename or remove: a
//! holder that was thought dead finds that its lock is gone, and never takes another's for its own.

use std::fs::{File, TryLockError};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{open_file, remove, rename};
use crate::store::git::failure::{GitFailure, Outcome};

/// Somebody who holds the lock of a ref this long is dead.
const STALE: Duration = Duration::from_mins(10);
/// How long a lock is waited for: this often, this long.
const WAITS: (u32, Duration) = (100, Duration::from_millis(20));

/// The lock of a ref. Dropped, it lets go.
pub(super) struct Lock {
    file: File,
    path: Option<PathBuf>,
    /// The repository's folder.
    folder: PathBuf,
}

impl Lock {
    /// Takes the lock of the ref at `path` in a repository's folder.
    pub(super) fn take(folder: &Path, path: &Path) -> Outcome<Lock> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = path.with_file_name(format!("{name}.lock"));
        let fail = |error: std::io::Error| GitFailure::disk("cannot lock the branch", &error);
        for _ in 0..WAITS.0 {
            match File::options().write(true).create_new(true).open(&name) {
                Ok(file) => return Ok(Lock { file, path: Some(name), folder: folder.to_owned() }),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(fail(error)),
            }
            if is_stale(folder, &name) {
                let _alone = alone(folder).map_err(fail)?;
                // Somebody may have been quicker, and a third one may hold it now.
                if is_stale(folder, &name) && remove(&name).is_ok() {
                    continue;
                }
            }
            std::thread::sleep(WAITS.1);
        }
        Err(GitFailure::passing(format!("the branch is locked by `{}`", name.display())))
    }

    /// Writes what the ref will be.
    pub(super) fn write(&self, text: &str) -> std::io::Result<()> {
        (&self.file).write_all(text.as_bytes())?;
        self.file.sync_all()
    }

    /// Makes what was written the ref; `false` if the lock was broken in the meantime.
    pub(super) fn commit(mut self, to: &Path) -> std::io::Result<bool> {
        let _alone = alone(&self.folder)?;
        let Some(path) = self.path.as_ref().filter(|path| self.is_at(path)) else {
            return Ok(false);
        };
        rename(path, to)?;
        self.path = None;
        Ok(true)
    }

    /// Tells whether the file of this name is still this lock.
    fn is_at(&self, path: &Path) -> bool {
        let is_same = |own: std::fs::Metadata, there: std::fs::Metadata| {
            (own.dev(), own.ino()) == (there.dev(), there.ino())
        };
        let there = std::fs::symlink_metadata(path);
        self.file.metadata().ok().zip(there.ok()).is_some_and(|(own, there)| is_same(own, there))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let Some(path) = self.path.take() else { return };
        // One that can't be let go of now is stale later.
        let alone = alone(&self.folder);
        let _let_go = alone.is_ok() && self.is_at(&path) && remove(&path).is_ok();
    }
}

/// Takes the kernel's lock on a repository; nothing where the file system has no such locks. It is held
/// for moments only.
fn alone(folder: &Path) -> std::io::Result<Option<File>> {
    let Some(file) = open_file(&folder.join("HEAD"))? else { return Ok(None) };
    for _ in 0..WAITS.0 {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::WouldBlock) => std::thread::sleep(WAITS.1),
            Err(TryLockError::Error(_)) => return Ok(None),
        }
    }
    Err(ErrorKind::ResourceBusy.into())
}

/// Tells whether a lock is much older than a file that is made now: only the disk's own clock counts.
fn is_stale(folder: &Path, lock: &Path) -> bool {
    let modified = |path: &Path| std::fs::symlink_metadata(path)?.modified();
    let fresh = tempfile::Builder::new().prefix("tmp_obj_").tempfile_in(folder);
    let Ok(now) = fresh.and_then(|fresh| modified(fresh.path())) else { return false };
    modified(lock).is_ok_and(|then| now.duration_since(then).is_ok_and(|it| it > STALE))
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test looks at the disk")]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_was_broken_commits_nothing_and_leaves_the_next_one_alone() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("HEAD"), "x").unwrap();
        let (path, name) = (folder.path().join("stash"), folder.path().join("stash.lock"));
        let old = |lock: &Lock| {
            let hour = std::time::SystemTime::UNIX_EPOCH + Duration::from_hours(1);
            lock.file.set_modified(hour).unwrap();
        };
        for commits in [true, false] {
            let first = Lock::take(folder.path(), &path).unwrap();
            first.write("first\n").unwrap();
            old(&first);
            let second = Lock::take(folder.path(), &path).unwrap();
            if commits {
                assert!(!first.commit(&path).unwrap());
            } else {
                drop(first);
            }
            assert!(name.exists() && second.is_at(&name));
            second.write("second\n").unwrap();
            assert!(second.commit(&path).unwrap());
            assert_eq!(std::fs::read_to_string(&path).unwrap(), "second\n");
        }
        drop(Lock::take(folder.path(), &path).unwrap());
        let mut left: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["HEAD", "stash"]);
    }
}
