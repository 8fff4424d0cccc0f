//! Copies JSON strings while cutting those that are too long to hold.
//!
//! A state machine over quotes and escapes, fed in pieces of any size: memory is what its caller
//! keeps of the output. What it cuts stays a string that can be read: neither an escape nor a
//! character of UTF-8 is split.

use memchr::{memchr, memchr2};

/// Bytes that are kept of one string of a record that is too large to be held whole.
pub(super) const MAX_STRING: usize = 256 << 10;

/// Follows a JSON text through its strings.
#[derive(Debug, Default)]
pub(super) struct Cutter {
    state: State,
    /// Bytes of the present string that were copied.
    kept: usize,
    is_cutting: bool,
    /// Strings that were cut so far.
    pub cut_values: u64,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Outside,
    Inside,
    /// Behind a backslash.
    Escape,
    /// Within the digits of `\uXXXX`; so many are left.
    Digits(u8),
}

impl Cutter {
    /// Returns whether the present byte belongs to a string.
    pub(super) fn is_inside(&self) -> bool {
        self.state != State::Outside
    }

    /// Enters a string; its quotation mark is the caller's to copy.
    pub(super) fn enter(&mut self) {
        self.state = State::Inside;
        self.kept = 0;
        self.is_cutting = false;
    }

    /// Copies from the present string to `output`, up to its end with the quotation mark or to the
    /// end of `bytes`. Returns how many bytes it went over.
    pub(super) fn string(&mut self, bytes: &[u8], output: &mut Vec<u8>) -> usize {
        let mut rest = bytes;
        while let Some((&byte, behind)) = rest.split_first() {
            match self.state {
                State::Outside => break,
                State::Inside => rest = self.run(rest, output),
                State::Escape => {
                    self.state = if byte == b'u' { State::Digits(4) } else { State::Inside };
                    self.copy_escaped(byte, output);
                    rest = behind;
                }
                State::Digits(left) => {
                    // Whatever is no digit ends the escape, so that a quotation mark is still seen.
                    if byte.is_ascii_hexdigit() {
                        self.copy_escaped(byte, output);
                        rest = behind;
                    }
                    let goes_on = byte.is_ascii_hexdigit() && left > 1;
                    self.state = if goes_on { State::Digits(left - 1) } else { State::Inside };
                }
            }
        }
        bytes.len() - rest.len()
    }

    /// Copies a piece of a JSON text, within strings or not.
    pub(super) fn copy(&mut self, mut piece: &[u8], output: &mut Vec<u8>) {
        while !piece.is_empty() {
            let gone = if self.is_inside() {
                self.string(piece, output)
            } else {
                let end = memchr(b'"', piece).map_or(piece.len(), |place| place + 1);
                output.extend_from_slice(piece.get(..end).unwrap_or_default());
                if piece.get(end - 1) == Some(&b'"') {
                    self.enter();
                }
                end
            };
            piece = piece.get(gone..).unwrap_or_default();
        }
    }

    fn run<'a>(&mut self, bytes: &'a [u8], output: &mut Vec<u8>) -> &'a [u8] {
        let end = memchr2(b'"', b'\\', bytes).unwrap_or(bytes.len());
        let (run, rest) = bytes.split_at(end);
        let room = if self.is_cutting { 0 } else { MAX_STRING.saturating_sub(self.kept) };
        let kept = run.get(..room.min(run.len())).unwrap_or_default();
        output.extend_from_slice(kept);
        self.kept += kept.len();
        if kept.len() < run.len() {
            self.cut(output);
        }
        match rest.split_first() {
            Some((b'"', behind)) => {
                output.push(b'"');
                self.state = State::Outside;
                behind
            }
            Some((_, behind)) => {
                if self.kept >= MAX_STRING {
                    self.cut(output);
                }
                self.state = State::Escape;
                self.copy_escaped(b'\\', output);
                behind
            }
            None => rest,
        }
    }

    fn copy_escaped(&mut self, byte: u8, output: &mut Vec<u8>) {
        if !self.is_cutting {
            output.push(byte);
            self.kept += 1;
        }
    }

    fn cut(&mut self, output: &mut Vec<u8>) {
        if self.is_cutting {
            return;
        }
        self.is_cutting = true;
        self.cut_values += 1;
        // The last character may be there in part: it goes.
        while output.last().is_some_and(|byte| byte & 0xc0 == 0x80) {
            output.pop();
        }
        if output.last().is_some_and(|byte| *byte >= 0xc0) {
            output.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Copies a whole JSON text, fed in pieces of `step` bytes.
    fn copy(text: &[u8], step: usize) -> (Vec<u8>, u64) {
        let (mut cutter, mut output) = (Cutter::default(), Vec::new());
        text.chunks(step).for_each(|piece| cutter.copy(piece, &mut output));
        (output, cutter.cut_values)
    }

    #[test]
    fn short_strings_stay_as_they_are_in_pieces_of_any_size() {
        let text = br#"{"a":"x\"y\\","b":["\u00e4\ud83d\ude00",1],"c":"\\"}"#;
        for step in 1..text.len() {
            assert_eq!(copy(text, step), (text.to_vec(), 0));
        }
    }

    #[test]
    fn a_string_is_cut_between_characters_and_escapes_and_what_follows_is_whole() {
        for (unit, step) in
            [("a", 4096), ("ä", 4095), ("😀", 4097), ("\\n", 999), ("\\u00e4", 1001)]
        {
            let long = unit.repeat(2 * MAX_STRING / unit.len());
            let text = format!(r#"{{"a":"x{long}","b":"y"}}"#);
            let (output, cut_values) = copy(text.as_bytes(), step);
            let value: serde_json::Value = serde_json::from_slice(&output).unwrap();
            assert_eq!((cut_values, value["b"].as_str()), (1, Some("y")), "{unit}");
            assert!(output.len() > MAX_STRING - 16 && output.len() < MAX_STRING + 64, "{unit}");
        }
    }
}
