//! One entry that a walk has found, and the way back to it.
//!
//! An entry is reached through its parent directory's handle while the walk still has that open,
//! and else step by step from the root's handle. Neither way follows a link, so a directory that
//! was swapped for one meanwhile leads nowhere; and neither minds paths longer than the system
//! takes. Entries hold no handle but the root's, however many are kept.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use rustix::io::Errno;

use super::metadata::{Spot, open_regular, path_name, read_node};
use super::names::pass_directory;
use super::owners::Owners;
use super::stat::Stat;
use crate::error::{Result, io_error};
use crate::format::tree::Node;

/// Something that a walk has found.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its path: the walk's root, with the names below it.
    pub path: PathBuf,
    /// Its metadata, as of the walk.
    pub stat: Stat,
    pub(super) place: Place,
}

/// How to reach an entry again.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// `None` for the root itself.
    pub(super) root: Option<Arc<Root>>,
    pub(super) parent: Weak<OwnedFd>,
}

/// Where a walk began.
#[derive(Debug)]
pub(super) struct Root {
    pub(super) directory: OwnedFd,
    /// How many bytes of each path are the root's own; 0 for `/`.
    pub(super) path_length: usize,
}

impl Root {
    /// Opens the directory at `path`, which lies below the root, one step after the other.
    pub(super) fn reach(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        let below = path.get(self.path_length..).unwrap_or_default();
        let mut reached = self.directory.try_clone().map_err(|_| Errno::MFILE)?;
        for name in below.split(|&byte| byte == b'/').filter(|name| !name.is_empty()) {
            let name = CString::new(name).map_err(|_| Errno::INVAL)?;
            reached = pass_directory(&reached, &name)?;
        }
        Ok(reached)
    }
}

impl Entry {
    /// Returns the last component of the path: bytes, empty only for `/`.
    pub fn name(&self) -> &[u8] {
        self.path.file_name().map_or(&[], std::ffi::OsStr::as_bytes)
    }

    /// Opens the regular file for reading; returns its metadata as opened, which may be newer.
    pub fn open(&self) -> Result<(File, Stat)> {
        self.with_spot(open_regular)
    }

    /// Returns the node of this entry, its content (blobs, subtree) empty.
    pub fn read_node(&self, owners: &Owners) -> Result<Node> {
        self.read_node_as(&self.stat, owners)
    }

    /// Returns the node of this entry with newer metadata, such as a file's when it was opened.
    pub fn read_node_as(&self, stat: &Stat, owners: &Owners) -> Result<Node> {
        self.with_spot(|spot| read_node(spot, self.name(), stat, owners))
    }

    fn with_spot<T>(&self, work: impl FnOnce(Spot<'_>) -> Result<T>) -> Result<T> {
        let path: &Path = &self.path;
        let Some(root) = &self.place.root else {
            return work(Spot { directory: None, name: &path_name(path)?, path });
        };
        let name = CString::new(self.name()).unwrap_or_default();
        if let Some(parent) = self.place.parent.upgrade() {
            return work(Spot { directory: Some(parent.as_fd()), name: &name, path });
        }
        let bytes = path.as_os_str().as_bytes();
        let above = bytes.len().saturating_sub(name.as_bytes().len());
        let parent = root
            .reach(bytes.get(..above).unwrap_or_default())
            .map_err(|error| io_error("cannot reach", path, error.into()))?;
        work(Spot { directory: Some(parent.as_fd()), name: &name, path })
    }
}
