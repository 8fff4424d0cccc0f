//! `codex-rollout`: Codex's rollouts, plain or compressed.
//!
//! A message may be there up to three times: as a `response_item`, as an event, and as an `item_completed` of a
//! paginated thread, and a thread may change from one to another. So none of them is passed over: a
//! message is dropped if one of the same words came from another source shortly before.
//!
//! A compressed rollout beside its plain file is no session: the plain one counts.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{Chain, Cursor, Read};
use std::ops::ControlFlow;

use super::blocks::{first_text, make_answer, make_call, parts, person, readable, text};
use super::codex_titles;
use super::draft::{Draft, Name, Step};
use super::json::{Raw, Record};
use super::lines::{Records, read_records};
use super::source::Source;
use super::title::{is_injected, own_words};
use super::value::{Gaps, Part, Role, Sink, Wanted};
use crate::error::Result;
use crate::time::Timestamp;

const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// The largest window that is accepted, as a power of two: 32 MiB; Codex's own have 8 MiB at most.
const MAX_WINDOW: u32 = 25;
/// Messages among which another source's copy is looked for.
const RECENT: usize = 32;

pub(super) fn read(
    source: &Source<'_>,
    input: &mut dyn Read,
    wanted: Wanted,
    sink: &mut dyn Sink,
) -> Result<()> {
    if let Some(plain) = source.relative.strip_suffix(b".zst")
        && source.files.open(plain)?.is_some()
    {
        return Ok(());
    }
    let mut draft = Draft::new(source, wanted, sink);
    if let Some(id) = id_of_name(&draft.session.id) {
        draft.session.id = id.into();
    }
    let mut reader = Codex { draft, has_meta: false, run: 0, is_run: false, recent: Vec::new() };
    let mut head = [0; 4];
    let length = fill(input, &mut head)?;
    let head = head.get(..length).unwrap_or_default();
    let flow = if head == ZSTD_MAGIC {
        let mut input = Unpacked::new(head, input, source)?;
        let flow = read_records(&mut input, &mut reader)?;
        reader.gaps().is_torn |= input.is_torn;
        flow
    } else {
        read_records(&mut Cursor::new(head).chain(input), &mut reader)?
    };
    if flow.is_continue() {
        if let Some(title) = codex_titles::find(source, &reader.draft.session.id)? {
            reader.draft.name(Name::Given, &title);
        }
        reader.draft.finish();
    }
    Ok(())
}

/// Returns the id at the end of a rollout's name: `rollout-<time>-<uuid>`.
fn id_of_name(stem: &str) -> Option<&str> {
    let id = stem.get(stem.len().checked_sub(36)?..)?;
    let is_id = id.bytes().all(|it| it.is_ascii_hexdigit() || it == b'-');
    (is_id && stem.starts_with("rollout-")).then_some(id)
}

fn fill(input: &mut dyn Read, room: &mut [u8]) -> Result<usize> {
    let mut length = 0;
    while let Some(rest) = room.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match super::lines::read_some(input, rest)? {
            0 => break,
            read => length += read,
        }
    }
    Ok(length)
}

/// A compressed rollout; damage ends it, and is no error.
struct Unpacked<'r> {
    decoder: zstd::Decoder<'static, std::io::BufReader<Chain<Cursor<Vec<u8>>, Watched<'r>>>>,
    is_torn: bool,
}

/// Remembers whether it was the input that failed, rather than what it holds.
struct Watched<'r> {
    input: &'r mut dyn Read,
    failed: Option<std::io::ErrorKind>,
}

impl Read for Watched<'_> {
    fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
        let done = self.input.read(room);
        self.failed = done.as_ref().err().map(std::io::Error::kind);
        done
    }
}

impl<'r> Unpacked<'r> {
    fn new(head: &[u8], input: &'r mut dyn Read, source: &Source<'_>) -> Result<Self> {
        let input = Cursor::new(head.to_vec()).chain(Watched { input, failed: None });
        let decoder = zstd::Decoder::new(input).and_then(|mut decoder| {
            decoder.window_log_max(MAX_WINDOW)?;
            Ok(decoder)
        });
        let decoder = decoder.map_err(|error| {
            crate::error::Error::failed("cannot unpack a session")
                .object(String::from_utf8_lossy(source.relative))
                .source(error)
        })?;
        Ok(Unpacked { decoder, is_torn: false })
    }
}

impl Read for Unpacked<'_> {
    fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
        if self.is_torn {
            return Ok(0);
        }
        self.decoder.read(room).or_else(|error| {
            let (_, watched) = self.decoder.get_ref().get_ref().get_ref();
            if watched.failed.is_some() {
                return Err(error);
            }
            self.is_torn = true;
            Ok(0)
        })
    }
}

/// Where a copy of a message comes from; each has a bit.
#[derive(Debug, Clone, Copy)]
enum Origin {
    Response = 1,
    Event = 2,
    Item = 4,
}

struct Codex<'s> {
    draft: Draft<'s>,
    has_meta: bool,
    /// Counts the runs of the assistant's records; each is a turn.
    run: u64,
    is_run: bool,
    /// The last messages: who spoke, a hash of the words, and where copies were seen.
    recent: Vec<(Role, u64, u8)>,
}

impl Records for Codex<'_> {
    fn gaps(&mut self) -> &mut Gaps {
        &mut self.draft.session.gaps
    }

    fn record(&mut self, record: &Record<'_>) -> ControlFlow<()> {
        let at = record.moment("timestamp");
        self.draft.seen_at(at);
        let kind = record.text("type").unwrap_or_default();
        let Some(payload) = record.field("payload") else {
            return self.bare(record, &kind);
        };
        match &*kind {
            "session_meta" => {
                self.meta(payload);
                ControlFlow::Continue(())
            }
            "turn_context" => {
                let [cwd, model] = payload.get(["cwd", "model"]);
                self.draft.works_in(cwd.and_then(Raw::text).as_deref());
                self.draft.model(model.and_then(Raw::text).as_deref());
                ControlFlow::Continue(())
            }
            "response_item" => self.item(payload, at),
            "event_msg" => self.event(payload, at),
            "compacted" => {
                let summary = payload.field("message").and_then(Raw::words);
                self.other(Role::System, None, at, || vec![Part::Compaction { summary }])
            }
            "world_state" | "ghost_snapshot" | "inter_agent_communication" => {
                ControlFlow::Continue(())
            }
            _ => self.unknown(),
        }
    }
}

impl Codex<'_> {
    fn unknown(&mut self) -> ControlFlow<()> {
        self.gaps().unknown_records += 1;
        ControlFlow::Continue(())
    }

    /// The oldest rollouts have their items, and a first line that describes, without a wrapper.
    fn bare(&mut self, record: &Record<'_>, kind: &str) -> ControlFlow<()> {
        if kind.is_empty() {
            if let Some(id) = record.text("id").filter(|_| !self.has_meta) {
                self.has_meta = true;
                self.draft.session.id = id.into_owned();
                let git = record.field("git").and_then(|git| git.field("branch"));
                self.draft.on_branch(git.and_then(Raw::text).as_deref());
                return ControlFlow::Continue(());
            }
            let is_state = record.field("record_type").is_some();
            return if is_state { ControlFlow::Continue(()) } else { self.unknown() };
        }
        if kind == "message" {
            let role = record.text("role").unwrap_or_default();
            return self.message(&role, record.field("content"), Origin::Response, None);
        }
        if kind.starts_with("function_call") || kind == "reasoning" {
            // Rare enough that they are not told again here.
            return ControlFlow::Continue(());
        }
        self.unknown()
    }

    fn meta(&mut self, payload: Raw<'_>) {
        let [id, cwd, git, source, parent] =
            payload.get(["id", "cwd", "git", "source", "parent_thread_id"]);
        self.draft.works_in(cwd.and_then(Raw::text).as_deref());
        let branch = git.and_then(|git| git.field("branch"));
        self.draft.on_branch(branch.and_then(Raw::text).as_deref());
        // A fork and a subagent repeat the records of their parent's, its first line among them.
        if std::mem::replace(&mut self.has_meta, true) {
            return;
        }
        if let Some(id) = id.and_then(Raw::words) {
            self.draft.session.id = id;
        }
        let spawn =
            source.and_then(|it| it.path(&["subagent", "thread_spawn", "parent_thread_id"]));
        self.draft.session.parent = spawn.or(parent).and_then(Raw::words);
    }

    fn item(&mut self, payload: Raw<'_>, at: Option<Timestamp>) -> ControlFlow<()> {
        let kind = payload.field("type").and_then(Raw::text).unwrap_or_default();
        match &*kind {
            "message" => {
                let [role, content] = payload.get(["role", "content"]);
                let role = role.and_then(Raw::text).unwrap_or_default();
                self.message(&role, content, Origin::Response, at)
            }
            "reasoning" => self.assistant(at, || {
                let [summary, content] = payload.get(["summary", "content"]);
                let words = text(summary).into_owned();
                let words = if words.is_empty() { reasoning_text(content) } else { words };
                if words.is_empty() { Vec::new() } else { vec![Part::Reasoning(words)] }
            }),
            "function_call"
            | "custom_tool_call"
            | "local_shell_call"
            | "web_search_call"
            | "tool_search_call"
            | "image_generation_call" => self.assistant(at, || {
                let [id, name, arguments, input, action] =
                    payload.get(["call_id", "name", "arguments", "input", "action"]);
                let mut call = make_call(id, name, arguments.or(input).or(action));
                if let Part::Call { name, .. } = &mut call
                    && name.is_empty()
                {
                    *name = kind.trim_end_matches("_call").into();
                }
                vec![call]
            }),
            "function_call_output" | "custom_tool_call_output" | "tool_search_output" => self
                .other(Role::Tool, None, at, || {
                    let [id, output] = payload.get(["call_id", "output"]);
                    let [content, success] =
                        output.map_or([None; 2], |it| it.get(["content", "success"]));
                    let is_error = success.is_some_and(|it| it.json() == "false");
                    let output = content.or(output);
                    let mut parts = vec![make_answer(id, output.map(readable), is_error)];
                    let images = super::blocks::parts(output.filter(|it| it.is_array()));
                    parts.extend(images.into_iter().filter(|it| matches!(it, Part::Media { .. })));
                    parts
                }),
            "compaction" | "compaction_summary" | "context_compaction" | "ghost_snapshot"
            | "other" => ControlFlow::Continue(()),
            _ => self.unknown(),
        }
    }

    fn event(&mut self, payload: Raw<'_>, at: Option<Timestamp>) -> ControlFlow<()> {
        let kind = payload.field("type").and_then(Raw::text).unwrap_or_default();
        match &*kind {
            "user_message" | "agent_message" => {
                let role = if kind == "user_message" { "user" } else { "assistant" };
                self.message(role, payload.field("message"), Origin::Event, at)
            }
            "item_completed" => {
                let Some(item) = payload.field("item") else { return self.unknown() };
                let [kind, content, message] = item.get(["type", "content", "text"]);
                match &*kind.and_then(Raw::text).unwrap_or_default() {
                    "UserMessage" => self.message("user", content.or(message), Origin::Item, at),
                    "AgentMessage" => {
                        self.message("assistant", content.or(message), Origin::Item, at)
                    }
                    // What tools did is there as response items too.
                    _ => ControlFlow::Continue(()),
                }
            }
            "thread_name_updated" => {
                let name = payload.field("thread_name").or_else(|| payload.field("name"));
                if let Some(name) = name.and_then(Raw::text) {
                    self.draft.name(Name::Given, &name);
                }
                ControlFlow::Continue(())
            }
            // Progress, counts of tokens, notices.
            _ => ControlFlow::Continue(()),
        }
    }

    fn message(
        &mut self,
        role: &str,
        content: Option<Raw<'_>>,
        origin: Origin,
        at: Option<Timestamp>,
    ) -> ControlFlow<()> {
        let words = text(content);
        let role = match role {
            "assistant" => Role::Assistant,
            "user" => person(content).0,
            _ => Role::System,
        };
        if role != Role::System && self.is_copy(role, own_words(&words), origin) {
            return ControlFlow::Continue(());
        }
        if role == Role::User && self.draft.wants_title() {
            let own = content.and_then(|content| first_text(content, |it| !is_injected(it)));
            self.draft.said(&own.unwrap_or(Cow::Borrowed(&words)));
        }
        if role == Role::Assistant {
            return self.assistant(at, || parts(content));
        }
        self.other(role, None, at, || parts(content))
    }

    /// Returns whether another source has just told the same message.
    fn is_copy(&mut self, role: Role, words: &str, origin: Origin) -> bool {
        let mut hasher = DefaultHasher::new();
        words.trim().hash(&mut hasher);
        let (hash, bit) = (hasher.finish(), origin as u8);
        let known = self
            .recent
            .iter_mut()
            .find(|(who, it, seen)| *who == role && *it == hash && *seen & bit == 0);
        if let Some((.., seen)) = known {
            *seen |= bit;
            return true;
        }
        if self.recent.len() >= RECENT {
            self.recent.remove(0);
        }
        self.recent.push((role, hash, bit));
        false
    }

    fn assistant(
        &mut self,
        at: Option<Timestamp>,
        parts: impl FnOnce() -> Vec<Part>,
    ) -> ControlFlow<()> {
        if !std::mem::replace(&mut self.is_run, true) {
            self.run += 1;
        }
        let run = self.run.to_string();
        let model = self.draft.session.model.clone();
        let step = Step { joins: Some(&run), at, model: model.as_deref(), ..Step::default() };
        self.draft.step(Role::Assistant, &step, parts)
    }

    fn other(
        &mut self,
        role: Role,
        id: Option<&str>,
        at: Option<Timestamp>,
        parts: impl FnOnce() -> Vec<Part>,
    ) -> ControlFlow<()> {
        self.is_run = false;
        self.draft.step(role, &Step { id, at, ..Step::default() }, parts)
    }
}

fn reasoning_text(content: Option<Raw<'_>>) -> String {
    let mut words = String::new();
    for part in parts(content) {
        if let Part::Reasoning(text) | Part::Text(text) = part {
            words.push_str(&text);
        }
    }
    words
}
