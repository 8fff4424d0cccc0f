//! What a backup notes of sessions while it saves them.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;

use super::disk::DiskFiles;
use super::outline::{entry_of, of_database, of_file};
use crate::agents::session::{Session, Source};
use crate::agents::{Agent, SessionFiles, SessionShape};
use crate::engine::backup::{ObservedContent, ObservedEntry, ObservedFile, Observer};
use crate::error::Result;
use crate::files::sqlite::open_to_read;
use crate::format::session::{KIND, SESSION_OF_MANY, SessionEntry};
use crate::format::tree::FileTime;
use crate::time::SECOND;

/// For a database whose image was not taken under a transaction.
const PATIENCE: Duration = Duration::from_secs(2);

/// Notes the sessions of agents. See [`Observer`].
pub struct SessionObserver {
    agents: Vec<SessionFiles<Arc<Agent>>>,
}

impl SessionObserver {
    /// Makes one for agents.
    pub fn new(agents: impl IntoIterator<Item = Arc<Agent>>) -> SessionObserver {
        SessionObserver { agents: agents.into_iter().map(SessionFiles::of).collect() }
    }

    fn shape(&self, agent: &str, label: &str, relative: &[u8]) -> Option<SessionShape> {
        let files = self.agents.iter().find(|files| files.agent().id == agent)?;
        let store = files.find(label, relative)?;
        Some(store.shape).filter(|shape| *shape != SessionShape::Opaque)
    }
}

impl Observer for SessionObserver {
    fn kind(&self) -> &str {
        KIND
    }

    fn wants(&self, agent: &str, label: &str, path: &[u8]) -> bool {
        self.shape(agent, label, path).is_some()
    }

    fn observe(
        &self,
        file: &mut ObservedFile<'_>,
        before: &[ObservedEntry],
    ) -> Result<Vec<ObservedEntry>> {
        let Some(shape) = self.shape(file.agent, file.label, file.relative) else {
            return Ok(Vec::new());
        };
        let root = root_of(file.path, file.relative);
        let files = DiskFiles::new(root);
        let source = Source {
            shape,
            root: root.as_os_str().as_bytes(),
            relative: file.relative,
            size: file.size_bytes,
            files: &files,
        };
        let mtime = nanoseconds(file.mtime);
        let sessions = match &mut file.content {
            ObservedContent::Bytes(bytes) => of_file(&source, bytes)?,
            ObservedContent::Database(Some(connection)) => {
                return database_entries(&source, connection, before, mtime);
            }
            ObservedContent::Database(None) => {
                let connection = open_to_read(file.path, PATIENCE)?;
                return database_entries(&source, &connection, before, mtime);
            }
        };
        if shape.holds_many() {
            return Ok(with_vanished(&sessions, &HashSet::new(), &decoded(before), mtime));
        }
        let entries =
            sessions.iter().map(|session| observed(&session.id, &entry_of(session, mtime)));
        Ok(without_doubles(entries.collect()))
    }

    fn vanished(&self, before: Vec<ObservedEntry>, since: i64) -> Result<Vec<ObservedEntry>> {
        Ok(before.into_iter().map(|entry| gone_since(entry, since)).collect())
    }
}

/// Returns the folder, or file, that a file's relative path starts from.
fn root_of<'p>(path: &'p Path, relative: &[u8]) -> &'p Path {
    let whole = path.as_os_str().as_bytes();
    let root = whole.strip_suffix(relative).unwrap_or(whole);
    let root = if root.len() > 1 { root.strip_suffix(b"/").unwrap_or(root) } else { root };
    Path::new(OsStr::from_bytes(root))
}

/// What the parent has of a file of many sessions, by their ids.
type Before<'b> = BTreeMap<String, (&'b ObservedEntry, SessionEntry)>;

fn decoded(before: &[ObservedEntry]) -> Before<'_> {
    let entry = |entry: &'_ ObservedEntry| SessionEntry::decode(&entry.value).ok();
    let id = |entry: &ObservedEntry| String::from_utf8(entry.suffix.clone()).ok();
    before.iter().filter_map(|it| Some((id(it)?, (it, entry(it)?)))).collect()
}

/// Returns the entries of a database: those of sessions that are as they were stay.
fn database_entries(
    source: &Source<'_>,
    connection: &Connection,
    before: &[ObservedEntry],
    mtime: i64,
) -> Result<Vec<ObservedEntry>> {
    let before = decoded(before);
    let there = before.iter().filter(|(_, (_, entry))| entry.gone.is_none());
    let revisions = there.map(|(id, (_, entry))| (id.clone(), entry.revision)).collect();
    let outline = of_database(source, connection, &revisions)?;
    let same = outline.same.iter().map(String::as_str).collect();
    Ok(with_vanished(&outline.changed, &same, &before, mtime))
}

/// Returns the entries of a file of many sessions. Those of sessions that it holds no more are marked:
/// older snapshots have them.
fn with_vanished(
    sessions: &[Session],
    same: &HashSet<&str>,
    before: &Before<'_>,
    mtime: i64,
) -> Vec<ObservedEntry> {
    let told: HashSet<&str> = sessions.iter().map(|session| session.id.as_str()).collect();
    let entry = |session: &Session| {
        let mut entry = entry_of(session, mtime);
        entry.flags |= SESSION_OF_MANY;
        observed(&session.id, &entry)
    };
    let mut entries: Vec<ObservedEntry> = sessions.iter().map(entry).collect();
    for (id, (kept, _)) in before {
        if same.contains(id.as_str()) {
            entries.push((*kept).clone());
        } else if !told.contains(id.as_str()) {
            entries.push(gone_since((*kept).clone(), mtime));
        }
    }
    without_doubles(entries)
}

/// Returns a file's time as nanoseconds; one that does not fit is the last that does.
fn nanoseconds(time: FileTime) -> i64 {
    time.0.saturating_mul(SECOND).saturating_add(i64::from(time.1))
}

fn observed(id: &str, entry: &SessionEntry) -> ObservedEntry {
    // A suffix has a bound; nobody's ids come near it.
    let id = id.get(..id.floor_char_boundary(512)).unwrap_or_default();
    ObservedEntry { suffix: id.as_bytes().to_vec(), value: entry.encode() }
}

/// Marks an entry, unless it is marked already or was made by a later version.
fn gone_since(mut entry: ObservedEntry, since: i64) -> ObservedEntry {
    if let Ok(mut session) = SessionEntry::decode(&entry.value)
        && session.gone.is_none()
    {
        session.gone = Some(since);
        entry.value = session.encode();
    }
    entry
}

/// Two sessions of one file may have one id, if somebody copied lines: the one that comes last counts.
fn without_doubles(entries: Vec<ObservedEntry>) -> Vec<ObservedEntry> {
    let by_id: BTreeMap<Vec<u8>, Vec<u8>> =
        entries.into_iter().map(|entry| (entry.suffix, entry.value)).collect();
    by_id.into_iter().map(|(suffix, value)| ObservedEntry { suffix, value }).collect()
}
