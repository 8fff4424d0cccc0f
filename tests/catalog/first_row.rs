//! What each file of the nine first agents is.

use crate::rows::check;

#[test]
fn every_file_of_claude_code_has_its_category() {
    check(
        "claude-code",
        "
        main secrets .credentials.json
        state settings+mixed+merge
        main settings+mixed+merge .claude.json
        main config+mixed settings.json
        main config+mixed settings.local.json
        main memory CLAUDE.md
        main memory rules/style.md
        main memory projects/-home-user-code-shop/memory/MEMORY.md
        main memory projects/-home-user-code-shop/memory/topics/money.md
        main memory agent-memory/reviewer/MEMORY.md
        main skills skills/deploy/SKILL.md
        main skills commands/fix.md
        main skills agents/reviewer.md
        main skills workflows/release.md
        main skills output-styles/short.md
        main skills hooks/after.sh
        main settings keybindings.json
        main settings themes/dark.json
        main settings statusline.sh
        main settings statusline/line.sh
        main sessions projects/-home-user-code-shop/5c0d2b7e-1111-4a6b-9a10-aaaaaaaaaaaa.jsonl
        main sessions projects/-x/5c0d2b7e/subagents/agent-a0b1.jsonl
        main sessions projects/-x/5c0d2b7e/subagents/agent-a0b1.meta.json
        main sessions projects/-x/5c0d2b7e/subagents/workflows/w1/run.json
        main sessions projects/-x/5c0d2b7e/tool-results/toolu_1.txt
        main cache projects/-x/sessions-index.json
        main cache projects/-x/.session-aliases
        main history history.jsonl
        main workspace plans/quiet-fox.md
        main workspace tasks/5c0d/1.json
        main workspace todos/5c0d.json
        main workspace+optional file-history/5c0d/a@v1
        main workspace+optional uploads/5c0d/a.pdf
        main workspace+optional paste-cache/a1.txt
        main workspace+optional image-cache/5c0d/1.png
        main config plugins/installed_plugins.json
        main config plugins/known_marketplaces.json
        main workspace plugins/data/x/state.json
        main cache plugins/cache/x/index.js
        main cache plugins/marketplaces/x/.git/HEAD
        main unknown plugins/blocklist.json
        plugins cache cache/x/index.js
        plugins config installed_plugins.json
        plugins workspace data/x/state.json
        desktop workspace a/b.json
        main other stats-cache.json
        main other usage-data/report.html
        main cache debug/5c0d.txt
        main cache logs/a.log
        main cache statsig/x
        main cache telemetry/x.json
        main cache cache/changelog.md
        main cache+run shell-snapshots/s.sh
        main cache+run session-env/5c0d/x
        main cache+run sessions/4711.json
        main cache+run ide/4711.lock
        main cache backups/.claude.json.backup.1
        main cache feedback-bundles/a.zip
        main cache remote-settings.json
        main cache policy-limits.json
        main cache downloads/x
        main cache .last-cleanup
        main cache+run x.lock
        main cache+run daemon.pid
        main cache+run daemon-1/socket
        main unknown something-new/file
        main-2 sessions projects/-x/5c0d.jsonl
        state-2 settings+mixed+merge
        project memory CLAUDE.local.md
        project config+mixed .claude/settings.local.json
        project config+mixed+optional .claude/settings.json
        project config+mixed+optional .mcp.json
        project - src/main.rs
        ",
    );
}

#[test]
fn every_file_of_codex_has_its_category() {
    check(
        "codex",
        "
        main secrets auth.json
        main secrets .credentials.json
        main config+mixed config.toml
        main config+mixed work.config.toml
        main config+mixed requirements.toml
        main config hooks.json
        main memory AGENTS.md
        main memory AGENTS.override.md
        main memory memories/shop.md
        main skills skills/deploy/SKILL.md
        main skills prompts/fix.md
        main skills rules/default.rules
        main skills plugins/x/plugin.json
        main sessions sessions/2026/11/03/rollout-2026-11-03T10-00-00-019a5c00.jsonl
        main sessions sessions/2026/11/03/rollout-2026-11-03T10-00-00-019a5c00.jsonl.zst
        main sessions archived_sessions/rollout-2026-11-01T10-00-00-019a.jsonl
        main sessions archived_sessions/rollout-2026-11-01T10-00-00-019a.jsonl.zst
        main sessions thread_history_1.sqlite
        main sessions thread_history_1.sqlite-wal
        main workspace+same state_5.sqlite
        main workspace+same state_5.sqlite-wal
        main workspace+same state_12.sqlite-shm
        main workspace goals_1.sqlite
        main workspace queue_2.sqlite
        main memory memories_1.sqlite
        main memory memories_v2_1.sqlite
        main memory memories_v2_1.sqlite-shm
        main workspace later_3.sqlite
        main sessions session_index.jsonl
        main history history.jsonl
        main cache logs_2.sqlite
        main cache logs_2.sqlite-wal
        sqlite cache logs_2.sqlite-wal
        sqlite workspace+same state_5.sqlite
        sqlite sessions thread_history_1.sqlite
        sqlite memory memories_1.sqlite
        sqlite workspace goals_1.sqlite
        sqlite unknown x.sqlite
        main cache log/codex-tui.log
        main cache tmp/x
        main cache .tmp/x
        main cache cache/x
        main cache models_cache.json
        main cache version.json
        main cache+run shell_snapshots/s.sh
        main cache+run thread-writer-locks/019a.lock
        main cache vendor_imports/x
        main cache+run a.lock
        main unknown something-new.json
        project config+mixed+optional .codex/config.toml
        project config+mixed+optional .codex/hooks.json
        project - AGENTS.md
        ",
    );
}

#[test]
fn every_file_of_opencode_has_its_category() {
    check(
        "opencode",
        "
        data secrets auth.json
        data secrets mcp-auth.json
        data sessions+mixed opencode.db
        data sessions+mixed opencode.db-wal
        data sessions+mixed opencode.db-shm
        data sessions+mixed opencode-dev.db
        data sessions+mixed opencode-dev.db-wal
        database sessions+mixed
        data sessions storage/project/global.json
        data sessions storage/session/global/ses_01.json
        data sessions storage/message/ses_01/msg_01.json
        data sessions storage/part/msg_01/prt_01.json
        data sessions storage/todo/ses_01.json
        data sessions storage/permission/x.json
        data sessions+mixed storage/session_share/ses_01.json
        data sessions storage/session_diff/ses_01.json
        data other storage/quarantine/x.json
        data other storage/migration
        data cache+optional snapshot/9f1c/HEAD
        data sessions project/home-user/storage/session/info/ses_00.json
        data cache log/dev.log
        data cache tool-output/tool_1
        data cache bin/rg
        data cache repos/x/HEAD
        data unknown something-new.json
        cache cache node_modules/x/index.js
        cache cache models.json
        config config+mixed opencode.json
        config config+mixed opencode.jsonc
        config config+mixed config.json
        config config+mixed tui.json
        config memory AGENTS.md
        config skills agent/reviewer.md
        config skills agents/reviewer.md
        config skills command/fix.md
        config skills commands/fix.md
        config skills plugin/stash.js
        config skills plugins/stash.js
        config skills tool/x.ts
        config skills tools/x.ts
        config skills skill/x/SKILL.md
        config skills skills/x/SKILL.md
        config skills modes/plan.md
        config skills themes/dark.json
        config skills package.json
        config cache node_modules/x/index.js
        config cache plugins/x/node_modules/y/index.js
        config cache bun.lock
        extra-config config+mixed opencode.json
        extra-config skills commands/fix.md
        custom-config config+mixed
        install cache bin/opencode
        install skills plugins/x.js
        state settings kv.json
        state settings model.json
        state settings tui
        state history prompt-history.jsonl
        state history frecency.jsonl
        state history prompt-stash.jsonl
        state cache+run locks/ab12.lock/heartbeat
        state cache+run locks/ab12.lock/meta.json
        state cache+run server.lock
        state cache+run chat
        project skills+mixed+optional .opencode/commands/fix.md
        project cache .opencode/node_modules/x/index.js
        project - opencode.txt
        ",
    );
}

#[test]
fn every_file_of_gemini_has_its_category() {
    check(
        "gemini",
        "
        main secrets oauth_creds.json
        main secrets mcp-oauth-tokens.json
        main secrets a2a-oauth-tokens.json
        main secrets google_accounts.json
        main secrets .env
        main secrets gemini-credentials.json
        main secrets extensions/x/.env
        main config+mixed settings.json
        main config+mixed policies/a.toml
        main skills commands/fix.toml
        main memory GEMINI.md
        main memory tmp/shop/memory/MEMORY.md
        main skills skills/x/SKILL.md
        main skills agents/x.md
        main skills+optional extensions/x/gemini-extension.json
        main workspace+merge projects.json
        main workspace tmp/shop/.project_root
        main workspace history/shop/.project_root
        main cache history/shop/objects/ab/cd
        main cache history/shop/HEAD
        main sessions tmp/shop/chats/session-2026-11-04T08-00-7e3a0000.jsonl
        main sessions tmp/shop/chats/session-2026-11-04T08-00-7e3a0000.json
        main sessions tmp/shop/chats/7e3a/sub1.jsonl
        main sessions tmp/shop/checkpoint-before.json
        main sessions tmp/shop/logs.json
        main workspace tmp/shop/checkpoints/a.json
        main workspace tmp/shop/7e3a/plans/plan.md
        main workspace tmp/shop/7e3a/tracker/x.json
        main workspace tmp/shop/tasks/x.json
        main workspace tmp/shop/plans/plan.md
        main history tmp/shop/shell_history
        main settings keybindings.json
        main settings+same trustedFolders.json
        main settings state.json
        main settings acknowledgments/agents.json
        main settings mcp-server-enablement.json
        main cache tmp/bin/rg
        main cache tmp/shop/logs/a.log
        main cache tmp/shop/tool-outputs/x
        main cache tmp/shop/otel/collector.log
        main cache+same installation_id
        main cache+same policy_integrity.json
        main other+optional antigravity/conversations/x.pb
        main other+optional antigravity-cli/x
        main unknown something-new
        trusted settings+same
        system config+mixed settings.json
        machine-settings config+mixed
        project secrets .gemini/.env
        project config+mixed+optional .gemini/settings.json
        project - .env
        ",
    );
}

#[test]
fn every_file_of_openclaw_has_its_category() {
    check(
        "openclaw",
        "
        main config+mixed openclaw.json
        main config+mixed openclaw.json.bak
        main config+mixed openclaw.json.bak.2
        config config+mixed
        main secrets .env
        main secrets credentials/whatsapp/creds.json
        main secrets secrets.json
        main secrets auth/x.json
        main secrets agents/main/agent/auth-profiles.json
        main secrets state/openclaw.sqlite
        main secrets state/openclaw.sqlite-wal
        main sessions+mixed agents/main/agent/openclaw-agent.sqlite
        main sessions+mixed agents/main/agent/openclaw-agent.sqlite-wal
        main sessions agents/main/sessions/b2f0.jsonl
        main sessions agents/main/sessions/sessions.json
        main sessions agents/main/sessions/b2f0.checkpoint.1.jsonl
        main sessions agents/main/sessions/b2f0.jsonl.deleted.2026
        main sessions agents/main/sessions/b2f0.jsonl.reset.2026
        main sessions agents/main/sessions/sessions.json.bak
        main cache agents/main/sessions/b2f0.jsonl.lock
        main config+mixed agents/main/agent/models.json
        main workspace workspace/AGENTS.md
        main workspace workspace/SOUL.md
        main workspace workspace-two/USER.md
        main memory workspace/MEMORY.md
        main memory workspace-two/memory/2026-11-05.md
        main cache workspace/app/node_modules/x/index.js
        main memory+optional memory/main.sqlite
        main memory+optional memory/main.sqlite-wal
        main memory+optional agents/main/memory/index.sqlite
        main skills skills/x/SKILL.md
        main skills hooks/x.js
        main skills+optional extensions/x/index.js
        main settings cron/jobs.json
        main settings settings/x.json
        main settings+mixed+same devices/paired.json
        main secrets+same identity/device.json
        main cache media/inbound/a.jpg
        main cache sandboxes/x/file
        main cache cache/x
        main cache logs/gateway.log
        main cache agents/main/qmd/xdg-cache/model.bin
        main cache gateway.lock
        main cache x.tmp
        main unknown something-new.json
        main-2 config+mixed openclaw.json
        ",
    );
}

#[test]
fn every_file_of_aider_has_its_category() {
    check(
        "aider",
        "
        conf config+mixed
        model-settings settings
        model-metadata settings
        env secrets
        home secrets oauth-keys.env
        home settings analytics.json
        home settings installs.json
        home cache caches/versioncheck
        chat-history sessions
        llm-history sessions
        input-history history
        project sessions .aider.chat.history.md
        project sessions .aider.llm.history
        project history .aider.input.history
        project config+mixed .aider.conf.yml
        project config .aiderignore
        project settings .aider.model.settings.yml
        project secrets .env
        project cache .aider.tags.cache.v4/cache.db
        project cache .aider.tags.cache.v4/cache.db-wal
        project - importer.py
        project - sub/.aider.chat.history.md
        ",
    );
}

#[test]
fn every_file_of_continue_has_its_category() {
    check(
        "continue",
        "
        main config+mixed config.yaml
        main config+mixed config.json
        main config+mixed config.ts
        main config+mixed .continuerc.json
        main config+mixed .continueignore
        main config+mixed permissions.yaml
        main secrets .env
        main secrets auth.json
        main sessions sessions/0f6d0000.json
        main sessions+merge sessions/sessions.json
        main skills rules/style.md
        main skills prompts/fix.md
        main skills assistants/x.yaml
        main skills agents/x.yaml
        main config+mixed models/x.yaml
        main config+mixed mcpServers/x.yaml
        main settings sharedConfig.json
        main settings index/globalContext.json
        main cache index/index.sqlite
        main cache index/index.sqlite-wal
        main cache index/lancedb/x
        main cache index/docs.sqlite
        main cache index/autocompleteCache.sqlite
        main cache dev_data/x.jsonl
        main cache logs/core.log
        main cache .utils/x
        main cache types/core/index.d.ts
        main cache .diffs/x
        main cache .migrations/x
        main cache .configs/x
        main cache out/config.js
        main cache package.json
        main cache tsconfig.json
        main unknown something-new
        project config+mixed+optional .continue/rules/x.md
        project config+mixed+optional .continuerc.json
        project - package.json
        ",
    );
}

#[test]
fn every_file_of_cursor_has_its_category() {
    check(
        "cursor",
        "
        ide config User/settings.json
        ide settings User/keybindings.json
        ide config User/snippets/rust.json
        ide settings User/profiles/-1a2b/settings.json
        ide sessions+mixed+same User/profiles/-1a2b/globalStorage/state.vscdb
        ide sessions+mixed+same User/globalStorage/state.vscdb
        ide sessions+mixed+same User/globalStorage/state.vscdb-journal
        ide sessions+mixed+same User/globalStorage/state.vscdb.backup
        ide workspace+same User/workspaceStorage/ab12/state.vscdb
        ide workspace+same User/workspaceStorage/ab12/workspace.json
        ide cache User/globalStorage/conversation-search.db
        ide cache User/globalStorage/conversation-search.db-wal
        ide workspace+optional User/History/-1a2b/entries.json
        ide sessions chats/5d41/uuid/store.db
        dot sessions chats/5d41/uuid/store.db
        dot sessions chats/5d41/uuid/store.db-wal
        dot sessions chats/5d41/uuid/meta.json
        dot sessions chats/5d41/uuid/prompt_history.json
        moved sessions chats/5d41/uuid/store.db
        xdg sessions chats/5d41/uuid/store.db
        xdg secrets auth.json
        dot sessions projects/home-user-code-shop/agent-transcripts/u1/u1.jsonl
        dot sessions projects/home-user-code-shop/agent-transcripts/u1/subagents/u2.jsonl
        dot sessions projects/home-user-code-shop/agent-transcripts/u3.txt
        dot cache projects/home-user-code-shop/terminals/1.txt
        dot cache projects/home-user-code-shop/mcps/x/tools.json
        dot workspace projects/home-user-code-shop/agent-tools/1.txt
        dot workspace projects/home-user-code-shop/assets/a.png
        dot skills rules/style.mdc
        dot skills commands/fix.md
        dot skills agents/x.md
        dot skills skills/x/SKILL.md
        dot workspace plans/x.plan.md
        dot config hooks.json
        dot skills hooks/after.sh
        dot config+mixed mcp.json
        dot config+mixed cli-config.json
        dot other ai-tracking/ai-code-tracking.db
        dot other ai-tracking/ai-code-tracking.db-wal
        dot cache extensions/x-1.0/package.json
        dot config extensions/extensions.json
        ide cache Cache/Cache_Data/x
        ide cache CachedData/x/y
        ide cache CachedExtensionVSIXs/x
        ide cache Code Cache/js/x
        ide cache GPUCache/x
        ide cache logs/x/main.log
        ide cache Crashpad/x
        ide cache blob_storage/x/y
        ide cache Service Worker/x/y
        ide cache snapshots/x
        ide cache Backups/x/y
        ide unknown User/globalStorage/another.extension/file
        ide-2 config User/settings.json
        project config+optional .cursor/hooks.json
        project - .cursor/mcp.json
        ",
    );
}

#[test]
fn every_file_of_copilot_has_its_category() {
    check(
        "copilot",
        "
        main secrets config.json
        main config+mixed settings.json
        main config+mixed mcp-config.json
        main config+mixed lsp-config.json
        main settings permissions-config.json
        main cache+run ide/4711.lock
        main memory copilot-instructions.md
        main memory instructions/rust.instructions.md
        main skills agents/x.agent.md
        main skills skills/x/SKILL.md
        main skills hooks/stash.json
        main sessions session-state/a995/events.jsonl
        main sessions session-state/a995/workspace.yaml
        main sessions session-state/a995/checkpoints/1.md
        main sessions session-state/a994.jsonl
        main sessions history-session-state/a990.json
        main sessions session-store.db
        main sessions session-store.db-wal
        main sessions session-store.db-shm
        main history command-history-state.json
        main workspace plugin-data/x/state.json
        main cache installed-plugins/x/plugin.json
        main cache pkg/universal/x
        main cache logs/process.log
        main unknown something-new.json
        editor secrets hosts.json
        editor secrets apps.json
        editor other versions.json
        editor sessions intellij/chat-edit-sessions/x1/copilot-edit-nitrite.db
        vscode-code sessions workspaceStorage/ab12/chatSessions/u1.jsonl
        vscode-code-insiders sessions globalStorage/emptyWindowChatSessions/u2.json
        vscode-code workspace+same workspaceStorage/ab12/workspace.json
        vscode-code - settings.json
        vscode-code - globalStorage/state.vscdb
        project config+optional .github/hooks/stash.json
        project - .github/workflows/ci.yml
        ",
    );
}
