//! Keeping the index up after a backup.

use std::time::Duration;

use super::{SearchIndex, UpdateReport, index_path};
use crate::error::{Kind, Result};
use crate::event::Counters;
use crate::id::RepositoryId;
use crate::machine::config::SearchEntry;
use crate::machine::places::Places;
use crate::machine::sessions::{SessionReader, SessionRow};
use crate::time::Clock;

/// Brings the index of a repository up to date after a backup into it, if there is one and the
/// configuration has it: the first search makes it. Ends after `limit`, or when the run is to stop; the
/// next search goes on. `rows` are all sessions that there are. `None` if there was nothing to do.
///
/// # Errors
///
/// If the index can't be written: of no matter to the backup, and worth a warning.
pub fn after_backup(
    places: &Places,
    repository: RepositoryId,
    search: &SearchEntry,
    reader: &SessionReader<'_>,
    rows: &[SessionRow],
    (limit, clock, counters): (Duration, &dyn Clock, &Counters),
) -> Result<Option<UpdateReport>> {
    let path = index_path(places, Some(repository));
    if !search.keeps_index() || !path.exists() {
        return Ok(None);
    }
    let limit = i64::try_from(limit.as_nanos()).unwrap_or(i64::MAX);
    let end = clock.boot_nanoseconds().saturating_add(limit);
    let go_on = || clock.boot_nanoseconds() < end && counters.go_on().is_ok();
    let mut index = SearchIndex::open(&path, search.finds_parts())?;
    let report = match index.update(reader, rows, &mut |_| {}, &go_on) {
        Err(error) if error.kind() == Kind::Damaged => {
            index.renew()?.update(reader, rows, &mut |_| {}, &go_on)
        }
        report => report,
    };
    report.map(Some)
}
