//! Forgetting, bringing back, pinning, tagging, taking out.

use crate::home::Home;

/// A home with three snapshots of `work`; returns their ids, the oldest first.
fn three() -> (Home, Vec<String>) {
    let home = Home::new();
    let save = |text: &str| {
        home.write("work/notes", text);
        home.write("work/secret", text);
        home.save()
    };
    let ids = vec![save("one"), save("two"), save("three")];
    (home, ids)
}

fn listed(home: &Home) -> Vec<String> {
    let rows = home.run(&["snapshots", "--json"]).code(0).json().remove(0);
    let rows = rows.as_array().unwrap().iter();
    rows.map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_a_policy_forgets_comes_back_by_unforget() {
    let (home, ids) = three();
    let plan = home.run(&["forget", "--keep-last", "1", "--dry-run", "--json"]).code(0).json();
    assert_eq!(plan[0][0]["host"], "laptop");
    assert_eq!(plan[0][0]["keep"][0]["id"], ids[2].as_str());
    assert_eq!(plan[0][0]["remove"].as_array().unwrap().len(), 2);
    assert_eq!(plan[0][0]["reasons"][0]["matches"][0], "last snapshot");
    assert_eq!(listed(&home), ids, "a dry run changes nothing");
    home.run(&["forget", "--keep-last", "1"]).code(0);
    assert_eq!(listed(&home), ids[2..]);
    let returns = home.run(&["unforget", "--json"]).code(0).json();
    assert_eq!(returns[0].as_array().unwrap().len(), 2);
    let back = home.run(&["unforget", &ids[0][..8], "--json"]).code(0).json();
    assert_eq!(back[0]["message_type"], "changed");
    assert_eq!(back[0]["forgotten"], false);
    assert_eq!(listed(&home), [ids[0].clone(), ids[2].clone()]);
    home.run(&["restore", &ids[0][..8], "--target", "back"]).code(0);
    assert_eq!(home.read("back/work/notes"), "one");
}

#[test]
fn pinned_snapshots_are_kept_by_policies_and_refused_by_name() {
    let (home, ids) = three();
    home.run(&["pin", &ids[0]]).code(0);
    home.run(&["forget", "--keep-last", "1"]).code(0);
    assert_eq!(listed(&home), [ids[0].clone(), ids[2].clone()]);
    let refused = home.run(&["forget", &ids[0]]).code(1);
    assert!(refused.err.contains("is pinned"), "{}", refused.err);
    home.run(&["unpin", &ids[0]]).code(0);
    home.run(&["forget", &ids[0]]).code(0);
    assert_eq!(listed(&home), ids[2..]);
    home.run(&["pin", &ids[0]]).code(1);
}

#[test]
fn tags_are_those_that_hold_now_wherever_they_are_asked_for() {
    let (home, ids) = three();
    home.run(&["tag", &ids[0], "--add", "a,b"]).code(0);
    home.run(&["tag", &ids[0], "--remove", "a", "--add", "c"]).code(0);
    let found = home.run(&["snapshots", "--tag", "b,c", "--json"]).code(0).json().remove(0);
    assert_eq!(found[0]["id"], ids[0].as_str());
    assert_eq!(found[0]["tags"].as_array().unwrap().len(), 2);
    home.run(&["restore", "latest", "--tag", "c", "--target", "back"]).code(0);
    assert_eq!(home.read("back/work/notes"), "one");
    home.run(&["forget", "--keep-tag", "c"]).code(0);
    assert_eq!(listed(&home), ids[..1]);
    home.run(&["tag", "--set", ""]).code(0);
    assert_eq!(
        home.run(&["snapshots", "--tag", "c", "--json"]).code(0).json()[0],
        serde_json::json!([])
    );
}

#[test]
fn a_policy_that_keeps_nothing_of_a_group_is_refused_unless_asked_for() {
    let (home, ids) = three();
    let words = ["forget", "--keep-tag", "none"];
    home.run(&words).code(2);
    assert_eq!(listed(&home), ids);
    home.run(&[&words[..], &["--unsafe-allow-remove-all"]].concat()).code(0);
    assert!(listed(&home).is_empty());
}

#[test]
fn what_is_taken_out_is_in_no_snapshot_and_needs_consent() {
    let (home, ids) = three();
    let refused = home.run(&["forget", "--path", "work/secret"]).code(2);
    assert!(refused.err.contains("--yes"), "{}", refused.err);
    assert_eq!(listed(&home), ids);
    home.run(&["forget", "--path", "work/secret", "--yes"]).code(0);
    assert_eq!(listed(&home).len(), 3);
    let found = home.run(&["find", "secret"]);
    assert!(!found.out.contains("secret"), "{}", found.out);
    for number in ["0", "1", "2"] {
        let snapshot = format!("latest~{number}");
        home.run(&["restore", &snapshot, "--target", number]).code(0);
        assert!(!home.path(&format!("{number}/work/secret")).exists());
    }
    assert_eq!(home.read("0/work/notes"), "three");
    assert_eq!(home.read("2/work/notes"), "one");
    home.run(&["check", "--read-data"]).code(0);
}

#[test]
fn forgetting_stops_where_the_repository_lacks_what_this_machine_wrote() {
    let (home, ids) = three();
    let log = home.repository().join("log");
    let newest = crate::home::inventory(&log)
        .into_iter()
        .map(|item| log.join(item.0))
        .find(|path| path.to_str().unwrap().contains("/0000000000000003-"));
    std::fs::remove_file(newest.unwrap()).unwrap();
    let words = ["forget", "--keep-last", "1"];
    let refused = home.run(&words).code(13);
    assert!(refused.err.contains("--accept rollback"), "{}", refused.err);
    assert_eq!(listed(&home), ids[..2]);
    home.run(&[&words[..], &["--accept", "rollback"]].concat()).code(0);
    assert_eq!(listed(&home), ids[1..2]);
}

#[test]
fn what_is_taken_out_is_freed_at_once_where_nobody_else_writes_and_the_words_say_so() {
    let (home, _) = three();
    let secret = b"correct horse battery";
    home.write("work/secret", secret);
    home.write("work/large", noise(3));
    home.save();
    let words = ["forget", "--path", "work/secret", "--yes"];
    let purged = home.run(&words).code(0);
    assert!(purged.out.contains("`stash prune --max-unused 0` frees"), "{}", purged.out);
    assert!(!purged.out.contains("hours"), "{}", purged.out);
    let freed = home.run(&["forget", "--path", "work/large", "--prune", "--yes"]).code(0);
    assert!(freed.out.contains("the old ones are forgotten\n"), "{}", freed.out);
    assert!(freed.out.contains("\ndeleted "), "{}", freed.out);
    let again = home.run(&["prune", "--max-unused", "0", "--json"]).code(0).json().remove(0);
    assert_eq!(again["deleted_objects"], 0, "{again}");
    // The caches of this machine have let go of it as well.
    for item in crate::home::inventory(&home.path(".cache")) {
        assert!(!item.1.contains(&stash::id::to_hex(secret)), "{}", item.0.display());
    }
    assert_eq!(listed(&home).len(), 4);
    home.run(&["check", "--read-data"]).code(0);
}

#[test]
fn a_plan_to_forget_and_prune_counts_what_would_be_forgotten() {
    let home = Home::new();
    home.write("work/large", noise(1));
    home.save();
    home.write("work/large", noise(2));
    home.save();
    let words = ["forget", "--keep-last", "1", "--prune", "--json"];
    let plan = home.run(&[&words[..], &["--dry-run"]].concat()).code(0).json();
    assert!(plan[1]["deleted_bytes"].as_u64().unwrap() > 500_000, "{}", plan[1]);
    let done = home.run(&words).code(0).json();
    assert!(done[1]["deleted_bytes"].as_u64().unwrap() > 500_000, "{}", done[1]);
}

/// Bytes that take as much room as they have.
fn noise(seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; 1_000_000];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

#[test]
fn a_grace_given_by_hand_counts_on_ones_own_disk_too() {
    let home = Home::new();
    home.write("work/large", noise(1));
    home.save();
    home.write("work/large", noise(2));
    home.save();
    home.run(&["prune", "--grace", "30d", "--nobody-else-writes"]).code(2);
    let words = ["forget", "--keep-last", "1", "--prune", "--grace", "30d"];
    let kept = home.run(&words).code(0);
    assert!(kept.out.contains("brings them back"), "{}", kept.out);
    let waits = home.run(&["prune", "--grace", "2w", "--json"]).code(0).json().remove(0);
    assert_eq!(waits["deleted_objects"], 0, "{waits}");
    assert_eq!(waits["forgotten_snapshots"], 1, "{waits}");
    let freed = home.run(&["prune", "--json"]).code(0).json().remove(0);
    assert!(freed["deleted_bytes"].as_u64().unwrap() > 500_000, "{freed}");
}

#[test]
fn how_a_prune_is_to_go_is_refused_without_one() {
    let (home, ids) = three();
    for words in [
        &["--max-unused", "0"][..],
        &["--max-repack", "1G"],
        &["--grace", "30d"],
        &["--nobody-else-writes"],
    ] {
        let refused = home.run(&[&["forget", "--keep-last", "1"][..], words].concat()).code(2);
        assert!(refused.err.contains("--prune"), "{}", refused.err);
    }
    assert_eq!(listed(&home), ids);
}

#[test]
fn a_repair_forgets_nothing_where_the_repository_was_set_back() {
    let (home, _) = three();
    let log = home.repository().join("log");
    let newest = crate::home::inventory(&log)
        .into_iter()
        .map(|item| log.join(item.0))
        .find(|path| path.to_str().unwrap().contains("/0000000000000003-"));
    std::fs::remove_file(newest.unwrap()).unwrap();
    let refused = home.run(&["repair", "snapshots", "--forget"]).code(13);
    assert!(refused.err.contains("without `--forget`"), "{}", refused.err);
    home.run(&["repair", "snapshots"]).code(0);
}
