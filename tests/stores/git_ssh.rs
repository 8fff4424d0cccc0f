//! Git over an ssh that hangs, that leaves a child behind, or that is slowed down on purpose.

use std::path::Path;
use std::time::{Duration, Instant};

use stash::store::{GitOptions, Prefix, RemoteOptions};

use crate::common_engine::noise;
use crate::git::store_pack;
use crate::git_servers::{bare, open};
use crate::scene::{git_options, hasty};

/// Returns options that have a shell script in the place of ssh; `$command` is what the server is
/// to run.
fn fake(script: &str) -> GitOptions {
    let script = format!("for command; do :; done; {script}");
    GitOptions {
        ssh: vec!["sh".into(), "-c".into(), script],
        remote: RemoteOptions { silence: Duration::from_millis(1500), ..hasty() },
        ..git_options()
    }
}

fn url(path: &Path) -> String {
    format!("ssh://host{}", path.display())
}

fn assert_quick(begun: Instant) {
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}

#[test]
fn a_server_that_says_nothing_is_not_waited_for() {
    let store = open(&url(Path::new("/x")), &fake("exec sleep 60")).unwrap();
    let begun = Instant::now();
    let error = store.list(Prefix::Packs).unwrap_err();
    assert!(error.to_string().contains("no answer for 1.5 s"), "{error}");
    assert_quick(begun);
}

#[test]
fn a_server_that_takes_nothing_more_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let bare = bare(folder.path());
    // Announces itself to a push, and then neither reads nor answers.
    let script = "case $command in \
        *receive-pack*) printf '%s' \
            '006e0000000000000000000000000000000000000000 capabilities^{}'; \
            printf '\\0'; printf '%s\\n' 'report-status side-band-64k ofs-delta agent=x'; \
            printf 0000; exec sleep 60;; \
        *) exec sh -c \"$command\";; esac";
    let store = open(&url(&bare), &fake(script)).unwrap();
    for bytes in [noise(1, 3_000_000), noise(2, 10)] {
        let begun = Instant::now();
        let error = store_pack(&store, &bytes).unwrap_err();
        assert!(error.to_string().contains("no answer for"), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    }
}

/// As with `ControlPersist`: a master stays behind and keeps the pipe of ssh's own words open.
#[test]
fn a_child_that_ssh_leaves_behind_is_not_waited_for() {
    let script = "sleep 60 <&- >&- & echo 'me@host: Permission denied (publickey).' >&2; exit 255";
    let store = open(&url(Path::new("/x")), &fake(script)).unwrap();
    let begun = Instant::now();
    let error = store.list(Prefix::Packs).unwrap_err();
    assert!(error.to_string().contains("none of your ssh keys"), "{error}");
    assert_quick(begun);
}

#[test]
fn limits_hold_over_ssh() {
    let folder = tempfile::tempdir().unwrap();
    let bare = bare(folder.path());
    let limit = Some(100 << 10);
    let remote =
        RemoteOptions { upload_limit: limit, download_limit: limit, ..git_options().remote };
    let options = GitOptions { remote, ..fake("exec sh -c \"$command\"") };
    let store = open(&url(&bare), &options).unwrap();
    let bytes = noise(1, 500 << 10);
    let begun = Instant::now();
    let name = store_pack(&store, &bytes).unwrap();
    assert!(begun.elapsed() > Duration::from_secs(4), "{:?}", begun.elapsed());
    let fresh = open(&url(&bare), &options).unwrap();
    let begun = Instant::now();
    assert_eq!(fresh.get(&name).unwrap().unwrap(), bytes);
    assert!(begun.elapsed() > Duration::from_secs(4), "{:?}", begun.elapsed());
}
