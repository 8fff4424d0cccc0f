//! The files of an agent's root on this machine's disk, as readers of sessions ask for them.
#![expect(clippy::disallowed_methods, reason = "reads the files around a session")]

use std::ffi::OsStr;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;

use crate::agents::session::RootFiles;
use crate::error::{IoContext as _, Result};
use crate::files::sqlite::open_to_read;

/// Readers take a title from a database beside a session only if it is to be had at once.
const PATIENCE: Duration = Duration::from_millis(200);
/// No folder of sessions holds more names than are looked at.
const MOST_NAMES: usize = 1 << 20;

/// A root on the disk.
#[derive(Debug, Clone)]
pub(super) struct DiskFiles {
    root: PathBuf,
}

impl DiskFiles {
    pub(super) fn new(root: &Path) -> DiskFiles {
        DiskFiles { root: root.to_owned() }
    }

    /// Returns where a file below the root lies; an empty path is the root itself.
    pub(super) fn path(&self, relative: &[u8]) -> PathBuf {
        if relative.is_empty() {
            return self.root.clone();
        }
        self.root.join(OsStr::from_bytes(relative))
    }
}

impl RootFiles for DiskFiles {
    fn open(&self, relative: &[u8]) -> Result<Option<Box<dyn Read + '_>>> {
        let path = self.path(relative);
        // A pipe would wait for somebody who writes.
        if !std::fs::metadata(&path).is_ok_and(|found| found.is_file()) {
            return Ok(None);
        }
        match File::open(&path) {
            Ok(file) => Ok(Some(Box::new(file))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).at("cannot open the file", &path),
        }
    }

    fn list(&self, relative: &[u8]) -> Result<Vec<Vec<u8>>> {
        let entries = std::fs::read_dir(self.path(relative)).into_iter().flatten().flatten();
        let mut names: Vec<Vec<u8>> =
            entries.take(MOST_NAMES).map(|entry| entry.file_name().into_vec()).collect();
        names.sort_unstable();
        Ok(names)
    }

    fn database(&self, relative: &[u8]) -> Result<Option<Connection>> {
        let path = self.path(relative);
        if !path.is_file() {
            return Ok(None);
        }
        Ok(open_to_read(&path, PATIENCE).ok())
    }
}
