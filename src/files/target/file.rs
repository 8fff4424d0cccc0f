//! A file while it is being restored.
//!
//! It appears whole or not at all: it is made under a hidden name beside its own, and renamed when
//! its content and metadata are complete and, if the caller cares, synced. Until then, dropping it
//! removes it. Into an empty target a file may be made under its own name at once.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use rustix::fs::AtFlags;

use super::TargetDir;
use crate::error::{Error, IoContext as _, Result};
use crate::files::apply::{ApplyOptions, Subject, apply};
use crate::files::owners::Owners;
use crate::format::tree::Node;
use crate::id::to_hex;

/// What a temporary name has around the name proper: `.NAME.stash-XXXXXXXX.tmp`.
const TEMPORARY: (&[u8], &[u8]) = (b".stash-", b".tmp");
/// What a file system takes as one name.
const NAME_MAX: usize = 255;

/// Returns a random name beside `name`, within what a file system takes.
pub(super) fn temporary_name(name: &[u8]) -> Result<Vec<u8>> {
    let mut random = [0; 4];
    getrandom::fill(&mut random).map_err(|error| {
        Error::failed("the system gives no random bytes").source(error.to_string())
    })?;
    let mark = to_hex(&random);
    let around = TEMPORARY.0.len().saturating_add(TEMPORARY.1.len()).saturating_add(mark.len());
    let room = NAME_MAX.saturating_sub(around.saturating_add(1));
    let kept = name.get(..name.len().min(room)).unwrap_or(name);
    Ok([b".", kept, TEMPORARY.0, mark.as_bytes(), TEMPORARY.1].concat())
}

/// Returns whether a name is one that [`TargetDir::create_temporary`] gives.
pub fn is_temporary_name(name: &[u8]) -> bool {
    let inner = name.strip_prefix(b".").and_then(|rest| rest.strip_suffix(TEMPORARY.1));
    inner.and_then(|inner| inner.split_last_chunk::<8>()).is_some_and(|(before, mark)| {
        mark.iter().all(u8::is_ascii_hexdigit) && before.ends_with(TEMPORARY.0)
    })
}

/// A file being written. Dropped without [`finish`](Self::finish) or
/// [`rename_over`](Self::rename_over), it is removed.
#[derive(Debug)]
pub struct TargetFile {
    pub(super) file: File,
    pub(super) pending: PendingFile,
}

impl TargetFile {
    /// Writes all bytes at an offset. What is never written reads as zeros.
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.file.write_all_at(bytes, offset).at("cannot write", &self.path())
    }

    /// Cuts or extends the file; what is added is a hole.
    pub fn set_length(&self, length_bytes: u64) -> Result<()> {
        self.file.set_len(length_bytes).at("cannot set the length of", &self.path())
    }

    /// Applies a node's owner, attributes, mode and time; returns what could not be applied.
    ///
    /// To be called after the last write.
    pub fn apply(&self, node: &Node, options: ApplyOptions, owners: &Owners) -> Vec<Error> {
        let path = self.path();
        let subject = Subject {
            file: Some(self.file.as_fd()),
            directory: self.pending.directory.directory.as_fd(),
            name: &self.pending.name,
            path: &path,
        };
        apply(subject, node, options, owners)
    }

    /// Makes the file's content and metadata durable.
    pub fn sync(&self) -> Result<()> {
        self.file.sync_all().at("cannot sync", &self.path())
    }

    /// Returns the open file, for reading back.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Closes the file; it is still removed unless kept or renamed.
    pub fn close(self) -> PendingFile {
        self.pending
    }

    /// Closes the file and keeps it under the name it was made with.
    pub fn finish(self) {
        self.pending.finish();
    }

    /// Closes the file and gives it the name proper, replacing what was there.
    pub fn rename_over(self, name: &[u8]) -> Result<()> {
        self.pending.rename_over(name)
    }

    fn path(&self) -> PathBuf {
        self.pending.directory.join(self.pending.name.as_bytes())
    }
}

/// A closed file that has no name proper yet; dropped, it is removed.
#[derive(Debug)]
pub struct PendingFile {
    pub(super) directory: TargetDir,
    pub(super) name: CString,
    pub(super) kept: bool,
}

impl PendingFile {
    /// Keeps the file under the name it was made with.
    pub fn finish(mut self) {
        self.kept = true;
    }

    /// Gives the file the name proper, replacing what was there unless that is a directory.
    pub fn rename_over(mut self, name: &[u8]) -> Result<()> {
        let directory = &self.directory.directory;
        let new = self.directory.checked(name)?;
        rustix::fs::renameat(directory, &*self.name, directory, &*new)
            .map_err(|error| self.directory.error("cannot replace", name, error))?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for PendingFile {
    fn drop(&mut self) {
        if !self.kept {
            // Best effort: the error that led here is the one to tell.
            let _ = rustix::fs::unlinkat(&self.directory.directory, &*self.name, AtFlags::empty());
        }
    }
}
