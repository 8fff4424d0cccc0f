//! What is searched for: words and phrases, or regular expressions.
//!
//! Words are those of the full-text search (`SQLite` FTS5): letters and digits, upper and lower case and
//! accents taken as the same; what stands between them is not compared. A word with none of them
//! (`->`), or too short for the index of parts, is looked for letter by letter. No word is ever syntax.

use std::ops::Range;

use regex::{Regex, RegexBuilder};
use rusqlite::Connection;

use crate::error::{Error, Result};

/// No more is searched for at once, in bytes and in words.
const LONGEST: usize = 8 << 10;
const MOST_WORDS: usize = 64;
/// What a regular expression may take in memory, in bytes.
const LARGEST_PATTERN: usize = 4 << 20;

/// What is searched for.
#[derive(Debug, Clone)]
pub struct Query {
    /// An expression of FTS5, of quoted words only.
    pub(super) words: Option<String>,
    /// What must be there letter by letter, or match.
    pub(super) patterns: Vec<Regex>,
    /// Whether a pattern may hold of a turn that does not hold of a text with others around it.
    pub(super) is_anchored: bool,
    /// Words of ASCII of which a text that is ASCII, too, must hold each, in any case.
    needles: Vec<regex::bytes::Regex>,
    finds_parts: bool,
}

impl Query {
    /// Returns the search for words that all stand in one turn, in any order. A word with blanks in it,
    /// or what stands within quotation marks, is a phrase: its words follow each other.
    /// `finds_parts` finds parts of words, too.
    ///
    /// # Errors
    ///
    /// [`Kind::Usage`](crate::error::Kind::Usage) if there is no word, or too many.
    pub fn words(words: &[String], finds_parts: bool) -> Result<Query> {
        check(words)?;
        let tokens = Tokens::new(finds_parts)?;
        let (mut quoted, mut patterns, mut needles) = (Vec::new(), Vec::new(), Vec::new());
        for word in words.iter().flat_map(|word| phrases(word)) {
            if tokens.has_any(&word)? {
                let runs = word.split(|it: char| !it.is_ascii_alphanumeric());
                for run in runs.filter(|run| !run.is_empty()) {
                    needles.push(needle(run)?);
                }
                quoted.push(format!("\"{}\"", word.replace('"', "\"\"").replace('\0', " ")));
            } else {
                patterns.push(pattern(&regex::escape(&word))?);
            }
        }
        if quoted.len().saturating_add(patterns.len()) > MOST_WORDS {
            return Err(Error::usage(format!("more than {MOST_WORDS} words")));
        }
        if quoted.is_empty() && patterns.is_empty() {
            return Err(Error::usage("no word to search for"));
        }
        let words = (!quoted.is_empty()).then(|| quoted.join(" AND "));
        Ok(Query { words, patterns, is_anchored: false, needles, finds_parts })
    }

    /// Returns the search for regular expressions that all match in one turn. `^` and `$` are the ends of
    /// lines.
    ///
    /// # Errors
    ///
    /// [`Kind::Usage`](crate::error::Kind::Usage) if one is none.
    pub fn regex(expressions: &[String]) -> Result<Query> {
        check(expressions)?;
        let patterns = expressions.iter().map(|it| pattern(it)).collect::<Result<Vec<_>>>()?;
        // `\A` and `\z`, and flags that make `^` and `$` the same.
        let is_anchored =
            expressions.iter().any(|it| ["\\A", "\\z", "(?"].iter().any(|end| it.contains(end)));
        Ok(Query { words: None, patterns, is_anchored, needles: Vec::new(), finds_parts: false })
    }

    /// Returns whether the index of words says where to look.
    pub(super) fn uses_words(&self) -> bool {
        self.words.is_some()
    }

    /// Returns whether what is no word is in a text.
    pub(super) fn patterns_match(&self, text: &str) -> bool {
        self.patterns.iter().all(|pattern| pattern.is_match(text))
    }

    /// Returns whether a text may hold all words; what is not ASCII may be written in several ways.
    fn may_match(&self, text: &str) -> bool {
        let bytes = text.as_bytes();
        self.needles.iter().all(|needle| needle.is_match(bytes)) || !text.is_ascii()
    }
}

fn check(words: &[String]) -> Result<()> {
    if words.iter().map(String::len).sum::<usize>() > LONGEST {
        return Err(Error::usage(format!("more than {LONGEST} bytes to search for")));
    }
    if words.iter().all(|word| word.trim().is_empty()) {
        return Err(Error::usage("no word to search for"));
    }
    Ok(())
}

fn pattern(expression: &str) -> Result<Regex> {
    let built = RegexBuilder::new(expression)
        .multi_line(true)
        .size_limit(LARGEST_PATTERN)
        .dfa_size_limit(LARGEST_PATTERN)
        .build();
    built.map_err(|error| {
        let why = error.to_string();
        let last = why.lines().last().unwrap_or_default().trim_start_matches("error: ");
        Error::usage("cannot use the regular expression")
            .object(expression)
            .source(last.to_owned())
            .hint("without `--regex` it is searched for as words")
    })
}

fn needle(run: &str) -> Result<regex::bytes::Regex> {
    let built = regex::bytes::RegexBuilder::new(&regex::escape(run))
        .case_insensitive(true)
        .unicode(false)
        .build();
    built.map_err(|error| Error::usage("cannot search for").object(run).source(error.to_string()))
}

/// Takes a word of the command line apart into words and phrases.
fn phrases(word: &str) -> Vec<String> {
    if !word.contains('"') {
        return vec![word.trim().to_owned()].into_iter().filter(|it| !it.is_empty()).collect();
    }
    let mut found = Vec::new();
    for (place, part) in word.split('"').enumerate() {
        if place % 2 == 1 {
            found.push(part.trim().to_owned());
        } else {
            found.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    found.retain(|it| !it.is_empty());
    found
}

/// Returns the tokenizer of an index, as FTS5 is told.
pub(super) fn tokenizer(finds_parts: bool) -> &'static str {
    if finds_parts { "trigram remove_diacritics 1" } else { "unicode61 remove_diacritics 2" }
}

fn failed(error: rusqlite::Error) -> Error {
    Error::failed("cannot search in memory").source(error)
}

fn memory(script: &str) -> Result<Connection> {
    let connection = Connection::open_in_memory().map_err(failed)?;
    connection
        .execute_batch("PRAGMA journal_mode = OFF; PRAGMA temp_store = MEMORY")
        .map_err(failed)?;
    connection.execute_batch(script).map_err(failed)?;
    Ok(connection)
}

/// Tells what the full-text search takes for a word.
struct Tokens(Connection);

impl Tokens {
    fn new(finds_parts: bool) -> Result<Tokens> {
        let tokenizer = tokenizer(finds_parts);
        memory(&format!(
            "CREATE VIRTUAL TABLE words USING fts5(text, tokenize = '{tokenizer}');
             CREATE VIRTUAL TABLE vocabulary USING fts5vocab(words, 'row');"
        ))
        .map(Tokens)
    }

    fn has_any(&self, word: &str) -> Result<bool> {
        self.0
            .execute("INSERT OR REPLACE INTO words(rowid, text) VALUES(1, ?1)", [plain(word)])
            .map_err(failed)?;
        let count = self.0.query_row("SELECT count(*) FROM vocabulary", [], |row| row.get(0));
        count.map(|count: i64| count > 0).map_err(failed)
    }
}

/// Before and behind what was found in a text.
const MARKS: [char; 2] = ['\u{1}', '\u{2}'];

/// Returns a text of the same length without what FTS5 would take for its end, or we for a mark.
fn plain(text: &str) -> String {
    text.replace(['\0', MARKS[0], MARKS[1]], " ")
}

/// Says which texts a query finds, and where in them, as the index does.
pub(super) struct Matcher<'q> {
    query: &'q Query,
    connection: Option<Connection>,
}

impl<'q> Matcher<'q> {
    pub(super) fn new(query: &'q Query) -> Result<Matcher<'q>> {
        let tokenizer = tokenizer(query.finds_parts);
        let script = format!(
            "CREATE VIRTUAL TABLE many USING fts5(text, content = '', tokenize = '{tokenizer}');
             CREATE VIRTUAL TABLE one USING fts5(text, tokenize = '{tokenizer}');"
        );
        let connection = query.uses_words().then(|| memory(&script)).transpose()?;
        Ok(Matcher { query, connection })
    }

    /// Returns the numbers of the texts that the query finds, ascending.
    pub(super) fn find(&self, texts: &[&str]) -> Result<Vec<usize>> {
        let all = texts.iter().enumerate();
        let may = all.filter(|(_, text)| self.query.patterns_match(text));
        let (Some(connection), Some(words)) = (&self.connection, &self.query.words) else {
            return Ok(may.map(|(number, _)| number).collect());
        };
        let may: Vec<(usize, &&str)> = may.filter(|(_, text)| self.query.may_match(text)).collect();
        if may.is_empty() {
            return Ok(Vec::new());
        }
        let found = || -> rusqlite::Result<Vec<usize>> {
            connection.execute_batch("BEGIN; INSERT INTO many(many) VALUES('delete-all')")?;
            let mut insert =
                connection.prepare_cached("INSERT INTO many(rowid, text) VALUES(?1, ?2)")?;
            for (number, text) in may {
                insert.execute((i64::try_from(number).unwrap_or(0), plain(text)))?;
            }
            connection.execute_batch("COMMIT")?;
            let mut find = connection
                .prepare_cached("SELECT rowid FROM many WHERE many MATCH ?1 ORDER BY rowid")?;
            let rows = find.query_map([words], |row| row.get::<_, i64>(0))?;
            rows.map(|row| Ok(usize::try_from(row?).unwrap_or(0))).collect()
        };
        found().map_err(failed)
    }

    /// Returns where in a text what is searched for stands: bytes, ascending, none over another. `None`
    /// if the query does not find the text.
    pub(super) fn ranges(&self, text: &str) -> Result<Option<Vec<Range<usize>>>> {
        if !self.query.patterns_match(text) {
            return Ok(None);
        }
        let mut ranges = Vec::new();
        if let (Some(connection), Some(words)) = (&self.connection, &self.query.words) {
            match marked(connection, words, text).map_err(failed)? {
                Some(found) => ranges = found,
                None => return Ok(None),
            }
        }
        for pattern in &self.query.patterns {
            ranges.extend(pattern.find_iter(text).map(|found| found.range()).take(MOST_RANGES));
        }
        ranges.sort_unstable_by_key(|range| (range.start, range.end));
        let mut joined: Vec<Range<usize>> = Vec::new();
        for range in ranges {
            match joined.last_mut() {
                Some(last) if range.start < last.end => last.end = last.end.max(range.end),
                _ => joined.push(range),
            }
        }
        Ok(Some(joined))
    }
}

/// Of one text no more places are told.
const MOST_RANGES: usize = 1000;

fn marked(
    connection: &Connection,
    words: &str,
    text: &str,
) -> rusqlite::Result<Option<Vec<Range<usize>>>> {
    use rusqlite::OptionalExtension as _;
    connection
        .prepare_cached("INSERT OR REPLACE INTO one(rowid, text) VALUES(1, ?1)")?
        .execute([plain(text)])?;
    let marked: Option<String> = connection
        .prepare_cached("SELECT highlight(one, 0, char(1), char(2)) FROM one WHERE one MATCH ?1")?
        .query_row([words], |row| row.get(0))
        .optional()?;
    Ok(marked.map(|marked| {
        let (mut ranges, mut passed, mut start) = (Vec::new(), 0_usize, 0_usize);
        for (place, mark) in marked.match_indices(MARKS) {
            let here = place.saturating_sub(passed);
            passed = passed.saturating_add(1);
            if mark.starts_with(MARKS[0]) {
                start = here;
            } else if ranges.len() < MOST_RANGES {
                ranges.push(start..here);
            }
        }
        ranges
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(words: &[&str]) -> Query {
        Query::words(&words.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>(), false).unwrap()
    }

    fn found<'t>(query: &Query, text: &'t str) -> Option<Vec<&'t str>> {
        let ranges = Matcher::new(query).unwrap().ranges(text).unwrap();
        ranges.map(|ranges| ranges.into_iter().map(|range| &text[range]).collect())
    }

    #[test]
    fn words_stand_in_any_order_and_phrases_in_theirs() {
        let text = "The basket loses a cent; the Crème brûlée does not.";
        assert_eq!(found(&words(&["cent", "BASKET"]), text), Some(vec!["basket", "cent"]));
        assert_eq!(found(&words(&["creme"]), text), Some(vec!["Crème"]));
        assert_eq!(found(&words(&["a cent"]), text), Some(vec!["a cent"]));
        assert_eq!(found(&words(&["\"a cent\" does"]), text), Some(vec!["a cent", "does"]));
        assert_eq!(found(&words(&["cent a"]), text), None);
        assert_eq!(found(&words(&["bask"]), text), None);
    }

    #[test]
    fn what_has_no_letters_is_looked_for_as_it_stands() {
        assert_eq!(found(&words(&["->", "fn"]), "fn a() -> b"), Some(vec!["fn", "->"]));
        assert_eq!(found(&words(&["=>"]), "fn a() -> b"), None);
        assert!(Query::words(&[String::new()], false).is_err());
        assert!(Query::words(&["\"\"".to_owned()], false).is_err());
    }

    #[test]
    fn a_wrong_expression_is_wrong_usage() {
        let error = Query::regex(&["a(".to_owned()]).unwrap_err();
        assert_eq!(error.kind(), crate::error::Kind::Usage);
        let lines = Query::regex(&["^b$".to_owned()]).unwrap();
        assert_eq!(found(&lines, "a\nb\nc"), Some(vec!["b"]));
    }

    #[test]
    fn parts_of_words_are_found_if_asked_for() {
        let query = Query::words(&["asket".to_owned(), "a".to_owned()], true).unwrap();
        assert_eq!(found(&query, "The basket"), Some(vec!["asket"]));
    }

    proptest! {
        #[test]
        fn any_words_are_searched_for_without_an_error(
            list in proptest::collection::vec("[\"*:^(){}+a-cÀ-ÿ NEAR\\PC-]{0,12}", 1..5),
            text in "[\"*:^(){}+a-cÀ-ÿ NEAR\u{0}\u{1}\u{2}\\PC-]{0,60}",
            parts in any::<bool>(),
        ) {
            let list: Vec<String> = list;
            if let Ok(query) = Query::words(&list, parts) {
                let matcher = Matcher::new(&query).unwrap();
                let ranges = matcher.ranges(&text).unwrap();
                prop_assert_eq!(matcher.find(&[&text]).unwrap().len(), usize::from(ranges.is_some()));
                for range in ranges.into_iter().flatten() {
                    prop_assert!(text.get(range).is_some());
                }
            }
        }

        #[test]
        fn a_hit_contains_each_word(
            list in proptest::collection::vec("[a-c]{1,2}", 1..3),
            text in "[a-c .]{0,24}",
        ) {
            let query = Query::words(&list, false).unwrap();
            let is_hit = Matcher::new(&query).unwrap().ranges(&text).unwrap().is_some();
            let holds = |word: &String| text.split(['.', ' ']).any(|it| it == word);
            prop_assert_eq!(is_hit, list.iter().all(holds));
        }
    }
}
