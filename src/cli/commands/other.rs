//! Opening a second repository, beside the one that is meant.

use std::ffi::OsStr;

use super::open::Run;
use super::repository::{Opened, try_secret};
use crate::cli::args::OtherOptions;
use crate::cli::ask;
use crate::error::{Kind, Result};
use crate::machine::{self, AccessOptions, Location, SecretPlaces};
use crate::repository::LockedRepository;

impl Run {
    /// Reads a location as people write it, or the name of a repository of the configuration.
    pub(super) fn location(&self, text: &OsStr) -> Result<Location> {
        machine::read_location(text, &self.environment, self.config()?)
    }

    /// Opens a second repository. What was said of the first one's store (its region, endpoint and
    /// credentials) does not hold for it.
    pub(super) fn other_repository(
        &self,
        location: &Location,
        options: &OtherOptions,
    ) -> Result<Opened> {
        let access = AccessOptions {
            region: None,
            endpoint: None,
            credentials_command: options.from_credentials_command.clone(),
            ..self.global.access()
        };
        let store = self.store_with(location, false, &access)?;
        let folders = self.local_folders();
        let opened = self.open_by(store, location, None, |locked: &LockedRepository| {
            let own = self.global.secret();
            let (entry, keys) = (self.entry_at(location)?, self.places.keys());
            let places =
                SecretPlaces { options: &own, environment: &self.environment, entry, keys: &keys };
            machine::unlock_other(
                &options.secret(),
                &places,
                locked.id(),
                &mut ask::secret,
                |secret| try_secret(locked, secret, &folders),
            )
        });
        // The usual hint speaks of `-r`, which names the first one.
        opened.map_err(|error| match error.kind() {
            Kind::NoRepository => {
                error.hint("`stash init --like REPO -r LOCATION` makes one there")
            }
            _ => error,
        })
    }
}
