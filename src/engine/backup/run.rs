//! One run's pipeline: starts the threads, walks the roots, and gathers what came of it.

use std::os::unix::ffi::OsStrExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::ScopedJoinHandle;

use super::assemble::{Assembled, assemble};
use super::content::{WorkerContext, work};
use super::difference::DifferenceWriter;
use super::health::Health;
use super::message::Batch;
use super::metadata::{MetadataWriter, Sums};
use super::observing::{Changes, Observing, WAITING, observe_texts};
use super::producer::Producer;
use super::source::ContentReader;
use super::survey::survey;
use super::walked::{PlacedRoot, SeenPair, Walked};
use super::{Backup, BackupReport, Packer, StreamSource};
use crate::error::{Error, Result};
use crate::format::record::{Attachment, Root, RootKind};
use crate::format::tree::Node;
use crate::repository::index::Index;
use crate::repository::packer::Packed;

/// Messages on their way to the assembler.
const MESSAGES: usize = 4096;

/// What a run came to.
pub(super) struct Outcome {
    pub(super) report: BackupReport,
    pub(super) roots: Vec<Root>,
    pub(super) attachment: Option<Attachment>,
    pub(super) packed: Packed,
    pub(super) seen: SeenPair,
    pub(super) health: Health,
    /// Bytes of objects stored before the commit.
    pub(super) published: u64,
}

/// Runs the pipeline over all roots, or over one stream.
pub(super) fn run(
    backup: &Backup<'_>,
    index: &Index,
    stream: Option<&mut StreamSource<'_>>,
) -> Result<Outcome> {
    let keys = Arc::clone(backup.repository.keys());
    let packer = Packer::start(
        backup.repository.store().clone(),
        Arc::clone(&keys),
        backup.repository.id().0,
        backup.repository.state().cloned(),
        backup.began.0,
    );
    packer.adopt(backup.adopted.clone());
    let poisoned = AtomicBool::new(false);
    let threads = backup.options.threads.max(1);
    let (batch_sender, batch_receiver) = crossbeam_channel::bounded::<Batch>(threads);
    let (buffer_sender, buffer_receiver) =
        crossbeam_channel::bounded(threads.saturating_mul(2).saturating_add(2));
    let (message_sender, message_receiver) = crossbeam_channel::bounded(MESSAGES);
    let context = WorkerContext {
        repository: backup.repository,
        keys: &keys,
        index,
        packer: &packer,
        counters: backup.counters,
        poisoned: &poisoned,
        compression: backup.options.compression,
        parent_stands: !backup.has_gaps,
    };
    let (text_sender, text_receiver) = crossbeam_channel::bounded(WAITING);
    let observer = backup.observer();
    let (walked, assembled, sums, texts) = std::thread::scope(|scope| {
        // Closed with this scope's end, whichever way it ends.
        let (_running, ended) = crossbeam_channel::bounded::<()>(0);
        if stream.is_none() && backup.counters.is_watched.load(Ordering::Relaxed) {
            scope.spawn(move || survey(backup, &ended));
        }
        let workers: Vec<ScopedJoinHandle<'_, Result<Sums>>> = (0..threads)
            .map(|_| {
                let (batches, buffers) = (batch_receiver.clone(), buffer_sender.clone());
                let (messages, context) = (message_sender.clone(), &context);
                scope.spawn(move || work(context, &batches, &buffers, &messages))
            })
            .collect();
        drop(batch_receiver);
        let writer = MetadataWriter::new(&keys, index, &packer)?
            .with_differences(DifferenceWriter::new(backup.repository)?);
        let assembler = scope.spawn(move || assemble(writer, &message_receiver));
        let reader = ContentReader::new(
            &keys,
            batch_sender,
            buffer_receiver,
            message_sender.clone(),
            backup.counters,
        );
        let poisoned = &poisoned;
        let watcher = observer.map(|observer| {
            let (counters, reporter) = (backup.counters, backup.reporter);
            let work =
                move || observe_texts(observer, &text_receiver, poisoned, counters, reporter);
            scope.spawn(work)
        });
        let observing = observer.map(|observer| Observing::start(backup, observer, text_sender));
        let producer = observing.transpose().and_then(|observing| {
            Producer::new(backup, index, &packer, poisoned, reader, message_sender, observing)
        });
        let walked = producer.and_then(|producer| producer.run(stream));
        let gathered = gather(walked, workers, assembler);
        let texts = watcher.map_or_else(|| Ok(Changes::default()), ScopedJoinHandle::join);
        let (walked, assembled, sums) = gathered?;
        Ok((walked, assembled, sums, texts.map_err(|_| panicked())?))
    })?;
    let Assembled { roots: root_nodes, same_files, .. } = assembled;
    let Walked { mut report, places, seen, health, published, contributors, observed } = walked;
    report.statistics.files_changed = report.statistics.files_changed.saturating_sub(same_files);
    report.files_unchanged = report.files_unchanged.saturating_add(same_files);
    let (added, stored, blobs) = sums;
    report.statistics.added_bytes = added;
    report.statistics.stored_bytes = stored;
    report.blobs_added = blobs;
    (report.bytes_to_read, report.contributors) = contributors.finish();
    let carried = backup.carried_roots();
    backup.count_carried(&carried, &mut report.statistics)?;
    let roots = in_order(places, root_nodes, carried);
    let (attachment, sums) = backup.attach(index, &packer, &roots, observed, texts)?;
    let statistics = &mut report.statistics;
    statistics.added_bytes = statistics.added_bytes.saturating_add(sums.0);
    statistics.stored_bytes = statistics.stored_bytes.saturating_add(sums.1);
    report.blobs_added = report.blobs_added.saturating_add(sums.2);
    let packed = packer.finish()?;
    let published = published.saturating_add(packed.1);
    Ok(Outcome { report, roots, attachment, packed: packed.0, seen, health, published })
}

/// Returns the roots that were walked, with their nodes, and those that were not.
fn in_order(places: Vec<PlacedRoot>, nodes: Vec<Node>, carried: Vec<Root>) -> Vec<Root> {
    let mut roots: Vec<Root> = places
        .into_iter()
        .zip(nodes)
        .map(|(root, node)| Root {
            kind: root.kind as u64,
            agent: root.agent,
            label: root.label,
            place: root.place.as_os_str().as_bytes().into(),
            node,
            ..Root::default()
        })
        .chain(carried)
        .collect();
    // The same order whichever of them were walked: agents, then paths.
    let is_path = |root: &Root| root.kind != RootKind::Agent as u64;
    roots.sort_by(|one, other| {
        let key = |root: &Root| (is_path(root), root.agent.clone(), root.label.clone());
        key(one).cmp(&key(other))
    });
    roots
}

fn panicked() -> Error {
    Error::failed("a worker of the backup has panicked")
}

/// Joins all threads. The first failure that is not a mere echo of another is returned.
fn gather(
    walked: Result<Walked>,
    workers: Vec<ScopedJoinHandle<'_, Result<Sums>>>,
    assembler: ScopedJoinHandle<'_, Result<Assembled>>,
) -> Result<(Walked, Assembled, Sums)> {
    let mut sums = (0_u64, 0_u64, 0_u64);
    let add = |sums: &mut Sums, more: Sums| {
        sums.0 = sums.0.saturating_add(more.0);
        sums.1 = sums.1.saturating_add(more.1);
        sums.2 = sums.2.saturating_add(more.2);
    };
    let mut worker_failure = None;
    for worker in workers {
        match worker.join().unwrap_or_else(|_| Err(panicked())) {
            Ok(more) => add(&mut sums, more),
            Err(error) => worker_failure = Some(error),
        }
    }
    let assembled = assembler.join().unwrap_or_else(|_| Err(panicked()));
    if let Some(error) = worker_failure {
        return Err(error);
    }
    // A walk that failed because its channels closed is an echo of the assembler's failure, and
    // an assembler cut short one of the walk's.
    let walked = match (walked, &assembled) {
        (Err(walk), Err(_)) if walk.kind() != crate::error::Kind::Failed => return Err(walk),
        (Err(_), Err(_)) => {
            return Err(assembled.err().unwrap_or_else(panicked));
        }
        (walked, _) => walked?,
    };
    let assembled = assembled?;
    add(&mut sums, assembled.sums);
    Ok((walked, assembled, sums))
}
