//! `stash` alone: what it is, and the first commands to type.

use super::open::Run;
use crate::error::{Kind, Result};
use crate::machine::Chosen;

pub(super) fn run(run: &Run) -> Result<u8> {
    let place = match run.chosen() {
        // restic's variables: worth saying, and no failure where nothing was asked for.
        Err(error) if error.kind() == Kind::NoRepository => {
            format!("{}: {}.", error, error.hint_text().unwrap_or_default())
        }
        Err(error) => return Err(error),
        Ok(Chosen::Named { location, came_from }) => {
            format!("The repository is `{location}`, as {came_from} says.")
        }
        Ok(Chosen::Default(location)) => {
            let is_there = location.folder().is_some_and(std::path::Path::exists);
            let verb = if is_there { "is" } else { "will be" };
            format!("No repository is named, so it {verb} the local one, `{location}`.")
        }
    };
    run.screen.text(&format!(
        "stash keeps encrypted snapshots of your folders, and gives back any of them.

  stash backup ~/work                    save a folder; only what changed is stored
  stash snapshots                        list what is saved
  stash restore latest --target /tmp/x   get the newest state back
  stash help                             everything else

{place}"
    ))?;
    Ok(0)
}
