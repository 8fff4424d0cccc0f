//! What a store can do, found out by doing it with one small object.

use std::time::Duration;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{GetOptions, ObjectStoreExt as _, PutMode, PutOptions};
use tokio::time::Instant;

use crate::codec::crypto::random_bytes;
use crate::error::{Error, Result};
use crate::store::Store;
use crate::store::clock::SCRATCH;
use crate::store::objects::whole;

/// One thing that was tried.
#[derive(Debug)]
pub struct ProbeStep {
    /// What it was, as people say it.
    pub what: &'static str,
    /// How long it took.
    pub took: Duration,
    /// Why it failed, if it did.
    pub failure: Option<Error>,
}

/// What came of a probe.
#[derive(Debug, Default)]
pub struct Probe {
    /// What was tried, in order. It ends with the first that a repository can't do without.
    pub steps: Vec<ProbeStep>,
    /// Whether the store refuses to make what is there already; `None` if it wasn't found out.
    /// Nothing depends on it.
    pub creates: Option<bool>,
    /// Whether it lets us delete. Backups don't need that.
    pub deletes: Option<bool>,
}

impl Probe {
    /// Returns the failure that rules the store out, if there is one.
    pub fn into_failure(self) -> Option<Error> {
        let mut needed = self.steps.into_iter().filter(|step| step.what != "delete");
        needed.find_map(|step| step.failure)
    }

    fn note<T>(&mut self, what: &'static str, begun: Instant, result: Result<T>) -> Option<T> {
        let (value, failure) = match result {
            Ok(value) => (Some(value), None),
            Err(error) => (None, Some(error)),
        };
        self.steps.push(ProbeStep { what, took: begun.elapsed(), failure });
        value
    }
}

impl Store {
    /// Tries all that a repository asks of a store. Leaves nothing behind, unless it may not
    /// delete.
    pub fn probe(&self) -> Probe {
        let mut probe = Probe::default();
        let Ok(random) = random_bytes::<64>() else { return probe };
        let bytes = Bytes::copy_from_slice(&random);
        let (number, _) = random.split_first_chunk::<16>().unwrap_or((&[0; 16], &[]));
        let name = format!("{:032x}", u128::from_le_bytes(*number));
        let path = Path::from(format!("{SCRATCH}/{name}"));
        // Stopping at the first failure: what follows would fail for the same reason.
        let _all_done = self.try_needed(&mut probe, &path, &bytes).and_then(|()| {
            self.try_creation(&mut probe, &path, &bytes);
            let begun = Instant::now();
            let deleted = self
                .run(self.inner.delete(&path))
                .map_err(|failed| self.error("cannot delete", path.as_ref(), failed));
            let is_gone = probe.note("delete", begun, deleted).is_some();
            probe.deletes = Some(is_gone);
            is_gone.then_some(())
        });
        probe
    }

    fn try_needed(&self, probe: &mut Probe, path: &Path, bytes: &Bytes) -> Option<()> {
        let begun = Instant::now();
        probe.note("list", begun, self.list(super::super::Prefix::Repository))?;

        let begun = Instant::now();
        let put = self.put_scratch(path, bytes.clone());
        let put = put.map_err(|failed| self.error("cannot store", path.as_ref(), failed));
        probe.note("put", begun, put)?;

        let begun = Instant::now();
        let whole = self.read_probe(path, GetOptions::default(), bytes);
        probe.note("get", begun, whole)?;

        let begun = Instant::now();
        let options = GetOptions { range: Some((16..48).into()), ..GetOptions::default() };
        let range = self.read_probe(path, options, &bytes.slice(16..48));
        probe.note("range", begun, range)
    }

    fn read_probe(&self, path: &Path, options: GetOptions, expected: &Bytes) -> Result<()> {
        let call = async { whole(self.inner.get_opts(path, options).await?).await };
        let found =
            self.run(call).map_err(|failed| self.error("cannot read", path.as_ref(), failed))?;
        if found.is_some_and(|found| found == *expected) {
            return Ok(());
        }
        Err(Error::new(
            crate::error::Kind::Store,
            "the store gives other bytes than were stored in",
        )
        .object(self.description())
        .hint("what is between here and the store changes data, or it caches; do not use it"))
    }

    fn try_creation(&self, probe: &mut Probe, path: &Path, bytes: &Bytes) {
        if self.remote.is_none() {
            return;
        }
        let begun = Instant::now();
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let again = self.run(self.inner.put_opts(path, bytes.clone().into(), options));
        let creates = match again {
            Ok(_) => Some(false),
            Err(failed) if failed.is_there() => Some(true),
            Err(failed) if self.refuses_creation(&failed) => Some(false),
            // May be forbidden to write over: says nothing about what comes of a race.
            Err(_) => None,
        };
        probe.note("create if absent", begun, Ok(()));
        probe.creates = creates;
        // A store that says yes and ignores it is asked no more: the question is wasted there.
        if let Some(creates) = creates {
            self.creation.note(creates);
        }
    }
}
