//! Small things done to an agent's files: whether it runs, times, replacing and removing one file.
#![expect(
    clippy::disallowed_methods,
    reason = "this room asks for the time, and touches single files of agents"
)]

use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::SystemTime;

use super::agent_sources::FoundAgent;
use super::undo::MadeFile;
use crate::agents::{PidPlace, RunningKind};
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::files::{ExcludeOptions, Excludes, Step, Walk};

/// A file that names a process is short.
const LONGEST_PID: u64 = 64;

/// Fails if a file of the agent's names a process that lives. (A database that is held open is
/// refused by the restore itself.)
pub fn refuse_running(found: &FoundAgent) -> Result<()> {
    for check in found.agent.running.iter().filter(|check| check.kind == RunningKind::PidFile) {
        for root in found.roots.iter().filter(|root| root.is_usable()) {
            let Some(label) = found.agent.declared_label(&root.label) else { continue };
            if !check.roots.iter().any(|it| it == label) {
                continue;
            }
            if let Some(pid) = running_pid(&root.place, &check.globs, check.pid)? {
                return Err(Error::new(Kind::Busy, format!("{} is running", found.agent.name))
                    .object(format!("process {pid}"))
                    .hint("end it first; `--force` restores all the same, and what it still holds in memory may overwrite what was restored"));
            }
        }
    }
    Ok(())
}

fn running_pid(place: &Path, globs: &[String], pid: Option<PidPlace>) -> Result<Option<u32>> {
    let mut set = globset::GlobSetBuilder::new();
    for glob in globs {
        let built = globset::GlobBuilder::new(glob).literal_separator(true).build();
        set.add(built.map_err(|error| Error::failed("bad pattern of pid files").source(error))?);
    }
    let set =
        set.build().map_err(|error| Error::failed("bad patterns of pid files").source(error))?;
    let excludes = std::sync::Arc::new(Excludes::new(&ExcludeOptions::default())?);
    for step in Walk::start(place, excludes, 1) {
        let Step::Entry(entry) = step else { continue };
        let below = entry.path.strip_prefix(place).unwrap_or(&entry.path);
        if !set.is_match(below) {
            continue;
        }
        let number = match pid {
            Some(PidPlace::Content) if entry.stat.size <= LONGEST_PID => {
                std::fs::read_to_string(&entry.path).ok().and_then(|it| it.trim().parse().ok())
            }
            Some(PidPlace::Content) => None,
            Some(PidPlace::Stem) | None => {
                entry.path.file_stem().and_then(|it| it.to_str()).and_then(|it| it.parse().ok())
            }
        };
        if let Some(number) = number.filter(|number| is_alive(*number)) {
            return Ok(Some(number));
        }
    }
    Ok(None)
}

fn is_alive(pid: u32) -> bool {
    let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) else {
        return false;
    };
    // EPERM means that it lives and is another's.
    !matches!(rustix::process::test_kill_process(pid), Err(rustix::io::Errno::SRCH))
}

/// Returns whether a plain file is there.
pub fn is_file(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|it| it.is_file())
}

/// Returns whether something is there, whatever it is.
pub fn exists(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok()
}

/// Gives a file the present time.
pub fn touch(path: &Path) -> Result<()> {
    let file = std::fs::File::options().append(true).open(path).at("cannot open", path)?;
    file.set_modified(SystemTime::now()).at("cannot set the time of", path)
}

/// Returns what tells a plain file's present state from others; `None` if there is none.
pub fn made_file(path: &Path) -> Option<MadeFile> {
    let found = std::fs::symlink_metadata(path).ok().filter(std::fs::Metadata::is_file)?;
    let nanoseconds = u32::try_from(found.mtime_nsec()).unwrap_or(0);
    path.to_str()?;
    Some(MadeFile { path: path.to_owned(), size: found.len(), mtime: (found.mtime(), nanoseconds) })
}

/// Removes one file.
pub fn remove_file(path: &Path) -> Result<()> {
    std::fs::remove_file(path).at("cannot remove", path)
}

/// Replaces a file's content, whole or not at all; it keeps its permissions.
pub fn replace_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let mode = std::fs::metadata(path).at("cannot look at", path)?.permissions().mode() & 0o777;
    let folder = path.parent().unwrap_or(path);
    let mut file = tempfile::NamedTempFile::new_in(folder).at("cannot write", path)?;
    file.write_all(bytes).at("cannot write", path)?;
    file.as_file().set_permissions(Permissions::from_mode(mode)).at("cannot write", path)?;
    file.as_file().sync_all().at("cannot write", path)?;
    file.persist(path).map_err(|error| error.error).at("cannot write", path).map(drop)
}

/// Writes a new file that only its owner may read, whole or not at all; one that is there is an error.
pub fn write_new_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(path);
    // Made with mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(folder).at("cannot write", path)?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).at("cannot write", path)?;
    file.persist_noclobber(path).map_err(|error| error.error).at("cannot write", path).map(drop)
}
