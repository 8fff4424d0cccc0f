//! `stash init`.

use super::open::Run;
use crate::cli::json::Initialized;
use crate::error::Result;

pub(super) fn run(run: &Run) -> Result<u8> {
    let made = run.make_repository()?;
    if run.screen.is_json() {
        let repository = made.folder.display().to_string();
        run.screen.message("initialized", &Initialized { id: made.id(), repository })?;
    }
    Ok(0)
}
