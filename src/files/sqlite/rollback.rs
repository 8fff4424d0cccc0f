//! A database in rollback-journal mode: it must not be written to while it is read.
//!
//! The only lock that keeps writers out, `SHARED`, makes them wait for as long as it is held, and
//! many give up at once. So it is never held for longer than a copy takes:
//!
//! - up to [`AT_ONCE_BYTES`], the file is read into memory under the lock, having been read once
//!   before so that it comes from the page cache (measured: see the head of `sqlite`);
//! - larger ones are *watched*: under the lock, held for an instant, size, times and change counter
//!   are noted; the file is read without any lock; and at the end they must be the same, again
//!   under the lock. Every transaction in this mode moves the counter, and every write the times.
//!   If they moved, the caller takes it again;
//! - a file that would not hold still twice, or that is written to all the time, is copied to the
//!   temporary folder under the lock (blocks shared where the file system can), and read from
//!   there. Where there is no room for that, the lock is held until the caller is done.
//!
//! The backup API stepped without a lock would begin anew at each commit as watching does, but
//! reads at a tenth of the speed; stepped in one go, it holds the same lock for longer than a copy.

use std::fs::File;

use rusqlite::Connection;

use super::connect::{Refusal, begin, open_and_begin, patiently};
use super::header::{DatabaseHeader, Mode};
use super::image::{Image, PRIVATE_NAME};
use super::place::{Opened, Place, copy_file, private_folder, settle};
use super::wal::read_full;
use super::{Check, Method, Outcome, TakeOptions, Taken};
use crate::error::{IoContext as _, Result};
use crate::files::metadata::stat_file;
use crate::files::stat::Stat;

/// Up to here a file is read into memory under the lock, in bytes.
const AT_ONCE_BYTES: u64 = 4 << 20;
/// From this attempt on, a file is copied under the lock.
const COPY_ATTEMPT: u32 = 2;
/// So often a file may turn out to have been written to a moment ago.
const SETTLE_TRIES: usize = 3;

/// What must still be so at the end of a watch.
#[derive(Debug)]
pub(super) struct WatchCheck {
    file: File,
    stat: Stat,
    change_counter: u32,
}

impl WatchCheck {
    fn begin(file: &File, stat: Stat, change_counter: u32, place: &Place) -> Result<WatchCheck> {
        let file = file.try_clone().at("cannot read", &place.database)?;
        Ok(WatchCheck { file, stat, change_counter })
    }

    /// Returns whether nobody wrote; `connection` has no transaction.
    pub(super) fn holds(
        &self,
        connection: &Connection,
        place: &Place,
        patience: std::time::Duration,
    ) -> Result<bool> {
        // A hot journal, or a lock that stays: somebody is writing.
        if patiently(patience, || begin(connection)).is_err() {
            return Ok(false);
        }
        let header = super::read_header(&self.file, &place.database)?;
        let stat = stat_file(&self.file)?;
        let counter = header.map(|header| header.change_counter);
        Ok(stat.is_same_content(&self.stat) && counter == Some(self.change_counter))
    }
}

/// Takes a database whose header says that it is written with a rollback journal.
pub(super) fn take(place: &Place, opened: Opened, options: &TakeOptions<'_>) -> Result<Outcome> {
    let is_small = opened.stat.size <= AT_ONCE_BYTES;
    if is_small {
        // Into the page cache, so that the lock is held for a fraction of a millisecond.
        read_whole(&opened.file, opened.stat.size).at("cannot read", &place.database)?;
    }
    let connection = match open_and_begin(&place.database, options.patience) {
        Ok(connection) => connection,
        Err(refusal) => return Ok(Outcome::Refused(refusal, opened)),
    };
    let Some(header) = under_lock(place, &opened)? else {
        drop(connection);
        return Ok(Outcome::Moved("it was replaced"));
    };
    let stat = stat_file(&opened.file)?;
    if is_small && stat.size <= AT_ONCE_BYTES {
        let bytes = read_whole(&opened.file, stat.size).at("cannot read", &place.database)?;
        drop(connection);
        let image = Image::of_bytes(bytes, header.page_size);
        return Ok(Outcome::Taken(Taken::new(Method::Shared, image, Check::Nothing)));
    }
    if options.attempt < COPY_ATTEMPT {
        match watch(place, &connection, &opened, options) {
            Ok(Some((check, page_size))) => {
                let image = Image::of_file(opened.file, check.stat.size, page_size);
                let mut taken = Taken::new(Method::Watched, image, Check::Watch(check));
                taken.connection = Some(connection);
                return Ok(Outcome::Taken(taken));
            }
            Ok(None) => {
                drop(connection);
                return Ok(Outcome::Moved("it was replaced"));
            }
            // Written to all the time: the lock is there, or can be had.
            Err(Watching::Restless) => {}
            Err(Watching::Refused(refusal)) => {
                drop(connection);
                return Ok(Outcome::Refused(refusal, opened));
            }
            Err(Watching::Failed(error)) => {
                drop(connection);
                return Err(error);
            }
        }
    }
    copy(place, connection, opened, header, options)
}

/// Under the lock: the header, if this is still the file at the path, and in the same mode.
fn under_lock(place: &Place, opened: &Opened) -> Result<Option<DatabaseHeader>> {
    if !opened.is_in_place(place)? {
        return Ok(None);
    }
    let header = super::read_header(&opened.file, &place.database)?;
    Ok(header.filter(|header| header.mode == Mode::Rollback))
}

fn read_whole(file: &File, size: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
    let count = read_full(file, &mut bytes, 0)?;
    bytes.truncate(count);
    Ok(bytes)
}

enum Watching {
    Restless,
    Refused(Refusal),
    Failed(crate::error::Error),
}

impl From<crate::error::Error> for Watching {
    fn from(error: crate::error::Error) -> Watching {
        Watching::Failed(error)
    }
}

/// Notes what must not move, and gives up the lock. On [`Watching::Restless`] it is still held.
fn watch(
    place: &Place,
    connection: &Connection,
    opened: &Opened,
    options: &TakeOptions<'_>,
) -> Result<Option<(WatchCheck, u32)>, Watching> {
    let mut before = stat_file(&opened.file)?;
    for _ in 0..SETTLE_TRIES {
        let Some(header) = under_lock(place, opened)? else { return Ok(None) };
        end(connection);
        let waited = settle(options.clock, &[before]);
        if !waited {
            let check = WatchCheck::begin(&opened.file, before, header.change_counter, place)?;
            return Ok(Some((check, header.page_size)));
        }
        patiently(options.patience, || begin(connection)).map_err(Watching::Refused)?;
        let after = stat_file(&opened.file)?;
        if after.is_same_content(&before) {
            let Some(header) = under_lock(place, opened)? else { return Ok(None) };
            end(connection);
            let check = WatchCheck::begin(&opened.file, after, header.change_counter, place)?;
            return Ok(Some((check, header.page_size)));
        }
        before = after;
    }
    Err(Watching::Restless)
}

fn end(connection: &Connection) {
    // A read transaction ends in any case; there is nothing to lose.
    let _ended = connection.execute_batch("ROLLBACK");
}

/// Copies the file under the lock; without room for that, keeps the lock.
fn copy(
    place: &Place,
    connection: Connection,
    opened: Opened,
    header: DatabaseHeader,
    options: &TakeOptions<'_>,
) -> Result<Outcome> {
    let stat = stat_file(&opened.file)?;
    let copied = private_folder(options.temporary_folder).and_then(|folder| {
        let path = folder.path().join(PRIVATE_NAME);
        let file = copy_file(&opened.file, stat.size, &path)?;
        Image::of_private(folder, file, header.page_size).at("cannot read", &path)
    });
    let taken = if let Ok(image) = copied {
        drop(connection);
        Taken::new(Method::Shared, image, Check::Nothing)
    } else {
        let file = opened.file.try_clone().at("cannot read", &place.database)?;
        let image = Image::of_file(file, stat.size, header.page_size);
        let mut taken = Taken::new(Method::Shared, image, Check::Nothing);
        taken.connection = Some(connection);
        taken.kept = vec![opened.file];
        return Ok(Outcome::Taken(taken));
    };
    drop(opened);
    Ok(Outcome::Taken(taken))
}
