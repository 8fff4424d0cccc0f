//! When each job last succeeded.

use std::time::Duration;

use jiff::tz::TimeZone;

use super::{Answer, named};
use crate::machine::{JobHealth, show_moment};

/// Asks whether a job is overdue.
pub fn last_success(jobs: &[JobHealth], zone: &TimeZone) -> Answer {
    const NAME: &str = "last success";
    let text = |job: &JobHealth| match job.last_success {
        Some(time) => format!("{}: {}", job.job, show_moment(time, zone)),
        None => format!("{}: never", job.job),
    };
    let failed: Vec<String> = jobs
        .iter()
        .filter_map(|job| Some(format!("{}: {}", job.job, job.failure.as_ref()?)))
        .collect();
    let overdue: Vec<String> = jobs
        .iter()
        .filter(|job| job.is_overdue)
        .map(|job| format!("{} (overdue after {})", text(job), hours(job.overdue_after)))
        .collect();
    if overdue.is_empty() && !failed.is_empty() {
        return Answer::note(NAME, format!("the newest run failed: {}", named(&failed)))
            .remedy("`stash backup` runs it again");
    }
    if overdue.is_empty() {
        return Answer::ok(NAME, named(&jobs.iter().map(text).collect::<Vec<_>>()));
    }
    let why = match failed.first() {
        Some(first) => format!("; the newest run failed: {first}"),
        None => String::new(),
    };
    Answer::problem(NAME, format!("{}{why}", named(&overdue)))
        .remedy("`stash backup` runs it now and tells why it fails")
}

/// Returns a length of time in hours, or in minutes if it is short.
fn hours(length: Duration) -> String {
    match length.as_secs() {
        0..7200 => format!("{} min", length.as_secs() / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}
