//! What is done for each command: resolve, call, hand over.

mod backup;
mod check;
mod first_run;
mod help;
mod init;
pub mod open;
mod pick;
pub mod repository;
mod restore;
mod snapshots;

use std::sync::Arc;

use super::args::{Arguments, Command};
use super::render::Screen;
use crate::error::{Error, Result};
use crate::machine::{self, Environment};
use open::Run;

/// Runs a command; returns the exit code of a run that did not fail (0, or 3 with failed items).
pub fn run(arguments: Arguments, screen: &Arc<Screen>, environment: Environment) -> Result<u8> {
    let Arguments { global, command } = arguments;
    match command {
        Some(Command::Help(help)) => return help::run(&help, screen),
        Some(Command::Version) => return help::version(screen),
        _ => {}
    }
    let run = Run::new(global, screen, environment)?;
    let Some(command) = command else { return first_run::run(&run) };
    machine::raise_open_files();
    screen.begin(command.name());
    match command {
        Command::Init(_) => init::run(&run),
        Command::Backup(backup) => backup::run(&run, &backup),
        Command::Restore(restore) => restore::run(&run, &restore),
        Command::Check(check) => check::run(&run, &check),
        Command::Snapshots(snapshots) => snapshots::run(&run, &snapshots),
        _ => Err(Error::failed("this build lacks the command")),
    }
}
