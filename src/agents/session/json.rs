//! JSON values as they stand in their text, looked into only where something is wanted.
//!
//! Nothing here fails: a value of another type than is asked for is none. Names that occur twice in
//! an object are handed over twice.

use std::borrow::Cow;
use std::fmt;
use std::ops::ControlFlow;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::time::Timestamp;

/// Fields of a record that are looked at; what agents write has some tens at most.
const MAX_FIELDS: usize = 1024;

/// A JSON value in its text, which was checked to be well-formed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Raw<'a>(&'a str);

impl<'a> Raw<'a> {
    /// A list without elements.
    pub(super) const EMPTY_LIST: Raw<'static> = Raw("[]");

    /// Returns a text that is one JSON value.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let raw: &RawValue = serde_json::from_str(text).ok()?;
        Some(Raw(raw.get()))
    }

    /// Returns the JSON text.
    pub(super) fn json(self) -> &'a str {
        self.0
    }

    /// Hands over the fields of an object in order, until `each` breaks.
    pub(super) fn fields(self, mut each: impl FnMut(&str, Raw<'a>) -> ControlFlow<()>) {
        if self.0.starts_with('{') {
            let mut reader = serde_json::Deserializer::from_str(self.0);
            // An error is how a walk is ended early.
            let mut each = |name: Cow<'a, str>, value| each(&name, value);
            drop((&mut reader).deserialize_map(Fields(&mut each)));
        }
    }

    /// Hands over the elements of an array in order, until `each` breaks.
    pub(super) fn elements(self, mut each: impl FnMut(Raw<'a>) -> ControlFlow<()>) {
        if self.0.starts_with('[') {
            let mut reader = serde_json::Deserializer::from_str(self.0);
            drop((&mut reader).deserialize_seq(Elements(&mut each)));
        }
    }

    /// Returns the fields of these names, the first of each; goes no further than it must.
    pub(super) fn get<const N: usize>(self, names: [&str; N]) -> [Option<Raw<'a>>; N] {
        let mut found = [None; N];
        let mut left = N;
        self.fields(|name, value| {
            let places = names.iter().zip(&mut found);
            if let Some((_, place)) = places.into_iter().find(|(it, _)| **it == name)
                && place.is_none()
            {
                *place = Some(value);
                left -= 1;
            }
            if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        found
    }

    /// Returns one field.
    pub(super) fn field(self, name: &str) -> Option<Raw<'a>> {
        let [found] = self.get([name]);
        found
    }

    /// Returns what lies behind several names.
    pub(super) fn path(self, names: &[&str]) -> Option<Raw<'a>> {
        names.iter().try_fold(self, |raw, name| raw.field(name))
    }

    /// Returns the first element of an array.
    pub(super) fn first(self) -> Option<Raw<'a>> {
        let mut found = None;
        self.elements(|value| {
            found = Some(value);
            ControlFlow::Break(())
        });
        found
    }

    /// Returns a string's text.
    pub(super) fn text(self) -> Option<Cow<'a, str>> {
        let inner = self.0.strip_prefix('"')?.strip_suffix('"')?;
        Some(if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
            Cow::Borrowed(inner)
        } else {
            Cow::Owned(unescape(inner))
        })
    }

    /// Returns a string's text that is not blank.
    pub(super) fn words(self) -> Option<String> {
        self.text().filter(|text| !text.trim().is_empty()).map(Cow::into_owned)
    }

    /// Returns an integer; a fraction is dropped.
    pub(super) fn integer(self) -> Option<i64> {
        let text = self.0;
        if !text.starts_with(|it: char| it == '-' || it.is_ascii_digit()) {
            return None;
        }
        text.parse().ok().or_else(|| {
            let value: f64 = text.parse().ok()?;
            // Far within what an f64 counts exactly.
            #[expect(clippy::cast_possible_truncation, reason = "bounded just before")]
            (value.abs() < 9e15).then_some(value as i64)
        })
    }

    /// Returns whether it is `true`.
    pub(super) fn is_true(self) -> bool {
        self.0 == "true"
    }

    /// Returns whether it is `null`.
    pub(super) fn is_null(self) -> bool {
        self.0 == "null"
    }

    /// Returns whether it is an array.
    pub(super) fn is_array(self) -> bool {
        self.0.starts_with('[')
    }

    /// Returns whether it is an object.
    pub(super) fn is_object(self) -> bool {
        self.0.starts_with('{')
    }

    /// Returns a moment: RFC 3339, or a number of seconds, milliseconds, microseconds or
    /// nanoseconds since 1970, which its size tells.
    pub(super) fn moment(self) -> Option<Timestamp> {
        match self.text() {
            Some(text) => moment_of_text(&text),
            None => moment_of_number(self.integer()?),
        }
    }
}

/// The fields of one object, found in one walk over its text.
#[derive(Debug)]
pub(super) struct Record<'a> {
    whole: Raw<'a>,
    fields: Vec<(Cow<'a, str>, Raw<'a>)>,
}

impl<'a> Record<'a> {
    /// Returns a text that is one JSON object.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let mut fields = Vec::with_capacity(16);
        let mut reader = serde_json::Deserializer::from_str(text);
        let mut each = |name: Cow<'a, str>, value| {
            if fields.len() < MAX_FIELDS {
                fields.push((name, value));
            }
            ControlFlow::Continue(())
        };
        (&mut reader).deserialize_map(Fields(&mut each)).ok()?;
        reader.end().ok()?;
        Some(Record { whole: Raw(text.trim()), fields })
    }

    /// Returns the object itself.
    pub(super) fn whole(&self) -> Raw<'a> {
        self.whole
    }

    /// Returns one field; the last, if there are several of that name.
    pub(super) fn field(&self, name: &str) -> Option<Raw<'a>> {
        self.fields.iter().rev().find(|(it, _)| it == name).map(|(_, value)| *value)
    }

    /// Returns a string field's text.
    pub(super) fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        self.field(name)?.text()
    }

    /// Returns whether a field is `true`.
    pub(super) fn is_true(&self, name: &str) -> bool {
        self.field(name).is_some_and(Raw::is_true)
    }

    /// Returns a field's moment.
    pub(super) fn moment(&self, name: &str) -> Option<Timestamp> {
        self.field(name)?.moment()
    }
}

/// Returns the moment that a text states.
pub(super) fn moment_of_text(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if let Ok(moment) = text.parse::<jiff::Timestamp>() {
        return i64::try_from(moment.as_nanosecond()).ok().map(Timestamp);
    }
    moment_of_number(text.parse().ok()?)
}

/// Returns the moment of a number; 0 and what is before is none.
pub(super) fn moment_of_number(number: i64) -> Option<Timestamp> {
    let factor = match number {
        ..=0 => return None,
        1..100_000_000_000 => 1_000_000_000,
        100_000_000_000..100_000_000_000_000 => 1_000_000,
        100_000_000_000_000..100_000_000_000_000_000 => 1_000,
        _ => 1,
    };
    number.checked_mul(factor).map(Timestamp)
}

/// Resolves escapes. What is no character, such as half of a pair of surrogates, which agents do
/// write where they cut a text, becomes U+FFFD.
fn unescape(inner: &str) -> String {
    let mut text = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(place) = memchr::memchr(b'\\', rest.as_bytes()) {
        let (plain, escape) = rest.split_at(place);
        text.push_str(plain);
        let mut behind = escape.chars();
        behind.next();
        match behind.next() {
            Some('n') => text.push('\n'),
            Some('t') => text.push('\t'),
            Some('r') => text.push('\r'),
            Some('b') => text.push('\u{8}'),
            Some('f') => text.push('\u{c}'),
            Some('u') => {
                let (character, length) = unescape_unit(behind.as_str());
                text.push(character);
                rest = behind.as_str().get(length..).unwrap_or_default();
                continue;
            }
            Some(other) => text.push(other),
            None => {}
        }
        rest = behind.as_str();
    }
    text.push_str(rest);
    text
}

/// Returns the character that follows `\u`, and the length of what names it.
fn unescape_unit(text: &str) -> (char, usize) {
    let unit = |text: &str| u32::from_str_radix(text.get(..4)?, 16).ok();
    let Some(first) = unit(text) else { return (char::REPLACEMENT_CHARACTER, 0) };
    if let Some(character) = char::from_u32(first) {
        return (character, 4);
    }
    let second = text.get(4..).and_then(|rest| unit(rest.strip_prefix("\\u")?));
    match second {
        Some(second @ 0xdc00..0xe000) if first < 0xdc00 => {
            let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
            (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 10)
        }
        _ => (char::REPLACEMENT_CHARACTER, 4),
    }
}

struct Fields<'f, F>(&'f mut F);

impl<'a, F: FnMut(Cow<'a, str>, Raw<'a>) -> ControlFlow<()>> Visitor<'a> for Fields<'_, F> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Name(name)) = map.next_key_seed(NameSeed)? {
            let value: &'a RawValue = map.next_value()?;
            if (self.0)(name, Raw(value.get())).is_break() {
                return Err(A::Error::custom("ended"));
            }
        }
        Ok(())
    }
}

struct Elements<'f, F>(&'f mut F);

impl<'a, F: FnMut(Raw<'a>) -> ControlFlow<()>> Visitor<'a> for Elements<'_, F> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut elements: A) -> Result<(), A::Error> {
        while let Some(value) = elements.next_element::<&'a RawValue>()? {
            if (self.0)(Raw(value.get())).is_break() {
                return Err(A::Error::custom("ended"));
            }
        }
        Ok(())
    }
}

/// A field's name, borrowed where it has no escapes.
struct Name<'a>(Cow<'a, str>);

struct NameSeed;

impl<'a> DeserializeSeed<'a> for NameSeed {
    type Value = Name<'a>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Name<'a>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a> Visitor<'a> for NameSeed {
    type Value = Name<'a>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, text: &'a str) -> Result<Name<'a>, E> {
        Ok(Name(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Name<'a>, E> {
        Ok(Name(Cow::Owned(text.to_owned())))
    }
}
