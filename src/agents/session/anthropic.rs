//! `anthropic-json`: Cline and Roo, a document for each task, and an index of all.
//!
//! The extensions keep a folder for each task with a list of messages, named after the task; Cline's command
//! line keeps `<id>.messages.json` and what describes it in `<id>.json`. Titles and folders lie in
//! Roo's `history_item.json` or in Cline's `taskHistory.json`.

use std::io::Read;
use std::ops::ControlFlow;

use super::blocks::{is_answer, parts, person};
use super::document::{self, Pieces, read_document};
use super::draft::{Draft, Name, Step};
use super::json::{Raw, moment_of_number, moment_of_text};
use super::role::own_parts;
use super::source::Source;
use super::title::own_words;
use super::value::{Gaps, Role, Sink, Wanted};
use crate::error::Result;
use crate::time::Timestamp;

pub(super) fn read(
    source: &Source<'_>,
    input: &mut dyn Read,
    wanted: Wanted,
    sink: &mut dyn Sink,
) -> Result<()> {
    let mut draft = Draft::new(source, wanted, sink);
    let stem = draft.session.id.strip_suffix(".messages").map(str::to_owned);
    let about = if let Some(id) = stem {
        draft.session.id = id;
        About::of_command_line(source, &draft.session.id)?
    } else {
        let folder = source.folder(0);
        let name = folder.rsplit(|it| *it == b'/').next().unwrap_or_default();
        if !name.is_empty() {
            draft.session.id = String::from_utf8_lossy(name).into_owned();
        }
        About::of_task(source, &draft.session.id)?
    };
    // Cline names a task by the millisecond of its first message.
    let named = draft.session.id.parse().ok().filter(|it: &i64| *it > 1_000_000_000_000);
    draft.seen_at(about.started.or_else(|| named.and_then(moment_of_number)));
    if let Some(title) = &about.title {
        draft.name(Name::Given, own_words(title));
    }
    draft.works_in(about.folder.as_deref());
    draft.model(about.model.as_deref());
    let mut reader = Anthropic { draft };
    if read_document(input, &mut reader)?.is_continue() {
        if about.last > reader.draft.session.last {
            reader.draft.session.last = about.last;
        }
        reader.draft.finish();
    }
    Ok(())
}

/// What lies beside the messages.
#[derive(Default)]
struct About {
    title: Option<String>,
    folder: Option<String>,
    started: Option<Timestamp>,
    last: Option<Timestamp>,
    model: Option<String>,
}

impl About {
    fn of_command_line(source: &Source<'_>, id: &str) -> Result<Self> {
        let path = source.beside(0, format!("{id}.json").as_bytes());
        let names =
            ["title", "cwd", "workspace_root", "started_at", "ended_at", "model", "metadata"];
        let [title, folder, root, started, ended, model, metadata] =
            document::fields(source, &path, names)?;
        let named = metadata.as_deref().and_then(Raw::parse).and_then(|it| it.field("title"));
        let moment = |text: Option<String>| moment_of_text(&text?);
        Ok(About {
            title: title.or_else(|| named.and_then(Raw::words)),
            folder: folder.or(root),
            started: moment(started),
            last: moment(ended),
            model,
        })
    }

    fn of_task(source: &Source<'_>, id: &str) -> Result<Self> {
        let path = source.beside(0, b"history_item.json");
        let [mut title, mut folder, mut last] =
            document::fields(source, &path, ["task", "workspace", "ts"])?;
        if title.is_none() {
            let mut entry = Entry { id, found: None, gaps: Gaps::default() };
            let path = source.beside(2, b"state/taskHistory.json");
            if let Some(mut index) = source.files.open(&path)? {
                // It breaks off where the task's entry is found.
                let _flow = read_document(&mut index, &mut entry)?;
            }
            if let Some(found) = entry.found {
                [title, folder, last] = found;
            }
        }
        let path = source.beside(0, b"task_metadata.json");
        let [usage] = document::fields(source, &path, ["model_usage"])?;
        let mut model = None;
        if let Some(usage) = usage.as_deref().and_then(Raw::parse) {
            usage.elements(|entry| {
                model = entry.field("model_id").and_then(Raw::words).or(model.take());
                ControlFlow::Continue(())
            });
        }
        let last = last.and_then(|last| moment_of_text(&last));
        Ok(About { title, folder, started: None, last, model })
    }
}

/// The entry of one task in the index.
struct Entry<'i> {
    id: &'i str,
    found: Option<[Option<String>; 3]>,
    gaps: Gaps,
}

impl Pieces for Entry<'_> {
    fn gaps(&mut self) -> &mut Gaps {
        &mut self.gaps
    }

    fn is_list(&self, _: &str) -> bool {
        false
    }

    fn field(&mut self, _: &str, _: Raw<'_>) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn element(&mut self, _: &str, value: Raw<'_>) -> ControlFlow<()> {
        let [id, task, folder, at] = value.get(["id", "task", "cwdOnTaskInitialization", "ts"]);
        if id.and_then(Raw::text).is_none_or(|it| it != self.id) {
            return ControlFlow::Continue(());
        }
        let at = at.map(|at| at.json().to_owned());
        self.found = Some([task.and_then(Raw::words), folder.and_then(Raw::words), at]);
        ControlFlow::Break(())
    }
}

struct Anthropic<'s> {
    draft: Draft<'s>,
}

impl Pieces for Anthropic<'_> {
    fn gaps(&mut self) -> &mut Gaps {
        &mut self.draft.session.gaps
    }

    fn is_list(&self, name: &str) -> bool {
        name == "messages"
    }

    fn field(&mut self, _: &str, _: Raw<'_>) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn element(&mut self, _: &str, value: Raw<'_>) -> ControlFlow<()> {
        if !value.is_object() {
            self.gaps().bad_records += 1;
            return ControlFlow::Continue(());
        }
        let [role, content, at, id, info, summary] =
            value.get(["role", "content", "ts", "id", "modelInfo", "isSummary"]);
        let at = at.and_then(Raw::moment);
        self.draft.seen_at(at);
        let id = id.and_then(Raw::text);
        let model = info.and_then(|info| info.field("modelId")).and_then(Raw::text);
        let step = Step { id: id.as_deref(), at, model: model.as_deref(), ..Step::default() };
        if summary.is_some_and(Raw::is_true) {
            let summary = super::blocks::text(content).into_owned();
            let summary = Some(summary).filter(|it| !it.is_empty());
            return self
                .draft
                .step(Role::System, &step, || vec![super::value::Part::Compaction { summary }]);
        }
        match &*role.and_then(Raw::text).unwrap_or_default() {
            "user" if content.is_some_and(is_answer) => {
                self.draft.step(Role::Tool, &step, || parts(content))
            }
            "user" => {
                let (role, words) = person(content);
                if self.draft.wants_title()
                    && let Some(words) = words
                {
                    self.draft.said(&words);
                }
                self.draft.step(role, &step, || own_parts(content))
            }
            "assistant" => self.draft.step(Role::Assistant, &step, || parts(content)),
            "system" => self.draft.step(Role::System, &step, || parts(content)),
            _ => {
                self.gaps().unknown_records += 1;
                ControlFlow::Continue(())
            }
        }
    }
}
