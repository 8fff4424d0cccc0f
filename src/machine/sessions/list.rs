//! One list of all sessions: those that are saved, of all machines, and those that only lie here.

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt as _;

use super::local::LocalFile;
use super::saved::SavedSession;
use crate::format::session::SessionEntry;
use crate::id::SnapshotId;
use crate::time::Timestamp;

/// Where a session is to be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionState {
    /// On this machine, and saved as it is.
    Saved,
    /// On this machine, and changed since it was saved.
    Changed,
    /// On this machine, and not saved.
    Unsaved,
    /// Saved, and no more where it was, on whichever machine that is.
    Deleted,
    /// Saved by another machine, which had it then.
    Elsewhere,
}

impl SessionState {
    /// Returns the word for it.
    pub fn name(self) -> &'static str {
        match self {
            SessionState::Saved => "saved",
            SessionState::Changed => "changed",
            SessionState::Unsaved => "not saved",
            SessionState::Deleted => "deleted",
            SessionState::Elsewhere => "elsewhere",
        }
    }
}

/// One session of the list.
#[derive(Debug, Clone)]
pub struct SessionRow {
    /// The machine that it is of.
    pub host: String,
    /// The agent's id.
    pub agent: String,
    /// The session's id.
    pub id: String,
    /// What is known of it.
    pub entry: SessionEntry,
    /// Where it is.
    pub state: SessionState,
    /// Which of the agent's roots it lies in.
    pub label: String,
    /// Where that root lies, or lay, absolute.
    pub place: Vec<u8>,
    /// The path below it of the file that holds the session.
    pub relative: Vec<u8>,
    /// The newest snapshot with it.
    pub snapshot: Option<SnapshotId>,
    /// The file on this machine that holds it.
    pub local: Option<LocalFile>,
}

impl SessionRow {
    /// Returns when its agent will delete it (nanoseconds, UTC).
    pub fn expires(&self) -> Option<i64> {
        self.local.as_ref().and_then(|file| file.expires)
    }

    /// Returns the moment by which lists are sorted.
    pub fn last(&self) -> Timestamp {
        Timestamp(self.entry.last.or(self.entry.started).unwrap_or(0))
    }
}

/// Joins what is saved with what lies here, newest first. Files that are new or have changed since they
/// were saved are read; one that can't be is given to `failed`.
pub fn list_sessions(
    saved: Vec<SavedSession>,
    local: Vec<LocalFile>,
    host: &str,
    mut failed: impl FnMut(&LocalFile, crate::error::Error),
) -> Vec<SessionRow> {
    let mut here: HashMap<(String, Vec<u8>), (LocalFile, Option<Timestamp>)> = HashMap::new();
    for file in local {
        here.insert((file.agent.clone(), absolute(&file)), (file, None));
    }
    let mut rows: Vec<SessionRow> = Vec::new();
    for session in saved {
        let key = (session.agent.clone(), joined(&session.place, &session.relative));
        let file = here.get_mut(&key).filter(|_| session.host == host);
        if let Some((_, saved)) = file {
            *saved = Some(session.saved);
        }
        let local = here.get(&key).filter(|_| session.host == host).map(|(file, _)| file.clone());
        let state = match (&local, session.entry.gone) {
            (_, Some(_)) => SessionState::Deleted,
            (None, None) if session.host == host => SessionState::Deleted,
            (None, None) => SessionState::Elsewhere,
            (Some(_), None) => SessionState::Saved,
        };
        let local = local.filter(|_| state == SessionState::Saved);
        rows.push(row_of(session, state, local));
    }
    // The rows of each file here, so that no file looks through all of them.
    let mut of_files: HashMap<(String, Vec<u8>), Vec<usize>> = HashMap::new();
    for (place, row) in rows.iter().enumerate().filter(|(_, row)| row.host == host) {
        let path = joined(&row.place, &row.relative);
        of_files.entry((row.agent.clone(), path)).or_default().push(place);
    }
    for (key, (file, saved)) in here {
        if saved.is_some_and(|saved| file.mtime <= saved.0) {
            continue;
        }
        let places = of_files.remove(&key).unwrap_or_default();
        match file.sessions() {
            Ok(sessions) => join(&mut rows, &places, &file, sessions, host),
            Err(error) => failed(&file, error),
        }
    }
    without_doubles(&mut rows);
    rows.sort_by(|one, other| {
        let key = |row: &SessionRow| (std::cmp::Reverse(row.last()), row.agent.clone());
        key(one).cmp(&key(other)).then_with(|| one.id.cmp(&other.id))
    });
    rows
}

/// Keeps one row of each session of a machine: agents have some of them in two forms, an old and a new one,
/// or here and in an archive. What is there counts before what is gone, then what is longer.
fn without_doubles(rows: &mut Vec<SessionRow>) {
    let rank = |row: &SessionRow| (row.local.is_some(), row.entry.gone.is_none(), row.entry.turns);
    rows.sort_by(|one, other| {
        let key = |row: &SessionRow| (row.host.clone(), row.agent.clone(), row.id.clone());
        key(one)
            .cmp(&key(other))
            .then_with(|| rank(other).cmp(&rank(one)))
            .then_with(|| other.entry.bytes.cmp(&one.entry.bytes))
    });
    rows.dedup_by(|later, kept| {
        let is_same = later.id == kept.id && later.agent == kept.agent && later.host == kept.host;
        if is_same && kept.snapshot.is_none() && later.snapshot.is_some() {
            // It lies elsewhere now than where it was saved.
            kept.snapshot = later.snapshot;
            kept.label = std::mem::take(&mut later.label);
            kept.place = std::mem::take(&mut later.place);
            kept.relative = std::mem::take(&mut later.relative);
            kept.state = SessionState::Changed;
        }
        is_same
    });
}

fn row_of(session: SavedSession, state: SessionState, local: Option<LocalFile>) -> SessionRow {
    SessionRow {
        host: session.host,
        agent: session.agent,
        id: session.id,
        entry: session.entry,
        state,
        label: session.label,
        place: session.place,
        relative: session.relative,
        snapshot: Some(session.snapshot),
        local,
    }
}

/// Brings in what a file that is newer than its backup holds; `places` are those of its rows.
fn join(
    rows: &mut Vec<SessionRow>,
    places: &[usize],
    file: &LocalFile,
    sessions: Vec<(String, SessionEntry)>,
    host: &str,
) {
    let row_at = |place: &usize| rows.get(*place).map(|row| (row.id.clone(), *place));
    let mut known: HashMap<String, usize> = places.iter().filter_map(row_at).collect();
    for (id, entry) in sessions {
        match known.remove(&id).and_then(|place| rows.get_mut(place)) {
            Some(row) => {
                // Notes of a backup say where it lies; what is read now does not.
                let before = SessionEntry { gone: None, flags: entry.flags, ..row.entry.clone() };
                let is_same = before == entry;
                row.state = if is_same { SessionState::Saved } else { SessionState::Changed };
                row.entry = entry;
                row.local = Some(file.clone());
            }
            None => rows.push(SessionRow {
                host: host.to_owned(),
                agent: file.agent.clone(),
                id,
                entry,
                state: SessionState::Unsaved,
                label: file.label.clone(),
                place: file.place.as_os_str().as_bytes().to_vec(),
                relative: file.relative.clone(),
                snapshot: None,
                local: Some(file.clone()),
            }),
        }
    }
    // What the file held when it was saved, and holds no more.
    for place in known.into_values() {
        if let Some(row) = rows.get_mut(place) {
            row.state = SessionState::Deleted;
            row.local = None;
        }
    }
}

fn absolute(file: &LocalFile) -> Vec<u8> {
    joined(file.place.as_os_str().as_bytes(), &file.relative)
}

fn joined(place: &[u8], relative: &[u8]) -> Vec<u8> {
    if relative.is_empty() { place.to_vec() } else { [place, b"/", relative].concat() }
}
