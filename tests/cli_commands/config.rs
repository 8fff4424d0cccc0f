//! `stash config`, and what a configuration changes for every other command.

use std::os::unix::fs::PermissionsExt as _;

use crate::home::Home;

const CONFIG: &str = ".config/stash/config.toml";

/// A program that does to a file what `script` says, `$1` being the file.
fn editor(home: &Home, script: &str) -> String {
    home.write("editor", format!("#!/bin/sh\n{script}\n"));
    let path = home.path("editor");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn what_is_wrong_in_it_stops_every_command_with_file_line_and_the_nearest_word() {
    let home = Home::new();
    home.write(CONFIG, "# mine\n[jobs.all]\npathes = [\"/etc\"]\n");
    for words in
        [&["config", "check"][..], &["config", "show"], &["backup", "work"], &["snapshots"]]
    {
        let output = home.run(words).code(16);
        assert!(output.err.contains("config.toml:3`: unknown key `pathes` in `[jobs.all]`"));
        assert!(output.err.contains("hint: did you mean `paths`?"), "{}", output.err);
    }
    assert!(!home.repository().exists());
    let path = home.run(&["config", "path"]).code(0);
    assert_eq!(path.out.trim(), home.text(CONFIG));
    home.run(&["help"]).code(0);
    home.write(CONFIG, "[agents.cluade-code]\nenabled = false\n");
    let output = home.run(&["config", "check"]).code(16);
    assert!(output.err.contains("config.toml:1`: unknown agent `cluade-code`"), "{}", output.err);
    assert!(output.err.contains("did you mean `claude-code`?"));
    // Who may read anything is stopped by nothing else.
    std::fs::remove_file(home.path(CONFIG)).unwrap();
    std::fs::create_dir(home.path(CONFIG)).unwrap();
    assert!(home.run(&["snapshots"]).code(16).err.contains("it is a folder"));
}

#[test]
fn show_tells_each_value_and_who_said_so() {
    let home = Home::new();
    let none = home.run(&["config", "show"]).code(0);
    assert!(none.err.contains("there is no configuration yet"));
    assert!(none.out.contains("default"), "{}", none.out);
    home.write(
        CONFIG,
        "[repositories.nas]\nlocation = \"/mnt/nas\"\n[jobs.all]\nkeep = { last = 7 }\n",
    );
    home.run(&["config", "check"]).code(0);
    let all = home.run(&["config", "show", "--json"]).code(0);
    let all: serde_json::Value = serde_json::from_str(&all.out).unwrap();
    let said = |key: &str| {
        let found = all.as_array().unwrap().iter().find(|it| it["key"] == key).unwrap();
        (found["value"].to_string(), found["source"].as_str().unwrap().to_owned())
    };
    assert_eq!(said("repository"), ("\"/mnt/nas\"".into(), "config.toml:2".into()));
    assert_eq!(said("jobs.all.secrets"), ("\"encrypt\"".into(), "default".into()));
    assert_eq!(said("jobs.all.keep"), ("{\"last\":7}".into(), "config.toml:4".into()));
    let shown = home.run_with("STASH_REPOSITORY", "/elsewhere", &["config", "show"]).code(0);
    let first = shown.out.lines().find(|line| line.starts_with("repository")).unwrap();
    assert!(first.contains("/elsewhere") && first.ends_with("STASH_REPOSITORY"), "{first}");
}

#[test]
fn an_edit_counts_once_it_is_right_and_what_was_wrong_is_kept() {
    let home = Home::new();
    home.write(CONFIG, "# kept\n[sync]\nenabled = false # for now\n");
    let wrong = editor(&home, "sed -i s/enabled/enebled/ \"$1\"");
    let output = home.run_with("EDITOR", &wrong, &["config", "edit"]).code(16);
    assert!(output.err.contains("config.toml:3`: unknown key `enebled`"), "{}", output.err);
    assert!(output.err.contains("your text is kept in"), "{}", output.err);
    assert!(home.read(CONFIG).contains("enabled = false"), "the old one stays");
    let kept = home.path(".local/state/stash/rejected-config.toml");
    assert_eq!(kept.metadata().unwrap().permissions().mode() & 0o777, 0o600);

    let right = editor(&home, "sed -i 's/enebled = false/enabled = true/' \"$1\"");
    let output = home.run_with("VISUAL", &right, &["config", "edit"]).code(0);
    assert!(output.err.contains("what you wrote last time"), "{}", output.err);
    assert_eq!(home.read(CONFIG), "# kept\n[sync]\nenabled = true # for now\n");
    assert!(!kept.exists());
    let mode = home.path(CONFIG).metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let failing = editor(&home, "echo x >>\"$1\"; exit 3");
    let output = home.run_with("EDITOR", &failing, &["config", "edit"]).code(1);
    assert!(output.err.contains("the editor failed"), "{}", output.err);
    let same = home.run_with("EDITOR", "true", &["config", "edit"]).code(0);
    assert!(same.out.contains("stays as it is"), "{}", same.out);
    assert_eq!(home.read(CONFIG), "# kept\n[sync]\nenabled = true # for now\n");
    let folders = std::fs::read_dir(home.path(".local/state/stash")).unwrap();
    assert!(folders.flatten().all(|it| !it.file_name().to_string_lossy().starts_with("edit-")));
}

#[test]
fn a_crash_while_it_is_written_leaves_the_old_one_whole() {
    let home = Home::new();
    let old = "# mine\n[repositories.a]\nlocation = \"/a\"\n";
    home.write(CONFIG, old);
    // The first byte that is written to any file ends the program.
    let program = env!("CARGO_BIN_EXE_stash");
    let killed = std::process::Command::new("/bin/sh")
        .args(["-c", "ulimit -f 0; ulimit -c 0; exec \"$0\" repo add b /b", program])
        .env_clear()
        .env("HOME", home.path(""))
        .current_dir(home.path(""))
        .output()
        .unwrap();
    assert!(killed.status.code().is_none(), "{killed:?}");
    assert_eq!(home.read(CONFIG), old);
    home.run(&["repo", "add", "b", "/b"]).code(0);
    assert!(home.read(CONFIG).contains("# mine\n"));
    assert!(home.read(CONFIG).contains("[repositories.b]"));
}

#[test]
fn an_edit_never_overwrites_what_was_changed_meanwhile() {
    let home = Home::new();
    home.write(CONFIG, "# one\n");
    let script = format!("echo '# two' >'{}'; echo '# three' >>\"$1\"", home.text(CONFIG));
    let output = home.run_with("EDITOR", &editor(&home, &script), &["config", "edit"]).code(11);
    assert!(output.err.contains("was changed meanwhile"), "{}", output.err);
    assert_eq!(home.read(CONFIG), "# two\n");
}

#[test]
fn the_repository_of_the_configuration_is_every_commands_and_the_default_is_not_made() {
    let home = Home::new();
    home.write("work/a", "a");
    home.write("pass", "four words of mine");
    home.write(CONFIG, "[repositories.usb]\nlocation = \"~/usb\"\npassphrase_file = \"~/pass\"\n");
    let output = home.run(&["backup", "work"]).code(10);
    assert!(!home.repository().exists(), "{}", output.err);
    home.run(&["init"]).code(0);
    home.run(&["backup", "work", "-q"]).code(0);
    assert!(!home.repository().exists());
    // Without this machine's key, the passphrase file of the section opens it.
    std::fs::remove_dir_all(home.path(".local/share/stash/keys")).unwrap();
    assert_eq!(home.run(&["snapshots", "--json"]).code(0).out.matches("\"short_id\"").count(), 1);
    // The section's name stands for its location, whatever the main one is.
    home.run(&["snapshots", "-r", "usb"]).code(0);
    home.run_with("STASH_REPOSITORY", "usb", &["snapshots"]).code(0);
    home.write("pass", "another one");
    let output = home.run(&["snapshots"]).code(12);
    assert!(output.err.contains("repositories.usb.passphrase_file"), "{}", output.err);
}

#[test]
fn projects_of_aider_and_crush_are_saved_and_listed() {
    let home = Home::new();
    home.write("work/shop/.aider.chat.history.md", "# aider chat\n");
    home.write("work/shop/main.rs", "fn main() {}");
    home.write("work/mill/.crush/crush.db", "not a database, yet saved");
    home.write("work/mill/notes.txt", "mine");
    home.write(".claude/settings.json", "{}");
    home.write(".claude/CLAUDE.md", "remember");
    home.write(
        CONFIG,
        "[agents.aider]\nprojects = [\"~/work/*\"]\n[agents.crush]\nprojects = [\"~/work/mill\"]\n\
         [agents.claude]\nexclude = [\"CLAUDE.md\"]\n",
    );
    let listed = home.run(&["agents", "list"]).code(0).out;
    assert!(listed.contains("work/shop") && listed.contains("work/mill"), "{listed}");
    let shown = home.run(&["agents", "show", "aider"]).code(0).out;
    assert!(shown.contains("project-work-shop") && shown.contains("your config"), "{shown}");
    home.run(&["backup", "-q"]).code(0);
    let files = home.run(&["ls", "latest"]).code(0).out;
    assert!(files.contains("work/shop/.aider.chat.history.md"), "{files}");
    assert!(files.contains("work/mill/.crush/crush.db"), "{files}");
    assert!(files.contains(".claude/settings.json"), "{files}");
    for foreign in ["main.rs", "notes.txt", "CLAUDE.md"] {
        assert!(!files.contains(foreign), "{foreign}: {files}");
    }
    // A path that holds a project is saved whole: an agent owns only some of what is there.
    home.run(&["backup", "-q", "work", "--agent", "aider"]).code(0);
    let files = home.run(&["ls", "latest"]).code(0).out;
    assert!(files.contains("work/shop/main.rs"), "{files}");
    // The project comes back to its place.
    std::fs::remove_file(home.path("work/shop/.aider.chat.history.md")).unwrap();
    home.run(&["restore", "--agent", "aider", "--yes"]).code(0);
    assert_eq!(home.read("work/shop/.aider.chat.history.md"), "# aider chat\n");
}

#[test]
fn an_agent_that_is_switched_off_is_saved_only_when_it_is_named() {
    let home = Home::new();
    home.write(".claude/settings.json", "{}");
    home.write(".codex/config.toml", "model = \"x\"\n");
    home.write(CONFIG, "[agents.codex]\nenabled = false\n");
    assert!(home.run(&["agents", "list"]).code(0).out.contains("switched off"));
    let shown = home.run(&["agents", "show", "codex"]).code(0).out;
    assert!(shown.contains("switched off") && shown.contains("config"), "{shown}");
    home.run(&["backup", "-q"]).code(0);
    let files = home.run(&["ls", "latest"]).code(0).out;
    assert!(files.contains(".claude") && !files.contains(".codex"), "{files}");
    home.run(&["backup", "-q", "--agent", "codex"]).code(0);
    let files = home.run(&["ls", "latest"]).code(0).out;
    assert!(files.contains(".claude") && files.contains(".codex"), "{files}");
    home.write(CONFIG, "[agents.codex]\nenabled = false\n[agents.claude-code]\nenabled = false\n");
    assert!(home.run(&["backup"]).code(2).err.contains("no coding agent"));
}
