//! This machine's key in a real secret service: Debian's `gnome-keyring` on a bus of the test's own.
//!
//! Needs the programs `dbus-daemon` and `gnome-keyring-daemon`; `.ci/run` installs them.
#![cfg(all(feature = "keychain", target_os = "linux"))]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops where things are not as they should be"
)]

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A desktop: a bus, and a keychain that is unlocked. Both end with it.
struct Desktop {
    bus: Child,
    keyring: Child,
}

impl Desktop {
    fn start(home: &Path) -> Desktop {
        let socket = runtime(home).join("bus");
        let bus = program("dbus-daemon", home)
            .args(["--session", "--nofork", "--nopidfile"])
            .arg(format!("--address=unix:path={}", socket.display()))
            .stderr(Stdio::null())
            .spawn()
            .expect("the program `dbus-daemon` is needed (Debian: dbus)");
        wait_until("the bus is there", || socket.exists());
        let mut keyring = program("gnome-keyring-daemon", home)
            .args(["--unlock", "--foreground", "--components=secrets"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program `gnome-keyring-daemon` is needed (Debian: gnome-keyring)");
        keyring.stdin.take().unwrap().write_all(b"invented").unwrap();
        wait_until("the keychain is there", || runtime(home).join("keyring/control").exists());
        Desktop { bus, keyring }
    }
}

impl Drop for Desktop {
    fn drop(&mut self) {
        for child in [&mut self.keyring, &mut self.bus] {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}: not within 20 s");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A program as a user's service manager starts it.
fn program(name: &str, home: &Path) -> Command {
    let mut command = Command::new(name);
    command
        .env_clear()
        .env("HOME", home)
        .env("PATH", "/usr/bin:/bin")
        .env("XDG_RUNTIME_DIR", runtime(home))
        .env("DBUS_SESSION_BUS_ADDRESS", format!("unix:path={}/bus", runtime(home).display()));
    command
}

fn runtime(home: &Path) -> PathBuf {
    let folder = home.join("run");
    if !folder.exists() {
        std::fs::create_dir(&folder).unwrap();
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700)).unwrap();
    }
    folder
}

fn stash(home: &Path, words: &[&str]) -> Output {
    let mut command = program(env!("CARGO_BIN_EXE_stash"), home);
    command.env_remove("DBUS_SESSION_BUS_ADDRESS").args(words).output().unwrap()
}

fn done(home: &Path, words: &[&str]) -> String {
    let output = stash(home, words);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{words:?}: {said}");
    said + &String::from_utf8(output.stdout).unwrap()
}

fn failed(home: &Path, words: &[&str]) -> (i32, String) {
    let output = stash(home, words);
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

/// What the doctor says, whatever else may be amiss here.
fn answers_of(home: &Path) -> String {
    String::from_utf8(stash(home, &["doctor", "--json"]).stdout).unwrap()
}

fn key_file(home: &Path) -> PathBuf {
    let keys = home.join(".local/share/stash/keys");
    let mut files = std::fs::read_dir(keys).unwrap().map(|entry| entry.unwrap().path());
    files.find(|path| path.extension().is_some_and(|it| it == "device")).unwrap()
}

/// A home with one saved file, and its key as it lies there.
fn saved_home(home: &Path) -> String {
    std::fs::write(home.join("letter"), "some words").unwrap();
    done(home, &["backup", home.join("letter").to_str().unwrap()]);
    std::fs::read_to_string(key_file(home)).unwrap()
}

#[test]
fn the_key_moves_into_the_keychain_and_back_and_opens_the_repository_from_both() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let line = saved_home(home);
    let desktop = Desktop::start(home);
    let said = done(home, &["key", "device", "--to", "keychain"]);
    assert!(said.contains("now in the keychain"), "{said}");
    let file = key_file(home);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "stash-device-key-1 keychain\n");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(done(home, &["snapshots"]).contains("letter"));
    let said = done(home, &["key", "device", "--json"]);
    assert!(said.contains(r#""place":"keychain","moved":false"#), "{said}");

    drop(desktop);
    let (code, said) = failed(home, &["snapshots"]);
    assert_eq!(code, 12, "{said}");
    assert!(said.contains("keychain") && said.contains("stash key device --to file"), "{said}");

    // The keychain's own file outlives its process.
    let _desktop = Desktop::start(home);
    let said = done(home, &["key", "device", "--to", "file"]);
    assert!(said.contains("now in"), "{said}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), line);
    assert!(done(home, &["snapshots"]).contains("letter"));
    let (code, said) = failed(
        home,
        &["key", "device", "--probe", file.file_stem().unwrap().to_str().unwrap(), "--keys", "/x"],
    );
    assert_eq!(code, 12, "nothing stays there: {said}");
}

#[test]
fn without_a_keychain_the_key_stays_in_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let line = saved_home(home);
    let (code, said) = failed(home, &["key", "device", "--to", "keychain"]);
    assert_eq!(code, 12, "{said}");
    assert!(said.contains("keychain"), "{said}");
    assert_eq!(std::fs::read_to_string(key_file(home)).unwrap(), line);
    assert!(done(home, &["snapshots"]).contains("letter"));
}

#[test]
fn a_keychain_that_a_timer_cannot_read_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let line = saved_home(home);
    let _desktop = Desktop::start(home);
    // Reached by a variable that only the desktop's own programs have.
    let elsewhere = home.join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let output = program(env!("CARGO_BIN_EXE_stash"), home)
        .env("XDG_RUNTIME_DIR", &elsewhere)
        .args(["key", "device", "--to", "keychain"])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(12), "{said}");
    assert!(said.contains("a run that a timer starts can't read the keychain"), "{said}");
    assert_eq!(std::fs::read_to_string(key_file(home)).unwrap(), line);
}

#[test]
fn setup_takes_the_keychain_if_asked_to_and_falls_back_to_the_file() {
    let setup = ["setup", "--yes", "--keychain", "--no-schedule", "--path"];
    for has_desktop in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path();
        std::fs::write(home.join("letter"), "some words").unwrap();
        let desktop = has_desktop.then(|| Desktop::start(home));
        let path = home.join("letter");
        let said = done(home, &[&setup[..], &[path.to_str().unwrap()]].concat());
        assert_eq!(said.contains("lies in the keychain"), has_desktop, "{said}");
        assert_eq!(said.contains("stays in a file for this user alone"), !has_desktop, "{said}");
        let answers = answers_of(home);
        assert_eq!(answers.contains("in the keychain, which gave it"), has_desktop, "{answers}");
        drop(desktop);
        let answers = answers_of(home);
        assert_eq!(answers.contains("cannot read the keychain"), has_desktop, "{answers}");
    }
}

#[test]
fn a_key_of_another_home_in_the_same_keychain_is_not_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let [one, two] = ["one", "two"].map(|name| folder.path().join(name));
    std::fs::create_dir(&one).unwrap();
    std::fs::create_dir(&two).unwrap();
    let (repository, pass) = (folder.path().join("repository"), folder.path().join("pass"));
    std::fs::write(&pass, "six invented words for this test").unwrap();
    let (repository, pass) = (repository.to_str().unwrap(), pass.to_str().unwrap());
    let _desktop = Desktop::start(&one);
    done(&one, &["init", "-q", "-r", repository, "--passphrase-file", pass]);
    done(&one, &["key", "device", "--to", "keychain", "-r", repository]);
    done(&two, &["key", "add", "--device", "-r", repository, "--passphrase-file", pass]);
    let line = std::fs::read_to_string(key_file(&two)).unwrap();
    let output = program(env!("CARGO_BIN_EXE_stash"), &two)
        .env_remove("DBUS_SESSION_BUS_ADDRESS")
        .env("XDG_RUNTIME_DIR", runtime(&one))
        .args(["key", "device", "--to", "keychain", "-r", repository])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(12), "{said}");
    assert!(said.contains("another key of this repository"), "{said}");
    assert_eq!(std::fs::read_to_string(key_file(&two)).unwrap(), line);
    done(&one, &["snapshots", "-r", repository]);
}
