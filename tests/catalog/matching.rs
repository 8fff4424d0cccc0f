//! Matching: total, the same each time, fast, and without a walk through caches.

use std::sync::LazyLock;
use std::time::Instant;

use proptest::prelude::*;
use stash::agents::{Catalog, PROJECT, Prune};
use stash::format::tree::Category;

static CATALOG: LazyLock<Catalog> = LazyLock::new(|| Catalog::builtin().unwrap());

#[test]
fn names_that_are_not_utf8_are_matched() {
    let catalog = Catalog::builtin().unwrap();
    let claude = catalog.find("claude-code").unwrap();
    let category = |path: &[u8]| claude.classify("main", path).unwrap().category;
    assert_eq!(category(b"skills/\xff\xfe/SKILL.md"), Category::Skills);
    assert_eq!(category(b"projects/-caf\xe9/a.jsonl"), Category::Sessions);
    assert_eq!(category(b"\xff"), Category::Other);
    assert_eq!(category(b"skills/a\nb"), Category::Skills);
}

#[test]
fn an_unknown_root_is_other_and_saved() {
    let catalog = Catalog::builtin().unwrap();
    let claude = catalog.find("claude-code").unwrap();
    let classified = claude.classify("of-a-later-version", b"x").unwrap();
    assert_eq!((classified.category, classified.rule), (Category::Other, None));
    assert_eq!(claude.prunes("of-a-later-version", b"x"), None);
    assert_eq!(claude.declared_label("main-2"), Some("main"));
    assert_eq!(claude.declared_label("mainly"), None);
}

#[test]
fn folders_that_are_wholly_cache_need_no_walk_and_others_do() {
    let table = [
        ("claude-code", "main", "debug", true),
        ("claude-code", "main", "debug/deep/er", true),
        ("claude-code", "main", "plugins/cache", true),
        ("claude-code", "main", "plugins", false),
        ("claude-code", "main", "daemon-7", true),
        ("claude-code", "main", "projects", false),
        ("claude-code", "main", "", false),
        ("claude-code", "main", "sessions", true),
        ("gemini", "main", "history", false),
        ("gemini", "main", "history/shop", false),
        ("gemini", "main", "history/shop/objects", true),
        ("gemini", "main", "tmp/shop", false),
        ("gemini", "main", "tmp/shop/otel", true),
        ("gemini", "main", "tmp/bin", true),
        ("continue", "main", "index", false),
        ("continue", "main", "index/lancedb", true),
        ("opencode", "cache", "", true),
        ("opencode", "data", "snapshot", true),
        ("opencode", "config", "node_modules", true),
        ("opencode", "config", "plugins/x/node_modules", true),
        ("opencode", "config", "plugins", false),
        ("zed", "data", "languages", true),
        ("zed", "data", "threads", false),
        ("zed", "data", "", false),
        ("cursor", "dot", "extensions", false),
        ("cursor", "dot", "extensions/x-1.0", true),
        ("qwen", "main", "tmp/ab/chats", false),
        ("qwen", "main", "debug", true),
        ("codex", "main", "sessions", false),
        ("codex", "main", "log", true),
        ("crush", PROJECT, ".crush/logs", true),
        ("crush", PROJECT, ".crush", false),
    ];
    let catalog = Catalog::builtin().unwrap();
    for (id, label, folder, wanted) in table {
        let pruned = catalog.find(id).unwrap().prunes(label, folder.as_bytes());
        assert_eq!(matches!(pruned, Some(Prune::Cache(_))), wanted, "{id} {label} {folder}");
    }
}

#[test]
fn in_a_shared_root_only_what_a_rule_can_name_is_walked() {
    let catalog = Catalog::builtin().unwrap();
    let copilot = catalog.find("copilot").unwrap();
    let pruned = |folder: &str| copilot.prunes("vscode-code", folder.as_bytes());
    assert_eq!(pruned("History"), Some(Prune::Foreign));
    assert_eq!(pruned("workspaceStorage/ab/other"), Some(Prune::Foreign));
    assert_eq!(pruned("workspaceStorage/ab"), None);
    assert_eq!(pruned("globalStorage"), None);
    let aider = catalog.find("aider").unwrap();
    assert_eq!(aider.prunes(PROJECT, b"src"), Some(Prune::Foreign));
    assert_eq!(aider.prunes(PROJECT, b""), None);
}

#[test]
fn a_hundred_thousand_paths_are_told_well_under_a_second() {
    let began = Instant::now();
    let catalog = Catalog::builtin().unwrap();
    let reading = began.elapsed();
    let claude = catalog.find("claude-code").unwrap();
    let paths: Vec<String> = (0..100_000)
        .map(|number| match number % 4 {
            0 => format!("projects/-home-user-code-{}/{number}.jsonl", number % 97),
            1 => format!("projects/-home-user-code-{}/{number}/tool-results/a.txt", number % 97),
            2 => format!("skills/s{number}/SKILL.md"),
            _ => format!("unknown-{number}/deep/er/file"),
        })
        .collect();
    let began = Instant::now();
    let sessions = paths
        .iter()
        .filter(|path| {
            claude.classify("main", path.as_bytes()).unwrap().category == Category::Sessions
        })
        .count();
    let took = began.elapsed();
    assert_eq!(sessions, 50_000);
    // Shown by `--nocapture`; the bound is wide, since a test machine may be busy.
    println!("100,000 classifications: {took:?}; reading the catalog: {reading:?}");
    assert!(took.as_secs_f64() < 5.0, "{took:?}");
}

fn path() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(vec![
        "projects",
        "sessions",
        "tmp",
        "history",
        "chats",
        "memory",
        "extensions",
        "node_modules",
        "workspace",
        "agents",
        "x.jsonl",
        ".env",
        "opencode.db-wal",
        "index",
        "cache",
        "User",
        "globalContext.json",
        "extensions.json",
        ".project_root",
        "threads",
        "session-1.json",
    ]);
    let part = prop_oneof![
        3 => known.prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..12),
    ];
    prop::collection::vec(part, 0..6).prop_map(|parts| parts.join(&b'/'))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn every_path_has_one_category_and_the_same_one_each_time(path in path()) {
        for agent in CATALOG.agents() {
            for root in &agent.declared_roots {
                let told = agent.classify(&root.label, &path);
                prop_assert_eq!(told, agent.classify(&root.label, &path));
                prop_assert!(told.is_some() || root.shared);
            }
            let _ = agent.classify(PROJECT, &path);
        }
    }

    #[test]
    fn nothing_but_cache_lies_below_a_pruned_folder(folder in path(), below in path()) {
        let clean = |path: &[u8]| path.split(|&byte| byte == b'/').all(|part| !part.is_empty());
        prop_assume!(clean(&below) && (folder.is_empty() || clean(&folder)));
        let path = if folder.is_empty() { below } else { [&folder[..], &b"/"[..], &below].concat() };
        for agent in CATALOG.agents() {
            let labels = agent.declared_roots.iter().map(|root| root.label.as_str());
            for label in labels.chain([PROJECT]) {
                let told = agent.classify(label, &path).map(|it| it.category);
                match agent.prunes(label, &folder) {
                    Some(Prune::Cache(_)) => prop_assert_eq!(told, Some(Category::Cache)),
                    Some(Prune::Foreign) => {
                        prop_assert!(matches!(told, None | Some(Category::Cache)));
                    }
                    None => {}
                }
            }
        }
    }
}
