//! What this machine remembers of its tries: three moments in a file of the state folder. Losing it
//! costs a look.

use super::decide::Memory;
use crate::error::Result;
use crate::repository::Repository;

const FILE: &str = "maintenance";

/// Returns what is remembered; nothing if the file is missing or can't be read.
pub(super) fn load(repository: &Repository) -> Memory {
    let bytes = repository.state().and_then(|state| state.read(FILE)).unwrap_or_default();
    let text = String::from_utf8(bytes).unwrap_or_default();
    let mut moments = text.split_whitespace().map(|word| word.parse().ok());
    let mut next = || moments.next().flatten();
    Memory { looked: next(), tried: next(), refused: next() }
}

/// Remembers.
pub(super) fn save(repository: &Repository, memory: &Memory) -> Result<()> {
    let Some(state) = repository.state() else { return Ok(()) };
    let word = |moment: Option<i64>| moment.map_or_else(|| "-".to_owned(), |it| it.to_string());
    let text = format!("{} {} {}\n", word(memory.looked), word(memory.tried), word(memory.refused));
    state.replace(FILE, text.as_bytes())
}
