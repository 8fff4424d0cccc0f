//! Whether a second disk, or another computer, holds what the first one does.

use std::path::Path;

use super::Answer;
use crate::machine::Location;
use crate::machine::disk::is_same_file_system;

/// Asks whether what is saved survives the disk that it was read from.
pub fn same_disk<'p>(
    repository: &Location,
    others: &[Location],
    sources: impl Iterator<Item = &'p Path>,
) -> Answer {
    const NAME: &str = "second target";
    let sources: Vec<&Path> = sources.collect();
    let is_elsewhere = |location: &Location| match location.folder() {
        None => true,
        Some(folder) => {
            folder.exists() && !sources.iter().any(|source| is_same_file_system(source, folder))
        }
    };
    if sources.is_empty() {
        return Answer::skipped(NAME, "nothing of this machine is saved yet");
    }
    match std::iter::once(repository).chain(others).find(|location| is_elsewhere(location)) {
        Some(location) => Answer::ok(NAME, format!("`{location}` lies on another disk than what is saved")),
        None => Answer::problem(NAME, "same disk: a second target is missing").remedy(
            "`stash backup --also LOCATION`, or a second repository in the configuration: a disk of its own, \
             a bucket, or a git remote",
        ),
    }
}
