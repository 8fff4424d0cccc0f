//! Which files hold sessions, without reading any.

use std::borrow::Borrow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use globset::{GlobSet, GlobSetBuilder};

use super::agent::{Agent, SessionStore};
use super::patterns;

/// The files that hold an agent's sessions, made ready for matching.
#[derive(Debug)]
pub struct SessionFiles<A> {
    agent: A,
    /// Of each store its patterns; `None` if they can't be used.
    sets: Vec<Option<GlobSet>>,
}

impl Agent {
    /// Returns what tells the files that hold sessions.
    pub fn session_files(&self) -> SessionFiles<&Agent> {
        SessionFiles::of(self)
    }
}

impl<A: Borrow<Agent>> SessionFiles<A> {
    /// Returns what tells the files that hold an agent's sessions.
    pub fn of(agent: A) -> SessionFiles<A> {
        let sets = agent.borrow().sessions.iter().map(|store| set(&store.globs)).collect();
        SessionFiles { agent, sets }
    }

    /// Returns the agent.
    pub fn agent(&self) -> &Agent {
        self.agent.borrow()
    }

    /// Returns the store that a file belongs to, by the label of its root and its path below that
    /// (empty for a root that is a file). What only belongs to a session beside its file has none.
    pub fn find(&self, label: &str, relative: &[u8]) -> Option<&SessionStore> {
        let agent = self.agent.borrow();
        let label = agent.declared_label(label)?;
        let path = Path::new(OsStr::from_bytes(relative));
        let fits =
            |set: &GlobSet| if relative.is_empty() { set.is_empty() } else { set.is_match(path) };
        let mut stores = self.sets.iter().zip(&agent.sessions);
        let found = stores.find(|(set, store)| {
            store.roots.iter().any(|root| root == label) && set.as_ref().is_some_and(fits)
        });
        found.map(|(_, store)| store)
    }
}

/// Patterns were checked when the definition was read; those that can't be used match nothing.
fn set(globs: &[String]) -> Option<GlobSet> {
    let mut set = GlobSetBuilder::new();
    for glob in globs {
        set.add(patterns::compile(glob).ok()?);
    }
    set.build().ok()
}

#[cfg(test)]
mod tests {
    use super::super::words::SessionShape;
    use crate::agents::Catalog;

    #[test]
    fn a_sessions_file_is_told_from_its_parts_and_from_a_database_of_many() {
        let catalog = Catalog::builtin().unwrap();
        let claude = catalog.find("claude-code").unwrap();
        let files = claude.session_files();
        let shape = |path: &str| files.find("main-2", path.as_bytes()).map(|store| store.shape);
        assert_eq!(shape("projects/-code/a.jsonl"), Some(SessionShape::ClaudeJsonl));
        assert_eq!(shape("projects/-code/a/subagents/b.jsonl"), None);
        assert_eq!(shape("history.jsonl"), None);
        assert!(files.find("state", b"").is_none());
        let opencode = catalog.find("opencode").unwrap();
        let files = opencode.session_files();
        let store = files.find("data", b"opencode.db").unwrap();
        assert!(store.shape.holds_many() && !SessionShape::ClaudeJsonl.holds_many());
    }
}
