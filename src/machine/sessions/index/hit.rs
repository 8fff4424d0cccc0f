//! What a search found.

use std::ops::Range;

use crate::agents::session::Role;

/// So many letters of a text are shown around what was found.
const WIDTH: usize = 80;
/// So many of them before it.
const BEFORE: usize = 28;

/// A turn in which everything was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// Which turn of its session; counts from 1.
    pub turn: u64,
    /// Who speaks.
    pub role: Role,
    /// When (nanoseconds, UTC).
    pub at: Option<i64>,
    /// What stands around the first finding, with each run of blanks as one.
    pub text: String,
    /// What was found, as letters of `text`.
    pub ranges: Vec<Range<usize>>,
    /// Whether the turn has something before `text`.
    pub is_cut_before: bool,
    /// Whether it has something behind.
    pub is_cut_behind: bool,
}

/// A session with hits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundSession {
    /// Which of the rows that were searched.
    pub row: usize,
    /// The last of its hits, in the order of the conversation.
    pub hits: Vec<Hit>,
}

/// What of a text is shown.
pub(super) struct Excerpt {
    pub(super) text: String,
    pub(super) ranges: Vec<Range<usize>>,
    pub(super) is_cut_before: bool,
    pub(super) is_cut_behind: bool,
}

/// Returns what stands around the first of the `found` bytes.
pub(super) fn excerpt(text: &str, found: &[Range<usize>]) -> Excerpt {
    let first = found.first().map_or(0, |range| range.start);
    let head = text.get(..first).unwrap_or_default();
    // Blanks become one, so more is taken than is shown.
    let begin = head.char_indices().rev().take(BEFORE * 4).last().map_or(first, |(place, _)| place);
    let is_found = |place: usize| {
        let behind = found.partition_point(|range| range.end <= place);
        found.get(behind).is_some_and(|range| range.start <= place)
    };
    let mut letters: Vec<(char, bool)> = Vec::new();
    let mut before = 0;
    let mut end = begin;
    for (place, letter) in text.get(begin..).unwrap_or_default().char_indices() {
        let place = begin.saturating_add(place);
        if letters.len().saturating_sub(usize::min(before, letters.len())) >= WIDTH {
            break;
        }
        end = place.saturating_add(letter.len_utf8());
        let marked = is_found(place);
        if letter.is_whitespace() {
            match letters.last_mut() {
                Some((' ', was_marked)) => *was_marked |= marked,
                None => {}
                Some(_) => letters.push((' ', marked)),
            }
        } else {
            letters.push((letter, marked));
        }
        if end <= first {
            before = letters.len().saturating_sub(BEFORE);
        }
    }
    let is_cut_before = before > 0 || !text.get(..begin).unwrap_or_default().trim().is_empty();
    let is_cut_behind = !text.get(end..).unwrap_or_default().trim().is_empty();
    let letters = letters.get(before..).unwrap_or_default();
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for (place, (_, marked)) in letters.iter().enumerate() {
        match ranges.last_mut() {
            _ if !marked => {}
            Some(last) if last.end == place => last.end = place.saturating_add(1),
            _ => ranges.push(place..place.saturating_add(1)),
        }
    }
    let text = letters.iter().map(|(letter, _)| *letter).collect();
    Excerpt { text, ranges, is_cut_before, is_cut_behind }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_excerpt_begins_a_little_before_what_was_found() {
        let text =
            format!("{}Why does\n\n  the basket lose a cent? {}", "x ".repeat(90), "y".repeat(99));
        let at = text.find("basket").unwrap();
        let found = excerpt(&text, std::slice::from_ref(&(at..at + 6)));
        assert_eq!(found.text.chars().count(), WIDTH);
        assert!(found.text.contains("Why does the basket lose"), "{}", found.text);
        let range = found.ranges[0].clone();
        let letters: Vec<char> = found.text.chars().collect();
        assert_eq!(letters[range].iter().collect::<String>(), "basket");
        assert!(found.is_cut_before && found.is_cut_behind);
        let whole = excerpt("a basket", std::slice::from_ref(&(2..8)));
        assert!(!whole.is_cut_before && !whole.is_cut_behind);
    }

    proptest! {
        #[test]
        fn ranges_are_within_the_excerpt(text in "[a-cä \n]{0,300}", start in 0_usize..300, length in 0_usize..200) {
            let start = text.floor_char_boundary(start.min(text.len()));
            let end = text.floor_char_boundary((start + length).min(text.len()));
            let found = excerpt(&text, std::slice::from_ref(&(start..end.max(start))));
            let count = found.text.chars().count();
            prop_assert!(count <= WIDTH + 1);
            prop_assert!(found.ranges.iter().all(|range| range.end <= count));
        }
    }
}
