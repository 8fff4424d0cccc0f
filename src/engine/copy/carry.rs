//! Units into a repository that names blobs alike: opened, verified, sealed again.
//!
//! A unit all of whose blobs are wanted is carried over as it is compressed; a difference too, while
//! its bases stand there and not too many lie below. Of other units the wanted blobs are compressed
//! anew. Everything is decompressed once and compared with its ids: what is damaged here does not
//! spread. Ranges that lie near each other come in one request.

use super::walk::Walk;
use super::{Base, Run, Sink};
use crate::codec::crypto::Role;
use crate::codec::{CodecError, Compression, UnitDecoder};
use crate::engine::backup::metadata::UnitWriter;
use crate::error::{Error, Kind, Result};
use crate::event::Counters;
use crate::format::pack::BlobKind;
use crate::format::record::Snapshot;
use crate::id::BlobId;
use crate::repository::Repository;
use crate::repository::cache::Place;
use crate::repository::container::PlainUnit;
use crate::repository::ledger::{Ledger, Wanted};
use crate::repository::packer::Packer;
use crate::repository::reader::{BlobReader, damaged, fetch};
use crate::store::ObjectName;

/// A range that is fetched at once is no longer than this, in bytes.
const RANGE_BYTES: u64 = 8 << 20;
/// Units this far apart still come in one range, in bytes.
const GAP_BYTES: u64 = 256 << 10;
/// A difference is carried over if at most so many then lie one upon another.
const DEEPEST: u64 = 16;
/// And if at most so many units are then opened to read it.
const MOST_UNITS: u32 = 32;

impl Run<'_> {
    /// Stores there what a snapshot needs and that does not stand there.
    pub(super) fn carry(
        &mut self,
        snapshot: &Snapshot,
        base: Option<&Base>,
        sink: &mut Sink<'_>,
    ) -> Result<()> {
        let mut walk = Walk {
            from: self.from,
            reader: BlobReader::new(self.from)?,
            index: sink.index,
            ledger: &self.ledger,
            done: &mut self.done,
            counters: self.counters,
            blobs: 0,
            stored_bytes: 0,
        };
        walk.snapshot(snapshot, base)?;
        self.report.blobs = self.report.blobs.saturating_add(walk.blobs);
        let bytes = walk.stored_bytes;
        if self.options.dry_run {
            self.report.stored_bytes = self.report.stored_bytes.saturating_add(bytes);
            return Ok(());
        }
        Counters::add(&self.counters.total_bytes, bytes);
        let mut carrier = Carrier::new(self.from, &self.ledger, sink, self.options.compression)?;
        carrier.run()?;
        self.report.units_carried = self.report.units_carried.saturating_add(carrier.carried);
        Ok(())
    }
}

/// Bytes of an object that were fetched.
struct Fetched {
    object: ObjectName,
    start: u64,
    bytes: Vec<u8>,
}

/// A unit of which something is wanted.
struct Group {
    place: Place,
    /// Where the wanted blobs begin in it, which they are, and how long.
    blobs: Vec<(u64, BlobId, u64)>,
}

impl Group {
    fn end(&self) -> u64 {
        self.place.offset.saturating_add(self.place.stored_length)
    }

    /// Returns whether all of its blobs are wanted.
    fn is_whole(&self) -> bool {
        let wanted =
            self.blobs.iter().fold(0_u64, |sum, (_, _, length)| sum.saturating_add(*length));
        wanted == self.place.unit_length
    }
}

/// Carries what a ledger wants.
struct Carrier<'c, 's> {
    from: &'c Repository,
    ledger: &'c Ledger,
    reader: BlobReader<'c>,
    decoder: UnitDecoder,
    sink: &'c mut Sink<'s>,
    writers: Vec<UnitWriter<'s>>,
    fetched: Option<Fetched>,
    plain: Vec<u8>,
    carried: u64,
}

impl<'c, 's> Carrier<'c, 's> {
    fn new(
        from: &'c Repository,
        ledger: &'c Ledger,
        sink: &'c mut Sink<'s>,
        compression: Compression,
    ) -> Result<Self> {
        let packer: &'s Packer = sink.packer;
        let writer = |kind| UnitWriter::new(kind, packer, compression);
        Ok(Carrier {
            from,
            ledger,
            reader: BlobReader::new(from)?,
            decoder: UnitDecoder::new()
                .map_err(|error| Error::failed("cannot start a reader").source(error))?,
            sink,
            writers: BlobKind::ALL.into_iter().map(writer).collect::<Result<_>>()?,
            fetched: None,
            plain: Vec::new(),
            carried: 0,
        })
    }

    fn run(&mut self) -> Result<()> {
        let mut last: Option<Wanted> = None;
        // The last unit of a page may go on in the next one.
        let mut open: Option<Group> = None;
        loop {
            let page = self.ledger.wanted_after(last.as_ref())?;
            let mut groups: Vec<Group> = open.take().into_iter().collect();
            for row in &page {
                self.enter(row, &mut groups)?;
            }
            let is_end = page.is_empty();
            if !is_end {
                open = groups.pop();
            }
            for place in 0..groups.len() {
                let rest = groups.get(place..).unwrap_or_default();
                self.group(rest)?;
            }
            if is_end {
                break;
            }
            last = page.last().cloned();
        }
        self.writers.iter_mut().try_for_each(UnitWriter::flush)
    }

    fn enter(&self, row: &Wanted, groups: &mut Vec<Group>) -> Result<()> {
        let places = self.from.cache().places(&row.id)?;
        let place = places
            .into_iter()
            .find(|place| place.object == row.object && place.unit == row.unit)
            .ok_or_else(|| Error::damaged("blob is not in the index:", row.id.to_string()))?;
        let blob = (row.start, row.id, place.length);
        match groups.last_mut() {
            Some(group) if group.place.object == row.object && group.place.unit == row.unit => {
                group.blobs.push(blob);
            }
            _ => groups.push(Group { place, blobs: vec![blob] }),
        }
        Ok(())
    }

    /// Stores what is wanted of the first of these units.
    fn group(&mut self, groups: &[Group]) -> Result<()> {
        let Some(group) = groups.first() else { return Ok(()) };
        let place = &group.place;
        match self.open(groups) {
            Ok(payload) if group.is_whole() => match self.depth_there(place)? {
                Some(depth) => self.carry(group, payload, depth)?,
                None => self.pick(group)?,
            },
            Ok(_) => self.pick(group)?,
            // Perhaps it can be read elsewhere.
            Err(error) if error.kind() == Kind::Damaged => self.search(group)?,
            Err(error) => return Err(error),
        }
        Counters::add(&self.sink.counters.done_bytes, place.stored_length);
        let stored = self.sink.packer.stored_bytes();
        self.sink.counters.stored_bytes.store(stored, std::sync::atomic::Ordering::Relaxed);
        self.sink.step()
    }

    /// Opens the first of these units and decompresses it into `plain`, verified; returns its
    /// payload.
    fn open(&mut self, groups: &[Group]) -> Result<Vec<u8>> {
        let Some(group) = groups.first() else { return Ok(Vec::new()) };
        let place = &group.place;
        let broken = |error: CodecError| damaged(&place.object, &error.into());
        let mut sealed = self.fetch(groups)?;
        let sealer = self.reader.sealer(&place.object)?;
        let length =
            sealer.open(Role::Unit(place.kind), place.unit, &mut sealed).map_err(broken)?.len();
        sealed.truncate(length);
        let base = self.reader.load_bases(place.kind, &place.bases)?;
        let raw_length = usize::try_from(place.unit_length).unwrap_or(usize::MAX);
        self.decoder
            .decode(place.form, &sealed, raw_length, base.as_deref(), &mut self.plain)
            .map_err(broken)?;
        for (start, id, length) in &group.blobs {
            let is_it = self
                .blob(*start, *length)
                .is_some_and(|blob| self.from.keys().blob_id(place.kind, blob) == *id);
            if !is_it {
                return Err(broken(CodecError::WrongContent));
            }
        }
        Ok(sealed)
    }

    fn blob(&self, start: u64, length: u64) -> Option<&[u8]> {
        let start = usize::try_from(start).ok()?;
        self.plain.get(start..start.checked_add(usize::try_from(length).ok()?)?)
    }

    /// Returns the first unit's stored bytes; what lies shortly behind is fetched with them.
    fn fetch(&mut self, groups: &[Group]) -> Result<Vec<u8>> {
        let Some(group) = groups.first() else { return Ok(Vec::new()) };
        let (object, start, end) = (&group.place.object, group.place.offset, group.end());
        let is_there = self.fetched.as_ref().is_some_and(|fetched| {
            let reach = fetched.start.saturating_add(fetched.bytes.len() as u64);
            fetched.object == *object && fetched.start <= start && end <= reach
        });
        if !is_there {
            let mut until = end;
            for next in groups.iter().skip(1) {
                let is_near = next.place.object == *object
                    && next.place.offset >= until
                    && next.place.offset.saturating_sub(until) <= GAP_BYTES
                    && next.end().saturating_sub(start) <= RANGE_BYTES;
                if !is_near {
                    break;
                }
                until = next.end();
            }
            let bytes = fetch(self.from, object, start, until)?;
            self.fetched = Some(Fetched { object: object.clone(), start, bytes });
        }
        let unit = self.fetched.as_ref().and_then(|fetched| {
            let from = usize::try_from(start.checked_sub(fetched.start)?).ok()?;
            let to = usize::try_from(end.checked_sub(fetched.start)?).ok()?;
            fetched.bytes.get(from..to).map(<[u8]>::to_vec)
        });
        unit.ok_or_else(|| damaged(object, &crate::format::DecodeError::Cut.into()))
    }

    /// Returns how many differences would lie below a unit there; `None` if it can't be carried over
    /// as it is.
    fn depth_there(&self, place: &Place) -> Result<Option<u64>> {
        if !place.is_reliable {
            return Ok(None);
        }
        let (mut deepest, mut units) = (None, 1_u32);
        for base in &place.bases {
            let below = match self.ledger.find_depth(base)? {
                Some(depth) => Some((depth, u32::try_from(depth).unwrap_or(u32::MAX))),
                None => match self.sink.to.cache().find_chain(base)? {
                    // Claimed, so that the commit asks again whether it still stands.
                    Some(chain) => {
                        self.sink.index.claim(base)?;
                        Some((chain.depth, chain.units))
                    }
                    // Stored in full by this run, and not published yet.
                    None => self.sink.index.stands(base)?.then_some((0, 1)),
                },
            };
            let Some((depth, below)) = below else { return Ok(None) };
            deepest = deepest.max(Some(depth));
            units = units.saturating_add(below);
        }
        let depth = deepest.map_or(0, |depth| depth.saturating_add(1));
        Ok((depth <= DEEPEST && units <= MOST_UNITS).then_some(depth))
    }

    fn carry(&mut self, group: &Group, payload: Vec<u8>, depth: u64) -> Result<()> {
        let place = &group.place;
        if depth > 0 {
            for (_, id, _) in &group.blobs {
                self.ledger.note_depth(id, depth)?;
            }
        }
        self.carried = self.carried.saturating_add(1);
        self.sink.packer.add(PlainUnit {
            kind: place.kind,
            form: place.form,
            payload,
            blobs: group.blobs.iter().map(|(_, id, length)| (*id, *length)).collect(),
            bases: place.bases.clone(),
            depth,
        })
    }

    /// Compresses anew what is wanted of the unit that was opened.
    fn pick(&mut self, group: &Group) -> Result<()> {
        for (start, id, length) in &group.blobs {
            let blob = self.blob(*start, *length).map(<[u8]>::to_vec).unwrap_or_default();
            self.store(group.place.kind, *id, &blob)?;
        }
        Ok(())
    }

    /// Takes what is wanted of a unit from wherever it can be read.
    fn search(&mut self, group: &Group) -> Result<()> {
        for (_, id, _) in &group.blobs {
            let blob = self.reader.load(group.place.kind, id)?;
            self.store(group.place.kind, *id, &blob)?;
        }
        Ok(())
    }

    fn store(&mut self, kind: BlobKind, id: BlobId, blob: &[u8]) -> Result<()> {
        match self.writers.get_mut(kind as usize) {
            Some(writer) => writer.add(id, blob),
            None => Err(Error::failed("no such kind of blob")),
        }
    }
}
