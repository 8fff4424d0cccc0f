//! How what lies here relates to what is saved.

use std::io::Read;
use std::ops::ControlFlow;

use crate::agents::session::{Session, Sink, Turn};

/// How one version of a session relates to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    /// They are equal.
    Equal,
    /// What lies here is a beginning of what is saved.
    Shorter,
    /// What is saved is a beginning of what lies here.
    Longer,
    /// Each has something that the other lacks.
    Diverged,
}

/// Compares what lies here with what is saved, byte by byte.
pub(super) fn compare(here: &mut dyn Read, saved: &mut dyn Read) -> std::io::Result<Relation> {
    let mut one = vec![0; 64 << 10];
    let mut other = vec![0; 64 << 10];
    loop {
        let here_count = fill(here, &mut one)?;
        let saved_count = fill(saved, &mut other)?;
        let count = here_count.min(saved_count);
        if one.get(..count) != other.get(..count) {
            return Ok(Relation::Diverged);
        }
        match here_count.cmp(&saved_count) {
            std::cmp::Ordering::Less => return Ok(Relation::Shorter),
            std::cmp::Ordering::Greater => return Ok(Relation::Longer),
            std::cmp::Ordering::Equal if count == 0 => return Ok(Relation::Equal),
            std::cmp::Ordering::Equal => {}
        }
    }
}

/// Reads until the buffer is full or the input ends.
fn fill(input: &mut dyn Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match input.read(rest) {
            Ok(0) => break,
            Ok(count) => filled = filled.saturating_add(count),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// The turns of a session, each as a hash: 32 bytes of memory for each.
#[derive(Default)]
pub(super) struct TurnHashes(Vec<blake3::Hash>);

impl TurnHashes {
    /// Returns whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether both begin with the same turn.
    pub(super) fn begins_as(&self, other: &TurnHashes) -> bool {
        self.0.first().is_some_and(|first| other.0.first() == Some(first))
    }

    /// Compares what lies here with what is saved.
    pub(super) fn relation(&self, saved: &TurnHashes) -> Relation {
        if self.0 == saved.0 {
            Relation::Equal
        } else if saved.0.starts_with(&self.0) {
            Relation::Shorter
        } else if self.0.starts_with(&saved.0) {
            Relation::Longer
        } else {
            Relation::Diverged
        }
    }
}

impl Sink for TurnHashes {
    fn begin(&mut self, _id: &str) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn turn(&mut self, turn: Turn) -> ControlFlow<()> {
        // Ids and times may be given anew; what was said is what counts.
        let said = format!("{:?} {:?}", turn.role, turn.parts);
        self.0.push(blake3::hash(said.as_bytes()));
        ControlFlow::Continue(())
    }

    fn end(&mut self, _session: Session) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_is_told_from_something_else() {
        let relation =
            |here: &str, saved: &str| compare(&mut here.as_bytes(), &mut saved.as_bytes()).unwrap();
        assert_eq!(relation("", ""), Relation::Equal);
        assert_eq!(relation("ab", "ab"), Relation::Equal);
        assert_eq!(relation("a", "ab"), Relation::Shorter);
        assert_eq!(relation("ab", "a"), Relation::Longer);
        assert_eq!(relation("ab", "ac"), Relation::Diverged);
        assert_eq!(relation("b", "ab"), Relation::Diverged);
        let long = "x".repeat(200_000);
        assert_eq!(relation(&long, &format!("{long}y")), Relation::Shorter);
        assert_eq!(relation(&format!("{long}y"), &format!("{long}z")), Relation::Diverged);
    }
}
