//! One object at a time, or several at once: put, get, ranges, tails, sizes.

use bytes::Bytes;
use futures_util::StreamExt as _;
use object_store::{GetOptions, ObjectStoreExt as _, PutMode, PutOptions, PutPayload};

use super::calls::{Failed, traced};
use super::{Durable, ObjectName, Store, path_of};
use crate::error::{Error, Result};
use crate::format::LIMITS;

/// How many objects are being fetched at a time.
const AT_ONCE: usize = 16;

impl Store {
    /// Stores an object, the parts being its bytes in order. When this returns, it is durable.
    pub fn put(&self, name: ObjectName, parts: &[Bytes]) -> Result<Durable<ObjectName>> {
        let length = parts.iter().fold(0_usize, |sum, part| sum.saturating_add(part.len()));
        if length > LIMITS.object {
            return Err(
                Error::failed("object is larger than the format allows").object(name.to_string())
            );
        }
        let payload: PutPayload = parts.iter().cloned().collect();
        let creates = self.remote.as_ref().is_none_or(|remote| remote.creates());
        let mode = if creates { PutMode::Create } else { PutMode::Overwrite };
        let fail = |failed| self.error("cannot store", &name.to_string(), failed);
        match self.send(&name, payload.clone(), mode) {
            Ok(()) => {}
            Err(failed) if failed.is_there() => match self.get(&name)? {
                Some(stored) => {
                    let same = stored.len() == length
                        && blake3::hash(&stored).as_bytes() == name.hash().as_bytes();
                    if !same {
                        let place = "another object lies in the place of";
                        return Err(Error::damaged(place, name.to_string())
                            .hint("run `stash check --read-data`"));
                    }
                }
                // Another request to make it is under way, perhaps an earlier try of our own. The
                // bytes under this name are these, so writing over them changes nothing.
                None => self.send(&name, payload, PutMode::Overwrite).map_err(fail)?,
            },
            Err(failed) if creates && refuses_creation(&failed) => {
                if let Some(remote) = &self.remote {
                    remote.no_creation();
                }
                self.send(&name, payload, PutMode::Overwrite).map_err(fail)?;
            }
            Err(failed) => return Err(fail(failed)),
        }
        if let Some(copies) = &self.copies {
            copies.keep(&name, parts);
        }
        Ok(Durable(name))
    }

    /// Puts an object back whose place is empty or holds something else than its name says. What
    /// is given must be what the name says, so this never changes an object: the one call that
    /// writes over anything.
    pub fn put_back(&self, name: ObjectName, bytes: Bytes) -> Result<Durable<ObjectName>> {
        if blake3::hash(&bytes).as_bytes() != name.hash().as_bytes() {
            return Err(Error::failed("not the bytes of").object(name.to_string()));
        }
        match self.send(&name, bytes.into(), PutMode::Overwrite) {
            Ok(()) => Ok(Durable(name)),
            Err(failed) => Err(self.error("cannot store", &name.to_string(), failed)),
        }
    }

    fn send(&self, name: &ObjectName, payload: PutPayload, mode: PutMode) -> Result<(), Failed> {
        let options = PutOptions { mode, ..PutOptions::default() };
        self.run(self.inner.put_opts(&path_of(name), payload, options)).map(|_| ())
    }

    /// Returns an object's bytes, or `None` if there is none of this name.
    pub fn get(&self, name: &ObjectName) -> Result<Option<Bytes>> {
        self.block_on(self.fetch(name, GetOptions::default()))
    }

    /// Returns the bytes of several objects, fetched side by side, in the order given.
    pub fn get_many(&self, names: &[ObjectName]) -> Vec<Result<Option<Bytes>>> {
        let fetches = names.iter().map(|name| self.fetch(name, GetOptions::default()));
        let at_once = self.side_by_side(AT_ONCE);
        self.block_on(futures_util::stream::iter(fetches).buffered(at_once).collect())
    }

    /// Returns the first bytes of several objects, fetched side by side, in the order given.
    pub fn get_beginnings(&self, names: &[ObjectName], length: u64) -> Vec<Result<Option<Bytes>>> {
        let range = || GetOptions { range: Some((0..length).into()), ..GetOptions::default() };
        let fetches = names.iter().map(|name| self.fetch(name, range()));
        let at_once = self.side_by_side(AT_ONCE);
        self.block_on(futures_util::stream::iter(fetches).buffered(at_once).collect())
    }

    /// Returns the bytes of an object from `start` to `end`, fewer if it is shorter. A remote store
    /// is asked for whole steps of its grid, and what it gave is kept for a while.
    pub fn get_range(&self, name: &ObjectName, start: u64, end: u64) -> Result<Option<Bytes>> {
        let range = |start: u64, end: u64| GetOptions {
            range: Some((start..end).into()),
            ..GetOptions::default()
        };
        let Some(remote) = &self.remote else {
            return self.block_on(self.fetch(name, range(start, end)));
        };
        if let Some(bytes) = remote.seen.find(name, start, end) {
            return Ok(Some(bytes));
        }
        let from = start.saturating_sub(start % self.grid);
        let until = end.div_ceil(self.grid).saturating_mul(self.grid);
        let Some(wide) = self.block_on(self.fetch(name, range(from, until)))? else {
            return Ok(None);
        };
        remote.seen.keep(name, from, &wide);
        let place = |at: u64| usize::try_from(at.saturating_sub(from)).unwrap_or(usize::MAX);
        let (first, last) = (place(start).min(wide.len()), place(end).min(wide.len()));
        Ok(Some(wide.slice(first..last.max(first))))
    }

    /// Returns the last bytes of an object, all of it if it is shorter.
    pub fn get_tail(&self, name: &ObjectName, length: u64) -> Result<Option<Bytes>> {
        if self.remote.is_some() {
            // Azure knows no ranges from the end.
            let Some(size) = self.size(name)? else { return Ok(None) };
            return self.get_range(name, size.saturating_sub(length), size);
        }
        let range = Some(object_store::GetRange::Suffix(length));
        self.block_on(self.fetch(name, GetOptions { range, ..GetOptions::default() }))
    }

    async fn fetch(&self, name: &ObjectName, options: GetOptions) -> Result<Option<Bytes>> {
        let path = path_of(name);
        let start = match &options.range {
            Some(object_store::GetRange::Bounded(range)) => Some(range.start),
            Some(_) => Some(0),
            None => None,
        };
        let too_long =
            || Error::damaged("object is larger than the format allows", name.to_string());
        let call = async {
            let result = self.inner.get_opts(&path, options).await?;
            if result.range.end.saturating_sub(result.range.start) > LIMITS.object as u64 {
                return Ok(None);
            }
            result.bytes().await.map(Some)
        };
        match traced(call).await {
            Ok(Some(bytes)) => Ok(Some(bytes)),
            Ok(None) => Err(too_long()),
            Err(failed) if failed.is_missing() => Ok(None),
            Err(failed) => {
                // A range behind the object's end is refused; here it is an answer like another.
                let is_behind = match start.filter(|_| self.may_be_behind(&failed)) {
                    Some(start) => {
                        matches!(self.measure(name).await, Ok(Some(size)) if size <= start)
                    }
                    None => false,
                };
                if is_behind {
                    return Ok(Some(Bytes::new()));
                }
                Err(self.error("cannot read", &name.to_string(), failed))
            }
        }
    }

    /// Looks for an object; returns the proof that it is there, and its length in bytes.
    pub fn find(&self, name: ObjectName) -> Result<Option<(Durable<ObjectName>, u64)>> {
        Ok(self.size(&name)?.map(|size| (Durable(name), size)))
    }

    /// Returns an object's length in bytes, or `None` if there is none of this name.
    pub fn size(&self, name: &ObjectName) -> Result<Option<u64>> {
        self.block_on(self.measure(name))
    }

    async fn measure(&self, name: &ObjectName) -> Result<Option<u64>> {
        match traced(self.inner.head(&path_of(name))).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(failed) if failed.is_missing() => Ok(None),
            Err(failed) => Err(self.error("cannot look for", &name.to_string(), failed)),
        }
    }

    /// Tells whether a read may have failed for being behind an object's end. A server has a status
    /// for it.
    fn may_be_behind(&self, failed: &Failed) -> bool {
        match &failed.answer {
            Some(answer) => matches!(answer.status, 400 | 416),
            None => self.remote.is_none(),
        }
    }
}

/// Tells whether a store takes no request that says "only if nothing is there".
pub(super) fn refuses_creation(failed: &Failed) -> bool {
    let code = failed.answer.as_ref().map(|answer| (answer.status, answer.code.as_str()));
    matches!(*failed.error, object_store::Error::NotImplemented { .. })
        || matches!(code, Some((501, _) | (400, "NotImplemented" | "InvalidArgument")))
}
