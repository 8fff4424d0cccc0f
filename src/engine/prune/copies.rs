//! Copies of what is needed, before anything it lies in goes: packs, durable and read back.
//!
//! A unit all of whose blobs are chosen is carried over as it is, differences too: their bases are
//! needed, and so stand. Of other units the chosen blobs are compressed anew. What stands nowhere
//! any more, or on what is not to be kept, is stored in full. Every blob is verified against its id before it is copied.

use std::collections::HashSet;

use super::facts::Facts;
use super::needs::Needs;
use super::usage::Usage;
use crate::codec::{Compression, UnitEncoder};
use crate::error::{Error, Kind, Result};
use crate::event::Counters;
use crate::format::pack::{BlobKind, UnitEntry, UnitForm};
use crate::format::record::ObjectUnits;
use crate::id::BlobId;
use crate::repository::Repository;
use crate::repository::container::PlainUnit;
use crate::repository::packer::Packer;
use crate::repository::reader::{BlobReader, read_pack_table};
use crate::store::{Durable, ObjectName};

/// Blobs are put together into units of about this length before compression, in bytes.
const UNIT_BYTES: usize = 1 << 20;

/// Makes copies. See the module's head.
pub(super) struct Copier<'c> {
    repository: &'c Repository,
    needs: &'c Needs,
    usage: &'c Usage,
    counters: &'c Counters,
    reader: BlobReader<'c>,
    encoder: UnitEncoder,
    packer: Packer,
    copied: HashSet<BlobId>,
    waiting: Vec<(BlobId, Vec<u8>)>,
    waiting_kind: BlobKind,
}

impl<'c> Copier<'c> {
    /// Starts; `now` (nanoseconds, UTC) is the machine's time.
    pub(super) fn new(
        facts: &'c Facts,
        needs: &'c Needs,
        usage: &'c Usage,
        now: i64,
        counters: &'c Counters,
    ) -> Result<Self> {
        let repository = &facts.repository;
        let encoder = UnitEncoder::new(Compression::Auto)
            .map_err(|error| Error::failed("cannot start to compress").source(error))?;
        let packer = Packer::start(
            repository.store().clone(),
            std::sync::Arc::clone(repository.keys()),
            repository.id().0,
            None,
            now,
        );
        Ok(Copier {
            repository,
            needs,
            usage,
            counters,
            reader: BlobReader::new(repository)?,
            encoder,
            packer,
            copied: HashSet::new(),
            waiting: Vec::new(),
            waiting_kind: BlobKind::Data,
        })
    }

    /// Copies what is chosen in an object.
    pub(super) fn object(&mut self, object: &ObjectName) -> Result<()> {
        for (number, unit) in (0_u32..).zip(self.units(object)?) {
            self.counters.go_on()?;
            let mut chosen = Vec::new();
            let mut place = None;
            for id in unit.blobs.iter().filter(|id| self.needs.has(id)) {
                let places = self.repository.cache().places(id)?;
                if let Some(here) = self.usage.place(id, &places)
                    && here.object == *object
                    && here.unit == number
                {
                    place = Some(here.clone());
                    chosen.push(*id);
                }
            }
            let Some(place) = place else { continue };
            if chosen.len() == unit.blobs.len() {
                let payload = self.reader.load_payload(&place)?;
                let kind = place.kind;
                for id in &chosen {
                    // Reading it verifies it, down to its bases.
                    self.reader.load(kind, id)?;
                }
                let blobs =
                    unit.blobs.iter().copied().zip(unit.raw_lengths.iter().copied()).collect();
                self.copied.extend(chosen);
                self.packer.add(PlainUnit {
                    kind,
                    form: place.form,
                    payload,
                    blobs,
                    bases: place.bases.clone(),
                    depth: unit.depth,
                })?;
            } else {
                for id in chosen {
                    self.blob(place.kind, id)?;
                }
            }
        }
        Ok(())
    }

    /// Returns an object's units, as it says itself.
    fn units(&self, object: &ObjectName) -> Result<Vec<UnitEntry>> {
        if let ObjectName::Record(name) = object {
            return Ok(self.repository.load_record(name)?.inline);
        }
        let size = self.repository.store().size(object)?.ok_or_else(|| {
            Error::damaged("object is missing:", object.to_string()).hint("run `stash check`")
        })?;
        read_pack_table(self.repository, object, size)
    }

    /// Stores a blob in full.
    pub(super) fn blob(&mut self, kind: BlobKind, id: BlobId) -> Result<()> {
        if !self.copied.insert(id) {
            return Ok(());
        }
        let plain = self.reader.load(kind, &id)?;
        let bytes: usize = self.waiting.iter().map(|(_, plain)| plain.len()).sum();
        if kind != self.waiting_kind || bytes.saturating_add(plain.len()) > UNIT_BYTES {
            self.flush()?;
        }
        self.waiting_kind = kind;
        self.waiting.push((id, plain));
        Ok(())
    }

    /// Stores a blob in full that is kept nowhere; `false` if it can't be read any more.
    pub(super) fn rescue(&mut self, id: BlobId) -> Result<bool> {
        let Some(place) = self.repository.cache().places(&id)?.into_iter().next() else {
            return Ok(false);
        };
        match self.blob(place.kind, id) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == Kind::Damaged => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn flush(&mut self) -> Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let waiting = std::mem::take(&mut self.waiting);
        let mut plain = Vec::new();
        for (_, bytes) in &waiting {
            plain.extend_from_slice(bytes);
        }
        let mut payload = Vec::new();
        let form = self.encoder.encode(&plain, &mut payload);
        debug_assert!(matches!(form, UnitForm::Raw | UnitForm::Zstd));
        let blobs = waiting.iter().map(|(id, bytes)| (*id, bytes.len() as u64)).collect();
        let kind = self.waiting_kind;
        let (bases, depth) = (Vec::new(), 0);
        self.packer.add(PlainUnit { kind, form, payload, blobs, bases, depth })
    }

    /// Stores the rest, and reads every copy back. The second value is what they take, in bytes.
    pub(super) fn finish(mut self) -> Result<(Vec<Durable<ObjectUnits>>, u64)> {
        self.flush()?;
        let (packs, bytes) = self.packer.finish_in_packs()?;
        for pack in &packs {
            self.counters.go_on()?;
            let name = ObjectName::Pack(pack.get().object);
            let stored = self.repository.store().get(&name)?.unwrap_or_default();
            if blake3::hash(&stored).as_bytes() != name.hash().as_bytes() {
                return Err(Error::new(
                    Kind::Store,
                    "the store does not give back what it was given:",
                )
                .object(name.to_string())
                .hint("nothing was deleted; `stash check --read-data` says what else it lost"));
            }
        }
        Ok((packs, bytes))
    }
}
