//! Jobs of the configuration, and what is remembered of runs.

use std::os::unix::fs::PermissionsExt as _;

use crate::home::{Home, Output};

const CONFIG: &str = ".config/stash/config.toml";

/// A home with an agent, two folders, and this configuration.
fn home(config: &str) -> Home {
    let home = Home::new();
    home.write(".claude/projects/-work/5c0d.jsonl", "{\"type\":\"user\"}\n");
    home.write(".claude/settings.json", "{}");
    home.write(".codex/config.toml", "model = \"x\"\n");
    home.write("notes/a.txt", "a");
    home.write("photos/b.jpg", "b");
    home.write(CONFIG, config);
    home
}

fn files(home: &Home, words: &[&str]) -> String {
    home.run(&[&["ls", "latest"], words].concat()).code(0).out
}

fn snapshots(home: &Home, words: &[&str]) -> Vec<serde_json::Value> {
    let output = home.run(&[&["snapshots", "--json"], words].concat()).code(0);
    serde_json::from_str(&output.out).unwrap()
}

/// Returns what is remembered of runs, the newest last.
fn runs(home: &Home) -> Vec<serde_json::Value> {
    let text = home.read(".local/state/stash/runs.jsonl");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn one_job_saves_its_paths_and_every_agent_in_one_snapshot_that_is_always_whole() {
    let home = home("[jobs.all]\npaths = [\"~/notes\"]\nexclude = [\"*.tmp\", \"~/notes/x/\"]\n");
    home.write("notes/y.tmp", "y");
    home.write("notes/x/z", "z");
    home.run(&["backup", "-q"]).code(0);
    let all = files(&home, &[]);
    for name in ["notes/a.txt", "5c0d.jsonl", ".claude/settings.json", ".codex/config.toml"] {
        assert!(all.contains(name), "{name}: {all}");
    }
    assert!(!all.contains("y.tmp") && !all.contains("x/z") && !all.contains("photos"), "{all}");
    // A selection limits what is read, never what the snapshot holds.
    home.write(".claude/settings.json", "{\"a\":1}");
    home.write(".codex/config.toml", "model = \"y\"\n");
    home.run(&["backup", "-q", "--agent", "claude-code", "--only", "config"]).code(0);
    assert_eq!(files(&home, &[]), all);
    let dump = |name: &str| home.run(&["dump", "latest", &home.text(name)]).code(0).out;
    assert_eq!(dump(".claude/settings.json"), "{\"a\":1}");
    assert_eq!(dump(".codex/config.toml"), "model = \"x\"\n");
    assert_eq!(snapshots(&home, &[]).len(), 2);
    // Whatever a path's own backup saves is a line of its own.
    home.run(&["backup", "-q", "photos"]).code(0);
    assert!(!files(&home, &["--path", "photos"]).contains("a.txt"));
}

#[test]
fn every_job_runs_and_a_failing_one_does_not_stop_the_next() {
    let home = home(
        "[repositories.gone]\nlocation = \"~/gone\"\n[repositories.here]\nlocation = \"~/here\"\n\
         [jobs.first]\nrepositories = [\"gone\"]\nagents = []\npaths = [\"~/notes\"]\n\
         [jobs.second]\nrepositories = [\"here\"]\nagents = []\npaths = [\"~/photos\"]\n",
    );
    home.run(&["init", "-r", "here"]).code(0);
    let output = home.run(&["backup"]).code(10);
    assert!(output.err.contains("no repository"), "{}", output.err);
    assert!(files(&home, &["-r", "here"]).contains("b.jpg"));
    let runs = runs(&home);
    let came: Vec<_> =
        runs.iter().map(|run| (run["job"].as_str(), run["result"].as_str())).collect();
    assert_eq!(came, [(Some("first"), Some("failed")), (Some("second"), Some("done"))]);
    assert!(runs[0]["error"].as_str().unwrap().contains("no repository"));
    assert_eq!(runs[0]["exit_code"], 10);
    assert!(runs[0]["location"].as_str().unwrap().ends_with("gone"));
    home.run(&["backup", "--job", "second", "-q"]).code(0);
    // A slip names the nearest, and saves nothing.
    let output = home.run(&["backup", "--job", "secnod"]).code(2);
    assert!(output.err.contains("did you mean `second`?"), "{}", output.err);
    let output = home.run(&["backup", "-P", "second", "work"]).code(2);
    assert!(output.err.contains("says what the job `second` saves"), "{}", output.err);
    home.run(&["backup", "-P", "another", "work", "-r", "here", "-q"]).code(0);
}

#[test]
fn further_repositories_of_a_job_get_the_snapshot_too() {
    let home = home(
        "[repositories.one]\nlocation = \"~/one\"\n[repositories.two]\nlocation = \"~/two\"\n\
         [jobs.notes]\nrepositories = [\"two\", \"one\"]\nagents = []\npaths = [\"~/notes\"]\n",
    );
    home.run(&["init", "-r", "one"]).code(0);
    home.run(&["init", "-r", "two", "--like", "one"]).code(0);
    let output = home.run(&["backup"]).code(0);
    assert!(output.out.contains("also in `"), "{}", output.out);
    for repository in ["one", "two"] {
        assert_eq!(snapshots(&home, &["-r", repository]).len(), 1, "{repository}");
    }
    let run = runs(&home).pop().unwrap();
    assert!(run["location"].as_str().unwrap().ends_with("two"));
    assert!(run["also"][0]["location"].as_str().unwrap().ends_with("one"));
    assert!(run["also"][0]["snapshot"].is_string());
    // An option names another: then it is that one alone.
    home.write("notes/new", "new");
    home.run(&["backup", "-r", "one", "-q"]).code(0);
    assert_eq!(snapshots(&home, &["-r", "two"]).len(), 1);
    assert_eq!(snapshots(&home, &["-r", "one"]).len(), 2);
}

#[test]
fn before_stops_a_job_and_after_learns_what_came_of_it() {
    let home = home(
        "[jobs.notes]\nagents = []\npaths = [\"~/notes\"]\nbefore = \"test -e ready\"\n\
         after = '''echo \"after $STASH_JOB_NAME $STASH_RESULT $STASH_EXIT_CODE $STASH_UNCHANGED \
         ${#STASH_SNAPSHOT} secret=$STASH_PASSPHRASE\" | tee -a told'''\n\
         on_failure = 'echo \"failed: $STASH_ERROR\" >>told'\n",
    );
    let output = home.run_with("STASH_PASSPHRASE", "four words of mine", &["backup", "--json"]);
    let output = output.code(17);
    assert!(!home.repository().exists(), "nothing was saved");
    assert!(output.err.contains("`before` of the job `notes` failed"), "{}", output.err);
    let told = home.read("told");
    assert!(told.starts_with("failed: the command `before` of the job"), "{told}");
    assert!(told.ends_with("after notes failed 17 no 0 secret=\n"), "{told}");
    assert_eq!(runs(&home)[0]["exit_code"], 17);

    home.write("ready", "");
    home.write("told", "");
    let output = home.run(&["backup", "--json"]).code(0);
    assert!(output.json().iter().all(|line| line["message_type"].is_string()));
    assert_eq!(home.read("told"), "after notes done 0 no 64 secret=\n");
    home.run(&["backup", "-q"]).code(0);
    assert!(home.read("told").ends_with("after notes done 0 yes 64 secret=\n"));
    assert_eq!(runs(&home)[2]["unchanged"], true);
    home.run(&["backup", "--dry-run", "-q"]).code(0);
    assert_eq!((home.read("told").lines().count(), runs(&home).len()), (2, 3));

    // What fails after the backup is told by the exit code; what was saved stays.
    let text = home.read(CONFIG).replace("| tee -a told", "; exit 4");
    home.write(CONFIG, text);
    let output = home.run(&["backup", "-q"]).code(17);
    assert!(output.err.contains("`after` of the job `notes` failed"), "{}", output.err);
    let run = runs(&home).pop().unwrap();
    assert_eq!((run["result"].as_str(), run["exit_code"].as_u64()), (Some("done"), Some(17)));
}

/// Saves a few states, an hour apart.
fn save_some(home: &Home, words: &[&str]) -> Output {
    let mut last = None;
    for hour in 10..15 {
        home.write("notes/a.txt", format!("at {hour}"));
        let time = format!("2026-01-02 {hour}:00");
        last = Some(home.run(&[&["backup", "--time", &time], words].concat()).code(0));
    }
    last.unwrap()
}

#[test]
fn a_jobs_policy_applies_after_its_backup_and_to_forget_without_options() {
    let config = "[jobs.notes]\nagents = []\npaths = [\"~/notes\"]\nkeep = { last = 2 }\n\
                  [jobs.photos]\nagents = []\npaths = [\"~/photos\"]\n";
    let home = home(config);
    home.run(&["backup", "-q", "photos", "-P", "other"]).code(0);
    let last = save_some(&home, &["--job", "notes"]);
    assert!(
        last.out.contains("forgot 1 snapshot: the policy of the job `notes` keeps 2"),
        "{}",
        last.out
    );
    assert_eq!(snapshots(&home, &[]).len(), 3, "two, and another job's");
    // Left alone when told so, and then applied by hand.
    save_some(&home, &["--job", "notes", "--no-forget", "-q"]);
    assert_eq!(snapshots(&home, &[]).len(), 8);
    let plan = home.run(&["forget", "--dry-run"]).code(0);
    assert!(plan.out.contains("would forget 5 of 7 snapshots"), "{}", plan.out);
    home.run(&["forget", "-P", "photos"]).code(2);
    assert!(home.run(&["forget", "-P", "noets"]).code(2).err.contains("did you mean `notes`?"));
    home.run(&["forget", "-q"]).code(0);
    assert_eq!(snapshots(&home, &[]).len(), 3);
    // Of another machine's snapshots of that name nothing is forgotten.
    save_some(&home, &["--job", "notes", "--no-forget", "-q", "--host", "elsewhere"]);
    home.run(&["forget", "-q"]).code(0);
    assert_eq!(snapshots(&home, &["--host", "elsewhere"]).len(), 5);
    let json = home.run(&["backup", "--job", "notes", "--json", "--always"]).code(0).json();
    let line = json.iter().find(|line| line["message_type"] == "forgotten").unwrap();
    assert_eq!(
        (line["snapshots_forgotten"].as_u64(), line["snapshots_kept"].as_u64()),
        (Some(1), Some(2))
    );
    // Without any policy there is nothing to apply.
    home.write(CONFIG, config.replace("keep = { last = 2 }\n", ""));
    assert!(home.run(&["forget"]).code(2).err.contains("no `--keep-…` option was given"));
}

#[test]
fn a_job_of_some_agents_reads_those_and_tells_who_is_missing() {
    let home = home("[jobs.some]\nagents = [\"claude\", \"goose\"]\nsecrets = \"exclude\"\n");
    home.write(".claude/.credentials.json", "{\"token\":\"x\"}");
    home.write(".claude.json", "{\"projects\":{}}");
    let output = home.run(&["backup"]).code(0);
    assert!(output.err.contains("the agent `goose` is not on this machine"), "{}", output.err);
    assert!(output.err.contains("hold credentials beside other things, and are saved:"));
    let all = files(&home, &[]);
    assert!(all.contains("settings.json") && !all.contains(".codex"), "{all}");
    assert!(!all.contains(".credentials.json"), "{all}");
    let run = runs(&home).pop().unwrap();
    assert_eq!(run["agents"][0]["id"], "claude-code");
    assert_eq!(run["agents"][0]["files"]["sessions"], 1);
    assert_eq!(run["warnings"].as_array().unwrap().len(), 2);
    // A variable says otherwise.
    home.run_with("STASH_SECRETS", "encrypt", &["backup", "-q"]).code(0);
    assert!(files(&home, &[]).contains(".credentials.json"));
    home.write(CONFIG, "[jobs.none]\nagents = []\n");
    assert!(home.run(&["backup"]).code(16).err.contains("the job `none` saves nothing"));
}

#[test]
fn an_agent_without_any_session_is_told_with_its_folder() {
    let home = Home::new();
    home.write(".claude/settings.json", "{}");
    let output = home.run(&["backup"]).code(0);
    let folder = home.text(".claude");
    let told = format!("no session of Claude Code was recognised in `{folder}`");
    assert!(output.err.contains(&told), "{}", output.err);
    home.write(".claude/projects/-work/5c0d.jsonl", "{\"type\":\"user\"}\n");
    assert!(!home.run(&["backup"]).code(0).err.contains("no session"));
}

#[test]
fn each_run_is_remembered_for_this_user_alone() {
    let home = Home::new();
    home.write("work/a", "a");
    home.run(&["backup", "work", "-q"]).code(0);
    home.run(&["backup", "work", "missing", "-q"]).code(3);
    home.run(&["backup", "work", "-r", "nowhere", "-q"]).code(10);
    let all = runs(&home);
    let came: Vec<_> = all.iter().map(|run| run["result"].as_str().unwrap()).collect();
    assert_eq!(came, ["done", "partial", "failed"]);
    assert_eq!(all[0]["job"], home.text("work"));
    assert_eq!(all[0]["figures"]["files"], 1);
    assert_eq!(all[0]["snapshot"].as_str().unwrap().len(), 64);
    assert_eq!(all[1]["figures"]["errors"], 1);
    let file = home.path(".local/state/stash/runs.jsonl");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
}
