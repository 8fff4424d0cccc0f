//! What is done for each command: resolve, call, hand over.

mod agent_merge;
mod agents;
mod also;
mod answers;
mod backup;
mod backup_summary;
mod cat;
mod check;
mod concerns;
mod config;
mod copy;
mod diff;
mod doctor;
mod dump;
mod export_config;
mod find;
mod first_run;
mod forget;
mod help;
mod history;
mod import;
mod import_config;
mod init;
mod jobs;
mod key;
mod key_device;
mod ls;
mod maintenance;
mod marks;
pub mod open;
mod other;
mod pick;
mod place;
mod prune;
mod purge;
mod repair;
mod repo;
pub mod repository;
mod restore;
mod restore_agent;
mod rotate;
mod scan;
mod sessions;
mod setup;
mod snapshots;
mod stats;
mod status;

use std::sync::Arc;

use super::args::{Arguments, BackendCommand, Command, RepoCommand};
use super::render::Screen;
use crate::error::Result;
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
        Command::Setup(setup) => setup::run(&run, &setup),
        Command::Init(init) => init::run(&run, &init),
        Command::Backup(backup) => jobs::run(&run, &backup),
        Command::Restore(restore) => restore::run(&run, &restore),
        Command::Repair(repair) => repair::run(&run, &repair),
        Command::Prune(prune) => prune::run(&run, &prune),
        Command::Copy(copy) => copy::run(&run, &copy),
        Command::Check(check) => check::run(&run, &check),
        Command::Snapshots(snapshots) => snapshots::run(&run, &snapshots),
        Command::Ls(ls) => ls::run(&run, &ls),
        Command::Find(find) => find::run(&run, &find),
        Command::Diff(diff) => diff::run(&run, &diff),
        Command::History(history) => history::run(&run, &history),
        Command::Dump(dump) => dump::run(&run, &dump),
        Command::Cat(cat) => cat::run(&run, &cat),
        Command::Stats(stats) => stats::run(&run, &stats),
        Command::Tag(tag) => marks::tag(&run, &tag),
        Command::Pin(pin) => marks::pin(&run, &pin, true),
        Command::Unpin(pin) => marks::pin(&run, &pin, false),
        Command::Forget(forget) => forget::run(&run, &forget),
        Command::Unforget(unforget) => marks::unforget(&run, &unforget),
        Command::Undo(undo) => restore_agent::undo(&run, &undo),
        Command::Sessions(sessions) => sessions::run(&run, &sessions),
        Command::SessionsList(list) => sessions::list(&run, &list),
        Command::Show(show) => sessions::show(&run, &show),
        Command::Search(search) => sessions::search(&run, &search),
        Command::Agents(agents) => agents::run(&run, &agents),
        Command::Repo(repo) => repo::run(&run, &repo),
        Command::Backend(BackendCommand::Set(arguments)) => {
            repo::run(&run, &RepoCommand::Use(arguments))
        }
        Command::Config(config) => config::run(&run, &config),
        Command::Key(key) => key::run(&run, &key),
        Command::Scan(scan) => scan::run(&run, &scan),
        Command::Import(import) => import::run(&run, &import),
        Command::ExportConfig(export) => export_config::run(&run, &export),
        Command::ImportConfig(import) => import_config::run(&run, &import),
        Command::Status(status) => status::run(&run, &status),
        Command::Doctor(doctor) => doctor::run(&run, &doctor),
        Command::Help(help) => help::run(&help, screen),
        Command::Version => help::version(screen),
    }
}
