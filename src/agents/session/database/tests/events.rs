//! `OpenClaw`.

use super::*;
use crate::agents::SessionShape::OpenclawDb;
use crate::agents::session::Gaps;

const LINES: [&str; 9] = [
    r#"{"type":"session","version":3,"id":"w1","timestamp":"2026-11-05T07:00:00.000Z","cwd":"/home/user/.openclaw/workspace"}"#,
    r#"{"type":"message","id":"e1","parentId":null,"timestamp":"2026-11-05T07:00:02.000Z","message":{"role":"user","content":[{"type":"text","text":"Remind me at noon"},{"type":"image","data":"AAAA","mimeType":"image/png"}]}}"#,
    r#"{"type":"message","id":"e2","parentId":"e1","timestamp":"2026-11-05T07:00:05.000Z","message":{"role":"assistant","model":"example","content":[{"type":"thinking","thinking":"Hm"},{"type":"text","text":"Scheduling."},{"type":"toolCall","id":"t1","name":"cron","arguments":{"at":"noon"}}]}}"#,
    r#"{"type":"message","id":"e3","parentId":"e2","timestamp":"2026-11-05T07:00:06.000Z","message":{"role":"toolResult","toolCallId":"t1","toolName":"cron","content":[{"type":"text","text":"ok"}],"isError":false}}"#,
    r#"{"type":"message","id":"e4","parentId":"e3","timestamp":"2026-11-05T07:00:07.000Z","message":{"role":"bashExecution","command":"ls","output":"a","exitCode":0}}"#,
    r#"{"type":"compaction","id":"e5","parentId":"e4","timestamp":"2026-11-05T09:00:00.000Z","summary":"Reminder set"}"#,
    r#"{"type":"thinking_level_change","id":"e6","parentId":"e5","timestamp":"2026-11-05T09:00:00.000Z","thinkingLevel":"high"}"#,
    r#"{"type":"riddle","id":"e7"}"#,
    r#"{"type":"message","id":"e8","message":{"role":"user","content":"Thanks"}}"#,
];

const TURNS: [&str; 7] = [
    "User: Remind me at noon | <image/png 4>",
    "Assistant: (Hm) | Scheduling. | cron[t1]{\"at\":\"noon\"}",
    "Tool: ->[t1]ok",
    "User: bash[]ls",
    "Tool: ->[]a",
    "System: =Reminder set=",
    "User: Thanks",
];

fn openclaw() -> Connection {
    let connection = memory(
        "CREATE TABLE schema_meta(role TEXT PRIMARY KEY, schema_version INTEGER, agent_id TEXT);
        CREATE TABLE session_nodes(session_key TEXT PRIMARY KEY, current_session_id TEXT, entry_json TEXT, updated_at INTEGER,
          status TEXT, label TEXT, display_name TEXT, created_at INTEGER, archived_at INTEGER, last_activity_at INTEGER);
        CREATE TABLE session_windows(session_id TEXT NOT NULL PRIMARY KEY, session_key TEXT NOT NULL, reason TEXT,
          created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL, started_at INTEGER, ended_at INTEGER, channel TEXT, model TEXT, display_name TEXT) STRICT;
        CREATE TABLE transcript_events(session_id TEXT NOT NULL, seq INTEGER NOT NULL, event_json TEXT NOT NULL,
          created_at INTEGER NOT NULL, PRIMARY KEY (session_id, seq)) STRICT;
        CREATE TABLE session_transcript_archives(session_id TEXT NOT NULL, generation TEXT NOT NULL, session_key TEXT, reason TEXT,
          encoding TEXT, archive_blob BLOB, archive_sha256 TEXT, archive_name TEXT, created_at INTEGER, published_at INTEGER,
          PRIMARY KEY (session_id, generation));
        INSERT INTO session_nodes(session_key,current_session_id,updated_at,display_name) VALUES('agent:main:main','w1',1793862000000,'Reminders');
        INSERT INTO session_windows VALUES('w1','agent:main:main','initial',1793862000000,1793862010000,NULL,NULL,NULL,NULL,NULL);
        INSERT INTO session_windows VALUES('w2','agent:main:other','initial',1793862000000,1793862000000,NULL,NULL,NULL,NULL,NULL);
        INSERT INTO session_windows VALUES('old','agent:main:main','reset',1793862000000,1793862000000,NULL,NULL,NULL,NULL,NULL);",
    );
    // Rows lie in another order than their numbers.
    for seq in [3, 1, 0, 2, 8, 7, 6, 5, 4] {
        connection
            .execute(
                "INSERT INTO transcript_events VALUES('w1', ?1, ?2, 1793862009000)",
                (seq, LINES[seq]),
            )
            .unwrap();
    }
    let text = LINES.join("\n") + "\n";
    let packed = zstd::bulk::compress(text.as_bytes(), 3).unwrap();
    let half = packed[..packed.len() - 20].to_vec();
    for (session, generation, encoding, blob) in [
        ("old", "g1", "zstd", packed),
        ("old", "g2", "identity", text.replace('\n', "\r\n").into_bytes()),
        ("gone", "g1", "zstd", half),
    ] {
        connection
            .execute(
                "INSERT INTO session_transcript_archives VALUES(?1,?2,'agent:main:main','reset',?3,?4,'','a',1793870000000,NULL)",
                (session, generation, encoding, blob),
            )
            .unwrap();
    }
    connection
}

#[test]
fn events_are_read_by_their_numbers_under_the_conversations_name() {
    let found = read(OpenclawDb, &openclaw());
    let (session, turns) = found.find("w1");
    assert_eq!(lines(turns), TURNS);
    assert_eq!(session.title.as_deref(), Some("Reminders"));
    assert_eq!(session.project.as_deref(), Some("/home/user/.openclaw/workspace"));
    assert_eq!(session.model.as_deref(), Some("example"));
    assert_eq!(session.started.unwrap().to_rfc3339(), "2026-11-05T07:00:00Z");
    assert_eq!((session.turns, session.gaps.unknown_records), (4, 1));
    assert_eq!(found.find("w2").0.title.as_deref(), Some("agent:main:other"));
}

#[test]
fn archives_are_sessions_of_their_own_compressed_or_not_and_torn() {
    let found = read(OpenclawDb, &openclaw());
    let ids: Vec<_> = found.sessions.iter().map(|(session, _)| session.id.as_str()).collect();
    assert_eq!(ids, ["w1", "w2", "old#g1", "old#g2", "gone#g1"]);
    for id in ["old#g1", "old#g2"] {
        let (session, turns) = found.find(id);
        assert_eq!(lines(turns), TURNS);
        assert_eq!(session.title.as_deref(), Some("Remind me at noon"));
        assert_eq!(session.gaps, Gaps { unknown_records: 1, ..Gaps::default() });
    }
    assert!(found.find("gone#g1").0.gaps.is_torn);
}

#[test]
fn every_change_of_a_conversation_changes_its_revision() {
    for change in [
        "INSERT INTO transcript_events VALUES('w1', 9, '{}', 1)",
        "UPDATE transcript_events SET event_json = '{ }' WHERE seq = 8",
        "UPDATE session_nodes SET label = 'x'",
        "UPDATE session_windows SET updated_at = 1793862010001 WHERE session_id = 'w1'",
    ] {
        let connection = openclaw();
        let before = revisions(OpenclawDb, &connection);
        connection.execute_batch(change).unwrap();
        let after = revisions(OpenclawDb, &connection);
        assert_ne!(before[0], after[0], "{change}");
        assert_eq!(before[1..], after[1..], "{change}");
    }
}

#[test]
fn a_database_of_events_alone_is_read() {
    let connection = memory(
        r#"CREATE TABLE transcript_events(session_id TEXT, seq INTEGER, event_json TEXT, created_at INTEGER, PRIMARY KEY(session_id, seq));
        INSERT INTO transcript_events VALUES('a', 1, '{"type":"message","message":{"role":"user","content":"hello"}}', 1793862009000);"#,
    );
    let found = read(OpenclawDb, &connection);
    let (session, turns) = found.find("a");
    assert_eq!(lines(turns), ["User: hello"]);
    assert!(session.gaps.is_other_schema);
    assert_eq!(session.started.unwrap().to_rfc3339(), "2026-11-05T07:00:09Z");
}

#[test]
fn values_altered_at_random_are_read_as_far_as_they_go() {
    mutated::survives(OpenclawDb, || {
        let connection = openclaw();
        // Without its promise of types, so that there is more to alter.
        connection
            .execute_batch("CREATE TABLE e AS SELECT * FROM transcript_events; DROP TABLE transcript_events; ALTER TABLE e RENAME TO transcript_events")
            .unwrap();
        connection
    });
}
