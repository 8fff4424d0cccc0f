//! What is done for each command: resolve, call, hand over.

mod first_run;
mod help;
pub mod open;

use std::sync::Arc;

use super::args::{Arguments, Command};
use super::render::Screen;
use crate::error::{Error, Result};
use crate::machine::Environment;
use open::Run;

/// Runs a command; returns the exit code of a run that did not fail (0, or 3 with failed items).
pub fn run(arguments: Arguments, screen: &Arc<Screen>, environment: Environment) -> Result<u8> {
    let Some(command) = arguments.command else {
        return first_run::run(&Run::new(arguments.global, screen, environment)?);
    };
    match command {
        Command::Help(help) => help::run(&help, screen),
        Command::Version => help::version(screen),
        // The engine's commands are plugged in here.
        _ => Err(Error::failed("this build holds no engine yet")),
    }
}
