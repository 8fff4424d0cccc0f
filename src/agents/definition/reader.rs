//! A TOML document by sections and entries, each of which can say at which line it stands.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::super::agent::Basis;
use super::super::words::{Evidence, Word, nearest};
use crate::error::{Error, Kind, Result};

/// The file that is read.
pub(super) struct Source<'a> {
    path: &'a Path,
    text: &'a str,
}

impl<'a> Source<'a> {
    pub(super) fn new(path: &'a Path, text: &'a str) -> Self {
        Source { path, text }
    }

    /// Reads the document; what is no TOML is an error.
    pub(super) fn parse(&self) -> Result<Spanned<DeTable<'a>>> {
        DeTable::parse(self.text).map_err(|error| {
            let offset = error.span().map_or(0, |span| span.start);
            self.error(offset, error.message().to_owned())
        })
    }

    fn error(&self, offset: usize, text: String) -> Error {
        let before = self.text.get(..offset).unwrap_or_default();
        let line = before.matches('\n').count().saturating_add(1);
        Error::new(Kind::Config, "cannot use the agent definition")
            .object(format!("{}:{line}", self.path.display()))
            .source(text)
    }

    /// Returns the error for a word that is none of those known.
    fn unknown<'b>(
        &self,
        offset: usize,
        text: String,
        word: &str,
        known: impl Iterator<Item = &'b str> + Clone,
    ) -> Error {
        let error = self.error(offset, text);
        match nearest(word, known.clone()) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error.hint(format!("known are {}", known.collect::<Vec<_>>().join(", "))),
        }
    }
}

/// One table of the document.
pub(super) struct Section<'a> {
    source: &'a Source<'a>,
    table: &'a DeTable<'a>,
    /// How it is called in errors: `[[files]]`, or nothing for the whole.
    title: String,
    offset: usize,
}

/// One text of the document.
pub(super) struct Entry<'a, 'k> {
    source: &'a Source<'a>,
    /// The key that it stands under.
    pub(super) key: &'k str,
    /// The text itself.
    pub(super) text: &'a str,
    offset: usize,
}

impl Entry<'_, '_> {
    /// Returns an error at this line.
    pub(super) fn error(&self, text: impl Into<String>) -> Error {
        self.source.error(self.offset, text.into())
    }

    /// Checks that the text is one of those known; `what` is said of it.
    pub(super) fn one_of<'b>(
        &self,
        what: &str,
        known: impl Iterator<Item = &'b str> + Clone,
    ) -> Result<()> {
        if known.clone().any(|word| word == self.text) {
            return Ok(());
        }
        let text = format!("unknown {what} `{}`", self.text);
        Err(self.source.unknown(self.offset, text, self.text, known))
    }

    /// Returns the value of a word.
    pub(super) fn word<T: Word>(&self) -> Result<T> {
        let known = T::all().iter().map(|value| value.word());
        self.one_of(T::WHAT, known)?;
        let value = T::all().iter().find(|value| value.word() == self.text);
        value.copied().ok_or_else(|| self.error(format!("unknown {} `{}`", T::WHAT, self.text)))
    }
}

impl<'a> Section<'a> {
    /// Returns the whole document, whose keys must be known.
    pub(super) fn top(
        source: &'a Source<'a>,
        document: &'a Spanned<DeTable<'a>>,
        known: &[&str],
    ) -> Result<Self> {
        let table = document.get_ref();
        Self::open(Section { source, table, title: String::new(), offset: 0 }, known)
    }

    fn open(self, known: &[&str]) -> Result<Self> {
        let strange = self.table.iter().map(|(key, _)| key).find(|key| {
            let key: &str = key.get_ref();
            !known.contains(&key)
        });
        let Some(key) = strange else { return Ok(self) };
        let text = format!("unknown key `{}`{}", key.get_ref(), self.place());
        let known = known.iter().copied();
        Err(self.source.unknown(key.span().start, text, key.get_ref(), known))
    }

    fn place(&self) -> String {
        if self.title.is_empty() { String::new() } else { format!(" in `{}`", self.title) }
    }

    /// Returns an error at the section's line.
    pub(super) fn error(&self, text: impl Into<String>) -> Error {
        self.source.error(self.offset, text.into())
    }

    fn find(&self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        let mut entries = self.table.iter();
        entries.find(|(own, _)| own.get_ref() == key).map(|(_, value)| value)
    }

    /// Returns whether a key is there.
    pub(super) fn has(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    /// Returns whether a key is there and holds a list.
    pub(super) fn is_list(&self, key: &str) -> bool {
        self.find(key).is_some_and(|value| value.get_ref().is_array())
    }

    fn wrong(&self, key: &str, value: &Spanned<DeValue<'_>>, wanted: &str) -> Error {
        let has = value.get_ref().type_str();
        let text = format!("`{key}`{} must be {wanted}, but is: {has}", self.place());
        self.source.error(value.span().start, text)
    }

    fn entry<'k>(
        &self,
        key: &'k str,
        value: &'a Spanned<DeValue<'a>>,
        wanted: &str,
    ) -> Result<Entry<'a, 'k>> {
        let text = value.get_ref().as_str().ok_or_else(|| self.wrong(key, value, wanted))?;
        Ok(Entry { source: self.source, key, text, offset: value.span().start })
    }

    /// Returns a text.
    pub(super) fn text<'k>(&self, key: &'k str) -> Result<Option<Entry<'a, 'k>>> {
        self.find(key).map(|value| self.entry(key, value, "a text")).transpose()
    }

    /// Returns a text that must be there.
    pub(super) fn required<'k>(&self, key: &'k str) -> Result<Entry<'a, 'k>> {
        let missing = || self.error(format!("the key `{key}` is missing{}", self.place()));
        self.text(key)?.filter(|entry| !entry.text.is_empty()).ok_or_else(missing)
    }

    /// Returns a text as a value of its own.
    pub(super) fn owned(&self, key: &str) -> Result<Option<String>> {
        Ok(self.text(key)?.map(|entry| entry.text.to_owned()))
    }

    /// Returns the value of a word.
    pub(super) fn word<T: Word>(&self, key: &str) -> Result<Option<T>> {
        self.text(key)?.map(|entry| entry.word()).transpose()
    }

    /// Returns the value of a word that must be there.
    pub(super) fn required_word<T: Word>(&self, key: &str) -> Result<T> {
        self.required(key)?.word()
    }

    /// Returns a list of texts; a single text is a list of one, and a missing key an empty list.
    pub(super) fn list<'k>(&self, key: &'k str) -> Result<Vec<Entry<'a, 'k>>> {
        const WANTED: &str = "a list of texts";
        let Some(value) = self.find(key) else { return Ok(Vec::new()) };
        match value.get_ref().as_array() {
            Some(values) => values.iter().map(|value| self.entry(key, value, WANTED)).collect(),
            None => Ok(vec![self.entry(key, value, WANTED)?]),
        }
    }

    /// Returns a list of texts as values of their own.
    pub(super) fn owned_list(&self, key: &str) -> Result<Vec<String>> {
        Ok(self.list(key)?.iter().map(|entry| entry.text.to_owned()).collect())
    }

    /// Returns a switch that is off if it is not there.
    pub(super) fn flag(&self, key: &str) -> Result<bool> {
        let Some(value) = self.find(key) else { return Ok(false) };
        value.get_ref().as_bool().ok_or_else(|| self.wrong(key, value, "true or false"))
    }

    /// Returns a number.
    pub(super) fn number(&self, key: &str) -> Result<Option<u32>> {
        let Some(value) = self.find(key) else { return Ok(None) };
        let number = value.get_ref().as_integer().filter(|it| it.radix() == 10);
        let number = number.and_then(|it| it.as_str().replace('_', "").parse().ok());
        number.map(Some).ok_or_else(|| self.wrong(key, value, "a whole number"))
    }

    /// Returns a table.
    pub(super) fn section(&self, key: &str, known: &[&str]) -> Result<Option<Section<'a>>> {
        let Some(value) = self.find(key) else { return Ok(None) };
        let wanted = || self.wrong(key, value, "a table");
        let table = value.get_ref().as_table().ok_or_else(wanted)?;
        let title = format!("[{key}]");
        let offset = value.span().start;
        Section { source: self.source, table, title, offset }.open(known).map(Some)
    }

    /// Returns a list of tables; a missing key is an empty list.
    pub(super) fn sections(&self, key: &str, known: &[&str]) -> Result<Vec<Section<'a>>> {
        let Some(value) = self.find(key) else { return Ok(Vec::new()) };
        let wanted = |value| self.wrong(key, value, "a list of tables");
        let values = value.get_ref().as_array().ok_or_else(|| wanted(value))?;
        let sections = values.iter().map(|value| {
            let table = value.get_ref().as_table().ok_or_else(|| wanted(value))?;
            let title = format!("[[{key}]]");
            let offset = value.span().start;
            Section { source: self.source, table, title, offset }.open(known)
        });
        sections.collect()
    }

    /// Returns the section's evidence and remark.
    pub(super) fn basis(&self, evidence: Evidence) -> Result<Basis> {
        let evidence = self.word("evidence")?.unwrap_or(evidence);
        Ok(Basis { evidence, note: self.owned("note")? })
    }
}
