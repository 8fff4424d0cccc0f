//! Deleting, which needs a permit, and only the protocol that reasons about other writers and the
//! ages of objects issues one.

use std::sync::atomic::Ordering;

use futures_util::StreamExt as _;
use object_store::ObjectStoreExt as _;

use super::calls::{Failed, traced};
use super::{ObjectName, Store, path_of};
use crate::error::Result;

/// How many objects are being deleted at a time.
const AT_ONCE: usize = 16;

/// Leave to delete one object. `tests/layers.rs` holds that `repository/log` alone issues them.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct DeletePermit(ObjectName);

impl DeletePermit {
    /// Issues a permit.
    pub(crate) fn issue(name: ObjectName) -> DeletePermit {
        DeletePermit(name)
    }

    /// Returns the object that may be deleted.
    pub fn name(&self) -> &ObjectName {
        &self.0
    }
}

impl Store {
    /// Deletes an object. One that is gone already is no error.
    pub fn delete(&self, permit: DeletePermit) -> Result<()> {
        self.block_on(self.remove(permit.0)).1
    }

    /// Deletes objects, several at a time. Says of each whether it is gone, in the order given.
    pub fn delete_all(&self, permits: Vec<DeletePermit>) -> Vec<(ObjectName, Result<()>)> {
        let removals = permits.into_iter().map(|permit| self.remove(permit.0));
        let at_once = self.side_by_side(AT_ONCE);
        self.block_on(futures_util::stream::iter(removals).buffered(at_once).collect())
    }

    /// Deletes a key slot: the one thing besides garbage that is ever deleted, and only when the
    /// user asks for it. A slot that is gone already is no error.
    pub fn delete_key_slot(&self, id: &crate::id::ObjectHash) -> Result<()> {
        let name = ObjectName::KeySlot(*id);
        self.block_on(self.remove(name.clone())).1?;
        // Unlike garbage, it must not be there again after the power failed.
        self.sync_name(&name)
    }

    /// Deletes a grant, once a newer one holds all that it does. One that is gone already is no
    /// error.
    pub fn delete_grant(&self, id: &crate::id::ObjectHash) -> Result<()> {
        self.block_on(self.remove(ObjectName::Grant(*id))).1
    }

    async fn remove(&self, name: ObjectName) -> (ObjectName, Result<()>) {
        let result = match traced(self.inner.delete(&path_of(&name))).await {
            Ok(()) => Ok(()),
            Err(failed) if failed.is_missing() => Ok(()),
            Err(failed) => {
                self.note_refusal(&failed);
                Err(self.error("cannot delete", &name.to_string(), failed))
            }
        };
        (name, result)
    }

    /// Notes that deleting is not allowed, if that is why it failed.
    pub(super) fn note_refusal(&self, failed: &Failed) {
        if failed.is_forbidden() {
            self.refuses_deletion.store(true, Ordering::Relaxed);
        }
    }

    /// Returns whether this store has refused to delete something since it was opened: its
    /// credentials may only add.
    pub fn refuses_deletion(&self) -> bool {
        self.refuses_deletion.load(Ordering::Relaxed)
    }
}
