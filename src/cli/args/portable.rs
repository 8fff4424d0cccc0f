//! Arguments of what leaves or enters this machine beside the repository: `scan` and its kin.

use std::path::PathBuf;

use clap::Args;

/// Arguments of `scan`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stash scan                          what the agents keep here
  stash scan --agent claude-code      one agent
  stash scan ~/work --fail            exit code 1 if anything is found")]
pub struct ScanArguments {
    /// Files and folders; without one, what the coding agents that are found keep
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Looks only through what these agents keep
    #[arg(long = "agent", value_name = "ID", value_delimiter = ',', conflicts_with = "paths")]
    pub agents: Vec<String>,
    /// Ends with exit code 1 if anything is found
    #[arg(long)]
    pub fail: bool,
}
