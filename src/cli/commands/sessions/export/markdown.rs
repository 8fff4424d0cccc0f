//! A session as Markdown: a heading per turn, what people and models said as they said it, tools folded.
//!
//! What was said is Markdown mostly and stays so; only HTML in it is made text, since a comment that is
//! not closed hides all that follows, and code that is not closed is closed.

use std::fmt::Write as _;

use super::html::escape;
use super::words::{Style, gist, harmless, line, title};
use crate::agents::session::{Part, Role, Turn};
use crate::cli::figures::size;
use crate::machine::sessions::SessionRow;

/// Returns what stands above the turns.
pub(super) fn head(row: &SessionRow, style: &Style) -> String {
    let mut text = format!("# {}\n\n", inline(&title(row)));
    for (name, value) in style.about(row) {
        // Writing to a String can't fail.
        let _ = writeln!(text, "- {name}: {}", code(&value));
    }
    text.push('\n');
    text
}

/// Returns a turn; nothing if it says nothing.
pub(super) fn turn(number: u64, turn: &Turn, style: &Style) -> String {
    let mut body = String::new();
    for part in &turn.parts {
        match part {
            Part::Text(words) if words.trim().is_empty() => {}
            Part::Text(words) => {
                let _ = writeln!(body, "{}\n", said(words));
            }
            Part::Reasoning(words) => fold(&mut body, "thought", &said(words)),
            Part::Call { name, input, .. } => {
                let summary =
                    format!("{}: <code>{}</code>", escape(&line(name)), escape(&gist(input)));
                fold(&mut body, &summary, &block(&harmless(&style.tool(input))));
            }
            Part::Result { text, is_error, .. } => {
                let word = if *is_error { "failed" } else { "answer" };
                let summary = format!("{word}: <code>{}</code>", escape(&gist(text)));
                fold(&mut body, &summary, &block(&harmless(&style.tool(text))));
            }
            Part::Media { kind, bytes } => {
                let kind = if kind.is_empty() { "an attachment" } else { kind };
                let _ = writeln!(body, "*{}, {}*\n", inline(&line(kind)), size(*bytes));
            }
            Part::Compaction { summary } => {
                body.push_str("---\n\n*Here the agent replaced all before by a summary.*\n\n");
                if let Some(summary) = summary {
                    fold(&mut body, "summary", &said(summary));
                }
            }
        }
    }
    if body.is_empty() {
        return body;
    }
    let level = if turn.role == Role::Tool { "###" } else { "##" };
    format!("{level} {number}. {}\n\n{body}", inline(&style.speaker(turn)))
}

/// Adds something folded; `summary` is HTML, `inner` Markdown.
fn fold(body: &mut String, summary: &str, inner: &str) {
    let _ = writeln!(body, "<details>\n<summary>{summary}</summary>\n\n{inner}\n\n</details>\n");
}

/// Returns a block of code that nothing within it ends.
fn block(words: &str) -> String {
    let fence = "`".repeat(longest_run(words).saturating_add(1).max(3));
    format!("{fence}\n{}\n{fence}", words.trim_end_matches('\n'))
}

/// Returns a piece of code within a line.
fn code(words: &str) -> String {
    let fence = "`".repeat(longest_run(words).saturating_add(1));
    let space = if words.starts_with('`') || words.ends_with('`') { " " } else { "" };
    format!("{fence}{space}{words}{space}{fence}")
}

fn longest_run(words: &str) -> usize {
    words.split(|letter| letter != '`').map(str::len).max().unwrap_or(0)
}

/// Returns words of one line without any meaning to Markdown.
fn inline(words: &str) -> String {
    let mut text = String::with_capacity(words.len());
    for letter in words.chars() {
        if "\\`*_[]<>#&|~!".contains(letter) {
            text.push('\\');
        }
        text.push(letter);
    }
    text
}

/// A block of code that is open.
struct Fence {
    sign: char,
    length: usize,
    indent: usize,
}

/// Returns what was said with its HTML as text, and its code closed.
fn said(words: &str) -> String {
    let words = harmless(words);
    let (mut text, mut fence) = (String::with_capacity(words.len()), None::<Fence>);
    let mut is_paired = true;
    for each in words.trim_end().lines() {
        let indent = each.len().saturating_sub(each.trim_start_matches(' ').len());
        match &fence {
            // A line further left may stand outside of the list that the code is in.
            Some(open) if indent >= open.indent || each.trim().is_empty() => text.push_str(each),
            Some(_) => text.push_str(&without_tags(each)),
            None => {
                is_paired |= each.trim().is_empty();
                let (line, pairs) = outside_of_code(each, is_paired);
                is_paired = pairs;
                text.push_str(&line);
            }
        }
        text.push('\n');
        fence = after(fence, each, indent);
    }
    if let Some(open) = fence {
        let fence = open.sign.to_string().repeat(open.length);
        let _ = writeln!(text, "{}{fence}", " ".repeat(open.indent));
    }
    text.truncate(text.trim_end().len());
    text
}

/// Returns the block of code that is open after a line.
fn after(open: Option<Fence>, each: &str, indent: usize) -> Option<Fence> {
    let rest = each.get(indent..).unwrap_or_default();
    let Some(sign) = rest.chars().next().filter(|sign| matches!(sign, '`' | '~')) else {
        return open;
    };
    let length = rest.len().saturating_sub(rest.trim_start_matches(sign).len());
    let info = rest.get(length..).unwrap_or_default();
    if indent > 3 || length < 3 {
        return open;
    }
    match open {
        Some(open) if open.sign == sign && length >= open.length && info.trim().is_empty() => None,
        Some(open) => Some(open),
        None if sign == '`' && info.contains('`') => None,
        None => Some(Fence { sign, length, indent }),
    }
}

/// Returns a line with its HTML as text but within code, and whether all code in it is closed. Where code of
/// an earlier line may be open nothing is sure to be code.
fn outside_of_code(each: &str, is_paired: bool) -> (String, bool) {
    if !is_paired {
        return (without_tags(each), false);
    }
    let (mut text, mut rest) = (String::with_capacity(each.len()), each);
    while let Some(place) = rest.find('`') {
        let (before, from) = rest.split_at(place);
        let length = from.len().saturating_sub(from.trim_start_matches('`').len());
        let (run, inner) = from.split_at(length);
        let end = closing(inner, length);
        text.push_str(&without_tags(before));
        match end.and_then(|end| inner.get(..end).zip(inner.get(end..))) {
            Some((code, after)) if !before.ends_with('\\') => {
                text.push_str(run);
                text.push_str(code);
                rest = after;
            }
            _ => {
                text.push_str(&without_tags(from));
                return (text, false);
            }
        }
    }
    text.push_str(&without_tags(rest));
    (text, true)
}

/// Returns where the next run of exactly so many backticks ends.
fn closing(words: &str, length: usize) -> Option<usize> {
    let mut place = 0_usize;
    for piece in words.split_inclusive(|letter| letter != '`') {
        let run = piece.len().saturating_sub(piece.trim_start_matches('`').len());
        if run == length {
            return Some(place.saturating_add(run));
        }
        place = place.saturating_add(piece.len());
    }
    None
}

fn without_tags(words: &str) -> String {
    words.replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::TimeZone;

    fn style() -> Style {
        Style { agent: "x-agent".into(), is_full: false, zone: TimeZone::UTC }
    }

    #[test]
    fn html_is_text_but_in_code_it_stays_as_it_is() {
        assert_eq!(said("a <b> `Vec<T>` <!-- x"), "a &lt;b> `Vec<T>` &lt;!-- x");
        assert_eq!(said("```\n<b>\n```\n<b>"), "```\n<b>\n```\n&lt;b>");
        // What only looks like code is none.
        assert_eq!(said("\\` <b> `"), "\\` &lt;b> `");
        assert_eq!(said("a `\n<!-- `\n\n`<T>`"), "a `\n&lt;!-- `\n\n`<T>`");
        assert_eq!(said("- x\n  ```\n<!--\n  <b>\n  ```"), "- x\n  ```\n&lt;!--\n  <b>\n  ```");
        assert_eq!(said("`` a`<b> `` <i>"), "`` a`<b> `` &lt;i>");
    }

    #[test]
    fn code_that_is_open_is_closed() {
        assert_eq!(said("see\n````rust\n```\nfn"), "see\n````rust\n```\nfn\n````");
        assert_eq!(block("a\n```\nb"), "````\na\n```\nb\n````");
        assert_eq!(code("a`b"), "``a`b``");
    }

    #[test]
    fn tools_are_folded_and_cannot_unfold_themselves() {
        let parts = vec![
            Part::Call { id: None, name: "<b>".into(), input: "</summary></details>```".into() },
            Part::Result { id: None, text: "one".into(), is_error: true },
        ];
        let said =
            Turn { id: None, role: Role::Assistant, at: None, model: None, is_side: false, parts };
        let text = turn(3, &said, &style());
        assert!(text.starts_with("## 3. x-agent\n\n<details>\n"), "{text}");
        assert!(text.contains("&lt;b&gt;: <code>&lt;/summary&gt;"), "{text}");
        assert!(text.contains("````\n</summary></details>```\n````"), "{text}");
        assert!(text.contains("<summary>failed: <code>one</code></summary>"), "{text}");
        assert_eq!(text.matches("\n</details>\n").count(), 2);
    }
}
