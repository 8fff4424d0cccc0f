//! Arguments of the commands that write snapshots.
#![expect(
    clippy::doc_markdown,
    reason = "the comments are help text, where clap writes variables bare"
)]

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use clap::{Args, ValueEnum};

use super::copy::OtherOptions;
use super::values;
use crate::codec::Compression;
use crate::error::{Error, Result};
use crate::format::tree::Category;
use crate::time::SECOND;

/// How hard to compress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum CompressionLevel {
    /// Less time, more bytes
    #[value(alias = "fastest")]
    Fast,
    /// What pays for most data
    #[default]
    Auto,
    /// Much more time, fewer bytes
    #[value(alias = "better")]
    Max,
}

impl From<CompressionLevel> for Compression {
    fn from(level: CompressionLevel) -> Self {
        match level {
            CompressionLevel::Fast => Compression::Fast,
            CompressionLevel::Auto => Compression::Auto,
            CompressionLevel::Max => Compression::Max,
        }
    }
}

/// How often SQLite looks through the copies of databases that are saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum DatabaseCheck {
    /// Not at all
    Never,
    /// Each database when it is saved, a week after the last time
    #[default]
    Weekly,
    /// Each database whenever it is saved
    Always,
}

impl DatabaseCheck {
    /// Returns after how many nanoseconds a check is due again.
    pub fn interval(self) -> Option<i64> {
        match self {
            DatabaseCheck::Never => None,
            DatabaseCheck::Weekly => Some(7 * 24 * 3600 * SECOND),
            DatabaseCheck::Always => Some(0),
        }
    }
}

/// What becomes of files that hold nothing but credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum SecretsPolicy {
    /// They are saved, encrypted like everything else
    #[default]
    Encrypt,
    /// They are left out
    Exclude,
}

/// A category of agents' files, or several by one word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CategoryWord(pub Vec<Category>);

impl std::str::FromStr for CategoryWord {
    type Err = String;

    fn from_str(word: &str) -> std::result::Result<Self, String> {
        let known = || crate::agents::category_words().collect::<Vec<_>>().join(", ");
        let found = crate::agents::categories_of(word).map(CategoryWord);
        found.ok_or_else(|| format!("there are {}", known()))
    }
}

/// Arguments of `init`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stash init --repo /mnt/disk/backups
  STASH_PASSPHRASE_FILE=~/.pass stash init --repo /mnt/disk/backups
  stash init --repo s3://my-bucket/laptop
  stash init --repo minio:nas.lan:9000/backups --create-bucket
  stash init --repo s3://my-bucket/laptop --append-only
  GH_TOKEN=… stash init --repo github:me/backups --create-bucket
  stash init --repo /mnt/disk/backups --like ~/backups")]
pub struct InitArguments {
    /// Makes the bucket, container or private GitHub repository first, if it is missing
    #[arg(long)]
    pub create_bucket: bool,
    /// Honours, in a prune, only what the machine that prunes asks for itself, and those that it
    /// names: for machines whose credentials may not delete
    #[arg(long)]
    pub append_only: bool,
    /// Takes the keys of content from the repository at LOCATION, so that `stash copy` brings
    /// everything over as it is compressed; neither opens the other
    #[arg(long, value_name = "LOCATION")]
    pub like: Option<OsString>,
    /// How long a writer may go on without looking at what others did. For trials, as --grace is:
    /// both are fixed for the repository's life.
    #[arg(long, value_name = "DURATION", hide = true, value_parser = super::values::duration)]
    pub window: Option<std::time::Duration>,
    /// How long what is condemned stays; at least 20 windows.
    #[arg(long, value_name = "DURATION", hide = true, value_parser = super::values::duration)]
    pub grace: Option<std::time::Duration>,
    /// What opens the repository that --like names.
    #[command(flatten)]
    pub other: OtherOptions,
}

/// Arguments of `backup`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  stash backup                            all coding agents that are found, or the jobs of the
                                          configuration
  stash backup --job photos
  stash backup --agent claude-code,codex --only sessions
  stash backup ~/work
  stash backup ~/work /etc --exclude '*.tmp' --tag nightly
  stash backup --dry-run ~/work
  stash backup ~/work --also /mnt/disk/backups
  pg_dump shop | stash backup --stdin --stdin-filename shop.sql
  stash backup --stdin-from-command --stdin-filename shop.sql -- pg_dump shop")]
#[expect(clippy::struct_excessive_bools, reason = "one field per switch of the command line")]
pub struct BackupArguments {
    /// What to save; with --stdin-from-command, the command and its arguments
    #[arg(value_name = "PATH")]
    pub paths: Vec<OsString>,
    /// Saves coding agents: these, by id [default without a PATH: all that are found]
    #[arg(long = "agent", value_name = "ID", value_delimiter = ',')]
    pub agents: Vec<String>,
    /// Reads only these categories of agents' files; what is not read stays in the snapshot as it
    /// was. `profile` is config, settings, skills and memory
    #[arg(long, value_name = "CATEGORY", value_delimiter = ',')]
    pub only: Vec<CategoryWord>,
    /// What becomes of files that hold nothing but an agent's credentials [default: encrypt]
    #[arg(long, value_name = "POLICY", value_enum, env = "STASH_SECRETS", hide_env_values = true)]
    pub secrets: Option<SecretsPolicy>,
    /// Saves what links in agents' folders lead to, too, where that lies elsewhere: as paths of their
    /// own, under which they are restored
    #[arg(
        long,
        value_parser = FalseyValueParser::new(),
        env = "STASH_FOLLOW_LINKS",
        hide_env_values = true
    )]
    pub follow_links: bool,
    /// Shows what would be saved, with sizes and the 20 largest contributors; writes nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Reads every file again, whether it seems changed or not
    #[arg(short, long)]
    pub force: bool,
    /// Writes a snapshot even if nothing changed
    #[arg(
        long,
        value_parser = FalseyValueParser::new(),
        env = "STASH_ALWAYS",
        hide_env_values = true
    )]
    pub always: bool,
    /// restic's name for what is always done here.
    #[arg(long, hide = true)]
    pub skip_if_unchanged: bool,
    /// Tags the snapshot; may be repeated, or hold several with commas between
    #[arg(
        long = "tag",
        value_name = "TAG",
        value_delimiter = ',',
        env = "STASH_TAG",
        hide_env_values = true
    )]
    pub tags: Vec<String>,
    /// Names the machine in the snapshot [default: this machine's name; env: STASH_HOST]
    #[arg(short = 'H', long, value_name = "NAME", visible_alias = "machine")]
    pub host: Option<String>,
    /// Runs this job of the configuration; with a PATH, names the line of snapshots that this one
    /// continues [default: every job; made from the paths]
    #[arg(short = 'P', long, value_name = "NAME", env = "STASH_JOB", hide_env_values = true)]
    pub job: Option<String>,
    /// How hard to compress what is new
    #[arg(
        long,
        value_name = "LEVEL",
        value_enum,
        default_value_t,
        env = "STASH_COMPRESSION",
        hide_env_values = true
    )]
    pub compression: CompressionLevel,
    /// How often to have SQLite look for damage in databases
    #[arg(
        long,
        value_name = "WHEN",
        value_enum,
        default_value_t,
        env = "STASH_CHECK_DATABASES",
        hide_env_values = true
    )]
    pub check_databases: DatabaseCheck,
    /// Brings the snapshot into the repository at LOCATION, too; may be repeated. Files are read once;
    /// if one of the repositories fails, the others still get it
    #[arg(
        long,
        value_name = "LOCATION",
        value_delimiter = '\n',
        env = "STASH_ALSO",
        hide_env_values = true
    )]
    pub also: Vec<OsString>,
    /// Does not clean up afterwards, even if it is time to
    #[arg(
        long,
        value_parser = FalseyValueParser::new(),
        env = "STASH_NO_MAINTENANCE",
        hide_env_values = true
    )]
    pub no_maintenance: bool,
    /// Forgets nothing afterwards, whatever policy the job has
    #[arg(
        long,
        value_parser = FalseyValueParser::new(),
        env = "STASH_NO_FORGET",
        hide_env_values = true
    )]
    pub no_forget: bool,
    /// Dates the snapshot TIME instead of now, as in `2026-11-20 14:30`
    #[arg(long, value_name = "TIME")]
    pub time: Option<String>,

    /// Leaves out what matches PATTERN; may be repeated
    #[arg(short, long, value_name = "PATTERN", help_heading = "What to save")]
    pub exclude: Vec<OsString>,
    /// The same, whatever the case of letters
    #[arg(long, value_name = "PATTERN", help_heading = "What to save")]
    pub iexclude: Vec<OsString>,
    /// Reads patterns to leave out from FILE, one on each line
    #[arg(
        long,
        value_name = "FILE",
        help_heading = "What to save",
        env = "STASH_EXCLUDE_FILE",
        hide_env_values = true
    )]
    pub exclude_file: Vec<PathBuf>,
    /// Leaves out what is in a folder that holds a file NAME (`NAME:TEXT`: one that begins so)
    #[arg(
        long,
        value_name = "NAME",
        help_heading = "What to save",
        env = "STASH_EXCLUDE_IF_PRESENT",
        hide_env_values = true
    )]
    pub exclude_if_present: Vec<OsString>,
    /// The default: leaves out folders marked by a CACHEDIR.TAG.
    #[arg(long, hide = true)]
    pub exclude_caches: bool,
    /// Saves folders that a CACHEDIR.TAG marks as caches; they are left out otherwise
    #[arg(
        long,
        help_heading = "What to save",
        value_parser = FalseyValueParser::new(),
        env = "STASH_NO_EXCLUDE_CACHES",
        hide_env_values = true
    )]
    pub no_exclude_caches: bool,
    /// Leaves out files larger than SIZE (`100M`, `2G`)
    #[arg(
        long,
        value_name = "SIZE",
        help_heading = "What to save",
        value_parser = values::size,
        env = "STASH_EXCLUDE_LARGER_THAN",
        hide_env_values = true
    )]
    pub exclude_larger_than: Option<u64>,
    /// Stays on the file systems of the given paths
    #[arg(
        short = 'x',
        long,
        help_heading = "What to save",
        value_parser = FalseyValueParser::new(),
        env = "STASH_ONE_FILE_SYSTEM",
        hide_env_values = true
    )]
    pub one_file_system: bool,
    /// Leaves out what git ignores
    #[arg(
        long,
        help_heading = "What to save",
        value_parser = FalseyValueParser::new(),
        env = "STASH_GITIGNORE",
        hide_env_values = true
    )]
    pub gitignore: bool,
    /// Saves the paths that FILE lists, one on each line; `-` is standard input
    #[arg(long, value_name = "FILE", help_heading = "What to save")]
    pub files_from: Vec<PathBuf>,
    /// Saves standard input as one file
    #[arg(long, help_heading = "What to save", conflicts_with = "stdin_from_command")]
    pub stdin: bool,
    /// Saves what a command prints; if it fails, so does the backup
    #[arg(long, help_heading = "What to save")]
    pub stdin_from_command: bool,
    /// Names the file made from standard input or a command
    #[arg(long, value_name = "NAME", help_heading = "What to save", default_value = "stdin")]
    pub stdin_filename: OsString,
    /// What opens the repositories that --also names.
    #[command(flatten)]
    pub other: OtherOptions,
}

impl BackupArguments {
    /// Returns whether folders marked as caches are left out.
    pub fn leaves_out_caches(&self) -> bool {
        !self.no_exclude_caches
    }

    pub(super) fn check(&self) -> Result<()> {
        let lists_stdin = self.files_from.iter().any(|file| file.as_os_str() == "-");
        if self.stdin && lists_stdin {
            return Err(Error::usage("standard input can't be both a file and a list of paths")
                .hint("write the list into a file"));
        }
        if (self.stdin || self.stdin_from_command) && !self.files_from.is_empty() {
            return Err(Error::usage("a snapshot of standard input holds no other paths")
                .hint("save the paths with a command of their own"));
        }
        if self.stdin && !self.paths.is_empty() {
            return Err(Error::usage("a snapshot of standard input holds no other paths")
                .hint("save the paths with a command of their own"));
        }
        if self.stdin_from_command && self.paths.is_empty() {
            return Err(Error::usage("`--stdin-from-command` needs a command")
                .hint("for example `stash backup --stdin-from-command -- pg_dump shop`"));
        }
        let names_agents = !self.agents.is_empty() || !self.only.is_empty();
        if names_agents && (self.stdin || self.stdin_from_command) {
            return Err(Error::usage("a snapshot of a stream holds no agents")
                .hint("save the agents with a command of their own"));
        }
        Ok(())
    }
}
