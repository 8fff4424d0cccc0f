//! What a session is, and readers that turn what an agent stores into sessions and turns.
//!
//! There is one reader per storage shape ([`SessionShape`](super::SessionShape)), not per agent. A
//! reader is given bytes or a connection to a database, from a disk or from a snapshot, and hands
//! what it finds to a [`Sink`], in the order of the conversation, without keeping it: memory does not
//! grow with the session. It never writes.
//!
//! Promises: what an agent writes is untrusted. A torn last line, an unknown record, text that is no
//! UTF-8, a line of 100 MB and a schema newer than this program are no errors: what can be read is
//! read, and [`Session::gaps`] says what could not. An error means that the input itself failed.

pub mod database;
mod source;
mod value;

pub use source::{RootFiles, Source};
pub use value::{Gaps, Part, Role, Session, Sink, Turn, Wanted};
