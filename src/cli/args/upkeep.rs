//! Arguments of the commands that verify, repair, and manage keys.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::copy::OtherOptions;
use super::inspect::FilterOptions;
use super::values::{self, ReadSubset, SnapshotArgument};
use crate::id::RepositoryId;
use crate::machine::SecretOptions;

/// Arguments of `check`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stash check
  stash check --read-data
  stash check --read-data-subset 10%
  stash check --read-data-subset 1/7      one seventh; 1/7 to 7/7 read everything
  stash check --read-data --with /mnt/disk/backups")]
pub struct CheckArguments {
    /// Reads and verifies all data
    #[arg(long, conflicts_with = "read_data_subset")]
    pub read_data: bool,
    /// Reads a share (`10%`), a part (`1/7`) or a size (`5G`) of the data
    #[arg(long, value_name = "SUBSET", value_parser = values::read_subset)]
    pub read_data_subset: Option<ReadSubset>,
    /// Tells how much of what is damaged the repository at LOCATION could give back
    #[arg(long, value_name = "LOCATION")]
    pub with: Option<OsString>,
    /// What opens the repository that --with names.
    #[command(flatten)]
    pub other: OtherOptions,
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
    /// Takes what is damaged or missing from another repository
    ///
    /// All data is read to find what is lost. What can still be read here, or is whole in the
    /// other repository, is stored anew beside the damaged objects, and the snapshots are whole
    /// again. Only a repository with the same keys of content (`stash init --like`) can help.
    Data(RepairDataArguments),
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

/// Arguments of `repair data`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stash repair data --with /mnt/disk/backups --dry-run
  stash repair data --with s3://bucket/laptop")]
pub struct RepairDataArguments {
    /// Takes it from the repository at LOCATION
    #[arg(long, value_name = "LOCATION")]
    pub with: OsString,
    /// Shows what would be done; writes nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// What opens the repository that --with names.
    #[command(flatten)]
    pub other: OtherOptions,
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
    /// Adds a passphrase, or a key for this machine
    Add(KeyAddArguments),
    /// Removes a key slot
    ///
    /// Nobody opens the repository with that key any more; a machine that remembers the slot of a
    /// remote repository notices within a week. But whoever opened the repository may have kept what
    /// every key slot holds, and then reads what is saved later, too, if he still reaches the store.
    /// `stash key rotate --without ID` shuts him out of that; take his access to the store away as
    /// well, since what was saved before stays readable to him.
    Remove(KeyRemoveArguments),
    /// Renews the keys by which new objects are sealed
    ///
    /// The keys that are listed go on opening everything; nobody has to type or change anything, and
    /// other machines notice by themselves. Who is left out with --without can't read what is saved
    /// from then on; his key slot is removed. What was saved before he may have read, and can read as
    /// long as he reaches the store: take that away, too. Ids and the places where files are cut stay,
    /// so that nothing is stored twice.
    Rotate(KeyRotateArguments),
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
    /// Says where this machine's own key lies, or moves it
    ///
    /// The key opens the repository without a question, for timers and hooks, too. It lies in a file
    /// for this user alone, or in the operating system's keychain: there only if a run that a timer
    /// starts, with nobody signed in at a terminal, can read it.
    Device(KeyDeviceArguments),
}

/// Arguments of `key device`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stash key device
  stash key device --to keychain
  stash key device --to file")]
pub struct KeyDeviceArguments {
    /// Moves the key
    #[arg(long, value_name = "PLACE", value_enum)]
    pub to: Option<KeyHome>,
    /// Only reads the key of this repository from the keychain: how stash tests it.
    #[arg(long, hide = true, requires = "keys")]
    pub probe: Option<RepositoryId>,
    /// Where the keys' folder lies, for that.
    #[arg(long, hide = true)]
    pub keys: Option<PathBuf>,
}

/// Where this machine's key may lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KeyHome {
    /// In a file for this user alone
    File,
    /// In the operating system's keychain
    Keychain,
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
  stash key add --new-passphrase-file ~/.stash-passphrase --label home
  stash key add --device --passphrase-file ~/.stash-passphrase")]
pub struct KeyAddArguments {
    /// Makes a key for this machine, named after it, so that it needs no passphrase any more
    #[arg(long, conflicts_with_all = ["new_passphrase_file", "new_passphrase_command"])]
    pub device: bool,
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

/// Arguments of `key rotate`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stash key rotate --dry-run              shows whose keys would go on
  stash key rotate
  stash key rotate --without 3f9a0c21     a laptop was stolen
  stash key rotate --full                 seals what is stored already anew, too")]
pub struct KeyRotateArguments {
    /// Leaves these key slots out, and removes them: ids, or their beginnings
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub without: Vec<String>,
    /// Seals what is stored already anew, as `stash prune --reseal` does
    #[arg(long)]
    pub full: bool,
    /// Shows who would get the new keys; writes nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Goes on without asking
    #[arg(short, long)]
    pub yes: bool,
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
