//! Arguments of `repo`.

use std::ffi::OsString;

use clap::{Args, Subcommand};

use super::backup::CompressionLevel;
use super::copy::OtherOptions;

/// What to do with the repositories of the configuration.
#[derive(Debug, Subcommand)]
pub enum RepoCommand {
    /// Lists the repositories of the configuration; no network is needed
    List(RepoListArguments),
    /// Adds a repository to the configuration
    ///
    /// What is given to open it (--passphrase-file, --passphrase-command, --credentials-command,
    /// --region, --endpoint, --ca-file, --limit-upload, --limit-download, --repo-id) is written with
    /// it. Nothing is made there: `stash init -r NAME` does that.
    Add(RepoAddArguments),
    /// Makes a repository the one that commands and jobs use
    Use(RepoUseArguments),
    /// Removes a repository from the configuration; what is saved there stays
    Remove(RepoRemoveArguments),
    /// Copies everything into another repository, verifies it, and uses that one from then on
    ///
    /// If nothing is there, a repository is made that takes everything as it is stored. Until all is
    /// copied and verified the configuration names the old one, whatever happens; running the same
    /// command again goes on. The old repository stays as it is.
    Move(RepoMoveArguments),
}

/// The seeds' word for it.
#[derive(Debug, Subcommand)]
pub enum BackendCommand {
    /// The same as `stash repo use`
    Set(RepoUseArguments),
}

/// Arguments of `repo list`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stash repo list
  stash repo list --json")]
pub struct RepoListArguments {}

/// Arguments of `repo add`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stash repo add usb /mnt/usb/backups
  stash repo add nas minio:nas.lan:9000/backups --credentials-command 'pass show nas' --job all
  stash repo add cloud s3://bucket/laptop --use")]
pub struct RepoAddArguments {
    /// Its name in the configuration
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Where it lies, as for --repo
    #[arg(value_name = "LOCATION")]
    pub location: OsString,
    /// Makes it a further repository of this job, too; may be repeated
    #[arg(short = 'P', long = "job", value_name = "NAME")]
    pub jobs: Vec<String>,
    /// Makes it the one that commands and jobs use
    #[arg(long = "use")]
    pub is_main: bool,
}

/// Arguments of `repo use`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stash repo use nas
  stash repo use /mnt/usb/backups")]
pub struct RepoUseArguments {
    /// Its name in the configuration, or where it lies
    #[arg(value_name = "NAME|LOCATION")]
    pub repository: OsString,
}

/// Arguments of `repo remove`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stash repo remove usb")]
pub struct RepoRemoveArguments {
    /// Its name in the configuration
    #[arg(value_name = "NAME")]
    pub name: String,
}

/// Arguments of `repo move`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stash repo move /mnt/disk/backups
  stash repo move --dry-run s3://bucket/laptop
  stash repo add nas minio:nas.lan:9000/backups --credentials-command 'pass show nas'
  stash repo move nas --read-data")]
pub struct RepoMoveArguments {
    /// Where to: the name of another repository of the configuration, or where it lies or is to lie
    #[arg(value_name = "NAME|LOCATION")]
    pub to: OsString,
    /// Shows what would be copied; writes nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Reads all that was copied back before it counts
    #[arg(long)]
    pub read_data: bool,
    /// Makes the bucket, container or private GitHub repository first, if it is missing
    #[arg(long)]
    pub create_bucket: bool,
    /// How hard to compress what can't go over as it is
    #[arg(
        long,
        value_name = "LEVEL",
        value_enum,
        default_value_t,
        env = "STASH_COMPRESSION",
        hide_env_values = true
    )]
    pub compression: CompressionLevel,
    /// What opens the other repository, if it is there.
    #[command(flatten)]
    pub other: OtherOptions,
}
