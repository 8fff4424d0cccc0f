use super::super::super::words::SessionShape::GeminiChat;
use std::fmt::Write as _;

use super::{Files, at, hear, one, told};

const PATH: &str = "tmp/shop/chats/session-2026-11-04T08-00-7e3a0000.jsonl";

pub(super) const EXAMPLE: &str = r#"{"sessionId":"7e3a","projectHash":"4c1d","startTime":"2026-11-04T08:00:00.000Z","lastUpdated":"2026-11-04T08:00:00.000Z","kind":"main"}
{"id":"m1","timestamp":"2026-11-04T08:00:05.000Z","type":"user","content":[{"text":"Explain the build cache"}]}
{"id":"m2","timestamp":"2026-11-04T08:00:09.000Z","type":"gemini","content":"It keys on the lockfile.","model":"example-pro","thoughts":[{"subject":"Cache","description":"keys"}],"toolCalls":[{"id":"c","name":"read_file","args":{"path":"a"},"status":"success","result":[{"functionResponse":{"id":"c","name":"read_file","response":{"output":"lock"}}}]}]}
{"id":"m3","timestamp":"2026-11-04T08:00:10.000Z","type":"info","content":"Saved."}
{"$set":{"lastUpdated":"2026-11-04T08:00:19.100Z","summary":"Build cache explanation"}}
"#;

pub(super) const DOCUMENT: &str = r#"{"sessionId":"old","projectHash":"x","startTime":"2026-11-04T08:00:00.000Z","lastUpdated":"2026-11-04T08:01:00.000Z","messages":[
  {"id":"1","timestamp":"2026-11-04T08:00:01.000Z","type":"user","content":"Why?"},
  {"id":"2","timestamp":"2026-11-04T08:00:02.000Z","type":"gemini","content":"Because.","model":"m"}]}"#;

fn lines(text: &str) -> (super::Session, Vec<super::Turn>) {
    one(GeminiChat, PATH, &[(PATH, text)])
}

#[test]
fn messages_patches_and_tools_make_a_session() {
    let (session, turns) = lines(EXAMPLE);
    assert_eq!(
        told(&turns),
        [
            "User: Explain the build cache",
            "Assistant: (Cache\nkeys) | It keys on the lockfile. | read_file[c] {\"path\":\"a\"}",
            "Tool: [c] lock",
            "System: Saved.",
        ]
    );
    assert_eq!((&*session.id, session.turns), ("7e3a", 2));
    assert_eq!(session.title.as_deref(), Some("Build cache explanation"));
    assert_eq!(session.model.as_deref(), Some("example-pro"));
    assert_eq!(
        (at(session.started), at(session.last)),
        ("2026-11-04T08:00:00Z".into(), "2026-11-04T08:00:19Z".into())
    );
    assert_eq!(session.gaps, super::super::Gaps::default());
}

#[test]
fn a_rewind_drops_and_what_is_written_again_replaces() {
    let text = r#"{"sessionId":"s"}
{"id":"a","type":"user","content":"dropped title"}
{"$rewindTo":"a"}
{"id":"b","type":"user","content":"one"}
{"id":"c","type":"gemini","content":"tw"}
{"id":"d","type":"user","content":"three"}
{"id":"c","type":"gemini","content":"two"}
{"id":"e","type":"gemini","content":"four"}
{"$rewindTo":"e"}
{"$rewindTo":"never was"}"#;
    let (session, turns) = lines(text);
    assert_eq!(told(&turns), ["User: one", "Assistant: two", "User: three"]);
    assert_eq!((session.turns, session.title.as_deref()), (3, Some("one")));
}

#[test]
fn a_patch_may_replace_all_messages() {
    let text = r#"{"sessionId":"s"}
{"id":"a","type":"user","content":"gone"}
{"$set":{"messages":[{"id":"x","type":"user","content":"kept"}]}}
{"id":"y","type":"gemini","content":"new"}
{"nothing":"known"}"#;
    let (session, turns) = lines(text);
    assert_eq!(told(&turns), ["User: kept", "Assistant: new"]);
    assert_eq!(session.gaps.unknown_records, 1);
}

#[test]
fn a_file_too_large_to_hold_is_read_again_for_what_counts() {
    let words = "w".repeat(1 << 20);
    let mut text = String::from("{\"sessionId\":\"s\"}\n");
    for number in 0..24 {
        writeln!(
            text,
            "{{\"id\":\"{number}\",\"type\":\"user\",\"content\":\"{number} {words}\"}}"
        )
        .unwrap();
    }
    text += "{\"$rewindTo\":\"22\"}\n{\"id\":\"21\",\"type\":\"user\",\"content\":\"again\"}\n";
    let (session, turns) = lines(&text);
    assert_eq!((session.turns, turns.len()), (22, 22));
    assert!(told(&turns)[20].starts_with("User: 20 ww") && told(&turns)[21] == "User: again");
}

#[test]
fn the_project_is_told_by_a_marker_or_by_the_register() {
    let register = r#"{"projects":{"/home/user/else":"else","/home/user/code/shop":"shop"}}"#;
    let files = [(PATH, EXAMPLE), ("projects.json", register)];
    let project = |files: &[(&str, &str)]| one(GeminiChat, PATH, files).0.project;
    assert_eq!(project(&files).as_deref(), Some("/home/user/code/shop"));
    let marked = [&files[..], &[("tmp/shop/.project_root", "/home/user/moved\n")]].concat();
    assert_eq!(project(&marked).as_deref(), Some("/home/user/moved"));
    assert_eq!(project(&[(PATH, EXAMPLE)]), None);
}

#[test]
fn a_document_of_before_is_read_unless_the_same_chat_is_there_in_lines() {
    let path = "tmp/shop/chats/session-old.json";
    let (session, turns) = one(GeminiChat, path, &[(path, DOCUMENT)]);
    assert_eq!(
        (&*session.id, told(&turns)),
        ("old", vec!["User: Why?".to_owned(), "Assistant: Because.".to_owned()])
    );
    assert_eq!(at(session.last), "2026-11-04T08:01:00Z");
    let both = Files::of(&[(path, DOCUMENT), ("tmp/shop/chats/session-old.jsonl", EXAMPLE)]);
    assert!(hear(GeminiChat, path, &both).sessions.is_empty());
}

#[test]
fn a_subagents_chat_lies_in_a_folder_named_after_its_parent() {
    let path = "tmp/shop/chats/7e3a/sub-1.jsonl";
    let text = r#"{"sessionId":"7e3a","kind":"subagent"}
{"id":"1","type":"user","content":"look"}"#;
    let (session, _) = one(GeminiChat, path, &[(path, text), ("tmp/shop/.project_root", "/p")]);
    assert_eq!((&*session.id, session.parent.as_deref()), ("sub-1", Some("7e3a")));
    assert_eq!(session.project.as_deref(), Some("/p"));
}
