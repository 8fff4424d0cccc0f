//! The one door of this room to the disk: whether something is there, and what.
//!
//! Reads no file's content and writes nothing.
#![expect(clippy::disallowed_methods, reason = "asks what is there, and reads no content")]

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};
use rustix::fs::Access;
use rustix::io::Errno;

/// What is at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing.
    Nothing,
    /// A symbolic link that leads nowhere.
    BrokenLink,
    /// Links that lead to one another.
    LinkLoop,
    /// Something that this user may not look at.
    Forbidden,
    /// Something else went wrong.
    Failed(String),
    /// Something is there.
    There(There),
}

/// Something that is there; links are followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct There {
    /// Whether it is a folder.
    pub(super) is_folder: bool,
    /// Whether it is a regular file.
    pub(super) is_file: bool,
    /// Whether this user may read it.
    pub(super) readable: bool,
    /// Device and inode.
    pub(super) identity: (u64, u64),
    /// The place without links.
    pub(super) real: PathBuf,
}

/// Looks what is at a place.
pub(super) fn look(place: &Path) -> Found {
    let metadata = match std::fs::metadata(place) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let is_link = std::fs::symlink_metadata(place).is_ok();
            return if is_link { Found::BrokenLink } else { Found::Nothing };
        }
        Err(error) => return failure(&error),
    };
    let is_folder = metadata.is_dir();
    let access = if is_folder { Access::READ_OK | Access::EXEC_OK } else { Access::READ_OK };
    Found::There(There {
        is_folder,
        is_file: metadata.is_file(),
        readable: rustix::fs::access(place, access).is_ok(),
        identity: (metadata.dev(), metadata.ino()),
        real: std::fs::canonicalize(place).unwrap_or_else(|_| place.to_owned()),
    })
}

/// Says what a failed look means.
fn failure(error: &std::io::Error) -> Found {
    if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) {
        return Found::LinkLoop;
    }
    match error.kind() {
        ErrorKind::PermissionDenied => Found::Forbidden,
        // A file stands where a folder above the place should be, or it can't be a name at all.
        ErrorKind::NotADirectory | ErrorKind::InvalidFilename | ErrorKind::InvalidInput => {
            Found::Nothing
        }
        _ => Found::Failed(error.to_string()),
    }
}

/// Returns the first program of this name in the folders.
pub(super) fn find_program(folders: &[PathBuf], name: &str) -> Option<PathBuf> {
    let mut candidates = folders.iter().map(|folder| folder.join(name));
    candidates.find(|path| {
        std::fs::metadata(path).is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
    })
}

/// Returns whether a path holds wildcards.
pub(super) fn has_wildcards(path: &Path) -> bool {
    path.to_string_lossy().contains(['*', '?', '[', '{'])
}

/// A place that matched a pattern, and the names that its wildcards stood for.
pub(super) type Match = (PathBuf, Vec<OsString>);

/// Returns the places below `base` that match the parts of `pattern`, in the order of their names.
/// A part is a name or a glob within one name.
pub(super) fn matches(base: &Path, pattern: &Path) -> Vec<Match> {
    let mut found = vec![(base.to_owned(), Vec::new())];
    for part in pattern.components() {
        let Component::Normal(part) = part else {
            for (place, _) in &mut found {
                place.push(part);
            }
            continue;
        };
        let text = part.to_str().filter(|text| has_wildcards(Path::new(text)));
        found = match text.map(matcher) {
            None => found.into_iter().map(|(place, names)| (place.join(part), names)).collect(),
            Some(None) => Vec::new(),
            Some(Some(matcher)) => {
                found.into_iter().flat_map(|found| children(&found, &matcher)).collect()
            }
        };
    }
    found.retain(|(place, _)| std::fs::metadata(place).is_ok());
    found
}

fn matcher(part: &str) -> Option<GlobMatcher> {
    let glob = GlobBuilder::new(part).literal_separator(true).build();
    glob.ok().map(|glob| glob.compile_matcher())
}

fn children((folder, names): &Match, matcher: &GlobMatcher) -> Vec<Match> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut children: Vec<OsString> = entries.flatten().map(|entry| entry.file_name()).collect();
    children.retain(|name| matcher.is_match(name));
    children.sort();
    let found = children.into_iter().map(|name| {
        let mut names = names.clone();
        names.push(name.clone());
        (folder.join(name), names)
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("file"), b"x").unwrap();
        std::os::unix::fs::symlink("nowhere", at("broken")).unwrap();
        std::os::unix::fs::symlink("b", at("a")).unwrap();
        std::os::unix::fs::symlink("a", at("b")).unwrap();
        assert_eq!(look(&at("none")), Found::Nothing);
        assert_eq!(look(&at("file/below")), Found::Nothing);
        assert_eq!(look(&at("broken")), Found::BrokenLink);
        assert_eq!(look(&at("a")), Found::LinkLoop);
        let Found::There(there) = look(&at("file")) else { panic!("a file is there") };
        assert!(there.is_file && !there.is_folder && there.readable);
        let Found::There(there) = look(folder.path()) else { panic!("a folder is there") };
        assert!(there.is_folder && !there.is_file && there.readable);
    }

    #[test]
    fn a_refusal_and_a_fault_are_told_apart() {
        assert_eq!(failure(&ErrorKind::PermissionDenied.into()), Found::Forbidden);
        assert!(matches!(failure(&std::io::Error::other("disk on fire")), Found::Failed(_)));
    }

    #[test]
    fn wildcards_find_what_is_there_in_order() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["Code/User", "Code - Insiders/User", "Codex", "Other/User"] {
            std::fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        let names = |pattern: &str| -> Vec<String> {
            let found = matches(folder.path(), Path::new(pattern));
            found.iter().map(|(_, names)| format!("{names:?}")).collect()
        };
        assert_eq!(names("Code*/User"), [r#"["Code"]"#, r#"["Code - Insiders"]"#]);
        assert_eq!(names("*/User").len(), 3);
        assert_eq!(names("Codex"), ["[]"]);
        assert!(names("None/*").is_empty());
    }
}
