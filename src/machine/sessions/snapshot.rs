//! The files of an agent's root in a snapshot, as readers of sessions ask for them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use tempfile::TempDir;

use super::super::private_copy;
use crate::agents::session::RootFiles;
use crate::engine::browse::{descend_to, join};
use crate::engine::inspect::dump::FileReader;
use crate::error::{Error, Result};
use crate::format::record::Root;
use crate::format::tree::{Node, NodeKind};
use crate::repository::Repository;
use crate::repository::reader::BlobReader;

/// What lies beside a session is read whole, and no more of it than this.
const LARGEST_BESIDE: u64 = 16 << 20;

/// A root in a snapshot. Databases are unpacked into a private folder, which goes with this.
pub(super) struct SnapshotFiles<'r> {
    repository: &'r Repository,
    root: Root,
    temporary_folder: PathBuf,
    unpacked: RefCell<HashMap<Vec<u8>, PathBuf>>,
    folder: RefCell<Option<TempDir>>,
}

impl<'r> SnapshotFiles<'r> {
    pub(super) fn new(repository: &'r Repository, root: &Root, temporary_folder: &Path) -> Self {
        SnapshotFiles {
            repository,
            root: root.clone(),
            temporary_folder: temporary_folder.to_owned(),
            unpacked: RefCell::default(),
            folder: RefCell::default(),
        }
    }

    /// Returns a reader of this root's files.
    pub(super) fn reader(&self) -> Result<BlobReader<'r>> {
        BlobReader::new(self.repository)
    }

    /// Returns the node at a path below the root, files that are no longer there among them.
    pub(super) fn node(
        &self,
        reader: &mut BlobReader<'_>,
        relative: &[u8],
    ) -> Result<Option<Node>> {
        if relative.is_empty() {
            return Ok(Some(self.root.node.clone()));
        }
        descend_to(reader, &self.root, &join(&self.root.place, relative))
    }

    /// Unpacks a file into the private folder, once; returns where it lies for as long as this lives.
    pub(super) fn unpacked(&self, relative: &[u8]) -> Result<Option<PathBuf>> {
        if let Some(path) = self.unpacked.borrow().get(relative) {
            return Ok(Some(path.clone()));
        }
        let mut reader = self.reader()?;
        let Some(node) = self.node(&mut reader, relative)? else { return Ok(None) };
        if node.kind != NodeKind::File {
            return Ok(None);
        }
        let mut folder = self.folder.borrow_mut();
        let folder = match folder.take() {
            Some(kept) => folder.insert(kept),
            None => folder.insert(private_copy::folder(&self.temporary_folder)?),
        };
        let number = self.unpacked.borrow().len();
        let path = folder.path().join(number.to_string());
        private_copy::write(&path, &mut FileReader::new(&mut reader, &node))?;
        self.unpacked.borrow_mut().insert(relative.to_vec(), path.clone());
        Ok(Some(path))
    }
}

impl RootFiles for SnapshotFiles<'_> {
    fn open(&self, relative: &[u8]) -> Result<Option<Box<dyn Read + '_>>> {
        let mut reader = self.reader()?;
        let Some(node) = self.node(&mut reader, relative)? else { return Ok(None) };
        if node.kind != NodeKind::File {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        FileReader::new(&mut reader, &node)
            .take(LARGEST_BESIDE)
            .read_to_end(&mut bytes)
            .map_err(|error| Error::failed("cannot read from the snapshot").source(error))?;
        Ok(Some(Box::new(std::io::Cursor::new(bytes))))
    }

    fn list(&self, relative: &[u8]) -> Result<Vec<Vec<u8>>> {
        let mut reader = self.reader()?;
        let Some(node) = self.node(&mut reader, relative)? else { return Ok(Vec::new()) };
        let mut names = Vec::new();
        let mut nodes = reader.nodes(&node.subtree);
        while let Some(node) = nodes.next(&mut reader)? {
            names.push(node.name.0.clone());
        }
        Ok(names)
    }

    fn database(&self, relative: &[u8]) -> Result<Option<Connection>> {
        self.unpacked(relative)?.map(|path| private_copy::open(&path)).transpose()
    }
}
