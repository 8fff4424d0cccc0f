//! What the agents room is told about a machine: home, system, variables, the user's own roots.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::template::{PlaceTemplate, Placeholder, append, is_absolute};
use super::words::System;

/// A machine's places, as values. The caller fills in the variables that
/// [`Catalog::variables`](super::Catalog::variables) names, and no others: some hold secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// The user's home.
    pub home: PathBuf,
    /// Which system's places hold.
    pub system: System,
    /// Variables that are set. An empty one counts as not set.
    pub variables: BTreeMap<String, OsString>,
    /// Roots that the user names, by agent id: they take the place of the agent's first root.
    pub overrides: BTreeMap<String, Vec<PathBuf>>,
    /// Project folders that the user names, by agent id; wildcards are allowed.
    pub projects: BTreeMap<String, Vec<PathBuf>>,
}

impl Places {
    /// Returns the places below a home, without any variable.
    pub fn new(home: impl Into<PathBuf>, system: System) -> Self {
        Places {
            home: home.into(),
            system,
            variables: BTreeMap::new(),
            overrides: BTreeMap::new(),
            projects: BTreeMap::new(),
        }
    }

    /// Sets a variable.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.variables.insert(name.to_owned(), value.into());
        self
    }

    /// Names roots of an agent.
    #[must_use]
    pub fn with_roots(mut self, agent: &str, roots: impl IntoIterator<Item = PathBuf>) -> Self {
        self.overrides.insert(agent.to_owned(), roots.into_iter().collect());
        self
    }

    /// Names project folders of an agent.
    #[must_use]
    pub fn with_projects(
        mut self,
        agent: &str,
        folders: impl IntoIterator<Item = PathBuf>,
    ) -> Self {
        self.projects.insert(agent.to_owned(), folders.into_iter().collect());
        self
    }

    /// Returns a variable that is set and not empty.
    pub(super) fn variable(&self, name: &str) -> Option<&OsStr> {
        self.variables.get(name).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    /// Returns whether a path names its place wherever one stands.
    pub(super) fn is_absolute(path: &Path) -> bool {
        is_absolute(&path.to_string_lossy())
    }

    /// Returns the place that a placeholder stands for, and the variable that said so, if any.
    pub(super) fn base(&self, placeholder: Placeholder) -> (PathBuf, Option<&'static str>) {
        let (_, variable, below_home) = placeholder.about();
        // The XDG rules ask that a relative value be ignored.
        let moved = variable.and_then(|name| Some((PathBuf::from(self.variable(name)?), name)));
        match moved.filter(|(path, _)| Self::is_absolute(path)) {
            Some((path, name)) => (path, Some(name)),
            None => (append(self.home.clone(), below_home), None),
        }
    }

    /// Returns the place that a template stands for, wildcards left as they are, and the variable
    /// that moved it, if any.
    pub fn expand(&self, template: &PlaceTemplate) -> (PathBuf, Option<&'static str>) {
        match template.placeholder {
            Some(placeholder) => {
                let (base, variable) = self.base(placeholder);
                (append(base, &template.rest), variable)
            }
            None => (PathBuf::from(&template.rest), None),
        }
    }

    /// Returns the folders that programs are looked for in.
    pub(super) fn program_folders(&self) -> Vec<PathBuf> {
        let separator = if self.system == System::Windows { ';' } else { ':' };
        let Some(folders) = self.variable("PATH") else { return Vec::new() };
        split(folders, &separator.to_string())
            .into_iter()
            .filter(|it| Self::is_absolute(it))
            .collect()
    }
}

/// Splits a value at a separator, which is not empty; empty parts don't count.
pub(super) fn split(value: &OsStr, separator: &str) -> Vec<PathBuf> {
    use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
    let (mut rest, separator) = (value.as_bytes(), separator.as_bytes());
    let mut parts = Vec::new();
    loop {
        let end = rest.windows(separator.len().max(1)).position(|window| window == separator);
        let (part, next) = match end.and_then(|end| rest.split_at_checked(end)) {
            Some((part, next)) => (part, next.get(separator.len()..)),
            None => (rest, None),
        };
        if !part.is_empty() {
            parts.push(PathBuf::from(OsString::from_vec(part.to_vec())));
        }
        match next {
            Some(next) => rest = next,
            None => return parts,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(places: &Places, text: &str) -> (PathBuf, Option<&'static str>) {
        places.expand(&PlaceTemplate::parse(text).unwrap())
    }

    #[test]
    fn a_placeholder_follows_its_variable_only_if_that_is_absolute() {
        let places = Places::new("/h", System::Linux)
            .with("XDG_DATA_HOME", "/data")
            .with("XDG_STATE_HOME", "relative")
            .with("XDG_CACHE_HOME", "");
        assert_eq!(expand(&places, "{xdg-data}/x"), ("/data/x".into(), Some("XDG_DATA_HOME")));
        assert_eq!(expand(&places, "{xdg-state}/x"), ("/h/.local/state/x".into(), None));
        assert_eq!(expand(&places, "{xdg-cache}/x"), ("/h/.cache/x".into(), None));
        assert_eq!(expand(&places, "{xdg-config}/x"), ("/h/.config/x".into(), None));
        assert_eq!(expand(&places, "/etc/x"), ("/etc/x".into(), None));
    }

    #[test]
    fn windows_folders_come_from_its_variables_or_the_home() {
        let plain = Places::new("C:/Users/u", System::Windows);
        assert_eq!(expand(&plain, "{appdata}/x").0, Path::new("C:/Users/u/AppData/Roaming/x"));
        let moved = plain.with("LOCALAPPDATA", "D:/Local").with("PATH", "C:/a;D:/b c;;relative");
        assert_eq!(expand(&moved, "{localappdata}/x").0, Path::new("D:/Local/x"));
        assert_eq!(moved.program_folders(), [PathBuf::from("C:/a"), "D:/b c".into()]);
    }

    #[test]
    fn a_value_is_split_without_empty_parts() {
        let parts = |text: &str| split(OsStr::new(text), ",");
        assert_eq!(parts("/a,/b"), [PathBuf::from("/a"), "/b".into()]);
        assert_eq!(parts(",/a,,"), [PathBuf::from("/a")]);
        assert_eq!(parts(""), Vec::<PathBuf>::new());
    }
}
