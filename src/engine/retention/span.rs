//! Lengths of time, as `--keep-within` takes them.

use std::fmt;

use jiff::fmt::friendly::SpanParser;
use jiff::tz::Offset;
use jiff::{Span, Timestamp};

/// A positive length of time, in the units of the calendar, shown as it was written.
#[derive(Debug, Clone)]
pub struct Within {
    span: Span,
    text: String,
}

impl PartialEq for Within {
    fn eq(&self, other: &Self) -> bool {
        self.span.fieldwise() == other.span.fieldwise()
    }
}

impl fmt::Display for Within {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

const FORMS: &str = "write a length of time as `2y5m7d3h` (years, months, days, hours), `6 weeks` \
                     or `90 days`";

impl Within {
    /// Reads restic's form, in which `m` is months: `2y5m7d3h`, units in this order; else any
    /// length that says its units in full or as `mo` and `min`. A bare `m` beside other letters
    /// or out of order is refused: elsewhere it means minutes.
    pub fn parse(text: &str) -> Result<Within, String> {
        let text = text.trim();
        let span = match restic_form(text) {
            Some(span) => span,
            None if has_bare_m(text) => {
                return Err("here `m` could mean months or minutes: write `mo` or `min`".to_owned());
            }
            None => SpanParser::new().parse_span(text).map_err(|_| FORMS)?,
        };
        // A span that reaches beyond the calendar keeps everything, which `unlimited` says better.
        let reaches = Offset::UTC.to_datetime(Timestamp::default()).checked_sub(span).is_ok();
        if !reaches {
            return Err("too long; to keep everything, use `unlimited`".to_owned());
        }
        if !span.is_positive() {
            return Err("a length of time is more than nothing".to_owned());
        }
        Ok(Within { span, text: text.to_owned() })
    }

    /// Returns the moment that lies so long before `time` (both nanoseconds, UTC) on a calendar.
    /// A day that its month does not have is that month's last.
    pub fn before(&self, time: i64, offset: Offset) -> i64 {
        let moment = Timestamp::from_nanosecond(i128::from(time)).unwrap_or_default();
        let before = offset
            .to_datetime(moment)
            .checked_sub(self.span)
            .and_then(|local| offset.to_timestamp(local));
        before.map_or(i64::MIN, |moment| i64::try_from(moment.as_nanosecond()).unwrap_or(i64::MIN))
    }
}

/// Reads `2y5m7d3h`: each unit at most once, in this order.
fn restic_form(text: &str) -> Option<Span> {
    let mut span = Span::new();
    let mut rest = text;
    for unit in ['y', 'm', 'd', 'h'] {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at_checked(digits)?;
        let Some(after) = after.strip_prefix(unit) else { continue };
        let number: i64 = number.parse().ok()?;
        span = match unit {
            'y' => span.try_years(number),
            'm' => span.try_months(number),
            'd' => span.try_days(number),
            _ => span.try_hours(number),
        }
        .ok()?;
        rest = after;
    }
    (rest.is_empty() && !text.is_empty()).then_some(span)
}

fn has_bare_m(text: &str) -> bool {
    let mut words = text.split(|c: char| !c.is_ascii_alphabetic());
    words.any(|word| word == "m")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(text: &str) -> i64 {
        let moment: Timestamp = text.parse().unwrap();
        i64::try_from(moment.as_nanosecond()).unwrap()
    }

    fn before(text: &str, from: &str) -> String {
        let within = Within::parse(text).unwrap();
        let nanoseconds = within.before(moment(from), jiff::tz::offset(2));
        Timestamp::from_nanosecond(nanoseconds.into()).unwrap().to_string()
    }

    #[test]
    fn lengths_of_time_go_back_on_the_calendar_of_the_snapshot() {
        for (text, from, expected) in [
            ("2y5m7d3h", "2028-02-29T10:00:00Z", "2025-09-22T07:00:00Z"),
            ("1y", "2028-02-29T10:00:00Z", "2027-02-28T10:00:00Z"),
            ("1m", "2026-03-31T10:00:00Z", "2026-02-28T10:00:00Z"),
            ("24h", "2026-03-31T10:00:00Z", "2026-03-30T10:00:00Z"),
            // Already the first of March where the snapshot was made.
            ("1 month", "2026-02-28T23:00:00Z", "2026-01-31T23:00:00Z"),
            ("6 weeks", "2026-03-31T10:00:00Z", "2026-02-17T10:00:00Z"),
            ("1w2d", "2026-03-31T10:00:00Z", "2026-03-22T10:00:00Z"),
            ("3mo", "2026-03-31T10:00:00Z", "2025-12-31T10:00:00Z"),
            ("90min", "2026-03-31T10:00:00Z", "2026-03-31T08:30:00Z"),
        ] {
            assert_eq!(before(text, from), expected, "{text}");
        }
        assert_eq!(Within::parse(" 7d ").unwrap().to_string(), "7d");
        assert_eq!(Within::parse("7d"), Within::parse("7 days"));
    }

    #[test]
    fn what_could_mean_two_things_or_nothing_is_refused() {
        for text in ["1h30m", "1h 30m", "5 m", "5m 3y", "1w5m"] {
            assert!(Within::parse(text).unwrap_err().contains("minutes"), "{text}");
        }
        for text in ["", " ", "7", "d", "-7d", "0d", "0h", "7x", "7d ago", "99999999y", "é", "7d7d"]
        {
            assert!(Within::parse(text).is_err(), "{text}");
        }
    }
}
