//! What must hold for every definition that comes with the program.

use std::collections::BTreeSet;

use stash::agents::{Agent, Catalog, Evidence, PathKind, RunningKind, SessionShape};
use stash::format::tree::Category;

const FIRST_ROW: [&str; 9] = [
    "claude-code",
    "opencode",
    "gemini",
    "codex",
    "openclaw",
    "aider",
    "continue",
    "cursor",
    "copilot",
];
const SECOND_ROW: [&str; 12] = [
    "goose",
    "qwen",
    "crush",
    "cline",
    "roo",
    "kiro",
    "zed",
    "pi",
    "droid",
    "amp",
    "windsurf",
    "shared-agents",
];

/// What wins where patterns overlap, from the first.
const PRECEDENCE: [Category; 10] = [
    Category::Secrets,
    Category::Cache,
    Category::Sessions,
    Category::Memory,
    Category::Skills,
    Category::History,
    Category::Workspace,
    Category::Settings,
    Category::Config,
    Category::Other,
];

fn rank(category: Category) -> usize {
    PRECEDENCE.iter().position(|own| *own == category).unwrap()
}

#[test]
fn all_agents_are_there_in_the_order_of_listings() {
    let catalog = Catalog::builtin().unwrap();
    let ids: Vec<_> = catalog.agents().iter().map(|agent| agent.id.as_str()).collect();
    assert_eq!(ids, [&FIRST_ROW[..], &SECOND_ROW].concat());
    assert_eq!(catalog.find("claude").unwrap().id, "claude-code");
    assert_eq!(catalog.find("codex").unwrap().name, "OpenAI Codex");
}

#[test]
fn rules_keep_the_precedence_and_an_exception_says_why() {
    for agent in Catalog::builtin().unwrap().agents() {
        for (place, rule) in agent.rules.iter().enumerate() {
            let shares = |label: &String| rule.roots.contains(label);
            let beaten = agent.rules[..place].iter().filter(|earlier| {
                rank(earlier.category) > rank(rule.category) && earlier.roots.iter().any(shares)
            });
            for earlier in beaten {
                let note = earlier.basis.note.as_deref().unwrap_or_default();
                let (id, globs) = (&agent.id, &earlier.globs);
                assert!(
                    note.starts_with("Before "),
                    "{id}: {globs:?} stands too early, unexplained"
                );
            }
        }
    }
}

#[test]
fn every_root_has_rules_and_every_agent_a_way_to_be_found() {
    for agent in Catalog::builtin().unwrap().agents() {
        for root in &agent.declared_roots {
            let has_rule = agent.rules.iter().any(|rule| rule.roots.contains(&root.label));
            assert!(has_rule, "{}: no rule for {}", agent.id, root.label);
        }
        let tells =
            |root: &stash::agents::RootDefinition| root.detects != stash::agents::Detects::No;
        assert!(agent.declared_roots.iter().any(tells), "{}", agent.id);
    }
}

#[test]
fn what_sessions_are_read_from_is_saved_as_sessions() {
    for agent in Catalog::builtin().unwrap().agents() {
        for store in &agent.sessions {
            for label in &store.roots {
                for glob in store
                    .globs
                    .iter()
                    .map(String::as_str)
                    .chain(store.globs.is_empty().then_some(""))
                {
                    let path = sample(glob);
                    let category = agent.classify(label, path.as_bytes()).unwrap().category;
                    assert_eq!(category, Category::Sessions, "{}: {label} {path}", agent.id);
                }
            }
        }
        let pseudo = agent.id == "shared-agents";
        assert_eq!(agent.sessions.is_empty(), pseudo, "{}", agent.id);
    }
}

/// Returns a path that a pattern matches.
fn sample(glob: &str) -> String {
    let text = glob.replace("{,.zst}", "").replace("[0-9]*", "5");
    text.split('/')
        .map(|part| if part == "**" { "deep/er".into() } else { part.replace('*', "x") })
        .collect::<Vec<_>>()
        .join("/")
}

#[test]
fn what_retention_deletes_is_refreshed_by_a_restore() {
    let catalog = Catalog::builtin().unwrap();
    let mut deleting = Vec::new();
    for agent in catalog.agents() {
        let Some(retention) = &agent.retention else { continue };
        if let (true, Some(days)) = (retention.deletes, retention.days) {
            let restore = agent.restore.as_ref().unwrap();
            assert!(restore.refresh_mtime.contains(&Category::Sessions), "{}", agent.id);
            let setting = retention.setting.as_ref().unwrap();
            let rule = agent.classify(&setting.root, setting.file.as_bytes()).unwrap();
            assert_eq!(rule.category, Category::Config);
            deleting.push((agent.id.as_str(), days, setting.key.as_str()));
        }
    }
    assert_eq!(
        deleting,
        [
            ("claude-code", 30, "cleanupPeriodDays"),
            ("gemini", 30, "general.sessionRetention.maxAge"),
        ]
    );
}

#[test]
fn every_first_agent_says_how_its_sessions_go_back() {
    let catalog = Catalog::builtin().unwrap();
    for id in FIRST_ROW {
        let agent = catalog.find(id).unwrap();
        assert!(agent.restore.is_some(), "{id}");
        // Two of them take none.
        let takes_hooks = !["aider", "continue"].contains(&id);
        assert_eq!(!agent.hooks.is_empty(), takes_hooks, "{id}");
    }
    let shapes: BTreeSet<SessionShape> =
        catalog.agents().iter().flat_map(|agent| &agent.sessions).map(|it| it.shape).collect();
    assert_eq!(shapes.len(), SessionShape::ALL.len(), "each shape has an agent");
}

#[test]
fn no_check_for_a_running_agent_goes_by_a_process_name() {
    for agent in Catalog::builtin().unwrap().agents() {
        for check in &agent.running {
            match check.kind {
                RunningKind::Port => assert!(check.address.is_some(), "{}", agent.id),
                _ => assert!(!check.roots.is_empty(), "{}", agent.id),
            }
        }
    }
}

#[test]
fn what_is_unsure_says_so() {
    let catalog = Catalog::builtin().unwrap();
    let count = |wanted: Evidence| {
        let rules = catalog.agents().iter().flat_map(|agent| &agent.rules);
        rules.filter(|rule| rule.basis.evidence == wanted).count()
    };
    // Far more is second-hand than verified; a definition that claims otherwise was not read well.
    assert!(count(Evidence::SecondHand) > 100 && count(Evidence::Unverified) > 20);
    let cursor = catalog.find("cursor").unwrap();
    let verified: Vec<_> = cursor
        .rules
        .iter()
        .filter(|rule| rule.basis.evidence == Evidence::Verified)
        .flat_map(|rule| &rule.globs)
        .collect();
    assert_eq!(verified, ["hooks.json", ".cursor/hooks.json"], "Cursor is closed");
}

#[test]
fn a_root_that_is_a_file_has_one_rule() {
    let file_roots = |agent: &Agent| -> Vec<String> {
        let roots = agent.declared_roots.iter().filter(|root| root.kind == PathKind::File);
        roots.map(|root| root.label.clone()).collect()
    };
    for agent in Catalog::builtin().unwrap().agents() {
        for label in file_roots(agent) {
            let rules = agent.rules.iter().filter(|rule| rule.roots.contains(&label)).count();
            assert_eq!(rules, 1, "{}: {label}", agent.id);
        }
    }
}
