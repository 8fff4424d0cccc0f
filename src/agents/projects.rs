//! The folders of the user's projects in which an agent keeps files.
//!
//! Each folder is a root of its own, labelled by its path below the home (`project-work-shop`), so
//! that it is the same root on every machine with the same layout. In it only what the rules for
//! projects name is the agent's. A place with wildcards stands for those of its matches that hold one
//! of the agent's markers: `~/work/*` is no list of projects by itself.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use super::agent::{Agent, Basis, Detects, RootDefinition};
use super::disk::{has_wildcards, matches};
use super::places::Places;
use super::roots::{Candidate, RootSource, free_label};
use super::rules::PROJECT;
use super::words::{Evidence, PathKind};

impl Agent {
    /// Returns whether it keeps anything in projects.
    pub fn knows_projects(&self) -> bool {
        self.rules.iter().any(|rule| rule.roots.iter().any(|root| root == PROJECT))
    }

    /// Returns the project folders that the user names for the agent.
    pub(super) fn project_candidates(&self, places: &Places) -> Vec<Candidate> {
        let mut candidates: Vec<Candidate> = Vec::new();
        for named in places.projects.get(&self.id).into_iter().flatten() {
            let is_pattern = has_wildcards(named);
            let folders = if is_pattern { self.marked(named) } else { vec![named.clone()] };
            for place in folders {
                let label = free_label(PROJECT, &words(&place, &places.home), &candidates);
                let named = (!is_pattern).then(|| named.clone());
                candidates.push(Candidate { label, place, named, source: RootSource::User });
            }
        }
        candidates
    }

    /// Returns whether a folder holds something by which the agent's projects are known.
    pub fn marks(&self, folder: &Path) -> bool {
        let markers = self.projects.as_ref().map_or(&[][..], |it| it.markers.as_slice());
        markers.iter().any(|marker| !matches(folder, Path::new(marker)).is_empty())
    }

    fn marked(&self, pattern: &Path) -> Vec<PathBuf> {
        let found = matches(Path::new(""), pattern).into_iter().map(|(place, _)| place);
        found.filter(|place| self.marks(place)).collect()
    }
}

/// Returns what every project root is like.
pub(super) fn project_definition() -> RootDefinition {
    RootDefinition {
        label: PROJECT.to_owned(),
        kind: PathKind::Folder,
        variables: Vec::new(),
        places: Vec::new(),
        system_places: Vec::new(),
        detects: Detects::No,
        shared: true,
        basis: Basis { evidence: Evidence::Verified, note: None },
    }
}

/// Returns the names that make the path, below the home if it lies there.
fn words(place: &Path, home: &Path) -> Vec<OsString> {
    let below = place.strip_prefix(home).unwrap_or(place);
    let names = below.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        _ => None,
    });
    let names: Vec<OsString> = names.collect();
    if names.is_empty() { vec!["home".into()] } else { names }
}

#[cfg(test)]
mod tests {
    use super::super::catalog::Catalog;
    use super::super::words::System;
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a test makes its own folders")]
    #[test]
    fn named_folders_are_roots_and_wildcards_stand_for_those_with_a_marker() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path();
        for (project, file) in [
            ("work/shop", ".aider.chat.history.md"),
            ("work/plain", "main.rs"),
            ("work/Über Uns", ".aider.input.history"),
        ] {
            std::fs::create_dir_all(home.join(project)).unwrap();
            std::fs::File::create(home.join(project).join(file)).unwrap();
        }
        let named = ["work/*", "work/plain", "gone"].map(|it| home.join(it));
        let places = Places::new(home, System::Linux).with_projects("aider", named);
        let catalog = Catalog::builtin().unwrap();
        let aider = catalog.find("aider").unwrap();
        let roots = aider.roots(&places);
        let projects = roots.iter().filter(|it| it.label.starts_with(PROJECT));
        let found: Vec<_> = projects.map(|it| (it.label.as_str(), it.is_usable())).collect();
        let expected = [
            ("project-work-shop", true),
            ("project-work-ber-uns", true),
            ("project-work-plain", true),
            ("project-gone", false),
        ];
        assert_eq!(found, expected);
        assert_eq!(aider.declared_label("project-work-shop"), Some(PROJECT));
        assert!(catalog.detect(&places).iter().any(|it| it.agent.id == "aider"));
        assert!(aider.knows_projects() && !catalog.find("goose").unwrap().knows_projects());
    }
}
