//! One document of any size, read into bounded memory.
//!
//! Up to [`WHOLE_BYTES`] it is taken as it is. A larger one goes through [`Cutter`], which copies
//! it while it cuts every text within to [`STRING_BYTES`], so that a record with a picture in it is
//! still understood. What is larger even so, or ends in the middle, is closed where it ends: its
//! beginning can be read.
//!
//! Memory: twice [`WHOLE_BYTES`].

use std::io::{self, Read};

use super::json;
use crate::agents::session::Gaps;

/// The largest document that is held as it is, in bytes.
pub(super) const WHOLE_BYTES: usize = 16 << 20;
/// So much of a text is kept in a larger document, in bytes.
const STRING_BYTES: usize = 256 << 10;
/// No more than this of a stream is read, in bytes: a small archive may hold any number of zeros.
const STREAM_BYTES: u64 = 1 << 30;
/// Arrays and objects within each other up to this depth are followed.
const DEPTH: usize = 100;

/// Reads a document that should be a JSON object or array, tells `gaps` what is wrong with it, and
/// returns text that can be read; `None` if nothing of it can.
pub(super) fn read(stream: &mut dyn Read, gaps: &mut Gaps) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(WHOLE_BYTES).unwrap_or(u64::MAX);
    let mut stream = stream.take(STREAM_BYTES);
    // What came before a stream broke off is read all the same.
    let mut failure = (&mut stream).take(limit + 1).read_to_end(&mut bytes).err();
    if bytes.len() <= WHOLE_BYTES {
        let found = of_bytes(&bytes, gaps);
        return failure.map_or(Ok(found), Err);
    }
    let mut cutter = Cutter::new();
    cutter.push(&bytes);
    bytes = vec![0; 64 << 10];
    while failure.is_none() && !cutter.is_full() {
        match stream.read(&mut bytes) {
            Ok(0) => break,
            Ok(count) => cutter.push(bytes.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => failure = Some(error),
        }
    }
    drop(bytes);
    let (text, was_torn) = cutter.finish();
    gaps.cut_values += 1;
    gaps.is_torn |= was_torn;
    Ok(Some(of_text(&text, gaps)))
}

/// As [`read`], for a document that is at hand and within bounds.
pub(super) fn of_bytes(bytes: &[u8], gaps: &mut Gaps) -> Option<String> {
    let text = of_text(bytes, gaps);
    let text = text.trim_start_matches('\u{feff}');
    if serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() {
        return Some(text.to_owned());
    }
    let mut cutter = Cutter::new();
    cutter.string_bytes = usize::MAX;
    cutter.push(text.as_bytes());
    let (mended, was_torn) = cutter.finish();
    let mended = String::from_utf8_lossy(&mended).into_owned();
    let is_readable =
        was_torn && (json::entries(&mended, &mut |_, _| {}) || json::items(&mended, &mut |_| true));
    if is_readable {
        gaps.is_torn = true;
        return Some(mended);
    }
    gaps.bad_records += 1;
    None
}

fn of_text(bytes: &[u8], gaps: &mut Gaps) -> String {
    let text = String::from_utf8_lossy(bytes);
    if matches!(text, std::borrow::Cow::Owned(_)) {
        gaps.bad_records += 1;
    }
    text.into_owned()
}

/// Copies JSON while it cuts texts that are too long, and closes what is open at the end.
struct Cutter {
    out: Vec<u8>,
    string_bytes: usize,
    /// The brackets that are open.
    open: Vec<u8>,
    /// Where the copy may end: after a bracket, before a comma.
    safe: usize,
    state: State,
    /// Whether a text that begins now would be a value.
    expects_value: bool,
    is_cut: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Between,
    Text(Text),
}

/// What is known of the text that is being copied.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Text {
    /// Where it began in the copy.
    begin: usize,
    /// Whether it is a value, and no key.
    is_value: bool,
    /// Whether the rest of it is dropped.
    is_over: bool,
    /// So many bytes belong to an escape that is not over.
    escape: u8,
    /// Where that escape began in the copy.
    escape_begin: usize,
}

impl Cutter {
    fn new() -> Self {
        Cutter {
            out: Vec::new(),
            string_bytes: STRING_BYTES,
            open: Vec::new(),
            safe: 0,
            state: State::Between,
            expects_value: true,
            is_cut: false,
        }
    }

    fn is_full(&self) -> bool {
        self.is_cut
    }

    fn push(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if self.is_cut {
                return;
            }
            match self.state {
                State::Between => self.between(*byte),
                State::Text(text) => self.text(*byte, text),
            }
            self.is_cut = self.out.len() >= WHOLE_BYTES || self.open.len() > DEPTH;
        }
    }

    fn between(&mut self, byte: u8) {
        if byte == b',' {
            self.safe = self.out.len();
            self.expects_value = self.open.last() == Some(&b'[');
        }
        self.out.push(byte);
        match byte {
            b'"' => {
                self.state = State::Text(Text {
                    begin: self.out.len(),
                    is_value: self.expects_value,
                    is_over: false,
                    escape: 0,
                    escape_begin: 0,
                });
            }
            b'{' | b'[' => {
                self.open.push(byte);
                self.safe = self.out.len();
                self.expects_value = byte == b'[';
            }
            b'}' | b']' => {
                self.open.pop();
                self.safe = self.out.len();
            }
            b':' => self.expects_value = true,
            _ => {}
        }
    }

    fn text(&mut self, byte: u8, mut text: Text) {
        if text.escape == 0 {
            // A cut falls between characters: never within an escape or a sequence of UTF-8.
            let is_first = byte & 0xc0 != 0x80;
            text.is_over |= is_first && self.out.len() - text.begin >= self.string_bytes;
            if byte == b'"' {
                self.out.push(byte);
                self.state = State::Between;
                return;
            }
            if byte == b'\\' {
                (text.escape, text.escape_begin) = (1, self.out.len());
            }
        } else {
            text.escape = if (text.escape, byte) == (1, b'u') { 4 } else { text.escape - 1 };
        }
        if !text.is_over {
            self.out.push(byte);
        }
        self.state = State::Text(text);
    }

    /// Returns the copy, and whether the document ended in the middle.
    fn finish(mut self) -> (Vec<u8>, bool) {
        if self.open.is_empty() && !self.is_cut && self.state == State::Between {
            return (self.out, false);
        }
        match self.state {
            State::Text(text) if text.is_value => {
                if text.escape > 0 {
                    self.out.truncate(text.escape_begin);
                }
                if let Err(error) = std::str::from_utf8(&self.out)
                    && error.error_len().is_none()
                {
                    // Half a character at the end.
                    self.out.truncate(error.valid_up_to());
                }
                self.out.push(b'"');
            }
            _ => self.out.truncate(self.safe),
        }
        while let Some(bracket) = self.open.pop() {
            self.out.push(if bracket == b'{' { b'}' } else { b']' });
        }
        (self.out, !self.is_cut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &[u8], string_bytes: usize) -> (String, bool) {
        let mut cutter = Cutter::new();
        cutter.string_bytes = string_bytes;
        // In pieces of odd length, since a stream comes so.
        text.chunks(3).for_each(|piece| cutter.push(piece));
        let (out, was_torn) = cutter.finish();
        (String::from_utf8(out).unwrap(), was_torn)
    }

    #[test]
    fn long_texts_are_cut_between_characters_and_the_rest_is_kept() {
        let text = r#"{"a":"12345678","b":["äöü€","\u00e4\u00e4\"x\\"],"c":1}"#;
        let (out, was_torn) = cut(text.as_bytes(), 3);
        assert!(!was_torn);
        let value: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(value["a"], "123");
        assert_eq!(value["b"][0], "äö");
        assert_eq!(value["b"][1], "ä");
        assert_eq!(value["c"], 1);
        assert_eq!(cut(text.as_bytes(), 1000).0, text);
    }

    #[test]
    fn a_document_cut_anywhere_can_be_read_to_there() {
        let text =
            r#"{"a":{"k":"wörds \u00e4 \\ \" more"},"b":[1,true,{"c":null,"d":"x"}],"e":-1.5}"#;
        for end in 1..text.len() {
            let (out, was_torn) = cut(&text.as_bytes()[..end], 1000);
            assert!(was_torn, "{end}");
            let value: serde_json::Value =
                serde_json::from_str(&out).unwrap_or_else(|error| panic!("{end}: {out}: {error}"));
            if end > 12 && end < 20 {
                assert!("wörds ".starts_with(value["a"]["k"].as_str().unwrap()), "{out}");
            }
        }
        let mut gaps = Gaps::default();
        assert!(of_bytes(br#"{"a":"tor"#, &mut gaps).unwrap().contains("tor"));
        assert!(gaps.is_torn && gaps.bad_records == 0);
    }

    #[test]
    fn what_is_no_json_is_a_bad_record() {
        for bytes in [&b""[..], b"hello", b"\0\0\0", b"{]", b"{\"a\":1}}", b"\xff\xfe{"] {
            let mut gaps = Gaps::default();
            assert_eq!(of_bytes(bytes, &mut gaps), None, "{bytes:?}");
            assert!(gaps.bad_records > 0, "{bytes:?}");
        }
    }

    #[test]
    fn a_huge_document_costs_little_and_its_last_field_is_read() {
        let mut text = br#"{"type":"tool","image":""#.to_vec();
        text.resize(40 << 20, b'A');
        text.extend_from_slice(br#"","last":"seen"}"#);
        let mut gaps = Gaps::default();
        let found = read(&mut &text[..], &mut gaps).unwrap().unwrap();
        assert!(found.len() < 1 << 20);
        let [last] = json::fields(&found, ["last"]).unwrap();
        assert_eq!(json::text(last).as_deref(), Some("seen"));
        assert_eq!(gaps, Gaps { cut_values: 1, ..Gaps::default() });
    }

    #[test]
    fn a_stream_that_expands_without_end_is_closed_at_the_limit() {
        let mut gaps = Gaps::default();
        let mut stream = (&b"[0,"[..]).chain(RepeatZeros);
        let found = read(&mut stream, &mut gaps).unwrap().unwrap();
        assert!(found.len() <= WHOLE_BYTES + DEPTH && !gaps.is_torn && gaps.cut_values == 1);
    }

    struct RepeatZeros;

    impl Read for RepeatZeros {
        fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
            let length = bytes.len();
            bytes.fill(b'1');
            bytes.iter_mut().step_by(5).for_each(|byte| *byte = b',');
            bytes[0] = b'2';
            Ok(length)
        }
    }
}
