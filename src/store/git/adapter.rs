//! The calls of an object store, answered from a branch.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    Result,
};

use super::failure::GitFailure;
use super::keeper::{Done, Keeper};
use super::received::Content;
use super::state::Entry;
use crate::store::clock::CLOCK;
use crate::time::SECOND;

/// A branch as an object store.
#[derive(Clone)]
pub(super) struct GitStore {
    keeper: Arc<Keeper>,
    /// What was put to learn the time. It is never pushed: the answer is known without.
    clocks: Arc<Mutex<Vec<(Path, i64)>>>,
}

impl GitStore {
    pub(super) fn new(keeper: Keeper) -> GitStore {
        GitStore { keeper: Arc::new(keeper), clocks: Arc::default() }
    }

    fn clock(&self, location: &Path) -> Option<i64> {
        let clocks = self.clocks.lock().unwrap_or_else(PoisonError::into_inner);
        clocks.iter().find(|(path, _)| path == location).map(|(_, now)| *now)
    }

    /// Finds a file, as it is now if `fresh`, else as it was seen last if it was.
    async fn find(&self, location: &Path, fresh: bool) -> Result<Entry> {
        if !fresh && let Some(entry) = self.keeper.known().find(location.as_ref()) {
            return Ok(*entry);
        }
        let seen = self.keeper.refresh().await?;
        seen.state.find(location.as_ref()).copied().ok_or_else(|| missing(location))
    }

    async fn content(&self, location: &Path) -> Result<(Entry, Content)> {
        // What is known may be gone by now, then what is there now counts.
        for fresh in [false, true] {
            let entry = self.find(location, fresh).await?;
            let length = entry.known.map_or(0, |(length, _)| length);
            if let Some(content) = self.keeper.blob(entry.oid, length).await? {
                return Ok((entry, content));
            }
        }
        Err(GitFailure::lasting(
            "the branch names an object that the git repository does not have",
            "run `git fsck` there; `stash check --read-data` says what it costs",
        )
        .into())
    }
}

fn missing(location: &Path) -> Error {
    Error::NotFound { path: location.to_string(), source: "not in the branch".into() }
}

fn moment(nanoseconds: i64) -> SystemTime {
    u64::try_from(nanoseconds).map_or(UNIX_EPOCH, |it| UNIX_EPOCH + Duration::from_nanos(it))
}

fn meta_of(location: Path, size: u64, nanoseconds: i64) -> ObjectMeta {
    let last_modified = moment(nanoseconds).into();
    ObjectMeta { location, last_modified, size, e_tag: None, version: None }
}

fn meta(location: Path, entry: &Entry) -> ObjectMeta {
    let (size, time) = entry.known.unwrap_or_default();
    meta_of(location, size, time.saturating_mul(SECOND))
}

#[async_trait::async_trait]
impl ObjectStore for GitStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let result =
            PutResult { e_tag: None, version: None, extensions: http::Extensions::default() };
        if location.as_ref().starts_with(CLOCK) {
            let now = self.keeper.refresh().await?.now;
            let mut clocks = self.clocks.lock().unwrap_or_else(PoisonError::into_inner);
            clocks.push((location.clone(), now));
            return Ok(result);
        }
        let create = match options.mode {
            PutMode::Create => true,
            PutMode::Overwrite => false,
            PutMode::Update(_) => return Err(unknown("put under a condition")),
        };
        let parts: Vec<Bytes> = payload.iter().cloned().collect();
        match self.keeper.put(location.to_string(), parts, create).await? {
            Done::Changed | Done::Missing => Ok(result),
            Done::Exists => Err(Error::AlreadyExists {
                path: location.to_string(),
                source: "in the branch already".into(),
            }),
        }
    }

    async fn put_multipart_opts(
        &self,
        _location: &Path,
        _options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Err(unknown("put_multipart"))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let answer = |meta: ObjectMeta, range: std::ops::Range<u64>, bytes: Bytes| GetResult {
            payload: GetResultPayload::Stream(stream::iter([Ok(bytes)]).boxed()),
            meta,
            range,
            attributes: object_store::Attributes::default(),
            extensions: http::Extensions::default(),
        };
        if let Some(now) = self.clock(location) {
            return Ok(answer(meta_of(location.clone(), 0, now), 0..0, Bytes::new()));
        }
        if options.head {
            // Whoever asks whether something is there wants to know how it is now.
            let entry = self.find(location, true).await?;
            let meta = meta(location.clone(), &entry);
            return Ok(answer(meta.clone(), 0..meta.size, Bytes::new()));
        }
        let (entry, content) = self.content(location).await?;
        let meta = ObjectMeta { size: content.len(), ..meta(location.clone(), &entry) };
        let range = match options.range {
            Some(range) => range
                .as_range(meta.size)
                .map_err(|source| Error::Generic { store: "git", source: Box::new(source) })?,
            None => 0..meta.size,
        };
        let bytes = content.read(range.start, range.end)?;
        Ok(answer(meta, range, bytes))
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let own = self.clone();
        let delete = move |location: Result<Path>| {
            let own = own.clone();
            async move {
                let location = location?;
                if own.clock(&location).is_some() {
                    let mut clocks = own.clocks.lock().unwrap_or_else(PoisonError::into_inner);
                    clocks.retain(|(path, _)| *path != location);
                    return Ok(location);
                }
                match own.keeper.delete(location.to_string()).await? {
                    Done::Changed | Done::Exists => Ok(location),
                    Done::Missing => Err(missing(&location)),
                }
            }
        };
        locations.map(delete).buffered(1000).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (own, prefix) = (self.clone(), prefix.cloned().unwrap_or_default());
        let rows = async move {
            let seen = match own.keeper.refresh().await {
                Ok(seen) => seen,
                Err(failure) => return vec![Err(failure.into())],
            };
            let files = seen.state.files(prefix.as_ref()).filter(|(_, entry)| entry.is_file());
            // A stranger's file may have a name that no object store knows; it is none of ours.
            let row = |(path, entry): (String, &Entry)| {
                Path::parse(path).ok().map(|path| Ok(meta(path, entry)))
            };
            files.filter_map(row).collect::<Vec<_>>()
        };
        stream::once(rows).flat_map(stream::iter).boxed()
    }

    async fn list_with_delimiter(&self, _prefix: Option<&Path>) -> Result<ListResult> {
        Err(unknown("list_with_delimiter"))
    }

    async fn copy_opts(&self, _from: &Path, _to: &Path, _options: CopyOptions) -> Result<()> {
        Err(unknown("copy"))
    }
}

fn unknown(operation: &str) -> Error {
    Error::NotImplemented { operation: operation.to_owned(), implementer: "git".to_owned() }
}

impl fmt::Display for GitStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("git")
    }
}

impl fmt::Debug for GitStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GitStore")
    }
}
