//! `continue-json`: a document for each session, written anew at each change, and an index of all.

use std::io::Read;
use std::ops::ControlFlow;

use super::blocks::{make_answer, make_call, parts, person, readable};
use super::document::{Pieces, read_document};
use super::draft::{Draft, Name, Step};
use super::json::Raw;
use super::source::Source;
use super::value::{Gaps, Part, Role, Sink, Wanted};
use crate::error::Result;
use crate::time::Timestamp;

pub(super) fn read(
    source: &Source<'_>,
    input: &mut dyn Read,
    wanted: Wanted,
    sink: &mut dyn Sink,
) -> Result<()> {
    if source.name() == b"sessions.json" {
        // The index, which lies among the sessions.
        return Ok(());
    }
    let mut draft = Draft::new(source, wanted, sink);
    let entry = Entry::find(source, &draft.session.id)?;
    draft.seen_at(entry.created);
    let mut reader = Continue { draft };
    if read_document(input, &mut reader)?.is_break() {
        return Ok(());
    }
    if let Some(title) = entry.title.filter(|_| reader.draft.is_unnamed()) {
        reader.draft.name(Name::Given, &title);
    }
    if let Some(folder) = entry.folder {
        reader.draft.works_in(Some(&folder_of(&folder)));
    }
    reader.draft.finish();
    Ok(())
}

/// What the index says of a session.
#[derive(Default)]
struct Entry {
    id: String,
    title: Option<String>,
    folder: Option<String>,
    created: Option<Timestamp>,
    gaps: Gaps,
}

impl Entry {
    fn find(source: &Source<'_>, id: &str) -> Result<Self> {
        let mut entry = Entry { id: id.to_owned(), ..Entry::default() };
        let index = source.files.open(&source.beside(0, b"sessions.json"))?;
        if let Some(mut index) = index {
            // It breaks off where the session's entry is found.
            let _flow = read_document(&mut index, &mut entry)?;
        }
        Ok(entry)
    }
}

impl Pieces for Entry {
    fn gaps(&mut self) -> &mut Gaps {
        &mut self.gaps
    }

    fn is_list(&self, _: &str) -> bool {
        false
    }

    fn field(&mut self, _: &str, _: Raw<'_>) -> ControlFlow<()> {
        ControlFlow::Break(())
    }

    fn element(&mut self, _: &str, value: Raw<'_>) -> ControlFlow<()> {
        let [id, old_id, title, folder, old_folder, created, old_created] = value.get([
            "sessionId",
            "session_id",
            "title",
            "workspaceDirectory",
            "workspace_directory",
            "dateCreated",
            "date_created",
        ]);
        if id.or(old_id).and_then(Raw::text).is_none_or(|it| it != self.id) {
            return ControlFlow::Continue(());
        }
        self.title = title.and_then(Raw::words);
        self.folder = folder.or(old_folder).and_then(Raw::words);
        self.created = created.or(old_created).and_then(Raw::moment);
        ControlFlow::Break(())
    }
}

struct Continue<'s> {
    draft: Draft<'s>,
}

impl Pieces for Continue<'_> {
    fn gaps(&mut self) -> &mut Gaps {
        &mut self.draft.session.gaps
    }

    fn is_list(&self, name: &str) -> bool {
        name == "history"
    }

    fn field(&mut self, name: &str, value: Raw<'_>) -> ControlFlow<()> {
        match (name, value.text()) {
            ("sessionId", Some(id)) if !id.is_empty() && self.draft.session.turns == 0 => {
                self.draft.session.id = id.into_owned();
            }
            // What a session is called before it has a name.
            ("title", Some(title)) if title != "New Session" && title != "Untitled Session" => {
                self.draft.name(Name::Given, &title);
            }
            ("workspaceDirectory", Some(folder)) => {
                self.draft.works_in(Some(&folder_of(&folder)));
            }
            ("chatModelTitle", Some(model)) => self.draft.model(Some(&model)),
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn element(&mut self, _: &str, value: Raw<'_>) -> ControlFlow<()> {
        let Some(message) = value.field("message").filter(|it| it.is_object()) else {
            self.gaps().bad_records += 1;
            return ControlFlow::Continue(());
        };
        let [role, content, id, calls, answers] =
            message.get(["role", "content", "id", "toolCalls", "toolCallId"]);
        let id = id.and_then(Raw::text);
        let step = Step { id: id.as_deref(), ..Step::default() };
        match &*role.and_then(Raw::text).unwrap_or_default() {
            "user" => {
                let (role, words) = person(content);
                if self.draft.wants_title()
                    && let Some(words) = words
                {
                    self.draft.said(&words);
                }
                self.draft.step(role, &step, || parts(content))
            }
            "assistant" => self.draft.step(Role::Assistant, &step, || {
                let mut said = parts(content);
                if let Some(calls) = calls {
                    calls.elements(|call| {
                        let [id, function] = call.get(["id", "function"]);
                        let [name, input] =
                            function.map_or([None; 2], |it| it.get(["name", "arguments"]));
                        said.push(make_call(id, name, input));
                        ControlFlow::Continue(())
                    });
                }
                said
            }),
            "thinking" => self.draft.note(Role::Assistant, &step, || {
                content.map(readable).map(Part::Reasoning).into_iter().collect()
            }),
            "tool" => self.draft.step(Role::Tool, &step, || {
                vec![make_answer(answers, content.map(readable), false)]
            }),
            "system" => self.draft.step(Role::System, &step, || parts(content)),
            _ => {
                self.gaps().unknown_records += 1;
                ControlFlow::Continue(())
            }
        }
    }
}

/// Returns the path in a `file://` address, or a path as it is.
pub(super) fn folder_of(address: &str) -> String {
    let Some(path) = address.strip_prefix("file://") else { return address.to_owned() };
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        let code = behind.get(..2).and_then(|it| std::str::from_utf8(it).ok());
        let code = code.filter(|it| it.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let code = code.and_then(|it| u8::from_str_radix(it, 16).ok()).filter(|_| byte == b'%');
        bytes.push(code.unwrap_or(byte));
        rest = if code.is_some() { behind.get(2..).unwrap_or_default() } else { behind };
    }
    let path = String::from_utf8_lossy(&bytes).into_owned();
    // A drive's letter stands behind a slash there: `/c:/code`.
    let is_drive = path.as_bytes().get(2) == Some(&b':') && path.starts_with('/');
    if is_drive { path.chars().skip(1).collect() } else { path }
}

#[cfg(test)]
mod folder_tests {
    use super::folder_of;

    #[test]
    fn a_folder_is_a_path_or_an_address() {
        assert_eq!(folder_of("/home/user/a b"), "/home/user/a b");
        assert_eq!(folder_of("file:///home/user/a%20b%C3%A4"), "/home/user/a bä");
        assert_eq!(folder_of("file:///c%3A/code"), "c:/code");
        assert_eq!(folder_of("file:///100%"), "/100%");
    }
}
