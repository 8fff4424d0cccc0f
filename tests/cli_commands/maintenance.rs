//! What a backup cleans up when it is done, and what it leaves.

use stash::codec::crypto::{Key, SlotSecret};
use stash::format::record::{Mark, MarkKind};
use stash::machine::{self, SystemClock};
use stash::repository::log::RecordParts;
use stash::repository::snapshots::SnapshotFilter;
use stash::repository::{LocalFolders, LockedRepository};
use stash::store::Store;
use stash::time::Clock as _;

use crate::home::{Home, inventory};

/// A saved file, and so many words about its snapshot that it is time to sum them up.
fn crowded() -> Home {
    let home = Home::new();
    home.write("work/large", vec![7; 300_000]);
    home.write("work/notes", "one");
    home.save();
    let store = Store::folder(&home.repository(), false).unwrap();
    let locked = LockedRepository::find(store, None).unwrap();
    let keys = home.path(".local/share/stash/keys");
    let key = machine::read_device_key(&keys, locked.id()).unwrap().unwrap();
    let folders = LocalFolders {
        cache: Some(home.path(".cache/stash")),
        state: Some(home.path(".local/state/stash")),
    };
    let repository = locked.unlock(&SlotSecret::Device(Key(*key)), &folders).unwrap();
    repository.sync().unwrap();
    let snapshot = repository.snapshots(&SnapshotFilter::default()).unwrap()[0].id;
    for number in 0..260 {
        let tags = vec![number.to_string()];
        let mark = Mark { snapshot, kind: MarkKind::Tags as u64, tags, ..Mark::default() };
        let parts = RecordParts { marks: vec![mark], ..RecordParts::default() };
        repository.append(parts, SystemClock.now()).unwrap();
    }
    // What was looked at within the hour would not be looked at again.
    let state = repository.state().unwrap().path("maintenance");
    let _never_looked = std::fs::remove_file(state);
    home
}

fn records(home: &Home) -> usize {
    let log = home.repository().join("log");
    inventory(&log).iter().filter(|item| log.join(&item.0).is_file()).count()
}

#[test]
fn a_backup_cleans_up_after_itself_when_it_is_time() {
    let home = crowded();
    let before = records(&home);
    assert!(before > 260);
    // Asked not to, it does not.
    home.write("work/notes", "two");
    let quiet = home.run(&["backup", "work", "--no-maintenance"]).code(0);
    assert!(!quiet.out.contains("cleaned up"), "{}", quiet.out);
    home.write("work/notes", "three");
    home.run_with("STASH_NO_MAINTENANCE", "1", &["backup", "work"]).code(0);
    home.run(&["backup", "work", "--dry-run"]).code(0);
    assert_eq!(records(&home), before + 2);
    home.write("work/notes", "four");
    let output = home.run(&["backup", "work", "--json"]).code(0);
    let lines = output.json();
    let last = &lines[lines.len() - 1];
    assert_eq!(lines[lines.len() - 2]["message_type"], "summary");
    assert_eq!(last["message_type"], "maintenance");
    assert!(last["covered_records"].as_u64().unwrap() > 260, "{last}");
    assert!(last["problem"].is_null(), "{last}");
    // On this computer's own disk it is gone at once; elsewhere after a grace.
    if home.repository().join("lock").exists() {
        assert!(records(&home) < 10, "{}", records(&home));
    }
    home.run(&["check", "--read-data"]).code(0);
    home.run(&["restore", "latest", "--target", "out"]).code(0);
    assert_eq!(home.read("out/work/notes"), "four");
    // Not again before the next day.
    home.write("work/notes", "five");
    let again = home.run(&["backup", "work"]).code(0);
    assert!(!again.out.contains("cleaned up"), "{}", again.out);
}

#[test]
fn a_doubt_is_a_warning_and_the_backup_stands() {
    let home = crowded();
    let before = records(&home);
    // A record is gone that no sweep named.
    let log = home.repository().join("log/g");
    let lost = inventory(&log)
        .into_iter()
        .map(|item| log.join(item.0))
        .find(|path| path.to_str().unwrap().contains("/0000000000000009-"));
    std::fs::remove_file(lost.unwrap()).unwrap();
    home.write("work/notes", "two");
    let output = home.run(&["backup", "work"]).code(0);
    assert!(output.out.contains("snapshot"), "{}", output.out);
    assert!(output.err.contains("cleaning up stopped"), "{}", output.err);
    assert!(output.err.contains("`stash prune`"), "{}", output.err);
    assert_eq!(records(&home), before, "one was lost, one is new, and nothing was deleted");
    // Told once a day.
    home.write("work/notes", "three");
    let output = home.run(&["backup", "work"]).code(0);
    assert!(!output.err.contains("cleaning up"), "{}", output.err);
}

#[test]
fn whoever_else_uses_the_repository_comes_first() {
    let home = crowded();
    let lock = home.repository().join("lock");
    if !lock.exists() {
        return;
    }
    let reader = std::fs::File::open(&lock).unwrap();
    reader.lock_shared().unwrap();
    let before = records(&home);
    home.write("work/notes", "two");
    let output = home.run(&["backup", "work"]).code(0);
    assert_eq!(output.err, "", "skipped without a word");
    assert_eq!(records(&home), before + 1);
}

#[test]
fn an_append_only_repository_is_made_and_says_whom_a_prune_did_not_heed() {
    let home = Home::new();
    home.write("work/notes", "one");
    home.run(&["init", "--append-only"]).code(0);
    let first = home.save();
    home.write("work/notes", "two");
    home.save();
    home.run(&["forget", &first]).code(0);
    let own = home.run(&["prune", "--dry-run"]).code(0);
    assert!(!own.err.contains("not honoured"), "{}", own.err);
    // The same as a stranger's: this machine does not know any more that it said so.
    let state = home.path(".local/state/stash");
    let noted = inventory(&state)
        .into_iter()
        .map(|item| state.join(item.0))
        .find(|path| path.ends_with("own-words"));
    std::fs::remove_file(noted.unwrap()).unwrap();
    let shown = home.run(&["snapshots"]).code(0);
    assert!(shown.out.contains(&first[..8]), "{}", shown.out);
    assert!(shown.err.contains("asked for by laptop, not honoured"), "{}", shown.err);
    let rows = home.run(&["snapshots", "--json"]).code(0).json().remove(0);
    assert_eq!(rows[0]["forget_asked_by"], "laptop");
    assert!(rows[1]["forget_asked_by"].is_null());
    let dry = home.run(&["prune", "--dry-run"]).code(0);
    assert!(dry.err.contains("`laptop` asked for something in 1 record"), "{}", dry.err);
    let trusting = home.run(&["prune", "--dry-run", "--trust-machine", "laptop"]).code(0);
    assert!(!trusting.err.contains("not honoured"), "{}", trusting.err);
    let unknown = home.run(&["prune", "--trust-machine", "nobody"]).code(2);
    assert!(unknown.err.contains("no lane is known"), "{}", unknown.err);
    // Elsewhere there is nobody to choose.
    let other = Home::new();
    other.write("work/notes", "one");
    other.save();
    let lane = "00112233445566778899aabbccddeeff";
    let refused = other.run(&["prune", "--trust-lane", lane]).code(2);
    assert!(refused.err.contains("everybody's words count"), "{}", refused.err);
}
