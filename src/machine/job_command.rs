//! A job's own commands: before it, after it, when it failed.
//!
//! Each runs in a shell, without the variables of our secrets, without a terminal's input, and with
//! its output on standard error: standard output is the program's own. What came of the run so far is
//! in variables:
//!
//! | variable | holds |
//! |---|---|
//! | `STASH_JOB_NAME` | the job |
//! | `STASH_RESULT` | `done`, `partial`, `failed` or `interrupted`; of `before` nothing |
//! | `STASH_EXIT_CODE` | the exit code |
//! | `STASH_SNAPSHOT` | the id of the snapshot that holds what was there |
//! | `STASH_UNCHANGED` | `yes` if nothing had changed |
//! | `STASH_ERROR` | why it failed, in one line |

use std::os::fd::AsFd as _;
use std::process::{Command, Stdio};

use super::input::SECRET_VARIABLES;
use super::runs::RunRecord;
use crate::error::{Error, Kind, Result};

/// Runs a job's command; `word` is the key under which it stands. One that fails is
/// [`Kind::JobCommand`].
pub fn run_job_command(
    word: &str,
    command: &str,
    job: &str,
    run: Option<&RunRecord>,
) -> Result<()> {
    let failed = || {
        Error::new(Kind::JobCommand, format!("the command `{word}` of the job `{job}` failed"))
            .hint("the configuration says it: `stash config show`")
    };
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(command).stdin(Stdio::null());
    // Without one to write to, what it says is nobody's.
    let own = std::io::stderr().as_fd().try_clone_to_owned();
    shell.stdout(own.map_or_else(|_| Stdio::null(), Stdio::from));
    for name in SECRET_VARIABLES {
        shell.env_remove(name);
    }
    shell.env("STASH_JOB_NAME", job);
    if let Some(run) = run {
        shell.env("STASH_RESULT", run.result.word());
        shell.env("STASH_EXIT_CODE", run.exit_code.to_string());
        shell.env("STASH_SNAPSHOT", run.snapshot.as_deref().unwrap_or_default());
        shell.env("STASH_UNCHANGED", if run.unchanged { "yes" } else { "no" });
        shell.env("STASH_ERROR", run.error.as_deref().unwrap_or_default());
    }
    let status = shell.status().map_err(|error| failed().source(error))?;
    if status.success() {
        return Ok(());
    }
    Err(failed().source(format!("it ended with {status}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_fails_is_named_with_its_key_and_its_own_exit_code_is_17() {
        run_job_command("before", "exit 0", "nightly", None).unwrap();
        let error = run_job_command("before", "exit 3", "nightly", None).unwrap_err();
        assert_eq!(error.kind().exit_code(), 17);
        let told = error.to_string();
        assert!(told.contains("`before` of the job `nightly`") && told.contains("exit status: 3"));
    }
}
