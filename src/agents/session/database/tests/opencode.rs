use super::*;
use crate::agents::SessionShape::OpencodeDb;
use crate::agents::session::Gaps;
use crate::agents::session::database::export_opencode;

/// The tables as the client 1.18.33 makes them, as far as a session has a part in them.
const SCHEMA: &str = "
CREATE TABLE `project` (`id` text PRIMARY KEY, `worktree` text NOT NULL, `vcs` text, `name` text,
  `icon_url` text, `icon_url_override` text, `icon_color` text, `time_created` integer NOT NULL,
  `time_updated` integer NOT NULL, `time_initialized` integer, `sandboxes` text NOT NULL, `commands` text);
CREATE TABLE `session` (`id` text PRIMARY KEY, `project_id` text NOT NULL, `workspace_id` text,
  `parent_id` text, `slug` text NOT NULL, `directory` text NOT NULL, `path` text, `title` text NOT NULL,
  `version` text NOT NULL, `share_url` text, `summary_additions` integer, `summary_deletions` integer,
  `summary_files` integer, `summary_diffs` text, `metadata` text, `cost` real DEFAULT 0 NOT NULL,
  `tokens_input` integer DEFAULT 0 NOT NULL, `tokens_output` integer DEFAULT 0 NOT NULL,
  `tokens_reasoning` integer DEFAULT 0 NOT NULL, `tokens_cache_read` integer DEFAULT 0 NOT NULL,
  `tokens_cache_write` integer DEFAULT 0 NOT NULL, `revert` text, `permission` text, `agent` text,
  `model` text, `time_created` integer NOT NULL, `time_updated` integer NOT NULL,
  `time_compacting` integer, `time_archived` integer,
  CONSTRAINT `fk_session` FOREIGN KEY (`project_id`) REFERENCES `project`(`id`) ON DELETE CASCADE);
CREATE TABLE `message` (`id` text PRIMARY KEY, `session_id` text NOT NULL, `time_created` integer NOT NULL,
  `time_updated` integer NOT NULL, `data` text NOT NULL);
CREATE TABLE `part` (`id` text PRIMARY KEY, `message_id` text NOT NULL, `session_id` text NOT NULL,
  `time_created` integer NOT NULL, `time_updated` integer NOT NULL, `data` text NOT NULL);
CREATE TABLE `session_message` (`id` text PRIMARY KEY, `session_id` text NOT NULL, `type` text NOT NULL,
  `seq` integer NOT NULL, `time_created` integer NOT NULL, `time_updated` integer NOT NULL, `data` text NOT NULL);
CREATE INDEX `message_session_time_created_id_idx` ON `message` (`session_id`,`time_created`,`id`);
CREATE INDEX `part_message_id_id_idx` ON `part` (`message_id`,`id`);
CREATE INDEX `part_session_idx` ON `part` (`session_id`);
CREATE UNIQUE INDEX `session_message_session_seq_idx` ON `session_message` (`session_id`,`seq`);
INSERT INTO project(id,worktree,vcs,time_created,time_updated,sandboxes)
  VALUES('9f1c','/home/user/code/shop','git',1793610000000,1793610000000,'[]');
";

const RICH: &str = r#"
INSERT INTO session(id,project_id,slug,directory,title,version,time_created,time_updated,agent,model,cost,tokens_input)
  VALUES('ses_01','9f1c','brave-otter','/home/user/code/shop','Importer retry','1.18.33',1793610000000,1793610500000,
  'build','{"id":"first-model","providerID":"x"}',0.25,900);
INSERT INTO session(id,project_id,parent_id,slug,directory,title,version,time_created,time_updated,time_archived)
  VALUES('ses_02','9f1c','ses_01','calm-fox','/home/user/code/shop','New session - 2026-11-02T09:00:00.000Z','1.18.33',1793610100000,1793610200000,1793610600000);
INSERT INTO message VALUES('msg_01','ses_01',1793610000000,1793610000000,'{"role":"user","time":{"created":1793610000000},"agent":"build","model":{"providerID":"x","modelID":"y"}}');
INSERT INTO message VALUES('msg_02','ses_01',1793610001000,1793610002000,'{"role":"assistant","time":{"created":1793610001000,"completed":1793610002000},"parentID":"msg_01","modelID":"example-model","providerID":"x","mode":"build","agent":"build","path":{"cwd":"/home/user/code/shop","root":"/"},"cost":0,"tokens":{"input":1,"output":1,"reasoning":0,"cache":{"read":0,"write":0}}}');
INSERT INTO message VALUES('msg_03','ses_01',1793610003000,1793610003000,'{"role":"user","time":{"created":1793610003000},"agent":"build","model":{"providerID":"x","modelID":"y"}}');
INSERT INTO message VALUES('msg_04','ses_01',1793610004000,1793610004000,'{"role":"assistant","time":{"created":1793610004000},"parentID":"msg_03","summary":true,"modelID":"other-model","providerID":"x","mode":"compaction","agent":"compaction","path":{"cwd":"/","root":"/"},"cost":0,"tokens":{"input":1,"output":1,"reasoning":0,"cache":{"read":0,"write":0}}}');
INSERT INTO message VALUES('msg_05','ses_02',1793610100000,1793610100000,'{"role":"user","time":{"created":1793610100000},"agent":"build","model":{"providerID":"x","modelID":"y"}}');
INSERT INTO part VALUES('prt_02','msg_01','ses_01',1793610000000,1793610000000,'{"type":"text","text":"Read of notes.md: …","synthetic":true}');
INSERT INTO part VALUES('prt_01','msg_01','ses_01',1793610000000,1793610000000,'{"type":"text","text":"Add a retry"}');
INSERT INTO part VALUES('prt_03','msg_01','ses_01',1793610000000,1793610000000,'{"type":"file","mime":"image/png","url":"data:image/png;base64,AAAA"}');
INSERT INTO part VALUES('prt_04','msg_01','ses_01',1793610000000,1793610000000,'{"type":"agent","name":"plan"}');
INSERT INTO part VALUES('prt_05','msg_01','ses_01',1793610000000,1793610000000,'{"type":"subtask","prompt":"Look around","description":"d","agent":"explore"}');
INSERT INTO part VALUES('prt_10','msg_02','ses_01',1793610001000,1793610001000,'{"type":"step-start"}');
INSERT INTO part VALUES('prt_11','msg_02','ses_01',1793610001000,1793610001000,'{"type":"reasoning","text":"Where is it?","time":{"start":1}}');
INSERT INTO part VALUES('prt_12','msg_02','ses_01',1793610001000,1793610001000,'{"type":"tool","callID":"c1","tool":"read","state":{"status":"completed","input":{"path":"a"},"output":"code","title":"a","metadata":{},"time":{"start":1,"end":2}}}');
INSERT INTO part VALUES('prt_13','msg_02','ses_01',1793610001000,1793610001000,'{"type":"tool","callID":"c2","tool":"bash","state":{"status":"error","input":{},"error":"denied","time":{"start":1,"end":2}}}');
INSERT INTO part VALUES('prt_14','msg_02','ses_01',1793610001000,1793610001000,'{"type":"tool","callID":"c3","tool":"bash","state":{"status":"running","input":{"command":"ls"},"time":{"start":1}}}');
INSERT INTO part VALUES('prt_15','msg_02','ses_01',1793610001000,1793610001000,'{"type":"text","text":"Done."}');
INSERT INTO part VALUES('prt_16','msg_02','ses_01',1793610001000,1793610001000,'{"type":"patch","hash":"h","files":[]}');
INSERT INTO part VALUES('prt_17','msg_02','ses_01',1793610001000,1793610001000,'{"type":"step-finish","reason":"stop","cost":0,"tokens":{"input":1,"output":1,"reasoning":0,"cache":{"read":0,"write":0}}}');
INSERT INTO part VALUES('prt_18','msg_02','ses_01',1793610001000,1793610001000,'{"type":"hologram"}');
INSERT INTO part VALUES('prt_19','msg_02','ses_01',1793610001000,1793610001000,'{"type":"snapshot","snapshot":"s"}');
INSERT INTO part VALUES('prt_20','msg_03','ses_01',1793610003000,1793610003000,'{"type":"compaction","auto":true}');
INSERT INTO part VALUES('prt_30','msg_04','ses_01',1793610004000,1793610004000,'{"type":"text","text":"A retry was added."}');
INSERT INTO part VALUES('prt_40','msg_05','ses_02',1793610100000,1793610100000,'{"type":"text","text":"Explore the\n importer"}');
"#;

fn rich() -> Connection {
    let connection = memory(SCHEMA);
    connection.execute_batch(RICH).unwrap();
    connection
}

#[test]
fn every_kind_of_part_becomes_what_it_is() {
    let found = read(OpencodeDb, &rich());
    let (session, turns) = found.find("ses_01");
    assert_eq!(
        lines(turns),
        [
            "User: Add a retry | Read of notes.md: … | <image/png 26> | Look around",
            "Assistant: (Where is it?) | read[c1]{\"path\":\"a\"} | bash[c2]{} \
             | bash[c3]{\"command\":\"ls\"} | Done.",
            "Tool: ->[c1]code",
            "Tool: ->[c2]!denied",
            "User: ",
            "Assistant: =A retry was added.=",
        ]
    );
    assert_eq!(turns[1].model.as_deref(), Some("example-model"));
    assert_eq!(turns[0].at.unwrap().to_rfc3339(), "2026-11-02T09:00:00Z");
    assert_eq!(session.title.as_deref(), Some("Importer retry"));
    assert_eq!(session.project.as_deref(), Some("/home/user/code/shop"));
    assert_eq!(session.model.as_deref(), Some("other-model"));
    assert_eq!(session.last.unwrap().to_rfc3339(), "2026-11-02T09:08:20Z");
    assert_eq!((session.turns, session.bytes > 1000), (4, true));
    assert_eq!(session.gaps, Gaps { unknown_records: 1, ..Gaps::default() });
}

#[test]
fn a_subagents_session_names_its_parent_and_its_first_words_title_it() {
    let found = read(OpencodeDb, &rich());
    let (session, turns) = found.find("ses_02");
    assert_eq!(session.parent.as_deref(), Some("ses_01"));
    assert_eq!(session.title.as_deref(), Some("Explore the importer"));
    assert!(turns.iter().all(|turn| turn.is_side));
}

#[test]
fn the_newer_table_is_read_and_follows_the_older_one() {
    let connection = rich();
    connection
        .execute_batch(
            r#"INSERT INTO session(id,project_id,slug,directory,title,version,time_created,time_updated)
               VALUES('ses_03','9f1c','s','/x','Newer','2',1793610000000,1793610500000);
            INSERT INTO session_message VALUES('msg_a','ses_03','user',1,1793610000000,1,'{"text":"Why?","files":[{"mime":"text/plain","uri":"file:///a"}],"time":{"created":1793610000000}}');
            INSERT INTO session_message VALUES('msg_b','ses_03','assistant',2,1793610001000,1,'{"agent":"build","model":{"id":"m3","providerID":"x"},"content":[{"type":"reasoning","id":"r","text":"Hm"},{"type":"text","id":"t","text":"Because."},{"type":"tool","id":"c9","name":"grep","state":{"status":"completed","input":{"q":"x"},"content":[{"type":"text","text":"hit"}],"structured":{}},"time":{"created":1}},{"type":"tool","id":"c8","name":"rm","state":{"status":"error","input":{},"content":[],"structured":{},"error":{"type":"unknown","message":"no"}},"time":{"created":1}}],"time":{"created":1793610001000}}');
            INSERT INTO session_message VALUES('msg_c','ses_03','compaction',3,1793610002000,1,'{"reason":"auto","summary":"All said.","recent":""}');
            INSERT INTO session_message VALUES('msg_d','ses_03','model-switched',4,1793610002000,1,'{}');
            INSERT INTO session_message VALUES('msg_e','ses_03','synthetic',5,1793610002000,1,'{"text":"note"}');
            INSERT INTO session_message VALUES('msg_f','ses_03','shell',6,1793610002000,1,'{"callID":"s1","command":"ls","output":"a b"}');
            INSERT INTO session_message VALUES('msg_g','ses_03','riddle',7,1793610002000,1,'{}');
            INSERT INTO session_message VALUES('msg_01','ses_01','user',1,1793610000000,1,'{"text":"Add a retry"}');
            INSERT INTO session_message VALUES('msg_98','ses_01','user',3,1793610000500,1,'{"text":"Add a retry"}');
            INSERT INTO session_message VALUES('msg_99','ses_01','user',2,1793610400000,1,'{"text":"And a test"}');"#,
        )
        .unwrap();
    let found = read(OpencodeDb, &connection);
    let (session, turns) = found.find("ses_03");
    assert_eq!(
        lines(turns),
        [
            "User: Why? | <text/plain 0>",
            "Assistant: (Hm) | Because. | grep[c9]{\"q\":\"x\"} | rm[c8]{}",
            "Tool: ->[c9]hit",
            "Tool: ->[c8]!no",
            "System: =All said.=",
            "System: note",
            "User: shell[s1]ls",
            "Tool: ->[s1]a b",
        ]
    );
    assert_eq!(session.model.as_deref(), Some("m3"));
    assert_eq!(session.gaps, Gaps { unknown_records: 1, ..Gaps::default() });
    let (_, turns) = found.find("ses_01");
    assert_eq!(turns.iter().filter(|turn| line(turn).contains("Add a retry")).count(), 1);
    assert_eq!(line(turns.last().unwrap()), "User: And a test");
}

#[test]
fn an_older_schema_and_a_strange_one_are_read_as_far_as_they_go() {
    let older = memory(
        r#"CREATE TABLE project(id text PRIMARY KEY, worktree text);
        CREATE TABLE session(id text PRIMARY KEY, project_id text, title text, directory text, time_created integer, time_updated integer);
        CREATE TABLE message(id text PRIMARY KEY, session_id text, time_created integer, time_updated integer, data text);
        CREATE TABLE part(id text PRIMARY KEY, message_id text, session_id text, data text);
        INSERT INTO project VALUES('p','/home/user/old');
        INSERT INTO session VALUES('s','p','Old','',1793610000000,1793610000000);
        INSERT INTO message VALUES('m','s',1793610000000,1,'{"role":"user"}');
        INSERT INTO part VALUES('x','m','s','{"type":"text","text":"hello"}');"#,
    );
    let found = read(OpencodeDb, &older);
    let (session, turns) = found.find("s");
    assert_eq!(lines(turns), ["User: hello"]);
    assert_eq!(session.project.as_deref(), Some("/home/user/old"));
    assert!(!session.gaps.is_other_schema);

    let strange = memory(
        "CREATE TABLE session(id text, future blob); INSERT INTO session VALUES('s', x'00');
         CREATE VIEW message AS SELECT 1 AS id, 's' AS session_id, '{}' AS data;",
    );
    let found = read(OpencodeDb, &strange);
    assert!(found.find("s").0.gaps.is_other_schema);

    assert!(read(OpencodeDb, &memory("CREATE TABLE a(b)")).sessions.is_empty());
}

#[test]
fn values_of_any_type_are_read_or_counted() {
    let connection = rich();
    connection
        .execute_batch(
            r#"UPDATE message SET data = '{"role":"user","time":7,"model":[' WHERE id = 'msg_03';
            UPDATE message SET data = 7 WHERE id = 'msg_04';
            UPDATE part SET data = CAST(x'7b2274797065223a2274657874222c2274657874223a22ff227d' AS TEXT) WHERE id = 'prt_15';
            UPDATE part SET data = '[]' WHERE id = 'prt_11';
            UPDATE part SET data = x'00ff' WHERE id = 'prt_12';
            UPDATE session SET time_created = 'soon', model = 'none', directory = x'ff2f' WHERE id = 'ses_01';"#,
        )
        .unwrap();
    let found = read(OpencodeDb, &connection);
    let (session, turns) = found.find("ses_01");
    assert!(lines(turns)[1].ends_with("| \u{fffd}"), "{:?}", lines(turns));
    assert!(session.gaps.is_torn && session.gaps.bad_records >= 3, "{:?}", session.gaps);
    assert_eq!(found.find("ses_02").1.len(), 1);
}

#[test]
fn a_giant_part_is_cut_and_understood() {
    let connection = rich();
    connection
        .execute_batch(
            r#"UPDATE part SET data = '{"type":"tool","callID":"c1","tool":"read","state":{"status":"completed","input":{},"output":"'
               || hex(zeroblob(10000000)) || '","time":{}}}' WHERE id = 'prt_12'"#,
        )
        .unwrap();
    let found = read(OpencodeDb, &connection);
    let (session, turns) = found.find("ses_01");
    assert_eq!(session.gaps.cut_values, 1);
    assert!(matches!(&turns[2].parts[0], Part::Result { text, .. } if text.len() == 256 << 10));
}

#[test]
fn one_session_is_found_by_indexes() {
    let connection = rich();
    let plans = plans(|| {
        let ids = Which::Ids(&["ses_01"]);
        read_which(OpencodeDb, &connection, ids, Wanted::Turns).1.unwrap();
    });
    assert!(plans.len() > 5);
    // The schema's own tables are small, and have no index.
    let scans = plans.iter().filter(|it| it.starts_with("SCAN") && *it != "SCAN sqlite_schema");
    let scans: Vec<_> = scans
        .filter(|it| !matches!(it.as_str(), "SCAN s" | "SCAN p VIRTUAL TABLE INDEX 0:"))
        .collect();
    assert!(scans.is_empty(), "{scans:?}");
    assert!(!plans.iter().any(|it| it.contains("TEMP B-TREE")), "{plans:?}");
}

#[test]
fn of_6000_sessions_only_the_changed_one_is_read() {
    let connection = memory(SCHEMA);
    connection
        .execute_batch(
            r#"BEGIN;
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 6000)
            INSERT INTO session(id,project_id,slug,directory,title,version,time_created,time_updated)
              SELECT 'ses_' || i, '9f1c', 's', '/x', 't', '1', 1793610000000 + i, 1793610000000 + i FROM n;
            INSERT INTO message SELECT id || '_' || k, id, time_created + k, 1, '{"role":"user"}'
              FROM session, (SELECT 1 AS k UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5);
            INSERT INTO part SELECT id || '_' || k, id, session_id, 1, 1, '{"type":"text","text":"hello"}'
              FROM message, (SELECT 1 AS k UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6);
            COMMIT;"#,
        )
        .unwrap();
    let known: std::collections::HashMap<_, _> =
        revisions(OpencodeDb, &connection).into_iter().collect();
    assert_eq!(known.len(), 6000);
    connection
        .execute_batch("UPDATE part SET data = '{}', time_updated = 2 WHERE id = 'ses_77_5_3'")
        .unwrap();
    let is_changed = |id: &str, revision: u64| known.get(id) != Some(&revision);
    let which = Which::Changed(&is_changed);
    let mut found = Collected::default();
    let rows = stepped(|| {
        found = read_which(OpencodeDb, &connection, which, Wanted::Outline).0;
    });
    assert_eq!(found.sessions.len(), 1);
    assert_eq!(found.sessions[0].0.id, "ses_77");
    // Twelve rows for each session, none with its text, and those of the one that is read.
    assert!(rows < 6000 * 13, "{rows} rows");
    let plans = plans(|| drop(revisions(OpencodeDb, &rich())));
    let texts = plans.iter().filter(|it| it.contains("part") && !it.contains("INDEX"));
    assert_eq!(texts.count(), 0, "{plans:?}");
    assert!(plans.iter().any(|it| it.contains("COVERING INDEX part_session_idx")), "{plans:?}");
}

#[test]
fn every_change_of_a_session_changes_its_revision_and_no_other() {
    for change in [
        "UPDATE session SET time_updated = 1793610500001 WHERE id = 'ses_01'",
        "UPDATE message SET time_updated = 9 WHERE id = 'msg_02'",
        "UPDATE part SET time_updated = 1793610001001 WHERE id = 'prt_15'",
        "DELETE FROM part WHERE id = 'prt_01'",
        "DELETE FROM message WHERE id = 'msg_01'",
        "INSERT INTO part VALUES('prt_98','msg_01','ses_01',1,1,'{}')",
        "INSERT INTO message VALUES('msg_98','ses_01',1,1,'{}')",
        "INSERT INTO session_message VALUES('msg_97','ses_01','user',1,1,1,'{}')",
    ] {
        let connection = rich();
        let before = revisions(OpencodeDb, &connection);
        connection.execute_batch(change).unwrap();
        let after = revisions(OpencodeDb, &connection);
        assert_ne!(before[0], after[0], "{change}");
        assert_eq!(before[1], after[1], "{change}");
    }
}

#[test]
fn an_export_is_the_document_that_the_client_imports() {
    let connection = rich();
    connection
        .execute_batch("UPDATE part SET data = '{ }  ' WHERE id = 'prt_10'; UPDATE part SET data = '{\"a\":' WHERE id = 'prt_11'")
        .unwrap();
    let mut out = Vec::new();
    let gaps = export_opencode(&connection, "ses_01", &mut out).unwrap();
    assert_eq!(gaps, Gaps { bad_records: 1, ..Gaps::default() });
    let document: serde_json::Value = serde_json::from_slice(&out).unwrap();
    let info = &document["info"];
    assert_eq!(info["id"], "ses_01");
    assert_eq!(info["projectID"], "9f1c");
    assert_eq!(info["time"]["updated"], 1_793_610_500_000_i64);
    assert_eq!(info["model"]["id"], "first-model");
    assert_eq!(info["cost"], 0.25);
    assert_eq!(info["tokens"]["cache"]["read"], 0);
    assert!(info.get("parentID").is_none() && info.get("share").is_none());
    let messages = document["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 4);
    assert_eq!(messages[1]["info"]["role"], "assistant");
    assert_eq!(messages[1]["info"]["id"], "msg_02");
    assert_eq!(messages[1]["info"]["sessionID"], "ses_01");
    let parts = messages[1]["parts"].as_array().unwrap();
    assert_eq!(parts.len(), 9);
    assert_eq!(
        parts[0],
        serde_json::json!({"id":"prt_10","sessionID":"ses_01","messageID":"msg_02"})
    );
    assert_eq!(parts[1]["state"]["output"], "code");

    let error = export_opencode(&connection, "ses_none", &mut out).unwrap_err();
    assert!(error.to_string().contains("no such session"), "{error}");
}

#[test]
fn an_export_adds_what_older_clients_did_not_write() {
    let connection = rich();
    connection
        .execute_batch(
            r#"UPDATE message SET data = '{"role":"user","time":{"created":1}}' WHERE id = 'msg_03';
            UPDATE message SET data = '{"role":"assistant","time":{"created":1},"mode":"plan"}' WHERE id = 'msg_04';"#,
        )
        .unwrap();
    let mut out = Vec::new();
    export_opencode(&connection, "ses_01", &mut out).unwrap();
    let document: serde_json::Value = serde_json::from_slice(&out).unwrap();
    let [question, answer] = [2, 3].map(|index| &document["messages"][index]["info"]);
    assert_eq!(
        (&question["agent"], &question["model"]["modelID"]),
        (&"build".into(), &"unknown".into())
    );
    assert_eq!((&answer["agent"], &answer["mode"]), (&"plan".into(), &"plan".into()));
    assert_eq!(answer["parentID"], "msg_03");
    assert_eq!(document["messages"][0]["info"]["model"]["modelID"], "y");
}

#[test]
fn an_export_copies_values_of_any_size() {
    let connection = rich();
    connection
        .execute_batch(
            r#"UPDATE part SET data = '{"type":"text","text":"' || hex(zeroblob(13000000)) || '"}' WHERE id = 'prt_01'"#,
        )
        .unwrap();
    let mut out = Vec::new();
    assert_eq!(export_opencode(&connection, "ses_01", &mut out).unwrap(), Gaps::default());
    let document: serde_json::Value = serde_json::from_slice(&out).unwrap();
    let text = document["messages"][0]["parts"][0]["text"].as_str().unwrap();
    assert_eq!(text.len(), 26_000_000);
}

#[test]
fn values_altered_at_random_are_read_as_far_as_they_go() {
    mutated::survives(OpencodeDb, rich);
}
