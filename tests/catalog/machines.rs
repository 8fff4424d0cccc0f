//! Where roots lie on Linux, macOS and Windows, and what each variable does to that.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use stash::agents::{AgentRoot, Catalog, Places, RootProblem, RootSource, System};

fn roots(id: &str, places: &Places) -> Vec<AgentRoot> {
    Catalog::builtin().unwrap().find(id).unwrap().roots(places)
}

/// Returns the place of a label.
fn place(id: &str, label: &str, places: &Places) -> Option<String> {
    let root = roots(id, places).into_iter().find(|root| root.label == label);
    root.map(|root| root.place.to_str().unwrap().to_owned())
}

fn linux() -> Places {
    Places::new("/nowhere/u", System::Linux)
}

#[test]
fn each_system_has_its_places() {
    let table = [
        ("claude-code", "main", ".claude", ".claude", ".claude"),
        ("claude-code", "state", ".claude.json", ".claude.json", ".claude.json"),
        ("codex", "main", ".codex", ".codex", ".codex"),
        (
            "opencode",
            "data",
            ".local/share/opencode",
            ".local/share/opencode",
            ".local/share/opencode",
        ),
        ("opencode", "config", ".config/opencode", ".config/opencode", ".config/opencode"),
        ("opencode", "state", ".local/state/opencode", ".local/state/opencode", "-"),
        ("gemini", "main", ".gemini", ".gemini", ".gemini"),
        ("openclaw", "main", ".openclaw", ".openclaw", ".openclaw"),
        ("continue", "main", ".continue", ".continue", ".continue"),
        (
            "cursor",
            "ide",
            ".config/Cursor",
            "Library/Application Support/Cursor",
            "AppData/Roaming/Cursor",
        ),
        ("cursor", "dot", ".cursor", ".cursor", ".cursor"),
        ("copilot", "main", ".copilot", ".copilot", ".copilot"),
        (
            "copilot",
            "editor",
            ".config/github-copilot",
            ".config/github-copilot",
            "AppData/Local/github-copilot",
        ),
        ("goose", "config", ".config/goose", ".config/goose", "AppData/Roaming/Block/goose/config"),
        ("zed", "data", ".local/share/zed", "Library/Application Support/Zed", "AppData/Local/Zed"),
        (
            "kiro",
            "cli",
            ".local/share/kiro-cli",
            "Library/Application Support/kiro-cli",
            "AppData/Roaming/kiro-cli",
        ),
        ("crush", "data", ".local/share/crush", ".local/share/crush", "AppData/Local/crush"),
        ("pi", "main", ".pi/agent", ".pi/agent", ".pi/agent"),
    ];
    let machines = [
        Places::new("/home/nobody-here", System::Linux),
        Places::new("/Users/nobody-here", System::Macos),
        Places::new("C:/Users/nobody-here", System::Windows),
    ];
    for (id, label, on_linux, on_macos, on_windows) in table {
        for (places, wanted) in machines.iter().zip([on_linux, on_macos, on_windows]) {
            if wanted == "-" {
                continue;
            }
            let wanted = format!("{}/{wanted}", places.home.display());
            assert_eq!(place(id, label, places), Some(wanted), "{id} {label} {:?}", places.system);
        }
    }
    assert_eq!(place("goose", "state", &machines[2]), None, "none is known on Windows");
}

#[test]
fn each_variable_moves_its_root() {
    let table = [
        ("claude-code", "CLAUDE_CONFIG_DIR", "main", "/x"),
        ("claude-code", "CLAUDE_CONFIG_DIR", "state", "/x/.claude.json"),
        ("claude-code", "CLAUDE_CODE_PLUGIN_CACHE_DIR", "plugins", "/x"),
        ("codex", "CODEX_HOME", "main", "/x"),
        ("codex", "CODEX_SQLITE_HOME", "sqlite", "/x"),
        ("opencode", "XDG_DATA_HOME", "data", "/x/opencode"),
        ("opencode", "XDG_CONFIG_HOME", "config", "/x/opencode"),
        ("opencode", "XDG_STATE_HOME", "state", "/x/opencode"),
        ("opencode", "XDG_CACHE_HOME", "cache", "/x/opencode"),
        ("opencode", "OPENCODE_CONFIG_DIR", "extra-config", "/x"),
        ("opencode", "OPENCODE_CONFIG", "custom-config", "/x"),
        ("opencode", "OPENCODE_DB", "database", "/x"),
        ("gemini", "GEMINI_CLI_HOME", "main", "/x/.gemini"),
        ("gemini", "GEMINI_CLI_TRUSTED_FOLDERS_PATH", "trusted", "/x"),
        ("gemini", "GEMINI_CLI_SYSTEM_SETTINGS_PATH", "machine-settings", "/x"),
        ("openclaw", "OPENCLAW_STATE_DIR", "main", "/x"),
        ("openclaw", "OPENCLAW_HOME", "main", "/x/.openclaw"),
        ("openclaw", "CLAWDBOT_STATE_DIR", "main", "/x"),
        ("openclaw", "OPENCLAW_CONFIG_PATH", "config", "/x"),
        ("openclaw", "OPENCLAW_CONFIG", "config", "/x"),
        ("aider", "AIDER_CHAT_HISTORY_FILE", "chat-history", "/x"),
        ("aider", "AIDER_INPUT_HISTORY_FILE", "input-history", "/x"),
        ("aider", "AIDER_LLM_HISTORY_FILE", "llm-history", "/x"),
        ("continue", "CONTINUE_GLOBAL_DIR", "main", "/x"),
        ("cursor", "CURSOR_CONFIG_DIR", "moved", "/x"),
        ("cursor", "XDG_CONFIG_HOME", "ide", "/x/Cursor"),
        ("copilot", "COPILOT_HOME", "main", "/x"),
        ("goose", "GOOSE_PATH_ROOT", "config", "/x/config"),
        ("goose", "GOOSE_PATH_ROOT", "data", "/x/data"),
        ("goose", "GOOSE_PATH_ROOT", "state", "/x/state"),
        ("goose", "GOOSE_PATH_ROOT", "agents", "/x/.agents"),
        ("qwen", "QWEN_RUNTIME_DIR", "runtime", "/x"),
        ("crush", "CRUSH_GLOBAL_CONFIG", "config", "/x"),
        ("crush", "CRUSH_GLOBAL_DATA", "data", "/x"),
        ("crush", "CRUSH_CACHE_DIR", "cache", "/x"),
        ("cline", "CLINE_DIR", "main", "/x"),
        ("cline", "CLINE_DATA_DIR", "data", "/x"),
        ("cline", "CLINE_SESSION_DATA_DIR", "sessions", "/x"),
        ("kiro", "KIRO_HOME", "main", "/x"),
        ("zed", "XDG_DATA_HOME", "data", "/x/zed"),
        ("zed", "FLATPAK_XDG_DATA_HOME", "data", "/x/zed"),
        ("pi", "PI_CODING_AGENT_DIR", "main", "/x"),
        ("amp", "AMP_SETTINGS_FILE", "settings-file", "/x"),
        ("shared-agents", "AGENTS_HOME", "main", "/x"),
    ];
    let catalog = Catalog::builtin().unwrap();
    let mut untested = catalog.variables();
    for (id, variable, label, wanted) in table {
        let wanted = wanted.replacen("/x", "/nowhere/moved", 1);
        let places = linux().with(variable, "/nowhere/moved");
        let root = roots(id, &places).into_iter().find(|root| root.label == label).unwrap();
        assert_eq!(root.place, Path::new(&wanted), "{id} {variable} {label}");
        assert_eq!(root.source, RootSource::Variable(variable.into()), "{id} {label}");
        untested.remove(variable);
        // Set to nothing, it does nothing.
        let empty = roots(id, &linux().with(variable, ""));
        assert_eq!(empty, roots(id, &linux()), "{id} {variable}");
    }
    assert_eq!(untested.into_iter().collect::<Vec<_>>(), ["APPDATA", "LOCALAPPDATA", "PATH"]);
}

#[test]
fn the_first_variable_that_is_set_wins() {
    let places = linux()
        .with("CLAWDBOT_STATE_DIR", "/nowhere/c")
        .with("OPENCLAW_HOME", "/nowhere/b")
        .with("OPENCLAW_STATE_DIR", "/nowhere/a");
    assert_eq!(place("openclaw", "main", &places).as_deref(), Some("/nowhere/a"));
}

#[test]
fn the_database_of_opencode_may_be_a_name_or_nothing() {
    let at = |value: &str| place("opencode", "database", &linux().with("OPENCODE_DB", value));
    assert_eq!(at("work.db").as_deref(), Some("/nowhere/u/.local/share/opencode/work.db"));
    assert_eq!(at(":memory:"), None);
    // Aider's are looked for in each project instead.
    let places = linux().with("AIDER_CHAT_HISTORY_FILE", "chat.md");
    assert_eq!(place("aider", "chat-history", &places), None);
}

#[test]
fn several_folders_are_numbered_by_their_order() {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name);
    for name in ["one", "two", "three,four"] {
        std::fs::create_dir(path(name)).unwrap();
    }
    let places = Places::new(home.path(), System::Linux);
    let list = format!("{},{}", path("one").display(), path("two").display());
    let found = roots("claude-code", &places.clone().with("CLAUDE_CONFIG_DIR", list));
    let labels: Vec<_> = found.iter().map(|root| root.label.as_str()).collect();
    assert_eq!(labels, ["main", "main-2", "state"]);
    assert_eq!(found[1].place, path("two"));

    // A folder whose name holds the separator is one folder.
    let found = roots("claude-code", &places.clone().with("CLAUDE_CONFIG_DIR", path("three,four")));
    assert_eq!(found[0].place, path("three,four"));
    assert_eq!(found[1].label, "state");

    // What the user names beats the variable, and the state files follow.
    for name in ["one/.claude.json", "two/.claude.json"] {
        std::fs::write(path(name), "{}").unwrap();
    }
    let named = places
        .with("CLAUDE_CONFIG_DIR", path("three,four"))
        .with_roots("claude-code", [path("two"), path("one")]);
    let found = roots("claude-code", &named);
    let told: Vec<_> = found.iter().map(|root| (root.label.as_str(), root.place.clone())).collect();
    assert_eq!(
        told,
        [
            ("main", path("two")),
            ("main-2", path("one")),
            ("state", path("two/.claude.json")),
            ("state-2", path("one/.claude.json")),
        ]
    );
    assert!(found.iter().all(|root| root.source == RootSource::User));
    assert_eq!(found[3].inside.as_deref(), Some("main-2"));
}

#[test]
fn a_user_who_names_the_usual_folder_keeps_the_usual_state_file() {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name);
    std::fs::create_dir(path(".claude")).unwrap();
    std::fs::create_dir(path("work")).unwrap();
    let places = Places::new(home.path(), System::Linux)
        .with_roots("claude-code", [path(".claude"), path("work")]);
    assert_eq!(
        PathBuf::from(place("claude-code", "state", &places).unwrap()),
        path(".claude.json")
    );
}

#[test]
fn what_is_wrong_with_a_root_is_told_and_is_no_error() {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name);
    std::fs::write(path("file"), "x").unwrap();
    std::fs::create_dir(path("folder")).unwrap();
    symlink("nowhere", path("broken")).unwrap();
    symlink("loop-b", path("loop-a")).unwrap();
    symlink("loop-a", path("loop-b")).unwrap();
    let problem = |variable: &str, id: &str, label: &str, value: PathBuf| {
        let places = Places::new(home.path(), System::Linux).with(variable, value);
        let root = roots(id, &places).into_iter().find(|root| root.label == label).unwrap();
        assert!(!root.is_usable() || root.problem.is_none());
        root.problem
    };
    let main = |name: &str| problem("CODEX_HOME", "codex", "main", path(name));
    assert_eq!(main("missing"), Some(RootProblem::Missing));
    assert_eq!(main("file"), Some(RootProblem::NotAFolder));
    assert_eq!(main("broken"), Some(RootProblem::BrokenLink));
    assert_eq!(main("loop-a"), Some(RootProblem::LinkLoop));
    assert_eq!(main("folder"), None);
    assert_eq!(problem("CODEX_HOME", "codex", "main", "a/b".into()), Some(RootProblem::Relative));
    let database = problem("OPENCODE_DB", "opencode", "database", path("folder"));
    assert_eq!(database, Some(RootProblem::NotAFile));
    // The variable's own folder is gone, or only what the agent would make in it.
    let gemini = |name: &str| problem("GEMINI_CLI_HOME", "gemini", "main", path(name));
    assert_eq!(gemini("missing"), Some(RootProblem::Missing));
    assert_eq!(gemini("folder"), None);
    // Without a variable a folder that is not there is nothing to tell.
    let plain = roots("codex", &Places::new(home.path(), System::Linux));
    assert_eq!((plain[0].exists, plain[0].problem.clone()), (false, None));
}

#[test]
fn another_users_folder_is_told() {
    // The superuser may read everything; for it the answer is that nothing is wrong.
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join(".codex");
    std::fs::create_dir(&folder).unwrap();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o000)).unwrap();
    let is_super = std::fs::read_dir(&folder).is_ok();
    let found = roots("codex", &Places::new(home.path(), System::Linux));
    assert!(found[0].exists);
    let wanted = (!is_super).then_some(RootProblem::Forbidden);
    assert_eq!(found[0].problem, wanted);
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn a_folder_under_two_names_is_one_root() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join(".openclaw")).unwrap();
    symlink(".openclaw", home.path().join(".clawdbot")).unwrap();
    std::fs::create_dir(home.path().join(".moltbot")).unwrap();
    let found = roots("openclaw", &Places::new(home.path(), System::Linux));
    let labels: Vec<_> = found.iter().map(|root| root.label.as_str()).collect();
    assert_eq!(labels, ["main", "main-3"], "the label follows the place in the definition");
    // A variable that names the folder where the rest lies makes no second root.
    let codex = home.path().join(".codex");
    std::fs::create_dir(&codex).unwrap();
    let places = Places::new(home.path(), System::Linux).with("CODEX_SQLITE_HOME", codex);
    assert_eq!(roots("codex", &places).len(), 1);
}

#[test]
fn every_editor_of_a_family_is_a_root_of_its_own() {
    let home = tempfile::tempdir().unwrap();
    let store = "User/globalStorage/saoudrizwan.claude-dev";
    for editor in ["Code", "Code - Insiders", "VSCodium", "Code/User/profiles/-7f/x"] {
        let name = format!(".config/{editor}/{store}").replace("/x/User/", "/");
        std::fs::create_dir_all(home.path().join(name)).unwrap();
    }
    std::fs::create_dir_all(home.path().join(".config/unrelated/User")).unwrap();
    let places = Places::new(home.path(), System::Linux);
    let found = roots("cline", &places);
    let labels: Vec<_> = found.iter().map(|root| root.label.as_str()).collect();
    let editors = ["vscode-code", "vscode-code-insiders", "vscode-vscodium", "vscode-code-7f"];
    assert_eq!(labels[2..], editors, "after `main` and `documents`");
    assert!(found[2..].iter().all(|root| root.exists && root.shows_agent));
    // On another system they are looked for elsewhere.
    let macos = Places::new(home.path(), System::Macos);
    assert!(roots("cline", &macos).iter().all(|root| !root.label.starts_with("vscode")));
}

#[test]
fn an_agent_is_detected_by_its_folder_its_program_or_the_users_word() {
    let home = tempfile::tempdir().unwrap();
    let catalog = Catalog::builtin().unwrap();
    let ids = |places: &Places| -> Vec<String> {
        catalog.detect(places).iter().map(|it| it.agent.id.clone()).collect()
    };
    let places = Places::new(home.path(), System::Linux);
    assert_eq!(ids(&places), Vec::<String>::new(), "an empty home");

    // `~/.gemini` alone may be another agent's.
    std::fs::create_dir_all(home.path().join(".gemini/antigravity")).unwrap();
    std::fs::write(home.path().join(".env"), "X=1").unwrap();
    assert_eq!(ids(&places), Vec::<String>::new());
    std::fs::create_dir_all(home.path().join(".gemini/tmp/shop/chats")).unwrap();
    assert_eq!(ids(&places), ["gemini"]);

    std::fs::create_dir_all(home.path().join("bin")).unwrap();
    let program = home.path().join("bin/codex");
    std::fs::write(&program, "").unwrap();
    let with_path = places.clone().with("PATH", home.path().join("bin"));
    assert_eq!(ids(&with_path), ["gemini"], "what can't be run is no program");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(ids(&with_path), ["gemini", "codex"]);
    let detected = catalog.detect(&with_path);
    assert_eq!(detected[1].program.as_deref(), Some(program.as_path()));

    let named = places.with_roots("pi", [home.path().join("gone")]);
    assert_eq!(ids(&named), ["gemini", "pi"], "what the user names is spoken of");
    let detected = catalog.detect(&named);
    assert_eq!(detected[1].roots[0].problem, Some(RootProblem::Missing));
}
