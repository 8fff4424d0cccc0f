//! The program itself against a small S3 server: a bucket made, a repository in it, and what is said
//! when something is wrong.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops where things are not as they should be"
)]

mod common_s3;

use std::path::Path;
use std::process::Output;

use common_s3::{Action, Behaviour, KEY, Server};

struct Machine {
    home: tempfile::TempDir,
    repository: String,
}

impl Machine {
    fn new(server: &Server, path: &str) -> Machine {
        let repository = format!("minio:{}/{path}", server.endpoint());
        Machine { home: tempfile::tempdir().unwrap(), repository }
    }

    fn run(&self, key: &str, words: &[&str]) -> Output {
        assert_cmd::Command::cargo_bin("stash")
            .unwrap()
            .env_clear()
            .env("HOME", self.home.path())
            .env("STASH_REPOSITORY", &self.repository)
            .env("AWS_ACCESS_KEY_ID", key)
            .env("AWS_SECRET_ACCESS_KEY", "hunter2")
            .current_dir(self.home.path())
            .args(words)
            .output()
            .unwrap()
    }

    fn succeed(&self, words: &[&str]) -> String {
        let output = self.run(KEY, words);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{words:?}: {text}");
        text + &String::from_utf8_lossy(&output.stdout)
    }

    fn fail(&self, key: &str, code: i32, words: &[&str]) -> String {
        let output = self.run(key, words);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{words:?}: {text}");
        assert!(text.lines().count() <= 3, "{text}");
        assert!(!text.contains("hunter2"), "{text}");
        text
    }
}

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

#[test]
fn a_bucket_is_made_filled_and_read_back() {
    let server = Server::start(Behaviour::default());
    let machine = Machine::new(&server, "fresh/laptop");
    let missing = machine.fail(KEY, 14, &["init"]);
    assert!(missing.contains("--create-bucket"), "{missing}");
    let made = machine.succeed(&["init", "--create-bucket"]);
    assert!(made.contains("the store works: list"), "{made}");
    assert!(made.contains(&machine.repository), "{made}");
    assert!(machine.fail(KEY, 1, &["init"]).contains("exists already"));
    let file = machine.home.path().join("work/notes");
    write(&file, "first");
    machine.succeed(&["backup", "work"]);
    write(&file, "second");
    server.take();
    machine.succeed(&["backup", "work"]);
    let requests = server.take();
    assert!(requests.iter().filter(|request| request.is_put()).count() <= 2, "{requests:#?}");
    assert!(requests.iter().filter(|request| request.is_list()).count() <= 2, "{requests:#?}");
    machine.succeed(&["restore", "latest", "--target", "out"]);
    let text = std::fs::read_to_string(machine.home.path().join("out/work/notes")).unwrap();
    assert_eq!(text, "second");
    machine.succeed(&["check", "--read-data"]);
    assert!(server.names("fresh").iter().all(|name| name.starts_with("laptop/")));
}

#[test]
fn what_is_wrong_is_one_sentence_and_no_secret() {
    let server = Server::start(Behaviour::default());
    let machine = Machine::new(&server, "bucket/laptop");
    let text = machine.fail("WRONG", 14, &["init"]);
    assert!(text.contains("does not know this access key"), "{text}");
    let text = machine.fail(KEY, 10, &["snapshots"]);
    assert!(text.contains("no repository in"), "{text}");
    server.rule(|request| {
        if request.is_put() { Action::Refuse(403, "SignatureDoesNotMatch") } else { Action::Serve }
    });
    let text = machine.fail(KEY, 14, &["init"]);
    assert!(text.contains("the secret does not fit"), "{text}");
    let git = machine.fail(KEY, 2, &["-r", "https://me:hunter2@host/x.git", "snapshots"]);
    assert!(git.contains("no user and no token") && !git.contains("hunter2"), "{git}");
    let key = machine.fail(KEY, 2, &["-r", "s3:https://k:hunter2@host/b", "snapshots"]);
    assert!(key.contains("don't belong into a location"), "{key}");
}

#[test]
fn a_command_may_give_the_credentials() {
    let server = Server::start(Behaviour::default());
    let machine = Machine::new(&server, "bucket/laptop");
    let command = format!("echo AWS_ACCESS_KEY_ID={KEY}; echo AWS_SECRET_ACCESS_KEY=x");
    let output = machine.run("WRONG", &["init", "--credentials-command", &command]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = machine.fail(KEY, 14, &["--credentials-command", "exit 7", "snapshots"]);
    assert!(text.contains("credentials failed"), "{text}");
}

/// 40 KiB at 20 KiB a second.
#[test]
fn a_limit_slows_an_upload_down() {
    let server = Server::start(Behaviour::default());
    let machine = Machine::new(&server, "bucket/laptop");
    machine.succeed(&["init"]);
    let mut noise = vec![0; 60 << 10];
    blake3::Hasher::new().finalize_xof().fill(&mut noise);
    let file = machine.home.path().join("work/noise");
    write(&file, "");
    std::fs::write(&file, noise).unwrap();
    let begun = std::time::Instant::now();
    machine.succeed(&["--limit-upload", "20", "backup", "work"]);
    let took = begun.elapsed().as_secs_f64();
    assert!((1.5..20.0).contains(&took), "{took}");
}
