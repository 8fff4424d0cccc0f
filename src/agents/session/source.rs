//! Where a reader's bytes come from.

use std::borrow::Cow;
use std::io::Read;

use rusqlite::Connection;

use super::super::words::SessionShape;
use crate::error::Result;

/// The files of the root that a session's file lies in, on a disk or in a snapshot: titles and
/// project folders often lie beside a session. Paths are relative to the root, parts joined by `/`.
pub trait RootFiles {
    /// Opens a file; `None` if there is none, or if it is no regular file.
    fn open(&self, relative: &[u8]) -> Result<Option<Box<dyn Read + '_>>>;
    /// Returns the names in a folder, ascending; none if there is no such folder.
    fn list(&self, relative: &[u8]) -> Result<Vec<Vec<u8>>>;
    /// Opens a database for reading; `None` if there is none, or if it can't be read now.
    fn database(&self, relative: &[u8]) -> Result<Option<Connection>>;
}

/// One file that holds sessions.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// How it is laid out.
    pub shape: SessionShape,
    /// Its root's path on the machine that it was saved on, absolute: sessions that their agent gives
    /// no id, and projects that are the folder a file lies in, are named by it.
    pub root: &'a [u8],
    /// Its path below its root; empty for a root that is a file.
    pub relative: &'a [u8],
    /// Its size in bytes.
    pub size: u64,
    /// The files around it.
    pub files: &'a dyn RootFiles,
}

impl Source<'_> {
    /// Returns the file's name; its root's for a root that is a file.
    pub(super) fn name(&self) -> &[u8] {
        let path = if self.relative.is_empty() { self.root } else { self.relative };
        path.rsplit(|it| *it == b'/').next().unwrap_or_default()
    }

    /// Returns the file's name up to its first ending of a data file, as text.
    pub(super) fn stem(&self) -> Cow<'_, str> {
        let mut name = self.name();
        for ending in [&b".zst"[..], b".jsonl", b".json"] {
            name = name.strip_suffix(ending).unwrap_or(name);
        }
        String::from_utf8_lossy(name)
    }

    /// Returns the path below the root of the folder that lies `levels` above the file; empty for the
    /// root itself, and where there are not as many.
    pub(super) fn folder(&self, levels: usize) -> &[u8] {
        let mut folder = self.relative;
        for _ in 0..=levels {
            let place = folder.iter().rposition(|it| *it == b'/').unwrap_or(0);
            folder = folder.get(..place).unwrap_or_default();
        }
        folder
    }

    /// Returns the path of a file in the folder that lies `levels` above this file.
    pub(super) fn beside(&self, levels: usize, name: &[u8]) -> Vec<u8> {
        let folder = self.folder(levels);
        let between: &[u8] = if folder.is_empty() { b"" } else { b"/" };
        [folder, between, name].concat()
    }
}
