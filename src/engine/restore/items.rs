//! What a restore does with anything but a directory: leaves it, makes it, or names the pieces of
//! its content.

use std::sync::Arc;

use super::Overwrite;
use super::batch::Piece;
use super::database::DatabasePlace;
use super::decide::{Decision, decide};
use super::job::FileJob;
use super::run::Run;
use crate::engine::browse::Found;
use crate::error::{Error, Result};
use crate::event::{Action, Counters};
use crate::files::{Stat, TargetDir};
use crate::format::tree::{Node, NodeKind};
use crate::id::BlobId;
use crate::repository::reader::BlobReader;

/// A batch is sent when its pieces reach this, in bytes …
const BATCH_BYTES: u64 = 32 << 20;
/// … or it has so many files …
const BATCH_FILES: usize = 2_048;
/// … or directories, each of which it holds open.
const BATCH_DIRECTORIES: usize = 128;

impl Run<'_, '_> {
    pub(super) fn item(
        &mut self,
        reader: &mut BlobReader<'_>,
        found: Found,
        there: Option<&Stat>,
    ) -> Result<()> {
        let mut decision = decide(&found.node, there, self.options);
        // In a rehearsal the directory may be what is not to be one yet.
        let database = match self.current(false) {
            Ok(Some(directory)) => DatabasePlace::of(&found.node, &directory),
            _ => None,
        };
        if decision == Decision::Refresh
            && let Some(database) = &database
            && database.has_companions()?
        {
            decision = Decision::Replace;
        }
        if decision == Decision::Replace && self.is_in_place(&found.node, there)? {
            decision = Decision::Refresh;
        }
        match decision {
            Decision::Keep => {
                self.kept(&found);
                return Ok(());
            }
            Decision::Blocked => {
                return Err(Error::failed("a directory is in the place of")
                    .object(String::from_utf8_lossy(&found.path))
                    .hint("`--delete` removes it"));
            }
            Decision::Refresh => {
                self.kept(&found);
                if !self.options.dry_run
                    && let Some(directory) = self.current(false)?
                {
                    let options = self.options.apply;
                    let node = &found.node;
                    let errors = directory.apply(&node.name, node, options, self.shared.owners);
                    self.shared.metadata_failed(&found.path, &errors);
                }
                return Ok(());
            }
            Decision::Create | Decision::Replace | Decision::Clear => {}
        }
        if self.options.dry_run {
            self.would_write(&found, decision);
            return Ok(());
        }
        if let Some(database) = &database {
            database.begin()?;
        }
        let directory = self.current(true)?.ok_or_else(|| Error::failed("no target"))?;
        if there.is_some_and(|there| there.kind == NodeKind::Directory) {
            directory.remove_tree(&found.node.name)?;
        }
        let names = self.names();
        if !self.links.enter(found.node.hard_link, &names, &found.node.name, &found.path) {
            return Ok(());
        }
        if found.node.kind == NodeKind::File {
            self.file(reader, found, directory, decision != Decision::Create)
        } else {
            self.other(&found, &directory, there.is_some())
        }
    }

    /// Returns whether a link, a pipe or a device of the same kind is the node's already.
    pub(super) fn is_in_place(&mut self, node: &Node, there: Option<&Stat>) -> Result<bool> {
        if self.options.overwrite == Overwrite::Always {
            return Ok(false);
        }
        Ok(match node.kind {
            NodeKind::Symlink => match self.current(false)? {
                Some(directory) => {
                    directory.find_link(&node.name)?.as_deref() == Some(node.target.0.as_slice())
                }
                None => false,
            },
            NodeKind::Fifo | NodeKind::Socket => true,
            NodeKind::CharDevice | NodeKind::BlockDevice => {
                there.is_some_and(|there| Some(there.rdev) == node.device)
            }
            NodeKind::File | NodeKind::Directory | NodeKind::Reference => false,
        })
    }

    pub(super) fn kept(&self, found: &Found) {
        Counters::add(&self.shared.counters.done_items, 1);
        Counters::add(&self.shared.counters.done_bytes, found.node.size);
        self.tell(&found.path, Action::Unchanged, found.node.size);
        if found.node.kind == NodeKind::File {
            let mut report = self.shared.report();
            report.files_unchanged = report.files_unchanged.saturating_add(1);
            report.bytes_unchanged = report.bytes_unchanged.saturating_add(found.node.size);
        }
    }

    pub(super) fn would_write(&self, found: &Found, decision: Decision) {
        let size = found.node.size;
        let is_new = decision == Decision::Create;
        self.tell(&found.path, if is_new { Action::New } else { Action::Modified }, size);
        let mut report = self.shared.report();
        let report = &mut *report;
        let counter = match (found.node.kind, is_new) {
            (NodeKind::File, true) => &mut report.files_created,
            (NodeKind::File, false) => &mut report.files_overwritten,
            _ => &mut report.others_created,
        };
        *counter = counter.saturating_add(1);
        report.bytes_written = report.bytes_written.saturating_add(size);
    }

    pub(super) fn other(
        &mut self,
        found: &Found,
        directory: &TargetDir,
        is_there: bool,
    ) -> Result<()> {
        let node = &found.node;
        let name = node.name.0.as_slice();
        if is_there {
            directory.remove(name)?;
        }
        match node.kind {
            NodeKind::Symlink => directory.symlink(&node.target, name)?,
            NodeKind::Reference => return Ok(()),
            kind => directory.make_special(kind, node.device.unwrap_or((0, 0)), name)?,
        }
        let errors = directory.apply(name, node, self.options.apply, self.shared.owners);
        self.shared.metadata_failed(&found.path, &errors);
        self.tell(&found.path, Action::New, 0);
        let mut report = self.shared.report();
        report.others_created = report.others_created.saturating_add(1);
        Ok(())
    }

    pub(super) fn file(
        &mut self,
        reader: &mut BlobReader<'_>,
        found: Found,
        directory: TargetDir,
        replaces: bool,
    ) -> Result<()> {
        let blobs = &found.node.blobs.0;
        let segments = &found.node.segments.0;
        let job = Arc::new(FileJob::new(directory, found.path, &found.node, replaces));
        let mut offset = 0_u64;
        self.name_pieces(&job, blobs, &mut offset)?;
        for segment in segments {
            match reader.load_list(segment) {
                Ok(ids) => self.name_pieces(&job, &ids, &mut offset)?,
                Err(error) => {
                    job.fail(error);
                    break;
                }
            }
        }
        if offset != job.node.size && job.inline.is_empty() {
            job.fail(
                Error::damaged("the content's length is not the file's:", "")
                    .object(String::from_utf8_lossy(&job.path)),
            );
        }
        self.batch.named.push(job);
        self.batch_directories = self.batch_directories.saturating_add(usize::from(
            self.batch.named.len() < 2
                || self.batch.named.iter().rev().nth(1).is_some_and(|before| {
                    !std::ptr::eq(before.directory.path(), self.last_directory_path())
                }),
        ));
        if self.batch.named.len() >= BATCH_FILES || self.batch_directories >= BATCH_DIRECTORIES {
            self.send()?;
        }
        Ok(())
    }

    pub(super) fn last_directory_path(&self) -> &std::path::Path {
        self.batch.named.last().map_or(std::path::Path::new(""), |job| job.directory.path())
    }

    pub(super) fn name_pieces(
        &mut self,
        job: &Arc<FileJob>,
        ids: &[BlobId],
        offset: &mut u64,
    ) -> Result<()> {
        for id in ids {
            let places = self.shared.repository.cache().places(id)?;
            let Some(place) =
                places.into_iter().find(|place| place.kind == crate::format::pack::BlobKind::Data)
            else {
                job.fail(
                    Error::damaged("data blob is not in the index:", id.to_string())
                        .hint("run `stash repair index`, which reads it anew from the packs"),
                );
                // Its length is unknown, so nothing behind it has a known place.
                return Ok(());
            };
            let length = place.length;
            job.expect_piece(self.options.verify.then_some((*id, length)));
            let piece = Piece { job: Arc::clone(job), offset: *offset, id: *id, place };
            self.batch.pieces.push(piece);
            self.batch.bytes = self.batch.bytes.saturating_add(length);
            *offset = offset.saturating_add(length);
            if self.batch.bytes >= BATCH_BYTES {
                self.send()?;
            }
        }
        Ok(())
    }

    pub(super) fn send(&mut self) -> Result<()> {
        let batch = std::mem::take(&mut self.batch);
        self.batch_directories = 0;
        if batch.pieces.is_empty() && batch.named.is_empty() {
            return Ok(());
        }
        // The workers have gone because of what `go_on` tells.
        self.batches.send(batch).or_else(|error| self.shared.go_on().and(Err(error)))
    }
}
