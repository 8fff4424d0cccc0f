//! What `scan` and its kin say in JSON.

use serde::Serialize;

use super::MessageType;

/// Something that looks like a credential; the file's name is put in by [`crate::cli::name::insert`].
#[derive(Debug, Clone, Serialize)]
pub struct SecretLine {
    /// The line; absent in a database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The byte within the line; absent in a database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u64>,
    /// The byte within the file.
    pub offset: u64,
    /// The kind.
    pub kind: &'static str,
    /// The agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The file's category.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub category: Option<&'static str>,
    /// The file.
    #[serde(flatten)]
    pub file: serde_json::Map<String, serde_json::Value>,
}

/// What a scan looked through.
#[derive(Debug, Clone, Serialize)]
pub struct ScanSummary {
    /// Files.
    pub files: u64,
    /// Bytes.
    pub bytes: u64,
    /// Findings.
    pub findings: u64,
    /// Files with findings.
    pub files_with_findings: u64,
    /// Files of agents that hold nothing but credentials.
    pub secret_files: u64,
    /// Files that could not be read.
    pub error_count: u64,
}

/// What becomes of one file of an archive of settings.
#[derive(Debug, Clone, Serialize)]
pub struct SettingLine {
    /// What: `new`, `same`, `joined`, `replaced`, `kept` or `skipped`; for an export `cleaned` or
    /// `left_out`.
    pub action: &'static str,
    /// Why, or what was taken out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub what: Option<String>,
    /// The file's name in the archive.
    #[serde(flatten)]
    pub item: serde_json::Map<String, serde_json::Value>,
}

/// What was exported.
#[derive(Debug, Clone, Serialize)]
pub struct ExportSummary {
    /// The archive.
    pub file: String,
    /// Its size.
    pub bytes: u64,
    /// Files in it.
    pub files: u64,
    /// Files cleaned of credentials.
    pub cleaned: u64,
    /// Files left out.
    pub left_out: u64,
    /// What looks like a credential in it.
    pub findings: u64,
    /// Whether it is an age file.
    pub encrypted: bool,
}

/// What was imported.
#[derive(Debug, Clone, Serialize)]
pub struct ImportSummary {
    /// Whether nothing was written on purpose.
    pub dry_run: bool,
    /// Files made.
    pub new: u64,
    /// Files joined with what is there.
    pub joined: u64,
    /// Files replaced.
    pub replaced: u64,
    /// Files that were the same.
    pub same: u64,
    /// Files that were there and stay.
    pub kept: u64,
    /// Files passed over.
    pub skipped: u64,
    /// Whether `stash undo` takes it back.
    pub can_undo: bool,
}

/// What was taken over of one machine.
#[derive(Debug, Clone, Serialize)]
pub struct TakenOverLine {
    /// Whether nothing was stored on purpose.
    pub dry_run: bool,
    /// The other tool.
    pub from: &'static str,
    /// The machine.
    pub hostname: String,
    /// The agent.
    pub agent: &'static str,
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The moment that the snapshot stands for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// The snapshot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot_id: Option<crate::id::SnapshotId>,
    /// Whether an earlier import had it.
    pub was_there: bool,
}

/// The lines that these commands print.
pub(super) const MESSAGE_TYPES: &[MessageType] = &[
    MessageType {
        name: "secret",
        when: "stdout, `stash scan`, for each line and kind of credential found; never the value",
        fields: &[
            ("file", "the file"),
            ("line", "the line, from 1; absent in a database"),
            ("column", "the byte within the line, from 1; absent in a database"),
            ("offset", "the byte within the file (unpacked), from 0"),
            ("kind", "what it is: `github-token`, `private-key` and so on"),
            ("agent", "the agent; absent for paths"),
            ("category", "what the file is to the agent; absent for paths"),
        ],
    },
    MessageType {
        name: "scan_summary",
        when: "stdout, `stash scan`, last",
        fields: &[
            ("files", "files looked through"),
            ("bytes", "their bytes"),
            ("findings", "lines of type `secret` above"),
            ("files_with_findings", "files that they lie in"),
            ("secret_files", "agents' files that hold nothing but credentials; not looked into"),
            ("error_count", "files that could not be read"),
        ],
    },
    MessageType {
        name: "setting",
        when: "stdout, `stash import-config`, for each file that is not the same; `stash \
               export-config`, for each that is cleaned or left out",
        fields: &[
            ("item", "the file's name in the archive"),
            ("action", "`new`, `joined`, `replaced`, `kept`, `skipped`, `cleaned` or `left_out`"),
            ("what", "why, or what was taken out; absent if there is nothing to say"),
        ],
    },
    MessageType {
        name: "export_summary",
        when: "stdout, `stash export-config`, last",
        fields: &[
            ("file", "the archive"),
            ("bytes", "its size"),
            ("files", "files in it"),
            ("cleaned", "files that credentials were taken out of"),
            ("left_out", "files left out"),
            ("findings", "what looks like a credential in it, lines of type `secret` above"),
            ("encrypted", "whether it is an age file"),
        ],
    },
    MessageType {
        name: "import_summary",
        when: "stdout, `stash import-config`, last",
        fields: &[
            ("dry_run", "whether nothing was written on purpose"),
            ("new", "files made"),
            ("joined", "files joined with what is there"),
            ("replaced", "files replaced"),
            ("same", "files that were the same"),
            ("kept", "files that were there and stay"),
            ("skipped", "files passed over"),
            ("can_undo", "whether `stash undo` takes it back"),
        ],
    },
    MessageType {
        name: "taken_over",
        when: "stdout, `stash import`, for each machine",
        fields: &[
            ("dry_run", "whether nothing was stored on purpose"),
            ("from", "the other tool"),
            ("hostname", "the machine"),
            ("agent", "the agent"),
            ("files", "files"),
            ("bytes", "their bytes; with --dry-run as the other tool stores them"),
            ("time", "the moment that the snapshot stands for; absent if not known yet"),
            ("snapshot_id", "the snapshot; absent with --dry-run"),
            ("was_there", "whether an earlier import had it"),
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::json::tests::assert_documented;

    #[test]
    fn every_field_is_documented_and_every_documented_field_exists() {
        let line = SecretLine {
            line: Some(1),
            column: Some(1),
            offset: 0,
            kind: "x",
            agent: Some(String::new()),
            category: Some("x"),
            file: serde_json::Map::new(),
        };
        assert_documented(MESSAGE_TYPES, "secret", &line, &["file"]);
        let summary = ScanSummary {
            files: 0,
            bytes: 0,
            findings: 0,
            files_with_findings: 0,
            secret_files: 0,
            error_count: 0,
        };
        assert_documented(MESSAGE_TYPES, "scan_summary", &summary, &[]);
        let item =
            SettingLine { action: "new", what: Some(String::new()), item: serde_json::Map::new() };
        assert_documented(MESSAGE_TYPES, "setting", &item, &["item"]);
        let export = ExportSummary {
            file: String::new(),
            bytes: 0,
            files: 0,
            cleaned: 0,
            left_out: 0,
            findings: 0,
            encrypted: true,
        };
        assert_documented(MESSAGE_TYPES, "export_summary", &export, &[]);
        let import = ImportSummary {
            dry_run: true,
            new: 0,
            joined: 0,
            replaced: 0,
            same: 0,
            kept: 0,
            skipped: 0,
            can_undo: true,
        };
        assert_documented(MESSAGE_TYPES, "import_summary", &import, &[]);
        let taken = TakenOverLine {
            dry_run: true,
            from: "x",
            hostname: String::new(),
            agent: "x",
            files: 0,
            bytes: 0,
            time: Some(String::new()),
            snapshot_id: Some(crate::id::SnapshotId::default()),
            was_there: true,
        };
        assert_documented(MESSAGE_TYPES, "taken_over", &taken, &[]);
    }
}
