//! What a node says beside its content, read from disk; and the careful opening of sources.
//!
//! Nothing is followed and nothing waits: a file that has become a pipe or a link since it was
//! listed gives an error. Reading does not move access times where the system lets us say so.
//! What can't be read is an error for the caller to report; nothing is left out silently.

use std::ffi::CStr;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{Mode, OFlags, SeekFrom};
use rustix::io::Errno;

use super::names::stat_open;
use super::owners::Owners;
use super::stat::Stat;
use super::xattrs::{Holder, address};
use crate::error::{Error, IoContext as _, Result, io_error};
use crate::format::tree::{Node, NodeKind};

/// Where an entry is: its name in an open directory, or a whole path.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spot<'a> {
    /// The directory; `None` if `name` is the path.
    pub(super) directory: Option<BorrowedFd<'a>>,
    /// The name in the directory.
    pub(super) name: &'a CStr,
    /// The path, for messages.
    pub(super) path: &'a Path,
}

impl<'a> Spot<'a> {
    pub(super) fn directory(&self) -> BorrowedFd<'a> {
        self.directory.unwrap_or(rustix::fs::CWD)
    }
}

/// Returns the node of an entry; its content (blobs, subtree) is left empty.
///
/// `node_name` is the name that it gets. An attribute or a link that can't be read is an error.
pub(super) fn read_node(
    spot: Spot<'_>,
    node_name: &[u8],
    stat: &Stat,
    owners: &Owners,
) -> Result<Node> {
    let mut node = Node {
        name: node_name.into(),
        kind: stat.kind,
        mode: stat.mode,
        uid: stat.uid,
        gid: stat.gid,
        user: owners.user_name(stat.uid).map(Into::into),
        group: owners.group_name(stat.gid).map(Into::into),
        mtime: stat.mtime,
        sparse: stat.is_sparse(),
        ..Node::default()
    };
    match stat.kind {
        NodeKind::File => node.size = stat.size,
        NodeKind::Symlink => {
            let target = rustix::fs::readlinkat(spot.directory(), spot.name, Vec::new());
            let target = target.map_err(std::io::Error::from).at("cannot read link", spot.path)?;
            node.target = target.into_bytes().into();
        }
        NodeKind::CharDevice | NodeKind::BlockDevice => node.device = Some(stat.rdev),
        NodeKind::Directory | NodeKind::Fifo | NodeKind::Socket | NodeKind::Reference => {}
    }
    let address = address(spot.directory, spot.name, spot.path);
    node.xattrs = Holder::Path(&address)
        .read()
        .map_err(std::io::Error::from)
        .at("cannot read attributes of", spot.path)?;
    Ok(node)
}

/// Opens a regular file for reading; returns its metadata too, taken from the open file.
pub(super) fn open_regular(spot: Spot<'_>) -> Result<(File, Stat)> {
    open_quietly(spot.directory(), spot.name)
        .and_then(|file| Ok((stat_open(&file)?, file)))
        .map_err(|error| io_error("cannot open", spot.path, error.into()))
        .and_then(|(stat, file)| match stat.kind {
            NodeKind::File => Ok((file, stat)),
            _ => Err(Error::failed("no regular file any more").object(spot.path.to_string_lossy())),
        })
}

/// Opens the regular file at `path` for reading, with its metadata as opened.
///
/// A link as the last component is not followed, and a pipe does not make it wait; both are
/// errors.
pub fn open_source(path: &Path) -> Result<(File, Stat)> {
    let name = path_name(path)?;
    open_regular(Spot { directory: None, name: &name, path })
}

/// Returns the metadata of an open file, to be compared with an earlier answer.
pub fn stat_file(file: &File) -> Result<Stat> {
    stat_open(file)
        .map_err(|error| io_error("cannot look at", Path::new("(open file)"), error.into()))
}

/// Returns the metadata of the entry at `path`, not following a link; `None` if it is not there.
pub fn find_stat(path: &Path) -> Result<Option<Stat>> {
    match super::names::stat_at(rustix::fs::CWD, &path_name(path)?) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(error) => Err(io_error("cannot look at", path, error.into())),
    }
}

/// Makes a path fit for the system.
pub(super) fn path_name(path: &Path) -> Result<std::ffi::CString> {
    std::ffi::CString::new(path.as_os_str().as_bytes())
        .map_err(|_| Error::usage("no path may hold a NUL byte").object(path.to_string_lossy()))
}

fn open_quietly(directory: impl AsFd, name: &CStr) -> Result<File, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    #[cfg(target_os = "linux")]
    match rustix::fs::openat(&directory, name, flags | OFlags::NOATIME, Mode::empty()) {
        // Only the owner may leave the access time alone.
        Err(Errno::PERM) => {}
        other => return other.map(File::from),
    }
    rustix::fs::openat(&directory, name, flags, Mode::empty()).map(File::from)
}

/// Reads the first `limit` bytes of a regular file.
pub(super) fn read_head(
    directory: impl AsFd,
    name: &CStr,
    limit: usize,
) -> Result<Vec<u8>, std::io::Error> {
    let file = open_quietly(directory, name)?;
    if stat_open(&file)?.kind != NodeKind::File {
        return Err(std::io::ErrorKind::InvalidInput.into());
    }
    let mut head = Vec::new();
    file.take(limit as u64).read_to_end(&mut head)?;
    Ok(head)
}

/// A part of a file that is either data or a hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataRange {
    /// Where it begins.
    pub offset: u64,
    /// How long it is, in bytes; never 0.
    pub length: u64,
    /// Whether it is a hole: zeros that take no room.
    pub is_hole: bool,
}

/// The parts of a file in order, without gaps, from 0 to the size given.
///
/// Where the file system can't tell, all is data. Moves the file's own position, so readers use
/// `read_at`.
#[derive(Debug)]
pub struct DataRanges<'a> {
    file: &'a File,
    offset: u64,
    size: u64,
}

impl<'a> DataRanges<'a> {
    /// Looks at the first `size` bytes of a file.
    pub fn new(file: &'a File, size: u64) -> DataRanges<'a> {
        DataRanges { file, offset: 0, size }
    }

    fn up_to(&mut self, end: u64, is_hole: bool) -> Option<DataRange> {
        let offset = self.offset;
        let end = end.min(self.size);
        self.offset = end;
        Some(DataRange { offset, length: end.checked_sub(offset).filter(|&it| it > 0)?, is_hole })
    }
}

impl Iterator for DataRanges<'_> {
    type Item = DataRange;

    fn next(&mut self) -> Option<DataRange> {
        if self.offset >= self.size {
            return None;
        }
        match rustix::fs::seek(self.file, SeekFrom::Data(self.offset)) {
            Ok(data) if data > self.offset => self.up_to(data, true),
            Ok(_) => match rustix::fs::seek(self.file, SeekFrom::Hole(self.offset)) {
                Ok(hole) if hole > self.offset => self.up_to(hole, false),
                _ => self.up_to(self.size, false),
            },
            // No data from here to the end.
            Err(Errno::NXIO) => self.up_to(self.size, true),
            Err(_) => self.up_to(self.size, false),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;

    use super::*;

    #[test]
    fn ranges_cover_a_sparse_file_without_gaps() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(10 << 20).unwrap();
        file.write_all_at(b"data", 4 << 20).unwrap();
        let ranges: Vec<DataRange> = DataRanges::new(&file, 10 << 20).collect();
        let mut end = 0;
        for range in &ranges {
            assert_eq!(range.offset, end);
            end += range.length;
        }
        assert_eq!(end, 10 << 20);
        let data = ranges.iter().find(|range| !range.is_hole).unwrap();
        assert!(data.offset <= 4 << 20 && data.offset + data.length >= (4 << 20) + 4);
        let full = DataRanges::new(&file, 0).next();
        assert_eq!(full, None);
    }

    #[test]
    fn a_pipe_or_a_link_in_a_files_place_is_an_error_and_no_wait() {
        let root = tempfile::tempdir().unwrap();
        let pipe = root.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, Mode::RUSR).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", root.path().join("link")).unwrap();
        assert!(open_source(&pipe).is_err());
        assert!(open_source(&root.path().join("link")).is_err());
        assert!(open_source(root.path()).is_err());
        assert_eq!(find_stat(&root.path().join("none")).unwrap(), None);
    }
}
