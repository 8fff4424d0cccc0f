use std::fs;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, symlink};

use super::*;
use crate::files::{ExcludeOptions, Excludes, OwnerRule, Step, Walk};
use crate::format::tree::FileTime;

fn open(root: &Path) -> Target {
    Target::open(root, true).unwrap()
}

fn node(kind: NodeKind, mode: u32) -> Node {
    let own = rustix::process::geteuid().as_raw();
    let group = rustix::process::getegid().as_raw();
    Node {
        name: b"x".as_slice().into(),
        kind,
        mode,
        uid: own,
        gid: group,
        mtime: FileTime(1_234_567_890, 123_456_789),
        ..Node::default()
    }
}

fn applied(directory: &TargetDir, name: &[u8], node: &Node) -> Stat {
    let problems = directory.apply(name, node, ApplyOptions::default(), &Owners::default());
    assert!(problems.is_empty(), "{problems:?}");
    directory.stat(name).unwrap().unwrap()
}

fn names(directory: &TargetDir) -> Vec<Vec<u8>> {
    directory.list().unwrap().into_iter().map(|(name, _)| name).collect()
}

#[test]
fn a_target_is_made_unless_a_file_is_there() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("file"), b"").unwrap();
    assert!(Target::open(&root.path().join("file"), true).is_err());
    assert!(Target::open(&root.path().join("a/b"), false).is_err());
    let target = open(&root.path().join("a/b"));
    assert!(target.directory(&[b"c", b"d"], false).unwrap().is_none());
    assert!(target.directory(&[b"c", b"d"], true).unwrap().is_some());
    assert!(target.free_bytes().is_ok());
    target.sync_filesystem().unwrap();
}

#[test]
fn names_that_could_lead_out_are_refused_everywhere() {
    let root = tempfile::tempdir().unwrap();
    let target = open(root.path());
    for name in [b"".as_slice(), b".", b"..", b"a/b", b"/etc", b"a\0"] {
        let dir = target.root();
        let refused = [
            target.directory(&[name], true).err(),
            dir.stat(name).err(),
            dir.make_directory(name).err(),
            dir.create_file(name).err(),
            dir.create_temporary(name).err(),
            dir.symlink(b"x", name).err(),
            dir.make_special(NodeKind::Fifo, (0, 0), name).err(),
            dir.hard_link(dir, b"x", name).err(),
            dir.hard_link(dir, name, b"x").err(),
            dir.remove(name).err(),
            dir.remove_tree(name).err(),
            dir.open_existing(name).err(),
            dir.create_temporary(b"ok").unwrap().rename_over(name).err(),
        ];
        for error in refused {
            assert_eq!(error.map(|error| error.kind()), Some(Kind::Damaged), "{name:?}");
        }
    }
    assert!(names(target.root()).is_empty());
}

#[test]
fn a_link_in_the_way_is_never_written_through() {
    let root = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("kept"), b"old").unwrap();
    symlink(outside.path(), root.path().join("dir")).unwrap();
    symlink(outside.path().join("kept"), root.path().join("file")).unwrap();
    let target = open(root.path());
    let error = target.directory(&[b"dir", b"x"], true).unwrap_err();
    assert!(error.object_name().unwrap().ends_with("/dir"), "{error}");
    assert!(target.root().create_file(b"file").is_err());
    assert!(target.root().open_existing(b"file").unwrap().is_none());
    let file = target.root().create_temporary(b"file").unwrap();
    file.write_at(0, b"new").unwrap();
    file.rename_over(b"file").unwrap();
    target.root().remove_tree(b"dir").unwrap();
    assert_eq!(fs::read(outside.path().join("kept")).unwrap(), b"old");
    assert_eq!(fs::read(root.path().join("file")).unwrap(), b"new");
    assert_eq!(names(target.root()), [b"file"]);
}

#[test]
fn metadata_is_never_applied_through_a_link() {
    let root = tempfile::tempdir().unwrap();
    let victim = root.path().join("victim");
    fs::write(&victim, b"").unwrap();
    let before = fs::metadata(&victim).unwrap();
    let target = open(&root.path().join("target"));
    target.root().symlink(victim.as_os_str().as_bytes(), b"x").unwrap();
    let wrong = target.root().apply(
        b"x",
        &node(NodeKind::File, 0o777),
        ApplyOptions::default(),
        &Owners::default(),
    );
    assert_eq!(wrong.len(), 1);
    let mut link = node(NodeKind::Symlink, 0o777);
    link.target = victim.as_os_str().as_bytes().into();
    let stat = applied(target.root(), b"x", &link);
    assert_eq!(stat.mtime, link.mtime);
    let after = fs::metadata(&victim).unwrap();
    assert_eq!((before.mode(), before.mtime()), (after.mode(), after.mtime()));
}

#[test]
fn a_file_that_is_dropped_unfinished_is_removed() {
    let root = tempfile::tempdir().unwrap();
    let target = open(root.path());
    let long = vec![b'n'; 255];
    drop(target.root().create_file(b"a").unwrap());
    for name in [b"b".as_slice(), &long] {
        let file = target.root().create_temporary(name).unwrap();
        let [temporary] = &*names(target.root()) else { panic!("not one name") };
        assert!(is_temporary_name(temporary) && temporary.len() <= 255);
        drop(file.close());
    }
    assert!(names(target.root()).is_empty());
    target.root().create_file(b"a").unwrap().finish();
    target.root().create_temporary(&long).unwrap().rename_over(&long).unwrap();
    assert_eq!(names(target.root()), [b"a".to_vec(), long]);
    assert!(!is_temporary_name(b"a") && !is_temporary_name(b".tmp") && !is_temporary_name(b""));
}

#[test]
fn content_times_mode_and_attributes_come_back() {
    let root = tempfile::tempdir().unwrap();
    let target = open(root.path());
    let mut wanted = node(NodeKind::File, 0o6755);
    wanted.size = 1 << 20;
    let file = target.root().create_temporary(b"f").unwrap();
    file.write_at(500_000, b"middle").unwrap();
    file.set_length(1 << 20).unwrap();
    let supported =
        rustix::fs::fsetxattr(file.file(), "user.old", b"goes", rustix::fs::XattrFlags::empty())
            .is_ok();
    if supported {
        wanted.xattrs = vec![
            (b"user.a".as_slice().into(), b"\x00\xff".as_slice().into()),
            (b"user.b".as_slice().into(), vec![b'v'; 2_000].into()),
        ];
    }
    let problems = file.apply(&wanted, ApplyOptions::default(), &Owners::default());
    assert!(problems.is_empty(), "{problems:?}");
    file.sync().unwrap();
    file.rename_over(b"f").unwrap();
    target.root().sync().unwrap();

    let (file, stat) = target.root().open_existing(b"f").unwrap().unwrap();
    assert_eq!((stat.mode, stat.mtime, stat.size), (0o6755, wanted.mtime, 1 << 20));
    let mut content = vec![0; 6];
    file.read_exact_at(&mut content, 500_000).unwrap();
    assert_eq!(content, b"middle");
    assert_eq!(read_back(root.path(), "f").xattrs, wanted.xattrs);
}

#[test]
#[cfg(target_os = "linux")]
fn access_lists_come_back_with_the_mode() {
    let root = tempfile::tempdir().unwrap();
    let target = open(root.path());
    let entries: [(u16, u16, u32); 5] = [
        (0x01, 6, u32::MAX),
        (0x02, 4, 1000),
        (0x04, 4, u32::MAX),
        (0x10, 4, u32::MAX),
        (0x20, 0, u32::MAX),
    ];
    let mut list = 2_u32.to_le_bytes().to_vec();
    for (tag, rights, id) in entries {
        list.extend_from_slice(&tag.to_le_bytes());
        list.extend_from_slice(&rights.to_le_bytes());
        list.extend_from_slice(&id.to_le_bytes());
    }
    let mut wanted = node(NodeKind::File, 0o640);
    wanted.xattrs = vec![(b"system.posix_acl_access".as_slice().into(), list.as_slice().into())];
    target.root().create_file(b"f").unwrap().finish();
    let path = root.path().join("f");
    let flags = rustix::fs::XattrFlags::empty();
    if rustix::fs::setxattr(&path, "system.posix_acl_access", &list, flags).is_err() {
        return;
    }
    assert_eq!(applied(target.root(), b"f", &wanted).mode, 0o640);
    assert_eq!(read_back(root.path(), "f").xattrs, wanted.xattrs);
    wanted.xattrs.clear();
    applied(target.root(), b"f", &wanted);
    assert_eq!(read_back(root.path(), "f").xattrs, []);
}

fn read_back(root: &Path, name: &str) -> Node {
    let excludes = Arc::new(Excludes::new(&ExcludeOptions::default()).unwrap());
    let step = Walk::start(&root.join(name), excludes, 0).next().unwrap();
    match step {
        Step::Entry(entry) | Step::Enter(entry) => entry.read_node(&Owners::of_system()).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn pipes_links_sockets_and_directories_come_back() {
    let root = tempfile::tempdir().unwrap();
    let target = open(root.path());
    let dir = target.root();
    dir.make_special(NodeKind::Fifo, (0, 0), b"fifo").unwrap();
    dir.make_special(NodeKind::Socket, (0, 0), b"socket").unwrap();
    dir.symlink(b"nowhere\xff", b"link").unwrap();
    dir.make_directory(b"dir").unwrap();
    for (name, kind) in [
        ("fifo", NodeKind::Fifo),
        ("socket", NodeKind::Socket),
        ("link", NodeKind::Symlink),
        ("dir", NodeKind::Directory),
    ] {
        let mut wanted = node(kind, 0o1750);
        wanted.name = name.as_bytes().into();
        if kind == NodeKind::Symlink {
            wanted.mode = 0o777;
            wanted.target = b"nowhere\xff".as_slice().into();
        }
        applied(dir, name.as_bytes(), &wanted);
        let got = read_back(root.path(), name);
        wanted.user = got.user.clone();
        wanted.group = got.group.clone();
        assert_eq!(got, wanted);
        got.validate(true).unwrap();
    }
}

#[test]
fn devices_and_owners_come_back_for_root() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let target = open(root.path());
    let dir = target.root();
    if dir.make_special(NodeKind::CharDevice, (1, 3), b"null").is_ok() {
        let got = read_back(root.path(), "null");
        assert_eq!((got.kind, got.device), (NodeKind::CharDevice, Some((1, 3))));
    }
    dir.create_file(b"f").unwrap().finish();
    let owners = Owners::parse(b"ann:x:1234:1::/:", b"staff:x:4321:");
    let mut wanted = node(NodeKind::File, 0o4755);
    (wanted.uid, wanted.gid) = (77, 78);
    wanted.user = Some("ann".into());
    wanted.group = Some("unknown".into());
    for (rule, uid, gid) in [(OwnerRule::ByName, 1234, 78), (OwnerRule::Numeric, 77, 78)] {
        let options = ApplyOptions { owner: rule, xattrs: true };
        assert!(dir.apply(b"f", &wanted, options, &owners).is_empty());
        let stat = dir.stat(b"f").unwrap().unwrap();
        assert_eq!((stat.uid, stat.gid, stat.mode), (uid, gid, 0o4755));
    }
    (wanted.uid, wanted.gid) = (5, 5);
    let options = ApplyOptions { owner: OwnerRule::Leave, xattrs: true };
    assert!(dir.apply(b"f", &wanted, options, &owners).is_empty());
    let stat = dir.stat(b"f").unwrap().unwrap();
    assert_eq!((stat.uid, stat.mode), (77, 0o755), "no set-id bit for someone else");
}

#[test]
fn names_of_one_file_are_linked_and_trees_removed() {
    let root = tempfile::tempdir().unwrap();
    let target = open(root.path());
    let dir = target.directory(&[b"a", b"b"], true).unwrap().unwrap();
    dir.create_file(b"one").unwrap().finish();
    target.root().hard_link(&dir, b"one", b"two").unwrap();
    let (one, two) = (dir.stat(b"one").unwrap().unwrap(), target.root().stat(b"two").unwrap());
    assert!(one.is_same_file(&two.unwrap()));
    assert!(target.root().remove(b"a").is_err());
    target.root().remove_tree(b"a").unwrap();
    target.root().remove_tree(b"a").unwrap();
    target.root().remove(b"two").unwrap();
    target.root().remove(b"two").unwrap();
    target.root().make_directory(b"empty").unwrap();
    target.root().remove(b"empty").unwrap();
    assert!(names(target.root()).is_empty());
}
