//! Generated data that compresses and changes as agents' state does. The same on every machine.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

/// Words of prose and of code; texts repeat themselves in runs, as transcripts do.
const WORDS: &[&str] = &[
    "the",
    "of",
    "and",
    "to",
    "in",
    "is",
    "that",
    "for",
    "it",
    "as",
    "was",
    "with",
    "be",
    "by",
    "on",
    "not",
    "this",
    "are",
    "from",
    "or",
    "have",
    "an",
    "they",
    "which",
    "one",
    "would",
    "all",
    "will",
    "there",
    "can",
    "file",
    "path",
    "session",
    "message",
    "content",
    "tool",
    "result",
    "error",
    "return",
    "const",
    "function",
    "import",
    "export",
    "async",
    "await",
    "struct",
    "impl",
    "match",
    "Option",
    "String",
    "self",
    "pub",
    "use",
    "crate",
    "mod",
    "let",
    "mut",
    "src/lib.rs",
    "index",
    "component",
    "test",
    "assert",
    "value",
    "state",
    "update",
    "build",
    "command",
    "read",
    "write",
    "edit",
    "search",
    "line",
    "change",
    "because",
    "before",
    "after",
    "should",
    "check",
];

/// Makes texts.
pub struct Writer {
    random: fastrand::Rng,
    pool: Vec<String>,
}

impl Writer {
    /// Returns a writer whose texts depend on `seed` alone.
    pub fn new(seed: u64) -> Writer {
        let mut writer = Writer { random: fastrand::Rng::with_seed(seed), pool: Vec::new() };
        writer.pool = (0..3000).map(|_| writer.fresh_text(1500)).collect();
        writer
    }

    fn fresh_text(&mut self, about: usize) -> String {
        let mut text = String::new();
        while text.len() < about {
            if self.random.u8(..) < 220 {
                text.push_str(WORDS[self.random.usize(..WORDS.len())]);
            } else {
                for _ in 0..self.random.usize(3..10) {
                    text.push(self.random.lowercase());
                }
            }
            text.push(' ');
        }
        text
    }

    fn hex(&mut self) -> String {
        format!("{:016x}{:016x}", self.random.u64(..), self.random.u64(..))
    }

    /// Returns one record of a transcript: JSON, without a line end.
    pub fn record(&mut self) -> String {
        let (parent, own) = (self.hex(), self.hex());
        let fresh_bytes = self.random.usize(50..400);
        let fresh = self.fresh_text(fresh_bytes);
        let old = self.pool[self.random.usize(..self.pool.len())].clone();
        let start = self.random.usize(..old.len() / 2);
        let end = self.random.usize(start..old.len());
        let mut record = String::new();
        let _ = write!(
            record,
            "{{\"parentUuid\":\"{parent}\",\"uuid\":\"{own}\",\"timestamp\":\"2026-11-{:02}T{:02}:{:02}:{:02}Z\",\
             \"type\":\"assistant\",\"message\":{{\"role\":\"assistant\",\"content\":[{{\"type\":\"text\",\
             \"text\":\"{}{fresh}\"}}]}},\"cwd\":\"/home/u/project{}\"}}",
            self.random.u8(1..29),
            self.random.u8(..24),
            self.random.u8(..60),
            self.random.u8(..60),
            old.get(start..end).unwrap_or_default(),
            self.random.u8(..40),
        );
        record
    }

    /// Writes a tree of transcripts: `files` files of together about `bytes`.
    pub fn tree(&mut self, folder: &Path, files: usize, bytes: u64) -> std::io::Result<()> {
        let mean = bytes as f64 / files as f64;
        for number in 0..files {
            let directory = folder
                .join(format!("projects/project-{:02}", number % 40))
                .join(format!("part-{:02}", number / 1000));
            std::fs::create_dir_all(&directory)?;
            // Many small files and a few large ones: the square of a square root of the mean.
            let spread = self.random.f64();
            let wanted = (mean * 3.6 * spread * spread * spread * spread * 1.4).max(200.0);
            let mut file = std::io::BufWriter::new(std::fs::File::create(
                directory.join(format!("session-{number:05}.jsonl")),
            )?);
            let mut written = 0;
            while (written as f64) < wanted {
                let record = self.record();
                let cut = record.len().min(wanted as usize + 64 - written.min(wanted as usize));
                file.write_all(&record.as_bytes()[..cut])?;
                file.write_all(b"\n")?;
                written += cut + 1;
            }
            file.flush()?;
        }
        Ok(())
    }

    /// Writes a database of messages of about `bytes`.
    pub fn database(&mut self, path: &Path, bytes: u64) -> rusqlite::Result<()> {
        let mut connection = rusqlite::Connection::open(path)?;
        connection.execute_batch(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;
             CREATE TABLE message (id TEXT PRIMARY KEY, session TEXT, time INTEGER, data TEXT);
             CREATE TABLE part (id TEXT PRIMARY KEY, message TEXT, data TEXT);",
        )?;
        let mut number = 0_u64;
        while std::fs::metadata(path).map_or(0, |metadata| metadata.len()) < bytes {
            let transaction = connection.transaction()?;
            for _ in 0..2000 {
                let id = format!("msg_{number:08}{}", &self.hex()[..8]);
                let session = format!("ses_{:04}", number / 100);
                transaction
                    .prepare_cached("INSERT INTO message VALUES (?1, ?2, ?3, ?4)")?
                    .execute((&id, session, number, self.record()))?;
                let part = format!("prt_{number:08}{}", &self.hex()[..8]);
                let text_bytes = self.random.usize(100..1500);
                let text = self.fresh_text(text_bytes);
                transaction
                    .prepare_cached("INSERT INTO part VALUES (?1, ?2, ?3)")?
                    .execute((part, &id, text))?;
                number += 1;
            }
            transaction.commit()?;
        }
        Ok(())
    }
}
