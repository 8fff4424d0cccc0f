//! Where a session's project lies on this machine.
#![expect(
    clippy::disallowed_methods,
    reason = "looks for projects' folders, and into their `.git`"
)]

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Files of a git repository are read up to so many bytes.
const LONGEST: u64 = 64 << 10;

/// The folder of a session's project on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetProject {
    /// The folder; empty if the session names none.
    pub path: PathBuf,
    /// How it was found.
    pub found: FoundBy,
}

/// How a project's folder was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoundBy {
    /// A person named it.
    Named,
    /// It is where it was.
    Same,
    /// It is below this home where it was below the other.
    Home,
    /// It is another folder of the same git repository.
    Repository,
    /// It is not there; this is where it would be.
    Missing,
    /// The session names no project.
    Unknown,
}

/// What is known of a session's project.
#[derive(Debug, Clone, Copy)]
pub(super) struct ProjectWish<'a> {
    /// The folder where it ran; may be empty.
    pub(super) old: &'a str,
    /// The home of the machine where it ran, if known.
    pub(super) old_home: Option<&'a str>,
    /// This home.
    pub(super) home: Option<&'a Path>,
    /// The folder that a person named.
    pub(super) named: Option<&'a Path>,
    /// The address of the project's git repository, if the session tells it.
    pub(super) remote: Option<&'a str>,
    /// The first commit of the project's git repository, if the session tells it.
    pub(super) root_commit: Option<&'a str>,
    /// Folders that may be the project: those that other sessions name.
    pub(super) candidates: &'a [PathBuf],
}

impl ProjectWish<'_> {
    /// Finds the folder: the one that was named, the same path, the path below this home, a folder of the same
    /// git repository; else where it would be.
    pub(super) fn find(&self) -> TargetProject {
        let target = |path: &Path, found| TargetProject { path: path.to_owned(), found };
        if let Some(named) = self.named {
            return target(named, FoundBy::Named);
        }
        if self.old.is_empty() {
            return target(Path::new(""), FoundBy::Unknown);
        }
        let old = Path::new(self.old);
        if old.is_dir() {
            return target(old, FoundBy::Same);
        }
        let mapped = self.mapped();
        if let Some(mapped) = mapped.as_deref().filter(|mapped| mapped.is_dir()) {
            return target(mapped, FoundBy::Home);
        }
        if let Some(found) = self.same_repository() {
            return target(found, FoundBy::Repository);
        }
        target(mapped.as_deref().unwrap_or(old), FoundBy::Missing)
    }

    /// Returns the path below this home.
    fn mapped(&self) -> Option<PathBuf> {
        let home = self.home?;
        let below = |old_home: &str| Path::new(self.old).strip_prefix(old_home).ok();
        let rest = self.old_home.and_then(below).or_else(|| below(usual_home(self.old)?))?;
        Some(if rest.as_os_str().is_empty() { home.to_owned() } else { home.join(rest) })
    }

    /// Returns the one candidate of the same repository; none if there are several.
    fn same_repository(&self) -> Option<&Path> {
        let remote = self.remote.map(plain_remote).filter(|it| !it.is_empty());
        let fits = |folder: &&PathBuf| {
            let Some(git) = git_folder(folder) else { return false };
            let by_commit =
                self.root_commit.is_some() && root_commit(&git).as_deref() == self.root_commit;
            by_commit || remote.as_ref().is_some_and(|remote| remotes(&git).contains(remote))
        };
        let mut found = self.candidates.iter().filter(fits);
        let first = found.next()?;
        found.next().is_none().then_some(first.as_path())
    }
}

/// Returns the home that a path lies in, as systems name them.
fn usual_home(path: &str) -> Option<&str> {
    let is_in = |top: &str| {
        let name = path.strip_prefix(top)?.split('/').next().filter(|name| !name.is_empty())?;
        path.get(..top.len().saturating_add(name.len()))
    };
    let root = (path == "/root" || path.starts_with("/root/")).then_some("/root");
    is_in("/home/").or_else(|| is_in("/Users/")).or(root)
}

/// Returns the git folder of a repository whose top folder this is. A worktree's is the one of its
/// repository.
pub(super) fn git_folder(folder: &Path) -> Option<PathBuf> {
    let git = folder.join(".git");
    if git.is_dir() {
        return Some(git);
    }
    let text = short_text(&git)?;
    let named = folder.join(text.strip_prefix("gitdir:")?.trim());
    let common = short_text(&named.join("commondir"));
    Some(common.map_or(named.clone(), |common| named.join(common.trim())))
}

/// Returns the top folder of the git repository that a folder lies in.
pub(super) fn git_top(folder: &Path) -> Option<&Path> {
    folder.ancestors().find(|folder| git_folder(folder).is_some())
}

/// Returns the first commit of a repository as `OpenCode` has noted it there. (To find it otherwise takes git.)
pub(super) fn root_commit(git: &Path) -> Option<String> {
    let text = short_text(&git.join("opencode"))?;
    let text = text.trim();
    let is_it = matches!(text.len(), 40 | 64) && text.bytes().all(|it| it.is_ascii_hexdigit());
    is_it.then(|| text.to_owned())
}

/// Returns the addresses of a repository's remotes, made comparable.
fn remotes(git: &Path) -> Vec<String> {
    let text = short_text(&git.join("config")).unwrap_or_default();
    let urls = text.lines().filter_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == "url").then(|| plain_remote(value.trim()))
    });
    urls.filter(|it| !it.is_empty()).collect()
}

/// Returns an address as `host/path`, without what differs between the ways to reach it.
fn plain_remote(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let before_path = rest.find('/').unwrap_or(rest.len());
    let rest = match rest.get(..before_path).and_then(|host| host.rfind('@')) {
        Some(at) => rest.get(at.saturating_add(1)..).unwrap_or_default(),
        None => rest,
    };
    let rest = if url.contains("://") { rest.to_owned() } else { rest.replacen(':', "/", 1) };
    let rest = rest.trim_end_matches('/');
    rest.strip_suffix(".git").unwrap_or(rest).to_lowercase()
}

fn short_text(path: &Path) -> Option<String> {
    if !std::fs::metadata(path).is_ok_and(|found| found.is_file()) {
        return None;
    }
    let mut text = String::new();
    File::open(path).ok()?.take(LONGEST).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish<'a>(old: &'a str, home: &'a Path) -> ProjectWish<'a> {
        ProjectWish {
            old,
            old_home: None,
            home: Some(home),
            named: None,
            remote: None,
            root_commit: None,
            candidates: &[],
        }
    }

    #[test]
    fn a_project_is_found_where_it_was_below_this_home_or_by_its_repository() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path();
        std::fs::create_dir_all(home.join("code/shop/.git")).unwrap();
        let config = "[remote \"origin\"]\n\turl = git@example.com:ann/shop.git\n";
        std::fs::write(home.join("code/shop/.git/config"), config).unwrap();
        let shop = home.join("code/shop");

        let found = wish("/home/nobody/code/shop", home).find();
        assert_eq!(found, TargetProject { path: shop.clone(), found: FoundBy::Home });
        let found = wish(shop.to_str().unwrap(), home).find();
        assert_eq!(found.found, FoundBy::Same);
        let other = ProjectWish {
            old_home: Some("/srv/people/ann"),
            ..wish("/srv/people/ann/code/shop", home)
        };
        assert_eq!(other.find().found, FoundBy::Home);

        let candidates = [shop.clone(), home.join("code")];
        let moved = ProjectWish {
            remote: Some("https://user@EXAMPLE.com/ann/shop"),
            candidates: &candidates,
            ..wish("/home/nobody/old/shop", home)
        };
        assert_eq!(moved.find(), TargetProject { path: shop, found: FoundBy::Repository });
        let other = ProjectWish { remote: Some("https://example.com/ann/other"), ..moved };
        let missing = TargetProject { path: home.join("old/shop"), found: FoundBy::Missing };
        assert_eq!(other.find(), missing);
        assert_eq!(wish("", home).find().found, FoundBy::Unknown);
    }

    #[test]
    fn a_repositorys_first_commit_is_what_the_agent_noted_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let git = folder.path().join(".git");
        std::fs::create_dir(&git).unwrap();
        assert_eq!(root_commit(&git), None);
        std::fs::write(git.join("opencode"), "no commit").unwrap();
        assert_eq!(root_commit(&git), None);
        std::fs::write(git.join("opencode"), format!("{}\n", "ab".repeat(20))).unwrap();
        assert_eq!(root_commit(&git), Some("ab".repeat(20)));
        assert_eq!(git_top(&folder.path().join("deep/er")), Some(folder.path()));
    }
}
