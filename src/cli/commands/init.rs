//! `stash init`.

use super::open::Run;
use crate::cli::args::InitArguments;
use crate::cli::json::Initialized;
use crate::error::Result;

pub(super) fn run(run: &Run, arguments: &InitArguments) -> Result<u8> {
    let made = run.make_repository(arguments.create_bucket)?;
    if run.screen.is_json() {
        let repository = made.location.to_string();
        run.screen.message("initialized", &Initialized { id: made.id(), repository })?;
    }
    Ok(0)
}
