//! What Markdown and HTML have in common: who speaks, when, and how much of a tool's words.

use std::borrow::Cow;

use crate::agents::session::{Role, Turn};
use crate::cli::figures::size;
use crate::machine;
use crate::machine::sessions::SessionRow;
use crate::time::Timestamp;
use jiff::tz::TimeZone;

/// Of a tool's words so many bytes are taken, unless all are wanted.
const LONGEST: usize = 4000;
/// A tool's input is told in its heading by so many letters.
const GIST: usize = 80;

/// How a session is written.
#[derive(Debug, Clone)]
pub(super) struct Style {
    /// The agent's id.
    pub(super) agent: String,
    /// Whether what tools said is taken at any length.
    pub(super) is_full: bool,
    /// The zone of times.
    pub(super) zone: TimeZone,
}

impl Style {
    /// Returns who speaks and when, as in `you, 2026-11-02 09:14`.
    pub(super) fn speaker(&self, turn: &Turn) -> String {
        let who = match turn.role {
            Role::User => "you",
            Role::Assistant => &self.agent,
            Role::Tool => "tool",
            Role::System => "system",
        };
        let side = if turn.is_side { " (subagent)" } else { "" };
        let at = turn.at.map(|at| format!(", {}", machine::show_minute(at, &self.zone)));
        format!("{}{side}{}", harmless(who), at.unwrap_or_default())
    }

    /// Returns as much of a tool's words as is wanted.
    pub(super) fn tool<'t>(&self, words: &'t str) -> Cow<'t, str> {
        let end = words.floor_char_boundary(LONGEST);
        match words.get(..end) {
            Some(first) if !self.is_full && end < words.len() => {
                let rest = size(words.len().saturating_sub(end) as u64);
                Cow::Owned(format!("{first}\n… {rest} more"))
            }
            _ => Cow::Borrowed(words),
        }
    }

    /// Returns what is said of the session below its title, each with its name.
    pub(super) fn about(&self, row: &SessionRow) -> Vec<(&'static str, String)> {
        let entry = &row.entry;
        let time = |moment: Option<i64>| {
            moment.map(|it| machine::show_moment(Timestamp(it), &self.zone)).unwrap_or_default()
        };
        let all = [
            ("agent", row.agent.clone()),
            ("session", row.id.clone()),
            ("project", entry.project.clone()),
            ("branch", entry.branch.clone()),
            ("machine", row.host.clone()),
            ("model", entry.model.clone()),
            ("started", time(entry.started)),
            ("last", time(entry.last)),
        ];
        let there = all.into_iter().filter(|(_, value)| !value.is_empty());
        there.map(|(name, value)| (name, line(&value))).collect()
    }
}

/// Returns the session's title.
pub(super) fn title(row: &SessionRow) -> String {
    if row.entry.title.is_empty() { "(without a title)".to_owned() } else { line(&row.entry.title) }
}

/// Returns a text's first words, in one line.
pub(super) fn gist(words: &str) -> String {
    // A tool's input may be of any length; what is said of it is not.
    let begin = words.get(..words.floor_char_boundary(GIST.saturating_mul(8))).unwrap_or_default();
    let short = begin.split_whitespace().collect::<Vec<_>>().join(" ");
    let is_cut = begin.len() < words.len() || short.chars().count() > GIST;
    let cut: String = short.chars().take(GIST).collect();
    harmless(&if is_cut { format!("{cut}…") } else { cut })
}

/// Returns a text in one line.
pub(super) fn line(words: &str) -> String {
    harmless(&words.split(['\n', '\r']).collect::<Vec<_>>().join(" "))
}

/// Takes out what no page shows: orders to a terminal, other control characters, and those that turn the
/// direction of what follows.
pub(super) fn harmless(words: &str) -> String {
    let mut text = String::with_capacity(words.len());
    let mut letters = words.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\n' | '\t' => text.push(letter),
            '\r' if letters.peek() == Some(&'\n') => {}
            '\r' => text.push('\n'),
            // An order such as a colour: `ESC [`, figures, a letter.
            '\u{1b}' if letters.peek() == Some(&'[') => {
                letters.next();
                while letters.next_if(|it| ('\u{20}'..='\u{3f}').contains(it)).is_some() {}
                letters.next_if(|it| ('\u{40}'..='\u{7e}').contains(it));
            }
            letter if letter.is_control() => text.push('\u{fffd}'),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => text.push('\u{fffd}'),
            letter => text.push(letter),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_to_a_terminal_go_and_lines_stay() {
        assert_eq!(
            harmless("a\u{1b}[1;31mred\u{1b}[0m\r\nb\tc\u{7}\u{202e}"),
            "ared\nb\tc\u{fffd}\u{fffd}"
        );
        assert_eq!(line("a\nb"), "a b");
        assert_eq!(gist(&"x ".repeat(500)), format!("{}…", "x ".repeat(40)));
    }

    #[test]
    fn a_tool_is_cut_unless_all_is_wanted() {
        let mut style = Style { agent: "x".into(), is_full: false, zone: TimeZone::UTC };
        let long = "ä".repeat(3000);
        assert!(style.tool(&long).ends_with("more") && style.tool("short") == "short");
        style.is_full = true;
        assert_eq!(style.tool(&long), long);
    }
}
