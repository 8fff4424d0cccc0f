//! The names of Codex's threads, which lie beside the rollouts.

use rusqlite::OptionalExtension as _;

use super::json::Record;
use super::lines::{Lines, LongLines};
use super::source::Source;
use crate::error::Result;

/// Returns a thread's name: of the index of sessions, the last entry; else of the newest state database.
pub(super) fn find(source: &Source<'_>, id: &str) -> Result<Option<String>> {
    let listed = listed(source, id)?;
    if listed.is_some() { Ok(listed) } else { stored(source, id) }
}

fn listed(source: &Source<'_>, id: &str) -> Result<Option<String>> {
    let Some(mut file) = source.files.open(b"session_index.jsonl")? else { return Ok(None) };
    let finder = memchr::memmem::Finder::new(id);
    let mut found = None;
    let mut lines = Lines::new(&mut file, LongLines::Json);
    while let Some(line) = lines.next()? {
        let bytes = line.bytes.filter(|bytes| finder.find(bytes).is_some()).unwrap_or_default();
        let Some(record) = std::str::from_utf8(bytes).ok().and_then(Record::parse) else {
            continue;
        };
        if record.text("id").is_some_and(|it| it == id) {
            let name = record.text("thread_name").filter(|name| !name.trim().is_empty());
            found = name.map(std::borrow::Cow::into_owned).or(found);
        }
    }
    Ok(found)
}

/// A database that can't be read is as good as none: titles are a convenience.
fn stored(source: &Source<'_>, id: &str) -> Result<Option<String>> {
    let names = source.files.list(b"")?;
    let newest = names.iter().filter_map(|name| Some((generation(name)?, name))).max();
    let Some((_, name)) = newest else { return Ok(None) };
    let Some(database) = source.files.database(name)? else { return Ok(None) };
    let title = database
        .query_row("SELECT substr(title, 1, 1000) FROM threads WHERE id = ?1", [id], |row| {
            row.get::<_, Option<String>>(0)
        })
        .optional();
    Ok(title.ok().flatten().flatten().filter(|title| !title.trim().is_empty()))
}

/// Returns the number in `state_<number>.sqlite`.
fn generation(name: &[u8]) -> Option<u64> {
    let name = std::str::from_utf8(name).ok()?;
    name.strip_prefix("state_")?.strip_suffix(".sqlite")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_generation_is_the_one_of_the_highest_number() {
        assert_eq!(generation(b"state_12.sqlite"), Some(12));
        assert_eq!(generation(b"state_.sqlite"), None);
        assert_eq!(generation(b"state_5.sqlite-wal"), None);
    }
}
