//! Vectors of `6-tree.md`: nodes, parts, lists.

use crate::table::{Set, cut, file};
use stash::format::cbor::{Bytes, Ids};
use stash::format::record::encode_list;
use stash::format::tree::{FileTime, Node, NodeKind, Part, Subtree, Tree, encode_nodes};
use stash::id::BlobId;

pub fn kind_of(name: &str, kind: NodeKind) -> Node {
    Node { kind, size: 0, inline: Bytes::default(), ..file(name) }
}

fn every_kind() -> Vec<Node> {
    let mut nodes = vec![
        Node {
            inline: Bytes::default(),
            blobs: Ids(vec![BlobId([1; 32]), BlobId([2; 32])]),
            size: 300_000,
            uid: 1000,
            gid: 100,
            user: Some("ada".into()),
            group: Some("users".into()),
            hard_link: 1,
            xattrs: vec![
                (b"user.a".as_slice().into(), b"1".as_slice().into()),
                (b"user.b".as_slice().into(), Bytes::default()),
            ],
            sparse: true,
            ..file("a")
        },
        Node {
            inline: Bytes::default(),
            segments: Ids(vec![BlobId([3; 32])]),
            size: 4_000_000,
            category: 3,
            absent_since: Some(-1),
            capture: 1,
            ..file("b")
        },
        Node { subtree: Subtree::Blob(BlobId([4; 32])), ..kind_of("c", NodeKind::Directory) },
        Node { subtree: Subtree::Inline(vec![file("x")]), ..kind_of("d", NodeKind::Directory) },
        Node { target: b"../a".as_slice().into(), ..kind_of("e", NodeKind::Symlink) },
        kind_of("f", NodeKind::Fifo),
        Node { device: Some((1, 3)), ..kind_of("g", NodeKind::CharDevice) },
        Node { device: Some((8, 0)), ..kind_of("h", NodeKind::BlockDevice) },
        kind_of("i", NodeKind::Socket),
        Node { target: b"/agents/x/y".as_slice().into(), ..kind_of("j", NodeKind::Reference) },
    ];
    nodes.push(Node { name: b"k\xff".as_slice().into(), ..file("k") });
    nodes
}

pub fn trees(set: &mut Set) {
    set.page("tree");
    set.kind("tree", &[]);
    set.add(
        "nodes",
        "ok",
        "one node of each kind, and a name that is not UTF-8",
        encode_nodes(&every_kind()),
    );
    set.add("nodes-none", "ok", "an empty directory", encode_nodes(&[]));
    let part = |name: &str| Part(name.as_bytes().into(), BlobId([4; 32]));
    set.add("parts", "ok", "two parts", Tree::Parts(vec![part("a"), part("m")]).encode());
    set.add("parts-none", "inconsistent", "a list of no parts", Tree::Parts(vec![]).encode());
    set.add(
        "parts-order",
        "order",
        "first names ascend",
        Tree::Parts(vec![part("b"), part("a")]).encode(),
    );
    set.add(
        "parts-twice",
        "order",
        "no first name twice",
        Tree::Parts(vec![part("a"), part("a")]).encode(),
    );
    set.add(
        "parts-name",
        "bad-name",
        "first names are names",
        Tree::Parts(vec![part("a/b")]).encode(),
    );
    set.add("tree-unknown-form", "unknown", "the first item is 0 or 1", *b"\x82\x02\x80");
    set.add("tree-three-items", "unknown", "an array of two", *b"\x83\x00\x80\x80");
    set.add("tree-empty", "cut", "no bytes", []);
    set.add("tree-trailing", "trailing-bytes", "one item only", *b"\x82\x00\x80\x00");
    set.add("tree-number", "malformed", "a number is no list of nodes", *b"\x82\x00\x05");
    let file_bytes = encode_nodes(&[file("a")]);
    set.add("tree-cut", "cut", "one byte short", cut(&file_bytes, 1));
    let names: [(&'static str, &str, &str); 5] = [
        ("name-empty", "", "a name has a byte"),
        ("name-dot", ".", "the directory itself"),
        ("name-dot-dot", "..", "the directory above"),
        ("name-slash", "a/b", "a name is no path"),
        ("name-nul", "a\0b", "systems stop at a zero byte"),
    ];
    for (vector, name, why) in names {
        set.add(vector, "bad-name", why, encode_nodes(&[file(name)]));
    }
    set.add("name-longest", "ok", "4,096 bytes", encode_nodes(&[file(&"n".repeat(4096))]));
    set.add("name-too-long", "too-long", "4,097 bytes", encode_nodes(&[file(&"n".repeat(4097))]));
    set.add("nodes-order", "order", "names ascend", encode_nodes(&[file("b"), file("a")]));
    set.add("nodes-twice", "order", "no name twice", encode_nodes(&[file("a"), file("a")]));
    set.add(
        "nodes-order-by-bytes",
        "order",
        "upper case comes before lower case",
        encode_nodes(&[file("a"), file("B")]),
    );
    let inside = |nodes: Vec<Node>| {
        encode_nodes(&[Node {
            subtree: Subtree::Inline(nodes),
            ..kind_of("d", NodeKind::Directory)
        }])
    };
    set.add("inner-name", "bad-name", "names are checked at any depth", inside(vec![file("..")]));
    set.add("inner-order", "order", "and so is their order", inside(vec![file("b"), file("a")]));
    set.add(
        "inner-empty",
        "not-canonical",
        "an empty directory is one without content",
        *b"\x82\x00\x81\xa3\x61n\x41d\x61t\x01\x61d\x80",
    );
    let mut deep = vec![file("x")];
    for _ in 0..20 {
        deep = vec![Node { subtree: Subtree::Inline(deep), ..kind_of("d", NodeKind::Directory) }];
    }
    set.add("inner-too-deep", "too-deep", "directories in nodes, 20 of them", encode_nodes(&deep));
    fields(set);
    lists(set);
}

fn fields(set: &mut Set) {
    let mut change = |name, expect, why, mut node: Node, change: fn(&mut Node)| {
        change(&mut node);
        set.add(name, expect, why, encode_nodes(&[node]));
    };
    let dir = || kind_of("d", NodeKind::Directory);
    let link = || Node { target: b"x".as_slice().into(), ..kind_of("l", NodeKind::Symlink) };
    change("file-two-contents", "inconsistent", "inline and blobs", file("a"), |node| {
        node.blobs = Ids(vec![BlobId([1; 32])]);
    });
    change("file-no-content", "inconsistent", "a size and nothing else", file("a"), |node| {
        node.inline = Bytes::default();
    });
    change("file-no-size", "inconsistent", "content and no size", file("a"), |node| {
        (node.size, node.inline, node.blobs) = (0, Bytes::default(), Ids(vec![BlobId([1; 32])]));
    });
    change("file-other-size", "inconsistent", "inline content has the size", file("a"), |node| {
        node.size = 4;
    });
    change("file-target", "inconsistent", "a file points nowhere", file("a"), |node| {
        node.target = b"x".as_slice().into();
    });
    change("file-subtree", "inconsistent", "a file holds no nodes", file("a"), |node| {
        node.subtree = Subtree::Blob(BlobId([1; 32]));
    });
    change("file-device", "inconsistent", "a file is no device", file("a"), |node| {
        node.device = Some((1, 1));
    });
    change("file-long-inline", "too-long", "1,025 bytes in the node", file("a"), |node| {
        (node.size, node.inline) = (1025, vec![0; 1025].into());
    });
    change("file-nine-blobs", "too-long", "nine blobs in the node", file("a"), |node| {
        (node.inline, node.blobs) = (Bytes::default(), Ids(vec![BlobId([1; 32]); 9]));
    });
    change("dir-size", "inconsistent", "a directory has no size", dir(), |node| node.size = 1);
    change("dir-sparse", "inconsistent", "a directory has no holes", dir(), |node| {
        node.sparse = true;
    });
    change("dir-hard-link", "inconsistent", "a directory has one name", dir(), |node| {
        node.hard_link = 1;
    });
    change("symlink-no-target", "inconsistent", "a link points somewhere", link(), |node| {
        node.target = Bytes::default();
    });
    change("symlink-content", "inconsistent", "a link has no content", link(), |node| {
        (node.size, node.inline) = (1, b"x".as_slice().into());
    });
    change("symlink-nul", "bad-name", "systems stop at a zero byte", link(), |node| {
        node.target = b"a\0b".as_slice().into();
    });
    change("symlink-long", "too-long", "a target of 4,097 bytes", link(), |node| {
        node.target = vec![b'x'; 4097].into();
    });
    change("device-no-number", "inconsistent", "which device?", dir(), |node| {
        node.kind = NodeKind::CharDevice;
    });
    change("mode-too-high", "inconsistent", "only permission bits", file("a"), |node| {
        node.mode = 0o100_644;
    });
    change("time-nanoseconds", "inconsistent", "a second has 1,000,000,000", file("a"), |node| {
        node.mtime = FileTime(0, 1_000_000_000);
    });
    let pair = |name: &[u8]| (Bytes::from(name), Bytes::default());
    let xattrs = |names: &[&[u8]]| Node {
        xattrs: names.iter().map(|name| pair(name)).collect(),
        ..file("a")
    };
    change("xattr-order", "order", "names ascend", xattrs(&[b"b", b"a"]), |_| ());
    change("xattr-twice", "order", "no name twice", xattrs(&[b"a", b"a"]), |_| ());
    change("xattr-no-name", "bad-name", "an attribute has a name", xattrs(&[b""]), |_| ());
    change("xattr-nul", "bad-name", "systems stop at a zero byte", xattrs(&[b"a\0"]), |_| ());
    change("category-unknown", "ok", "a category to come is read as other", file("a"), |node| {
        node.category = 99;
    });
    set.add(
        "node-kind-unknown",
        "malformed",
        "there are eight kinds",
        *b"\x82\x00\x81\xa2\x61n\x41a\x61t\x08",
    );
    set.add(
        "subtree-short-id",
        "malformed",
        "an id has 32 bytes",
        *b"\x82\x00\x81\xa3\x61n\x41a\x61t\x01\x61d\x41a",
    );
    set.add(
        "time-three-numbers",
        "malformed",
        "a time is two numbers",
        *b"\x82\x00\x81\xa2\x61n\x41a\x61s\x83\x01\x01\x01",
    );
}

fn lists(set: &mut Set) {
    set.kind("list", &[]);
    let ids = [BlobId([1; 32]), BlobId([2; 32])];
    set.add("list", "ok", "two ids", encode_list(&ids));
    set.add("list-same", "ok", "an id may come more than once", encode_list(&[ids[0], ids[0]]));
    set.add("list-empty", "cut", "a segment has an id", []);
    set.add("list-cut", "cut", "half an id", cut(&encode_list(&ids), 16));
    set.add("list-too-long", "too-long", "4,097 ids", vec![0; 4097 * 32]);
}
