//! Arguments of `copy`, and of whatever else deals with a second repository.
#![expect(
    clippy::doc_markdown,
    reason = "the comments are help text, where clap writes variables bare"
)]

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use super::backup::CompressionLevel;
use super::inspect::FilterOptions;
use super::values::SnapshotArgument;
use crate::machine::SecretOptions;

/// What opens the second repository. Without any of it this machine's device key does, or what opens
/// the first one.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "The other repository")]
pub struct OtherOptions {
    /// Reads the other repository's passphrase from FILE [env: STASH_FROM_PASSPHRASE_FILE; the
    /// passphrase itself: STASH_FROM_PASSPHRASE]
    #[arg(long, value_name = "FILE", visible_alias = "from-password-file")]
    pub from_passphrase_file: Option<PathBuf>,
    /// Takes the other repository's passphrase from what COMMAND prints [env:
    /// STASH_FROM_PASSPHRASE_COMMAND]
    #[arg(long, value_name = "COMMAND", visible_alias = "from-password-command")]
    pub from_passphrase_command: Option<OsString>,
    /// Takes the credentials of the other repository's store from what COMMAND prints
    #[arg(
        long,
        value_name = "COMMAND",
        env = "STASH_FROM_CREDENTIALS_COMMAND",
        hide_env_values = true,
        hide_short_help = true
    )]
    pub from_credentials_command: Option<OsString>,
}

impl OtherOptions {
    /// Returns what was said about its passphrase.
    pub fn secret(&self) -> SecretOptions {
        SecretOptions {
            file: self.from_passphrase_file.clone(),
            command: self.from_passphrase_command.clone(),
        }
    }
}

/// Arguments of `copy`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stash init --repo /mnt/disk/backups --like ~/backups
  stash copy --repo /mnt/disk/backups --from-repo ~/backups
  stash copy --repo s3://bucket/laptop --from-repo ~/backups latest
  stash copy --from-repo ~/backups --host laptop --tag nightly --dry-run")]
pub struct CopyArguments {
    /// Copies only these [default: all that are not forgotten]
    #[arg(value_name = "SNAPSHOT", value_parser = SnapshotArgument::parser())]
    pub snapshots: Vec<SnapshotArgument>,
    /// Copies from the repository at LOCATION [env: STASH_FROM_REPOSITORY]
    #[arg(long, value_name = "LOCATION", visible_alias = "from")]
    pub from_repo: Option<OsString>,
    /// Reads that location from FILE [env: STASH_FROM_REPOSITORY_FILE]
    #[arg(long, value_name = "FILE")]
    pub from_repository_file: Option<PathBuf>,
    /// Shows what would be copied; writes nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
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
    /// Copies only snapshots of this line
    #[arg(short = 'P', long, value_name = "NAME")]
    pub job: Option<String>,
    /// Which snapshots.
    #[command(flatten)]
    pub filter: FilterOptions,
    /// What opens the repository that is copied from.
    #[command(flatten)]
    pub other: OtherOptions,
}
