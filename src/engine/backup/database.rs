//! Databases: taken as of one moment between two commits, and known by their companions' metadata too.

use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

use super::is_file;
use super::producer::{Met, Producer};
use super::seen::Look;
use super::source::{Content, ReadContent};
use crate::error::{Error, Kind, Result, io_error};
use crate::event::Event;
use crate::files::sqlite::{
    Fingerprint, LAST_ATTEMPT, Method, TakeOptions, Taken, is_database, quick_check, take,
};
use crate::files::{Entry, ExcludeReason, Stat};
use crate::format::tree::{Capture, Node, NodeKind};
use crate::repository::page_memory::PageMemory;

/// How long to wait for a database's locks.
const PATIENCE: Duration = Duration::from_secs(2);
/// What a database keeps beside its file, and whether it is of use where the file is in doubt.
const COMPANIONS: [(&[u8], bool); 3] = [(b"-wal", true), (b"-journal", true), (b"-shm", false)];

/// What one attempt came to.
enum Attempt {
    Stored(bool),
    Again,
}

impl Producer<'_, '_> {
    /// Returns what to compare with what was seen: for what the parent knows as a database, its
    /// companions too.
    pub(super) fn look(&self, entry: &Entry, parent: Option<&Node>) -> Result<Look> {
        match parent {
            Some(node) if node.capture != Capture::None as u64 => {
                let print = Fingerprint::with(&entry.path, &entry.stat)?;
                Ok(Look::of_database(&print, self.backup.began))
            }
            _ => Ok(self.look_of(&entry.stat)),
        }
    }

    /// Returns what to compare for anything but a database.
    pub(super) fn look_of(&self, stat: &Stat) -> Look {
        Look::of_item(stat, self.backup.began)
    }

    /// Notes a database of the current directory, so that its companions are left out.
    pub(super) fn met_database(&mut self, node: &Node) {
        if node.capture != Capture::None as u64 {
            self.meet_database(&node.name, node.capture != Capture::Consistent as u64);
        }
    }

    /// Notes a database, so that what belongs to it is known.
    pub(super) fn meet_database(&mut self, name: &[u8], is_raw: bool) {
        if let Some(databases) = self.databases() {
            databases.push(Met { name: name.into(), is_raw });
        }
    }

    /// Returns whether an entry holds nothing that the copy of its database does not.
    pub(super) fn is_companion(&mut self, entry: &Entry) -> bool {
        if entry.stat.kind != NodeKind::File {
            return false;
        }
        let name = entry.name();
        let Some(databases) = self.databases().filter(|met| !met.is_empty()) else { return false };
        COMPANIONS.iter().any(|(ending, counts)| {
            let database = name.strip_suffix(*ending);
            database.is_some_and(|database| {
                databases.iter().any(|met| *met.name == *database && !(met.is_raw && *counts))
            })
        })
    }

    /// Leaves out what belongs to a database.
    pub(super) fn leave_companion_out(&mut self, entry: &Entry) {
        self.excluded(&entry.path, ExcludeReason::DatabaseLog, entry.stat.size);
    }

    /// Returns whether the file begins as a database does. What can't be read is told by the reading.
    ///
    /// The descriptor is closed before the database is taken: closing one later would drop the
    /// locks that this process then holds.
    pub(super) fn begins_as_database(entry: &Entry) -> bool {
        let mut head = [0; 16];
        entry
            .open()
            .is_ok_and(|(file, _)| file.read_exact_at(&mut head, 0).is_ok() && is_database(&head))
    }

    /// Takes a database and stores it; false if it could not be stored.
    pub(super) fn read_database(
        &mut self,
        entry: &Entry,
        hash: u64,
        parent: Option<&Node>,
    ) -> Result<bool> {
        for attempt in 0..=LAST_ATTEMPT {
            match self.try_database(entry, hash, parent, attempt)? {
                Attempt::Stored(stored) => return Ok(stored),
                Attempt::Again => {}
            }
        }
        Ok(false)
    }

    fn try_database(
        &mut self,
        entry: &Entry,
        hash: u64,
        parent: Option<&Node>,
        attempt: u32,
    ) -> Result<Attempt> {
        let options = TakeOptions {
            temporary_folder: &self.backup.options.temporary_folder,
            clock: self.backup.clock,
            patience: PATIENCE,
            attempt,
        };
        let begun = entry
            .read_node(&self.owners)
            .and_then(|node| take(&entry.path, &options).map(|taken| (node, taken)));
        let (mut node, taken) = match begun {
            Ok(begun) => begun,
            Err(error) => return Ok(self.give_up(&entry.path, &error)),
        };
        let old = parent
            .filter(|node| is_file(node) && !self.backup.has_gaps)
            .map(|node| self.parent.content(node));
        let state = self.backup.repository.state();
        let memory = state
            .filter(|_| self.backup.repository.store().is_remote())
            .and_then(|state| PageMemory::open(state, hash));
        let read = match self.reader.read_image(taken.image(), old, memory) {
            Ok(read) => read?,
            Err(error) => {
                let error = io_error("cannot read", &entry.path, error);
                return Ok(self.give_up(&entry.path, &error));
            }
        };
        let problems = self.look_through(&taken, hash);
        let doubt = taken.doubt().map(ToOwned::to_owned);
        let print = taken.fingerprint().copied();
        if let Some(print) = &print {
            node.mtime = node.mtime.max(print.newest_write());
        }
        let notes = self.observe_taken(&entry.path, &taken, node.mtime);
        match finish(taken, &read, attempt) {
            Ok(true) => {}
            Ok(false) => {
                if let Content::Chunks(file, _) = read.content {
                    self.reader.abandon(file);
                }
                return Ok(Attempt::Again);
            }
            Err(error) => return Ok(self.give_up(&entry.path, &error)),
        }
        self.tell_health(entry, hash, problems);
        node.capture = if doubt.is_some() { Capture::Raw } else { Capture::Consistent } as u64;
        match doubt {
            Some(doubt) => self.failed(&entry.path, &in_doubt(&entry.path, &doubt)),
            None => {
                if let Some(print) = &print {
                    let look = Look::of_database(print, self.backup.began);
                    self.walked.seen.now.enter(hash, &look);
                }
            }
        }
        self.met_database(&node);
        let (size, mtime) = (read.size, node.mtime);
        self.store_node(entry, node, &entry.stat, read, hash, parent.cloned())?;
        self.note_database(&entry.path, size, mtime, notes);
        Ok(Attempt::Stored(true))
    }

    /// Has SQLite look through the copy, if that is due; returns what is wrong with it.
    fn look_through(&mut self, taken: &Taken, hash: u64) -> Option<Result<Vec<String>>> {
        let interval = self.backup.options.check_databases_after?;
        if taken.method() == Method::Raw {
            return None;
        }
        let verdict = self.walked.health.meet(hash, self.backup.began);
        verdict
            .is_due(self.backup.began, interval)
            .then(|| quick_check(taken, &self.backup.options.temporary_folder))
    }

    fn tell_health(&mut self, entry: &Entry, hash: u64, problems: Option<Result<Vec<String>>>) {
        let problems = match problems {
            None => return,
            Some(Ok(problems)) => problems,
            Some(Err(error)) => {
                let message = format!("{error}; the database is saved all the same");
                self.backup.reporter.event(&Event::Warning { message: &message });
                return;
            }
        };
        self.walked.health.enter(hash, self.backup.began, problems.is_empty());
        if let Some(first) = problems.first() {
            let error = Error::failed(format!("this database is damaged: {first}"))
                .object(shown(&entry.path))
                .hint(self.last_sound(hash));
            self.failed(&entry.path, &error);
        }
    }

    /// Says again that a database which has not changed was found damaged.
    pub(super) fn remind_of_damage(&self, entry: &Entry, hash: u64, node: &Node) {
        let verdict = self.walked.health.find(hash);
        if node.capture != Capture::None as u64 && verdict.is_some_and(|verdict| verdict.is_damaged)
        {
            let path = shown(&entry.path);
            let message = format!("`{path}` was found damaged; {}", self.last_sound(hash));
            self.backup.reporter.event(&Event::Warning { message: &message });
        }
    }

    /// Names the last version that passed.
    fn last_sound(&self, hash: u64) -> String {
        let sound = self.walked.health.find(hash).and_then(|verdict| verdict.sound);
        match sound {
            Some(time) => format!(
                "it is saved as it is; the last version known to be sound is that of {}: \
                 `stash restore --at` that time brings it back",
                time.to_rfc3339()
            ),
            None => "it is saved as it is; no version of it is known to be sound".to_owned(),
        }
    }

    fn give_up(&mut self, path: &Path, error: &Error) -> Attempt {
        self.item_failed(path, error);
        Attempt::Stored(false)
    }
}

/// Returns whether what was read counts.
fn finish(taken: Taken, read: &ReadContent, attempt: u32) -> Result<bool> {
    let is_whole = read.size == taken.image().length_bytes();
    match taken.finish() {
        Ok(()) => Ok(is_whole || attempt >= LAST_ATTEMPT),
        Err(error) if error.kind() == Kind::Busy && attempt < LAST_ATTEMPT => Ok(false),
        Err(error) => Err(error),
    }
}

fn shown(path: &Path) -> String {
    String::from_utf8_lossy(path.as_os_str().as_bytes()).into_owned()
}

fn in_doubt(path: &Path, doubt: &str) -> Error {
    Error::failed(format!("this database could not be read as of one moment: {doubt}"))
        .object(shown(path))
        .hint("it is saved as it lies there, with its log; run the backup when nobody writes to it")
}
