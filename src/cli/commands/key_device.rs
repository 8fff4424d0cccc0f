//! `stash key device`: where this machine's own key lies, and moving it.

use super::open::Run;
use super::repository::{Make, Opened};
use crate::cli::args::{KeyDeviceArguments, KeyHome};
use crate::cli::json::KeyDeviceLine;
use crate::error::{Error, Kind, Result};
use crate::id::RepositoryId;
use crate::machine::{self, KeyPlace};

pub(super) fn run(run: &Run, arguments: &KeyDeviceArguments) -> Result<()> {
    if let Some((id, keys)) = arguments.probe.as_ref().zip(arguments.keys.as_ref()) {
        return machine::probe_keychain(keys, *id);
    }
    let repository = run.repository(Make::Never)?;
    let keys = run.places.keys();
    let moved = match arguments.to {
        None => false,
        Some(home) => move_to(run, repository.id(), home.into())?,
    };
    let place = machine::device_key_place(&keys, repository.id())?;
    let path = machine::device_key_path(&keys, repository.id());
    if run.screen.is_json() {
        let place = place.map(KeyPlace::name);
        return run.screen.message("device_key", &KeyDeviceLine { place, moved });
    }
    let now = if moved { "now " } else { "" };
    run.screen.summary(&match place {
        Some(KeyPlace::File) => {
            format!("this machine's key lies {now}in {}, for this user alone", path.display())
        }
        Some(KeyPlace::Keychain) => format!("this machine's key lies {now}in the keychain"),
        None => "this machine has no key of its own; `stash key add --device` makes one".to_owned(),
    })
}

/// Moves the key of a repository that setup has opened into the keychain, if it can be had from there
/// with nobody there; else says why not, and leaves it where it is.
pub(super) fn prefer_keychain(run: &Run, repository: &Opened) {
    match move_to(run, repository.id(), KeyPlace::Keychain) {
        Ok(true) => run.screen.note("this machine's key lies in the keychain"),
        Ok(false) => {}
        Err(error) => run.screen.warning(&format!(
            "this machine's key stays in a file for this user alone, since the keychain can't be used: \
             {error}"
        )),
    }
}

fn move_to(run: &Run, repository: RepositoryId, to: KeyPlace) -> Result<bool> {
    let keys = run.places.keys();
    machine::move_device_key(&keys, repository, to, &mut || {
        machine::probe_unattended(&run.environment, &keys, repository).map_err(|why| {
            Error::new(Kind::WrongPassphrase, "a run that a timer starts can't read the keychain")
                .source(why)
                .hint(
                    "the key stays in its file; a keychain that opens without signing in is needed",
                )
        })
    })
}

impl From<KeyHome> for KeyPlace {
    fn from(home: KeyHome) -> KeyPlace {
        match home {
            KeyHome::File => KeyPlace::File,
            KeyHome::Keychain => KeyPlace::Keychain,
        }
    }
}
