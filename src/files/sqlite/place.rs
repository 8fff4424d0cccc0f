//! Where a database lies, what lies beside it, and the raw descriptors by which both are read.
//!
//! **The rule of POSIX locks**: when a process closes *any* descriptor of a file, all its locks on
//! that file are gone, those of SQLite among them. Hence here: raw descriptors are opened before
//! the connection and closed after it; and no two threads take one file at the same time
//! ([`Claim`]). The rest of this process must not open and close a database, its `-wal` or its
//! `-shm` while it is taken, nor hold a connection of its own to it. Should that happen all the
//! same, the checks at the end notice what a writer then did.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Flock, FlockOffsetType, FlockType, fcntl_getlk};

use crate::error::{Error, IoContext as _, Kind, Result, io_error};
use crate::files::metadata::{find_stat, open_source, stat_file};
use crate::files::stat::Stat;
use crate::format::tree::FileTime;
use crate::time::{Clock, SECOND};

/// A database's path without links, and those of its companions.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) database: PathBuf,
    pub(super) wal: PathBuf,
    pub(super) shm: PathBuf,
    pub(super) journal: PathBuf,
}

impl Place {
    /// Follows links, as SQLite does: the companions lie beside the file itself.
    pub(super) fn resolve(path: &Path) -> Result<Place> {
        let database = path.canonicalize().at("cannot open", path)?;
        Ok(Place::of(database))
    }

    /// The companions of a path that is taken as it is.
    pub(super) fn of(database: PathBuf) -> Place {
        let beside = |ending: &str| {
            let mut name: OsString = database.clone().into_os_string();
            name.push(ending);
            PathBuf::from(name)
        };
        Place { wal: beside("-wal"), shm: beside("-shm"), journal: beside("-journal"), database }
    }
}

/// A database and its log, open for plain reading, with what the system said of them then.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) file: File,
    pub(super) stat: Stat,
    /// The log, also if it is empty.
    pub(super) wal: Option<(File, Stat)>,
    /// The wal-index, if it may be read.
    pub(super) shm: Option<File>,
    /// Why the log can't be read although it is there.
    pub(super) obstacle: Option<Error>,
}

impl Opened {
    /// Opens what is there; `Ok(None)` if something was replaced in between.
    pub(super) fn open(place: &Place) -> Result<Option<Opened>> {
        let (file, _) = open_source(&place.database)?;
        let (wal, obstacle) = match open_if_there(&place.wal) {
            Ok(wal) => (wal, None),
            Err(error) => (None, Some(error)),
        };
        let shm = open_if_there(&place.shm).ok().flatten();
        // Looked at last, so that it holds for what was opened before.
        let stat = stat_file(&file)?;
        #[cfg(target_os = "linux")]
        {
            // No more than advice: that it was not taken is no error.
            let _advised = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Sequential);
        }
        let wal = wal.map(|file| Ok::<_, Error>((stat_file(&file)?, file))).transpose()?;
        let wal = wal.map(|(stat, file)| (file, stat));
        let opened = Opened { file, stat, wal, shm, obstacle };
        Ok((opened.obstacle.is_some() || opened.is_in_place(place)?).then_some(opened))
    }

    /// Returns whether the paths still lead to what is open.
    pub(super) fn is_in_place(&self, place: &Place) -> Result<bool> {
        let is_at = |path: &Path, own: Option<Stat>| {
            let there = find_stat(path)?;
            Ok::<_, Error>(match (own, there) {
                (Some(own), Some(there)) => own.is_same_file(&there),
                (None, None) => true,
                _ => false,
            })
        };
        let shm = self.shm.as_ref().map(stat_file).transpose()?;
        Ok(is_at(&place.database, Some(self.stat))?
            && is_at(&place.wal, self.wal.as_ref().map(|it| it.1))?
            && (shm.is_none() || is_at(&place.shm, shm)?))
    }

    /// Gives the descriptors away, to be closed after the connection.
    pub(super) fn into_files(self) -> Vec<File> {
        let wal = self.wal.map(|it| it.0);
        [Some(self.file), wal, self.shm].into_iter().flatten().collect()
    }

    /// Returns the log if it holds anything.
    pub(super) fn filled_wal(&self) -> Option<&(File, Stat)> {
        self.wal.as_ref().filter(|(_, stat)| stat.size > 0)
    }

    /// Returns whether another process has the wal-index open: the database is live.
    ///
    /// Every connection keeps a lock on a byte of the `-shm` file for as long as it has it open.
    pub(super) fn has_live_index(&self) -> bool {
        let locked = |shm| find_lock(shm, INDEX_LOCKS).ok().flatten().is_some();
        self.wal.is_some() && self.shm.as_ref().is_some_and(locked)
    }
}

fn open_if_there(path: &Path) -> Result<Option<File>> {
    match open_source(path) {
        Ok((file, _)) => Ok(Some(file)),
        Err(error) if error.is_io(std::io::ErrorKind::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The bytes that SQLite locks: where they begin, and how many there are.
pub(super) type LockBytes = (u64, u64);
/// In the database: pending, reserved, and 510 shared bytes.
pub(super) const DATABASE_LOCKS: LockBytes = (0x4000_0000, 512);
/// In the `-shm` file: eight locks, and the one that says "somebody has this open".
pub(super) const INDEX_LOCKS: LockBytes = (120, 9);

/// Returns which other process holds a lock on some of these bytes; 0 if it can't be told which.
pub(super) fn find_lock(file: &File, bytes: LockBytes) -> Result<Option<u32>, Errno> {
    let question = Flock {
        start: bytes.0,
        length: bytes.1,
        pid: None,
        typ: FlockType::WriteLock,
        offset_type: FlockOffsetType::Set,
    };
    let found = fcntl_getlk(file, &question)?;
    Ok(found.map(|lock| {
        lock.pid.and_then(|pid| u32::try_from(pid.as_raw_nonzero().get()).ok()).unwrap_or(0)
    }))
}

/// Waits until a write from now on must show in the times of files last changed at `stats`.
///
/// File systems stamp with the time of the last clock tick, 10 ms at most, or with whole seconds.
/// Returns whether it waited: then the caller looks again whether anything changed meanwhile.
pub(super) fn settle(clock: &dyn Clock, stats: &[Stat]) -> bool {
    let now = clock.now().0;
    let wait = |time: FileTime, may_be_set: bool| {
        let margin = if time.1 == 0 { COARSE_MARGIN } else { FINE_MARGIN };
        let stamp = time.0.saturating_mul(SECOND).saturating_add(i64::from(time.1));
        let age = now.saturating_sub(stamp);
        match age {
            // Somebody set it ahead: the next write sets it back, which shows.
            ..0 if may_be_set && age < -margin => 0,
            // The file system's clock is ahead of ours.
            ..0 => margin,
            _ => margin.saturating_sub(age).max(0),
        }
    };
    let longest =
        stats.iter().map(|stat| wait(stat.mtime, true).max(wait(stat.ctime, false))).max();
    let longest = u64::try_from(longest.unwrap_or(0)).unwrap_or(0);
    if longest > 0 {
        std::thread::sleep(Duration::from_nanos(longest));
    }
    longest > 0
}

/// How far a stamp with fractions must lie back, in nanoseconds: two ticks.
const FINE_MARGIN: i64 = SECOND / 50;
/// The same where only whole seconds are kept, or every other one.
const COARSE_MARGIN: i64 = 2 * SECOND + SECOND / 10;

/// Device and inode of what this process is taking at the moment.
static TAKEN: Mutex<Vec<(u64, u64)>> = Mutex::new(Vec::new());
static RETURNED: Condvar = Condvar::new();

/// The right to open this file: one thread at a time has it.
#[derive(Debug)]
pub(super) struct Claim(u64, u64);

impl Claim {
    /// Waits until no other thread has the file, for `patience` at most.
    pub(super) fn take(path: &Path, patience: Duration) -> Result<Claim> {
        let stat = find_stat(path)?
            .ok_or_else(|| io_error("cannot open", path, std::io::ErrorKind::NotFound.into()))?;
        let own = (stat.device, stat.inode);
        let taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut taken, waited) = RETURNED
            .wait_timeout_while(taken, patience, |taken| taken.contains(&own))
            .unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            let doing = "another thread is reading the database";
            return Err(Error::new(Kind::Busy, doing).object(path.display().to_string()));
        }
        taken.push(own);
        Ok(Claim(own.0, own.1))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let own = (self.0, self.1);
        TAKEN.lock().unwrap_or_else(PoisonError::into_inner).retain(|taken| *taken != own);
        RETURNED.notify_all();
    }
}

/// Makes a private folder (0700) for copies.
pub(super) fn private_folder(below: &Path) -> Result<tempfile::TempDir> {
    use std::os::unix::fs::PermissionsExt as _;
    tempfile::Builder::new()
        .prefix(".stash-sqlite-")
        .permissions(std::fs::Permissions::from_mode(0o700))
        .tempdir_in(below)
        .at("cannot make a folder in", below)
}

/// Copies an open file to a new one, sharing its blocks where the file system can.
pub(super) fn copy_file(from: &File, length: u64, path: &Path) -> Result<File> {
    if let Some(clone) = clone_file(from, path)? {
        return Ok(clone);
    }
    let to = make_file(path)?;
    copy_bytes(from, length, &to).at("cannot copy to", path)?;
    Ok(to)
}

/// Makes a new file that shares an open one's blocks; `None` where the file system can't.
#[cfg(target_os = "linux")]
pub(super) fn clone_file(from: &File, path: &Path) -> Result<Option<File>> {
    let to = make_file(path)?;
    if rustix::fs::ioctl_ficlone(&to, from).is_ok() {
        return Ok(Some(to));
    }
    rustix::fs::unlink(path).map_err(|error| io_error("cannot remove", path, error.into()))?;
    Ok(None)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn clone_file(_from: &File, _path: &Path) -> Result<Option<File>> {
    Ok(None)
}

/// Makes a new file for reading and writing.
pub(super) fn make_file(path: &Path) -> Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)
        .map(File::from)
        .map_err(|error| io_error("cannot make", path, error.into()))
}

fn copy_bytes(from: &File, length: u64, to: &File) -> std::io::Result<()> {
    let mut buffer = vec![0; 1 << 20];
    let mut offset = 0;
    while offset < length {
        let count = super::wal::read_full(from, &mut buffer, offset)?;
        if count == 0 {
            break;
        }
        let bytes = buffer.get(..count).unwrap_or_default();
        std::os::unix::fs::FileExt::write_all_at(to, bytes, offset)?;
        offset = offset.saturating_add(count as u64);
    }
    Ok(())
}
