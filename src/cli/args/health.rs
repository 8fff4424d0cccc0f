//! Arguments of `status` and `doctor`.

use clap::Args;

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
