//! What is kept of a git remote in the cache: the trees that were seen last, so that opening it
//! anew fetches only what changed. May be deleted at any moment; what is in it is taken by the
//! hashes that the remote's commit names, so that an old or damaged file is as good as none.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::object::{Kind, Oid, oid_of};
use super::state::{Loader, State};
use crate::codec::crypto::object_hash;

/// A folder of the cache.
pub(super) struct Mirror {
    folder: Option<PathBuf>,
}

impl Mirror {
    /// Makes (0700) the folder for a branch of a remote. If that can't be, nothing is kept.
    pub(super) fn open(cache: Option<&Path>, url: &str, branch: &str) -> Mirror {
        use std::os::unix::fs::DirBuilderExt as _;
        let hash = object_hash(format!("{url}\n{branch}").as_bytes()).to_string();
        let folder = cache.map(|cache| cache.join("git").join(hash.get(..32).unwrap_or_default()));
        let make = |folder: &PathBuf| {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).is_ok()
        };
        Mirror { folder: folder.filter(make) }
    }

    /// Returns the folder, if there is one.
    pub(super) fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// Reads the state that was kept.
    #[expect(clippy::disallowed_methods, reason = "the mirror lies in the cache")]
    pub(super) fn read(&self) -> Option<State> {
        let bytes = std::fs::read(self.folder.as_ref()?.join("trees")).ok()?;
        let mut rest = Bytes::from(bytes);
        let mut objects = HashMap::new();
        let mut commit = None;
        while !rest.is_empty() {
            let kind = match rest.first()? {
                1 => Kind::Commit,
                2 => Kind::Tree,
                _ => Kind::Blob,
            };
            let length = u32::from_le_bytes(rest.get(1..5)?.try_into().ok()?) as usize;
            let end = length.checked_add(5).filter(|end| *end <= rest.len())?;
            let object = rest.slice(5..end);
            let oid = oid_of(kind, &[&object]);
            if kind == Kind::Commit {
                commit = Some(oid);
            }
            objects.insert(oid, object);
            rest = rest.slice(end..);
        }
        let find = |oid: &Oid, _| objects.get(oid).cloned();
        Loader::new(&State::default(), &find).load(commit?)
    }

    /// Keeps a state. What goes wrong costs a fetch, and nothing else.
    pub(super) fn keep(&self, state: &State) {
        let Some(folder) = &self.folder else { return };
        let mut bytes = Vec::new();
        for (kind, object) in state.objects() {
            let Ok(length) = u32::try_from(object.len()) else { return };
            bytes.push(kind as u8);
            bytes.extend_from_slice(&length.to_le_bytes());
            bytes.extend_from_slice(&object);
        }
        let write = || {
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            file.write_all(&bytes)?;
            file.persist(folder.join("trees")).map_err(|error| error.error)
        };
        let _kept = write().is_ok();
    }
}
