//! Where a reader's bytes come from.

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
