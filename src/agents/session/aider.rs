//! `aider-md`: Aider's history, Markdown with many sessions in one file.
//!
//! A header states when a session started; `#### ` is the person, `> ` the program, all else the model; within a
//! fence nothing is a mark. There are no ids and no times of messages: an id is made from the file's path,
//! the session's place in it and the header's time. That time is local and says no zone; it is taken for UTC.

use std::io::Read;
use std::ops::ControlFlow;

use super::draft::{Draft, Step};
use super::lines::{Lines, LongLines, utf8};
use super::source::Source;
use super::value::{Gaps, Part, Role, Session, Sink, Wanted};
use crate::error::Result;
use crate::time::Timestamp;

const HEADER: &str = "# aider chat started at ";
/// A fence of so many lines was never closed: an answer that was broken off.
const MAX_FENCE: u32 = 4000;
/// Bytes of a text that are put together before they are handed on.
const MAX_TEXT: usize = 1 << 20;

pub(super) fn read(
    source: &Source<'_>,
    input: &mut dyn Read,
    wanted: Wanted,
    sink: &mut dyn Sink,
) -> Result<()> {
    let mut lines = Lines::new(input, LongLines::Text);
    let mut file = File::new(source);
    let mut block: Option<Block<'_>> = None;
    let mut fence = Fence::default();
    let mut gaps = Gaps::default();
    while let Some(line) = lines.next()? {
        gaps.cut_values += line.cut_values;
        let bytes = line.bytes.unwrap_or_default();
        let text = utf8(bytes, &mut gaps);
        let is_fenced = fence.take(&text);
        let header = text.strip_prefix(HEADER).filter(|_| !is_fenced);
        if header.is_some() || (block.is_none() && !text.trim().is_empty()) {
            if block.take().is_some_and(|block| block.finish(&mut gaps).is_break()) {
                return Ok(());
            }
            fence = Fence::default();
            let session = file.session(header.unwrap_or_default());
            let draft = Draft::of(session, wanted, &mut *sink);
            block = Some(Block::new(draft, wanted == Wanted::Turns));
        }
        let Some(block) = &mut block else { continue };
        block.count(bytes);
        if header.is_none() && block.line(&text, is_fenced).is_break() {
            return Ok(());
        }
    }
    // A sink that breaks at the very end ends nothing.
    let _flow = block.map(|block| block.finish(&mut gaps));
    Ok(())
}

/// What the ids of a file's sessions are made from.
struct File {
    hash: String,
    project: Option<String>,
    ordinal: u64,
}

impl File {
    fn new(source: &Source<'_>) -> Self {
        let path = [source.root, source.relative].join(&b'/');
        let hash = blake3::hash(&path).to_hex();
        // A history that was moved elsewhere does not lie in its project.
        let project = (!source.relative.is_empty()).then(|| {
            let folder = source.folder(0);
            let between: &[u8] = if folder.is_empty() { b"" } else { b"/" };
            String::from_utf8_lossy(&[source.root, between, folder].concat()).into_owned()
        });
        File { hash: hash.chars().take(12).collect(), project, ordinal: 0 }
    }

    fn session(&mut self, header: &str) -> Session {
        self.ordinal += 1;
        let started = moment(header.trim());
        let digits: String = header.chars().filter(char::is_ascii_digit).take(14).collect();
        Session {
            id: format!("{}-{}-{digits}", self.hash, self.ordinal),
            project: self.project.clone(),
            started,
            last: started,
            ..Session::default()
        }
    }
}

fn moment(text: &str) -> Option<Timestamp> {
    let civil: jiff::civil::DateTime = text.parse().ok()?;
    let moment = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
    i64::try_from(moment.as_nanosecond()).ok().map(Timestamp)
}

/// Whether the present line lies in a fence.
#[derive(Default)]
struct Fence {
    /// How many backticks or tildes began it, and which.
    open: Option<(usize, u8)>,
    lines: u32,
}

impl Fence {
    /// Takes the next line; returns whether it belongs to a fence, its marks among that.
    fn take(&mut self, line: &str) -> bool {
        let trimmed = line.trim_start_matches(' ');
        let mark = trimmed.bytes().next().filter(|it| matches!(it, b'`' | b'~'));
        let length = trimmed.bytes().take_while(|it| Some(*it) == mark).count();
        let is_mark = length >= 3 && line.len() - trimmed.len() <= 3;
        let Some((opened, kind)) = self.open else {
            let info = trimmed.get(length..).unwrap_or_default();
            if let Some(mark) =
                mark.filter(|mark| is_mark && !(*mark == b'`' && info.contains('`')))
            {
                self.open = Some((length, mark));
                self.lines = 0;
            }
            return self.open.is_some();
        };
        self.lines += 1;
        if is_mark && mark == Some(kind) && length >= opened && trimmed.trim_end().len() == length {
            self.open = None;
        } else if self.lines > MAX_FENCE {
            self.open = None;
            return false;
        }
        true
    }
}

/// One session of the file.
struct Block<'s> {
    draft: Draft<'s>,
    wants_turns: bool,
    role: Option<Role>,
    text: String,
    /// Counts runs of one role; the pieces of a long one are one turn.
    run: u64,
    is_told: bool,
    hasher: blake3::Hasher,
}

impl<'s> Block<'s> {
    fn new(draft: Draft<'s>, wants_turns: bool) -> Self {
        let text = String::new();
        let hasher = blake3::Hasher::new();
        Block { draft, wants_turns, role: None, text, run: 0, is_told: false, hasher }
    }

    fn count(&mut self, bytes: &[u8]) {
        self.draft.session.bytes += bytes.len() as u64 + 1;
        self.hasher.update(bytes);
        self.hasher.update(b"\n");
    }

    fn line(&mut self, line: &str, is_fenced: bool) -> ControlFlow<()> {
        let (role, text) = if is_fenced {
            (Role::Assistant, line)
        } else if let Some(text) = line.strip_prefix("#### ").or((line == "####").then_some("")) {
            (Role::User, text)
        } else if let Some(text) = line.strip_prefix("> ").or((line == ">").then_some("")) {
            (Role::System, text)
        } else {
            (Role::Assistant, line)
        };
        if text.trim().is_empty() && self.role != Some(role) {
            // A blank line begins nothing.
            return ControlFlow::Continue(());
        }
        if self.role != Some(role) {
            self.tell()?;
            self.role = Some(role);
            self.run += 1;
            self.is_told = false;
        }
        match role {
            Role::User if self.draft.wants_title() => self.draft.said(text),
            Role::System => self.model(text),
            _ => {}
        }
        // In an outline all that counts is that there is something.
        if self.wants_turns || self.text.is_empty() {
            self.text.push_str(text);
            self.text.push('\n');
        }
        if self.text.len() > MAX_TEXT { self.tell() } else { ControlFlow::Continue(()) }
    }

    /// `Main model: <name> with diff edit format`, as the program tells at its start.
    fn model(&mut self, text: &str) {
        let named = text.strip_prefix("Main model: ").or_else(|| text.strip_prefix("Model: "));
        if let Some(name) = named.and_then(|rest| rest.split_whitespace().next()) {
            self.draft.model(Some(name));
        }
    }

    fn tell(&mut self) -> ControlFlow<()> {
        let text = std::mem::take(&mut self.text);
        let Some(role) = self.role.filter(|_| !text.trim().is_empty()) else {
            return ControlFlow::Continue(());
        };
        let run = self.run.to_string();
        let model = self.draft.session.model.clone();
        let joins = Some(run.as_str()).filter(|_| role == Role::Assistant);
        let step = Step { joins, model: model.as_deref(), ..Step::default() };
        let parts = || vec![Part::Text(text.trim_end().to_owned())];
        if std::mem::replace(&mut self.is_told, true) {
            return self.draft.note(role, &step, parts);
        }
        self.draft.step(role, &step, parts)
    }

    /// Hands over the session, with what was counted since the last.
    fn finish(mut self, gaps: &mut Gaps) -> ControlFlow<()> {
        self.tell()?;
        let hash = *self.hasher.finalize().as_bytes();
        let revision = hash.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        // 0 would say that nothing is known.
        self.draft.session.revision = revision.max(1);
        self.draft.session.gaps = std::mem::take(gaps);
        self.draft.end()
    }
}

/// A block is never longer than this, in bytes.
const LONGEST_FILE: usize = 256 << 20;

/// Cuts a history into its sessions, in the order of their numbers; what comes before the first has none and
/// is the first item, empty if there is nothing. Joined they are the file, which ends with a line's end.
///
/// # Errors
///
/// If the input can't be read, or is longer than 256 MiB.
pub fn aider_blocks(input: &mut dyn Read) -> Result<Vec<Vec<u8>>> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(LONGEST_FILE).unwrap_or(u64::MAX).saturating_add(1);
    input
        .take(limit)
        .read_to_end(&mut bytes)
        .map_err(|error| crate::error::Error::failed("cannot read the history").source(error))?;
    if bytes.len() > LONGEST_FILE {
        return Err(crate::error::Error::failed(
            "the history is too long to take a session out of",
        ));
    }
    let mut blocks = vec![Vec::new()];
    let mut fence = Fence::default();
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end_matches(['\n', '\r']);
        let is_fenced = fence.take(text);
        let is_header = text.starts_with(HEADER) && !is_fenced;
        if is_header || (blocks.len() == 1 && !text.trim().is_empty()) {
            fence = Fence::default();
            blocks.push(Vec::new());
        }
        if let Some(block) = blocks.last_mut() {
            block.extend_from_slice(line);
        }
    }
    if let Some(last) = blocks.last_mut().filter(|last| !last.is_empty() && !last.ends_with(b"\n"))
    {
        last.push(b'\n');
    }
    Ok(blocks)
}

/// Returns which session of its file an id means, counted from 1.
pub fn aider_ordinal(id: &str) -> Option<usize> {
    id.split('-').nth(1)?.parse().ok()
}
