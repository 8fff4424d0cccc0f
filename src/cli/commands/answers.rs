//! How the answers of `stash doctor` are shown.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::open::Run;
use crate::cli::figures::counted;
use crate::cli::json::AnswerRow;
use crate::cli::name::shown;
use crate::error::Result;
use crate::machine::doctor::{Answer, Verdict};

/// Shows the answers, and says of each what was mended.
pub(super) fn show(
    run: &Run,
    answers: &[Answer],
    fixed: &BTreeMap<&'static str, String>,
) -> Result<()> {
    if run.screen.is_json() {
        let row = |answer: &Answer| AnswerRow::new(answer, fixed.get(answer.name).cloned());
        return run.screen.array(&answers.iter().map(row).collect::<Vec<_>>());
    }
    let mut text = String::new();
    for answer in
        answers.iter().filter(|it| !run.screen.is_quiet() || it.verdict > Verdict::Skipped)
    {
        // Writing to a String can't fail.
        let evidence = shown(answer.evidence.as_bytes());
        let _ = writeln!(text, "{:<8} {:<16} {evidence}", answer.verdict.name(), answer.name);
        if let Some(remedy) = &answer.remedy {
            let _ = writeln!(text, "{:25} do: {}", "", shown(remedy.as_bytes()));
        }
    }
    if !text.is_empty() {
        run.screen.text(text.trim_end())?;
    }
    run.screen.summary(&format!("\n{}", sums(answers)))
}

/// Returns how many answers there are of each kind.
fn sums(answers: &[Answer]) -> String {
    let count = |verdict| answers.iter().filter(|answer| answer.verdict == verdict).count() as u64;
    let mut parts = vec![format!("{} ok", count(Verdict::Ok))];
    for (verdict, noun) in [(Verdict::Note, "note"), (Verdict::Problem, "problem")] {
        if count(verdict) > 0 {
            parts.push(counted(count(verdict), noun));
        }
    }
    for verdict in [Verdict::Broken, Verdict::Skipped] {
        if count(verdict) > 0 {
            parts.push(format!("{} {}", count(verdict), verdict.name()));
        }
    }
    format!("{}: {}", counted(answers.len() as u64, "question"), parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sums_name_what_there_is() {
        let answers = [Answer::ok("a", ""), Answer::problem("b", ""), Answer::broken("c", "")];
        assert_eq!(sums(&answers), "3 questions: 1 ok, 1 problem, 1 broken");
    }
}
