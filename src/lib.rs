//! stash: fast, encrypted, deduplicating backup.
//!
//! The house, from the ground up; a room uses the rooms below it and nothing else.
//!
//! | floor | room | is |
//! |---|---|---|
//! | 7 | [`cli`], [`face`] | words on a command line, words on a screen; and what other programs call |
//! | 6 | [`machine`] | this computer: environment, clock, folders, secrets, locks, signals |
//! | 5 | [`agents`] | what coding agents keep, and where; pure but for looking what is there |
//! | 4 | [`engine`] | the operations on a repository: backup, restore, inspection, check |
//! | 3 | [`repository`] | what the stored objects mean together: keys, log, index, packs |
//! | 2 | [`store`], [`files`] | the two edges: object storage, and the local disk |
//! | 1 | [`mod@format`], [`codec`] | pure: bytes to values and bytes to bytes |
//! | 0 | [`error`], [`id`], [`event`], [`time`] | the shared words |
//!
//! **As a library**: [`Stash`] opens a repository, [`AgentDefinition`] is an agent as data, and these two
//! are all that a backup tool for an agent of one's own needs; `examples/own_agent.rs` is one. The rooms
//! below are open to read, and may change from version to version.
//!
//! A command is parsed by `cli::args`; `cli::commands` resolves it with `machine` into plain values
//! (which repository, what opens it, what time is meant), calls the engine with them, and hands
//! what it answers to `cli::render`. Below `machine` nothing prints, asks, reads the environment or
//! looks at the clock: what happens on the way is an [`event::Event`]. How a backup becomes durable
//! stands at the head of [`engine::backup`]; the format is written down in `format-spec/`.
pub mod agents;
pub mod cli;
pub mod codec;
pub mod engine;
pub mod error;
pub mod event;
pub mod face;
pub mod files;
pub mod format;
pub mod id;
pub mod machine;
pub mod repository;
pub mod store;
pub mod time;

pub use error::{Error, Kind, Result};
pub use face::{AgentDefinition, Restored, Saved, Stash, StashOptions, StashSnapshot};
