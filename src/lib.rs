//! stash: fast, encrypted, deduplicating backup.
pub mod codec;
pub mod engine;
pub mod error;
pub mod event;
pub mod files;
pub mod format;
pub mod id;
pub mod repository;
pub mod store;
pub mod time;
