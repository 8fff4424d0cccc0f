//! The thread that pushes: what waits is gathered into one change of the branch, which is tried on
//! top of whatever is there until nobody was quicker.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Receiver;

use super::super::Pushed;
use super::super::failure::{GitFailure, Outcome};
use super::super::object::{NewObject, Oid};
use super::super::state::{Change, State};
use super::{Done, TOGETHER, WAITS, Worker, Write, ended};
use crate::codec::crypto::random_bytes;
use crate::time::SECOND;

/// How often a push is tried that others get ahead of.
const TURNS: u32 = 60;

impl Worker {
    pub(super) fn write_all(mut self, requests: &Receiver<Write>) {
        let mut next: Option<Write> = None;
        while let Some(first) = next.take().or_else(|| requests.recv().ok()) {
            let mut bytes = first.length();
            let mut batch = vec![first];
            for write in requests.try_iter() {
                bytes = bytes.saturating_add(write.length());
                if bytes > TOGETHER {
                    next = Some(write);
                    break;
                }
                batch.push(write);
            }
            let done = self.push_batch(&batch);
            for (number, write) in batch.into_iter().enumerate() {
                let own = done.as_ref().map_err(Clone::clone);
                let own = own.and_then(|done| done.get(number).copied().ok_or_else(ended));
                let _gone = write.reply.send(own);
            }
        }
    }

    /// Makes the changes, however often others get ahead. Returns what came of each.
    fn push_batch(&mut self, batch: &[Write]) -> Outcome<Vec<Done>> {
        // The push itself finds out whether this is still so.
        let mut state = if self.has_looked { self.shared.state() } else { self.refresh()? };
        let mut is_fresh = !self.has_looked;
        self.has_looked = true;
        let mut maybe_done = false;
        let mut failures = 0;
        for turn in 0..TURNS {
            if state.is_foreign() {
                return Err(GitFailure::lasting(
                    "the branch holds other files, and a push would end its history",
                    "name a branch of stash's own with `#stash`, or another name, behind the location",
                ));
            }
            // Rounded up: nothing may seem older than it is.
            let now = self.now(&state);
            let seconds = now.div_euclid(SECOND) + i64::from(now.rem_euclid(SECOND) > 0);
            let plan = Plan::new(batch, &state, seconds, maybe_done);
            if plan.changes.is_empty() {
                if is_fresh {
                    return Ok(plan.done);
                }
                // No push will say whether what is known is still true.
                (state, is_fresh) = (self.refresh()?, true);
                continue;
            }
            let mut next = state.apply(&plan.changes, seconds);
            let Some(commit) = next.state.commit else { return Err(ended()) };
            // What is referred to comes before what refers to it.
            let objects: Vec<NewObject> =
                plan.objects.into_iter().chain(next.objects.drain(..)).collect();
            match self.backend.push(state.commit, commit, &objects) {
                Ok(Pushed::Done) => {
                    self.shared.set(&Arc::new(next.state));
                    return Ok(plan.done);
                }
                Ok(Pushed::Moved) => step_aside(turn),
                Err(failure) if failure.passes => {
                    // It may have arrived all the same.
                    maybe_done = true;
                    let Some(wait) = WAITS.get(failures) else { return Err(failure) };
                    failures += 1;
                    self.tell(&failure, u32::try_from(failures).unwrap_or(u32::MAX) + 1);
                    std::thread::sleep(Duration::from_millis(*wait));
                }
                Err(failure) => return Err(failure),
            }
            (state, is_fresh) = (self.refresh()?, true);
            if maybe_done && state.commit == Some(commit) {
                return Ok(plan.done);
            }
        }
        Err(GitFailure::passing("others push all the time, and get ahead of every try"))
    }
}

/// Waits a little, each time for another and on average longer time, so that of several writers
/// one gets through.
fn step_aside(turn: u32) {
    let most = 20_u64.saturating_mul(1 << turn.min(6));
    let random = random_bytes::<8>().map_or(most, u64::from_le_bytes);
    std::thread::sleep(Duration::from_millis(random % most));
}

impl Write {
    fn length(&self) -> u64 {
        self.put.as_ref().map_or(0, |(object, _)| object.len() as u64)
    }
}

/// What a batch comes to on top of a state.
struct Plan {
    done: Vec<Done>,
    changes: Vec<(String, Change)>,
    objects: Vec<NewObject>,
}

impl Plan {
    fn new(batch: &[Write], state: &State, seconds: i64, maybe_done: bool) -> Plan {
        let mut plan = Plan { done: Vec::new(), changes: Vec::new(), objects: Vec::new() };
        let mut own: HashMap<&str, Option<Oid>> = HashMap::new();
        for write in batch {
            let path = write.path.as_str();
            let there =
                own.get(path).copied().unwrap_or_else(|| state.find(path).map(|entry| entry.oid));
            let done = match (&write.put, there) {
                // An earlier try of this very push, whose answer was lost.
                (Some((object, _)), Some(oid)) if maybe_done && oid == object.oid => Done::Changed,
                (Some((_, true)), Some(_)) => Done::Exists,
                (Some((object, _)), _) => {
                    let change = Change::Put(object.oid, object.len() as u64, seconds);
                    plan.changes.push((write.path.clone(), change));
                    plan.objects.push(object.clone());
                    own.insert(path, Some(object.oid));
                    Done::Changed
                }
                (None, Some(_)) => {
                    plan.changes.push((write.path.clone(), Change::Delete));
                    own.insert(path, None);
                    Done::Changed
                }
                (None, None) if maybe_done => Done::Changed,
                (None, None) => Done::Missing,
            };
            plan.done.push(done);
        }
        plan
    }
}
