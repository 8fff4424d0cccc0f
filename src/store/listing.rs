//! What lies in a store: listings, whole, by kind, or from a name on.

use futures_util::TryStreamExt as _;
use futures_util::stream::BoxStream;
use object_store::ObjectMeta;
use object_store::path::Path;

use super::clock::SCRATCH;
use super::{LOCK_FILE, ObjectName, Store, block_on, path_of};
use crate::error::Result;
use crate::id::LaneId;
use crate::time::Timestamp;

/// One row of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The object.
    pub name: ObjectName,
    /// Its length in bytes.
    pub size: u64,
    /// When it was stored, by the store's own clock.
    pub modified: Timestamp,
}

/// What to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prefix {
    /// Repository headers.
    Repository,
    /// Key slots.
    Keys,
    /// Records.
    Log,
    /// Records that the collector needs.
    GlobalLog,
    /// One lane's records of snapshots.
    Lane(LaneId),
    /// Packs.
    Packs,
    /// Index segments.
    Index,
}

impl Prefix {
    fn path(self) -> Path {
        match self {
            Prefix::Repository => Path::from("repo"),
            Prefix::Keys => Path::from("keys"),
            Prefix::Log => Path::from("log"),
            Prefix::GlobalLog => Path::from("log/g"),
            Prefix::Lane(lane) => Path::from(format!("log/s/{lane}")),
            Prefix::Packs => Path::from("packs"),
            Prefix::Index => Path::from("index"),
        }
    }
}

type Rows = BoxStream<'static, object_store::Result<ObjectMeta>>;

impl Store {
    /// Lists objects in ascending order of their names. What is no object's name is left out.
    pub fn list(&self, prefix: Prefix) -> Result<Vec<Listed>> {
        let path = prefix.path();
        let rows = self.inner.list(Some(&path));
        Ok(sorted(self.collect(rows, &path)?).0)
    }

    /// Lists the objects whose names, as text, come after that of `after`.
    pub fn list_after(&self, prefix: Prefix, after: &ObjectName) -> Result<Vec<Listed>> {
        let (path, after) = (prefix.path(), path_of(after));
        let mut rows = self.collect(self.inner.list_with_offset(Some(&path), &after), &path)?;
        // A store may know nothing of where to begin.
        rows.retain(|row| row.location > after);
        Ok(sorted(rows).0)
    }

    /// Lists everything: objects in ascending order of their names, and what has no object's name.
    pub fn list_all(&self) -> Result<(Vec<Listed>, Vec<String>)> {
        let (objects, mut others) = sorted(self.collect(self.inner.list(None), &Path::default())?);
        let scratch = format!("{SCRATCH}/");
        others.retain(|name| name != LOCK_FILE && !name.starts_with(&scratch));
        Ok((objects, others))
    }

    fn collect(&self, rows: Rows, path: &Path) -> Result<Vec<ObjectMeta>> {
        block_on(rows.try_collect())
            .map_err(|error| self.error("cannot list", path.as_ref(), error))
    }
}

/// Parts the rows into objects and what is none; a row that comes twice counts once.
fn sorted(rows: Vec<ObjectMeta>) -> (Vec<Listed>, Vec<String>) {
    let (mut objects, mut others) = (Vec::new(), Vec::new());
    for row in rows {
        match ObjectName::parse(row.location.as_ref()) {
            Some(name) => objects.push(Listed {
                name,
                size: row.size,
                modified: Timestamp(row.last_modified.timestamp_nanos_opt().unwrap_or(i64::MAX)),
            }),
            None => others.push(row.location.to_string()),
        }
    }
    objects.sort_by(|a, b| a.name.cmp(&b.name));
    objects.dedup_by(|a, b| a.name == b.name);
    others.sort();
    (objects, others)
}
