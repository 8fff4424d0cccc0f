//! Questions about this machine's backups, each with verdict, evidence and remedy.
//!
//! A question never fails: what keeps it from being answered is its answer. Nothing is changed by
//! asking, but for what a probe of the store puts there and takes away again. What can be mended
//! safely comes as a [`Fix`], a plan that is told before it is carried out; whatever changes a file
//! of an agent wants consent of its own.
//!
//! | file | asks |
//! |---|---|
//! | `agents` | which agents are here, moved, gone, or keep what nobody understands |
//! | `cron` | (when a line of a crontab runs next) |
//! | `databases` | whether the agents' databases are sound |
//! | `fix` | how the mending is done |
//! | `folders` | this machine's own folders, what was left in them, and room on their disks |
//! | `keys` | what opens the repository, and whether it does so with nobody there |
//! | `purge` | what agents will delete soon, and whether it is saved |
//! | `runs` | when each job last succeeded |
//! | `schedule` | whether something runs the backups |
//! | `settings` | the configuration |
//! | `store` | the repository's store: what it can do, its clock, who uses it |
//! | `targets` | whether a second disk holds what the first one does |

mod agents;
mod cron;
mod databases;
mod fix;
mod folders;
mod keys;
mod purge;
mod runs;
mod schedule;
mod settings;
mod store;
mod targets;

use serde::Serialize;

pub use agents::{found_agents, gone_agents, layouts, moved_agents};
pub use cron::next_run;
pub use databases::{check_databases, find_databases, remembered_databases};
pub use fix::{Fix, FixStep};
pub use folders::{free_space, leftovers, own_folders};
pub use keys::{device_key, opened_unattended, recovery_code, unattended_command};
pub use purge::{PurgeForecast, forecast, purge_clocks, purge_days};
pub use runs::last_success;
pub use schedule::{ScheduleFound, cron_line, find_schedule, schedule};
pub use settings::configuration;
pub use store::{clocks, format_version, locks, probe};
pub use targets::same_disk;

use crate::error::Error;

/// How a question is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// All is well.
    Ok,
    /// It could not be asked; the evidence says why.
    Skipped,
    /// Worth knowing.
    Note,
    /// Backups run, and something that they are for is in danger.
    Problem,
    /// Backups or restores do not work.
    Broken,
}

impl Verdict {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Ok => "ok",
            Verdict::Skipped => "skipped",
            Verdict::Note => "note",
            Verdict::Problem => "problem",
            Verdict::Broken => "broken",
        }
    }
}

/// The answer to one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The question, in a few words; the same from run to run.
    pub name: &'static str,
    /// How it stands.
    pub verdict: Verdict,
    /// What was seen.
    pub evidence: String,
    /// What to do, if something is to be done.
    pub remedy: Option<String>,
    /// What `--fix` would do.
    pub fix: Option<Fix>,
}

impl Answer {
    fn new(name: &'static str, verdict: Verdict, evidence: impl Into<String>) -> Answer {
        Answer { name, verdict, evidence: evidence.into(), remedy: None, fix: None }
    }

    /// All is well.
    pub fn ok(name: &'static str, evidence: impl Into<String>) -> Answer {
        Answer::new(name, Verdict::Ok, evidence)
    }

    /// It can't be asked.
    pub fn skipped(name: &'static str, reason: impl Into<String>) -> Answer {
        Answer::new(name, Verdict::Skipped, reason)
    }

    /// Worth knowing.
    pub fn note(name: &'static str, evidence: impl Into<String>) -> Answer {
        Answer::new(name, Verdict::Note, evidence)
    }

    /// Something is in danger.
    pub fn problem(name: &'static str, evidence: impl Into<String>) -> Answer {
        Answer::new(name, Verdict::Problem, evidence)
    }

    /// Something does not work.
    pub fn broken(name: &'static str, evidence: impl Into<String>) -> Answer {
        Answer::new(name, Verdict::Broken, evidence)
    }

    /// Something does not work, for this reason; its hint is the remedy.
    pub fn broken_by(name: &'static str, error: &Error) -> Answer {
        let answer = Answer::broken(name, error.to_string());
        match error.hint_text() {
            Some(hint) => answer.remedy(hint),
            None => answer,
        }
    }

    /// Says what to do.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Answer {
        self.remedy = Some(remedy.into());
        self
    }

    /// Says what `--fix` would do.
    #[must_use]
    pub fn fix(mut self, fix: Fix) -> Answer {
        self.fix = Some(fix);
        self
    }
}

/// Returns a count and its noun, which gets an `s` unless there is one of it.
fn counted(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

fn size(bytes: u64) -> String {
    bytesize::ByteSize(bytes).display().iec().to_string()
}

/// So many items of a list are named.
const NAMED: usize = 3;

/// Names the first items of a list, and how many there are beside them.
fn named(items: &[String]) -> String {
    let first: Vec<&str> = items.iter().take(NAMED).map(String::as_str).collect();
    match items.len().saturating_sub(NAMED) {
        0 => first.join("; "),
        more => format!("{}; and {more} more", first.join("; ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_are_cut_and_say_so() {
        let items: Vec<String> = ["a", "b", "c", "d", "e"].map(str::to_owned).into();
        assert_eq!(named(&items[..3]), "a; b; c");
        assert_eq!(named(&items), "a; b; c; and 2 more");
    }

    #[test]
    fn the_worst_verdict_is_the_greatest() {
        let worst = [Verdict::Note, Verdict::Broken, Verdict::Skipped, Verdict::Problem];
        assert_eq!(worst.iter().max(), Some(&Verdict::Broken));
        let error = Error::failed("cannot open").hint("turn it on");
        let answer = Answer::broken_by("x", &error);
        assert_eq!(
            (answer.evidence.as_str(), answer.remedy.as_deref()),
            ("cannot open", Some("turn it on"))
        );
    }
}
