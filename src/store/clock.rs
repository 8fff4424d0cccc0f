//! What time it is for a store: when it says that an object was written just now.

use bytes::Bytes;
use object_store::ObjectStoreExt as _;

use super::Store;
use crate::codec::crypto::random_bytes;
use crate::error::{Error, Result};
use crate::time::Timestamp;

/// What is stored below this is no object of a repository, and nobody misses it.
pub(super) const SCRATCH: &str = "probe";
/// What is put to learn the time begins so.
pub(super) const CLOCK: &str = "probe/clock-";

impl Store {
    /// Returns the store's own time. Writes a few bytes and deletes them again.
    pub fn now(&self) -> Result<Timestamp> {
        let number = random_bytes::<8>()
            .map(u64::from_le_bytes)
            .map_err(|error| Error::failed("cannot make up a name").source(error))?;
        let path = object_store::path::Path::from(format!("{CLOCK}{number:016x}"));
        let fail = |failed| self.error("cannot ask the time of", path.as_ref(), failed);
        self.put_scratch(&path, Bytes::from_static(b"clock")).map_err(fail)?;
        let meta = self.run(self.inner.head(&path));
        // What can't be deleted is a few bytes that nobody misses.
        if let Err(failed) = self.run(self.inner.delete(&path)) {
            self.note_refusal(&failed);
        }
        let modified = meta.map_err(fail)?.last_modified;
        modified
            .timestamp_nanos_opt()
            .map(Timestamp)
            .ok_or_else(|| Error::failed("the store has no time that can be used"))
    }
}
