//! What can be made good again, as new objects beside the old ones.
//!
//! [`repair_index`] publishes what packs hold and no readable record says;
//! [`repair_snapshots`] writes snapshots without what is lost. Neither edits or deletes anything.
//! [`repair_data`] takes what is lost from a second repository.
//! [`put_header_back`] is the one exception, and none: it writes the same header that was there.

mod data;
mod header;
mod index;
mod snapshots;

pub use data::{RepairDataOptions, RepairDataReport, refuse_other_keys, repair_data};
pub use header::put_header_back;
pub use index::{RepairIndexReport, repair_index};
pub use snapshots::{Hole, RepairSnapshotsOptions, Repaired, RepairedSnapshot, repair_snapshots};
