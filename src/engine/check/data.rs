//! Reading the data: each object as a whole, its name, its table, each unit, each blob's id.
//!
//! Workers take objects in the order of their names. Objects in memory together have at most
//! [`BUDGET_BYTES`], or are one; a unit is opened in place and decompressed into a buffer that the
//! worker keeps: 1 MiB as we write them, 16 MiB at most. All workers together keep [`BASES_BYTES`]
//! of what deltas stand on.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use super::finding::FindingKind;
use super::known::BadUnits;
use crate::codec::UnitDecoder;
use crate::codec::crypto::{ObjectSealer, Role};
use crate::error::{Error, Kind, Result};
use crate::event::Counters;
use crate::format::object::{HEADER_LENGTH, ObjectKind};
use crate::format::pack::{UnitEntry, validate_units};
use crate::format::record::Record;
use crate::format::{DecodeError, cbor};
use crate::id::ObjectHash;
use crate::repository::Repository;
use crate::repository::container::{OpenError, OpenedObject, open_ends, pack_table};
use crate::repository::packer::verify_blobs;
use crate::repository::reader::{BlobReader, open_header};
use crate::store::ObjectName;

/// Bytes of objects that are held at the same time.
const BUDGET_BYTES: u64 = 64 << 20;

/// Bytes of units with bases that all workers keep together.
const BASES_BYTES: usize = 8 << 20;

/// A short name for a table of units: equal tables have equal prints.
pub(super) type TablePrint = [u8; 16];

/// Returns a table's print.
pub(super) fn print_of(units: &[UnitEntry]) -> TablePrint {
    let hash = blake3::hash(&cbor::encode(&units));
    hash.as_bytes().first_chunk().copied().unwrap_or_default()
}

/// What is wrong with an object.
pub(super) struct Problem {
    pub(super) object: ObjectName,
    pub(super) kind: FindingKind,
    pub(super) text: String,
    pub(super) units: BadUnits,
}

/// What reading came to.
#[derive(Default)]
pub(super) struct DataReport {
    pub(super) problems: Vec<Problem>,
    pub(super) objects: u64,
    pub(super) bytes: u64,
}

/// Memory that workers share.
struct Budget {
    left: Mutex<u64>,
    freed: Condvar,
}

impl Budget {
    fn take(&self, bytes: u64) -> Taken<'_> {
        // What is larger than everything waits until it is alone.
        let bytes = bytes.min(BUDGET_BYTES);
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        while *left < bytes {
            left = self.freed.wait(left).unwrap_or_else(PoisonError::into_inner);
        }
        *left = left.saturating_sub(bytes);
        Taken { budget: self, bytes }
    }
}

struct Taken<'b> {
    budget: &'b Budget,
    bytes: u64,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut left = self.budget.left.lock().unwrap_or_else(PoisonError::into_inner);
        *left = left.saturating_add(self.bytes);
        self.budget.freed.notify_all();
    }
}

/// Reads objects, given with their lengths in bytes; `prints` says what the log has of each.
pub(super) fn read_data(
    repository: &Repository,
    objects: &[(ObjectName, u64)],
    prints: &HashMap<ObjectHash, TablePrint>,
    threads: usize,
    counters: &Counters,
) -> Result<DataReport> {
    let report = Mutex::new(DataReport::default());
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let budget = Budget { left: Mutex::new(BUDGET_BYTES), freed: Condvar::new() };
    let workers = repository.store().readers(threads).clamp(1, objects.len().max(1));
    let bases_bytes = BASES_BYTES.checked_div(workers).unwrap_or_default();
    let work = || -> Result<()> {
        let mut verifier = Verifier::new(repository, prints, bases_bytes)?;
        while let Some((object, size)) = objects.get(next.fetch_add(1, Ordering::Relaxed)) {
            if failed.load(Ordering::Relaxed) {
                break;
            }
            counters.go_on()?;
            let taken = budget.take(*size);
            let problem = verifier.verify(object)?;
            drop(taken);
            Counters::add(&counters.done_items, 1);
            Counters::add(&counters.done_bytes, *size);
            let mut report = report.lock().unwrap_or_else(PoisonError::into_inner);
            report.objects = report.objects.saturating_add(1);
            report.bytes = report.bytes.saturating_add(*size);
            report.problems.extend(problem);
        }
        Ok(())
    };
    let work = || work().inspect_err(|_| failed.store(true, Ordering::Relaxed));
    std::thread::scope(|scope| {
        let spawned: Vec<_> = (1..workers).map(|_| scope.spawn(work)).collect();
        let mut result = work();
        for worker in spawned {
            let panicked = |_| Err(Error::failed("a worker of the check has panicked"));
            result = result.and(worker.join().unwrap_or_else(panicked));
        }
        result
    })?;
    let mut report = report.into_inner().unwrap_or_else(PoisonError::into_inner);
    report.problems.sort_by(|a, b| a.object.cmp(&b.object));
    Ok(report)
}

/// One worker.
struct Verifier<'r> {
    repository: &'r Repository,
    prints: &'r HashMap<ObjectHash, TablePrint>,
    decoder: UnitDecoder,
    plain: Vec<u8>,
    /// Reads bases.
    reader: BlobReader<'r>,
}

/// What verifying a table's units came to.
#[derive(Default)]
struct UnitsOutcome {
    bad: BTreeSet<u32>,
    first: Option<String>,
    /// Whether the object itself is to blame for one of them.
    is_own: bool,
}

/// Why a unit can't be read.
enum Fault {
    Own(OpenError),
    /// A blob that it is a difference from can't be read.
    Base(Error),
}

impl<'r> Verifier<'r> {
    fn new(
        repository: &'r Repository,
        prints: &'r HashMap<ObjectHash, TablePrint>,
        bases_bytes: usize,
    ) -> Result<Self> {
        let reader = BlobReader::with_room(repository, bases_bytes)?;
        let decoder = UnitDecoder::new()
            .map_err(|error| Error::failed("cannot start a reader").source(error))?;
        Ok(Verifier { repository, prints, decoder, plain: Vec::new(), reader })
    }

    fn verify(&mut self, object: &ObjectName) -> Result<Option<Problem>> {
        let problem =
            |kind, text: String, units| Some(Problem { object: object.clone(), kind, text, units });
        let mut bytes: Vec<u8> = match self.repository.store().get(object) {
            Ok(Some(bytes)) => bytes.into(),
            Ok(None) => {
                let kind = FindingKind::PackMissing;
                return Ok(problem(kind, "it is missing".to_owned(), BadUnits::All));
            }
            Err(error) if error.kind() == Kind::Damaged => {
                let text = error.to_string();
                return Ok(problem(FindingKind::ObjectDamaged, text, BadUnits::All));
            }
            Err(error) => return Err(error),
        };
        let has_its_name = blake3::hash(&bytes).as_bytes() == object.hash().as_bytes();
        let table = self.table(object, &bytes);
        if has_its_name && let Ok((sealer, units)) = &table {
            let outcome = self.units(sealer, units, &mut bytes)?;
            if let Some(first) = outcome.first {
                let text = units_text("", &outcome.bad, units.len(), &first);
                let (kind, units) = if outcome.is_own {
                    (FindingKind::ObjectDamaged, BadUnits::Some(outcome.bad))
                } else {
                    (FindingKind::BaseMissing, BadUnits::Baseless(outcome.bad))
                };
                return Ok(problem(kind, text, units));
            }
            if self.prints.get(&object.hash()).is_none_or(|print| *print == print_of(units)) {
                return Ok(None);
            }
            let bad = self.disagreeing(object, units)?;
            let text = format!(
                "its own table and the log's differ in {} of {} units",
                bad.len(),
                units.len()
            );
            return Ok(problem(FindingKind::IndexDisagrees, text, BadUnits::Some(bad)));
        }
        let begin = match &table {
            _ if !has_its_name => "its bytes are not what its name says".to_owned(),
            Err(error) => format!("its table can't be read: {error}"),
            Ok(_) => String::new(),
        };
        drop(table);
        let (text, units) = self.salvage(object, &begin, &mut bytes)?;
        Ok(problem(FindingKind::ObjectDamaged, text, units))
    }

    /// Looks what can be read of a damaged object, by the log's table of it.
    fn salvage(
        &mut self,
        object: &ObjectName,
        begin: &str,
        bytes: &mut [u8],
    ) -> Result<(String, BadUnits)> {
        match open_header(self.repository, object, bytes) {
            Ok(sealer) => {
                let units = self.repository.cache().units_of(&object.hash())?;
                let outcome = self.units(&sealer, &units, bytes)?;
                let text = match &outcome.first {
                    Some(first) => units_text(begin, &outcome.bad, units.len(), first),
                    None => format!("{begin}; each of its {} units can be read", units.len()),
                };
                Ok((text, BadUnits::Some(outcome.bad)))
            }
            Err(error) => Ok((format!("{begin}; nothing in it opens: {error}"), BadUnits::All)),
        }
    }

    fn table(
        &self,
        object: &ObjectName,
        bytes: &[u8],
    ) -> Result<(ObjectSealer, Vec<UnitEntry>), OpenError> {
        let is_record = matches!(object, ObjectName::Record(_));
        let kind = if is_record { ObjectKind::Record } else { ObjectKind::Pack };
        let tail = bytes.get(HEADER_LENGTH..).ok_or(DecodeError::Cut)?;
        let opened = open_ends(self.repository.keys(), kind, bytes, tail)?
            .map_err(|_| OpenError::from(DecodeError::Cut))?;
        let length = bytes.len() as u64;
        let units = if is_record {
            let units = Record::decode(&opened.body)?.inline;
            validate_units(&units, length, opened.tail_length)?;
            units
        } else {
            pack_table(&opened, length)?.into_iter().map(|(_, unit)| unit).collect()
        };
        let OpenedObject { sealer, .. } = opened;
        Ok((sealer, units))
    }

    fn units(
        &mut self,
        sealer: &ObjectSealer,
        units: &[UnitEntry],
        bytes: &mut [u8],
    ) -> Result<UnitsOutcome> {
        let mut outcome = UnitsOutcome::default();
        let mut offset = HEADER_LENGTH;
        for (number, unit) in (0_u32..).zip(units) {
            let length = usize::try_from(unit.stored_length).unwrap_or(usize::MAX);
            let end = offset.saturating_add(length);
            let result = match bytes.get_mut(offset..end) {
                Some(sealed) => self.unit(sealer, unit, number, sealed)?,
                None => Err(Fault::Own(DecodeError::Cut.into())),
            };
            if let Err(fault) = result {
                outcome.bad.insert(number);
                outcome.is_own |= matches!(fault, Fault::Own(_));
                let text = match fault {
                    Fault::Own(error) => error.to_string(),
                    Fault::Base(error) => format!("its base can't be: {error}"),
                };
                outcome
                    .first
                    .get_or_insert_with(|| format!("{text} at offset {offset} ({length} bytes)"));
            }
            offset = end;
        }
        Ok(outcome)
    }

    /// The outer error is the store's.
    fn unit(
        &mut self,
        sealer: &ObjectSealer,
        unit: &UnitEntry,
        number: u32,
        sealed: &mut [u8],
    ) -> Result<Result<(), Fault>> {
        let (Ok(kind), Ok(form)) = (unit.blob_kind(), unit.unit_form()) else {
            return Ok(Err(Fault::Own(DecodeError::Unknown("unit").into())));
        };
        let payload = match sealer.open(Role::Unit(kind), number, sealed) {
            Ok(payload) => payload,
            Err(error) => return Ok(Err(Fault::Own(error.into()))),
        };
        let base = match self.reader.load_bases(kind, &unit.bases) {
            Ok(base) => base,
            Err(error) if error.kind() == Kind::Damaged => return Ok(Err(Fault::Base(error))),
            Err(error) => return Err(error),
        };
        let length = usize::try_from(unit.raw_length()).unwrap_or(usize::MAX);
        let verified = self
            .decoder
            .decode(form, payload, length, base.as_deref(), &mut self.plain)
            .and_then(|()| verify_blobs(self.repository.keys(), unit, kind, &self.plain));
        Ok(verified.map_err(|error| Fault::Own(error.into())))
    }

    /// Returns the units of which the log says something else than the object.
    fn disagreeing(&self, object: &ObjectName, units: &[UnitEntry]) -> Result<BTreeSet<u32>> {
        let logged = self.repository.cache().units_of(&object.hash())?;
        let is_same = |a: &UnitEntry, b: &UnitEntry| {
            (a.kind, a.form, a.stored_length, &a.bases)
                == (b.kind, b.form, b.stored_length, &b.bases)
                && a.blobs == b.blobs
                && a.raw_lengths == b.raw_lengths
        };
        let mut aligned = true;
        Ok((0_u32..)
            .zip(&logged)
            .filter(|(number, unit)| {
                let own = usize::try_from(*number).ok().and_then(|number| units.get(number));
                let same = aligned && own.is_some_and(|own| is_same(own, unit));
                // Behind a unit of another length nothing is where the log says.
                aligned &= own.is_some_and(|own| own.stored_length == unit.stored_length);
                !same
            })
            .map(|(number, _)| number)
            .collect())
    }
}

fn units_text(begin: &str, bad: &BTreeSet<u32>, all: usize, first: &str) -> String {
    let separator = if begin.is_empty() { "" } else { "; " };
    format!("{begin}{separator}{} of {all} units can't be read: {first}", bad.len())
}
