//! The one error type of the crate, and the table of exit codes.
//!
//! An [`Error`] says what was being done to which object, why it failed, and what to do next
//! (style rule E1). Callers match on [`Kind`], never on text. The pure rooms (`format`, `codec`)
//! have small error enums of their own, which become an `Error` in `repository`.

use std::fmt;
use std::sync::Arc;

/// The result of everything that can fail above the pure rooms.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure this is; each kind has one exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Anything that has no kind of its own: disk full, permission denied, a broken pipe.
    Failed,
    /// Wrong words on the command line.
    Usage,
    /// No repository at this place, or one that this version can't read.
    NoRepository,
    /// Another process holds what is needed.
    Busy,
    /// No secret opens the repository.
    WrongPassphrase,
    /// Stored data is missing, cut, swapped or altered.
    Damaged,
    /// The store can't be reached, or refuses.
    Store,
    /// A configuration file can't be used.
    Config,
    /// A command of a job's own failed.
    JobCommand,
    /// The user asked to stop.
    Interrupted,
}

/// One row of the exit code table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExitCode {
    /// The process's exit code.
    pub code: u8,
    /// One line for people.
    pub meaning: &'static str,
}

/// Every exit code that the program can give, in ascending order.
pub const EXIT_CODES: &[ExitCode] = &[
    ExitCode { code: 0, meaning: "done" },
    ExitCode { code: 1, meaning: "failed" },
    ExitCode { code: 2, meaning: "wrong usage" },
    ExitCode { code: 3, meaning: "done, but some items failed" },
    ExitCode { code: 10, meaning: "no repository" },
    ExitCode { code: 11, meaning: "busy: another process holds it" },
    ExitCode { code: 12, meaning: "wrong passphrase or key" },
    ExitCode { code: 13, meaning: "repository damaged" },
    ExitCode { code: 14, meaning: "store unreachable or refused" },
    ExitCode { code: 15, meaning: "backups overdue" },
    ExitCode { code: 16, meaning: "configuration error" },
    ExitCode { code: 17, meaning: "a job's own command failed" },
    ExitCode { code: 130, meaning: "interrupted" },
];

impl Kind {
    /// Returns the process exit code of this kind.
    pub fn exit_code(self) -> u8 {
        match self {
            Kind::Failed => 1,
            Kind::Usage => 2,
            Kind::NoRepository => 10,
            Kind::Busy => 11,
            Kind::WrongPassphrase => 12,
            Kind::Damaged => 13,
            Kind::Store => 14,
            Kind::Config => 16,
            Kind::JobCommand => 17,
            Kind::Interrupted => 130,
        }
    }
}

/// A failure: what was being done, to which object, why, and what to do.
///
/// `Display` gives one line without the hint; the hint is shown on a line of its own.
/// Threads that wait for the same thing fail with copies of the same error.
#[derive(Debug, Clone)]
pub struct Error {
    kind: Kind,
    doing: String,
    object: Option<String>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
    hint: Option<String>,
}

impl Error {
    /// Returns an error of `kind`; `doing` completes the sentence "stash: error: …".
    pub fn new(kind: Kind, doing: impl Into<String>) -> Self {
        Error { kind, doing: doing.into(), object: None, source: None, hint: None }
    }

    /// Returns an error of kind [`Kind::Failed`].
    pub fn failed(doing: impl Into<String>) -> Self {
        Self::new(Kind::Failed, doing)
    }

    /// Returns an error of kind [`Kind::Usage`].
    pub fn usage(doing: impl Into<String>) -> Self {
        Self::new(Kind::Usage, doing)
    }

    /// Returns an error of kind [`Kind::Damaged`] about `object`.
    pub fn damaged(doing: impl Into<String>, object: impl Into<String>) -> Self {
        Self::new(Kind::Damaged, doing).object(object)
    }

    /// Adds the name of the object or path that the error is about.
    #[must_use]
    pub fn object(mut self, object: impl Into<String>) -> Self {
        self.object = Some(object.into());
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(Arc::from(source.into()));
        self
    }

    /// Adds what to do next; lower case, no final full stop.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Returns the kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns what to do next, if that is known.
    pub fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Returns the error and what to do next in one line, for a run that goes on.
    pub fn with_hint(&self) -> String {
        match &self.hint {
            Some(hint) => format!("{self}; {hint}"),
            None => self.to_string(),
        }
    }

    /// Returns the object that the error is about, if it names one.
    pub fn object_name(&self) -> Option<&str> {
        self.object.as_deref()
    }

    /// Returns whether the cause is the given I/O error kind.
    pub fn is_io(&self, kind: std::io::ErrorKind) -> bool {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(self);
        while let Some(error) = cause {
            if error.downcast_ref::<std::io::Error>().is_some_and(|io| io.kind() == kind) {
                return true;
            }
            cause = error.source();
        }
        false
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.doing)?;
        if let Some(object) = &self.object {
            write!(f, " `{object}`")?;
        }
        let mut cause: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(self);
        let mut last = String::new();
        while let Some(error) = cause {
            let text = error.to_string();
            // Wrappers often repeat their cause; saying it once is enough.
            if !last.contains(&text) {
                write!(f, ": {text}")?;
                last = text;
            }
            cause = error.source();
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn std::error::Error + 'static))
    }
}

/// Adds context to a failed disk call: what was done, on which path.
pub trait IoContext<T> {
    /// Turns the error into an [`Error`] that says `doing` and names `path`.
    fn at(self, doing: &str, path: &std::path::Path) -> Result<T>;
}

impl<T> IoContext<T> for std::io::Result<T> {
    fn at(self, doing: &str, path: &std::path::Path) -> Result<T> {
        self.map_err(|error| io_error(doing, path, error))
    }
}

/// Returns the [`Error`] for a failed disk call; a full disk gets its own hint.
pub fn io_error(doing: &str, path: &std::path::Path, error: std::io::Error) -> Error {
    let full =
        matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded);
    let result = Error::failed(doing).object(path.display().to_string()).source(error);
    if full {
        result.hint("nothing saved is lost; free some space and run the same command again")
    } else {
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_row_in_the_table() {
        for kind in [
            Kind::Failed,
            Kind::Usage,
            Kind::NoRepository,
            Kind::Busy,
            Kind::WrongPassphrase,
            Kind::Damaged,
            Kind::Store,
            Kind::Config,
            Kind::JobCommand,
            Kind::Interrupted,
        ] {
            assert!(EXIT_CODES.iter().any(|row| row.code == kind.exit_code()), "{kind:?}");
        }
    }

    #[test]
    fn an_error_shows_its_causes_once_and_its_object_in_backquotes() {
        let io = std::io::Error::other("disk on fire");
        let error = Error::failed("cannot write").object("/x").source(io);
        assert_eq!(error.to_string(), "cannot write `/x`: disk on fire");
    }
}
