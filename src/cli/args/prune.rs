//! Arguments of `prune`.

use clap::{Args, ValueEnum};

use crate::engine::prune::{Brake, Limit};
use crate::id::LaneId;

/// Arguments of `prune`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stash prune --dry-run
  stash prune
  stash prune --max-unused 0              as small as it gets; frees what was purged
  stash prune --reseal --max-repack 10G   after `stash key rotate`, some of it at a time
  stash forget --keep-last 7 --prune")]
pub struct PruneArguments {
    /// How far it goes.
    #[command(flatten)]
    pub options: PruneLimits,
    /// Seals anew what is still sealed by keys from before the newest `stash key rotate`
    ///
    /// Objects are copied, and the old ones deleted by the usual rules: on a disk of this computer at
    /// once, elsewhere when the grace is over. Records since the last prune, and the newest of each
    /// machine, stay until there are newer ones and a later run takes them.
    #[arg(long)]
    pub reseal: bool,
    /// Shows what would be done; writes nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
}

/// How far a prune goes.
#[derive(Debug, Clone, Default, Args)]
pub struct PruneLimits {
    /// How much may stay unused within packs that are needed: a share, a size, or `unlimited`
    /// [default: 5%]
    #[arg(long, value_name = "LIMIT", value_parser = limit)]
    pub max_unused: Option<Limit>,
    /// How much may be copied by one run: a share, a size, or `unlimited` [default: unlimited]
    #[arg(long, value_name = "LIMIT", value_parser = limit)]
    pub max_repack: Option<Limit>,
    /// Waits longer than the repository asks before it deletes (`30d`)
    #[arg(long, value_name = "DURATION", value_parser = super::values::duration,
          conflicts_with = "nobody_else_writes")]
    pub grace: Option<std::time::Duration>,
    /// Deletes at once: no other machine or process may be using the repository
    #[arg(long)]
    pub nobody_else_writes: bool,
    /// In an append-only repository: honours what this lane asks for, beside this machine's own
    /// words; may be repeated
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub trust_lane: Vec<LaneId>,
    /// The same, by the one machine that saves under this name
    #[arg(long, value_name = "NAME")]
    pub trust_machine: Vec<String>,
    /// Goes on in spite of a doubt that stopped an earlier run
    #[arg(long, value_name = "DOUBT", value_delimiter = ',')]
    pub accept: Vec<Doubt>,
}

impl PruneLimits {
    /// Returns the first option that says how a prune is to go, if there is one.
    pub(super) fn given(&self) -> Option<&'static str> {
        let given = [
            ("--max-unused", self.max_unused.is_some()),
            ("--max-repack", self.max_repack.is_some()),
            ("--grace", self.grace.is_some()),
            ("--nobody-else-writes", self.nobody_else_writes),
        ];
        given.iter().find(|(_, is_given)| *is_given).map(|(name, _)| *name)
    }
}

/// A doubt that stops a prune.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Doubt {
    /// Packs are gone that no prune deleted
    Vanished,
    /// More than half of what is stored would go
    Half,
    /// Something that a snapshot needs can't be had any more
    Lost,
    /// The clocks of machine, store and log don't agree
    Clock,
    /// The repository was set back to an earlier state
    Rollback,
}

impl From<Doubt> for Brake {
    fn from(doubt: Doubt) -> Brake {
        match doubt {
            Doubt::Vanished => Brake::Vanished,
            Doubt::Half => Brake::Half,
            Doubt::Lost => Brake::Lost,
            Doubt::Clock => Brake::Clock,
            Doubt::Rollback => Brake::Rollback,
        }
    }
}

fn limit(text: &str) -> Result<Limit, String> {
    text.parse().map_err(|error: crate::error::Error| match error.hint_text() {
        Some(hint) => format!("{error}; {hint}"),
        None => error.to_string(),
    })
}
