//! Properties of cutting, compression, sealing and encoding that hold for every input.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops where things are not as they should be"
)]

use proptest::prelude::*;
use stash::codec::chunker::{AVERAGE, Chunker, Cut, DATABASE, MAXIMUM, MINIMUM};
use stash::codec::crypto::{MasterKeys, RepositoryKeys, Role};
use stash::codec::{Compression, UnitDecoder, UnitEncoder, delta};
use stash::format::cbor::Ids;
use stash::format::object::{ObjectKind, padme};
use stash::format::pack::BlobKind;
use stash::format::record::{decode_list, encode_list};
use stash::format::tree::{FileTime, Node, NodeKind, Subtree, Tree};
use stash::id::{BlobId, RepositoryId, from_hex, to_hex};

/// Bytes in runs of noise and of repetition: what makes cutters and compressors err.
fn content(limit: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec((any::<u64>(), any::<bool>(), 0..limit), 0..6).prop_map(|runs| {
        let mut bytes = Vec::new();
        for (seed, is_noise, length) in runs {
            let start = bytes.len();
            bytes.resize(start + length, u8::try_from(seed & 0xff).unwrap());
            if is_noise {
                let mut output = blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof();
                output.fill(&mut bytes[start..]);
            }
        }
        bytes
    })
}

fn cuts(chunker: &Chunker, bytes: &[u8], cut: Cut) -> Vec<usize> {
    let mut rest = bytes;
    let mut lengths = Vec::new();
    while let Some(length) = chunker.cut(rest, true, cut) {
        lengths.push(length);
        rest = &rest[length..];
    }
    lengths
}

fn node() -> impl Strategy<Value = Node> {
    let name = prop::collection::vec(any::<u8>(), 1..40).prop_filter("a name", |name| {
        !name.contains(&b'/') && !name.contains(&0) && name != b"." && name != b".."
    });
    let content = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..64).prop_map(|bytes| (Some(bytes), vec![])),
        prop::collection::vec(any::<[u8; 32]>(), 1..8).prop_map(|ids| (None, ids)),
    ];
    (name, content, 0_u32..0o10000, any::<(u32, u32)>(), any::<i64>(), 0_u32..1_000_000_000)
        .prop_map(|(name, (inline, ids), mode, (uid, gid), seconds, nanoseconds)| {
            let size = inline.as_ref().map_or(1 + ids.len() as u64, |bytes| bytes.len() as u64);
            Node {
                name: name.into(),
                mode,
                uid,
                gid,
                mtime: FileTime(seconds, nanoseconds),
                size,
                inline: inline.unwrap_or_default().into(),
                blobs: Ids(ids.into_iter().map(BlobId).collect()),
                ..Node::default()
            }
        })
}

/// Nodes in order, the later half of them within a directory.
fn tree() -> impl Strategy<Value = Tree> {
    prop::collection::vec(node(), 0..12).prop_map(|mut nodes| {
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        nodes.dedup_by(|a, b| a.name == b.name);
        let inner = nodes.split_off(nodes.len() / 2);
        if let Some(last) = nodes.last_mut() {
            *last = Node {
                name: last.name.clone(),
                kind: NodeKind::Directory,
                subtree: Subtree::Inline(inner),
                ..Node::default()
            };
        }
        Tree::Nodes(nodes)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn chunks_cover_the_file_within_their_bounds(bytes in content(1 << 20), key: [u8; 32]) {
        let chunker = Chunker::new(&key);
        let lengths = cuts(&chunker, &bytes, Cut::Content);
        prop_assert_eq!(lengths.iter().sum::<usize>(), bytes.len());
        if let Some((last, others)) = lengths.split_last() {
            prop_assert!(*last <= MAXIMUM);
            prop_assert!(others.iter().all(|length| (MINIMUM..=MAXIMUM).contains(length)));
        }
        let fixed = cuts(&chunker, &bytes, Cut::Fixed);
        prop_assert_eq!(fixed.iter().sum::<usize>(), bytes.len());
        prop_assert!(fixed.iter().rev().skip(1).all(|length| *length == DATABASE));
    }

    #[test]
    fn cuts_depend_on_what_lies_ahead_and_not_on_how_it_is_read(
        bytes in content(1 << 20),
        window in MAXIMUM..2 * MAXIMUM,
    ) {
        let chunker = Chunker::new(&[7; 32]);
        let whole = cuts(&chunker, &bytes, Cut::Content);
        let (mut at, mut pieces) = (0, Vec::new());
        while at < bytes.len() {
            let end = (at + window).min(bytes.len());
            let length = chunker.cut(&bytes[at..end], end == bytes.len(), Cut::Content).unwrap();
            pieces.push(length);
            at += length;
        }
        prop_assert_eq!(whole, pieces);
        prop_assert!(AVERAGE < MAXIMUM);
    }

    #[test]
    fn units_come_back(bytes in content(300_000)) {
        let (mut stored, mut back) = (Vec::new(), Vec::new());
        let form = UnitEncoder::new(Compression::Fast).unwrap().encode(&bytes, &mut stored);
        prop_assert!(stored.len() <= bytes.len());
        UnitDecoder::new().unwrap().decode(form, &stored, bytes.len(), None, &mut back).unwrap();
        prop_assert_eq!(back, bytes);
    }

    #[test]
    fn deltas_and_patches_come_back(
        base in content(60_000),
        plain in content(60_000),
    ) {
        let mut back = Vec::new();
        let written = delta::encode_delta(&plain, &base, 3).unwrap();
        delta::decode_delta(&written, plain.len(), &base, &mut back).unwrap();
        prop_assert_eq!(&back, &plain);
        let pages: Vec<u32> =
            (0..u32::try_from(plain.len().div_ceil(delta::PAGE)).unwrap()).collect();
        for prefix in [None, Some(base.as_slice())] {
            let patch = delta::encode_patch(&plain, &pages, prefix, 3).unwrap();
            delta::decode_patch(&patch, plain.len(), &base, prefix.is_some(), &mut back).unwrap();
            prop_assert_eq!(&back, &plain);
        }
    }

    #[test]
    fn what_is_sealed_opens_and_nothing_else_does(
        bytes in content(2_000),
        number in 0_u32..1000,
        place: prop::sample::Index,
        bit in 0_u8..8,
    ) {
        let keys = RepositoryKeys::derive(
            &MasterKeys::from_parts([1; 32], [2; 32]),
            &RepositoryId([3; 16]),
        );
        let sealer = keys.seal_object(ObjectKind::Pack, 0, &[]).unwrap();
        let role = Role::Unit(BlobKind::Tree);
        let mut sealed = bytes.clone();
        sealer.seal(role, number, &mut sealed).unwrap();
        let mut flipped = sealed.clone();
        let at = place.index(flipped.len());
        flipped[at] ^= 1 << bit;
        prop_assert!(sealer.open(role, number, &mut flipped).is_err());
        prop_assert_eq!(sealer.open(role, number, &mut sealed).unwrap(), &bytes);
    }

    #[test]
    fn trees_come_back_and_cut_ones_are_refused(tree in tree(), place: prop::sample::Index) {
        let bytes = tree.encode();
        prop_assert_eq!(Tree::decode(&bytes).unwrap(), tree);
        prop_assert!(Tree::decode(&bytes[..place.index(bytes.len())]).is_err());
    }

    #[test]
    fn lists_and_hex_come_back(ids in prop::collection::vec(any::<[u8; 32]>(), 1..50)) {
        let ids: Vec<BlobId> = ids.into_iter().map(BlobId).collect();
        prop_assert_eq!(decode_list(&encode_list(&ids)).unwrap(), ids.clone());
        prop_assert_eq!(from_hex::<32>(&to_hex(&ids[0].0)), Some(ids[0].0));
    }

    #[test]
    fn padding_is_small_and_settles(length in 0_u64..1 << 40) {
        let padded = padme(length);
        prop_assert!(padded >= length && padded - length <= length / 8);
        prop_assert_eq!(padme(padded), padded);
    }
}
