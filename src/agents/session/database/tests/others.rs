//! Goose, Crush and Kiro.

use super::*;
use crate::agents::SessionShape::{CrushDb, GooseDb, KiroDb};
use crate::agents::session::Gaps;

fn goose() -> Connection {
    memory(
        r#"CREATE TABLE schema_version(version INTEGER PRIMARY KEY, applied_at TIMESTAMP);
        CREATE TABLE sessions(id TEXT PRIMARY KEY, name TEXT NOT NULL DEFAULT '', description TEXT NOT NULL DEFAULT '',
          user_set_name BOOLEAN DEFAULT FALSE, session_type TEXT NOT NULL DEFAULT 'user', working_dir TEXT NOT NULL,
          created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP, updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
          extension_data TEXT DEFAULT '{}', total_tokens INTEGER, recipe_json TEXT, model_config_json TEXT);
        CREATE TABLE messages(id INTEGER PRIMARY KEY AUTOINCREMENT, message_id TEXT, session_id TEXT NOT NULL REFERENCES sessions(id),
          role TEXT NOT NULL, content_json TEXT NOT NULL, created_timestamp INTEGER NOT NULL,
          timestamp TIMESTAMP DEFAULT CURRENT_TIMESTAMP, tokens INTEGER, metadata_json TEXT);
        CREATE INDEX idx_messages_session ON messages(session_id);
        INSERT INTO sessions(id,name,session_type,working_dir,created_at,updated_at,model_config_json)
          VALUES('20261108_1','Importer retry','user','/home/user/code/shop','2026-11-08 10:00:00','2026-11-08 10:05:00','{"model_name":"example"}');
        INSERT INTO sessions(id,name,working_dir) VALUES('20261108_2','CLI Session','/tmp');
        INSERT INTO messages(session_id,role,content_json,created_timestamp) VALUES('20261108_1','assistant',
          '[{"type":"thinking","thinking":"Hm","signature":"s"},{"type":"text","text":"Looking."},{"type":"toolRequest","id":"t1","toolCall":{"status":"success","value":{"name":"shell","arguments":{"command":"ls"}}}}]',1794132001);
        INSERT INTO messages(session_id,role,content_json,created_timestamp) VALUES('20261108_1','user','[{"type":"text","text":"Add a retry"},{"type":"image","data":"AAAA","mimeType":"image/png"}]',1794132000);
        INSERT INTO messages(session_id,role,content_json,created_timestamp) VALUES('20261108_1','user',
          '[{"type":"toolResponse","id":"t1","toolResult":{"status":"success","value":{"content":[{"type":"text","text":"a"},{"type":"text","text":"b"}],"isError":false}}}]',1794132002);
        INSERT INTO messages(session_id,role,content_json,created_timestamp) VALUES('20261108_1','user',
          '[{"type":"toolResponse","id":"t2","toolResult":{"status":"error","error":"denied"}}]',1794132003);
        INSERT INTO messages(session_id,role,content_json,created_timestamp,metadata_json) VALUES('20261108_1','user',
          '[{"type":"text","text":"Summary"}]',1794132004,'{"userVisible":false,"agentVisible":true}');
        INSERT INTO messages(session_id,role,content_json,created_timestamp) VALUES('20261108_1','assistant',
          '[{"type":"conversationCompacted","msg":"Compacted"},{"type":"systemNotification","msg":"x"},{"type":"riddle"}]',1794132005);
        INSERT INTO messages(session_id,role,content_json,created_timestamp) VALUES('20261108_2','user','"torn',1794132000);
        INSERT INTO messages(session_id,role,content_json,created_timestamp) VALUES('20261108_2','user','[{"type":"text","text":"<info>x</info>"}]',1794132001);
        INSERT INTO messages(session_id,role,content_json,created_timestamp) VALUES('20261108_2','user','[{"type":"text","text":"Explain\nthis"}]',1794132002);"#,
    )
}

#[test]
fn goose_is_read_in_order_of_time_and_answers_are_turns_of_their_own() {
    let found = read(GooseDb, &goose());
    let (session, turns) = found.find("20261108_1");
    assert_eq!(
        lines(turns),
        [
            "User: Add a retry | <image/png 4>",
            "Assistant: (Hm) | Looking. | shell[t1]{\"command\":\"ls\"}",
            "Tool: ->[t1]a\nb",
            "Tool: ->[t2]!denied",
            "System: Summary",
            "Assistant: =Compacted=",
        ]
    );
    assert_eq!(session.title.as_deref(), Some("Importer retry"));
    assert_eq!(session.project.as_deref(), Some("/home/user/code/shop"));
    assert_eq!(session.model.as_deref(), Some("example"));
    assert_eq!(session.started.unwrap().to_rfc3339(), "2026-11-08T10:00:00Z");
    assert_eq!(session.last.unwrap().to_rfc3339(), "2026-11-08T10:05:00Z");
    assert_eq!((session.turns, session.gaps.unknown_records), (3, 1));
    let (session, _) = found.find("20261108_2");
    assert_eq!(session.title.as_deref(), Some("Explain this"));
    assert!(session.gaps.bad_records > 0);
}

#[test]
fn a_grown_message_of_goose_changes_the_revision() {
    let connection = goose();
    let before = revisions(GooseDb, &connection);
    connection
        .execute_batch("UPDATE messages SET content_json = '[{\"type\":\"text\",\"text\":\"Explain this now\"}]' WHERE id = 9")
        .unwrap();
    let after = revisions(GooseDb, &connection);
    assert_eq!(before[0], after[0]);
    assert_ne!(before[1], after[1]);
}

fn crush() -> Connection {
    memory(
        r#"CREATE TABLE sessions(id TEXT PRIMARY KEY, parent_session_id TEXT, title TEXT NOT NULL, message_count INTEGER,
          prompt_tokens INTEGER, completion_tokens INTEGER, cost REAL, updated_at INTEGER NOT NULL, created_at INTEGER NOT NULL, summary_message_id TEXT);
        CREATE TABLE messages(id TEXT PRIMARY KEY, session_id TEXT NOT NULL, role TEXT NOT NULL, parts TEXT NOT NULL DEFAULT '[]',
          model TEXT, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL, finished_at INTEGER, is_summary_message INTEGER DEFAULT 0);
        CREATE INDEX idx_messages_session_id ON messages(session_id);
        INSERT INTO sessions VALUES('s1',NULL,'Importer retry',2,0,0,0,1794132300,1794132000000,NULL);
        INSERT INTO sessions VALUES('m2$$c1','s1','Agent',2,0,0,0,1794132300,1794132000,NULL);
        INSERT INTO messages VALUES('m1','s1','user','[{"type":"text","data":{"text":"Add a retry"}},{"type":"binary","data":{"Path":"a.png","MIMEType":"image/png","Data":"AAAA"}},{"type":"finish","data":{"reason":"stop","time":1}}]',NULL,1794132000,1,1,0);
        INSERT INTO messages VALUES('m2','s1','assistant','[{"type":"reasoning","data":{"thinking":"Hm","signature":""}},{"type":"text","data":{"text":"Looking."}},{"type":"tool_call","data":{"id":"c1","name":"ls","input":"{\"path\":\".\"}","finished":true}},{"type":"riddle"}]','example',1794132000,1,1,0);
        INSERT INTO messages VALUES('m3','s1','tool','[{"type":"tool_result","data":{"tool_call_id":"c1","name":"ls","content":"a","is_error":false}},{"type":"tool_result","data":{"tool_call_id":"c2","name":"rm","content":"no","is_error":true}}]',NULL,1794132000,1,1,0);
        INSERT INTO messages VALUES('m4','s1','assistant','[{"type":"text","data":{"text":"All said."}}]','example',1794132300,1,1,1);"#,
    )
}

#[test]
fn crush_is_read_whatever_unit_its_times_have() {
    let connection = crush();
    let found = read(CrushDb, &connection);
    let (session, turns) = found.find("s1");
    assert_eq!(
        lines(turns),
        [
            "User: Add a retry | <image/png 4>",
            "Assistant: (Hm) | Looking. | ls[c1]{\"path\":\".\"}",
            "Tool: ->[c1]a",
            "Tool: ->[c2]!no",
            "Assistant: =All said.=",
        ]
    );
    assert_eq!(session.started.unwrap().to_rfc3339(), "2026-11-08T10:00:00Z");
    assert_eq!(session.last.unwrap().to_rfc3339(), "2026-11-08T10:05:00Z");
    assert_eq!(session.model.as_deref(), Some("example"));
    assert_eq!(session.gaps, Gaps { unknown_records: 1, ..Gaps::default() });
    assert_eq!(found.find("m2$$c1").0.parent.as_deref(), Some("s1"));
}

fn kiro() -> Connection {
    memory(
        r#"CREATE TABLE auth_kv(key TEXT PRIMARY KEY, value TEXT);
        CREATE TABLE conversations(key TEXT PRIMARY KEY, value TEXT);
        CREATE TABLE conversations_v2(key TEXT NOT NULL, conversation_id TEXT NOT NULL, value TEXT NOT NULL,
          created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL, PRIMARY KEY (key, conversation_id));
        INSERT INTO conversations_v2 VALUES('/home/user/code/shop','k1','{"conversation_id":"k1","latest_summary":["Before.",{}],"history":[
          {"user":{"content":{"Prompt":{"prompt":"Add a retry"}},"timestamp":"2026-11-08T10:00:00+00:00","images":null},
           "assistant":{"ToolUse":{"message_id":"a1","content":"Looking.","tool_uses":[{"id":"t1","name":"execute_bash","args":{"command":"ls"}}]}},
           "request_metadata":{"model_id":"example","request_start_timestamp_ms":1794132000000,"stream_end_timestamp_ms":1794132005000}},
          {"user":{"content":{"ToolUseResults":{"tool_use_results":[{"tool_use_id":"t1","content":[{"Text":"a"},{"Json":{"b":1}}],"status":"Success"},{"tool_use_id":"t2","content":[{"Text":"no"}],"status":"Error"}]}}},
           "assistant":{"Response":{"message_id":"a2","content":"Done."}}},
          {"riddle":1}]}',1794132000000,1794132300000);
        INSERT INTO conversations VALUES('/home/user/old','{"history":[[{"content":{"Prompt":{"prompt":"Old one"}}},{"Response":{"content":"Yes."}}]]}');
        INSERT INTO conversations VALUES('/home/user/torn','{"history":[[{"content":{"Prompt":{"prompt":"Torn o');"#,
    )
}

#[test]
fn kiro_is_read_in_both_tables_and_both_forms() {
    let connection = kiro();
    let found = read(KiroDb, &connection);
    let (session, turns) = found.find("k1");
    assert_eq!(
        lines(turns),
        [
            "System: =Before.=",
            "User: Add a retry",
            "Assistant: Looking. | execute_bash[t1]{\"command\":\"ls\"}",
            "Tool: ->[t1]a{\"b\":1}",
            "Tool: ->[t2]!no",
            "Assistant: Done.",
        ]
    );
    assert_eq!(session.project.as_deref(), Some("/home/user/code/shop"));
    assert_eq!((session.turns, session.gaps.unknown_records), (3, 1));
    assert_eq!(session.model.as_deref(), Some("example"));
    let (session, turns) = found.find("/home/user/old");
    assert_eq!(lines(turns), ["User: Old one", "Assistant: Yes."]);
    assert_eq!(session.project.as_deref(), Some("/home/user/old"));
    let (session, turns) = found.find("/home/user/torn");
    assert_eq!(lines(turns), ["User: Torn o"]);
    assert!(session.gaps.is_torn);
}

#[test]
fn values_altered_at_random_are_read_as_far_as_they_go() {
    mutated::survives(GooseDb, goose);
    mutated::survives(CrushDb, crush);
    mutated::survives(KiroDb, kiro);
}

#[test]
fn one_session_is_found_by_indexes() {
    for (shape, id, connection) in [(GooseDb, "20261108_1", goose()), (CrushDb, "s1", crush())] {
        let plans = plans(|| {
            let ids = Which::Ids(&[id]);
            read_which(shape, &connection, ids, Wanted::Turns).1.unwrap();
        });
        let scan =
            plans.iter().find(|it| it.contains("SCAN messages") || it.contains("SCAN sessions"));
        assert_eq!(scan, None);
    }
}
