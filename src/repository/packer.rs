//! Units into packs, packs to the store.
//!
//! Units arrive compressed from any thread and are collected, data apart from the rest, so that
//! trees lie together. A pack closes between 12 and 16 MiB, at a unit after which Padmé asks for
//! little padding. One thread seals closed packs, opens them again as a reader would (metadata is
//! decompressed too, and one data unit in eight), and stores them; to a remote store two threads do so
//! side by side, so that the way there and back is not waited for. While a closed pack waits for such
//! a thread nobody fills the next, however many threads add: memory is one pack that is filled or
//! waits, one of metadata, and one on its way, 48 MiB at most, or two to a remote store, 64 MiB.
//! Each thread that adds holds one unit beside. A failure poisons the packer: every later call
//! returns that failure, whichever thread makes it, and [`Packer::finish`] never reports a pack that
//! is not durable.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender};
use rayon::prelude::*;

use super::container::{Padding, PlainUnit, SealedObject, UNITS_PER_TASK, encode_pack_table, seal};
use super::state::StateFolder;
use crate::codec::crypto::{ObjectSealer, RepositoryKeys, Role};
use crate::codec::{CodecError, UnitDecoder};
use crate::error::{Error, Kind, Result};
use crate::format::LIMITS;
use crate::format::object::{ObjectKind, padme};
use crate::format::pack::{BlobKind, UnitEntry};
use crate::format::record::ObjectUnits;
use crate::store::{Durable, ObjectName, Store};

/// How many packs are on their way to a remote store at a time.
const UPLOADS: usize = 2;
/// A pack may close from this length on, in bytes.
const PACK_FROM: u64 = 12 << 20;
/// A pack closes at this length whatever the padding, in bytes.
const PACK_UNTIL: u64 = 16 << 20;
/// What is left at the end of a run and is no longer than this goes into the record, in bytes.
pub const INLINE_LIMIT: u64 = 256 << 10;

#[derive(Default)]
struct OpenPack {
    units: Vec<PlainUnit>,
    stored_bytes: u64,
    blob_count: usize,
}

impl OpenPack {
    fn add(&mut self, unit: PlainUnit) {
        self.stored_bytes = self.stored_bytes.saturating_add(unit.stored_length());
        self.blob_count = self.blob_count.saturating_add(unit.blobs.len());
        self.units.push(unit);
    }

    /// The length of the finished object before padding; a little too much rather than too little.
    fn expected_length(&self) -> u64 {
        let table = self.blob_count.saturating_mul(37).saturating_add(self.units.len() * 40);
        self.stored_bytes.saturating_add(table as u64).saturating_add(200)
    }

    fn should_close(&self) -> bool {
        let length = self.expected_length();
        let padding = padme(length).saturating_sub(length);
        length >= PACK_UNTIL
            || self.blob_count > LIMITS.pack_blobs / 2
            || (length >= PACK_FROM && padding.saturating_mul(1000) <= length.saturating_mul(3))
    }
}

#[derive(Default)]
struct OpenPacks {
    data: OpenPack,
    rest: OpenPack,
}

struct Shared {
    store: Store,
    keys: Arc<RepositoryKeys>,
    context: [u8; 16],
    state: Option<StateFolder>,
    now: i64,
    finished: Mutex<Vec<Durable<ObjectUnits>>>,
    finished_blobs: AtomicU64,
    failure: Mutex<Option<Error>>,
    poisoned: AtomicBool,
    stored_bytes: AtomicU64,
}

/// What a run has stored, and what is still to be stored with its record.
pub struct Packed {
    /// Packs that are durable and that no record names yet.
    pub packs: Vec<Durable<ObjectUnits>>,
    /// Units for the record itself.
    pub inline: Vec<PlainUnit>,
}

/// Collects units into packs. See the module's head.
pub struct Packer {
    shared: Arc<Shared>,
    open: Mutex<OpenPacks>,
    sender: Option<Sender<Vec<PlainUnit>>>,
    thread: Option<JoinHandle<()>>,
}

fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Packer {
    /// Starts a packer. `context` goes into the salts; `now` (nanoseconds, UTC) into the journal.
    pub fn start(
        store: Store,
        keys: Arc<RepositoryKeys>,
        context: [u8; 16],
        state: Option<StateFolder>,
        now: i64,
    ) -> Packer {
        let shared = Arc::new(Shared {
            store,
            keys,
            context,
            state,
            now,
            finished: Mutex::default(),
            finished_blobs: AtomicU64::new(0),
            failure: Mutex::default(),
            poisoned: AtomicBool::new(false),
            stored_bytes: AtomicU64::new(0),
        });
        let (sender, receiver) = crossbeam_channel::bounded(0);
        let worker = Arc::clone(&shared);
        let thread = std::thread::spawn(move || store_packs(&worker, &receiver));
        Packer { shared, open: Mutex::default(), sender: Some(sender), thread: Some(thread) }
    }

    /// Takes over packs that an earlier run had stored, to be named in this run's record.
    pub fn adopt(&self, packs: Vec<Durable<ObjectUnits>>) {
        for pack in packs {
            self.shared.add_finished(pack);
        }
    }

    /// Takes a unit. Blocks while the store is slower than the caller.
    pub fn add(&self, unit: PlainUnit) -> Result<()> {
        self.check()?;
        let mut open = guard(&self.open);
        let pack = if unit.kind == BlobKind::Data { &mut open.data } else { &mut open.rest };
        pack.add(unit);
        if !pack.should_close() {
            return Ok(());
        }
        // With the guard in hand: were it let go of, each thread could fill a pack and wait with it.
        let closed = std::mem::take(pack);
        self.close(closed.units)
    }

    /// Returns how many bytes have been handed to the store.
    pub fn stored_bytes(&self) -> u64 {
        self.shared.stored_bytes.load(Ordering::Relaxed)
    }

    /// Returns how many blobs are in durable packs that no record names yet.
    pub fn finished_blobs(&self) -> u64 {
        self.shared.finished_blobs.load(Ordering::Relaxed)
    }

    /// Takes the packs that have become durable since the last call, to be named in a record.
    pub fn take_finished(&self) -> Result<Vec<Durable<ObjectUnits>>> {
        self.check()?;
        let mut finished = guard(&self.shared.finished);
        self.shared.finished_blobs.store(0, Ordering::Relaxed);
        Ok(std::mem::take(&mut *finished))
    }

    /// Stores what is left. Small rests come back to go into the record. The second value is the
    /// length of all packs that this packer stored, in bytes.
    pub fn finish(self) -> Result<(Packed, u64)> {
        self.finish_within(INLINE_LIMIT)
    }

    /// Stores what is left in packs, however small.
    pub fn finish_in_packs(self) -> Result<(Vec<Durable<ObjectUnits>>, u64)> {
        self.finish_within(0).map(|(packed, bytes)| (packed.packs, bytes))
    }

    fn finish_within(mut self, inline_limit: u64) -> Result<(Packed, u64)> {
        let OpenPacks { data, rest } = std::mem::take(&mut *guard(&self.open));
        let together = data.stored_bytes.saturating_add(rest.stored_bytes);
        let mut inline = Vec::new();
        if together <= inline_limit {
            inline.extend(data.units);
            inline.extend(rest.units);
        } else if together <= PACK_UNTIL {
            // One object instead of two; the metadata lies at its end.
            let mut units = data.units;
            units.extend(rest.units);
            self.close(units)?;
        } else {
            for pack in [data, rest] {
                if !pack.units.is_empty() {
                    self.close(pack.units)?;
                }
            }
        }
        self.join();
        self.check()?;
        let packs = std::mem::take(&mut *guard(&self.shared.finished));
        let stored_bytes = self.stored_bytes();
        Ok((Packed { packs, inline }, stored_bytes))
    }

    fn close(&self, units: Vec<PlainUnit>) -> Result<()> {
        match &self.sender {
            Some(sender) if sender.send(units).is_ok() => Ok(()),
            _ => {
                self.check()?;
                Err(Error::failed("the thread that stores packs has ended"))
            }
        }
    }

    fn check(&self) -> Result<()> {
        if !self.shared.poisoned.load(Ordering::Acquire) {
            return Ok(());
        }
        Err(guard(&self.shared.failure)
            .clone()
            .unwrap_or_else(|| Error::failed("the thread that stores packs has ended")))
    }

    fn join(&mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            self.shared.fail(Error::failed("the thread that stores packs has panicked"));
        }
    }
}

impl Drop for Packer {
    fn drop(&mut self) {
        self.join();
    }
}

impl Shared {
    fn fail(&self, error: Error) {
        guard(&self.failure).get_or_insert(error);
        self.poisoned.store(true, Ordering::Release);
    }

    fn add_finished(&self, pack: Durable<ObjectUnits>) {
        let blobs = pack.get().units.iter().map(|unit| unit.blobs.len() as u64).sum();
        let mut finished = guard(&self.finished);
        self.finished_blobs.fetch_add(blobs, Ordering::Relaxed);
        finished.push(pack);
    }

    fn seal_pack(&self, units: Vec<PlainUnit>) -> Result<SealedObject> {
        let internal =
            |error: &dyn std::fmt::Display| Error::failed(format!("cannot seal a pack: {error}"));
        let object = seal(
            &self.keys,
            ObjectKind::Pack,
            &[&self.context],
            units,
            Padding::Padme,
            encode_pack_table,
        )
        .map_err(|error| internal(&error))?;
        verify(&self.keys, &object)?;
        Ok(object)
    }

    fn store_pack(&self, object: SealedObject) -> Result<Durable<ObjectUnits>> {
        // Noted before it is stored: a run killed in between would not know of it. A note of a pack
        // that never arrived does no harm.
        if let Some(state) = &self.state {
            state.note_pack(&object.hash, self.now)?;
        }
        let durable = self.store.put(ObjectName::Pack(object.hash), &object.parts)?;
        self.stored_bytes.fetch_add(object.length, Ordering::Relaxed);
        Ok(durable.map(|name| ObjectUnits {
            object: name.hash(),
            units: object.units,
            ..ObjectUnits::default()
        }))
    }

    /// Seals and stores what comes in until nothing more comes, or something fails anywhere.
    fn work(&self, receiver: &Receiver<Vec<PlainUnit>>) {
        for units in receiver {
            if self.poisoned.load(Ordering::Acquire) {
                return;
            }
            match self.seal_pack(units).and_then(|object| self.store_pack(object)) {
                Ok(pack) => self.add_finished(pack),
                Err(error) => {
                    self.fail(error);
                    return;
                }
            }
        }
    }
}

fn store_packs(shared: &Shared, receiver: &Receiver<Vec<PlainUnit>>) {
    if !shared.store.is_remote() {
        shared.work(receiver);
        return;
    }
    // Whoever sends a pack seals it, too: one that waits, sealed, for its turn would be a third in
    // memory. Sealing takes some 40 ms, during which the other has the line for itself.
    std::thread::scope(|scope| {
        for _ in 1..UPLOADS {
            scope.spawn(|| shared.work(receiver));
        }
        shared.work(receiver);
    });
}

/// Opens a sealed object as a reader would, before it leaves: a flipped bit in memory must not
/// become the only copy.
pub fn verify(keys: &RepositoryKeys, object: &SealedObject) -> Result<()> {
    let broken = |what: &dyn std::fmt::Display| {
        Error::new(Kind::Failed, format!("a pack failed its check before upload: {what}"))
            .hint("this machine's memory may be faulty; nothing was stored; run it again")
    };
    let header = object
        .parts
        .first()
        .and_then(|header| {
            crate::format::object::ObjectHeader::decode(header, object_kind(header)).ok()
        })
        .ok_or_else(|| broken(&"header"))?;
    let opener = keys.open_object(header).map_err(|error| broken(&error))?;
    let parts = object.parts.iter().skip(1);
    let units: Vec<(u32, (&UnitEntry, &Bytes))> =
        (0_u32..).zip(object.units.iter().zip(parts)).collect();
    units
        .into_par_iter()
        .with_min_len(UNITS_PER_TASK)
        .try_for_each_init(Verifier::new, |verifier, (number, (unit, part))| {
            verifier.as_mut().map_err(|error| *error)?.verify(keys, &opener, number, unit, part)
        })
        .map_err(|error: CodecError| broken(&error))
}

/// What one thread needs to open units again.
struct Verifier {
    decoder: UnitDecoder,
    sealed: Vec<u8>,
    plain: Vec<u8>,
}

impl Verifier {
    fn new() -> Result<Verifier, CodecError> {
        Ok(Verifier { decoder: UnitDecoder::new()?, sealed: Vec::new(), plain: Vec::new() })
    }

    fn verify(
        &mut self,
        keys: &RepositoryKeys,
        opener: &ObjectSealer,
        number: u32,
        unit: &UnitEntry,
        part: &[u8],
    ) -> Result<(), CodecError> {
        self.sealed.clear();
        self.sealed.extend_from_slice(part);
        let kind = unit.blob_kind().map_err(|_| CodecError::WrongContent)?;
        let form = unit.unit_form().map_err(|_| CodecError::WrongContent)?;
        let payload = opener.open(Role::Unit(kind), number, &mut self.sealed)?;
        let is_sample = number.is_multiple_of(8);
        if form.has_base() || (kind == BlobKind::Data && !is_sample) {
            return Ok(());
        }
        let length = usize::try_from(unit.raw_length()).unwrap_or(usize::MAX);
        self.decoder.decode(form, payload, length, None, &mut self.plain)?;
        verify_blobs(keys, unit, kind, &self.plain)
    }
}

fn object_kind(header: &[u8]) -> ObjectKind {
    match header.get(5) {
        Some(4) => ObjectKind::Record,
        Some(5) => ObjectKind::Segment,
        _ => ObjectKind::Pack,
    }
}

/// Checks each blob of a decompressed unit against its id.
pub fn verify_blobs(
    keys: &RepositoryKeys,
    unit: &UnitEntry,
    kind: BlobKind,
    mut plain: &[u8],
) -> Result<(), CodecError> {
    let wrong = || CodecError::WrongContent;
    for (id, length) in unit.blobs.iter().zip(&unit.raw_lengths) {
        let length = usize::try_from(*length).map_err(|_| wrong())?;
        let (blob, rest) = plain.split_at_checked(length).ok_or_else(wrong)?;
        if keys.blob_id(kind, blob) != *id {
            return Err(wrong());
        }
        plain = rest;
    }
    if plain.is_empty() { Ok(()) } else { Err(wrong()) }
}
