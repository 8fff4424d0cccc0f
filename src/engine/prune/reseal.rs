//! Which objects are sealed by older keys than the newest.
//!
//! Only their headers tell: each object's first bytes are read, which a prune does only when it is asked
//! to seal anew. They are not authenticated here; a header that lies costs a copy, or the lack of one,
//! and nothing is believed of an object before its copy is verified.

use std::collections::HashSet;

use super::facts::Facts;
use super::options::Reseal;
use crate::error::{Error, Result};
use crate::format::object::{ObjectKind, PREFIX_LENGTH, decode_prefix};
use crate::store::ObjectName;

/// How many headers are asked for at a time.
const BATCH: usize = 4096;

impl Facts {
    /// Finds the objects that are to be sealed anew.
    pub(super) fn find_older(&mut self, reseal: Reseal) -> Result<()> {
        let newest = match reseal {
            Reseal::Nothing => return Ok(()),
            Reseal::Older => {
                let newest = self.repository.keys().newest_epoch();
                newest.map_err(|error| Error::failed("cannot seal anew").source(error))?
            }
            Reseal::Everything => u32::MAX,
        };
        let names: Vec<ObjectName> = self
            .listed
            .values()
            .map(|row| row.name.clone())
            .filter(|name| kind(name).is_some() && !self.gone.contains(&name.hash()))
            .collect();
        let mut older = HashSet::new();
        for names in names.chunks(BATCH) {
            let heads = self.repository.store().get_beginnings(names, PREFIX_LENGTH as u64);
            for (name, head) in names.iter().zip(heads) {
                let head = head?.unwrap_or_default();
                older.extend(
                    epoch(name, &head).filter(|epoch| *epoch < newest).map(|_| name.hash()),
                );
            }
        }
        self.older = older;
        Ok(())
    }
}

fn epoch(name: &ObjectName, head: &[u8]) -> Option<u32> {
    decode_prefix(head, kind(name)?).ok().map(|(epoch, _)| epoch)
}

fn kind(name: &ObjectName) -> Option<ObjectKind> {
    match name {
        ObjectName::Pack(_) => Some(ObjectKind::Pack),
        ObjectName::Record(_) => Some(ObjectKind::Record),
        ObjectName::Segment(_) => Some(ObjectKind::Segment),
        ObjectName::Repository(_) | ObjectName::KeySlot(_) | ObjectName::Grant(_) => None,
    }
}
