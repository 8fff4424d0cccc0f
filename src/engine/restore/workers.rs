//! The workers of a restore: pieces fetched, opened, verified and written.
//!
//! A batch's pieces are sorted by object and unit, and neighbouring units merged into ranges. All
//! workers take from one list, to which the walk adds batch after batch, so none waits for another
//! at a batch's end. Whoever writes a file's last piece completes it.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_channel::{Receiver, Sender};

use super::batch::{Batch, Piece, Shared};
use super::job::FileJob;
use crate::codec::UnitDecoder;
use crate::error::{Error, Result};
use crate::event::Counters;
use crate::format::pack::BlobKind;
use crate::repository::cache::Place;
use crate::repository::reader::{BlobReader, fetch, open_unit};
use crate::store::ObjectName;

/// A range is fetched in pieces of at most this, in bytes, if that takes a network …
const FAR_RANGE_BYTES: u64 = 4 << 20;
/// … and else of this: it then stays in the processor's cache until it is opened.
const NEAR_RANGE_BYTES: u64 = 1 << 20;
/// Units this close are fetched together, in bytes.
const RANGE_GAP: u64 = 128 << 10;
/// From so many files on, those of a batch are completed as soon as they can be; fewer at its end,
/// in their order.
const MANY_FILES: usize = 32;
/// So many of a batch's files are completed in one go if they have no pieces.
const FILES_AT_ONCE: usize = 64;
/// Batches that the workers may have before them.
const BATCHES: usize = 2;

/// Something for a worker to do.
pub(super) enum Work {
    /// Files all of whose pieces have been named.
    Named(Vec<Arc<FileJob>>, Arc<BatchEnd>),
    /// Pieces to be written.
    Range(Range, Arc<BatchEnd>),
}

/// What happens when a batch has been written; held by all that is to be done for it.
pub(super) struct BatchEnd {
    few: Mutex<Vec<Arc<FileJob>>>,
    /// Makes room for another batch.
    _room: Room,
}

/// One of the batches that may be under way; gives its place back when dropped.
struct Room(Sender<()>);

impl Drop for Room {
    fn drop(&mut self) {
        // Nobody waits for it any more if this fails.
        let _given = self.0.try_send(());
    }
}

/// The list's end at which the walk adds.
pub(super) struct WorkSender {
    work: Sender<Work>,
    rooms: (Sender<()>, Receiver<()>),
    range_bytes: u64,
}

impl WorkSender {
    /// Returns both ends of a list for a store that is far away or not. Few batches fit in.
    pub(super) fn new(is_remote: bool) -> (WorkSender, Receiver<Work>) {
        let (work, receiver) = crossbeam_channel::unbounded();
        let rooms = crossbeam_channel::bounded(BATCHES);
        for _ in 0..BATCHES {
            // As many as fit.
            let _given = rooms.0.try_send(());
        }
        let range_bytes = if is_remote { FAR_RANGE_BYTES } else { NEAR_RANGE_BYTES };
        (WorkSender { work, rooms, range_bytes }, receiver)
    }

    /// Adds a batch, once there is room for it.
    pub(super) fn send(&self, batch: Batch) -> Result<()> {
        let cut_short = || Error::failed("the restore was cut short");
        let Batch { pieces, mut named, .. } = batch;
        self.rooms.1.recv().map_err(|_| cut_short())?;
        let few = if named.len() < MANY_FILES { std::mem::take(&mut named) } else { Vec::new() };
        let end = BatchEnd { few: Mutex::new(few), _room: Room(self.rooms.0.clone()) };
        let end = Arc::new(end);
        while !named.is_empty() {
            let rest = named.split_off(named.len().min(FILES_AT_ONCE));
            let files = std::mem::replace(&mut named, rest);
            self.work.send(Work::Named(files, Arc::clone(&end))).map_err(|_| cut_short())?;
        }
        for range in ranges(pieces, self.range_bytes) {
            self.work.send(Work::Range(range, Arc::clone(&end))).map_err(|_| cut_short())?;
        }
        // A batch without pieces has an end as well.
        self.work.send(Work::Named(Vec::new(), end)).map_err(|_| cut_short())
    }
}

/// Works until the list ends. A failure ends the run.
pub(super) fn work(shared: &Shared<'_>, list: &Receiver<Work>) {
    if let Err(error) = work_through(shared, list) {
        shared.stop(error);
    }
}

fn work_through(shared: &Shared<'_>, list: &Receiver<Work>) -> Result<()> {
    let mut decoder =
        UnitDecoder::new().map_err(|error| Error::failed("cannot start a reader").source(error))?;
    let mut reader = BlobReader::new(shared.repository)?;
    let mut plain = Vec::new();
    for work in list {
        if shared.counters.stop.load(Ordering::Relaxed) {
            break;
        }
        let end = match work {
            Work::Named(files, end) => {
                for job in files {
                    shared.release(&job);
                }
                end
            }
            Work::Range(range, end) => {
                write_range(shared, &mut reader, &mut decoder, &mut plain, range);
                end
            }
        };
        // Whoever is the last to hold it ends the batch.
        if let Some(end) = Arc::into_inner(end) {
            for job in end.few.into_inner().unwrap_or_else(PoisonError::into_inner) {
                shared.release(&job);
            }
        }
    }
    Ok(())
}

/// Units of one object that are fetched together.
pub(super) struct Range {
    object: ObjectName,
    start: u64,
    end: u64,
    units: Vec<Vec<Piece>>,
}

/// Sorts pieces by where they are stored, and merges neighbours.
fn ranges(pieces: Vec<Piece>, most_bytes: u64) -> Vec<Range> {
    let mut units: BTreeMap<(ObjectName, u64), Vec<Piece>> = BTreeMap::new();
    for piece in pieces {
        let key = (piece.place.object.clone(), piece.place.offset);
        units.entry(key).or_default().push(piece);
    }
    let mut ranges: Vec<Range> = Vec::new();
    for ((object, start), pieces) in units {
        let stored = pieces.first().map_or(0, |piece| piece.place.stored_length);
        let end = start.saturating_add(stored);
        match ranges.last_mut() {
            Some(range)
                if range.object == object
                    && start.saturating_sub(range.end) <= RANGE_GAP
                    && end.saturating_sub(range.start) <= most_bytes =>
            {
                range.end = range.end.max(end);
                range.units.push(pieces);
            }
            _ => ranges.push(Range { object, start, end, units: vec![pieces] }),
        }
    }
    ranges
}

fn write_range(
    shared: &Shared<'_>,
    reader: &mut BlobReader<'_>,
    decoder: &mut UnitDecoder,
    plain: &mut Vec<u8>,
    range: Range,
) {
    let mut bytes = fetch(shared.repository, &range.object, range.start, range.end);
    for pieces in range.units {
        let is_open = match (&mut bytes, pieces.first()) {
            (Ok(bytes), Some(first)) if first.place.bases.is_empty() => {
                open_from(bytes, range.start, &first.place, reader, decoder, plain).is_some()
            }
            _ => false,
        };
        for piece in pieces {
            let unit = is_open.then_some(plain.as_slice());
            if let Err(error) = write_piece(shared, reader, unit, &piece) {
                piece.job.fail(error);
            }
            shared.release(&piece.job);
        }
    }
}

/// Opens a unit within a range's bytes, in place.
fn open_from(
    bytes: &mut [u8],
    start: u64,
    place: &Place,
    reader: &mut BlobReader<'_>,
    decoder: &mut UnitDecoder,
    plain: &mut Vec<u8>,
) -> Option<()> {
    let from = usize::try_from(place.offset.checked_sub(start)?).ok()?;
    let length = usize::try_from(place.stored_length).ok()?;
    let sealed = bytes.get_mut(from..from.checked_add(length)?)?;
    let sealer = reader.sealer(&place.object).ok()?;
    open_unit(&sealer, decoder, place, sealed, None, plain).ok()
}

fn write_piece(
    shared: &Shared<'_>,
    reader: &mut BlobReader<'_>,
    unit: Option<&[u8]>,
    piece: &Piece,
) -> Result<()> {
    let start = usize::try_from(piece.place.start).unwrap_or(usize::MAX);
    let length = usize::try_from(piece.place.length).unwrap_or(usize::MAX);
    let from_unit = unit
        .and_then(|unit| unit.get(start..start.saturating_add(length)))
        .filter(|blob| shared.repository.keys().blob_id(BlobKind::Data, blob) == piece.id);
    let result = if let Some(blob) = from_unit {
        piece.job.write(piece.offset, blob)
    } else {
        // Every other place is tried before the blob counts as lost.
        let blob = reader.load(BlobKind::Data, &piece.id)?;
        piece.job.write(piece.offset, &blob)
    };
    Counters::add(&shared.counters.done_bytes, piece.place.length);
    result
}
