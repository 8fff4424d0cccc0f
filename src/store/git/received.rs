//! What came from a remote: small things in memory, large ones in files without a name, which go
//! with the process that made them.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::failure::{GitFailure, Outcome};
use super::object::{Kind, Oid};

/// What is longer than this goes to disk, in bytes.
const SMALL: usize = 64 << 10;

/// The bytes of an object.
#[derive(Debug, Clone)]
pub(super) enum Content {
    Memory(Bytes),
    Disk { file: Arc<File>, start: u64, length: u64 },
}

impl Content {
    pub(super) fn len(&self) -> u64 {
        match self {
            Content::Memory(bytes) => bytes.len() as u64,
            Content::Disk { length, .. } => *length,
        }
    }

    /// Returns the bytes from `from` to `until`, which must lie within.
    pub(super) fn read(&self, from: u64, until: u64) -> Outcome<Bytes> {
        let cut = || GitFailure::odd("an object is shorter than it was");
        let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
        match self {
            Content::Memory(bytes) => {
                let whole = place(until) <= bytes.len() && from <= until;
                whole.then(|| bytes.slice(place(from)..place(until))).ok_or_else(cut)
            }
            Content::Disk { file, start, length } => {
                if until > *length || from > until {
                    return Err(cut());
                }
                let mut bytes = vec![0; place(until - from)];
                file.read_exact_at(&mut bytes, start.saturating_add(from))
                    .map_err(|error| GitFailure::disk("cannot read from the cache", &error))?;
                Ok(bytes.into())
            }
        }
    }

    pub(super) fn whole(&self) -> Outcome<Bytes> {
        self.read(0, self.len())
    }
}

/// Whether blobs that are too long for memory are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Large {
    Keep,
    /// They come along because the server can't leave them out.
    Drop,
}

/// Objects that came.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) objects: HashMap<Oid, (Kind, Content)>,
    large: Large,
    folder: Option<PathBuf>,
    file: Option<(Arc<File>, u64)>,
}

impl Received {
    /// Starts with nothing. `folder` is where large things go; without one, to the system's own.
    pub(super) fn new(large: Large, folder: Option<&Path>) -> Received {
        Received { objects: HashMap::new(), large, folder: folder.map(Path::to_owned), file: None }
    }

    pub(super) fn add(&mut self, oid: Oid, kind: Kind, bytes: Vec<u8>) -> Outcome<()> {
        if bytes.len() <= SMALL || kind != Kind::Blob {
            self.objects.insert(oid, (kind, Content::Memory(bytes.into())));
            return Ok(());
        }
        if self.large == Large::Drop {
            return Ok(());
        }
        let fail = |error: std::io::Error| GitFailure::disk("cannot write to the cache", &error);
        let (file, end) = if let Some(open) = self.file.take() {
            open
        } else {
            let own = self.folder.as_ref().map(tempfile::tempfile_in);
            // The cache may have been deleted in the meantime.
            let file = match own {
                Some(Ok(file)) => Ok(file),
                Some(Err(_)) | None => tempfile::tempfile(),
            };
            (Arc::new(file.map_err(fail)?), 0)
        };
        (&*file).write_all(&bytes).map_err(fail)?;
        let length = bytes.len() as u64;
        let content = Content::Disk { file: Arc::clone(&file), start: end, length };
        self.objects.insert(oid, (kind, content));
        self.file = Some((file, end.saturating_add(length)));
        Ok(())
    }

    pub(super) fn get(&self, oid: &Oid) -> Option<&(Kind, Content)> {
        self.objects.get(oid)
    }

    /// Returns an object of a kind, whole, if it is here.
    pub(super) fn bytes(&self, oid: &Oid, kind: Kind) -> Option<Bytes> {
        let (own, content) = self.get(oid)?;
        (*own == kind).then(|| content.whole().ok()).flatten()
    }
}
