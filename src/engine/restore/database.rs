//! Databases put back: never under a process that has one open, and never beside an old log.
//!
//! A log or journal that is older than the database beside it would be carried into it at the next
//! opening. It goes right before the restored file gets its name; where the snapshot has a log of
//! its own (a database that could only be saved as it lay there), it goes before that is written.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use crate::error::{Error, Kind, Result};
use crate::files::TargetDir;
use crate::files::sqlite::{find_holder, has_companions, integrity_check, remove_companions};
use crate::format::tree::{Capture, Node, NodeKind};

/// Where a database goes.
pub(super) struct DatabasePlace {
    path: PathBuf,
    is_raw: bool,
}

impl DatabasePlace {
    /// `None` for what is no database.
    pub(super) fn of(node: &Node, directory: &TargetDir) -> Option<DatabasePlace> {
        let is_database = node.kind == NodeKind::File && node.capture != Capture::None as u64;
        is_database.then(|| DatabasePlace {
            path: directory.path().join(OsStr::from_bytes(&node.name)),
            is_raw: node.capture != Capture::Consistent as u64,
        })
    }

    /// Returns whether a log stands beside it, so that the file alone says nothing.
    pub(super) fn has_companions(&self) -> Result<bool> {
        has_companions(&self.path)
    }

    /// Fails if another process has the database open.
    pub(super) fn refuse_holder(&self) -> Result<()> {
        let Some(holder) = find_holder(&self.path)? else { return Ok(()) };
        let who = holder.pid.map_or_else(|| "a process".to_owned(), |pid| format!("process {pid}"));
        Err(Error::new(Kind::Busy, format!("{who} has this database open"))
            .object(self.path.display().to_string())
            .hint("end that program and restore again, or restore elsewhere with `--target`"))
    }

    /// Prepares the place before anything of it is written.
    pub(super) fn begin(&self) -> Result<()> {
        self.refuse_holder()?;
        if self.is_raw {
            remove_companions(&self.path)?;
        }
        Ok(())
    }

    /// Prepares the place right before the file gets its name.
    pub(super) fn clear(&self) -> Result<()> {
        self.refuse_holder()?;
        if !self.is_raw {
            remove_companions(&self.path)?;
        }
        Ok(())
    }

    /// Has SQLite look through the restored database. One saved as it lay there is told apart when
    /// it is saved.
    pub(super) fn verify(&self) -> Result<()> {
        let problems = if self.is_raw { Vec::new() } else { integrity_check(&self.path)? };
        let Some(first) = problems.first() else { return Ok(()) };
        let more = problems.len().saturating_sub(1);
        let more = if more == 0 { String::new() } else { format!(" (and {more} more)") };
        Err(Error::failed(format!("the database fails its integrity check: {first}{more}"))
            .object(self.path.display().to_string())
            .hint("it was so when it was saved; `stash history` lists its other versions"))
    }
}
