//! Holds the house's order: a room uses only rooms on lower floors.
//!
//! Reads every path that begins with `crate::` in `src/`, those within braces included, and
//! compares the rooms at both ends.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test reads its own files and stops where they are not as they should be"
)]

use std::path::{Path, PathBuf};

/// Rooms and their floors. `codec` may use `format`, with which it shares one; no other two rooms
/// of one floor know each other.
const FLOORS: [(&str, u8); 14] = [
    ("error", 0),
    ("id", 0),
    ("event", 0),
    ("time", 0),
    ("format", 1),
    ("codec", 1),
    ("store", 2),
    ("files", 2),
    ("repository", 3),
    ("engine", 4),
    ("agents", 5),
    ("machine", 6),
    ("cli", 7),
    ("face", 7),
];

fn floor(room: &str) -> Option<u8> {
    FLOORS.iter().find(|(name, _)| *name == room).map(|(_, floor)| *floor)
}

/// Says what is wrong with `from` using `to`, if anything is.
fn broken(from: &str, to: &str) -> Option<String> {
    let (Some(own), Some(other)) = (floor(from), floor(to)) else {
        return Some(format!("`{from}` uses `{to}`, and one of them is no room of the house"));
    };
    // The words of floor 0 may be made of each other.
    let allowed =
        from == to || other < own || (own, other) == (0, 0) || (from, to) == ("codec", "format");
    (!allowed).then(|| format!("`{from}` (floor {own}) uses `{to}` (floor {other})"))
}

/// Returns the rooms that a text names by `crate::`, each with its line. Comments and texts count:
/// a link in a comment is a dependency of whoever reads it.
fn rooms_named(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    // A macro of this crate says `$crate::`; it is the same path.
    for (place, _) in text.match_indices("crate::") {
        if text[..place].ends_with(|before: char| before.is_alphanumeric() || before == '_') {
            continue;
        }
        let line = text[..place].matches('\n').count() + 1;
        let rest = &text[place + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            for item in top_level_items(group) {
                found.push((line, first_word(item)));
            }
        } else {
            found.push((line, first_word(rest)));
        }
    }
    found.retain(|(_, room)| !room.is_empty());
    found
}

fn first_word(text: &str) -> String {
    text.trim_start().chars().take_while(|it| it.is_alphanumeric() || *it == '_').collect()
}

/// Splits what follows an opening brace at the commas that are not in further braces.
fn top_level_items(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut items) = (0_usize, 0, Vec::new());
    for (place, it) in text.char_indices() {
        match it {
            '{' => depth += 1,
            '}' if depth == 0 => {
                items.push(&text[start..place]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                items.push(&text[start..place]);
                start = place + 1;
            }
            _ => {}
        }
    }
    items
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
}

/// The room that a file of `src/` belongs to; `None` for the doors, which may use everything.
fn room_of(file: &Path) -> Option<String> {
    let first = file.iter().next()?.to_str()?;
    let room = first.strip_suffix(".rs").unwrap_or(first);
    (room != "lib" && room != "main").then(|| room.to_owned())
}

#[test]
fn rooms_use_only_what_is_below_them() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    files.sort();
    let mut wrong = Vec::new();
    let mut count = 0;
    for path in files {
        let file = path.strip_prefix(&src).unwrap();
        let Some(room) = room_of(file) else { continue };
        assert!(floor(&room).is_some(), "src/{}: `{room}` has no floor", file.display());
        let text = std::fs::read_to_string(&path).unwrap();
        for (line, other) in rooms_named(&text) {
            count += 1;
            if let Some(reason) = broken(&room, &other) {
                wrong.push(format!("src/{}:{line}: {reason}", file.display()));
            }
        }
    }
    assert!(count > 20, "only {count} paths found: the sources are read wrongly");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn a_path_upwards_or_sideways_is_seen() {
    assert!(broken("format", "codec").is_some());
    assert!(broken("codec", "format").is_none());
    assert!(broken("store", "files").is_some());
    assert!(broken("engine", "cli").is_some());
    assert!(broken("engine", "repository").is_none());
    assert!(broken("error", "format").is_some());
    assert!(broken("engine", "utils").is_some());
    let text = "use crate::{id::{BlobId, TreeId}, cli, error::Error};\n// my_crate::cli\n\
                fn f() { $crate::engine::run(); }";
    let rooms = [(1, "id"), (1, "cli"), (1, "error"), (3, "engine")];
    assert_eq!(rooms_named(text), rooms.map(|(line, room)| (line, room.to_owned())));
}

/// Deleting needs a permit, and a permit needs the protocol that knows what others still use.
#[test]
fn only_the_log_issues_permits_to_delete() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    for path in files {
        let file = path.strip_prefix(&src).unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text.split("\n#[cfg(test)]").next().unwrap();
        if code.contains("DeletePermit::issue") || code.contains("DeletePermit as") {
            let allowed = file == "repository/log.rs" || file.starts_with("repository/log/");
            assert!(allowed, "src/{file} issues a permit to delete");
        }
    }
}
