//! Arguments of the commands that verify, repair, and manage keys.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::inspect::FilterOptions;
use super::values::{self, ReadSubset, SnapshotArgument};
use crate::machine::SecretOptions;

/// Arguments of `check`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stash check
  stash check --read-data
  stash check --read-data-subset 10%
  stash check --read-data-subset 1/7      one seventh; 1/7 to 7/7 read everything")]
pub struct CheckArguments {
    /// Reads and verifies all data
    #[arg(long, conflicts_with = "read_data_subset")]
    pub read_data: bool,
    /// Reads a share (`10%`), a part (`1/7`) or a size (`5G`) of the data
    #[arg(long, value_name = "SUBSET", value_parser = values::read_subset)]
    pub read_data_subset: Option<ReadSubset>,
}

/// What is repaired.
#[derive(Debug, Subcommand)]
pub enum RepairCommand {
    /// Makes the index anew from what the packs hold
    ///
    /// What packs hold and no readable record says is published once more. The repository's header
    /// is put back from a key slot if it is missing or damaged.
    #[command(after_help = "Examples:\n  stash repair index --dry-run\n  stash repair index")]
    Index(RepairIndexArguments),
    /// Makes snapshots anew from what is intact, and lists the holes
    ///
    /// All data is read to find what is lost. New snapshots, with the tag `repaired`, are written
    /// beside the damaged ones; nothing is edited or deleted.
    Snapshots(RepairSnapshotsArguments),
}

/// Arguments of `repair index`.
#[derive(Debug, Args)]
pub struct RepairIndexArguments {
    /// Shows what would be done; writes nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
}

/// Arguments of `repair snapshots`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stash repair snapshots --dry-run
  stash repair snapshots
  stash repair snapshots 3f9a0c21")]
pub struct RepairSnapshotsArguments {
    /// Repairs only these [default: all that are damaged]
    #[arg(value_name = "SNAPSHOT", value_parser = SnapshotArgument::parser())]
    pub snapshots: Vec<SnapshotArgument>,
    /// Shows what would be done; writes nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Marks the damaged snapshots as forgotten; pinned ones stay
    #[arg(long)]
    pub forget: bool,
    /// Which snapshots.
    #[command(flatten)]
    pub filter: FilterOptions,
}

/// What is done with keys.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Lists what opens the repository
    #[command(after_help = "Examples:\n  stash key list\n  stash key list --json")]
    List,
    /// Adds a passphrase
    Add(KeyAddArguments),
    /// Removes a key slot
    ///
    /// Whoever opened the repository with it before may have kept its content: a removed slot
    /// protects what is saved from now on only together with a new sealing key.
    Remove(KeyRemoveArguments),
    /// Replaces the passphrase that opened the repository
    #[command(after_help = "Examples:
  stash key passwd
  stash key passwd --passphrase-file old.txt --new-passphrase-file new.txt")]
    Passwd(NewPassphraseOptions),
    /// Shows or tests the recovery code
    ///
    /// The code opens the repository when this machine and every passphrase are lost. It is shown
    /// only on a terminal. Until you have proved by --test that you kept it, it waits in a file of
    /// this machine.
    Recovery(KeyRecoveryArguments),
}

/// Where a new passphrase comes from; without an option it is asked for twice, on a terminal.
#[derive(Debug, Clone, Args)]
pub struct NewPassphraseOptions {
    /// Reads the new passphrase from FILE
    #[arg(long, value_name = "FILE", visible_alias = "new-password-file")]
    pub new_passphrase_file: Option<PathBuf>,
    /// Takes the new passphrase from what COMMAND prints
    #[arg(long, value_name = "COMMAND", visible_alias = "new-password-command")]
    pub new_passphrase_command: Option<OsString>,
}

impl NewPassphraseOptions {
    /// Returns what was said about the new passphrase.
    pub fn secret(&self) -> SecretOptions {
        SecretOptions {
            file: self.new_passphrase_file.clone(),
            command: self.new_passphrase_command.clone(),
        }
    }
}

/// Arguments of `key add`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stash key add
  stash key add --new-passphrase-file ~/.stash-passphrase --label home")]
pub struct KeyAddArguments {
    /// The new passphrase.
    #[command(flatten)]
    pub new: NewPassphraseOptions,
    /// Names the slot in `stash key list`
    #[arg(long, value_name = "NAME")]
    pub label: Option<String>,
}

/// Arguments of `key remove`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stash key list
  stash key remove 3f9a0c21")]
pub struct KeyRemoveArguments {
    /// The slot: its id, or the beginning of it
    #[arg(value_name = "ID")]
    pub id: String,
}

/// Arguments of `key recovery`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stash key recovery --show
  stash key recovery --test")]
#[command(group = clap::ArgGroup::new("what").required(true))]
pub struct KeyRecoveryArguments {
    /// Prints the code that waits to be tested
    #[arg(long, group = "what")]
    pub show: bool,
    /// Asks for the code, tells whether it opens the repository, and deletes the file if it does
    #[arg(long, group = "what")]
    pub test: bool,
}
