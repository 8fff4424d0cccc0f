//! What an attachment of the kind `sessions` says of one session (`format-spec/7-record.md`).
//!
//! The key of an entry ends in the session's id. Readers of sessions change from version to version;
//! what they found once is kept as it is until the file changes.

use super::DecodeError;
use super::cbor::{self, cbor_map};

/// The kind of the attachment.
pub const KIND: &str = "sessions";
/// A text of an entry has at most so many bytes; writers cut longer ones.
pub const TEXT_BYTES: usize = 1024;

cbor_map! {
    /// One session, without its text.
    pub struct SessionEntry {
        /// Its title, or its first words; one line.
        "t" => title: String,
        /// The folder that it worked in, on the machine that it ran on.
        "p" => project: String,
        /// The branch of the project's repository.
        "b" => branch: String,
        /// The moment of its first record (nanoseconds, UTC).
        "s" => started: Option<i64>,
        /// The moment of its last record (nanoseconds, UTC); of a shape without times that of the file.
        "l" => last: Option<i64>,
        /// Turns of the user and of the assistant.
        "n" => turns: u64,
        /// Bytes of its own file, or of its texts in a file of many.
        "z" => bytes: u64,
        /// The model that answered last.
        "m" => model: String,
        /// The session that it was started by.
        "u" => parent: String,
        /// Changes with what a file of many holds of it.
        "r" => revision: u64,
        /// 1 some of it could not be read, 2 its file holds many.
        "f" => flags: u64,
        /// Since when it is no more where it was (nanoseconds, UTC): deleted by its agent or by a person.
        "g" => gone: Option<i64>,
    }
}

/// Flag of a session some of which could not be read.
pub const SESSION_GAPS: u64 = 1;
/// Flag of a session in a file of many: what the file holds no more, older snapshots have.
pub const SESSION_OF_MANY: u64 = 2;

impl SessionEntry {
    /// Reads an entry. Texts that are longer than they may be are refused.
    pub fn decode(bytes: &[u8]) -> Result<SessionEntry, DecodeError> {
        let entry: SessionEntry = cbor::decode(bytes)?;
        let texts = [&entry.title, &entry.project, &entry.branch, &entry.model, &entry.parent];
        if texts.iter().any(|text| text.len() > TEXT_BYTES) {
            return Err(DecodeError::TooLong { what: "a text of a session entry" });
        }
        Ok(entry)
    }

    /// Returns the canonical encoding.
    pub fn encode(&self) -> Vec<u8> {
        cbor::encode(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_comes_back_and_one_with_a_text_too_long_does_not() {
        let entry = SessionEntry {
            title: "Cart total".into(),
            last: Some(-1),
            turns: 3,
            gone: Some(5),
            ..SessionEntry::default()
        };
        assert_eq!(SessionEntry::decode(&entry.encode()).unwrap(), entry);
        assert_eq!(SessionEntry::decode(&SessionEntry::default().encode()).unwrap().title, "");
        let long = SessionEntry { branch: "x".repeat(TEXT_BYTES + 1), ..entry };
        assert!(SessionEntry::decode(&long.encode()).is_err());
        assert!(SessionEntry::decode(b"\xff").is_err());
    }
}
