//! Agents with plain files: Aider, which keeps its own in projects, and Continue.

use stash::agents::PROJECT;

use super::{Home, PROJECT_FOLDER};

impl Home {
    /// Aider: a project with its history, and the files in the home.
    pub fn aider(mut self) -> Home {
        let chat = "
# aider chat started at 2026-11-06 14:20:11

> /usr/bin/aider --model example
#### make the importer safe to run twice
Here is the change.
> Applied edit to importer.py
";
        self.root("aider", PROJECT, PROJECT_FOLDER)
            .file("sessions", ".aider.chat.history.md", chat)
            .file("sessions", ".aider.llm.history", "USER make it safe\n")
            .file("history", ".aider.input.history", "\n# 2026-11-06 14:20:30\n+make it safe\n")
            .file("config", ".aider.conf.yml", "model: example\nopenai-api-key: invented\n")
            .file("config", ".aiderignore", "dist/\n")
            .file("secrets", ".env", "X_KEY=invented\n")
            .file("cache", ".aider.tags.cache.v4/cache.db", "SQLite format 3\0");
        self.root("aider", "conf", ".aider.conf.yml").file("config", "", "dark-mode: true\n");
        let models = ".aider.model.settings.yml";
        self.root("aider", "model-settings", models).file("settings", "", "[]\n");
        self.root("aider", "env", ".env").file("secrets", "", "Y_KEY=invented\n");
        self.root("aider", "home", ".aider")
            .file("secrets", "oauth-keys.env", "Z_KEY=invented\n")
            .file("settings", "analytics.json", "{}")
            .file("cache", "caches/versioncheck", "");
        self
    }

    /// Continue: a session and the list that makes it visible.
    pub fn continue_dev(mut self) -> Home {
        let cwd = self.project().to_str().unwrap().to_owned();
        let id = "0f6d0000-0000-4000-8000-000000000001";
        let session = format!(
            r#"{{"sessionId":"{id}","title":"Importer tries again","workspaceDirectory":"file://{cwd}","history":[{{"message":{{"role":"user","content":"Let it try again"}},"contextItems":[]}},{{"message":{{"role":"assistant","content":"Done."}}}}],"mode":"agent","chatModelTitle":"Example"}}"#
        );
        let index = format!(
            r#"[{{"sessionId":"{id}","title":"Importer tries again","dateCreated":"1793610000000","workspaceDirectory":"file://{cwd}","messageCount":2}}]"#
        );
        self.root("continue", "main", ".continue")
            .file("sessions", &format!("sessions/{id}.json"), session)
            .file("sessions", "sessions/sessions.json", index)
            .file("config", "config.yaml", "models:\n  - apiKey: invented\n")
            .file("config", ".continuerc.json", "{}")
            .file("secrets", ".env", "X_KEY=invented\n")
            .file("skills", "rules/style.md", "Short.\n")
            .file("skills", "prompts/fix.md", "Fix it.\n")
            .file("config", "mcpServers/x.yaml", "env: {}\n")
            .file("settings", "sharedConfig.json", "{}")
            .file("settings", "index/globalContext.json", "{}")
            .database(
                "cache",
                "index/index.sqlite",
                "CREATE TABLE chunks(id INTEGER PRIMARY KEY, path TEXT);",
                "INSERT INTO chunks VALUES(1, 'importer.py');",
            )
            .file("cache", "index/lancedb/x/data", "x")
            .file("cache", "dev_data/0.2.0/chatInteraction.jsonl", "{}\n")
            .file("cache", "types/core/index.d.ts", "export {}\n")
            .file("cache", "package.json", "{}")
            .file("other", "of-next-month/x", "x\n");
        self
    }
}
