//! A connection that reads what an image holds, for who wants rows rather than bytes.
//!
//! Where the image lies under a read transaction, that transaction is asked. A private copy, and a
//! file that is not written to while it is read, are opened without locks and leave nothing beside
//! them; whether the file held still is known when [`Taken::finish`] says so. What lies in memory or
//! has a log laid over it is written to a private folder first, and removed again.

use std::ops::Deref;
use std::path::Path;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::connect::open_immutable;
use super::image::PRIVATE_NAME;
use super::place::private_folder;
use super::{Method, Taken};
use crate::error::{Error, IoContext as _, Result};

/// An image is written to a private folder up to this length, in bytes.
const COPIED_BYTES: u64 = 256 << 20;

/// A connection to what was taken. Give it back before [`Taken::finish`].
pub struct Held<'t> {
    connection: Source<'t>,
    /// A private copy; goes after the connection.
    _folder: Option<tempfile::TempDir>,
}

enum Source<'t> {
    Transaction(&'t Connection),
    Own(Connection),
}

impl Deref for Held<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        match &self.connection {
            Source::Transaction(connection) => connection,
            Source::Own(connection) => connection,
        }
    }
}

impl Taken {
    /// Returns a connection that reads exactly what the image holds; `None` if this way of taking
    /// has none: what is raw, a log of other transactions than the one that is held, a copy that
    /// would be larger than 256 MiB.
    ///
    /// What is read is void if [`Taken::finish`] fails. Private copies are made below
    /// `temporary_folder`.
    pub fn connection(&self, temporary_folder: &Path) -> Result<Option<Held<'_>>> {
        if let Some(connection) = self.connection.as_ref().filter(|_| self.is_exact) {
            distrust(connection)
                .map_err(|error| Error::failed("cannot read the database").source(error))?;
            return Ok(Some(Held { connection: Source::Transaction(connection), _folder: None }));
        }
        if let Some(path) = self.image.private_path() {
            return open(&path, None).map(Some);
        }
        match (self.method, &self.place) {
            (Method::Immutable | Method::Watched, Some(place)) => {
                open(&place.database, None).map(Some)
            }
            (Method::Shared | Method::StablePair, _)
                if self.image.length_bytes() <= COPIED_BYTES =>
            {
                let folder = private_folder(temporary_folder)?;
                let path = folder.path().join(PRIVATE_NAME);
                self.image.copy_to(&path).at("cannot write", &path)?;
                open(&path, Some(folder)).map(Some)
            }
            _ => Ok(None),
        }
    }
}

/// The schema is another's: nothing in it is run but what is asked for.
fn distrust(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    Ok(())
}

fn open(path: &Path, folder: Option<tempfile::TempDir>) -> Result<Held<'static>> {
    let connection = open_immutable(path)
        .and_then(|connection| distrust(&connection).map(|()| connection))
        .map_err(|error| {
            Error::failed("cannot open").object(path.display().to_string()).source(error)
        })?;
    Ok(Held { connection: Source::Own(connection), _folder: folder })
}
