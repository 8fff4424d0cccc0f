//! A session's files from a snapshot to where they belong.
#![expect(clippy::disallowed_methods, reason = "gives restored files their times")]

use std::fs::Permissions;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::super::snapshot::SnapshotFiles;
use super::compare::{Relation, compare};
use crate::agents::Agent;
use crate::agents::session::placement::FilePlacement;
use crate::engine::browse::{Found, TreeStep, TreeWalk};
use crate::engine::inspect::dump::FileReader;
use crate::error::{Error, IoContext as _, Result};
use crate::files::Target;
use crate::format::tree::{Category, Node, NodeKind};
use crate::repository::reader::BlobReader;

/// A copy under a new id is made in memory, of files of at most this many bytes.
const LONGEST_COPY: u64 = 1 << 30;

/// One file that is to be written.
#[derive(Debug, Clone)]
pub(super) struct FileItem {
    pub(super) node: Node,
    /// Where it goes, below the root.
    pub(super) to: String,
}

/// What a session's files need.
#[derive(Debug, Clone)]
pub(super) struct FileWork {
    /// The agent's root on this machine.
    pub(super) root: PathBuf,
    /// What is to be written, the session's own file last: until it is there, nothing has changed.
    pub(super) items: Vec<FileItem>,
    /// Whether the files get the present time.
    pub(super) refresh: bool,
    /// The id to be replaced, and the new one, for a copy.
    pub(super) copy: Option<(String, String)>,
}

impl FileWork {
    /// Writes the files, each whole or not at all. Returns those that were not there.
    pub(super) fn run(&self, saved: &SnapshotFiles<'_>) -> Result<Vec<PathBuf>> {
        let target = Target::open(&self.root, true)?;
        let mut reader = saved.reader()?;
        let mut made = Vec::new();
        for item in &self.items {
            if self.write(&target, item, &mut reader)? {
                made.push(self.root.join(&item.to));
            }
        }
        Ok(made)
    }

    fn write(&self, target: &Target, item: &FileItem, reader: &mut BlobReader<'_>) -> Result<bool> {
        let names: Vec<&[u8]> = item.to.split('/').map(str::as_bytes).collect();
        let Some((name, folders)) = names.split_last() else {
            return Err(Error::failed("a session's file without a name"));
        };
        let folder = target.directory(folders, true)?;
        let folder = folder.ok_or_else(|| Error::failed("cannot make the session's folder"))?;
        let is_new = folder.stat(name)?.is_none();
        let file = folder.create_temporary(name)?;
        let path = self.root.join(&item.to);
        let mut content = FileReader::new(reader, &item.node);
        if let Some(ids) = &self.copy {
            file.write_at(0, &with_id(&mut content, &item.node, ids)?)?;
        } else {
            let mut offset = 0_u64;
            while let Some(piece) = content.next_piece()? {
                file.write_at(offset, &piece)?;
                offset = offset.saturating_add(piece.len() as u64);
            }
            file.set_length(item.node.size)?;
        }
        let mode = Permissions::from_mode(item.node.mode & 0o777 | 0o600);
        file.file().set_permissions(mode).at("cannot set the permissions of", &path)?;
        let time = if self.refresh { Some(SystemTime::now()) } else { time_of(&item.node) };
        if let Some(time) = time {
            file.file().set_modified(time).at("cannot set the time of", &path)?;
        }
        file.sync()?;
        file.rename_over(name)?;
        folder.sync()?;
        Ok(is_new)
    }
}

fn time_of(node: &Node) -> Option<SystemTime> {
    let seconds = u64::try_from(node.mtime.0).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, node.mtime.1))
}

/// Returns the content with the session's id replaced where records state it. Both ids are equally long.
fn with_id(
    content: &mut FileReader<'_, '_>,
    node: &Node,
    (old, new): &(String, String),
) -> Result<Vec<u8>> {
    if node.size > LONGEST_COPY {
        return Err(Error::failed("the session is too long to be copied under a new id"));
    }
    let mut bytes = Vec::new();
    content
        .read_to_end(&mut bytes)
        .map_err(|error| Error::failed("cannot read from the snapshot").source(error))?;
    // Within a text the quotes would be escaped, so that this is a field of a record.
    for between in ["\"sessionId\":\"", "\"sessionId\": \""] {
        let field = format!("{between}{old}\"");
        let places: Vec<usize> = memchr::memmem::find_iter(&bytes, field.as_bytes()).collect();
        for place in places {
            let start = place.saturating_add(between.len());
            if let Some(id) = bytes.get_mut(start..start.saturating_add(old.len())) {
                id.copy_from_slice(new.as_bytes());
            }
        }
    }
    Ok(bytes)
}

/// Returns how the session's file here relates to the saved one, byte by byte; `None` if there is none.
pub(super) fn relation(
    path: &Path,
    node: &Node,
    saved: &SnapshotFiles<'_>,
) -> Result<Option<Relation>> {
    let Ok(found) = std::fs::symlink_metadata(path) else { return Ok(None) };
    if !found.is_file() {
        return Err(Error::failed("something else is where the session's file belongs:")
            .object(path.display().to_string())
            .hint("nothing is written through a link; move it away"));
    }
    let mut here = std::fs::File::open(path).at("cannot open", path)?;
    let mut reader = saved.reader()?;
    let mut there = FileReader::new(&mut reader, node);
    compare(&mut here, &mut there).at("cannot compare with what is saved", path).map(Some)
}

/// Finds what belongs to a session beside its own file and has to be written: what is not here, and what
/// is a beginning of what is saved. What went another way is an error, unless it is to be replaced.
pub(super) fn beside(
    placement: &FilePlacement,
    main: &str,
    root: &Path,
    saved: &SnapshotFiles<'_>,
    wanted: &Beside<'_>,
) -> Result<Vec<FileItem>> {
    let mut items = Vec::new();
    let mut reader = saved.reader()?;
    for (from, to) in &placement.beside {
        let Some(node) = saved.node(&mut reader, from.as_bytes())? else { continue };
        let top = Found { path: from.as_bytes().to_vec(), node };
        let mut walk = TreeWalk::new(top, true);
        while let Some(step) = walk.next(&mut reader) {
            let found = match step {
                TreeStep::Node(found) => found,
                TreeStep::Leave => continue,
                TreeStep::Failed { error, .. } => return Err(error),
            };
            let Ok(path) = String::from_utf8(found.path) else { continue };
            let Some(below) = path.strip_prefix(from.as_str()) else { continue };
            if found.node.kind != NodeKind::File || path == main || !wanted.takes(&path) {
                continue;
            }
            let item = FileItem { node: found.node, to: format!("{to}{below}") };
            if is_needed(&item, root, saved, wanted)? {
                items.push(item);
            }
        }
    }
    Ok(items)
}

/// What of the files beside a session is wanted.
pub(super) struct Beside<'a> {
    pub(super) agent: &'a Agent,
    pub(super) label: &'a str,
    /// Whether what went another way is replaced.
    pub(super) replaces: bool,
    /// Whether the session's own file gets longer, so that documents beside it get newer.
    pub(super) grows: bool,
}

impl Beside<'_> {
    fn takes(&self, path: &str) -> bool {
        let class = self.agent.classify(self.label, path.as_bytes());
        class.is_none_or(|class| !class.run_time && class.category != Category::Cache)
    }
}

fn is_needed(
    item: &FileItem,
    root: &Path,
    saved: &SnapshotFiles<'_>,
    wanted: &Beside<'_>,
) -> Result<bool> {
    let path = root.join(&item.to);
    let Some(relation) = relation(&path, &item.node, saved)? else { return Ok(true) };
    let is_lines = holds_lines(item.to.as_bytes());
    match relation {
        Relation::Equal => Ok(false),
        Relation::Longer if is_lines => Ok(wanted.replaces),
        Relation::Shorter if is_lines => Ok(true),
        Relation::Diverged if is_lines && !wanted.replaces => {
            Err(Error::failed("what lies beside the session went another way than what is saved:")
                .object(path.display().to_string())
                .hint("`--force` replaces it; `stash undo` brings it back"))
        }
        // A document is as old as its session.
        _ => Ok(wanted.replaces || wanted.grows),
    }
}

/// Returns whether a file's name says that it holds lines, of which a beginning is a version of it.
pub(super) fn holds_lines(path: &[u8]) -> bool {
    path.ends_with(b".jsonl")
}
