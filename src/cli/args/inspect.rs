//! Arguments of the commands that look into a repository.

use std::ffi::OsString;

use clap::{Args, ValueEnum};

use super::at_beside_id;
use super::values::SnapshotArgument;
use crate::error::{Error, Result};

/// Which snapshots are considered.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Which snapshots")]
pub struct FilterOptions {
    /// Considers snapshots of this machine; may be repeated [default for `latest`: this one]
    #[arg(short = 'H', long = "host", value_name = "NAME", visible_alias = "machine")]
    pub hosts: Vec<String>,
    /// Considers snapshots with all of these tags (commas between); may be repeated
    #[arg(long = "tag", value_name = "TAG[,TAG…]")]
    pub tags: Vec<String>,
    /// Considers snapshots that hold this path; may be repeated
    #[arg(id = "filter_path", long = "path", value_name = "PATH")]
    pub paths: Vec<OsString>,
}

/// Arguments of `snapshots`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stash snapshots
  stash snapshots --tag nightly --latest 3
  stash snapshots --agent claude-code
  stash snapshots --host old-laptop --json")]
pub struct SnapshotsArguments {
    /// Lists only these: `latest`, `latest~N`, or the beginning of an id
    #[arg(value_name = "SNAPSHOT", value_parser = SnapshotArgument::parser())]
    pub snapshots: Vec<SnapshotArgument>,
    /// Lists the newest N of each machine and set of paths
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub latest: Option<u32>,
    /// Lists those that hold this agent; may be repeated, or hold several with commas between
    #[arg(long = "agent", value_name = "ID", value_delimiter = ',')]
    pub agents: Vec<String>,
    /// Which snapshots.
    #[command(flatten)]
    pub filter: FilterOptions,
}

/// Arguments of `ls`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stash ls
  stash ls latest /home/ann/work
  stash ls 3f9a0c21:/home/ann/work --recursive --long
  stash ls --at '3 days ago' latest /etc")]
pub struct LsArguments {
    /// The snapshot, or a place inside it [default: latest]
    #[arg(value_name = "SNAPSHOT[:PATH]", value_parser = SnapshotArgument::parser())]
    pub snapshot: Option<SnapshotArgument>,
    /// Lists these files and folders
    #[arg(value_name = "PATH")]
    pub paths: Vec<OsString>,
    /// Takes the newest snapshot at or before TIME
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    /// Shows modes, owners, sizes and times
    #[arg(short, long)]
    pub long: bool,
    /// Lists the folders inside a PATH, too
    #[arg(long)]
    pub recursive: bool,
    /// Which snapshots.
    #[command(flatten)]
    pub filter: FilterOptions,
}

/// Arguments of `find`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stash find invoice.pdf
  stash find '*.sqlite' --newest 'last monday'
  stash find --ignore-case 'readme*' --snapshot latest")]
pub struct FindArguments {
    /// The name to find; several find whatever matches one of them
    #[arg(value_name = "PATTERN", required = true)]
    pub patterns: Vec<OsString>,
    /// Takes upper and lower case as the same
    #[arg(short, long)]
    pub ignore_case: bool,
    /// Shows modes, owners, sizes and times
    #[arg(short, long)]
    pub long: bool,
    /// Finds only files changed at or after TIME
    #[arg(short = 'O', long, value_name = "TIME")]
    pub oldest: Option<String>,
    /// Finds only files changed at or before TIME
    #[arg(short = 'N', long, value_name = "TIME")]
    pub newest: Option<String>,
    /// Looks only into this snapshot; may be repeated
    #[arg(short, long = "snapshot", value_name = "SNAPSHOT", value_parser = SnapshotArgument::parser())]
    pub snapshots: Vec<SnapshotArgument>,
    /// Which snapshots.
    #[command(flatten)]
    pub filter: FilterOptions,
}

/// Arguments of `diff`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stash diff
  stash diff latest~3
  stash diff 3f9a0c21:/home/ann latest:/home/ann")]
pub struct DiffArguments {
    /// The older one [default: latest~1]
    #[arg(value_name = "OLD[:PATH]", value_parser = SnapshotArgument::parser())]
    pub old: Option<SnapshotArgument>,
    /// The newer one [default: latest]
    #[arg(value_name = "NEW[:PATH]", value_parser = SnapshotArgument::parser())]
    pub new: Option<SnapshotArgument>,
    /// Shows items of which only the metadata changed, too
    #[arg(long)]
    pub metadata: bool,
    /// Which snapshots.
    #[command(flatten)]
    pub filter: FilterOptions,
}

/// Arguments of `history`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stash history ~/work/notes.md
  stash history --json /etc/fstab")]
pub struct HistoryArguments {
    /// The file, by the place that it was saved from
    #[arg(value_name = "PATH")]
    pub path: OsString,
    /// Which snapshots.
    #[command(flatten)]
    pub filter: FilterOptions,
}

/// What `cat` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CatKind {
    /// The repository's header
    Config,
    /// A key slot, without what it seals
    Key,
    /// A snapshot
    Snapshot,
    /// A folder of a snapshot
    Tree,
    /// A blob's bytes
    Blob,
    /// A pack's table of contents
    Pack,
    /// A record of the log
    Record,
}

/// Arguments of `cat`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stash cat config
  stash cat snapshot latest
  stash cat tree latest:/home/ann/work
  stash cat blob 5c0e8f…")]
pub struct CatArguments {
    /// What kind of object
    #[arg(value_name = "KIND", value_enum)]
    pub kind: CatKind,
    /// Which one: an id, or its beginning; for `snapshot` and `tree` a snapshot and `:PATH`
    #[arg(value_name = "ID")]
    pub id: Option<OsString>,
}

/// Arguments of `stats`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stash stats
  stash stats latest
  stash stats --host old-laptop
  stash stats --agent codex")]
pub struct StatsArguments {
    /// Counts only these [default: all]
    #[arg(value_name = "SNAPSHOT", value_parser = SnapshotArgument::parser())]
    pub snapshots: Vec<SnapshotArgument>,
    /// Counts those that hold this agent; may be repeated, or hold several with commas between
    #[arg(long = "agent", value_name = "ID", value_delimiter = ',')]
    pub agents: Vec<String>,
    /// Which snapshots.
    #[command(flatten)]
    pub filter: FilterOptions,
}

impl LsArguments {
    pub(super) fn check(&self) -> Result<()> {
        let by_id = self.snapshot.as_ref().is_some_and(|snapshot| !snapshot.is_latest());
        if by_id && self.at.is_some() { Err(at_beside_id()) } else { Ok(()) }
    }
}

impl CatArguments {
    pub(super) fn check(&self) -> Result<()> {
        let kind = self.kind.to_possible_value();
        let kind = kind.as_ref().map_or("", |value| value.get_name());
        match (self.kind, &self.id) {
            (CatKind::Config, Some(_)) => {
                Err(Error::usage("`cat config` takes no id").hint("there is one header"))
            }
            (CatKind::Config, None) | (_, Some(_)) => Ok(()),
            (_, None) => Err(Error::usage(format!("`cat {kind}` needs an id"))
                .hint(format!("usage: stash cat {kind} ID"))),
        }
    }
}
