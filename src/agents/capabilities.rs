//! What can be done with which agent, and what shows it.
//!
//! Each yes names a test that fails if it is none; `tests/agents_cli.rs` sees to it that the test is there,
//! and that the table in the README is this one.

use super::agent::{Agent, Origin};
use super::words::SessionShape;

/// Something that may be done with an agent's files or sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capability {
    /// Its files are saved, and what is left out is told.
    Save,
    /// Its files come back, to where this machine keeps them.
    Restore,
    /// Its sessions are listed.
    List,
    /// One of its sessions is shown.
    Show,
    /// Its sessions are searched.
    Search,
    /// One session comes back so that the agent opens it.
    RestoreThatOpens,
    /// Its sessions are exchanged between machines.
    Sync,
    /// It calls stash by hooks of its own.
    Hooks,
}

impl Capability {
    /// All of them, in the order of the table.
    pub const ALL: [Capability; 8] = [
        Capability::Save,
        Capability::Restore,
        Capability::List,
        Capability::Show,
        Capability::Search,
        Capability::RestoreThatOpens,
        Capability::Sync,
        Capability::Hooks,
    ];

    /// Returns what it is called in the table.
    pub fn name(self) -> &'static str {
        match self {
            Capability::Save => "save",
            Capability::Restore => "restore",
            Capability::List => "list",
            Capability::Show => "show",
            Capability::Search => "search",
            Capability::RestoreThatOpens => "restore that opens",
            Capability::Sync => "sync",
            Capability::Hooks => "hooks",
        }
    }
}

/// Whether something can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// It can, and this test shows it.
    Yes(&'static str),
    /// It can't, for this reason.
    No(&'static str),
}

/// Agents whose whole homes are saved, wiped and restored by tests.
const DRILLED: [&str; 9] = [
    "claude-code",
    "opencode",
    "gemini",
    "codex",
    "openclaw",
    "aider",
    "continue",
    "cursor",
    "copilot",
];

/// Of the other agents, the test that holds what each of their files is.
const CLASSIFIED: [(&str, &str); 11] = [
    ("goose", "every_file_of_goose_has_its_category"),
    ("qwen", "every_file_of_qwen_has_its_category"),
    ("crush", "every_file_of_crush_has_its_category"),
    ("cline", "every_file_of_cline_has_its_category"),
    ("roo", "every_file_of_roo_has_its_category"),
    ("kiro", "every_file_of_kiro_has_its_category"),
    ("zed", "every_file_of_zed_has_its_category"),
    ("pi", "every_file_of_pi_has_its_category"),
    ("droid", "every_file_of_droid_amp_and_windsurf_has_its_category"),
    ("amp", "every_file_of_droid_amp_and_windsurf_has_its_category"),
    ("windsurf", "every_file_of_droid_amp_and_windsurf_has_its_category"),
];

/// Of the other agents whose sessions are read, the test that holds it.
const READ: [(&str, &str); 9] = [
    ("goose", "goose_is_read_in_order_of_time_and_answers_are_turns_of_their_own"),
    ("qwen", "qwens_parts_are_read_alike"),
    ("crush", "crush_is_read_whatever_unit_its_times_have"),
    ("cline", "clines_command_line_describes_a_session_beside_its_messages"),
    ("kiro", "kiro_is_read_in_both_tables_and_both_forms"),
    ("zed", "zeds_threads_of_both_versions_are_read_packed_or_not"),
    ("droid", "droids_header_has_the_title"),
    ("amp", "amps_threads_are_read"),
    ("roo", "clines_tasks_are_named_by_their_millisecond_and_listed_in_the_state"),
];

impl Agent {
    /// Returns whether the sessions of an agent without a whole home in the tests are read.
    fn reading(&self) -> Support {
        match READ.iter().find(|(other, _)| *other == self.id) {
            Some((_, test)) if self.origin == Origin::Builtin => Support::Yes(test),
            _ if self.sessions.is_empty() => Support::No("it keeps no sessions"),
            _ if self.sessions.iter().all(|it| it.shape == SessionShape::Opaque) => {
                Support::No("its sessions are kept in a form that only it reads")
            }
            _ => Support::No("read by its definition, and no test has sessions of it"),
        }
    }

    /// Returns whether one session can be put back so that the agent finds it.
    fn placing(&self) -> Support {
        const FILES: &str =
            "a_deleted_session_of_each_agent_comes_back_by_its_id_and_reads_as_before";
        const ROWS: &str =
            "a_deleted_session_of_opencode_comes_back_as_rows_and_the_database_stays_whole";
        if self.origin != Origin::Builtin {
            return Support::No("placed by its definition, and no test has sessions of it");
        }
        match self.id.as_str() {
            "claude-code" | "codex" | "gemini" | "copilot" | "continue" | "aider" => {
                Support::Yes(FILES)
            }
            "opencode" => Support::Yes(ROWS),
            "cursor" => Support::No(
                "experimental: its transcripts and the chats of its command line come back, the editor's chats do not",
            ),
            "openclaw" => Support::No(
                "it finds a conversation by its key in databases that one gateway writes: only all of it comes back",
            ),
            "amp" => Support::No("its server's copy is the one that counts"),
            "windsurf" => Support::No("its sessions are kept in a form that only it reads"),
            "shared-agents" => Support::No("it keeps no sessions"),
            _ => Support::No("placed by what is known of it, and no test has brought one back yet"),
        }
    }

    /// Returns whether something can be done with this agent.
    pub fn support(&self, capability: Capability) -> Support {
        let id = self.id.as_str();
        let is_drilled = DRILLED.contains(&id) && self.origin == Origin::Builtin;
        let classified = CLASSIFIED.iter().find(|(other, _)| *other == id);
        match capability {
            Capability::Save if is_drilled => {
                Support::Yes("every_file_of_every_agent_is_saved_or_left_out_with_a_reason")
            }
            Capability::Save => match classified {
                Some((_, test)) => Support::Yes(test),
                None => Support::No("saved by its definition, and no test has a home of it"),
            },
            Capability::Restore if is_drilled => {
                Support::Yes("after_a_disaster_everything_comes_back_into_another_home")
            }
            Capability::Restore => {
                Support::No("restored by its definition, and no test has a home of it")
            }
            Capability::List | Capability::Show if is_drilled => {
                Support::Yes("sessions_of_every_agent_are_listed_and_shown")
            }
            Capability::Search if is_drilled => {
                Support::Yes("sessions_of_every_agent_are_searched")
            }
            // What a reader reads is searched as any session is.
            Capability::List | Capability::Show | Capability::Search => self.reading(),
            Capability::RestoreThatOpens => self.placing(),
            Capability::Sync => Support::No("no exchange between machines is built in yet"),
            Capability::Hooks if self.hooks.is_empty() => {
                Support::No("it is not known to have hooks")
            }
            Capability::Hooks => Support::No("no hooks are installed yet"),
        }
    }
}
