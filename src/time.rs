//! Moments, and the clock as a value.
//!
//! Nothing below `machine` asks the system for the time: it is handed a [`Clock`].

/// A moment: nanoseconds since 1970-01-01T00:00:00Z, negative before.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Returns the moment that lies `nanoseconds` after this one (before it, if negative).
    #[must_use]
    pub fn plus(self, nanoseconds: i64) -> Self {
        Timestamp(self.0.saturating_add(nanoseconds))
    }

    /// Returns the moment as RFC 3339 text in UTC, with whole seconds.
    pub fn to_rfc3339(self) -> String {
        jiff::Timestamp::from_nanosecond(i128::from(self.0)).map_or_else(
            |_| format!("{} ns", self.0),
            |moment| moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        )
    }
}

/// Where the time comes from.
pub trait Clock: Send + Sync {
    /// Returns the wall clock's time. It may jump either way.
    fn now(&self) -> Timestamp;
    /// Returns nanoseconds since some fixed moment; goes on while the machine sleeps, and never
    /// goes back.
    fn boot_nanoseconds(&self) -> i64;
}

/// One second in nanoseconds.
pub const SECOND: i64 = 1_000_000_000;
