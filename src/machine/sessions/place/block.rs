//! One session of a history that holds many, Markdown of Aider's, to the end of the project's.
#![expect(clippy::disallowed_methods, reason = "the history lies in the project")]

use std::path::{Path, PathBuf};

use super::compare::{Relation, compare};
use crate::agents::session::aider_blocks;
use crate::error::{Error, IoContext as _, Result};
use crate::machine::{replace_file, write_new_file};

/// What is to be done with a project's history.
#[derive(Debug, Clone)]
pub(super) struct BlockWork {
    /// The history.
    pub(super) path: PathBuf,
    /// The session.
    pub(super) block: Vec<u8>,
}

/// How a block relates to a history, and which of its blocks it is the same session as.
pub(super) fn relation(path: &Path, block: &[u8]) -> Result<Option<Relation>> {
    let blocks = blocks(path)?;
    let same: Vec<&Vec<u8>> = blocks.iter().filter(|it| is_same_session(it, block)).collect();
    let mut relation = None;
    for here in same {
        let found = compare(&mut here.trim_ascii_end(), &mut block.trim_ascii_end())
            .at("cannot compare with what is saved", path)?;
        // Two sessions may have begun in one second.
        if relation.is_none() || matches!(found, Relation::Equal | Relation::Longer) {
            relation = Some(found);
        }
    }
    Ok(relation)
}

/// Returns whether two blocks begin with one header.
fn is_same_session(one: &[u8], other: &[u8]) -> bool {
    let header = |block: &[u8]| block.split(|it| *it == b'\n').next().unwrap_or_default().to_vec();
    header(one).starts_with(b"# aider chat started at ") && header(one) == header(other)
}

fn blocks(path: &Path) -> Result<Vec<Vec<u8>>> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        found => {
            if !found.at("cannot look at", path)?.is_file() {
                return Err(Error::failed("something else is where the history belongs:")
                    .object(path.display().to_string())
                    .hint("nothing is written through a link; move it away"));
            }
        }
    }
    let mut file = std::fs::File::open(path).at("cannot open", path)?;
    aider_blocks(&mut file)
}

impl BlockWork {
    /// Writes the history anew, whole or not at all, with the session at its end, or in the place of its
    /// beginning. Returns the file if there was none.
    pub(super) fn run(&self) -> Result<Vec<PathBuf>> {
        let mut blocks = blocks(&self.path)?;
        if blocks.is_empty() {
            write_new_file(&self.path, &self.block)?;
            return Ok(vec![self.path.clone()]);
        }
        if let Some(block) = blocks.iter_mut().find(|it| is_same_session(it, &self.block)) {
            block.clone_from(&self.block);
        } else {
            let last = blocks.last().map_or(&[][..], Vec::as_slice);
            if !last.is_empty() && !last.ends_with(b"\n\n") {
                blocks.push(b"\n".to_vec());
            }
            blocks.push(self.block.clone());
        }
        replace_file(&self.path, &blocks.concat()).map(|()| Vec::new())
    }
}
