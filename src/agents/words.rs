//! The words that definitions are written with, and the nearest known one to a misspelt word.

use crate::format::tree::Category;

/// A closed set of words, each for one value.
pub(super) trait Word: Copy + 'static {
    /// What the words stand for, in the singular.
    const WHAT: &'static str;

    /// Returns all values.
    fn all() -> &'static [Self];

    /// Returns the word for a value.
    fn word(self) -> &'static str;
}

macro_rules! words {
    (
        $(#[$meta:meta])* $name:ident, $what:literal:
        $($(#[$doc:meta])* $variant:ident = $word:literal,)+
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$doc])* $variant,)+
        }

        impl $name {
            /// All of them, in the order of their definition.
            pub const ALL: &'static [$name] = &[$($name::$variant,)+];

            /// The word for it in a definition.
            pub fn name(self) -> &'static str {
                match self {
                    $($name::$variant => $word,)+
                }
            }
        }

        impl Word for $name {
            const WHAT: &'static str = $what;

            fn all() -> &'static [Self] {
                Self::ALL
            }

            fn word(self) -> &'static str {
                self.name()
            }
        }
    };
}

impl Word for Category {
    const WHAT: &'static str = "category";

    fn all() -> &'static [Self] {
        &Category::ALL
    }

    fn word(self) -> &'static str {
        self.name()
    }
}

words! {
    /// How sure a statement about an agent is.
    Evidence, "evidence":
    /// Seen in the agent's own source or documentation.
    Verified = "verified",
    /// Seen in somebody else's reader, or told about a real installation.
    SecondHand = "second-hand",
    /// Inferred; to be checked before anything hangs on it.
    Unverified = "unverified",
}

words! {
    /// A family of operating systems, as far as places differ.
    System, "system":
    /// Linux, and other systems that follow the XDG rules.
    Linux = "linux",
    /// macOS.
    Macos = "macos",
    /// Windows.
    Windows = "windows",
}

words! {
    /// What a root is.
    PathKind, "kind":
    /// A folder with everything below it.
    Folder = "folder",
    /// A single file.
    File = "file",
}

words! {
    /// How a file is merged with the one that is there.
    MergeFormat, "merge format":
    /// JSON: objects key by key, lists of objects by the key that the rule names.
    Json = "json",
}

words! {
    /// How sessions are stored, as far as a reader needs to know.
    SessionShape, "session shape":
    /// JSON lines; records of one message share an id.
    ClaudeJsonl = "claude-jsonl",
    /// JSON lines of `timestamp`, `type` and `payload`, perhaps compressed with zstd.
    CodexRollout = "codex-rollout",
    /// JSON lines: a header, then messages that name their parent.
    PiJsonl = "pi-jsonl",
    /// JSON lines with patches and rewinds, or one JSON document.
    GeminiChat = "gemini-chat",
    /// JSON lines: a log of typed events.
    CopilotEvents = "copilot-events",
    /// JSON lines with a role, without times.
    RoleJsonl = "role-jsonl",
    /// A JSON file for each session, and an index of all.
    AnthropicJson = "anthropic-json",
    /// A JSON file for each session, and an index of all.
    ContinueJson = "continue-json",
    /// A JSON file for each thread.
    AmpJson = "amp-json",
    /// Markdown with many sessions in one file.
    AiderMd = "aider-md",
    /// `OpenCode`'s database.
    OpencodeDb = "opencode-db",
    /// `OpenCode`'s JSON files of before.
    OpencodeJson = "opencode-json",
    /// Goose's database.
    GooseDb = "goose-db",
    /// Crush's database.
    CrushDb = "crush-db",
    /// The table of keys and values of Cursor's editor.
    CursorKv = "cursor-kv",
    /// The database of one chat of Cursor's command line.
    CursorStore = "cursor-store",
    /// Kiro's database.
    KiroDb = "kiro-db",
    /// Zed's database of compressed threads.
    ZedDb = "zed-db",
    /// `OpenClaw`'s database of one agent.
    OpenclawDb = "openclaw-db",
    /// Saved, and not read.
    Opaque = "opaque",
}

impl SessionShape {
    /// Returns whether it is a database.
    pub fn is_database(self) -> bool {
        matches!(
            self,
            SessionShape::OpencodeDb
                | SessionShape::GooseDb
                | SessionShape::CrushDb
                | SessionShape::CursorKv
                | SessionShape::CursorStore
                | SessionShape::KiroDb
                | SessionShape::ZedDb
                | SessionShape::OpenclawDb
        )
    }

    /// Returns whether one file holds many sessions, so that files can't be counted for them.
    pub fn holds_many(self) -> bool {
        matches!(
            self,
            SessionShape::AiderMd
                | SessionShape::OpencodeDb
                | SessionShape::GooseDb
                | SessionShape::CrushDb
                | SessionShape::CursorKv
                | SessionShape::KiroDb
                | SessionShape::ZedDb
                | SessionShape::OpenclawDb
        )
    }
}

words! {
    /// How to see that an agent runs.
    RunningKind, "running check":
    /// Files that name a process.
    PidFile = "pid-file",
    /// Files that are there, or locked, while it runs.
    LockFile = "lock-file",
    /// Databases that it holds open.
    Database = "database",
    /// An address that it listens at.
    Port = "port",
}

words! {
    /// Where a pid file says which process.
    PidPlace, "place of a pid":
    /// In its name, without the ending.
    Stem = "stem",
    /// It is all that the file holds.
    Content = "content",
}

words! {
    /// By what an agent tells the age of what it deletes.
    PurgeClock, "clock":
    /// The file's modification time.
    Mtime = "mtime",
    /// A time within the session.
    Content = "content",
}

words! {
    /// How a setting states a number of days.
    RetentionUnit, "unit":
    /// As a number.
    Days = "days",
    /// As a text such as `30d`.
    DaysWithD = "days-with-d",
}

words! {
    /// The form that an agent wants hooks in.
    HookFormat, "hook format":
    /// Claude Code's `hooks` in a settings file.
    ClaudeSettings = "claude-settings",
    /// Codex's file of hooks.
    CodexHooks = "codex-hooks",
    /// Codex's `notify` program.
    CodexNotify = "codex-notify",
    /// A plugin of `OpenCode`.
    OpencodePlugin = "opencode-plugin",
    /// Gemini's `hooks` in a settings file.
    GeminiSettings = "gemini-settings",
    /// A plugin of `OpenClaw`.
    OpenclawPlugin = "openclaw-plugin",
    /// Cursor's file of hooks.
    CursorHooks = "cursor-hooks",
    /// Copilot's files of hooks.
    CopilotHooks = "copilot-hooks",
    /// A plugin of the open layout, as Goose reads it.
    OpenPlugin = "open-plugin",
    /// Crush's `hook` in its config.
    CrushConfig = "crush-config",
    /// Programs named after an event.
    ClineExecutables = "cline-executables",
    /// Kiro's folder of hooks.
    KiroHooks = "kiro-hooks",
    /// An extension of Pi.
    PiExtension = "pi-extension",
}

words! {
    /// How a hook is told what happened.
    Payload, "payload":
    /// As JSON on standard input.
    Stdin = "stdin",
    /// As JSON in the last argument.
    LastArgument = "last-argument",
    /// As the arguments of a function in the agent's own process.
    Call = "call",
}

words! {
    /// What decides where a restored session must lie.
    SessionPlacement, "placement":
    /// Where it lay below its root.
    SamePath = "same-path",
    /// A folder named after the working directory.
    SlugOfDirectory = "slug-of-directory",
    /// A folder named by a hash of the working directory.
    HashOfDirectory = "hash-of-directory",
    /// A folder that a register assigns to the working directory.
    RegistrySlug = "registry-slug",
    /// Columns of its row.
    DatabaseRow = "database-row",
    /// A folder named by its id.
    SessionId = "session-id",
    /// One folder for all, and an entry in an index.
    GlobalIndex = "global-index",
    /// The project's own folder.
    InProject = "in-project",
    /// Only everything together.
    Whole = "whole",
}

/// The word for several categories: what makes an agent the user's own.
const PROFILE: &str = "profile";

/// Returns the categories that a word of a person's means: one, or the several of `profile`.
pub fn categories_of(word: &str) -> Option<Vec<Category>> {
    if word == PROFILE {
        use Category::{Config, Memory, Settings, Skills};
        return Some(vec![Config, Settings, Skills, Memory]);
    }
    let found = Category::from_name(word).filter(|it| *it != Category::Cache)?;
    Some(vec![found])
}

/// Returns the words that [`categories_of`] understands. Caches are never saved.
pub fn category_words() -> impl Iterator<Item = &'static str> {
    let saved = Category::ALL.into_iter().filter(|it| *it != Category::Cache);
    saved.map(Category::name).chain([PROFILE])
}

/// Returns the known word that `word` was most likely meant to be.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = word.to_lowercase().replace('_', "-");
    known
        .into_iter()
        .map(|candidate| {
            (strsim::osa_distance(&folded, &candidate.to_lowercase().replace('_', "-")), candidate)
        })
        .filter(|(distance, candidate)| {
            // A third of the letters may be wrong, and in a short word one.
            *distance <= (candidate.chars().count().max(folded.chars().count()) / 3).max(1)
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_word_finds_its_neighbour_and_a_strange_one_none() {
        let categories = || Category::ALL.into_iter().map(Category::name);
        assert_eq!(nearest("sesions", categories()), Some("sessions"));
        assert_eq!(nearest("Session", categories()), Some("sessions"));
        assert_eq!(nearest("secret", categories()), Some("secrets"));
        assert_eq!(nearest("conifg", categories()), Some("config"));
        assert_eq!(nearest("banana", categories()), None);
        assert_eq!(nearest("mixed-secrets", ["mixed_secrets"]), Some("mixed_secrets"));
    }

    #[test]
    fn words_are_lower_case_and_none_is_there_twice() {
        fn check<T: Word>() {
            let mut words: Vec<_> = T::all().iter().map(|value| value.word()).collect();
            assert!(words.iter().all(|word| *word == word.to_lowercase() && !word.contains('_')));
            words.sort_unstable();
            words.dedup();
            assert_eq!(words.len(), T::all().len(), "{}", T::WHAT);
        }
        check::<Category>();
        check::<SessionShape>();
        check::<HookFormat>();
        check::<SessionPlacement>();
    }
}
