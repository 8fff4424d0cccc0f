//! Judges every vector of `format-spec/vectors/`: the decoders accept what is said to be right,
//! and refuse the rest for the reason given.
//!
//! `STASH_BLESS=1 cargo test --test vectors` writes the set of `vectors/table.rs` anew; the result
//! is to be reviewed like code. Other vectors may lie beside it.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test reads its own files and stops where they are not as they should be"
)]

#[path = "vectors/judge.rs"]
mod judge;
#[path = "vectors/open.rs"]
mod open;
#[path = "vectors/table.rs"]
mod table;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use judge::{Vector, judge};

const PAGES: [&str; 7] = ["objects", "keys", "chunking", "pack", "delta", "tree", "record"];

fn spec() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("format-spec")
}

/// The vectors on disk, by page and name.
fn stored() -> BTreeMap<(String, String), Vector> {
    static BLESS: std::sync::Once = std::sync::Once::new();
    BLESS.call_once(|| {
        if std::env::var_os("STASH_BLESS").is_some() {
            bless();
        }
    });
    let mut vectors = BTreeMap::new();
    for page in std::fs::read_dir(spec().join("vectors")).unwrap() {
        let page = page.unwrap();
        let page_name = page.file_name().into_string().unwrap();
        let mut count = 0;
        for file in std::fs::read_dir(page.path()).unwrap() {
            let path = file.unwrap().path();
            assert!(path.extension().is_some_and(|end| end == "vec"), "{}", path.display());
            let vector = Vector::parse(&std::fs::read_to_string(&path).unwrap())
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            vectors.insert((page_name.clone(), name), vector);
            count += 1;
        }
        assert!(count > 0, "{page_name} has no vector");
    }
    vectors
}

/// The failure words that the page defines.
fn words() -> Vec<String> {
    let text = std::fs::read_to_string(spec().join("README.md")).unwrap();
    let (_, table) = text.split_once("<!-- table: failures -->\n").unwrap();
    let rows = table.lines().take_while(|line| line.starts_with('|')).skip(2);
    rows.map(|row| row.split('`').nth(1).unwrap().to_owned()).collect()
}

fn bless() {
    for made in table::all() {
        let mut vector = made.vector;
        let outcome = judge(&vector);
        let expected = vector.get("expect").unwrap();
        match outcome {
            Ok(result) => {
                assert_eq!(expected, "ok", "{}/{}", made.page, made.name);
                vector.head.push(("result".into(), result));
            }
            Err(failure) => assert_eq!(expected, failure.0, "{}/{}", made.page, made.name),
        }
        let folder = spec().join("vectors").join(made.page);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{}.vec", made.name)), vector.print()).unwrap();
    }
}

#[test]
fn every_vector_is_accepted_or_refused_as_it_says() {
    let words = words();
    let vectors = stored();
    let mut wrong = Vec::new();
    let (mut accepted, mut refused) = (0, 0);
    for ((page, name), vector) in &vectors {
        let expected = vector.get("expect").unwrap_or("nothing");
        assert!(
            expected == "ok" || words.iter().any(|word| word == expected),
            "{page}/{name} expects `{expected}`, which is no word of the page"
        );
        assert!(vector.get("why").is_some_and(|why| why.len() > 6), "{page}/{name} says no why");
        match judge(vector) {
            Ok(result) => {
                accepted += 1;
                if expected != "ok" || vector.get("result") != Some(&result) {
                    wrong.push(format!("{page}/{name}: accepted with `{result}`"));
                }
            }
            Err(failure) => {
                refused += 1;
                if expected != failure.0 {
                    wrong.push(format!("{page}/{name}: {}, not {expected}", failure.0));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(refused > accepted, "{refused} refused, {accepted} accepted");
}

#[test]
fn every_page_with_a_decoder_has_vectors_and_every_folder_a_page() {
    let vectors = stored();
    for page in PAGES {
        assert!(vectors.keys().any(|(folder, _)| folder == page), "{page}");
    }
    assert!(vectors.keys().all(|(folder, _)| PAGES.contains(&folder.as_str())));
    // Every word is used: a failure that no vector shows is one that nobody tests.
    for word in words() {
        assert!(vectors.values().any(|vector| vector.get("expect") == Some(&word)), "{word}");
    }
}

#[test]
fn the_written_set_is_the_one_of_the_table() {
    let vectors = stored();
    for made in table::all() {
        // What zstd makes of some bytes may differ between its versions.
        if made.name.starts_with("zstd-") {
            continue;
        }
        let mut vector = vectors
            .get(&(made.page.to_owned(), made.name.to_owned()))
            .unwrap_or_else(|| panic!("{}/{} is not on disk", made.page, made.name))
            .clone();
        vector.head.retain(|(name, _)| name != "result");
        assert_eq!(vector, made.vector, "{}/{}", made.page, made.name);
    }
}
