//! A file as a stream of its bytes, or directories as a tar archive.
//!
//! The archive is GNU tar with PAX headers for what its own don't hold: times to the nanosecond or
//! before 1970, and extended attributes. Names are relative, long ones whole. A name of a file that
//! was met already becomes a hard link. Sockets, and places that another root holds, are left out
//! and told. Memory: one blob, and the path of each file with several names.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use tar::{Builder, EntryType, Header};

use crate::engine::browse::{Found, TreeStep, TreeWalk, join};
use crate::error::{Error, Result};
use crate::event::{Counters, Event, Reporter};
use crate::format::pack::BlobKind;
use crate::format::tree::{Node, NodeKind};
use crate::id::BlobId;
use crate::repository::reader::BlobReader;

/// A file's content as a reader: its blobs one after the other, each verified.
pub struct FileReader<'a, 'r> {
    reader: &'a mut BlobReader<'r>,
    /// List segments not read yet, last first.
    segments: Vec<BlobId>,
    /// Data blobs not read yet, last first.
    blobs: Vec<BlobId>,
    current: std::io::Cursor<Vec<u8>>,
}

impl<'a, 'r> FileReader<'a, 'r> {
    /// Returns the content of a file's node.
    pub fn new(reader: &'a mut BlobReader<'r>, node: &Node) -> Self {
        let reversed = |ids: &[BlobId]| ids.iter().rev().copied().collect();
        FileReader {
            reader,
            segments: reversed(&node.segments.0),
            blobs: reversed(&node.blobs.0),
            current: std::io::Cursor::new(node.inline.0.clone()),
        }
    }

    /// Returns the next piece; `None` at the end.
    pub fn next_piece(&mut self) -> Result<Option<Vec<u8>>> {
        let current = std::mem::take(&mut self.current).into_inner();
        if !current.is_empty() {
            return Ok(Some(current));
        }
        loop {
            if let Some(id) = self.blobs.pop() {
                return self.reader.load(BlobKind::Data, &id).map(Some);
            }
            let Some(segment) = self.segments.pop() else { return Ok(None) };
            self.blobs = self.reader.load_list(&segment)?;
            self.blobs.reverse();
        }
    }
}

impl Read for FileReader<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        loop {
            let count = self.current.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            self.current.get_mut().clear();
            match self.next_piece().map_err(std::io::Error::other)? {
                Some(piece) => self.current = std::io::Cursor::new(piece),
                None => return Ok(0),
            }
        }
    }
}

/// Writes a file's bytes; nothing but whole, verified blobs.
pub fn file(
    reader: &mut BlobReader<'_>,
    node: &Node,
    out: &mut dyn Write,
    counters: &Counters,
) -> Result<()> {
    let mut content = FileReader::new(reader, node);
    while let Some(piece) = content.next_piece()? {
        counters.go_on()?;
        out.write_all(&piece).map_err(cannot_write)?;
    }
    Ok(())
}

fn cannot_write(error: std::io::Error) -> Error {
    Error::failed("cannot write the output").source(error)
}

/// An item of an archive, and the name that it gets there; empty for a directory whose content
/// goes to the top.
pub struct TarItem {
    /// The item.
    pub found: Found,
    /// Its relative name.
    pub name: Vec<u8>,
}

/// Writes items as a tar archive; returns how many items are missing from it.
///
/// An archive can't go back, so a file whose content turns out to be damaged ends it with an error.
pub fn archive(
    reader: &mut BlobReader<'_>,
    items: Vec<TarItem>,
    out: &mut dyn Write,
    counters: &Counters,
    reporter: &dyn Reporter,
) -> Result<u64> {
    let mut archive =
        Archive { builder: Builder::new(out), links: HashMap::new(), reporter, missing: 0 };
    for item in items {
        let top = item.found.path.len();
        let mut walk = TreeWalk::new(item.found, false);
        while let Some(step) = walk.next(reader) {
            counters.go_on()?;
            match step {
                TreeStep::Node(found) => {
                    let below = found.path.get(top..).unwrap_or_default();
                    let below = below.strip_prefix(b"/").unwrap_or(below);
                    let name = match (item.name.is_empty(), below.is_empty()) {
                        (true, _) => below.to_vec(),
                        (false, true) => item.name.clone(),
                        (false, false) => join(&item.name, below),
                    };
                    if !name.is_empty() {
                        archive.add(reader, &found, &name)?;
                    }
                }
                TreeStep::Leave => {}
                TreeStep::Failed { path, error } => archive.miss(&path, &error),
            }
        }
    }
    archive.builder.finish().map_err(cannot_write)?;
    Ok(archive.missing)
}

struct Archive<'a> {
    builder: Builder<&'a mut dyn Write>,
    /// The first name of each file that has several.
    links: HashMap<u64, Vec<u8>>,
    reporter: &'a dyn Reporter,
    missing: u64,
}

impl Archive<'_> {
    fn miss(&mut self, path: &[u8], error: &Error) {
        self.missing = self.missing.saturating_add(1);
        self.reporter.event(&Event::ItemFailed { path, error });
    }

    fn add(&mut self, reader: &mut BlobReader<'_>, found: &Found, name: &[u8]) -> Result<()> {
        let node = &found.node;
        let Some(kind) = entry_type(node.kind) else {
            let error = Error::failed(format!("a tar archive can't hold a {}", node.kind.name()));
            self.miss(&found.path, &error);
            return Ok(());
        };
        let path = Path::new(OsStr::from_bytes(name));
        let mut header = header(node);
        header.set_entry_type(kind);
        if node.hard_link != 0 {
            if let Some(first) = self.links.get(&node.hard_link) {
                header.set_entry_type(EntryType::Link);
                header.set_size(0);
                let first = Path::new(OsStr::from_bytes(first));
                return self
                    .builder
                    .append_link(&mut header, path, first)
                    .map_err(|error| failed(&found.path, error));
            }
            self.links.insert(node.hard_link, name.to_vec());
        }
        let extensions = extensions(node);
        if !extensions.is_empty() {
            let pairs = extensions.iter().map(|(key, value)| (key.as_str(), value.as_slice()));
            self.builder
                .append_pax_extensions(pairs)
                .map_err(|error| failed(&found.path, error))?;
        }
        let written = match node.kind {
            NodeKind::Symlink => {
                let target = Path::new(OsStr::from_bytes(&node.target));
                self.builder.append_link(&mut header, path, target)
            }
            NodeKind::File => {
                header.set_size(node.size);
                // What is shorter than it says would shift everything behind it.
                let content = FileReader::new(reader, node).take(node.size);
                self.builder.append_data(&mut header, path, Exact { content, left: node.size })
            }
            _ => self.builder.append_data(&mut header, path, std::io::empty()),
        };
        written.map_err(|error| failed(&found.path, error))
    }
}

/// A reader that fails if it ends too early.
struct Exact<R> {
    content: R,
    left: u64,
}

impl<R: Read> Read for Exact<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.content.read(buffer)?;
        self.left = self.left.saturating_sub(count as u64);
        if count == 0 && self.left > 0 && !buffer.is_empty() {
            return Err(std::io::Error::other("the content is shorter than the file's size"));
        }
        Ok(count)
    }
}

/// An error that went through a `Read` comes back as what it was.
fn failed(path: &[u8], error: std::io::Error) -> Error {
    let damage = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    let kind = damage.map_or(crate::error::Kind::Failed, Error::kind);
    Error::new(kind, "cannot archive").object(String::from_utf8_lossy(path)).source(error)
}

fn entry_type(kind: NodeKind) -> Option<EntryType> {
    match kind {
        NodeKind::File => Some(EntryType::Regular),
        NodeKind::Directory => Some(EntryType::Directory),
        NodeKind::Symlink => Some(EntryType::Symlink),
        NodeKind::Fifo => Some(EntryType::Fifo),
        NodeKind::CharDevice => Some(EntryType::Char),
        NodeKind::BlockDevice => Some(EntryType::Block),
        NodeKind::Socket | NodeKind::Reference => None,
    }
}

fn header(node: &Node) -> Header {
    let mut header = Header::new_gnu();
    header.set_mode(node.mode);
    header.set_uid(node.uid.into());
    header.set_gid(node.gid.into());
    header.set_mtime(u64::try_from(node.mtime.0).unwrap_or(0));
    header.set_size(0);
    // Names that are too long for their field are left out; the numbers say the same.
    if let Some(user) = &node.user {
        let _too_long = header.set_username(user).is_err();
    }
    if let Some(group) = &node.group {
        let _too_long = header.set_groupname(group).is_err();
    }
    if let Some((major, minor)) = node.device {
        let _no_room = header.set_device_major(major).is_err();
        let _no_room = header.set_device_minor(minor).is_err();
    }
    header
}

fn extensions(node: &Node) -> Vec<(String, Vec<u8>)> {
    let mut pairs = Vec::new();
    if node.mtime.1 != 0 || node.mtime.0 < 0 {
        pairs.push(("mtime".to_owned(), decimal(node.mtime.0, node.mtime.1).into_bytes()));
    }
    for (name, value) in &node.xattrs {
        if let Ok(name) = std::str::from_utf8(name)
            && !name.contains('=')
        {
            pairs.push((format!("SCHILY.xattr.{name}"), value.0.clone()));
        }
    }
    pairs
}

/// Returns a time as a decimal number: seconds are rounded down, so -1 s and 0.5 s is -0.5.
fn decimal(seconds: i64, nanoseconds: u32) -> String {
    if seconds >= 0 || nanoseconds == 0 {
        return format!("{seconds}.{nanoseconds:09}");
    }
    let rest = 1_000_000_000_u32.saturating_sub(nanoseconds);
    format!("-{}.{rest:09}", seconds.saturating_add(1).unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::super::testing::Fixture;
    use super::*;
    use crate::engine::browse::find;
    use crate::event::Silent;

    #[test]
    fn times_before_1970_are_written_as_they_are_read() {
        assert_eq!(decimal(5, 7), "5.000000007");
        assert_eq!(decimal(-1, 500_000_000), "-0.500000000");
        assert_eq!(decimal(-2, 0), "-2.000000000");
        assert_eq!(decimal(-3, 999_999_999), "-2.000000001");
    }

    #[test]
    fn an_archive_holds_long_names_links_and_content() {
        let fixture = Fixture::new();
        let long = format!("{}/{}", "d".repeat(120), "f".repeat(250));
        fixture.write(&long, &vec![7; 100_000]);
        fixture.write("empty", b"");
        std::os::unix::fs::symlink("/somewhere/else", fixture.path("link")).unwrap();
        std::fs::hard_link(fixture.path(&long), fixture.path("z")).unwrap();
        let snapshot = fixture.backup();
        let mut reader = fixture.reader();
        let mut found = find(&mut reader, &snapshot, &fixture.place("")).unwrap();
        let items = vec![TarItem { found: found.remove(0), name: Vec::new() }];
        let mut bytes = Vec::new();
        let counters = Counters::default();
        let missing = archive(&mut reader, items, &mut bytes, &counters, &Silent).unwrap();
        assert_eq!(missing, 0);

        let mut read = tar::Archive::new(bytes.as_slice());
        let mut seen = Vec::new();
        for entry in read.entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = String::from_utf8(entry.path_bytes().to_vec()).unwrap();
            let link = entry.link_name_bytes().map(|link| link.to_vec());
            let kind = entry.header().entry_type();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            seen.push((path, kind, link, content.len()));
        }
        let (folder, _) = long.split_once('/').unwrap();
        let expected = vec![
            (folder.to_owned(), EntryType::Directory, None, 0),
            (long.clone(), EntryType::Regular, None, 100_000),
            ("empty".to_owned(), EntryType::Regular, None, 0),
            ("link".to_owned(), EntryType::Symlink, Some(b"/somewhere/else".to_vec()), 0),
            ("z".to_owned(), EntryType::Link, Some(long.into_bytes()), 0),
        ];
        assert_eq!(seen, expected);
    }
}
