use std::collections::HashMap;

use super::super::object::oid_of;
use super::*;

fn put(path: &str, byte: u8, time: i64) -> (String, Change) {
    (path.to_owned(), Change::Put(oid_of(Kind::Blob, &[[byte]]), 1, time))
}

fn load(objects: &HashMap<Oid, Bytes>, commit: Oid, old: &State) -> Result<State, Vec<Oid>> {
    let find = |oid: &Oid, _| objects.get(oid).cloned();
    let mut loader = Loader::new(old, &find);
    loader.load(commit).ok_or(loader.missing)
}

#[test]
fn a_state_is_read_as_it_was_written_and_only_what_changed_is_written() {
    let mut objects = HashMap::new();
    let mut keep = |next: &Next| {
        for object in &next.objects {
            objects.insert(object.oid, Bytes::from(object.parts.concat()));
        }
        objects.clone()
    };
    let changes: Vec<_> = (0..200_u8)
        .map(|byte| put(&format!("packs/{:02x}/{byte}", byte % 16), byte, i64::from(byte)))
        .chain([put("repo/x", 201, 3), put("log/s/lane/1", 202, 4), put("top", 203, 5)])
        .collect();
    let first = State::default().apply(&changes, 9);
    let all = keep(&first);
    let read = load(&all, first.state.commit.unwrap(), &State::default()).unwrap();
    assert_eq!(read.directories, first.state.directories);
    assert_eq!(read.newest, 199);
    assert_eq!(read.files("").count(), 203);
    assert_eq!(read.files("packs").count(), 200);
    assert_eq!(read.files("pack").count(), 0);
    assert_eq!(read.files("packs/03").count(), 13);

    let changes = [put("packs/03/new", 204, 999), ("packs/04/4".to_owned(), Change::Delete)];
    let second = read.apply(&changes, 1000);
    // The root, `packs`, the two in it with their times, and the commit.
    assert_eq!(second.objects.len(), 7);
    let all = keep(&second);
    let again = load(&all, second.state.commit.unwrap(), &read).unwrap();
    assert_eq!(again.directories, second.state.directories);
    assert_eq!(again.find("packs/03/new").unwrap().known, Some((1, 999)));
    assert!(again.find("packs/04/4").is_none());
    // What is missing is told, and nothing else.
    let lost = second.state.directories["packs/03"].tree;
    let mut cut = all.clone();
    cut.remove(&lost);
    assert_eq!(load(&cut, second.state.commit.unwrap(), &read).unwrap_err(), [lost]);
}

#[test]
fn a_branch_of_somebody_elses_is_known_by_what_is_in_it() {
    let author = "author me <me@host> 1 +0000\ncommitter me <me@host> 1 +0000\n\nx\n";
    let state = |rows: Vec<TreeRow>, parent: bool| {
        let tree = write_tree(rows);
        let root = oid_of(Kind::Tree, &[&tree]);
        let parent = if parent { format!("parent {root}\n") } else { String::new() };
        let commit = Bytes::from(format!("tree {root}\n{parent}{author}"));
        let tip = oid_of(Kind::Commit, &[&commit]);
        load(&HashMap::from([(root, tree), (tip, commit)]), tip, &State::default()).unwrap()
    };
    let file = |name: &str| TreeRow { mode: FILE, name: name.into(), oid: Oid([5; 20]) };
    assert!(state(vec![file("main.rs")], false).is_foreign());
    assert!(state(Vec::new(), true).is_foreign());
    assert!(!state(Vec::new(), false).is_foreign());
    assert!(!State::default().is_foreign());
    let object = format!("repo/{}", "ab".repeat(32));
    let own = State::default().apply(&[put(&object, 1, 1), put("README.md", 2, 1)], 1).state;
    assert!(!own.is_foreign());
    // Emptied by us, with something of a stranger's left in it.
    assert!(!own.apply(&[(object, Change::Delete)], 2).state.is_foreign());
}

/// Ten times the same tree in a tree, ten times that in another one, and so on.
#[test]
fn a_tree_that_is_everywhere_is_refused() {
    let mut objects = HashMap::new();
    let mut inner = write_tree(vec![TreeRow { mode: FILE, name: "x".into(), oid: Oid([5; 20]) }]);
    for _ in 0..20 {
        let oid = oid_of(Kind::Tree, &[&inner]);
        objects.insert(oid, inner);
        let row = |number| TreeRow { mode: DIRECTORY, name: format!("{number}"), oid };
        inner = write_tree((0..10).map(row).collect());
    }
    let root = oid_of(Kind::Tree, &[&inner]);
    let commit = write_commit(root, 1);
    let tip = oid_of(Kind::Commit, &[&commit]);
    objects.extend([(root, inner), (tip, commit)]);
    assert_eq!(load(&objects, tip, &State::default()).unwrap_err(), []);
    // A single one that is too deep, and one with too long a path.
    for (depth, name) in [(40, "x".to_owned()), (20, "x".repeat(300))] {
        let mut inner = write_tree(Vec::new());
        for _ in 0..depth {
            let oid = oid_of(Kind::Tree, &[&inner]);
            objects.insert(oid, inner);
            inner = write_tree(vec![TreeRow { mode: DIRECTORY, name: name.clone(), oid }]);
        }
        let root = oid_of(Kind::Tree, &[&inner]);
        let commit = write_commit(root, 1);
        let tip = oid_of(Kind::Commit, &[&commit]);
        objects.extend([(root, inner), (tip, commit)]);
        assert_eq!(load(&objects, tip, &State::default()).unwrap_err(), [], "{depth}");
    }
}

#[test]
fn deleting_all_leaves_an_empty_tree_and_strangers_stay() {
    let first = State::default().apply(&[put("a/b/c", 1, 1)], 1);
    let gone = first.state.apply(&[("a/b/c".to_owned(), Change::Delete)], 2);
    assert_eq!(gone.state.root.unwrap().to_string(), "4b825dc642cb6eb9a060e54bf8d69288fbee4904");
    let row = |mode, name: &str| TreeRow { mode, name: name.into(), oid: Oid([5; 20]) };
    let tree =
        write_tree(vec![row(0o100_755, "run"), row(0o120_000, "link"), row(FILE, "README.md")]);
    let commit = write_commit(oid_of(Kind::Tree, &[&tree]), 1);
    let (root, tip) = (oid_of(Kind::Tree, &[&tree]), oid_of(Kind::Commit, &[&commit]));
    let objects = HashMap::from([(root, tree), (tip, commit)]);
    let state = load(&objects, tip, &State::default()).unwrap();
    let next = state.apply(&[put("repo/x", 1, 1)], 1);
    for name in ["run", "link", "README.md"] {
        assert_eq!(next.state.find(name), state.find(name), "{name}");
    }
}
