//! From a location to its store: a folder, or one behind a network, with what opens it.

use std::sync::Arc;

use super::open::Run;
use crate::error::{Error, Kind, Result};
use crate::machine::{self, AccessOptions, Location};
use crate::store::Store;

impl Run {
    /// Returns the store at a location. With `create`, a folder that is missing is made.
    pub(super) fn store(&self, location: &Location, create: bool) -> Result<Store> {
        self.store_with(location, create, &self.global.access())
    }

    /// Does the same with other options about reaching it.
    pub(super) fn store_with(
        &self,
        location: &Location,
        create: bool,
        access: &AccessOptions,
    ) -> Result<Store> {
        let place = match location {
            Location::Local(folder) => return Store::folder(folder, create),
            Location::Git(place) => {
                return Err(Error::usage("this build has no git remotes yet:")
                    .object(place.to_string())
                    .hint(
                        "use a folder or a bucket; `stash help init` shows how they are written",
                    ));
            }
            Location::Remote(place) => place,
        };
        let (credentials, mut options) = machine::store_access(place, access, &self.environment)?;
        options.learned = machine::known_store(&self.places.state, place);
        options.reporter = Arc::clone(&self.screen) as Arc<dyn crate::event::Reporter>;
        let store = Store::open_remote(place, &credentials, &options)?;
        self.remember(&store, location);
        Ok(store)
    }

    /// Tries all that a repository asks of a remote store, before one is made there.
    pub(super) fn probe(&self, store: &Store, location: &Location) -> Result<()> {
        if !store.is_remote() {
            return Ok(());
        }
        let probe = store.probe();
        self.remember(store, location);
        let took =
            |step: &crate::store::ProbeStep| format!("{} {} ms", step.what, step.took.as_millis());
        let steps: Vec<String> = probe.steps.iter().map(took).collect();
        let may_delete = probe.deletes != Some(false);
        if let Some(error) = probe.into_failure() {
            self.doubt(location, &error);
            return Err(error);
        }
        self.screen.note(&format!("the store works: {}", steps.join(", ")));
        if !may_delete {
            self.screen.note(
                "these credentials may not delete: backups and restores don't need it, \
                 freeing space does",
            );
        }
        Ok(())
    }

    /// Forgets what was remembered of a store that fails: it may be the reason.
    pub(super) fn doubt(&self, location: &Location, error: &Error) {
        if let (Location::Remote(place), Kind::Store) = (location, error.kind()) {
            machine::forget_store(&self.places.state, place);
        }
    }

    fn remember(&self, store: &Store, location: &Location) {
        if let (Location::Remote(place), Some(learned)) = (location, store.learned()) {
            machine::remember_store(&self.places.state, place, &learned);
        }
    }
}
