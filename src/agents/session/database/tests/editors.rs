//! Cursor and Zed.

use super::*;
use crate::agents::SessionShape::{CursorKv, CursorStore, ZedDb};
use crate::agents::session::Gaps;

fn cursor() -> Connection {
    memory(
        r#"CREATE TABLE ItemTable(key TEXT UNIQUE ON CONFLICT REPLACE, value BLOB);
        CREATE TABLE cursorDiskKV(key TEXT UNIQUE ON CONFLICT REPLACE, value BLOB);
        INSERT INTO cursorDiskKV VALUES('bubbleId:c1:b2','{"type":2,"bubbleId":"b2","thinking":{"text":"Hm"},"text":"","createdAt":"2026-11-08T10:00:05.000Z","modelInfo":{"modelName":"example"}}');
        INSERT INTO cursorDiskKV VALUES('bubbleId:c1:b1','{"type":1,"bubbleId":"b1","text":"Add a retry","createdAt":"2026-11-08T10:00:00.000Z","workspaceProjectDir":"/home/user/.cursor/projects/shop","workspaceUris":["file:///home/user/code/my%20shop"],"images":[{"mimeType":"image/png","data":"AAAA"}]}');
        INSERT INTO cursorDiskKV VALUES('bubbleId:c1:b3','{"type":2,"bubbleId":"b3","text":"Looking.","toolFormerData":{"tool":15,"toolCallId":"t1","name":"run","rawArgs":"{\"command\":\"ls\"}","status":"completed","result":"{\"output\":\"a\"}"}}');
        INSERT INTO cursorDiskKV VALUES('bubbleId:c1:b4','{"type":2,"bubbleId":"b4","toolFormerData":{"toolCallId":"t2","name":"rm","params":"{}","status":"cancelled"}}');
        INSERT INTO cursorDiskKV VALUES('bubbleId:c1:b5','{"type":9}');
        INSERT INTO cursorDiskKV VALUES('bubbleId:c10:b1','{"type":1,"text":"of another"}');
        INSERT INTO cursorDiskKV VALUES('checkpointId:c1','{}');
        INSERT INTO cursorDiskKV VALUES('composerData:c1','{"composerId":"c1","name":"Importer retry","createdAt":1794132000000,"lastUpdatedAt":1794132300000,
          "fullConversationHeadersOnly":[{"bubbleId":"b1","type":1},{"bubbleId":"b2","type":2},{"bubbleId":"b3","type":2},{"bubbleId":"b4","type":2},{"bubbleId":"b5","type":2},{"bubbleId":"gone","type":2}]}');
        INSERT INTO cursorDiskKV VALUES('composerData:c2','{"composerId":"c2","name":"","createdAt":1794132000000,"conversation":[{"type":1,"text":"Old form"},{"type":2,"text":"Yes."}]}');
        INSERT INTO cursorDiskKV VALUES('composerData:c3',NULL);"#,
    )
}

#[test]
fn cursors_messages_come_in_the_order_of_the_headers() {
    let found = read(CursorKv, &cursor());
    let (session, turns) = found.find("c1");
    assert_eq!(
        lines(turns),
        [
            "User: Add a retry | <image/png 4>",
            "Assistant: (Hm)",
            "Assistant: Looking. | run[t1]{\"command\":\"ls\"}",
            "Tool: ->[t1]{\"output\":\"a\"}",
            "Assistant: rm[t2]{}",
            "Tool: ->[t2]!",
        ]
    );
    assert_eq!(session.title.as_deref(), Some("Importer retry"));
    assert_eq!(session.project.as_deref(), Some("/home/user/code/my shop"));
    assert_eq!(session.model.as_deref(), Some("example"));
    assert_eq!(session.started.unwrap().to_rfc3339(), "2026-11-08T10:00:00Z");
    assert_eq!(session.last.unwrap().to_rfc3339(), "2026-11-08T10:05:00Z");
    assert_eq!(session.gaps, Gaps { unknown_records: 1, bad_records: 1, ..Gaps::default() });
    let (session, turns) = found.find("c2");
    assert_eq!(lines(turns), ["User: Old form", "Assistant: Yes."]);
    assert_eq!(session.title.as_deref(), Some("Old form"));
    assert_eq!(found.find("c3").0.gaps.bad_records, 1);
}

#[test]
fn a_message_of_cursor_written_again_changes_one_revision_without_reading_values() {
    let connection = cursor();
    let before = revisions(CursorKv, &connection);
    connection
        .execute_batch("INSERT INTO cursorDiskKV SELECT key, value FROM cursorDiskKV WHERE key = 'bubbleId:c1:b2'")
        .unwrap();
    let after = revisions(CursorKv, &connection);
    assert_ne!(before[0], after[0]);
    assert_eq!(before[1..], after[1..]);
    let plans = plans(|| drop(revisions(CursorKv, &connection)));
    assert!(plans.iter().any(|it| it.contains("COVERING INDEX")), "{plans:?}");
    assert!(!plans.iter().any(|it| it.starts_with("SCAN cursorDiskKV")), "{plans:?}");
}

/// Makes the list of blobs that a chat's root is.
fn list(names: &[&str]) -> String {
    let fields = names.iter().map(|name| format!("0a20{name}"));
    fields.chain(["1001".to_owned(), "1a03616263".to_owned()]).collect()
}

fn chat(root: &str) -> Connection {
    let id = |digit: &str| digit.repeat(64);
    let about = format!(
        r#"{{"agentId":"chat-9","latestRootBlobId":"{root}","name":"New Agent","createdAt":1794132000000,"lastUsedModel":"example"}}"#
    );
    let hex: Vec<_> = about.bytes().map(|byte| format!("{byte:02x}")).collect();
    let connection = memory(
        "CREATE TABLE blobs(id TEXT PRIMARY KEY, data BLOB); CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT);",
    );
    connection.execute("INSERT INTO meta VALUES('0', ?1)", [hex.concat()]).unwrap();
    for (name, data) in [
        (
            "3",
            r#"{"role":"assistant","id":"1","content":[{"type":"reasoning","text":"Hm"},{"type":"text","text":"Looking."},{"type":"tool-call","toolCallId":"t1","toolName":"Read","args":{"path":"a"}}]}"#,
        ),
        (
            "4",
            r#"{"role":"tool","content":[{"type":"tool-result","toolCallId":"t1","toolName":"Read","result":"code"}]}"#,
        ),
        (
            "1",
            r#"{"role":"user","content":"<user_info>\nWorkspace Path: /home/user/code/shop\n</user_info>"}"#,
        ),
        (
            "2",
            r#"{"role":"user","content":[{"type":"text","text":"<system_reminder>x</system_reminder>\n<user_query>\nAdd a retry\n</user_query>"}]}"#,
        ),
        ("5", r#"{"role":"user","content":"left by a rewind"}"#),
    ] {
        connection
            .execute("INSERT INTO blobs VALUES(?1, CAST(?2 AS BLOB))", [&id(name), data])
            .unwrap();
    }
    let inner = list(&[&id("2"), &id("3"), &id("a")]);
    let outer = list(&[&id("1"), &id("b"), &id("4"), &id("9")]);
    for (name, data) in [("b", inner), ("a", outer)] {
        connection
            .execute(&format!("INSERT INTO blobs VALUES(?1, x'{data}')"), [id(name)])
            .unwrap();
    }
    connection
}

#[test]
fn a_chat_of_cursor_is_read_along_its_graph_even_if_that_is_a_circle() {
    let found = read(CursorStore, &chat(&"a".repeat(64)));
    let (session, turns) = found.find("chat-9");
    assert_eq!(
        lines(turns),
        [
            "System: <user_info>\nWorkspace Path: /home/user/code/shop\n</user_info>",
            "User: Add a retry",
            "Assistant: (Hm) | Looking. | Read[t1]{\"path\":\"a\"}",
            "Tool: ->[t1]code",
        ]
    );
    assert_eq!(session.title.as_deref(), Some("Add a retry"));
    assert_eq!(session.project.as_deref(), Some("/home/user/code/shop"));
    assert_eq!((session.revision, session.turns), (0, 2));
    assert_eq!(session.gaps, Gaps::default());
}

#[test]
fn a_chat_without_a_graph_is_read_as_it_was_inserted() {
    let found = read(CursorStore, &chat("nowhere"));
    let turns = lines(&found.find("chat-9").1);
    assert_eq!(turns.len(), 5);
    assert!(turns[0].starts_with("Assistant") && turns[4].ends_with("rewind"));

    let bare = memory("CREATE TABLE blobs(id TEXT, data BLOB)");
    let found = read(CursorStore, &bare);
    assert!(found.find("chat-1").0.gaps.is_other_schema);
}

fn zed() -> Connection {
    let newer = r#"{"title":"Importer retry","version":"0.3.0","updated_at":"2026-11-08T10:05:00Z","model":{"provider":"p","model":"example"},"messages":[
        {"User":{"id":"u1","content":[{"Text":"Add a retry"},{"Mention":{"uri":{"File":{}},"content":"fn main"}},{"Image":{"source":"AAAA","size":null}}]}},
        {"Agent":{"content":[{"Thinking":{"text":"Hm","signature":null}},{"Text":"Looking."},{"ToolUse":{"id":"t1","name":"read","raw_input":"{}","input":{"path":"a"},"is_input_complete":true}},{"RedactedThinking":"x"}],
          "tool_results":{"t1":{"tool_use_id":"t1","tool_name":"read","is_error":false,"content":{"Text":"code"},"output":null},"t2":{"is_error":true,"content":"no"}}}},
        "Resume",{"Riddle":{}}]}"#;
    let older = r#"{"version":"0.2.0","summary":"Old","updated_at":"2026-11-08T10:05:00Z","messages":[
        {"id":0,"role":"user","segments":[{"type":"text","text":"Hello"}],"tool_uses":[],"tool_results":[]},
        {"id":1,"role":"assistant","segments":[{"type":"thinking","text":"Hm"},{"type":"text","text":"Yes."}],"tool_uses":[{"id":"t1","name":"ls","input":{}}],"tool_results":[]},
        {"id":2,"role":"user","segments":[],"tool_results":[{"tool_use_id":"t1","is_error":false,"content":"a"}]},
        {"id":3,"role":"user","text":"the oldest form"}]}"#;
    let connection = memory(
        "CREATE TABLE threads(id TEXT PRIMARY KEY, summary TEXT NOT NULL, updated_at TEXT NOT NULL, data_type TEXT NOT NULL, data BLOB NOT NULL, parent_id TEXT, folder_paths TEXT, folder_paths_order TEXT, created_at TEXT)",
    );
    let insert = "INSERT INTO threads VALUES(?1, ?2, '2026-11-08T10:05:00+00:00', ?3, ?4, NULL, ?5, NULL, NULL)";
    let packed = zstd::bulk::compress(newer.as_bytes(), 3).unwrap();
    let half = &packed[..packed.len() / 2];
    connection
        .execute(
            insert,
            ("z1", "Importer retry", "zstd", &packed, "/home/user/code/shop\n/home/user/b"),
        )
        .unwrap();
    connection.execute(insert, ("z2", "", "json", older.as_bytes(), None::<String>)).unwrap();
    connection.execute(insert, ("z3", "Torn", "zstd", half, None::<String>)).unwrap();
    connection.execute(insert, ("z4", "Strange", "brotli", "x", None::<String>)).unwrap();
    connection
}

#[test]
fn zeds_threads_of_both_versions_are_read_packed_or_not() {
    let found = read(ZedDb, &zed());
    let (session, turns) = found.find("z1");
    assert_eq!(
        lines(turns),
        [
            "User: Add a retry | fn main | <image/png 4>",
            "Assistant: (Hm) | Looking. | read[t1]{\"path\":\"a\"}",
            "Tool: ->[t1]code",
            "Tool: ->[t2]!no",
        ]
    );
    assert_eq!(session.project.as_deref(), Some("/home/user/code/shop"));
    assert_eq!(session.model.as_deref(), Some("example"));
    assert_eq!(session.gaps, Gaps { unknown_records: 1, ..Gaps::default() });
    let (session, turns) = found.find("z2");
    assert_eq!(
        lines(turns),
        [
            "User: Hello",
            "Assistant: (Hm) | Yes. | ls[t1]{}",
            "Tool: ->[t1]a",
            "User: the oldest form",
        ]
    );
    assert_eq!((session.title.as_deref(), session.turns), (Some("Old"), 3));
    let torn = found.find("z3").0.gaps;
    assert!(torn.is_torn || torn.bad_records > 0);
    assert!(found.find("z4").0.gaps.bad_records > 0);
}

#[test]
fn a_thread_that_unpacks_to_a_gigabyte_costs_little() {
    let connection = memory(
        "CREATE TABLE threads(id TEXT PRIMARY KEY, summary TEXT, updated_at TEXT, data_type TEXT, data BLOB)",
    );
    let mut bomb = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
    std::io::Write::write_all(&mut bomb, b"{\"messages\":[{\"User\":{\"content\":[{\"Text\":\"")
        .unwrap();
    for _ in 0..300 {
        std::io::Write::write_all(&mut bomb, &vec![b'x'; 1 << 20]).unwrap();
    }
    let bomb = bomb.finish().unwrap();
    connection.execute("INSERT INTO threads VALUES('z','t','','zstd',?1)", [bomb]).unwrap();
    let found = read(ZedDb, &connection);
    let (session, turns) = found.find("z");
    assert_eq!(session.gaps.cut_values, 1);
    assert!(matches!(&turns[0].parts[0], Part::Text(text) if text.len() == 256 << 10));
}

#[test]
fn values_altered_at_random_are_read_as_far_as_they_go() {
    mutated::survives(CursorKv, cursor);
    mutated::survives(CursorStore, || chat(&"a".repeat(64)));
    mutated::survives(ZedDb, zed);
}
