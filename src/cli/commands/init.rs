//! `stash init`.

use super::open::Run;
use crate::cli::args::InitArguments;
use crate::cli::json::Initialized;
use crate::error::{Error, Result};
use crate::format::key::REPOSITORY_APPEND_ONLY;
use crate::repository::InitOptions;

pub(super) fn run(run: &Run, arguments: &InitArguments) -> Result<u8> {
    let options = options(arguments)?;
    let like = match &arguments.like {
        Some(text) => Some(run.other_repository(&run.location(text)?, &arguments.other)?),
        None => None,
    };
    let made = run.make_repository(arguments.create_bucket, like.as_deref(), &options)?;
    if run.screen.is_json() {
        let repository = made.location.to_string();
        run.screen.message("initialized", &Initialized { id: made.id(), repository })?;
    }
    Ok(0)
}

/// Returns what the repository is told once and for all (`format-spec/2-keys.md`, rule 6).
fn options(arguments: &InitArguments) -> Result<InitOptions> {
    let mut options = InitOptions::default();
    if arguments.append_only {
        options.flags |= REPOSITORY_APPEND_ONLY;
    }
    if let Some(window) = arguments.window {
        options.window = window.as_secs();
    }
    if let Some(grace) = arguments.grace {
        options.grace = grace.as_secs();
    }
    if options.window == 0 || options.grace < options.window.saturating_mul(20) {
        return Err(Error::usage("a window lasts at least a second, and a grace 20 windows")
            .hint("as in `--window 5s --grace 100s`"));
    }
    Ok(options)
}
