//! The environment as a value: that of this process, or one given by a test.
//!
//! Variables are read one by one when asked for, never copied as a whole, since some are secrets;
//! for the same reason there is no `Debug`. A variable that is set but empty counts as not set.
#![expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result};

/// Where variables come from.
#[derive(Clone)]
pub struct Environment {
    /// `None`: this process.
    given: Option<BTreeMap<String, OsString>>,
}

impl Environment {
    /// Returns the environment of this process.
    pub fn of_process() -> Self {
        Environment { given: None }
    }

    /// Returns an environment that holds just these variables.
    pub fn given<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let pairs = pairs.into_iter().map(|(name, value)| (name.to_owned(), value.into()));
        Environment { given: Some(pairs.collect()) }
    }

    /// Returns a variable that is set and not empty.
    pub fn get(&self, name: &str) -> Option<OsString> {
        self.raw(name).filter(|value| !value.is_empty())
    }

    /// Returns whether a variable is set, but to nothing.
    pub fn is_empty(&self, name: &str) -> bool {
        self.raw(name).is_some_and(|value| value.is_empty())
    }

    fn raw(&self, name: &str) -> Option<OsString> {
        match &self.given {
            Some(pairs) => pairs.get(name).cloned(),
            None => std::env::var_os(name),
        }
    }

    /// Returns a variable as text; what is not UTF-8 is refused without being shown.
    pub fn text(&self, name: &str) -> Result<Option<String>> {
        match self.get(name).map(OsString::into_string) {
            None => Ok(None),
            Some(Ok(text)) => Ok(Some(text)),
            Some(Err(_)) => Err(Error::usage("this variable is not valid UTF-8:").object(name)),
        }
    }

    /// Returns a variable that must be an absolute path to count, as the XDG rules ask.
    pub fn absolute_path(&self, name: &str) -> Option<PathBuf> {
        self.get(name).map(PathBuf::from).filter(|path| path.is_absolute())
    }

    /// Returns the user's home.
    pub fn home(&self) -> Option<PathBuf> {
        match &self.given {
            Some(_) => self.get("HOME").map(PathBuf::from),
            // Falls back to the account's entry where HOME is not set, as under some timers.
            None => std::env::home_dir().filter(|home| !home.as_os_str().is_empty()),
        }
    }

    /// Returns a path in which `~` stands for the home.
    pub fn expand_home(&self, path: &Path) -> Result<PathBuf> {
        let Ok(rest) = path.strip_prefix("~") else { return Ok(path.to_owned()) };
        let home = self
            .home()
            .ok_or_else(|| Error::new(Kind::Config, "cannot tell what `~` is: no `HOME`"))?;
        // Joining nothing would add a slash.
        Ok(if rest.as_os_str().is_empty() { home } else { home.join(rest) })
    }
}
