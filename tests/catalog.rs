//! The catalog of agents: what every file is, where every root lies, and what is refused.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops where things are not as they should be"
)]

#[path = "catalog/definitions.rs"]
mod definitions;
#[path = "catalog/first_row.rs"]
mod first_row;
#[path = "catalog/homes.rs"]
mod homes;
#[path = "catalog/machines.rs"]
mod machines;
#[path = "catalog/matching.rs"]
mod matching;
#[path = "catalog/rows.rs"]
mod rows;
#[path = "catalog/second_row.rs"]
mod second_row;
#[path = "catalog/wrong.rs"]
mod wrong;

mod common_agents;
