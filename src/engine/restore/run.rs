//! The walk of a restore: decides for each node, makes what has no content, and names the pieces
//! of what has.

use std::collections::VecDeque;

use super::batch::{Batch, Shared};
use super::decide::{Decision, decide_directory};
use super::links::HardLinks;
use super::workers::{WorkSender, work};
use super::{Job, RestoreOptions, RestoreReport, metadata_of};
use crate::engine::browse::{Found, TreeStep, TreeWalk};
use crate::error::{Error, Result};
use crate::event::{Action, Counters, Event, Reporter};
use crate::files::{Owners, Stat, Target, TargetDir};
use crate::format::tree::{Node, NodeKind};
use crate::repository::Repository;
use crate::repository::reader::BlobReader;

/// Directories of the walk that are held open.
const OPEN_LEVELS: usize = 64;

/// A directory that is done: the names that lead to it, its path, its metadata.
struct FinishedDirectory {
    names: Vec<Vec<u8>>,
    path: Vec<u8>,
    node: Node,
}

/// What lies in a directory of the target, ascending.
pub(super) type Existing = VecDeque<(Vec<u8>, Stat)>;

pub(super) struct Frame {
    name: Vec<u8>,
    pub(super) path: Vec<u8>,
    node: Node,
    open: Option<TargetDir>,
    /// Whether it is there (or, in a dry run, would be).
    exists: bool,
    /// Whether nothing was there before, so that nothing below needs a look.
    is_new: bool,
    /// Whether the filter takes all that lies in it.
    pub(super) included: bool,
    /// For `--delete`: what is there, ascending, and not yet met in the snapshot.
    pub(super) there: Option<Existing>,
    /// How the directory is to be left alone: neither deletion nor metadata.
    spared: bool,
}

/// One job under way.
pub(super) struct Run<'a, 's> {
    pub(super) shared: &'a Shared<'s>,
    pub(super) options: &'a RestoreOptions,
    target: Option<&'a Target>,
    pub(super) batches: WorkSender,
    pub(super) batch: Batch,
    pub(super) batch_directories: usize,
    pub(super) frames: Vec<Frame>,
    /// Names between the target and the first frame.
    above: Vec<Vec<u8>>,
    finished_directories: Vec<FinishedDirectory>,
    pub(super) links: HardLinks,
}

/// Restores one job; adds to `report`.
pub(super) fn run(
    repository: &Repository,
    reader: &mut BlobReader<'_>,
    job: Job,
    options: &RestoreOptions,
    counters: &Counters,
    reporter: &dyn Reporter,
    report: &mut RestoreReport,
) -> Result<()> {
    let owners = Owners::of_system();
    // A dry run into nothing needs some target for its handle; it never writes to it.
    let handle = match &job.target {
        Some(target) => target.clone(),
        None => Target::open(std::path::Path::new("/"), false)?,
    };
    let shared = Shared::new(repository, options, &owners, counters, reporter, handle);
    *shared.report() = report.clone();
    let (sender, receiver) = WorkSender::new(repository.store().is_remote());
    let finished = std::thread::scope(|scope| {
        let shared = &shared;
        let workers: Vec<_> = (0..repository.store().readers(options.threads).max(1))
            .map(|_| {
                let receiver = receiver.clone();
                scope.spawn(move || work(shared, &receiver))
            })
            .collect();
        drop(receiver);
        let mut run = Run {
            shared,
            options,
            target: job.target.as_ref(),
            batches: sender,
            batch: Batch::default(),
            batch_directories: 0,
            frames: Vec::new(),
            above: job.above,
            finished_directories: Vec::new(),
            links: HardLinks::default(),
        };
        let walked = run.walk(reader, job.items, job.contents_only, job.is_empty);
        let walked = walked.and_then(|()| run.send());
        let Run { finished_directories, links, batches, .. } = run;
        drop(batches);
        for worker in workers {
            if worker.join().is_err() {
                shared.stop(Error::failed("a worker of the restore has panicked"));
            }
        }
        // The walk may have been told of the failure, and nothing then remains of it here but that
        // the run stops.
        walked.and_then(|()| shared.go_on()).and(Ok((finished_directories, links)))
    });
    let (directories, links) = match finished {
        Ok(finished) => finished,
        Err(error) => {
            // Files that are complete get their names even so; the others leave no trace.
            if error.kind() == crate::error::Kind::Interrupted {
                shared.rename_finished()?;
            }
            return Err(error);
        }
    };
    if let Some(target) = job.target.as_ref().filter(|_| !options.dry_run) {
        shared.rename_finished()?;
        links.make(target, &shared);
        finish_directories(target, &directories, &shared);
        target.sync_filesystem()?;
        shared.go_on()?;
    }
    *report = shared.report().clone();
    Ok(())
}

/// Gives directories their metadata, the deepest first, so that times stay.
fn finish_directories(target: &Target, directories: &[FinishedDirectory], shared: &Shared<'_>) {
    for FinishedDirectory { names, path, node } in directories {
        let names: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
        let Some((name, parents)) = names.split_last() else { continue };
        match target.directory(parents, false) {
            Ok(Some(directory)) => {
                let errors = directory.apply(name, node, shared.options.apply, shared.owners);
                shared.metadata_failed(path, &errors);
            }
            Ok(None) => {}
            Err(error) => shared.metadata_failed(path, &[error]),
        }
    }
}

impl Run<'_, '_> {
    fn walk(
        &mut self,
        reader: &mut BlobReader<'_>,
        items: Vec<Found>,
        contents_only: bool,
        is_empty: bool,
    ) -> Result<()> {
        for item in items {
            if contents_only {
                self.enter_target(&item, is_empty)?;
            }
            let mut walk = TreeWalk::new(item, self.options.with_absent);
            let mut skip_first = contents_only;
            while let Some(step) = walk.next(reader) {
                self.shared.go_on()?;
                match step {
                    TreeStep::Node(_) if std::mem::take(&mut skip_first) => {}
                    TreeStep::Node(found) => {
                        let is_directory = found.node.kind == NodeKind::Directory;
                        let entered = self.node(reader, *found, is_empty)?;
                        if is_directory && !entered {
                            walk.skip();
                            self.frames.push(Frame::skipped());
                        }
                    }
                    TreeStep::Leave => self.leave()?,
                    TreeStep::Failed { path, error } => {
                        // What the lost part holds must not be taken for deleted; the
                        // directory itself is known all the same.
                        if let Some(frame) = self.frames.last_mut() {
                            frame.there = None;
                        }
                        self.shared.item_failed(&path, error);
                    }
                }
            }
        }
        Ok(())
    }

    /// Begins with the target itself in the place of a directory.
    fn enter_target(&mut self, item: &Found, is_empty: bool) -> Result<()> {
        let root = self.target.map(|target| target.root().clone());
        let there = self.list_for_delete(root.as_ref(), is_empty)?;
        self.frames.push(Frame {
            name: Vec::new(),
            path: item.path.clone(),
            node: metadata_of(&item.node),
            exists: root.is_some(),
            open: root,
            is_new: is_empty,
            included: self.options.filter.is_empty(),
            there,
            spared: true,
        });
        Ok(())
    }

    /// Deals with one node; false for a directory that is not to be entered.
    fn node(&mut self, reader: &mut BlobReader<'_>, found: Found, is_empty: bool) -> Result<bool> {
        self.delete_before(&found.node.name)?;
        if self.options.filter.excludes(&found.path, &found.node) {
            return Ok(false);
        }
        let included = self.frames.last().is_some_and(|frame| frame.included)
            || self.options.filter.includes(&found.path, &found.node);
        let is_new = self.frames.last().map_or(is_empty, |frame| frame.is_new);
        let there = if is_new { None } else { self.stat(&found.node.name)? };
        if found.node.kind == NodeKind::Directory {
            return self.directory(found, included, there.as_ref());
        }
        if !included {
            return Ok(true);
        }
        let path = found.path.clone();
        match self.item(reader, found, there.as_ref()) {
            Ok(()) => {}
            Err(error) if error.kind() == crate::error::Kind::Interrupted => return Err(error),
            Err(error) => self.shared.item_failed(&path, error),
        }
        Ok(true)
    }

    fn stat(&mut self, name: &[u8]) -> Result<Option<Stat>> {
        match self.current(false)? {
            Some(directory) => directory.stat(name),
            None => Ok(None),
        }
    }

    /// Returns the directory that the walk is in; makes it, and those above it, if `create`.
    pub(super) fn current(&mut self, create: bool) -> Result<Option<TargetDir>> {
        let Some(target) = self.target else { return Ok(None) };
        if let Some(open) = self.frames.last().and_then(|frame| frame.open.clone()) {
            return Ok(Some(open));
        }
        if self.frames.last().is_some_and(|frame| !frame.exists) && !create {
            return Ok(None);
        }
        let names = self.names();
        let names: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
        let directory = target.directory(&names, create && !self.options.dry_run)?;
        if let Some(directory) = &directory {
            if let Some(frame) = self.frames.last_mut() {
                frame.open = Some(directory.clone());
            }
            for frame in &mut self.frames {
                if !frame.exists {
                    frame.exists = true;
                    frame.is_new = true;
                    let mut report = self.shared.report();
                    report.directories_created = report.directories_created.saturating_add(1);
                }
            }
        }
        Ok(directory)
    }

    /// Returns the names from the target to the directory that the walk is in.
    pub(super) fn names(&self) -> Vec<Vec<u8>> {
        let frames = self.frames.iter().map(|frame| frame.name.clone());
        self.above.iter().cloned().chain(frames).filter(|name| !name.is_empty()).collect()
    }

    fn directory(&mut self, found: Found, included: bool, there: Option<&Stat>) -> Result<bool> {
        let decision = decide_directory(there, self.options);
        if decision == Decision::Keep {
            self.shared.item_failed(
                &found.path,
                Error::failed("something else is in the place of directory")
                    .object(String::from_utf8_lossy(&found.path)),
            );
            return Ok(false);
        }
        let name = found.node.name.0.clone();
        if decision == Decision::Clear
            && !self.options.dry_run
            && let Some(parent) = self.current(false)?
        {
            parent.remove(&name)?;
        }
        let is_new = decision != Decision::Refresh;
        let mut frame = Frame {
            name: name.clone(),
            path: found.path,
            node: metadata_of(&found.node),
            open: None,
            exists: !is_new,
            is_new,
            included,
            there: None,
            spared: false,
        };
        if is_new && included && !self.options.dry_run {
            if let Some(parent) = self.current(true)? {
                frame.open = Some(parent.make_directory(&name)?);
            }
            frame.exists = true;
        } else if !is_new && let Some(parent) = self.current(false)? {
            frame.open = parent.find_directory(&name)?;
            frame.there = self.list_for_delete(frame.open.as_ref(), false)?;
        }
        if is_new && included {
            let mut report = self.shared.report();
            report.directories_created = report.directories_created.saturating_add(1);
            if self.options.dry_run {
                frame.exists = true;
            }
        }
        self.frames.push(frame);
        // Deep trees must not use up all handles; they are opened again on the way back.
        if let Some(place) = self.frames.len().checked_sub(OPEN_LEVELS)
            && let Some(frame) = self.frames.get_mut(place)
        {
            frame.open = None;
        }
        Ok(true)
    }

    fn leave(&mut self) -> Result<()> {
        self.delete_rest()?;
        let names = self.names();
        let Some(frame) = self.frames.pop() else { return Ok(()) };
        let touched = frame.exists && (frame.included || frame.is_new);
        if touched && !frame.spared && !names.is_empty() && !self.options.dry_run {
            let Frame { path, node, .. } = frame;
            self.finished_directories.push(FinishedDirectory { names, path, node });
        }
        Ok(())
    }

    pub(super) fn tell(&self, path: &[u8], action: Action, size_bytes: u64) {
        self.shared.reporter.event(&Event::Item { path, action, size_bytes });
    }
}

impl Frame {
    /// Stands for a directory that is not entered.
    fn skipped() -> Frame {
        Frame {
            name: Vec::new(),
            path: Vec::new(),
            node: Node::default(),
            open: None,
            exists: false,
            is_new: false,
            included: false,
            there: None,
            spared: true,
        }
    }
}
