//! A directory's names in byte order, and the careful ways of opening directories.
//!
//! All names of a directory lie in one allocation, with eight bytes of index each: a million
//! names of twelve bytes take about 25 MB. Nothing here follows a symbolic link.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::stat::Stat;

/// Flags for a directory whose entries are wanted.
const LIST: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Flags for a directory that is only passed through.
#[cfg(target_os = "linux")]
const PASS: OFlags =
    OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
#[cfg(not(target_os = "linux"))]
const PASS: OFlags = LIST;

/// The names in a directory, in ascending order of their bytes.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// The names one after the other, each followed by a NUL byte.
    bytes: Vec<u8>,
    index: Vec<Span>,
}

#[derive(Debug, Clone, Copy)]
struct Span {
    start: u32,
    /// Without the NUL byte.
    length: u16,
}

impl Names {
    /// Reads all names of an open directory; `.` and `..` are not among them.
    pub(super) fn read(directory: BorrowedFd<'_>) -> Result<Names, Errno> {
        let mut names = Names::default();
        read_names(directory, &mut names)?;
        names.bytes.shrink_to_fit();
        names.index.shrink_to_fit();
        let Names { bytes, index } = &mut names;
        index.sort_unstable_by(|a, b| a.of(bytes).cmp(b.of(bytes)));
        // A name that is renamed while it is listed may come twice, which no tree may hold.
        index.dedup_by(|a, b| a.of(bytes) == b.of(bytes));
        Ok(names)
    }

    fn push(&mut self, name: &CStr) -> Result<(), Errno> {
        let name = name.to_bytes_with_nul();
        if matches!(name, b".\0" | b"..\0" | b"\0") {
            return Ok(());
        }
        let start = u32::try_from(self.bytes.len()).map_err(|_| Errno::OVERFLOW)?;
        let length = u16::try_from(name.len().saturating_sub(1)).map_err(|_| Errno::NAMETOOLONG)?;
        self.bytes.extend_from_slice(name);
        self.index.push(Span { start, length });
        Ok(())
    }

    /// Returns how many names there are.
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// Returns the name at `place`; empty if there is none.
    pub(super) fn get(&self, place: usize) -> &[u8] {
        self.index.get(place).map_or(&[], |span| span.of(&self.bytes))
    }

    /// Returns the name at `place` as the system wants it.
    pub(super) fn c_str(&self, place: usize) -> &CStr {
        self.index
            .get(place)
            .and_then(|span| self.bytes.get(span.start as usize..))
            .and_then(|rest| CStr::from_bytes_until_nul(rest).ok())
            .unwrap_or(c"")
    }

    /// Finds a name's place.
    pub(super) fn find(&self, name: &[u8]) -> Option<usize> {
        self.index.binary_search_by(|span| span.of(&self.bytes).cmp(name)).ok()
    }

    /// Forgets every name but the one at `place`.
    pub(super) fn keep_only(&mut self, place: usize) {
        if let Some(&span) = self.index.get(place) {
            self.index = vec![span];
        }
    }
}

impl Span {
    fn of(self, bytes: &[u8]) -> &[u8] {
        let start = self.start as usize;
        bytes.get(start..start.saturating_add(usize::from(self.length))).unwrap_or(&[])
    }
}

#[cfg(target_os = "linux")]
fn read_names(directory: BorrowedFd<'_>, names: &mut Names) -> Result<(), Errno> {
    let mut buffer: Vec<u8> = Vec::with_capacity(64 << 10);
    let mut entries = rustix::fs::RawDir::new(directory, buffer.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        names.push(entry?.file_name())?;
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn read_names(directory: BorrowedFd<'_>, names: &mut Names) -> Result<(), Errno> {
    for entry in rustix::fs::Dir::read_from(directory)? {
        names.push(entry?.file_name())?;
    }
    Ok(())
}

/// Returns the metadata of the entry `name`, which is not followed if it is a link.
pub(super) fn stat_at(directory: impl AsFd, name: &CStr) -> Result<Stat, Errno> {
    Stat::from_system(&rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Returns the metadata of something open.
pub(super) fn stat_open(file: impl AsFd) -> Result<Stat, Errno> {
    Stat::from_system(&rustix::fs::fstat(file)?)
}

/// Opens the directory `name` to list it. A link in its place is an error.
pub(super) fn open_directory(parent: impl AsFd, name: &CStr) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(parent, name, LIST, Mode::empty())
}

/// Opens the directory `name` to reach what lies in it; it need not be readable.
pub(super) fn pass_directory(parent: impl AsFd, name: &CStr) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(parent, name, PASS, Mode::empty())
}

/// Opens the directory that `child` lies in, if that is still the one with the identity given.
pub(super) fn open_parent(child: impl AsFd, identity: Identity) -> Result<OwnedFd, Errno> {
    let parent = open_directory(child, c"..")?;
    if Identity::of(&parent)? == identity { Ok(parent) } else { Err(Errno::STALE) }
}

/// Which directory something is, as long as it exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    /// Asks for the identity of something open.
    pub(super) fn of(file: impl AsFd) -> Result<Identity, Errno> {
        let stat = stat_open(file)?;
        Ok(Identity { device: stat.device, inode: stat.inode })
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests make the files that are listed")]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    #[test]
    fn names_are_sorted_by_bytes_whatever_they_are() {
        let root = tempfile::tempdir().unwrap();
        let long = vec![b'n'; 255];
        let wanted: [&[u8]; 6] = [b"A", b"a b", b"a\n", b"a\xff\xfe", &long, b"\xc3\xa9"];
        for name in wanted {
            std::fs::write(root.path().join(std::ffi::OsStr::from_bytes(name)), b"").unwrap();
        }
        let directory = std::fs::File::open(root.path()).unwrap();
        let names = Names::read(directory.as_fd()).unwrap();
        let got: Vec<&[u8]> = (0..names.len()).map(|place| names.get(place)).collect();
        let mut sorted = wanted.to_vec();
        sorted.sort_unstable();
        assert_eq!(got, sorted);
        assert_eq!(names.find(b"a b").map(|place| names.c_str(place)), Some(c"a b"));
        assert_eq!(names.find(b"none"), None);
    }
}
