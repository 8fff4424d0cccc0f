//! A consistent copy of an SQLite database, live or not, without stopping whoever writes to it.
//!
//! [`take`] gives an image of one moment between two commits: exact in length, read in place, with
//! nothing written beside it and, in the usual case, nowhere else either. Databases are known by
//! their magic ([`is_database`]), never by their name. `-wal`, `-shm` and `-journal` are not saved
//! beside an image: what they hold that counts is in it.
//!
//! How a database is taken, in this order:
//!
//! | found | taken | as |
//! |---|---|---|
//! | WAL mode, open elsewhere | file and log under a held read transaction (`live`) | [`Method::LiveWal`], [`Method::DatabaseAlone`] |
//! | its log has more than 4 Mi changed pages | SQLite's backup to a private copy (`copy`) | [`Method::BackupApi`] |
//! | WAL mode, open nowhere, or held exclusively, or no index to be had (a folder or file of another's) | file and log while they hold still (`quiet`) | [`Method::Immutable`], [`Method::StablePair`] |
//! | rollback mode, up to 4 MiB | at once, under a lock (`rollback`) | [`Method::Shared`] |
//! | rollback mode, larger | watched, then copied under a lock (`rollback`) | [`Method::Watched`], [`Method::Shared`] |
//! | an interrupted transaction | a private copy, recovered and checked (`copy`) | [`Method::RecoveredPair`] |
//! | held exclusively in rollback mode; an unknown version; cut; never still | as it is, with its companions, in doubt | [`Method::Raw`] |
//!
//! What has no magic is no database and is saved like any file: what is encrypted whole, what is
//! empty, a `-wal` without its database.
//!
//! The caller reads the image, then calls [`Taken::finish`]: only then is it known to be
//! consistent. Where that says no, or `take` found no way, the next attempt is counted in
//! [`TakeOptions::attempt`]; the last one, [`LAST_ATTEMPT`], always succeeds, if need be raw.
//!
//! Measured on two shared cores, 1 GiB in the page cache, medians of 15: under 1,400 to 2,000
//! transactions a second 0.94 to 1.17 times the speed of a plain read (8 to 12 GB/s), 1 ms until
//! the first byte; with a log of 2.2 GB, whose checksums are verified first, 0.2 to 0.3 times. The
//! writer's longest transaction went from 2 to 15 ms on a memory disk, from 8 to 9 ms on a disk
//! without syncs. In rollback mode under 300 transactions a second, which never hold still, the
//! lock was held for 0.3 s; where nobody writes meanwhile, for an instant. Memory of the whole
//! test: 13 MiB.
//!
//! Threads: see the rule of POSIX locks in `place`. Memory: 12 bytes for each page that lies in the
//! log, 48 MiB at most; 4 MiB for a small file in rollback mode; SQLite's own cache holds one page.
//!
//! Sources, in SQLite's documentation: "Database File Format", "WAL-mode File Format",
//! "Write-Ahead Logging", "File Locking And Concurrency In SQLite Version 3".

mod connect;
mod copy;
mod fingerprint;
mod header;
mod health;
mod held;
mod image;
mod live;
mod overlay;
mod place;
mod quiet;
mod replace;
mod rollback;
mod wal;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;

pub use fingerprint::Fingerprint;
pub use header::is_database;
pub use health::{integrity_check, quick_check};
pub use held::Held;
pub use image::Image;
pub use replace::{Holder, find_holder, has_companions, remove_companions};

use connect::Refusal;
use header::{DatabaseHeader, HEADER_BYTES, HeaderError, Mode};
use live::LiveCheck;
use place::{Claim, Opened, Place};
use rollback::WatchCheck;

use super::metadata::{find_stat, stat_file};
use super::stat::Stat;
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::time::Clock;

/// Opens a database for queries, as it is now, and leaves nothing beside it; waits for locks for about
/// `patience`. What is read comes from one transaction, which lasts as long as the connection.
pub fn open_to_read(path: &Path, patience: Duration) -> Result<Connection> {
    const DOING: &str = "cannot read the database";
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let has_log = find_stat(Path::new(&log)).ok().flatten().is_some_and(|stat| stat.size > 0);
    let opened = if has_log {
        connect::open_and_begin(path, patience)
    } else {
        connect::open_immutable(path).map_err(Refusal::from)
    };
    opened.map_err(|error| Error::failed(DOING).object(path.display().to_string()).source(error))
}

/// The attempt that is content with less: what needs to be looked at again at the end is taken raw.
pub const LAST_ATTEMPT: u32 = 3;
/// The oldest SQLite that may be built in: before it, a log could be reset under a reader.
pub const OLDEST_SQLITE: i32 = 3_051_003;
/// So often something may have moved between two looks before a database is taken raw.
const TRIES: u32 = 12;
/// A read of the stream gives at most this many bytes.
const BATCH_BYTES: usize = 4 << 20;

/// What taking a database depends on.
#[derive(Clone, Copy)]
pub struct TakeOptions<'a> {
    /// Where private copies may be made; as large as the database at times. Better no memory disk.
    pub temporary_folder: &'a Path,
    /// Which time it is.
    pub clock: &'a dyn Clock,
    /// How long to wait for locks.
    pub patience: Duration,
    /// How often this database was taken in vain: 0 to [`LAST_ATTEMPT`].
    pub attempt: u32,
}

/// How a database was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// File and log, under a read transaction.
    LiveWal,
    /// The file, under a read transaction: all of its log had been carried into it.
    DatabaseAlone,
    /// The file, which nobody had open and which held still.
    Immutable,
    /// The file under a shared lock: read at once, or copied.
    Shared,
    /// The file, in rollback mode, which held still between two looks under a shared lock.
    Watched,
    /// SQLite's own backup.
    BackupApi,
    /// File and log, which held still.
    StablePair,
    /// File and journal, or log, copied while they held still and recovered there.
    RecoveredPair,
    /// The file as it is, which need not be consistent; its companions are to be saved with it.
    Raw,
}

/// How the image is verified when it has been read.
#[derive(Debug)]
enum Check {
    /// There is nothing that could have changed.
    Nothing,
    Live(LiveCheck),
    /// Files that must not have been written to.
    Files(Vec<(File, Stat)>),
    Watch(WatchCheck),
}

/// What one try led to.
enum Outcome {
    Taken(Box<Taken>),
    /// SQLite would not; the raw descriptors are still of use.
    Refused(Refusal, Opened),
    /// Nothing helps.
    Raw(String, Opened),
    /// Something changed between two looks.
    Moved(&'static str),
}

/// A database that was taken: its image, and what holds it still.
///
/// Dropped, it gives up its transaction first and closes the files then.
#[derive(Debug)]
pub struct Taken {
    // Declared first, dropped first: see the rule of POSIX locks in `place`.
    connection: Option<Connection>,
    image: Image,
    check: Check,
    kept: Vec<File>,
    method: Method,
    doubt: Option<String>,
    companions: Vec<PathBuf>,
    fingerprint: Option<Fingerprint>,
    is_traceable: bool,
    /// Whether the connection's transaction sees what the image holds, and nothing else.
    is_exact: bool,
    place: Option<Place>,
    patience: Duration,
    position: u64,
    claim: Option<Claim>,
}

impl Taken {
    fn new(method: Method, image: Image, check: Check) -> Box<Taken> {
        Box::new(Taken {
            connection: None,
            image,
            check,
            kept: Vec::new(),
            method,
            doubt: None,
            companions: Vec::new(),
            fingerprint: None,
            is_traceable: true,
            is_exact: false,
            place: None,
            patience: Duration::ZERO,
            position: 0,
            claim: None,
        })
    }

    /// Returns the database's bytes. They may be read from several threads.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// Returns how it was taken.
    pub fn method(&self) -> Method {
        self.method
    }

    /// Returns why the image need not be consistent; only for [`Method::Raw`].
    pub fn doubt(&self) -> Option<&str> {
        self.doubt.as_deref()
    }

    /// Returns what must be saved together with the image: for [`Method::Raw`], the log and the
    /// journal that are there. A `-shm` is never of use.
    pub fn companions(&self) -> &[PathBuf] {
        &self.companions
    }

    /// Returns what to compare with next time; `None` if a change might not show in it.
    ///
    /// It is from before the reading, but for change times that SQLite has set itself. The caller
    /// asks [`Fingerprint::is_settled`] besides.
    pub fn fingerprint(&self) -> Option<&Fingerprint> {
        self.fingerprint.as_ref().filter(|_| self.is_traceable)
    }

    /// Verifies what can only be known at the end, and gives everything back.
    ///
    /// An error of kind [`Kind::Busy`] says that the database was written to in a way that the
    /// image may show: it is to be taken again, and what was read is void.
    pub fn finish(self) -> Result<()> {
        let Some(place) = &self.place else { return Ok(()) };
        let holds = match &self.check {
            Check::Nothing => true,
            Check::Live(check) => check.holds().at("cannot read", &place.shm)?,
            Check::Files(files) => {
                let mut all = true;
                for (file, stat) in files {
                    all &= stat_file(file)?.is_same_content(stat);
                }
                all
            }
            Check::Watch(check) => match &self.connection {
                Some(connection) => check.holds(connection, place, self.patience)?,
                None => false,
            },
        };
        if holds {
            return Ok(());
        }
        let path = place.database.display().to_string();
        Err(Error::new(Kind::Busy, "the database was written to while it was read").object(path))
    }
}

/// The image from its beginning to its end; a stretch of at most 4 MiB at a time.
impl io::Read for Taken {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(BATCH_BYTES);
        let buffer = buffer.get_mut(..length).unwrap_or_default();
        let count = self.image.read_at(self.position, buffer)?;
        self.position = self.position.saturating_add(count as u64);
        Ok(count)
    }
}

/// Takes the database at `path`, which begins with SQLite's magic. Links are followed.
///
/// Waits for locks as long as the options allow, and up to two seconds for a file that was written
/// to just now. Errors: it is not there, may not be read, or is no database any more.
pub fn take(path: &Path, options: &TakeOptions<'_>) -> Result<Taken> {
    debug_assert!(rusqlite::version_number() >= OLDEST_SQLITE, "SQLite is too old");
    let place = Place::resolve(path)?;
    let claim = Claim::take(&place.database, options.patience)?;
    let mut reason = "";
    for number in 0..TRIES {
        if number > 0 {
            std::thread::sleep(Duration::from_millis(1 << number.min(5)));
        }
        // From before anything is read: what changes later shows.
        let fingerprint = Fingerprint::find(&place.database)?;
        let Some(opened) = Opened::open(&place)? else {
            reason = "its files were replaced";
            continue;
        };
        let taken = match take_once(&place, opened, options)? {
            Outcome::Moved(why) => {
                reason = why;
                continue;
            }
            Outcome::Taken(taken) => taken,
            Outcome::Raw(why, opened) => take_raw(&place, opened, why)?,
            Outcome::Refused(refusal, opened) => take_raw(&place, opened, refusal.to_string())?,
        };
        let is_last = options.attempt >= LAST_ATTEMPT;
        if is_last && !matches!(taken.check, Check::Nothing) {
            reason = "it was written to each time it was read";
            break;
        }
        return complete(taken, place, claim, fingerprint.as_ref(), options);
    }
    let fingerprint = Fingerprint::find(&place.database)?;
    let Some(opened) = Opened::open(&place)? else {
        let path = place.database.display().to_string();
        return Err(Error::new(Kind::Busy, "the database is being replaced").object(path));
    };
    let taken = take_raw(&place, opened, format!("it does not hold still: {reason}"))?;
    complete(taken, place, claim, fingerprint.as_ref(), options)
}

fn complete(
    mut taken: Box<Taken>,
    place: Place,
    claim: Claim,
    before: Option<&Fingerprint>,
    options: &TakeOptions<'_>,
) -> Result<Taken> {
    let now = Fingerprint::find(&place.database)?;
    taken.fingerprint = match (before, now) {
        (Some(before), Some(now)) => Some(before.opened(&now)),
        _ => before.copied(),
    };
    taken.patience = options.patience;
    taken.place = Some(place);
    taken.claim = Some(claim);
    Ok(*taken)
}

fn take_once(place: &Place, opened: Opened, options: &TakeOptions<'_>) -> Result<Outcome> {
    if let Some(obstacle) = &opened.obstacle {
        return Ok(Outcome::Raw(obstacle.to_string(), opened));
    }
    let header = match decode_header(&opened.file, &place.database)? {
        Ok(header) => header,
        Err(HeaderError::NoDatabase) => {
            let path = place.database.display().to_string();
            return Err(Error::failed("no SQLite database any more").object(path));
        }
        Err(error) => return Ok(Outcome::Raw(error.to_string(), opened)),
    };
    let outcome = match header.mode {
        Mode::Wal if opened.has_live_index() => live::take(place, opened, options)?,
        Mode::Wal => return quiet::take(place, opened, header, options),
        Mode::Rollback => rollback::take(place, opened, options)?,
    };
    let Outcome::Refused(refusal, opened) = outcome else { return Ok(outcome) };
    match refusal {
        Refusal::HotJournal => copy::recover(place, opened, header, options),
        Refusal::Busy if header.mode == Mode::Wal => quiet::take(place, opened, header, options),
        Refusal::Unable(_) => quiet::take(place, opened, header, options),
        Refusal::Busy | Refusal::Unsound(_) => Ok(Outcome::Refused(refusal, opened)),
    }
}

/// The file as it is, and the names of what belongs to it.
fn take_raw(place: &Place, opened: Opened, doubt: String) -> Result<Box<Taken>> {
    let mut companions = Vec::new();
    for path in [&place.wal, &place.journal] {
        if find_stat(path)?.is_some_and(|stat| stat.size > 0) {
            companions.push(path.clone());
        }
    }
    let page_size = read_header(&opened.file, &place.database)?.map_or(0, |it| it.page_size);
    let image = Image::of_file(opened.file, opened.stat.size, page_size);
    let mut taken = Taken::new(Method::Raw, image, Check::Nothing);
    taken.kept = [opened.wal.map(|it| it.0), opened.shm].into_iter().flatten().collect();
    taken.companions = companions;
    taken.doubt = Some(doubt);
    // What is in doubt is read again.
    taken.is_traceable = false;
    Ok(taken)
}

fn decode_header(file: &File, path: &Path) -> Result<Result<DatabaseHeader, HeaderError>> {
    let mut bytes = [0; HEADER_BYTES];
    let count = wal::read_full(file, &mut bytes, 0).at("cannot read", path)?;
    Ok(match bytes.get(..count).filter(|_| count < HEADER_BYTES) {
        Some(start) if is_database(start) => Err(HeaderError::Damaged),
        Some(_) => Err(HeaderError::NoDatabase),
        None => DatabaseHeader::decode(&bytes),
    })
}

/// Reads the header; `None` if it can't be worked with.
fn read_header(file: &File, path: &Path) -> Result<Option<DatabaseHeader>> {
    Ok(decode_header(file, path)?.ok())
}
