//! How a future becomes a blocking call, and what is known of one that failed.
//!
//! A folder's calls run on the caller's thread. Those of a remote store are driven by one small
//! runtime of this process, which a caller only waits for: the runtime never runs anything that
//! waits for the caller, so a worker of a pool may wait here without a deadlock.

use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use object_store::client::{HttpError, HttpErrorKind};

use super::Store;
use super::failure::find;

/// Two threads: the work is waiting, and encryption of what goes over the wire.
static RUNTIME: LazyLock<Option<tokio::runtime::Runtime>> = LazyLock::new(|| {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).thread_name("store").enable_all().build().ok()
});

tokio::task_local! {
    static TRACE: Arc<Mutex<Trace>>;
}

/// What happens on the wire during one call.
#[derive(Debug, Default)]
struct Trace {
    request: String,
    attempt: u32,
    answer: Option<Box<Answer>>,
}

/// A refusal, as the server put it.
#[derive(Debug, Clone, Default)]
pub(super) struct Answer {
    /// The status of the response.
    pub(super) status: u16,
    /// The server's word for what is wrong.
    pub(super) code: String,
    /// Its sentence.
    pub(super) message: String,
    /// The region of the bucket, if the server told.
    pub(super) region: Option<String>,
    /// By how many seconds the server's clock is ahead of ours.
    pub(super) ahead: Option<i64>,
}

/// A call that failed.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) error: Box<object_store::Error>,
    pub(super) answer: Option<Box<Answer>>,
}

impl Failed {
    /// Returns whether just the object is missing, in a bucket that is there.
    pub(super) fn is_missing(&self) -> bool {
        let code = self.answer.as_ref().map(|answer| answer.code.as_str());
        matches!(*self.error, object_store::Error::NotFound { .. })
            && !matches!(code, Some("NoSuchBucket" | "ContainerNotFound" | "NoSuchAccount"))
            && !self
                .answer
                .as_ref()
                .is_some_and(|answer| answer.message.contains("bucket does not exist"))
    }

    /// Returns whether the same call may succeed later.
    pub(super) fn may_pass(&self) -> bool {
        use HttpErrorKind::{Connect, Interrupted, Request, Timeout};
        match &self.answer {
            Some(answer) => matches!(answer.status, 408 | 429 | 500 | 502..=504),
            None => find::<HttpError>(&*self.error).is_some_and(|http| {
                matches!(http.kind(), Connect | Interrupted | Request | Timeout)
            }),
        }
    }

    /// Returns whether whoever calls may not do this, now or later.
    pub(super) fn is_forbidden(&self) -> bool {
        match &self.answer {
            Some(answer) => matches!(answer.status, 401 | 403 | 405),
            None => find::<std::io::Error>(&*self.error)
                .is_some_and(|io| io.kind() == std::io::ErrorKind::PermissionDenied),
        }
    }

    /// Returns whether something lies at the object's place already.
    pub(super) fn is_there(&self) -> bool {
        matches!(*self.error, object_store::Error::AlreadyExists { .. })
    }
}

impl Store {
    /// Runs a future to its end.
    pub(super) fn block_on<F: Future>(&self, future: F) -> F::Output {
        match self.runtime() {
            Some(runtime) => runtime.block_on(future),
            None => futures_executor::block_on(future),
        }
    }

    fn runtime(&self) -> Option<&'static tokio::runtime::Runtime> {
        self.remote.as_ref().and_then(|_| runtime())
    }

    /// Runs one call to its end.
    pub(super) fn run<T>(
        &self,
        call: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, Failed> {
        self.block_on(traced(call))
    }
}

/// Returns the runtime; `None` if this computer can't start its threads.
pub(super) fn runtime() -> Option<&'static tokio::runtime::Runtime> {
    RUNTIME.as_ref()
}

/// Runs a call, and remembers what a server said last if it fails.
pub(super) async fn traced<T>(
    call: impl Future<Output = object_store::Result<T>>,
) -> Result<T, Failed> {
    let trace = Arc::new(Mutex::new(Trace::default()));
    TRACE.scope(Arc::clone(&trace), call).await.map_err(|error| {
        let answer = trace.lock().unwrap_or_else(PoisonError::into_inner).answer.take();
        Failed { error: Box::new(error), answer }
    })
}

/// Notes a request; returns how often the same was sent in a row, this time included.
pub(super) fn note_request(request: &str) -> u32 {
    let note = |trace: &Arc<Mutex<Trace>>| {
        let mut trace = trace.lock().unwrap_or_else(PoisonError::into_inner);
        if trace.request == request {
            trace.attempt = trace.attempt.saturating_add(1);
        } else {
            request.clone_into(&mut trace.request);
            trace.attempt = 1;
        }
        trace.answer = None;
        trace.attempt
    };
    TRACE.try_with(note).unwrap_or(1)
}

/// Notes a refusal.
pub(super) fn note_answer(answer: Answer) {
    // Outside of a call nobody asks.
    let _outside = TRACE.try_with(|trace| {
        trace.lock().unwrap_or_else(PoisonError::into_inner).answer = Some(Box::new(answer));
    });
}
