//! Arguments of `agents`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// What to do with agents.
#[derive(Debug, Subcommand)]
pub enum AgentsCommand {
    /// Lists the agents that are known, and where those that are here keep their files
    List(AgentsListArguments),
    /// Shows what one agent keeps here, what of it is saved and what is left out
    Show(AgentsShowArguments),
    /// Verifies a definition of your own
    Check(AgentsCheckArguments),
}

/// Arguments of `agents list`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stash agents list
  stash agents list --all
  stash agents list --capabilities      what can be done with which agent, and what shows it")]
pub struct AgentsListArguments {
    /// Lists those that are not here, too
    #[arg(short, long)]
    pub all: bool,
    /// Shows for all agents what can be done with them: each yes with the test that holds it, each no
    /// with its reason
    #[arg(long, conflicts_with = "all")]
    pub capabilities: bool,
}

/// Arguments of `agents show`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stash agents show claude-code
  stash agents show codex --json")]
pub struct AgentsShowArguments {
    /// The agent's id, or another name of it
    #[arg(value_name = "AGENT")]
    pub agent: String,
}

/// Arguments of `agents check`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stash agents check ~/.config/stash/agents/mine.toml

A definition in the folder `agents` beside the configuration adds an agent, or replaces the one of
the same id.")]
pub struct AgentsCheckArguments {
    /// The file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}
