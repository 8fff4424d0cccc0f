//! The values that readers make: sessions, their turns, and the parts of these.

use std::ops::ControlFlow;

use crate::time::Timestamp;

/// What is known of one session without its text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Session {
    /// What its agent calls it; made from the file's name and its place there where the agent gives
    /// none. Unique within the agent on one machine.
    pub id: String,
    /// What the user or the agent named it, or its first words: one line, at most 200 characters.
    pub title: Option<String>,
    /// The folder it worked in, as its agent wrote it: an absolute path of the machine it ran on.
    pub project: Option<String>,
    /// The branch of the project's git repository, as last seen.
    pub branch: Option<String>,
    /// The moment of its first record; `None` where the shape has no times.
    pub started: Option<Timestamp>,
    /// The moment of its last record; `None` where the shape has no times.
    pub last: Option<Timestamp>,
    /// Turns of the user and of the assistant, tool results not counted.
    pub turns: u64,
    /// Bytes of its own file, or of its texts in a file of many.
    pub bytes: u64,
    /// The model that answered last.
    pub model: Option<String>,
    /// The session that it was started by, for a subagent's.
    pub parent: Option<String>,
    /// A number that is another whenever what a file of many holds of this session is another; 0
    /// where the file's own size and time tell that.
    pub revision: u64,
    /// What could not be read of it.
    pub gaps: Gaps,
}

/// What a reader met and could not use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Gaps {
    /// Whether the last line, or the document, ends in the middle.
    pub is_torn: bool,
    /// Records that are not what the shape says: no JSON, no UTF-8.
    pub bad_records: u64,
    /// Records of a type that this program does not know.
    pub unknown_records: u64,
    /// Values that were cut since they are too long to hold.
    pub cut_values: u64,
    /// Whether tables or columns that were looked for are missing, so that the schema is another.
    pub is_other_schema: bool,
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The person.
    User,
    /// The model.
    Assistant,
    /// A tool's answer.
    Tool,
    /// The agent itself: notices, injected context.
    System,
}

/// One step of a conversation. Records that its agent stores apart but means as one are one turn. What
/// tools answered is a turn of its own, right after the one that called them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// What its agent calls it.
    pub id: Option<String>,
    /// Who speaks.
    pub role: Role,
    /// When.
    pub at: Option<Timestamp>,
    /// The model, for a turn of the assistant.
    pub model: Option<String>,
    /// Whether it belongs to a subagent's work within the session.
    pub is_side: bool,
    /// What was said, in order.
    pub parts: Vec<Part>,
}

/// One piece of a turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Words.
    Text(String),
    /// What the model thought.
    Reasoning(String),
    /// A tool that was called.
    Call {
        /// What the answer refers to.
        id: Option<String>,
        /// The tool.
        name: String,
        /// What it was given: JSON, or text as the agent stored it.
        input: String,
    },
    /// What a tool answered.
    Result {
        /// The call that it answers.
        id: Option<String>,
        /// The answer's text.
        text: String,
        /// Whether the tool failed.
        is_error: bool,
    },
    /// An image or another attachment, without its bytes.
    Media {
        /// Its type, such as `image/png`, as far as known.
        kind: String,
        /// Its size in bytes as stored there; 0 if not known.
        bytes: u64,
    },
    /// Here the agent replaced what came before by a summary; the turns before stay in the session.
    Compaction {
        /// The summary.
        summary: Option<String>,
    },
}

/// What a reader is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wanted {
    /// Sessions alone: texts are passed over as far as titles allow, and no turn is handed over.
    Outline,
    /// Sessions and their turns.
    Turns,
}

/// Takes what a reader finds. Whatever returns `Break` ends the reading at once, which is no error.
pub trait Sink {
    /// The turns that follow are of this session, of which no more than the id need be known yet.
    fn begin(&mut self, id: &str) -> ControlFlow<()>;
    /// A turn of the session that began last.
    fn turn(&mut self, turn: Turn) -> ControlFlow<()>;
    /// All of the session that began last has been read.
    fn end(&mut self, session: Session) -> ControlFlow<()>;
}
