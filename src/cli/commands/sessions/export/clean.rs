//! The secret scan of what is exported: each text is looked through before it is written.

use std::borrow::Cow;

use crate::agents::secrets::{SecretKind, redact};
use crate::agents::session::{Part, Turn};
use crate::error::Result;
use crate::machine::sessions::SessionRow;

/// So many findings are told one by one.
const TOLD: usize = 50;

/// Where something was found, and of which kind. Never what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Finding {
    /// The turn, from 1; 0 is what stands above the turns: title, project, branch.
    pub(super) turn: u64,
    /// The kind.
    pub(super) kind: SecretKind,
}

/// Looks texts through.
#[derive(Debug, Default)]
pub(super) struct Cleaner {
    /// Whether findings are replaced.
    pub(super) removes: bool,
    /// The first findings, one for each turn and kind.
    pub(super) findings: Vec<Finding>,
    /// How many there are.
    pub(super) count: u64,
}

impl Cleaner {
    /// Looks through what is said of the session.
    pub(super) fn row(&mut self, row: &SessionRow) -> Result<SessionRow> {
        let mut row = row.clone();
        let mut kinds = Vec::new();
        let entry = &mut row.entry;
        let texts = [&mut entry.title, &mut entry.project, &mut entry.branch, &mut entry.model];
        for text in texts {
            self.text(text, &mut kinds)?;
        }
        let path = String::from_utf8_lossy(&row.relative).into_owned();
        let found = redact(&path)?;
        if !found.kinds.is_empty() {
            kinds.extend(&found.kinds);
            if self.removes {
                row.relative = found.text.into_owned().into_bytes();
            }
        }
        self.note(0, kinds);
        Ok(row)
    }

    /// Looks through a turn.
    pub(super) fn turn(&mut self, number: u64, turn: &mut Turn) -> Result<()> {
        let mut kinds = Vec::new();
        for text in turn.id.iter_mut().chain(&mut turn.model) {
            self.text(text, &mut kinds)?;
        }
        for part in &mut turn.parts {
            self.part(part, &mut kinds)?;
        }
        self.note(number, kinds);
        Ok(())
    }

    fn part(&self, part: &mut Part, kinds: &mut Vec<SecretKind>) -> Result<()> {
        match part {
            Part::Text(text) | Part::Reasoning(text) => self.text(text, kinds),
            Part::Call { id, name, input } => {
                for text in id.iter_mut().chain([name, input]) {
                    self.text(text, kinds)?;
                }
                Ok(())
            }
            Part::Result { id, text, .. } => {
                for text in id.iter_mut().chain([text]) {
                    self.text(text, kinds)?;
                }
                Ok(())
            }
            Part::Media { kind, .. } => self.text(kind, kinds),
            Part::Compaction { summary } => {
                summary.as_mut().map_or(Ok(()), |summary| self.text(summary, kinds))
            }
        }
    }

    fn text(&self, text: &mut String, kinds: &mut Vec<SecretKind>) -> Result<()> {
        let redacted = redact(text)?;
        kinds.extend(&redacted.kinds);
        if let (true, Cow::Owned(clean)) = (self.removes, redacted.text) {
            *text = clean;
        }
        Ok(())
    }

    fn note(&mut self, turn: u64, mut kinds: Vec<SecretKind>) {
        self.count = self.count.saturating_add(kinds.len() as u64);
        kinds.sort_unstable();
        kinds.dedup();
        let room = TOLD.saturating_sub(self.findings.len());
        self.findings.extend(kinds.into_iter().take(room).map(|kind| Finding { turn, kind }));
    }
}
