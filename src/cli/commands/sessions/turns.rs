//! Turns as text for people.

use std::fmt::Write as _;

use console::Style as Paint;
use jiff::tz::TimeZone;

use crate::agents::session::{Part, Role, Turn};
use crate::cli::figures::{counted, size};
use crate::machine;
use crate::machine::sessions::SessionRow;
use crate::time::Timestamp;

/// What is said of a tool's input, or of its answer, where it is folded.
const FOLDED: usize = 72;

/// How turns are shown.
pub(super) struct Style {
    /// Whether the terminal shows colours.
    pub(super) is_colored: bool,
    /// Whether what tools said is shown in full.
    pub(super) is_full: bool,
    /// The zone of times.
    pub(super) zone: TimeZone,
}

impl Style {
    fn paint(&self, paint: Paint, text: &str) -> String {
        if self.is_colored {
            paint.force_styling(true).apply_to(text).to_string()
        } else {
            text.to_owned()
        }
    }
}

/// Says which session it is.
pub(super) fn heading(row: &SessionRow, style: &Style) -> String {
    let entry = &row.entry;
    let title = if entry.title.is_empty() { "(without a title)" } else { &entry.title };
    let mut text = format!("{}\n", style.paint(Paint::new().bold(), &line(title)));
    let mut about = vec![format!("{} {}", row.agent, line(&row.id))];
    if !entry.project.is_empty() {
        about.push(line(&entry.project));
    }
    if !entry.branch.is_empty() {
        about.push(format!("branch {}", line(&entry.branch)));
    }
    about.push(format!("on {}", line(&row.host)));
    if let Some(last) = entry.last {
        about.push(machine::show_minute(Timestamp(last), &style.zone));
    }
    // Writing to a String can't fail.
    let _ = writeln!(text, "{}\n", style.paint(Paint::new().dim(), &about.join(" · ")));
    text
}

/// Returns a turn as text, with an empty line at its end.
pub(super) fn turn_text(turn: &Turn, agent: &str, style: &Style) -> String {
    let body = body(turn, style);
    if body.is_empty() {
        return String::new();
    }
    if turn.role == Role::Tool && !style.is_full {
        return format!("{body}\n");
    }
    let who = match turn.role {
        Role::User => style.paint(Paint::new().bold().green(), "you"),
        Role::Assistant => style.paint(Paint::new().bold().cyan(), agent),
        Role::Tool => style.paint(Paint::new().dim(), "tool"),
        Role::System => style.paint(Paint::new().dim(), "system"),
    };
    let side = if turn.is_side { " (subagent)" } else { "" };
    let at = turn.at.map(|at| format!("  {}", machine::show_minute(at, &style.zone)));
    let at = style.paint(Paint::new().dim(), &at.unwrap_or_default());
    format!("{who}{side}{at}\n{body}\n")
}

fn body(turn: &Turn, style: &Style) -> String {
    let mut text = String::new();
    let dim = |words: &str| style.paint(Paint::new().dim(), words);
    for part in &turn.parts {
        match part {
            Part::Text(words) if words.trim().is_empty() => {}
            Part::Text(words) => indent(&mut text, words, "  "),
            Part::Reasoning(words) if style.is_full => indent(&mut text, words, "  ~ "),
            Part::Reasoning(words) => {
                let _ = writeln!(
                    text,
                    "{}",
                    dim(&format!("  ~ thought ({})", size(words.len() as u64)))
                );
            }
            Part::Call { name, input, .. } if style.is_full => {
                let _ = writeln!(text, "  > {}", line(name));
                indent(&mut text, input, "    ");
            }
            Part::Call { name, input, .. } => {
                let _ = writeln!(text, "  > {} {}", line(name), dim(&folded(input)));
            }
            Part::Result { text: answer, is_error, .. } => {
                let mark = if *is_error { "  < failed: " } else { "  < " };
                if style.is_full {
                    indent(&mut text, answer, "    ");
                } else {
                    let lines = answer.lines().count() as u64;
                    let more = if lines > 1 {
                        format!("  ({})", counted(lines, "line"))
                    } else {
                        String::new()
                    };
                    let _ = writeln!(text, "{}", dim(&format!("{mark}{}{more}", folded(answer))));
                }
            }
            Part::Media { kind, bytes } => {
                let kind = if kind.is_empty() { "an attachment" } else { kind };
                let _ = writeln!(text, "  [{}, {}]", line(kind), size(*bytes));
            }
            Part::Compaction { summary } => {
                let _ = writeln!(
                    text,
                    "{}",
                    dim("  -- here the agent replaced all before by a summary --")
                );
                if let Some(summary) = summary {
                    indent(&mut text, summary, "  | ");
                }
            }
        }
    }
    text
}

/// Adds a text with something before each line, made harmless for a terminal.
fn indent(text: &mut String, words: &str, before: &str) {
    for each in words.trim_end().lines() {
        let _ = writeln!(text, "{before}{}", harmless(each));
    }
}

/// Returns a text's first words, in one line.
fn folded(words: &str) -> String {
    let mut short: String = words.split_whitespace().collect::<Vec<_>>().join(" ");
    if short.chars().count() > FOLDED {
        short = short.chars().take(FOLDED.saturating_sub(1)).chain(['…']).collect();
    }
    harmless(&short)
}

fn line(words: &str) -> String {
    harmless(&words.replace(['\n', '\r'], " "))
}

/// Takes out what would steer a terminal: transcripts hold what any program has printed.
fn harmless(words: &str) -> String {
    words
        .chars()
        .map(|letter| match letter {
            '\t' => '\t',
            // Control characters and those that turn the direction of what follows.
            letter if letter.is_control() => '\u{fffd}',
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
            letter => letter,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn style(is_full: bool) -> Style {
        Style { is_colored: false, is_full, zone: TimeZone::UTC }
    }

    fn turn(role: Role, parts: Vec<Part>) -> Turn {
        Turn { id: None, role, at: Some(Timestamp(0)), model: None, is_side: false, parts }
    }

    #[test]
    fn tools_are_folded_into_a_line_unless_all_is_wanted() {
        let call =
            Part::Call { id: None, name: "Read".into(), input: "{\n\"path\": \"a\"}".into() };
        let answer = Part::Result { id: None, text: "one\ntwo".into(), is_error: false };
        let asked = turn(Role::Assistant, vec![Part::Text("Let me look.".into()), call]);
        let text = turn_text(&asked, "codex", &style(false));
        assert_eq!(
            text,
            "codex  1970-01-01 00:00\n  Let me look.\n  > Read { \"path\": \"a\"}\n\n"
        );
        let answered = turn(Role::Tool, vec![answer]);
        assert_eq!(turn_text(&answered, "codex", &style(false)), "  < one two  (2 lines)\n\n");
        assert_eq!(
            turn_text(&answered, "codex", &style(true)),
            "tool  1970-01-01 00:00\n    one\n    two\n\n"
        );
    }

    #[test]
    fn a_transcript_cannot_steer_the_terminal() {
        let said = turn(Role::User, vec![Part::Text("a\u{1b}]0;x\u{7}b\u{202e}c".into())]);
        let text = turn_text(&said, "x", &style(false));
        assert!(!text.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{text:?}");
    }

    #[test]
    fn a_turn_without_words_takes_no_room() {
        assert_eq!(
            turn_text(&turn(Role::Assistant, vec![Part::Text(" \n".into())]), "x", &style(false)),
            ""
        );
    }
}
