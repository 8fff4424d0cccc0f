//! Agents whose sessions are lines of JSON: Claude Code, Codex, Gemini CLI, Copilot.

use super::Home;

/// A session's id, as Claude Code has them.
pub const CLAUDE_SESSION: &str = "5c0d2b7e-1111-4a6b-9a10-aaaaaaaaaaaa";
/// A session's id, as Codex has them.
pub const CODEX_SESSION: &str = "019a5c00-0000-7000-8000-0000000000c1";

impl Home {
    /// Claude Code, with a subagent, memory, a sign-in and the files of a running process.
    pub fn claude_code(mut self) -> Home {
        let (cwd, slug) = (self.project(), self.slug());
        let cwd = cwd.to_str().unwrap().to_owned();
        let id = CLAUDE_SESSION;
        let state = format!(
            r#"{{"numStartups":7,"oauthAccount":{{"emailAddress":"user@example.com"}},"mcpServers":{{"db":{{"command":"db-mcp","env":{{"DB_TOKEN":"not-a-real-token"}}}}}},"projects":{{"{cwd}":{{"hasTrustDialogAccepted":true}}}}}}"#
        );
        self.root("claude-code", "state", ".claude.json").file("settings", "", state);
        let talk = format!(
            r#"{{"type":"permission-mode","permissionMode":"default","sessionId":"{id}"}}
{{"parentUuid":null,"isSidechain":false,"userType":"external","cwd":"{cwd}","sessionId":"{id}","version":"2.1.240","gitBranch":"main","type":"user","message":{{"role":"user","content":"Why does the basket lose a cent?"}},"uuid":"u-1","timestamp":"2026-11-02T09:14:03.120Z"}}
{{"parentUuid":"u-1","isSidechain":false,"cwd":"{cwd}","sessionId":"{id}","version":"2.1.240","type":"assistant","requestId":"req_1","message":{{"id":"msg_1","role":"assistant","model":"example-model","content":[{{"type":"text","text":"Each line is rounded alone; let me see."}}],"usage":{{"input_tokens":900,"output_tokens":40}}}},"uuid":"a-1","timestamp":"2026-11-02T09:14:06.500Z"}}
{{"parentUuid":"a-1","isSidechain":false,"cwd":"{cwd}","sessionId":"{id}","type":"assistant","message":{{"id":"msg_1","role":"assistant","content":[{{"type":"tool_use","id":"toolu_1","name":"Read","input":{{"file_path":"{cwd}/cart.ts"}}}}]}},"uuid":"a-2","timestamp":"2026-11-02T09:14:06.900Z"}}
{{"type":"ai-title","aiTitle":"Rounding in the basket","sessionId":"{id}"}}
"#
        );
        let folder = format!("projects/{slug}");
        let mut root = self.root("claude-code", "main", ".claude");
        root.file("sessions", &format!("{folder}/{id}.jsonl"), talk)
            .file(
                "sessions",
                &format!("{folder}/{id}/subagents/agent-a0b1.jsonl"),
                format!("{{\"isSidechain\":true,\"sessionId\":\"{id}\",\"type\":\"user\"}}\n"),
            )
            .file(
                "sessions",
                &format!("{folder}/{id}/subagents/agent-a0b1.meta.json"),
                r#"{"agentType":"Explore","description":"find rounding","spawnDepth":1}"#,
            )
            .file(
                "sessions",
                &format!("{folder}/{id}/tool-results/toolu_1.txt"),
                "export const total = 1;\n",
            )
            .file("memory", &format!("{folder}/memory/MEMORY.md"), "- prices are in cents\n")
            .file("cache", &format!("{folder}/sessions-index.json"), "{}")
            .file("secrets", ".credentials.json", r#"{"claudeAiOauth":{"accessToken":"invented"}}"#)
            .file("config", "settings.json", r#"{"env":{"EXAMPLE_KEY":"invented"}}"#)
            .file("memory", "CLAUDE.md", "Answer briefly.\n")
            .file("memory", "agent-memory/reviewer/MEMORY.md", "- likes tests\n")
            .file("skills", "skills/deploy/SKILL.md", "---\nname: deploy\n---\nPush the tag.\n")
            .file("skills", "commands/fix.md", "Fix $ARGUMENTS\n")
            .file("skills", "agents/reviewer.md", "---\nname: reviewer\n---\n")
            .file("skills", "output-styles/short.md", "Short.\n")
            .file("settings", "keybindings.json", "{}")
            .file("settings", "statusline.sh", "#!/bin/sh\necho shop\n")
            .file(
                "history",
                "history.jsonl",
                format!(
                    "{{\"display\":\"fix the basket\",\"pastedContents\":{{}},\"timestamp\":1793610843120,\"project\":\"{cwd}\",\"sessionId\":\"{id}\"}}\n"
                ),
            )
            .file("workspace", "plans/quiet-fox.md", "# Plan\n")
            .file("workspace", "todos/a.json", "[]")
            .file("workspace", &format!("file-history/{id}/ab12@v1"), "old\n")
            .file("workspace", "paste-cache/a1.txt", "pasted\n")
            .file("config", "plugins/installed_plugins.json", r#"{"plugins":{}}"#)
            .file("workspace", "plugins/data/x/state.json", "{}")
            .file("cache", "plugins/marketplaces/x/README.md", "x\n")
            .file("other", "stats-cache.json", r#"{"days":[]}"#)
            .file("cache", "debug/a.txt", "debug\n")
            .file("cache", "shell-snapshots/s.sh", "x=1\n")
            .file("cache", "sessions/4711.json", format!("{{\"pid\":4711,\"sessionId\":\"{id}\"}}"))
            .file("cache", "ide/4711.lock", "{}")
            .file("other", "of-next-month/x.json", "{}");
        self
    }

    /// Codex, with a plain and an archived rollout, four databases and a sign-in.
    pub fn codex(mut self) -> Home {
        let cwd = self.project().to_str().unwrap().to_owned();
        let id = CODEX_SESSION;
        let name = format!("rollout-2026-11-03T10-00-00-{id}.jsonl");
        let rollout = format!(
            r#"{{"timestamp":"2026-11-03T10:00:00.000Z","type":"session_meta","payload":{{"id":"{id}","timestamp":"2026-11-03T10:00:00.000Z","cwd":"{cwd}","originator":"codex_cli_rs","cli_version":"0.150.0","source":"cli","model_provider":"openai","git":{{"branch":"main","commit_hash":"deadbeef","repository_url":"https://example.com/shop.git"}}}}}}
{{"timestamp":"2026-11-03T10:00:01.000Z","type":"event_msg","payload":{{"type":"user_message","message":"Let the importer try again","images":[]}}}}
{{"timestamp":"2026-11-03T10:00:01.010Z","type":"response_item","payload":{{"type":"message","role":"user","content":[{{"type":"input_text","text":"Let the importer try again"}}]}}}}
{{"timestamp":"2026-11-03T10:00:09.000Z","type":"response_item","payload":{{"type":"message","role":"assistant","content":[{{"type":"output_text","text":"It now tries three times."}}]}}}}
{{"timestamp":"2026-11-03T10:05:00.000Z","ordinal":12,"type":"event_msg","payload":{{"type":"item_completed","thread_id":"{id}","turn_id":"t2","item":{{"type":"UserMessage","id":"i1","content":[{{"type":"text","text":"Now add a test"}}]}}}}}}
"#
        );
        let threads = format!(
            "INSERT INTO threads VALUES('{id}','sessions/2026/11/03/{name}','{cwd}','Importer',1793610000,0);"
        );
        let schema = "CREATE TABLE threads(id TEXT PRIMARY KEY, rollout_path TEXT, cwd TEXT,
             title TEXT, updated_at INTEGER, archived INTEGER);";
        let archived = "archived_sessions/rollout-2026-11-01T10-00-00-019a5b00.jsonl.zst";
        let compressed = zstd::bulk::compress(rollout.as_bytes(), 3).unwrap();
        self.root("codex", "main", ".codex")
            .file("sessions", &format!("sessions/2026/11/03/{name}"), &rollout)
            .file("sessions", archived, compressed)
            .file(
                "sessions",
                "session_index.jsonl",
                format!("{{\"id\":\"{id}\",\"thread_name\":\"Importer\",\"updated_at\":\"2026-11-03\"}}\n"),
            )
            .database("workspace", "state_5.sqlite", schema, &threads)
            .database(
                "sessions",
                "thread_history_1.sqlite",
                "CREATE TABLE items(thread_id TEXT, ordinal INTEGER, item TEXT);",
                "INSERT INTO items VALUES('t', 1, '{}');",
            )
            .database(
                "memory",
                "memories_v2_1.sqlite",
                "CREATE TABLE memories(id INTEGER PRIMARY KEY, text TEXT);",
                "INSERT INTO memories VALUES(1, 'prices are in cents');",
            )
            .database(
                "cache",
                "logs_2.sqlite",
                "CREATE TABLE logs(at INTEGER, line TEXT);",
                "INSERT INTO logs VALUES(1, 'started');",
            )
            .file("secrets", "auth.json", r#"{"auth_mode":"apikey","OPENAI_API_KEY":"invented"}"#)
            .file("config", "config.toml", "model = \"example\"\n")
            .file("config", "hooks.json", r#"{"hooks":{}}"#)
            .file("memory", "AGENTS.md", "Answer briefly.\n")
            .file("memory", "memories/shop.md", "- prices are in cents\n")
            .file("skills", "prompts/fix.md", "Fix it.\n")
            .file("skills", "skills/deploy/SKILL.md", "Push the tag.\n")
            .file("history", "history.jsonl", "{\"session_id\":\"x\",\"ts\":1793610000,\"text\":\"hi\"}\n")
            .file("cache", "log/codex-tui.log", "started\n")
            .file("cache", "version.json", "{}")
            .file("cache", "thread-writer-locks/a.lock", "")
            .file("cache", "models_cache.json", "{}")
            .file("other", "of-next-month.json", "{}");
        self
    }

    /// Gemini CLI, with both forms of sessions and a shadow repository.
    pub fn gemini(mut self) -> Home {
        let cwd = self.project().to_str().unwrap().to_owned();
        let chat = r#"{"sessionId":"7e3a0000-0000-4000-8000-000000000001","projectHash":"4c1d","startTime":"2026-11-04T08:00:00.000Z","lastUpdated":"2026-11-04T08:00:00.000Z","kind":"main"}
{"id":"m1","timestamp":"2026-11-04T08:00:05.000Z","type":"user","content":[{"text":"What is the build cache keyed on?"}]}
{"id":"m2","timestamp":"2026-11-04T08:00:09.000Z","type":"gemini","content":"On the lock file.","model":"example-pro","thoughts":[],"toolCalls":[]}
{"$set":{"lastUpdated":"2026-11-04T08:00:09.100Z","summary":"Keys of the build cache"}}
"#;
        let older = r#"{"sessionId":"6d2a0000-0000-4000-8000-000000000001","messages":[]}"#;
        self.root("gemini", "main", ".gemini")
            .file("sessions", "tmp/shop/chats/session-2026-11-04T08-00-7e3a0000.jsonl", chat)
            .file("sessions", "tmp/shop/chats/session-2026-10-01T08-00-6d2a0000.json", older)
            .file("sessions", "tmp/shop/chats/7e3a/7e3b.jsonl", "{}\n")
            .file("sessions", "tmp/shop/logs.json", "[]")
            .file("workspace", "tmp/shop/.project_root", &cwd)
            .file("workspace", "history/shop/.project_root", &cwd)
            .file("cache", "history/shop/.git/HEAD", "ref: refs/heads/main\n")
            .file("workspace", "projects.json", format!("{{\"projects\":{{\"{cwd}\":\"shop\"}}}}"))
            .file("workspace", "tmp/shop/7e3a/plans/plan.md", "# Plan\n")
            .file("memory", "tmp/shop/memory/MEMORY.md", "- cents\n")
            .file("history", "tmp/shop/shell_history", "ls\n")
            .file("cache", "tmp/shop/tool-outputs/a.txt", "long\n")
            .file("cache", "tmp/bin/rg", "program\n")
            .file("secrets", "oauth_creds.json", r#"{"access_token":"invented"}"#)
            .file("secrets", "extensions/x/.env", "X_KEY=invented\n")
            .file("skills", "extensions/x/gemini-extension.json", r#"{"name":"x"}"#)
            .file("skills", "commands/fix.toml", "prompt = \"fix\"\n")
            .file("config", "settings.json", r#"{"general":{}}"#)
            .file("memory", "GEMINI.md", "Answer briefly.\n")
            .file("settings", "trustedFolders.json", format!("{{\"{cwd}\":\"TRUST_FOLDER\"}}"))
            .file("settings", "state.json", "{}")
            .file("cache", "installation_id", "invented\n")
            .file("other", "of-next-month", "x\n");
        self
    }

    /// Copilot's command line, with its database, and the folder of the editors' plugins.
    pub fn copilot(mut self) -> Home {
        let cwd = self.project().to_str().unwrap().to_owned();
        let events = format!(
            r#"{{"type":"session.start","data":{{"sessionId":"a9950000-0000-4000-8000-000000000001","version":1,"producer":"copilot-agent","copilotVersion":"1.0.78","startTime":"2026-11-07T12:00:00.000Z","context":{{"cwd":"{cwd}","gitRoot":"{cwd}","branch":"main"}}}},"id":"e1","timestamp":"2026-11-07T12:00:00.010Z","parentId":null}}
{{"type":"user.message","data":{{"content":"Which tests are shaky?"}},"id":"e2","timestamp":"2026-11-07T12:00:02.000Z","parentId":"e1"}}
{{"type":"assistant.message","data":{{"content":"Two of them.","toolRequests":[]}},"id":"e3","timestamp":"2026-11-07T12:00:05.000Z","parentId":"e2"}}
"#
        );
        let folder = "session-state/a9950000-0000-4000-8000-000000000001";
        self.root("copilot", "main", ".copilot")
            .file("sessions", &format!("{folder}/events.jsonl"), events)
            .file(
                "sessions",
                &format!("{folder}/workspace.yaml"),
                format!("cwd: {cwd}\nname: Shaky\n"),
            )
            .database(
                "sessions",
                "session-store.db",
                "CREATE TABLE sessions(id TEXT PRIMARY KEY, cwd TEXT, summary TEXT);",
                "INSERT INTO sessions VALUES('a995', '/x', 'Shaky tests');",
            )
            .file("secrets", "config.json", r#"{"copilot_tokens":{"x":"invented"}}"#)
            .file("config", "settings.json", "{}")
            .file("config", "mcp-config.json", r#"{"mcpServers":{}}"#)
            .file("settings", "permissions-config.json", "{}")
            .file("memory", "copilot-instructions.md", "Answer briefly.\n")
            .file("skills", "agents/reviewer.agent.md", "x\n")
            .file("skills", "hooks/other.json", r#"{"version":1,"hooks":{}}"#)
            .file("history", "command-history-state.json", "[]")
            .file("workspace", "plugin-data/x/state.json", "{}")
            .file("cache", "logs/process.log", "started\n")
            .file("cache", "ide/4711.lock", "{}")
            .file("other", "of-next-month.json", "{}");
        self.root("copilot", "editor", ".config/github-copilot")
            .file("secrets", "apps.json", r#"{"github.com":{"oauth_token":"invented"}}"#)
            .file("other", "versions.json", "{}")
            .file(
                "sessions",
                "intellij/chat-edit-sessions/x1/copilot-edit-nitrite.db",
                "H:2,block:1",
            );
        self
    }
}
