//! A turn as the text that is searched.

use crate::agents::session::{Part, Role, Turn};

/// A turn's text is cut into pieces of at most so many bytes.
const PIECE: usize = 1 << 20;

/// A piece of a turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    /// Which turn of its session, from 0.
    pub(super) turn: u32,
    pub(super) role: Role,
    /// Nanoseconds, UTC.
    pub(super) at: Option<i64>,
    pub(super) text: String,
}

/// What identifies all turns up to one, in order.
pub(super) type Chain = [u8; 16];

/// Returns the chain with one more turn.
pub(super) fn chain(before: &Chain, turn: &Turn, pieces: &[Piece]) -> Chain {
    let mut hasher = blake3::Hasher::new();
    hasher.update(before);
    hasher.update(&[role_number(turn.role)]);
    hasher.update(&turn.at.map_or(0, |at| at.0).to_le_bytes());
    for piece in pieces {
        hasher.update(&(piece.text.len() as u64).to_le_bytes());
        hasher.update(piece.text.as_bytes());
    }
    short(&hasher)
}

/// Returns the first half of a hash.
pub(super) fn short(hasher: &blake3::Hasher) -> [u8; 16] {
    let mut half = [0; 16];
    hasher.finalize_xof().fill(&mut half);
    half
}

/// Returns the number that stands for a role.
pub(super) fn role_number(role: Role) -> u8 {
    match role {
        Role::User => 0,
        Role::Assistant => 1,
        Role::Tool => 2,
        Role::System => 3,
    }
}

/// Returns the role that a number stands for; only its two lowest bits count.
pub(super) fn role_of(number: u8) -> Role {
    match number & 3 {
        0 => Role::User,
        1 => Role::Assistant,
        2 => Role::Tool,
        _ => Role::System,
    }
}

/// Returns a turn's text: what was said and thought, tools' names with what they were given, what they
/// answered, and summaries. A turn without any has no piece.
pub(super) fn pieces(turn: &Turn, number: u32) -> Vec<Piece> {
    let mut text = String::new();
    for part in &turn.parts {
        match part {
            Part::Text(words) | Part::Reasoning(words) | Part::Result { text: words, .. } => {
                line(&mut text, words);
            }
            Part::Call { name, input, .. } => {
                line(&mut text, name);
                call(&mut text, input);
            }
            Part::Compaction { summary } => line(&mut text, summary.as_deref().unwrap_or_default()),
            Part::Media { .. } => {}
        }
    }
    let piece = |text: &str| Piece {
        turn: number,
        role: turn.role,
        at: turn.at.map(|at| at.0),
        text: text.to_owned(),
    };
    if text.trim().is_empty() {
        return Vec::new();
    }
    if text.len() <= PIECE {
        return vec![piece(&text)];
    }
    let mut found = Vec::new();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (head, tail) = rest.split_at(cut(rest));
        found.push(piece(head));
        rest = tail;
    }
    found
}

/// Returns where a text is cut: behind the last blank that fits, if there is one in its second half.
fn cut(text: &str) -> usize {
    if text.len() <= PIECE {
        return text.len();
    }
    let end = text.floor_char_boundary(PIECE);
    let head = text.get(..end).unwrap_or(text);
    match head.rfind(char::is_whitespace) {
        Some(blank) if blank > PIECE / 2 => head.ceil_char_boundary(blank.saturating_add(1)),
        _ => end,
    }
}

fn line(text: &mut String, words: &str) {
    if words.is_empty() {
        return;
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(words);
}

/// Adds what a tool was given. JSON is taken apart: in its escapes a line's end would be a letter of the
/// word behind it.
fn call(text: &mut String, input: &str) {
    match serde_json::from_str::<serde_json::Value>(input) {
        Ok(value) => flatten(text, &value),
        Err(_) => line(text, input),
    }
}

fn flatten(text: &mut String, value: &serde_json::Value) {
    match value {
        serde_json::Value::Null => {}
        serde_json::Value::Bool(value) => line(text, if *value { "true" } else { "false" }),
        serde_json::Value::Number(value) => line(text, &value.to_string()),
        serde_json::Value::String(value) => line(text, value),
        serde_json::Value::Array(values) => values.iter().for_each(|it| flatten(text, it)),
        serde_json::Value::Object(fields) => {
            for (key, value) in fields {
                line(text, key);
                flatten(text, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    fn turn(parts: Vec<Part>) -> Turn {
        let at = Some(Timestamp(7));
        Turn { id: None, role: Role::Assistant, at, model: None, is_side: false, parts }
    }

    #[test]
    fn what_tools_were_given_is_text_without_json() {
        let input = r#"{"command": "ls\nfoo", "n": [1, true]}"#.to_owned();
        let call = Part::Call { id: None, name: "Bash".into(), input };
        let found = pieces(&turn(vec![Part::Reasoning("Hm.".into()), call]), 3);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].text, "Hm.\nBash\ncommand\nls\nfoo\nn\n1\ntrue");
        assert_eq!((found[0].turn, found[0].at), (3, Some(7)));
    }

    #[test]
    fn a_long_text_is_cut_between_words_and_none_of_it_is_lost() {
        let long = "wörter und mehr ".repeat(150_000);
        let found = pieces(&turn(vec![Part::Text(long.clone())]), 0);
        assert!(found.len() > 2);
        assert!(found.iter().all(|it| it.text.len() <= PIECE && it.text.ends_with(' ')));
        let joined: String = found.into_iter().map(|it| it.text).collect();
        assert_eq!(joined, long);
        let solid = pieces(&turn(vec![Part::Text("ä".repeat(PIECE))]), 0);
        assert_eq!(solid.iter().map(|it| it.text.len()).sum::<usize>(), 2 * PIECE);
    }

    #[test]
    fn the_chain_tells_turns_apart() {
        let one = turn(vec![Part::Text("a".into())]);
        let other = turn(vec![Part::Text("b".into())]);
        let of = |turn: &Turn| chain(&[0; 16], turn, &pieces(turn, 0));
        assert_ne!(of(&one), of(&other));
        assert_eq!(of(&one), of(&one.clone()));
        assert!(pieces(&turn(vec![Part::Text(" \n".into())]), 0).is_empty());
    }
}
