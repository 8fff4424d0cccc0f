//! What a person means by a time: the TIME of `--at`, `--time`, `--oldest` and `--newest`.
//!
//! ```text
//! 2026-11-20T14:30:00Z  2026-11-20T14:30+01:00        RFC 3339
//! 2026-11-20  2026-11-20 14:30  2026-11-20T14:30:05   local zone
//! 2h ago   3 days ago   1 week ago   1h 30m ago        before now; days keep the clock's time
//! now   today   yesterday   yesterday 14:00
//! monday   last monday   monday 14:00                 the most recent one before today
//! ```
//!
//! Everything else is refused, and so is the future: a time that was understood wrongly loses
//! data. Callers print the instant that came out ([`show`]).
//!
//! **Bare days.** `--at 2026-11-20` asks for the state of that day, which is its last one:
//! [`Bare::End`] takes the end of the local day, or now if the day is not over. Likewise a time
//! without a fraction means that whole second, since times are shown in whole seconds and a
//! snapshot must be found by the time it is shown with. [`Bare::Start`] takes midnight and the
//! exact second: for `--time` and `--oldest`.
//!
//! **Daylight saving.** A local time that occurs twice means the first, one that does not occur
//! means as much later as the clocks jumped (RFC 5545's rule, jiff's "compatible").

use jiff::Zoned;
use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::fmt::friendly::SpanParser;
use jiff::tz::TimeZone;

use crate::error::{Error, Result};
use crate::time::{SECOND, Timestamp};

/// What a day without a time of day means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bare {
    /// Its first instant.
    Start,
    /// Its last instant, or now if that is earlier.
    End,
}

/// Returns the zone of this computer (`TZ`, else the system's setting, else UTC).
pub fn zone() -> TimeZone {
    TimeZone::system()
}

/// Returns a moment as local date and minute, for lists and conversations.
pub fn show_minute(moment: Timestamp, zone: &TimeZone) -> String {
    let Ok(moment) = jiff::Timestamp::from_nanosecond(i128::from(moment.0)) else {
        return moment.to_rfc3339();
    };
    moment.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M").to_string()
}

/// Returns a moment as people are shown it: local time with seconds and offset.
pub fn show(moment: Timestamp, zone: &TimeZone) -> String {
    to_zoned(moment, zone).map_or_else(
        || moment.to_rfc3339(),
        |zoned| zoned.strftime("%Y-%m-%d %H:%M:%S %:z").to_string(),
    )
}

/// Reads `text` as a moment, not later than `now`, in `zone`.
pub fn parse(text: &str, now: Timestamp, zone: &TimeZone, bare: Bare) -> Result<Timestamp> {
    let here = to_zoned(now, zone).ok_or_else(|| Error::failed("the clock is out of range"))?;
    let asked = text.trim().to_ascii_lowercase();
    let found = days_word(&asked, &here)
        .or_else(|| written_out(&asked, zone))
        .or_else(|| span_ago(&asked, &here))
        .ok_or_else(|| not_understood(text, &asked))?;
    let (start, end) = found.bounds().ok_or_else(|| not_understood(text, &asked))?;
    if start > now {
        return Err(in_the_future(text, start, now, zone));
    }
    Ok(match bare {
        Bare::Start => start,
        Bare::End => end.min(now),
    })
}

/// What was understood, before it is narrowed to one instant.
enum Found {
    /// Exactly this.
    Instant(Zoned),
    /// This second, whole.
    Second(Zoned),
    /// The whole day that this lies in.
    Day(Zoned),
}

impl Found {
    /// Returns the first and the last instant meant.
    fn bounds(&self) -> Option<(Timestamp, Timestamp)> {
        match self {
            Found::Instant(at) => Some((from_zoned(at)?, from_zoned(at)?)),
            Found::Second(at) => Some((from_zoned(at)?, from_zoned(at)?.plus(SECOND - 1))),
            Found::Day(day) => {
                let start = day.start_of_day().ok()?;
                Some((from_zoned(&start)?, from_zoned(&day.end_of_day().ok()?)?))
            }
        }
    }
}

/// `now`, `today`, `yesterday`, `[last] <weekday>`; all but the first with an optional time.
fn days_word(text: &str, here: &Zoned) -> Option<Found> {
    let mut words = text.split_whitespace();
    let mut word = words.next()?;
    let last = word == "last";
    if last {
        word = words.next()?;
    }
    let time = words.next();
    if words.next().is_some() {
        return None;
    }
    let date = match word {
        "now" if !last && time.is_none() => return Some(Found::Instant(here.clone())),
        "today" if !last => here.date(),
        "yesterday" if !last => here.date().yesterday().ok()?,
        name => here.date().nth_weekday(-1, weekday(name)?).ok()?,
    };
    match time {
        None => at(date.at(0, 0, 0, 0), here.time_zone()).map(Found::Day),
        Some(time) => at(date.to_datetime(clock_time(time)?), here.time_zone()).map(Found::Second),
    }
}

/// RFC 3339, or a date with or without a time in `zone`.
fn written_out(text: &str, zone: &TimeZone) -> Option<Found> {
    // jiff takes more than this (bracketed zones, compact dates); we promise no more than we test.
    // What `show` prints has a space before its offset.
    let text = &text.replacen(" +", "+", 1).replacen(" -", "-", 1);
    let shape = text.bytes().map(|byte| if byte.is_ascii_digit() { b'0' } else { byte });
    if !shape.clone().take(10).eq(*b"0000-00-00") || !shape.clone().all(is_written_out) {
        return None;
    }
    if text.len() == 10 {
        return at(text.parse::<Date>().ok()?.at(0, 0, 0, 0), zone).map(Found::Day);
    }
    let (_, time) = text.split_at_checked(11)?;
    let exact = time.contains('.');
    let zoned = if time.contains(['z', '+', '-']) {
        text.parse::<jiff::Timestamp>().ok()?.to_zoned(zone.clone())
    } else {
        clock_time(time.split('.').next()?)?;
        at(text.parse::<DateTime>().ok()?, zone)?
    };
    Some(if exact { Found::Instant(zoned) } else { Found::Second(zoned) })
}

fn is_written_out(byte: u8) -> bool {
    matches!(byte, b'0' | b'-' | b':' | b'.' | b't' | b'z' | b'+' | b' ')
}

/// A span such as `2h` or `3 days`, and `ago`.
fn span_ago(text: &str, here: &Zoned) -> Option<Found> {
    text.strip_suffix("ago").filter(|rest| !rest.trim().is_empty())?;
    let span = SpanParser::new().parse_span(text).ok()?;
    if span.is_positive() {
        return None;
    }
    here.checked_add(span).ok().map(Found::Instant)
}

/// `H:MM`, `HH:MM` or `HH:MM:SS`.
fn clock_time(text: &str) -> Option<Time> {
    let mut parts = [0_i8; 3];
    let mut given = 0_usize;
    for (part, digits) in text.split(':').enumerate() {
        let lengths = if part == 0 { 1..=2 } else { 2..=2 };
        if !lengths.contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *parts.get_mut(part)? = digits.parse().ok()?;
        given = part.saturating_add(1);
    }
    let [hour, minute, second] = parts;
    if given < 2 { None } else { Time::new(hour, minute, second.min(59), 0).ok() }
}

fn weekday(name: &str) -> Option<Weekday> {
    Some(match name {
        "monday" | "mon" => Weekday::Monday,
        "tuesday" | "tue" => Weekday::Tuesday,
        "wednesday" | "wed" => Weekday::Wednesday,
        "thursday" | "thu" => Weekday::Thursday,
        "friday" | "fri" => Weekday::Friday,
        "saturday" | "sat" => Weekday::Saturday,
        "sunday" | "sun" => Weekday::Sunday,
        _ => return None,
    })
}

fn at(local: DateTime, zone: &TimeZone) -> Option<Zoned> {
    local.to_zoned(zone.clone()).ok()
}

fn to_zoned(moment: Timestamp, zone: &TimeZone) -> Option<Zoned> {
    let moment = jiff::Timestamp::from_nanosecond(i128::from(moment.0)).ok()?;
    Some(moment.to_zoned(zone.clone()))
}

fn from_zoned(zoned: &Zoned) -> Option<Timestamp> {
    i64::try_from(zoned.timestamp().as_nanosecond()).ok().map(Timestamp)
}

fn not_understood(text: &str, asked: &str) -> Error {
    // A span without `ago` is the likeliest slip, and dangerous to guess about.
    let hint = if SpanParser::new().parse_span(asked).is_ok_and(|span| !span.is_zero()) {
        format!("for the past write `{} ago`", text.trim())
    } else {
        "write a time as `2026-11-20 14:30`, `2026-11-20T14:30:00Z`, `3 days ago`, \
         `yesterday 14:00` or `last monday`"
            .to_owned()
    };
    Error::usage("not a time that stash understands:").object(text).hint(hint)
}

fn in_the_future(text: &str, start: Timestamp, now: Timestamp, zone: &TimeZone) -> Error {
    Error::usage("this time lies in the future:").object(text).hint(format!(
        "it means {}, and now it is {}",
        show(start, zone),
        show(now, zone)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn berlin() -> TimeZone {
        TimeZone::get("Europe/Berlin").unwrap()
    }

    fn moment(text: &str) -> Timestamp {
        let moment: jiff::Timestamp = text.parse().unwrap();
        Timestamp(i64::try_from(moment.as_nanosecond()).unwrap())
    }

    /// Saturday 2026-11-21 08:31:00 in Berlin.
    fn now() -> Timestamp {
        moment("2026-11-21T07:31:00Z")
    }

    #[test]
    fn every_form_means_what_the_table_says() {
        // text, with `Bare::Start`, with `Bare::End`
        let table = [
            ("now", "2026-11-21T07:31:00Z", "2026-11-21T07:31:00Z"),
            ("2026-11-20T14:30:00Z", "2026-11-20T14:30:00Z", "2026-11-20T14:30:00.999999999Z"),
            ("2026-11-20T14:30:00.25Z", "2026-11-20T14:30:00.25Z", "2026-11-20T14:30:00.25Z"),
            ("2026-11-20t14:30:00+01:00", "2026-11-20T13:30:00Z", "2026-11-20T13:30:00.999999999Z"),
            ("2026-11-20", "2026-11-19T23:00:00Z", "2026-11-20T22:59:59.999999999Z"),
            ("2026-11-21", "2026-11-20T23:00:00Z", "2026-11-21T07:31:00Z"),
            ("2026-11-20 14:30", "2026-11-20T13:30:00Z", "2026-11-20T13:30:00.999999999Z"),
            ("2026-11-20T14:30:05", "2026-11-20T13:30:05Z", "2026-11-20T13:30:05.999999999Z"),
            (
                "2026-11-20 14:30:05 +01:00",
                "2026-11-20T13:30:05Z",
                "2026-11-20T13:30:05.999999999Z",
            ),
            ("2h ago", "2026-11-21T05:31:00Z", "2026-11-21T05:31:00Z"),
            ("1h 30m ago", "2026-11-21T06:01:00Z", "2026-11-21T06:01:00Z"),
            ("3 days ago", "2026-11-18T07:31:00Z", "2026-11-18T07:31:00Z"),
            ("3d ago", "2026-11-18T07:31:00Z", "2026-11-18T07:31:00Z"),
            ("1 week ago", "2026-11-14T07:31:00Z", "2026-11-14T07:31:00Z"),
            ("1 month ago", "2026-10-21T06:31:00Z", "2026-10-21T06:31:00Z"),
            ("today", "2026-11-20T23:00:00Z", "2026-11-21T07:31:00Z"),
            ("today 8:00", "2026-11-21T07:00:00Z", "2026-11-21T07:00:00.999999999Z"),
            ("Yesterday", "2026-11-19T23:00:00Z", "2026-11-20T22:59:59.999999999Z"),
            ("yesterday 14:00", "2026-11-20T13:00:00Z", "2026-11-20T13:00:00.999999999Z"),
            ("monday", "2026-11-15T23:00:00Z", "2026-11-16T22:59:59.999999999Z"),
            ("last monday", "2026-11-15T23:00:00Z", "2026-11-16T22:59:59.999999999Z"),
            ("saturday", "2026-11-13T23:00:00Z", "2026-11-14T22:59:59.999999999Z"),
            ("last fri 09:15:30", "2026-11-20T08:15:30Z", "2026-11-20T08:15:30.999999999Z"),
        ];
        for (text, start, end) in table {
            let parsed =
                |bare| parse(text, now(), &berlin(), bare).map_err(|error| error.to_string());
            assert_eq!(parsed(Bare::Start), Ok(moment(start)), "{text}");
            assert_eq!(parsed(Bare::End), Ok(moment(end)), "{text}");
        }
    }

    #[test]
    fn daylight_saving_moves_the_hours_and_not_the_days() {
        // The clocks went forward on 2026-03-29 at 02:00, back on 2026-10-25 at 03:00.
        let table = [
            ("2026-03-30T06:00:00Z", "1 day ago", "2026-03-29T06:00:00Z"),
            ("2026-03-29T06:00:00Z", "1 day ago", "2026-03-28T07:00:00Z"),
            ("2026-03-29T06:00:00Z", "24h ago", "2026-03-28T06:00:00Z"),
            ("2026-03-30T06:00:00Z", "2026-03-29 02:30", "2026-03-29T01:30:00Z"),
            ("2026-10-26T06:00:00Z", "2026-10-25 02:30", "2026-10-25T00:30:00Z"),
            ("2026-10-26T06:00:00Z", "2026-10-25", "2026-10-24T22:00:00Z"),
        ];
        for (now, text, expected) in table {
            let parsed = parse(text, moment(now), &berlin(), Bare::Start).unwrap();
            assert_eq!(parsed, moment(expected), "{text} at {now}");
        }
        let end = parse("2026-10-25", now(), &berlin(), Bare::End).unwrap();
        assert_eq!(end, moment("2026-10-25T22:59:59.999999999Z"));
    }

    #[test]
    fn whatever_else_is_written_is_refused() {
        for text in [
            "",
            " ",
            "ago",
            "3d",
            "3 days",
            "last month",
            "next monday",
            "last yesterday",
            "tomorrow",
            "yesterday 25:00",
            "yesterday 14",
            "today 14:60",
            "now 12:00",
            "monday tuesday",
            "20261120",
            "2026-13-01",
            "2026-11-31",
            "2026-11-20 14",
            "2026-11-20T14:30[Europe/Berlin]",
            "2026-11-20T14:30:00+01:00x",
            "-3d ago",
            "-3d",
            "P3D",
            "P3D ago",
            "3 lightyears ago",
            "1",
            "latest",
            "2026-11-20 24:00",
            "99999-01-01",
            "0001-01-01",
            "999999999999 years ago",
            "é",
        ] {
            let error = parse(text, now(), &berlin(), Bare::End).unwrap_err();
            assert_eq!(error.kind(), Kind::Usage, "{text}");
            assert!(error.to_string().starts_with("not a time"), "{text}: {error}");
        }
    }

    #[test]
    fn a_span_without_ago_is_answered_with_the_right_words() {
        let error = parse("3 days", now(), &berlin(), Bare::End).unwrap_err();
        assert_eq!(error.hint_text(), Some("for the past write `3 days ago`"));
    }

    #[test]
    fn the_future_is_refused_with_both_instants() {
        for text in ["2026-11-22", "today 08:32", "2026-11-21T07:31:01Z", "2027-01-01 00:00"] {
            let error = parse(text, now(), &berlin(), Bare::End).unwrap_err();
            assert!(error.to_string().starts_with("this time lies in the future"), "{text}");
        }
        let error = parse("2026-11-22 00:00", now(), &berlin(), Bare::End).unwrap_err();
        assert_eq!(
            error.hint_text(),
            Some("it means 2026-11-22 00:00:00 +01:00, and now it is 2026-11-21 08:31:00 +01:00")
        );
    }

    #[test]
    fn a_moment_is_found_again_by_what_is_shown() {
        let exact = moment("2026-11-20T13:30:12.345Z");
        let shown = show(exact, &berlin());
        assert_eq!(shown, "2026-11-20 14:30:12 +01:00");
        let again = parse("2026-11-20 14:30:12", now(), &berlin(), Bare::End).unwrap();
        assert!(again >= exact && again < exact.plus(SECOND));
    }
}
