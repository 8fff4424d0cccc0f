//! What `agents` says in JSON.

use std::os::unix::ffi::OsStrExt as _;

use serde::Serialize;

use super::MessageType;
use crate::agents::{Agent, Capability, Support};
use crate::cli::name;
use crate::machine::AgentHoldings;

/// One agent.
#[derive(Debug, Serialize)]
pub struct AgentLine {
    /// Its id.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// Whether it is on this machine.
    pub here: bool,
    /// Whether it is saved where nobody names it.
    pub enabled: bool,
    /// Where it keeps its files.
    pub roots: Vec<AgentRootLine>,
    /// What it keeps; only of `agents show`.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub holdings: Option<AgentHoldingsLine>,
}

/// What an agent keeps, and what is done with it.
#[derive(Debug, Clone, Serialize)]
pub struct AgentHoldingsLine {
    /// What is saved.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    categories: Vec<AgentCategoryLine>,
    /// What is not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    left_out: Vec<AgentLeftOutLine>,
    /// Files that hold credentials beside other things.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mixed_secrets: Vec<String>,
}

/// What a dry run of `backup` would save of one agent.
#[derive(Debug, Clone, Serialize)]
pub struct AgentPlanLine {
    /// Its id.
    agent: String,
    /// What it keeps.
    #[serde(flatten)]
    holdings: AgentHoldingsLine,
}

impl AgentPlanLine {
    /// Returns what was counted of an agent.
    pub fn new(agent: &str, kept: &AgentHoldings) -> AgentPlanLine {
        AgentPlanLine { agent: agent.to_owned(), holdings: AgentHoldingsLine::new(kept) }
    }
}

impl AgentHoldingsLine {
    /// Returns what was counted, in words.
    pub fn new(kept: &AgentHoldings) -> AgentHoldingsLine {
        let categories = kept.categories.iter().map(|(category, (files, bytes))| {
            let as_last_saved = kept.unread.contains(category);
            let (files, bytes) = (*files, *bytes);
            AgentCategoryLine { category: category.name(), files, bytes, as_last_saved }
        });
        let left_out = kept.left_out.iter().map(|(reason, (items, bytes))| AgentLeftOutLine {
            reason,
            items: *items,
            bytes: *bytes,
        });
        let mixed = kept.mixed_secrets.iter().map(|file| name::shown(file.as_os_str().as_bytes()));
        AgentHoldingsLine {
            categories: categories.collect(),
            left_out: left_out.collect(),
            mixed_secrets: mixed.collect(),
        }
    }
}

/// One root of an agent.
#[derive(Debug, Serialize)]
pub struct AgentRootLine {
    /// Its name in snapshots.
    pub label: String,
    /// `folder` or `file`.
    pub kind: &'static str,
    /// Where it lies.
    pub place: String,
    /// Whether something is there.
    pub exists: bool,
    /// Who says that it lies there.
    pub source: String,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// What an agent keeps of one category.
#[derive(Debug, Clone, Serialize)]
struct AgentCategoryLine {
    /// The category.
    category: &'static str,
    /// Files.
    files: u64,
    /// Their bytes.
    bytes: u64,
    /// Whether a run does not read it, so that the snapshot has it as it was last saved.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    as_last_saved: bool,
}

/// What is left out for one reason.
#[derive(Debug, Clone, Serialize)]
struct AgentLeftOutLine {
    /// The reason.
    reason: &'static str,
    /// Files, and folders with all that is in them.
    items: u64,
    /// The files' bytes.
    bytes: u64,
}

/// Whether something can be done with an agent.
#[derive(Debug, Serialize)]
pub struct CapabilityLine {
    agent: String,
    capability: &'static str,
    supported: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    test: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

impl CapabilityLine {
    /// Returns what is known of one agent and one thing that might be done with it.
    pub fn new(agent: &Agent, capability: Capability) -> CapabilityLine {
        let (test, reason) = match agent.support(capability) {
            Support::Yes(test) => (Some(test), None),
            Support::No(reason) => (None, Some(reason)),
        };
        let (agent, supported) = (agent.id.clone(), test.is_some());
        CapabilityLine { agent, capability: capability.name(), supported, test, reason }
    }
}

/// The lists that these commands print.
pub(super) const LISTS: &[MessageType] = &[
    CAPABILITIES,
    MessageType {
        name: "agents list, agents show",
        when: "an agent each",
        fields: &[
            ("id", "its id"),
            ("name", "its name for people"),
            ("here", "whether it is on this machine"),
            ("enabled", "whether it is saved where nobody names it"),
            ("roots", "objects: label, kind, place, exists, source, and problem if there is one"),
            (
                "categories",
                "`agents show`: objects with category, files and bytes; in a dry run with as_last_saved \
                 where a run does not read it",
            ),
            ("left_out", "`agents show`: objects with reason, items and bytes"),
            ("mixed_secrets", "`agents show`: files that hold credentials beside other things"),
        ],
    },
];

const CAPABILITIES: MessageType = MessageType {
    name: "agents list --capabilities",
    when: "something that might be done with an agent each",
    fields: &[
        ("agent", "its id"),
        ("capability", "what might be done"),
        ("supported", "whether it can"),
        ("test", "if so: the test that shows it"),
        ("reason", "if not: why"),
    ],
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::json::tests::assert_documented;

    #[test]
    fn every_field_is_documented_and_every_documented_field_exists() {
        let line = AgentLine {
            id: String::new(),
            name: String::new(),
            here: true,
            enabled: true,
            roots: Vec::new(),
            holdings: Some(AgentHoldingsLine {
                categories: vec![AgentCategoryLine {
                    category: "sessions",
                    files: 1,
                    bytes: 1,
                    as_last_saved: true,
                }],
                left_out: vec![AgentLeftOutLine { reason: "x", items: 1, bytes: 1 }],
                mixed_secrets: vec![String::new()],
            }),
        };
        assert_documented(LISTS, "agents list, agents show", &line, &[]);
        let line = CapabilityLine {
            agent: String::new(),
            capability: "save",
            supported: true,
            test: Some("x"),
            reason: Some("x"),
        };
        assert_documented(LISTS, "agents list --capabilities", &line, &[]);
    }
}
