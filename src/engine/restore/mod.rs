//! `restore`: snapshot → Plan → files.
//!
//! ```text
//! walk the trees ─ decide for each node ─ batches of files ─ ranges by pack ─▶ workers
//!    (this thread)                         (32 MiB, bounded)                   open, verify, write ─▶ sync, rename
//! ```
//!
//! The Plan is the same walk with the same decisions and nothing written. It is not kept for the
//! execution, which decides again: what changed in between must not be overwritten by a stale
//! decision. Files go beside their targets and are renamed after a sync of the file system; into
//! an empty target they go straight, with one sync at the end. A file that fails leaves the old one
//! whole. Nothing is written through a link.
//!
//! Peak memory: three batches of at most 2,048 files and their blob places + workers × (4 MiB of a
//! range + one unit) + the reader's 8 MiB + 200 bytes for each directory.

mod batch;
mod database;
mod decide;
mod delete;
mod filter;
mod items;
mod job;
mod links;
mod merge;
mod run;
mod workers;

use std::path::{Path, PathBuf};

pub use filter::{NodeRule, PathFilter};
pub use merge::join_json;

use crate::error::Result;
use crate::event::{Counters, Reporter};
use crate::files::{ApplyOptions, Target};
use crate::format::record::Snapshot;
use crate::format::tree::{Node, NodeKind};
use crate::repository::Repository;
use crate::repository::reader::BlobReader;

use super::browse::{Found, find};

/// What to do with a file that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overwrite {
    /// Replace it if size or time differ.
    #[default]
    IfChanged,
    /// Replace it if it is older than the snapshot's.
    IfNewer,
    /// Replace it.
    Always,
    /// Leave it.
    Never,
}

/// Where things go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// Below this directory.
    Folder(PathBuf),
    /// Where they were.
    InPlace,
}

/// How to restore.
pub struct RestoreOptions {
    /// Where things go.
    pub destination: Destination,
    /// The absolute path to restore; its content goes straight into a folder. Empty: everything,
    /// each root under its own last name.
    pub path: Vec<u8>,
    /// Which of the paths.
    pub filter: PathFilter,
    /// What to do with what is there.
    pub overwrite: Overwrite,
    /// Leave alone a file of a session, of memory or of a history that is longer than the snapshot's.
    pub keeps_longer: bool,
    /// Remove what the snapshot does not hold.
    pub delete: bool,
    /// Read everything back and compare.
    pub verify: bool,
    /// Keep files some of whose blobs are lost, with zeros in their place.
    pub salvage: bool,
    /// Include items that were no longer there when the snapshot was made.
    pub with_absent: bool,
    /// Change nothing.
    pub dry_run: bool,
    /// Owners and attributes.
    pub apply: ApplyOptions,
    /// Workers; at least 1.
    pub threads: usize,
}

/// What would be done, or was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RestoreReport {
    /// Files written that were not there.
    pub files_created: u64,
    /// Files written over others.
    pub files_overwritten: u64,
    /// Files left alone: equal, or kept by the overwrite rule.
    pub files_unchanged: u64,
    /// Directories made.
    pub directories_created: u64,
    /// Links, pipes and devices made.
    pub others_created: u64,
    /// Items removed.
    pub deleted: u64,
    /// Bytes of files written.
    pub bytes_written: u64,
    /// Bytes of files left alone.
    pub bytes_unchanged: u64,
    /// Items that could not be restored.
    pub failed: u64,
    /// Items restored with some metadata missing.
    pub metadata_failed: u64,
    /// Whether a failure came from damage in the repository.
    pub damaged: bool,
    /// Files kept with holes by salvage.
    pub salvaged: u64,
}

/// One target directory, and what goes into it under which name.
struct Job {
    /// `None` in a dry run if it does not exist.
    target: Option<Target>,
    /// Names of directories below the target that lead to the items.
    above: Vec<Vec<u8>>,
    items: Vec<Found>,
    /// For the root of a snapshot's path: the content goes straight into the target.
    contents_only: bool,
    /// Whether nothing lies in the target, so that files can go straight to their names.
    is_empty: bool,
}

impl Job {
    fn new(
        folder: &Path,
        above: Vec<Vec<u8>>,
        items: Vec<Found>,
        contents_only: bool,
        dry_run: bool,
    ) -> Result<Job> {
        let missing = crate::files::find_stat(folder)?.is_none();
        if missing && dry_run {
            return Ok(Job { target: None, above, items, contents_only, is_empty: true });
        }
        let target = Target::open(folder, true)?;
        let is_empty = missing || target.root().list()?.is_empty();
        Ok(Job { target: Some(target), above, items, contents_only, is_empty })
    }
}

/// Restores from a snapshot, or tells what that would do. See the module's head.
pub fn restore(
    repository: &Repository,
    snapshot: &Snapshot,
    options: &RestoreOptions,
    counters: &Counters,
    reporter: &dyn Reporter,
) -> Result<RestoreReport> {
    let report = repository
        .with_sound_cache(|| restore_once(repository, snapshot, options, counters, reporter))?;
    if report.damaged {
        // It may be the cache that is wrong, not the repository.
        repository.cache().doubt();
    }
    Ok(report)
}

fn restore_once(
    repository: &Repository,
    snapshot: &Snapshot,
    options: &RestoreOptions,
    counters: &Counters,
    reporter: &dyn Reporter,
) -> Result<RestoreReport> {
    let mut reader = BlobReader::new(repository)?;
    let found = find(&mut reader, snapshot, &options.path)?;
    Counters::add(&counters.total_items, snapshot.statistics.files);
    Counters::add(&counters.total_bytes, snapshot.statistics.bytes);
    let is_whole = options.path.is_empty() && options.filter.is_empty();
    counters.total_known.store(is_whole, std::sync::atomic::Ordering::Relaxed);
    let jobs = layout(found, options)?;
    let mut report = RestoreReport::default();
    for job in jobs {
        run::run(repository, &mut reader, job, options, counters, reporter, &mut report)?;
    }
    Ok(report)
}

/// Settles what goes where.
fn layout(found: Vec<Found>, options: &RestoreOptions) -> Result<Vec<Job>> {
    let dry_run = options.dry_run;
    let folder = match &options.destination {
        Destination::Folder(folder) => folder,
        Destination::InPlace => {
            return found.into_iter().map(|item| in_place(item, dry_run)).collect();
        }
    };
    if !options.path.is_empty()
        && let [only] = found.as_slice()
        && is_same_path(&only.path, &options.path)
    {
        let contents_only = only.node.kind == NodeKind::Directory;
        return Ok(vec![Job::new(folder, Vec::new(), found, contents_only, dry_run)?]);
    }
    let names: Vec<Vec<u8>> = found.iter().map(|item| item.node.name.0.clone()).collect();
    let mut jobs = Vec::new();
    for item in found {
        let same = names.iter().filter(|name| **name == item.node.name.0).count();
        let contents_only = item.node.name.is_empty();
        // Two roots of one name: their full paths tell them apart.
        let above = if same > 1 { parents(&item.path) } else { Vec::new() };
        jobs.push(Job::new(folder, above, vec![item], contents_only, dry_run)?);
    }
    // The first job's files make the folder one that is not empty for the next.
    if let Some((_, later)) = jobs.split_first_mut() {
        for job in later {
            job.is_empty = false;
        }
    }
    Ok(jobs)
}

fn is_same_path(a: &[u8], b: &[u8]) -> bool {
    a.strip_suffix(b"/").unwrap_or(a) == b.strip_suffix(b"/").unwrap_or(b)
}

fn parents(path: &[u8]) -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = path
        .split(|&byte| byte == b'/')
        .filter(|name| !name.is_empty())
        .map(<[u8]>::to_vec)
        .collect();
    names.pop();
    names
}

fn in_place(item: Found, dry_run: bool) -> Result<Job> {
    use std::os::unix::ffi::OsStrExt as _;
    let path = Path::new(std::ffi::OsStr::from_bytes(&item.path)).to_owned();
    let contents_only = item.node.name.is_empty();
    let folder = if contents_only { path.as_path() } else { path.parent().unwrap_or(&path) };
    Job::new(folder, Vec::new(), vec![item], contents_only, dry_run)
}

/// Returns a node's copy without its content, to be kept while the content is on its way.
fn metadata_of(node: &Node) -> Node {
    Node {
        subtree: crate::format::tree::Subtree::default(),
        blobs: crate::format::cbor::Ids::default(),
        segments: crate::format::cbor::Ids::default(),
        inline: crate::format::cbor::Bytes::default(),
        ..node.clone()
    }
}
