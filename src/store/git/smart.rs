//! Git's own protocol: version 2 to read, which lets anything be asked for by its id, and the one
//! version there is to push (pages "protocol-v2" and "pack-protocol" of git's manual).
//!
//! What the server says to a push is not trusted to tell a lost race from a refusal: the branch is
//! asked for again, and if it moved it was a race.

use std::io::{BufRead, BufReader, Read};

use super::failure::{GitFailure, Outcome};
use super::object::{NewObject, Oid};
use super::pack::{read_pack, write_pack};
use super::packet::{Bands, DELIMITER, FLUSH, Packet, line, raw, read, text};
use super::received::Received;
use super::state::State;
use super::{Backend, Pushed, Tip};

/// How we call ourselves.
const AGENT: &str = concat!("agent=stash/", env!("CARGO_PKG_VERSION"));
/// More lines than this a server does not announce itself by, however many branches it has.
const MOST_LINES: usize = 1_000_000;
/// Nor by longer ones together, in bytes.
const LONGEST_LINES: usize = 64 << 20;

/// A way to a server.
pub(super) trait Way: Send {
    /// Returns what the server announced that it can do, in version 2.
    fn abilities(&mut self) -> Outcome<Vec<String>>;

    /// Forgets a connection on which something was asked already: git reads the refs once in the
    /// life of a process, and would give the same answer for ever.
    fn renew(&mut self);

    /// Sends a request of version 2; returns the answer.
    fn ask(&mut self, request: Vec<u8>) -> Outcome<Box<dyn BufRead + '_>>;

    /// Begins a push: returns what the server announces, its refs among it.
    fn begin_push(&mut self) -> Outcome<Vec<Vec<u8>>>;

    /// Sends what is pushed; returns the answer.
    fn push(&mut self, request: Vec<u8>) -> Outcome<Box<dyn Read + '_>>;

    /// Ends a push whose answer has been read.
    fn end_push(&mut self);

    /// Ends what is open, since its state is not known; says what the way itself knows of a failure.
    fn give_up(&mut self, failure: GitFailure) -> GitFailure;

    /// As [`Backend::clock_ahead`].
    fn clock_ahead(&self) -> Option<i64>;
}

/// A server that speaks git.
pub(super) struct Smart<W> {
    way: W,
    branch: String,
}

impl<W: Way> Smart<W> {
    pub(super) fn new(way: W, branch: &str) -> Smart<W> {
        Smart { way, branch: format!("refs/heads/{branch}") }
    }

    fn request(&mut self, command: &str) -> Outcome<(Vec<u8>, Vec<String>)> {
        let abilities = self.way.abilities()?;
        let format = abilities.iter().find_map(|it| it.strip_prefix("object-format="));
        if format.is_some_and(|format| format != "sha1") {
            return Err(GitFailure::lasting(
                "the git repository names objects by SHA-256, which stash does not know",
                "make one with `--object-format=sha1`",
            ));
        }
        let mut request = Vec::new();
        line(&mut request, &format!("command={command}"));
        line(&mut request, AGENT);
        if format.is_some() {
            line(&mut request, "object-format=sha1");
        }
        request.extend_from_slice(DELIMITER);
        Ok((request, abilities))
    }

    fn try_tip(&mut self) -> Outcome<Tip> {
        self.way.renew();
        let (mut request, _) = self.request("ls-refs")?;
        line(&mut request, &format!("ref-prefix {}", self.branch));
        request.extend_from_slice(FLUSH);
        let mut answer = self.way.ask(request)?;
        let mut commit = None;
        while let Some(Packet::Line(bytes)) = read(&mut answer).map_err(|it| lost(&it))? {
            let text = text(&bytes);
            refuse_error(&text)?;
            let mut words = text.split(' ');
            let (Some(oid), Some(name)) = (words.next(), words.next()) else {
                return Err(GitFailure::odd("a ref without a name"));
            };
            if name == self.branch {
                let oid = Oid::parse(oid).ok_or_else(|| GitFailure::odd("a ref without an id"))?;
                commit = Some(oid);
            }
        }
        Ok(Tip { commit })
    }

    fn try_fetch(
        &mut self,
        wanted: &[Oid],
        known: &[Oid],
        without_blobs: bool,
        received: &mut Received,
    ) -> Outcome<()> {
        let (mut request, abilities) = self.request("fetch")?;
        let fetch = abilities.iter().find_map(|it| it.strip_prefix("fetch="));
        let may_filter =
            fetch.is_some_and(|abilities| abilities.split(' ').any(|it| it == "filter"));
        line(&mut request, "no-progress");
        for oid in wanted {
            line(&mut request, &format!("want {oid}"));
        }
        for oid in known {
            line(&mut request, &format!("have {oid}"));
        }
        if without_blobs && may_filter {
            line(&mut request, "filter blob:none");
        }
        line(&mut request, "done");
        request.extend_from_slice(FLUSH);
        let mut answer = self.way.ask(request)?;
        loop {
            match read(&mut answer).map_err(|it| lost(&it))? {
                Some(Packet::Line(bytes)) => {
                    let text = text(&bytes);
                    refuse_error(&text)?;
                    if text == "packfile" {
                        break;
                    }
                }
                Some(_) => {}
                None => return Err(GitFailure::passing("the server ended the connection")),
            }
        }
        let mut bands = BufReader::with_capacity(64 << 10, Bands::new(answer));
        read_pack(&mut bands, received)?;
        // Up to the end of the answer, so that the next one begins at its beginning.
        std::io::copy(&mut bands, &mut std::io::sink()).map_err(|error| lost(&error))?;
        Ok(())
    }

    fn try_push(
        &mut self,
        old: Option<Oid>,
        new: Oid,
        objects: &[NewObject],
    ) -> Outcome<(Pushed, String)> {
        let lines = self.way.begin_push()?;
        let mut abilities = String::new();
        let mut at = None;
        for bytes in &lines {
            let (own, rest) = match bytes.iter().position(|byte| *byte == 0) {
                Some(end) => bytes.split_at(end),
                None => (bytes.as_slice(), &[][..]),
            };
            let own = text(own);
            refuse_error(&own)?;
            if abilities.is_empty() {
                abilities = text(rest.get(1..).unwrap_or_default());
            }
            if let Some((oid, _)) = own.split_once(' ').filter(|(_, name)| *name == self.branch) {
                at = Oid::parse(oid);
            }
        }
        if at != old {
            return Ok((Pushed::Moved, String::new()));
        }
        let has = |ability: &str| abilities.split(' ').any(|it| it == ability);
        if !has("report-status") {
            return Err(GitFailure::odd("it does not say what becomes of a push"));
        }
        let mut own = "report-status".to_owned();
        for ability in ["side-band-64k", "object-format=sha1"] {
            if has(ability) {
                own = format!("{own} {ability}");
            }
        }
        let command = format!("{} {new} {}\0 {own} {AGENT}", Oid::text_of(old), self.branch);
        let mut request = Vec::new();
        raw(&mut request, command.as_bytes());
        request.extend_from_slice(FLUSH);
        write_pack(&mut request, objects);
        let answer = self.way.push(request)?;
        if has("side-band-64k") {
            let mut bands = Bands::new(answer);
            let result = read_report(&mut bands, &self.branch);
            let told = bands.told.trim().to_owned();
            result.map(|refusal| refused(refusal, &told))
        } else {
            read_report(answer, &self.branch).map(|refusal| refused(refusal, ""))
        }
    }
}

fn refused(refusal: Option<String>, told: &str) -> (Pushed, String) {
    match refusal {
        None => (Pushed::Done, String::new()),
        Some(refusal) => {
            let last = told.lines().rev().map(str::trim).find(|line| !line.is_empty());
            let told = last.map(|line| format!(": {line}")).unwrap_or_default();
            (Pushed::Moved, format!("{refusal}{told}"))
        }
    }
}

/// Reads what became of a push; returns why not, if it was refused.
fn read_report(mut from: impl Read, branch: &str) -> Outcome<Option<String>> {
    let mut is_done = false;
    while let Some(packet) = read(&mut from).map_err(|error| lost(&error))? {
        let Packet::Line(bytes) = packet else { break };
        let line = text(&bytes);
        refuse_error(&line)?;
        if let Some(result) = line.strip_prefix("unpack ").filter(|result| *result != "ok") {
            return Ok(Some(format!("the server can't take the objects ({result})")));
        }
        if let Some(rest) = line.strip_prefix("ng ") {
            let why = rest.strip_prefix(branch).unwrap_or(rest).trim();
            return Ok(Some(why.to_owned()));
        }
        is_done |= line.strip_prefix("ok ") == Some(branch);
    }
    if is_done { Ok(None) } else { Err(GitFailure::passing("the server ended without an answer")) }
}

impl<W: Way> Backend for Smart<W> {
    fn tip(&mut self) -> Outcome<Tip> {
        let tip = self.try_tip();
        tip.map_err(|failure| self.way.give_up(failure))
    }

    fn trees(&mut self, commit: Oid, known: &State, received: &mut Received) -> Outcome<()> {
        let known: Vec<Oid> = known.root.into_iter().collect();
        let fetched = self.try_fetch(&[commit], &known, true, received);
        fetched.map_err(|failure| self.way.give_up(failure))
    }

    fn fetch(&mut self, wanted: &[Oid], received: &mut Received) -> Outcome<()> {
        match self.try_fetch(wanted, &[], false, received) {
            Ok(()) => Ok(()),
            Err(failure) => {
                let is_gone = is_gone(&failure);
                let failure = self.way.give_up(failure);
                match wanted {
                    // Gone with what it belonged to.
                    [_] if is_gone => Ok(()),
                    _ if is_gone => wanted.iter().try_for_each(|oid| self.fetch(&[*oid], received)),
                    _ => Err(failure),
                }
            }
        }
    }

    fn push(&mut self, old: Option<Oid>, new: Oid, objects: &[NewObject]) -> Outcome<Pushed> {
        let (pushed, why) = match self.try_push(old, new, objects) {
            Ok(answer) => answer,
            Err(failure) => return Err(self.way.give_up(failure)),
        };
        self.way.end_push();
        if pushed == Pushed::Done || why.is_empty() {
            return Ok(pushed);
        }
        let is_race = is_lock(&why) || self.tip()?.commit != old;
        if is_race { Ok(Pushed::Moved) } else { Err(refusal(&why)) }
    }

    fn clock_ahead(&self) -> Option<i64> {
        self.way.clock_ahead()
    }
}

/// Tells whether a push was refused since a ref was locked: that it is for moments, by whoever
/// moves it.
fn is_lock(why: &str) -> bool {
    let words = ["cannot lock ref", "failed to lock", "failed to update ref"];
    words.iter().any(|words| why.contains(words))
}

/// Says what a server meant by refusing a push.
fn refusal(why: &str) -> GitFailure {
    let lower = why.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let remedy = if has(&["non-fast-forward", "protected", "force"]) {
        "allow force pushes to this branch: it always holds one commit, without a history"
    } else if has(&["large", "size", "quota", "exceed"]) {
        "the host limits files or repositories; see its own limits, or use an object store"
    } else {
        "allow these credentials to push to the branch, and look at the server's hooks"
    };
    GitFailure::lasting(format!("the server refuses the push: {why}"), remedy)
}

fn is_gone(failure: &GitFailure) -> bool {
    failure.sentence.contains("not our ref") || failure.sentence.contains("bad object")
}

/// Turns a line by which a server says no into a failure.
fn refuse_error(line: &str) -> Outcome<()> {
    let Some(error) = line.strip_prefix("ERR ") else { return Ok(()) };
    Err(GitFailure::lasting(
        format!("the git server says: {error}"),
        "check the address, and that these credentials may read and write there",
    ))
}

pub(super) fn lost(error: &std::io::Error) -> GitFailure {
    match error.kind() {
        std::io::ErrorKind::InvalidData => GitFailure::odd(&error.to_string()),
        std::io::ErrorKind::UnexpectedEof => {
            GitFailure::passing("the connection ended in the middle")
        }
        _ => GitFailure::passing(error.to_string()),
    }
}

/// Reads lines up to the end of an announcement.
pub(super) fn read_lines(from: &mut impl Read) -> Outcome<Vec<Vec<u8>>> {
    let (mut lines, mut length) = (Vec::new(), 0_usize);
    loop {
        match read(from).map_err(|error| lost(&error))? {
            Some(Packet::Line(bytes)) if lines.len() < MOST_LINES && length < LONGEST_LINES => {
                length = length.saturating_add(bytes.len());
                lines.push(bytes);
            }
            Some(Packet::Line(_)) => return Err(GitFailure::odd("it never ends")),
            Some(_) => return Ok(lines),
            None => return Err(GitFailure::passing("the server ended the connection")),
        }
    }
}
