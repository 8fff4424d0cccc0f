//! A machine that has never seen the repository looks whether all is there that was acknowledged.

use std::time::{Duration, Instant};

use crate::Scene;
use crate::common_s3::Server;
use crate::ledger::{Saved, State};
use crate::machine::{Machine, Outcome};
use crate::tree::prints;

/// So long a repository may take to become as small as it gets: a forgotten snapshot lives for a
/// grace, what it leaves waits for one, and so do the records that said so.
const PATIENCE: Duration = Duration::from_secs(900);

pub struct Judge<'s> {
    scene: &'s Scene,
    random: fastrand::Rng,
    number: u64,
    restored: u64,
    lost: Vec<String>,
    checks: u64,
    findings: Vec<String>,
    space: Vec<(String, u64, u64, u64)>,
}

impl<'s> Judge<'s> {
    pub fn new(scene: &'s Scene, seed: u64) -> Judge<'s> {
        Judge {
            scene,
            random: fastrand::Rng::with_seed(seed * 1000 + 999),
            number: 0,
            restored: 0,
            lost: Vec::new(),
            checks: 0,
            findings: Vec::new(),
            space: Vec::new(),
        }
    }

    /// Returns a home that knows nothing.
    fn fresh(&mut self) -> Machine {
        self.number += 1;
        self.scene.machine(&format!("judge{}", self.number))
    }

    /// Restores so many of the snapshots that must be there, and checks all data.
    pub fn look(&mut self, count: usize, when: &str) {
        let fresh = self.fresh();
        let mut live = self.scene.ledger.lock().unwrap().live();
        self.random.shuffle(&mut live);
        live.truncate(count);
        for saved in &live {
            self.restore(&fresh, saved, when);
        }
        let outcome = fresh.run(&["check", "--read-data", "--json"], None);
        self.checks += 1;
        self.take_findings(&outcome, when);
        self.measure(&fresh, when);
        std::fs::remove_dir_all(&fresh.home).unwrap();
    }

    fn restore(&mut self, fresh: &Machine, saved: &Saved, when: &str) {
        let outcome = fresh.run(&["restore", &saved.id, "--target", "out"], None);
        let target = fresh.home.join("out");
        self.restored += 1;
        if outcome.code != Some(0) || prints(&target.join("work")) != *saved.prints {
            let said = format!(
                "LOST {when}: {} of writer{} (exit {:?}, acknowledged and {:?}): {}",
                saved.id, saved.host, outcome.code, saved.state, outcome.err
            );
            eprintln!("{said}");
            self.lost.push(said);
        }
        let _gone = std::fs::remove_dir_all(target);
    }

    fn take_findings(&mut self, outcome: &Outcome, when: &str) {
        if outcome.code == Some(0) {
            return;
        }
        for line in outcome.out.lines().filter(|line| line.contains("\"finding\"")) {
            self.findings.push(format!("{when}: {line}"));
        }
        if !outcome.out.contains("\"finding\"") {
            self.findings.push(format!("{when}: exit {:?}: {}", outcome.code, outcome.err));
        }
        eprintln!("check {when}: exit {:?}\n{}{}", outcome.code, outcome.out, outcome.err);
    }

    /// Notes what is stored, by a prune that only looks.
    fn measure(&mut self, machine: &Machine, when: &str) -> (u64, u64) {
        let outcome = machine.run(&["prune", "--dry-run", "--accept", "half", "--json"], None);
        let said = outcome.json();
        let figure = |name: &str| said[name].as_u64().unwrap_or_default();
        let (objects, bytes) = (figure("total_objects"), figure("total_bytes"));
        self.space.push((when.to_owned(), objects, bytes, figure("used_bytes")));
        eprintln!("{when}: {objects} objects, {bytes} bytes, {} used", figure("used_bytes"));
        (objects, bytes)
    }

    /// Forgets all but two snapshots of each machine, and prunes until nothing waits to be deleted.
    /// Returns whether what is stored then is about what a new repository with the same snapshots takes.
    pub fn converge(&mut self, server: Option<&Server>) -> bool {
        let pruner = self.fresh();
        pruner.join();
        let words = ["forget", "--keep-last", "2", "--json"];
        let outcome = pruner.run_own(&words, None);
        assert_eq!(outcome.code, Some(0), "{}", outcome.err);
        let groups = outcome.json();
        let kept: Vec<String> = groups
            .as_array()
            .into_iter()
            .flatten()
            .flat_map(|group| group["keep"].as_array().into_iter().flatten())
            .filter_map(|row| row["id"].as_str().map(str::to_owned))
            .collect();
        for saved in &mut self.scene.ledger.lock().unwrap().0 {
            if !kept.contains(&saved.id) && saved.state == State::Live {
                saved.state = State::Forgotten(Instant::now());
            }
        }
        self.drain(&pruner, server);
        self.look(usize::MAX, "after the last prune");
        let stored = self.space.last().map_or(0, |row| row.2);
        let needed = self.needed(&pruner, &kept);
        let ratio = stored as f64 / needed.max(1) as f64;
        println!(
            "{} snapshots are left; {stored} bytes are stored for them, {needed} in a new \
             repository: {ratio:.2} x",
            kept.len()
        );
        ratio < 1.5 || stored < needed + (2 << 20)
    }

    fn drain(&mut self, pruner: &Machine, server: Option<&Server>) {
        let begun = Instant::now();
        let mut quiet = 0;
        // Condemned are only objects of a certain age, so that a quiet run may be followed by others.
        while quiet < 8 && begun.elapsed() < PATIENCE {
            let words = ["prune", "--max-unused", "0", "--accept", "half", "--json"];
            let outcome = pruner.run_own(&words, None);
            self.scene.tally.lock().unwrap().count_prune(&outcome);
            let said = outcome.json();
            let figure = |name: &str| said[name].as_u64().unwrap_or(1);
            let open = figure("condemned_objects")
                + figure("deleted_objects")
                + figure("waiting_objects")
                + figure("undeleted_objects");
            quiet = if open == 0 { quiet + 1 } else { 0 };
            let _requests = server.map(Server::take);
            std::thread::sleep(Duration::from_secs(10));
        }
        println!("pruned for {:.0} s after the last forget", begun.elapsed().as_secs_f64());
    }

    /// Returns what a new repository takes that holds the same snapshots and nothing else.
    fn needed(&mut self, from: &Machine, kept: &[String]) -> u64 {
        let place = from.home.join("again");
        let place = place.to_str().unwrap().to_owned();
        let location = self.scene.reach.location.as_str();
        let made = from.run_own(&["init", "-r", &place, "--like", location], None);
        assert_eq!(made.code, Some(0), "{}", made.err);
        let mut words = vec!["copy", "-r", &place, "--from-repo", location];
        words.extend(kept.iter().map(String::as_str));
        let copied = from.run_own(&words, None);
        assert_eq!(copied.code, Some(0), "{}", copied.err);
        let mut sum = 0;
        let mut open = vec![std::path::PathBuf::from(place)];
        while let Some(next) = open.pop() {
            for entry in std::fs::read_dir(next).unwrap().flatten() {
                let metadata = entry.metadata().unwrap();
                if metadata.is_dir() {
                    open.push(entry.path());
                } else {
                    sum += metadata.len();
                }
            }
        }
        sum
    }

    pub fn has_failed(&self) -> bool {
        let wrong = self.scene.tally.lock().unwrap().wrong;
        !self.lost.is_empty() || !self.findings.is_empty() || wrong > 0
    }

    pub fn print(&self) {
        println!("\n| when | objects | stored bytes | used by what lives |");
        println!("|---|---:|---:|---:|");
        for (when, objects, bytes, used) in &self.space {
            println!("| {when} | {objects} | {bytes} | {used} |");
        }
        println!(
            "restored into fresh homes: {}; lost: {}; checks of all data: {}; findings: {}",
            self.restored,
            self.lost.len(),
            self.checks,
            self.findings.len()
        );
        for said in self.lost.iter().chain(&self.findings) {
            println!("  {said}");
        }
    }
}
