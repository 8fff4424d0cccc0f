//! `stash cat`.

use std::os::unix::ffi::OsStrExt as _;

use serde_json::{Value, json};

use super::open::Run;
use super::repository::Opened;
use crate::cli::args::{CatArguments, CatKind, FilterOptions, SnapshotArgument};
use crate::cli::json::{self, SnapshotRow};
use crate::cli::name;
use crate::engine::browse::find;
use crate::error::{Error, Result};
use crate::format::key::{KeySlot, SlotKind};
use crate::format::pack::{BlobKind, UnitEntry};
use crate::format::record::Record;
use crate::format::tree::{NodeKind, Subtree};
use crate::id::{BlobId, Match, match_prefix};
use crate::repository::cache::SnapshotEntry;
use crate::repository::reader::{BlobReader, read_pack_table};
use crate::store::{ObjectName, Prefix};
use crate::time::Timestamp;

pub(super) fn run(run: &Run, arguments: &CatArguments) -> Result<u8> {
    let repository = run.current_repository()?;
    let id = arguments.id.as_deref().unwrap_or_default();
    let text =
        || id.to_str().ok_or_else(|| Error::usage("an id is made of hex digits, not of this"));
    let value = match arguments.kind {
        CatKind::Config => config(&repository),
        CatKind::Key => key(&repository, text()?)?,
        CatKind::Pack => pack(&repository, text()?)?,
        CatKind::Record => record(&repository, text()?)?,
        CatKind::Blob => return blob(run, &repository, text()?),
        CatKind::Snapshot => snapshot(run, &repository, id.as_bytes())?,
        CatKind::Tree => tree(run, &repository, id.as_bytes())?,
    };
    let text = serde_json::to_string_pretty(&value)
        .map_err(|error| Error::failed("cannot write JSON").source(error))?;
    run.screen.text(&text)?;
    Ok(0)
}

fn config(repository: &Opened) -> Value {
    let header = repository.header();
    json!({
        "id": header.id,
        "created": Timestamp(header.created).to_rfc3339(),
        "flags": header.flags,
        "window_seconds": header.window,
        "grace_seconds": header.grace,
        "chunker": header.chunker,
    })
}

/// Finds the object whose hash begins like this.
fn object(
    repository: &Opened,
    prefix: Prefix,
    what: &str,
    begin: &str,
) -> Result<(ObjectName, u64)> {
    let mut rows = repository.store().list(prefix)?;
    rows.retain(|row| !matches!(row.name, ObjectName::Grant(_)));
    let found = one(match_prefix(begin, rows.iter().map(|row| row.name.hash())), what, begin)?;
    rows.into_iter()
        .find(|row| row.name.hash() == found)
        .map(|row| (row.name, row.size))
        .ok_or_else(|| none(what, begin))
}

fn one<T: std::fmt::Display>(found: Match<T>, what: &str, begin: &str) -> Result<T> {
    match found {
        Match::One(id) => Ok(id),
        Match::None => Err(none(what, begin)),
        Match::Many(ids) => {
            let ids: Vec<String> = ids.iter().take(4).map(ToString::to_string).collect();
            Err(Error::usage(format!("several {what}s begin with"))
                .object(begin)
                .hint(format!("for example {}", ids.join(", "))))
        }
    }
}

fn none(what: &str, begin: &str) -> Error {
    Error::failed(format!("no {what} begins with")).object(begin)
}

fn key(repository: &Opened, begin: &str) -> Result<Value> {
    let (name, _) = object(repository, Prefix::Keys, "key slot", begin)?;
    let bytes = repository.store().get(&name)?.unwrap_or_default();
    let slot = KeySlot::decode(&bytes)
        .map_err(|error| Error::damaged("cannot read key slot", name.to_string()).source(error))?;
    let about = repository.key_slots()?.into_iter().find(|entry| entry.id == name.hash());
    Ok(json!({
        "id": name.hash(),
        "kind": SlotKind::from_number(slot.kind).map_or("unknown", SlotKind::name),
        "label": about.as_ref().map(|about| about.label.clone()),
        "created": about.as_ref().map(|about| Timestamp(about.created).to_rfc3339()),
        "kdf_memory_kib": slot.kdf_memory,
        "kdf_passes": slot.kdf_passes,
        "kdf_lanes": slot.kdf_lanes,
    }))
}

fn units(units: &[UnitEntry]) -> Value {
    let unit = |unit: &UnitEntry| {
        let blobs = unit.blobs.iter().zip(&unit.raw_lengths);
        json!({
            "kind": unit.blob_kind().map_or("unknown", BlobKind::name),
            "form": unit.form,
            "stored_length": unit.stored_length,
            "bases": unit.bases.0,
            "blobs": blobs
                .map(|(id, length)| json!({ "id": id, "length": length }))
                .collect::<Vec<_>>(),
        })
    };
    units.iter().map(unit).collect()
}

fn pack(repository: &Opened, begin: &str) -> Result<Value> {
    let (name, size) = object(repository, Prefix::Packs, "pack", begin)?;
    let table = read_pack_table(repository, &name, size)?;
    Ok(json!({ "id": name.hash(), "size": size, "units": units(&table) }))
}

fn record(repository: &Opened, begin: &str) -> Result<Value> {
    let (object, size) = object(repository, Prefix::Log, "record", begin)?;
    let ObjectName::Record(name) = &object else { return Err(none("record", begin)) };
    let record = repository.load_record(name)?;
    Ok(record_value(repository, &object, size, &record))
}

fn record_value(repository: &Opened, name: &ObjectName, size: u64, record: &Record) -> Value {
    let snapshot = record.snapshot.as_ref().map(|bytes| repository.keys().snapshot_id(bytes));
    let entries = record
        .entries
        .iter()
        .map(|entry| json!({ "object": entry.object, "units": entry.units.len() }));
    let marks = record
        .marks
        .iter()
        .map(|mark| json!({ "snapshot": mark.snapshot, "kind": mark.kind, "tags": mark.tags }));
    json!({
        "name": name.to_string(),
        "size": size,
        "lane": record.lane,
        "sequence": record.sequence,
        "previous": record.previous,
        "written": Timestamp(record.written).to_rfc3339(),
        "program": record.open.as_ref().map(|open| open.program.clone()),
        "snapshot": snapshot,
        "partial": record.partial.as_ref().map(|partial| partial.job.clone()),
        "entries": entries.collect::<Vec<_>>(),
        "inline": units(&record.inline),
        "marks": marks.collect::<Vec<_>>(),
    })
}

fn blob(run: &Run, repository: &Opened, begin: &str) -> Result<u8> {
    let ids = repository.cache().blobs_beginning(begin)?;
    let id: BlobId = one(match_prefix(begin, ids), "blob", begin)?;
    let kind = repository.cache().places(&id)?.first().map_or(BlobKind::Data, |place| place.kind);
    let bytes = BlobReader::new(repository)?.load(kind, &id)?;
    run.screen.bytes(&bytes)?;
    Ok(0)
}

fn entry(run: &Run, repository: &Opened, text: &[u8]) -> Result<(SnapshotArgument, SnapshotEntry)> {
    use std::ffi::OsStr;
    let argument = SnapshotArgument::parse(OsStr::from_bytes(text))
        .map_err(|why| Error::usage(format!("`{}` is {why}", name::shown(text))))?;
    let entry = run.pick(repository, &argument.name, None, &FilterOptions::default())?;
    Ok((argument, entry))
}

fn snapshot(run: &Run, repository: &Opened, text: &[u8]) -> Result<Value> {
    let (_, entry) = entry(run, repository, text)?;
    let mut value = serde_json::to_value(SnapshotRow::from(&entry)).unwrap_or_default();
    let roots = entry.snapshot.roots.iter().map(|root| json::node_with_content(&root.node));
    if let Some(map) = value.as_object_mut() {
        map.insert("roots".to_owned(), roots.collect());
    }
    Ok(value)
}

fn tree(run: &Run, repository: &Opened, text: &[u8]) -> Result<Value> {
    let (argument, entry) = entry(run, repository, text)?;
    let place = argument.path.as_deref().map(|path| run.place(path)).transpose()?;
    let mut reader = BlobReader::new(repository)?;
    let mut nodes = Vec::new();
    for found in find(&mut reader, &entry.snapshot, &place.unwrap_or_default())? {
        if found.node.kind != NodeKind::Directory {
            return Err(Error::failed("not a folder:").object(name::shown(&found.path)));
        }
        let id = match &found.node.subtree {
            Subtree::Blob(id) => Some(*id),
            Subtree::Inline(_) => None,
        };
        let mut held = Vec::new();
        let mut walk = reader.nodes(&found.node.subtree);
        while let Some(node) = walk.next(&mut reader)? {
            held.push(json::node_with_content(&node));
        }
        let path = String::from_utf8_lossy(&found.path).into_owned();
        nodes.push(json!({ "path": path, "id": id, "nodes": held }));
    }
    Ok(match (nodes.pop(), nodes.is_empty()) {
        (Some(only), true) => only,
        (last, _) => nodes.into_iter().chain(last).collect(),
    })
}
