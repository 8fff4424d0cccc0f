//! Agents whose sessions lie in databases: `OpenCode`, `OpenClaw`, Cursor.

use super::Home;

pub(super) const OPENCODE_SCHEMA: &str = "
    PRAGMA foreign_keys = ON;
    CREATE TABLE project(id TEXT PRIMARY KEY, worktree TEXT NOT NULL, vcs TEXT, name TEXT,
        time_created INTEGER NOT NULL, time_updated INTEGER NOT NULL, sandboxes TEXT NOT NULL);
    CREATE TABLE session(id TEXT PRIMARY KEY,
        project_id TEXT NOT NULL REFERENCES project(id) ON DELETE CASCADE, parent_id TEXT,
        slug TEXT NOT NULL, directory TEXT NOT NULL, path TEXT, title TEXT NOT NULL,
        version TEXT NOT NULL, share_url TEXT, time_created INTEGER NOT NULL,
        time_updated INTEGER NOT NULL, time_archived INTEGER);
    CREATE TABLE message(id TEXT PRIMARY KEY,
        session_id TEXT NOT NULL REFERENCES session(id) ON DELETE CASCADE,
        time_created INTEGER NOT NULL, time_updated INTEGER NOT NULL, data TEXT NOT NULL);
    CREATE TABLE part(id TEXT PRIMARY KEY,
        message_id TEXT NOT NULL REFERENCES message(id) ON DELETE CASCADE,
        session_id TEXT NOT NULL, time_created INTEGER NOT NULL, time_updated INTEGER NOT NULL,
        data TEXT NOT NULL);
    CREATE TABLE todo(session_id TEXT NOT NULL, position INTEGER NOT NULL, content TEXT NOT NULL,
        status TEXT NOT NULL, priority TEXT NOT NULL, PRIMARY KEY(session_id, position));
    CREATE TABLE session_share(session_id TEXT PRIMARY KEY, id TEXT, secret TEXT, url TEXT);
    CREATE TABLE credential(id TEXT PRIMARY KEY, value TEXT);
";

const OPENCLAW_SCHEMA: &str = "
    CREATE TABLE schema_meta(role TEXT PRIMARY KEY, schema_version INTEGER, agent_id TEXT);
    CREATE TABLE session_nodes(session_key TEXT PRIMARY KEY, current_session_id TEXT,
        entry_json TEXT, updated_at INTEGER, status TEXT, label TEXT, display_name TEXT,
        created_at INTEGER, archived_at INTEGER, last_activity_at INTEGER);
    CREATE TABLE session_windows(session_id TEXT PRIMARY KEY, session_key TEXT, reason TEXT,
        created_at INTEGER, updated_at INTEGER, started_at INTEGER, ended_at INTEGER,
        channel TEXT, model TEXT, display_name TEXT);
    CREATE TABLE transcript_events(session_id TEXT, seq INTEGER, event_json TEXT,
        created_at INTEGER, PRIMARY KEY(session_id, seq));
";

impl Home {
    /// `OpenCode`, with its live database, the JSON files of before, and all its folders.
    pub fn opencode(mut self) -> Home {
        let cwd = self.project().to_str().unwrap().to_owned();
        let rows = format!(
            "INSERT INTO project VALUES('9f1c00','{cwd}','git',NULL,1793610000000,1793610000000,'[]');
             INSERT INTO session(id,project_id,slug,directory,title,version,time_created,time_updated)
                VALUES('ses_01','9f1c00','brave-otter','{cwd}','Importer tries again','1.3.0',
                1793610000000,1793610500000);
             INSERT INTO message VALUES('msg_01','ses_01',1793610000000,1793610000000,
                '{{\"role\":\"user\",\"time\":{{\"created\":1793610000000}}}}');
             INSERT INTO part VALUES('prt_01','msg_01','ses_01',1793610000000,1793610000000,
                '{{\"type\":\"text\",\"text\":\"Let it try again\"}}');
             INSERT INTO session_share VALUES('ses_01','sh_1','invented','https://example.com/s/1');"
        );
        let session = format!(
            r#"{{"id":"ses_00","projectID":"global","directory":"{cwd}","title":"Older","version":"1.0.0","time":{{"created":1,"updated":2}}}}"#
        );
        self.root("opencode", "data", ".local/share/opencode")
            .database("sessions", "opencode.db", OPENCODE_SCHEMA, &rows)
            .file("sessions", "storage/session/global/ses_00.json", session)
            .file(
                "sessions",
                "storage/message/ses_00/msg_00.json",
                r#"{"id":"msg_00","sessionID":"ses_00","role":"user","time":{"created":1}}"#,
            )
            .file(
                "sessions",
                "storage/part/msg_00/prt_00.json",
                r#"{"id":"prt_00","messageID":"msg_00","sessionID":"ses_00","type":"text","text":"Hello"}"#,
            )
            .file("other", "storage/migration", "2")
            .file("secrets", "auth.json", r#"{"x":{"type":"api","key":"invented"}}"#)
            .file("cache", "snapshot/9f1c00/HEAD", "ref: refs/heads/main\n")
            .file("cache", "log/dev.log", "started\n")
            .file("other", "of-next-month.json", "{}");
        self.root("opencode", "config", ".config/opencode")
            .file(
                "config",
                "opencode.json",
                r#"{"provider":{"x":{"options":{"apiKey":"invented"}}}}"#,
            )
            .file("memory", "AGENTS.md", "Answer briefly.\n")
            .file("skills", "commands/fix.md", "Fix it.\n")
            .file("skills", "plugins/own.js", "export const own = async () => ({})\n")
            .file("skills", "package.json", "{}")
            .file("cache", "node_modules/x/index.js", "x\n")
            .file("cache", "bun.lock", "{}");
        self.root("opencode", "state", ".local/state/opencode")
            .file("settings", "kv.json", "{}")
            .file("history", "prompt-history.jsonl", "{\"input\":\"Let it try again\"}\n")
            .file("cache", "locks/ab12.lock/heartbeat", "1")
            .file("cache", "locks/ab12.lock/meta.json", "{}");
        self.root("opencode", "cache", ".cache/opencode").file("cache", "models.json", "{}").file(
            "cache",
            "node_modules/y/index.js",
            "y\n",
        );
        self.root("opencode", "install", ".opencode").file("cache", "bin/opencode", "program\n");
        self
    }

    /// `OpenClaw`, with the database of an agent, the shared one, and the files of before.
    pub fn openclaw(mut self) -> Home {
        let folder = self.folder().join(".openclaw");
        let workspace = folder.join("workspace").to_str().unwrap().to_owned();
        let events = [
            format!(
                r#"{{"type":"session","version":3,"id":"b2f0","timestamp":"2026-11-05T07:00:00.000Z","cwd":"{workspace}"}}"#
            ),
            r#"{"type":"message","id":"e1","parentId":null,"timestamp":"2026-11-05T07:00:02.000Z","message":{"role":"user","content":[{"type":"text","text":"Remind me at noon"}]}}"#.to_owned(),
            r#"{"type":"message","id":"e2","parentId":"e1","timestamp":"2026-11-05T07:00:05.000Z","message":{"role":"assistant","content":[{"type":"text","text":"I will."}]}}"#.to_owned(),
        ];
        let mut rows = String::from(
            "INSERT INTO schema_meta VALUES('agent', 1, 'main');
             INSERT INTO session_nodes(session_key,current_session_id,entry_json,updated_at,created_at)
                VALUES('agent:main:main','b2f0','{}',1793862005000,1793862000000);
             INSERT INTO session_windows(session_id,session_key,created_at,updated_at)
                VALUES('b2f0','agent:main:main',1793862000000,1793862005000);",
        );
        rows.extend(events.iter().enumerate().map(|(place, event)| {
            format!("INSERT INTO transcript_events VALUES('b2f0',{place},'{event}',0);")
        }));
        let config = format!(
            r#"{{agents: {{defaults: {{workspace: "{workspace}"}}}}, gateway: {{auth: {{token: "invented"}}}}}}"#
        );
        self.root("openclaw", "main", ".openclaw")
            .file("config", "openclaw.json", config)
            .file("config", "openclaw.json.bak", "{}")
            .file("secrets", ".env", "X_KEY=invented\n")
            .file("secrets", "credentials/x.json", "{}")
            .file("secrets", "agents/main/agent/auth-profiles.json", "{}")
            .database(
                "secrets",
                "state/openclaw.sqlite",
                "CREATE TABLE auth_profiles(id TEXT PRIMARY KEY, value TEXT);",
                "INSERT INTO auth_profiles VALUES('x', 'invented');",
            )
            .database("sessions", "agents/main/agent/openclaw-agent.sqlite", OPENCLAW_SCHEMA, &rows)
            .file("sessions", "agents/main/sessions/b2e0.jsonl", events.join("\n"))
            .file("sessions", "agents/main/sessions/sessions.json", "{}")
            .file("config", "agents/main/agent/models.json", "{}")
            .file("workspace", "workspace/AGENTS.md", "Be kind.\n")
            .file("workspace", "workspace/SOUL.md", "Calm.\n")
            .file("memory", "workspace/MEMORY.md", "- lunch at noon\n")
            .file("memory", "workspace/memory/2026-11-05.md", "- reminded\n")
            .file("cache", "workspace/app/node_modules/x/index.js", "x\n")
            .database(
                "memory",
                "memory/main.sqlite",
                "CREATE TABLE chunks(id TEXT, embedding BLOB);",
                "INSERT INTO chunks VALUES('a', x'00');",
            )
            .file("skills", "skills/x/SKILL.md", "x\n")
            .file("settings", "cron/jobs.json", "[]")
            .file("secrets", "identity/device.json", "{}")
            .file("cache", "logs/gateway.log", "started\n")
            .file("cache", "media/inbound/a.jpg", "x")
            .file("other", "of-next-month.json", "{}");
        self
    }

    /// Cursor: the editor's database, a chat of the command line, and a transcript.
    pub fn cursor(mut self) -> Home {
        let cwd = self.project().to_str().unwrap().to_owned();
        let slug = self.slug().trim_start_matches('-').to_owned();
        let script = r#"
            CREATE TABLE ItemTable(key TEXT UNIQUE ON CONFLICT REPLACE, value BLOB);
            CREATE TABLE cursorDiskKV(key TEXT UNIQUE ON CONFLICT REPLACE, value BLOB);
            INSERT INTO ItemTable VALUES('cursorAuth/accessToken', 'invented');
            INSERT INTO cursorDiskKV VALUES('composerData:c1',
                '{"composerId":"c1","name":"Stale cache","createdAt":1793610000000,
                  "fullConversationHeadersOnly":[{"bubbleId":"b1","type":1}]}');
            INSERT INTO cursorDiskKV VALUES('bubbleId:c1:b1', '{"type":1,"text":"Why is it stale?"}');
        "#;
        self.root("cursor", "ide", ".config/Cursor")
            .journal_database("sessions", "User/globalStorage/state.vscdb", script)
            .journal_database("sessions", "User/globalStorage/state.vscdb.backup", script)
            .journal_database(
                "workspace",
                "User/workspaceStorage/ab12/state.vscdb",
                "CREATE TABLE ItemTable(key TEXT, value BLOB);",
            )
            .file(
                "workspace",
                "User/workspaceStorage/ab12/workspace.json",
                format!(r#"{{"folder":"file://{cwd}"}}"#),
            )
            .file("config", "User/settings.json", "{}")
            .file("settings", "User/keybindings.json", "[]")
            .file("config", "User/snippets/rust.json", "{}")
            .file("workspace", "User/History/-1a2b/entries.json", "{}")
            .file("cache", "Cache/Cache_Data/x", "x")
            .file("cache", "Code Cache/js/x", "x")
            .file("cache", "logs/main.log", "x\n")
            .file("other", "User/globalStorage/of.an-extension/x.json", "{}");
        let talk = r#"{"role":"user","message":{"content":[{"type":"text","text":"Why is it stale?"}]}}
{"role":"assistant","message":{"content":[{"type":"text","text":"The key lacks the language."}]}}
{"type":"turn_ended","status":"success"}
"#;
        let chat = "chats/5d41402abc4b2a76b9719d911017c592/0e0a0000-0000-4000-8000-000000000001";
        self.root("cursor", "dot", ".cursor")
            .file("sessions", &format!("projects/{slug}/agent-transcripts/u1/u1.jsonl"), talk)
            .file("cache", &format!("projects/{slug}/terminals/1.txt"), "ls\n")
            .database(
                "sessions",
                &format!("{chat}/store.db"),
                "CREATE TABLE blobs(id TEXT PRIMARY KEY, data BLOB);
                 CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT);",
                "INSERT INTO meta VALUES('0', '7b7d');",
            )
            .file("sessions", &format!("{chat}/meta.json"), "{}")
            .file("config", "mcp.json", r#"{"mcpServers":{}}"#)
            .file("config", "hooks.json", r#"{"version":1,"hooks":{}}"#)
            .file("skills", "rules/style.mdc", "Short.\n")
            .file("workspace", "plans/x.plan.md", "# Plan\n")
            .file("config", "extensions/extensions.json", "[]")
            .file("cache", "extensions/x-1.0/package.json", "{}")
            .database(
                "other",
                "ai-tracking/ai-code-tracking.db",
                "CREATE TABLE hashes(id TEXT);",
                "INSERT INTO hashes VALUES('a');",
            );
        self.root("cursor", "xdg", ".config/cursor").file("secrets", "auth.json", "{}");
        self
    }
}
