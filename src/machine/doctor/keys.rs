//! What opens the repository, and whether it does so with nobody there.
#![expect(clippy::disallowed_methods, reason = "looks at the key files")]

use std::ffi::OsString;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::Answer;
use super::fix::{Fix, FixStep};
use crate::error::{Error, Kind};
use crate::format::key::SlotKind;
use crate::id::RepositoryId;
use crate::machine::device_key::{
    KeyPlace, device_key_path, device_key_place, pending_recovery_path, read_device_key,
};
use crate::time::Clock;

/// Asks whether this machine has a key of its own for the repository, closed to others. `other_source`
/// names what opens it otherwise, if the configuration names something.
pub fn device_key(keys: &Path, repository: RepositoryId, other_source: Option<&str>) -> Answer {
    const NAME: &str = "device key";
    let path = device_key_path(keys, repository);
    let shown = path.display();
    let mode = std::fs::metadata(&path).map(|found| found.permissions().mode() & 0o777);
    if let Some(mode) = mode.as_ref().ok().filter(|mode| **mode & 0o077 != 0) {
        let evidence =
            format!("other users may read or write `{shown}` ({mode:o}), so it is not used");
        return Answer::broken(NAME, evidence)
            .remedy(
                "if nobody did, `--fix` closes it; if somebody may have, `stash key rotate` afterwards \
                 makes what they read worthless",
            )
            .fix(Fix {
                what: format!("closes `{shown}` to other users (0600)"),
                needs_consent: false,
                steps: vec![FixStep::SetMode { path: path.clone(), mode: 0o600 }],
            });
    }
    match (read_device_key(keys, repository), other_source) {
        (Ok(Some(_)), _)
            if device_key_place(keys, repository).ok() == Some(Some(KeyPlace::Keychain)) =>
        {
            Answer::ok(NAME, "in the keychain, which gave it")
        }
        (Ok(Some(_)), _) => Answer::ok(NAME, format!("`{shown}`, for this user alone")),
        (Ok(None), Some(source)) => {
            Answer::ok(NAME, format!("none; the repository is opened by {source}"))
        }
        (Ok(None), None) => {
            Answer::broken(NAME, format!("this machine has none: `{shown}` is not there")).remedy(
                "`stash key add --device` makes one, with the passphrase or the recovery code",
            )
        }
        (Err(error), _) => Answer::broken_by(NAME, &error),
    }
}

/// Asks whether the repository can be opened when this computer is lost.
pub fn recovery_code(keys: &Path, repository: RepositoryId, slots: &[SlotKind]) -> Answer {
    const NAME: &str = "recovery code";
    let path = pending_recovery_path(keys, repository);
    if path.exists() {
        return Answer::problem(NAME, format!("it still waits in `{}` to be written down", path.display()))
            .remedy(
                "`stash key recovery --show` shows it on a terminal; `stash key recovery --test` checks \
                 that you kept it, and removes the file",
            );
    }
    if slots.contains(&SlotKind::Recovery) {
        return Answer::ok(NAME, "it was tested, or written down elsewhere");
    }
    if slots.contains(&SlotKind::Passphrase) {
        return Answer::ok(NAME, "none; a passphrase opens the repository");
    }
    Answer::problem(
        NAME,
        "only device keys open the repository: lost with this computer, it is lost too",
    )
    .remedy("`stash key add` adds a passphrase")
}

/// Asks whether the repository opened without a question.
pub fn opened_unattended(result: Result<&str, &Error>) -> Answer {
    const NAME: &str = "repository";
    let error = match result {
        Ok(location) => return Answer::ok(NAME, format!("`{location}` opens without a question")),
        Err(error) => error,
    };
    match error.kind() {
        Kind::Busy => Answer::note(NAME, error.to_string()).remedy("ask again when it has ended"),
        Kind::NoRepository => Answer::problem(NAME, format!("nothing is saved yet: {error}"))
            .remedy(error.hint_text().unwrap_or("`stash backup` makes it")),
        _ => Answer::broken_by(NAME, error),
    }
}

/// How long a run with nobody there may take.
const PATIENCE: Duration = Duration::from_mins(2);
/// An error is never longer, in bytes.
const LONGEST: u64 = 64 << 10;
const NAME: &str = "unattended";

/// Asks whether a timer can open the repository: this program is run once more, without a terminal and
/// with nothing but `HOME` and `PATH` in its environment. `options` are those that say where
/// this machine's folders lie.
pub fn unattended_command(home: &Path, options: &[OsString], clock: &dyn Clock) -> Answer {
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => {
            return Answer::skipped(NAME, format!("this program's own path is not known: {error}"));
        }
    };
    let child = Command::new(program)
        .args(options)
        .args(["snapshots", "--latest", "1", "--json"])
        .env_clear()
        .env("HOME", home)
        .env("PATH", "/usr/bin:/bin")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    match child {
        Ok(child) => judge(child, clock),
        Err(error) => Answer::skipped(NAME, format!("this program can't be run again: {error}")),
    }
}

fn judge(mut child: Child, clock: &dyn Clock) -> Answer {
    let begun = clock.boot_nanoseconds();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) => {}
            Err(error) => return Answer::skipped(NAME, error.to_string()),
        }
        let waited = clock.boot_nanoseconds().saturating_sub(begun);
        if u128::try_from(waited).unwrap_or(0) > PATIENCE.as_nanos() {
            // Gone already, or not ours to end.
            let _ended = child.kill().and_then(|()| child.wait());
            return Answer::broken(NAME, "a run as a timer starts it did not end within two minutes")
                .remedy("run `env -i HOME=\"$HOME\" PATH=/usr/bin:/bin stash snapshots` and see where it waits");
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    if status.success() {
        return Answer::ok(NAME, "a run as a timer starts it opens the repository");
    }
    let mut said = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        // What can't be read is missing from the evidence, which then holds the exit code alone.
        let _read = stderr.take(LONGEST).read_to_end(&mut said);
    }
    let code =
        status.code().map_or_else(|| "a signal".to_owned(), |code| format!("exit code {code}"));
    let last = said.split(|byte| *byte == b'\n').rev().find_map(|line| {
        let line: serde_json::Value = serde_json::from_slice(line).ok()?;
        (line.get("message_type")?.as_str()? == "exit_error").then_some(line)
    });
    let text =
        |key: &str| last.as_ref().and_then(|line| line.get(key)?.as_str().map(str::to_owned));
    let why = text("message").map(|why| format!(": {why}")).unwrap_or_default();
    let answer = Answer::broken(NAME, format!("a run as a timer starts it fails with {code}{why}"));
    answer.remedy(text("hint").unwrap_or_else(|| {
        "what opens it must lie in the configuration or in files: a timer knows no variables"
            .to_owned()
    }))
}
