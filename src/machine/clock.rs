//! What time it is.
#![expect(clippy::disallowed_methods, reason = "the one place that asks for the time")]

use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

use crate::time::{Clock, SECOND, Timestamp};

/// The clocks of this computer.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let nanoseconds = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
            Err(before) => {
                i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |nanos| -nanos)
            }
        };
        Timestamp(nanoseconds)
    }

    fn boot_nanoseconds(&self) -> i64 {
        let moment = boot_clock();
        moment.tv_sec.saturating_mul(SECOND).saturating_add(moment.tv_nsec)
    }
}

/// Linux's monotonic clock stands still while the machine sleeps; the boot clock does not.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn boot_clock() -> rustix::time::Timespec {
    rustix::time::clock_gettime_dynamic(rustix::time::DynamicClockId::Boottime)
        .unwrap_or_else(|_| clock_gettime(ClockId::Monotonic))
}

/// Elsewhere the monotonic clock is the best there is; on macOS it goes on during sleep.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn boot_clock() -> rustix::time::Timespec {
    clock_gettime(ClockId::Monotonic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_clock_never_goes_back_and_the_wall_clock_is_past_2020() {
        let first = SystemClock.boot_nanoseconds();
        assert!(SystemClock.boot_nanoseconds() >= first);
        assert!(SystemClock.now() > Timestamp(1_577_836_800 * SECOND));
    }
}
