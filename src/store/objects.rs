//! One object at a time, or several at once: put, get, ranges, tails, sizes.

use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use object_store::path::Path;
use object_store::{
    GetOptions, GetResult, GetResultPayload, ObjectStoreExt as _, PutMode, PutOptions, PutPayload,
};
use tokio::time::Instant;

use super::calls::{Failed, traced};
use super::failure::{Longer, find};
use super::remote::Remote;
use super::{Durable, ObjectName, Store, path_of};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::format::LIMITS;

/// Between two rounds of tries to send a record.
const RECORD_PAUSE: Duration = Duration::from_millis(500);
/// Where records lie.
const LOG: &str = "log/";
/// How many objects are being fetched at a time.
const AT_ONCE: usize = 16;

/// Whether a store is asked to make objects only where nothing is. Nothing depends on it: it saves
/// a request where something is, and fits buckets that take no others.
#[derive(Debug)]
pub(super) struct Creation {
    is_asked: AtomicBool,
    is_known: AtomicBool,
}

impl Creation {
    pub(super) fn new(is_asked: bool) -> Creation {
        Creation { is_asked: AtomicBool::new(is_asked), is_known: AtomicBool::new(false) }
    }

    /// Notes what was found out.
    pub(super) fn note(&self, works: bool) {
        self.is_asked.store(works, Ordering::Relaxed);
        self.is_known.store(true, Ordering::Relaxed);
    }

    /// Returns what was found out.
    pub(super) fn known(&self) -> Option<bool> {
        self.is_known.load(Ordering::Relaxed).then(|| self.is_asked.load(Ordering::Relaxed))
    }
}

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
        match self.create(&path_of(&name), &payload) {
            Ok(()) => {}
            Err(failed) if failed.is_there() => self.settle(&name, &payload)?,
            Err(failed) => return Err(self.error("cannot store", &name.to_string(), failed)),
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
        match self.send(&path_of(&name), bytes.into(), PutMode::Overwrite) {
            Ok(()) => Ok(Durable(name)),
            Err(failed) => Err(self.error("cannot store", &name.to_string(), failed)),
        }
    }

    /// Settles that something lies in an object's place already.
    fn settle(&self, name: &ObjectName, payload: &PutPayload) -> Result<()> {
        if let Some(stored) = self.get(name)? {
            let same = stored.len() == payload.content_length()
                && blake3::hash(&stored).as_bytes() == name.hash().as_bytes();
            let place = "another object lies in the place of";
            return if same {
                Ok(())
            } else {
                Err(Error::damaged(place, name.to_string()).hint("run `stash check --read-data`"))
            };
        }
        // Another request to make it was under way, perhaps an earlier try of our own.
        let path = path_of(name);
        let again = match self.create(&path, payload) {
            // The bytes under this name are these, so writing over them changes nothing.
            Err(failed) if failed.is_there() => {
                self.send(&path, payload.clone(), PutMode::Overwrite)
            }
            result => result,
        };
        again.map_err(|failed| self.error("cannot store", &name.to_string(), failed))
    }

    /// Puts something where nothing is. A store that takes no such condition gets it without one, and
    /// is asked no more.
    fn create(&self, path: &Path, payload: &PutPayload) -> Result<(), Failed> {
        if self.creation.is_asked.load(Ordering::Relaxed) {
            match self.send(path, payload.clone(), PutMode::Create) {
                Err(failed) if self.refuses_creation(&failed) => {}
                result => return result,
            }
            // Only now is it known that the condition was the reason.
            self.send(path, payload.clone(), PutMode::Overwrite)?;
            self.creation.note(false);
            return Ok(());
        }
        self.send(path, payload.clone(), PutMode::Overwrite)
    }

    /// Puts something that is no object under a name that was made up for it: what lies there
    /// already was put by an earlier try of the same request.
    pub(super) fn put_scratch(&self, path: &Path, bytes: Bytes) -> Result<(), Failed> {
        match self.create(path, &bytes.into()) {
            Err(failed) if failed.is_there() => Ok(()),
            result => result,
        }
    }

    fn send(&self, path: &Path, payload: PutPayload, mode: PutMode) -> Result<(), Failed> {
        // All that a run has uploaded waits for its record.
        let is_record = path.as_ref().starts_with(LOG);
        match self.remote.as_ref().filter(|_| is_record) {
            Some(remote) => self.send_patiently(remote, path, &payload, &mode),
            None => self.block_on(self.attempt(path, payload, mode)),
        }
    }

    /// Tells whether a store takes no request that says "only if nothing is there". In a folder that
    /// is a hard link, which exFAT, FAT and many mounts don't have.
    pub(super) fn refuses_creation(&self, failed: &Failed) -> bool {
        if self.folder.is_some() {
            let io = find::<std::io::Error>(&*failed.error).map(std::io::Error::kind);
            return matches!(io, Some(ErrorKind::PermissionDenied | ErrorKind::Unsupported));
        }
        let code = failed.answer.as_ref().map(|answer| (answer.status, answer.code.as_str()));
        matches!(*failed.error, object_store::Error::NotImplemented { .. })
            || matches!(code, Some((501, _) | (400, "NotImplemented" | "InvalidArgument")))
    }

    async fn attempt(&self, path: &Path, payload: PutPayload, mode: PutMode) -> Result<(), Failed> {
        let options = PutOptions { mode, ..PutOptions::default() };
        traced(self.inner.put_opts(path, payload, options)).await.map(|_| ())
    }

    /// Sends a record until it is taken, its time is over, or it is refused for good. What the client
    /// itself repeats ends earlier, which is right for all else.
    fn send_patiently(
        &self,
        remote: &Remote,
        path: &Path,
        payload: &PutPayload,
        mode: &PutMode,
    ) -> Result<(), Failed> {
        let until = Instant::now() + self.record_patience;
        let mut result = self.block_on(self.attempt(path, payload.clone(), mode.clone()));
        loop {
            let Err(failed) = &result else { return result };
            let left = until.saturating_duration_since(Instant::now());
            if !failed.may_pass() || left <= RECORD_PAUSE {
                return result;
            }
            let message = format!(
                "the store did not take the record of this run; trying for {} s more",
                left.as_secs()
            );
            remote.reporter.event(&Event::Warning { message: &message });
            std::thread::sleep(RECORD_PAUSE);
            let again = self.attempt(path, payload.clone(), mode.clone());
            // A timer can only be made where the runtime is.
            match self.block_on(async { tokio::time::timeout_at(until, again).await }) {
                Ok(again) => result = again,
                // What was said last tells more than that the time is over.
                Err(_over) => return result,
            }
        }
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

    pub(super) async fn fetch(
        &self,
        name: &ObjectName,
        options: GetOptions,
    ) -> Result<Option<Bytes>> {
        let path = path_of(name);
        let start = match &options.range {
            Some(object_store::GetRange::Bounded(range)) => Some(range.start),
            Some(_) => Some(0),
            None => None,
        };
        let too_long =
            || Error::damaged("object is larger than the format allows", name.to_string());
        let call = async { whole(self.inner.get_opts(&path, options).await?).await };
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
        let Some(size) = self.size(&name)? else { return Ok(None) };
        self.sync_name(&name)?;
        Ok(Some((Durable(name), size)))
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

/// Takes what was found, which may not be longer than the store said; `None` if it said more than
/// an object can be.
pub(super) async fn whole(found: GetResult) -> object_store::Result<Option<Bytes>> {
    let length = found.range.end.saturating_sub(found.range.start);
    let length = match usize::try_from(length) {
        Ok(length) if length <= LIMITS.object => length,
        _ => return Ok(None),
    };
    let mut pieces = match found.payload {
        GetResultPayload::Stream(pieces) => pieces,
        GetResultPayload::File(..) => return found.bytes().await.map(Some),
    };
    // What comes in one piece is not copied.
    let (mut first, mut joined) = (Bytes::new(), Vec::new());
    while let Some(piece) = pieces.next().await.transpose()? {
        if first.len().saturating_add(joined.len()).saturating_add(piece.len()) > length {
            return Err(object_store::Error::Generic { store: "store", source: Box::new(Longer) });
        }
        if first.is_empty() && joined.is_empty() {
            first = piece;
            continue;
        }
        joined.reserve_exact(length.saturating_sub(joined.len()));
        joined.extend_from_slice(&std::mem::take(&mut first));
        joined.extend_from_slice(&piece);
    }
    Ok(Some(if joined.is_empty() { first } else { joined.into() }))
}
