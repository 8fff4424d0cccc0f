//! Which rows of a database are one session.
//!
//! Only data: the statements that go by it are made where the databases are.

use super::super::super::words::SessionShape;

/// Which rows of a database are one session, parents before what refers to them.
#[derive(Debug, PartialEq, Eq)]
pub struct RowRules {
    /// The table with a row for each session.
    pub sessions: &'static str,
    /// Its column with the session's id.
    pub id: &'static str,
    /// Its column with the session that started it, if subagents' are sessions.
    pub parent: Option<&'static str>,
    /// The tables with what belongs to it, in the order of references.
    pub tables: &'static [RowTable],
    /// How its row is tied to the project.
    pub rebind: Rebind,
    /// Whether another session may have the same id, so that it must be given another.
    pub renumbers: bool,
}

/// A table of what belongs to a session.
#[derive(Debug, PartialEq, Eq)]
pub struct RowTable {
    /// Its name.
    pub name: &'static str,
    /// Its column with the session's id.
    pub session: &'static str,
    /// A column that is counted by the database itself, and so not taken.
    pub counted: Option<&'static str>,
}

/// How a session's row is tied to its project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rebind {
    /// By the database's place.
    Nothing,
    /// By a column with the project's folder.
    Column(&'static str),
    /// By `OpenCode`'s columns `directory`, `path` and `project_id`, and a row of `project`.
    Opencode,
}

/// Returns whether the rows of a table say which schema a database has.
pub fn schema_only_keeps(table: &str) -> bool {
    let table = table.to_ascii_lowercase();
    table.contains("migration") || table.contains("schema_version") || table == "goose_db_version"
}

const fn of(name: &'static str, session: &'static str) -> RowTable {
    RowTable { name, session, counted: None }
}

static OPENCODE: RowRules = RowRules {
    sessions: "session",
    id: "id",
    parent: Some("parent_id"),
    tables: &[
        of("message", "session_id"),
        of("part", "session_id"),
        of("session_message", "session_id"),
        of("todo", "session_id"),
    ],
    rebind: Rebind::Opencode,
    renumbers: false,
};

static GOOSE: RowRules = RowRules {
    sessions: "sessions",
    id: "id",
    parent: None,
    tables: &[RowTable { name: "messages", session: "session_id", counted: Some("id") }],
    rebind: Rebind::Column("working_dir"),
    renumbers: true,
};

static CRUSH: RowRules = RowRules {
    sessions: "sessions",
    id: "id",
    parent: Some("parent_session_id"),
    tables: &[
        of("messages", "session_id"),
        of("files", "session_id"),
        of("read_files", "session_id"),
    ],
    rebind: Rebind::Nothing,
    renumbers: false,
};

static ZED: RowRules = RowRules {
    sessions: "threads",
    id: "id",
    parent: Some("parent_id"),
    tables: &[],
    rebind: Rebind::Column("folder_paths"),
    renumbers: false,
};

static KIRO: RowRules = RowRules {
    sessions: "conversations_v2",
    id: "conversation_id",
    parent: None,
    tables: &[],
    rebind: Rebind::Column("key"),
    renumbers: false,
};

/// Returns the rules of a shape.
pub(super) fn rules(shape: SessionShape) -> Option<&'static RowRules> {
    match shape {
        SessionShape::OpencodeDb => Some(&OPENCODE),
        SessionShape::GooseDb => Some(&GOOSE),
        SessionShape::CrushDb => Some(&CRUSH),
        SessionShape::ZedDb => Some(&ZED),
        SessionShape::KiroDb => Some(&KIRO),
        _ => None,
    }
}
