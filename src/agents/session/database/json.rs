//! JSON looked into field by field, without building it: an agent's record is large, of unknown
//! shape, and little of it is wanted. A field of another type than expected is a field that is not
//! there, never a failure.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::moments;
use crate::time::Timestamp;

/// A value within a document, not looked into yet.
pub(super) type Raw<'a> = Option<&'a RawValue>;

/// Returns the fields of an object with the given names, the last of several of one name; `None`
/// if the text is no whole object.
pub(super) fn fields<'a, const N: usize>(text: &'a str, names: [&str; N]) -> Option<[Raw<'a>; N]> {
    let mut found = [None; N];
    let whole = entries(text, &mut |key, value| {
        for (name, place) in names.iter().zip(found.iter_mut()) {
            if *name == key {
                *place = Some(value);
            }
        }
    });
    whole.then_some(found)
}

/// Returns the fields of an object within a document; nothing if it is no object.
pub(super) fn inner<'a, const N: usize>(value: Raw<'a>, names: [&str; N]) -> [Raw<'a>; N] {
    value.and_then(|value| fields(value.get(), names)).unwrap_or([None; N])
}

/// Hands over the entries of an object; returns whether the text is a whole object.
pub(super) fn entries<'a>(text: &'a str, each: &mut dyn FnMut(&str, &'a RawValue)) -> bool {
    let mut source = serde_json::Deserializer::from_str(text);
    let whole = source.deserialize_map(Entries { each }).is_ok();
    whole && source.end().is_ok()
}

/// Hands over the values of an array while `each` asks for more; returns whether the text is an
/// array, whole as far as it was read.
pub(super) fn items<'a>(text: &'a str, each: &mut dyn FnMut(&'a RawValue) -> bool) -> bool {
    let mut source = serde_json::Deserializer::from_str(text);
    let mut asked_to_stop = false;
    let read = source.deserialize_seq(Items { each, asked_to_stop: &mut asked_to_stop });
    asked_to_stop || read.is_ok()
}

/// Returns the values of an array; none if it is no array. For short ones.
pub(super) fn list(value: Raw<'_>) -> Vec<&RawValue> {
    let mut found = Vec::new();
    if let Some(value) = value {
        items(value.get(), &mut |item| {
            found.push(item);
            true
        });
    }
    found
}

/// Returns the single entry of an object, by which enums are written: `{"Kind": value}`.
pub(super) fn tagged(value: &RawValue) -> Option<(String, &RawValue)> {
    let mut found = None;
    entries(value.get(), &mut |key, value| {
        found.get_or_insert_with(|| (key.to_owned(), value));
    });
    found
}

/// Returns a text.
pub(super) fn text(value: Raw<'_>) -> Option<String> {
    let mut source = serde_json::Deserializer::from_str(value?.get());
    // As bytes, since half a surrogate pair, which some agents write, is no text.
    source.deserialize_byte_buf(Text).ok()
}

/// Returns a text that is not empty.
pub(super) fn words(value: Raw<'_>) -> Option<String> {
    text(value).filter(|text| !text.is_empty())
}

/// Returns a text, or the JSON of any other value; `None` for nothing and `null`.
pub(super) fn text_or_json(value: Raw<'_>) -> Option<String> {
    text(value).or_else(|| Some(value?.get()).filter(|it| *it != "null").map(str::to_owned))
}

/// Returns whether it is `true`.
pub(super) fn is_true(value: Raw<'_>) -> bool {
    value.is_some_and(|value| value.get() == "true")
}

/// Returns whether something is there that is not `null`.
pub(super) fn is_some(value: Raw<'_>) -> bool {
    value.is_some_and(|value| value.get() != "null")
}

/// Returns a number, the part before the point.
pub(super) fn number(value: Raw<'_>) -> Option<i64> {
    moments::whole_number(value?.get())
}

/// Returns a moment: a number of seconds or of parts of them, or a text.
pub(super) fn moment(value: Raw<'_>) -> Option<Timestamp> {
    match text(value) {
        Some(text) => moments::of_text(&text),
        None => moments::of_number(number(value)?),
    }
}

/// Returns the length of a text in bytes as it is stored there, without reading it.
pub(super) fn stored_bytes(value: Raw<'_>) -> u64 {
    value.map_or(0, |value| u64::try_from(value.get().len()).unwrap_or(u64::MAX).saturating_sub(2))
}

struct Entries<'f, 'a> {
    each: &'f mut dyn FnMut(&str, &'a RawValue),
}

impl<'a> Visitor<'a> for Entries<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key_seed(Key)? {
            (self.each)(&key, map.next_value()?);
        }
        Ok(())
    }
}

struct Items<'f, 'a> {
    each: &'f mut dyn FnMut(&'a RawValue) -> bool,
    asked_to_stop: &'f mut bool,
}

impl<'a> Visitor<'a> for Items<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut items: A) -> Result<(), A::Error> {
        while let Some(item) = items.next_element()? {
            if !(self.each)(item) {
                *self.asked_to_stop = true;
                return Ok(());
            }
        }
        Ok(())
    }
}

/// A key, borrowed unless it is escaped.
struct Key;

impl<'a> DeserializeSeed<'a> for Key {
    type Value = Cow<'a, str>;

    fn deserialize<D: serde::Deserializer<'a>>(self, source: D) -> Result<Self::Value, D::Error> {
        source.deserialize_str(self)
    }
}

impl<'a> Visitor<'a> for Key {
    type Value = Cow<'a, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'a str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(key))
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(key.to_owned()))
    }
}

struct Text;

impl Visitor<'_> for Text {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<String, E> {
        Ok(String::from_utf8_lossy(bytes).into_owned())
    }
}

/// Returns whether a stream is one whole JSON object, reading all of it and keeping nothing.
pub(super) fn is_object(stream: impl std::io::Read) -> bool {
    struct Object;

    impl<'a> Visitor<'a> for Object {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok(())
        }
    }

    let mut source = serde_json::Deserializer::from_reader(std::io::BufReader::new(stream));
    source.deserialize_map(Object).is_ok() && source.end().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_other_types_are_not_there_and_half_a_pair_is_still_text() {
        let document = r#"{"a":1,"b":"x\ud83d y","c":null,"d":[1,"2",{}],"a":"\u0041"}"#;
        let [twice, half, null, array, none] = fields(document, ["a", "b", "c", "d", "e"]).unwrap();
        assert_eq!(text(twice).as_deref(), Some("A"));
        assert!(text(half).unwrap().starts_with('x') && text(half).unwrap().ends_with(" y"));
        assert!(text(null).is_none() && !is_some(null) && is_some(array) && none.is_none());
        assert_eq!(list(array).len(), 3);
        assert!(list(twice).is_empty());
        assert_eq!(text_or_json(array).as_deref(), Some("[1,\"2\",{}]"));
    }

    #[test]
    fn a_torn_object_has_no_fields() {
        assert!(fields(r#"{"a":1"#, ["a"]).is_none());
        assert!(fields(r#"{"a":1}}"#, ["a"]).is_none());
        assert!(fields("[]", ["a"]).is_none());
        assert!(fields("", ["a"]).is_none());
        assert!(fields(&"[".repeat(100_000), ["a"]).is_none());
        let deep = format!("{{\"a\":{}}}", "[".repeat(100_000));
        assert!(fields(&deep, ["a"]).is_none());
        assert!(is_object(&b" {\"a\":[1]} "[..]) && !is_object(&b"[1]"[..]));
        assert!(!is_object(&b"{\"a\":1"[..]));
    }
}
