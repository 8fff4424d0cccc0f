//! Replays the corpora of every fuzz target on stable, and mutates them for a while.
//!
//! The mutations are the same in every run. What a fuzzer finds is added to `fuzz/corpus/<target>/`
//! and is replayed from then on. `STASH_BLESS=1` writes the seeds made from the vectors anew.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test reads its own files and stops where they are not as they should be"
)]

#[path = "../fuzz/targets.rs"]
mod targets;

use std::path::{Path, PathBuf};

use targets::{TARGETS, run};

/// Mutations in all, spread over the targets.
const MUTATIONS: usize = 20_000;
/// Seeds for one target that are written from vectors.
const SEEDS: usize = 12;
/// What the whole test may take in memory, in KiB; one lie that is believed takes far more.
const PEAK: u64 = 400 << 10;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The target of a vector's kind.
fn target_of(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "cbor" => "cbor",
        "tree" => "tree",
        "list" => "list",
        "attachment" => "attachment",
        "snapshot" => "snapshot",
        "record" => "record",
        "segment" => "segment",
        "unit-table" => "pack_table",
        "repository" => "repository_header",
        "key-slot" | "open-slot" | "open-about" => "key_slot",
        "grant" | "open-grant" => "grant",
        "prefix" | "header" => "object_header",
        "footer" => "footer",
        "trailer" => "trailer",
        "unit" => "unit",
        "delta" => "delta",
        "page-patch" | "page-patch-with-prefix" => "page_patch",
        "pack" | "sealed-record" | "sealed-segment" => "sealed_object",
        "recovery-words" => "recovery_words",
        "id" => "id",
        _ => return None,
    })
}

/// Every vector as inputs of targets: target, name, bytes, whether it decodes.
fn from_vectors() -> Vec<(&'static str, String, Vec<u8>, bool)> {
    let mut inputs = Vec::new();
    for page in std::fs::read_dir(root().join("format-spec/vectors")).unwrap() {
        for file in std::fs::read_dir(page.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let (head, hex) = text.split_once("\n\n").unwrap();
            let value = |name: &str| {
                head.lines()
                    .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                    .map(str::trim)
            };
            let Some(target) = target_of(value("kind").unwrap()) else { continue };
            let digits: Vec<u8> = hex.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
            let mut bytes: Vec<u8> = digits
                .chunks(2)
                .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
                .collect();
            if let Some(length) = value("raw-length") {
                let length: u32 = length.parse().unwrap();
                bytes.splice(0..0, length.to_le_bytes());
            }
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let accepted = value("expect") == Some("ok");
            if matches!(target, "record" | "segment" | "pack_table") {
                let kind = match target {
                    "pack_table" => 0,
                    "record" => 1,
                    _ => 2,
                };
                let mut sealed = vec![kind, 0];
                sealed.extend_from_slice(&bytes);
                inputs.push(("sealed_body", name.clone(), sealed, accepted));
            }
            inputs.push((target, name, bytes, accepted));
        }
    }
    // What decodes first, then by name: the seeds are the same wherever they are made.
    inputs.sort_by(|a, b| (a.0, !a.3, &a.1).cmp(&(b.0, !b.3, &b.1)));
    inputs
}

fn bless() {
    let inputs = from_vectors();
    for (target, _) in TARGETS {
        let folder = root().join("fuzz/corpus").join(target);
        std::fs::create_dir_all(&folder).unwrap();
        let small = inputs.iter().filter(|input| input.0 == *target && input.2.len() <= 2048);
        for (_, name, bytes, _) in small.take(SEEDS) {
            std::fs::write(folder.join(name), bytes).unwrap();
        }
    }
}

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = root().join("fuzz/corpus").join(target);
    let files = std::fs::read_dir(&folder).unwrap_or_else(|_| panic!("{target} has no corpus"));
    let mut seeds: Vec<_> = files
        .map(|file| file.unwrap().path())
        .map(|path| (path.clone(), std::fs::read(&path).unwrap()))
        .collect();
    seeds.sort();
    assert!(!seeds.is_empty(), "{target} has an empty corpus");
    seeds
}

/// Runs a target and names the input if it panics.
fn must_hold(target: &str, what: &str, data: &[u8]) {
    let outcome = std::panic::catch_unwind(|| run(target, data));
    assert!(outcome.is_ok(), "{target} does not hold for {what}: {}", stash::id::to_hex(data));
}

/// A small generator (xorshift, Marsaglia 2003): the same numbers everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % (bound.max(1) as u64)).unwrap()
    }
}

fn mutate(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    const TELLING: [u8; 16] =
        [0, 1, 0x17, 0x18, 0x1b, 0x3b, 0x40, 0x5b, 0x60, 0x7f, 0x80, 0x9b, 0xa0, 0xbb, 0xf6, 0xff];
    let mut data = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(4) {
        let place = random.below(data.len());
        match random.below(8) {
            0 if !data.is_empty() => data[place] ^= 1 << random.below(8),
            1 if !data.is_empty() => data[place] = TELLING[random.below(TELLING.len())],
            2 => data.insert(place, TELLING[random.below(TELLING.len())]),
            3 if !data.is_empty() => drop(data.remove(place)),
            4 => data.truncate(place),
            5 => {
                let end = (place + random.below(64)).min(data.len());
                let copy = data[place..end].to_vec();
                data.splice(place..place, copy);
            }
            6 => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len());
                data.truncate(place);
                data.extend_from_slice(&other[from..]);
            }
            _ if !data.is_empty() => data[place] = data[place].wrapping_add(1),
            _ => {}
        }
    }
    data
}

/// The most memory that this process had, in KiB, where the system says so.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches("kB").trim().parse().ok()
}

#[test]
fn every_promise_holds_for_the_corpora_and_their_mutations() {
    if std::env::var_os("STASH_BLESS").is_some() {
        bless();
    }
    let vectors = from_vectors();
    let mut random = Random(0x7374_6173_6821);
    for (target, _) in TARGETS {
        let mut seeds = Vec::new();
        for (path, bytes) in corpus(target) {
            must_hold(target, &path.display().to_string(), &bytes);
            seeds.push(bytes);
        }
        for (_, name, bytes, _) in vectors.iter().filter(|vector| vector.0 == *target) {
            must_hold(target, name, bytes);
            // Mutations of long seeds are slow, and reach nothing that short ones don't.
            if bytes.len() <= 2048 {
                seeds.push(bytes.clone());
            }
        }
        for round in 0..MUTATIONS / TARGETS.len() {
            let data = mutate(&mut random, &seeds);
            must_hold(target, &format!("mutation {round}"), &data);
        }
    }
    if let Some(peak) = peak_memory() {
        assert!(peak <= PEAK, "{peak} KiB were needed");
    }
}

#[test]
fn encodings_that_lie_about_their_size_take_little_memory() {
    // As long as a record may be, and the most that each byte of it can become.
    let row = |item: &[u8], count: u32| {
        let mut bytes = vec![0x9a];
        bytes.extend_from_slice(&count.to_be_bytes());
        bytes.extend_from_slice(&item.repeat(count as usize));
        bytes
    };
    let nodes = |item: &[u8], count| [b"\x82\x00".as_slice(), &row(item, count)].concat();
    run("tree", &nodes(b"\xa0", 8 << 20));
    run("tree", &nodes(b"\xa0", 262_000));
    run("tree", &nodes(b"\xa1\x61n\x41a", 262_000));
    run("record", &[b"\xa1\x61i".as_slice(), &row(b"\xa0", 262_000)].concat());
    run("snapshot", &[b"\xa1\x61A".as_slice(), &row(b"\x60", 4_000_000)].concat());
    run("attachment", &nodes(b"\x82\x40\x40", 1_390_000));
    if let Some(peak) = peak_memory() {
        assert!(peak <= PEAK, "{peak} KiB were needed");
    }
}

#[test]
fn every_corpus_has_a_target_and_every_target_its_file() {
    let names = |folder: &str| {
        let mut names: Vec<String> = std::fs::read_dir(root().join("fuzz").join(folder))
            .unwrap()
            .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        names.sort();
        names
    };
    let mut targets: Vec<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    targets.sort();
    assert_eq!(names("corpus"), targets);
    assert_eq!(names("fuzz_targets"), targets);
    let manifest = std::fs::read_to_string(root().join("fuzz/Cargo.toml")).unwrap();
    for target in targets {
        assert!(manifest.contains(&format!("name = \"{target}\"")), "{target}");
    }
}
