//! What coding agents keep on a disk: a catalog of definitions, and pure code that reads them.
//!
//! A new agent is one TOML file and no Rust. [`Catalog`] holds the definitions that come with the
//! program (`catalog/*.toml`) and those of the user; an [`Agent`] says where its roots lie on a
//! machine ([`Agent::roots`]), what each file below them is ([`Agent::classify`]), and which
//! folders need no walk ([`Agent::prunes`]).
//!
//! Promises: the environment and the home come in as [`Places`]; nothing is written; the disk is
//! asked only whether something is there (`disk.rs` is the one door); [`secrets`] finds credentials in
//! streams that are handed in. What the definitions state is
//! as sure as its [`Basis`] says. Values may be shared between threads.

mod agent;
mod capabilities;
mod catalog;
mod definition;
mod disk;
mod patterns;
mod places;
mod projects;
mod roots;
mod rules;
pub mod secrets;
pub mod session;
mod sessions;
mod template;
mod words;

pub use agent::{
    Agent, Basis, Detects, FileRule, HookPlace, Merge, Origin, Projects, Registry, RestoreRules,
    Retention, RetentionSetting, RootDefinition, RunningCheck, SessionStore, Variable,
};
pub use capabilities::{Capability, Support};
pub use catalog::{Catalog, Detected};
pub(crate) use definition::reader;
pub use places::Places;
pub use roots::{AgentRoot, RootProblem, RootSource};
pub use rules::{Classified, PROJECT, Prune};
pub use sessions::SessionFiles;
pub use template::PlaceTemplate;
pub(crate) use words::nearest;
pub use words::{
    Evidence, HookFormat, MergeFormat, PathKind, Payload, PidPlace, PurgeClock, RetentionUnit,
    RunningKind, SessionPlacement, SessionShape, System, categories_of, category_words,
};
