//! `stash init`.

use super::open::Run;
use crate::cli::args::InitArguments;
use crate::cli::json::Initialized;
use crate::error::Result;

pub(super) fn run(run: &Run, arguments: &InitArguments) -> Result<u8> {
    let like = match &arguments.like {
        Some(text) => Some(run.other_repository(&run.location(text)?, &arguments.other)?),
        None => None,
    };
    let made =
        run.make_repository(arguments.create_bucket, arguments.append_only, like.as_deref())?;
    if run.screen.is_json() {
        let repository = made.location.to_string();
        run.screen.message("initialized", &Initialized { id: made.id(), repository })?;
    }
    Ok(0)
}
