//! Private copies: where a database can't be read in place.
//!
//! They lie in a folder (0700) made for each within the caller's temporary folder, and go with it
//! when the image is dropped.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use super::header::DatabaseHeader;
use super::health::problems;
use super::image::{Image, PRIVATE_NAME};
use super::place::{Opened, Place, copy_file, private_folder, settle};
use super::quiet::{is_unchanged, stats};
use super::{Check, Method, Outcome, TakeOptions, Taken};
use crate::error::{Error, IoContext as _, Result};
use crate::files::metadata::{find_stat, open_source, stat_file};

/// Copies a live database with SQLite's own backup, within the transaction that is held.
///
/// For a log with more changed pages than an overlay takes. Slower, and needs room on disk.
pub(super) fn by_backup(
    place: &Place,
    source: &Connection,
    options: &TakeOptions<'_>,
) -> Result<Box<Taken>> {
    let failed = |error: rusqlite::Error| {
        Error::failed("cannot copy the database")
            .object(place.database.display().to_string())
            .source(error)
    };
    let folder = private_folder(options.temporary_folder)?;
    let path = folder.path().join(PRIVATE_NAME);
    let mut copy = Connection::open(&path).map_err(failed)?;
    copy.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF").map_err(failed)?;
    let backup = Backup::new(source, &mut copy).map_err(failed)?;
    loop {
        match backup.step(4096).map_err(failed)? {
            StepResult::Done => break,
            StepResult::More => {}
            _ => std::thread::sleep(Duration::from_millis(1)),
        }
    }
    drop(backup);
    copy.close().map_err(|(_, error)| failed(error))?;
    let image = open_private(folder, None)?;
    Ok(Taken::new(Method::BackupApi, image, Check::Nothing))
}

/// Copies a database with its log and journal while they hold still, and lets SQLite recover the
/// copy. What is not sound then is saved raw.
pub(super) fn recover(
    place: &Place,
    opened: Opened,
    header: DatabaseHeader,
    options: &TakeOptions<'_>,
) -> Result<Outcome> {
    let journal = match find_stat(&place.journal)? {
        Some(_) => match open_source(&place.journal) {
            Ok(journal) => Some(journal),
            Err(error) => return Ok(Outcome::Raw(error.to_string(), opened)),
        },
        None => None,
    };
    let mut all = stats(&opened);
    all.extend(journal.as_ref().map(|it| it.1));
    let holds_still = || {
        let journal = match &journal {
            Some((file, stat)) => stat_file(file)?.is_same_content(stat),
            None => find_stat(&place.journal)?.is_none(),
        };
        Ok::<_, Error>(journal && is_unchanged(&opened)?)
    };
    if settle(options.clock, &all) && !holds_still()? {
        return Ok(Outcome::Moved("it is being written to"));
    }
    let folder = private_folder(options.temporary_folder)?;
    let copied = copy_all(folder.path(), &opened, journal.as_ref());
    if !holds_still()? {
        return Ok(Outcome::Moved("it is being written to"));
    }
    let recovered = copied.and_then(|()| recover_copy(&folder.path().join(PRIVATE_NAME)));
    match recovered {
        Ok(None) => {
            let image = open_private(folder, Some(header.page_size))?;
            Ok(Outcome::Taken(Taken::new(Method::RecoveredPair, image, Check::Nothing)))
        }
        Ok(Some(problem)) => {
            Ok(Outcome::Raw(format!("recovered, it is damaged: {problem}"), opened))
        }
        Err(error) => Ok(Outcome::Raw(format!("it could not be recovered: {error}"), opened)),
    }
}

fn copy_all(
    folder: &Path,
    opened: &Opened,
    journal: Option<&(std::fs::File, crate::files::stat::Stat)>,
) -> Result<()> {
    let copy = Place::of(folder.join(PRIVATE_NAME));
    copy_file(&opened.file, opened.stat.size, &copy.database)?;
    if let Some((wal, stat)) = opened.filled_wal() {
        copy_file(wal, stat.size, &copy.wal)?;
    }
    if let Some((journal, stat)) = journal {
        copy_file(journal, stat.size, &copy.journal)?;
    }
    Ok(())
}

/// Opens the copy, which rolls back or replays what was interrupted; returns what is wrong.
fn recover_copy(path: &Path) -> Result<Option<String>> {
    let failed = |error: rusqlite::Error| {
        Error::failed("cannot recover").object(path.display().to_string()).source(error)
    };
    let connection = Connection::open(path).map_err(failed)?;
    connection.execute_batch("PRAGMA synchronous = OFF").map_err(failed)?;
    let found = problems(&connection, "quick_check").map_err(failed)?;
    // The last connection to close carries the log into the file and removes it.
    connection.close().map_err(|(_, error)| failed(error))?;
    let copy = Place::of(path.to_path_buf());
    if find_stat(&copy.wal)?.is_some() || super::quiet::has_hot_journal(&copy)? {
        return Err(Error::failed("its log could not be carried into the copy"));
    }
    Ok(found.into_iter().next())
}

fn open_private(folder: tempfile::TempDir, page_size: Option<u32>) -> Result<Image> {
    let path = folder.path().join(PRIVATE_NAME);
    let (file, _) = open_source(&path)?;
    let page_size = match page_size {
        Some(page_size) => page_size,
        None => super::read_header(&file, &path)?.map_or(0, |header| header.page_size),
    };
    Image::of_private(folder, file, page_size).at("cannot read", &path)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests make files")]
mod tests {
    use super::*;
    use crate::time::{Clock, Timestamp};

    /// Long after any file was made: nothing has to settle.
    struct Late;

    impl Clock for Late {
        fn now(&self) -> Timestamp {
            Timestamp(i64::MAX / 2)
        }
        fn boot_nanoseconds(&self) -> i64 {
            0
        }
    }

    fn with_log(folder: &Path) -> (Place, Connection) {
        let place = Place::of(folder.join("db"));
        let connection = Connection::open(&place.database).unwrap();
        connection
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (a);
                 INSERT INTO t VALUES (randomblob(100000)); INSERT INTO t VALUES (2);",
            )
            .unwrap();
        (place, connection)
    }

    fn options(folder: &Path) -> TakeOptions<'_> {
        TakeOptions { temporary_folder: folder, clock: &Late, patience: Duration::ZERO, attempt: 0 }
    }

    fn rows(taken: &Taken) -> i64 {
        let path = taken.image().private_path().unwrap();
        let connection = super::super::connect::open_immutable(&path).unwrap();
        connection.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn sqlites_own_backup_serves_where_no_overlay_does() {
        let folder = tempfile::tempdir().unwrap();
        let (place, source) = with_log(folder.path());
        source.execute_batch("BEGIN; SELECT * FROM t;").unwrap();
        let taken = by_backup(&place, &source, &options(folder.path())).unwrap();
        assert_eq!((taken.method(), rows(&taken)), (Method::BackupApi, 2));
        assert_eq!(taken.image().page_size(), 4096);
        let private = taken.image().private_path().unwrap();
        drop(taken);
        assert!(!private.exists());
    }

    #[test]
    fn a_log_too_large_to_lay_over_is_carried_into_a_copy() {
        let folder = tempfile::tempdir().unwrap();
        let (place, _source) = with_log(folder.path());
        let opened = Opened::open(&place).unwrap().unwrap();
        let header = super::super::read_header(&opened.file, &place.database).unwrap().unwrap();
        let outcome = recover(&place, opened, header, &options(folder.path())).unwrap();
        let Outcome::Taken(taken) = outcome else { panic!("it was not taken") };
        assert_eq!((taken.method(), rows(&taken)), (Method::RecoveredPair, 2));
    }

    #[test]
    fn a_copy_that_is_not_sound_when_recovered_is_saved_raw() {
        let folder = tempfile::tempdir().unwrap();
        let (place, source) = with_log(folder.path());
        source.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        drop(source);
        let mut bytes = std::fs::read(&place.database).unwrap();
        bytes[4100..8000].fill(0x77);
        std::fs::write(&place.database, bytes).unwrap();
        let opened = Opened::open(&place).unwrap().unwrap();
        let header = super::super::read_header(&opened.file, &place.database).unwrap().unwrap();
        let outcome = recover(&place, opened, header, &options(folder.path())).unwrap();
        assert!(matches!(outcome, Outcome::Raw(..)));
    }
}
