//! Trees of files, compared strictly.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

/// All that a restore promises of one item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    pub kind: &'static str,
    pub mode: u32,
    pub owner: (u32, u32),
    pub mtime: (i64, i64),
    pub length: u64,
    pub content: Option<[u8; 32]>,
    pub link: Option<PathBuf>,
    pub device: u64,
    /// The first path of the same file, if it has several.
    pub same_as: Option<PathBuf>,
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

pub type Tree = BTreeMap<PathBuf, Item>;

/// Reads a tree; the folder itself has the empty path.
pub fn tree(folder: &Path) -> Tree {
    let mut found = Tree::new();
    let mut first_names = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    let mut paths = Vec::new();
    while let Some(next) = open.pop() {
        if next.symlink_metadata().unwrap().is_dir() {
            open.extend(std::fs::read_dir(&next).unwrap().map(|entry| entry.unwrap().path()));
        }
        paths.push(next);
    }
    paths.sort();
    for path in paths {
        let relative = path.strip_prefix(folder).unwrap().to_owned();
        let metadata = path.symlink_metadata().unwrap();
        let kind = metadata.file_type();
        let several = metadata.nlink() > 1 && !kind.is_dir();
        let same_as =
            several.then(|| first_names.entry(metadata.ino()).or_insert(relative.clone()).clone());
        let is_device = kind.is_char_device() || kind.is_block_device();
        let item = Item {
            kind: match () {
                () if kind.is_file() => "file",
                () if kind.is_dir() => "directory",
                () if kind.is_symlink() => "symlink",
                () if kind.is_fifo() => "fifo",
                () if kind.is_socket() => "socket",
                () if kind.is_char_device() => "character device",
                () => "block device",
            },
            mode: metadata.mode() & 0o7777,
            owner: (metadata.uid(), metadata.gid()),
            mtime: (metadata.mtime(), metadata.mtime_nsec()),
            length: if kind.is_file() { metadata.len() } else { 0 },
            content: kind.is_file().then(|| content(&path)),
            link: kind.is_symlink().then(|| std::fs::read_link(&path).unwrap()),
            device: if is_device { metadata.rdev() } else { 0 },
            same_as,
            xattrs: xattrs(&path),
        };
        found.insert(relative, item);
    }
    found
}

fn content(path: &Path) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(std::fs::File::open(path).unwrap()).unwrap();
    *hasher.finalize().as_bytes()
}

fn xattrs(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let Ok(names) = xattr::list(path) else { return BTreeMap::new() };
    names
        .map(|name| {
            let value = xattr::get(path, &name).unwrap().unwrap_or_default();
            (name.as_bytes().to_vec(), value)
        })
        .collect()
}

/// Says where two trees differ, and stops if they do.
#[track_caller]
pub fn assert_same(got: &Tree, wanted: &Tree, what: &str) {
    let paths: std::collections::BTreeSet<_> = got.keys().chain(wanted.keys()).collect();
    let differing: Vec<_> = paths
        .into_iter()
        .filter(|path| got.get(*path) != wanted.get(*path))
        .map(|path| {
            format!("{}:\n  got {:?}\n  not {:?}", path.display(), got.get(path), wanted.get(path))
        })
        .collect();
    let shown = differing.iter().take(5).cloned().collect::<Vec<_>>().join("\n");
    assert!(differing.is_empty(), "{what}: {} items differ:\n{shown}", differing.len());
}
