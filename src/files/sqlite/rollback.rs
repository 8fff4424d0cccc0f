//! A database in rollback-journal mode: it must not be written to while it is read.
//!
//! The only lock that keeps writers out, `SHARED`, makes them wait for as long as it is held, and
//! many give up at once. So it is never held for longer than a copy takes:
//!
//! - up to [`AT_ONCE_BYTES`], the file is read into memory under the lock, having been read once
//!   before so that it comes from the page cache;
//! - larger ones are *watched*: under the lock, held for an instant, size, times and change counter
//!   are noted; the file is read without any lock; and at the end they must be the same, again
//!   under the lock. Every transaction in this mode moves the counter, and every write the times;
//! - if they moved, the next attempt makes a private copy in the temporary folder: under the lock
//!   where the file system shares blocks, which takes an instant. Else it is copied without the
//!   lock, then read again and what changed is copied anew: hashes of its pieces say what that is,
//!   so a pass but the first runs at the speed of reading. A pass during which nobody wrote is
//!   consistent; else the last one is made under the lock. Where there is no room for a copy, the
//!   lock is held until the caller is done.
//!
//! The backup API stepped without a lock would begin anew at each commit as watching does, but
//! reads at a tenth of the speed; stepped in one go, it holds the same lock for longer than a copy.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use rusqlite::Connection;

use super::connect::{Refusal, begin, end, open_and_begin, patiently};
use super::header::{DatabaseHeader, Mode};
use super::image::{Image, PRIVATE_NAME};
use super::place::{Opened, Place, clone_file, make_file, private_folder, settle};
use super::wal::read_full;
use super::{Check, Method, Outcome, TakeOptions, Taken};
use crate::error::{Error, IoContext as _, Result};
use crate::files::metadata::stat_file;
use crate::files::stat::Stat;

/// Up to here a file is read into memory under the lock, in bytes.
const AT_ONCE_BYTES: u64 = 4 << 20;
/// So many passes of a copy are made without the lock.
const FREE_PASSES: usize = 4;
/// The pieces of a copy that are compared, in bytes.
const PIECE_BYTES: usize = 256 << 10;
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
    let watched = match options.attempt {
        0 => watch_in_place(place, &connection, &opened, options),
        _ => Err(Obstacle::Restless),
    };
    let taken = match watched {
        Err(Obstacle::Restless) => copy(place, &connection, &opened, options),
        other => other,
    };
    match taken {
        Ok(mut taken) => {
            let is_done = matches!(taken.check, Check::Nothing) && taken.image.is_private();
            taken.connection = (!is_done).then_some(connection);
            taken.kept = opened.into_files();
            Ok(Outcome::Taken(taken))
        }
        Err(obstacle) => {
            // The connection goes before the raw descriptors.
            drop(connection);
            match obstacle {
                Obstacle::Restless | Obstacle::Replaced => Ok(Outcome::Moved("it was replaced")),
                Obstacle::Refused(refusal) => Ok(Outcome::Refused(refusal, opened)),
                Obstacle::Failed(error) => Err(error),
            }
        }
    }
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

/// Why a file could not be watched.
enum Obstacle {
    /// It is written to all the time; the lock is held.
    Restless,
    Replaced,
    Refused(Refusal),
    Failed(Error),
}

impl From<Error> for Obstacle {
    fn from(error: Error) -> Obstacle {
        Obstacle::Failed(error)
    }
}

fn watch_in_place(
    place: &Place,
    connection: &Connection,
    opened: &Opened,
    options: &TakeOptions<'_>,
) -> Result<Box<Taken>, Obstacle> {
    let (check, page_size) = watch(place, connection, opened, options)?;
    let file = opened.file.try_clone().at("cannot read", &place.database)?;
    let image = Image::of_file(file, check.stat.size, page_size);
    Ok(Taken::new(Method::Watched, image, Check::Watch(check)))
}

/// Notes what must not move, and gives up the lock, which is held at the beginning.
fn watch(
    place: &Place,
    connection: &Connection,
    opened: &Opened,
    options: &TakeOptions<'_>,
) -> Result<(WatchCheck, u32), Obstacle> {
    let mut before = stat_file(&opened.file)?;
    for _ in 0..SETTLE_TRIES {
        let header = under_lock(place, opened)?.ok_or(Obstacle::Replaced)?;
        end(connection);
        if !settle(options.clock, &[before]) {
            let file = opened.file.try_clone().at("cannot read", &place.database)?;
            let check = WatchCheck { file, stat: before, change_counter: header.change_counter };
            return Ok((check, header.page_size));
        }
        patiently(options.patience, || begin(connection)).map_err(Obstacle::Refused)?;
        before = stat_file(&opened.file)?;
    }
    Err(Obstacle::Restless)
}

/// Makes a private copy; the lock is held at the beginning.
fn copy(
    place: &Place,
    connection: &Connection,
    opened: &Opened,
    options: &TakeOptions<'_>,
) -> Result<Box<Taken>, Obstacle> {
    let folder = private_folder(options.temporary_folder)?;
    let path = folder.path().join(PRIVATE_NAME);
    let private = |folder, file, page_size, method| {
        let image = Image::of_private(folder, file, page_size).at("cannot read", &path)?;
        Ok(Taken::new(method, image, Check::Nothing))
    };
    let header = under_lock(place, opened)?.ok_or(Obstacle::Replaced)?;
    if let Some(file) = clone_file(&opened.file, &path)? {
        return private(folder, file, header.page_size, Method::Shared);
    }
    let mut copy = Copy { file: make_file(&path)?, pieces: Vec::new() };
    for _ in 0..FREE_PASSES {
        let watched = match watch(place, connection, opened, options) {
            Err(Obstacle::Restless) => None,
            other => Some(other?),
        };
        end(connection);
        let is_copied = copy.pass(&opened.file).is_ok();
        let holds = match &watched {
            Some((check, _)) => check.holds(connection, place, options.patience)?,
            None => false,
        };
        end(connection);
        if let Some((_, page_size)) = watched.as_ref().filter(|_| holds && is_copied) {
            return private(folder, copy.file, *page_size, Method::Watched);
        }
        patiently(options.patience, || begin(connection)).map_err(Obstacle::Refused)?;
        if watched.is_none() || !is_copied {
            break;
        }
    }
    let page_size = under_lock(place, opened)?.ok_or(Obstacle::Replaced)?.page_size;
    if copy.pass(&opened.file).is_ok() {
        return private(folder, copy.file, page_size, Method::Shared);
    }
    // No room: the file itself, with the lock.
    let file = opened.file.try_clone().at("cannot read", &place.database)?;
    let length = stat_file(&file)?.size;
    let mut taken =
        Taken::new(Method::Shared, Image::of_file(file, length, page_size), Check::Nothing);
    taken.is_exact = true;
    Ok(taken)
}

/// A copy that comes nearer with each pass.
struct Copy {
    file: File,
    pieces: Vec<blake3::Hash>,
}

impl Copy {
    /// Reads the whole source, and writes the pieces that are not what they were.
    fn pass(&mut self, source: &File) -> std::io::Result<()> {
        let mut buffer = vec![0; PIECE_BYTES];
        let (mut offset, mut number) = (0_u64, 0_usize);
        loop {
            let count = read_full(source, &mut buffer, offset)?;
            let bytes = buffer.get(..count).unwrap_or_default();
            if bytes.is_empty() {
                break;
            }
            let hash = blake3::hash(bytes);
            if self.pieces.get(number) != Some(&hash) {
                self.file.write_all_at(bytes, offset)?;
                match self.pieces.get_mut(number) {
                    Some(piece) => *piece = hash,
                    None => self.pieces.push(hash),
                }
            }
            offset = offset.saturating_add(count as u64);
            number = number.saturating_add(1);
        }
        self.pieces.truncate(number);
        self.file.set_len(offset)
    }
}
