//! Single values in agents' settings files, which are JSON, often with comments.
//!
//! A value is changed where it stands: comments, order and spacing of all else stay as they are.
//! A file that is not as expected is left alone.
#![expect(clippy::disallowed_methods, reason = "reads and changes single files of agents")]

use std::io::Read as _;
use std::path::Path;

use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstInputValue, CstObject, CstRootNode};
use serde_json::Value;

use super::agent_files::replace_file;
use crate::agents::RetentionUnit;
use crate::error::{Error, IoContext as _, Result};

/// Settings longer than this, in bytes, are none.
const LONGEST: u64 = 16 << 20;

/// What agents themselves read: comments and commas at an end, and nothing else beside JSON.
fn dialect() -> ParseOptions {
    ParseOptions {
        allow_comments: true,
        allow_trailing_commas: true,
        allow_loose_object_property_names: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    }
}

/// Reads a settings file; `None` if there is none, or it is empty.
pub(super) fn read_settings(path: &Path) -> Result<Option<Value>> {
    Ok(read(path)?.and_then(|root| root.to_serde_value()))
}

/// Returns the value of a key, whose levels `.` separates.
pub(super) fn setting<'v>(settings: &'v Value, key: &str) -> Option<&'v Value> {
    key.split('.').try_fold(settings, |value, level| value.get(level))
}

/// Returns the days that a setting states; `None` if it states none that can be understood.
pub(super) fn days_of(value: &Value, unit: RetentionUnit) -> Option<u64> {
    match unit {
        RetentionUnit::Days => value.as_u64(),
        RetentionUnit::DaysWithD => value.as_str()?.strip_suffix('d')?.parse().ok(),
    }
}

/// Sets a number of days; the file, and levels of the key that are missing, are made.
pub(super) fn set_number(path: &Path, key: &str, days: u32, unit: RetentionUnit) -> Result<()> {
    let root = match read(path)? {
        Some(root) => root,
        None => parse(path, "{}\n")?,
    };
    let odd = || not_as_expected(path, "a level of the key is no object");
    let mut object = root.object_value().ok_or_else(odd)?;
    let mut levels: Vec<&str> = key.split('.').collect();
    let last = levels.pop().unwrap_or(key);
    for level in levels {
        object = object.object_value_or_create(level).ok_or_else(odd)?;
    }
    set(
        &object,
        last,
        match unit {
            RetentionUnit::Days => CstInputValue::Number(days.to_string()),
            RetentionUnit::DaysWithD => CstInputValue::String(format!("{days}d")),
        },
    );
    let text = root.to_string();
    // Settings kept with other dotfiles are links: what they lead to is changed.
    if let Ok(there) = path.canonicalize() {
        return replace_file(&there, text.as_bytes());
    }
    let folder = path.parent().unwrap_or(path);
    let mut file = tempfile::NamedTempFile::new_in(folder).at("cannot write", path)?;
    std::io::Write::write_all(&mut file, text.as_bytes()).at("cannot write", path)?;
    file.as_file().sync_all().at("cannot write", path)?;
    file.persist_noclobber(path).map_err(|error| error.error).at("cannot write", path).map(drop)
}

fn set(object: &CstObject, key: &str, value: CstInputValue) {
    match object.get(key) {
        Some(property) => property.set_value(value),
        None => {
            object.append(key, value);
        }
    }
}

fn read(path: &Path) -> Result<Option<CstRootNode>> {
    const DOING: &str = "cannot read";
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).at(DOING, path),
        Ok(found) if !found.is_file() => return Err(not_as_expected(path, "it is no file")),
        Ok(found) if found.len() > LONGEST => {
            return Err(not_as_expected(path, "it is longer than settings are"));
        }
        Ok(_) => {}
    }
    let mut text = String::new();
    let file = std::fs::File::open(path).at(DOING, path)?;
    file.take(LONGEST).read_to_string(&mut text).at(DOING, path)?;
    if text.trim().is_empty() { Ok(None) } else { parse(path, &text).map(Some) }
}

fn parse(path: &Path, text: &str) -> Result<CstRootNode> {
    CstRootNode::parse(text, &dialect()).map_err(|error| not_as_expected(path, &error.to_string()))
}

fn not_as_expected(path: &Path, why: &str) -> Error {
    Error::failed("cannot use the settings in")
        .object(path.display().to_string())
        .source(why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(text: &str, key: &str, days: u32, unit: RetentionUnit) -> Result<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("settings.json");
        std::fs::write(&path, text).unwrap();
        set_number(&path, key, days, unit)?;
        Ok(std::fs::read_to_string(&path).unwrap())
    }

    #[test]
    fn a_number_is_changed_where_it_stands_and_all_else_stays() {
        let text = "{\n    // mine\n    \"cleanupPeriodDays\": 14, // short\n    \"env\": {\"A\": \"b\"}\n}\n";
        let new = changed(text, "cleanupPeriodDays", 3650, RetentionUnit::Days).unwrap();
        assert_eq!(new, text.replace("14", "3650"));
    }

    #[test]
    fn what_is_missing_is_added_with_the_spacing_that_is_there() {
        let new =
            changed("{\n  \"a\": 1\n}\n", "cleanupPeriodDays", 90, RetentionUnit::Days).unwrap();
        assert_eq!(new, "{\n  \"a\": 1,\n  \"cleanupPeriodDays\": 90\n}\n");
        let key = "general.sessionRetention.maxAge";
        let new = changed("{\"general\":{}}", key, 90, RetentionUnit::DaysWithD).unwrap();
        let value: Value = serde_json::from_str(&new).unwrap();
        assert_eq!(setting(&value, key), Some(&Value::from("90d")));
        assert_eq!(days_of(setting(&value, key).unwrap(), RetentionUnit::DaysWithD), Some(90));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new.json");
        set_number(&path, "a.b", 3, RetentionUnit::Days).unwrap();
        let value = read_settings(&path).unwrap().unwrap();
        assert_eq!(setting(&value, "a.b").and_then(|it| days_of(it, RetentionUnit::Days)), Some(3));
    }

    #[test]
    fn a_file_that_is_not_as_expected_is_left_alone() {
        for text in ["{\"general\": 3}", "[1]", "{\"a\": ", "{a: 1}"] {
            assert!(changed(text, "general.x", 9, RetentionUnit::Days).is_err(), "{text}");
        }
        assert!(read_settings(Path::new("/")).is_err());
    }
}
