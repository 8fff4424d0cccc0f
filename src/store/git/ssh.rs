//! Git over ssh, by the ssh program that the user has set up: its agent, keys, hosts and jumps.
//!
//! It never asks: an unknown host is an error that shows the host's fingerprint, and a key that
//! needs a passphrase belongs into the agent. A connection that is silent for half a minute ends.

mod connection;

use std::io::{BufRead, Read};
use std::process::Command;

use self::connection::{Connection, Pace};
use super::address::{SshAddress, quoted};
use super::failure::{GitFailure, Outcome};
use super::smart::{Way, read_lines};
use super::{GitOptions, packet::text};
use crate::store::remote::Limit;

/// A server behind ssh.
pub(super) struct Ssh {
    address: SshAddress,
    program: Vec<String>,
    withheld: Vec<String>,
    pace: Pace,
    open: Option<Connection>,
    /// What a push was begun on; it serves one, and ends with it.
    pushing: Option<Connection>,
    abilities: Vec<String>,
}

impl Ssh {
    pub(super) fn new(
        address: &SshAddress,
        options: &GitOptions,
        (upload, download): (Limit, Limit),
    ) -> Ssh {
        Ssh {
            address: address.clone(),
            program: options.ssh.clone(),
            withheld: options.withheld.clone(),
            pace: Pace { silence: options.remote.silence, upload, download },
            open: None,
            pushing: None,
            abilities: Vec::new(),
        }
    }

    fn connect(&self, service: &str) -> Outcome<Connection> {
        let mut program = self.program.iter();
        let name = program.next().map_or("ssh", String::as_str);
        let seconds = self.pace.silence.as_secs().max(1);
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
        Connection::start(command, &self.pace).map_err(|error| {
            GitFailure::lasting(
                format!("cannot run `{name}`: {error}"),
                "install OpenSSH's client, or use a `git+https://` address",
            )
        })
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
        connection.close();
        Ok(Box::new(connection))
    }

    fn end_push(&mut self) {
        if let Some(connection) = self.pushing.take() {
            let _said = connection.end();
        }
    }

    fn give_up(&mut self, failure: GitFailure) -> GitFailure {
        // While a push is under way, it is what failed.
        let (pushing, open) = (self.pushing.take(), self.open.take());
        match pushing.or(open) {
            Some(connection) if failure.passes => explain(&connection.end(), failure),
            _ => failure,
        }
    }

    fn clock_ahead(&self) -> Option<i64> {
        None
    }
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
