//! The pass over a stream: windows, lines, and what overlaps what.

use std::io::Read;
use std::ops::Range;

use super::SecretKind;
use super::judge;
use super::rules::{Judge, Prepared, Rule, prepared};
use crate::error::{Error, Result};

/// So much is looked at in one go, in bytes.
const WINDOW: usize = 1 << 20;
/// What is looked at after an anchor; nothing that is found is longer.
const AHEAD: usize = 8 << 10;
/// What is kept before an anchor: the beginning of a name.
const BEHIND: usize = 64;

/// What to look for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ScanOptions {
    /// Only forms that are telling by themselves: for files full of hashes.
    pub only_forms: bool,
}

impl ScanOptions {
    /// Returns what suits a file of this name.
    pub fn for_file(name: &[u8]) -> ScanOptions {
        const LOCK_FILES: [&[u8]; 14] = [
            b"package-lock.json",
            b"npm-shrinkwrap.json",
            b"yarn.lock",
            b"pnpm-lock.yaml",
            b"bun.lock",
            b"deno.lock",
            b"Cargo.lock",
            b"go.sum",
            b"poetry.lock",
            b"uv.lock",
            b"Pipfile.lock",
            b"composer.lock",
            b"Gemfile.lock",
            b"flake.lock",
        ];
        ScanOptions { only_forms: LOCK_FILES.contains(&name) }
    }
}

/// Where something was found, and of which kind. Never what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finding {
    /// The line, from 1; lines end with a newline.
    pub line: u64,
    /// The byte within the line, from 1.
    pub column: u64,
    /// The byte within the stream, from 0.
    pub offset: u64,
    /// The kind.
    pub kind: SecretKind,
}

/// What was looked through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ScanSums {
    /// Bytes.
    pub bytes: u64,
    /// Findings, one for each line and kind.
    pub findings: u64,
}

/// Looks through a stream; `found` is told of each finding in turn, once for each line and kind.
pub fn scan(
    stream: &mut dyn Read,
    options: ScanOptions,
    found: &mut dyn FnMut(Finding),
) -> Result<ScanSums> {
    pass_over(stream, options, found, None)
}

/// Where a value lies in what was looked through, and of which kind it is.
pub(super) type Place = (Range<u64>, SecretKind);

/// Returns where every value lies, those of one kind in one line among them. Places may overlap.
pub(super) fn places(mut bytes: &[u8], options: ScanOptions) -> Result<Vec<Place>> {
    let mut places = Vec::new();
    pass_over(&mut bytes, options, &mut |_| {}, Some(&mut places))?;
    Ok(places)
}

fn pass_over(
    stream: &mut dyn Read,
    options: ScanOptions,
    found: &mut dyn FnMut(Finding),
    places: Option<&mut Vec<Place>>,
) -> Result<ScanSums> {
    let failed =
        |error: String| Error::failed("the patterns of credentials are wrong").source(error);
    let mut pass = Pass {
        prepared: prepared().map_err(failed)?,
        options,
        found,
        places,
        base: 0,
        line: 1,
        line_begin: 0,
        counted: 0,
        resume: 0,
        pending: None,
        told: Vec::new(),
        told_line: 0,
        sums: ScanSums::default(),
    };
    let mut window = Vec::with_capacity(WINDOW);
    loop {
        let is_last = fill(stream, &mut window)?;
        pass.look(&window, is_last);
        if is_last {
            pass.settle();
            return Ok(pass.sums);
        }
        let done = window.len().saturating_sub(AHEAD.saturating_add(BEHIND));
        pass.move_on(&window, done);
        window.drain(..done);
    }
}

/// Fills the window; true at the stream's end.
fn fill(stream: &mut dyn Read, window: &mut Vec<u8>) -> Result<bool> {
    let missing = WINDOW.saturating_sub(window.len());
    let mut part = stream.take(missing as u64);
    let count = part
        .read_to_end(window)
        .map_err(|error| Error::failed("cannot read what is to be scanned").source(error))?;
    Ok(count < missing)
}

/// A value that was found, as it lies in the stream.
struct Pending {
    finding: Finding,
    end: u64,
    is_sure: bool,
}

struct Pass<'a> {
    prepared: &'static Prepared,
    options: ScanOptions,
    found: &'a mut dyn FnMut(Finding),
    /// Where each value lies, if that is asked for.
    places: Option<&'a mut Vec<Place>>,
    /// Where the window begins.
    base: u64,
    /// The line at `counted`, and where it begins.
    line: u64,
    line_begin: u64,
    counted: u64,
    /// Anchors before this were dealt with.
    resume: u64,
    /// The last value, until it is sure that none that is more telling overlaps it.
    pending: Option<Pending>,
    /// The kinds told of the line `told_line`.
    told: Vec<SecretKind>,
    told_line: u64,
    sums: ScanSums,
}

impl Pass<'_> {
    fn look(&mut self, window: &[u8], is_last: bool) {
        let end = if is_last { window.len() } else { window.len().saturating_sub(AHEAD) };
        let prepared = self.prepared;
        for anchor in prepared.anchors.find_iter(window) {
            if anchor.start() >= end {
                break;
            }
            if self.base.saturating_add(anchor.start() as u64) < self.resume {
                continue;
            }
            let rules = prepared.rules_of.get(anchor.pattern().as_usize());
            for rule in rules.into_iter().flatten() {
                if self.options.only_forms && matches!(rule.judge, Judge::Named | Judge::Bare) {
                    continue;
                }
                if let Some((from, to)) = value_at(prepared, rule, window, anchor.start()) {
                    self.take(rule, window, from, to);
                    break;
                }
            }
        }
        self.resume = self.resume.max(self.base.saturating_add(end as u64));
        if is_last {
            self.sums.bytes = self.base.saturating_add(window.len() as u64);
        }
    }

    fn take(&mut self, rule: &Rule, window: &[u8], from: usize, to: usize) {
        let is_sure = !matches!(rule.judge, Judge::Named | Judge::Bare | Judge::Url);
        let begin = self.base.saturating_add(from as u64);
        if let Some(pending) = &self.pending
            && begin < pending.end
            && (pending.is_sure || !is_sure)
        {
            return;
        }
        if self.pending.as_ref().is_some_and(|pending| begin < pending.end) {
            self.pending = None;
        }
        if let Some(places) = &mut self.places {
            let end = self.base.saturating_add(to as u64);
            places.push((begin..end, rule.kind));
        }
        self.settle();
        let finding = self.locate(window, from, rule.kind);
        let end = self.base.saturating_add(to as u64);
        if is_sure {
            self.resume = self.resume.max(end);
        }
        self.pending = Some(Pending { finding, end, is_sure });
    }

    /// Tells of what was found last.
    fn settle(&mut self) {
        let Some(Pending { finding, .. }) = self.pending.take() else { return };
        if finding.line != self.told_line {
            self.told.clear();
            self.told_line = finding.line;
        }
        if !self.told.contains(&finding.kind) {
            self.told.push(finding.kind);
            self.sums.findings = self.sums.findings.saturating_add(1);
            (self.found)(finding);
        }
    }

    fn locate(&mut self, window: &[u8], at: usize, kind: SecretKind) -> Finding {
        self.count_lines(window, at);
        let offset = self.base.saturating_add(at as u64);
        let column = offset.saturating_sub(self.line_begin).saturating_add(1);
        Finding { line: self.line, column, offset, kind }
    }

    /// Counts the lines up to a place in the window.
    fn count_lines(&mut self, window: &[u8], to: usize) {
        let from = usize::try_from(self.counted.saturating_sub(self.base)).unwrap_or(usize::MAX);
        let Some(part) = window.get(from..to) else { return };
        let lines = memchr::memchr_iter(b'\n', part).count() as u64;
        if let Some(last) = memchr::memrchr(b'\n', part) {
            self.line_begin = self.counted.saturating_add(last as u64).saturating_add(1);
        }
        self.line = self.line.saturating_add(lines);
        self.counted = self.base.saturating_add(to as u64);
    }

    fn move_on(&mut self, window: &[u8], done: usize) {
        self.count_lines(window, done);
        self.base = self.base.saturating_add(done as u64);
    }
}

/// Returns where the value of a rule lies whose anchor is at a place, if it holds there.
fn value_at(
    prepared: &'static Prepared,
    rule: &'static Rule,
    window: &[u8],
    anchor: usize,
) -> Option<(usize, usize)> {
    let begin = anchor.saturating_sub(rule.back);
    let rest = window.get(begin..window.len().min(anchor.saturating_add(AHEAD)))?;
    // A quick look first: most anchors stand within words.
    let has_name = matches!(rule.judge, Judge::Named);
    let stands_alone = matches!(rule.judge, Judge::Url) || begins_anew(window, anchor);
    if !has_name && rule.back == 0 && !stands_alone {
        return None;
    }
    let captures = prepared.pattern(rule)?.captures(rest)?;
    let group = |number: usize| captures.get(number);
    let value = match rule.judge {
        Judge::Url => group(2)?,
        Judge::Named => group(2).or_else(|| group(3))?,
        _ => group(1)?,
    };
    let (from, to) = (begin.saturating_add(value.start()), begin.saturating_add(value.end()));
    let value = value.as_bytes();
    let holds = match rule.judge {
        Judge::Form => {
            (rule.back == 0 || begins_anew(window, from))
                && ends(window, to)
                && judge::is_live(value)
        }
        Judge::Block => judge::is_live(value),
        Judge::Url => judge::is_password(group(1)?.as_bytes(), value, group(3)?.as_bytes()),
        Judge::Bare => judge::is_random(value),
        Judge::Named => {
            !judge::is_other_name(name_around(window, anchor)) && judge::is_random(value)
        }
    };
    holds.then_some((from, to))
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Returns whether nothing that stands before a place belongs to what begins there. Within JSON and
/// code a newline may be written `\n`, and within a URL a sign as `%3D`.
fn begins_anew(window: &[u8], place: usize) -> bool {
    let before = window.get(place.saturating_sub(3)..place).unwrap_or_default();
    match before {
        [b'%', one, other] if one.is_ascii_hexdigit() && other.is_ascii_hexdigit() => true,
        [.., b'\\', b'n' | b'r' | b't' | b'b' | b'f'] | [] => true,
        [.., last] => !is_word(*last) && *last != b'+',
    }
}

/// Returns whether a value ends where its form does.
fn ends(window: &[u8], place: usize) -> bool {
    window.get(place).is_none_or(|next| !is_word(*next))
}

/// Returns the name that an anchor is part of.
fn name_around(window: &[u8], anchor: usize) -> &[u8] {
    let is_name = |byte: &u8| is_word(*byte) || *byte == b'-';
    let before = window.get(anchor.saturating_sub(BEHIND)..anchor).unwrap_or_default();
    let begin = anchor.saturating_sub(before.iter().rev().take_while(|byte| is_name(byte)).count());
    let after = window.get(anchor..).unwrap_or_default();
    let length = after.iter().take(BEHIND).take_while(|byte| is_name(byte)).count();
    window.get(begin..anchor.saturating_add(length)).unwrap_or_default()
}
