//! Git over http, by the same wire as the other remote stores: its patience, limits and proxies.
//!
//! The token goes in a header, and only over TLS (or within this computer); where it comes from is
//! not known here. The server's own clock is read from its answers.

use std::io::{BufRead, BufReader, Read};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use http::{Method, Request, header};
use object_store::client::{HttpError, HttpRequest, HttpResponse, HttpService as _};

use super::address::http_host;
use super::failure::{GitFailure, Outcome};
use super::packet::text;
use super::smart::{Way, read_lines};
use crate::store::Credentials;
use crate::store::calls::{runtime, traced};
use crate::store::failure::explain;
use crate::store::remote::Wire;
use crate::time::{Clock, SECOND};

/// A server behind http.
pub(super) struct Http {
    url: String,
    wire: Wire,
    authorization: Option<header::HeaderValue>,
    clock: Arc<dyn Clock>,
    abilities: Vec<String>,
    ahead: Option<i64>,
}

impl Http {
    pub(super) fn new(
        url: &str,
        wire: Wire,
        credentials: &Credentials,
        clock: &Arc<dyn Clock>,
    ) -> Outcome<Http> {
        let authorization = match credentials.get(TOKEN) {
            Some(token) => Some(authorization(url, credentials.get(USER), token)?),
            None => None,
        };
        Ok(Http {
            url: url.to_owned(),
            wire,
            authorization,
            clock: Arc::clone(clock),
            abilities: Vec::new(),
            ahead: None,
        })
    }

    fn send(&mut self, method: &Method, path: &str, body: Vec<u8>) -> Outcome<Answer> {
        let service = path.rsplit(['/', '=']).next().unwrap_or_default().to_owned();
        let mut request = Request::builder()
            .method(method.clone())
            .uri(format!("{}/{path}", self.url))
            .header(header::CACHE_CONTROL, "no-cache");
        if service == "git-upload-pack" {
            request = request.header("Git-Protocol", "version=2");
        }
        if *method == Method::POST {
            request = request
                .header(header::CONTENT_TYPE, format!("application/x-{service}-request"))
                .header(header::ACCEPT, format!("application/x-{service}-result"));
        }
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization.clone());
        }
        let request = request
            .body(body.into())
            .map_err(|_| GitFailure::lasting("this is no address of the web", "check it"))?;
        let response = call(&self.wire, request)?;
        let date = response.headers().get(header::DATE).and_then(|date| date.to_str().ok());
        let date = date
            .and_then(|date| jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(date).ok());
        // A date is cut to whole seconds: half a second ahead of it is right on average, a whole
        // one is never too early.
        let server = date.map(|date| date.as_second().saturating_add(1).saturating_mul(SECOND));
        self.ahead = server.map(|server| server.saturating_sub(self.clock.now().0)).or(self.ahead);
        let status = response.status();
        if !status.is_success() {
            return Err(refusal(status.as_u16(), self.authorization.is_some()));
        }
        let kind = response.headers().get(header::CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if !kind.starts_with(&format!("application/x-{service}-")) {
            return Err(GitFailure::lasting(
                "this is a web page, and no git repository",
                "give the address that `git clone` would take; most end in `.git`",
            ));
        }
        Ok(Answer { stream: response.into_body().bytes_stream(), chunk: Bytes::new() })
    }

    fn announcement(&mut self, service: &str) -> Outcome<Vec<Vec<u8>>> {
        let answer =
            self.send(&Method::GET, &format!("info/refs?service={service}"), Vec::new())?;
        let mut answer = BufReader::new(answer);
        let lines = read_lines(&mut answer)?;
        // Web servers may say first which service it is.
        match lines.first() {
            Some(first) if first.starts_with(b"# service=") => read_lines(&mut answer),
            _ => Ok(lines),
        }
    }
}

/// The setting that holds a token.
pub(super) const TOKEN: &str = "git_token";
/// The setting that says whose it is, where that matters.
pub(super) const USER: &str = "git_username";

/// Returns the header that shows a token. Refuses to show it to whoever listens.
fn authorization(url: &str, user: Option<&str>, token: &str) -> Outcome<header::HeaderValue> {
    use base64::Engine as _;
    let (_, is_safe) = http_host(url);
    if !is_safe {
        return Err(GitFailure::lasting(
            "a token over `http://` could be read by everybody on the way",
            "use `https://`",
        ));
    }
    let user = user.unwrap_or("x-access-token");
    let pair = zeroize::Zeroizing::new(format!("{user}:{token}"));
    let text = base64::engine::general_purpose::STANDARD.encode(pair.as_bytes());
    let mut value = header::HeaderValue::from_str(&format!("Basic {text}"))
        .map_err(|_| GitFailure::lasting("the token is none", "check where it comes from"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Sends a request and waits for the head of its answer.
pub(super) fn call(wire: &Wire, request: HttpRequest) -> Outcome<HttpResponse> {
    let runtime = runtime().ok_or_else(|| GitFailure::odd("no threads to reach it"))?;
    let generic =
        |error: HttpError| object_store::Error::Generic { store: "git", source: Box::new(error) };
    let call = async { wire.call(request).await.map_err(generic) };
    runtime.block_on(traced(call)).map_err(|failed| {
        let (sentence, remedy) = explain(&failed)
            .unwrap_or_else(|| (failed.error.to_string(), "check the network".to_owned()));
        let lasts = ["no such host", "secure connection", "refused", "credentials"];
        let passes = !lasts.iter().any(|word| sentence.contains(word));
        GitFailure { sentence, remedy, passes }
    })
}

fn refusal(status: u16, has_token: bool) -> GitFailure {
    let token = if has_token {
        "check the token: it must not have expired, and may read and write this repository's contents"
    } else {
        "set `STASH_GIT_TOKEN` to a token that may read and write this repository's contents"
    };
    match status {
        401 | 403 => GitFailure::lasting(format!("the server refuses access ({status})"), token),
        404 => GitFailure::lasting(
            "there is no such git repository, or one must log in to see it",
            token,
        ),
        301 | 302 | 307 | 308 => GitFailure::lasting(
            "the repository lies at another address now",
            "look it up in the browser, and give that one",
        ),
        413 => GitFailure::lasting(
            "the server takes no pushes as large as a pack",
            "raise its limit to 128 MiB (`client_max_body_size` in nginx)",
        ),
        429 | 500..=599 => {
            GitFailure::passing(format!("the git server is busy or broken ({status})"))
        }
        _ => GitFailure::lasting(format!("the git server answers {status}"), "check the address"),
    }
}

impl Way for Http {
    fn abilities(&mut self) -> Outcome<Vec<String>> {
        if self.abilities.is_empty() {
            let lines = self.announcement("git-upload-pack")?;
            let mut lines = lines.iter().map(|line| text(line));
            if lines.next().as_deref() != Some("version 2") {
                return Err(GitFailure::lasting(
                    "the git server speaks only an old version of the protocol",
                    "it needs git 2.18 or newer, and must hand on the header `Git-Protocol`",
                ));
            }
            self.abilities = lines.collect();
        }
        Ok(self.abilities.clone())
    }

    fn renew(&mut self) {}

    fn ask(&mut self, request: Vec<u8>) -> Outcome<Box<dyn BufRead + '_>> {
        let answer = self.send(&Method::POST, "git-upload-pack", request)?;
        Ok(Box::new(BufReader::new(answer)))
    }

    fn begin_push(&mut self) -> Outcome<Vec<Vec<u8>>> {
        self.announcement("git-receive-pack")
    }

    fn push(&mut self, request: Vec<u8>) -> Outcome<Box<dyn Read + '_>> {
        Ok(Box::new(self.send(&Method::POST, "git-receive-pack", request)?))
    }

    fn end_push(&mut self) {}

    fn give_up(&mut self, failure: GitFailure) -> GitFailure {
        failure
    }

    fn clock_ahead(&self) -> Option<i64> {
        self.ahead
    }
}

/// The body of an answer, waited for piece by piece.
struct Answer {
    stream: BoxStream<'static, Result<Bytes, HttpError>>,
    chunk: Bytes,
}

impl Read for Answer {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.chunk.is_empty() {
            let runtime = runtime().ok_or(std::io::ErrorKind::Other)?;
            match runtime.block_on(self.stream.next()) {
                Some(Ok(chunk)) => self.chunk = chunk,
                Some(Err(error)) => return Err(std::io::Error::other(error)),
                None => return Ok(0),
            }
        }
        let count = buffer.len().min(self.chunk.len());
        let piece = self.chunk.split_to(count);
        if let Some(to) = buffer.get_mut(..count) {
            to.copy_from_slice(&piece);
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_shown_over_tls_or_at_home_and_nowhere_else() {
        let shown = authorization("https://host/x.git", None, "t").unwrap();
        assert_eq!(shown, "Basic eC1hY2Nlc3MtdG9rZW46dA==");
        assert!(shown.is_sensitive());
        assert!(authorization("http://127.0.0.1:1/x.git", Some("me"), "t").is_ok());
        let error = authorization("http://host/x.git", None, "hunter2").unwrap_err();
        assert!(!format!("{error:?}").contains("hunter2"));
    }
}
