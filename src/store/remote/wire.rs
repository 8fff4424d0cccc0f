//! Requests as they leave, responses as they come: the one place through which all of a remote
//! store's traffic goes.
//!
//! `object_store` repeats what fails in passing, and nothing else does. This decides what counts as
//! passing, tells of each further try, ends a server's silence, keeps to the limits, and reads what
//! a refusal says.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body::{Body, Frame, SizeHint};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService,
};
use object_store::{ClientOptions, HeaderMap};

use super::body::{Paced, Pulse, Silence};
use super::throttle::Throttle;
use crate::event::{Event, Reporter};
use crate::store::calls::{Answer, note_answer, note_request};
use crate::store::failure::find_tls;

/// A refusal says what it has to say in less than this, in bytes.
const MOST_WORDS: usize = 64 << 10;

/// Sends requests.
#[derive(Clone)]
pub(in crate::store) struct Wire {
    pub(super) client: reqwest::Client,
    pub(super) silence: Duration,
    pub(super) upload: Option<Arc<Throttle>>,
    pub(super) download: Option<Arc<Throttle>>,
    pub(super) reporter: Arc<dyn Reporter>,
    /// How long an answer may be, in bytes.
    pub(super) most_bytes: Option<u64>,
    /// Whether the server ever answered. One that never did is not asked again and again: it is
    /// the address that is wrong, more likely than the network.
    pub(super) has_answered: Arc<AtomicBool>,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wire")
    }
}

impl HttpConnector for Wire {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait::async_trait]
impl HttpService for Wire {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (parts, body) = request.into_parts();
        let attempt = note_request(&format!("{} {}", parts.method, parts.uri.path()));
        if attempt > 1 {
            let message = format!("the store did not take a request; trying again ({attempt})");
            self.reporter.event(&Event::Warning { message: &message });
        }
        let url = reqwest::Url::parse(&parts.uri.to_string())
            .map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
        let is_put = parts.method == Method::PUT;
        let sent_at = sent_at(&parts.headers);
        let mut outgoing = reqwest::Request::new(parts.method, url);
        *outgoing.headers_mut() = parts.headers;
        let pulse = Arc::new(Pulse::default());
        if body.content_length() > 0 {
            let paced = Paced::new(body, Arc::clone(&pulse), self.upload.clone(), None);
            *outgoing.body_mut() = Some(reqwest::Body::wrap(paced));
        }
        let response = self.execute(outgoing, &pulse, is_put).await?;
        self.has_answered.store(true, Ordering::Relaxed);
        let status = response.status();
        let (mut parts, body) = http::Response::<reqwest::Body>::from(response).into_parts();
        let body = Mapped(Box::pin(body));
        let body = Paced::new(body, pulse, self.download.clone(), Some(self.silence))
            .at_most(self.most_bytes);
        if status.is_success() || status == StatusCode::NOT_MODIFIED {
            return Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(body)));
        }
        let words = first_words(HttpResponseBody::new(body)).await;
        note_answer(answer(status, &parts.headers, &words, sent_at));
        if status == StatusCode::NOT_IMPLEMENTED {
            // This will not pass, so it is not to be repeated like other failures of a server.
            parts.status = StatusCode::METHOD_NOT_ALLOWED;
        }
        Ok(HttpResponse::from_parts(parts, words.into()))
    }
}

impl Wire {
    /// Sends a request; ends when nothing moves for too long.
    async fn execute(
        &self,
        request: reqwest::Request,
        pulse: &Pulse,
        is_put: bool,
    ) -> Result<reqwest::Response, HttpError> {
        let mut sending = std::pin::pin!(self.client.execute(request));
        let mut beats = pulse.beats();
        let error = loop {
            match tokio::time::timeout(self.silence, &mut sending).await {
                Ok(Ok(response)) => return Ok(response),
                Ok(Err(error)) => break HttpError::new(kind_of(&error), error.without_url()),
                Err(_) if pulse.beats() != beats => beats = pulse.beats(),
                Err(_) => break HttpError::new(HttpErrorKind::Timeout, Silence(self.silence)),
            }
        };
        let kind = match error.kind() {
            _ if !self.has_answered.load(Ordering::Relaxed) => HttpErrorKind::Unknown,
            // What is put here lies under the name of its own bytes: sending it twice is the same
            // as once, which the general rules for requests cannot know.
            HttpErrorKind::Timeout | HttpErrorKind::Interrupted if is_put => HttpErrorKind::Request,
            kind => kind,
        };
        Err(HttpError::new(kind, error))
    }
}

/// A response's body, its errors as `object_store` wants them.
struct Mapped(Pin<Box<reqwest::Body>>);

impl Body for Mapped {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let error = |error: reqwest::Error| HttpError::new(kind_of(&error), error.without_url());
        self.0.as_mut().poll_frame(context).map(|frame| frame.map(|frame| frame.map_err(error)))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

/// Tells what passes from what does not.
fn kind_of(error: &reqwest::Error) -> HttpErrorKind {
    if find_tls(error).is_some() {
        return HttpErrorKind::Unknown;
    }
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<std::io::Error>() {
            match io.kind() {
                std::io::ErrorKind::TimedOut => return HttpErrorKind::Timeout,
                std::io::ErrorKind::ConnectionAborted
                | std::io::ErrorKind::ConnectionReset
                | std::io::ErrorKind::BrokenPipe
                | std::io::ErrorKind::UnexpectedEof => return HttpErrorKind::Interrupted,
                _ => {}
            }
        }
        cause = inner.source();
    }
    match () {
        () if error.is_timeout() => HttpErrorKind::Timeout,
        () if error.is_connect() => HttpErrorKind::Connect,
        () if error.is_decode() => HttpErrorKind::Decode,
        // A connection that ended before the answer: the request may have arrived, or not.
        () => HttpErrorKind::Interrupted,
    }
}

async fn first_words(body: HttpResponseBody) -> Bytes {
    use futures_util::StreamExt as _;
    let mut words = Vec::new();
    let mut stream = body.bytes_stream();
    // What is cut off is missing from a message, and nowhere else.
    while let Some(Ok(piece)) = stream.next().await {
        words.extend_from_slice(&piece);
        if words.len() > MOST_WORDS {
            break;
        }
    }
    words.into()
}

fn answer(
    status: StatusCode,
    headers: &HeaderMap,
    words: &[u8],
    sent_at: Option<jiff::Timestamp>,
) -> Answer {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let text = String::from_utf8_lossy(words);
    let text_of = |tag: &str| {
        let (_, rest) = text.split_once(&format!("<{tag}>"))?;
        rest.split_once("</").map(|(inner, _)| inner.to_owned())
    };
    // Google answers some calls in JSON.
    let json: serde_json::Value = serde_json::from_slice(words).unwrap_or_default();
    let json_text = |path: &str| json.pointer(path).and_then(|it| it.as_str()).map(str::to_owned);
    let code = text_of("Code").or_else(|| header("x-ms-error-code").map(str::to_owned));
    let code = code.or_else(|| json_text("/error/errors/0/reason"));
    let message = text_of("Message").or_else(|| json_text("/error/message"));
    let server = header("date")
        .and_then(|date| jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(date).ok());
    Answer {
        status: status.as_u16(),
        code: code.unwrap_or_default(),
        message: message.unwrap_or_default(),
        region: header("x-amz-bucket-region").map(str::to_owned).or_else(|| text_of("Region")),
        ahead: server
            .zip(sent_at)
            .map(|(server, own)| server.as_second().saturating_sub(own.as_second())),
    }
}

/// Returns what our own clock said when a request was signed.
fn sent_at(headers: &HeaderMap) -> Option<jiff::Timestamp> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(date) = header("x-amz-date") {
        let parsed = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", date).ok()?;
        return Some(parsed.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp());
    }
    let date = header("x-ms-date").or_else(|| header("date"))?;
    jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(date).ok()
}
