//! Links in agents' folders that lead out of them.
//!
//! Many people keep `skills/`, `CLAUDE.md` or `settings.json` among their dotfiles, and link to them. A
//! backup records the link; what it leads to is saved only if that is asked for, as a path of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::agent_sources::FoundAgent;
use crate::engine::backup::AgentSources;
use crate::files::{Step, Walk};
use crate::format::tree::NodeKind;

/// A link that leads to something outside of all roots.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct OutsideLink {
    /// Where the link lies.
    pub link: PathBuf,
    /// Where it leads in the end.
    pub target: PathBuf,
    /// Whether the target holds a root or the home itself: too much to be meant.
    pub is_too_much: bool,
}

/// Finds the links of an agent that lead out of everything that is saved of agents anyway. What they lead
/// to is not looked into. Links to nothing are not told.
pub fn outside_links(
    found: &FoundAgent,
    sources: &AgentSources,
    home: Option<&Path>,
) -> Vec<OutsideLink> {
    let whole = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let roots: Vec<PathBuf> = sources.roots.iter().map(|source| whole(&source.place)).collect();
    let mut links = Vec::new();
    for source in sources.roots.iter().filter(|it| it.agent == found.agent.id) {
        for step in Walk::start(&source.place, Arc::clone(&source.excludes), 1) {
            let Step::Entry(entry) = step else { continue };
            if entry.stat.kind != NodeKind::Symlink {
                continue;
            }
            let Ok(target) = entry.path.canonicalize() else { continue };
            if roots.iter().any(|root| target.starts_with(root)) {
                continue;
            }
            let holds = |path: &Path| path.starts_with(&target);
            let is_too_much = home.is_some_and(holds) || roots.iter().any(|root| holds(root));
            links.push(OutsideLink { link: entry.path, target, is_too_much });
        }
    }
    links
}
