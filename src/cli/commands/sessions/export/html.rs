//! A session as one HTML file that needs no network and runs nothing but its own search box.
//!
//! Everything of the session goes through [`escape`], and the page's policy lets no script and no style
//! run but these two, which it names by hash. So what a transcript holds is text, whatever it looks like.

use std::fmt::Write as _;

use ring::digest::{SHA256, digest};

use super::words::{Style, gist, harmless, line, title};
use crate::agents::session::{Part, Role, Turn};
use crate::cli::figures::size;
use crate::cli::name::base64;
use crate::machine::sessions::SessionRow;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Returns a text that is text wherever HTML takes one, within quotes too.
pub(super) fn escape(words: &str) -> String {
    let mut text = String::with_capacity(words.len());
    for letter in words.chars() {
        match letter {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '"' => text.push_str("&quot;"),
            '\'' => text.push_str("&#39;"),
            letter => text.push(letter),
        }
    }
    text
}

/// Returns what stands above the turns.
pub(super) fn head(row: &SessionRow, style: &Style) -> String {
    let title = escape(&title(row));
    let hash = |text: &str| base64(digest(&SHA256, text.as_bytes()).as_ref());
    let mut text = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<header>\n<h1>{title}</h1>\n<dl>\n",
        hash(STYLE),
        hash(SCRIPT)
    );
    for (name, value) in style.about(row) {
        // Writing to a String can't fail.
        let _ = writeln!(text, "<div><dt>{name}</dt><dd>{}</dd></div>", escape(&value));
    }
    text.push_str(
        "</dl>\n<p id=\"find\" hidden><label>Search <input id=\"words\" type=\"search\" \
         autocomplete=\"off\"></label> <output id=\"found\"></output></p>\n</header>\n<main>\n",
    );
    text
}

/// Returns a turn; nothing if it says nothing.
pub(super) fn turn(number: u64, turn: &Turn, style: &Style) -> String {
    let mut body = String::new();
    for part in &turn.parts {
        match part {
            Part::Text(words) if words.trim().is_empty() => {}
            Part::Text(words) => said(&mut body, words),
            Part::Reasoning(words) => {
                body.push_str("<details><summary>thought</summary>\n");
                said(&mut body, words);
                body.push_str("</details>\n");
            }
            Part::Call { name, input, .. } => fold(&mut body, &line(name), input, style),
            Part::Result { text, is_error, .. } => {
                fold(&mut body, if *is_error { "failed" } else { "answer" }, text, style);
            }
            Part::Media { kind, bytes } => {
                let kind = if kind.is_empty() { "an attachment" } else { kind };
                let _ = writeln!(
                    body,
                    "<p class=\"note\">{}, {}</p>",
                    escape(&line(kind)),
                    size(*bytes)
                );
            }
            Part::Compaction { summary } => {
                body.push_str(
                    "<p class=\"note\">Here the agent replaced all before by a summary.</p>\n",
                );
                if let Some(summary) = summary {
                    body.push_str("<details><summary>summary</summary>\n");
                    said(&mut body, summary);
                    body.push_str("</details>\n");
                }
            }
        }
    }
    if body.is_empty() {
        return body;
    }
    let class = match turn.role {
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
        Role::System => "system",
    };
    let who = escape(&style.speaker(turn));
    format!(
        "<article id=\"turn-{number}\" class=\"{class}\">\n<h2><a href=\"#turn-{number}\">{number}</a> {who}</h2>\n\
         {body}</article>\n"
    )
}

/// Returns what stands below the turns.
pub(super) fn tail() -> String {
    format!("</main>\n<script>{SCRIPT}</script>\n</body>\n</html>\n")
}

fn fold(body: &mut String, name: &str, words: &str, style: &Style) {
    let _ = writeln!(
        body,
        "<details><summary>{}: <code>{}</code></summary>\n<pre><code>{}</code></pre></details>",
        escape(name),
        escape(&gist(words)),
        escape(&harmless(&style.tool(words)))
    );
}

/// Adds what was said: blocks of code as such, all else with the lines that it has.
fn said(body: &mut String, words: &str) {
    let words = harmless(words);
    let mut prose = String::new();
    let mut block: Option<(String, String)> = None;
    for each in words.trim().lines() {
        let bare = each.trim();
        let sign = if bare.starts_with("```") { '`' } else { '~' };
        let run = bare.len().saturating_sub(bare.trim_start_matches(sign).len());
        let (fence, info) = bare.split_at(run);
        block = match block {
            Some((open, inner))
                if run >= open.len() && fence.starts_with(&open) && info.is_empty() =>
            {
                add_code(body, &inner);
                None
            }
            Some((open, mut inner)) => {
                inner.push_str(each);
                inner.push('\n');
                Some((open, inner))
            }
            None if run >= 3 && !info.contains('`') => {
                add_prose(body, &prose);
                prose.clear();
                Some((fence.to_owned(), String::new()))
            }
            None => {
                prose.push_str(each);
                prose.push('\n');
                None
            }
        };
    }
    add_prose(body, &prose);
    if let Some((_, inner)) = block {
        add_code(body, &inner);
    }
}

fn add_prose(body: &mut String, prose: &str) {
    let prose = prose.trim_matches('\n');
    if !prose.trim().is_empty() {
        let _ = writeln!(body, "<div class=\"text\">{}</div>", escape(prose));
    }
}

fn add_code(body: &mut String, inner: &str) {
    let _ = writeln!(body, "<pre><code>{}</code></pre>", escape(inner.trim_end_matches('\n')));
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::TimeZone;

    fn style() -> Style {
        Style { agent: "<i>".into(), is_full: true, zone: TimeZone::UTC }
    }

    #[test]
    fn whatever_a_session_holds_is_text() {
        const EVIL: &str =
            "</code></pre></article><script>alert(1)</script>\"><img src=x onerror='x'>&lt;";
        let all = |text: &str| {
            vec![
                Part::Text(format!("{text}\n```{text}\n{text}\n```\n~~~\n{text}")),
                Part::Reasoning(text.to_owned()),
                Part::Call { id: None, name: text.to_owned(), input: text.to_owned() },
                Part::Result { id: None, text: text.to_owned(), is_error: false },
                Part::Media { kind: text.to_owned(), bytes: 1 },
                Part::Compaction { summary: Some(text.to_owned()) },
            ]
        };
        let made = |text: &str| {
            let parts = all(text);
            let said =
                Turn { id: None, role: Role::User, at: None, model: None, is_side: true, parts };
            turn(1, &said, &style())
        };
        // The same tags, whatever the words are.
        let tags = |html: &str| -> Vec<String> {
            html.split('<').skip(1).map(|it| it.split('>').next().unwrap().to_owned()).collect()
        };
        assert_eq!(tags(&made(EVIL)), tags(&made("plain")));
        assert!(made(EVIL).contains("&lt;script&gt;") && made(EVIL).contains("&amp;lt;"));
    }

    #[test]
    fn code_is_preformatted_and_prose_is_not() {
        let mut body = String::new();
        said(&mut body, "look\n\n```rust\nfn  x() {}\n```\ndone");
        assert_eq!(
            body,
            "<div class=\"text\">look</div>\n<pre><code>fn  x() {}</code></pre>\n<div class=\"text\">done</div>\n"
        );
    }

    #[test]
    fn the_page_asks_for_nothing_from_outside() {
        for text in [STYLE, SCRIPT] {
            assert!(
                !text.contains("http") && !text.contains("url(") && !text.contains("</"),
                "{text}"
            );
            assert!(!text.contains('\r'), "the hash is of what a browser sees");
        }
    }
}
