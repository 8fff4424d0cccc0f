//! Vectors of `5-delta.md`.

use crate::judge::content;
use crate::table::{Set, cut, join, raw_frame, run_frame};
use stash::codec::delta::{encode_delta, encode_patch};

pub fn deltas(set: &mut Set) {
    set.page("delta");
    let base = content("noise 1 10000");
    let mut plain = base.clone();
    plain[5000..5010].copy_from_slice(b"0123456789");
    let delta = encode_delta(&plain, &base, 3).unwrap();
    let inputs = |length: &'static str| [("base", "noise 1 10000"), ("raw-length", length)];
    set.kind("delta", &inputs("10000"));
    set.add("zstd-delta", "ok", "ten bytes of ten thousand changed", delta.clone());
    set.add("zstd-delta-cut", "bad-frame", "one byte short", cut(&delta, 1));
    set.kind("delta", &[("base", "zeros 100"), ("raw-length", "10000")]);
    set.add("zstd-delta-short-base", "bad-frame", "matches reach before the base", delta.clone());
    set.kind("delta", &inputs("10001"));
    set.add("zstd-delta-length", "bad-frame", "another length is declared", delta);
    set.kind("delta", &inputs("5"));
    set.add("delta-plain", "ok", "a frame that takes nothing from its base", raw_frame(b"hello"));
    set.add("delta-empty", "bad-frame", "no frame", []);
    set.add(
        "delta-two-frames",
        "bad-frame",
        "one frame only",
        join(&[&raw_frame(b"he"), &raw_frame(b"llo")]),
    );
    set.kind("delta", &inputs("8388609"));
    set.add("delta-too-long", "too-long", "a blob above 8 MiB", raw_frame(b"hello"));
}

fn patch(count: u32, pages: &[u32], frame: &[u8]) -> Vec<u8> {
    let pages: Vec<u8> = pages.iter().flat_map(|page| page.to_le_bytes()).collect();
    join(&[&count.to_le_bytes(), &pages, frame])
}

pub fn patches(set: &mut Set) {
    let inputs = |length: &'static str| [("base", "noise 1 10000"), ("raw-length", length)];
    let page = run_frame(7, 4096);
    set.kind("page-patch", &inputs("10000"));
    set.add("patch", "ok", "the second of three pages", patch(1, &[1], &page));
    set.add("patch-last", "ok", "the last, short page", patch(1, &[2], &run_frame(7, 1808)));
    set.add("patch-nothing", "ok", "no page: the base itself", patch(0, &[], &raw_frame(b"")));
    set.add("patch-empty", "bad-patch", "no bytes", []);
    set.add("patch-count-cut", "bad-patch", "three bytes of a count", [1, 0, 0]);
    set.add("patch-numbers-cut", "bad-patch", "a count without numbers", patch(2, &[1], &[]));
    set.add(
        "patch-count-lies",
        "bad-patch",
        "more pages than there are",
        patch(4, &[0, 1, 2, 3], &page),
    );
    set.add("patch-beyond", "bad-patch", "a page behind the end", patch(1, &[3], &page));
    set.add("patch-far-beyond", "bad-patch", "the highest number", patch(1, &[u32::MAX], &page));
    set.add("patch-twice", "bad-patch", "a page twice", patch(2, &[1, 1], &run_frame(7, 8192)));
    set.add("patch-order", "bad-patch", "pages ascend", patch(2, &[1, 0], &run_frame(7, 8192)));
    set.add(
        "patch-frame-short",
        "bad-frame",
        "less than a page",
        patch(1, &[1], &run_frame(7, 4095)),
    );
    set.add(
        "patch-frame-long",
        "bad-frame",
        "more than a page",
        patch(1, &[1], &run_frame(7, 4097)),
    );
    set.add("patch-no-frame", "bad-frame", "numbers and no pages", patch(1, &[1], &[]));
    set.kind("page-patch", &inputs("16000"));
    set.add(
        "patch-longer",
        "ok",
        "the base's short page and all behind it come from the patch",
        patch(2, &[2, 3], &run_frame(7, 7808)),
    );
    set.add(
        "patch-hole",
        "bad-patch",
        "the base's short page got longer, and nobody says what with",
        patch(1, &[3], &run_frame(7, 3712)),
    );
    set.kind("page-patch", &inputs("4096"));
    set.add("patch-shorter", "ok", "the first page of the base", patch(0, &[], &raw_frame(b"")));
    set.kind("page-patch", &[("base", "zeros 0"), ("raw-length", "4096")]);
    set.add("patch-of-nothing", "ok", "an empty base", patch(1, &[0], &page));
    set.kind("page-patch", &inputs("8388609"));
    set.add("patch-too-long", "bad-patch", "a blob above 8 MiB", patch(1, &[1], &page));
    set.kind("page-patch-with-prefix", &inputs("10000"));
    let mut plain = content("noise 1 10000");
    plain[5000] ^= 1;
    let base = content("noise 1 10000");
    let bytes = encode_patch(&plain, &[1], Some(&base), 3).unwrap();
    set.add("zstd-patch-with-prefix", "ok", "one byte of a page", bytes.clone());
    set.add("zstd-patch-with-prefix-cut", "bad-frame", "one byte short", cut(&bytes, 1));
    set.kind("page-patch", &inputs("10000"));
    set.add("zstd-patch-prefix-missing", "bad-frame", "read without its prefix", bytes);
}
