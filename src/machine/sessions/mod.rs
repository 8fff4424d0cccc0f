//! Sessions of coding agents, wherever they are: on this disk, in snapshots of any machine, deleted or
//! not.
//!
//! A backup notes of each session what a list shows ([`SessionObserver`]), beside the snapshot. So all
//! sessions of all machines are listed without reading any ([`saved_sessions`]), joined with what lies
//! here now ([`local_files`], [`list_sessions`]), and one of them is read where it is at hand
//! ([`SessionReader`]), or all of them are searched ([`index`]).

mod disk;
mod forget;
pub mod index;
mod list;
mod local;
mod observer;
mod outline;
mod place;
mod read;
mod saved;
mod snapshot;
mod versions;

pub use forget::{ForgetPlan, SessionName, plan_forget};
pub use list::{SessionRow, SessionState, list_sessions};
pub use local::{LocalFile, local_files};
pub use observer::SessionObserver;
pub use place::{Fate, FoundBy, SessionPlacer, SessionPlan, TargetProject};
pub use read::SessionReader;
pub use saved::{SavedSession, SessionsWish, saved_sessions};
pub use versions::{SessionVersion, keep_vanished, session_versions};
