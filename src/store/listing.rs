//! What lies in a store: listings, whole, by kind, or from a name on.

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use object_store::ObjectMeta;
use object_store::path::Path;

use super::calls::traced;
use super::clock::SCRATCH;
use super::failure::Longer;
use super::{LOCK_FILE, ObjectName, Store, path_of};
use crate::error::Result;
use crate::id::LaneId;
use crate::time::Timestamp;

/// A listing of more rows than this never ends: so many packs would be 64 TiB.
const MOST_ROWS: usize = 1 << 22;

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

impl Store {
    /// Lists objects in ascending order of their names. What is no object's name is left out.
    pub fn list(&self, prefix: Prefix) -> Result<Vec<Listed>> {
        self.block_on(self.rows(prefix, None))
    }

    /// Lists the objects whose names, as text, come after that of `after`.
    pub fn list_after(&self, prefix: Prefix, after: &ObjectName) -> Result<Vec<Listed>> {
        self.block_on(self.rows(prefix, Some(after)))
    }

    /// Lists several prefixes side by side, each from after a name on if one is given.
    pub fn list_many(&self, wanted: &[(Prefix, Option<ObjectName>)]) -> Result<Vec<Vec<Listed>>> {
        let listings = wanted.iter().map(|(prefix, after)| self.rows(*prefix, after.as_ref()));
        self.block_on(futures_util::future::join_all(listings)).into_iter().collect()
    }

    /// Lists everything: objects in ascending order of their names, and what has no object's name.
    pub fn list_all(&self) -> Result<(Vec<Listed>, Vec<String>)> {
        let rows = self
            .run(gather(self.inner.list(None)))
            .map_err(|failed| self.error("cannot list", "", failed))?;
        let (objects, mut others) = sorted(rows);
        let scratch = format!("{SCRATCH}/");
        others.retain(|name| name != LOCK_FILE && !name.starts_with(&scratch));
        Ok((objects, others))
    }

    async fn rows(&self, prefix: Prefix, after: Option<&ObjectName>) -> Result<Vec<Listed>> {
        let path = prefix.path();
        let after = after.map(path_of);
        let rows = match &after {
            Some(after) => self.inner.list_with_offset(Some(&path), after),
            None => self.inner.list(Some(&path)),
        };
        let mut rows = traced(gather(rows))
            .await
            .map_err(|failed| self.error("cannot list", path.as_ref(), failed))?;
        // A store may know nothing of where to begin.
        rows.retain(|row| after.as_ref().is_none_or(|after| row.location > *after));
        Ok(sorted(rows).0)
    }
}

async fn gather(
    mut from: BoxStream<'static, object_store::Result<ObjectMeta>>,
) -> object_store::Result<Vec<ObjectMeta>> {
    let mut rows = Vec::new();
    while let Some(row) = from.next().await.transpose()? {
        if rows.len() == MOST_ROWS {
            return Err(object_store::Error::Generic { store: "store", source: Box::new(Longer) });
        }
        rows.push(row);
    }
    Ok(rows)
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
