//! Names of files, which are any bytes, on screens and in JSON, which take text.
//!
//! On a screen what is no printable text is escaped, so that a name can't move the cursor or
//! forge a line. In JSON the name's field holds it as text, with U+FFFD for what is not UTF-8;
//! **a name that is not UTF-8 has a twin field, called like the first with `_b64` appended, which
//! holds its exact bytes in base64** (RFC 4648, with padding). Without a twin the text is exact.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// Returns a name for a screen: control characters, U+FFFD's causes and line marks as `\x1b` or
/// `\u{2028}`.
pub fn shown(name: &[u8]) -> String {
    let mut text = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        for letter in chunk.valid().chars() {
            if is_harmless(letter) {
                text.push(letter);
            } else {
                text.extend(letter.escape_default());
            }
        }
        for byte in chunk.invalid() {
            // Writing to a String can't fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// Control characters act on the terminal; the bidirectional ones make a name look like another.
fn is_harmless(letter: char) -> bool {
    let bidirectional = matches!(letter,
        '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !letter.is_control() && !bidirectional
}

/// Puts a name into a JSON object under `field`, and its twin if it needs one.
pub fn insert(object: &mut Map<String, Value>, field: &str, name: &[u8]) {
    object.insert(field.to_owned(), String::from_utf8_lossy(name).into());
    if std::str::from_utf8(name).is_err() {
        object.insert(format!("{field}_b64"), base64(name).into());
    }
}

/// Returns base64 with padding.
pub fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3).saturating_mul(4));
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4_usize {
            let value = bits >> (18 - 6 * digit) & 63;
            let letter = usize::try_from(value).ok().and_then(|value| DIGITS.get(value));
            text.push(if digit > group.len() {
                '='
            } else {
                letter.map_or('=', |l| char::from(*l))
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_can_not_act_on_the_terminal() {
        assert_eq!(shown("naïve/日本.txt".as_bytes()), "naïve/日本.txt");
        assert_eq!(shown(b"a\x1b[2Jb\nc"), "a\\u{1b}[2Jb\\nc");
        assert_eq!(shown(b"\xff\xc3"), "\\xff\\xc3");
        assert_eq!(shown("evil\u{202e}gpj.exe".as_bytes()), "evil\\u{202e}gpj.exe");
        assert_eq!(shown("\u{9b}1m".as_bytes()), "\\u{9b}1m");
    }

    #[test]
    fn base64_is_that_of_rfc_4648() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(b"\xff\xfe\xfd"), "//79");
    }

    #[test]
    fn a_name_that_is_no_text_has_a_twin_with_its_bytes() {
        let mut object = Map::new();
        insert(&mut object, "item", b"a\xff");
        insert(&mut object, "path", "ä".as_bytes());
        let expected = serde_json::json!({"item": "a\u{fffd}", "item_b64": "Yf8=", "path": "ä"});
        assert_eq!(Value::Object(object), expected);
    }
}
