//! Patterns of paths below a root, as definitions write them.
//!
//! `*` and `?` stay within a name, `**` stands alone between slashes for any number of names, and
//! `{a,b}` and `[0-9]` are one of several. Braces that hold a slash are refused: what lies between
//! two slashes can then be looked at alone.

use globset::{Error, Glob, GlobBuilder};

use super::template::is_absolute;

/// Patterns are written by people; a longer one (in bytes) is a mistake.
const LONGEST: usize = 1_000;

/// Reads a pattern; that is cheap, making it ready for matching is not.
pub(super) fn compile(glob: &str) -> Result<Glob, Error> {
    GlobBuilder::new(glob)
        .literal_separator(true)
        .backslash_escape(true)
        .empty_alternates(true)
        .build()
}

/// Says what is wrong with a pattern of a definition, if anything is.
pub(super) fn check(glob: &str) -> Result<(), String> {
    if glob.starts_with('/') || is_absolute(glob) {
        return Err(format!("the pattern `{glob}` is absolute; it is meant below the root"));
    }
    if glob.starts_with('~') || glob.starts_with("{home}") {
        return Err(format!("the pattern `{glob}` names a home; it is meant below the root"));
    }
    if glob.contains('\\') {
        return Err(format!("the pattern `{glob}` holds `\\`; parts are separated by `/`"));
    }
    if glob.ends_with('/') {
        return Err(format!("the pattern `{glob}` ends with `/`; write `{glob}**` for all below"));
    }
    if glob.len() > LONGEST {
        return Err(format!("a pattern has {} bytes, and {LONGEST} are the most", glob.len()));
    }
    let mut depth = 0_u32;
    for letter in glob.chars() {
        match letter {
            '{' | '[' => depth = depth.saturating_add(1),
            '}' | ']' => depth = depth.saturating_sub(1),
            '/' if depth > 0 => {
                return Err(format!("the pattern `{glob}` has a `/` within brackets; write two"));
            }
            _ => {}
        }
    }
    for part in glob.split('/') {
        match part {
            "" | "." | ".." => {
                return Err(format!("the pattern `{glob}` holds an empty part, `.` or `..`"));
            }
            "**" => {}
            part if part.contains("**") => {
                return Err(format!("the pattern `{glob}`: `**` stands alone between slashes"));
            }
            _ => {}
        }
    }
    let bad = |error: Error| format!("the pattern `{glob}` can't be read: {}", error.kind());
    glob.split('/').chain([glob]).try_for_each(|part| compile(part).map(drop).map_err(bad))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_glob_is_told_with_its_reason() {
        for (glob, reason) in [
            ("/etc/x", "absolute"),
            ("C:/x", "absolute"),
            ("~/x", "home"),
            ("a/../b", "`..`"),
            ("a//b", "empty"),
            ("", "empty"),
            ("a\\b", "`/`"),
            ("a/", "`a/**`"),
            ("a**/b", "alone"),
            ("{a/b,c}", "brackets"),
            ("{a", "can't be read"),
            ("[z-a]", "can't be read"),
        ] {
            let told = check(glob).unwrap_err();
            assert!(told.contains(reason), "{glob}: {told}");
        }
        assert!(check(&"a".repeat(LONGEST + 1)).unwrap_err().contains("1001 bytes"));
        for glob in ["a", "**", "a/**", "*/b-[0-9]*.db", "x.jsonl{,.zst}", ".env"] {
            assert_eq!(check(glob), Ok(()), "{glob}");
        }
    }
}
