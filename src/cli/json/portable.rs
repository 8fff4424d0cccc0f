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
    }
}
