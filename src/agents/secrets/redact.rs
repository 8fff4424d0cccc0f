//! Replaces what looks like a credential in a text, so that the rest may leave the machine.

use std::borrow::Cow;
use std::ops::Range;

use super::scanner::places;
use super::{ScanOptions, SecretKind};
use crate::error::Result;

/// What is taken out may uncover something that it hid; after so many passes all of the text goes.
const PASSES: usize = 4;
/// What ends a private key. A form only looks at a key's beginning.
const KEY_END: &str = "-----END";
const PRIVATE_KEY: &str = "private-key";

/// A text without credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redacted<'t> {
    /// The text with `[removed: KIND]` in place of each.
    pub text: Cow<'t, str>,
    /// What was found, in no order; the same kind may be there many times. Empty: the text is as it was.
    pub kinds: Vec<SecretKind>,
}

/// Takes out what looks like a credential.
pub fn redact(text: &str) -> Result<Redacted<'_>> {
    let mut done = Redacted { text: Cow::Borrowed(text), kinds: Vec::new() };
    for _ in 0..PASSES {
        let found = places(done.text.as_bytes(), ScanOptions::default())?;
        let Some((_, first)) = found.first() else { return Ok(done) };
        done.kinds.extend(found.iter().map(|(_, kind)| *kind));
        done.text = match without(&done.text, &found) {
            Some(rest) => Cow::Owned(rest),
            None => Cow::Owned(mark(*first)),
        };
    }
    let left = places(done.text.as_bytes(), ScanOptions::default())?;
    if let Some((_, kind)) = left.first() {
        done.text = Cow::Owned(mark(*kind));
    }
    Ok(done)
}

fn mark(kind: SecretKind) -> String {
    format!("[removed: {}]", kind.name)
}

/// Returns a text without what lies at these places; `None` if one cuts a letter.
fn without(text: &str, found: &[(Range<u64>, SecretKind)]) -> Option<String> {
    let mut ranges: Vec<(Range<usize>, SecretKind)> = Vec::with_capacity(found.len());
    for (range, kind) in found {
        let start = usize::try_from(range.start).ok()?;
        let mut end = usize::try_from(range.end).ok()?;
        if kind.id == PRIVATE_KEY {
            let rest = text.get(start..)?;
            end = rest.find(KEY_END).map_or(text.len(), |place| start.saturating_add(place));
        }
        ranges.push((start..end, *kind));
    }
    ranges.sort_by_key(|(range, _)| range.start);
    let (mut rest, mut done) = (String::with_capacity(text.len()), 0);
    for (range, kind) in ranges {
        if range.end <= done {
            continue;
        }
        // Of two that overlap, what the first one left goes without a word of its own.
        if range.start >= done {
            rest.push_str(text.get(done..range.start)?);
            rest.push_str(&mark(kind));
        }
        done = range.end;
    }
    rest.push_str(text.get(done..)?);
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An invented token.
    fn token() -> String {
        format!("ghp_{}", "x7Kq2mZ9Lw4Rt8Yb3Nc6Vd1Hs5Jf0Pg2Qa4E")
    }

    #[test]
    fn each_value_is_replaced_and_what_stands_around_it_stays() {
        let text = format!("one {0} and {0}, ä {0}\nend", token());
        let redacted = redact(&text).unwrap();
        assert!(!redacted.text.contains("x7Kq2"), "{}", redacted.text);
        assert_eq!(redacted.kinds.len(), 3);
        let mark = format!("[removed: {}]", redacted.kinds[0].name);
        // What tells the kind is no secret, and stays.
        let whole = format!("one ghp_{mark} and ghp_{mark}, ä ghp_{mark}\nend");
        assert_eq!(redacted.text, whole);
        let plain = "no key here: ghp_ nor sk-";
        let same = redact(plain).unwrap();
        assert_eq!((&*same.text, same.kinds.len()), (plain, 0));
    }

    #[test]
    fn a_private_key_goes_as_a_whole_whether_or_not_its_end_is_there() {
        let lines: Vec<String> = (0..6)
            .map(|n| format!("{n}mZx9Lw4Rt8Yb3Nc6Vd1Hs5Jf0Pg2Qa4EkT7uWiOq3rSyBvXnGhDl6Ca8FeM"))
            .collect();
        let begin = "-----BEGIN RSA PRIVATE KEY-----";
        for end in ["-----END RSA PRIVATE KEY-----\nafter", ""] {
            let text = format!("before\n{begin}\n{}\n{end}", lines.join("\n"));
            let redacted = redact(&text).unwrap();
            assert!(redacted.text.starts_with("before\n"), "{}", redacted.text);
            assert!(
                lines.iter().all(|line| !redacted.text.contains(&line[1..])),
                "{}",
                redacted.text
            );
            assert_eq!(redacted.text.ends_with("after"), !end.is_empty());
        }
    }
}
