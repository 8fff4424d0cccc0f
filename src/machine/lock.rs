//! One run at a time on this machine, for each repository.
//!
//! A file in the state folder holds an advisory lock; the kernel drops it with the process, so
//! there is no stale lock to break. The file holds the owner's process number, for the message of
//! whoever comes second, and stays when the lock goes: deleting it would let two runs lock two
//! files of one name. Writers on other machines are the log's matter, not this lock's.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::places::make_private_folder;
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::event::Counters;
use crate::id::RepositoryId;
use crate::store::LOCK_FILE;
use crate::time::Clock;

const POLL: Duration = Duration::from_millis(100);

/// The lock of this machine's run; released when dropped.
#[derive(Debug)]
pub struct RunLock {
    _file: File,
}

impl RunLock {
    /// Takes the lock; waits up to `wait` for another run to end, then gives [`Kind::Busy`].
    /// `counters.stop` ends the wait.
    pub fn take(
        state: &Path,
        repository: RepositoryId,
        wait: Duration,
        clock: &dyn Clock,
        counters: &Counters,
    ) -> Result<Self> {
        let folder = state.join("locks");
        make_private_folder(&folder)?;
        let path = folder.join(format!("{repository}.lock"));
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .at("cannot open the lock file", &path)?;
        if !patiently(wait, clock, counters, || is_taken(file.try_lock(), &path))? {
            return Err(busy(&mut file));
        }
        write_owner(&mut file).at("cannot write the lock file", &path)?;
        Ok(RunLock { _file: file })
    }
}

/// The lock that every reader and writer of an exclusive repository holds together, and that a
/// deletion of objects needs alone; released when dropped.
#[derive(Debug)]
pub struct SharedLock {
    file: Option<File>,
    path: PathBuf,
}

impl SharedLock {
    /// Takes the lock in a repository's folder; waits up to `wait` for a deletion to end, then gives
    /// [`Kind::Busy`]. `counters.stop` ends the wait.
    ///
    /// In a folder where the file can't be made nobody deletes either: then nothing is locked.
    pub fn take(
        folder: &Path,
        wait: Duration,
        clock: &dyn Clock,
        counters: &Counters,
    ) -> Result<Self> {
        let path = folder.join(LOCK_FILE);
        let file = open_shared(&path).at("cannot open the lock file", &path)?;
        if let Some(file) = &file
            && !patiently(wait, clock, counters, || is_taken(file.try_lock_shared(), &path))?
        {
            return Err(others());
        }
        Ok(SharedLock { file, path })
    }

    /// Makes the lock one that nobody else shares, as deleting needs it; waits up to `wait` for the
    /// others to end, then gives [`Kind::Busy`], and the lock is shared as before: unless another
    /// deletion came in between, when it is gone.
    pub fn take_alone(&self, wait: Duration, clock: &dyn Clock, counters: &Counters) -> Result<()> {
        let Some(file) = &self.file else {
            return Err(Error::failed("cannot lock")
                .object(self.path.display().to_string())
                .hint("deleting needs a repository folder that this user may write to"));
        };
        let attempt = || {
            let is_alone = is_taken(file.try_lock(), &self.path)?;
            if !is_alone {
                // A lock that could not be raised is gone altogether.
                is_taken(file.try_lock_shared(), &self.path)?;
            }
            Ok(is_alone)
        };
        if patiently(wait, clock, counters, attempt)? { Ok(()) } else { Err(others()) }
    }
}

/// Opens the lock file, making it if need be; `None` if it is not there, and can't be made in a folder
/// that this user, or nobody, may write to. Whatever else goes wrong must not look like that.
fn open_shared(path: &Path) -> std::io::Result<Option<File>> {
    match OpenOptions::new().append(true).create(true).open(path) {
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem
            ) => {}
        result => return result.map(Some),
    }
    match OpenOptions::new().read(true).open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}

/// Tries until it works, `wait` is over, or the user stops; says whether it worked.
fn patiently(
    wait: Duration,
    clock: &dyn Clock,
    counters: &Counters,
    attempt: impl Fn() -> Result<bool>,
) -> Result<bool> {
    let start = clock.boot_nanoseconds();
    loop {
        if attempt()? {
            return Ok(true);
        }
        let waited = clock.boot_nanoseconds().saturating_sub(start);
        if u128::try_from(waited).unwrap_or(0) >= wait.as_nanos() {
            return Ok(false);
        }
        counters.go_on()?;
        std::thread::sleep(POLL.min(wait));
    }
}

fn is_taken(tried: std::result::Result<(), TryLockError>, path: &Path) -> Result<bool> {
    match tried {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error).at("cannot lock", path),
    }
}

fn others() -> Error {
    Error::new(Kind::Busy, "another run is using the repository")
        .hint("`--wait 10m` waits for it to end")
}

fn write_owner(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

fn busy(file: &mut File) -> Error {
    let mut text = String::new();
    let read = file.rewind().and_then(|()| file.take(32).read_to_string(&mut text));
    let owner = read.ok().and_then(|_| text.trim().parse::<u32>().ok());
    let owner = owner.map_or(String::new(), |pid| format!(", process {pid}"));
    Error::new(Kind::Busy, format!("another run on this machine holds the repository{owner}"))
        .hint("`--wait 10m` waits for it to end")
}

#[cfg(test)]
mod tests {
    use super::super::clock::SystemClock;
    use super::*;

    const ID: RepositoryId = RepositoryId([7; 16]);

    fn take(state: &Path, repository: RepositoryId, wait: Duration) -> Result<RunLock> {
        RunLock::take(state, repository, wait, &SystemClock, &Counters::default())
    }

    #[test]
    fn the_second_run_is_told_the_first_ones_process() {
        let state = tempfile::tempdir().unwrap();
        let first = take(state.path(), ID, Duration::ZERO).unwrap();
        let error = take(state.path(), ID, Duration::from_millis(150)).unwrap_err();
        assert_eq!(error.kind(), Kind::Busy);
        assert!(error.to_string().ends_with(&format!("process {}", std::process::id())));
        let other = take(state.path(), RepositoryId([8; 16]), Duration::ZERO);
        assert!(other.is_ok());
        drop(first);
        assert!(take(state.path(), ID, Duration::ZERO).is_ok());
    }

    #[test]
    fn waiting_ends_when_the_lock_is_free_or_the_user_stops() {
        let state = tempfile::tempdir().unwrap();
        let first = take(state.path(), ID, Duration::ZERO).unwrap();
        let counters = Counters::default();
        counters.stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let long = Duration::from_mins(1);
        let error = RunLock::take(state.path(), ID, long, &SystemClock, &counters).unwrap_err();
        assert_eq!(error.kind(), Kind::Interrupted);
        let ends = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(150));
            drop(first);
        });
        assert!(take(state.path(), ID, long).is_ok());
        ends.join().unwrap();
    }

    fn share(folder: &Path, wait: Duration) -> Result<SharedLock> {
        SharedLock::take(folder, wait, &SystemClock, &Counters::default())
    }

    #[test]
    fn a_shared_lock_waits_for_a_deletion_as_long_as_it_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let first = share(folder.path(), Duration::ZERO).unwrap();
        let second = share(folder.path(), Duration::ZERO).unwrap();
        let alone = |wait| {
            first.take_alone(wait, &SystemClock, &Counters::default()).map_err(|it| it.kind())
        };
        assert_eq!(alone(Duration::from_millis(150)), Err(Kind::Busy));
        drop(second);
        alone(Duration::ZERO).unwrap();
        for wait in [Duration::ZERO, Duration::from_millis(150)] {
            assert_eq!(share(folder.path(), wait).unwrap_err().kind(), Kind::Busy);
        }
        let counters = Counters::default();
        counters.stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let long = Duration::from_mins(1);
        let error = SharedLock::take(folder.path(), long, &SystemClock, &counters).unwrap_err();
        assert_eq!(error.kind(), Kind::Interrupted);
        let ends = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(150));
            drop(first);
        });
        assert!(share(folder.path(), long).is_ok());
        ends.join().unwrap();
    }

    #[test]
    fn a_lock_file_that_cannot_be_opened_is_no_lock_that_nobody_needs() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(LOCK_FILE)).unwrap();
        assert_eq!(share(folder.path(), Duration::ZERO).unwrap_err().kind(), Kind::Failed);
        assert!(share(&folder.path().join("none"), Duration::ZERO).is_err());
    }
}
