//! `sessions export` and `sessions forget` through the real program.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::format_push_string,
    clippy::items_after_statements,
    clippy::panic,
    reason = "a test stops where things are not as they should be"
)]

mod common_agents;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common_agents::Home;
use serde_json::Value;

/// Runs the program in a home, with nothing else in its environment; nobody can be asked.
fn stash(home: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stash"))
        .args(words)
        .current_dir(home)
        .env_clear()
        .env("HOME", home)
        .env("PATH", "/usr/bin:/bin")
        .env("TZ", "UTC")
        .output()
        .unwrap()
}

fn done(home: &Path, words: &[&str]) -> String {
    let output = stash(home, words);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// Returns what a command that must fail with this exit code says on stderr.
fn refused(home: &Path, words: &[&str], code: i32) -> String {
    let output = stash(home, words);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{words:?}: {said}");
    assert!(output.stdout.is_empty(), "{words:?}: {}", String::from_utf8_lossy(&output.stdout));
    said
}

const CLAUDE: &str = "5c0d2b7e-1111-4a6b-9a10-aaaaaaaaaaaa";
/// A second session in the same project.
const OTHER: &str = "77770000-0000-4000-8000-000000000000";

/// Adds a session of Claude Code with these words of the user's.
fn add_session(home: &Home, id: &str, words: &[&str]) -> PathBuf {
    let slug: String = home
        .project()
        .to_str()
        .unwrap()
        .chars()
        .map(|it| if it.is_ascii_alphanumeric() { it } else { '-' })
        .collect();
    let folder = home.folder().join(".claude/projects").join(slug);
    std::fs::create_dir_all(&folder).unwrap();
    let mut text = String::new();
    for (number, words) in words.iter().enumerate() {
        let line = serde_json::json!({
            "type": "user", "sessionId": id, "cwd": home.project(), "uuid": format!("u-{number}"),
            "timestamp": format!("2026-11-03T08:0{number}:00.000Z"),
            "message": {"role": "user", "content": words},
        });
        text.push_str(&format!("{line}\n"));
    }
    let path = folder.join(format!("{id}.jsonl"));
    std::fs::write(&path, text).unwrap();
    path
}

fn files_in(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap();
    let names = names.map(|it| it.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|it| !it.starts_with('.') && it != "code").collect();
    names.sort();
    names
}

#[test]
fn a_session_becomes_markdown_a_page_or_a_document() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path()).claude_code().opencode();
    let at = home.folder();
    for (id, agent, title, words) in [
        (CLAUDE, "claude-code", "Rounding in the basket", "Why does the basket lose a cent?"),
        ("ses_01", "opencode", "Importer tries again", "Let it try again"),
    ] {
        let markdown = done(at, &["sessions", "export", id]);
        assert!(markdown.starts_with(&format!("# {title}\n")), "{markdown}");
        assert!(markdown.contains("\n## 1. you, 2026-1"), "{markdown}");
        assert!(markdown.contains(&format!("\n{words}\n")), "{markdown}");
        let page = done(at, &["sessions", "export", id, "--format", "html"]);
        assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"), "{page}");
        assert!(
            page.contains(&format!("<title>{title}</title>")) && page.contains(words),
            "{page}"
        );
        assert!(page.contains("default-src 'none'") && !page.contains("http://"), "{page}");
        assert!(page.contains("prefers-color-scheme: dark") && page.contains("type=\"search\""));
        let document = done(at, &["sessions", "export", id, "-f", "json"]);
        let document: Value = serde_json::from_str(&document).unwrap();
        assert_eq!(document["session"]["agent"], agent);
        // What `show` says, turn for turn.
        let shown = done(at, &["show", "--json", id]);
        let shown = shown.lines().skip(1).map(|line| {
            let mut turn: Value = serde_json::from_str(line).unwrap();
            turn.as_object_mut().unwrap().remove("message_type");
            turn
        });
        assert_eq!(document["turns"].as_array().unwrap(), &shown.collect::<Vec<_>>());
    }
    let markdown = done(at, &["sessions", "export", CLAUDE]);
    assert!(markdown.contains("<details>\n<summary>Read: <code>{"), "{markdown}");
    // One that is only in a snapshot.
    done(at, &["backup", "-q"]);
    std::fs::remove_dir_all(at.join(".claude/projects")).unwrap();
    assert_eq!(done(at, &["sessions", "export", CLAUDE]), markdown);
    assert_eq!(done(at, &["sessions", "export", CLAUDE, "--at", "now"]), markdown);
}

#[test]
fn a_file_is_private_new_and_whole_or_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path()).claude_code();
    let at = home.folder();
    let said = done(at, &["sessions", "export", CLAUDE, "--output", "talk.html"]);
    assert!(said.starts_with("wrote 2 turns into `"), "{said}");
    let file = at.join("talk.html");
    let written = std::fs::read_to_string(&file).unwrap();
    assert!(written.starts_with("<!DOCTYPE html>"), "{written}");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let said = refused(at, &["sessions", "export", CLAUDE, "-o", "talk.html"], 1);
    assert!(said.contains("there already"), "{said}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), written);
    let said = done(at, &["--json", "sessions", "export", CLAUDE, "-o", "talk.json"]);
    let told: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        (&told["message_type"], &told["format"], &told["turns"]),
        (&"session_export_summary".into(), &"json".into(), &2.into())
    );
    assert_eq!(files_in(at), ["talk.html", "talk.json"]);
}

#[test]
fn whatever_a_transcript_holds_is_text_on_the_page() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path()).claude_code();
    let at = home.folder();
    const EVIL: [&str; 3] = [
        "</title></style><script>alert(1)</script>",
        "\"><img src=x onerror=\"alert(2)\"> '><svg onload='alert(3)'>",
        "```\n</code></pre><iframe src=//example.com>\n```\n<!-- &lt;b&gt; \u{1b}]0;x\u{7}",
    ];
    add_session(&home, OTHER, &EVIL);
    add_session(&home, "88880000-0000-4000-8000-000000000000", &["a", "b", "```\nc\n```\nd"]);
    let tags = |html: &str| -> Vec<String> {
        let pieces = html.split('<').skip(1);
        pieces.map(|it| it.split('>').next().unwrap().to_owned()).collect()
    };
    let page = |id: &str| done(at, &["sessions", "export", id, "--format", "html"]);
    let (evil, plain) = (page(OTHER), page("8888"));
    assert_eq!(tags(&evil), tags(&plain));
    assert!(evil.contains("&lt;script&gt;alert(1)&lt;/script&gt;") && evil.contains("&amp;lt;b"));
    assert!(!evil.contains(['\u{1b}', '\u{7}']));
    let markdown = done(at, &["sessions", "export", OTHER]);
    assert!(!markdown.contains("<script") && !markdown.contains("<!--"), "{markdown}");
    assert!(markdown.contains("```\n</code></pre><iframe"), "code stays as it is: {markdown}");
}

/// An invented key, of the form that is found.
fn invented_key() -> String {
    format!("ghp_{}", "x7Kq2mZ9Lw4Rt8Yb3Nc6Vd1Hs5Jf0Pg2Qa4E")
}

#[test]
fn a_key_stops_the_export_unless_it_is_removed_or_meant() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path()).claude_code();
    let at = home.folder();
    let key = invented_key();
    add_session(&home, OTHER, &["Look", &format!("Use {key} or {key}, please"), "Thanks"]);
    for format in ["md", "html", "json"] {
        let words = ["sessions", "export", OTHER, "--format", format];
        let said = refused(at, &words, 2);
        assert!(said.contains("turn 2: this looks like a credential: "), "{said}");
        assert!(said.contains("--without-findings") && said.contains("--yes"), "{said}");
        assert!(!said.contains(&key[4..]), "{said}");
        let said = refused(at, &[&words[..], &["-o", "talk"]].concat(), 2);
        assert!(said.contains("nothing was written"), "{said}");
        assert_eq!(files_in(at), [""; 0], "{format}");
        let clean = done(at, &[&words[..], &["--without-findings"]].concat());
        assert!(!clean.contains(&key[4..]), "{clean}");
        assert_eq!(clean.matches("[removed: ").count(), 2, "{clean}");
        assert!(clean.contains("Look") && clean.contains("Thanks") && clean.contains(", please"));
        assert_eq!(done(at, &[&words[..], &["--yes"]].concat()).matches(&key).count(), 2);
    }
    // One in the title stands above the turns, too.
    add_session(&home, "88880000-0000-4000-8000-000000000000", &[&key]);
    assert!(refused(at, &["sessions", "export", "8888"], 2).contains("above the turns"));
    let clean = done(at, &["sessions", "export", "8888", "--without-findings", "-f", "html"]);
    assert!(!clean.contains(&key[4..]), "{clean}");
}

fn stored(at: &Path) -> u64 {
    let repository = at.join(".local/share/stash/repository");
    let files = common_agents::files_below(&repository);
    assert!(!files.is_empty());
    files.iter().map(|it| std::fs::metadata(repository.join(it)).unwrap().len()).sum()
}

/// Ids of all sessions that are listed.
fn listed(at: &Path) -> Vec<String> {
    let said = done(at, &["sessions", "--json", "--all"]);
    let rows: Value = serde_json::from_str(&said).unwrap();
    rows.as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

fn snapshot_ids(at: &Path) -> Vec<String> {
    let rows: Value = serde_json::from_str(&done(at, &["snapshots", "--json"])).unwrap();
    rows.as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

/// Words that do not compress.
fn noise(letters: usize) -> String {
    let mut state = 7_u64;
    let mut letter = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b'a' + u8::try_from((state >> 33) % 26).unwrap())
    };
    (0..letters).map(|place| if place % 9 == 8 { ' ' } else { letter() }).collect()
}

#[test]
fn a_forgotten_session_is_gone_from_all_snapshots_and_a_prune_frees_it() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path()).claude_code();
    let at = home.folder();
    let long = noise(400_000);
    let file = add_session(&home, OTHER, &["Second", &long]);
    let beside = file.with_extension("").join("tool-results/toolu_9.txt");
    std::fs::create_dir_all(beside.parent().unwrap()).unwrap();
    std::fs::write(&beside, "the answer of a tool").unwrap();
    done(at, &["backup", "-q", "--host", "desk"]);
    done(at, &["backup", "-q"]);
    std::fs::write(at.join(".claude/CLAUDE.md"), "other words").unwrap();
    done(at, &["backup", "-q"]);
    let before = (snapshot_ids(at), stored(at), listed(at));
    assert_eq!(before.0.len(), 3);
    let kept = done(at, &["show", "--json", CLAUDE]);

    let said = done(at, &["sessions", "forget", "7777", "--dry-run"]);
    assert!(said.contains("Second") && said.contains("taken out of 3 snapshots"), "{said}");
    assert!(said.contains(&format!("{OTHER}.jsonl")), "{said}");
    let said = refused(at, &["sessions", "forget", "7777", "-q"], 2);
    assert!(said.contains("--dry-run") && said.contains("--yes"), "{said}");
    assert_eq!((snapshot_ids(at), stored(at), listed(at)), before, "nothing was written");

    let output = stash(at, &["sessions", "forget", "7777", "--yes"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("still lies on this machine") && said.contains("buckets that lock"));
    assert!(said.contains("`desk` had it as well"), "{said}");
    assert!(file.exists(), "what is on the disk stays");
    let rows: Value = serde_json::from_str(&done(at, &["sessions", "--json"])).unwrap();
    let rows = rows.as_array().unwrap().iter();
    let states: Vec<&Value> =
        rows.filter(|row| row["id"] == OTHER).map(|row| &row["state"]).collect();
    assert_eq!(states, ["not saved"]);

    std::fs::remove_file(&file).unwrap();
    std::fs::remove_dir_all(file.with_extension("")).unwrap();
    assert!(!listed(at).contains(&OTHER.to_owned()));
    refused(at, &["show", OTHER], 1);
    let after = snapshot_ids(at);
    assert_eq!(after.len(), 3);
    assert!(after.iter().all(|id| !before.0.contains(id)), "all were written anew");
    for name in [format!("{OTHER}.jsonl"), OTHER.to_owned(), "toolu_9.txt".to_owned()] {
        let found = stash(at, &["find", "--json", &name]);
        assert!(!String::from_utf8_lossy(&found.stdout).contains(&name), "{found:?}");
    }
    assert!(done(at, &["find", &format!("{CLAUDE}.jsonl")]).contains(CLAUDE));
    assert_eq!(done(at, &["show", "--json", CLAUDE]), kept);
    done(at, &["check", "--read-data"]);

    done(at, &["prune", "--max-unused", "0"]);
    let freed = before.1.saturating_sub(stored(at));
    assert!(freed > 150_000, "{freed}");
    // It does not come back by what is carried on from older snapshots.
    done(at, &["backup", "-q"]);
    assert!(!listed(at).contains(&OTHER.to_owned()));
    assert!(
        refused(at, &["sessions", "forget", OTHER, "--yes"], 1).contains("no session has an id")
    );
}

#[test]
fn a_session_in_a_database_of_many_is_refused_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path()).opencode().claude_code();
    let at = home.folder();
    assert!(refused(at, &["sessions", "forget", CLAUDE, "--yes"], 10).contains("nothing is saved"));
    done(at, &["backup", "-q"]);
    let before = snapshot_ids(at);
    // One that can't be taken out stops all.
    let said = refused(at, &["sessions", "forget", CLAUDE, "ses_01", "--yes"], 2);
    assert!(said.contains("many sessions in one file") && said.contains("opencode.db"), "{said}");
    assert!(said.contains("stash forget --path"), "{said}");
    assert_eq!(snapshot_ids(at), before);
    assert!(listed(at).contains(&CLAUDE.to_owned()));
    // One that is not saved at all.
    add_session(&home, OTHER, &["Second"]);
    assert!(refused(at, &["sessions", "forget", OTHER, "--yes"], 1).contains("no snapshot holds"));
}

#[test]
fn a_session_of_many_small_files_goes_with_all_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path()).opencode();
    let at = home.folder();
    let storage = at.join(".local/share/opencode/storage");
    let put = |path: &str, text: &str| {
        let path = storage.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    put("session/global/ses_70.json", r#"{"id":"ses_70","title":"Old form"}"#);
    put("message/ses_70/msg_70.json", r#"{"id":"msg_70","sessionID":"ses_70","role":"user"}"#);
    put("part/msg_70/prt_70.json", r#"{"id":"prt_70","type":"text","text":"hello"}"#);
    put("message/ses_71/msg_71.json", r#"{"id":"msg_71","sessionID":"ses_71","role":"user"}"#);
    put("part/msg_71/prt_71.json", r#"{"id":"prt_71","type":"text","text":"stays"}"#);
    done(at, &["backup", "-q"]);
    done(at, &["sessions", "forget", "ses_70", "--yes"]);
    for (name, stays) in [("ses_70.json", false), ("prt_70.json", false), ("prt_71.json", true)] {
        let found = stash(at, &["find", "--json", name]);
        assert_eq!(String::from_utf8_lossy(&found.stdout).contains(name), stays, "{name}");
    }
}
