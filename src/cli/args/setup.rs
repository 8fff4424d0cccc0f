//! The arguments of `setup`: an option for each of its questions.

use std::path::PathBuf;

use clap::Args;

use super::backup::SecretsPolicy;

/// `setup`.
#[derive(Debug, Default, Args)]
#[command(after_help = "Examples:
  stash setup                                        asks, on a terminal
  stash setup --yes                                  all agents, into a repository on this computer
  stash setup --yes --repo s3://bucket/stash --agent claude-code,codex
  stash setup --join --repo s3://bucket/stash        a new computer joins those that save there")]
pub struct SetupArguments {
    /// Asks nothing: what no option says is as proposed
    #[arg(short, long)]
    pub yes: bool,
    /// Joins the repository that is at the location, with its passphrase or recovery code, and does
    /// not make one
    #[arg(long)]
    pub join: bool,
    /// Saves only these agents [default: all that are found, and those that come]
    #[arg(long = "agent", value_name = "ID", value_delimiter = ',')]
    pub agents: Vec<String>,
    /// Saves this folder, too; may be repeated
    #[arg(long = "path", value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// What becomes of files that hold nothing but an agent's credentials
    #[arg(long, value_name = "POLICY", value_enum)]
    pub secrets: Option<SecretsPolicy>,
    /// How often to save, as `stash help` tells of `schedule`: hourly, 30m, 6h, daily@03:00, weekly
    /// [default: hourly]
    #[arg(long, value_name = "FREQ", conflicts_with = "no_schedule")]
    pub schedule: Option<String>,
    /// Saves only when it is told to
    #[arg(long)]
    pub no_schedule: bool,
    /// Makes a bucket, or a repository at GitHub, that is missing
    #[arg(long)]
    pub create_bucket: bool,
    /// Keeps this machine's key in the operating system's keychain, if a run that a timer starts can
    /// read it there; else, and without this, in a file for this user alone
    #[arg(long)]
    pub keychain: bool,
    /// Calls the repository so in the configuration
    #[arg(long, value_name = "NAME", default_value = "main")]
    pub name: String,
    /// Leaves out the first backup, and the proof that it can be restored
    #[arg(long)]
    pub no_backup: bool,
}
