//! A git remote that refuses, vanishes, or is left in the middle of things.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use stash::error::{Error, Kind};
use stash::store::{GitOptions, GithubRepository, Prefix};

use crate::common_engine::{noise, open_fresh, put, snapshots};
use crate::git::{assert_one_commit, store_pack};
use crate::git_servers::{Sshd, Web, Wrong, bare, git, open};
use crate::scene::{Machine, git_options, hasty, keys};

fn assert_says(error: &Error, sentence: &str, remedy: &str) {
    assert_eq!(error.kind(), Kind::Store, "{error}");
    assert!(error.to_string().contains(sentence), "{error}");
    let hint = error.hint_text().unwrap_or_default();
    assert!(hint.contains(remedy), "{error}: {hint}");
    assert!(!format!("{error} {hint}").contains("t0ken"), "{error}");
}

#[test]
fn a_refused_push_says_why_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let bare = bare(folder.path());
    let web = Web::start(&bare);
    let store = open(&web.url(), &git_options()).unwrap();
    store_pack(&store, b"first").unwrap();
    let hook = bare.join("hooks/pre-receive");
    std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
    std::fs::write(&hook, "#!/bin/sh\necho 'no room for you'\nexit 1\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&hook, mode).unwrap();
    assert_says(&store_pack(&store, b"second").unwrap_err(), "no room for you", "hooks");
    assert_eq!(store.list(Prefix::Packs).unwrap().len(), 1);
    std::fs::remove_file(&hook).unwrap();
    store_pack(&store, b"second").unwrap();
    git(&bare, &["config", "receive.denyNonFastForwards", "true"]);
    assert_says(&store_pack(&store, b"third").unwrap_err(), "non-fast-forward", "force pushes");
    assert_eq!(store.list(Prefix::Packs).unwrap().len(), 2);
}

#[test]
fn a_push_that_is_cut_or_whose_answer_is_lost_is_settled() {
    let folder = tempfile::tempdir().unwrap();
    let bare = bare(folder.path());
    let web = Web::start(&bare);
    let store = open(&web.url(), &git_options()).unwrap();
    store_pack(&store, b"first").unwrap();
    web.go_wrong(Wrong::LoseAnswer);
    store_pack(&store, b"second").unwrap();
    assert_eq!(store.list(Prefix::Packs).unwrap().len(), 2);
    web.go_wrong(Wrong::CutRequest);
    assert_eq!(store_pack(&store, &noise(3, 500_000)).unwrap_err().kind(), Kind::Store);
    assert_eq!(store.list(Prefix::Packs).unwrap().len(), 2);
    web.go_wrong(Wrong::Nothing);
    store_pack(&store, &noise(3, 500_000)).unwrap();
    assert_one_commit(&bare);
}

#[test]
fn a_server_that_vanishes_or_hangs_is_told_in_a_stated_time() {
    let folder = tempfile::tempdir().unwrap();
    let bare = bare(folder.path());
    let web = Web::start(&bare);
    let hasty = GitOptions { remote: hasty(), ..git_options() };
    let store = open(&web.url(), &hasty).unwrap();
    store_pack(&store, b"first").unwrap();
    web.go_wrong(Wrong::Hang);
    let begun = Instant::now();
    assert_says(&store.list(Prefix::Packs).unwrap_err(), "no answer", "");
    assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", begun.elapsed());
    web.stop();
    std::thread::sleep(Duration::from_millis(100));
    assert_says(&store_pack(&store, b"second").unwrap_err(), "refused", "");
    let Some(mut sshd) = Sshd::start(folder.path()) else { return };
    let store = open(&sshd.url(&bare), &sshd.options()).unwrap();
    assert_eq!(store.list(Prefix::Packs).unwrap().len(), 1);
    sshd.stop();
    let begun = Instant::now();
    assert_says(&store_pack(&store, b"second").unwrap_err(), "refused", "network");
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}

#[test]
fn an_unknown_host_is_refused_with_its_fingerprint_and_so_is_a_key() {
    let folder = tempfile::tempdir().unwrap();
    let bare = bare(folder.path());
    let Some(sshd) = Sshd::start(folder.path()) else { return };
    let fail = |path: &std::path::Path| {
        let store = open(&sshd.url(path), &sshd.options()).unwrap();
        store.list(Prefix::Packs).unwrap_err()
    };
    assert_says(&fail(&folder.path().join("none")), "no such git repository", "init --bare");
    sshd.forget_host();
    let shown = Command::new("ssh-keygen").arg("-lf").arg(folder.path().join("host.pub")).output();
    let shown = String::from_utf8(shown.unwrap().stdout).unwrap();
    let fingerprint = shown.split(' ').nth(1).unwrap();
    assert!(fingerprint.starts_with("SHA256:"));
    assert_says(&fail(&bare), fingerprint, "say yes");
    let options = sshd.options();
    let known = options.ssh.iter().find_map(|it| it.strip_prefix("-oUserKnownHostsFile="));
    let port = sshd.url(&bare).split(['/', ':']).nth(4).unwrap().to_owned();
    let other = std::fs::read_to_string(folder.path().join("own.pub")).unwrap();
    std::fs::write(known.unwrap(), format!("[127.0.0.1]:{port} {other}")).unwrap();
    assert_says(&fail(&bare), "not the one that is known", "ssh-keygen -R");
    let public = std::fs::read_to_string(folder.path().join("host.pub")).unwrap();
    std::fs::write(known.unwrap(), format!("[127.0.0.1]:{port} {public}")).unwrap();
    sshd.forget_key();
    assert_says(&fail(&bare), "none of your ssh keys", "ssh-add");
}

#[test]
fn a_token_is_needed_and_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let bare = bare(folder.path());
    let web = Web::start(&bare);
    let open = |pairs: &[(&str, &str)], url: &str| {
        let store = stash::store::Store::open_git(url, url, &keys(pairs), &git_options(), false);
        store.and_then(|store| store.list(Prefix::Packs))
    };
    open(&[("git_token", "t0ken")], &web.url()).unwrap();
    assert_says(&open(&[], &web.url()).unwrap_err(), "refuses access (401)", "STASH_GIT_TOKEN");
    let wrong = [("git_token", "t0ken-of-another")];
    assert_says(&open(&wrong, &web.url()).unwrap_err(), "refuses access", "check the token");
    let far = open(&[("git_token", "t0ken")], "http://host.example/x.git").unwrap_err();
    assert_says(&far, "could be read by everybody", "https");
}

/// A recorder in GitHub's place: answers in turn, and keeps what it was sent.
fn recorder(answers: Vec<(u16, &'static str)>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let own = Arc::clone(&seen);
    std::thread::spawn(move || {
        for (status, body) in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut text, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                let lower = line.to_lowercase();
                if let Some(value) = lower.strip_prefix("content-length: ") {
                    length = value.trim().parse().unwrap();
                }
                if line.trim().is_empty() {
                    break;
                }
                text.push_str(&line);
            }
            let mut content = vec![0; length];
            reader.read_exact(&mut content).unwrap();
            text.push_str(&String::from_utf8(content).unwrap());
            own.lock().unwrap().push(text);
            let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n", body.len());
            stream.write_all(format!("{head}Connection: close\r\n\r\n{body}").as_bytes()).unwrap();
        }
    });
    (url, seen)
}

#[test]
fn a_repository_at_github_is_made_private_and_a_public_one_refused() {
    let repository = GithubRepository { owner: "me".into(), name: "backup".into() };
    let token = keys(&[("git_token", "t0ken")]);
    let prepare = |answers, create| {
        let (api, seen) = recorder(answers);
        let result = repository.prepare(&api, &token, &hasty(), create);
        let seen = seen.lock().unwrap().clone();
        (result, seen)
    };
    let made = vec![(404, "{}"), (200, r#"{"login": "Me"}"#), (201, r#"{"private": true}"#)];
    let (result, seen) = prepare(made, true);
    assert!(result.unwrap());
    assert!(seen[0].starts_with("GET /repos/me/backup HTTP"), "{seen:?}");
    assert!(seen[2].starts_with("POST /user/repos HTTP"), "{seen:?}");
    assert!(seen[2].contains(r#""private":true"#) && seen[2].contains(r#""name":"backup""#));
    for text in &seen {
        assert!(text.to_lowercase().contains("authorization: bearer t0ken"), "{text}");
        assert!(!text.lines().next().unwrap().contains("t0ken"));
    }
    let org = vec![(404, "{}"), (200, r#"{"login": "x"}"#), (201, r#"{"private": true}"#)];
    assert!(prepare(org, true).1[2].starts_with("POST /orgs/me/repos HTTP"));
    assert!(!prepare(vec![(200, r#"{"private": true}"#)], true).0.unwrap());
    let public = prepare(vec![(200, r#"{"private": false}"#)], true).0.unwrap_err();
    assert_says(&public, "public", "private");
    let (missing, seen) = prepare(vec![(404, "{}")], false);
    assert_says(&missing.unwrap_err(), "no such repository", "--create-bucket");
    assert_eq!(seen.len(), 1);
    let (denied, _) = prepare(vec![(401, r#"{"message": "Bad credentials"}"#)], true);
    assert_says(&denied.unwrap_err(), "401: Bad credentials", "new one");
    let none = repository.prepare("http://127.0.0.1:1", &keys(&[]), &hasty(), true).unwrap_err();
    assert_says(&none, "no token", "https://github.com/new");
}

/// The real program, killed at any moment of a backup: what was acknowledged is there, and the next
/// run finds all in order.
#[test]
fn killed_in_the_middle_of_a_push_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let bare = bare(folder.path());
    let home = folder.path().join("home");
    let source = folder.path().join("source");
    std::fs::create_dir_all(&home).unwrap();
    let stash = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stash"));
        command.env_clear().env("HOME", &home).env("PATH", "/usr/bin:/bin");
        command.arg("-r").arg(format!("git+file://{}", bare.display())).args(arguments);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        command
    };
    let run = |arguments: &[&str]| {
        let output = stash(arguments).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {told}");
    };
    run(&["init"]);
    let from = source.to_str().unwrap();
    for round in 0..6_u64 {
        put(&source.join(format!("file{round}")), noise(round, 6_000_000));
        let mut child = stash(&["backup", from]).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(40 + round * 60));
        child.kill().unwrap();
        child.wait().unwrap();
        run(&["check"]);
    }
    run(&["backup", from]);
    run(&["check", "--read-data"]);
    let out = folder.path().join("out");
    run(&["restore", "latest", "--target", out.to_str().unwrap()]);
    assert_one_commit(&bare);
}

#[test]
fn a_lock_that_nobody_holds_any_more_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let bare = bare(folder.path());
    let store = open(&format!("file://{}", bare.display()), &git_options()).unwrap();
    store_pack(&store, b"first").unwrap();
    let lock = bare.join("refs/heads/stash.lock");
    let file = std::fs::File::create(&lock).unwrap();
    let error = store_pack(&store, b"second").unwrap_err();
    assert!(error.to_string().contains("stash.lock"), "{error}");
    file.set_modified(std::time::SystemTime::now() - Duration::from_hours(1)).unwrap();
    store_pack(&store, b"second").unwrap();
    assert!(!lock.exists());
    let refs = git(&bare, &["for-each-ref", "--format=%(refname)"]);
    assert_eq!(refs, "refs/heads/stash");
}

/// What a hook says may be anything; it is told, and not taken for another writer's lock.
#[test]
fn a_push_that_a_hook_refuses_is_told_at_once() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let bare = bare(folder.path());
    let web = Web::start(&bare);
    let store = open(&web.url(), &git_options()).unwrap();
    store_pack(&store, b"first").unwrap();
    let hook = bare.join("hooks/pre-receive");
    put(&hook, "#!/bin/sh\necho 'blocked by the administrator: clock is wrong' >&2\nexit 1\n");
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    let error = store_pack(&store, b"second").unwrap_err();
    assert_says(&error, "refuses the push", "hooks");
    assert!(error.to_string().contains("blocked by the administrator"), "{error}");
}

#[test]
fn what_is_no_git_repository_is_told_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mine"), "x").unwrap();
    let url = |path: &std::path::Path| format!("file://{}", path.display());
    let options = git_options();
    let error = open(&url(folder.path()), &options).err().unwrap();
    assert_says(&error, "no git repository", "stash init");
    assert!(crate::scene::git(&url(folder.path()), &options).is_err());
    let sha256 = folder.path().join("sha256");
    let made = Command::new("git")
        .args(["init", "-q", "--bare", "--object-format=sha256"])
        .arg(&sha256)
        .status();
    assert!(made.unwrap().success());
    assert_says(&open(&url(&sha256), &options).err().unwrap(), "sha256", "sha1");
}

#[test]
fn a_backup_over_a_bad_line_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let bare = bare(folder.path());
    let web = Web::start(&bare);
    let store = open(&web.url(), &git_options()).unwrap();
    let mut machine = Machine::new();
    machine.fill(1, 20);
    drop(machine.init(&store));
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::SeqCst) {
                web.go_wrong(Wrong::LoseAnswer);
                std::thread::sleep(Duration::from_millis(300));
            }
        });
        machine.save(&store).unwrap();
        stop.store(true, Ordering::SeqCst);
    });
    web.go_wrong(Wrong::Nothing);
    assert_eq!(snapshots(&open_fresh(&store)).len(), 1);
    machine.assert_restores(&store, "after lost answers");
    Machine::assert_sound(&store, "after lost answers");
}
