//! Finds what looks like a live credential in bytes. Pure.
//!
//! [`scan`] reads a stream once, in a window of a megabyte: how long a line or a file is does not
//! matter. An automaton finds the fixed part of each credential's form ("anchor"); only there a
//! regular expression, anchored and held to a few kilobytes, looks closer, and `judge` throws out
//! what is an example, a placeholder, a word or a name. A finding says where and of which kind, and
//! **never holds any part of the value**.
//!
//! Forms are the public facts of the providers' own documents; the patterns are ours. Sure are those
//! with a prefix of their own. The rest ("generic": a name such as `api_key`, a value that looks
//! drawn by lot) is judged by its name, its mix of letters and its entropy, so that a credential
//! that reads like words is not found.

mod clean;
mod judge;
mod redact;
mod rules;
mod scanner;

pub use clean::{Cleaned, clean};
pub use judge::is_credential_name;
pub use redact::{Redacted, redact};
pub use scanner::{Finding, ScanOptions, ScanSums, scan};

/// What a credential is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SecretKind {
    /// A word for programs.
    pub id: &'static str,
    /// A few words for people.
    pub name: &'static str,
}

/// Returns all kinds that can be found.
pub fn kinds() -> impl Iterator<Item = SecretKind> {
    rules::RULES.iter().map(|rule| rule.kind)
}
