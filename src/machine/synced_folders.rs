//! The folders of this user that a program copies to other machines: a place for a repository when
//! there is no bucket.
#![expect(clippy::disallowed_methods, reason = "lists the home, where these folders lie")]

use std::path::{Path, PathBuf};

use super::environment::Environment;

/// What such folders are called, and where they lie below the home. A name that ends in `*` is the
/// beginning of one; `in` is the folder in it that is shown to people.
const KNOWN: [(&str, &str, &str); 12] = [
    ("iCloud Drive", "Library/Mobile Documents/com~apple~CloudDocs", ""),
    ("Google Drive", "Library/CloudStorage/GoogleDrive-*", "My Drive"),
    ("OneDrive", "Library/CloudStorage/OneDrive*", ""),
    ("Dropbox", "Library/CloudStorage/Dropbox*", ""),
    ("Google Drive", "Google Drive", ""),
    ("Google Drive", "GoogleDrive", ""),
    ("Dropbox", "Dropbox*", ""),
    ("OneDrive", "OneDrive*", ""),
    ("Nextcloud", "Nextcloud", ""),
    ("ownCloud", "ownCloud", ""),
    ("pCloud", "pCloudDrive", ""),
    ("Syncthing", "Sync", ""),
];

/// A folder that a program copies to other machines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncedFolder {
    /// The service's name.
    pub service: &'static str,
    /// The folder.
    pub path: PathBuf,
}

/// Returns the synced folders in this user's home.
pub fn synced_folders(environment: &Environment) -> Vec<SyncedFolder> {
    environment.home().map(|home| found_in(&home)).unwrap_or_default()
}

fn found_in(home: &Path) -> Vec<SyncedFolder> {
    let mut found: Vec<SyncedFolder> = Vec::new();
    for (service, below, inner) in KNOWN {
        for path in matching(&home.join(below)) {
            let path = if inner.is_empty() { path } else { path.join(inner) };
            // A plain `Sync` may be anything.
            let counts = service != "Syncthing" || path.join(".stfolder").exists();
            if counts && path.is_dir() && !found.iter().any(|it| it.path == path) {
                found.push(SyncedFolder { service, path });
            }
        }
    }
    found
}

fn matching(pattern: &Path) -> Vec<PathBuf> {
    let name = pattern.file_name().map(|name| name.to_string_lossy().into_owned());
    let (Some(name), Some(folder)) = (name, pattern.parent()) else { return Vec::new() };
    let Some(begin) = name.strip_suffix('*') else { return vec![pattern.to_owned()] };
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries
        .filter(|entry| {
            let name = entry.file_name();
            let rest = name.to_str().and_then(|name| name.strip_prefix(begin));
            // `Dropbox (Personal)`, and not `Dropboxes`.
            rest.is_some_and(|rest| {
                begin.ends_with('-') || !rest.starts_with(char::is_alphanumeric)
            })
        })
        .map(|entry| entry.path())
        .collect();
    paths.sort_unstable();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_found_by_their_services_names_and_nothing_else_is() {
        let home = tempfile::tempdir().unwrap();
        for folder in [
            "Dropbox (Personal)",
            "Dropboxes",
            "Sync",
            "Library/CloudStorage/GoogleDrive-ann@example.org/My Drive",
            "Library/CloudStorage/Other",
        ] {
            std::fs::create_dir_all(home.path().join(folder)).unwrap();
        }
        std::fs::write(home.path().join("OneDrive"), "a file").unwrap();
        let services = || {
            let found = found_in(home.path());
            found.iter().map(|it| it.service).collect::<Vec<_>>()
        };
        assert_eq!(services(), ["Google Drive", "Dropbox"]);
        std::fs::create_dir(home.path().join("Sync/.stfolder")).unwrap();
        assert_eq!(services(), ["Google Drive", "Dropbox", "Syncthing"]);
    }
}
