//! Settings exported from one home and imported into another, through the real program.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops where things are not as they should be"
)]

mod common_agents;

use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common_agents::Home;

fn stash(home: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stash"))
        .args(words)
        .env_clear()
        .env("HOME", home)
        .env("PATH", "/usr/bin:/bin")
        .env("TZ", "UTC")
        .current_dir(home)
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.clone(), output.stderr.clone()].concat()).into_owned()
}

#[track_caller]
fn run(home: &Path, code: i32, words: &[&str]) -> String {
    let output = stash(home, words);
    assert_eq!(output.status.code(), Some(code), "{words:?}: {}", said(&output));
    said(&output)
}

/// A token that looks live, made here so that none stands in this file.
fn token() -> String {
    let mut random = fastrand::Rng::with_seed(3);
    let letters = std::iter::repeat_with(|| random.alphanumeric()).take(36);
    format!("ghp_{}", letters.collect::<String>())
}

/// Returns what plain tar lists.
fn listed(archive: &Path) -> Vec<String> {
    let output = Command::new("tar").arg("-tzf").arg(archive).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// Returns all that is in an archive, as text.
fn unpacked(archive: &Path) -> String {
    let mut text = Vec::new();
    let file = std::fs::File::open(archive).unwrap();
    flate2::read::MultiGzDecoder::new(file).read_to_end(&mut text).unwrap();
    String::from_utf8_lossy(&text).into_owned()
}

fn write(path: impl Into<PathBuf>, text: &str) {
    let path = path.into();
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn read(path: impl Into<PathBuf>) -> String {
    std::fs::read_to_string(path.into()).unwrap()
}

#[test]
fn an_export_holds_the_profile_and_no_credential() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path()).first_row();
    let at = home.folder();
    write(at.join(".claude/agents/reviewer.md"), "be strict");
    std::os::unix::fs::symlink("/etc/hostname", at.join(".claude/agents/elsewhere.md")).unwrap();
    std::os::unix::fs::symlink("reviewer.md", at.join(".claude/agents/inside.md")).unwrap();
    write(
        at.join(".codex/config.toml"),
        &format!("model = \"m\"\n[mcp_servers.db.env]\nDB_TOKEN = \"{}\"\n", token()),
    );
    let said = run(at, 0, &["export-config", "out.tar.gz"]);
    let archive = at.join("out.tar.gz");
    assert_eq!(std::fs::metadata(&archive).unwrap().permissions().mode() & 0o777, 0o600);
    let names = listed(&archive);
    for name in [
        "stash-config.json",
        "claude-code/main/settings.json",
        "claude-code/main/CLAUDE.md",
        "claude-code/main/agents/reviewer.md",
        "claude-code/main/agents/inside.md",
        "claude-code/state",
        "codex/main/config.toml",
    ] {
        assert!(names.iter().any(|it| it == name), "{name} is missing in {names:?}");
    }
    for wrong in ["credentials", "auth.json", ".jsonl", "opencode.db", "plugins/cache", "elsewhere"]
    {
        assert!(!names.iter().any(|it| it.contains(wrong)), "{wrong} in {names:?}");
    }
    let is_database =
        |it: &String| Path::new(it).extension().is_some_and(|end| end == "db" || end == "sqlite");
    assert!(!names.iter().any(is_database), "{names:?}");
    let text = unpacked(&archive);
    for secret in ["not-a-real-token", "user@example.com", token().as_str()] {
        assert!(!text.contains(secret), "{secret} is in the archive");
    }
    assert!(text.contains("numStartups") && text.contains("model = \"m\""));
    assert!(said.contains("claude-code/state: taken out: "), "{said}");
    assert!(said.contains("oauthAccount") && said.contains("mcpServers.db.env.DB_TOKEN"), "{said}");
    assert!(said.contains("elsewhere.md: left out: it is a link that leads elsewhere"), "{said}");
    let again = run(at, 1, &["export-config", "out.tar.gz"]);
    assert!(again.contains("there already"), "{again}");
    let one = run(at, 0, &["export-config", "one.tar.gz", "--agent", "codex"]);
    assert!(one.contains("of codex into"), "{one}");
    assert!(listed(&at.join("one.tar.gz")).iter().all(|it| !it.starts_with("claude")));
}

#[test]
fn a_finding_is_named_and_stops_the_export_until_somebody_decides() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path()).claude_code();
    let at = home.folder();
    write(at.join(".claude/skills/deploy/SKILL.md"), &format!("# Deploy\nuse {}\n", token()));
    let refused = run(at, 2, &["export-config", "out.tar.gz"]);
    assert!(refused.contains("skills/deploy/SKILL.md:2: GitHub token"), "{refused}");
    assert!(!refused.contains(token().get(4..).unwrap()), "{refused}");
    assert!(!at.join("out.tar.gz").exists());
    let leaves = std::fs::read_dir(at)
        .unwrap()
        .filter(|it| it.as_ref().unwrap().file_name().to_string_lossy().starts_with(".tmp"));
    assert_eq!(leaves.count(), 0);
    run(at, 0, &["export-config", "out.tar.gz", "--without-findings"]);
    assert!(!unpacked(&at.join("out.tar.gz")).contains("# Deploy"));
    run(at, 0, &["export-config", "all.tar.gz", "--yes"]);
    assert!(unpacked(&at.join("all.tar.gz")).contains(&token()));
}

#[test]
fn an_import_keeps_what_is_there_and_force_can_be_undone() {
    let folder = tempfile::tempdir().unwrap();
    let from = Home::new(folder.path().join("from")).claude_code();
    write(from.folder().join(".claude/skills/deploy/SKILL.md"), "# Deploy\n");
    let script = from.folder().join(".claude/hooks/run.sh");
    write(&script, "#!/bin/sh\n");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let archive = folder.path().join("x.tar.gz");
    let archive = archive.to_str().unwrap();
    run(from.folder(), 0, &["export-config", archive]);

    // A machine on which no agent has run yet.
    let fresh = folder.path().join("fresh");
    std::fs::create_dir(&fresh).unwrap();
    let refused = run(&fresh, 2, &["import-config", archive]);
    assert!(refused.contains("nobody can be asked"), "{refused}");
    run(&fresh, 0, &["import-config", archive, "--dry-run"]);
    assert!(!fresh.join(".claude").exists() && !fresh.join(".claude.json").exists());
    run(&fresh, 0, &["import-config", archive, "--yes"]);
    assert_eq!(read(fresh.join(".claude/skills/deploy/SKILL.md")), "# Deploy\n");
    let mode = std::fs::metadata(fresh.join(".claude/hooks/run.sh")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o755);
    let again = run(&fresh, 0, &["import-config", archive, "--yes"]);
    assert!(again.contains("imported 0 files"), "{again}");

    // One with an agent that has settings and a sign-in of its own.
    let to = folder.path().join("to");
    let settings = to.join(".claude/settings.json");
    write(&settings, r#"{"own": true, "env": {"API_TOKEN": "here"}}"#);
    write(to.join(".claude/skills/deploy/SKILL.md"), "# Mine\n");
    write(to.join(".claude.json"), r#"{"oauthAccount": {"x": "here"}, "numStartups": 1}"#);
    std::os::unix::fs::symlink("elsewhere.md", to.join(".claude/CLAUDE.md")).unwrap();
    run(&to, 0, &["backup", "-q"]);
    run(&to, 0, &["import-config", archive, "--yes"]);
    assert_eq!(read(to.join(".claude/skills/deploy/SKILL.md")), "# Mine\n");
    assert!(read(&settings).starts_with(r#"{"own": true"#), "kept byte for byte");
    let state = read(to.join(".claude.json"));
    assert!(state.contains("here") && state.contains("projects"), "{state}");
    assert!(to.join(".claude/hooks/run.sh").exists());
    let said = run(&to, 0, &["import-config", archive, "--yes", "--force"]);
    assert!(said.contains("nothing is written through it"), "{said}");
    assert_eq!(read(to.join(".claude/skills/deploy/SKILL.md")), "# Deploy\n");
    assert!(read(&settings).contains("\"here\""), "credentials stay: {}", read(&settings));
    assert!(read(to.join(".claude.json")).contains("here"));
    assert!(to.join(".claude/CLAUDE.md").is_symlink() && !to.join(".claude/elsewhere.md").exists());
    run(&to, 0, &["undo", "--yes"]);
    assert_eq!(read(to.join(".claude/skills/deploy/SKILL.md")), "# Mine\n");
    assert!(read(&settings).starts_with(r#"{"own": true"#));

    // By force, but with nothing to undo it from.
    let alone = folder.path().join("alone");
    write(alone.join(".claude/skills/deploy/SKILL.md"), "# Mine\n");
    let refused = run(&alone, 10, &["import-config", archive, "--yes", "--force"]);
    assert!(refused.contains("run `stash backup` first"), "{refused}");
    assert_eq!(read(alone.join(".claude/skills/deploy/SKILL.md")), "# Mine\n");
}

#[test]
fn what_claude_backup_exports_is_read_and_credentials_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    write(source.join("settings.json"), r#"{"theirs": true}"#);
    write(source.join("agents/a.md"), "agent");
    write(source.join("rules/r.md"), "rule");
    let pack = |name: &str| {
        let archive = folder.path().join(name);
        let mut tar = Command::new("tar");
        tar.arg("-czf").arg(&archive).arg("-C").arg(&source).arg(".");
        assert!(tar.status().unwrap().success());
        archive.to_str().unwrap().to_owned()
    };
    let good = pack("claude-config-2026-02-25.tar.gz");
    let home = folder.path().join("home");
    std::fs::create_dir(&home).unwrap();
    run(&home, 0, &["import-config", &good, "--yes"]);
    assert_eq!(read(home.join(".claude/agents/a.md")), "agent");
    assert_eq!(read(home.join(".claude/rules/r.md")), "rule");
    assert_eq!(read(home.join(".claude/settings.json")), r#"{"theirs": true}"#);
    write(source.join("skills/x/.credentials.json"), "{}");
    write(source.join("agents/new.md"), "new");
    let bad = pack("bad.tar.gz");
    let refused = run(&home, 1, &["import-config", &bad, "--yes"]);
    assert!(refused.contains("credentials"), "{refused}");
    assert!(!home.join(".claude/agents/new.md").exists());
    let strange = folder.path().join("strange");
    write(strange.join("letter.txt"), "x");
    let archive = folder.path().join("strange.tar.gz");
    let mut tar = Command::new("tar");
    assert!(
        tar.arg("-czf").arg(&archive).arg("-C").arg(&strange).arg(".").status().unwrap().success()
    );
    let refused = run(&home, 1, &["import-config", archive.to_str().unwrap(), "--yes"]);
    assert!(refused.contains("looked for: `stash-config.json`"), "{refused}");
}

#[cfg(feature = "age")]
#[test]
fn an_encrypted_export_needs_its_passphrase_or_key() {
    use age::secrecy::ExposeSecret as _;
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path().join("home")).claude_code();
    let at = home.folder();
    let file = |name: &str, text: &str| {
        write(folder.path().join(name), text);
        folder.path().join(name).to_str().unwrap().to_owned()
    };
    let right = file("right", "correct horse battery staple\n");
    let wrong = file("wrong", "another passphrase, wrong\n");
    run(at, 0, &["export-config", "p.age", "--encrypt", "--passphrase-file", &right]);
    let sealed = std::fs::read(at.join("p.age")).unwrap();
    assert!(sealed.starts_with(b"age-encryption.org/v1\n"));
    let fresh = folder.path().join("fresh");
    std::fs::create_dir(&fresh).unwrap();
    let archive = at.join("p.age");
    let archive = archive.to_str().unwrap();
    run(&fresh, 12, &["import-config", archive, "--yes", "--passphrase-file", &wrong]);
    run(&fresh, 12, &["import-config", archive, "--yes"]);
    assert!(!fresh.join(".claude").exists());
    run(&fresh, 0, &["import-config", archive, "--yes", "--passphrase-file", &right]);
    assert!(fresh.join(".claude/settings.json").exists());

    let key = age::x25519::Identity::generate();
    let identity =
        file("key", &format!("# made for a test\n{}\n", key.to_string().expose_secret()));
    let other = age::x25519::Identity::generate();
    let stranger = file("other", &format!("{}\n", other.to_string().expose_secret()));
    let recipient = key.to_public().to_string();
    run(at, 0, &["export-config", "k.age", "--recipient", &recipient]);
    let archive = at.join("k.age");
    let archive = archive.to_str().unwrap();
    run(&fresh, 12, &["import-config", archive, "--yes"]);
    run(&fresh, 12, &["import-config", archive, "--yes", "--identity", &stranger]);
    run(&fresh, 0, &["import-config", archive, "--yes", "--identity", &identity]);
    run(at, 2, &["export-config", "bad.age", "--recipient", "age1nonsense"]);
    let mut cut = sealed;
    cut.truncate(cut.len() - 40);
    std::fs::write(at.join("cut.age"), cut).unwrap();
    let cut = at.join("cut.age");
    let words = ["import-config", cut.to_str().unwrap(), "--yes", "--passphrase-file", &right];
    run(&fresh, 1, &words);
}
