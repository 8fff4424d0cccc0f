//! `stash doctor` and `stash status` through the real program: each question is broken once, and its
//! verdict, remedy and mending are seen.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops where things are not as they should be"
)]

#[path = "doctor/agents.rs"]
mod agents;
mod common_agents;
#[path = "doctor/machine.rs"]
mod machine;
#[path = "doctor/scene.rs"]
mod scene;
#[path = "doctor/status.rs"]
mod status;
