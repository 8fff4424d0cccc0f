//! The operations on a repository. Plain threads and bounded channels; nothing here prints, asks
//! for the time or reads the environment.

pub mod attachments;
pub mod backup;
pub mod browse;
pub mod check;
pub mod copy;
pub mod inspect;
pub mod maintenance;
pub mod mark;
pub mod prune;
pub mod purge;
mod reliance;
pub mod repair;
pub mod restore;
pub mod retention;
mod rewrite;
