//! What `--json` prints: the shape of every line, and the text of `stash help json`.
//!
//! Names and meanings are restic's where it has them. Fields are added, never changed; a test
//! compares each shape with its documentation here.

mod agents;
mod copy;
mod health;
mod items;
mod lists;
mod nodes;
mod portable;
mod prune;
mod repo;
mod retention;
mod sessions;
mod summaries;
mod verify;

use std::fmt::Write as _;

use serde::Serialize;

pub use agents::{AgentHoldingsLine, AgentLine, AgentPlanLine, AgentRootLine, CapabilityLine};
pub use copy::{AlsoLine, CopiedLine, CopySummary, RepairDataSummary, RepairableLine};
pub use health::{
    AgentStatusRow, AnswerRow, ChangesRow, ExpiringRow, JobRow, RepositoryRow, StatusReport,
};
pub use items::{
    ChangeLine, DiffStatistics, KeyDeviceLine, KeyLine, KeyRow, RotatedLine, SnapshotLine,
    StatsLine, VersionRow, ratio,
};
pub use lists::{LISTS, SnapshotRow, SnapshotSummary, time as snapshot_time};
pub use nodes::{NodeRow, file_time, node, node_with_content, permissions};
pub use portable::{
    ExportSummary, ImportSummary, ScanSummary, SecretLine, SettingLine, TakenOverLine,
};
pub use prune::{MaintenanceLine, PruneSummary};
pub use repo::{RepoChange, RepoLine};
pub use retention::{
    ChangedLine, ChangedSummary, ForgetGroup, ForgottenLine, ForgottenRow, PurgeSummary, PurgedLine,
};
pub use sessions::{
    FoundSessionLine, PlacedLine, SessionExport, SessionFinding, SessionLine, SessionVersionLine,
    TurnLine, role_name,
};
pub use summaries::{BackupContributor, BackupSummary, Initialized, RestoreSummary};
pub use verify::{
    CheckSummary, FindingLine, NoteLine, RepairIndexSummary, RepairSnapshotsSummary, RepairedLine,
};

use crate::error::Error;
use crate::event::{Action, Counters};

/// `status`: how far a long run is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Status {
    /// Seconds since the start.
    pub seconds_elapsed: u64,
    /// Seconds to go, once that can be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds_remaining: Option<u64>,
    /// 0 to 1; 0 while the total is not known.
    pub percent_done: f64,
    /// Items found so far.
    pub total_files: u64,
    /// Items done.
    pub files_done: u64,
    /// Bytes found so far.
    pub total_bytes: u64,
    /// Bytes done.
    pub bytes_done: u64,
    /// Items that failed.
    pub error_count: u64,
}

/// `verbose_status`: one item; its name is put in by [`super::name::insert`].
#[derive(Debug, Clone, Copy, Serialize)]
pub struct VerboseStatus {
    /// What was done.
    pub action: Action,
    /// The item's size in bytes.
    pub size: u64,
}

/// The inner part of `error`.
#[derive(Debug, Clone, Serialize)]
pub struct Message {
    /// One line.
    pub message: String,
}

/// `error`: one item that failed; its name is put in by [`super::name::insert`].
#[derive(Debug, Clone, Serialize)]
pub struct ItemError {
    /// Why.
    pub error: Message,
    /// What was being done: the command's name.
    pub during: &'static str,
}

/// `warning`: something that is no failure.
#[derive(Debug, Clone, Serialize)]
pub struct Warning<'a> {
    /// One line.
    pub message: &'a str,
}

/// `exit_error`: why the run failed.
#[derive(Debug, Clone, Serialize)]
pub struct ExitError {
    /// The exit code.
    pub code: u8,
    /// One line.
    pub message: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl From<&Error> for ExitError {
    fn from(error: &Error) -> Self {
        ExitError {
            code: error.kind().exit_code(),
            message: error.to_string(),
            hint: error.hint_text().map(str::to_owned),
        }
    }
}

impl Status {
    /// Returns the counters as they stand, without times.
    pub fn of(counters: &Counters) -> Self {
        Status {
            total_files: Counters::get(&counters.total_items),
            files_done: Counters::get(&counters.done_items),
            total_bytes: Counters::get(&counters.total_bytes),
            bytes_done: Counters::get(&counters.done_bytes),
            error_count: Counters::get(&counters.failed_items),
            ..Status::default()
        }
    }
}

/// One kind of line.
pub struct MessageType {
    /// Its `message_type`.
    pub name: &'static str,
    /// Where and when it is printed.
    pub when: &'static str,
    /// Its fields and their meanings.
    pub fields: &'static [(&'static str, &'static str)],
}

/// Every kind of line that all commands share.
pub const MESSAGE_TYPES: &[MessageType] = &[
    MessageType {
        name: "status",
        when: "stdout, once a second during whatever shows progress on a terminal; not with --quiet",
        fields: &[
            ("seconds_elapsed", "seconds since the start"),
            ("seconds_remaining", "seconds to go; absent until that can be told"),
            ("percent_done", "0 to 1; 0 while the total is not known"),
            ("total_files", "items found so far"),
            ("files_done", "items done"),
            ("total_bytes", "bytes found so far"),
            ("bytes_done", "bytes done"),
            ("error_count", "items that failed"),
        ],
    },
    MessageType {
        name: "verbose_status",
        when: "stdout, for each item that changed with --verbose, for every item with -vv",
        fields: &[
            ("action", "`new`, `modified`, `unchanged`, `deleted` or `skipped`"),
            ("size", "size in bytes; 0 for what has none"),
            ("item", "the path"),
        ],
    },
    MessageType {
        name: "error",
        when: "stderr, for each item that failed while the run goes on; the exit code is then 3",
        fields: &[
            ("error", "an object; its field `message` is one line"),
            ("during", "the command"),
            ("item", "the path"),
        ],
    },
    MessageType {
        name: "warning",
        when: "stderr, for what is no failure but should be known",
        fields: &[("message", "one line")],
    },
    MessageType {
        name: "version",
        when: "stdout, `stash version`",
        fields: &[("version", "the version of the program")],
    },
    MessageType {
        name: "exit_error",
        when: "stderr, last, if the run failed",
        fields: &[
            ("code", "the exit code; `stash help exit-codes` lists them"),
            ("message", "one line"),
            ("hint", "what to do; absent if that is not known"),
        ],
    },
];

/// Returns the text of `stash help json`.
pub fn help() -> String {
    let mut text = "\
With `--json`, lists print one JSON array. Long runs print one object per line, told apart by
`message_type`; fields may be added later, never changed. Times are RFC 3339, sizes are bytes.
A path that is not UTF-8 has U+FFFD in its field, and its exact bytes in base64 in a second field
of the same name with `_b64` appended (`item`, `item_b64`).
"
    .to_owned();
    // Writing to a String can't fail.
    let types = [
        MESSAGE_TYPES,
        summaries::MESSAGE_TYPES,
        verify::MESSAGE_TYPES,
        retention::MESSAGE_TYPES,
        prune::MESSAGE_TYPES,
        copy::MESSAGE_TYPES,
        items::MESSAGE_TYPES,
        sessions::MESSAGE_TYPES,
        portable::MESSAGE_TYPES,
        repo::MESSAGE_TYPES,
    ];
    for message in types.into_iter().flatten() {
        push(&mut text, message);
    }
    text.push_str("\n`stash status` prints one object:\n");
    push(&mut text, &health::STATUS);
    text.push_str("\nLists print an array of such objects:\n");
    let lists = [
        LISTS,
        agents::LISTS,
        repo::LISTS,
        retention::LISTS,
        items::LISTS,
        health::LISTS,
        sessions::LISTS,
    ];
    for list in lists.into_iter().flatten() {
        push(&mut text, list);
    }
    text
}

fn push(text: &mut String, message: &MessageType) {
    let _ = writeln!(text, "\n{}: {}", message.name, message.when);
    for (field, meaning) in message.fields {
        let _ = writeln!(text, "  {field:<22} {meaning}");
    }
}

/// Returns the text of `stash help exit-codes`.
pub fn exit_codes() -> String {
    let row = |row: &crate::error::ExitCode| format!("{:>4}  {}\n", row.code, row.meaning);
    crate::error::EXIT_CODES.iter().map(row).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Fails unless the fields of `value` and `added` are those that `types` documents.
    pub(in crate::cli) fn assert_documented(
        types: &[MessageType],
        name: &str,
        value: &impl Serialize,
        added: &[&str],
    ) {
        let value = serde_json::to_value(value).unwrap();
        let mut fields: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
        fields.extend(added);
        let message = types.iter().find(|message| message.name == name).unwrap();
        let mut documented: Vec<&str> = message.fields.iter().map(|(field, _)| *field).collect();
        fields.sort_unstable();
        documented.sort_unstable();
        assert_eq!(fields, documented, "{name}");
    }

    #[test]
    fn every_field_is_documented_and_every_documented_field_exists() {
        let status = Status { seconds_remaining: Some(1), ..Status::default() };
        assert_documented(MESSAGE_TYPES, "status", &status, &[]);
        let item = VerboseStatus { action: Action::New, size: 1 };
        assert_documented(MESSAGE_TYPES, "verbose_status", &item, &["item"]);
        let message = Message { message: String::new() };
        assert_documented(
            MESSAGE_TYPES,
            "error",
            &ItemError { error: message, during: "backup" },
            &["item"],
        );
        assert_documented(MESSAGE_TYPES, "warning", &Warning { message: "" }, &[]);
        let error = Error::failed("x").hint("y");
        assert_documented(MESSAGE_TYPES, "exit_error", &ExitError::from(&error), &[]);
    }

    #[test]
    fn the_exit_codes_are_those_of_the_table() {
        assert!(exit_codes().starts_with("   0  done\n   1  failed\n"));
        assert!(exit_codes().ends_with(" 130  interrupted\n"));
    }
}
