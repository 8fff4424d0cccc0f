//! What a policy says, and the words for why it keeps something.

use std::fmt;

use jiff::civil::Date;

use super::Within;
use crate::format::record::Snapshot;
use crate::time::SECOND;

/// A stretch of time of which one snapshot is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Period {
    /// Each snapshot by itself.
    Last,
    /// An hour.
    Hourly,
    /// A day of the calendar.
    Daily,
    /// A week, Monday to Sunday.
    Weekly,
    /// A month.
    Monthly,
    /// A year.
    Yearly,
}

impl Period {
    /// All of them, the shortest first.
    pub const ALL: [Period; 6] = [
        Period::Last,
        Period::Hourly,
        Period::Daily,
        Period::Weekly,
        Period::Monthly,
        Period::Yearly,
    ];

    /// The word for it in options and reasons.
    pub fn name(self) -> &'static str {
        match self {
            Period::Last => "last",
            Period::Hourly => "hourly",
            Period::Daily => "daily",
            Period::Weekly => "weekly",
            Period::Monthly => "monthly",
            Period::Yearly => "yearly",
        }
    }

    /// Returns a number that snapshots of the same period share, and no others.
    pub(super) fn number(self, snapshot: &Snapshot, place: usize) -> i64 {
        let date = local_date(snapshot);
        match self {
            Period::Last => i64::try_from(place).unwrap_or(i64::MAX),
            // Clocks that differ by half an hour show whole hours at other moments.
            Period::Hourly => {
                let part = snapshot.offset_minutes.rem_euclid(60).saturating_mul(60 * SECOND);
                snapshot.time.saturating_add(part).div_euclid(3600 * SECOND)
            }
            Period::Daily => i64::from(date.year())
                .saturating_mul(1000)
                .saturating_add(date.day_of_year().into()),
            Period::Weekly => {
                let week = date.iso_week_date();
                i64::from(week.year()).saturating_mul(100).saturating_add(week.week().into())
            }
            Period::Monthly => {
                i64::from(date.year()).saturating_mul(100).saturating_add(date.month().into())
            }
            Period::Yearly => date.year().into(),
        }
    }
}

/// Returns the date on the calendar where a snapshot was made.
fn local_date(snapshot: &Snapshot) -> Date {
    let moment = jiff::Timestamp::from_nanosecond(i128::from(snapshot.time)).unwrap_or_default();
    offset(snapshot).to_datetime(moment).date()
}

/// Returns how far local time was ahead of UTC where a snapshot was made.
pub(super) fn offset(snapshot: &Snapshot) -> jiff::tz::Offset {
    let seconds = i32::try_from(snapshot.offset_minutes.saturating_mul(60)).unwrap_or(0);
    jiff::tz::Offset::from_seconds(seconds).unwrap_or(jiff::tz::Offset::UTC)
}

/// How many periods are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// This many; 0 is none.
    Number(u32),
    /// All there are.
    Unlimited,
}

impl Count {
    pub(super) fn is_left(self) -> bool {
        self != Count::Number(0)
    }

    pub(super) fn less_one(self) -> Count {
        match self {
            Count::Number(number) => Count::Number(number.saturating_sub(1)),
            Count::Unlimited => Count::Unlimited,
        }
    }
}

/// What is kept. An empty policy keeps nothing of its own.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Policy {
    /// How many of each period.
    pub counts: Vec<(Period, Count)>,
    /// How long ago, reckoned from the newest snapshot of the group, one of each period is kept;
    /// [`Period::Last`] stands for every snapshot.
    pub within: Vec<(Period, Within)>,
    /// Snapshots with all tags of one of these lists.
    pub tags: Vec<Vec<String>>,
}

impl Policy {
    /// Returns what agents' snapshots are kept by unless somebody says otherwise.
    pub fn for_agents() -> Policy {
        let counts =
            [(Period::Last, 7), (Period::Daily, 30), (Period::Weekly, 12), (Period::Monthly, 6)];
        Policy {
            counts: counts.map(|(period, number)| (period, Count::Number(number))).to_vec(),
            ..Policy::default()
        }
    }

    /// Returns whether it keeps nothing of its own, as when nothing was said.
    pub fn is_empty(&self) -> bool {
        !self.counts.iter().any(|(_, count)| count.is_left())
            && self.within.is_empty()
            && self.tags.is_empty()
    }
}

/// Why a snapshot is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// It is the newest of its period.
    Newest(Period),
    /// It is the oldest, and fewer periods were found than the policy has.
    Oldest(Period),
    /// It is young enough; the text is the length of time as it was written.
    Within(Period, String),
    /// It has all of these tags.
    Tags(Vec<String>),
    /// It is pinned.
    Pinned,
    /// It was taken before a restore overwrote something.
    Safety,
    /// It is dated more than an hour past now.
    Future,
    /// It is the newest of its machine that holds this agent.
    Carries(String),
}

impl Reason {
    /// Returns whether it sets the snapshot aside, so that it stands for no period.
    pub fn sets_aside(&self) -> bool {
        matches!(self, Reason::Safety | Reason::Future)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Newest(period) => write!(f, "{} snapshot", period.name()),
            Reason::Oldest(period) => write!(f, "oldest {} snapshot", period.name()),
            Reason::Within(Period::Last, text) => write!(f, "within {text}"),
            Reason::Within(period, text) => write!(f, "{} within {text}", period.name()),
            Reason::Tags(tags) => write!(f, "has tags {}", tags.join(",")),
            Reason::Pinned => f.write_str("pinned"),
            Reason::Safety => f.write_str("safety snapshot"),
            Reason::Future => f.write_str("dated in the future"),
            Reason::Carries(agent) => write!(f, "newest with {agent}"),
        }
    }
}
