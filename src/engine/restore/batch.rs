//! Files being written: what their pieces are, and what becomes of a file when all are written.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::database::DatabasePlace;
use super::job::FileJob;
use super::{RestoreOptions, RestoreReport};
use crate::error::{Error, Kind, Result};
use crate::event::{Action, Counters, Event, Reporter};
use crate::files::{Owners, PendingFile, Target, TargetFile};
use crate::format::pack::BlobKind;
use crate::id::BlobId;
use crate::repository::Repository;
use crate::repository::cache::{Place, is_damage};

/// Finished files are synced and renamed when so many wait …
const RENAME_FILES: usize = 1_000;
/// … or so many bytes of them.
const RENAME_BYTES: u64 = 256 << 20;

/// One blob's place in a file.
pub(super) struct Piece {
    pub(super) job: Arc<FileJob>,
    pub(super) offset: u64,
    pub(super) id: BlobId,
    pub(super) place: Place,
}

/// Pieces of some files.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) pieces: Vec<Piece>,
    /// Files all of whose pieces have been named.
    pub(super) named: Vec<Arc<FileJob>>,
    pub(super) bytes: u64,
}

/// What the executor and the walking thread share.
pub(super) struct Shared<'a> {
    pub(super) repository: &'a Repository,
    pub(super) options: &'a RestoreOptions,
    pub(super) owners: &'a Owners,
    pub(super) counters: &'a Counters,
    pub(super) reporter: &'a dyn Reporter,
    pub(super) report: Mutex<RestoreReport>,
    pub(super) fatal: Mutex<Option<Error>>,
    renames: Mutex<Renames>,
    target: Target,
}

#[derive(Default)]
struct Renames {
    files: Vec<(PendingFile, Arc<FileJob>)>,
    bytes: u64,
}

impl<'a> Shared<'a> {
    pub(super) fn new(
        repository: &'a Repository,
        options: &'a RestoreOptions,
        owners: &'a Owners,
        counters: &'a Counters,
        reporter: &'a dyn Reporter,
        target: Target,
    ) -> Self {
        Shared {
            repository,
            options,
            owners,
            counters,
            reporter,
            report: Mutex::default(),
            fatal: Mutex::default(),
            renames: Mutex::default(),
            target,
        }
    }

    pub(super) fn report(&self) -> MutexGuard<'_, RestoreReport> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reports an item that could not be restored. A full disk ends the whole run, and so does a
    /// damaged cache, which is not the item's fault.
    pub(super) fn item_failed(&self, path: &[u8], error: Error) {
        if is_damage(&error)
            || error.is_io(std::io::ErrorKind::StorageFull)
            || error.is_io(std::io::ErrorKind::QuotaExceeded)
        {
            self.stop(error);
            return;
        }
        self.reporter.event(&Event::ItemFailed { path, error: &error });
        Counters::add(&self.counters.failed_items, 1);
        let mut report = self.report();
        report.failed = report.failed.saturating_add(1);
        report.damaged |= error.kind() == Kind::Damaged;
    }

    /// Reports metadata that could not be applied.
    pub(super) fn metadata_failed(&self, path: &[u8], errors: &[Error]) {
        for error in errors {
            self.reporter.event(&Event::ItemFailed { path, error });
        }
        if !errors.is_empty() {
            let mut report = self.report();
            report.metadata_failed = report.metadata_failed.saturating_add(1);
        }
    }

    pub(super) fn stop(&self, error: Error) {
        self.fatal.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    /// Returns an error once the run must end.
    pub(super) fn go_on(&self) -> Result<()> {
        if let Some(error) = self.fatal.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // With a new cache the run goes on.
            self.counters.stop.fetch_or(!is_damage(&error), Ordering::Relaxed);
            return Err(error);
        }
        self.counters.go_on()
    }

    /// Completes a file if nothing of it is outstanding.
    pub(super) fn release(&self, job: &Arc<FileJob>) {
        if job.remaining.fetch_sub(1, Ordering::AcqRel) != 1 {
            return;
        }
        if let Err(error) = self.complete(job) {
            self.item_failed(&job.path, error);
        }
    }

    fn complete(&self, job: &Arc<FileJob>) -> Result<()> {
        let mut state = std::mem::take(&mut *job.state());
        let lost = state.failure.take();
        if let Some(error) = lost {
            if !self.options.salvage {
                return Err(error);
            }
            self.reporter.event(&Event::ItemFailed { path: &job.path, error: &error });
            let mut report = self.report();
            report.salvaged = report.salvaged.saturating_add(1);
            report.damaged |= error.kind() == Kind::Damaged;
        }
        let file = match state.file.take().map(Arc::into_inner) {
            Some(Some(file)) => file,
            Some(None) => return Err(Error::failed("a file is still being written")),
            None => job.create()?,
        };
        if !job.inline.is_empty() {
            file.write_at(0, &job.inline)?;
        }
        if job.node.sparse || state.holes {
            file.set_length(job.node.size)?;
        }
        if self.options.verify && !state.holes {
            verify(self.repository, &file, &state.blobs, job)?;
        }
        self.metadata_failed(&job.path, &file.apply(&job.node, self.options.apply, self.owners));
        let size = job.node.size;
        if job.replaces {
            let due = {
                let mut renames = self.renames.lock().unwrap_or_else(PoisonError::into_inner);
                renames.files.push((file.close(), Arc::clone(job)));
                renames.bytes = renames.bytes.saturating_add(size);
                renames.files.len() >= RENAME_FILES || renames.bytes >= RENAME_BYTES
            };
            if due {
                self.rename_finished()?;
            }
        } else {
            file.finish();
            self.written(job, false);
            self.verify_database(job);
        }
        Ok(())
    }

    fn verify_database(&self, job: &FileJob) {
        if let Some(database) = job.database.as_ref().filter(|_| self.options.verify)
            && let Err(error) = database.verify()
        {
            self.item_failed(&job.path, error);
        }
    }

    fn written(&self, job: &FileJob, replaced: bool) {
        let size_bytes = job.node.size;
        Counters::add(&self.counters.done_items, 1);
        let action = if replaced { Action::Modified } else { Action::New };
        self.reporter.event(&Event::Item { path: &job.path, action, size_bytes });
        let mut report = self.report();
        report.bytes_written = report.bytes_written.saturating_add(size_bytes);
        if replaced {
            report.files_overwritten = report.files_overwritten.saturating_add(1);
        } else {
            report.files_created = report.files_created.saturating_add(1);
        }
    }

    /// Makes everything written durable, then gives finished files their names.
    pub(super) fn rename_finished(&self) -> Result<()> {
        let waiting =
            std::mem::take(&mut *self.renames.lock().unwrap_or_else(PoisonError::into_inner));
        if waiting.files.is_empty() {
            return Ok(());
        }
        self.target.sync_filesystem()?;
        for (file, job) in waiting.files {
            let cleared = job.database.as_ref().map_or(Ok(()), DatabasePlace::clear);
            match cleared.and_then(|()| file.rename_over(&job.name)) {
                Ok(()) => {
                    self.written(&job, true);
                    self.verify_database(&job);
                }
                Err(error) => self.item_failed(&job.path, error),
            }
        }
        Ok(())
    }
}

fn verify(
    repository: &Repository,
    file: &TargetFile,
    blobs: &[(BlobId, u64)],
    job: &FileJob,
) -> Result<()> {
    use std::os::unix::fs::FileExt as _;
    let path = String::from_utf8_lossy(&job.path).into_owned();
    let differs = || Error::failed("what was written reads back differently:").object(path.clone());
    let mut offset = 0_u64;
    let mut buffer = Vec::new();
    for (id, length) in blobs {
        buffer.resize(usize::try_from(*length).map_err(|_| differs())?, 0);
        file.file().read_exact_at(&mut buffer, offset).map_err(|error| differs().source(error))?;
        if repository.keys().blob_id(BlobKind::Data, &buffer) != *id {
            return Err(differs());
        }
        offset = offset.saturating_add(*length);
    }
    Ok(())
}
