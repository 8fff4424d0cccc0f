//! A live database in WAL mode: its file and its log, read under a held read transaction.
//!
//! 1. A read transaction holds a mark M. No checkpoint carries frames beyond M into the file, and
//!    the log is not begun anew while the file lacks any of it.
//! 2. The head of the wal-index is read, later than the mark, so it names a frame N ≥ M.
//! 3. If the log is empty, or all of it was backfilled *and the head did not move around that
//!    answer*, the file alone is the database.
//! 4. Else frames 1 to N are laid over it, all of them: a checkpoint that knew of later frames may
//!    have counted as backfilled a page that it left out. Salts and the running checksum of every
//!    frame are verified, and the last one must be the one that the head names.
//! 5. At the end the head is looked at again. While the salts are the same and no checkpoint has
//!    *begun* to carry frames beyond N, no page that we read can have been overwritten. This holds
//!    even if the lock was lost on the way (see `place`).
//!
//! A commit between 1 and 2 makes N newer than M: the image is then one of N, and the connection
//! sees another state. It begins again a few times, so that the two are mostly the same; whether
//! they are is noted, for who asks the connection for rows.
//!
//! Whatever does not hold begins again from 1, a few times. Writers are never waited for and never
//! made to wait; only a checkpoint that insists on the whole log (`FULL`, `RESTART`, `TRUNCATE`)
//! does not complete before we are done, and the log grows meanwhile.

use rusqlite::Connection;

use super::connect::{Refusal, begin, end, open_and_begin, patiently};
use super::image::Image;
use super::place::{Opened, Place};
use super::wal::{Index, Scan, WalHeader, is_followed, scan};
use super::{Check, Method, Outcome, TakeOptions, Taken};
use crate::error::{IoContext as _, Result};
use crate::files::metadata::stat_file;

/// So often the transaction is begun so that no commit lies between its beginning and the head.
const EXACT_TRIES: usize = 8;

/// What must still hold when a live image has been read.
#[derive(Debug)]
pub(super) struct LiveCheck {
    shm: std::fs::File,
    salts: [u8; 8],
    max_frame: u32,
}

impl LiveCheck {
    /// Returns whether no page of the image can have been overwritten.
    pub(super) fn holds(&self) -> std::io::Result<bool> {
        // A writer may be at the head just now: a moment later it is whole.
        for _ in 0..100 {
            if let Some(index) = Index::read(&self.shm)? {
                return Ok(index.salts == self.salts && index.backfill_attempted <= self.max_frame);
            }
            std::thread::yield_now();
        }
        Ok(false)
    }
}

/// Takes a database that other processes have open in WAL mode.
pub(super) fn take(place: &Place, opened: Opened, options: &TakeOptions<'_>) -> Result<Outcome> {
    let before = newest_commit(&opened);
    let connection = match open_and_begin(&place.database, options.patience) {
        Ok(connection) => connection,
        Err(refusal) => return Ok(Outcome::Refused(refusal, opened)),
    };
    let before = match begin_between_commits(&connection, &opened, before, options) {
        Ok(before) => before,
        Err(refusal) => {
            // The connection goes before the raw descriptors.
            drop(connection);
            return Ok(Outcome::Refused(refusal, opened));
        }
    };
    let outcome = under_transaction(place, &connection, opened, options)?;
    Ok(match outcome {
        Step::Held(mut taken, newest) => {
            taken.is_exact = before == Some(newest);
            taken.connection = Some(connection);
            Outcome::Taken(taken)
        }
        Step::Copied(taken, opened) => {
            drop(connection);
            drop(opened);
            Outcome::Taken(taken)
        }
        Step::Moved(why, opened) => {
            // The connection goes before the raw descriptors.
            drop(connection);
            drop(opened);
            Outcome::Moved(why)
        }
    })
}

/// Which commit is the newest: the log's salts, and its last frame.
type Commit = ([u8; 8], u32);

fn commit_of(index: &Index) -> Commit {
    (index.salts, index.max_frame)
}

/// Returns the newest commit; `None` while a writer is at the head.
fn newest_commit(opened: &Opened) -> Option<Commit> {
    let index = opened.shm.as_ref().and_then(|shm| Index::read(shm).ok().flatten());
    index.as_ref().map(commit_of)
}

/// Begins the transaction again, a few times, until no commit came while it began: then the mark M
/// is the newest commit. Returns the commit before which it began.
fn begin_between_commits(
    connection: &Connection,
    opened: &Opened,
    mut before: Option<Commit>,
    options: &TakeOptions<'_>,
) -> Result<Option<Commit>, Refusal> {
    for _ in 0..EXACT_TRIES {
        if before.is_some() && newest_commit(opened) == before {
            break;
        }
        end(connection);
        before = newest_commit(opened);
        patiently(options.patience, || begin(connection))?;
    }
    Ok(before)
}

enum Step {
    /// With the commit that the image is of.
    Held(Box<Taken>, Commit),
    Copied(Box<Taken>, Opened),
    Moved(&'static str, Opened),
}

fn under_transaction(
    place: &Place,
    connection: &Connection,
    opened: Opened,
    options: &TakeOptions<'_>,
) -> Result<Step> {
    if !opened.is_in_place(place)? {
        return Ok(Step::Moved("its files were replaced", opened));
    }
    let Some(shm) = &opened.shm else {
        return Ok(Step::Moved("its wal-index went away", opened));
    };
    let Some(index) = Index::read(shm).at("cannot read", &place.shm)? else {
        return Ok(Step::Moved("its wal-index is being written", opened));
    };
    if index.max_frame == 0 || index.is_backfilled {
        return alone(place, index, opened);
    }
    let Some((wal, _)) = opened.filled_wal() else {
        return Ok(Step::Moved("its log was cut", opened));
    };
    let header = WalHeader::read(wal).at("cannot read", &place.wal)?;
    let Some(header) =
        header.filter(|it| it.salts == index.salts && it.page_size == index.page_size)
    else {
        return Ok(Step::Moved("its log was begun anew", opened));
    };
    let overlay = match scan(wal, header, index.max_frame).at("cannot read", &place.wal)? {
        Scan::Whole { overlay, sums, commit_pages }
            if sums == index.frame_sums && commit_pages == index.page_count =>
        {
            overlay
        }
        Scan::Whole { .. } | Scan::Broken => {
            return Ok(Step::Moved("its log and its wal-index do not agree", opened));
        }
        Scan::Full => {
            let copy = super::copy::by_backup(place, connection, options)?;
            return Ok(Step::Copied(copy, opened));
        }
    };
    let is_followed = is_followed(wal, header, index.max_frame).at("cannot read", &place.wal)?;
    let Opened { file, wal: Some((wal, _)), shm: Some(shm), .. } = opened else {
        return Ok(Step::Moved("its log went away", opened));
    };
    let length = u64::from(index.page_count).saturating_mul(u64::from(index.page_size));
    let image = Image::of_file(file, length, index.page_size).with_log(wal, overlay);
    let check = LiveCheck { shm, salts: index.salts, max_frame: index.max_frame };
    let mut taken = Taken::new(Method::LiveWal, image, Check::Live(check));
    taken.is_traceable = !is_followed;
    Ok(Step::Held(taken, commit_of(&index)))
}

/// The file alone: nothing may write to it while the transaction is held.
fn alone(place: &Place, index: Index, opened: Opened) -> Result<Step> {
    let Some(header) = super::read_header(&opened.file, &place.database)? else {
        return Ok(Step::Moved("it is being replaced", opened));
    };
    let stat = stat_file(&opened.file)?;
    let page_size = u64::from(header.page_size);
    let length = match u64::from(index.page_count) {
        0 => stat.size.div_ceil(page_size).saturating_mul(page_size),
        count => count.saturating_mul(page_size),
    };
    let file = opened.file.try_clone().at("cannot read", &place.database)?;
    let is_followed = match opened.filled_wal() {
        Some((wal, _)) => match WalHeader::read(wal).at("cannot read", &place.wal)? {
            Some(header) if header.salts == index.salts => {
                is_followed(wal, header, index.max_frame).at("cannot read", &place.wal)?
            }
            _ => false,
        },
        None => false,
    };
    let image = Image::of_file(opened.file, length, header.page_size);
    let mut taken = Taken::new(Method::DatabaseAlone, image, Check::Files(vec![(file, stat)]));
    taken.is_traceable = !is_followed;
    // Closed with the image, after the connection.
    taken.kept = [opened.wal.map(|it| it.0), opened.shm].into_iter().flatten().collect();
    Ok(Step::Held(taken, commit_of(&index)))
}
