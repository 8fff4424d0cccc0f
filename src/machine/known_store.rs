//! What was found out about remote stores, kept in this machine's state. Losing it costs a request.
#![expect(clippy::disallowed_methods, reason = "this machine's own memory")]

use std::path::{Path, PathBuf};

use super::location::Location;
use super::places::make_private_folder;
use crate::store::{Learned, RemotePlace};

fn file(state: &Path, place: &RemotePlace) -> PathBuf {
    let hash = blake3::hash(place.to_string().as_bytes()).to_hex();
    state.join("stores").join(hash.get(..32).unwrap_or_default())
}

/// Returns what is remembered of the store at `place`.
pub fn known_store(state: &Path, place: &RemotePlace) -> Learned {
    let text = std::fs::read_to_string(file(state, place)).unwrap_or_default();
    let value = |name: &str| {
        text.lines().filter_map(|line| line.split_once('=')).find(|(own, _)| *own == name)
    };
    Learned {
        region: value("region").map(|(_, region)| region.to_owned()),
        creates: value("creates").map(|(_, works)| works == "yes"),
    }
}

/// Remembers what was found out. What can't be written will be found out again.
pub fn remember_store(state: &Path, place: &RemotePlace, learned: &Learned) {
    if known_store(state, place) == *learned {
        return;
    }
    let mut text = format!("place={place}\n");
    for (name, value) in [
        ("region", learned.region.as_deref()),
        ("creates", learned.creates.map(|creates| if creates { "yes" } else { "no" })),
    ] {
        if let Some(value) = value {
            text.extend([name, "=", value, "\n"]);
        }
    }
    let file = file(state, place);
    let folder = file.parent().unwrap_or(state);
    let _written = make_private_folder(folder).is_ok() && std::fs::write(&file, text).is_ok();
}

fn opened_file(state: &Path, location: &Location) -> PathBuf {
    let hash = blake3::hash(location.to_string().as_bytes()).to_hex();
    state.join("opened").join(hash.get(..32).unwrap_or_default())
}

/// Remembers what the store at a location calls itself, by which its repository is remembered. What
/// can't be written costs a request.
pub fn remember_opened(state: &Path, location: &Location, description: &str) {
    let file = opened_file(state, location);
    if opened_description(state, location).as_deref() == Some(description) {
        return;
    }
    let folder = file.parent().unwrap_or(state);
    let _written =
        make_private_folder(folder).is_ok() && std::fs::write(&file, description).is_ok();
}

/// Returns what the store at a location last called itself.
pub fn opened_description(state: &Path, location: &Location) -> Option<String> {
    std::fs::read_to_string(opened_file(state, location)).ok().filter(|text| !text.is_empty())
}

/// Forgets a store: its region or what it can do is not as remembered.
pub fn forget_store(state: &Path, place: &RemotePlace) {
    let _removed = std::fs::remove_file(file(state, place));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Provider, Service};

    #[test]
    fn what_was_learned_comes_back_per_store() {
        let state = tempfile::tempdir().unwrap();
        let place = |bucket: &str| RemotePlace {
            service: Service::S3(Provider::Amazon),
            endpoint: None,
            bucket: bucket.into(),
            prefix: String::new(),
        };
        assert_eq!(known_store(state.path(), &place("a")), Learned::default());
        let learned = Learned { region: Some("eu-west-1".into()), creates: Some(false) };
        remember_store(state.path(), &place("a"), &learned);
        assert_eq!(known_store(state.path(), &place("a")), learned);
        assert_eq!(known_store(state.path(), &place("b")), Learned::default());
        forget_store(state.path(), &place("a"));
        assert_eq!(known_store(state.path(), &place("a")), Learned::default());
    }
}
