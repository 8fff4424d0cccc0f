//! Whether something runs the backups.
//!
//! Until stash makes timers of its own, it is looked where people put them: the crontab, units of
//! systemd's user manager, agents of launchd. Nothing is asked of these services, and nothing
//! changed: a unit counts as running if it is enabled, which its links say.
#![expect(clippy::disallowed_methods, reason = "looks at the user's timers")]

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Answer;
use crate::machine::{Environment, JobHealth};

/// Units and crontabs longer than this, in bytes, are none.
const LONGEST: u64 = 1 << 20;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScheduleFound {
    /// Something runs backups.
    Running {
        /// What, in words.
        what: String,
        /// When, as cron writes it, if that is how it is written.
        cron: Option<String>,
    },
    /// Something would, and is not switched on.
    Off {
        /// What, in words.
        what: String,
        /// How to switch it on.
        remedy: String,
    },
    /// Nothing.
    Nothing,
}

/// Looks for something that runs backups.
pub fn find_schedule(environment: &Environment) -> ScheduleFound {
    let mut off = ScheduleFound::Nothing;
    for look in [crontab, systemd, launchd] {
        match look(environment) {
            ScheduleFound::Nothing => {}
            found @ ScheduleFound::Off { .. } => off = found,
            found @ ScheduleFound::Running { .. } => return found,
        }
    }
    off
}

/// Returns whether a line of a script, a unit or a crontab runs a backup of ours.
fn runs_backup(line: &str) -> bool {
    let line = line.trim();
    if line.starts_with(['#', ';']) {
        return false;
    }
    let letters = |letter: char| letter.is_whitespace() || "'\"=;&|()<>".contains(letter);
    let mut words = line.split(letters).filter(|word| !word.is_empty());
    let is_program = |word: &str| Path::new(word).file_name() == Some(OsStr::new("stash"));
    words.any(is_program) && words.any(|word| word == "backup" || word == "daemon")
}

fn crontab(_environment: &Environment) -> ScheduleFound {
    let listed =
        Command::new("crontab").arg("-l").stdin(Stdio::null()).stderr(Stdio::null()).output();
    let Ok(listed) = listed else { return ScheduleFound::Nothing };
    let text = String::from_utf8_lossy(&listed.stdout);
    match text.lines().find(|line| runs_backup(line)) {
        Some(line) => {
            let line = line.trim();
            ScheduleFound::Running { what: format!("the crontab: `{line}`"), cron: cron_of(line) }
        }
        None => ScheduleFound::Nothing,
    }
}

/// Returns when a line of a crontab runs.
fn cron_of(line: &str) -> Option<String> {
    if line.starts_with('@') {
        return line.split_whitespace().next().map(str::to_owned);
    }
    let fields: Vec<&str> = line.split_whitespace().take(5).collect();
    (fields.len() == 5).then(|| fields.join(" "))
}

fn systemd(environment: &Environment) -> ScheduleFound {
    let config = environment
        .absolute_path("XDG_CONFIG_HOME")
        .or_else(|| environment.home().map(|home| home.join(".config")));
    let Some(folder) = config.map(|it| it.join("systemd/user")) else {
        return ScheduleFound::Nothing;
    };
    let mut off = ScheduleFound::Nothing;
    for service in files(&folder, "service") {
        if !text(&service).lines().any(|line| line.contains("Exec") && runs_backup(line)) {
            continue;
        }
        let timer = service.with_extension("timer");
        let unit = if timer.is_file() { &timer } else { &service };
        let name = unit.file_name().unwrap_or_default();
        let shown = name.to_string_lossy();
        // Enabling a unit links it into the folder of what wants it.
        let is_wanted = folders(&folder)
            .iter()
            .filter(|it| it.extension() == Some(OsStr::new("wants")))
            .any(|wants| wants.join(name).symlink_metadata().is_ok());
        if is_wanted {
            return ScheduleFound::Running {
                what: format!("systemd's user unit `{shown}`"),
                cron: None,
            };
        }
        off = ScheduleFound::Off {
            what: format!("systemd's user unit `{shown}` is there, but not enabled"),
            remedy: format!("`systemctl --user enable --now {shown}`"),
        };
    }
    off
}

fn launchd(environment: &Environment) -> ScheduleFound {
    let Some(home) = environment.home() else { return ScheduleFound::Nothing };
    let found = files(&home.join("Library/LaunchAgents"), "plist").into_iter().find(|file| {
        // Each word stands in an element of its own.
        let words = text(file).replace(['<', '>'], " ");
        runs_backup(&words.split_whitespace().collect::<Vec<_>>().join(" "))
    });
    match found {
        Some(file) => ScheduleFound::Running {
            what: format!("launchd's agent `{}`", file.display()),
            cron: None,
        },
        None => ScheduleFound::Nothing,
    }
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension() == Some(OsStr::new(extension)))
        .filter(|path| path.metadata().is_ok_and(|it| it.is_file() && it.len() <= LONGEST))
        .collect();
    paths.sort_unstable();
    paths
}

fn folders(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

fn text(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_default()
}

/// Asks whether something runs the backups.
pub fn schedule(found: &ScheduleFound, jobs: &[JobHealth]) -> Answer {
    const NAME: &str = "schedule";
    let wanted = jobs.iter().find_map(|job| job.schedule.as_deref());
    match found {
        ScheduleFound::Running { what, .. } => Answer::ok(NAME, what.clone()),
        ScheduleFound::Off { what, remedy } => {
            Answer::problem(NAME, what.clone()).remedy(remedy.clone())
        }
        ScheduleFound::Nothing => {
            let evidence = match wanted {
                Some(wanted) => format!("the configuration wants `{wanted}`, and nothing runs it"),
                None => "nothing runs backups by itself".to_owned(),
            };
            Answer::problem(NAME, evidence)
                .remedy(format!("run `crontab -e` and add the line `{}`", cron_line(wanted)))
        }
    }
}

/// Returns the line of a crontab that runs backups as a schedule wants it; hourly if there is none.
pub fn cron_line(wanted: Option<&str>) -> String {
    let program =
        std::env::current_exe().map_or_else(|_| "stash".to_owned(), |it| it.display().to_string());
    let when = match wanted.map(str::trim) {
        Some("daily") => "0 3 * * *",
        Some("weekly") => "0 3 * * 0",
        Some("monthly") => "0 3 1 * *",
        Some(cron) if cron.split_whitespace().count() == 5 => cron,
        _ => "17 * * * *",
    };
    format!("{when} {program} backup -q")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_runs_a_backup_is_told_from_one_that_does_not() {
        for line in [
            "17 * * * * /usr/local/bin/stash backup -q",
            "ExecStart=/opt/stash backup",
            "@hourly PATH=/bin; stash -r /x backup && true",
            "ExecStart=stash daemon run",
        ] {
            assert!(runs_backup(line), "{line}");
        }
        for line in [
            "# 17 * * * * stash backup",
            "0 3 * * * restic backup",
            "stash snapshots",
            "git stash",
            "",
        ] {
            assert!(!runs_backup(line), "{line}");
        }
        assert_eq!(cron_of("17 * * * * stash backup").as_deref(), Some("17 * * * *"));
        assert_eq!(cron_of("@daily stash backup").as_deref(), Some("@daily"));
        assert!(cron_line(Some("daily")).starts_with("0 3 * * * "));
    }
}
