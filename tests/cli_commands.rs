//! The commands of the real program, each run in a home of its own with nothing else in its
//! environment.
//!
//! `STASH_BLESS=1 cargo test --test cli_commands` writes the golden files anew; read the diff.
#![expect(clippy::disallowed_methods, reason = "tests own their folders")]
#![expect(clippy::unwrap_used, reason = "test code outside of test functions")]
#![expect(clippy::indexing_slicing, reason = "what is missing fails the test")]

#[path = "cli_commands/backup.rs"]
mod backup;
#[path = "cli_commands/config.rs"]
mod config;
#[path = "cli_commands/copy.rs"]
mod copy;
#[path = "cli_commands/forget.rs"]
mod forget;
#[path = "cli_commands/golden.rs"]
mod golden;
#[path = "cli_commands/home.rs"]
mod home;
#[path = "cli_commands/inspect.rs"]
mod inspect;
#[path = "cli_commands/jobs.rs"]
mod jobs;
#[path = "cli_commands/keys.rs"]
mod keys;
#[path = "cli_commands/maintenance.rs"]
mod maintenance;
#[path = "cli_commands/repos.rs"]
mod repos;
#[path = "cli_commands/restore.rs"]
mod restore;
