//! A database that nobody has open, or that can't be locked: read while it holds still.
//!
//! Opening it with SQLite would leave a `-shm` and an empty `-wal` behind, so nothing is opened:
//! the file, with the committed part of its log laid over it as SQLite would do after a crash, is
//! the database, provided that neither was written to while it was read. Their times say so: they
//! are taken when the last write lies far enough back for the next one to show ([`settle`]), and
//! compared at the end. A writer that comes meanwhile writes to the log first, which the image does
//! not see and need not; only when it checkpoints does the file change, and the caller begins anew.
//!
//! Whoever holds a database exclusively and idles can be read so too, in WAL mode: file and log at
//! any one moment are what a crash would leave.

use super::header::{DatabaseHeader, Mode};
use super::image::Image;
use super::place::{DATABASE_LOCKS, Opened, Place, find_lock, settle};
use super::wal::{Scan, WalHeader, find_committed, scan};
use super::{Check, Method, Outcome, TakeOptions, Taken};
use crate::error::{IoContext as _, Result};
use crate::files::metadata::{find_stat, open_source, stat_file};

/// Takes the file, and its log if it has one.
pub(super) fn take(
    place: &Place,
    opened: Opened,
    header: DatabaseHeader,
    options: &TakeOptions<'_>,
) -> Result<Outcome> {
    match has_hot_journal(place) {
        Ok(true) => return super::copy::recover(place, opened, header, options),
        Ok(false) => {}
        Err(error) => return Ok(Outcome::Raw(error.to_string(), opened)),
    }
    let is_elsewhere = header.mode == Mode::Wal
        && opened.wal.is_none()
        && opened.stat.links > 1
        && find_lock(&opened.file, DATABASE_LOCKS).is_ok_and(|holder| holder.is_some());
    if is_elsewhere {
        return Ok(Outcome::Raw("it is in use under another of its names".into(), opened));
    }
    if settle(options.clock, &stats(&opened)) && !is_unchanged(&opened)? {
        return Ok(Outcome::Moved("it is being written to"));
    }
    let is_short = header
        .page_count
        .is_some_and(|count| u64::from(count) * u64::from(header.page_size) > opened.stat.size);
    let mut check = Vec::new();
    let file = opened.file.try_clone().at("cannot read", &place.database)?;
    check.push((file, opened.stat));
    let Some((wal, wal_stat)) = opened.filled_wal() else {
        if is_short {
            return Ok(Outcome::Raw("it is shorter than its header says".into(), opened));
        }
        let image = Image::of_file(opened.file, opened.stat.size, header.page_size);
        let mut taken = Taken::new(Method::Immutable, image, Check::Files(check));
        taken.kept = [opened.wal.map(|it| it.0), opened.shm].into_iter().flatten().collect();
        return Ok(Outcome::Taken(taken));
    };
    check.push((wal.try_clone().at("cannot read", &place.wal)?, *wal_stat));
    let wal_header = WalHeader::read(wal).at("cannot read", &place.wal)?;
    let committed = match wal_header {
        Some(wal_header) => find_committed(wal, wal_header).at("cannot read", &place.wal)?,
        None => None,
    };
    let image = match wal_header.zip(committed) {
        Some((wal_header, _)) if wal_header.page_size != header.page_size => {
            return Ok(Outcome::Raw("its log has another page size".into(), opened));
        }
        Some((wal_header, committed)) => {
            match scan(wal, wal_header, committed.frames).at("cannot read", &place.wal)? {
                Scan::Whole { overlay, commit_pages, .. } => {
                    let length = u64::from(commit_pages) * u64::from(header.page_size);
                    let wal = wal.try_clone().at("cannot read", &place.wal)?;
                    Image::of_file(opened.file, length, header.page_size).with_log(wal, overlay)
                }
                Scan::Broken => return Ok(Outcome::Moved("it is being written to")),
                Scan::Full => return super::copy::recover(place, opened, header, options),
            }
        }
        None if is_short => {
            return Ok(Outcome::Raw("it is shorter than its header says".into(), opened));
        }
        None => Image::of_file(opened.file, opened.stat.size, header.page_size),
    };
    let mut taken = Taken::new(Method::StablePair, image, Check::Files(check));
    taken.kept = [opened.wal.map(|it| it.0), opened.shm].into_iter().flatten().collect();
    Ok(Outcome::Taken(taken))
}

/// A journal that is not empty and whose header was not zeroed: a transaction was interrupted.
pub(super) fn has_hot_journal(place: &Place) -> Result<bool> {
    if find_stat(&place.journal)?.is_none_or(|stat| stat.size == 0) {
        return Ok(false);
    }
    let (journal, _) = open_source(&place.journal)?;
    let mut first = [0];
    let count = super::wal::read_full(&journal, &mut first, 0).at("cannot read", &place.journal)?;
    Ok(count == 1 && first != [0])
}

pub(super) fn stats(opened: &Opened) -> Vec<crate::files::stat::Stat> {
    [Some(opened.stat), opened.wal.as_ref().map(|it| it.1)].into_iter().flatten().collect()
}

/// Returns whether file and log are as they were when they were opened.
pub(super) fn is_unchanged(opened: &Opened) -> Result<bool> {
    let wal = match &opened.wal {
        Some((wal, stat)) => stat_file(wal)?.is_same_content(stat),
        None => true,
    };
    Ok(wal && stat_file(&opened.file)?.is_same_content(&opened.stat))
}
