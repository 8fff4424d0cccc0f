//! Reads vector files and gives their bytes to the decoder that they name.

use std::fmt::Write as _;

use stash::codec::chunker::{Chunker, Cut};
use stash::codec::crypto::{
    Key, OpenGrant, RepositoryKeys, SlotSecret, object_hash, open_about, open_slot,
    read_recovery_words,
};
use stash::codec::{UnitDecoder, delta};
use stash::format::cbor;
use stash::format::key::{About, Grant, KeySlot, RepositoryHeader, SlotKind};
use stash::format::object::{
    ObjectHeader, ObjectKind, decode_footer, decode_prefix, decode_trailer,
};
use stash::format::pack::{BlobKind, PackTable, UnitForm, validate_units};
use stash::format::record::{AttachmentMap, Record, Segment, Snapshot, decode_list};
use stash::format::tree::Tree;
use stash::id::{BlobId, LaneId, ObjectHash, RepositoryId, Tip, from_hex, to_hex};
use zeroize::Zeroizing;

use crate::open::{Body, Failure, open_object, vector_keys, vector_master};

/// One vector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vector {
    /// The lines of the head, in order.
    pub head: Vec<(String, String)>,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl Vector {
    /// Reads a file's text.
    pub fn parse(text: &str) -> Result<Vector, String> {
        let (head, hex) = text.split_once("\n\n").ok_or("no empty line behind the head")?;
        let head = head
            .lines()
            .map(|line| {
                let (name, value) =
                    line.split_once(':').ok_or_else(|| format!("no colon in `{line}`"))?;
                Ok((name.to_owned(), value.trim().to_owned()))
            })
            .collect::<Result<_, String>>()?;
        let digits: Vec<u8> = hex.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        let (pairs, odd) = digits.as_chunks::<2>();
        if !odd.is_empty() {
            return Err("an odd number of hex digits".into());
        }
        let bytes = pairs
            .iter()
            .map(|pair| {
                let text = std::str::from_utf8(pair).map_err(|error| error.to_string())?;
                u8::from_str_radix(text, 16).map_err(|error| error.to_string())
            })
            .collect::<Result<_, String>>()?;
        Ok(Vector { head, bytes })
    }

    /// Writes the file's text.
    pub fn print(&self) -> String {
        let mut text = String::new();
        for (name, value) in &self.head {
            let line = format!("{name}: {value}");
            let _ = writeln!(text, "{}", line.trim_end());
        }
        text.push('\n');
        for line in self.bytes.chunks(32) {
            let _ = writeln!(text, "{}", to_hex(line));
        }
        text
    }

    /// Returns the value of a line of the head.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.head.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn need(&self, name: &str) -> &str {
        self.get(name).unwrap_or_else(|| panic!("the head has no `{name}`"))
    }

    fn number<T: std::str::FromStr>(&self, name: &str) -> T {
        self.need(name).parse().unwrap_or_else(|_| panic!("`{name}` is no number"))
    }

    fn object_kind(&self) -> ObjectKind {
        match self.need("object") {
            "repository" => ObjectKind::Repository,
            "key-slot" => ObjectKind::KeySlot,
            "pack" => ObjectKind::Pack,
            "record" => ObjectKind::Record,
            "segment" => ObjectKind::Segment,
            "grant" => ObjectKind::Grant,
            other => panic!("unknown object `{other}`"),
        }
    }

    fn blob_kind(&self) -> BlobKind {
        let word = self.need("blob");
        BlobKind::ALL
            .into_iter()
            .find(|kind| kind.name() == word)
            .unwrap_or_else(|| panic!("unknown blob kind `{word}`"))
    }
}

/// Returns the bytes that `noise S N` or `zeros N` stands for.
pub fn content(text: &str) -> Vec<u8> {
    let words: Vec<&str> = text.split(' ').collect();
    let number = |text: &str| text.parse::<usize>().expect("a number");
    match words.as_slice() {
        ["noise", seed, length] => {
            let mut bytes = vec![0; number(length)];
            let key = [u8::try_from(number(seed)).expect("a byte"); 32];
            blake3::Hasher::new_keyed(&key).finalize_xof().fill(&mut bytes);
            bytes
        }
        ["zeros", length] => vec![0; number(length)],
        _ => panic!("unknown content `{text}`"),
    }
}

/// Gives a vector's bytes to its decoder; returns what comes out.
pub fn judge(vector: &Vector) -> Result<String, Failure> {
    let bytes = vector.bytes.as_slice();
    let kind = vector.need("kind");
    match kind {
        "prefix" => {
            let (epoch, _) = decode_prefix(bytes, vector.object_kind())?;
            Ok(epoch.to_string())
        }
        "header" => Ok(ObjectHeader::decode(bytes, vector.object_kind())?.epoch.to_string()),
        "footer" => {
            let footer = decode_footer(bytes)?;
            if footer.form == 0 {
                return Ok(to_hex(footer.payload));
            }
            let mut body = Vec::new();
            UnitDecoder::new()?.decode_zstd(footer.payload, footer.raw_length, &mut body)?;
            Ok(to_hex(&body))
        }
        "trailer" => Ok(decode_trailer(bytes)?.to_string()),
        "cbor" => {
            let about: About = cbor::decode(bytes)?;
            Ok(format!("{} {}", about.created, about.extra.len()))
        }
        "id" => judge_id(vector),
        "object-hash" => Ok(object_hash(bytes).to_string()),
        "cuts" => judge_cuts(vector),
        "unit-table" => {
            let table: PackTable = cbor::decode(bytes)?;
            let offsets = validate_units(
                &table.units,
                vector.number("object-length"),
                vector.number("tail-length"),
            )?;
            Ok(offsets.iter().map(u64::to_string).collect::<Vec<_>>().join(" "))
        }
        "unit" => {
            let form = UnitForm::from_number(vector.number("form"))?;
            let mut plain = Vec::new();
            let raw_length = vector.number("raw-length");
            UnitDecoder::new()?.decode(form, bytes, raw_length, None, &mut plain)?;
            Ok(to_hex(&plain))
        }
        "pack" => {
            let (_, ids) = open_object(bytes, ObjectKind::Pack, &vector_keys())?;
            Ok(ids.iter().map(BlobId::to_string).collect::<Vec<_>>().join(" "))
        }
        "delta" | "page-patch" | "page-patch-with-prefix" => {
            let base = content(vector.need("base"));
            let raw_length = vector.number("raw-length");
            let mut plain = Vec::new();
            if kind == "delta" {
                delta::decode_delta(bytes, raw_length, &base, &mut plain)?;
            } else {
                let with_prefix = kind == "page-patch-with-prefix";
                delta::decode_patch(bytes, raw_length, &base, with_prefix, &mut plain)?;
            }
            Ok(object_hash(&plain).to_string())
        }
        "tree" => Ok(match Tree::decode(bytes)? {
            Tree::Nodes(nodes) => format!("nodes {}", nodes.len()),
            Tree::Parts(parts) => format!("parts {}", parts.len()),
        }),
        "list" => Ok(decode_list(bytes)?.len().to_string()),
        "record" => Ok(Record::decode(bytes)?.kind_name().0.to_owned()),
        "snapshot" => Ok(Snapshot::decode(bytes)?.roots.len().to_string()),
        "segment" => Ok(Segment::decode(bytes)?.entries.len().to_string()),
        "attachment" => Ok(match AttachmentMap::decode(bytes)? {
            AttachmentMap::Entries(entries) => format!("entries {}", entries.len()),
            AttachmentMap::Parts(parts) => format!("parts {}", parts.len()),
        }),
        "sealed-record" => match open_object(bytes, ObjectKind::Record, &vector_keys())?.0 {
            Body::Record(record) => Ok(record.kind_name().0.to_owned()),
            other => panic!("{other:?}"),
        },
        "sealed-segment" => match open_object(bytes, ObjectKind::Segment, &vector_keys())?.0 {
            Body::Segment(segment) => Ok(segment.entries.len().to_string()),
            other => panic!("{other:?}"),
        },
        _ => judge_key(vector),
    }
}

fn judge_key(vector: &Vector) -> Result<String, Failure> {
    let bytes = vector.bytes.as_slice();
    match vector.need("kind") {
        "repository" => Ok(RepositoryHeader::decode(bytes)?.id.to_string()),
        "key-slot" => Ok(SlotKind::from_number(KeySlot::decode(bytes)?.kind)?.name().to_owned()),
        "open-slot" => {
            let slot = KeySlot::decode(bytes)?;
            let value = vector.need("value");
            let key = || Key(from_hex(value).expect("64 hex digits"));
            let secret = match vector.need("secret") {
                "device" => SlotSecret::Device(key()),
                "recovery" => SlotSecret::Recovery(key()),
                "passphrase" => SlotSecret::Passphrase(Zeroizing::new(value.to_owned())),
                other => panic!("unknown secret `{other}`"),
            };
            let open = open_slot(&slot, &secret)?;
            let keys =
                RepositoryKeys::derive(&open.master, &RepositoryHeader::decode(&open.header)?.id);
            let id = keys.blob_id(BlobKind::Data, b"");
            Ok(format!("{id} {}", newest_check(&keys)?))
        }
        "grant" => Ok(Grant::decode(bytes)?.epoch.to_string()),
        "open-grant" => {
            let hex = |name| from_hex(vector.need(name)).expect("64 hex digits");
            let grant = OpenGrant::open(&vector_master(), Grant::decode(bytes)?)?;
            let set = grant
                .take(&ObjectHash(hex("slot")), &Key(hex("exchange")))?
                .ok_or(Failure("not-granted"))?;
            let numbers: Vec<String> = set.numbers().iter().map(u32::to_string).collect();
            let keys = vector_keys();
            keys.learn(&set.into_epochs());
            Ok(format!("{} {}", numbers.join(" "), newest_check(&keys)?))
        }
        "open-about" => {
            let slot = KeySlot::decode(bytes)?;
            Ok(open_about(&vector_master(), &slot)?.label)
        }
        "recovery-words" => std::str::from_utf8(bytes)
            .ok()
            .and_then(read_recovery_words)
            .map(|key| to_hex(&key.0))
            .ok_or(Failure("bad-words")),
        "blob-id" => Ok(vector_keys().blob_id(vector.blob_kind(), bytes).to_string()),
        "snapshot-id" => Ok(vector_keys().snapshot_id(bytes).to_string()),
        "name-hash" => Ok(vector_keys().name_hash(bytes).to_string()),
        "gear-key" => Ok(to_hex(vector_keys().gear_key())),
        other => panic!("unknown kind `{other}`"),
    }
}

/// The check in the header of a pack under the newest epoch.
fn newest_check(keys: &RepositoryKeys) -> Result<String, Failure> {
    let sealer = keys.seal_object_with_salt(ObjectKind::Pack, 0, [0; 32])?;
    Ok(to_hex(&sealer.header().check()))
}

fn judge_id(vector: &Vector) -> Result<String, Failure> {
    let malformed = Failure("malformed");
    let text = std::str::from_utf8(&vector.bytes).map_err(|_| malformed)?;
    match vector.need("digits") {
        "64" => text.parse::<BlobId>().map(|id| id.to_string()),
        "32" => {
            assert_eq!(text.parse::<LaneId>().is_ok(), text.parse::<RepositoryId>().is_ok());
            text.parse::<LaneId>().map(|id| id.to_string())
        }
        "16" => text.parse::<Tip>().map(|id| id.to_string()),
        other => panic!("no id has {other} digits"),
    }
    .map_err(|_| malformed)
}

fn judge_cuts(vector: &Vector) -> Result<String, Failure> {
    let key: [u8; 32] = vector.bytes.as_slice().try_into().map_err(|_| Failure("cut"))?;
    let chunker = Chunker::new(&key);
    let content = content(vector.need("content"));
    let cut = match vector.need("cut") {
        "content" => Cut::Content,
        "fixed" => Cut::Fixed,
        other => panic!("unknown cut `{other}`"),
    };
    let mut rest = content.as_slice();
    let mut lengths = Vec::new();
    while let Some(length) = chunker.cut(rest, true, cut) {
        lengths.push(length);
        rest = &rest[length..];
    }
    // Page 3 alone must give the same.
    let from_the_page = match cut {
        Cut::Content => cuts_by_the_page(&key, &content),
        Cut::Fixed => content.chunks(131_072).map(<[u8]>::len).collect(),
    };
    assert_eq!(lengths, from_the_page, "the code cuts other than the page says");
    let lengths = lengths.iter().map(usize::to_string).collect::<Vec<_>>().join(" ");
    match vector.get("claim") {
        Some(claim) if claim != lengths => Err(Failure("wrong-content")),
        _ => Ok(lengths),
    }
}

/// Rule 1 of `3-chunking.md`, written from the page.
fn cuts_by_the_page(key: &[u8; 32], mut bytes: &[u8]) -> Vec<usize> {
    const MINIMUM: usize = 65_536;
    const AVERAGE: usize = 262_144;
    const MAXIMUM: usize = 1_048_576;
    let mut table = [0; 2048];
    blake3::Hasher::new_keyed(key).finalize_xof().fill(&mut table);
    let gear: Vec<u64> =
        table.as_chunks::<8>().0.iter().map(|eight| u64::from_le_bytes(*eight)).collect();
    let mut lengths = Vec::new();
    while !bytes.is_empty() {
        let n = bytes.len().min(MAXIMUM);
        let mut length = n;
        if n > MINIMUM {
            let center = AVERAGE.min(n);
            let mut h = 0_u64;
            for i in MINIMUM..2 * (n / 2) {
                h = h.wrapping_mul(2).wrapping_add(gear[usize::from(bytes[i])]);
                let strict = i < 2 * (center / 2);
                let mask = if strict { 0x0000_d917_0753_7000 } else { 0x0000_d907_0353_7000 };
                if h & mask == 0 {
                    length = i;
                    break;
                }
            }
        }
        lengths.push(length);
        bytes = &bytes[length..];
    }
    lengths
}
