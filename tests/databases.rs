//! Databases through whole backups and restores: live ones, unchanged ones, and odd ones.
//!
//! `STASH_TEST_SQLITE_ROUNDS` says how often each live database is saved (default 5).
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test stops where things are not as they should be"
)]

#[path = "databases/changes.rs"]
mod changes;
mod common_engine;
mod common_sqlite;
#[path = "cli_commands/home.rs"]
#[expect(dead_code, reason = "the tests of the commands need more of it")]
mod home;
#[path = "databases/live.rs"]
mod live;
#[path = "databases/odd.rs"]
mod odd;
#[path = "databases/scene.rs"]
mod scene;

#[test]
fn writer_process() {
    common_sqlite::writer_process();
}

#[test]
fn holder_process() {
    common_sqlite::holder_process();
}
