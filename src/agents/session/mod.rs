//! What a session is, and readers that turn what an agent stores into sessions and turns.
//!
//! There is one reader per storage shape ([`SessionShape`]), not per agent. A
//! reader is given bytes or a connection to a database, from a disk or from a snapshot, and hands
//! what it finds to a [`Sink`], in the order of the conversation, without keeping it: memory does not
//! grow with the session. It never writes.
//!
//! Promises: what an agent writes is untrusted. A torn last line, an unknown record, text that is no
//! UTF-8, a line of 100 MB and a schema newer than this program are no errors: what can be read is
//! read, and [`Session::gaps`] says what could not. An error means that the input itself failed.
//!
//! Speed of outlines, on one core of a shared machine, of 200 MB generated with escapes and text beyond ASCII:
//! `claude-jsonl` 0.9 GB/s, `codex-rollout` 0.6 GB/s (turns: 0.5 and 0.3), with 4 MB of memory. A record is
//! gone over once for its fields; its message is looked into only as far as a turn's speaker, a model
//! and a missing title ask for.

mod aider;
mod amp;
mod anthropic;
mod blocks;
mod claude;
mod codex;
mod codex_titles;
mod continue_json;
mod copilot;
mod cutter;
mod database;
mod document;
mod draft;
mod gemini;
mod gemini_message;
mod json;
mod lines;
mod opencode;
mod pi;
pub mod placement;
mod role;
mod source;
mod title;
mod value;

use std::io::Read;

use super::words::SessionShape;
use crate::error::{Error, Result};

pub use aider::{aider_blocks, aider_ordinal};
pub use database::{Which, export_opencode, read_database};
pub use source::{RootFiles, Source};
pub use value::{Gaps, Part, Role, Session, Sink, Turn, Wanted};

/// Reads a file's sessions and hands them to `sink`: one for most shapes, even from a file that is
/// empty or no session at all, and many for a shape that [holds many](SessionShape::holds_many). None where
/// another file counts instead, as a plain rollout does beside a compressed one.
///
/// # Errors
///
/// If `input` or a file beside it can't be read, or if the shape is a database or opaque.
pub fn read_file(
    source: &Source<'_>,
    input: &mut dyn Read,
    wanted: Wanted,
    sink: &mut dyn Sink,
) -> Result<()> {
    match source.shape {
        SessionShape::ClaudeJsonl => claude::read(source, input, wanted, sink),
        SessionShape::CodexRollout => codex::read(source, input, wanted, sink),
        SessionShape::PiJsonl => pi::read(source, input, wanted, sink),
        SessionShape::GeminiChat => gemini::read(source, input, wanted, sink),
        SessionShape::CopilotEvents => copilot::read(source, input, wanted, sink),
        SessionShape::RoleJsonl => role::read(source, input, wanted, sink),
        SessionShape::AnthropicJson => anthropic::read(source, input, wanted, sink),
        SessionShape::ContinueJson => continue_json::read(source, input, wanted, sink),
        SessionShape::AmpJson => amp::read(source, input, wanted, sink),
        SessionShape::AiderMd => aider::read(source, input, wanted, sink),
        SessionShape::OpencodeJson => opencode::read(source, input, wanted, sink),
        _ => Err(Error::failed("cannot read sessions of this shape as a file")
            .object(String::from_utf8_lossy(source.relative))),
    }
}

#[cfg(test)]
mod tests;
