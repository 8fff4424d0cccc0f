//! One object at a time: put, get, ranges, tails, sizes.

use bytes::Bytes;
use object_store::{GetOptions, ObjectStoreExt as _, PutMode, PutOptions, PutPayload};

use super::{Durable, ObjectName, Store, block_on, path_of};
use crate::error::{Error, Result};
use crate::format::LIMITS;

impl Store {
    /// Stores an object, the parts being its bytes in order. When this returns, it is durable.
    pub fn put(&self, name: ObjectName, parts: &[Bytes]) -> Result<Durable<ObjectName>> {
        let length = parts.iter().fold(0_usize, |sum, part| sum.saturating_add(part.len()));
        if length > LIMITS.object {
            return Err(
                Error::failed("object is larger than the format allows").object(name.to_string())
            );
        }
        let path = path_of(&name);
        let payload: PutPayload = parts.iter().cloned().collect();
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match block_on(self.inner.put_opts(&path, payload, options)) {
            Ok(_) => {
                if let Some(copies) = &self.copies {
                    copies.keep(&name, parts);
                }
                Ok(Durable(name))
            }
            Err(object_store::Error::AlreadyExists { .. }) => {
                let stored = self.get(&name)?.unwrap_or_default();
                let same = stored.len() == length
                    && blake3::hash(&stored).as_bytes() == name.hash().as_bytes();
                if same {
                    Ok(Durable(name))
                } else {
                    Err(Error::damaged("another object lies in the place of", name.to_string())
                        .hint("run `stash check --read-data`"))
                }
            }
            Err(error) => Err(self.error("cannot store", &name.to_string(), error)),
        }
    }

    /// Puts an object back whose place is empty or holds something else than its name says. What
    /// is given must be what the name says, so this never changes an object: the one call that
    /// writes over anything.
    pub fn put_back(&self, name: ObjectName, bytes: Bytes) -> Result<Durable<ObjectName>> {
        if blake3::hash(&bytes).as_bytes() != name.hash().as_bytes() {
            return Err(Error::failed("not the bytes of").object(name.to_string()));
        }
        let options = PutOptions { mode: PutMode::Overwrite, ..PutOptions::default() };
        match block_on(self.inner.put_opts(&path_of(&name), bytes.into(), options)) {
            Ok(_) => Ok(Durable(name)),
            Err(error) => Err(self.error("cannot store", &name.to_string(), error)),
        }
    }

    /// Returns an object's bytes, or `None` if there is none of this name.
    pub fn get(&self, name: &ObjectName) -> Result<Option<Bytes>> {
        self.fetch(name, GetOptions::default())
    }

    /// Returns the bytes of an object from `start` to `end`, fewer if it is shorter.
    pub fn get_range(&self, name: &ObjectName, start: u64, end: u64) -> Result<Option<Bytes>> {
        let options = GetOptions { range: Some((start..end).into()), ..GetOptions::default() };
        self.fetch(name, options)
    }

    /// Returns the last bytes of an object, all of it if it is shorter.
    pub fn get_tail(&self, name: &ObjectName, length: u64) -> Result<Option<Bytes>> {
        let options = GetOptions {
            range: Some(object_store::GetRange::Suffix(length)),
            ..GetOptions::default()
        };
        self.fetch(name, options)
    }

    fn fetch(&self, name: &ObjectName, options: GetOptions) -> Result<Option<Bytes>> {
        let path = path_of(name);
        let start = match &options.range {
            Some(object_store::GetRange::Bounded(range)) => Some(range.start),
            Some(_) => Some(0),
            None => None,
        };
        let fail = |error| self.error("cannot read", &name.to_string(), error);
        let result = match block_on(self.inner.get_opts(&path, options)) {
            Ok(result) => result,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => {
                // A range behind the object's end is refused; here it is an answer like another.
                return match (start, self.size(name)) {
                    (Some(start), Ok(Some(size))) if size <= start => Ok(Some(Bytes::new())),
                    _ => Err(fail(error)),
                };
            }
        };
        if result.range.end.saturating_sub(result.range.start) > LIMITS.object as u64 {
            return Err(Error::damaged(
                "object is larger than the format allows",
                name.to_string(),
            ));
        }
        block_on(result.bytes()).map(Some).map_err(fail)
    }

    /// Looks for an object; returns the proof that it is there, and its length in bytes.
    pub fn find(&self, name: ObjectName) -> Result<Option<(Durable<ObjectName>, u64)>> {
        Ok(self.size(&name)?.map(|size| (Durable(name), size)))
    }

    /// Returns an object's length in bytes, or `None` if there is none of this name.
    pub fn size(&self, name: &ObjectName) -> Result<Option<u64>> {
        match block_on(self.inner.head(&path_of(name))) {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.error("cannot look for", &name.to_string(), error)),
        }
    }
}
