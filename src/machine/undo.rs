//! What can be undone: each restore into an agent's folders, with the snapshot taken before it.
//!
//! A list of the last ones in the state folder, the newest at the end. It names files, never their
//! content, and is private like everything there.
#![expect(clippy::disallowed_methods, reason = "the list lies in the state folder")]

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::places::{Places, make_private_folder};
use crate::error::{Error, IoContext as _, Result};
use crate::id::{RepositoryId, SnapshotId};

/// So many are kept.
const KEPT: usize = 50;
/// The list is never longer than this, in bytes.
const LONGEST: u64 = 64 << 20;

/// One restore that can be undone.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct Undoable {
    /// When it was done (nanoseconds, UTC).
    pub time: i64,
    /// The repository with the snapshot.
    pub repository: String,
    /// The snapshot taken before it, as it was then.
    pub before: String,
    /// The agent.
    pub agent: String,
    /// What was done, for people.
    pub what: String,
    /// Files that it made, with their sizes and times of modification (seconds and nanoseconds).
    pub made: Vec<MadeFile>,
}

/// A file that a restore made.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct MadeFile {
    /// Where it lies; only names that are UTF-8 are remembered, others stay.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// When it was modified.
    pub mtime: (i64, u32),
}

impl Undoable {
    /// Returns whether its snapshot lies in this repository.
    pub fn is_in(&self, repository: RepositoryId) -> bool {
        self.repository == repository.to_string()
    }

    /// Returns whether this is its snapshot.
    pub fn is_before(&self, snapshot: &SnapshotId) -> bool {
        self.before == snapshot.to_string()
    }
}

fn file(places: &Places) -> PathBuf {
    places.state.join("undo.json")
}

/// Returns what can be undone, the newest last. A list that can't be read is an error.
pub fn undoables(places: &Places) -> Result<Vec<Undoable>> {
    let file = file(places);
    match std::fs::metadata(&file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Ok(found) if found.len() > LONGEST => {
            return Err(Error::failed("this list is longer than any that is written:")
                .object(file.display().to_string()));
        }
        found => {
            found.at("cannot look at", &file)?;
        }
    }
    let text = std::fs::read(&file).at("cannot read", &file)?;
    serde_json::from_slice(&text).map_err(|error| {
        Error::failed("cannot read what can be undone from")
            .object(file.display().to_string())
            .source(error)
            .hint("`stash snapshots` still lists the snapshots; remove the file to begin anew")
    })
}

/// Remembers one more.
pub fn remember_undoable(places: &Places, undoable: Undoable) -> Result<()> {
    let mut list = undoables(places)?;
    list.push(undoable);
    let surplus = list.len().saturating_sub(KEPT);
    list.drain(..surplus);
    make_private_folder(&places.state)?;
    let text = serde_json::to_vec(&list)
        .map_err(|error| Error::failed("cannot write what can be undone").source(error))?;
    write_private(&file(places), &text)
}

/// Writes a file that only its owner may read, whole or not at all.
fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    use std::io::Write as _;
    let folder = path.parent().unwrap_or(path);
    // Made with mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(folder).at("cannot write", path)?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).at("cannot write", path)?;
    file.persist(path).map_err(|error| error.error).at("cannot write", path).map(drop)
}
