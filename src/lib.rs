//! stash: fast, encrypted, deduplicating backup.
//!
//! The house, from the ground up; a room uses the rooms below it and nothing else.
//!
//! | floor | room | is |
//! |---|---|---|
//! | 7 | [`cli`] | words on a command line, words on a screen |
//! | 6 | [`machine`] | this computer: environment, clock, folders, secrets, locks, signals |
//! | 1 | [`mod@format`] | pure: bytes to values, and back |
//! | 0 | [`error`], [`id`], [`event`], [`time`] | the shared words |
//!
//! A command is parsed by `cli::args`; `cli::commands` resolves it with `machine` into plain values
//! (which repository, what opens it, what time is meant), calls the rooms below with them, and
//! hands what they answer to `cli::render`. Below `machine` nothing prints, asks, reads the
//! environment or looks at the clock: what happens on the way is an [`event::Event`].
pub mod cli;
pub mod error;
pub mod event;
pub mod format;
pub mod id;
pub mod machine;
pub mod time;
