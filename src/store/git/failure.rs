//! Why a git remote can't be used, in one sentence of ours, and what to do.

use std::fmt;

/// A failure. Several callers may wait for the same thing, so it can be handed to each.
#[derive(Debug, Clone)]
pub(in crate::store) struct GitFailure {
    pub(in crate::store) sentence: String,
    pub(in crate::store) remedy: String,
    /// Whether the same may work a moment later.
    pub(super) passes: bool,
}

pub(super) type Outcome<T> = Result<T, GitFailure>;

impl GitFailure {
    /// Something that stays until somebody changes it.
    pub(super) fn lasting(sentence: impl Into<String>, remedy: impl Into<String>) -> GitFailure {
        GitFailure { sentence: clean(&sentence.into()), remedy: remedy.into(), passes: false }
    }

    /// Something that may be over in a moment.
    pub(super) fn passing(sentence: impl Into<String>) -> GitFailure {
        GitFailure {
            sentence: clean(&sentence.into()),
            remedy: "check the network and the server; what is durable is used by the next run"
                .into(),
            passes: true,
        }
    }

    /// Something that no git server says.
    pub(super) fn odd(what: &str) -> GitFailure {
        GitFailure::lasting(
            format!("the git server's answer can't be understood: {what}"),
            "check that the address is that of a git repository",
        )
    }

    /// A disk's own failure.
    pub(super) fn disk(what: &str, error: &std::io::Error) -> GitFailure {
        if matches!(
            error.kind(),
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded
        ) {
            return GitFailure::lasting(
                format!("{what}: no space left"),
                "nothing saved is lost; free some space and run the same command again",
            );
        }
        GitFailure::lasting(format!("{what}: {error}"), "check the folder and its permissions")
    }
}

/// Returns a text as it may be shown: what a server says could steer a terminal, or never end.
fn clean(text: &str) -> String {
    text.chars().filter(|it| !it.is_control()).take(500).collect()
}

impl fmt::Display for GitFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl std::error::Error for GitFailure {}

impl From<GitFailure> for object_store::Error {
    fn from(failure: GitFailure) -> Self {
        object_store::Error::Generic { store: "git", source: Box::new(failure) }
    }
}
