//! What there may be to clean up, as far as the log is known here: a few counts, for a decision that
//! must cost little.

use rusqlite::params;

use super::{Cache, wrap};
use crate::error::Result;
use crate::id::LaneId;

/// When something was last done, by whom.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Turn {
    /// By this machine (nanoseconds, UTC).
    pub own: Option<i64>,
    /// By any other.
    pub others: Option<i64>,
}

/// The counts. See the module's head.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Clutter {
    /// Records that no checkpoint covers.
    pub uncovered_records: u64,
    /// What the units in them take, in bytes.
    pub uncovered_bytes: u64,
    /// Of these records, this machine's that are younger than the newest checkpoint.
    pub own_new_records: u64,
    /// Other lanes that have been heard of lately.
    pub other_lanes: u64,
    /// Condemnations whose grace is over, and that nobody has swept.
    pub overdue_condemnations: u64,
    /// Packs that are short.
    pub small_packs: u64,
    /// The newest checkpoints.
    pub checkpoints: Turn,
    /// The newest condemnations or sweeps.
    pub decisions: Turn,
}

/// What is counted.
#[derive(Debug, Clone, Copy)]
pub struct ClutterQuestion {
    /// This machine's lane.
    pub own: LaneId,
    /// A lane counts if it has said something since then (nanoseconds, UTC).
    pub heard_since: i64,
    /// A condemnation is overdue if it is older than that.
    pub condemned_before: i64,
    /// A pack is small below this, in bytes.
    pub small: u64,
}

/// With fewer packs than this no part of them is many.
const MANY_PACKS: u64 = 256;
const UNCOVERED: &str = "NOT EXISTS (SELECT 1 FROM covered WHERE covered.hash = record.hash)";

impl Cache {
    /// Counts.
    pub fn clutter(&self, question: &ClutterQuestion) -> Result<Clutter> {
        let own = question.own.as_bytes();
        let count = |sql: &str, values: &[&dyn rusqlite::ToSql]| -> Result<u64> {
            self.lock().query_row(sql, values, |row| row.get(0)).map_err(wrap)
        };
        let packs = count("SELECT COUNT(*) FROM object WHERE name LIKE 'packs/%'", &[])?;
        Ok(Clutter {
            uncovered_records: count(
                &format!("SELECT COUNT(*) FROM record WHERE {UNCOVERED}"),
                &[],
            )?,
            uncovered_bytes: count(
                &format!(
                    "SELECT COALESCE(SUM(unit.stored), 0) FROM record \
                     JOIN object ON object.hash = record.hash \
                     JOIN unit ON unit.object = object.number WHERE {UNCOVERED}"
                ),
                &[],
            )?,
            own_new_records: count(
                &format!(
                    "SELECT COUNT(*) FROM record WHERE lane = ?1 AND {UNCOVERED} AND written > \
                     (SELECT COALESCE(MAX(made.written), -1) FROM checkpoint \
                      JOIN record AS made ON made.hash = checkpoint.record)"
                ),
                params![own],
            )?,
            other_lanes: count(
                "SELECT COUNT(DISTINCT lane) FROM record WHERE lane != ?1 AND written >= ?2",
                params![own, question.heard_since],
            )?,
            overdue_condemnations: count(
                "SELECT COUNT(*) FROM condemnation JOIN record ON record.hash = condemnation.record \
                 WHERE record.written <= ?1 AND NOT EXISTS \
                 (SELECT 1 FROM swept WHERE swept.condemnation = condemnation.record)",
                params![question.condemned_before],
            )?,
            // Counting them is one pass over all units: only where there could be many.
            small_packs: if packs > MANY_PACKS { self.small_packs(question.small)? } else { 0 },
            checkpoints: self.turn("SELECT record FROM checkpoint", question.own)?,
            decisions: self.turn(
                "SELECT record FROM condemnation UNION SELECT record FROM sweep",
                question.own,
            )?,
        })
    }

    fn small_packs(&self, small: u64) -> Result<u64> {
        let sql = "SELECT COUNT(*) FROM (SELECT 1 FROM unit \
                   JOIN object ON object.number = unit.object WHERE object.name LIKE 'packs/%' \
                   GROUP BY unit.object HAVING MAX(unit.offset + unit.stored) < ?1)";
        self.lock().query_row(sql, [small], |row| row.get(0)).map_err(wrap)
    }

    /// Returns when the newest of these records were written.
    fn turn(&self, records: &str, own: LaneId) -> Result<Turn> {
        let sql = format!(
            "SELECT MAX(CASE WHEN lane = ?1 THEN written END), \
             MAX(CASE WHEN lane != ?1 THEN written END) FROM record WHERE hash IN ({records})"
        );
        let turn = |row: &rusqlite::Row<'_>| Ok(Turn { own: row.get(0)?, others: row.get(1)? });
        self.lock().query_row(&sql, [own.as_bytes()], turn).map_err(wrap)
    }
}
