//! When a line of a crontab runs next.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{ToSpan as _, Zoned};

use crate::time::Timestamp;

/// So far ahead is looked.
const DAYS: u32 = 367;

/// Returns the next moment after `now` that the five fields of a line, or its `@` word, name; `None` if
/// they name none within a year, or hold more than numbers, lists, ranges and steps.
pub fn next_run(cron: &str, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    let fields = match cron.trim() {
        "@hourly" => "0 * * * *",
        "@daily" | "@midnight" => "0 0 * * *",
        "@weekly" => "0 0 * * 0",
        "@monthly" => "0 0 1 * *",
        "@yearly" | "@annually" => "0 0 1 1 *",
        fields => fields,
    };
    let [minute, hour, day, month, weekday] =
        <[&str; 5]>::try_from(fields.split_whitespace().collect::<Vec<_>>()).ok()?;
    let minutes = numbers(minute, 0, 59)?;
    let hours = numbers(hour, 0, 23)?;
    let days = numbers(day, 1, 31)?;
    let months = numbers(month, 1, 12)?;
    let weekdays: Vec<u8> = numbers(weekday, 0, 7)?.into_iter().map(|it| it % 7).collect();
    let is_day = |date: jiff::civil::Date| {
        let fits = |numbers: &[u8], number: i8| {
            numbers.iter().any(|it| i16::from(*it) == i16::from(number))
        };
        let by_day = fits(&days, date.day());
        let by_weekday = fits(&weekdays, date.weekday().to_sunday_zero_offset());
        // Two fields that both choose are joined by "or".
        let both = day != "*" && weekday != "*";
        fits(&months, date.month())
            && if both { by_day || by_weekday } else { by_day && by_weekday }
    };
    let begin = jiff::Timestamp::from_nanosecond(i128::from(now.0)).ok()?;
    let begin = Zoned::new(begin, zone.clone()).datetime();
    let mut date = begin.date();
    for _ in 0..DAYS {
        if is_day(date) {
            let times =
                hours.iter().flat_map(|hour| minutes.iter().map(move |minute| (*hour, *minute)));
            let found = times
                .filter_map(|(hour, minute)| moment(date, hour, minute))
                .find(|moment| *moment > begin);
            if let Some(found) = found {
                let instant = found.to_zoned(zone.clone()).ok()?.timestamp();
                return i64::try_from(instant.as_nanosecond()).ok().map(Timestamp);
            }
        }
        date = date.checked_add(1.day()).ok()?;
    }
    None
}

fn moment(date: jiff::civil::Date, hour: u8, minute: u8) -> Option<DateTime> {
    let (hour, minute) = (i8::try_from(hour).ok()?, i8::try_from(minute).ok()?);
    Some(date.at(hour, minute, 0, 0))
}

/// Returns the numbers that a field names, in ascending order.
fn numbers(field: &str, least: u8, most: u8) -> Option<Vec<u8>> {
    let mut found = Vec::new();
    for part in field.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, step.parse().ok().filter(|step| *step > 0)?),
            None => (part, 1),
        };
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => (least, most),
            Some((first, last)) => (first.parse().ok()?, last.parse().ok()?),
            None => {
                let first = range.parse().ok()?;
                (first, if step > 1 { most } else { first })
            }
        };
        if first < least || last > most || first > last {
            return None;
        }
        found.extend((first..=last).step_by(step));
    }
    found.sort_unstable();
    found.dedup();
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_moment_is_found_as_cron_would() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        // A Friday, 14:30:30 there.
        let now: jiff::Timestamp = "2026-11-20T13:30:30Z".parse().unwrap();
        let now = Timestamp(i64::try_from(now.as_nanosecond()).unwrap());
        for (cron, next) in [
            ("17 * * * *", "2026-11-20T14:17:00Z"),
            ("*/15 * * * *", "2026-11-20T13:45:00Z"),
            ("30 14 * * *", "2026-11-21T13:30:00Z"),
            ("0 3 * * 1-5", "2026-11-23T02:00:00Z"),
            ("0 3 1 * *", "2026-12-01T02:00:00Z"),
            ("0 3 1 * 0", "2026-11-22T02:00:00Z"),
            ("0 0 29 2 *", ""),
            ("@daily", "2026-11-20T23:00:00Z"),
            ("0 3 * * mon", ""),
            ("60 * * * *", ""),
            ("* * *", ""),
        ] {
            let found = next_run(cron, now, &zone).map(Timestamp::to_rfc3339);
            assert_eq!(found.unwrap_or_default(), next, "{cron}");
        }
    }
}
