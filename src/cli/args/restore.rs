//! Arguments of the commands that bring data back.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::at_beside_id;
use super::backup::CategoryWord;
use super::inspect::FilterOptions;
use super::values::SnapshotArgument;
use crate::error::{Error, Result};

/// When a file that is there is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Overwrite {
    /// Always
    Always,
    /// If its size or time differ from the snapshot's; else its content is taken to be the same
    #[default]
    IfChanged,
    /// If the snapshot's is newer
    IfNewer,
    /// Never
    Never,
}

/// Where a restore writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination<'a> {
    /// Below this folder.
    Target(&'a Path),
    /// Where things were when they were saved.
    InPlace,
}

/// Arguments of `restore`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stash restore latest --target /tmp/back
  stash restore 3f9a0c21:/home/ann/work --target ./work
  stash restore --at '3 days ago' --target /tmp/back
  stash restore --agent claude-code --at '3 days ago'
  stash restore --agent codex --only config --dry-run
  stash restore latest --in-place --include '/home/ann/work/**' --dry-run

TIME:
  2026-11-20 · 2026-11-20 14:30 · 2026-11-20T14:30:00Z · 2h ago · 3 days ago · yesterday 14:00 ·
  last monday; a day alone means its end. The snapshot taken is never later than that.")]
#[expect(clippy::struct_excessive_bools, reason = "one field per switch of the command line")]
pub struct RestoreArguments {
    /// The snapshot, or a place inside it [default: latest]
    #[arg(value_name = "SNAPSHOT[:PATH]", value_parser = SnapshotArgument::parser())]
    pub snapshot: Option<SnapshotArgument>,
    /// Takes the newest snapshot at or before TIME
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    /// Restores what a coding agent keeps, to where this machine keeps it (or below --target); what
    /// is there is saved first, and `stash undo` brings it back
    #[arg(long = "agent", value_name = "ID", value_delimiter = ',')]
    pub agents: Vec<String>,
    /// Restores only these categories of an agent's files
    #[arg(long, value_name = "CATEGORY", value_delimiter = ',', requires = "agents")]
    pub only: Vec<CategoryWord>,
    /// Restores although the agent runs: what it holds in memory may overwrite what was restored
    #[arg(long, requires = "agents")]
    pub force: bool,
    /// Writes below DIR, which is made if it is missing
    #[arg(short, long, value_name = "DIR")]
    pub target: Option<PathBuf>,
    /// Writes to where things were when they were saved
    #[arg(long, conflicts_with = "target")]
    pub in_place: bool,
    /// Asks nothing
    #[arg(short, long)]
    pub yes: bool,
    /// Shows what would be done; writes nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Restores only what matches PATTERN; may be repeated
    #[arg(short, long, value_name = "PATTERN")]
    pub include: Vec<OsString>,
    /// Leaves out what matches PATTERN; may be repeated
    #[arg(short, long, value_name = "PATTERN")]
    pub exclude: Vec<OsString>,
    /// When to replace a file that is there
    #[arg(long, value_name = "WHEN", value_enum, default_value_t)]
    pub overwrite: Overwrite,
    /// Deletes files in the restored folders that the snapshot does not hold
    #[arg(long)]
    pub delete: bool,
    /// Reads what was written once more and compares it
    #[arg(long)]
    pub verify: bool,
    /// Restores what is intact of damaged files, and says where the holes are
    #[arg(long)]
    pub salvage: bool,
    /// Which snapshots.
    #[command(flatten)]
    pub filter: FilterOptions,
}

impl RestoreArguments {
    /// Returns the snapshot asked for.
    pub fn snapshot(&self) -> SnapshotArgument {
        self.snapshot.clone().unwrap_or(SnapshotArgument::LATEST)
    }

    /// Returns where to write; a restore never guesses that.
    pub fn destination(&self) -> Result<Destination<'_>> {
        match &self.target {
            Some(target) => Ok(Destination::Target(target)),
            None if self.in_place => Ok(Destination::InPlace),
            None => {
                let snapshot = self.snapshot();
                Err(Error::usage("where to restore to?").hint(format!(
                    "`stash restore {snapshot} --target DIR`, or `stash restore {snapshot} \
                     --in-place` to where things were"
                )))
            }
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        if self.at.is_some() && !self.snapshot().is_latest() {
            return Err(at_beside_id());
        }
        if !self.agents.is_empty() {
            let path = self.snapshot().path;
            return match path {
                None => Ok(()),
                Some(_) => Err(Error::usage(
                    "a path within a snapshot and `--agent` both say what to restore",
                )
                .hint("give one of them")),
            };
        }
        self.destination().map(drop)
    }
}

/// Arguments of `undo`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stash undo
  stash undo --list")]
pub struct UndoArguments {
    /// Lists what was restored, the last first; changes nothing
    #[arg(short, long)]
    pub list: bool,
    /// Asks nothing
    #[arg(short, long)]
    pub yes: bool,
    /// Goes on although the agent runs
    #[arg(long)]
    pub force: bool,
}

/// Arguments of `dump`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stash dump latest /home/ann/work/notes.md
  stash dump latest:/home/ann/work | tar -x -C /tmp/work
  stash dump --at yesterday latest /var/lib/shop.db --target shop.db")]
pub struct DumpArguments {
    /// The snapshot, or a place inside it
    #[arg(value_name = "SNAPSHOT[:PATH]", value_parser = SnapshotArgument::parser())]
    pub snapshot: SnapshotArgument,
    /// The file or folder, if SNAPSHOT does not name it
    #[arg(value_name = "PATH")]
    pub path: Option<OsString>,
    /// Takes the newest snapshot at or before TIME
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    /// Writes into FILE, which must not exist
    #[arg(short, long, value_name = "FILE")]
    pub target: Option<PathBuf>,
    /// Which snapshots.
    #[command(flatten)]
    pub filter: FilterOptions,
}

impl DumpArguments {
    pub(super) fn check(&self) -> Result<()> {
        if self.at.is_some() && !self.snapshot.is_latest() {
            return Err(at_beside_id());
        }
        if self.path.is_some() && self.snapshot.path.is_some() {
            return Err(Error::usage("a path stands both behind the snapshot and alone")
                .hint("give one of them"));
        }
        Ok(())
    }
}
