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

/// Arguments of `export-config`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stash export-config                          all agents, into stash-config-DATE.tar.gz
  stash export-config my.tar.gz --agent claude-code
  stash export-config --encrypt                asks for a passphrase; `age --decrypt` opens it, too
  stash export-config --recipient age1…        for the owner of a key")]
pub struct ExportConfigArguments {
    /// The file to write; without it `stash-config-DATE.tar.gz` in the current folder
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Takes only these agents
    #[arg(long = "agent", value_name = "ID", value_delimiter = ',')]
    pub agents: Vec<String>,
    /// Writes an age file that a passphrase opens: the one of --passphrase-file, --passphrase-command
    /// or STASH_PASSPHRASE, else it is asked for
    #[arg(long)]
    pub encrypt: bool,
    /// Writes an age file that the owner of this public key opens; may be repeated
    #[arg(long = "recipient", value_name = "AGE", conflicts_with = "encrypt")]
    pub recipients: Vec<String>,
    /// Takes files in which something looks like a credential, without asking
    #[arg(short, long)]
    pub yes: bool,
    /// Leaves out files in which something looks like a credential
    #[arg(long, conflicts_with = "yes")]
    pub without_findings: bool,
}

/// Arguments of `import-config`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stash import-config stash-config-2026-11-21.tar.gz --dry-run
  stash import-config stash-config-2026-11-21.tar.gz
  stash import-config claude-config-2026-02-25.tar.gz --force     what claude-backup exports")]
pub struct ImportConfigArguments {
    /// The archive
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Replaces files that are there, once they are saved; credentials in them stay
    #[arg(short, long)]
    pub force: bool,
    /// Shows what would change, and changes nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Does not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Opens an age file by the secret keys in FILE; without it a passphrase does: the one of
    /// --passphrase-file, --passphrase-command or STASH_PASSPHRASE, else it is asked for
    #[arg(short, long, value_name = "FILE")]
    pub identity: Option<PathBuf>,
}

/// Arguments of `import`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stash import ~/.claude-backup --dry-run
  stash import ~/.claude-backup
  stash import ~/.claude-sync/repo --key ~/.claude-sync/key --host laptop
  stash import \"~/Google Drive/opencode-sessions\" --host desktop")]
pub struct ImportArguments {
    /// The other tool's folder
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// The key file of claude-sync; without it `key` in or beside DIR, or ~/.claude-sync/key
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// The machine that it is of, where the tool does not say so
    #[arg(long, value_name = "NAME", visible_alias = "machine")]
    pub host: Option<String>,
    /// Shows what would be taken over, and stores nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
}
