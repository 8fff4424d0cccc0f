//! All that a repository's objects can be decoded to, whether something names it or not.

use std::collections::HashMap;

use stash::codec::UnitDecoder;
use stash::format::object::HEADER_LENGTH;
use stash::format::pack::UnitEntry;
use stash::id::BlobId;
use stash::repository::Repository;
use stash::repository::cache::Place;
use stash::repository::reader::{open_header, open_unit, read_pack_table};
use stash::store::{ObjectName, Store};

use crate::common_engine::open_fresh;

/// Where a unit lies.
type At = (usize, usize);

struct Decoder {
    repository: Repository,
    objects: Vec<(ObjectName, Vec<UnitEntry>)>,
    places: HashMap<BlobId, Vec<At>>,
    decoded: HashMap<At, Vec<u8>>,
}

impl Decoder {
    fn blob(&mut self, id: &BlobId) -> Vec<u8> {
        let at = self.places[id][0];
        let plain = self.unit(at);
        let unit = &self.objects[at.0].1[at.1];
        let mut start = 0;
        for (found, length) in unit.blobs.iter().zip(&unit.raw_lengths) {
            let end = start + usize::try_from(*length).unwrap();
            if found == id {
                return plain[start..end].to_vec();
            }
            start = end;
        }
        unreachable!("the unit's table names the blob")
    }

    fn unit(&mut self, at: At) -> Vec<u8> {
        if let Some(plain) = self.decoded.get(&at) {
            return plain.clone();
        }
        let (object, units) = self.objects[at.0].clone();
        let unit = &units[at.1];
        let before: u64 = units[..at.1].iter().map(|unit| unit.stored_length).sum();
        let place = Place {
            object: object.clone(),
            unit: u32::try_from(at.1).unwrap(),
            offset: HEADER_LENGTH as u64 + before,
            stored_length: unit.stored_length,
            unit_length: unit.raw_length(),
            form: unit.unit_form().unwrap(),
            kind: unit.blob_kind().unwrap(),
            bases: unit.bases.0.clone(),
            start: 0,
            length: unit.raw_length(),
            is_reliable: true,
        };
        let prefix: Vec<u8> = unit.bases.iter().flat_map(|base| self.blob(base)).collect();
        let base = (!unit.bases.is_empty()).then_some(prefix.as_slice());
        let bytes = self.repository.store().get(&object).unwrap().unwrap();
        let start = usize::try_from(place.offset).unwrap();
        let end = start + usize::try_from(place.stored_length).unwrap();
        let mut sealed = bytes[start..end].to_vec();
        let sealer = open_header(&self.repository, &object, &bytes[..HEADER_LENGTH]);
        let sealer = sealer.unwrap_or_else(|error| panic!("{object}: {error}"));
        let (mut decoder, mut plain) = (UnitDecoder::new().unwrap(), Vec::new());
        open_unit(&sealer, &mut decoder, &place, &mut sealed, base, &mut plain)
            .unwrap_or_else(|error| panic!("{object}, unit {}: {error}", at.1));
        self.decoded.insert(at, plain.clone());
        plain
    }
}

/// Returns the plaintext of every snapshot and every unit, with the object that holds it.
fn contents(store: &Store) -> Vec<(String, Vec<u8>)> {
    let repository = open_fresh(store);
    let mut found = Vec::new();
    let mut objects = Vec::new();
    for row in store.list_all().unwrap().0 {
        let name = row.name.to_string();
        let units = match &row.name {
            ObjectName::Record(record) => {
                let record = repository.load_record(record).unwrap();
                found.extend(record.snapshot.map(|body| (name, body.0)));
                record.inline
            }
            ObjectName::Segment(hash) => {
                let segment = repository.load_segment(hash).unwrap();
                found.extend(segment.snapshots.into_iter().map(|body| (name.clone(), body.0)));
                Vec::new()
            }
            ObjectName::Pack(_) => read_pack_table(&repository, &row.name, row.size).unwrap(),
            ObjectName::Repository(_) | ObjectName::KeySlot(_) | ObjectName::Grant(_) => Vec::new(),
        };
        objects.push((row.name, units));
    }
    let mut places: HashMap<BlobId, Vec<At>> = HashMap::new();
    let mut all = Vec::new();
    for (number, (_, units)) in objects.iter().enumerate() {
        for (unit, entry) in units.iter().enumerate() {
            all.push((number, unit));
            for id in entry.blobs.iter() {
                places.entry(*id).or_default().push((number, unit));
            }
        }
    }
    let mut decoder = Decoder { repository, objects, places, decoded: HashMap::new() };
    for at in all {
        let plain = decoder.unit(at);
        found.push((decoder.objects[at.0].0.to_string(), plain));
    }
    found
}

/// Returns which objects hold some bytes.
pub(crate) fn holders(store: &Store, secret: &[u8]) -> Vec<String> {
    let holds = |plain: &[u8]| plain.windows(secret.len()).any(|window| window == secret);
    let all = contents(store).into_iter();
    let mut holders: Vec<_> = all.filter(|(_, plain)| holds(plain)).map(|(name, _)| name).collect();
    holders.sort_unstable();
    holders.dedup();
    holders
}
