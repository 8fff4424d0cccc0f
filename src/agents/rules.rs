//! Which rule a path below a root follows, and which folders need no walk.
//!
//! One set of globs for each root, compiled once; the first rule that matches decides. A path that
//! no rule names is [`Category::Other`], and is saved; in a root that others share it is not the
//! agent's. `x-wal`, `x-shm` and `x-journal` follow the rule of `x` if that comes first: what
//! belongs to a database is what the database is.
//!
//! Names are bytes and need not be UTF-8.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use globset::{GlobMatcher, GlobSet, GlobSetBuilder};

use super::agent::{Agent, FileRule, Merge};
use super::patterns;
use super::words::PathKind;
use crate::format::tree::Category;

/// The label that stands for each of the user's projects.
pub const PROJECT: &str = "project";

/// What follows the name of a database in the names of its side files.
const SIDE_FILES: [&[u8]; 3] = [b"-wal", b"-shm", b"-journal"];

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Classified<'a> {
    /// What it is.
    pub category: Category,
    /// Whether credentials lie inside something larger.
    pub mixed_secrets: bool,
    /// Whether it is never restored.
    pub run_time: bool,
    /// How it is merged when restored.
    pub merge: Option<&'a Merge>,
    /// The rule that says so; `None`: no rule names it.
    pub rule: Option<&'a FileRule>,
}

/// Why a folder need not be walked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Prune<'a> {
    /// All below it is a cache.
    Cache(&'a FileRule),
    /// Nothing below it is the agent's.
    Foreign,
}

impl<'a> Classified<'a> {
    fn of(rule: &'a FileRule) -> Self {
        Classified {
            category: rule.category,
            mixed_secrets: rule.mixed_secrets,
            run_time: rule.run_time,
            merge: rule.merge.as_ref(),
            rule: Some(rule),
        }
    }

    fn unknown() -> Self {
        Classified {
            category: Category::Other,
            mixed_secrets: false,
            run_time: false,
            merge: None,
            rule: None,
        }
    }
}

impl Agent {
    /// Returns the label that a root's rules stand under: `main` for `main-2`, and for a label
    /// that a wildcard made. `None`: the agent has no such root.
    pub fn declared_label(&self, label: &str) -> Option<&str> {
        let labels = self.declared_roots.iter().map(|root| root.label.as_str()).chain([PROJECT]);
        // No label is another's beginning (definitions are refused for that), so one fits at most.
        labels.into_iter().find(|declared| {
            label
                .strip_prefix(declared)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        })
    }

    /// Returns whether a root belongs to others too, so that only what a rule names is the agent's.
    pub fn shares_root(&self, label: &str) -> bool {
        let declared = self.declared_label(label);
        declared == Some(PROJECT)
            || self.declared_roots.iter().any(|root| root.shared && Some(&*root.label) == declared)
    }

    /// Returns what a file is, by the label of its root and its path below that (empty for the
    /// root itself). `None`: the root is shared with others (a project is), and no rule names the
    /// file.
    pub fn classify(&self, label: &str, relative: &[u8]) -> Option<Classified<'_>> {
        let root = self.declared_label(label).and_then(|label| self.rule_set().root(label));
        let Some(root) = root else { return Some(Classified::unknown()) };
        match root.find(relative).and_then(|place| self.rules.get(place)) {
            Some(rule) => Some(Classified::of(rule)),
            None => (!root.shared).then(Classified::unknown),
        }
    }

    /// Returns why a folder below a root (empty: the root itself) need not be walked.
    pub fn prunes(&self, label: &str, folder: &[u8]) -> Option<Prune<'_>> {
        let root = self.declared_label(label).and_then(|label| self.rule_set().root(label))?;
        let parts: Vec<&[u8]> = folder.split(|&byte| byte == b'/').collect();
        let parts = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>();
        for glob in &root.globs {
            let rule = self.rules.get(glob.rule)?;
            let below = follow(&glob.parts, &parts);
            match rule.category {
                Category::Cache if below.covers => return Some(Prune::Cache(rule)),
                Category::Cache => {}
                _ if below.reaches => return None,
                _ => {}
            }
        }
        root.shared.then_some(Prune::Foreign)
    }

    /// Makes the rules ready for matching. Done once, and only for an agent that is asked about:
    /// most runs ask about a few of them.
    ///
    /// Definitions of the user have been through [`Agent::prepare`], those that come with the
    /// program are by the tests. A set that could not be made would leave all files `other`, and
    /// saved.
    fn rule_set(&self) -> &RuleSet {
        self.compiled.get_or_init(|| self.compile().unwrap_or_default())
    }

    /// Makes the rules ready for matching, or says why that can't be.
    pub(super) fn prepare(&self) -> Result<(), globset::Error> {
        let set = self.compile()?;
        self.compiled.get_or_init(|| set);
        Ok(())
    }

    fn compile(&self) -> Result<RuleSet, globset::Error> {
        let declared = self.declared_roots.iter();
        let roots = declared.map(|root| (root.label.as_str(), root.kind, root.shared));
        RuleSet::new(roots.chain([(PROJECT, PathKind::Folder, true)]), &self.rules)
    }
}

/// The rules of all roots, made ready for matching.
#[derive(Debug, Clone, Default)]
pub(super) struct RuleSet {
    roots: Vec<(String, RootRules)>,
}

/// The rules of one root.
#[derive(Debug, Clone)]
struct RootRules {
    set: GlobSet,
    globs: Vec<Glob>,
    /// The rule of a root that is a file.
    whole: Option<usize>,
    shared: bool,
}

/// One glob, with the place of its rule. They stand in the order of the set.
#[derive(Debug, Clone)]
struct Glob {
    rule: usize,
    parts: Vec<Part>,
}

/// One part of a glob, between slashes.
#[derive(Debug, Clone)]
enum Part {
    /// Any number of names.
    Any,
    /// This name.
    Name(Vec<u8>),
    /// A name that matches.
    One(GlobMatcher),
}

impl Part {
    fn fits(&self, name: &[u8]) -> bool {
        match self {
            Part::Any => true,
            Part::Name(own) => own == name,
            Part::One(matcher) => matcher.is_match(Path::new(OsStr::from_bytes(name))),
        }
    }
}

impl RuleSet {
    /// Prepares the rules of the roots, given as label, kind and whether it is shared. Globs must
    /// have passed [`patterns::check`].
    fn new<'a>(
        roots: impl Iterator<Item = (&'a str, PathKind, bool)>,
        rules: &[FileRule],
    ) -> Result<RuleSet, globset::Error> {
        let roots = roots.map(|(label, kind, shared)| {
            let of_root = || {
                let rules = rules.iter().enumerate();
                rules.filter(|(_, rule)| rule.roots.iter().any(|root| root == label))
            };
            let mut set = GlobSetBuilder::new();
            let mut globs = Vec::new();
            for (place, rule) in of_root() {
                for glob in &rule.globs {
                    set.add(patterns::compile(glob)?);
                    globs.push(Glob { rule: place, parts: to_parts(glob)? });
                }
            }
            let first = of_root().next().map(|(place, _)| place);
            let whole = first.filter(|_| kind == PathKind::File);
            Ok((label.to_owned(), RootRules { set: set.build()?, globs, whole, shared }))
        });
        Ok(RuleSet { roots: roots.collect::<Result<_, globset::Error>>()? })
    }

    fn root(&self, label: &str) -> Option<&RootRules> {
        self.roots.iter().find(|(own, _)| own == label).map(|(_, rules)| rules)
    }
}

impl RootRules {
    fn find(&self, relative: &[u8]) -> Option<usize> {
        if self.whole.is_some() {
            return self.whole;
        }
        let own = self.first(relative);
        let database = SIDE_FILES.into_iter().find_map(|end| relative.strip_suffix(end));
        let of_database = database.and_then(|database| self.first(database));
        [own, of_database].into_iter().flatten().min()
    }

    fn first(&self, relative: &[u8]) -> Option<usize> {
        let path = Path::new(OsStr::from_bytes(relative));
        let first = self.set.matches(path).into_iter().min()?;
        self.globs.get(first).map(|glob| glob.rule)
    }
}

fn to_parts(glob: &str) -> Result<Vec<Part>, globset::Error> {
    let parts = glob.split('/').map(|part| match part {
        "**" => Ok(Part::Any),
        name if !name.contains(['*', '?', '[', '{']) => Ok(Part::Name(name.into())),
        part => patterns::compile(part).map(|glob| Part::One(glob.compile_matcher())),
    });
    parts.collect()
}

/// What a glob has to do with what lies below a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Below {
    /// It can match something there.
    reaches: bool,
    /// It matches all that is there.
    covers: bool,
}

/// Follows a folder's names through a glob. Each name moves all places of the glob that may come
/// next, so the time is the product of both lengths, whatever the pattern.
fn follow(glob: &[Part], folder: &[&[u8]]) -> Below {
    let mut next = vec![false; glob.len().saturating_add(1)];
    enter(glob, &mut next, 0);
    for name in folder {
        let now = std::mem::replace(&mut next, vec![false; glob.len().saturating_add(1)]);
        for (place, part) in
            glob.iter().enumerate().filter(|(place, _)| now.get(*place) == Some(&true))
        {
            if matches!(part, Part::Any) {
                enter(glob, &mut next, place);
            } else if part.fits(name) {
                enter(glob, &mut next, place.saturating_add(1));
            }
        }
    }
    let ends_open = matches!(glob.last(), Some(Part::Any));
    let is_next = |place: usize| next.get(place) == Some(&true);
    Below {
        reaches: (0..glob.len()).any(is_next),
        covers: ends_open && is_next(glob.len().saturating_sub(1)),
    }
}

/// Marks a place of the glob, and those after it that an empty run of names leads to.
fn enter(glob: &[Part], next: &mut [bool], place: usize) {
    let skipped = glob.iter().skip(place).take_while(|part| matches!(part, Part::Any)).count();
    for mark in next.iter_mut().skip(place).take(skipped.saturating_add(1)) {
        *mark = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(glob: &str) -> Vec<Part> {
        to_parts(glob).unwrap()
    }

    fn folder(path: &str) -> Vec<&[u8]> {
        path.split('/').filter(|part| !part.is_empty()).map(str::as_bytes).collect()
    }

    #[test]
    fn a_glob_reaches_below_a_folder_or_covers_it() {
        let table = [
            ("cache/**", "cache", true, true),
            ("cache/**", "cache/a/b", true, true),
            ("cache/**", "", true, false),
            ("cache/**", "other", false, false),
            ("**", "", true, true),
            ("*.json", "", true, false),
            ("*.json", "a.json", false, false),
            ("history/*/.project_root", "history", true, false),
            ("history/*/.project_root", "history/x", true, false),
            ("history/*/.project_root", "history/x/objects", false, false),
            ("**/.env", "a/b", true, false),
            ("**/node_modules/**", "a/node_modules/b", true, true),
            ("**/node_modules/**", "a", true, false),
            ("**/a/**/b/**/c/**", "a/a/b/b/a/c", true, true),
            ("**/a/**/b/**/c/**", "a/a/b/b/a", true, false),
            ("tmp/*/logs/**", "tmp/x", true, false),
            ("tmp/*/logs/**", "tmp/x/logs", true, true),
            ("tmp/*/logs/**", "tmp/x/chats", false, false),
        ];
        for (glob, path, reached, covered) in table {
            let below = follow(&parts(glob), &folder(path));
            assert_eq!(below, Below { reaches: reached, covers: covered }, "{glob} {path}");
        }
    }
}
