//! Files that are unpacked for a moment, for this user alone.

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;

use super::places::make_private_folder;
use crate::error::{IoContext as _, Result};
use crate::files::sqlite::open_to_read;

/// Makes a folder (0700) that is removed when dropped.
pub(super) fn folder(parent: &Path) -> Result<TempDir> {
    make_private_folder(parent)?;
    tempfile::Builder::new()
        .prefix("copy-")
        .tempdir_in(parent)
        .at("cannot make a folder for a private copy in", parent)
}

/// Writes a new file (0600).
pub(super) fn write(path: &Path, content: &mut dyn Read) -> Result<()> {
    const DOING: &str = "cannot write the private copy";
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).at(DOING, path)?;
    std::io::copy(content, &mut file).map(|_bytes| ()).at(DOING, path)
}

/// Opens a database that was written so.
pub(super) fn open(path: &Path) -> Result<Connection> {
    open_to_read(path, Duration::ZERO)
}
