//! Which snapshot is meant: `latest`, `latest~N`, a unique prefix, `--at`.

use super::Repository;
use super::cache::SnapshotEntry;
use crate::error::{Error, Result};
use crate::format::record::{SNAPSHOT_SAFETY, Snapshot};
use crate::id::{Match, match_prefix};
use crate::time::{SECOND, Timestamp};

/// Snapshots dated more than this past the clock are set aside, in nanoseconds.
const FUTURE: i64 = 3600 * SECOND;

/// Which snapshots count.
#[derive(Debug, Clone, Default)]
pub struct SnapshotFilter {
    /// Only these machines; empty means all.
    pub hosts: Vec<String>,
    /// Only those with all tags of one of these groups; empty means all.
    pub tags: Vec<Vec<String>>,
    /// Only those that hold all of these absolute paths, or something below or above them.
    pub paths: Vec<Vec<u8>>,
    /// Only this job.
    pub job: Option<String>,
}

impl SnapshotFilter {
    /// Returns whether a snapshot counts.
    pub fn matches(&self, entry: &SnapshotEntry) -> bool {
        let snapshot = &entry.snapshot;
        (self.hosts.is_empty() || self.hosts.contains(&snapshot.host))
            && self.job.as_ref().is_none_or(|job| *job == snapshot.job)
            && (self.tags.is_empty()
                || self.tags.iter().any(|all| all.iter().all(|tag| snapshot.tags.contains(tag))))
            && self.paths.iter().all(|path| {
                snapshot.roots.iter().any(|root| {
                    let place = root.place.0.as_slice();
                    is_within(path, place) || is_within(place, path)
                })
            })
    }
}

/// Returns whether a snapshot is dated so far past the clock that it is set aside.
pub fn is_future(snapshot: &Snapshot, now: Timestamp) -> bool {
    snapshot.time > now.0.saturating_add(FUTURE)
}

/// Returns whether `path` is `folder` or lies below it.
pub fn is_within(path: &[u8], folder: &[u8]) -> bool {
    let folder = folder.strip_suffix(b"/").unwrap_or(folder);
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// What the user asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotWish {
    /// The newest, or the one so many before it.
    Latest(usize),
    /// The one whose id begins like this.
    Prefix(String),
    /// The newest at or before a moment, or the one so many before it.
    At(Timestamp, usize),
}

impl SnapshotWish {
    /// Reads `latest`, `latest~N` or an id's beginning (at least two hex digits).
    pub fn parse(text: &str) -> Result<SnapshotWish> {
        if text == "latest" {
            return Ok(SnapshotWish::Latest(0));
        }
        if let Some(count) = text.strip_prefix("latest~") {
            return count.parse().map(SnapshotWish::Latest).map_err(|error| {
                Error::usage("bad snapshot")
                    .object(text)
                    .source(error)
                    .hint("`latest~2` is the second before the newest")
            });
        }
        let is_hex =
            text.len() >= 2 && text.len() <= 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
        if is_hex {
            return Ok(SnapshotWish::Prefix(text.to_owned()));
        }
        Err(Error::usage("no snapshot is called").object(text).hint(
            "use `latest`, `latest~N` or the beginning of an id; `stash snapshots` lists them",
        ))
    }
}

impl Repository {
    /// Returns the snapshots that are not forgotten and that match, in ascending order of time.
    pub fn snapshots(&self, filter: &SnapshotFilter) -> Result<Vec<SnapshotEntry>> {
        let mut entries = self.cached_snapshots()?;
        entries.retain(|entry| entry.forgotten.is_none() && filter.matches(entry));
        Ok(entries)
    }

    /// Returns the heads of the same snapshots ([`Snapshot::head`]): for those who list, choose and
    /// count, and don't look into them.
    pub fn snapshot_heads(&self, filter: &SnapshotFilter) -> Result<Vec<SnapshotEntry>> {
        let mut entries = self.cached_heads()?;
        entries.retain(|entry| entry.forgotten.is_none() && filter.matches(entry));
        Ok(entries)
    }

    /// Returns the heads of the snapshots that are forgotten, in ascending order of time.
    pub fn forgotten_snapshots(&self) -> Result<Vec<SnapshotEntry>> {
        let mut entries = self.cached_heads()?;
        entries.retain(|entry| entry.forgotten.is_some());
        Ok(entries)
    }

    /// Finds the snapshot that is meant; the error names what there is instead. `now` is used to
    /// set aside snapshots from the future and safety snapshots, which only their id names.
    pub fn find_snapshot(
        &self,
        wish: &SnapshotWish,
        filter: &SnapshotFilter,
        now: Timestamp,
    ) -> Result<SnapshotEntry> {
        if let SnapshotWish::Prefix(prefix) = wish {
            return self.find_by_prefix(prefix);
        }
        let (until, back) = match wish {
            SnapshotWish::At(moment, back) => (moment.0, *back),
            SnapshotWish::Latest(back) => (i64::MAX, *back),
            SnapshotWish::Prefix(_) => (i64::MAX, 0),
        };
        let counts = |entry: &SnapshotEntry| {
            entry.forgotten.is_none()
                && filter.matches(entry)
                && !is_future(&entry.snapshot, now)
                && entry.snapshot.flags & SNAPSHOT_SAFETY == 0
        };
        let found = self.with_sound_cache(|| {
            let mut left = back;
            self.cache().newest_head(|entry| {
                let fits = entry.snapshot.time <= until && counts(entry);
                let is_it = fits && left == 0;
                left = left.saturating_sub(usize::from(fits));
                is_it
            })
        })?;
        if let Some(found) = found {
            return self.whole(&found);
        }
        let mut entries = self.cached_heads()?;
        entries.retain(counts);
        Err(nothing_found(wish, &entries))
    }

    /// Returns all snapshots in ascending order of time, forgotten ones too.
    pub fn cached_snapshots(&self) -> Result<Vec<SnapshotEntry>> {
        let id_of = |bytes: &[u8]| self.keys().snapshot_id(bytes);
        self.with_sound_cache(|| self.cache().snapshots(id_of))
    }

    /// Returns the heads of all snapshots ([`Snapshot::head`]) in ascending order of time, forgotten
    /// ones too.
    pub fn cached_heads(&self) -> Result<Vec<SnapshotEntry>> {
        self.with_sound_cache(|| self.cache().heads())
    }

    /// Returns the whole of a snapshot of which the head is at hand.
    pub fn whole(&self, head: &SnapshotEntry) -> Result<SnapshotEntry> {
        let id_of = |bytes: &[u8]| self.keys().snapshot_id(bytes);
        let found = self.with_sound_cache(|| self.cache().snapshot(&head.id, id_of))?;
        found.ok_or_else(|| {
            Error::failed("this snapshot went away meanwhile:")
                .object(head.id.short())
                .hint("run the same command again")
        })
    }

    fn find_by_prefix(&self, prefix: &str) -> Result<SnapshotEntry> {
        let id_of = |bytes: &[u8]| self.keys().snapshot_id(bytes);
        let records = self.with_sound_cache(|| self.cache().snapshot_records())?;
        match match_prefix(prefix, records.iter().map(|(id, _)| *id)) {
            Match::One(id) => self
                .with_sound_cache(|| self.cache().snapshot(&id, id_of))?
                .ok_or_else(|| Error::failed("no snapshot begins with").object(prefix)),
            Match::None => Err(Error::failed("no snapshot begins with")
                .object(prefix)
                .hint("`stash snapshots` lists them")),
            Match::Many(ids) => {
                let list: Vec<String> =
                    ids.iter().take(8).map(crate::id::SnapshotId::short).collect();
                Err(Error::usage("several snapshots begin with")
                    .object(prefix)
                    .hint(format!("one of {}", list.join(", "))))
            }
        }
    }
}

fn nothing_found(wish: &SnapshotWish, entries: &[SnapshotEntry]) -> Error {
    let error = match wish {
        SnapshotWish::At(moment, 0) => {
            Error::failed(format!("no snapshot at or before {}", moment.to_rfc3339()))
        }
        SnapshotWish::At(moment, back) => Error::failed(format!(
            "no snapshot is the {} at or before {}",
            counted_back(*back),
            moment.to_rfc3339()
        )),
        SnapshotWish::Latest(0) | SnapshotWish::Prefix(_) => Error::failed("no snapshot matches"),
        SnapshotWish::Latest(back) => Error::failed(format!("no snapshot is `latest~{back}`")),
    };
    match (entries.first(), entries.len()) {
        (Some(first), count) => error.hint(format!(
            "there are {count}; the oldest is {} of {}",
            first.id.short(),
            Timestamp(first.snapshot.time).to_rfc3339()
        )),
        (None, _) => error.hint("`stash snapshots` lists what there is; `stash backup` makes one"),
    }
}

fn counted_back(back: usize) -> String {
    format!("{}th newest", back.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_are_read_and_nonsense_is_refused() {
        assert_eq!(SnapshotWish::parse("latest").unwrap(), SnapshotWish::Latest(0));
        assert_eq!(SnapshotWish::parse("latest~3").unwrap(), SnapshotWish::Latest(3));
        assert_eq!(SnapshotWish::parse("aB12").unwrap(), SnapshotWish::Prefix("aB12".into()));
        for text in ["", "a", "latest~", "latest~x", "newest", "latest2"] {
            assert!(SnapshotWish::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn within_means_whole_components() {
        assert!(is_within(b"/a/b", b"/a"));
        assert!(is_within(b"/a", b"/a"));
        assert!(is_within(b"/a", b"/"));
        assert!(!is_within(b"/ab", b"/a"));
        assert!(!is_within(b"/a", b"/a/b"));
    }
}
