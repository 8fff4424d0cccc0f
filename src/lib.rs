//! stash: fast, encrypted, deduplicating backup.
pub mod error;
pub mod event;
pub mod format;
pub mod id;
pub mod machine;
pub mod time;
