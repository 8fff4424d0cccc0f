//! What `repo` says in JSON.

use serde::Serialize;

use super::MessageType;

/// One repository of the configuration.
#[derive(Debug, Serialize)]
pub struct RepoLine {
    /// Its name.
    pub name: String,
    /// Where it lies.
    pub location: String,
    /// Whether commands use it when nothing else names one.
    pub main: bool,
    /// The jobs that save into it.
    pub jobs: Vec<String>,
}

/// What was done about a repository of the configuration.
#[derive(Debug, Serialize)]
pub struct RepoChange {
    /// `added`, `used`, `removed` or `moved`.
    pub action: &'static str,
    /// Its name.
    pub name: String,
    /// Where it lies.
    pub location: String,
}

/// The list that `repo list` prints.
pub(super) const LISTS: &[MessageType] = &[MessageType {
    name: "repo list",
    when: "a repository of the configuration each",
    fields: &[
        ("name", "its name"),
        ("location", "where it lies"),
        ("main", "whether commands use it when nothing else names one"),
        ("jobs", "the jobs that save into it"),
    ],
}];

/// What the other commands say.
pub(super) const MESSAGE_TYPES: &[MessageType] = &[MessageType {
    name: "repository",
    when: "stdout, last, the `stash repo` commands that change something",
    fields: &[
        ("action", "`added`, `used`, `removed` or `moved`"),
        ("name", "its name in the configuration"),
        ("location", "where it lies"),
    ],
}];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::json::tests::assert_documented;

    #[test]
    fn every_field_is_documented_and_every_documented_field_exists() {
        let (name, location) = (String::new(), String::new());
        let change = RepoChange { action: "used", name: name.clone(), location: location.clone() };
        assert_documented(MESSAGE_TYPES, "repository", &change, &[]);
        let line = RepoLine { name, location, main: true, jobs: Vec::new() };
        assert_documented(LISTS, "repo list", &line, &[]);
    }
}
