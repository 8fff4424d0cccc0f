//! Ranges fetched lately: what is read next often lies beside what was read last.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use crate::store::ObjectName;

/// How much is kept, in bytes.
const KEPT_BYTES: usize = 8 << 20;
/// Longer ranges are content on its way to a file, which is not read twice.
const LONGEST: usize = 1 << 20;

/// Ranges, the newest last.
#[derive(Default)]
pub(in crate::store) struct Seen(Mutex<VecDeque<(ObjectName, u64, Bytes)>>);

impl Seen {
    /// Returns the bytes from `start` to `end`, if one range holds them all.
    pub(in crate::store) fn find(&self, name: &ObjectName, start: u64, end: u64) -> Option<Bytes> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter().filter(|(own, ..)| own == name).find_map(|(_, from, bytes)| {
            let first = usize::try_from(start.checked_sub(*from)?).ok()?;
            let last = usize::try_from(end.checked_sub(*from)?).ok()?;
            (first <= last && last <= bytes.len()).then(|| bytes.slice(first..last))
        })
    }

    /// Keeps a range that begins at `from`.
    pub(in crate::store) fn keep(&self, name: &ObjectName, from: u64, bytes: &Bytes) {
        if bytes.len() > LONGEST {
            return;
        }
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.push_back((name.clone(), from, bytes.clone()));
        let mut together: usize = seen.iter().map(|(_, _, bytes)| bytes.len()).sum();
        while together > KEPT_BYTES
            && let Some((_, _, oldest)) = seen.pop_front()
        {
            together = together.saturating_sub(oldest.len());
        }
    }
}
