//! Two threads that alone talk to the remote: one reads, one pushes. Whoever wants something puts
//! it into a queue and waits; what waits together is served together, so a hundred deletes are one
//! push and sixteen reads one fetch.
//!
//! The lock on the state is held for no longer than it takes to copy a pointer.

mod pushing;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender};
use tokio::sync::oneshot;

use super::failure::{GitFailure, Outcome};
use super::mirror::Mirror;
use super::object::{Kind, NewObject, Oid};
use super::received::{Content, Received};
use super::state::{Loader, State};
use super::{Backend, GitOptions};
use crate::event::{Event, Reporter};
use crate::store::ObjectName;
use crate::time::{Clock, SECOND};

/// What one push or one fetch carries at most, in bytes, unless a single object is longer.
const TOGETHER: u64 = 64 << 20;
/// What is kept on disk of blobs that were read, in bytes.
const KEPT: u64 = 512 << 20;
/// Waits before what fails in passing is tried again, in milliseconds.
const WAITS: [u64; 3] = [300, 1000, 3000];
/// How many rounds reading the trees may take: one for each level, and some.
const ROUNDS: u32 = 48;

type Reply<T> = oneshot::Sender<Outcome<T>>;

/// The branch as it was just now.
#[derive(Clone)]
pub(super) struct Seen {
    pub(super) state: Arc<State>,
    /// What time a put would get, in nanoseconds.
    pub(super) now: i64,
}

/// What came of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Done {
    Changed,
    /// Something lies there already, and it was to be made only if nothing does.
    Exists,
    /// Nothing of the name is there.
    Missing,
}

enum Read {
    Refresh(Reply<Seen>),
    Blob(Oid, u64, Reply<Option<Content>>),
}

struct Write {
    path: String,
    /// What to put there, and whether only if nothing is; nothing to delete.
    put: Option<(NewObject, bool)>,
    reply: Reply<Done>,
}

/// The doors of the two threads.
pub(super) struct Keeper {
    reads: Sender<Read>,
    writes: Sender<Write>,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<Arc<State>>,
    mirror: Mirror,
    clock: Arc<dyn Clock>,
    reporter: Arc<dyn Reporter>,
}

impl Keeper {
    /// Starts the threads.
    pub(super) fn start(
        backends: [Box<dyn Backend>; 2],
        mirror: Mirror,
        options: &GitOptions,
    ) -> Keeper {
        let shared = Arc::new(Shared {
            state: Mutex::new(Arc::new(mirror.read().unwrap_or_default())),
            mirror,
            clock: Arc::clone(&options.clock),
            reporter: Arc::clone(&options.remote.reporter),
        });
        let (reads, to_read) = crossbeam_channel::unbounded();
        let (writes, to_write) = crossbeam_channel::unbounded();
        let [reader, writer] = backends;
        let worker = |backend| Worker { backend, shared: Arc::clone(&shared), has_looked: false };
        let (reader, writer) = (worker(reader), worker(writer));
        std::thread::spawn(move || reader.read_all(&to_read));
        std::thread::spawn(move || writer.write_all(&to_write));
        Keeper { reads, writes, shared }
    }

    /// Returns the state that was seen last, without asking.
    pub(super) fn known(&self) -> Arc<State> {
        self.shared.state()
    }

    /// Asks for the branch as it is now.
    pub(super) async fn refresh(&self) -> Outcome<Seen> {
        let (reply, answer) = oneshot::channel();
        self.ask(Read::Refresh(reply), answer).await
    }

    /// Fetches a blob; `None` if the remote has it no more.
    pub(super) async fn blob(&self, oid: Oid, length: u64) -> Outcome<Option<Content>> {
        let (reply, answer) = oneshot::channel();
        self.ask(Read::Blob(oid, length, reply), answer).await
    }

    async fn ask<T>(&self, read: Read, answer: oneshot::Receiver<Outcome<T>>) -> Outcome<T> {
        self.reads.send(read).map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }

    /// Puts a file, durably; with `create`, only if nothing of the name is there.
    pub(super) async fn put(&self, path: String, parts: Vec<Bytes>, create: bool) -> Outcome<Done> {
        self.change(path, Some((NewObject::new(Kind::Blob, parts), create))).await
    }

    /// Deletes a file.
    pub(super) async fn delete(&self, path: String) -> Outcome<Done> {
        self.change(path, None).await
    }

    async fn change(&self, path: String, put: Option<(NewObject, bool)>) -> Outcome<Done> {
        let (reply, answer) = oneshot::channel();
        self.writes.send(Write { path, put, reply }).map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }
}

fn ended() -> GitFailure {
    GitFailure::lasting("the thread that talks to git has ended", "run the command again")
}

impl Shared {
    fn state(&self) -> Arc<State> {
        Arc::clone(&self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn set(&self, state: &Arc<State>) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(state);
        self.mirror.keep(state);
    }
}

struct Worker {
    backend: Box<dyn Backend>,
    shared: Arc<Shared>,
    /// Whether the remote was asked at all.
    has_looked: bool,
}

impl Worker {
    /// Returns what time a put gets on top of a state, in nanoseconds.
    fn now(&self, state: &State) -> i64 {
        let own = self.shared.clock.now().0;
        let now = own.saturating_add(self.backend.clock_ahead().unwrap_or_default());
        now.max(state.newest.saturating_mul(SECOND))
    }

    /// Does something again that fails in passing.
    fn patiently<T>(&mut self, mut what: impl FnMut(&mut Self) -> Outcome<T>) -> Outcome<T> {
        for (wait, number) in WAITS.into_iter().zip(2_u32..) {
            match what(self) {
                Err(failure) if failure.passes => self.tell(&failure, number),
                result => return result,
            }
            std::thread::sleep(Duration::from_millis(wait));
        }
        what(self)
    }

    fn tell(&self, failure: &GitFailure, number: u32) {
        let message = format!("{failure}; trying again ({number})");
        self.shared.reporter.event(&Event::Warning { message: &message });
    }

    fn refresh(&mut self) -> Outcome<Arc<State>> {
        let tip = self.patiently(|it| it.backend.tip())?;
        let old = self.shared.state();
        if tip.commit == old.commit {
            return Ok(old);
        }
        let state = match tip.commit {
            None => Arc::default(),
            Some(commit) => Arc::new(self.patiently(|it| it.load(commit, &old))?),
        };
        self.shared.set(&state);
        Ok(state)
    }

    fn load(&mut self, commit: Oid, old: &State) -> Outcome<State> {
        let mut received = Received::new(self.shared.mirror.folder());
        received.ask(&[commit]);
        self.backend.trees(commit, old, &mut received)?;
        for _ in 0..ROUNDS {
            let find = |oid: &Oid, kind| received.bytes(oid, kind);
            let mut loader = Loader::new(old, &find);
            match loader.load(commit) {
                Some(mut state) => {
                    self.measure(&mut state)?;
                    return Ok(state);
                }
                None if loader.missing.is_empty() => {
                    return Err(GitFailure::lasting(
                        "the branch holds something that stash can't read",
                        "give stash a branch, or a repository, of its own",
                    ));
                }
                None => {
                    let missing = loader.missing;
                    received.ask(&missing);
                    self.backend.fetch(&missing, &mut received)?;
                    if missing.iter().all(|oid| received.get(oid).is_none()) {
                        break;
                    }
                }
            }
        }
        Err(GitFailure::passing(
            "the branch changed while it was read, or objects are missing in it",
        ))
    }

    /// Finds out how long objects are that others put there without saying so. They count as new.
    fn measure(&mut self, state: &mut State) -> Outcome<()> {
        let is_object = |path: &String| ObjectName::parse(path).is_some();
        let unknown = state.files("").filter(|(_, entry)| entry.known.is_none() && entry.is_file());
        let unknown: Vec<(String, Oid)> = unknown
            .map(|(path, entry)| (path, entry.oid))
            .filter(|(path, _)| is_object(path))
            .collect();
        let time = self.now(state) / SECOND + 1;
        for some in unknown.chunks(4) {
            let mut received = Received::new(self.shared.mirror.folder());
            let wanted: Vec<Oid> = some.iter().map(|(_, oid)| *oid).collect();
            received.ask(&wanted);
            self.backend.fetch(&wanted, &mut received)?;
            for (path, oid) in some {
                if let Some((_, content)) = received.get(oid) {
                    state.learn(path, content.len(), time);
                }
            }
        }
        Ok(())
    }
}

impl Worker {
    fn read_all(mut self, requests: &Receiver<Read>) {
        let mut blobs = Blobs::default();
        while let Ok(first) = requests.recv() {
            let mut refreshes = Vec::new();
            let mut wanted: Vec<(Oid, u64, Reply<Option<Content>>)> = Vec::new();
            for request in std::iter::once(first).chain(requests.try_iter()) {
                match request {
                    Read::Refresh(reply) => refreshes.push(reply),
                    Read::Blob(oid, length, reply) => wanted.push((oid, length, reply)),
                }
            }
            if !refreshes.is_empty() {
                let seen = self.refresh().map(|state| Seen { now: self.now(&state), state });
                for reply in refreshes {
                    let _gone = reply.send(seen.clone());
                }
            }
            self.serve(&mut blobs, wanted);
        }
    }

    fn serve(&mut self, blobs: &mut Blobs, wanted: Vec<(Oid, u64, Reply<Option<Content>>)>) {
        let mut waiting = wanted.into_iter().peekable();
        while waiting.peek().is_some() {
            let (mut group, mut bytes, mut missing) = (Vec::new(), 0_u64, HashSet::new());
            while let Some((oid, length, reply)) =
                waiting.next_if(|next| group.is_empty() || bytes.saturating_add(next.1) <= TOGETHER)
            {
                if blobs.find(&oid).is_none() && missing.insert(oid) {
                    bytes = bytes.saturating_add(length);
                }
                group.push((oid, reply));
            }
            let missing: Vec<Oid> = missing.into_iter().collect();
            let fetched = self.patiently(|it| {
                let mut received = Received::new(it.shared.mirror.folder());
                received.ask(&missing);
                if !missing.is_empty() {
                    it.backend.fetch(&missing, &mut received)?;
                }
                Ok(received)
            });
            for (oid, reply) in group {
                let content = fetched.as_ref().map_err(Clone::clone).map(|received| {
                    let come = received.get(&oid).map(|(_, content)| content.clone());
                    blobs.find(&oid).or(come)
                });
                if let Ok(Some(content)) = &content {
                    blobs.keep(oid, content);
                }
                let _gone = reply.send(content);
            }
        }
    }
}

/// Blobs that were read lately. What came together lies in one file, whose room is free when the last
/// of it goes: so it goes together.
#[derive(Default)]
struct Blobs {
    kept: HashMap<Oid, (Content, u64)>,
    bytes: u64,
    uses: u64,
}

impl Blobs {
    fn find(&mut self, oid: &Oid) -> Option<Content> {
        self.uses += 1;
        let (content, used) = self.kept.get_mut(oid)?;
        *used = self.uses;
        Some(content.clone())
    }

    fn keep(&mut self, oid: Oid, content: &Content) {
        // What is small is kept above this room, as far as it is worth it.
        if matches!(content, Content::Memory(_)) || self.kept.contains_key(&oid) {
            return;
        }
        while self.bytes.saturating_add(content.len()) > KEPT {
            let oldest = self.kept.values().min_by_key(|(_, used)| *used);
            let Some((oldest, _)) = oldest.cloned() else { break };
            let mut freed = 0;
            self.kept.retain(|_, (other, _)| {
                let goes = other.shares_file(&oldest);
                freed += if goes { other.len() } else { 0 };
                !goes
            });
            self.bytes = self.bytes.saturating_sub(freed);
        }
        self.bytes = self.bytes.saturating_add(content.len());
        self.kept.insert(oid, (content.clone(), self.uses));
    }
}
