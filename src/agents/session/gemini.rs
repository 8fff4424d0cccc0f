//! `gemini-chat`: Gemini's chats, as JSON lines with patches and rewinds, or as one document of before.
//!
//! What counts is known only at the end: a record may be written again under its id, and a rewind drops
//! what came before it. So the file's messages are held until then, up to [`MAX_HELD`] bytes; a larger file is
//! read to learn which records count (at most [`MAX_MESSAGES`], 40 bytes each), and opened again
//! to hand these over. There, a message that was written again comes where its last text lies.
//!
//! A document beside the same chat in lines is no session: the lines count.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Read;
use std::ops::ControlFlow;

use super::document::{self, Pieces, read_document};
use super::draft::{Draft, Name};
use super::gemini_message::{moments, take};
use super::json::{Raw, Record};
use super::lines::{Records, read_records};
use super::source::Source;
use super::value::{Gaps, Sink, Wanted};
use crate::error::Result;

/// Bytes of messages that are held until the end.
const MAX_HELD: usize = 16 << 20;
/// Messages that are kept account of.
const MAX_MESSAGES: usize = 1 << 20;

pub(super) fn read(
    source: &Source<'_>,
    input: &mut dyn Read,
    wanted: Wanted,
    sink: &mut dyn Sink,
) -> Result<()> {
    let is_document = source.name().ends_with(b".json");
    if is_document {
        let lines = [source.relative, b"l"].concat();
        if source.files.open(&lines)?.is_some() {
            return Ok(());
        }
    }
    let mut draft = Draft::new(source, wanted, sink);
    draft.works_in(project(source)?.as_deref());
    let parent = subagent_of(source);
    draft.session.parent.clone_from(&parent);
    if is_document {
        let mut reader = Document { draft, has_id: parent.is_some() };
        if read_document(input, &mut reader)?.is_continue() {
            reader.draft.finish();
        }
        return Ok(());
    }
    let mut reader = Chat { draft, has_id: parent.is_some(), live: Live::default() };
    if read_records(input, &mut reader)?.is_break() {
        return Ok(());
    }
    let Chat { mut draft, live, .. } = reader;
    if live.hand_over(source, &mut draft)?.is_continue() {
        draft.finish();
    }
    Ok(())
}

/// Returns the session that a subagent's file, `chats/<parent>/<id>.jsonl`, belongs to.
fn subagent_of(source: &Source<'_>) -> Option<String> {
    let above = source.folder(1);
    let is_below_chats = above.ends_with(b"/chats") || above == b"chats";
    let parent = source.folder(0).rsplit(|it| *it == b'/').next()?;
    is_below_chats.then(|| String::from_utf8_lossy(parent).into_owned())
}

/// Returns the folder that the chats beside a marker, or the register of all projects, belong to.
fn project(source: &Source<'_>) -> Result<Option<String>> {
    let levels = (0..3).find(|level| {
        let folder = source.folder(*level);
        folder == b"chats" || folder.ends_with(b"/chats")
    });
    let Some(levels) = levels else { return Ok(None) };
    let marker = source.files.open(&source.beside(levels + 1, b".project_root"))?;
    if let Some(marker) = marker {
        let mut bytes = Vec::new();
        let mut marker = marker.take(64 << 10);
        let read = super::lines::read_all(&mut marker, &mut bytes);
        let path = read.map(|()| String::from_utf8_lossy(&bytes).trim().to_owned())?;
        if !path.is_empty() {
            return Ok(Some(path));
        }
    }
    let folder = source.folder(levels + 1);
    let slug = folder.rsplit(|it| *it == b'/').next().unwrap_or_default();
    let register = source.beside(levels + 3, b"projects.json");
    let projects = document::field(source, &register, "projects")?;
    let mut found = None;
    if let Some(projects) = projects.as_deref().and_then(Raw::parse) {
        projects.fields(|path, owner| {
            if owner.text().is_some_and(|owner| owner.as_bytes() == slug) {
                found = Some(path.to_owned());
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        });
    }
    Ok(found)
}

/// Takes what describes a chat, of its first line, of a patch or of the document.
fn describe(draft: &mut Draft<'_>, has_id: &mut bool, name: &str, value: Raw<'_>) {
    match name {
        "sessionId" if !*has_id => {
            if let Some(id) = value.words() {
                draft.session.id = id;
                *has_id = true;
            }
        }
        "startTime" => draft.session.started = value.moment().or(draft.session.started),
        "lastUpdated" => draft.session.last = value.moment().max(draft.session.last),
        "summary" => {
            if let Some(summary) = value.text() {
                draft.name(Name::Summary, &summary);
            }
        }
        _ => {}
    }
}

const DESCRIBING: [&str; 4] = ["sessionId", "startTime", "lastUpdated", "summary"];

struct Document<'s> {
    draft: Draft<'s>,
    has_id: bool,
}

impl Pieces for Document<'_> {
    fn gaps(&mut self) -> &mut Gaps {
        &mut self.draft.session.gaps
    }

    fn is_list(&self, name: &str) -> bool {
        name == "messages"
    }

    fn field(&mut self, name: &str, value: Raw<'_>) -> ControlFlow<()> {
        describe(&mut self.draft, &mut self.has_id, name, value);
        ControlFlow::Continue(())
    }

    fn element(&mut self, _: &str, value: Raw<'_>) -> ControlFlow<()> {
        moments(&mut self.draft, value);
        take(&mut self.draft, value)
    }
}

struct Chat<'s> {
    draft: Draft<'s>,
    has_id: bool,
    live: Live,
}

impl Records for Chat<'_> {
    fn gaps(&mut self) -> &mut Gaps {
        &mut self.draft.session.gaps
    }

    fn record(&mut self, record: &Record<'_>) -> ControlFlow<()> {
        if let Some(patch) = record.field("$set") {
            patch.fields(|name, value| {
                describe(&mut self.draft, &mut self.has_id, name, value);
                ControlFlow::Continue(())
            });
        } else if record.field("sessionId").is_some() && record.field("type").is_none() {
            for name in DESCRIBING {
                if let Some(value) = record.field(name) {
                    describe(&mut self.draft, &mut self.has_id, name, value);
                }
            }
        }
        let change = Change::of(record);
        if let Change::Message(message) = &change {
            moments(&mut self.draft, *message);
        }
        let gaps = &mut self.draft.session.gaps;
        match change {
            Change::Unknown => gaps.unknown_records += 1,
            change => gaps.bad_records += self.live.apply(&change),
        }
        ControlFlow::Continue(())
    }
}

/// What a record does to the list of messages.
enum Change<'a> {
    Message(Raw<'a>),
    /// All messages are replaced by these.
    Replace(Raw<'a>),
    /// This message goes, and all behind it.
    Rewind(Cow<'a, str>),
    None,
    Unknown,
}

impl<'a> Change<'a> {
    fn of(record: &Record<'a>) -> Self {
        if let Some(id) = record.text("$rewindTo") {
            return Change::Rewind(id);
        }
        if let Some(patch) = record.field("$set") {
            let messages = patch.field("messages").filter(|it| it.is_array());
            return messages.map_or(Change::None, Change::Replace);
        }
        if record.field("type").is_some() {
            return Change::Message(record.whole());
        }
        if record.field("sessionId").is_some() { Change::None } else { Change::Unknown }
    }
}

/// One message that counts.
struct Entry {
    /// A hash of its id.
    key: u64,
    /// Its number among all messages of the file, in the order of their text.
    number: u64,
    text: Option<Box<str>>,
}

/// The messages that count.
#[derive(Default)]
struct Live {
    entries: Vec<Entry>,
    /// Messages met so far, those that don't count among them.
    count: u64,
    held: usize,
    is_over: bool,
}

impl Live {
    /// Returns how many messages there was no room for.
    fn apply(&mut self, change: &Change<'_>) -> u64 {
        let mut refused = 0;
        match change {
            Change::Message(message) => refused += self.put(*message),
            Change::Replace(messages) => {
                self.entries.clear();
                self.held = 0;
                messages.elements(|message| {
                    refused += self.put(message);
                    ControlFlow::Continue(())
                });
            }
            Change::Rewind(id) => {
                let key = key_of(Some(id), 0);
                if let Some(place) = self.entries.iter().rposition(|entry| entry.key == key) {
                    self.entries.truncate(place);
                }
            }
            Change::None | Change::Unknown => {}
        }
        refused
    }

    fn put(&mut self, message: Raw<'_>) -> u64 {
        self.count += 1;
        let number = self.count;
        let id = message.field("id").and_then(Raw::text);
        let key = key_of(id.as_deref(), number);
        self.held += message.json().len();
        if self.held > MAX_HELD && !self.is_over {
            // Rewinds and texts written again may have left little of it.
            let alive = self.entries.iter().filter_map(|entry| entry.text.as_ref());
            self.held = message.json().len() + alive.map(|text| text.len()).sum::<usize>();
            self.is_over = self.held > MAX_HELD / 2;
            if self.is_over {
                self.entries.iter_mut().for_each(|entry| entry.text = None);
            }
        }
        let text = (!self.is_over).then(|| message.json().into());
        // What is written again is most often the last.
        let has_room = self.entries.len() < MAX_MESSAGES;
        match self.entries.iter_mut().rev().take(LOOK_BACK).find(|entry| entry.key == key) {
            Some(entry) => (entry.number, entry.text) = (number, text),
            None if has_room => self.entries.push(Entry { key, number, text }),
            None => return 1,
        }
        0
    }

    fn hand_over(self, source: &Source<'_>, draft: &mut Draft<'_>) -> Result<ControlFlow<()>> {
        if !self.is_over {
            for message in self.entries.iter().filter_map(|entry| Raw::parse(entry.text.as_ref()?))
            {
                if take(draft, message).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            return Ok(ControlFlow::Continue(()));
        }
        let mut numbers: Vec<_> = self.entries.iter().map(|entry| entry.number).collect();
        numbers.sort_unstable();
        let Some(mut again) = source.files.open(source.relative)? else {
            draft.session.gaps.bad_records += numbers.len() as u64;
            return Ok(ControlFlow::Continue(()));
        };
        let mut second = Second { draft, numbers, count: 0, gaps: Gaps::default() };
        read_records(&mut again, &mut second)
    }
}

/// How far back a message is looked for that is written again.
const LOOK_BACK: usize = 4096;

fn key_of(id: Option<&str>, number: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    match id {
        Some(id) => id.hash(&mut hasher),
        // Without an id it is like no other.
        None => number.hash(&mut hasher),
    }
    hasher.finish()
}

/// The second reading of a large file, which hands over what counts.
struct Second<'d, 's> {
    draft: &'d mut Draft<'s>,
    numbers: Vec<u64>,
    count: u64,
    gaps: Gaps,
}

impl Records for Second<'_, '_> {
    fn gaps(&mut self) -> &mut Gaps {
        // They were counted the first time.
        &mut self.gaps
    }

    fn record(&mut self, record: &Record<'_>) -> ControlFlow<()> {
        match Change::of(record) {
            Change::Message(message) => self.message(message),
            Change::Replace(messages) => {
                let mut flow = ControlFlow::Continue(());
                messages.elements(|message| {
                    flow = self.message(message);
                    flow
                });
                flow
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

impl Second<'_, '_> {
    fn message(&mut self, message: Raw<'_>) -> ControlFlow<()> {
        self.count += 1;
        if self.numbers.binary_search(&self.count).is_ok() {
            return take(self.draft, message);
        }
        ControlFlow::Continue(())
    }
}
