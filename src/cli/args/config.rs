//! Arguments of `config`.

use clap::{Args, Subcommand};

/// What to do with the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Shows every value that holds, and who said so
    ///
    /// An option beats a variable, a variable the configuration, the configuration a default.
    Show(ConfigShowArguments),
    /// Checks the configuration; the exit code is 16 if anything is wrong with it
    Check(ConfigCheckArguments),
    /// Opens the configuration in your editor (VISUAL, else EDITOR, else vi)
    ///
    /// What you write is checked before it takes the old one's place. If something is wrong the old
    /// one stays, and the next `stash config edit` goes on with what you wrote.
    Edit(ConfigEditArguments),
    /// Prints where the configuration lies, or would
    Path(ConfigPathArguments),
}

/// Arguments of `config show`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stash config show
  stash config show --json")]
pub struct ConfigShowArguments {}

/// Arguments of `config check`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stash config check
  stash config check --config-dir ~/dotfiles/stash")]
pub struct ConfigCheckArguments {}

/// Arguments of `config edit`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stash config edit
  EDITOR=nano stash config edit")]
pub struct ConfigEditArguments {}

/// Arguments of `config path`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stash config path
  less \"$(stash config path)\"")]
pub struct ConfigPathArguments {}
