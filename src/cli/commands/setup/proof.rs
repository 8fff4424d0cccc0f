//! The proof that what was saved can be had back: a sample is restored from the repository, with an
//! empty cache, and compared with what is on the disk.

use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cli::commands::open::Run;
use crate::cli::commands::repository::try_secret;
use crate::cli::commands::restore::plain_options;
use crate::engine::browse::{Found, TreeStep, TreeWalk};
use crate::engine::restore::{Destination, NodeRule, PathFilter, restore};
use crate::error::{Error, Result};
use crate::event::{Counters, Silent};
use crate::format::record::Snapshot;
use crate::format::tree::{FileTime, Node, NodeKind};
use crate::id::SnapshotId;
use crate::machine::{self, Location};
use crate::repository::reader::BlobReader;
use crate::repository::{LocalFolders, LockedRepository, Repository};

/// Of each root so many of the newest files are taken.
const NEWEST: usize = 6;
/// And so many others, spread over the rest.
const SPREAD: usize = 6;
/// No longer file is taken, in bytes.
const LONGEST: u64 = 64 << 20;
/// Nor more than this altogether, in bytes.
const MOST: u64 = 256 << 20;

/// What the sample came to.
#[derive(Debug, Default)]
pub(super) struct Proof {
    /// Files that are as they are on the disk.
    pub(super) equal: u64,
    /// Files that changed on the disk since they were saved; databases are among them.
    pub(super) changed: u64,
    /// What they are, in bytes.
    pub(super) bytes: u64,
}

/// A file of the sample.
struct Sample {
    /// Where it was saved from.
    original: PathBuf,
    /// Where it is restored to.
    copy: PathBuf,
    size: u64,
    mtime: FileTime,
}

/// Restores a sample and compares it. What is different although nobody changed it is an error.
pub(super) fn prove(run: &Run, location: &Location, id: SnapshotId) -> Result<Proof> {
    let work = machine::trial_folder(&run.places)?;
    let folders = LocalFolders { cache: Some(work.path().join("cache")), state: None };
    let repository = open(run, location, &folders)?;
    repository.sync()?;
    let heads = repository.cached_heads()?;
    let head = heads.into_iter().find(|entry| entry.id == id).ok_or_else(|| {
        Error::damaged("the snapshot that was just saved is not in the repository:", id.short())
    })?;
    let entry = repository.whole(&head)?;
    let target = work.path().join("files");
    let (snapshot, samples) = choose(&repository, entry.snapshot, &target)?;
    restore_samples(&repository, &snapshot, &samples)?;
    let mut proof = Proof::default();
    for sample in &samples {
        proof.bytes = proof.bytes.saturating_add(sample.size);
        if machine::is_same_content(&sample.copy, &sample.original)? {
            proof.equal = proof.equal.saturating_add(1);
        } else if machine::is_unchanged(&sample.original, sample.size, sample.mtime)
            && !machine::is_database(&sample.copy)
        {
            let path = sample.original.display().to_string();
            return Err(Error::damaged("what was saved is not what is on the disk:", path)
                .hint("run `stash check --read-data`; nothing on the disk was changed"));
        } else {
            proof.changed = proof.changed.saturating_add(1);
        }
    }
    Ok(proof)
}

fn open(run: &Run, location: &Location, folders: &LocalFolders) -> Result<Repository> {
    let store = run.store(location, false)?;
    let locked = LockedRepository::find(store, run.global.repo_id.as_deref())?;
    run.unlock(location, locked.id(), |secret| try_secret(&locked, secret, folders))
}

/// Chooses the files; returns the snapshot with each root laid into a folder of its own.
fn choose(
    repository: &Repository,
    mut snapshot: Snapshot,
    target: &Path,
) -> Result<(Snapshot, Vec<Sample>)> {
    let mut reader = BlobReader::new(repository)?;
    let mut samples = Vec::new();
    let mut left = MOST;
    for (number, root) in snapshot.roots.iter_mut().enumerate() {
        let place = PathBuf::from(std::ffi::OsStr::from_bytes(&root.place.0));
        let copies = target.join(number.to_string());
        let first = Found { path: Vec::new(), node: root.node.clone() };
        for (below, node) in sample_of(first, &mut reader)? {
            let Some(rest) = left.checked_sub(node.size) else { continue };
            left = rest;
            // The root itself may be a file.
            let at = |folder: &Path| {
                if below.is_empty() {
                    return folder.to_owned();
                }
                folder.join(std::ffi::OsStr::from_bytes(&below))
            };
            samples.push(Sample {
                original: at(&place),
                copy: at(&copies),
                size: node.size,
                mtime: node.mtime,
            });
        }
        root.place = copies.as_os_str().as_bytes().into();
        root.node.name = number.to_string().into_bytes().as_slice().into();
    }
    Ok((snapshot, samples))
}

/// Returns the newest files of a root, and others that lie evenly among the rest.
fn sample_of(root: Found, reader: &mut BlobReader<'_>) -> Result<Vec<(Vec<u8>, Node)>> {
    let mut files = Vec::new();
    let mut walk = TreeWalk::new(root, false);
    while let Some(step) = walk.next(reader) {
        match step {
            TreeStep::Node(found) => {
                let node = &found.node;
                if node.kind == NodeKind::File && node.size > 0 && node.size <= LONGEST {
                    let below = found.path.strip_prefix(b"/").unwrap_or(&found.path).to_vec();
                    files.push((below, found.node));
                }
            }
            TreeStep::Leave => {}
            TreeStep::Failed { error, .. } => return Err(error),
        }
    }
    files.sort_by_key(|(_, node)| std::cmp::Reverse(node.mtime));
    let others = files.split_off(files.len().min(NEWEST));
    let apart = others.len().div_ceil(SPREAD).max(1);
    files.extend(others.into_iter().step_by(apart));
    Ok(files)
}

/// Takes the files of a sample, and nothing else.
struct Taken(HashSet<Vec<u8>>);

impl NodeRule for Taken {
    fn takes(&self, path: &[u8], _node: &Node) -> bool {
        self.0.contains(path)
    }
}

fn restore_samples(repository: &Repository, snapshot: &Snapshot, samples: &[Sample]) -> Result<()> {
    let paths = samples.iter().map(|sample| sample.copy.as_os_str().as_bytes().to_vec());
    let mut options = plain_options(Destination::InPlace);
    options.filter = PathFilter::default().with_rule(Arc::new(Taken(paths.collect())));
    options.verify = true;
    let report = restore(repository, snapshot, &options, &Counters::default(), &Silent)?;
    if report.failed > 0 || report.files_created != samples.len() as u64 {
        return Err(Error::failed("not everything that was just saved could be restored")
            .hint("run `stash check --read-data`; nothing on the disk was changed"));
    }
    Ok(())
}
