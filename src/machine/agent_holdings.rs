//! What an agent keeps, counted by category, and what of it a backup leaves out.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::agent_sources::FoundAgent;
use super::agent_survey::is_side_file;
use crate::engine::backup::AgentSources;
use crate::error::Error;
use crate::files::{ExcludeReason, Step, Walk};
use crate::format::tree::{Category, NodeKind};

/// What an agent keeps, counted.
#[derive(Debug, Default)]
pub struct AgentHoldings {
    /// Files and bytes by category.
    pub categories: BTreeMap<Category, (u64, u64)>,
    /// Items and bytes left out, by reason; what lies in a folder left out is not counted.
    pub left_out: BTreeMap<&'static str, (u64, u64)>,
    /// Files that hold credentials beside what they are for.
    pub mixed_secrets: Vec<PathBuf>,
    /// Categories that this run does not read: a snapshot has them as they were last saved.
    pub unread: BTreeSet<Category>,
    /// What could not be looked at.
    pub failed: Vec<(PathBuf, Error)>,
}

/// Counts what an agent keeps, without reading any file.
pub fn holdings(found: &FoundAgent, sources: &AgentSources) -> AgentHoldings {
    let mut holdings = AgentHoldings::default();
    for source in sources.roots.iter().filter(|it| it.agent == found.agent.id) {
        for step in Walk::start(&source.place, Arc::clone(&source.excludes), 1) {
            match step {
                Step::Entry(entry) if is_side_file(&entry.path) => {
                    let reason = ExcludeReason::DatabaseLog.text();
                    let sum = holdings.left_out.entry(reason).or_default();
                    *sum = (sum.0.saturating_add(1), sum.1.saturating_add(entry.stat.size));
                }
                Step::Entry(entry) => {
                    let below = entry.path.strip_prefix(&source.place).unwrap_or(Path::new(""));
                    let below = below.as_os_str().as_bytes();
                    let class = source.rules.class(below);
                    let sum = holdings.categories.entry(class.category).or_default();
                    let is_file = entry.stat.kind == NodeKind::File;
                    let size = if is_file { entry.stat.size } else { 0 };
                    *sum = (sum.0.saturating_add(1), sum.1.saturating_add(size));
                    if !class.is_read {
                        holdings.unread.insert(class.category);
                    }
                    let rule = found.agent.classify(&source.label, below);
                    if rule.is_some_and(|it| it.mixed_secrets) {
                        holdings.mixed_secrets.push(entry.path);
                    }
                }
                Step::Excluded { reason, size_bytes, .. } => {
                    let sum = holdings.left_out.entry(reason.text()).or_default();
                    *sum = (sum.0.saturating_add(1), sum.1.saturating_add(size_bytes));
                }
                Step::Failed { path, error } => holdings.failed.push((path, error)),
                Step::Enter(_) | Step::Leave => {}
            }
        }
    }
    holdings
}
