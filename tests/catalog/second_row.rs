//! What each file of the other agents is.

use crate::rows::check;

#[test]
fn every_file_of_goose_has_its_category() {
    check(
        "goose",
        "
        config config+mixed config.yaml
        config config+mixed permission.yaml
        config config+mixed custom_providers/x.json
        config config+mixed .goosehints
        config config+mixed prompts/system.md
        config secrets secrets.yaml
        config secrets gemini_oauth/tokens.json
        config secrets githubcopilot/info.json
        config secrets databricks/oauth/x.json
        config memory memory/x.txt
        config skills recipes/x.yaml
        agents skills plugins/stash/plugin.json
        data sessions sessions/sessions.db
        data sessions sessions/sessions.db-wal
        data sessions sessions/20250801_101010.jsonl
        data cache sessions/backups/x.db
        data workspace projects.json
        data workspace schedule.json
        data workspace schedules.json
        data workspace scheduled_recipes/x.yaml
        state history history.txt
        state cache logs/cli/x.log
        data cache models/x.bin
        data cache cache/x
        desktop cache Cache/x
        config unknown something-new
        ",
    );
}

#[test]
fn every_file_of_qwen_has_its_category() {
    check(
        "qwen",
        "
        main secrets oauth_creds.json
        main secrets mcp-oauth-tokens.json
        main secrets .env
        main secrets extensions/x/.env
        main config+mixed settings.json
        main memory QWEN.md
        main memory memory.md
        main skills skills/x/SKILL.md
        main skills commands/x.md
        main skills agents/x.md
        main skills extensions/x/qwen-extension.json
        main sessions projects/-home-user-code-shop/chats/u1.jsonl
        main sessions tmp/4c1d/chats/session-1.json
        runtime sessions projects/-home-user-code-shop/chats/u1.jsonl
        runtime cache debug/x.txt
        main cache tmp/4c1d/logs.json
        main cache debug/x.txt
        main cache ide/x
        main cache bin/rg
        main cache history/4c1d/HEAD
        main cache installation_id
        main unknown something-new
        ",
    );
}

#[test]
fn every_file_of_crush_has_its_category() {
    check(
        "crush",
        "
        config config+mixed crush.json
        config config+mixed crushrc
        config skills skills/x/SKILL.md
        skills skills x/SKILL.md
        data settings+mixed crush.json
        data workspace+merge projects.json
        cache cache providers.json
        project sessions .crush/crush.db
        project sessions .crush/crush.db-wal
        project cache .crush/logs/crush.log
        project skills .crush/commands/x.md
        project skills .crush/skills/x/SKILL.md
        project other .crush/init
        project config+mixed+optional crush.json
        project config+mixed+optional .crush.json
        project config+mixed+optional .crushrc
        project - main.go
        ",
    );
}

#[test]
fn every_file_of_cline_has_its_category() {
    check(
        "cline",
        "
        main settings data/globalState.json
        main secrets data/secrets.json
        main secrets data/settings/providers.json
        main settings data/settings/global-settings.json
        main config+mixed data/settings/cline_mcp_settings.json
        main workspace data/workspaces/ab12/workspaceState.json
        main sessions data/sessions/s1/s1.json
        main sessions data/sessions/s1/s1.messages.json
        main sessions data/db/tasks.db
        main sessions data/db/tasks.db-wal
        main workspace data/db/cron.db
        main workspace+mixed data/db/connectors.db
        main workspace data/teams/x.json
        main sessions tasks/1793610000000/x.json
        main workspace cron/x.json
        main skills hooks/TaskStart
        main skills skills/x/SKILL.md
        main skills agents/x.yaml
        main skills rules/x.md
        main skills workflows/x.md
        data secrets secrets.json
        data secrets settings/providers.json
        data sessions sessions/s1/s1.messages.json
        data settings globalState.json
        data config+mixed settings/cline_mcp_settings.json
        data workspace workspaces/ab12/workspaceState.json
        data workspace+mixed db/connectors.db
        sessions sessions s1/s1.messages.json
        documents skills Rules/x.md
        documents skills Workflows/x.md
        documents skills Hooks/TaskStart
        vscode-code sessions tasks/1793610000000/api_conversation_history.json
        vscode-code sessions tasks/1793610000000/ui_messages.json
        vscode-code sessions tasks/1793610000000/task_metadata.json
        vscode-code sessions+merge state/taskHistory.json
        vscode-code cache checkpoints/ab12/.git/HEAD
        vscode-code config+mixed settings/cline_mcp_settings.json
        vscode-cursor cache cache/x.json
        ",
    );
}

#[test]
fn every_file_of_roo_has_its_category() {
    check(
        "roo",
        "
        vscode-code sessions tasks/u1/api_conversation_history.json
        vscode-code sessions tasks/u1/ui_messages.json
        vscode-code sessions tasks/u1/history_item.json
        vscode-code sessions+merge tasks/_index.json
        vscode-code config+mixed settings/mcp_settings.json
        vscode-code config settings/custom_modes.yaml
        dot skills rules/x.md
        dot skills rules-code/x.md
        dot skills commands/x.md
        dot skills skills/x/SKILL.md
        dot unknown x
        ",
    );
}

#[test]
fn every_file_of_kiro_has_its_category() {
    check(
        "kiro",
        "
        cli sessions+mixed data.sqlite3
        cli sessions+mixed data.sqlite3-wal
        cli-2 sessions+mixed data.sqlite3
        main sessions sessions/cli/u1.json
        main sessions sessions/cli/u1.jsonl
        main sessions sessions/cli/u1.history
        main cache+run sessions/cli/u1.lock
        main sessions sessions/ab12/sess_u1/session.json
        main sessions sessions/ab12/sess_u1/messages.jsonl
        main sessions sessions/ab12/sess_u1/snapshots/1
        main sessions session-index/ab12.jsonl
        main config+mixed settings/mcp.json
        main memory steering/product.md
        main skills agents/x.json
        main skills hooks/x.json
        main skills skills/x/SKILL.md
        ide sessions ab12/x.chat
        ",
    );
}

#[test]
fn every_file_of_zed_has_its_category() {
    check(
        "zed",
        "
        data sessions threads/threads.db
        data sessions threads/threads.db-wal
        data cache languages/x
        data cache node/x
        data cache extensions/x/y
        data cache db/0-stable/db.sqlite
        config config+mixed settings.json
        config settings keymap.json
        config config+mixed tasks.json
        config config+mixed snippets/rust.json
        config settings themes/x.json
        config skills prompts/x.md
        ",
    );
}

#[test]
fn every_file_of_pi_has_its_category() {
    check(
        "pi",
        "
        main secrets auth.json
        main config+mixed models.json
        main settings settings.json
        main skills skills/x/SKILL.md
        main skills prompts/x.md
        main skills themes/x.json
        main skills extensions/x.ts
        main memory AGENTS.md
        main memory SYSTEM.md
        main sessions sessions/--home-user-code-shop--/1_u1.jsonl
        main cache npm/x
        main cache git/x
        main cache bin/fd
        omp secrets agent.db
        omp secrets agent.db-wal
        omp sessions sessions/--x--/1_u1.jsonl
        main unknown agent.db
        ",
    );
}

#[test]
fn every_file_of_droid_amp_and_windsurf_has_its_category() {
    check(
        "droid",
        "
        main sessions sessions/-home-user/u1.jsonl
        main sessions sessions/-home-user/u1.settings.json
        main config+mixed settings.json
        main config+mixed settings.local.json
        main config+mixed mcp.json
        main secrets auth.json
        main secrets auth.v2/x
        main skills droids/x.md
        main skills commands/x.md
        main skills skills/x/SKILL.md
        main skills hooks/x.sh
        main memory AGENTS.md
        main history history.json
        main cache bin/rg
        main cache logs/x.log
        main cache cache/x
        main cache artifacts/x
        main unknown x
        ",
    );
    check(
        "amp",
        "
        data sessions threads/T-1.json
        data secrets secrets.json
        data history history.jsonl
        config config+mixed settings.json
        settings-file config+mixed
        data unknown threads/x.json
        ",
    );
    check(
        "windsurf",
        "
        main sessions+same cascade/u1.pb
        main memory memories/global_rules.md
        main memory memories/x.pb
        main config+mixed mcp_config.json
        ide config settings.json
        ide settings keybindings.json
        ide config snippets/x.json
        ide settings profiles/x/settings.json
        ide workspace+mixed+same globalStorage/state.vscdb
        ide workspace+same workspaceStorage/ab12/workspace.json
        ide workspace+optional History/x/entries.json
        ide unknown globalStorage/x/y
        ",
    );
    check(
        "shared-agents",
        "
        main skills skills/x/SKILL.md
        main skills plugins/stash/hooks/hooks.json
        main skills agents/x.md
        main unknown x
        ",
    );
}
