//! How far a run is: figures from its counters, and the thread that shows them.
//!
//! Nothing is shown during the first second. On a terminal one line is then rewritten five times
//! a second; with `--json` a `status` line is printed once a second, terminal or not. The rate is
//! that of the last ten seconds, so that it and the time to go follow what happens now.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender};

use super::figures;
use super::json::Status;
use super::render::Screen;
use crate::event::Counters;
use crate::time::{Clock, SECOND};

const FIRST: Duration = Duration::from_secs(1);
const WINDOW: i64 = 10 * SECOND;

/// Turns counters into figures over time.
#[derive(Debug)]
pub(super) struct Meter {
    start: i64,
    /// What is being done, if it is no run of its own.
    task: Option<&'static str>,
    /// Bytes done at moments of the last ten seconds, oldest first.
    recent: VecDeque<(i64, u64)>,
}

/// What the progress line says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Figures {
    pub(super) status: Status,
    pub(super) bytes_per_second: u64,
    pub(super) total_known: bool,
    pub(super) stopping: bool,
    pub(super) task: Option<&'static str>,
}

impl Meter {
    /// Starts at `now`, in nanoseconds of the boot clock.
    pub(super) fn new(now: i64) -> Self {
        Meter { start: now, task: None, recent: VecDeque::from([(now, 0)]) }
    }

    /// Returns the figures at `now`.
    pub(super) fn measure(&mut self, now: i64, counters: &Counters) -> Figures {
        let mut status = Status::of(counters);
        status.seconds_elapsed =
            u64::try_from(now.saturating_sub(self.start) / SECOND).unwrap_or(0);
        self.recent.push_back((now, status.bytes_done));
        while self.recent.len() > 2
            && self.recent.front().is_some_and(|(at, _)| now.saturating_sub(*at) > WINDOW)
        {
            self.recent.pop_front();
        }
        let bytes_per_second = self.rate();
        let total_known = counters.total_known.load(std::sync::atomic::Ordering::Relaxed);
        if total_known {
            status.percent_done = share(&status);
            let left = status.total_bytes.saturating_sub(status.bytes_done);
            status.seconds_remaining = left.checked_div(bytes_per_second);
        }
        let stopping = counters.stop.load(std::sync::atomic::Ordering::Relaxed);
        Figures { status, bytes_per_second, total_known, stopping, task: self.task }
    }

    fn rate(&self) -> u64 {
        let (Some((from, before)), Some((to, after))) = (self.recent.front(), self.recent.back())
        else {
            return 0;
        };
        let bytes = u128::from(after.saturating_sub(*before));
        let nanoseconds = u128::try_from(to.saturating_sub(*from)).unwrap_or(0);
        let second = u128::from(SECOND.unsigned_abs());
        let rate = (bytes.saturating_mul(second)).checked_div(nanoseconds).unwrap_or(0);
        u64::try_from(rate).unwrap_or(u64::MAX)
    }
}

/// Returns the share that is done, of bytes; of items where there are no bytes.
#[expect(clippy::cast_precision_loss, reason = "a share for people to look at")]
fn share(status: &Status) -> f64 {
    let (done, total) = match status.total_bytes {
        0 => (status.files_done, status.total_files),
        bytes => (status.bytes_done, bytes),
    };
    if total == 0 { 1.0 } else { (done as f64 / total as f64).min(1.0) }
}

impl Figures {
    /// Returns the line for a terminal.
    pub(super) fn line(&self) -> String {
        let status = &self.status;
        let mut parts = vec![figures::clock(Duration::from_secs(status.seconds_elapsed))];
        if let Some(task) = self.task {
            parts
                .push(format!("{task}: looked at {}", figures::counted(status.files_done, "item")));
            return parts.join("  ");
        }
        if self.total_known {
            parts.push(format!("{:.1} %", status.percent_done * 100.0));
        }
        let (files, bytes) = (figures::count(status.files_done), figures::size(status.bytes_done));
        let (all_files, all_bytes) =
            (figures::count(status.total_files), figures::size(status.total_bytes));
        if self.total_known {
            parts.push(format!("{files} of {all_files} files"));
            parts.push(format!("{bytes} of {all_bytes}"));
        } else if status.total_files > status.files_done {
            parts.push(format!("{files} of {all_files}+ files"));
            parts.push(format!("{bytes} of {all_bytes}+"));
        } else {
            parts.push(format!("{files} files"));
            parts.push(bytes);
        }
        parts.push(format!("{}/s", figures::size(self.bytes_per_second)));
        if let Some(seconds) = status.seconds_remaining {
            parts.push(format!("{} to go", figures::clock(Duration::from_secs(seconds))));
        }
        if status.error_count > 0 {
            parts.push(figures::counted(status.error_count, "error"));
        }
        if self.stopping {
            parts.push("stopping; once more ends at once".to_owned());
        }
        parts.join("  ")
    }
}

/// The thread that shows how far a run is; ends when dropped, and takes its line away.
#[derive(Debug)]
pub struct Progress {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    /// Starts the thread; does nothing where there is nobody to show it to.
    pub(super) fn start(
        screen: &Arc<Screen>,
        task: Option<&'static str>,
        counters: Arc<Counters>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let is_status = task.is_none() || !screen.is_json();
        let Some(every) = screen.progress_interval().filter(|_| is_status) else {
            return Progress { stop: None, thread: None };
        };
        counters.is_watched.store(true, std::sync::atomic::Ordering::Relaxed);
        let (stop, stopped) = crossbeam_channel::bounded::<()>(0);
        let screen = Arc::clone(screen);
        let show = move || {
            let mut meter = Meter { task, ..Meter::new(clock.boot_nanoseconds()) };
            let mut wait = FIRST;
            while stopped.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                screen.show_progress(&meter.measure(clock.boot_nanoseconds(), &counters));
                wait = every;
            }
            screen.end_progress();
        };
        // Without a thread there is no progress to see, which stops nobody's backup.
        let thread = std::thread::Builder::new().name("progress".to_owned()).spawn(show).ok();
        Progress { stop: Some(stop), thread }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic there was shown by its hook already.
            drop(thread.join());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering;

    fn counters() -> Counters {
        let counters = Counters::default();
        Counters::add(&counters.total_items, 4000);
        Counters::add(&counters.total_bytes, 100 << 20);
        Counters::add(&counters.done_items, 1000);
        counters
    }

    #[test]
    fn the_line_shows_rate_and_time_to_go_once_the_total_is_known() {
        let counters = counters();
        let mut meter = Meter::new(0);
        Counters::add(&counters.done_bytes, 20 << 20);
        assert_eq!(
            meter.measure(2 * SECOND, &counters).line(),
            "0:02  1,000 of 4,000+ files  20.0 MiB of 100.0 MiB+  10.0 MiB/s"
        );
        counters.total_known.store(true, Ordering::Relaxed);
        Counters::add(&counters.failed_items, 1);
        assert_eq!(
            meter.measure(2 * SECOND, &counters).line(),
            "0:02  20.0 %  1,000 of 4,000 files  20.0 MiB of 100.0 MiB  10.0 MiB/s  0:08 to go  \
             1 error"
        );
    }

    #[test]
    fn what_is_no_run_of_its_own_says_what_it_is() {
        let mut meter = Meter { task: Some("cleaning up"), ..Meter::new(0) };
        let line = meter.measure(2 * SECOND, &counters()).line();
        assert_eq!(line, "0:02  cleaning up: looked at 1,000 items");
    }

    #[test]
    fn the_rate_is_that_of_the_last_ten_seconds() {
        let counters = counters();
        let mut meter = Meter::new(0);
        Counters::add(&counters.done_bytes, 50 << 20);
        for second in 1..=30 {
            meter.measure(second * SECOND, &counters);
        }
        Counters::add(&counters.done_bytes, 10 << 20);
        let figures = meter.measure(31 * SECOND, &counters);
        assert_eq!(figures.bytes_per_second, 1 << 20);
    }

    #[test]
    fn odd_counters_give_odd_figures_and_no_panic() {
        let mut meter = Meter::new(0);
        let counters = Counters::default();
        counters.total_known.store(true, Ordering::Relaxed);
        let figures = meter.measure(-SECOND, &counters);
        assert!((figures.status.percent_done - 1.0).abs() < f64::EPSILON);
        Counters::add(&counters.done_bytes, u64::MAX);
        Counters::add(&counters.total_bytes, 1);
        let figures = meter.measure(1, &counters);
        assert!((figures.status.percent_done - 1.0).abs() < f64::EPSILON);
    }
}
