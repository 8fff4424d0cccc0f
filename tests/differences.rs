//! What changed is stored as a difference, and every version comes back whole.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test stops where things are not as they should be"
)]

mod common_engine;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use common_engine::stores::TestStore;
use common_engine::{
    LATER, SECOND, folders, init, latest, noise, open, open_fresh, put, restore_options,
    restore_with, save, snapshots,
};
use object_store::memory::InMemory;
use stash::engine::check::{CheckOptions, ReadData, check};
use stash::event::Counters;
use stash::repository::Repository;
use stash::store::{ObjectName, Store};

const PAGE: usize = 4096;

/// Bytes that pass for a database.
fn database(seed: u64, pages: usize) -> Vec<u8> {
    let mut bytes = noise(seed, pages * PAGE);
    bytes[..16].copy_from_slice(b"SQLite format 3\0");
    bytes
}

/// What a transcript may hold: a line of a session, different each time.
fn line(random: &mut fastrand::Rng) -> Vec<u8> {
    let words: String = (0..random.usize(5..60))
        .map(|_| ["the ", "file ", "was ", "read ", "and ", "tool ", "says "][random.usize(..7)])
        .collect();
    format!("{{\"id\":\"{:016x}\",\"text\":\"{words}\"}}\n", random.u64(..)).into_bytes()
}

fn lines(random: &mut fastrand::Rng, count: usize) -> Vec<u8> {
    (0..count).flat_map(|_| line(random)).collect()
}

type Files = BTreeMap<&'static str, Vec<u8>>;

fn edit_database(random: &mut fastrand::Rng, bytes: &mut Vec<u8>) {
    let pages = bytes.len() / PAGE;
    match random.u8(..8) {
        0 => bytes.extend(noise(random.u64(..), random.usize(1..70) * PAGE)),
        1 if pages > 40 => bytes.truncate(random.usize(30..pages) * PAGE),
        // As VACUUM does: all pages but the first lie elsewhere.
        2 => {
            let mut order: Vec<usize> = (1..pages).collect();
            let from = random.usize(..order.len());
            let middle = random.usize(..=order.len() - from);
            order[from..].rotate_left(middle);
            let old = bytes.clone();
            for (place, page) in order.into_iter().enumerate() {
                let (to, from) = ((place + 1) * PAGE, page * PAGE);
                bytes[to..to + PAGE].copy_from_slice(&old[from..from + PAGE]);
            }
        }
        3 => {
            for _ in 0..pages / 2 {
                let place = random.usize(16..bytes.len());
                bytes[place] = random.u8(..);
            }
        }
        _ => {
            for _ in 0..random.usize(1..4) {
                let place = random.usize(16..bytes.len() - 20);
                bytes[place..place + 20].copy_from_slice(&noise(random.u64(..), 20));
            }
        }
    }
}

fn edit_transcript(random: &mut fastrand::Rng, bytes: &mut Vec<u8>) {
    match random.u8(..10) {
        // Something is redacted, with as many bytes or with others.
        0 => {
            let place = random.usize(..bytes.len().max(2) / 2);
            let end = (place + 30).min(bytes.len());
            bytes[place..end].fill(b'x');
        }
        1 => {
            let place = random.usize(..=bytes.len());
            let inserted = line(random);
            bytes.splice(place..place, inserted);
        }
        2 => bytes.truncate(random.usize(..=bytes.len())),
        3 => *bytes = lines(random, 3_000),
        _ => {
            let count = random.usize(1..200);
            bytes.extend(lines(random, count));
        }
    }
}

fn write(files: &Files, source: &Path) {
    for (name, bytes) in files {
        put(&source.join(name), bytes);
    }
}

fn assert_restores(repository: &Repository, versions: &BTreeMap<i64, Files>) {
    let entries = snapshots(repository);
    assert_eq!(entries.len(), versions.len());
    for entry in entries {
        let out = tempfile::tempdir().unwrap();
        restore_with(repository, &entry, &restore_options(out.path()));
        for (name, bytes) in &versions[&entry.snapshot.time] {
            let got = std::fs::read(out.path().join("source").join(name)).unwrap();
            assert!(got == *bytes, "{name} as of {}", entry.snapshot.time);
        }
    }
}

/// No blob is deeper, or needs more units to be read, than a writer may make it.
fn assert_bounds(repository: &Repository) -> u64 {
    let mut deepest = 0;
    for (object, _) in repository.cache().objects().unwrap() {
        for id in repository.cache().blobs_of(&object.hash()).unwrap() {
            let chain = repository.cache().find_chain(&id).unwrap().expect("every blob stands");
            assert!(chain.depth <= 16 && chain.units <= 33, "{chain:?}");
            deepest = deepest.max(chain.depth);
        }
    }
    deepest
}

fn assert_clean(repository: &Repository) {
    let options = CheckOptions { read_data: ReadData::All, threads: 2, ..CheckOptions::default() };
    let report = check(repository, &options, &Counters::default()).unwrap();
    assert!(report.findings.is_empty(), "{:#?}", report.findings);
}

#[test]
fn every_version_of_a_random_history_comes_back() {
    for seed in 0..3 {
        let mut random = fastrand::Rng::with_seed(seed);
        let base = tempfile::tempdir().unwrap();
        let source = base.path().join("source");
        let store = Store::memory();
        let mut repository = init(&store, &folders(base.path()));
        let mut files = Files::from([
            ("state.db", database(seed, 200)),
            ("session.jsonl", lines(&mut random, 9_000)),
            ("small.json", lines(&mut random, 40)),
        ]);
        let mut versions: BTreeMap<i64, Files> = BTreeMap::new();
        for round in 0..40_i64 {
            match random.u8(..6) {
                // Something comes back as it was: its blobs are known, and may lie above its bases.
                0 if !versions.is_empty() => {
                    let past = random.usize(..versions.len());
                    files = versions.values().nth(past).unwrap().clone();
                }
                _ => {
                    edit_database(&mut random, files.get_mut("state.db").unwrap());
                    edit_transcript(&mut random, files.get_mut("session.jsonl").unwrap());
                    edit_transcript(&mut random, files.get_mut("small.json").unwrap());
                }
            }
            // Other files in numbers, so that the directory is cut into parts.
            put(&source.join(format!("many/{round:03}")), noise(random.u64(..), 600));
            write(&files, &source);
            let now = LATER + round * 3600 * SECOND;
            if save(&repository, &source, now).unwrap().snapshot.is_some() {
                versions.insert(now, files.clone());
            }
            if random.u8(..5) == 0 {
                repository = open(&store, &folders(base.path())).unwrap();
            }
        }
        let fresh = open_fresh(&store);
        assert_restores(&fresh, &versions);
        assert!(assert_bounds(&fresh) > 3, "the history has made no chains");
        assert_clean(&fresh);
    }
}

/// A store in memory that counts, with a repository in it.
fn counted(base: &Path) -> (Arc<TestStore>, Repository) {
    let recording = TestStore::recording(Arc::new(InMemory::new()));
    let repository = init(&recording.store(), &folders(base));
    (recording, repository)
}

#[test]
fn one_changed_byte_of_a_database_is_one_put_of_a_kilobyte() {
    let base = tempfile::tempdir().unwrap();
    let source = base.path().join("source");
    // Long enough for a list of its own.
    let mut bytes = database(1, 2_500);
    put(&source.join("state.db"), &bytes);
    let (store, repository) = counted(base.path());
    save(&repository, &source, LATER).unwrap();
    store.take();
    for round in 1..40 {
        bytes[4_000_000 + round] ^= 0x55;
        put(&source.join("state.db"), &bytes);
        let report = save(&repository, &source, LATER + i64::try_from(round).unwrap()).unwrap();
        assert!(report.statistics.stored_bytes <= 1024, "{}", report.statistics.stored_bytes);
        assert_eq!(store.take().iter().filter(|call| call.is_put()).count(), 1);
    }
    let out = base.path().join("out");
    restore_with(&repository, &latest(&repository), &restore_options(&out));
    assert!(std::fs::read(out.join("source/state.db")).unwrap() == bytes);
    assert!(assert_bounds(&repository) > 8);
}

#[test]
fn moved_pages_cost_little() {
    let base = tempfile::tempdir().unwrap();
    let source = base.path().join("source");
    let mut bytes = database(1, 2_048);
    put(&source.join("state.db"), &bytes);
    let (_store, repository) = counted(base.path());
    save(&repository, &source, LATER).unwrap();
    // Three pages are gone, and all behind them has moved up.
    for page in [900, 300, 7] {
        bytes.drain(page * PAGE..(page + 1) * PAGE);
    }
    put(&source.join("state.db"), &bytes);
    let report = save(&repository, &source, LATER + 1).unwrap();
    // The chunks before it is clear that pages have moved are stored in full.
    let stored = report.statistics.stored_bytes;
    assert!(stored < bytes.len() as u64 / 10, "{stored} of {}", bytes.len());
    let out = base.path().join("out");
    restore_with(&open_fresh_of(&repository), &latest(&repository), &restore_options(&out));
    assert!(std::fs::read(out.join("source/state.db")).unwrap() == bytes);
    assert_clean(&repository);
}

/// The same repository as a machine sees it that has nothing of it.
fn open_fresh_of(repository: &Repository) -> Repository {
    open_fresh(repository.store())
}

#[test]
fn appended_lines_are_stored_alone_and_do_not_pile_up() {
    let base = tempfile::tempdir().unwrap();
    let source = base.path().join("source");
    let mut bytes = noise(1, 3 << 20);
    put(&source.join("session.jsonl"), &bytes);
    let (_store, repository) = counted(base.path());
    save(&repository, &source, LATER).unwrap();
    let (appended, rounds) = (2_000, 60);
    let mut together = 0;
    for round in 1..=rounds {
        bytes.extend(noise(100 + round, appended));
        put(&source.join("session.jsonl"), &bytes);
        let now = LATER + i64::try_from(round).unwrap();
        let stored = save(&repository, &source, now).unwrap().statistics.stored_bytes;
        together += stored;
    }
    // Each byte is stored a few times at most, and a record of about a kilobyte each time.
    let text = rounds * appended as u64;
    assert!(together < text * 3 + rounds * 1_300, "{together} for {text}");
    let out = base.path().join("out");
    restore_with(&repository, &latest(&repository), &restore_options(&out));
    assert!(std::fs::read(out.join("source/session.jsonl")).unwrap() == bytes);
}

#[test]
fn a_difference_whose_base_is_lost_is_stored_again_in_full() {
    let base = tempfile::tempdir().unwrap();
    let source = base.path().join("source");
    let folder = base.path().join("repo");
    let store = Store::folder(&folder, true).unwrap();
    let repository = init(&store, &folders(base.path()));
    let mut bytes = database(1, 600);
    put(&source.join("state.db"), &bytes);
    save(&repository, &source, LATER).unwrap();
    bytes[1_000_000] ^= 1;
    put(&source.join("state.db"), &bytes);
    save(&repository, &source, LATER + 1).unwrap();
    for (object, _) in repository.cache().objects().unwrap() {
        if matches!(object, ObjectName::Pack(_)) {
            std::fs::remove_file(folder.join(object.to_string())).unwrap();
        }
    }
    let again = open(&store, &folders(base.path())).unwrap();
    bytes[2_000_000] ^= 1;
    put(&source.join("state.db"), &bytes);
    save(&again, &source, LATER + 2).unwrap();
    let fresh = open_fresh(&store);
    let out = base.path().join("out");
    restore_with(&fresh, &latest(&fresh), &restore_options(&out));
    assert!(std::fs::read(out.join("source/state.db")).unwrap() == bytes);
}

/// A database whose repository is far away, changed and saved again and again.
struct Far {
    base: tempfile::TempDir,
    calls: Arc<TestStore>,
    repository: Repository,
    bytes: Vec<u8>,
    round: i64,
}

impl Far {
    /// Without a cache there are no copies of what was stored.
    fn new(with_cache: bool) -> Far {
        let base = tempfile::tempdir().unwrap();
        let calls = TestStore::recording(Arc::new(InMemory::new()));
        let mut folders = folders(base.path());
        folders.cache = folders.cache.filter(|_| with_cache);
        let repository = init(&calls.store().remote(), &folders);
        let mut far = Far { base, calls, repository, bytes: real_database(), round: 0 };
        far.save();
        far
    }

    /// Changes a few bytes in two pages; a page's change counter is one of them.
    fn edit(&mut self, place: usize) {
        self.bytes[24..28].copy_from_slice(&u32::try_from(self.round).unwrap().to_be_bytes());
        self.bytes[place..place + 4].copy_from_slice(&noise(place as u64 + 1, 4));
    }

    fn save(&mut self) -> u64 {
        let source = self.base.path().join("source");
        put(&source.join("state.db"), &self.bytes);
        self.round += 1;
        self.calls.take();
        save(&self.repository, &source, LATER + self.round).unwrap().statistics.stored_bytes
    }

    /// The files of this machine's state that hold page values.
    fn memories(&self) -> Vec<std::path::PathBuf> {
        let folders = std::fs::read_dir(self.base.path().join("state")).unwrap();
        let files = folders.flat_map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap());
        let paths = files.map(|file| file.unwrap().path());
        paths.filter(|path| path.to_str().unwrap().contains("/pages-")).collect()
    }

    fn assert_restores(&self) {
        let out = tempfile::tempdir().unwrap();
        let fresh = open_fresh(&self.calls.store());
        restore_with(&fresh, &latest(&fresh), &restore_options(out.path()));
        assert!(std::fs::read(out.path().join("source/state.db")).unwrap() == self.bytes);
        assert_clean(&fresh);
    }
}

/// Bytes with the header of a database of 1,500 pages.
fn real_database() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute_batch("CREATE TABLE turn (text TEXT)").unwrap();
    drop(connection);
    let head = std::fs::read(path).unwrap();
    let mut bytes = noise(7, 1_500 * PAGE);
    bytes[..PAGE].copy_from_slice(&head[..PAGE]);
    bytes[28..32].copy_from_slice(&1_500_u32.to_be_bytes());
    bytes
}

#[test]
fn far_away_only_changed_pages_are_stored_and_no_content_is_fetched() {
    let mut far = Far::new(false);
    for place in [3_000_000, 5_000_000, 3_000_100, 70_000] {
        far.edit(place);
        let stored = far.save();
        // Noise does not shrink: each page that changed takes 4 KiB.
        assert!(stored < 2 * PAGE as u64 + 1_400, "{stored}");
        let calls = far.calls.take();
        assert_eq!(calls.iter().filter(|call| call.is_put()).count(), 1);
        let fetched = calls.iter().filter(|call| call.path().starts_with("packs/")).count();
        assert!(fetched <= 4, "lists and trees alone are read: {calls:?}");
    }
    far.assert_restores();
}

#[test]
fn far_away_copies_of_what_was_stored_make_differences_as_small_as_here() {
    let mut far = Far::new(true);
    for place in [3_000_000, 5_000_000, 3_000_100, 70_000] {
        far.edit(place);
        assert!(far.save() <= 1024);
        let calls = far.calls.take();
        assert!(!calls.iter().any(|call| call.path().starts_with("packs/")), "{calls:?}");
    }
    far.assert_restores();
    // Copies that are damaged count as not there.
    let folders = std::fs::read_dir(far.base.path().join("cache")).unwrap();
    for folder in folders.map(|folder| folder.unwrap().path().join("copies")) {
        for copy in std::fs::read_dir(folder).unwrap() {
            let path = copy.unwrap().path();
            let mut bytes = std::fs::read(&path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::write(&path, bytes).unwrap();
        }
    }
    far.repository =
        open(&far.calls.store().remote(), &common_engine::folders(far.base.path())).unwrap();
    far.edit(2_000_000);
    let stored = far.save();
    assert!((1024..2 * PAGE as u64 + 1_400).contains(&stored), "{stored}");
    far.assert_restores();
}

#[test]
fn what_is_remembered_wrongly_costs_bytes_and_never_content() {
    let mut random = fastrand::Rng::with_seed(5);
    let mut far = Far::new(false);
    let first = std::fs::read(&far.memories()[0]).unwrap();
    for round in 0..24_usize {
        let path = &far.memories()[0];
        let mut memory = std::fs::read(path).unwrap();
        match round % 6 {
            // Flipped bits, a stale file, one cut short, one that is gone, one of zeros.
            0 => (0..200).for_each(|_| {
                let place = random.usize(..memory.len());
                memory[place] ^= 1 << random.u8(..8);
            }),
            1 => memory.clone_from(&first),
            2 => memory.truncate(random.usize(..memory.len())),
            3 => memory.clear(),
            4 => memory.fill(0),
            _ => {}
        }
        std::fs::write(path, memory).unwrap();
        far.edit(PAGE + random.usize(..1_400 * PAGE));
        far.save();
        far.assert_restores();
    }
}

#[test]
fn a_difference_left_by_a_run_that_died_is_not_relied_on_without_its_base() {
    let base = tempfile::tempdir().unwrap();
    let source = base.path().join("source");
    let folder = base.path().join("repo");
    let store = Store::folder(&folder, true).unwrap();
    let repository = init(&store, &folders(base.path()));
    let mut bytes = database(1, 600);
    put(&source.join("state.db"), &bytes);
    save(&repository, &source, LATER).unwrap();
    let packs = |repository: &Repository| -> Vec<ObjectName> {
        let objects = repository.cache().objects().unwrap().into_iter().map(|(name, _)| name);
        objects.filter(|name| matches!(name, ObjectName::Pack(_))).collect()
    };
    let first = packs(&repository);
    // So much beside it that the difference goes into a pack.
    put(&source.join("beside"), noise(9, 400_000));
    bytes[1_000_000] ^= 1;
    put(&source.join("state.db"), &bytes);
    save(&repository, &source, LATER + 1).unwrap();
    let second: Vec<_> =
        packs(&repository).into_iter().filter(|name| !first.contains(name)).collect();
    assert_eq!(second.len(), 1);
    // As if it had died before its record, and then the first pack was lost.
    let newest = repository.cache().records().unwrap().len();
    assert_eq!(newest, 2);
    for lane in std::fs::read_dir(folder.join("log/s")).unwrap() {
        let mut records: Vec<_> =
            std::fs::read_dir(lane.unwrap().path()).unwrap().map(|it| it.unwrap().path()).collect();
        records.sort();
        std::fs::remove_file(records.pop().unwrap()).unwrap();
    }
    for name in &first {
        std::fs::remove_file(folder.join(name.to_string())).unwrap();
    }
    drop(repository);
    std::fs::remove_dir_all(base.path().join("cache")).unwrap();
    for state in std::fs::read_dir(base.path().join("state")).unwrap() {
        let state = state.unwrap().path();
        std::fs::remove_file(state.join("lane")).unwrap();
        put(&state.join("journal-1"), format!("{} {LATER}\n", second[0].hash()));
    }
    let again = open(&store, &folders(base.path())).unwrap();
    save(&again, &source, LATER + 2).unwrap();
    let fresh = open_fresh(&store);
    let out = base.path().join("out");
    restore_with(&fresh, &latest(&fresh), &restore_options(&out));
    assert!(std::fs::read(out.join("source/state.db")).unwrap() == bytes);
}
