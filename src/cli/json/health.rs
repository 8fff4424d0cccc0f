//! What `doctor` and `status` say in JSON.

use serde::Serialize;

use super::MessageType;
use crate::machine::doctor::{Answer, Verdict};

/// The answer to one question of `doctor`.
#[derive(Debug, Serialize)]
pub struct AnswerRow {
    /// The question.
    pub question: &'static str,
    /// How it stands.
    pub verdict: Verdict,
    /// What was seen.
    pub evidence: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// Whether `--fix` does something about it.
    pub fixable: bool,
    /// What `--fix` did about it in this run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fixed: Option<String>,
}

impl AnswerRow {
    /// Returns an answer as it is printed.
    pub fn new(answer: &Answer, fixed: Option<String>) -> Self {
        AnswerRow {
            question: answer.name,
            verdict: answer.verdict,
            evidence: answer.evidence.clone(),
            remedy: answer.remedy.clone(),
            fixable: answer.fix.is_some(),
            fixed,
        }
    }
}

/// The list that `doctor` prints.
pub(super) const LISTS: &[MessageType] = &[MessageType {
    name: "doctor",
    when: "a question each",
    fields: &[
        ("question", "what was asked; the same from run to run"),
        ("verdict", "ok, skipped, note, problem or broken"),
        ("evidence", "what was seen, or why it could not be asked"),
        ("remedy", "what to do, if something is to be done"),
        ("fixable", "whether --fix does something about it"),
        ("fixed", "what --fix did about it in this run"),
    ],
}];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::json::tests::assert_documented;

    #[test]
    fn every_field_is_documented_and_every_documented_field_exists() {
        let answer = Answer::note("x", "y").remedy("z");
        assert_documented(LISTS, "doctor", &AnswerRow::new(&answer, Some(String::new())), &[]);
    }
}
