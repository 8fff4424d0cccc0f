//! The local disk: user files are walked, read and written here, and nowhere else.
//!
//! Reading: [`Walk`] gives the entries below a root in the order of tree blobs, without what
//! [`Excludes`] leaves out; an [`Entry`] opens its file and reads its node. Writing: a [`Target`]
//! is written beneath without ever leaving it. Neither follows symbolic links.
//!
//! Knows nothing of repositories, and decides nothing: what to do about a failure is the caller's.

mod ahead;
mod apply;
mod entry;
mod exclude;
mod metadata;
mod names;
mod owners;
mod remove;
pub mod sqlite;
mod stat;
mod target;
mod walk;
mod xattrs;

pub use apply::{ApplyOptions, OwnerRule};
pub use entry::Entry;
pub use exclude::{ExcludeOptions, ExcludeReason, Excludes, LeaveOut};
pub use metadata::{DataRange, DataRanges, find_stat, open_source, stat_file};
pub use owners::Owners;
pub use stat::Stat;
pub use target::{PendingFile, Target, TargetDir, TargetFile, is_temporary_name};
pub use walk::{Step, Walk};
