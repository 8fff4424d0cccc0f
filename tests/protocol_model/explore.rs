//! Every state that can be reached, nearest first.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::hash::{BuildHasherDefault, Hasher};

use super::judge::{judge, settle};
use super::rules::Rules;
use super::steps::{Plan, Step, successors};
use super::world::World;

/// What an exploration found.
#[derive(Debug, Default)]
pub(crate) struct Exploration {
    pub(crate) states: usize,
    /// Steps of the longest way that was needed.
    pub(crate) depth: usize,
    pub(crate) counterexample: Option<Counterexample>,
}

/// The shortest way to something wrong.
#[derive(Debug)]
pub(crate) struct Counterexample {
    pub(crate) wrong: String,
    pub(crate) steps: Vec<Step>,
    pub(crate) end: World,
}

impl Counterexample {
    /// Returns the way, and what is stored at its end.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("{} ({} steps)\n", self.wrong, self.steps.len());
        for step in &self.steps {
            let _infallible = writeln!(text, "  {step:?}");
        }
        text + &self.end.text()
    }
}

/// A fingerprint is its own hash.
#[derive(Default)]
struct Same(u64);

impl Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _bytes: &[u8]) {
        unreachable!("only fingerprints are kept")
    }

    fn write_u128(&mut self, value: u128) {
        self.0 = value as u64;
    }
}

/// Explores breadth-first, until something is wrong or nothing is new. Where nobody has anything to
/// do any more, everybody dies, and what is left is cleaned up.
pub(crate) fn explore(start: &World, rules: &Rules, plan: &Plan) -> Exploration {
    let mut seen: HashSet<u128, BuildHasherDefault<Same>> = HashSet::default();
    let mut ways: Vec<(u32, Step)> = Vec::new();
    let mut found = Exploration::default();
    let counterexample = |wrong: String, ways: &[(u32, Step)], last: u32, step, end: &World| {
        let mut steps: Vec<Step> = Vec::from_iter(step);
        let mut at = last;
        while at != 0 {
            let (before, step) = ways[at as usize - 1];
            steps.push(step);
            at = before;
        }
        steps.reverse();
        Some(Counterexample { wrong, steps, end: end.clone() })
    };
    seen.insert(start.fingerprint());
    let mut level = vec![(0_u32, start.clone())];
    while !level.is_empty() {
        let mut next_level = Vec::new();
        for (at, world) in &level {
            let nexts = successors(world, rules, plan);
            // Only time goes on, and changes nothing.
            let is_last =
                || matches!(&nexts[..], [tick] if seen.contains(&tick.world.fingerprint()));
            if is_last()
                && let Some(wrong) = settle(world, rules)
            {
                found.counterexample = counterexample(wrong, &ways, *at, None, world);
                found.states = seen.len();
                return found;
            }
            for next in nexts {
                if !seen.insert(next.world.fingerprint()) {
                    continue;
                }
                let wrong = next
                    .complaint
                    .map(ToString::to_string)
                    .or_else(|| next.must_be_judged.then(|| judge(&next.world, rules)).flatten());
                if let Some(wrong) = wrong {
                    let step = Some(next.step);
                    found.counterexample = counterexample(wrong, &ways, *at, step, &next.world);
                    found.states = seen.len();
                    return found;
                }
                ways.push((*at, next.step));
                next_level.push((ways.len() as u32, next.world));
            }
        }
        found.depth += usize::from(!next_level.is_empty());
        level = next_level;
    }
    found.states = seen.len();
    found
}
