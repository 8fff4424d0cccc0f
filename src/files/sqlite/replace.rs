//! The other direction: putting a restored database where one stands.
//!
//! In this order: [`find_holder`], and refuse if there is one; [`remove_companions`], which makes
//! the removal durable; then the restored file gets its name. A log or journal that is older than
//! the database beside it would be applied to it at the next opening, so it goes first: a crash in
//! between leaves the old database, without what was only in its log, which the safety snapshot
//! has.

use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, fsync, unlinkat};
use rustix::io::Errno;

use super::place::{DATABASE_LOCKS, INDEX_LOCKS, Place, find_lock};
use crate::error::{Result, io_error};
use crate::files::metadata::{find_stat, open_source};
use crate::files::stat::Stat;

/// Another process that has a database open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// Its number, if the system tells.
    pub pid: Option<u32>,
    /// Whether it holds a lock, and may be reading or writing just now; else it has it open.
    pub is_locked: bool,
}

/// Finds another process that has the database at `path` open; `None` also if it is not there.
///
/// Locks are asked for on every system: a connection in WAL mode always holds one, in rollback mode
/// only while it reads or writes. On Linux the open files of all processes that we may look into
/// are gone through as well. Must not be called while this process has the database open.
pub fn find_holder(path: &Path) -> Result<Option<Holder>> {
    let place = match Place::resolve(path) {
        Ok(place) => place,
        Err(error) if error.is_io(std::io::ErrorKind::NotFound) => return Ok(None),
        Err(error) => return Err(error),
    };
    for (path, bytes) in [(&place.database, DATABASE_LOCKS), (&place.shm, INDEX_LOCKS)] {
        if find_stat(path)?.is_none() {
            continue;
        }
        let (file, _) = open_source(path)?;
        let found = find_lock(&file, bytes);
        let found =
            found.map_err(|error| io_error("cannot look for locks on", path, error.into()))?;
        if let Some(pid) = found {
            return Ok(Some(Holder { pid: (pid > 0).then_some(pid), is_locked: true }));
        }
    }
    let Some(stat) = find_stat(&place.database)? else { return Ok(None) };
    Ok(find_opener(&stat).map(|pid| Holder { pid: Some(pid), is_locked: false }))
}

/// Finds a process that has the file open, among those we may look into.
#[cfg(target_os = "linux")]
#[expect(clippy::disallowed_methods, reason = "files/ reads the local disk")]
fn find_opener(stat: &Stat) -> Option<u32> {
    let own = std::process::id();
    let processes = std::fs::read_dir("/proc").ok()?;
    let numbers = processes.flatten().filter_map(|it| it.file_name().to_str()?.parse::<u32>().ok());
    numbers.filter(|&pid| pid != own).find(|pid| {
        let Ok(files) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
        files.flatten().any(|file| {
            rustix::fs::stat(file.path())
                .is_ok_and(|open| open.st_ino == stat.inode && open.st_dev == stat.device)
        })
    })
}

#[cfg(not(target_os = "linux"))]
fn find_opener(_stat: &Stat) -> Option<u32> {
    None
}

/// Returns whether a log or a journal with content stands beside the database at `path`.
pub fn has_companions(path: &Path) -> Result<bool> {
    let place = Place::of(path.to_path_buf());
    for companion in [&place.wal, &place.journal] {
        if find_stat(companion)?.is_some_and(|stat| stat.size > 0) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Removes `-wal`, `-shm` and `-journal` beside a database that is about to be replaced, durably.
///
/// Returns what was removed. The database itself need not be there.
pub fn remove_companions(path: &Path) -> Result<Vec<PathBuf>> {
    let place = Place::of(path.to_path_buf());
    let mut removed = Vec::new();
    for companion in [place.wal, place.shm, place.journal] {
        match unlinkat(rustix::fs::CWD, &companion, AtFlags::empty()) {
            Ok(()) => removed.push(companion),
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            Err(error) => return Err(io_error("cannot remove", &companion, error.into())),
        }
    }
    if !removed.is_empty() {
        let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(folder, flags, Mode::empty())
            .and_then(fsync)
            .map_err(|error| io_error("cannot sync", folder, error.into()))?;
    }
    Ok(removed)
}
