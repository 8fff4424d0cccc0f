//! Where one session has to lie so that its agent finds it, and what else must be brought up to date.
//!
//! Pure: from what is known of a session and the project's folder on this machine to paths below the
//! agent's root, rows of a database ([`RowRules`]), or the reason why neither will do. Contents are never
//! altered: agents live with old paths in their records.

mod rows;
pub mod slug;

pub use rows::{Rebind, RowRules, RowTable, schema_only_keeps};

use super::super::words::SessionShape;

/// A session that is to be placed.
#[derive(Debug, Clone, Copy)]
pub struct Placing<'a> {
    /// The agent's id.
    pub agent: &'a str,
    /// How the file that holds it is laid out.
    pub shape: SessionShape,
    /// The session's id.
    pub id: &'a str,
    /// The file's path below its root, as it was saved.
    pub relative: &'a str,
    /// The project's folder where the session ran; may be empty.
    pub old_project: &'a str,
    /// The project's folder on this machine; may be empty.
    pub new_project: &'a str,
    /// The name that the agent's register gives the project, where there is a register.
    pub registered: Option<&'a str>,
}

/// How a session is placed.
#[derive(Debug, Clone, PartialEq)]
pub enum Placement {
    /// As files.
    Files(FilePlacement),
    /// As a block at the end of the project's history.
    Block,
    /// As rows of a database.
    Rows(&'static RowRules),
    /// Not at all, for this reason.
    Impossible(&'static str),
}

/// Where a session's files go. Paths are below the agent's root, parts joined by `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePlacement {
    /// Where the session's own file goes.
    pub to: String,
    /// Files and folders that belong to it: where they were, and where they go. Each may be missing.
    pub beside: Vec<(String, String)>,
    /// What else must be brought up to date.
    pub also: Also,
}

/// What else must be brought up to date when a session's files are in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Also {
    /// Nothing.
    Nothing,
    /// Gemini CLI's register of projects, and its marks in the project's folders.
    GeminiRegister,
    /// Continue's list, without which a session can't be seen.
    ContinueList,
    /// Cline's list of tasks.
    ClineList,
    /// Roo Code's list of tasks, if there is one: it is made anew otherwise.
    RooList,
}

/// Why Claude Code and its kin can't be given a session of such a path.
const TOO_LONG: &str = "the project's path is so long that the agent shortens its folder's name, in a way that is not known here";

impl Placing<'_> {
    /// Returns how the session is placed.
    pub fn placement(&self) -> Placement {
        match self.shape {
            SessionShape::ClaudeJsonl => self.in_folder("projects", slug::claude),
            SessionShape::RoleJsonl if self.agent == "goose" => Placement::Impossible(
                "Goose reads such files only when it makes its database: restore the whole agent",
            ),
            SessionShape::RoleJsonl => self.in_folder("projects", |path| Some(slug::cursor(path))),
            SessionShape::PiJsonl if self.agent == "openclaw" => Placement::Impossible(OPENCLAW),
            SessionShape::PiJsonl if self.agent == "droid" => {
                self.in_folder("sessions", |path| self.droid(path))
            }
            SessionShape::PiJsonl => self.in_folder("sessions", |path| Some(slug::pi(path))),
            SessionShape::CodexRollout | SessionShape::CopilotEvents | SessionShape::AmpJson => {
                self.files(self.relative.to_owned(), Also::Nothing)
            }
            SessionShape::GeminiChat => self.gemini(),
            SessionShape::ContinueJson => self.files(self.relative.to_owned(), Also::ContinueList),
            SessionShape::AnthropicJson => {
                let also = match self.agent {
                    "roo" => Also::RooList,
                    _ if self.relative.starts_with("tasks/") => Also::ClineList,
                    _ => Also::Nothing,
                };
                self.files(self.relative.to_owned(), also)
            }
            SessionShape::CursorStore => {
                self.in_folder("chats", |path| Some(slug::cursor_hash(path)))
            }
            SessionShape::AiderMd => Placement::Block,
            SessionShape::OpenclawDb => Placement::Impossible(OPENCLAW),
            SessionShape::OpencodeJson => Placement::Impossible(
                "OpenCode reads such files only when it makes its database: restore the whole agent",
            ),
            SessionShape::CursorKv => Placement::Impossible(
                "the editor's chats are keys among its own in one database, which it writes over while it runs, and which keys make one visible differs by version",
            ),
            SessionShape::Opaque => Placement::Impossible(
                "its agent keeps sessions in a form that nobody else can read",
            ),
            shape => match rows::rules(shape) {
                Some(rules) => Placement::Rows(rules),
                None => Placement::Impossible("nothing is known of how its agent finds sessions"),
            },
        }
    }

    /// Returns the same for a session whose file lies, or is to lie, at this path below the root.
    pub fn at(&self, to: &str) -> Placement {
        match self.placement() {
            Placement::Files(files) => self.files(to.to_owned(), files.also),
            other => other,
        }
    }

    /// A path whose second part names the project.
    fn in_folder(&self, top: &str, rule: impl Fn(&str) -> Option<String>) -> Placement {
        let rest = self.relative.strip_prefix(top).and_then(|rest| rest.strip_prefix('/'));
        let Some((name, rest)) = rest.and_then(|rest| rest.split_once('/')) else {
            return self.files(self.relative.to_owned(), Also::Nothing);
        };
        // The hash says nothing of a path's parts, so only the rule counts.
        let is_hash = self.shape == SessionShape::CursorStore;
        let name = if is_hash && self.old_project != self.new_project {
            if self.new_project.is_empty() { Some(name.to_owned()) } else { rule(self.new_project) }
        } else {
            slug::moved(name, (self.old_project, self.new_project), rule)
        };
        match name {
            Some(name) => self.files(format!("{top}/{name}/{rest}"), Also::Nothing),
            None => Placement::Impossible(TOO_LONG),
        }
    }

    /// Two rules are told of Droid: the one that made the name that is there counts.
    fn droid(&self, path: &str) -> Option<String> {
        let separated = |path: &str| path.replace('/', "-");
        let name = self.relative.split('/').nth(1).unwrap_or_default();
        if separated(self.old_project) == name {
            return Some(separated(path));
        }
        slug::claude(path)
    }

    fn gemini(&self) -> Placement {
        if self.agent != "gemini" {
            return Placement::Impossible(
                "such files lie below a hash of the project's path, and only older versions read them",
            );
        }
        let rest = self.relative.strip_prefix("tmp/").and_then(|rest| rest.split_once('/'));
        let (Some((name, rest)), false) = (rest, self.new_project.is_empty()) else {
            return self.files(self.relative.to_owned(), Also::Nothing);
        };
        let name = self.registered.unwrap_or(name);
        self.files(format!("tmp/{name}/{rest}"), Also::GeminiRegister)
    }

    fn files(&self, to: String, also: Also) -> Placement {
        let pairs = self.beside(self.relative).into_iter().zip(self.beside(&to));
        Placement::Files(FilePlacement { beside: pairs.collect(), to, also })
    }

    /// Returns what belongs to a session whose file lies at a path.
    fn beside(&self, path: &str) -> Vec<String> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let stem = name.strip_suffix(".jsonl").unwrap_or(name);
        match self.shape {
            SessionShape::ClaudeJsonl => vec![format!("{folder}/{stem}")],
            SessionShape::PiJsonl if self.agent == "droid" => {
                vec![format!("{folder}/{stem}.settings.json")]
            }
            SessionShape::GeminiChat => {
                let of_project = folder.strip_suffix("/chats").unwrap_or(folder);
                vec![format!("{folder}/{}", self.id), format!("{of_project}/{}", self.id)]
            }
            SessionShape::CopilotEvents if name == "events.jsonl" => vec![folder.to_owned()],
            SessionShape::AnthropicJson | SessionShape::CursorStore => vec![folder.to_owned()],
            // A folder that bears the file's name is the session's own.
            SessionShape::RoleJsonl if folder.rsplit('/').next() == Some(stem) => {
                vec![folder.to_owned()]
            }
            _ => Vec::new(),
        }
    }
}

const OPENCLAW: &str = "OpenClaw addresses a conversation by its key, and one gateway writes its databases, whose schema and versions must fit: only the whole agent can be restored";

#[cfg(test)]
mod tests;
