//! `restore`, from what `backup` saved.

use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use crate::home::{Home, inventory, noise};

/// Fills the folder with some of everything.
fn fill(home: &Home) {
    home.write("work/large.bin", noise(1, 3_000_000));
    home.write("work/deep/er/small.txt", "small");
    home.write("work/empty", "");
    home.write("work/mode", "secret");
    let mode = std::fs::Permissions::from_mode(0o4640);
    std::fs::set_permissions(home.path("work/mode"), mode).unwrap();
    std::fs::create_dir(home.path("work/hollow")).unwrap();
    std::os::unix::fs::symlink("../nowhere", home.path("work/link")).unwrap();
    std::fs::hard_link(home.path("work/mode"), home.path("work/twin")).unwrap();
    let old = std::time::UNIX_EPOCH + std::time::Duration::new(12_345, 678_901_234);
    let file = std::fs::File::options().write(true).open(home.path("work/empty")).unwrap();
    file.set_modified(old).unwrap();
    let odd = std::ffi::OsStr::from_bytes(b"work/odd\xff\nname");
    std::fs::write(home.path("").join(odd), "odd").unwrap();
}

/// Returns now as `--at` takes it.
fn now(home: &Home) -> String {
    let rows = home.run(&["snapshots", "--json", "--latest", "1"]).code(0).json().pop().unwrap();
    rows.as_array().unwrap().last().unwrap()["time"].as_str().unwrap().to_owned()
}

#[test]
fn a_restore_at_the_first_moment_gives_back_what_was() {
    let home = Home::new();
    fill(&home);
    let before = inventory(&home.path("work"));
    home.save();
    let first = now(&home);
    home.write("work/large.bin", noise(2, 2_000_000));
    home.write("work/new", "new");
    std::fs::remove_dir_all(home.path("work/deep")).unwrap();
    home.save();
    let changed = inventory(&home.path("work"));

    home.run(&["restore", "--at", &first, "--target", "then"]).code(0);
    assert_eq!(inventory(&home.path("then/work")), before);
    home.run(&["restore", "latest", "--target", "now", "--verify"]).code(0);
    assert_eq!(inventory(&home.path("now/work")), changed);
    let twins =
        ["then/work/mode", "then/work/twin"].map(|p| home.path(p).metadata().unwrap().ino());
    assert_eq!(twins[0], twins[1]);
}

#[test]
fn in_place_makes_the_folder_what_it_was_and_the_rest_stays() {
    let home = Home::new();
    fill(&home);
    let before = inventory(&home.path("work"));
    home.save();
    home.write("work/deep/er/small.txt", "longer than before");
    std::fs::remove_file(home.path("work/link")).unwrap();
    home.write("work/extra", "x");
    let plan = home.run(&["restore", "latest", "--in-place", "--dry-run"]).code(0);
    assert!(plan.out.contains("1 overwritten file, 1 other item, "), "{}", plan.out);
    assert_eq!(home.read("work/deep/er/small.txt"), "longer than before");
    let done = home.run(&["restore", "latest", "--in-place"]).code(0);
    assert!(done.err.contains("plan: from snapshot"), "{}", done.err);
    assert_eq!(home.read("work/extra"), "x");
    home.run(&["restore", "latest", "--in-place", "--delete", "--yes"]).code(0);
    assert_eq!(inventory(&home.path("work")), before);
    let again = home.run(&["restore", "latest", "--in-place"]).code(0);
    assert!(again.out.contains("where things were: 6 unchanged files"), "{}", again.out);
}

#[test]
fn a_path_puts_its_content_straight_into_the_target() {
    let home = Home::new();
    fill(&home);
    let id = home.save();
    let place = format!("{id}:{}", home.text("work/deep"));
    home.run(&["restore", &place, "-t", "there"]).code(0);
    assert_eq!(home.read("there/er/small.txt"), "small");
    home.run(&["restore", "latest:work/deep/er/small.txt", "-t", "one"]).code(0);
    assert_eq!(home.read("one/small.txt"), "small");
    let none = home.run(&["restore", "latest:work/none", "-t", "none"]).code(1);
    assert!(none.err.contains("the snapshot does not hold"), "{}", none.err);
}

#[test]
fn filters_take_and_leave_by_pattern() {
    let home = Home::new();
    fill(&home);
    home.save();
    home.run(&["restore", "latest", "-t", "some", "-i", "*.txt", "-i", "empty"]).code(0);
    let names = |folder: &str| {
        let items = inventory(&home.path(folder)).into_iter();
        items.map(|item| item.0.display().to_string()).collect::<Vec<_>>()
    };
    let expected = ["work", "work/deep", "work/deep/er", "work/deep/er/small.txt", "work/empty"];
    assert_eq!(names("some"), expected);
    home.run(&["restore", "latest", "-t", "rest", "-e", "*.bin", "-e", "/**/deep"]).code(0);
    let rest = names("rest");
    assert!(!rest.iter().any(|name| name.contains("deep") || name.contains("large")), "{rest:?}");
    assert!(rest.contains(&"work/mode".to_owned()));
}

#[test]
fn a_dry_run_writes_nothing() {
    let home = Home::new();
    fill(&home);
    home.save();
    let output = home.run(&["restore", "latest", "-t", "not/made", "-n", "--json"]).code(0);
    let summary = output.json().pop().unwrap();
    assert_eq!((&summary["dry_run"], &summary["files_restored"]), (&true.into(), &6.into()));
    assert!(!home.path("not").exists());
}

#[test]
fn another_machines_snapshot_needs_its_name_or_its_id() {
    let home = Home::new();
    home.write("work/a", "x");
    home.run(&["backup", "work", "--host", "desktop"]).code(0);
    let refused = home.run(&["restore", "latest", "-t", "back"]).code(1);
    assert!(refused.err.contains("no snapshot of this machine, `laptop`"), "{}", refused.err);
    assert!(refused.err.contains("`--host desktop`"), "{}", refused.err);
    home.run(&["restore", "latest", "--host", "desktop", "-t", "back"]).code(0);
    let rows = home.run(&["snapshots", "--json"]).json().pop().unwrap();
    let id = rows[0]["short_id"].as_str().unwrap();
    home.run(&["restore", id, "-t", "too"]).code(0);
    assert_eq!(home.read("back/work/a"), home.read("too/work/a"));
}

#[test]
fn a_moment_without_a_snapshot_names_the_nearest() {
    let home = Home::new();
    home.write("work/a", "x");
    let id = home.save();
    let none = home.run(&["restore", "--at", "2001-02-03", "-t", "x"]).code(1);
    assert!(none.err.contains(&id[..8]), "{}", none.err);
    assert!(none.err.contains("no snapshot at or before 2001-02-03T23:59:59Z"), "{}", none.err);
    let none = home.run(&["restore", "latest~1", "-t", "x"]).code(1);
    assert!(none.err.contains("`latest~1`"), "{}", none.err);
    home.run(&["restore", "ffffffffff", "-t", "x"]).code(1);
}

#[test]
fn damage_gives_13_and_names_what_is_lost_and_the_rest_comes_back() {
    let home = Home::new();
    home.write("work/lost", noise(3, 400_000));
    home.save();
    let lost = home.packs();
    home.write("work/whole", noise(4, 400_000));
    home.save();
    for pack in &lost {
        std::fs::remove_file(pack).unwrap();
    }
    let output = home.run(&["restore", "latest", "-t", "back"]).code(13);
    assert!(output.err.contains("work/lost"), "{}", output.err);
    assert_eq!(std::fs::read(home.path("back/work/whole")).unwrap(), noise(4, 400_000));
    assert!(!home.path("back/work/lost").exists());
    let salvaged = home.run(&["restore", "latest", "-t", "saved", "--salvage"]).code(13);
    assert!(salvaged.out.contains("1 file with holes"), "{}", salvaged.out);
    assert_eq!(home.path("saved/work/lost").metadata().unwrap().len(), 400_000);

    // What is still on this disk is stored again.
    home.run(&["backup", "work"]).code(0);
    home.run(&["restore", "latest", "-t", "healed"]).code(0);
    assert_eq!(std::fs::read(home.path("healed/work/lost")).unwrap(), noise(3, 400_000));
}

#[test]
fn a_target_that_is_a_file_is_refused() {
    let home = Home::new();
    home.write("work/a", "x");
    home.save();
    home.run(&["restore", "latest", "-t", "work/a"]).code(1);
    assert_eq!(home.read("work/a"), "x");
}
