//! What `sessions` says in JSON.

use std::os::unix::ffi::OsStrExt as _;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::MessageType;
use crate::agents::session::{Part, Role, Turn};
use crate::cli::name;
use crate::error::Error;
use crate::format::session::SESSION_GAPS;
use crate::machine::sessions::index::Hit;
use crate::machine::sessions::{SessionPlan, SessionRow};
use crate::time::Timestamp;

/// One session.
#[derive(Debug, Serialize)]
pub struct SessionLine {
    id: String,
    agent: String,
    title: String,
    project: String,
    branch: String,
    machine: String,
    started: Option<String>,
    last: Option<String>,
    turns: u64,
    bytes: u64,
    model: String,
    parent: String,
    state: &'static str,
    local: bool,
    partial: bool,
    expires: Option<String>,
    snapshot_id: Option<String>,
    #[serde(flatten)]
    path: Map<String, Value>,
}

impl SessionLine {
    /// Returns a session of the list.
    pub fn new(row: &SessionRow) -> SessionLine {
        let entry = &row.entry;
        let time = |moment: Option<i64>| moment.map(|it| Timestamp(it).to_rfc3339());
        let mut path = Map::new();
        let mut whole = row.place.clone();
        if !row.relative.is_empty() {
            whole.push(b'/');
            whole.extend_from_slice(&row.relative);
        }
        name::insert(&mut path, "path", &whole);
        SessionLine {
            id: row.id.clone(),
            agent: row.agent.clone(),
            title: entry.title.clone(),
            project: entry.project.clone(),
            branch: entry.branch.clone(),
            machine: row.host.clone(),
            started: time(entry.started),
            last: time(entry.last),
            turns: entry.turns,
            bytes: entry.bytes,
            model: entry.model.clone(),
            parent: entry.parent.clone(),
            state: row.state.name(),
            local: row.local.is_some(),
            partial: entry.flags & SESSION_GAPS != 0,
            expires: time(row.expires()),
            snapshot_id: row.snapshot.map(|id| id.to_string()),
            path,
        }
    }
}

/// `placed_session` of `sessions restore`.
#[derive(Debug, Serialize)]
pub struct PlacedLine {
    id: String,
    agent: String,
    title: String,
    machine: String,
    action: &'static str,
    dry_run: bool,
    project: String,
    resume: Option<String>,
    remarks: Vec<String>,
    error: Option<String>,
    #[serde(flatten)]
    path: Map<String, Value>,
}

impl PlacedLine {
    /// Returns what became of a session, or would.
    pub fn new(row: &SessionRow, result: Result<&SessionPlan, &Error>, dry_run: bool) -> Self {
        let plan = result.ok();
        let mut path = Map::new();
        let place = plan.map(|plan| plan.path.as_os_str().as_bytes());
        name::insert(&mut path, "path", place.unwrap_or_default());
        PlacedLine {
            id: plan.map_or(&row.id, |plan| &plan.id).clone(),
            agent: row.agent.clone(),
            title: row.entry.title.clone(),
            machine: row.host.clone(),
            action: plan.map_or("refused", |plan| plan.fate.name()),
            dry_run,
            project: plan.map(|plan| plan.project.path.display().to_string()).unwrap_or_default(),
            resume: plan.and_then(|plan| plan.resume.clone()),
            remarks: plan.map(|plan| plan.remarks.clone()).unwrap_or_default(),
            error: result.err().map(ToString::to_string),
            path,
        }
    }
}

/// `turn` of `sessions show`.
#[derive(Debug, Serialize)]
pub struct TurnLine {
    number: u64,
    role: &'static str,
    time: Option<String>,
    model: Option<String>,
    subagent: bool,
    parts: Vec<Value>,
}

impl TurnLine {
    /// Returns a turn; `number` counts from 1.
    pub fn new(number: u64, turn: &Turn) -> TurnLine {
        TurnLine {
            number,
            role: role_name(turn.role),
            time: turn.at.map(Timestamp::to_rfc3339),
            model: turn.model.clone(),
            subagent: turn.is_side,
            parts: turn.parts.iter().map(part).collect(),
        }
    }
}

/// Returns the word for who speaks.
pub fn role_name(role: Role) -> &'static str {
    match role {
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
        Role::System => "system",
    }
}

fn part(part: &Part) -> Value {
    match part {
        Part::Text(text) => json!({"type": "text", "text": text}),
        Part::Reasoning(text) => json!({"type": "reasoning", "text": text}),
        Part::Call { id, name, input } => {
            json!({"type": "call", "id": id, "name": name, "input": input})
        }
        Part::Result { id, text, is_error } => {
            json!({"type": "result", "id": id, "text": text, "is_error": is_error})
        }
        Part::Media { kind, bytes } => json!({"type": "media", "kind": kind, "bytes": bytes}),
        Part::Compaction { summary } => json!({"type": "compaction", "summary": summary}),
    }
}

/// One version of a session.
#[derive(Debug, Serialize)]
pub struct SessionVersionLine {
    /// The snapshot that has it first.
    pub snapshot_id: String,
    /// That snapshot's time.
    pub time: String,
    /// Turns that it had then.
    pub turns: u64,
    /// Bytes that it had then.
    pub bytes: u64,
    /// Whether it was no more where it was.
    pub deleted: bool,
}

/// A session in which something was found.
#[derive(Debug, Serialize)]
pub struct FoundSessionLine {
    id: String,
    agent: String,
    host: String,
    title: String,
    project: String,
    last: Option<String>,
    state: &'static str,
    hits: Vec<HitLine>,
}

/// A turn in which it was found.
#[derive(Debug, Serialize)]
struct HitLine {
    turn: u64,
    role: &'static str,
    time: Option<String>,
    text: String,
    ranges: Vec<[usize; 2]>,
}

impl FoundSessionLine {
    /// Returns a session with its hits.
    pub fn new(row: &SessionRow, hits: &[Hit]) -> FoundSessionLine {
        let time = |moment: Option<i64>| moment.map(|it| Timestamp(it).to_rfc3339());
        let hit = |hit: &Hit| HitLine {
            turn: hit.turn,
            role: role_name(hit.role),
            time: time(hit.at),
            text: hit.text.clone(),
            ranges: hit.ranges.iter().map(|range| [range.start, range.end]).collect(),
        };
        FoundSessionLine {
            id: row.id.clone(),
            agent: row.agent.clone(),
            host: row.host.clone(),
            title: row.entry.title.clone(),
            project: row.entry.project.clone(),
            last: time(row.entry.last),
            state: row.state.name(),
            hits: hits.iter().map(hit).collect(),
        }
    }
}

/// `session_finding`: something in an export that looks like a credential.
#[derive(Debug, Serialize)]
pub struct SessionFinding {
    /// The turn, from 1; 0 is what stands above the turns.
    pub turn: u64,
    /// The kind.
    pub kind: &'static str,
}

/// `session_export_summary`: a file that was written.
#[derive(Debug, Serialize)]
pub struct SessionExport {
    /// The file.
    pub file: String,
    /// `md`, `html` or `json`.
    pub format: &'static str,
    /// Turns in it.
    pub turns: u64,
    /// Its size.
    pub bytes: u64,
    /// What looked like a credential.
    pub findings: u64,
    /// Whether that was replaced.
    pub removed: bool,
}

/// The lists that these commands print.
pub(super) const LISTS: &[MessageType] = &[
    MessageType {
        name: "sessions list",
        when: "a session each, newest first",
        fields: &[
            ("id", "what its agent calls it"),
            ("agent", "the agent's id"),
            ("title", "its title, or its first words"),
            ("project", "the folder that it worked in, on its machine"),
            ("branch", "the branch of the project's repository"),
            ("machine", "the machine that it is of"),
            ("started", "the moment of its first record; null if not known"),
            ("last", "the moment of its last record"),
            ("turns", "turns of the user and of the assistant"),
            ("bytes", "bytes of its own file, or of its texts in a database"),
            ("model", "the model that answered last"),
            ("parent", "the session that started it, for a subagent's"),
            (
                "state",
                "`saved`, `changed` (since it was saved), `not saved`, `deleted` or `elsewhere`",
            ),
            ("local", "whether it lies on this machine now"),
            ("partial", "whether some of it could not be understood"),
            ("expires", "when its agent will delete it; null if it does not"),
            ("snapshot_id", "the newest snapshot with it; null if it is not saved"),
            ("path", "the file that holds it"),
        ],
    },
    MessageType {
        name: "search",
        when: "a session in which it was found each, newest first",
        fields: &[
            ("id", "what its agent calls it"),
            ("agent", "the agent's id"),
            ("host", "the machine that it is of"),
            ("title", "its title, or its first words"),
            ("project", "the folder that it worked in, on its machine"),
            ("last", "the moment of its last record"),
            ("state", "as in `sessions list`"),
            (
                "hits",
                "the last three turns with it: `turn` (counts from 1), `role`, `time`, `text` (what stands around \
                 the first place) and `ranges` (pairs: where in `text` it begins and ends, in characters)",
            ),
        ],
    },
    MessageType {
        name: "sessions history",
        when: "a version of the session each, oldest first",
        fields: &[
            ("snapshot_id", "the snapshot that has this version first"),
            ("time", "that snapshot's time"),
            ("turns", "turns that it had then"),
            ("bytes", "bytes that it had then"),
            ("deleted", "whether it was no more where it was"),
        ],
    },
];

const PLACED: MessageType = MessageType {
    name: "placed_session",
    when: "stdout, `stash sessions restore`: what became of a session each",
    fields: &[
        ("id", "the id that it has now"),
        ("agent", "the agent's id"),
        ("title", "its title, or its first words"),
        ("machine", "the machine that it is of"),
        (
            "action",
            "`restore`, `continue` (it was shorter here), `complete`, `replace`, `copy`, `same`, `longer here` \
             (nothing was written) or `refused`",
        ),
        ("dry_run", "whether nothing was written"),
        ("project", "the project's folder on this machine"),
        ("resume", "the command that resumes it; null if none is known"),
        ("remarks", "what a person should know"),
        ("error", "why it was refused; null if it was not"),
        ("path", "the file that holds it"),
    ],
};

const EXPORT_SUMMARY: MessageType = MessageType {
    name: "session_export_summary",
    when: "stdout, `sessions export` into a file; without one stdout has the document alone, which with \
           `--format json` is {session, turns}, with the fields of `sessions list` and of `turn`",
    fields: &[
        ("file", "the file"),
        ("format", "`md`, `html` or `json`"),
        ("turns", "turns in it"),
        ("bytes", "its size"),
        ("findings", "what looked like a credential"),
        ("removed", "whether that was replaced"),
    ],
};

const EXPORT_FINDING: MessageType = MessageType {
    name: "session_finding",
    when: "stdout, `sessions export` into a file: something that looks like a credential; at most 50",
    fields: &[
        ("turn", "the turn, from 1; 0 is what stands above the turns"),
        ("kind", "the kind, as in `secret`"),
    ],
};

/// Lines of the commands about single sessions.
pub(super) const MESSAGE_TYPES: &[MessageType] = &[
    PLACED,
    EXPORT_SUMMARY,
    EXPORT_FINDING,
    MessageType {
        name: "turn",
        when: "stdout, `stash show`: a turn each, after the `session` with the fields of `sessions list`",
        fields: &[
            ("number", "counts from 1"),
            ("role", "`user`, `assistant`, `tool` or `system`"),
            ("time", "when; null if not known"),
            ("model", "the model, for a turn of the assistant"),
            ("subagent", "whether it belongs to a subagent's work"),
            (
                "parts",
                "objects with `type`: text, reasoning, call (name, input), result (text, is_error), media (kind, \
             bytes), compaction (summary)",
            ),
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::super::tests::assert_documented;
    use super::*;
    use crate::machine::sessions::SessionState;

    #[test]
    fn every_field_is_documented_and_every_documented_field_exists() {
        let row = SessionRow {
            host: String::new(),
            agent: String::new(),
            id: String::new(),
            entry: crate::format::session::SessionEntry::default(),
            state: SessionState::Saved,
            label: String::new(),
            place: Vec::new(),
            relative: Vec::new(),
            snapshot: None,
            local: None,
        };
        assert_documented(LISTS, "sessions list", &SessionLine::new(&row), &[]);
        assert_documented(LISTS, "search", &FoundSessionLine::new(&row, &[]), &[]);
        let error = Error::failed("x");
        let placed = PlacedLine::new(&row, Err(&error), false);
        assert_documented(MESSAGE_TYPES, "placed_session", &placed, &[]);
        let turn = Turn {
            id: None,
            role: Role::User,
            at: None,
            model: None,
            is_side: false,
            parts: vec![Part::Text(String::new())],
        };
        assert_documented(MESSAGE_TYPES, "turn", &TurnLine::new(1, &turn), &[]);
        let finding = SessionFinding { turn: 1, kind: "" };
        assert_documented(MESSAGE_TYPES, "session_finding", &finding, &[]);
        let export = SessionExport {
            file: String::new(),
            format: "md",
            turns: 1,
            bytes: 1,
            findings: 0,
            removed: false,
        };
        assert_documented(MESSAGE_TYPES, "session_export_summary", &export, &[]);
        let version = SessionVersionLine {
            snapshot_id: String::new(),
            time: String::new(),
            turns: 1,
            bytes: 1,
            deleted: false,
        };
        assert_documented(LISTS, "sessions history", &version, &[]);
    }
}
