//! Servers for git's protocol, made of Debian's own programs: a bare repository, sshd on a high port
//! in a folder of the test, and `git http-backend` behind a small web server.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use stash::store::{GitOptions, Store};

use crate::scene::{git_options, keys};

/// Runs git on a bare repository; returns what it prints.
pub(crate) fn git(bare: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git").arg("--git-dir").arg(bare).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Makes a bare repository.
pub(crate) fn bare(folder: &Path) -> PathBuf {
    let path = folder.join("it's a repository.git");
    let made = Command::new("git").args(["init", "-q", "--bare"]).arg(&path).status().unwrap();
    assert!(made.success());
    git(&path, &["config", "http.receivepack", "true"]);
    path
}

/// Returns how many bytes a repository's objects take, after everything unreachable is gone.
pub(crate) fn collected(bare: &Path) -> u64 {
    git(bare, &["gc", "-q", "--prune=now"]);
    let counted = git(bare, &["count-objects", "-v"]);
    let size = counted.lines().find_map(|line| line.strip_prefix("size-pack: ")).unwrap();
    size.parse::<u64>().unwrap() * 1024
}

pub(crate) fn open(url: &str, options: &GitOptions) -> stash::error::Result<Store> {
    Store::open_git(url, url, &keys(&[("git_token", "t0ken")]), options, false)
}

/// An sshd of the test's own.
pub(crate) struct Sshd {
    child: Child,
    folder: PathBuf,
    port: u16,
}

impl Sshd {
    /// Starts it; `None` if there is none on this machine.
    pub(crate) fn start(folder: &Path) -> Option<Sshd> {
        let program = Path::new("/usr/sbin/sshd");
        if !program.exists() {
            assert!(std::env::var_os("CI").is_none(), "openssh-server is missing");
            return None;
        }
        for name in ["host", "own"] {
            let key = folder.join(name);
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(&key)
                .status();
            assert!(made.unwrap().success());
        }
        std::fs::copy(folder.join("own.pub"), folder.join("authorized")).unwrap();
        // Where root starts it, it wants this folder, which its service makes otherwise.
        let _there = std::fs::create_dir("/run/sshd");
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let at = folder.display();
        let config = format!(
            "ListenAddress 127.0.0.1:{port}\nHostKey {at}/host\nAuthorizedKeysFile {at}/authorized\n\
             PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n\
             PermitRootLogin yes\nMaxStartups 50\n"
        );
        std::fs::write(folder.join("config"), config).unwrap();
        let child = Command::new(program)
            .args(["-D", "-e", "-f"])
            .arg(folder.join("config"))
            .stderr(std::fs::File::create(folder.join("log")).unwrap())
            .spawn()
            .unwrap();
        for _ in 0..500 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let public = std::fs::read_to_string(folder.join("host.pub")).unwrap();
        let known = format!("[127.0.0.1]:{port} {public}");
        std::fs::write(folder.join("known"), known).unwrap();
        Some(Sshd { child, folder: folder.to_owned(), port })
    }

    pub(crate) fn url(&self, bare: &Path) -> String {
        format!("ssh://127.0.0.1:{}{}", self.port, bare.display())
    }

    /// Returns options by which ssh knows the host and has a key, and nothing of this machine's.
    pub(crate) fn options(&self) -> GitOptions {
        let file = |name: &str| self.folder.join(name).display().to_string();
        let ssh = [
            "ssh",
            "-F",
            "none",
            "-i",
            &file("own"),
            "-oIdentitiesOnly=yes",
            "-oGlobalKnownHostsFile=none",
            &format!("-oUserKnownHostsFile={}", file("known")),
        ];
        GitOptions { ssh: ssh.map(str::to_owned).into(), ..git_options() }
    }

    pub(crate) fn forget_host(&self) {
        std::fs::write(self.folder.join("known"), "").unwrap();
    }

    pub(crate) fn forget_key(&self) {
        std::fs::write(self.folder.join("authorized"), "").unwrap();
    }

    pub(crate) fn stop(&mut self) {
        let _gone = self.child.kill();
        let _waited = self.child.wait();
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What a web server does wrong with a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrong {
    Nothing,
    /// The request is cut in the middle.
    CutRequest,
    /// The push is done, and its answer is lost.
    LoseAnswer,
    /// Nothing is answered any more.
    Hang,
}

/// A web server in front of `git http-backend`, which wants a token.
pub(crate) struct Web {
    port: u16,
    pub(crate) shared: Arc<WebShared>,
}

pub(crate) struct WebShared {
    bare: PathBuf,
    pub(crate) wrong: Mutex<Wrong>,
    /// How many bytes came and went.
    pub(crate) received: AtomicU64,
    pub(crate) sent: AtomicU64,
    /// Seconds by which its clock is ahead.
    pub(crate) ahead: AtomicI64,
    stopped: AtomicBool,
}

impl Web {
    pub(crate) fn start(bare: &Path) -> Web {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(WebShared {
            bare: bare.to_owned(),
            wrong: Mutex::new(Wrong::Nothing),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            ahead: AtomicI64::new(0),
            stopped: AtomicBool::new(false),
        });
        let own = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if own.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let own = Arc::clone(&own);
                // A client that goes away in the middle is its own affair.
                std::thread::spawn(move || own.serve(stream));
            }
        });
        Web { port, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/x.git", self.port)
    }

    pub(crate) fn go_wrong(&self, wrong: Wrong) {
        *self.shared.wrong.lock().unwrap() = wrong;
    }

    /// Returns how many bytes came and went since the last time.
    pub(crate) fn take(&self) -> (u64, u64) {
        (self.shared.received.swap(0, Ordering::SeqCst), self.shared.sent.swap(0, Ordering::SeqCst))
    }

    pub(crate) fn stop(&self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.stop();
    }
}

impl WebShared {
    fn serve(&self, mut stream: TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
            let line = line.trim_end().to_owned();
            if line.is_empty() {
                break;
            }
            lines.push(line);
        }
        let header = |name: &str| {
            lines.iter().find_map(|line| {
                let (own, value) = line.split_once(':')?;
                own.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
            })
        };
        let mut words = lines[0].split(' ');
        let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let length: usize = header("content-length").map_or(0, |it| it.parse().unwrap());
        let is_push = method == "POST" && path.ends_with("/git-receive-pack");
        let wrong = *self.wrong.lock().unwrap();
        if wrong == Wrong::Hang {
            std::thread::sleep(Duration::from_mins(1));
        }
        let taken = if is_push && wrong == Wrong::CutRequest { length / 2 } else { length };
        let mut body = vec![0; taken];
        reader.read_exact(&mut body).ok()?;
        self.received.fetch_add(taken as u64, Ordering::SeqCst);
        if taken < length {
            return None;
        }
        let date = jiff::Timestamp::now()
            + jiff::SignedDuration::from_secs(self.ahead.load(Ordering::SeqCst));
        let date = jiff::fmt::rfc2822::to_string(&date.to_zoned(jiff::tz::TimeZone::UTC)).unwrap();
        let date = date.replace("+0000", "GMT");
        if header("authorization").as_deref() != Some("Basic eC1hY2Nlc3MtdG9rZW46dDBrZW4=") {
            let no = "HTTP/1.1 401 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            return stream.write_all(no.as_bytes()).ok();
        }
        let inner = path.strip_prefix("/x.git")?;
        let mut child = Command::new("git")
            .arg("http-backend")
            .env("GIT_PROJECT_ROOT", self.bare.parent()?)
            .env("GIT_HTTP_EXPORT_ALL", "1")
            .env("PATH_INFO", format!("/{}{inner}", self.bare.file_name()?.to_str()?))
            .env("QUERY_STRING", query)
            .env("REQUEST_METHOD", &method)
            .env("CONTENT_TYPE", header("content-type").unwrap_or_default())
            .env("CONTENT_LENGTH", length.to_string())
            .env("REMOTE_USER", "somebody")
            .env("GIT_PROTOCOL", header("git-protocol").unwrap_or_default())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let feeder = std::thread::spawn(move || stdin.write_all(&body));
        let answer = child.wait_with_output().unwrap().stdout;
        let _fed = feeder.join();
        if is_push && wrong == Wrong::LoseAnswer {
            self.wrong.lock().map(|mut wrong| *wrong = Wrong::Nothing).ok()?;
            return None;
        }
        let end = answer.windows(4).position(|it| it == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        let status = head.lines().find_map(|line| line.strip_prefix("Status: "));
        let head = format!(
            "HTTP/1.1 {}\r\n{head}\r\nDate: {date}\r\nConnection: close\r\n\r\n",
            status.unwrap_or("200 OK")
        );
        self.sent.fetch_add(answer.len() as u64, Ordering::SeqCst);
        stream.write_all(head.as_bytes()).ok()?;
        stream.write_all(&answer[end + 4..]).ok()
    }
}
