//! Object stores that stand between the engine and the memory: they count, fail, truncate, lie.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::stream::{BoxStream, StreamExt as _};
use object_store::path::Path as StorePath;
use object_store::{
    CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, Result as StoreResult,
};
use stash::store::Store;

/// One call of the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    Put(String, u64),
    /// A whole object.
    Get(String),
    Range(String, Range<u64>),
    Head(String),
    List(String),
}

impl Call {
    pub fn path(&self) -> &str {
        match self {
            Call::Put(path, _)
            | Call::Get(path)
            | Call::Range(path, _)
            | Call::Head(path)
            | Call::List(path) => path,
        }
    }

    pub fn is_put(&self) -> bool {
        matches!(self, Call::Put(..))
    }
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// The call is not carried out, and fails.
    Fail,
    /// A put is carried out, and fails all the same.
    LostReply,
    /// A put is carried out twice, as by a client that tries again after a lost reply.
    Repeat,
    /// A get gives fewer bytes than were asked for.
    Truncate,
    /// A get gives bytes one of which is wrong.
    Flip,
    /// A listing fails after half its rows.
    HalfList,
    /// A listing ends after half its rows.
    ShortList,
}

impl Fault {
    fn concerns(self, call: &Call) -> bool {
        match self {
            Fault::None => false,
            Fault::Fail => true,
            Fault::LostReply | Fault::Repeat => call.is_put(),
            Fault::Truncate | Fault::Flip => matches!(call, Call::Get(_) | Call::Range(..)),
            Fault::HalfList | Fault::ShortList => matches!(call, Call::List(_)),
        }
    }
}

type Hook = Box<dyn FnOnce() + Send>;

/// Passes calls on, writes them down, and lets the k-th that its fault concerns go wrong (0: all).
pub struct TestStore {
    inner: Arc<dyn ObjectStore>,
    fault: Fault,
    fatal: u64,
    concerned: AtomicU64,
    calls: Mutex<Vec<Call>>,
    before_put: Mutex<Option<(&'static str, Hook)>>,
}

impl std::fmt::Debug for TestStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TestStore")
    }
}

impl std::fmt::Display for TestStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("test store")
    }
}

impl TestStore {
    pub fn new(inner: Arc<dyn ObjectStore>, fault: Fault, fatal: u64) -> Arc<TestStore> {
        Arc::new(TestStore {
            inner,
            fault,
            fatal,
            concerned: AtomicU64::new(0),
            calls: Mutex::default(),
            before_put: Mutex::default(),
        })
    }

    pub fn recording(inner: Arc<dyn ObjectStore>) -> Arc<TestStore> {
        TestStore::new(inner, Fault::None, 0)
    }

    pub fn store(self: &Arc<TestStore>) -> Store {
        Store::from_object_store(Arc::clone(self) as Arc<dyn ObjectStore>, "test")
    }

    /// Returns the calls since the last time.
    pub fn take(&self) -> Vec<Call> {
        std::mem::take(&mut *self.calls.lock().unwrap())
    }

    /// Returns whether the fault has come to pass.
    pub fn has_failed(&self) -> bool {
        self.concerned.load(Ordering::SeqCst) >= self.fatal.max(1)
    }

    /// Does something just before the next record is stored.
    pub fn before_record(&self, hook: impl FnOnce() + Send + 'static) {
        self.before_put("log/", hook);
    }

    /// Does something just before the next object is stored whose name begins like this.
    pub fn before_put(&self, beginning: &'static str, hook: impl FnOnce() + Send + 'static) {
        *self.before_put.lock().unwrap() = Some((beginning, Box::new(hook)));
    }

    /// Writes a call down; tells whether it is to go wrong.
    fn enter(&self, call: Call) -> bool {
        let concerned = self.fault.concerns(&call);
        self.calls.lock().unwrap().push(call);
        concerned && {
            let number = self.concerned.fetch_add(1, Ordering::SeqCst) + 1;
            self.fatal == 0 || number == self.fatal
        }
    }
}

fn failure() -> Error {
    Error::Generic { store: "test", source: "the network is down".into() }
}

#[async_trait::async_trait]
impl ObjectStore for TestStore {
    async fn put_opts(
        &self,
        location: &StorePath,
        payload: PutPayload,
        options: PutOptions,
    ) -> StoreResult<PutResult> {
        let hook = {
            let mut before_put = self.before_put.lock().unwrap();
            before_put.take_if(|(beginning, _)| location.as_ref().starts_with(*beginning))
        };
        if let Some((_, hook)) = hook {
            std::thread::spawn(hook).join().unwrap();
        }
        let wrong = self.enter(Call::Put(location.to_string(), payload.content_length() as u64));
        if wrong && self.fault == Fault::Fail {
            return Err(failure());
        }
        let result = self.inner.put_opts(location, payload.clone(), options.clone()).await;
        match self.fault {
            Fault::LostReply if wrong => result.and(Err(failure())),
            Fault::Repeat if wrong => self.inner.put_opts(location, payload, options).await,
            _ => result,
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &StorePath,
        options: PutMultipartOptions,
    ) -> StoreResult<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &StorePath, options: GetOptions) -> StoreResult<GetResult> {
        let path = location.to_string();
        let head = options.head;
        let call = match &options.range {
            _ if head => Call::Head(path),
            None => Call::Get(path),
            Some(GetRange::Bounded(range)) => Call::Range(path, range.clone()),
            Some(GetRange::Offset(start)) => Call::Range(path, *start..u64::MAX),
            Some(GetRange::Suffix(length)) => {
                let size = self
                    .inner
                    .get_opts(location, GetOptions { head: true, ..GetOptions::default() })
                    .await?
                    .meta
                    .size;
                Call::Range(path, size.saturating_sub(*length)..size)
            }
        };
        let wrong = self.enter(call);
        if wrong && self.fault == Fault::Fail {
            return Err(failure());
        }
        let result = self.inner.get_opts(location, options).await?;
        if !wrong {
            return Ok(result);
        }
        let (meta, range, attributes, extensions) = (
            result.meta.clone(),
            result.range.clone(),
            result.attributes.clone(),
            result.extensions.clone(),
        );
        let mut bytes = result.bytes().await?.to_vec();
        let half = bytes.len() / 2;
        if self.fault == Fault::Truncate {
            bytes.truncate(half);
        } else if let Some(byte) = bytes.get_mut(half) {
            *byte ^= 0x10;
        }
        let stream = futures_util::stream::iter([Ok(bytes.into())]).boxed();
        Ok(GetResult {
            payload: GetResultPayload::Stream(stream),
            meta,
            range,
            attributes,
            extensions,
        })
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, StoreResult<StorePath>>,
    ) -> BoxStream<'static, StoreResult<StorePath>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&StorePath>) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        let wrong = self.enter(Call::List(prefix.map_or_else(String::new, ToString::to_string)));
        let rows = self.inner.list(prefix);
        if !wrong {
            return rows;
        }
        let rows: Vec<_> = collect_ready(rows);
        let half = if self.fault == Fault::Fail { 0 } else { rows.len() / 2 };
        let mut rows: Vec<_> = rows.into_iter().take(half).collect();
        if self.fault != Fault::ShortList {
            rows.push(Err(failure()));
        }
        futures_util::stream::iter(rows).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&StorePath>) -> StoreResult<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(
        &self,
        from: &StorePath,
        to: &StorePath,
        options: CopyOptions,
    ) -> StoreResult<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// Collects a stream that is ready at once, as the memory's is, wherever it is asked.
pub fn collect_ready<T>(mut stream: BoxStream<'static, T>) -> Vec<T> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let mut rows = Vec::new();
    while let std::task::Poll::Ready(Some(row)) = stream.as_mut().poll_next(&mut context) {
        rows.push(row);
    }
    rows
}
