//! The configuration: whether it reads, and whether what it names is known.

use super::{Answer, counted};
use crate::error::{Error, Result};
use crate::machine::{Config, Environment, MachineAgents};

/// Asks whether the configuration can be used.
pub fn configuration(
    config: Result<&Config, &Error>,
    agents: Result<&MachineAgents, &Error>,
    environment: &Environment,
) -> Answer {
    const NAME: &str = "configuration";
    let config = match config {
        Ok(config) => config,
        Err(error) => return Answer::broken_by(NAME, error),
    };
    // Agents' definitions lie beside the configuration; without them no agent can be known.
    let agents = match agents {
        Ok(agents) => agents,
        Err(error) => return Answer::broken_by(NAME, error),
    };
    if let Err(error) = config.check(&agents.catalog, environment) {
        return Answer::broken_by(NAME, &error);
    }
    let path = config.path.display();
    if !config.exists {
        return Answer::ok(NAME, format!("none at `{path}`: the defaults hold"));
    }
    let jobs = counted(config.jobs.len() as u64, "job");
    let repositories = match config.repositories.len() {
        1 => "1 repository".to_owned(),
        count => format!("{count} repositories"),
    };
    Answer::ok(NAME, format!("`{path}`: {repositories}, {jobs}"))
}
