//! One run at a time on this machine, for each repository.
//!
//! A file in the state folder holds an advisory lock; the kernel drops it with the process, so
//! there is no stale lock to break. The file holds the owner's process number, for the message of
//! whoever comes second, and stays when the lock goes: deleting it would let two runs lock two
//! files of one name. Writers on other machines are the log's matter, not this lock's.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
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
        let start = clock.boot_nanoseconds();
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(error)) => return Err(error).at("cannot lock", &path),
                Err(TryLockError::WouldBlock) => {}
            }
            let waited = clock.boot_nanoseconds().saturating_sub(start);
            if u128::try_from(waited).unwrap_or(0) >= wait.as_nanos() {
                return Err(busy(&mut file));
            }
            counters.go_on()?;
            std::thread::sleep(POLL.min(wait));
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
    /// Takes the lock in a repository's folder; waits for a deletion to end.
    ///
    /// In a folder where the file can't be made nobody deletes either: then nothing is locked.
    pub fn take(folder: &Path) -> Result<Self> {
        let path = folder.join(LOCK_FILE);
        let made = OpenOptions::new().append(true).create(true).open(&path);
        let Ok(file) = made.or_else(|_| OpenOptions::new().read(true).open(&path)) else {
            return Ok(SharedLock { file: None, path });
        };
        file.lock_shared().at("cannot lock", &path)?;
        Ok(SharedLock { file: Some(file), path })
    }

    /// Makes the lock one that nobody else shares, as deleting needs it; waits up to `wait` for the
    /// others to end, then gives [`Kind::Busy`], and the lock is shared as before.
    pub fn take_alone(&self, wait: Duration, clock: &dyn Clock, counters: &Counters) -> Result<()> {
        let Some(file) = &self.file else {
            return Err(Error::failed("cannot lock")
                .object(self.path.display().to_string())
                .hint("deleting needs a repository folder that this user may write to"));
        };
        let start = clock.boot_nanoseconds();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(()),
                Err(TryLockError::Error(error)) => return Err(error).at("cannot lock", &self.path),
                Err(TryLockError::WouldBlock) => {}
            }
            // A lock that could not be raised is gone altogether.
            file.lock_shared().at("cannot lock", &self.path)?;
            let waited = clock.boot_nanoseconds().saturating_sub(start);
            if u128::try_from(waited).unwrap_or(0) >= wait.as_nanos() {
                return Err(Error::new(Kind::Busy, "another run is using the repository")
                    .hint("`--wait 10m` waits for it to end"));
            }
            counters.go_on()?;
            std::thread::sleep(POLL.min(wait));
        }
    }
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
}
