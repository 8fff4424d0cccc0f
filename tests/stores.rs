//! One suite for all stores: what a repository relies on, and whole runs of the engine.
//!
//! It runs on memory, on a folder, and on a small S3 server of the tests' own, once honouring "make
//! only if nothing is there" and once ignoring it, and on a git remote. `tests/servers/` has scripts that start real
//! servers and run this with `STASH_TEST_S3` (`URL KEY SECRET [REGION]`) or `STASH_TEST_AZURE`
//! (`URL ACCOUNT KEY`) set; the same suite then runs on those as well.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test stops where things are not as they should be"
)]

#[path = "stores/append_only.rs"]
mod append_only;
mod common_engine;
mod common_s3;
#[path = "stores/faults.rs"]
mod faults;
#[cfg(feature = "git")]
#[path = "stores/git.rs"]
mod git;
#[cfg(feature = "git")]
#[path = "stores/git_faults.rs"]
mod git_faults;
#[cfg(feature = "git")]
#[path = "stores/git_servers.rs"]
mod git_servers;
#[cfg(feature = "git")]
#[path = "stores/git_ssh.rs"]
mod git_ssh;
#[path = "stores/locked.rs"]
mod locked;
#[path = "stores/probe.rs"]
mod probe;
#[path = "stores/scene.rs"]
mod scene;
#[path = "stores/suite.rs"]
mod suite;
