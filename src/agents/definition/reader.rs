//! A TOML document by sections and entries, each of which can say at which line it stands.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::super::agent::Basis;
use super::super::words::{Evidence, Word, nearest};
use crate::error::{Error, Kind, Result};

/// The file that is read.
pub(crate) struct Source<'a> {
    /// What can't be done if it is wrong, for errors.
    doing: &'static str,
    path: &'a Path,
    text: &'a str,
}

impl<'a> Source<'a> {
    pub(crate) fn new(doing: &'static str, path: &'a Path, text: &'a str) -> Self {
        Source { doing, path, text }
    }

    /// Reads the document; what is no TOML is an error.
    pub(crate) fn parse(&self) -> Result<Spanned<DeTable<'a>>> {
        DeTable::parse(self.text).map_err(|error| {
            let offset = error.span().map_or(0, |span| span.start);
            self.error(offset, error.message().to_owned())
        })
    }

    /// Returns the error for what stands at a place of the text.
    pub(crate) fn error(&self, offset: usize, text: String) -> Error {
        Error::new(Kind::Config, self.doing)
            .object(format!("{}:{}", self.path.display(), self.line(offset)))
            .source(text)
    }

    /// Returns the number of the line at a place of the text.
    fn line(&self, offset: usize) -> usize {
        let before = self.text.get(..offset).unwrap_or_default();
        before.matches('\n').count().saturating_add(1)
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
pub(crate) struct Section<'a> {
    source: &'a Source<'a>,
    table: &'a DeTable<'a>,
    /// How it is called in errors: `[[files]]`, or nothing for the whole.
    title: String,
    offset: usize,
}

/// One text of the document.
pub(crate) struct Entry<'a, 'k> {
    source: &'a Source<'a>,
    /// The key that it stands under.
    pub(crate) key: &'k str,
    /// The text itself.
    pub(crate) text: &'a str,
    offset: usize,
}

impl Entry<'_, '_> {
    /// Returns the number of its line.
    pub(crate) fn line(&self) -> usize {
        self.source.line(self.offset)
    }

    /// Returns an error at this line.
    pub(crate) fn error(&self, text: impl Into<String>) -> Error {
        self.source.error(self.offset, text.into())
    }

    /// Checks that the text is one of those known; `what` is said of it.
    pub(crate) fn one_of<'b>(
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
    pub(in crate::agents) fn word<T: Word>(&self) -> Result<T> {
        let known = T::all().iter().map(|value| value.word());
        self.one_of(T::WHAT, known)?;
        let value = T::all().iter().find(|value| value.word() == self.text);
        value.copied().ok_or_else(|| self.error(format!("unknown {} `{}`", T::WHAT, self.text)))
    }
}

impl<'a> Section<'a> {
    /// Returns the whole document, whose keys must be known.
    pub(crate) fn top(
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
    pub(crate) fn error(&self, text: impl Into<String>) -> Error {
        self.source.error(self.offset, text.into())
    }

    /// Returns the number of the line at which the section begins.
    pub(crate) fn line(&self) -> usize {
        self.source.line(self.offset)
    }

    /// Returns the number of a key's line.
    pub(crate) fn line_of(&self, key: &str) -> Option<usize> {
        self.find(key).map(|value| self.source.line(value.span().start))
    }

    /// Returns the tables that stand under a key by names of their own, in the order of the text.
    pub(crate) fn named_sections(
        &self,
        key: &str,
        known: &[&str],
    ) -> Result<Vec<(&'a str, Section<'a>)>> {
        let Some(value) = self.find(key) else { return Ok(Vec::new()) };
        let wanted = || self.wrong(key, value, &format!("tables such as `[{key}.NAME]`"));
        let tables = value.get_ref().as_table().ok_or_else(wanted)?;
        let mut sections = Vec::new();
        for (name, value) in tables {
            let title = format!("[{key}.{}]", name.get_ref());
            let (source, offset) = (self.source, name.span().start);
            let Some(table) = value.get_ref().as_table() else {
                let has = value.get_ref().type_str();
                let text = format!("`{key}.{}` must be a table, but is: {has}", name.get_ref());
                return Err(source.error(offset, text).hint(format!("write `{title}` above it")));
            };
            let section = Section { source, table, title, offset }.open(known)?;
            sections.push((name.get_ref().as_ref(), section));
        }
        sections.sort_by_key(|(_, section)| section.offset);
        Ok(sections)
    }

    fn find(&self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        let mut entries = self.table.iter();
        entries.find(|(own, _)| own.get_ref() == key).map(|(_, value)| value)
    }

    /// Returns whether a key is there.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    /// Returns whether a key is there and holds a text.
    pub(crate) fn is_text(&self, key: &str) -> bool {
        self.find(key).is_some_and(|value| value.get_ref().is_str())
    }

    /// Returns whether a key is there and holds a list.
    pub(crate) fn is_list(&self, key: &str) -> bool {
        self.find(key).is_some_and(|value| value.get_ref().is_array())
    }

    /// Returns the error for a value of the wrong type.
    pub(crate) fn wrong_type(&self, key: &str, wanted: &str) -> Error {
        match self.find(key) {
            Some(value) => self.wrong(key, value, wanted),
            None => self.error(format!("`{key}` is missing")),
        }
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
    pub(crate) fn text<'k>(&self, key: &'k str) -> Result<Option<Entry<'a, 'k>>> {
        self.find(key).map(|value| self.entry(key, value, "a text")).transpose()
    }

    /// Returns a text that must be there.
    pub(crate) fn required<'k>(&self, key: &'k str) -> Result<Entry<'a, 'k>> {
        let missing = || self.error(format!("the key `{key}` is missing{}", self.place()));
        self.text(key)?.filter(|entry| !entry.text.is_empty()).ok_or_else(missing)
    }

    /// Returns a text as a value of its own.
    pub(crate) fn owned(&self, key: &str) -> Result<Option<String>> {
        Ok(self.text(key)?.map(|entry| entry.text.to_owned()))
    }

    /// Returns the value of a word.
    pub(in crate::agents) fn word<T: Word>(&self, key: &str) -> Result<Option<T>> {
        self.text(key)?.map(|entry| entry.word()).transpose()
    }

    /// Returns the value of a word that must be there.
    pub(in crate::agents) fn required_word<T: Word>(&self, key: &str) -> Result<T> {
        self.required(key)?.word()
    }

    /// Returns a list of texts; a single text is a list of one, and a missing key an empty list.
    pub(crate) fn list<'k>(&self, key: &'k str) -> Result<Vec<Entry<'a, 'k>>> {
        const WANTED: &str = "a list of texts";
        let Some(value) = self.find(key) else { return Ok(Vec::new()) };
        match value.get_ref().as_array() {
            Some(values) => values.iter().map(|value| self.entry(key, value, WANTED)).collect(),
            None => Ok(vec![self.entry(key, value, WANTED)?]),
        }
    }

    /// Returns a list of texts as values of their own.
    pub(crate) fn owned_list(&self, key: &str) -> Result<Vec<String>> {
        Ok(self.list(key)?.iter().map(|entry| entry.text.to_owned()).collect())
    }

    /// Returns a switch that is off if it is not there.
    pub(crate) fn flag(&self, key: &str) -> Result<bool> {
        let Some(value) = self.find(key) else { return Ok(false) };
        value.get_ref().as_bool().ok_or_else(|| self.wrong(key, value, "true or false"))
    }

    /// Returns a number.
    pub(crate) fn number(&self, key: &str) -> Result<Option<u32>> {
        let Some(value) = self.find(key) else { return Ok(None) };
        let number = value.get_ref().as_integer().filter(|it| it.radix() == 10);
        let number = number.and_then(|it| it.as_str().replace('_', "").parse().ok());
        number.map(Some).ok_or_else(|| self.wrong(key, value, "a whole number"))
    }

    /// Returns a table.
    pub(crate) fn section(&self, key: &str, known: &[&str]) -> Result<Option<Section<'a>>> {
        let Some(value) = self.find(key) else { return Ok(None) };
        let wanted = || self.wrong(key, value, "a table");
        let table = value.get_ref().as_table().ok_or_else(wanted)?;
        let outer = self.title.trim_matches(['[', ']']);
        let dot = if outer.is_empty() { "" } else { "." };
        let title = format!("[{outer}{dot}{key}]");
        let offset = value.span().start;
        Section { source: self.source, table, title, offset }.open(known).map(Some)
    }

    /// Returns a list of tables; a missing key is an empty list.
    pub(crate) fn sections(&self, key: &str, known: &[&str]) -> Result<Vec<Section<'a>>> {
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
    pub(crate) fn basis(&self, evidence: Evidence) -> Result<Basis> {
        let evidence = self.word("evidence")?.unwrap_or(evidence);
        Ok(Basis { evidence, note: self.owned("note")? })
    }
}
