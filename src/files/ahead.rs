//! Work done ahead of the one who will want it.
//!
//! A [`Pool`] has a few threads and a short list of tasks, the most urgent first. Whoever submits
//! a task gets an [`Ahead`], and takes the result from it: at once if it is done, by running the
//! task itself if nobody has begun; and while a thread is at it, the taker runs other tasks rather
//! than wait. So a task never waits for a free thread, nothing can deadlock, a pool without threads
//! gives the same results, and one thread with its taker keeps two cores busy.
//!
//! Memory: every result has a weight (the walk counts directory entries). While the results that
//! nobody has taken weigh more than [`AHEAD_LIMIT`], threads start nothing new; at most one result
//! per thread goes beyond. Dropping an `Ahead` drops its task or its result; dropping the pool
//! ends its threads after the task each is at. A task that panics gives [`Panicked`] to its taker.
//!
//! Locks: the list and each slot have one each; no thread holds two, and none during a task.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// What untaken results may weigh together before threads pause.
const AHEAD_LIMIT: usize = 32 << 10;

/// When a task is wanted: deeper ones first, then those with the lower place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Urgency {
    /// Compared first; the greater the sooner.
    pub(super) depth: usize,
    /// Compared next; the smaller the sooner.
    pub(super) place: std::cmp::Reverse<usize>,
}

/// A task's thread panicked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Panicked;

/// Threads that run tasks in the order in which their results will be wanted.
#[derive(Debug)]
pub(super) struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    list: Mutex<List>,
    work: Condvar,
}

#[derive(Default)]
struct List {
    /// The most urgent is the last.
    tasks: Vec<(Urgency, Arc<dyn Task>)>,
    untaken_weight: usize,
    stopped: bool,
}

impl std::fmt::Debug for List {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("List").field("tasks", &self.tasks.len()).finish_non_exhaustive()
    }
}

trait Task: Send + Sync {
    /// Runs the task, unless its taker did so or nobody wants it any more.
    fn run(&self, shared: &Shared);
}

type Job<T> = Box<dyn FnOnce() -> (T, usize) + Send>;

enum State<T> {
    Waiting(Job<T>),
    Running,
    Done(Result<T, Panicked>, usize),
    Gone,
}

struct Slot<T> {
    state: Mutex<State<T>>,
    done: Condvar,
}

/// A result that is wanted later.
pub(super) struct Ahead<T: Send + 'static> {
    slot: Arc<Slot<T>>,
    shared: Arc<Shared>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every section under a lock leaves its value whole, so a panic elsewhere spoils nothing.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    /// Starts `threads` threads; none is allowed, and so is getting fewer than asked for.
    pub(super) fn new(threads: usize) -> Pool {
        let shared = Arc::new(Shared::default());
        let threads = (0..threads)
            .map_while(|_| {
                let shared = Arc::clone(&shared);
                let builder = std::thread::Builder::new().name("walk".into());
                builder.spawn(move || shared.work_through()).ok()
            })
            .collect();
        Pool { shared, threads }
    }

    /// Returns whether submitting is worth it.
    pub(super) fn has_threads(&self) -> bool {
        !self.threads.is_empty()
    }

    /// Takes a task, which returns its result and the result's weight.
    pub(super) fn submit<T: Send + 'static>(
        &self,
        urgency: Urgency,
        job: impl FnOnce() -> (T, usize) + Send + 'static,
    ) -> Ahead<T> {
        let state = Mutex::new(State::Waiting(Box::new(job)));
        let slot = Arc::new(Slot { state, done: Condvar::new() });
        let task: Arc<dyn Task> = Arc::<Slot<T>>::clone(&slot);
        let mut list = lock(&self.shared.list);
        let place = list.tasks.partition_point(|(other, _)| *other < urgency);
        list.tasks.insert(place, (urgency, task));
        drop(list);
        self.shared.work.notify_one();
        Ahead { slot, shared: Arc::clone(&self.shared) }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut list = lock(&self.shared.list);
        list.stopped = true;
        let tasks = std::mem::take(&mut list.tasks);
        drop(list);
        drop(tasks);
        self.shared.work.notify_all();
        for thread in self.threads.drain(..) {
            // Tasks catch their panics; a thread has nothing else to tell.
            drop(thread.join());
        }
    }
}

impl List {
    /// Takes the most urgent task, unless enough lies untaken.
    fn pop(&mut self) -> Option<Arc<dyn Task>> {
        let has_room = self.untaken_weight <= AHEAD_LIMIT;
        if has_room { self.tasks.pop().map(|(_, task)| task) } else { None }
    }
}

impl Shared {
    fn work_through(&self) {
        while let Some(task) = self.next_task() {
            task.run(self);
        }
    }

    fn next_task(&self) -> Option<Arc<dyn Task>> {
        let mut list = lock(&self.list);
        loop {
            if list.stopped {
                return None;
            }
            if let Some(task) = list.pop() {
                return Some(task);
            }
            list = self.work.wait(list).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn add_weight(&self, weight: usize) {
        let mut list = lock(&self.list);
        list.untaken_weight = list.untaken_weight.saturating_add(weight);
    }

    fn remove_weight(&self, weight: usize) {
        let mut list = lock(&self.list);
        let was_full = list.untaken_weight > AHEAD_LIMIT;
        list.untaken_weight = list.untaken_weight.saturating_sub(weight);
        let wake = was_full && list.untaken_weight <= AHEAD_LIMIT;
        drop(list);
        if wake {
            self.work.notify_all();
        }
    }
}

impl<T: Send + 'static> Task for Slot<T> {
    fn run(&self, shared: &Shared) {
        let mut state = lock(&self.state);
        let State::Waiting(job) = std::mem::replace(&mut *state, State::Running) else {
            *state = State::Gone;
            return;
        };
        drop(state);
        let (result, weight) = match catch_unwind(AssertUnwindSafe(job)) {
            Ok((value, weight)) => (Ok(value), weight),
            Err(_) => (Err(Panicked), 0),
        };
        shared.add_weight(weight);
        let mut state = lock(&self.state);
        if matches!(*state, State::Running) {
            *state = State::Done(result, weight);
            drop(state);
            self.done.notify_one();
        } else {
            drop(state);
            shared.remove_weight(weight);
        }
    }
}

impl<T: Send + 'static> Ahead<T> {
    /// Returns the result, working or waiting for it where need be.
    pub(super) fn take(self) -> Result<T, Panicked> {
        let mut state = lock(&self.slot.state);
        loop {
            match std::mem::replace(&mut *state, State::Gone) {
                State::Waiting(job) => {
                    drop(state);
                    self.forget_task();
                    return Ok(job().0);
                }
                State::Running => {
                    *state = State::Running;
                    drop(state);
                    let other = lock(&self.shared.list).pop();
                    let Some(other) = other else { return self.wait() };
                    other.run(&self.shared);
                    state = lock(&self.slot.state);
                }
                State::Done(result, weight) => {
                    drop(state);
                    self.shared.remove_weight(weight);
                    return result;
                }
                State::Gone => return Err(Panicked),
            }
        }
    }

    /// Waits for the thread that is at the task.
    fn wait(&self) -> Result<T, Panicked> {
        let mut state = lock(&self.slot.state);
        while matches!(*state, State::Running) {
            state = self.slot.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let State::Done(result, weight) = std::mem::replace(&mut *state, State::Gone) else {
            return Err(Panicked);
        };
        drop(state);
        self.shared.remove_weight(weight);
        result
    }

    /// Takes the task off the list, so that tasks done by their takers don't pile up there.
    fn forget_task(&self) {
        let slot = Arc::as_ptr(&self.slot).cast::<()>();
        let mut list = lock(&self.shared.list);
        let place = list.tasks.iter().rposition(|(_, task)| Arc::as_ptr(task).cast::<()>() == slot);
        let task = place.map(|place| list.tasks.remove(place));
        drop(list);
        drop(task);
    }
}

impl<T: Send + 'static> Drop for Ahead<T> {
    fn drop(&mut self) {
        let old = std::mem::replace(&mut *lock(&self.slot.state), State::Gone);
        match old {
            State::Waiting(_) => self.forget_task(),
            State::Done(_, weight) => self.shared.remove_weight(weight),
            State::Running | State::Gone => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;

    use super::*;

    fn soon(place: usize) -> Urgency {
        Urgency { depth: 0, place: Reverse(place) }
    }

    #[test]
    fn results_come_with_and_without_threads() {
        for threads in [0, 1, 3] {
            let pool = Pool::new(threads);
            let coming: Vec<_> =
                (0..100).map(|i| pool.submit(soon(i), move || (i * 2, 1))).collect();
            for (i, ahead) in coming.into_iter().enumerate() {
                assert_eq!(ahead.take(), Ok(i * 2));
            }
            assert!(lock(&pool.shared.list).tasks.is_empty());
            assert_eq!(lock(&pool.shared.list).untaken_weight, 0);
        }
    }

    #[test]
    fn heavy_results_pause_the_threads_but_never_the_taker() {
        let pool = Pool::new(2);
        let coming: Vec<_> =
            (0..50).map(|i| pool.submit(soon(i), move || (i, AHEAD_LIMIT))).collect();
        for (i, ahead) in coming.into_iter().enumerate() {
            assert!(lock(&pool.shared.list).untaken_weight <= 4 * AHEAD_LIMIT);
            assert_eq!(ahead.take(), Ok(i));
        }
    }

    #[test]
    fn what_nobody_wants_any_more_is_dropped() {
        let pool = Pool::new(1);
        let coming: Vec<_> = (0..50).map(|i| pool.submit(soon(i), move || (i, 100))).collect();
        drop(coming);
        drop(pool);
    }

    #[test]
    fn a_panic_in_a_thread_reaches_the_taker() {
        let pool = Pool::new(1);
        let (send, receive) = std::sync::mpsc::channel();
        let ahead = pool.submit(soon(0), move || {
            send.send(()).unwrap();
            panic!("on purpose");
            #[expect(unreachable_code, reason = "gives the closure its type")]
            ((), 1)
        });
        receive.recv().unwrap();
        assert_eq!(ahead.take(), Err(Panicked));
        assert_eq!(pool.submit(soon(0), || (7, 1)).take(), Ok(7));
    }
}
