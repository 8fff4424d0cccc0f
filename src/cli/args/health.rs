//! Arguments of `status` and `doctor`.

use clap::Args;

/// Arguments of `status`.
#[derive(Debug, Default, Args)]
#[command(after_help = "Examples:
  stash status
  stash status --check
  stash status --json

A repository behind a network is not asked: what is shown of it is what this machine remembers. The
exit code is 15 if a backup is overdue: a job without a success for its `overdue_after`, else for
twice its interval and an hour, else for 48 hours.")]
pub struct StatusArguments {
    /// Asks the repository's store what is there now
    #[arg(long)]
    pub check: bool,
}

/// Arguments of `doctor`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stash doctor
  stash doctor --fix --yes
  stash doctor --databases --json

Each question has one answer: ok, note, problem (something is in danger), broken (backups or restores
do not work), or skipped. The exit code is 1 if something is broken.")]
pub struct DoctorArguments {
    /// Mends what can be mended safely, and asks before it changes an agent's settings
    #[arg(long)]
    pub fix: bool,
    /// Agrees to what --fix would ask about
    #[arg(short, long, requires = "fix")]
    pub yes: bool,
    /// Has the agents' databases looked through now
    #[arg(long)]
    pub databases: bool,
}
