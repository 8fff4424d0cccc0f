//! When each job last succeeded, and whether it is overdue.

use std::time::Duration;

use jiff::SpanRelativeTo;
use jiff::fmt::friendly::SpanParser;

use super::config::{Config, JobEntry};
use super::runs::RunHistory;
use crate::format::record::SNAPSHOT_SAFETY;
use crate::repository::cache::SnapshotEntry;
use crate::time::Timestamp;

/// Without a schedule a job is overdue after this.
const UNSCHEDULED: Duration = Duration::from_hours(48);
/// With one, after twice its interval and this.
const SLACK: Duration = Duration::from_hours(1);

/// How a job stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobHealth {
    /// Its name, as in its snapshots.
    pub job: String,
    /// When it last succeeded; `None`: never.
    pub last_success: Option<Timestamp>,
    /// Why its newest run failed, if it did.
    pub failure: Option<String>,
    /// When it is to run, as the configuration says.
    pub schedule: Option<String>,
    /// After how long without a success it is overdue.
    pub overdue_after: Duration,
    /// Whether it is.
    pub is_overdue: bool,
}

/// Returns how the jobs of this machine stand: those of the configuration, else that of its agents,
/// else whatever was saved last. A run that found nothing changed is a success that only `runs` knows
/// of; a snapshot may be older than what is remembered of runs.
pub fn job_health(
    config: &Config,
    runs: &RunHistory,
    entries: &[SnapshotEntry],
    host: &str,
    now: Timestamp,
) -> Vec<JobHealth> {
    let newest = |job: Option<&str>| {
        let counts = |entry: &&SnapshotEntry| {
            let snapshot = &entry.snapshot;
            snapshot.host == host
                && snapshot.flags & SNAPSHOT_SAFETY == 0
                && job.is_none_or(|job| snapshot.job == job)
                && snapshot.written <= now.0
        };
        entries.iter().filter(counts).max_by_key(|entry| entry.snapshot.written)
    };
    let of_job = |job: &JobEntry| {
        let written = newest(Some(&job.name)).map(|entry| entry.snapshot.written);
        let ended = runs.last_success(&job.name).map(|run| run.ended).filter(|end| *end <= now.0);
        let last = written.into_iter().chain(ended).max().map(Timestamp);
        let newest_run = runs.last_of(&job.name).filter(|run| !run.result.is_success());
        let failure = newest_run
            .map(|run| run.error.clone().unwrap_or_else(|| format!("exit code {}", run.exit_code)));
        JobHealth { failure, ..judge(job, last, now) }
    };
    if !config.jobs.is_empty() {
        return config.jobs.iter().map(of_job).collect();
    }
    let has_agents = newest(Some(AGENTS)).is_some() || runs.last_success(AGENTS).is_some();
    let other = newest(None).filter(|_| !has_agents);
    let name = other.map_or_else(|| AGENTS.to_owned(), |entry| entry.snapshot.job.clone());
    vec![of_job(&JobEntry { name, ..JobEntry::default() })]
}

/// The job of all agents, where no configuration names another.
const AGENTS: &str = "agents";

fn judge(job: &JobEntry, last_success: Option<Timestamp>, now: Timestamp) -> JobHealth {
    let schedule = job.schedule.as_ref().map(|it| it.value.clone());
    let interval = schedule.as_deref().and_then(interval_of);
    let usual = interval.map_or(UNSCHEDULED, |it| it.saturating_mul(2).saturating_add(SLACK));
    let overdue_after = job.overdue_after.as_ref().map_or(usual, |it| it.value);
    let age = last_success.map(|then| now.0.saturating_sub(then.0));
    let is_overdue = age.is_none_or(|age| {
        u64::try_from(age).is_ok_and(|age| u128::from(age) > overdue_after.as_nanos())
    });
    let (job, failure) = (job.name.clone(), None);
    JobHealth { job, last_success, failure, schedule, overdue_after, is_overdue }
}

/// Returns the longest time between two runs of a schedule, as far as its words tell.
fn interval_of(schedule: &str) -> Option<Duration> {
    let hours = |count: u64| Duration::from_hours(count);
    let text = schedule.trim().to_ascii_lowercase();
    match text.trim_start_matches('@') {
        "hourly" => return Some(hours(1)),
        "daily" | "nightly" => return Some(hours(24)),
        "weekly" => return Some(hours(24 * 7)),
        "monthly" => return Some(hours(24 * 31)),
        _ => {}
    }
    let fields: Vec<&str> = text.split_whitespace().collect();
    if let [minute, hour, day, month, weekday] = fields.as_slice() {
        return cron_interval(minute, hour, day, month, weekday);
    }
    let span = SpanParser::new().parse_span(text.strip_prefix("every ").unwrap_or(&text)).ok()?;
    let length = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    Duration::try_from(length).ok().filter(|it| !it.is_zero())
}

/// The longest pause of a cron expression, rounded up to the unit in which it rests.
fn cron_interval(
    minute: &str,
    hour: &str,
    day: &str,
    month: &str,
    weekday: &str,
) -> Option<Duration> {
    let is_cron = [minute, hour, day, month, weekday].iter().all(|field| {
        field.chars().all(|letter| letter.is_ascii_alphanumeric() || "*/,-?".contains(letter))
    });
    let step = |field: &str| field.strip_prefix("*/").and_then(|count| count.parse::<u64>().ok());
    let hours = if month != "*" {
        24 * 366
    } else if day != "*" && day != "?" {
        24 * 31
    } else if weekday != "*" && weekday != "?" {
        24 * 7
    } else if hour == "*" {
        match (minute, step(minute)) {
            ("*", _) => return is_cron.then_some(Duration::from_mins(1)),
            (_, Some(minutes)) => return is_cron.then_some(Duration::from_mins(minutes)),
            _ => 1,
        }
    } else {
        step(hour).unwrap_or(24)
    };
    is_cron.then(|| Duration::from_hours(hours))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::time::SECOND;

    #[test]
    fn a_schedules_words_tell_how_long_it_rests() {
        let hours = |count| Some(Duration::from_hours(count));
        for (text, interval) in [
            ("hourly", hours(1)),
            ("Daily", hours(24)),
            ("weekly", hours(168)),
            ("every 6h", hours(6)),
            ("90m", Some(Duration::from_mins(90))),
            ("17 * * * *", hours(1)),
            ("*/15 * * * *", Some(Duration::from_mins(15))),
            ("0 */4 * * *", hours(4)),
            ("0 3 * * *", hours(24)),
            ("0 3 * * mon", hours(168)),
            ("0 3 1 * *", hours(744)),
            ("whenever", None),
        ] {
            assert_eq!(interval_of(text), interval, "{text}");
        }
    }

    #[test]
    fn a_job_is_overdue_after_twice_its_interval_and_an_hour() {
        let path = Path::new("config.toml");
        let config = |text: &str| Config::parse(path, text).unwrap();
        let hour = 3600 * SECOND;
        let stands = |text: &str, hours: i64| {
            let config = config(text);
            let job = config.jobs.first().cloned().unwrap_or_default();
            judge(&job, Some(Timestamp(0)), Timestamp(hours * hour)).is_overdue
        };
        assert!(
            !stands("[jobs.a]\nschedule = \"daily\"", 49)
                && stands("[jobs.a]\nschedule = \"daily\"", 50)
        );
        assert!(!stands("[jobs.a]", 48) && stands("[jobs.a]", 49));
        assert!(stands("[jobs.a]\noverdue_after = \"2h\"", 3));
        assert!(judge(&JobEntry::default(), None, Timestamp(0)).is_overdue, "never saved");
        let none =
            job_health(&Config::default(), &RunHistory::default(), &[], "host", Timestamp(0));
        assert_eq!(none.first().map(|it| it.job.as_str()), Some("agents"));
    }
}
