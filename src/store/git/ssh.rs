//! Git over ssh, by the ssh program that the user has set up: its agent, keys, hosts and jumps.
//!
//! It never asks: an unknown host is an error that shows the host's fingerprint, and a key that
//! needs a passphrase belongs into the agent. A connection that is silent for half a minute ends.

use std::io::{BufRead, BufReader, Read, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use super::address::{SshAddress, quoted};
use super::failure::{GitFailure, Outcome};
use super::smart::{Way, lost, read_lines};
use super::{GitOptions, packet::text};

/// What is kept of what ssh says, in bytes.
const MOST_WORDS: u64 = 256 << 10;
/// How long ssh may take to end, in steps of ten milliseconds.
const ENDING: u32 = 300;

/// A server behind ssh.
pub(super) struct Ssh {
    address: SshAddress,
    program: Vec<String>,
    withheld: Vec<String>,
    silence: Duration,
    open: Option<Connection>,
    /// What a push was begun on; it serves one, and nothing else.
    pushing: Option<Connection>,
    abilities: Vec<String>,
}

/// A running ssh.
struct Connection {
    child: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
    words: Option<JoinHandle<String>>,
    was_asked: bool,
}

impl Ssh {
    pub(super) fn new(address: &SshAddress, options: &GitOptions) -> Ssh {
        Ssh {
            address: address.clone(),
            program: options.ssh.clone(),
            withheld: options.withheld.clone(),
            silence: options.remote.silence,
            open: None,
            pushing: None,
            abilities: Vec::new(),
        }
    }

    fn connect(&self, service: &str) -> Outcome<Connection> {
        let mut program = self.program.iter();
        let name = program.next().map_or("ssh", String::as_str);
        let seconds = self.silence.as_secs().max(1);
        let mut command = Command::new(name);
        command.args(program);
        for option in [
            "BatchMode=yes".to_owned(),
            "StrictHostKeyChecking=yes".to_owned(),
            "SendEnv=GIT_PROTOCOL".to_owned(),
            format!("ConnectTimeout={}", seconds.min(10)),
            format!("ServerAliveInterval={}", seconds.div_ceil(3)),
            "ServerAliveCountMax=3".to_owned(),
        ] {
            command.args(["-o", &option]);
        }
        // Told in detail, it tells the fingerprint of a host that it does not know.
        command.args(["-v", "-T"]).env("GIT_PROTOCOL", "version=2").env("LC_ALL", "C");
        if let Some(port) = self.address.port {
            command.args(["-p", &port.to_string()]);
        }
        for name in &self.withheld {
            command.env_remove(name);
        }
        command.arg("--").arg(&self.address.host);
        command.arg(format!("{service} {}", quoted(&self.address.path)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| {
            GitFailure::lasting(
                format!("cannot run `{name}`: {error}"),
                "install OpenSSH's client, or use a `git+https://` address",
            )
        })?;
        let (to, from, words) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let from = from.ok_or_else(|| GitFailure::odd("ssh has no output"))?;
        let words = words.map(|words| std::thread::spawn(move || collect(words)));
        Ok(Connection { child, to, from: BufReader::new(from), words, was_asked: false })
    }

    fn read_abilities(&mut self, service: &str) -> Outcome<bool> {
        let connection = self.connect(service)?;
        let connection = self.open.insert(connection);
        let lines = read_lines(&mut connection.from)?;
        let mut lines = lines.iter().map(|line| text(line));
        let first = lines.next().unwrap_or_default();
        self.abilities = lines.collect();
        Ok(first == "version 2")
    }
}

impl Way for Ssh {
    fn abilities(&mut self) -> Outcome<Vec<String>> {
        if self.open.is_some() {
            return Ok(self.abilities.clone());
        }
        // Most servers take the variable that asks for version 2; where sshd was not told to, the
        // command can set it, if it is a shell that runs it.
        if self.read_abilities("git-upload-pack")? {
            return Ok(self.abilities.clone());
        }
        drop(self.open.take());
        if self.read_abilities("env GIT_PROTOCOL=version=2 git-upload-pack")? {
            return Ok(self.abilities.clone());
        }
        Err(GitFailure::lasting(
            "the git server speaks only an old version of the protocol",
            "it needs git 2.18 or newer, and `AcceptEnv GIT_PROTOCOL` in its sshd_config",
        ))
    }

    fn renew(&mut self) {
        self.open = self.open.take().filter(|open| !open.was_asked);
    }

    fn ask(&mut self, request: Vec<u8>) -> Outcome<Box<dyn BufRead + '_>> {
        let Some(connection) = &mut self.open else {
            return Err(GitFailure::passing("the connection is closed"));
        };
        connection.was_asked = true;
        connection.send(&request)?;
        Ok(Box::new(&mut connection.from))
    }

    fn begin_push(&mut self) -> Outcome<Vec<Vec<u8>>> {
        let connection = self.connect("git-receive-pack")?;
        read_lines(&mut self.pushing.insert(connection).from)
    }

    fn push(&mut self, request: Vec<u8>) -> Outcome<Box<dyn Read + '_>> {
        let Some(connection) = &mut self.pushing else {
            return Err(GitFailure::passing("the connection is closed"));
        };
        connection.send(&request)?;
        drop(connection.to.take());
        Ok(Box::new(connection))
    }

    fn give_up(&mut self, failure: GitFailure) -> GitFailure {
        let pushing = self.pushing.take();
        let Some(connection) = pushing.or_else(|| self.open.take()) else { return failure };
        if !failure.passes {
            return failure;
        }
        explain(&connection.end(), failure)
    }

    fn clock_ahead(&self) -> Option<i64> {
        None
    }
}

impl Connection {
    fn send(&mut self, bytes: &[u8]) -> Outcome<()> {
        let Some(to) = &mut self.to else {
            return Err(GitFailure::passing("the connection is closed"));
        };
        to.write_all(bytes).and_then(|()| to.flush()).map_err(|error| lost(&error))
    }

    /// Ends ssh and returns what it said.
    fn end(mut self) -> String {
        drop(self.to.take());
        for _ in 0..ENDING {
            if !matches!(self.child.try_wait(), Ok(None)) {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        // What has ended by itself can't be killed, which is as well.
        let _killed = self.child.kill();
        self.words.take().and_then(|words| words.join().ok()).unwrap_or_default()
    }
}

impl Read for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.from.read(buffer)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        drop(self.to.take());
        let _killed = self.child.kill();
        let _waited = self.child.wait();
    }
}

fn collect(words: impl Read) -> String {
    let mut bytes = Vec::new();
    let mut words = words.take(MOST_WORDS);
    let _read = words.read_to_end(&mut bytes);
    // The rest is taken and thrown away, so that ssh does not wait for a reader.
    let _rest = std::io::copy(&mut words.into_inner(), &mut std::io::sink());
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Says what ssh meant.
fn explain(words: &str, failure: GitFailure) -> GitFailure {
    let has = |text: &str| words.contains(text);
    let fingerprint = || {
        words
            .lines()
            .find_map(|line| line.split_once("Server host key: "))
            .map_or("unknown", |(_, key)| key.trim())
    };
    let lasting = |sentence: String, remedy: String| GitFailure::lasting(sentence, remedy);
    if has("REMOTE HOST IDENTIFICATION HAS CHANGED") {
        return lasting(
            format!("the host's key is not the one that is known; it now shows {}", fingerprint()),
            "somebody may be in between: ask the host's owner before you remove the old key by \
             `ssh-keygen -R HOST`"
                .to_owned(),
        );
    }
    if has("Host key verification failed") {
        return lasting(
            format!("the host is not known yet; its key is {}", fingerprint()),
            "compare it with what the host's owner publishes, then run `ssh HOST` once and say yes"
                .to_owned(),
        );
    }
    if has("Permission denied") {
        return lasting(
            "the host takes none of your ssh keys".to_owned(),
            "add your public key there; a key with a passphrase must be in the agent (`ssh-add`)"
                .to_owned(),
        );
    }
    if has("Could not resolve hostname") {
        return lasting(
            "no such host, or no network: its name has no address".to_owned(),
            "check the address for a typing error, and the network".to_owned(),
        );
    }
    for missing in [
        "not appear to be a git repository",
        "not a git repository",
        "Repository not found",
        "repository not found",
        "ERROR: ",
    ] {
        if has(missing) {
            return lasting(
                "there is no such git repository, or these keys may not see it".to_owned(),
                "check the path; make it on the host by `git init --bare PATH`".to_owned(),
            );
        }
    }
    if has("not found") && has("git-") {
        return lasting(
            "the host has no git".to_owned(),
            "install git there; the server's side of a git remote needs it".to_owned(),
        );
    }
    let own = words.lines().rev().map(str::trim);
    let own = own.filter(|line| !line.is_empty() && !line.starts_with("debug"));
    let own =
        own.filter(|line| !line.starts_with("Transferred:") && !line.starts_with("Bytes per"));
    let mut own =
        own.filter(|line| !line.starts_with("OpenSSH_") && !line.starts_with("Authenticated"));
    match own.next() {
        Some(line) => GitFailure::passing(format!("{}: {line}", failure.sentence)),
        None => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ssh_says_becomes_a_sentence_and_a_remedy() {
        let of = |words: &str| explain(words, GitFailure::passing("ended")).sentence;
        let unknown =
            "debug1: Server host key: ssh-ed25519 SHA256:abc\nHost key verification failed.";
        assert!(of(unknown).ends_with("its key is ssh-ed25519 SHA256:abc"));
        let changed = format!("@ REMOTE HOST IDENTIFICATION HAS CHANGED! @\n{unknown}");
        assert!(of(&changed).contains("not the one that is known"));
        assert!(of("me@host: Permission denied (publickey).").contains("none of your ssh keys"));
        let line = "debug1: x\nssh: connect to host h port 22: Connection refused\r\n";
        assert_eq!(of(line), "ended: ssh: connect to host h port 22: Connection refused");
    }
}
