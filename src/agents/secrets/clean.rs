//! Takes credentials out of a settings file, so that the rest may leave the machine.
//!
//! What goes is what has a credential's name (`env.DB_TOKEN`, `oauthAccount`) or looks like one.
//! A reference to a variable (`${DB_TOKEN}`) stays. JSON loses the fields, in TOML the values become
//! empty texts; of other formats nothing can be taken out, and they are clean or not.

use std::ops::Range;

use serde_json::Value;
use toml::de::{DeTable, DeValue};

use super::{ScanOptions, is_credential_name, scan};
use crate::error::Result;

/// Nothing is followed deeper than this.
const DEEPEST: usize = 64;

/// What came of cleaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cleaned {
    /// There was nothing to take out.
    AsItIs,
    /// The rest, and the names of what was taken out.
    Without(Vec<u8>, Vec<String>),
    /// There is something in it that can't be taken out.
    Impossible,
}

/// Cleans a file of this name.
pub fn clean(name: &[u8], bytes: &[u8]) -> Result<Cleaned> {
    if let Ok(mut value) = serde_json::from_slice::<Value>(bytes) {
        let mut removed = Vec::new();
        clean_value(&mut value, "", &mut removed, 0)?;
        if removed.is_empty() {
            return Ok(Cleaned::AsItIs);
        }
        let Ok(mut text) = serde_json::to_vec_pretty(&value) else {
            return Ok(Cleaned::Impossible);
        };
        text.push(b'\n');
        return Ok(Cleaned::Without(text, removed));
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return Ok(Cleaned::Impossible) };
    let table = name.ends_with(b".toml").then(|| DeTable::parse(text).ok()).flatten();
    let Some(table) = table else { return clean_lines(text) };
    let mut found = Vec::new();
    clean_table(table.get_ref(), "", false, &mut found, 0)?;
    let rest = without(text, &mut found);
    // What no value holds (a comment, say) can't be taken out.
    Ok(match (is_found(&rest)?, found.is_empty()) {
        (true, _) => Cleaned::Impossible,
        (false, true) => Cleaned::AsItIs,
        (false, false) => {
            Cleaned::Without(rest.into_bytes(), found.into_iter().map(|(_, path)| path).collect())
        }
    })
}

/// Returns a text with these ranges, which don't overlap, as empty texts; they come in order.
fn without(text: &str, found: &mut [(Range<usize>, String)]) -> String {
    found.sort_by_key(|(range, _)| range.start);
    let (mut rest, mut done) = (String::with_capacity(text.len()), 0);
    for (range, _) in found.iter() {
        rest.push_str(text.get(done..range.start).unwrap_or_default());
        rest.push_str("\"\"");
        done = range.end;
    }
    rest.push_str(text.get(done..).unwrap_or_default());
    rest
}

fn clean_table(
    table: &DeTable<'_>,
    path: &str,
    is_within: bool,
    found: &mut Vec<(Range<usize>, String)>,
    depth: usize,
) -> Result<()> {
    for (name, value) in table {
        let name = name.get_ref().as_ref();
        let inner = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        let is_named = is_within || is_credential_name(name);
        clean_toml(value.get_ref(), value.span(), &inner, (name, is_named), found, depth)?;
    }
    Ok(())
}

/// Notes the value's range if it is a credential: by its name, or by what it holds.
fn clean_toml(
    value: &DeValue<'_>,
    range: Range<usize>,
    path: &str,
    (name, is_named): (&str, bool),
    found: &mut Vec<(Range<usize>, String)>,
    depth: usize,
) -> Result<()> {
    let below = depth.saturating_add(1);
    match value {
        DeValue::Table(table) if depth < DEEPEST => {
            return clean_table(table, path, is_named, found, below);
        }
        DeValue::Array(items) if depth < DEEPEST => {
            let mut follows = false;
            for (place, item) in items.iter().enumerate() {
                let inner = format!("{path}[{place}]");
                let text = item.get_ref().as_str().unwrap_or_default();
                let is_secret = is_named || follows || is_assignment(text);
                clean_toml(item.get_ref(), item.span(), &inner, ("", is_secret), found, below)?;
                follows = is_flag(text);
            }
            return Ok(());
        }
        DeValue::String(text) => {
            let is_secret = (is_named && is_literal(text))
                || is_found(text)?
                || is_found(&format!("{name} = \"{text}\""))?;
            if !is_secret {
                return Ok(());
            }
        }
        DeValue::Integer(_) | DeValue::Float(_) if is_named => {}
        DeValue::Table(_) | DeValue::Array(_) => {}
        _ => return Ok(()),
    }
    found.push((range, path.to_owned()));
    Ok(())
}

/// Returns whether an argument says that the next one is a credential.
fn is_flag(text: &str) -> bool {
    text.starts_with('-') && !text.contains('=') && is_credential_name(text)
}

/// Returns whether an argument holds a credential behind its name.
fn is_assignment(text: &str) -> bool {
    let parts = text.split_once('=');
    parts.is_some_and(|(name, value)| is_credential_name(name) && is_literal(value))
}

fn clean_value(
    value: &mut Value,
    path: &str,
    removed: &mut Vec<String>,
    depth: usize,
) -> Result<()> {
    if depth >= DEEPEST {
        if !value.is_null() {
            *value = Value::Null;
            removed.push(path.to_owned());
        }
        return Ok(());
    }
    let below = depth.saturating_add(1);
    match value {
        Value::Object(fields) => {
            let names: Vec<String> = fields.keys().cloned().collect();
            for name in names {
                let inner = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                let Some(field) = fields.get_mut(&name) else { continue };
                if is_secret_field(&name, field)? {
                    fields.remove(&name);
                    removed.push(inner);
                } else {
                    clean_value(field, &inner, removed, below)?;
                }
            }
        }
        Value::Array(items) => {
            let mut is_named = false;
            for (place, item) in items.iter_mut().enumerate() {
                let inner = format!("{path}[{place}]");
                let text = item.as_str().unwrap_or_default();
                let is_secret = is_literal(text) && (is_named || is_found(text)?);
                // `["--api-key", "…"]`: the name stands before the value.
                is_named = is_flag(text);
                if is_secret || is_assignment(text) {
                    *item = Value::String(String::new());
                    removed.push(inner);
                } else {
                    clean_value(item, &inner, removed, below)?;
                }
            }
        }
        Value::String(text) if is_found(text)? => {
            text.clear();
            removed.push(path.to_owned());
        }
        _ => {}
    }
    Ok(())
}

/// Returns whether a field holds a credential, by its name or by what it holds.
fn is_secret_field(name: &str, value: &Value) -> Result<bool> {
    let is_named = is_credential_name(name);
    Ok(match value {
        Value::String(text) => {
            (is_named && is_literal(text)) || is_found(&format!("{name} = \"{text}\""))?
        }
        Value::Object(fields) => is_named && !fields.is_empty(),
        Value::Array(items) => is_named && !items.is_empty(),
        Value::Number(_) => is_named,
        Value::Bool(_) | Value::Null => false,
    })
}

/// Returns whether a text is a value, and no reference to one that is kept elsewhere.
fn is_literal(text: &str) -> bool {
    let text = text.trim();
    let is_reference = ["$", "{env:", "{file:", "env:", "%", "op://", "keychain:"]
        .iter()
        .any(|it| text.starts_with(it));
    !text.is_empty() && !is_reference
}

fn is_found(text: &str) -> Result<bool> {
    let mut bytes = text.as_bytes();
    Ok(scan(&mut bytes, ScanOptions::default(), &mut drop)?.findings > 0)
}

/// Says whether a text of another format is clean.
fn clean_lines(text: &str) -> Result<Cleaned> {
    let is_clean = !text.lines().any(gives_secret) && !is_found(text)?;
    Ok(if is_clean { Cleaned::AsItIs } else { Cleaned::Impossible })
}

/// Returns whether a line gives a credential its value: `NAME = …`, `NAME: …`, also where the value
/// follows on the next line. Prose in a comment does not.
fn gives_secret(line: &str) -> bool {
    let line = line.trim();
    let is_comment = ["#", "//", ";", "*"].iter().any(|it| line.starts_with(it));
    line.match_indices(['=', ':']).any(|(place, _)| {
        let (before, after) = line.split_at(place);
        let before = before.trim_end().trim_end_matches(['"', '\'']);
        let is_name = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '-' | '.');
        let name = before.rsplit(|letter| !is_name(letter)).next().unwrap_or_default();
        let value = after.trim_start_matches(['=', ':']).trim().trim_end_matches(',');
        let is_empty = matches!(value, "\"\"" | "''" | "null" | "~" | "none");
        let is_prose = is_comment && (value.is_empty() || value.contains(' '));
        let bare = value.trim_matches(['"', '\'']);
        is_credential_name(name) && !is_empty && !is_prose && (bare.is_empty() || is_literal(bare))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleaned(name: &str, text: &str) -> (String, Vec<String>) {
        match clean(name.as_bytes(), text.as_bytes()).unwrap() {
            Cleaned::Without(rest, removed) => (String::from_utf8(rest).unwrap(), removed),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn json_loses_credentials_and_keeps_the_rest() {
        let text = r#"{"theme":"dark","oauthAccount":{"emailAddress":"a"},"env":{"DB_TOKEN":"x",
            "MAX_TOKENS":"5","REF_TOKEN":"${DB_TOKEN}"},"args":["--api-key","abc","--verbose",
            "--token=abc"],"apiKeyHelper":"/bin/x","customApiKeyResponses":{"approved":["a"]}}"#;
        let (rest, removed) = cleaned("settings.json", text);
        assert_eq!(
            removed,
            ["args[1]", "args[3]", "customApiKeyResponses", "env.DB_TOKEN", "oauthAccount"]
        );
        for kept in ["dark", "MAX_TOKENS", "${DB_TOKEN}", "--verbose", "/bin/x"] {
            assert!(rest.contains(kept), "{kept}: {rest}");
        }
        assert!(!rest.contains("\"x\"") && !rest.contains("abc"), "{rest}");
    }

    #[test]
    fn toml_loses_values_wherever_they_stand() {
        let text = "model = \"m\"\n[mcp.db]\ncommand = \"db\"\nargs = [\"--token\", \"z\", \"-v\"]\n\
                    env = { \"DB_TOKEN\" = \"x\", A = \"${A_TOKEN}\" }\nbearer_token = \"y\"\n\
                    max_tokens = 5\npassword = \"\"\"\nlong\n\"\"\"\n[credentials]\nx = \"w\"\n";
        let (rest, removed) = cleaned("config.toml", text);
        assert_eq!(
            rest,
            "model = \"m\"\n[mcp.db]\ncommand = \"db\"\nargs = [\"--token\", \"\", \"-v\"]\n\
             env = { \"DB_TOKEN\" = \"\", A = \"${A_TOKEN}\" }\nbearer_token = \"\"\n\
             max_tokens = 5\npassword = \"\"\n[credentials]\nx = \"\"\n"
        );
        let named = ["args[1]", "env.DB_TOKEN", "bearer_token", "password"];
        let named = named.iter().map(|it| format!("mcp.db.{it}"));
        assert_eq!(removed, named.chain(["credentials.x".to_owned()]).collect::<Vec<_>>());
    }

    #[test]
    fn what_nothing_can_be_taken_out_of_is_clean_or_not() {
        for (name, text) in [
            ("config.yaml", "api_key: x\n"),
            ("config.yaml", "token:\n  abc\n"),
            ("config.yaml", "token: |\n  abc\n"),
            ("settings.json", "{ // comment\n  \"apiKey\": \"x\" }"),
            ("broken.toml", "token = \"x\"\n[\n"),
            ("a.txt", "# token=abc"),
        ] {
            assert_eq!(
                clean(name.as_bytes(), text.as_bytes()).unwrap(),
                Cleaned::Impossible,
                "{text}"
            );
        }
        for (name, text) in [
            ("config.yaml", "model: x\nmax_tokens: 4\napi_key: \"\"\nkey: ${API_KEY}\n"),
            ("config.yaml", "# the token: see the manual\na: b\n"),
            ("config.yaml", "token: ${TOKEN}\n"),
            ("a.json", r#"{"a": 1}"#),
        ] {
            assert_eq!(clean(name.as_bytes(), text.as_bytes()).unwrap(), Cleaned::AsItIs, "{text}");
        }
    }
}
