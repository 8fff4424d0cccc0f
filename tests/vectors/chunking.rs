//! Vectors of `3-chunking.md`.

use crate::table::Set;
use stash::codec::chunker;

pub fn chunking(set: &mut Set) {
    set.page("chunking");
    let zero = [0_u8; 32];
    let minimum = chunker::MINIMUM;
    let mut cuts = |name, expect, why, content: &str, cut, claim: Option<&str>, key: [u8; 32]| {
        let mut inputs = vec![("content", content), ("cut", cut)];
        inputs.extend(claim.map(|claim| ("claim", claim)));
        set.kind("cuts", &inputs);
        set.add(name, expect, why, key);
    };
    cuts("noise", "ok", "cut points in noise", "noise 4 3145728", "content", None, zero);
    cuts(
        "noise-other-key",
        "ok",
        "another key cuts elsewhere",
        "noise 4 3145728",
        "content",
        None,
        [1; 32],
    );
    cuts(
        "noise-odd",
        "ok",
        "an odd length: its last byte is never tested",
        "noise 4 700001",
        "content",
        None,
        zero,
    );
    cuts(
        "zeros",
        "ok",
        "nothing to cut at: chunks of the maximum",
        "zeros 2500000",
        "content",
        None,
        zero,
    );
    let text = format!("noise 5 {minimum}");
    cuts("minimum", "ok", "a file of the minimum is one chunk", &text, "content", None, zero);
    let text = format!("noise 5 {}", minimum + 1);
    cuts("above-minimum", "ok", "one byte more", &text, "content", None, zero);
    cuts("one-byte", "ok", "a file of one byte", "zeros 1", "content", None, zero);
    cuts("empty", "ok", "an empty file has no chunk", "zeros 0", "content", None, zero);
    cuts("fixed", "ok", "a database", "noise 6 300000", "fixed", None, zero);
    cuts("fixed-exact", "ok", "a database that ends at a cut", "zeros 262144", "fixed", None, zero);
    cuts(
        "wrong-list",
        "wrong-content",
        "a claim that is wrong must not pass",
        "zeros 100",
        "content",
        Some("50 50"),
        zero,
    );
    cuts(
        "fixed-by-content",
        "wrong-content",
        "a database is not cut by content",
        "noise 6 300000",
        "content",
        Some("131072 131072 37856"),
        zero,
    );
    set.kind("cuts", &[("content", "zeros 1"), ("cut", "content")]);
    set.add("short-key", "cut", "a gear key of 31 bytes", [0; 31]);
}
