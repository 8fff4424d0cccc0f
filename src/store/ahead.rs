//! Many objects in the order given, the next ones being fetched while the caller looks at one.

use std::pin::Pin;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use object_store::GetOptions;

use super::{ObjectName, Store};
use crate::error::Result;

/// Objects that come one after the other. At most so many as were asked for are in memory, or on
/// their way there.
pub struct InOrder<'s> {
    store: &'s Store,
    fetches: Pin<Box<dyn Stream<Item = Result<Option<Bytes>>> + 's>>,
}

impl Store {
    /// Fetches objects in the order given, up to `at_once` side by side.
    pub fn get_in_order<'s>(&'s self, names: &'s [ObjectName], at_once: usize) -> InOrder<'s> {
        let fetches = names.iter().map(|name| self.fetch(name, GetOptions::default()));
        let at_once = self.side_by_side(at_once.max(1));
        let fetches = futures_util::stream::iter(fetches).buffered(at_once);
        InOrder { store: self, fetches: Box::pin(fetches) }
    }
}

impl Iterator for InOrder<'_> {
    type Item = Result<Option<Bytes>>;

    fn next(&mut self) -> Option<Result<Option<Bytes>>> {
        self.store.block_on(self.fetches.next())
    }
}
