//! Values that options take, and how they are written.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser};

use super::retention::TagList;
use crate::engine::retention::{Count, GroupBy};
use crate::format::tree::Category;

/// Which snapshot is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotName {
    /// The newest, or the one this many before it.
    Latest(u32),
    /// The one whose id begins like this: 1 to 64 hex digits, in lower case.
    Id(String),
}

/// `SNAPSHOT[:PATH]`: a snapshot, or a place inside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotArgument {
    /// The snapshot.
    pub name: SnapshotName,
    /// The place inside, as bytes; `None` is all of it.
    pub path: Option<Vec<u8>>,
}

impl SnapshotArgument {
    /// The newest snapshot, whole.
    pub const LATEST: SnapshotArgument =
        SnapshotArgument { name: SnapshotName::Latest(0), path: None };

    /// Reads `latest`, `latest~2`, `3f9a`, each with an optional `:PATH`.
    pub fn parse(text: &OsStr) -> Result<Self, String> {
        let bytes = text.as_bytes();
        let (name, path) = match bytes.iter().position(|byte| *byte == b':') {
            Some(colon) => {
                let (name, path) = bytes.split_at(colon);
                (name, path.get(1..).filter(|path| !path.is_empty()))
            }
            None => (bytes, None),
        };
        let name = std::str::from_utf8(name).ok().and_then(snapshot_name).ok_or(
            "neither `latest`, `latest~N` nor the beginning of a snapshot's id \
             (`stash snapshots` lists them)",
        )?;
        Ok(SnapshotArgument { name, path: path.map(<[u8]>::to_vec) })
    }

    /// Returns whether it is `latest` or relative to it, and so may stand beside `--at`.
    pub fn is_latest(&self) -> bool {
        matches!(self.name, SnapshotName::Latest(_))
    }

    /// Returns a value parser for clap.
    pub(super) fn parser() -> impl TypedValueParser<Value = SnapshotArgument> {
        OsStringValueParser::new().try_map(|text: OsString| SnapshotArgument::parse(&text))
    }
}

impl std::fmt::Display for SnapshotArgument {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.name {
            SnapshotName::Latest(0) => f.write_str("latest")?,
            SnapshotName::Latest(before) => write!(f, "latest~{before}")?,
            SnapshotName::Id(id) => f.write_str(id)?,
        }
        match &self.path {
            Some(path) => write!(f, ":{}", OsString::from_vec(path.clone()).display()),
            None => Ok(()),
        }
    }
}

fn snapshot_name(text: &str) -> Option<SnapshotName> {
    if text == "latest" {
        return Some(SnapshotName::Latest(0));
    }
    if let Some(before) = text.strip_prefix("latest~") {
        let digits = before.bytes().all(|byte| byte.is_ascii_digit());
        return before.parse().ok().filter(|_| digits).map(SnapshotName::Latest);
    }
    let hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    (hex && (1..=64).contains(&text.len())).then(|| SnapshotName::Id(text.to_ascii_lowercase()))
}

/// How much of the data `check --read-data-subset` reads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ReadSubset {
    /// A random share, above 0 and up to 100.
    Percent(f64),
    /// The `part`-th of `of` equal parts; `1 <= part <= of`. All parts together read everything.
    Part {
        /// Which part, from 1.
        part: u32,
        /// Of how many.
        of: u32,
    },
    /// At most this many bytes, at random.
    Bytes(u64),
}

/// Reads `10%`, `1/7` or `5G`.
pub(super) fn read_subset(text: &str) -> Result<ReadSubset, String> {
    const FORMS: &str = "write a share as `10%`, a part as `1/7`, or a size as `5G`";
    if let Some(percent) = text.strip_suffix('%') {
        let percent: f64 = percent.trim().parse().map_err(|_| FORMS)?;
        return if percent > 0.0 && percent <= 100.0 {
            Ok(ReadSubset::Percent(percent))
        } else {
            Err("a share lies above 0% and up to 100%".to_owned())
        };
    }
    if let Some((part, of)) = text.split_once('/') {
        let part: u32 = part.parse().map_err(|_| FORMS)?;
        let of: u32 = of.parse().map_err(|_| FORMS)?;
        return if part >= 1 && part <= of {
            Ok(ReadSubset::Part { part, of })
        } else {
            Err("the parts are counted from 1, as in `1/7` to `7/7`".to_owned())
        };
    }
    match size(text) {
        Ok(0) => Err("nothing would be read".to_owned()),
        Ok(bytes) => Ok(ReadSubset::Bytes(bytes)),
        Err(_) => Err(FORMS.to_owned()),
    }
}

/// Reads a size: `100`, `100K`, `1.5G`, `10MiB` (1024 each, as restic has it), `10MB` (1000 each).
pub(super) fn size(text: &str) -> Result<u64, String> {
    const FORMS: &str = "write a size as `500`, `100K`, `20M`, `1.5G` or `2T`";
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(split).ok_or(FORMS)?;
    let unit = unit.trim().to_ascii_lowercase();
    let (letter, thousand) = match unit.strip_suffix('b') {
        Some(rest) if !rest.is_empty() && !rest.ends_with('i') => (rest, 1000_u64),
        Some(rest) => (rest, 1024),
        None => (unit.as_str(), 1024),
    };
    let power = match letter.strip_suffix('i').unwrap_or(letter) {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        _ => return Err(FORMS.to_owned()),
    };
    let factor = thousand.pow(power);
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(factor).ok_or_else(|| "too large".to_owned());
    }
    let number: f64 = number.parse().map_err(|_| FORMS)?;
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a fraction is not negative (no sign passes), and the cast saturates"
    )]
    Ok((number * factor as f64) as u64)
}

/// Reads a length of time: `90s`, `1h 30m`, `30d`, `2w`; a day has 24 hours.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let read = || {
        let span = jiff::fmt::friendly::SpanParser::new().parse_span(text).ok()?;
        // Neither has months: they are not all of one length.
        let length = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).ok()?;
        Duration::try_from(length).ok()
    };
    read().ok_or_else(|| "write a length of time as `90s`, `1h 30m`, `30d` or `2w`".to_owned())
}

/// Reads how many periods a policy keeps: `7`, or `unlimited` (restic's `-1`, too).
pub(super) fn keep_count(text: &str) -> Result<Count, String> {
    match text {
        "unlimited" | "-1" => Ok(Count::Unlimited),
        number => number
            .parse()
            .map(Count::Number)
            .map_err(|_| "write a number, or `unlimited`".to_owned()),
    }
}

/// Reads tags with commas between; no tag at all would match every snapshot.
pub(super) fn tag_list(text: &str) -> Result<TagList, String> {
    let tags: Vec<String> =
        text.split(',').filter(|tag| !tag.is_empty()).map(str::to_owned).collect();
    if tags.is_empty() { Err("no tag is named".to_owned()) } else { Ok(TagList(tags)) }
}

/// Reads by what snapshots are grouped: `host,job`; an empty text is no grouping.
pub(super) fn group_by(text: &str) -> Result<GroupBy, String> {
    let mut by = GroupBy { host: false, job: false, paths: false, tags: false };
    for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        match word {
            "host" | "hosts" => by.host = true,
            "job" | "jobs" => by.job = true,
            "path" | "paths" => by.paths = true,
            "tag" | "tags" => by.tags = true,
            _ => return Err("the words are `host`, `job`, `paths` and `tags`".to_owned()),
        }
    }
    Ok(by)
}

/// Reads a category of an agent's files.
pub(super) fn category(text: &str) -> Result<Category, String> {
    Category::from_name(text).ok_or_else(|| {
        let names = Category::ALL.map(|category| format!("`{}`", category.name()));
        format!("the categories are {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_named_by_latest_or_hex_digits_and_a_path() {
        let parsed = |text: &str| SnapshotArgument::parse(OsStr::new(text)).ok();
        let argument = |name, path: Option<&[u8]>| {
            Some(SnapshotArgument { name, path: path.map(<[u8]>::to_vec) })
        };
        let id = |text: &str| SnapshotName::Id(text.to_owned());
        assert_eq!(parsed("latest"), argument(SnapshotName::Latest(0), None));
        assert_eq!(parsed("latest~12"), argument(SnapshotName::Latest(12), None));
        assert_eq!(parsed("3F9a"), argument(id("3f9a"), None));
        assert_eq!(parsed("3f:/a:b"), argument(id("3f"), Some(b"/a:b")));
        assert_eq!(parsed("latest:"), argument(SnapshotName::Latest(0), None));
        let bytes = OsStr::from_bytes(b"latest:/\xff");
        assert_eq!(SnapshotArgument::parse(bytes).unwrap().path.as_deref(), Some(&b"/\xff"[..]));
        let long = "a".repeat(65);
        for text in ["", "/home", "latest~", "latest~-1", "latest~+1", "xyz", ":/a", &long] {
            assert_eq!(parsed(text), None, "{text}");
        }
    }

    #[test]
    fn a_snapshot_argument_is_shown_as_it_is_written() {
        for text in ["latest", "latest~3", "abc:/x/y"] {
            assert_eq!(SnapshotArgument::parse(OsStr::new(text)).unwrap().to_string(), text);
        }
    }

    #[test]
    fn sizes_have_restics_meaning() {
        for (text, bytes) in [
            ("0", 0),
            ("512", 512),
            ("512b", 512),
            ("1k", 1024),
            ("1K", 1024),
            ("1KiB", 1024),
            ("1kB", 1000),
            ("1.5M", 1_572_864),
            ("2 G", 2 << 30),
            ("1T", 1 << 40),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "M", "-1", "1X", "1.2.3", "1 M M", "99999999999T", "ib", "1é"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_subset_is_a_share_a_part_or_a_size() {
        assert_eq!(read_subset("10%"), Ok(ReadSubset::Percent(10.0)));
        assert_eq!(read_subset("0.5%"), Ok(ReadSubset::Percent(0.5)));
        assert_eq!(read_subset("1/7"), Ok(ReadSubset::Part { part: 1, of: 7 }));
        assert_eq!(read_subset("5G"), Ok(ReadSubset::Bytes(5 << 30)));
        for text in ["0%", "101%", "NaN%", "-1%", "0/7", "8/7", "1/0", "", "x", "0"] {
            assert!(read_subset(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_are_never_negative() {
        assert_eq!(duration("10m"), Ok(Duration::from_mins(10)));
        assert_eq!(duration("1h 30m"), Ok(Duration::from_mins(90)));
        assert_eq!(duration("30d"), Ok(Duration::from_hours(720)));
        assert_eq!(duration("1w 12h"), Ok(Duration::from_hours(180)));
        for text in ["", "-5s", "5s ago", "5 parsecs", "10", "1mo", "1y"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_a_policy_keeps_and_groups_by_is_restics() {
        assert_eq!(keep_count("7"), Ok(Count::Number(7)));
        assert_eq!(keep_count("unlimited"), Ok(Count::Unlimited));
        assert_eq!(keep_count("-1"), Ok(Count::Unlimited));
        for text in ["", "-2", "1.5", "all", "99999999999"] {
            assert!(keep_count(text).is_err(), "{text}");
        }
        assert_eq!(group_by("host,job"), Ok(GroupBy::default()));
        let none = GroupBy { host: false, job: false, paths: false, tags: false };
        assert_eq!(group_by(""), Ok(none));
        assert_eq!(group_by("tags, path"), Ok(GroupBy { paths: true, tags: true, ..none }));
        assert!(group_by("host,user").is_err());
        assert_eq!(tag_list("a,,b"), Ok(TagList(vec!["a".into(), "b".into()])));
        assert!(tag_list(",").is_err());
        assert_eq!(category("secrets"), Ok(Category::Secrets));
        assert!(category("x").unwrap_err().contains("`config`"));
    }
}
