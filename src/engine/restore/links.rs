//! Names of one file: the first is written, the others become hard links to it at the end.

use std::collections::HashMap;

use super::batch::Shared;
use crate::error::{Error, Result};
use crate::files::Target;

/// A name that waits for its file.
struct Waiting {
    number: u64,
    above: Vec<Vec<u8>>,
    name: Vec<u8>,
    path: Vec<u8>,
}

/// The hard links of a restore.
#[derive(Default)]
pub(super) struct HardLinks {
    first: HashMap<u64, (Vec<Vec<u8>>, Vec<u8>)>,
    waiting: Vec<Waiting>,
}

impl HardLinks {
    /// Notes a name; returns whether it is the first of its file, which is then written.
    pub(super) fn enter(
        &mut self,
        number: u64,
        above: &[Vec<u8>],
        name: &[u8],
        path: &[u8],
    ) -> bool {
        if number == 0 {
            return true;
        }
        if self.first.contains_key(&number) {
            self.waiting.push(Waiting {
                number,
                above: above.to_vec(),
                name: name.to_vec(),
                path: path.to_vec(),
            });
            return false;
        }
        self.first.insert(number, (above.to_vec(), name.to_vec()));
        true
    }

    /// Makes the links. What is there already under a name goes, unless it is the same file.
    pub(super) fn make(self, target: &Target, shared: &Shared<'_>) {
        for link in &self.waiting {
            let Some(first) = self.first.get(&link.number) else { continue };
            match make(target, first, link) {
                Ok(()) => {
                    let mut report = shared.report();
                    report.others_created = report.others_created.saturating_add(1);
                }
                Err(error) => shared.item_failed(&link.path, error),
            }
        }
    }
}

fn make(target: &Target, first: &(Vec<Vec<u8>>, Vec<u8>), link: &Waiting) -> Result<()> {
    let directory = |above: &[Vec<u8>]| {
        let names: Vec<&[u8]> = above.iter().map(Vec::as_slice).collect();
        target
            .directory(&names, false)?
            .ok_or_else(|| Error::failed("cannot make a hard link: its directory is not there"))
    };
    let (from, to) = (directory(&first.0)?, directory(&link.above)?);
    let original = from.stat(&first.1)?;
    if let Some(there) = to.stat(&link.name)? {
        if original.is_some_and(|original| original.is_same_file(&there)) {
            return Ok(());
        }
        to.remove(&link.name)?;
    }
    to.hard_link(&from, &first.1, &link.name)
}
