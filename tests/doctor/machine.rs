//! Questions about the configuration, folders, keys, the store, schedules and runs.

use std::time::Duration;

use crate::common_agents::Home;
use crate::scene::{Scene, date_back, mode, set_mode};

const CONFIG: &str = ".config/stash/config.toml";

#[test]
fn a_sound_machine_is_told_to_be_sound() {
    let scene = Scene::saved(Home::claude_code);
    let answers = scene.doctor(&[]);
    assert_eq!(answers.code, 0);
    let ill: Vec<_> =
        answers.all().into_iter().filter(|(_, verdict)| verdict != "ok").map(|it| it.0).collect();
    // One disk, a code that nobody wrote down, and no timer: all else is well.
    assert_eq!(ill, ["recovery code", "schedule", "second target"]);
    let text = scene.done(&["doctor"]);
    assert!(text.starts_with("ok       configuration    none at"), "{text}");
    assert!(text.trim_end().ends_with("questions: 18 ok, 3 problems"), "{text}");
    let quiet = scene.done(&["doctor", "-q"]);
    assert!(quiet.starts_with("problem  recovery code"), "{quiet}");
}

#[test]
fn before_anything_is_saved_it_says_so_and_asks_on() {
    let scene = Scene::new(Home::claude_code);
    let answers = scene.doctor(&[]);
    answers.expect("repository", "problem", "nothing is saved yet", "stash");
    assert_eq!(answers.verdict("store"), "skipped");
    assert_eq!(answers.verdict("agents"), "ok");
    assert_eq!(answers.code, 0);
    assert!(!scene.repository().exists(), "asking makes nothing");
}

#[test]
fn a_configuration_that_can_not_be_used_is_broken() {
    let scene = Scene::saved(Home::claude_code);
    scene.write(CONFIG, "[jobs.all]\npathes = []\n");
    let answers = scene.doctor(&[]);
    answers.expect("configuration", "broken", "config.toml:2`: unknown key `pathes`", "`paths`");
    assert_eq!((answers.code, answers.verdict("agents")), (1, "skipped"));
    scene.write(CONFIG, "[agents.cluade-code]\nenabled = true\n");
    scene.doctor(&[]).expect("configuration", "broken", "unknown agent", "`claude-code`");
    scene.write(CONFIG, "[repositories.a]\nlocation = \"ftp:x\"\n");
    scene.doctor(&[]).expect("configuration", "broken", "stores of the kind `ftp", "it knows");
}

#[test]
fn folders_open_to_others_are_closed_by_fix() {
    let scene = Scene::saved(Home::claude_code);
    let state = scene.path(".local/state/stash");
    set_mode(&state, 0o755);
    let answers = scene.doctor(&[]);
    answers.expect("own folders", "problem", "open to other users (755)", "--fix");
    assert_eq!(answers.field("own folders", "fixable"), "true");
    assert_eq!(mode(&state), 0o755, "asking changes nothing");
    let answers = scene.doctor(&["--fix"]);
    assert_eq!((answers.verdict("own folders"), mode(&state)), ("ok", 0o700));
    assert!(answers.field("own folders", "fixed").contains("closes 1 folder"));
    // A file where the folder should be can't be mended.
    std::fs::remove_dir_all(scene.path(".cache/stash")).unwrap();
    scene.write(".cache/stash", "in the way");
    let answers = scene.doctor(&["--fix"]);
    answers.expect("own folders", "broken", "is no folder", "--cache-dir");
    assert_eq!(answers.code, 1);
}

#[test]
fn what_dead_runs_left_is_removed_by_fix_once_it_is_old() {
    let scene = Scene::saved(Home::claude_code);
    let old = scene.write(".cache/stash/tmp/copy/database", "x");
    let folder = old.parent().unwrap();
    assert_eq!(scene.doctor(&[]).verdict("leftovers"), "ok", "a run of now may need it");
    date_back(folder, 2);
    scene.doctor(&[]).expect("leftovers", "note", "1 item that runs have left", "--fix");
    let answers = scene.doctor(&["--fix"]);
    assert!(answers.verdict("leftovers") == "ok" && !folder.exists());
}

#[test]
fn a_device_key_that_others_can_read_is_broken_until_it_is_closed() {
    let scene = Scene::saved(Home::claude_code);
    let key = scene.key_file("device");
    set_mode(&key, 0o644);
    let answers = scene.doctor(&[]);
    answers.expect("device key", "broken", "(644)", "key rotate");
    assert_eq!((answers.code, answers.verdict("repository")), (1, "broken"));
    let answers = scene.doctor(&["--fix"]);
    assert_eq!((answers.code, answers.verdict("repository"), mode(&key)), (0, "ok", 0o600));
    std::fs::rename(&key, scene.beside("away")).unwrap();
    let answers = scene.doctor(&[]);
    answers.expect("device key", "broken", "has none", "stash key add --device");
    answers.expect("repository", "broken", "no device key", "STASH_PASSPHRASE_FILE");
}

#[test]
fn a_recovery_code_that_waits_is_a_problem() {
    let scene = Scene::saved(Home::claude_code);
    scene.doctor(&[]).expect("recovery code", "problem", "still waits", "key recovery --show");
    std::fs::remove_file(scene.key_file("recovery")).unwrap();
    assert_eq!(scene.doctor(&[]).verdict("recovery code"), "ok");
}

#[test]
fn what_a_timer_can_not_open_is_broken_although_it_opens_here() {
    let mut scene = Scene::new(Home::claude_code);
    scene.set("WORDS", "correct horse battery staple");
    let location = scene.beside("other");
    let command = r#"printf %s "$WORDS""#;
    let config = format!(
        "[repositories.main]\nlocation = '{}'\npassphrase_command = '{command}'\n",
        location.display()
    );
    scene.write(CONFIG, config);
    scene.done(&["init", "-q"]);
    scene.done(&["backup", "-q"]);
    let answers = scene.doctor(&[]);
    assert_eq!((answers.verdict("repository"), answers.code), ("ok", 1));
    answers.expect(
        "unattended",
        "broken",
        "a run as a timer starts it fails with exit code 12",
        "",
    );
    assert!(!answers.field("unattended", "remedy").is_empty());
    // A file is there for a timer, too.
    let words = scene.write("words", "correct horse battery staple");
    let line = format!("passphrase_file = '{}'", words.display());
    let text = std::fs::read_to_string(scene.path(CONFIG)).unwrap();
    scene.write(CONFIG, text.replace(&format!("passphrase_command = '{command}'"), &line));
    assert_eq!(scene.doctor(&[]).verdict("unattended"), "ok");
    // What only this run names, no timer knows.
    scene.write(CONFIG, "");
    let named = location.to_str().unwrap();
    let answers = scene.doctor(&["-r", named]);
    answers.expect("unattended", "note", "no timer knows of it", "[repositories.NAME]");
}

#[test]
fn a_store_that_takes_nothing_is_broken() {
    let scene = Scene::saved(Home::claude_code);
    let in_the_way = scene.repository().join("probe");
    let _gone = std::fs::remove_dir_all(&in_the_way);
    std::fs::write(&in_the_way, "").unwrap();
    let answers = scene.doctor(&[]);
    answers.expect("store", "broken", "cannot store", "");
    assert_eq!((answers.code, answers.verdict("clock")), (1, "skipped"));
}

#[test]
fn a_damaged_header_is_told_with_its_repair() {
    let scene = Scene::saved(Home::claude_code);
    let mut headers = std::fs::read_dir(scene.repository().join("repo")).unwrap();
    let header = headers.next().unwrap().unwrap().path();
    std::fs::write(header, "nothing of the kind").unwrap();
    let answers = scene.doctor(&[]);
    answers.expect("repository", "broken", "header is damaged", "stash repair index");
    assert_eq!(answers.code, 1);
}

#[test]
fn a_run_that_holds_the_repository_is_named_and_suspected_after_a_day() {
    let scene = Scene::saved(Home::claude_code);
    let path = scene.path(&format!(".local/state/stash/locks/{}.lock", scene.id()));
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    std::fs::write(&path, "4711\n").unwrap();
    assert_eq!(scene.doctor(&[]).verdict("locks"), "ok", "a file is no lock");
    file.lock().unwrap();
    scene.doctor(&[]).expect("locks", "note", "process 4711 is using", "");
    date_back(&path, 2);
    scene.doctor(&[]).expect("locks", "problem", "for 48 hours", "end it if it hangs");
}

#[test]
fn one_disk_is_a_problem_until_a_second_target_is_named() {
    let scene = Scene::saved(Home::claude_code);
    scene.doctor(&[]).expect("second target", "problem", "same disk", "--also");
    let own = scene.repository();
    scene.write(
        CONFIG,
        format!(
            "[repositories.main]\nlocation = '{}'\n[repositories.far]\nlocation = 's3://x'\n",
            own.display()
        ),
    );
    scene.doctor(&[]).expect("second target", "ok", "s3://x", "");
}

#[test]
fn a_schedule_counts_where_it_is_on() {
    let scene = Scene::saved(Home::claude_code);
    scene.doctor(&[]).expect("schedule", "problem", "nothing runs", "crontab -e");
    let line = scene.doctor(&[]).field("schedule", "remedy");
    let line = line.split('`').nth(3).unwrap().to_owned();
    scene.write("crontab", format!("MAILTO=x\n# {line}\n"));
    assert_eq!(scene.doctor(&[]).verdict("schedule"), "problem", "a comment runs nothing");
    scene.write("crontab", format!("{line}\n"));
    scene.doctor(&[]).expect("schedule", "ok", "the crontab: `17 * * * *", "");
    scene.write("crontab", "");
    let units = ".config/systemd/user";
    scene.write(&format!("{units}/own.service"), "[Service]\nExecStart=/usr/bin/stash backup -q\n");
    let timer = scene.write(&format!("{units}/own.timer"), "[Timer]\nOnCalendar=hourly\n");
    let answers = scene.doctor(&[]);
    answers.expect("schedule", "problem", "not enabled", "systemctl --user enable --now own.timer");
    let wants = scene.path(&format!("{units}/timers.target.wants"));
    std::fs::create_dir(&wants).unwrap();
    std::os::unix::fs::symlink(timer, wants.join("own.timer")).unwrap();
    scene.doctor(&[]).expect("schedule", "ok", "own.timer", "");
}

#[test]
fn a_job_that_is_overdue_is_a_problem_and_no_failure_of_the_doctor() {
    let scene = Scene::saved(Home::claude_code);
    assert_eq!(scene.doctor(&[]).verdict("last success"), "ok");
    scene.write(CONFIG, "[jobs.agents]\noverdue_after = \"1s\"\nschedule = \"daily\"\n");
    std::thread::sleep(Duration::from_millis(1100));
    let answers = scene.doctor(&[]);
    answers.expect("last success", "problem", "overdue after 0 min", "stash backup");
    answers.expect("schedule", "problem", "wants `daily`", "0 3 * * *");
    assert_eq!(answers.code, 0);
}

#[test]
fn room_is_told_for_each_of_our_folders() {
    let scene = Scene::saved(Home::claude_code);
    let evidence = scene.doctor(&[]).field("free space", "evidence");
    for what in ["for the repository", "for the state", "for the cache"] {
        assert!(evidence.contains(what), "{evidence}");
    }
}
