//! What was acknowledged, and how often what was done.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use crate::machine::Outcome;
use crate::tree::Prints;

/// What holds of an acknowledged snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It must restore.
    Live,
    /// A run was killed that would have changed it.
    Doubtful,
    /// Forgotten, and since when.
    Forgotten(Instant),
}

/// An acknowledged snapshot.
#[derive(Debug, Clone)]
pub struct Saved {
    pub id: String,
    pub host: u64,
    pub prints: Arc<Prints>,
    pub state: State,
}

/// All that was acknowledged.
#[derive(Default)]
pub struct Ledger(pub Vec<Saved>);

impl Ledger {
    /// Returns the snapshots that must restore.
    pub fn live(&self) -> Vec<Saved> {
        self.0.iter().filter(|saved| saved.state == State::Live).cloned().collect()
    }

    /// Returns the ids of a machine's snapshots of which something holds.
    pub fn ids(&self, host: u64, holds: impl Fn(State) -> bool) -> Vec<String> {
        let own = self.0.iter().filter(|saved| saved.host == host && holds(saved.state));
        own.map(|saved| saved.id.clone()).collect()
    }

    pub fn set(&mut self, id: &str, state: State) {
        for saved in self.0.iter_mut().filter(|saved| saved.id == id) {
            saved.state = state;
        }
    }
}

/// How runs of one kind ended.
#[derive(Default, Clone)]
struct Row {
    runs: u64,
    done: u64,
    killed: u64,
    stopped: u64,
    refused: u64,
}

/// What all runs came to.
#[derive(Default)]
pub struct Tally {
    rows: BTreeMap<&'static str, Row>,
    /// What was said by runs that failed by themselves: how often, by exit code and first line.
    said: BTreeMap<String, u64>,
    pub deleted_objects: u64,
    pub deleted_bytes: u64,
    pub copied_bytes: u64,
    pub rescued_blobs: u64,
    pub late_records: u64,
    pub broken_records: u64,
    pub unforgotten: u64,
    /// Restores that gave something else than what was saved.
    pub wrong: u64,
}

impl Tally {
    /// Counts a run; returns whether it did what it was to do.
    pub fn count(&mut self, kind: &'static str, outcome: &Outcome) -> bool {
        let row = self.rows.entry(kind).or_default();
        row.runs += 1;
        row.stopped += u64::from(outcome.stopped);
        match outcome.code {
            None => row.killed += 1,
            Some(0 | 3) => row.done += 1,
            Some(_) => row.refused += 1,
        }
        if let Some(code) = outcome.code.filter(|code| *code != 0) {
            let line = outcome.err.lines().next().unwrap_or_default();
            // Without ids and figures, so that the same words come together.
            let words = line.split(' ').map(|word| {
                let digits = word.bytes().filter(u8::is_ascii_digit).count();
                if digits > 0 { "…" } else { word }
            });
            let line = words.collect::<Vec<_>>().join(" ");
            *self.said.entry(format!("{kind}: exit {code}: {line}")).or_default() += 1;
        }
        matches!(outcome.code, Some(0 | 3))
    }

    /// Counts a prune, and what it says of itself.
    pub fn count_prune(&mut self, outcome: &Outcome) {
        self.count("prune", outcome);
        let said = outcome.json();
        let figure = |name: &str| said[name].as_u64().unwrap_or_default();
        self.deleted_objects += figure("deleted_objects");
        self.deleted_bytes += figure("deleted_bytes");
        self.copied_bytes += figure("copied_bytes");
        self.rescued_blobs += figure("rescued_blobs");
        self.late_records += figure("late_records");
        self.broken_records += figure("broken_records");
    }

    pub fn print(&self, ledger: &Ledger) {
        println!("\n| what | runs | done | killed | stopped | refused |");
        println!("|---|---:|---:|---:|---:|---:|");
        for (kind, row) in &self.rows {
            println!(
                "| {kind} | {} | {} | {} | {} | {} |",
                row.runs, row.done, row.killed, row.stopped, row.refused
            );
        }
        for (said, count) in &self.said {
            println!("  {count} x {said}");
        }
        let of = |holds: fn(State) -> bool| ledger.0.iter().filter(|it| holds(it.state)).count();
        println!(
            "acknowledged {}; of these live {}, forgotten {}, in doubt {}; unforgotten {} times",
            ledger.0.len(),
            of(|state| state == State::Live),
            of(|state| matches!(state, State::Forgotten(_))),
            of(|state| state == State::Doubtful),
            self.unforgotten,
        );
        println!(
            "pruned: {} objects, {:.1} MB deleted; {:.1} MB copied; {} blobs stored anew; {} late \
             records, {} of them broken",
            self.deleted_objects,
            self.deleted_bytes as f64 / 1e6,
            self.copied_bytes as f64 / 1e6,
            self.rescued_blobs,
            self.late_records,
            self.broken_records,
        );
    }
}
