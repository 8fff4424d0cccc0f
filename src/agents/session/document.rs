//! Whole JSON documents, element by element: a list of messages is never held.
//!
//! Memory: one element or one field, at most [`MAX_RECORD`]; strings longer than
//! [`MAX_STRING`](super::cutter::MAX_STRING) are cut. A document that ends in the middle gives what lies
//! before that.

use std::io::Read;
use std::ops::ControlFlow;

use super::cutter::Cutter;
use super::json::Raw;
use super::lines::{BOM, MAX_RECORD, PIECE, read_some, utf8};
use super::source::Source;
use super::value::Gaps;
use crate::error::Result;

/// Names of fields longer than this are passed over.
const MAX_NAME: usize = 256;

/// Takes what a document holds.
pub(super) trait Pieces {
    /// Where to count what can't be used.
    fn gaps(&mut self) -> &mut Gaps;
    /// Returns whether the elements of the list in this field come one by one.
    fn is_list(&self, name: &str) -> bool;
    /// Takes a field of the outermost object.
    fn field(&mut self, name: &str, value: Raw<'_>) -> ControlFlow<()>;
    /// Takes an element of a list; its name is empty if the document itself is the list.
    fn element(&mut self, list: &str, value: Raw<'_>) -> ControlFlow<()>;
}

/// Reads a document. `Break` if `pieces` broke.
pub(super) fn read_document(
    input: &mut dyn Read,
    pieces: &mut dyn Pieces,
) -> Result<ControlFlow<()>> {
    let mut splitter = Splitter::default();
    let mut room = vec![0; PIECE];
    loop {
        let length = read_some(input, &mut room)?;
        if length == 0 {
            break;
        }
        let piece = room.get(..length).unwrap_or_default();
        if splitter.push(piece, pieces).is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    let gaps = pieces.gaps();
    gaps.cut_values += splitter.cutter.cut_values;
    gaps.is_torn |= !matches!(splitter.place, Place::Before | Place::Behind | Place::Lost);
    Ok(ControlFlow::Continue(()))
}

/// Returns a string field of a small document beside a session; `None` if there is none.
pub(super) fn field(source: &Source<'_>, path: &[u8], name: &str) -> Result<Option<String>> {
    let [found] = fields(source, path, [name])?;
    Ok(found)
}

/// Returns fields of a document beside a session as text: strings, or JSON as it stands there.
pub(super) fn fields<const N: usize>(
    source: &Source<'_>,
    path: &[u8],
    names: [&str; N],
) -> Result<[Option<String>; N]> {
    let mut wanted = Wanted { names, found: [const { None }; N], gaps: Gaps::default() };
    if let Some(mut file) = source.files.open(path)? {
        // What breaks it is no concern of the session's.
        let _flow = read_document(&mut file, &mut wanted)?;
    }
    Ok(wanted.found)
}

/// Returns a small document as its text; `None` if it is too large even after long strings were cut.
pub(super) fn whole(input: &mut dyn Read, gaps: &mut Gaps) -> Result<Option<String>> {
    let (mut cutter, mut text) = (Cutter::default(), Vec::new());
    let mut room = vec![0; PIECE];
    loop {
        let length = read_some(input, &mut room)?;
        if length == 0 {
            break;
        }
        cutter.copy(room.get(..length).unwrap_or_default(), &mut text);
        if text.len() > MAX_RECORD {
            gaps.bad_records += 1;
            return Ok(None);
        }
    }
    gaps.cut_values += cutter.cut_values;
    let text = text.strip_prefix(BOM).unwrap_or(&text);
    Ok(Some(utf8(text, gaps).into_owned()))
}

struct Wanted<'n, const N: usize> {
    names: [&'n str; N],
    found: [Option<String>; N],
    gaps: Gaps,
}

impl<const N: usize> Pieces for Wanted<'_, N> {
    fn gaps(&mut self) -> &mut Gaps {
        &mut self.gaps
    }

    fn is_list(&self, _: &str) -> bool {
        false
    }

    fn field(&mut self, name: &str, value: Raw<'_>) -> ControlFlow<()> {
        if let Some(place) = self.names.iter().position(|it| *it == name)
            && let Some(found) = self.found.get_mut(place)
        {
            let text = value.text().map(std::borrow::Cow::into_owned);
            *found = text.or_else(|| (!value.is_null()).then(|| value.json().to_owned()));
        }
        ControlFlow::Continue(())
    }

    fn element(&mut self, _: &str, _: Raw<'_>) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// Where in the document the next byte lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Place {
    #[default]
    Before,
    /// In the outermost object, where a name may begin.
    Name,
    InName,
    /// Behind a name, before the value's first byte.
    Colon,
    Field,
    /// In a list, between elements.
    List,
    Element,
    Behind,
    /// Where no JSON is to be expected any more.
    Lost,
}

#[derive(Debug, Default)]
struct Splitter {
    cutter: Cutter,
    place: Place,
    name: Vec<u8>,
    value: Vec<u8>,
    /// Brackets that are open within the present value.
    depth: u64,
    /// Whether the list is the document itself.
    is_bare: bool,
    is_over: bool,
}

impl Splitter {
    fn push(&mut self, mut bytes: &[u8], pieces: &mut dyn Pieces) -> ControlFlow<()> {
        while let Some((&byte, behind)) = bytes.split_first() {
            if self.cutter.is_inside() {
                let output =
                    if self.place == Place::InName { &mut self.name } else { &mut self.value };
                let gone = self.cutter.string(bytes, output);
                bytes = bytes.get(gone..).unwrap_or_default();
                if self.place == Place::InName && !self.cutter.is_inside() {
                    self.place = Place::Colon;
                }
                if self.value.len() > MAX_RECORD {
                    self.is_over = true;
                    self.value = Vec::new();
                }
                continue;
            }
            bytes = behind;
            self.byte(byte, pieces)?;
        }
        ControlFlow::Continue(())
    }

    /// Takes one byte that lies in no string.
    fn byte(&mut self, byte: u8, pieces: &mut dyn Pieces) -> ControlFlow<()> {
        match (self.place, byte) {
            (Place::Before, b'{') => self.place = Place::Name,
            (Place::Before, b'[') => {
                self.is_bare = true;
                self.place = Place::List;
            }
            (Place::Before, b' ' | b'\t' | b'\r' | b'\n' | 0xef | 0xbb | 0xbf)
            | (Place::Name | Place::List, b',')
            | (Place::Colon, b':')
            | (Place::Lost, _) => {}
            (Place::Name, b'"') => {
                self.name.clear();
                self.place = Place::InName;
                self.cutter.enter();
            }
            (Place::Name, b'}') => self.place = Place::Behind,
            (Place::List, b']') => {
                self.place = if self.is_bare { Place::Behind } else { Place::Name };
            }
            (Place::Colon | Place::List | Place::Name | Place::Behind, byte)
                if byte.is_ascii_whitespace() => {}
            (Place::Colon, b'[') if pieces.is_list(self.name()) => self.place = Place::List,
            (Place::Colon, _) => {
                self.place = Place::Field;
                self.begin(byte);
            }
            (Place::List, _) => {
                self.place = Place::Element;
                self.begin(byte);
            }
            (Place::Field, b',' | b'}') | (Place::Element, b',' | b']') if self.depth == 0 => {
                let flow = self.hand_over(pieces);
                self.place = match (self.place, byte, self.is_bare) {
                    (Place::Field, b',', _) | (Place::Element, b']', false) => Place::Name,
                    (Place::Element, b',', _) => Place::List,
                    _ => Place::Behind,
                };
                return flow;
            }
            (Place::Field | Place::Element, _) => self.copy(byte),
            (Place::Before | Place::Name | Place::InName | Place::Behind, _) => {
                pieces.gaps().bad_records += 1;
                self.place = Place::Lost;
            }
        }
        ControlFlow::Continue(())
    }

    fn name(&self) -> &str {
        let name = self.name.strip_suffix(b"\"").unwrap_or(&self.name);
        std::str::from_utf8(name).ok().filter(|it| it.len() <= MAX_NAME).unwrap_or_default()
    }

    fn begin(&mut self, byte: u8) {
        self.value.clear();
        self.is_over = false;
        self.depth = 0;
        self.copy(byte);
    }

    fn copy(&mut self, byte: u8) {
        match byte {
            b'"' => self.cutter.enter(),
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        if !self.is_over {
            self.value.push(byte);
        }
        if self.value.len() > MAX_RECORD {
            self.is_over = true;
            self.value = Vec::new();
        }
    }

    fn hand_over(&mut self, pieces: &mut dyn Pieces) -> ControlFlow<()> {
        if self.is_over {
            pieces.gaps().bad_records += 1;
            return ControlFlow::Continue(());
        }
        let text = utf8(&self.value, pieces.gaps());
        let Some(value) = Raw::parse(&text) else {
            pieces.gaps().bad_records += 1;
            return ControlFlow::Continue(());
        };
        let name = self.name();
        if self.place == Place::Element {
            pieces.element(if self.is_bare { "" } else { name }, value)
        } else {
            pieces.field(name, value)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Seen(Vec<String>, Gaps);

    impl Pieces for Seen {
        fn gaps(&mut self) -> &mut Gaps {
            &mut self.1
        }
        fn is_list(&self, name: &str) -> bool {
            name == "messages"
        }
        fn field(&mut self, name: &str, value: Raw<'_>) -> ControlFlow<()> {
            self.0.push(format!("{name}={}", value.json()));
            ControlFlow::Continue(())
        }
        fn element(&mut self, list: &str, value: Raw<'_>) -> ControlFlow<()> {
            self.0.push(format!("{list}[{}]", value.json()));
            ControlFlow::Continue(())
        }
    }

    fn read(text: &[u8]) -> Seen {
        let mut seen = Seen::default();
        let mut input = text;
        assert!(read_document(&mut input, &mut seen).unwrap().is_continue());
        seen
    }

    #[test]
    fn fields_and_elements_come_one_by_one() {
        let text =
            br#" {"a": {"b":[1,"]}"]} , "messages":[ {"c":"\"}"}, 2,"x" ],"d":[1,2],"e":"," }"#;
        let expected =
            [r#"a={"b":[1,"]}"]}"#, r#"messages[{"c":"\"}"}]"#, "messages[2]", r#"messages["x"]"#];
        let seen = read(text);
        assert_eq!(seen.0[..4], expected);
        assert_eq!(seen.0[4..], ["d=[1,2]", r#"e=",""#]);
        assert_eq!(seen.1, Gaps::default());
        assert_eq!(read(b"[1, {\"a\":2}]").0, ["[1]", r#"[{"a":2}]"#]);
    }

    #[test]
    fn a_torn_document_gives_what_was_whole_and_garbage_is_counted() {
        let seen = read(br#"{"messages":[{"a":1},{"b":"#);
        assert_eq!((&seen.0[..], seen.1.is_torn), (&[r#"messages[{"a":1}]"#.to_owned()][..], true));
        let seen = read(br#"{"messages":[{"a" 1},{"b":2}]}"#);
        assert_eq!((seen.0.len(), seen.1.bad_records, seen.1.is_torn), (1, 1, false));
        assert_eq!(read(b"\0\x01binary").1.bad_records, 1);
        assert_eq!(read(b"").1, Gaps::default());
    }

    #[test]
    fn a_long_string_is_cut_and_an_element_that_stays_too_large_passed_over() {
        let text = format!(r#"[{{"a":"{}"}},[{}1],3]"#, "A".repeat(9 << 20), "1,".repeat(9 << 20));
        let seen = read(text.as_bytes());
        assert_eq!((seen.0.len(), seen.1.cut_values, seen.1.bad_records), (2, 1, 1));
        assert!(seen.0[0].len() < 300_000 && seen.0[1] == "[3]");
    }
}
