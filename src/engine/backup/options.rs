//! What a backup is told, and what it tells.

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use super::contributors::Contributor;
use super::observer::Observer;
use crate::codec::Compression;
use crate::error::Result;
use crate::files::Excludes;
use crate::format::record::Statistics;
use crate::format::tree::Category;
use crate::id::SnapshotId;
use crate::time::Timestamp;

/// Where a snapshot's single file comes from, if not from the disk.
pub struct StreamSource<'a> {
    /// The bytes.
    pub reader: &'a mut (dyn Read + Send),
    /// The file's path in the snapshot; absolute.
    pub path: PathBuf,
    /// Asked when the stream has ended, before anything is committed: a command that failed must
    /// not become a snapshot.
    pub finish: &'a mut (dyn FnMut() -> Result<()> + Send),
}

/// What something below an agent's root is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgentClass {
    /// Its category.
    pub category: Category,
    /// Whether it is saved at all. What is not must be left out of the walk as well.
    pub is_saved: bool,
    /// Whether it is read by this run; if not, it is carried over from the parent.
    pub is_read: bool,
}

/// What is known of the files below an agent's root.
pub trait AgentRules: Send + Sync {
    /// Returns what lies at a path, which is relative to the root and has no slash at either end;
    /// empty for a root that is a file.
    fn class(&self, path: &[u8]) -> AgentClass;
}

/// A folder or file of a coding agent.
#[derive(Clone)]
pub struct AgentSource {
    /// The agent's id.
    pub agent: String,
    /// Which of its roots: the same on every machine.
    pub label: String,
    /// Where it lies; absolute.
    pub place: PathBuf,
    /// What is left out of the walk.
    pub excludes: Arc<Excludes>,
    /// What lies where.
    pub rules: Arc<dyn AgentRules>,
}

/// What is saved of coding agents.
#[derive(Clone, Default)]
pub struct AgentSources {
    /// Roots that are walked.
    pub roots: Vec<AgentSource>,
    /// Whether part of what lies below them is not read by this run.
    pub is_partial: bool,
    /// Agents whose other roots are carried over from the parent, as they are there.
    pub carried: Vec<String>,
    /// Says that the roots were gathered from elsewhere, and which place the snapshot names for each
    /// place that is walked. Such a run has no parent, and takes nothing over from any snapshot.
    pub gathered: Option<Vec<(PathBuf, PathBuf)>>,
}

/// What to back up, and how.
pub struct BackupOptions {
    /// Absolute paths.
    pub paths: Vec<PathBuf>,
    /// Coding agents. What lies below both belongs to the agent, and a reference stands in the path's
    /// tree.
    pub agents: AgentSources,
    /// What to leave out.
    pub excludes: Arc<Excludes>,
    /// The machine's name.
    pub host: String,
    /// The user's name.
    pub user: String,
    /// The job; each has its own line of parents.
    pub job: String,
    /// Words to find the snapshot by.
    pub tags: Vec<String>,
    /// The moment that the snapshot stands for, if not now.
    pub time: Option<Timestamp>,
    /// Minutes that local time is ahead of UTC.
    pub offset_minutes: i64,
    /// Read every file, whatever is remembered of it.
    pub force: bool,
    /// Write a snapshot even if nothing has changed.
    pub always: bool,
    /// Whether this is what was there before a restore: no policy forgets it, and `latest` is never it.
    pub is_safety: bool,
    /// Look, but store nothing.
    pub dry_run: bool,
    /// How hard to compress.
    pub compression: Compression,
    /// Workers; at least 1.
    pub threads: usize,
    /// After how many nanoseconds a database that is read is looked through again by SQLite; `None`
    /// never does. One last found damaged is looked through each time.
    pub check_databases_after: Option<i64>,
    /// What takes notes of the agents' files, if anything does. A snapshot that is made without has no
    /// attachments; neither has one of what was gathered from elsewhere, or is about to be overwritten.
    pub observer: Option<Arc<dyn Observer>>,
    /// Where private copies of databases are made in the rare cases that need one; it must exist.
    /// Others may get no way to read it.
    pub temporary_folder: PathBuf,
}

/// What a backup did.
#[derive(Debug, Clone, Default)]
pub struct BackupReport {
    /// The new snapshot; `None` if nothing was written.
    pub snapshot: Option<SnapshotId>,
    /// The snapshot that it was compared with.
    pub parent: Option<SnapshotId>,
    /// Files, directories and bytes in the snapshot, and what was new.
    pub statistics: Statistics,
    /// Files that were as in the parent.
    pub files_unchanged: u64,
    /// Directories that the parent had not.
    pub directories_new: u64,
    /// Blobs of data and metadata that were new.
    pub blobs_added: u64,
    /// Items left out.
    pub excluded_items: u64,
    /// Bytes of files left out.
    pub excluded_bytes: u64,
    /// Folders of the tool's own that lie in the paths, and were left out.
    pub own_left_out: Vec<PathBuf>,
    /// What would be read, by where most of it lies. Only for a dry run.
    pub contributors: Vec<Contributor>,
    /// Bytes that would be read. Only for a dry run.
    pub bytes_to_read: u64,
}
