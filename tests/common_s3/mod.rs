//! A small server that speaks enough S3 for these tests, on this computer alone: it keeps its objects
//! in memory, writes requests down, is slow, refuses, hangs or dies when told to.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::format_push_string,
    reason = "each test takes what it needs, and stops where things are not as they should be"
)]

mod objects;

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use objects::Objects;

/// The key that the server knows.
pub const KEY: &str = "TESTKEY";

/// A request, as a test looks at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    /// Bucket and name, decoded, without the slash before.
    pub path: String,
    /// What follows the question mark, as it came.
    pub query: String,
    /// How many bytes came with it.
    pub length: usize,
    /// Which bytes are asked for.
    pub range: Option<String>,
    /// Whether nothing may be there yet.
    pub create: bool,
    /// When its head had come.
    pub began: Instant,
    /// When the answer was sent, and how many bytes came with it.
    pub answer: Arc<OnceLock<(Instant, usize)>>,
}

/// Returns how many of these requests came one after the other: the longest row of them in which
/// each begins after the one before it was answered.
pub fn round_trips(requests: &[Request]) -> usize {
    let mut times: Vec<_> = requests
        .iter()
        .filter_map(|request| Some((request.answer.get()?.0, request.began)))
        .collect();
    times.sort();
    let mut last: Option<Instant> = None;
    let mut count = 0;
    for (ended, began) in times {
        if last.is_none_or(|last| began >= last) {
            last = Some(ended);
            count += 1;
        }
    }
    count
}

impl Request {
    pub fn is_put(&self) -> bool {
        self.method == "PUT"
    }

    pub fn is_list(&self) -> bool {
        self.method == "GET" && self.query.contains("list-type=2")
    }

    pub fn is_pack(&self) -> bool {
        self.path.contains("/packs/")
    }
}

/// What the server does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// What was asked.
    Serve,
    /// A refusal: status and code.
    Refuse(u16, &'static str),
    /// Nothing, until the server ends.
    Hang,
    /// The connection ends before anything is done.
    Break,
    /// What was asked, and then the connection ends without an answer.
    LoseReply,
    /// A listing leaves out every second row.
    DropRows,
    /// A listing has every row twice.
    RepeatRows,
    /// A listing ends after half its rows, as if there were no more.
    CutRows,
    /// An answer that never ends.
    Endless,
}

type Rule = Arc<dyn Fn(&Request) -> Action + Send + Sync>;

/// How a server behaves.
#[derive(Clone, Copy)]
pub struct Behaviour {
    /// Whether it honours `If-None-Match: *`; otherwise the last write wins.
    pub creates: bool,
    /// The region that signatures must name.
    pub region: &'static str,
    /// How long each answer takes more.
    pub latency: Duration,
    /// How many rows a page of a listing holds.
    pub page: usize,
    /// By how many seconds its clock is ahead.
    pub clock_ahead: i64,
}

impl Default for Behaviour {
    fn default() -> Self {
        Behaviour {
            creates: true,
            region: "us-east-1",
            latency: Duration::ZERO,
            page: 7,
            clock_ahead: 0,
        }
    }
}

struct Shared {
    behaviour: Behaviour,
    objects: Mutex<Objects>,
    requests: Mutex<Vec<Request>>,
    rule: Mutex<Rule>,
    connections: Mutex<HashMap<u64, TcpStream>>,
    is_over: AtomicBool,
    /// How many bytes of endless answers were taken.
    endless: AtomicU64,
}

/// A running server; it ends when dropped.
pub struct Server {
    shared: Arc<Shared>,
    port: u16,
}

impl Server {
    pub fn start(behaviour: Behaviour) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            behaviour,
            objects: Mutex::new(Objects::default()),
            requests: Mutex::default(),
            rule: Mutex::new(Arc::new(|_| Action::Serve)),
            connections: Mutex::default(),
            is_over: AtomicBool::new(false),
            endless: AtomicU64::new(0),
        });
        shared.objects.lock().unwrap().make_bucket("bucket");
        let own = Arc::clone(&shared);
        std::thread::spawn(move || {
            for (number, stream) in (0..).zip(listener.incoming()) {
                if own.is_over.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(stream), own) = (stream, Arc::clone(&own)) else { continue };
                own.connections.lock().unwrap().insert(number, stream.try_clone().unwrap());
                std::thread::spawn(move || {
                    let _ended = own.converse(stream);
                    own.connections.lock().unwrap().remove(&number);
                });
            }
        });
        Server { shared, port }
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Decides about each request from now on.
    pub fn rule(&self, rule: impl Fn(&Request) -> Action + Send + Sync + 'static) {
        *self.shared.rule.lock().unwrap() = Arc::new(rule);
    }

    /// Serves everything again.
    pub fn heal(&self) {
        self.rule(|_| Action::Serve);
    }

    /// Returns the requests since the last time.
    pub fn take(&self) -> Vec<Request> {
        std::mem::take(&mut *self.shared.requests.lock().unwrap())
    }

    /// Returns how many bytes of endless answers were taken.
    pub fn endless_bytes(&self) -> u64 {
        self.shared.endless.load(Ordering::SeqCst)
    }

    /// Returns the names of all objects of a bucket.
    pub fn names(&self, bucket: &str) -> Vec<String> {
        self.shared.objects.lock().unwrap().names(bucket)
    }

    /// Returns the names of all objects of a bucket with their lengths.
    pub fn sizes(&self, bucket: &str) -> Vec<(String, u64)> {
        self.shared.objects.lock().unwrap().sizes(bucket)
    }

    /// Puts an object there that was stored at a moment, in seconds of Unix time.
    pub fn place(&self, bucket: &str, name: &str, bytes: Vec<u8>, stored: i64) {
        self.shared.objects.lock().unwrap().place(bucket, name, bytes, stored);
    }

    /// Ends all connections, as a server that is killed does; what it holds stays.
    pub fn cut(&self) {
        for (_, connection) in self.shared.connections.lock().unwrap().drain() {
            let _closed = connection.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        self.cut();
        // Wakes the thread that waits for connections.
        let _woken = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// What is answered.
pub(crate) struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn new(status: u16) -> Answer {
        Answer { status, headers: Vec::new(), body: Vec::new() }
    }

    pub fn refusal(status: u16, code: &str) -> Answer {
        let body = format!(
            "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>no</Message></Error>"
        );
        Answer { status, headers: Vec::new(), body: body.into() }
    }
}

impl Shared {
    fn converse(&self, stream: TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let mut reader = BufReader::new(stream.try_clone()?);
        if reader.fill_buf()?.first() == Some(&0x16) {
            // Somebody begins with TLS.
            let mut stream = stream;
            stream.write_all(b"HTTP/1.1 400 x\r\nContent-Length: 0\r\n\r\n")?;
            return stream.shutdown(Shutdown::Both);
        }
        let mut writer = stream;
        loop {
            let mut head = Vec::new();
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line)? == 0 {
                    return Ok(());
                }
                if line.trim().is_empty() {
                    break;
                }
                head.push(line.trim().to_owned());
            }
            let header = |name: &str| {
                let named = |line: &&String| {
                    line.split_once(':').is_some_and(|(own, _)| own.eq_ignore_ascii_case(name))
                };
                head[1..]
                    .iter()
                    .find(named)
                    .and_then(|line| line.split_once(':'))
                    .map(|(_, value)| value.trim().to_owned())
            };
            let length = header("content-length").map_or(0, |length| length.parse().unwrap());
            let mut body = vec![0; length];
            let mut words = head[0].split(' ');
            let (method, target) = (words.next().unwrap(), words.next().unwrap());
            let (path, query) = target.split_once('?').unwrap_or((target, ""));
            let request = Request {
                method: method.to_owned(),
                path: decode(path.trim_start_matches('/')),
                query: query.to_owned(),
                length,
                range: header("range").map(|range| range.replace("bytes=", "")),
                create: header("if-none-match").is_some(),
                began: Instant::now(),
                answer: Arc::default(),
            };
            self.requests.lock().unwrap().push(request.clone());
            // Not under the lock: requests come side by side.
            let rule = Arc::clone(&*self.rule.lock().unwrap());
            let action = rule(&request);
            if action == Action::Break {
                // In the middle of what is being sent, if there is that much of it.
                reader.read_exact(&mut body[..length / 2])?;
                return writer.shutdown(Shutdown::Both);
            }
            reader.read_exact(&mut body)?;
            if header("x-amz-content-sha256").is_some_and(|it| it.starts_with("STREAMING-")) {
                body = unchunked(&body);
            }
            std::thread::sleep(self.behaviour.latency);
            let answer = match action {
                Action::Hang => {
                    while !self.is_over.load(Ordering::SeqCst) {
                        std::thread::sleep(Duration::from_millis(20));
                    }
                    return Ok(());
                }
                Action::Refuse(status, code) => Answer::refusal(status, code),
                Action::Endless => return self.send_for_ever(&mut writer),
                _ => {
                    let refusal =
                        self.refuse_signature(&header("authorization").unwrap_or_default());
                    refusal.unwrap_or_else(|| {
                        let mut objects = self.objects.lock().unwrap();
                        objects.serve(&self.behaviour, &request, body, action)
                    })
                }
            };
            if action == Action::LoseReply {
                return writer.shutdown(Shutdown::Both);
            }
            self.send(&mut writer, &request, &answer)?;
            let _first = request.answer.set((Instant::now(), answer.body.len()));
        }
    }

    fn send_for_ever(&self, to: &mut TcpStream) -> std::io::Result<()> {
        let head = "HTTP/1.1 200 x\r\nETag: \"0\"\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n\
                    Transfer-Encoding: chunked\r\n\r\n";
        to.write_all(head.as_bytes())?;
        let piece = vec![b' '; 1 << 20];
        while !self.is_over.load(Ordering::SeqCst) {
            to.write_all(b"100000\r\n")?;
            to.write_all(&piece)?;
            to.write_all(b"\r\n")?;
            self.endless.fetch_add(1 << 20, Ordering::SeqCst);
        }
        Ok(())
    }

    fn refuse_signature(&self, authorization: &str) -> Option<Answer> {
        let scope = authorization.split("Credential=").nth(1)?.split(',').next()?;
        let mut parts = scope.split('/');
        let (key, region) = (parts.next()?, parts.nth(1)?);
        if key != KEY {
            return Some(Answer::refusal(403, "InvalidAccessKeyId"));
        }
        let own = self.behaviour.region;
        (region != own).then(|| {
            let mut answer = Answer::refusal(400, "AuthorizationHeaderMalformed");
            answer.body.extend_from_slice(format!("<Region>{own}</Region>").as_bytes());
            answer
        })
    }

    fn send(&self, to: &mut TcpStream, request: &Request, answer: &Answer) -> std::io::Result<()> {
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs().cast_signed();
        let date = objects::http_date(now + self.behaviour.clock_ahead);
        let mut head = format!("HTTP/1.1 {} x\r\nDate: {date}\r\n", answer.status);
        for (name, value) in &answer.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !answer.headers.iter().any(|(name, _)| *name == "Content-Length") {
            head.push_str(&format!("Content-Length: {}\r\n", answer.body.len()));
        }
        head.push_str("\r\n");
        to.write_all(head.as_bytes())?;
        if request.method == "HEAD" { Ok(()) } else { to.write_all(&answer.body) }
    }
}

/// Takes a body out of the signed pieces that some clients send it in.
fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
        let head = std::str::from_utf8(&rest[..end]).unwrap();
        let digits = head.split(';').next().unwrap();
        let length = usize::from_str_radix(digits, 16).unwrap();
        if length == 0 {
            break;
        }
        let begin = end + 2;
        body.extend_from_slice(&rest[begin..begin + length]);
        rest = &rest[begin + length + 2..];
    }
    body
}

pub(crate) fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let pair = [rest.next().unwrap(), rest.next().unwrap()];
            let digits = std::str::from_utf8(&pair).unwrap().to_owned();
            bytes.push(u8::from_str_radix(&digits, 16).unwrap());
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).unwrap()
}
