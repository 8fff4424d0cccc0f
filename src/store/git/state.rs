//! What the branch holds: every file with its length and its time, and the trees that say so.
//!
//! A tree of git knows neither lengths nor times, so each directory that holds objects holds a
//! file [`TIMES`] as well (`format-spec/1-objects.md`). Directories are shared between one state and
//! the next, and only those that change are written, sent and read again.
//!
//! What a server sends is bounded before it is believed: so many directories and files, so deep, with
//! paths so long. The same tree may stand in a hundred places of another one, which stands in a
//! hundred places of a third.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::object::{
    DIRECTORY, FILE, FOREIGN_COMMIT, Kind, NewObject, Oid, TreeRow, has_parent, is_own_commit,
    read_tree, tree_of_commit, write_commit, write_tree,
};
use crate::store::ObjectName;

/// The file in each directory that says how long the others are and when they were stored.
pub(super) const TIMES: &str = ".stash-times";
/// Nested deeper than this is nothing of ours.
const DEEPEST: usize = 32;
/// More directories than this nothing of ours has.
const MOST_DIRECTORIES: usize = 1 << 16;
/// More files than this nothing of ours has: so many packs would be 16 TiB.
const MOST_FILES: usize = 1 << 20;
/// No path of ours is longer, in bytes.
const LONGEST_PATH: usize = 4096;

/// A file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) oid: Oid,
    pub(super) mode: u32,
    /// Its length in bytes and its time in seconds; not known of what others put there.
    pub(super) known: Option<(u64, i64)>,
}

/// A directory, without those in it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Directory {
    tree: Oid,
    times: Option<Oid>,
    files: BTreeMap<String, Entry>,
}

/// The branch at one moment.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    /// Its commit; none while the branch does not exist.
    pub(super) commit: Option<Oid>,
    /// The tree of the commit.
    pub(super) root: Option<Oid>,
    /// The newest time in it, in seconds.
    pub(super) newest: i64,
    commit_bytes: Bytes,
    directories: BTreeMap<String, Arc<Directory>>,
}

/// A change of one file.
#[derive(Debug, Clone)]
pub(super) enum Change {
    /// The file of this name has these bytes, stored at this second.
    Put(Oid, u64, i64),
    Delete,
}

/// A state that is not yet in the remote, and the objects that are missing there.
pub(super) struct Next {
    pub(super) state: State,
    pub(super) objects: Vec<NewObject>,
}

impl State {
    /// Returns a file.
    pub(super) fn find(&self, path: &str) -> Option<&Entry> {
        let (directory, name) = split(path);
        self.directories.get(directory)?.files.get(name)
    }

    /// Returns the files below a directory (all, if it is empty) with their paths.
    pub(super) fn files(&self, below: &str) -> impl Iterator<Item = (String, &Entry)> {
        let inner = format!("{below}/");
        let is_below = move |path: &str| {
            inner == "/" || path.starts_with(&inner) || inner.strip_suffix('/') == Some(path)
        };
        self.directories.iter().filter(move |(path, _)| is_below(path)).flat_map(
            |(directory, it)| {
                it.files.iter().map(move |(name, entry)| (join(directory, name), entry))
            },
        )
    }

    /// Tells whether the branch is somebody else's: a commit of theirs, with files or a history, and
    /// nothing that we put there.
    pub(super) fn is_foreign(&self) -> bool {
        let is_object = |path: String| ObjectName::parse(&path).is_some();
        self.commit.is_some()
            && !is_own_commit(&self.commit_bytes)
            && (has_parent(&self.commit_bytes) || self.files("").next().is_some())
            && !self.files("").any(|(path, _)| is_object(path))
    }

    /// Notes the length and time of a file that did not say so.
    pub(super) fn learn(&mut self, path: &str, length: u64, time: i64) {
        let (directory, name) = split(path);
        let directory = self.directories.get_mut(directory).map(Arc::make_mut);
        if let Some(entry) = directory.and_then(|it| it.files.get_mut(name)) {
            entry.known = Some((length, time));
        }
    }

    /// Returns the commit, trees and lists of times that say what this state is.
    pub(super) fn objects(&self) -> Vec<(Kind, Bytes)> {
        let mut objects = Vec::new();
        if self.commit.is_some() {
            objects.push((Kind::Commit, self.commit_bytes.clone()));
        }
        for (path, directory) in &self.directories {
            objects.push((Kind::Tree, self.tree_bytes(path, directory)));
            objects.push((Kind::Blob, times_bytes(&directory.files)));
        }
        objects
    }

    /// Returns the state with some files changed.
    pub(super) fn apply(&self, changes: &[(String, Change)], seconds: i64) -> Next {
        let mut next = self.clone();
        let mut changed: Vec<String> = Vec::new();
        for (path, change) in changes {
            let (directory, name) = split(path);
            let empty = Directory { tree: Oid([0; 20]), times: None, files: BTreeMap::new() };
            let directory_entry =
                next.directories.entry(directory.to_owned()).or_insert_with(|| Arc::new(empty));
            let files = &mut Arc::make_mut(directory_entry).files;
            match change {
                Change::Put(oid, length, time) => {
                    next.newest = next.newest.max(*time);
                    let known = Some((*length, *time));
                    files.insert(name.to_owned(), Entry { oid: *oid, mode: FILE, known });
                }
                Change::Delete => {
                    files.remove(name);
                }
            }
            changed.extend(ancestors(directory).map(str::to_owned));
        }
        // From the deepest up, each once.
        changed.sort_by(|a, b| depth(b).cmp(&depth(a)).then_with(|| a.cmp(b)));
        changed.dedup();
        let mut objects = Vec::new();
        for path in changed {
            next.write_directory(&path, &mut objects);
        }
        let root = next.directories.get("").map(|root| root.tree);
        let root = root.unwrap_or_else(|| {
            let empty = NewObject::new(Kind::Tree, vec![write_tree(Vec::new())]);
            let oid = empty.oid;
            objects.push(empty);
            oid
        });
        next.commit_bytes = write_commit(root, next.newest.max(seconds));
        let commit = NewObject::new(Kind::Commit, vec![next.commit_bytes.clone()]);
        (next.commit, next.root) = (Some(commit.oid), Some(root));
        objects.push(commit);
        Next { state: next, objects }
    }

    fn write_directory(&mut self, path: &str, objects: &mut Vec<NewObject>) {
        let empty = || Directory { tree: Oid([0; 20]), times: None, files: BTreeMap::new() };
        let mut directory =
            self.directories.get(path).map_or_else(empty, |directory| Directory::clone(directory));
        // What is as it was is there already.
        let before = [directory.times.take(), Some(directory.tree)];
        let mut add = |object: NewObject| {
            if !before.contains(&Some(object.oid)) {
                objects.push(object);
            }
        };
        if directory.files.values().any(|entry| entry.known.is_some()) {
            let times = NewObject::new(Kind::Blob, vec![times_bytes(&directory.files)]);
            directory.times = Some(times.oid);
            add(times);
        }
        let bytes = self.tree_bytes(path, &directory);
        if bytes.is_empty() {
            self.directories.remove(path);
            return;
        }
        let tree = NewObject::new(Kind::Tree, vec![bytes]);
        directory.tree = tree.oid;
        add(tree);
        self.directories.insert(path.to_owned(), Arc::new(directory));
    }

    fn tree_bytes(&self, path: &str, directory: &Directory) -> Bytes {
        let file = |(name, entry): (&String, &Entry)| TreeRow {
            mode: entry.mode,
            name: name.clone(),
            oid: entry.oid,
        };
        let inner = if path.is_empty() { String::new() } else { format!("{path}/") };
        let directories = self
            .directories
            .range(inner.clone()..)
            .take_while(|(other, _)| other.starts_with(&inner));
        let directories = directories.filter_map(|(other, directory)| {
            let name =
                other.strip_prefix(&inner).filter(|it| !it.is_empty() && !it.contains('/'))?;
            Some(TreeRow { mode: DIRECTORY, name: name.to_owned(), oid: directory.tree })
        });
        let times = directory.times.map(|oid| TreeRow { mode: FILE, name: TIMES.to_owned(), oid });
        write_tree(directory.files.iter().map(file).chain(directories).chain(times).collect())
    }
}

/// What is known while a state is read.
pub(super) struct Loader<'a> {
    /// The state before: directories that are the same are taken from there.
    pub(super) old: &'a State,
    /// Finds the bytes of an object.
    pub(super) find: &'a dyn Fn(&Oid, Kind) -> Option<Bytes>,
    /// What was not found, and must be fetched.
    pub(super) missing: Vec<Oid>,
    directories: usize,
    files: usize,
}

impl<'a> Loader<'a> {
    pub(super) fn new(old: &'a State, find: &'a dyn Fn(&Oid, Kind) -> Option<Bytes>) -> Loader<'a> {
        Loader { old, find, missing: Vec::new(), directories: 0, files: 0 }
    }

    /// Reads the state of a commit; `None` if something is missing, or is nothing that can be read:
    /// then nothing is told to be missing.
    pub(super) fn load(&mut self, commit: Oid) -> Option<State> {
        let Some(bytes) = (self.find)(&commit, Kind::Commit) else {
            self.missing.push(commit);
            return None;
        };
        let root = tree_of_commit(&bytes)?;
        let mut state = State {
            commit: Some(commit),
            root: Some(root),
            newest: 0,
            commit_bytes: bytes,
            directories: BTreeMap::new(),
        };
        if self.directory(&mut state, "", root, 0).is_none() {
            self.missing.clear();
            return None;
        }
        self.missing.sort_unstable();
        self.missing.dedup();
        let times = state.directories.values().flat_map(|directory| directory.files.values());
        state.newest =
            times.filter_map(|entry| entry.known).map(|(_, time)| time).max().unwrap_or_default();
        self.missing.is_empty().then_some(state)
    }

    fn directory(&mut self, state: &mut State, path: &str, tree: Oid, depth: usize) -> Option<()> {
        self.directories += 1;
        let is_bounded =
            depth <= DEEPEST && self.directories <= MOST_DIRECTORIES && path.len() <= LONGEST_PATH;
        if !is_bounded {
            return None;
        }
        if self.old.directories.get(path).is_some_and(|old| old.tree == tree) {
            let inner = if path.is_empty() { String::new() } else { format!("{path}/") };
            let same = self.old.directories.range(path.to_owned()..);
            let same = same.take_while(|(other, _)| other.starts_with(path));
            let same = same.filter(|(other, _)| *other == path || other.starts_with(&inner));
            state.directories.extend(same.map(|(path, it)| (path.clone(), Arc::clone(it))));
            return Some(());
        }
        let Some(bytes) = (self.find)(&tree, Kind::Tree) else {
            self.missing.push(tree);
            return Some(());
        };
        let mut directory = Directory { tree, times: None, files: BTreeMap::new() };
        let rows = read_tree(&bytes)?;
        self.files += rows.len();
        if self.files > MOST_FILES {
            return None;
        }
        for row in rows {
            match row.mode {
                DIRECTORY => {
                    self.directory(state, &join(path, &row.name), row.oid, depth + 1)?;
                }
                FILE if row.name == TIMES => directory.times = Some(row.oid),
                mode => {
                    let entry = Entry { oid: row.oid, mode, known: None };
                    directory.files.insert(row.name, entry);
                }
            }
        }
        if let Some(times) = directory.times {
            match (self.find)(&times, Kind::Blob) {
                Some(bytes) => read_times(&bytes, &mut directory.files),
                None => self.missing.push(times),
            }
        }
        state.directories.insert(path.to_owned(), Arc::new(directory));
        Some(())
    }
}

impl Entry {
    /// Tells whether this is a plain file.
    pub(super) fn is_file(&self) -> bool {
        self.mode != FOREIGN_COMMIT && self.mode & 0o170_000 == 0o100_000
    }
}

/// Returns the list of lengths and times: lines of git id, length and second.
fn times_bytes(files: &BTreeMap<String, Entry>) -> Bytes {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(files.len() * 64);
    for entry in files.values() {
        if let Some((length, time)) = entry.known {
            let _always_fits = writeln!(text, "{} {length} {time}", entry.oid);
        }
    }
    text.into()
}

fn read_times(bytes: &[u8], files: &mut BTreeMap<String, Entry>) {
    let mut known: std::collections::HashMap<Oid, (u64, i64)> = std::collections::HashMap::new();
    for line in String::from_utf8_lossy(bytes).lines() {
        let mut words = line.split(' ');
        let (Some(oid), Some(length), Some(time)) = (words.next(), words.next(), words.next())
        else {
            continue;
        };
        if let (Some(oid), Ok(length), Ok(time)) = (Oid::parse(oid), length.parse(), time.parse()) {
            // The same bytes under two names: the younger time, since nothing may seem too old.
            let known = known.entry(oid).or_insert((length, time));
            known.1 = known.1.max(time);
        }
    }
    for entry in files.values_mut() {
        entry.known = known.get(&entry.oid).copied();
    }
}

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") }
}

/// Returns a directory and all around it, the root (empty) last.
fn ancestors(directory: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(directory), |path| (!path.is_empty()).then(|| split(path).0))
}

fn depth(path: &str) -> usize {
    if path.is_empty() { 0 } else { path.matches('/').count() + 1 }
}

#[cfg(test)]
mod tests;
