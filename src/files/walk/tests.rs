#![expect(clippy::disallowed_methods, reason = "tests make the files that are walked")]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;
use crate::files::{ExcludeOptions, Owners, Target};

fn walk_with(root: &Path, options: &ExcludeOptions, threads: usize) -> Vec<Step> {
    let excludes = Arc::new(Excludes::new(options).unwrap());
    Walk::start(root, excludes, threads).collect()
}

/// One short line per step, with paths relative to the root.
fn lines(root: &Path, steps: &[Step]) -> Vec<String> {
    let short = |path: &Path| path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
    let line = |step: &Step| match step {
        Step::Enter(entry) => format!("> {}", short(&entry.path)),
        Step::Entry(entry) => format!("- {}", short(&entry.path)),
        Step::Leave => "<".into(),
        Step::Excluded { path, reason, size_bytes } => {
            format!("x {} {reason:?} {size_bytes}", short(path))
        }
        Step::Failed { path, .. } => format!("! {}", short(path)),
    };
    steps.iter().map(line).collect()
}

fn walk_lines(root: &Path, options: &ExcludeOptions) -> Vec<String> {
    let plain = lines(root, &walk_with(root, options, 0));
    for threads in [1, 3] {
        assert_eq!(lines(root, &walk_with(root, options, threads)), plain, "{threads} threads");
    }
    plain
}

fn make(root: &Path, files: &[&str]) {
    for file in files {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        if !file.ends_with('/') {
            fs::write(path, b"content").unwrap();
        }
    }
}

#[test]
fn steps_come_in_the_order_of_tree_blobs() {
    let root = tempfile::tempdir().unwrap();
    make(root.path(), &["b/z", "b/a", "a.txt", "a/x", "a-b", "B"]);
    let wanted =
        ["> ", "- B", "> a", "- a/x", "<", "- a-b", "- a.txt", "> b", "- b/a", "- b/z", "<", "<"];
    assert_eq!(walk_lines(root.path(), &ExcludeOptions::default()), wanted);
}

#[test]
fn names_that_are_no_text_and_long_names_are_walked_and_opened() {
    let root = tempfile::tempdir().unwrap();
    let long = vec![b'n'; 255];
    for name in [b"\xff\xfe".as_slice(), b"a\nb", &long] {
        fs::write(root.path().join(OsStr::from_bytes(name)), name).unwrap();
    }
    let mut seen = 0;
    for step in walk_with(root.path(), &ExcludeOptions::default(), 1) {
        let Step::Entry(entry) = step else { continue };
        let (file, stat) = entry.open().unwrap();
        assert!(stat.is_same_content(&entry.stat));
        assert_eq!(
            std::io::read_to_string(file).unwrap_or_default().len(),
            match entry.name() {
                b"\xff\xfe" => 0,
                name => name.len(),
            }
        );
        seen += 1;
    }
    assert_eq!(seen, 3);
}

#[test]
fn a_root_may_be_a_file_a_link_or_missing() {
    let root = tempfile::tempdir().unwrap();
    make(root.path(), &["file", "dir/x"]);
    symlink("dir", root.path().join("link")).unwrap();
    let options = ExcludeOptions::default();
    let one = |name: &str| {
        let mut steps = walk_with(&root.path().join(name), &options, 1);
        assert_eq!(steps.len(), 1);
        steps.remove(0)
    };
    assert!(matches!(one("file"), Step::Entry(entry) if entry.stat.kind == NodeKind::File));
    for link in ["link", "link/"] {
        let Step::Entry(entry) = one(link) else { panic!("followed") };
        let node = entry.read_node(&Owners::default()).unwrap();
        assert_eq!((node.kind, &*node.target), (NodeKind::Symlink, b"dir".as_slice()));
    }
    let Step::Failed { error, .. } = one("none") else { panic!("found") };
    assert!(error.is_io(std::io::ErrorKind::NotFound));
}

#[test]
fn what_is_excluded_is_told_and_not_looked_into() {
    let root = tempfile::tempdir().unwrap();
    make(root.path(), &["a/node_modules/x", "a/keep.log", "b/x.log", "own/data", "z"]);
    fs::write(root.path().join("big"), vec![0; 100]).unwrap();
    let options = ExcludeOptions {
        exclude: vec!["node_modules".into(), "*.log".into(), "!keep.log".into()],
        exclude_larger_than: Some(99),
        skip: vec![root.path().join("own")],
        ..ExcludeOptions::default()
    };
    let wanted = [
        "> ",
        "> a",
        "- a/keep.log",
        "x a/node_modules Pattern 0",
        "<",
        "> b",
        "x b/x.log Pattern 7",
        "<",
        "x big TooLarge 100",
        "x own Own 0",
        "- z",
        "<",
    ];
    assert_eq!(walk_lines(root.path(), &options), wanted);
}

#[test]
fn tagged_directories_keep_their_tag_alone() {
    let root = tempfile::tempdir().unwrap();
    make(
        root.path(),
        &["cache/x", "cache/y/z", "fake/x", "fake/CACHEDIR.TAG", "m/.nobackup", "m/x"],
    );
    let tag = "Signature: 8a477f597d28d172789f06886806bc55\n# by hand\n";
    fs::write(root.path().join("cache/CACHEDIR.TAG"), tag).unwrap();
    let options = ExcludeOptions {
        exclude_if_present: vec![".nobackup:cont".into(), "x:other".into()],
        ..ExcludeOptions::default()
    };
    let wanted = [
        "> ",
        "> cache",
        "x cache Cache 0",
        "- cache/CACHEDIR.TAG",
        "<",
        "> fake",
        "- fake/CACHEDIR.TAG",
        "- fake/x",
        "<",
        "> m",
        "x m Marker 0",
        "- m/.nobackup",
        "<",
        "<",
    ];
    assert_eq!(walk_lines(root.path(), &options), wanted);
    let all = ExcludeOptions { exclude_caches: false, ..ExcludeOptions::default() };
    assert!(walk_lines(root.path(), &all).contains(&"- cache/y/z".to_string()));
}

#[test]
fn gitignore_files_hold_below_their_directory_and_inner_ones_win() {
    let root = tempfile::tempdir().unwrap();
    make(root.path(), &["p/a.o", "p/sub/a.o", "p/sub/b.o", "p/target/x", "p/src/target", "q/a.o"]);
    fs::write(root.path().join("p/.gitignore"), "*.o\n/target/\n").unwrap();
    fs::write(root.path().join("p/sub/.gitignore"), "!b.o\n").unwrap();
    let options = ExcludeOptions { gitignore: true, ..ExcludeOptions::default() };
    let wanted = [
        "> ",
        "> p",
        "- p/.gitignore",
        "x p/a.o Gitignore 7",
        "> p/src",
        "- p/src/target",
        "<",
        "> p/sub",
        "- p/sub/.gitignore",
        "x p/sub/a.o Gitignore 7",
        "- p/sub/b.o",
        "<",
        "x p/target Gitignore 0",
        "<",
        "> q",
        "- q/a.o",
        "<",
        "<",
    ];
    assert_eq!(walk_lines(root.path(), &options), wanted);
}

#[test]
fn another_file_system_is_kept_as_an_empty_directory() {
    let root = tempfile::tempdir().unwrap();
    make(root.path(), &["mount/x", "y"]);
    let options = ExcludeOptions { one_file_system: true, ..ExcludeOptions::default() };
    let excludes = Arc::new(Excludes::new(&options).unwrap());
    let mut walk = Walk::start(root.path(), excludes, 1);
    // Nothing can be mounted in a test; a root that seems to lie elsewhere makes all else foreign.
    walk.rules.device = walk.rules.device.wrapping_add(1);
    let steps: Vec<Step> = walk.collect();
    let wanted = ["> ", "> mount", "x mount OtherFileSystem 0", "<", "- y", "<"];
    assert_eq!(lines(root.path(), &steps), wanted);
    assert_eq!(walk_lines(root.path(), &options).len(), 6);
}

#[test]
fn a_directory_that_cannot_be_listed_is_kept_and_told() {
    let root = tempfile::tempdir().unwrap();
    make(root.path(), &["a/x", "b/x", "c"]);
    fs::set_permissions(root.path().join("a"), fs::Permissions::from_mode(0o000)).unwrap();
    if rustix::process::geteuid().is_root() {
        return;
    }
    let wanted = ["> ", "> a", "! a", "<", "> b", "- b/x", "<", "- c", "<"];
    assert_eq!(walk_lines(root.path(), &ExcludeOptions::default()), wanted);
    fs::set_permissions(root.path().join("a"), fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn what_vanishes_is_dropped_and_what_became_a_link_is_not_followed() {
    let root = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    make(outside.path(), &["secret"]);
    make(root.path(), &["gone/x", "link/x", "stays/x"]);
    let excludes = Arc::new(Excludes::new(&ExcludeOptions::default()).unwrap());
    // Looked at when the root is listed, changed before they are entered.
    let walk = Walk::start(root.path(), excludes, 0);
    fs::remove_dir_all(root.path().join("gone")).unwrap();
    fs::remove_dir_all(root.path().join("link")).unwrap();
    symlink(outside.path(), root.path().join("link")).unwrap();
    let steps: Vec<Step> = walk.collect();
    let wanted = ["> ", "> link", "! link", "<", "> stays", "- stays/x", "<", "<"];
    assert_eq!(lines(root.path(), &steps), wanted);
}

#[test]
fn an_entry_is_reached_after_its_directory_was_left_but_not_through_a_link() {
    let root = tempfile::tempdir().unwrap();
    make(root.path(), &["a/b/file", "c/b/file"]);
    let steps = walk_with(root.path(), &ExcludeOptions::default(), 1);
    let entries: Vec<&Entry> = steps
        .iter()
        .filter_map(|step| if let Step::Entry(entry) = step { Some(entry) } else { None })
        .collect();
    assert!(entries[0].open().is_ok());
    fs::rename(root.path().join("a"), root.path().join("moved")).unwrap();
    symlink("moved", root.path().join("a")).unwrap();
    assert!(entries[0].open().is_err());
    assert!(entries[1].open().is_ok());
}

#[test]
fn a_walk_dropped_early_ends_its_threads() {
    let root = tempfile::tempdir().unwrap();
    for number in 0..100 {
        make(root.path(), &[&format!("{number}/x")]);
    }
    for taken in [0, 1, 7, 50] {
        let excludes = Arc::new(Excludes::new(&ExcludeOptions::default()).unwrap());
        let mut walk = Walk::start(root.path(), excludes, 3);
        assert_eq!(walk.by_ref().take(taken).count(), taken);
    }
}

/// Makes directories within directories, whose path no call would take.
fn make_deep(root: &Path, depth: usize, name: &CStr) {
    let mut directory: OwnedFd = fs::File::open(root).unwrap().into();
    for _ in 0..depth {
        rustix::fs::mkdirat(&directory, name, rustix::fs::Mode::RWXU).unwrap();
        directory = open_directory(&directory, name).unwrap();
    }
    let (flags, mode) = (rustix::fs::OFlags::CREATE, rustix::fs::Mode::RWXU);
    drop(rustix::fs::openat(&directory, c"file", flags, mode).unwrap());
}

#[test]
fn five_thousand_levels_are_walked_read_and_removed() {
    const DEPTH: usize = 5_000;
    let root = tempfile::tempdir().unwrap();
    make_deep(root.path(), DEPTH, c"deep");
    make(root.path(), &["zzz"]);
    let steps = walk_with(root.path(), &ExcludeOptions::default(), 2);
    assert!(!steps.iter().any(|step| matches!(step, Step::Failed { .. })));
    let files: Vec<&Entry> = steps
        .iter()
        .filter_map(|step| if let Step::Entry(entry) = step { Some(entry) } else { None })
        .collect();
    assert_eq!(files.len(), 2);
    assert_eq!(steps.len(), 2 * (DEPTH + 1) + 2);
    assert!(files[0].open().is_ok());
    let node = files[0].read_node(&Owners::default()).unwrap();
    assert_eq!(&*node.name, b"file");
    let target = Target::open(root.path(), false).unwrap();
    target.root().remove_tree(b"deep").unwrap();
    assert_eq!(target.root().stat(b"deep").unwrap(), None);
}

#[test]
fn a_folder_of_two_hundred_thousand_entries_keeps_order() {
    const COUNT: usize = 200_000;
    let root = tempfile::tempdir().unwrap();
    let directory = fs::File::open(root.path()).unwrap();
    // Further names of a few files, which are made sooner than as many files.
    make(root.path(), &["a", "b", "c", "d"]);
    for number in 4..COUNT {
        let old = ["a", "b", "c", "d"][number % 4];
        let name = format!("{}-{number}", number.wrapping_mul(2_654_435_761) % 1_000_003);
        let flags = rustix::fs::AtFlags::empty();
        rustix::fs::linkat(&directory, old, &directory, name, flags).unwrap();
    }
    let excludes = Arc::new(Excludes::new(&ExcludeOptions::default()).unwrap());
    let mut last = Vec::new();
    let mut count = 0;
    for step in Walk::start(root.path(), excludes, 1) {
        if let Step::Entry(entry) = step {
            assert!(last.as_slice() < entry.name());
            last = entry.name().to_vec();
            count += 1;
        }
    }
    assert_eq!(count, COUNT);
}

#[test]
fn a_walk_and_its_entries_can_move_to_another_thread() {
    fn moves<T: Send>() {}
    moves::<Walk>();
    moves::<Step>();
    moves::<crate::files::TargetFile>();
}
