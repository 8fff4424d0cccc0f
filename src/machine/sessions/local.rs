//! The files on this machine that hold sessions now.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::DiskFiles;
use super::outline::{entry_of, of_database, of_file};
use crate::agents::session::{RootFiles as _, Source};
use crate::agents::{SessionShape, SessionStore};
use crate::engine::backup::{AgentSource, AgentSources};
use crate::error::Result;
use crate::files::{Step, Walk};
use crate::format::session::SessionEntry;
use crate::format::tree::NodeKind;
use crate::machine::FoundAgent;
use crate::machine::doctor::purge_days;
use crate::time::{SECOND, Timestamp};

const DAY: i64 = 24 * 3600 * SECOND;
/// So far ahead is looked.
const AHEAD: i64 = 3 * DAY;

/// A file that holds sessions.
#[derive(Debug, Clone)]
pub struct LocalFile {
    /// The agent's id.
    pub agent: String,
    /// Which of the agent's roots it lies in.
    pub label: String,
    /// Where that root lies.
    pub place: PathBuf,
    /// Its path below the root.
    pub relative: Vec<u8>,
    /// How it is laid out.
    pub shape: SessionShape,
    /// Its size in bytes.
    pub size: u64,
    /// When it was last changed (nanoseconds, UTC); of a database, it or its log.
    pub mtime: i64,
    /// When its agent will delete it (nanoseconds, UTC), if it does so by the file's time.
    pub expires: Option<i64>,
}

/// Finds the files of agents that hold sessions. No file is read.
pub fn local_files(agents: &[&FoundAgent], sources: &AgentSources) -> Vec<LocalFile> {
    let mut files = Vec::new();
    for found in agents {
        let sessions = found.agent.session_files();
        for source in sources.roots.iter().filter(|it| it.agent == found.agent.id) {
            let days = purge_days(found, source).and_then(|days| i64::try_from(days).ok());
            let label = found.agent.declared_label(&source.label);
            let stores = found.agent.sessions.iter().filter(|store| {
                store.shape != SessionShape::Opaque
                    && label.is_some_and(|label| store.roots.iter().any(|it| it == label))
            });
            for folder in begins(stores) {
                let place = source.place.join(OsStr::from_bytes(&folder));
                for file in below(found, source, &place) {
                    let Some(store) = sessions.find(&source.label, &file.relative) else {
                        continue;
                    };
                    let expires =
                        days.map(|days| file.mtime.saturating_add(days.saturating_mul(DAY)));
                    files.push(LocalFile { shape: store.shape, expires, ..file });
                }
            }
        }
    }
    files.retain(|file| file.shape != SessionShape::Opaque);
    files
}

/// Returns the folders below a root in which a store's files lie, none within another: the patterns'
/// beginnings without wildcards.
fn begins<'s>(stores: impl Iterator<Item = &'s SessionStore>) -> Vec<Vec<u8>> {
    let mut folders: Vec<Vec<u8>> = Vec::new();
    for store in stores {
        if store.globs.is_empty() {
            folders.push(Vec::new());
        }
        for glob in &store.globs {
            let plain = glob.find(['*', '?', '[', '{']).unwrap_or(glob.len());
            let plain = glob.get(..plain).unwrap_or_default();
            let folder = plain.rsplit_once('/').map_or("", |(folder, _)| folder);
            folders.push(folder.as_bytes().to_vec());
        }
    }
    folders.sort_unstable();
    folders.dedup();
    let whole = folders.clone();
    folders.retain(|folder| {
        !whole.iter().any(|other| {
            other != folder
                && (other.is_empty() || folder.starts_with(&[other.as_slice(), b"/"].concat()))
        })
    });
    folders
}

/// Returns the files at or below a place, of a shape yet to be found.
fn below(found: &FoundAgent, source: &AgentSource, place: &Path) -> Vec<LocalFile> {
    let mut files: Vec<LocalFile> = Vec::new();
    let mut logs: HashMap<Vec<u8>, i64> = HashMap::new();
    for step in Walk::start(place, Arc::clone(&source.excludes), 1) {
        let Step::Entry(entry) = step else { continue };
        if entry.stat.kind != NodeKind::File {
            continue;
        }
        let relative = entry.path.strip_prefix(&source.place).unwrap_or(Path::new(""));
        let relative = relative.as_os_str().as_bytes().to_vec();
        let time = entry.stat.mtime;
        let mtime = time.0.saturating_mul(SECOND).saturating_add(i64::from(time.1));
        if let Some(database) = relative.strip_suffix(b"-wal") {
            logs.insert(database.to_vec(), mtime);
        }
        files.push(LocalFile {
            agent: found.agent.id.clone(),
            label: source.label.clone(),
            place: source.place.clone(),
            relative,
            shape: SessionShape::Opaque,
            size: entry.stat.size,
            mtime,
            expires: None,
        });
    }
    for file in &mut files {
        if let Some(log) = logs.get(&file.relative) {
            file.mtime = file.mtime.max(*log);
        }
    }
    files
}

impl LocalFile {
    /// Returns whether its agent will delete the file within three days.
    pub fn is_expiring(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|moment| moment <= now.0.saturating_add(AHEAD))
    }

    /// Reads which sessions the file holds; each with its id.
    pub fn sessions(&self) -> Result<Vec<(String, SessionEntry)>> {
        let files = DiskFiles::new(&self.place);
        let source = self.source(&files);
        let sessions = if self.shape.is_database() {
            match files.database(&self.relative)? {
                Some(connection) => {
                    of_database(&source, &connection, &std::collections::BTreeMap::new())?.changed
                }
                None => Vec::new(),
            }
        } else {
            match files.open(&self.relative)? {
                Some(mut input) => of_file(&source, &mut input)?,
                None => Vec::new(),
            }
        };
        let entry = |it: crate::agents::session::Session| {
            let entry = entry_of(&it, self.mtime);
            (it.id, entry)
        };
        Ok(sessions.into_iter().map(entry).collect())
    }

    /// Returns what a reader is told of the file.
    pub(super) fn source<'f>(&'f self, files: &'f DiskFiles) -> Source<'f> {
        Source {
            shape: self.shape,
            root: self.place.as_os_str().as_bytes(),
            relative: &self.relative,
            size: self.size,
            files,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::agents::Catalog;

    #[test]
    fn only_the_folders_that_can_hold_sessions_are_walked() {
        let catalog = Catalog::builtin().unwrap();
        let folders = |id: &str| {
            let agent = catalog.find(id).unwrap();
            let folders = super::begins(agent.sessions.iter());
            folders.into_iter().map(|it| String::from_utf8(it).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(folders("claude-code"), ["projects"]);
        assert_eq!(folders("codex"), ["archived_sessions", "sessions"]);
        assert_eq!(folders("opencode"), [""]);
    }
}
