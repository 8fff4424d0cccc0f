//! `stash sessions`: conversations with agents, of all machines, deleted or not.

mod export;
mod forget;
mod history;
mod keep_index;
mod list;
mod pick;
mod restore;
mod search;
mod show;
mod turns;

use super::open::Run;
use crate::cli::args::{SessionsArguments, SessionsCommand};
use crate::error::Result;

pub(super) use keep_index::keep_index;
pub(super) use list::run as list;
pub(super) use search::run as search;
pub(super) use show::run as show;

pub(super) fn run(run: &Run, arguments: &SessionsArguments) -> Result<u8> {
    match &arguments.command {
        None => list::run(run, &arguments.list),
        Some(SessionsCommand::List(arguments)) => list::run(run, arguments),
        Some(SessionsCommand::Show(arguments)) => show::run(run, arguments),
        Some(SessionsCommand::Search(arguments)) => search::run(run, arguments),
        Some(SessionsCommand::Restore(arguments)) => restore::run(run, arguments),
        Some(SessionsCommand::History(arguments)) => history::run(run, arguments),
        Some(SessionsCommand::Export(arguments)) => export::run(run, arguments),
        Some(SessionsCommand::Forget(arguments)) => forget::run(run, arguments),
    }
}
