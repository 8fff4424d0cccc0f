//! Machines, pruners, failures and clocks at random, from a seed: the real code against a plain
//! list of what was saved.
//!
//! After each few steps a machine that has never seen the repository restores every snapshot that
//! was reported done and lives: it must hold what was saved, byte for byte. At the end garbage must be gone.
//! `STASH_SEEDS=100..200 cargo test --test simulation` runs others than the usual seeds;
//! `STASH_STEPS` sets how long each goes on.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "a test stops where things are not as they should be"
)]

mod common_engine;

use std::collections::BTreeMap;
use std::sync::Arc;

use common_engine::stores::{Fault, TestStore};
use common_engine::timed::{HOUR, World, assert_restores};
use common_engine::{SECOND, copy_folder, noise};
use stash::engine::prune::{Accepted, Brake, PruneOptions, PruneReport};
use stash::error::Kind;
use stash::format::record::MarkKind;
use stash::id::SnapshotId;

/// Seeds that are always run.
const SEEDS: std::ops::Range<u64> = 0..12;
/// Those that ever failed stay here.
const FAILED: [u64; 2] = [108, 216];
const STEPS: u64 = 60;

/// Numbers that follow from a seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        // SplitMix64, from Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides.max(1)
    }

    fn one_in(&mut self, sides: u64) -> bool {
        self.roll(sides) == 0
    }
}

/// What was said of a snapshot last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Lives,
    /// Since when.
    Forgotten(i64),
}

struct Simulation {
    seed: u64,
    dice: Dice,
    world: World,
    saved: BTreeMap<SnapshotId, Fate>,
    machines: Vec<String>,
    log: Vec<String>,
    /// Whether a listing left something out without an error.
    listings_lied: bool,
}

impl Simulation {
    fn new(seed: u64) -> Simulation {
        let machines = vec!["a".to_owned(), "b".to_owned()];
        let (dice, world) = (Dice(seed), World::new());
        let (saved, log) = (BTreeMap::new(), Vec::new());
        Simulation { seed, dice, world, saved, machines, log, listings_lied: false }
    }

    fn any_machine(&mut self) -> String {
        let number = self.dice.roll(self.machines.len() as u64) as usize;
        self.machines[number].clone()
    }

    fn note(&mut self, what: String) {
        self.log.push(what);
    }

    fn step(&mut self) {
        match self.dice.roll(16) {
            0..=5 => self.save(),
            6 => self.edit_and_save_twice(),
            7 | 8 => self.forget(),
            9 => self.unforget(),
            10 | 11 => self.prune(),
            12 => self.lose_cache(),
            13 => self.clone_machine(),
            _ => {
                let hours = self.dice.roll(40) as i64;
                self.world.pass(hours * HOUR + 7 * SECOND);
                self.note(format!("{hours} hours pass"));
            }
        }
    }

    fn edit(&mut self, name: &str) {
        let source = self.world.folder.path().join(name).join("source");
        for _ in 0..=self.dice.roll(3) {
            let file = source.join(format!("file-{}", self.dice.roll(6)));
            match self.dice.roll(5) {
                0 => {
                    let _gone = std::fs::remove_file(&file);
                }
                1 => {
                    let (content, length) = (self.dice.roll(9), 1 + self.dice.roll(90_000));
                    common_engine::put(&file, noise(content, length as usize));
                }
                // A page in the middle, so that differences come into it.
                _ => {
                    let mut bytes =
                        std::fs::read(&file).unwrap_or_else(|_| noise(self.seed, 400_000));
                    let at = self.dice.roll(bytes.len() as u64) as usize;
                    bytes[at] ^= 1 + self.dice.roll(250) as u8;
                    common_engine::put(&file, bytes);
                }
            }
        }
        common_engine::put(&source.join("kept"), b"so that it is never empty");
    }

    fn save(&mut self) {
        let name = self.any_machine();
        self.edit(&name);
        // One in three goes through a store that fails somewhere.
        if self.dice.one_in(3) {
            let faults = [Fault::Fail, Fault::LostReply, Fault::Repeat, Fault::HalfList];
            let fault = faults[self.dice.roll(4) as usize];
            let fatal = 1 + self.dice.roll(12);
            let store = TestStore::recording(Arc::clone(&self.world.inner) as _);
            let machine = self.world.machine_over(&name, &store.store());
            drop(machine);
            let store = TestStore::new(Arc::clone(&self.world.inner) as _, fault, fatal);
            let folders = common_engine::folders(&self.world.folder.path().join(&name));
            let opened = common_engine::open(&store.store(), &folders);
            self.note(format!("{name} saves, call {fatal} {fault:?}"));
            if let Ok(repository) = opened {
                let source = self.world.folder.path().join(&name).join("source");
                let machine = common_engine::timed::Machine {
                    world: &self.world,
                    name: name.clone(),
                    source,
                    repository,
                };
                if let Ok(id) = machine.try_save() {
                    self.saved.insert(id, Fate::Lives);
                }
            }
        } else {
            let id = self.world.machine(&name).save();
            self.note(format!("{name} saves {}", id.short()));
            self.saved.insert(id, Fate::Lives);
        }
    }

    /// Goes back to what it was: differences of differences, both ways.
    fn edit_and_save_twice(&mut self) {
        let name = self.any_machine();
        let source = self.world.folder.path().join(&name).join("source");
        let before = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(&source).unwrap();
        copy_folder(&source, before.path());
        self.edit(&name);
        let first = self.world.machine(&name).save();
        self.world.pass(60 * SECOND);
        std::fs::remove_dir_all(&source).unwrap();
        copy_folder(before.path(), &source);
        common_engine::put(&source.join("kept"), b"so that it is never empty");
        let second = self.world.machine(&name).save();
        self.note(format!("{name} saves {} and back {}", first.short(), second.short()));
        self.saved.insert(first, Fate::Lives);
        self.saved.insert(second, Fate::Lives);
    }

    fn pick(&mut self, lives: bool) -> Option<SnapshotId> {
        let fitting: Vec<SnapshotId> = self
            .saved
            .iter()
            .filter(|(_, fate)| (**fate == Fate::Lives) == lives)
            .map(|(id, _)| *id)
            .collect();
        let number = self.dice.roll(fitting.len() as u64) as usize;
        fitting.get(number).copied()
    }

    fn forget(&mut self) {
        if self.saved.values().filter(|fate| **fate == Fate::Lives).count() < 3 {
            return;
        }
        let (name, Some(id)) = (self.any_machine(), self.pick(true)) else { return };
        self.world.machine(&name).forget(id);
        let now = self.world.time();
        self.saved.insert(id, Fate::Forgotten(now));
        self.note(format!("{name} forgets {}", id.short()));
    }

    fn unforget(&mut self) {
        let (name, Some(id)) = (self.any_machine(), self.pick(false)) else { return };
        let Some(Fate::Forgotten(since)) = self.saved.get(&id).copied() else { return };
        if self.world.time() - since >= 60 * HOUR {
            return;
        }
        self.world.machine(&name).mark(id, MarkKind::Unforget);
        self.saved.insert(id, Fate::Lives);
        self.note(format!("{name} takes back {}", id.short()));
    }

    fn prune(&mut self) {
        let name = self.any_machine();
        let options = self.prune_options();
        if self.dice.one_in(3) {
            let faults = [Fault::Fail, Fault::LostReply, Fault::Truncate, Fault::ShortList];
            let fault = faults[self.dice.roll(4) as usize];
            let fatal = 1 + self.dice.roll(40);
            self.listings_lied |= fault == Fault::ShortList;
            let store = TestStore::new(Arc::clone(&self.world.inner) as _, fault, fatal);
            let folders = common_engine::folders(&self.world.folder.path().join(&name));
            self.note(format!("{name} prunes, call {fatal} {fault:?}"));
            if let Ok(repository) = common_engine::open(&store.store(), &folders) {
                let source = self.world.folder.path().join(&name).join("source");
                let machine =
                    common_engine::timed::Machine { world: &self.world, name, source, repository };
                let _result = machine.prune_with(&options);
            }
        } else {
            let result = self.world.machine(&name).prune_with(&options);
            self.note(format!("{name} prunes: {result:?}"));
            if let Ok(report) = &result {
                self.judge(report);
            }
            if let Err(error) = result
                && !self.listings_lied
            {
                assert_ne!(error.kind(), Kind::Damaged, "{error}\n{}", self.log.join("\n"));
            }
        }
    }

    /// Nobody is stopped here between a look and a record: whatever comes late is whole.
    fn judge(&self, report: &PruneReport) {
        assert_eq!(report.broken_records, 0, "seed {}\n{}", self.seed, self.log.join("\n"));
    }

    fn prune_options(&mut self) -> PruneOptions {
        let checkpoint_records = if self.dice.one_in(2) { 4 } else { 256 };
        // Told from what is to come, so that the seeds stay what they were.
        let thorough = self.dice.0.is_multiple_of(3);
        PruneOptions { checkpoint_records, thorough, ..PruneOptions::default() }
    }

    fn lose_cache(&mut self) {
        let name = self.any_machine();
        let part = ["cache", "state"][self.dice.roll(2) as usize];
        let _missing = std::fs::remove_dir_all(self.world.folder.path().join(&name).join(part));
        self.note(format!("{name} loses its {part}"));
    }

    /// Two machines go on from the same memory: their lane forks.
    fn clone_machine(&mut self) {
        if self.machines.len() >= 4 {
            return;
        }
        let from = self.any_machine();
        let to = ["c", "d"][self.machines.len() - 2].to_owned();
        let base = self.world.folder.path();
        if base.join(&from).exists() {
            copy_folder(&base.join(&from), &base.join(&to));
        }
        self.note(format!("{to} is a clone of {from}"));
        self.machines.push(to);
    }

    fn living(&self) -> Vec<SnapshotId> {
        let now = self.world.time();
        let lives = |fate: &Fate| match fate {
            Fate::Lives => true,
            Fate::Forgotten(since) => now - since < 60 * HOUR,
        };
        self.saved.iter().filter(|(_, fate)| lives(fate)).map(|(id, _)| *id).collect()
    }

    fn verify(&self) {
        let living = self.living();
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            assert_restores(&self.world, &living);
        }));
        assert!(result.is_ok(), "seed {}:\n{}", self.seed, self.log.join("\n"));
    }

    /// Everything but two snapshots is forgotten; after some prunes little else may be left.
    fn end(&mut self) {
        let living: Vec<SnapshotId> = self
            .saved
            .iter()
            .filter(|(_, fate)| **fate == Fate::Lives)
            .map(|(id, _)| *id)
            .collect();
        for id in living.iter().skip(2) {
            self.world.machine("a").forget(*id);
            self.saved.insert(*id, Fate::Forgotten(self.world.time()));
        }
        // What a checkpoint made by half a listing did not name looks as if it was lost.
        let doubts = self.listings_lied.then_some(Brake::Vanished);
        let options = PruneOptions {
            checkpoint_records: 1,
            accepted: Accepted(doubts.into_iter().collect()),
            max_unused: stash::engine::prune::Limit::Bytes(0),
            ..PruneOptions::default()
        };
        let mut report = None;
        for _ in 0..8 {
            self.world.pass(20 * 24 * HOUR);
            let result = self.world.machine("b").prune_with(&options);
            let done = result.unwrap_or_else(|error| {
                panic!("seed {}: {error}\n{}", self.seed, self.log.join("\n"))
            });
            self.judge(&done);
            report = Some(done);
        }
        self.verify();
        let report = report.unwrap();
        let objects = self.world.store.list_all().unwrap().0;
        let bytes: u64 = objects
            .iter()
            .filter(|row| matches!(row.name, stash::store::ObjectName::Pack(_)))
            .map(|row| row.size)
            .sum();
        assert!(
            bytes <= report.used_bytes + report.used_bytes / 4 + 200_000,
            "seed {}: {bytes} bytes in packs, {report:?}\n{}",
            self.seed,
            self.log.join("\n")
        );
    }
}

fn seeds() -> Vec<u64> {
    let Ok(text) = std::env::var("STASH_SEEDS") else { return SEEDS.chain(FAILED).collect() };
    let (first, last) = text.split_once("..").expect("STASH_SEEDS is FIRST..LAST");
    (first.parse().unwrap()..last.parse().unwrap()).collect()
}

#[test]
fn whatever_happens_every_snapshot_that_lives_restores_and_garbage_goes() {
    let steps = std::env::var("STASH_STEPS").map_or(STEPS, |text| text.parse().unwrap());
    for seed in seeds() {
        let mut simulation = Simulation::new(seed);
        for step in 0..steps {
            simulation.step();
            if step % 12 == 11 {
                simulation.verify();
            }
        }
        simulation.end();
    }
}
