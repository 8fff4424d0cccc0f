//! What this machine remembers beside the cache: its lane, and packs that no record names yet.
//!
//! Nothing here is believed: a lane that is not as remembered is left for a new one, and a pack of
//! the journal counts only after its own footer has been read. Losing the folder costs work, never
//! data.

#![expect(clippy::disallowed_methods, reason = "this module owns the repository's state folder")]

use std::collections::HashSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::codec::crypto::EpochMark;
use crate::error::{IoContext as _, Result};
use crate::id::{LaneId, ObjectHash, RepositoryId, from_hex, to_hex};

/// A lane as this machine last left it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneState {
    /// The lane.
    pub lane: LaneId,
    /// The sequence of its newest record.
    pub sequence: u64,
    /// That record's hash.
    pub tip: ObjectHash,
    /// When it was written (nanoseconds, UTC).
    pub written: i64,
}

/// The hashes of records, one on each line.
const OWN_WORDS: &str = "own-words";

/// The folder of one repository's state.
#[derive(Debug, Clone)]
pub struct StateFolder {
    folder: PathBuf,
}

impl StateFolder {
    /// Opens (and makes, 0700) the folder of `repository` below `base`.
    pub fn open(base: &Path, repository: &RepositoryId) -> Result<StateFolder> {
        use std::os::unix::fs::DirBuilderExt as _;
        let folder = base.join(repository.to_string());
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .at("cannot make state folder", &folder)?;
        Ok(StateFolder { folder })
    }

    /// Returns the path of a file in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Returns the remembered lane; `None` if there is none, or it can't be read.
    pub fn lane(&self) -> Option<LaneState> {
        let text = std::fs::read_to_string(self.path("lane")).ok()?;
        let mut words = text.split_whitespace();
        let state = LaneState {
            lane: words.next()?.parse().ok()?,
            sequence: words.next()?.parse().ok()?,
            tip: words.next()?.parse().ok()?,
            written: words.next()?.parse().ok()?,
        };
        words.next().is_none().then_some(state)
    }

    /// Remembers the lane.
    pub fn save_lane(&self, state: &LaneState) -> Result<()> {
        let text = format!("{} {} {} {}\n", state.lane, state.sequence, state.tip, state.written);
        self.replace("lane", text.as_bytes())
    }

    /// Notes that this machine is about to publish a record by which less is kept.
    pub fn note_words(&self, record: &ObjectHash) -> Result<()> {
        let path = self.path(OWN_WORDS);
        let mut file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .at("cannot write", &path)?;
        // One that was published and is not remembered would be a stranger's.
        writeln!(file, "{record}").and_then(|()| file.sync_data()).at("cannot write", &path)
    }

    /// Returns the records that were noted so.
    pub fn own_words(&self) -> HashSet<ObjectHash> {
        let text = std::fs::read_to_string(self.path(OWN_WORDS)).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// Returns the newest epoch that this machine has known, if one is remembered.
    pub fn epoch(&self) -> Option<EpochMark> {
        let text = std::fs::read_to_string(self.path("epoch")).ok()?;
        let (epoch, mark) = text.trim_ascii().split_once(' ')?;
        Some(EpochMark { epoch: epoch.parse().ok()?, mark: from_hex(mark)? })
    }

    /// Remembers the newest epoch.
    pub fn save_epoch(&self, epoch: &EpochMark) -> Result<()> {
        self.replace("epoch", format!("{} {}\n", epoch.epoch, to_hex(&epoch.mark)).as_bytes())
    }

    /// Replaces a file of the folder as a whole, or leaves it as it was.
    pub fn replace(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.path(name);
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)
            .at("cannot write state below", &self.folder)?;
        file.write_all(bytes).at("cannot write", &path)?;
        file.persist(&path).map_err(|error| error.error).at("cannot write", &path)?;
        Ok(())
    }

    /// Reads a file of the folder; `None` if it is missing or can't be read.
    pub fn read(&self, name: &str) -> Option<Vec<u8>> {
        std::fs::read(self.path(name)).ok()
    }

    /// Notes that a pack is about to be stored. Each process has a journal of its own.
    pub fn note_pack(&self, pack: &ObjectHash, now: i64) -> Result<()> {
        let path = self.path(&format!("journal-{}", std::process::id()));
        let mut file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .at("cannot write", &path)?;
        writeln!(file, "{pack} {now}").at("cannot write", &path)
    }

    fn journals(&self) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return Vec::new() };
        entries
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| {
                path.file_name()
                    .and_then(|name| name.to_str())
                    .is_some_and(|name| name.starts_with("journal-"))
            })
            .collect()
    }

    /// Returns the packs that earlier runs noted and that no record of theirs named.
    /// A note may be younger than `oldest` (nanoseconds).
    pub fn noted_packs(&self, now: i64, oldest: i64) -> Vec<ObjectHash> {
        let mut packs = Vec::new();
        for path in self.journals() {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            packs.extend(text.lines().filter_map(|line| {
                let (hash, time) = line.split_once(' ')?;
                let age = now.saturating_sub(time.parse().ok()?);
                (0..oldest).contains(&age).then_some(())?;
                hash.parse::<ObjectHash>().ok()
            }));
        }
        packs
    }

    /// Removes the journals, once a record names their packs.
    pub fn clear_journals(&self) {
        for path in self.journals() {
            // A journal that stays is read again, which does no harm.
            let _removed = std::fs::remove_file(path);
        }
    }
}
