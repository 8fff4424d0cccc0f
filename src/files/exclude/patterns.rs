//! Patterns of paths to leave out, by restic's rules.
//!
//! They are matched against whole components of the absolute path: without a leading slash at any
//! depth (`*.log`, `a/b/*.c`), with one from the file system's root; `*` and `?` stay within a
//! component, `**` crosses them, braces mean themselves. Patterns are tried in order, and the last
//! that matches decides: one that begins with `!` takes back what earlier ones left out, with all
//! that lies below it. What is left out is not looked into, so nothing below it can be taken back.
//!
//! Unlike restic, a pattern never matches through the directories *above* the walk's root: saving
//! `/home/u/tmp/x` with the pattern `tmp` is not an empty backup. The root itself is matched.

use std::path::Path;

use globset::{Candidate, GlobBuilder, GlobSet, GlobSetBuilder};

use crate::error::{Error, Result};

/// One list of patterns.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    set: GlobSet,
    /// For each glob of the set, whether it takes back.
    takes_back: Vec<bool>,
    any_takes_back: bool,
}

impl Patterns {
    /// Prepares patterns; one that can't be understood is an error that names it.
    pub(super) fn new<'a>(
        patterns: impl Iterator<Item = &'a str>,
        fold_case: bool,
    ) -> Result<Patterns> {
        let mut set = GlobSetBuilder::new();
        let mut takes_back = Vec::new();
        for pattern in patterns {
            let bad = || Error::usage("not a usable pattern").object(pattern);
            let (positive, back) = match pattern.strip_prefix('!') {
                Some(rest) => (rest, true),
                None => (pattern, false),
            };
            let glob = to_glob(positive).ok_or_else(bad)?;
            // What lies below a directory that is left out is never asked for; what lies below one
            // that was taken back is, and belongs to it.
            let below = back.then(|| format!("{glob}/**"));
            for glob in std::iter::once(glob).chain(below) {
                let mut builder = GlobBuilder::new(&glob);
                builder.literal_separator(true).backslash_escape(true).case_insensitive(fold_case);
                set.add(builder.build().map_err(|error| bad().source(error))?);
                takes_back.push(back);
            }
        }
        let set = set.build().map_err(|error| Error::usage("unusable patterns").source(error))?;
        Ok(Patterns { set, any_takes_back: takes_back.contains(&true), takes_back })
    }

    /// Returns whether the last pattern that matches the absolute path leaves it out.
    pub(super) fn exclude(&self, path: &Path) -> bool {
        if self.takes_back.is_empty() {
            return false;
        }
        let candidate = Candidate::new(path);
        if !self.any_takes_back {
            return self.set.is_match_candidate(&candidate);
        }
        let last = self.set.matches_candidate(&candidate).into_iter().max();
        last.and_then(|place| self.takes_back.get(place)).is_some_and(|back| !back)
    }
}

/// Rewrites a pattern for `globset`; `None` if nothing is left of it.
fn to_glob(pattern: &str) -> Option<String> {
    let anchored = pattern.starts_with('/');
    let parts: Vec<&str> = pattern.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    if parts.is_empty() {
        return None;
    }
    let mut glob = String::from(if anchored { "/" } else { "**/" });
    for (place, part) in parts.iter().enumerate() {
        if place > 0 {
            glob.push('/');
        }
        push_literal_braces(part, &mut glob);
    }
    Some(glob)
}

/// Appends one component; braces, which `globset` would read as alternatives, mean themselves.
fn push_literal_braces(part: &str, glob: &mut String) {
    let mut in_class = false;
    let mut escaped = false;
    for character in part.chars() {
        match character {
            '{' | '}' if !in_class && !escaped => {
                glob.extend(['[', character, ']']);
                continue;
            }
            '[' if !escaped => in_class = true,
            ']' if !escaped => in_class = false,
            _ => {}
        }
        escaped = character == '\\' && !escaped;
        glob.push(character);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::exclude::to_path;

    fn excluded(patterns: &[&str], path: &[u8]) -> bool {
        Patterns::new(patterns.iter().copied(), false).unwrap().exclude(&to_path(path))
    }

    #[test]
    fn patterns_match_as_restic_documents() {
        let table: &[(&[&str], &[u8], bool)] = &[
            (&[], b"/a", false),
            (&["*.log"], b"/a/b/x.log", true),
            (&["*.log"], b"/x.log", true),
            (&["*.log"], b"/x.log/y", false),
            (&["*.log"], b"/a/x.logs", false),
            (&["node_modules"], b"/a/node_modules", true),
            (&["node_modules/"], b"/a/node_modules", true),
            (&["node_modules"], b"/a/my_node_modules", false),
            (&["a/b/*.c"], b"/x/a/b/y.c", true),
            (&["a/b/*.c"], b"/x/a/b/z/y.c", false),
            (&["a/**/*.c"], b"/x/a/b/z/y.c", true),
            (&["a/**/*.c"], b"/x/a/y.c", true),
            (&["/a/*.c"], b"/a/y.c", true),
            (&["/a/*.c"], b"/x/a/y.c", false),
            (&["/a*"], b"/ab/c", false),
            (&["a?c"], b"/abc", true),
            (&["a?c"], b"/a/c", false),
            (&["[a-c]x"], b"/bx", true),
            (&["[^a-c]x"], b"/bx", false),
            (&["{a,b}"], b"/a", false),
            (&["{a,b}"], b"/{a,b}", true),
            (&["./x"], b"/y/x", true),
            (&["*.t"], b"/\xff\xfe.t", true),
            (&["caf\u{e9}"], "/caf\u{e9}".as_bytes(), true),
            (&["*", "!keep"], b"/keep", false),
            (&["*", "!keep"], b"/other", true),
            (&["*", "!/keep"], b"/keep/below/x", false),
            (&["!x", "x"], b"/x", true),
            (&["x", "!x", "x"], b"/x", true),
            (&["*.o", "!main.o"], b"/a/main.o", false),
        ];
        for (patterns, path, wanted) in table {
            assert_eq!(excluded(patterns, path), *wanted, "{patterns:?} {:?}", to_path(path));
        }
    }
}
