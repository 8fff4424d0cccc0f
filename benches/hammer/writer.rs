//! A machine that changes files, backs up, forgets, takes back and restores.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::Scene;
use crate::ledger::{Saved, State};
use crate::machine::{Fate, Machine, Outcome};
use crate::tree::{Prints, Tree, prints};

struct Writer<'s> {
    scene: &'s Scene,
    number: u64,
    machine: Machine,
    tree: Tree,
    random: fastrand::Rng,
    fate: Fate,
}

/// Works until the hammering is over.
pub fn run(scene: &Scene, number: u64, seed: u64) {
    let machine = scene.machine(&format!("writer{number}"));
    machine.join();
    let tree = Tree::new(&machine.home, number);
    let mut writer = Writer {
        scene,
        number,
        machine,
        tree,
        random: fastrand::Rng::with_seed(seed * 1000 + number),
        fate: Fate::new(25, 5, scene.long_stops),
    };
    writer.tree.edit(&mut writer.random);
    while scene.goes_on() {
        match writer.random.u32(..100) {
            0..=54 => writer.back_up(),
            55..=72 => writer.forget(),
            73..=77 => writer.forget_by_policy(),
            78..=87 => writer.unforget(),
            _ => writer.restore(),
        }
        let pause = writer.random.u64(..200);
        std::thread::sleep(Duration::from_millis(pause));
    }
}

impl Writer<'_> {
    fn run(&mut self, kind: &'static str, words: &[&str]) -> Outcome {
        let blow = self.fate.draw(&mut self.random, kind);
        let outcome = self.machine.run_own(words, blow);
        self.fate.learn(kind, &outcome);
        self.scene.tally.lock().unwrap().count(kind, &outcome);
        outcome
    }

    fn back_up(&mut self) {
        self.tree.edit(&mut self.random);
        let now = prints(&self.tree.folder);
        let outcome = self.run("backup", &["backup", "work", "--json"]);
        if let (Some(0 | 3), Some(id)) = (outcome.code, outcome.json()["snapshot_id"].as_str()) {
            let (id, host) = (id.to_owned(), self.number);
            let saved = Saved { id, host, prints: Arc::new(now), state: State::Live };
            self.scene.ledger.lock().unwrap().0.push(saved);
        }
    }

    fn pick(&mut self, holds: impl Fn(State) -> bool) -> Option<String> {
        let ids = self.scene.ledger.lock().unwrap().ids(self.number, holds);
        self.random.choice(ids)
    }

    fn forget(&mut self) {
        // A few stay for long.
        let live = self.scene.ledger.lock().unwrap().ids(self.number, |it| it == State::Live);
        if live.len() < 4 {
            return;
        }
        let Some(id) = self.random.choice(live) else { return };
        self.set(&id, State::Doubtful);
        let outcome = self.run("forget", &["forget", &id]);
        match outcome.code {
            Some(0) => self.set(&id, State::Forgotten(Instant::now())),
            _ => self.settle(&[id]),
        }
    }

    fn forget_by_policy(&mut self) {
        let ids = self.scene.ledger.lock().unwrap().ids(self.number, |it| it == State::Live);
        for id in &ids {
            self.set(id, State::Doubtful);
        }
        let host = format!("writer{}", self.number);
        let words = ["forget", "--keep-last", "8", "--host", &host, "--json"];
        drop(self.run("forget --keep-last", &words));
        self.settle(&ids);
    }

    fn unforget(&mut self) {
        let recent = |state| matches!(state, State::Forgotten(since) if since.elapsed() < Duration::from_secs(70));
        let Some(id) = self.pick(recent) else { return };
        self.set(&id, State::Doubtful);
        let outcome = self.run("unforget", &["unforget", &id]);
        if outcome.code == Some(0) {
            self.set(&id, State::Live);
            self.scene.tally.lock().unwrap().unforgotten += 1;
        } else {
            self.settle(&[id]);
        }
    }

    /// Asks what holds of snapshots after a run that was killed or refused.
    fn settle(&mut self, ids: &[String]) {
        // What was sent before the kill may still be carried out by the server.
        std::thread::sleep(Duration::from_millis(500));
        let outcome = self.machine.run_own(&["snapshots", "--json"], None);
        if outcome.code != Some(0) {
            return;
        }
        let rows = outcome.json();
        let listed =
            |id: &str| rows.as_array().is_some_and(|rows| rows.iter().any(|row| row["id"] == id));
        for id in ids {
            let state = if listed(id) { State::Live } else { State::Forgotten(Instant::now()) };
            self.set(id, state);
        }
    }

    fn set(&self, id: &str, state: State) {
        self.scene.ledger.lock().unwrap().set(id, state);
    }

    fn restore(&mut self) {
        let Some(id) = self.pick(|state| state == State::Live) else { return };
        let target = self.machine.home.join("out");
        let _gone = std::fs::remove_dir_all(&target);
        let outcome = self.run("restore", &["restore", &id, "--target", "out"]);
        if outcome.code == Some(0) {
            let wanted = self.wanted(&id);
            if prints(&target.join("work")) != *wanted {
                eprintln!("LOST: writer{} restored {id} otherwise than it was", self.number);
                self.scene.tally.lock().unwrap().wrong += 1;
            }
        }
    }

    fn wanted(&self, id: &str) -> Arc<Prints> {
        let ledger = self.scene.ledger.lock().unwrap();
        let saved = ledger.0.iter().find(|saved| saved.id == id);
        Arc::clone(&saved.expect("it was acknowledged").prints)
    }
}
