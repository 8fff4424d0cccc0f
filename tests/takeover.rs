//! What other tools have kept, taken over as snapshots through the real program.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops where things are not as they should be"
)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use serde_json::Value;

fn stash(home: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stash"))
        .args(words)
        .env_clear()
        .env("HOME", home)
        .env("PATH", "/usr/bin:/bin")
        .env("STASH_HOST", "here")
        .env("TZ", "UTC")
        .current_dir(home)
        .output()
        .unwrap()
}

#[track_caller]
fn run(home: &Path, code: i32, words: &[&str]) -> String {
    let output = stash(home, words);
    let (out, err) = (String::from_utf8(output.stdout), String::from_utf8(output.stderr));
    let (out, err) = (out.unwrap(), err.unwrap());
    assert_eq!(output.status.code(), Some(code), "{words:?}: {out}{err}");
    if code == 0 { out } else { err }
}

fn snapshots(home: &Path) -> Vec<Value> {
    let text = run(home, 0, &["snapshots", "--json"]);
    serde_json::from_str::<Vec<Value>>(&text).unwrap()
}

/// A home with a repository that holds one session of its own.
struct Scene {
    folder: tempfile::TempDir,
}

impl Scene {
    fn new() -> Scene {
        let scene = Scene { folder: tempfile::tempdir().unwrap() };
        scene.write(
            "home/.claude/projects/-own/own.jsonl",
            session("/own", "2026-11-20").as_bytes(),
        );
        run(&scene.home(), 0, &["backup", "-q"]);
        scene
    }

    fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    fn text(&self, path: &str) -> String {
        self.folder.path().join(path).to_str().unwrap().to_owned()
    }

    fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    fn gzip(&self, path: &str, text: &str) {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        packer.write_all(text.as_bytes()).unwrap();
        self.write(path, &packer.finish().unwrap());
    }

    /// Imports twice: the second time adds nothing. Returns the new snapshots.
    #[track_caller]
    fn import(&self, words: &[&str]) -> Vec<Value> {
        let before = snapshots(&self.home());
        let dry: Vec<&str> = words.iter().copied().chain(["--dry-run"]).collect();
        let said = run(&self.home(), 0, &dry);
        assert!(said.contains("would take over"), "{said}");
        assert_eq!(snapshots(&self.home()).len(), before.len(), "a rehearsal stores nothing");
        run(&self.home(), 0, words);
        let after = snapshots(&self.home());
        let said = run(&self.home(), 0, words);
        assert!(said.contains("there already") && !said.contains("took over"), "{said}");
        assert_eq!(snapshots(&self.home()).len(), after.len(), "the second time adds nothing");
        let is_new = |it: &Value| before.iter().all(|old| old["id"] != it["id"]);
        after.into_iter().filter(is_new).collect()
    }
}

fn session(directory: &str, day: &str) -> String {
    format!(
        "{{\"cwd\":\"{directory}\",\"type\":\"user\",\"timestamp\":\"{day}T08:00:00.000Z\"}}\n\
         {{\"type\":\"assistant\",\"timestamp\":\"{day}T08:30:00.000Z\"}}\n"
    )
}

fn claude_backup(scene: &Scene) {
    scene.write(
        "cb/manifest.json",
        br#"{"version":"3.2.5","mode":"local","machine":"Annes-Mac.local","machineSlug":"annes-mac","lastSync":"2026-10-02T03:00:00Z"}"#,
    );
    scene.write("cb/config/settings.json", br#"{"theme":"dark"}"#);
    scene.write("cb/config/skills/x/SKILL.md", b"# X\n");
    scene.gzip("cb/history.jsonl.gz", "{\"display\":\"hello\"}\n");
    scene.write(
        "cb/machines/annes-mac/manifest.json",
        br#"{"version":"3.2.5","machine":"Annes-Mac.local","lastSync":"2026-10-02T03:00:00Z"}"#,
    );
    scene.gzip("cb/machines/annes-mac/projects/-x/one.jsonl.gz", &session("/x", "2026-09-01"));
    scene.write(
        "cb/machines/box/manifest.json",
        br#"{"version":"3.2.5","machine":"box","lastSync":"2026-10-01T03:00:00Z"}"#,
    );
    scene.gzip("cb/machines/box/projects/-y/two.jsonl.gz", &session("/y", "2026-08-01"));
    scene.write("cb/.git/HEAD", b"ref: refs/heads/main\n");
}

#[test]
fn a_folder_of_claude_backup_becomes_a_snapshot_of_each_machine() {
    let scene = Scene::new();
    claude_backup(&scene);
    let latest = run(&scene.home(), 0, &["ls", "latest"]);
    let new = scene.import(&["import", &scene.text("cb")]);
    let mut hosts: Vec<(&str, &str, &str)> = new
        .iter()
        .map(|it| {
            let text = |key: &str| it[key].as_str().unwrap();
            (text("hostname"), text("job"), &text("time")[..19])
        })
        .collect();
    hosts.sort_unstable();
    assert_eq!(
        hosts,
        [
            ("Annes-Mac.local", "import", "2026-10-02T03:00:00"),
            ("box", "import", "2026-10-01T03:00:00")
        ]
    );
    assert_eq!(run(&scene.home(), 0, &["ls", "latest"]), latest, "`latest` is this machine's own");
    let of = |host: &str| {
        let found = new.iter().find(|it| it["hostname"] == host).unwrap();
        found["id"].as_str().unwrap().to_owned()
    };
    let listed = run(&scene.home(), 0, &["ls", &of("Annes-Mac.local")]);
    let place = scene.home().join(".claude");
    for file in ["settings.json", "skills/x/SKILL.md", "history.jsonl", "projects/-x/one.jsonl"] {
        let path = place.join(file);
        assert!(listed.lines().any(|line| Path::new(line) == path), "{file}: {listed}");
    }
    // Another home gets it where that agent keeps it, each session with its own time.
    let other = scene.folder.path().join("other");
    std::fs::create_dir(&other).unwrap();
    let repository = scene.text("home/.local/share/stash/repository");
    let keys = scene.folder.path().join("home/.local/share/stash");
    let data = keys.to_str().unwrap();
    let id = of("box");
    let target = scene.text("out");
    let words = ["restore", &id, "--agent", "claude-code", "-r", &repository, "--data-dir", data];
    run(&other, 0, &[&words[..], &["--target", &target, "--yes"]].concat());
    let restored = Path::new(&target).join("claude-code/main/projects/-y/two.jsonl");
    assert_eq!(std::fs::read_to_string(&restored).unwrap(), session("/y", "2026-08-01"));
    let modified = std::fs::metadata(&restored).unwrap().modified().unwrap();
    let seconds = modified.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert_eq!(seconds, 1_785_573_000, "2026-08-01T08:30:00Z, the last time in the session");
    run(&other, 0, &[&words[..], &["--yes"]].concat());
    assert!(other.join(".claude/projects/-y/two.jsonl").exists());
    // What is here goes on as before, and holds nothing of the others.
    scene.write("home/.claude/projects/-own/own2.jsonl", session("/own", "2026-11-21").as_bytes());
    run(&scene.home(), 0, &["backup", "-q"]);
    let listed = run(&scene.home(), 0, &["ls", "latest"]);
    assert!(listed.contains("own2.jsonl") && !listed.contains("one.jsonl"), "{listed}");
}

fn seal(key: &[u8; 32], text: &str) -> Vec<u8> {
    let sealer = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).unwrap());
    let nonce = [7_u8; 12];
    let mut content = text.as_bytes().to_vec();
    let unique = Nonce::assume_unique_for_key(nonce);
    let tag = sealer.seal_in_place_separate_tag(unique, Aad::empty(), &mut content).unwrap();
    [&nonce[..], tag.as_ref(), &content].concat()
}

#[test]
fn a_clone_of_claude_sync_is_opened_with_its_key_only() {
    let scene = Scene::new();
    let key = [9_u8; 32];
    scene.write("sync/repo/sessions/aaaa.enc", &seal(&key, &session("/work/shop", "2026-07-05")));
    scene.write("sync/repo/sessions/bbbb.enc", &seal(&key, "{\"type\":\"summary\"}\n"));
    scene.write("sync/repo/.git/HEAD", b"ref: refs/heads/main\n");
    let clone = scene.text("sync/repo");
    let home = scene.home();
    let none = run(&home, 12, &["import", &clone]);
    assert!(none.contains("--key FILE"), "{none}");
    scene.write("wrong", &[8_u8; 32]);
    let wrong = run(&home, 12, &["import", &clone, "--key", &scene.text("wrong")]);
    assert!(wrong.contains("this key opens none of the sessions"), "{wrong}");
    scene.write("short", b"nonsense");
    let short = run(&home, 12, &["import", &clone, "--key", &scene.text("short")]);
    assert!(short.contains("32 bytes"), "{short}");
    assert_eq!(snapshots(&home).len(), 1);
    scene.write("sync/key", &key);
    let new = scene.import(&["import", &clone]);
    assert_eq!(new.len(), 1);
    assert_eq!(new[0]["hostname"], "claude-sync", "the tool does not say which machine it was");
    let id = new[0]["id"].as_str().unwrap();
    let listed = run(&home, 0, &["ls", id]);
    assert!(listed.contains(".claude/projects/-work-shop/aaaa.jsonl"), "{listed}");
    assert!(listed.contains(".claude/projects/unknown/bbbb.jsonl"), "{listed}");
    // The key in base64, as its makers tell to keep it; the machine named by its owner.
    let digits = "CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk=\n";
    scene.write("base64", digits.as_bytes());
    let key = scene.text("base64");
    let new = scene.import(&["import", &clone, "--key", &key, "--host", "laptop"]);
    assert_eq!(new[0]["hostname"], "laptop");
    // One damaged session is told, and the others are taken.
    scene.write("sync/repo/sessions/cccc.enc", b"damaged beyond repair, and long enough");
    let said = run(&home, 3, &["import", &clone, "--key", &key]);
    assert!(said.contains("cccc.enc was not taken"), "{said}");
}

#[test]
fn a_mirror_of_opencode_lies_below_storage() {
    let scene = Scene::new();
    scene.write("mirror/session/global/ses_1.json", br#"{"id":"ses_1"}"#);
    scene.write("mirror/message/ses_1/msg_1.json", br#"{"id":"msg_1"}"#);
    scene.write("mirror/part/msg_1/prt_1.json", br#"{"id":"prt_1"}"#);
    scene.write("mirror/sync.log", b"robocopy\n");
    let new = scene.import(&["import", &scene.text("mirror"), "--host", "desktop"]);
    assert_eq!(new.len(), 1);
    assert_eq!(new[0]["hostname"], "desktop");
    let listed = run(&scene.home(), 0, &["ls", new[0]["id"].as_str().unwrap()]);
    let place = scene.home().join(".local/share/opencode/storage/session/global/ses_1.json");
    assert!(listed.lines().any(|line| Path::new(line) == place), "{listed}");
    assert!(!listed.contains("sync.log"), "{listed}");
}

#[test]
fn anything_else_is_refused_with_what_was_looked_for() {
    let scene = Scene::new();
    scene.write("strange/letter.txt", b"x");
    scene.write("strange/manifest.json", br#"{"name":"an extension"}"#);
    let said = run(&scene.home(), 1, &["import", &scene.text("strange")]);
    for looked in ["manifest.json", "sessions/*.enc", "opencode-session-backup"] {
        assert!(said.contains(looked), "{looked}: {said}");
    }
    run(&scene.home(), 1, &["import", &scene.text("nowhere")]);
    claude_backup(&scene);
    run(&scene.home(), 2, &["import", &scene.text("cb"), "--host", "one"]);
    assert_eq!(snapshots(&scene.home()).len(), 1);
}

#[test]
fn of_this_very_machine_it_is_no_parent_and_nothing_is_mixed_in() {
    let scene = Scene::new();
    claude_backup(&scene);
    scene.write(
        "cb/machines/box/manifest.json",
        br#"{"version":"3.2.5","machine":"here","lastSync":"2026-10-01T03:00:00Z"}"#,
    );
    let new = scene.import(&["import", &scene.text("cb")]);
    let own = new.iter().find(|it| it["hostname"] == "here").unwrap();
    assert!(own["parent"].is_null(), "{own}");
    let listed = run(&scene.home(), 0, &["ls", own["id"].as_str().unwrap()]);
    assert!(listed.contains("two.jsonl") && !listed.contains("own.jsonl"), "{listed}");
    let before = snapshots(&scene.home());
    let live = before.iter().filter(|it| it["job"] == "agents").count();
    scene.write("home/.claude/projects/-own/own2.jsonl", session("/own", "2026-11-21").as_bytes());
    run(&scene.home(), 0, &["backup", "-q"]);
    let after = snapshots(&scene.home());
    let newest =
        after.iter().filter(|it| it["job"] == "agents").max_by_key(|it| it["time"].to_string());
    let newest = newest.unwrap();
    assert_eq!(after.iter().filter(|it| it["job"] == "agents").count(), live + 1);
    let parent = before.iter().find(|it| it["id"] == newest["parent"]).unwrap();
    assert_eq!(parent["job"], "agents");
}
