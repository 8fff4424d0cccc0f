//! Questions about agents: what they keep, where, and what they are about to delete.

use std::path::PathBuf;

use crate::common_agents::Home;
use crate::scene::{Scene, date_back};

fn transcript(scene: &Scene) -> PathBuf {
    let folders = std::fs::read_dir(scene.path(".claude/projects")).unwrap();
    let folder = folders.map(|it| it.unwrap().path()).next().unwrap();
    let mut files = std::fs::read_dir(folder).unwrap().map(|it| it.unwrap().path());
    files.find(|path| path.extension().is_some_and(|it| it == "jsonl")).unwrap()
}

#[test]
fn agents_that_are_here_are_named_and_so_is_a_root_that_is_not() {
    let mut scene = Scene::new(|home| home);
    scene.doctor(&[]).expect("agents", "note", "no coding agent", "agents list --all");
    scene = Scene::new(Home::codex);
    scene.doctor(&[]).expect("agents", "ok", "found codex", "");
    scene.write(".config/stash/config.toml", "[agents.codex]\nenabled = false\n");
    scene.doctor(&[]).expect("agents", "ok", "codex (switched off)", "");
    scene.write(".config/stash/config.toml", "[agents.codex]\nroots = [\"/nowhere/at/all\"]\n");
    scene.doctor(&[]).expect(
        "agents",
        "problem",
        "`/nowhere/at/all`: nothing is there",
        "configuration",
    );
}

#[test]
fn an_agent_that_moved_or_went_is_told() {
    let mut scene = Scene::saved(|home| home.claude_code().codex());
    assert_eq!(scene.doctor(&[]).verdict("agents moved"), "ok");
    assert_eq!(scene.doctor(&[]).verdict("agents gone"), "ok");
    let moved = scene.path("elsewhere");
    std::fs::rename(scene.path(".claude"), &moved).unwrap();
    scene.set("CLAUDE_CONFIG_DIR", moved.to_str().unwrap());
    scene.doctor(&[]).expect("agents moved", "note", "/elsewhere`", "the next backup");
    std::fs::create_dir(scene.path(".claude")).unwrap();
    scene.doctor(&[]).expect("agents moved", "problem", "something still lies in", "roots =");
    std::fs::remove_dir_all(scene.path(".codex")).unwrap();
    let answers = scene.doctor(&[]);
    answers.expect("agents gone", "note", "codex (last saved 20", "stash restore --agent");
    assert_eq!(answers.code, 0);
}

#[test]
fn a_layout_that_nobody_knows_is_a_problem_and_an_empty_agent_is_none() {
    let scene = Scene::new(|home| home);
    scene.write(".claude/settings.json", "{}");
    scene.doctor(&[]).expect("agent layouts", "note", "no session yet: claude-code", "");
    scene.write(".claude/talks-of-next-year/1.bin", "x");
    let answers = scene.doctor(&[]);
    answers.expect("agent layouts", "problem", "/.claude`, where no rule names 1 file", "`other`");
}

#[test]
fn a_damaged_database_is_found_now_or_remembered_from_a_backup() {
    let scene = Scene::new(Home::codex);
    let path = scene.path(".codex/state_5.sqlite");
    let database = rusqlite::Connection::open(&path).unwrap();
    database
        .execute_batch(
            "CREATE TABLE turn (text TEXT); WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 \
             FROM n WHERE i < 9000) INSERT INTO turn SELECT printf('turn %d', i) FROM n",
        )
        .unwrap();
    database.close().unwrap();
    scene.done(&["backup", "-q", "--check-databases", "always"]);
    scene.doctor(&["--databases"]).expect("databases", "ok", "all sound", "");
    scene.doctor(&[]).expect("databases", "ok", "looked through by backups", "");
    let mut bytes = std::fs::read(&path).unwrap();
    let place = bytes.len() / 2 / 4096 * 4096;
    bytes[place..place + 8].iter_mut().for_each(|byte| *byte ^= 0xff);
    std::fs::write(&path, bytes).unwrap();
    scene.doctor(&["--databases"]).expect("databases", "problem", "state_5.sqlite`", "restore");
    assert_eq!(scene.doctor(&[]).verdict("databases"), "ok", "no backup has met the damage yet");
    assert_eq!(scene.run(&["backup", "-q", "--check-databases", "always"]).status.code(), Some(3));
    scene.doctor(&[]).expect("databases", "problem", "last known to be sound 20", "--at");
}

#[test]
fn what_an_agent_is_about_to_delete_is_counted_and_the_setting_raised_with_consent() {
    let scene = Scene::saved(Home::claude_code);
    scene.doctor(&[]).expect(
        "purge clocks",
        "ok",
        "Claude Code deletes sessions older than 30 days: none will go",
        "",
    );
    let file = transcript(&scene);
    date_back(&file, 28);
    let answers = scene.doctor(&[]);
    answers.expect(
        "purge clocks",
        "problem",
        "1 will go within 3 days, 1 of them not saved",
        "`stash backup`",
    );
    scene.done(&["backup", "-q"]);
    let answers = scene.doctor(&[]);
    answers.expect(
        "purge clocks",
        "note",
        "1 will go within 3 days, and is saved",
        "cleanupPeriodDays",
    );
    assert_eq!(answers.field("purge clocks", "fixable"), "true");
    // Nobody is there to agree, and nobody did.
    let settings = scene.path(".claude/settings.json");
    let text = "{\n  // mine\n  \"env\": {\"EXAMPLE_KEY\": \"invented\"}\n}\n";
    std::fs::write(&settings, text).unwrap();
    assert_eq!(scene.doctor(&["--fix"]).verdict("purge clocks"), "note");
    assert_eq!(std::fs::read_to_string(&settings).unwrap(), text);
    let answers = scene.doctor(&["--fix", "--yes"]);
    answers.expect("purge clocks", "ok", "older than 3650 days: none will go", "");
    assert!(answers.field("purge clocks", "fixed").contains("`cleanupPeriodDays` to 3650"));
    let raised = text.replace("}\n}", "},\n  \"cleanupPeriodDays\": 3650\n}");
    assert_eq!(std::fs::read_to_string(&settings).unwrap(), raised);
}

#[test]
fn a_setting_of_the_users_own_counts_and_one_that_can_not_be_read_is_told() {
    let scene = Scene::saved(|home| home.claude_code().gemini());
    scene.write(".claude/settings.json", "{\"cleanupPeriodDays\": 2}");
    scene.doctor(&[]).expect("purge clocks", "note", "older than 2 days: 1 will go", "");
    scene.write(".claude/settings.json", "{\"cleanupPeriodDays\": ");
    scene.doctor(&[]).expect("purge clocks", "note", "cannot use the settings in", "");
    scene.write(
        ".gemini/settings.json",
        "{\"general\": {\"sessionRetention\": {\"enabled\": false}}}",
    );
    scene.doctor(&[]).expect("purge clocks", "note", "Gemini CLI is set to delete nothing", "");
    scene.write(
        ".gemini/settings.json",
        "{\"general\": {\"sessionRetention\": {\"maxAge\": \"7d\"}}}",
    );
    scene.doctor(&[]).expect(
        "purge clocks",
        "note",
        "Gemini CLI deletes sessions older than 7 days",
        "",
    );
}
