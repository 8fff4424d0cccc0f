//! How agents name a folder after a project's path.

use md5::{Digest as _, Md5};

/// Claude Code cuts a longer name, and adds a hash that is not known here.
const LONGEST: usize = 200;

/// Returns the name by Claude Code's rule, which Qwen Code shares: all but letters and digits of ASCII is `-`.
/// `None` if it is so long that the agent shortens it in a way that is not known.
pub fn claude(path: &str) -> Option<String> {
    Some(dashed(path)).filter(|slug| slug.len() <= LONGEST)
}

/// Returns the name by Cursor's rule: as Claude Code's, without what stands for the first separator.
pub fn cursor(path: &str) -> String {
    dashed(path.trim_start_matches('/'))
}

/// Returns the name by Pi's rule: separators are `-`, between two pairs of these.
pub fn pi(path: &str) -> String {
    format!("--{}--", separated(path))
}

/// Returns the path with `-` for its separators and without the first: what Pi puts between its pairs.
fn separated(path: &str) -> String {
    path.trim_start_matches('/').replace(['/', '\\', ':'], "-")
}

/// Returns the name of Cursor's folder for the chats of its command line: the MD5 of the path, in hex.
pub fn cursor_hash(path: &str) -> String {
    crate::id::to_hex(&Md5::digest(path.as_bytes()))
}

/// Returns the name that Gemini CLI gives a project: the folder's name in lower case, all but letters and
/// digits as `-`, none of which at an end or beside another. Later ones of the same name get a number.
pub fn gemini(path: &str) -> String {
    let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let mut slug = String::new();
    for letter in name.to_lowercase().chars() {
        match letter.is_ascii_alphanumeric() {
            true => slug.push(letter),
            false if slug.is_empty() || slug.ends_with('-') => {}
            false => slug.push('-'),
        }
    }
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { "project".to_owned() } else { slug.to_owned() }
}

/// The rule counts as JavaScript does: a letter beyond 16 bits is two.
fn dashed(path: &str) -> String {
    let mut slug = String::with_capacity(path.len());
    for letter in path.chars() {
        if letter.is_ascii_alphanumeric() {
            slug.push(letter);
        } else {
            slug.extend(std::iter::repeat_n('-', letter.len_utf16()));
        }
    }
    slug
}

/// Returns the name of a project's folder after the project has moved from `old` to `new`.
///
/// The old name stays where the project did. Where it is what `rule` makes of the old path the new one
/// is what it makes of the new path. A session that has changed folders lies under the name of another one: then
/// what moved of the path (such as the home) is replaced in the name.
pub(super) fn moved(
    name: &str,
    (old, new): (&str, &str),
    rule: impl Fn(&str) -> Option<String>,
) -> Option<String> {
    if old == new || new.is_empty() {
        return Some(name.to_owned());
    }
    if rule(old).as_deref() != Some(name)
        && let Some((before, after)) = what_moved(old, new)
        && let (Some(before), Some(after)) = (rule(before), rule(after))
        && let Some(rest) = name.strip_prefix(before.as_str())
        && (rest.is_empty() || rest.starts_with('-'))
    {
        return Some(format!("{after}{rest}"));
    }
    rule(new)
}

/// Returns the beginnings of two paths that end alike: what is left of each without the folders at
/// their ends that are the same.
pub fn what_moved<'a>(old: &'a str, new: &'a str) -> Option<(&'a str, &'a str)> {
    let (mut before, mut after) = (old.trim_end_matches('/'), new.trim_end_matches('/'));
    while let (Some((old_rest, old_name)), Some((new_rest, new_name))) =
        (before.rsplit_once('/'), after.rsplit_once('/'))
    {
        if old_name != new_name {
            break;
        }
        (before, after) = (old_rest, new_rest);
    }
    (!before.is_empty() && !after.is_empty()).then_some((before, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_agent_names_a_projects_folder_by_its_own_rule() {
        let path = "/home/ann/code/my.shop_2";
        assert_eq!(claude(path).unwrap(), "-home-ann-code-my-shop-2");
        assert_eq!(cursor(path), "home-ann-code-my-shop-2");
        assert_eq!(pi(path), "--home-ann-code-my.shop_2--");
        assert_eq!(gemini(path), "my-shop-2");
        assert_eq!(gemini("/home/ann/.Dot Files-"), "dot-files");
        assert_eq!(gemini("/"), "project");
        assert_eq!(cursor_hash("/home/ann"), "2fb69b2422a9e1a392dba754f4354dec");
        assert_eq!(claude("/ä/😀").unwrap(), "-----", "letters count as in JavaScript");
        assert_eq!(claude(&"/a".repeat(101)), None, "it is shortened with a hash not known here");
    }

    #[test]
    fn a_folder_moves_with_its_project_and_what_lay_elsewhere_moves_with_the_home() {
        let paths = ("/home/ann/code/shop", "/Users/bo/code/shop");
        let case = |name: &str| moved(name, paths, claude).unwrap();
        assert_eq!(case("-home-ann-code-shop"), "-Users-bo-code-shop");
        assert_eq!(case("-home-ann-code-shop-worktree"), "-Users-bo-code-shop-worktree");
        assert_eq!(case("-somewhere-else"), "-Users-bo-code-shop");
        let same = ("/home/ann/code/shop", "/home/ann/code/shop");
        assert_eq!(moved("-anything", same, claude).unwrap(), "-anything");
        assert_eq!(what_moved("/a/x", "/b/x"), Some(("/a", "/b")));
        assert_eq!(what_moved("/x", "/b/x"), None);
    }
}
