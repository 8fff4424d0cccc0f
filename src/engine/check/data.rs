//! Objects as a whole: name, table, every unit, every blob.
//!
//! Workers take the next object until none is left; each holds one object and one unit.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::{CheckOptions, FindingKind, Found, ReadData, object_kind};
use crate::codec::crypto::Role;
use crate::codec::{CodecError, UnitDecoder};
use crate::error::{Error, Kind, Result};
use crate::event::Counters;
use crate::format::DecodeError;
use crate::format::object::ObjectKind;
use crate::format::pack::{UnitEntry, validate_units};
use crate::format::record::Record;
use crate::id::ObjectHash;
use crate::repository::Repository;
use crate::repository::container::{OpenError, OpenedObject, open_whole, pack_table};
use crate::repository::packer::verify_blobs;
use crate::repository::reader::BlobReader;
use crate::store::{ObjectName, Prefix};

/// An object that is to be read.
struct Task {
    name: ObjectName,
    size: u64,
    /// Whether the index names it.
    is_known: bool,
}

/// What is wrong with an object.
struct Damage {
    name: ObjectName,
    kind: FindingKind,
    what: String,
}

/// Reads the objects that `options` chooses.
pub(super) fn read_objects(
    repository: &Repository,
    options: &CheckOptions,
    objects: &[(ObjectName, u64)],
    packs: &HashMap<ObjectHash, u64>,
    found: &mut Found,
    counters: &Counters,
) -> Result<()> {
    let tasks = choose(all_tasks(repository, options, objects, packs)?, options);
    Counters::add(&counters.total_items, tasks.len() as u64);
    Counters::add(&counters.total_bytes, tasks.iter().map(|task| task.size).sum());
    counters.total_known.store(true, Ordering::Relaxed);
    let next = AtomicUsize::new(0);
    let damages = Mutex::new(Vec::new());
    let results: Vec<Result<()>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..options.threads.max(1).min(tasks.len()))
            .map(|_| {
                scope.spawn(|| {
                    let result = work(repository, &tasks, &next, &damages, counters);
                    if result.is_err() {
                        // The others stop at their next object.
                        next.store(tasks.len(), Ordering::Relaxed);
                    }
                    result
                })
            })
            .collect();
        let joined = workers.into_iter().map(|worker| {
            worker.join().unwrap_or_else(|_| Err(Error::failed("a worker has panicked")))
        });
        joined.collect()
    });
    results.into_iter().collect::<Result<()>>()?;
    found.report.objects_read = tasks.len() as u64;
    found.report.bytes_read = tasks.iter().map(|task| task.size).sum();
    let mut damages = damages.into_inner().unwrap_or_else(PoisonError::into_inner);
    damages.sort_by(|a: &Damage, b| a.name.cmp(&b.name));
    for damage in damages {
        if damage.kind == FindingKind::Index {
            found.add(damage.kind, damage.name.to_string(), damage.what);
        } else {
            found.object(&damage.name, damage.kind, damage.what);
        }
    }
    Ok(())
}

fn all_tasks(
    repository: &Repository,
    options: &CheckOptions,
    objects: &[(ObjectName, u64)],
    packs: &HashMap<ObjectHash, u64>,
) -> Result<Vec<Task>> {
    if options.read_data == ReadData::None {
        return Ok(Vec::new());
    }
    let mut tasks = Vec::new();
    let mut unknown = packs.clone();
    for (name, reach) in objects {
        match name {
            ObjectName::Pack(hash) => {
                if let Some(size) = unknown.remove(hash) {
                    tasks.push(Task { name: name.clone(), size, is_known: true });
                }
            }
            _ => tasks.push(Task { name: name.clone(), size: *reach, is_known: true }),
        }
    }
    tasks.extend(unknown.into_iter().map(|(hash, size)| Task {
        name: ObjectName::Pack(hash),
        size,
        is_known: false,
    }));
    let segments = repository.store().list(Prefix::Index)?;
    tasks.extend(segments.into_iter().map(|row| Task {
        name: row.name,
        size: row.size,
        is_known: false,
    }));
    tasks.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(tasks)
}

/// Chooses among the objects; a part is a function of the objects' names alone.
fn choose(mut tasks: Vec<Task>, options: &CheckOptions) -> Vec<Task> {
    let rank = |task: &Task, seed: u64| {
        let hash = task.name.hash();
        let first = hash.0.first_chunk::<8>().copied().map_or(0, u64::from_le_bytes);
        (first ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    };
    let total: u64 = tasks.iter().map(|task| task.size).sum();
    let limit = match options.read_data {
        ReadData::None | ReadData::All => return tasks,
        ReadData::Part { part, of } => {
            let of = u64::from(of.max(1));
            tasks.retain(|task| {
                rank(task, 0).checked_rem(of) == Some(u64::from(part.saturating_sub(1)))
            });
            return tasks;
        }
        ReadData::Percent(percent) => share(total, percent),
        ReadData::Bytes(bytes) => bytes,
    };
    tasks.sort_by_key(|task| rank(task, options.seed));
    let mut sum = 0_u64;
    let takes_one_more = matches!(options.read_data, ReadData::Percent(_));
    tasks.retain(|task| {
        let with = sum.saturating_add(task.size);
        let fits = if takes_one_more { sum < limit } else { with <= limit };
        if fits {
            sum = with;
        }
        fits
    });
    tasks
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share need not be exact, and floats saturate"
)]
fn share(total: u64, percent: f64) -> u64 {
    (total as f64 * percent / 100.0).ceil() as u64
}

fn work(
    repository: &Repository,
    tasks: &[Task],
    next: &AtomicUsize,
    damages: &Mutex<Vec<Damage>>,
    counters: &Counters,
) -> Result<()> {
    let decoder =
        UnitDecoder::new().map_err(|error| Error::failed("cannot start a check").source(error))?;
    let reader = BlobReader::new(repository)?;
    let mut worker = Worker { repository, reader, decoder, sealed: Vec::new(), plain: Vec::new() };
    loop {
        counters.go_on()?;
        let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) else { return Ok(()) };
        if let Some(damage) = worker.object(task)? {
            Counters::add(&counters.failed_items, 1);
            damages.lock().unwrap_or_else(PoisonError::into_inner).push(damage);
        }
        Counters::add(&counters.done_items, 1);
        Counters::add(&counters.done_bytes, task.size);
    }
}

struct Worker<'r> {
    repository: &'r Repository,
    reader: BlobReader<'r>,
    decoder: UnitDecoder,
    sealed: Vec<u8>,
    plain: Vec<u8>,
}

impl Worker<'_> {
    fn object(&mut self, task: &Task) -> Result<Option<Damage>> {
        let damage = |kind, what: String| Ok(Some(Damage { name: task.name.clone(), kind, what }));
        let kind = object_kind(&task.name);
        let Some(bytes) = self.repository.store().get(&task.name)? else {
            return damage(kind, "is missing".to_owned());
        };
        let (opened, units) = match self.open(&task.name, &bytes) {
            Ok(opened) => opened,
            // Whole, and another repository's.
            Err(OpenError::Codec(CodecError::WrongKey)) if !task.is_known => return Ok(None),
            Err(error) => return damage(kind, format!("is damaged: {error}")),
        };
        for (number, (offset, unit)) in (0_u32..).zip(&units) {
            if let Err(what) = self.unit(&opened, &bytes, number, *offset, unit)? {
                return damage(kind, format!("is damaged in unit {number}: {what}"));
            }
        }
        let units: Vec<UnitEntry> = units.into_iter().map(|(_, unit)| unit).collect();
        if task.is_known && !self.repository.cache().agrees(&task.name.hash(), &units)? {
            return damage(
                FindingKind::Index,
                "holds something else than the index says of it".to_owned(),
            );
        }
        Ok(None)
    }

    fn open(
        &self,
        name: &ObjectName,
        bytes: &[u8],
    ) -> Result<(OpenedObject, Vec<(u64, UnitEntry)>), OpenError> {
        let kind = match name {
            ObjectName::Record(_) => ObjectKind::Record,
            ObjectName::Segment(_) => ObjectKind::Segment,
            _ => ObjectKind::Pack,
        };
        let opened = open_whole(self.repository.keys(), kind, &name.hash(), bytes)?;
        let length = bytes.len() as u64;
        let units = match kind {
            ObjectKind::Record => {
                let units = Record::decode(&opened.body)?.inline;
                let offsets = validate_units(&units, length, opened.tail_length)?;
                offsets.into_iter().zip(units).collect()
            }
            ObjectKind::Pack => pack_table(&opened, length)?,
            _ => Vec::new(),
        };
        Ok((opened, units))
    }

    /// Opens one unit and compares every blob in it with its id. The inner error is damage.
    fn unit(
        &mut self,
        opened: &OpenedObject,
        bytes: &[u8],
        number: u32,
        offset: u64,
        unit: &UnitEntry,
    ) -> Result<Result<(), OpenError>> {
        let (Ok(kind), Ok(form)) = (unit.blob_kind(), unit.unit_form()) else {
            return Ok(Err(DecodeError::Unknown("unit").into()));
        };
        let base = match self.reader.load_bases(kind, &unit.bases) {
            Ok(base) => base,
            // The object that holds the base gets a finding of its own.
            Err(error) if error.kind() == Kind::Damaged => return Ok(Ok(())),
            Err(error) => return Err(error),
        };
        Ok((|| {
            let start = usize::try_from(offset).unwrap_or(usize::MAX);
            let length = usize::try_from(unit.stored_length).unwrap_or(usize::MAX);
            let sealed = bytes.get(start..start.saturating_add(length)).ok_or(DecodeError::Cut)?;
            self.sealed.clear();
            self.sealed.extend_from_slice(sealed);
            let payload = opened.sealer.open(Role::Unit(kind), number, &mut self.sealed)?;
            let length = usize::try_from(unit.raw_length()).unwrap_or(usize::MAX);
            self.decoder.decode(form, payload, length, base.as_deref(), &mut self.plain)?;
            verify_blobs(self.repository.keys(), unit, kind, &self.plain)?;
            Ok(())
        })())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tasks() -> Vec<Task> {
        let task = |number: u8| Task {
            name: ObjectName::Pack(ObjectHash(*blake3::hash(&[number]).as_bytes())),
            size: 10,
            is_known: true,
        };
        (0..100).map(task).collect()
    }

    fn chosen(read_data: ReadData, seed: u64) -> Vec<ObjectName> {
        let options = CheckOptions { read_data, seed, threads: 1 };
        choose(tasks(), &options).into_iter().map(|task| task.name).collect()
    }

    #[test]
    fn the_parts_together_are_everything_and_share_nothing() {
        let mut all: Vec<ObjectName> =
            (1..=7).flat_map(|part| chosen(ReadData::Part { part, of: 7 }, 5)).collect();
        assert_eq!(all.len(), 100);
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 100);
        assert_eq!(chosen(ReadData::Part { part: 2, of: 7 }, 1), {
            chosen(ReadData::Part { part: 2, of: 7 }, 2)
        });
    }

    #[test]
    fn shares_and_sizes_are_kept_and_vary_with_the_seed() {
        assert_eq!(chosen(ReadData::Percent(10.0), 1).len(), 10);
        assert_ne!(chosen(ReadData::Percent(10.0), 1), chosen(ReadData::Percent(10.0), 2));
        assert_eq!(chosen(ReadData::Percent(0.01), 1).len(), 1);
        assert_eq!(chosen(ReadData::Bytes(99), 1).len(), 9);
        assert_eq!(chosen(ReadData::All, 1).len(), 100);
        assert_eq!(chosen(ReadData::Percent(100.0), 1).len(), 100);
    }
}
