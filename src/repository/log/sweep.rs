//! Leave to delete: the one place that issues it.

use super::{Committed, RecordParts};
use crate::error::{Error, Result};
use crate::id::ObjectHash;
use crate::repository::Repository;
use crate::store::{DeletePermit, ObjectName};
use crate::time::Timestamp;

impl Repository {
    /// Publishes a record with a sweep, and then gives leave to delete what it names: nothing is
    /// deleted that no durable record says is gone (rule 27). `objects` are the names of what the
    /// sweep names by its hash.
    pub fn append_sweep(
        &self,
        parts: RecordParts,
        objects: &[ObjectName],
        now: Timestamp,
    ) -> Result<(Committed, Vec<DeletePermit>)> {
        let named: std::collections::HashSet<ObjectHash> =
            parts.sweep.iter().flat_map(|sweep| sweep.objects.iter().copied()).collect();
        if let Some(object) = objects.iter().find(|name| !named.contains(&name.hash())) {
            return Err(Error::failed("a sweep does not name").object(object.to_string()));
        }
        let committed = self.append(parts, now)?;
        Ok((committed, objects.iter().cloned().map(DeletePermit::issue).collect()))
    }

    /// Gives leave to delete what an earlier sweep named and did not get round to.
    pub fn permit_leftovers(&self, objects: &[ObjectName]) -> Result<Vec<DeletePermit>> {
        let gone = self.cache().gone()?;
        let leftovers = objects.iter().filter(|name| gone.contains(&name.hash()));
        Ok(leftovers.cloned().map(DeletePermit::issue).collect())
    }
}
