//! Moments as agents write them: numbers of unknown unit, and texts of several forms.

use crate::time::Timestamp;

/// Returns the moment that a number means. Its size tells the unit: seconds up to the year 5138,
/// then milliseconds, microseconds, nanoseconds. `None` for 0 and below, which stand for "never".
pub(super) fn of_number(number: i64) -> Option<Timestamp> {
    let nanoseconds = match number {
        ..=0 => return None,
        1..100_000_000_000 => number.saturating_mul(1_000_000_000),
        100_000_000_000..100_000_000_000_000 => number.saturating_mul(1_000_000),
        100_000_000_000_000..100_000_000_000_000_000 => number.saturating_mul(1_000),
        _ => number,
    };
    Some(Timestamp(nanoseconds))
}

/// Returns the moment that a text names: RFC 3339, `2026-11-08 10:00:00` in UTC, or a number.
pub(super) fn of_text(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if let Some(number) = whole_number(text) {
        return of_number(number);
    }
    let moment = text.parse::<jiff::Timestamp>().ok().or_else(|| {
        let civil: jiff::civil::DateTime = text.parse().ok()?;
        civil.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
    })?;
    i64::try_from(moment.as_nanosecond()).ok().map(Timestamp)
}

/// Returns the part of a decimal number before its point; `None` for what is no number, or too
/// large.
#[expect(clippy::cast_possible_truncation, reason = "the value was compared with the type's range")]
pub(super) fn whole_number(text: &str) -> Option<i64> {
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    // `nan` and `inf` are numbers to the standard library only.
    if !text.starts_with(|first: char| first.is_ascii_digit() || first == '-') {
        return None;
    }
    let number: f64 = text.parse().ok()?;
    (number.abs() < 9.2e18).then_some(number as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_of_a_number_tells_its_unit() {
        let second = Some(Timestamp(1_794_132_000_000_000_000));
        for number in [1_794_132_000, 1_794_132_000_000, 1_794_132_000_000_000] {
            assert_eq!(of_number(number), second);
        }
        assert_eq!(of_number(1_794_132_000_000_000_000), second);
        assert_eq!(of_number(0), None);
        assert_eq!(of_number(-5), None);
        assert_eq!(of_number(i64::MAX), Some(Timestamp(i64::MAX)));
    }

    #[test]
    fn texts_of_several_forms_are_the_same_moment() {
        let second = Some(Timestamp(1_794_132_000_000_000_000));
        for text in [
            "2026-11-08T10:00:00Z",
            "2026-11-08T10:00:00.000Z",
            "2026-11-08T11:00:00+01:00",
            "2026-11-08 10:00:00",
            "1794132000000",
            "1794132000.25",
        ] {
            assert_eq!(of_text(text), second, "{text}");
        }
        for text in ["", "yesterday", "nan", "inf", "9999999999999999999999"] {
            assert_eq!(of_text(text), None, "{text}");
        }
    }
}
