//! From a location to its store: a folder, or one behind a network, with what opens it.

use std::sync::Arc;

use super::open::Run;
use crate::error::{Error, Kind, Result};
use crate::machine::{self, AccessOptions, Location};
use crate::store::{RemotePlace, Store};

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
        let access = &self.access(location, access.clone())?;
        let place = match location {
            Location::Local(folder) => return Store::folder(folder, create),
            Location::Git(place) => return self.git_store(place, create, access),
            Location::Remote(place) => place,
        };
        let (credentials, mut options) = machine::store_access(place, access, &self.environment)?;
        let used = place.in_use(&credentials, &options);
        options.learned = machine::known_store(&self.places.state, &used);
        options.reporter = Arc::clone(&self.screen) as Arc<dyn crate::event::Reporter>;
        let store = Store::open_remote(place, &credentials, &options)?;
        self.remember(&store);
        Ok(store)
    }

    /// Returns the store in a git remote.
    #[cfg(feature = "git")]
    fn git_store(
        &self,
        place: &machine::GitPlace,
        create: bool,
        access: &AccessOptions,
    ) -> Result<Store> {
        let (credentials, mut options) = machine::git_access(place, access, &self.environment)?;
        options.cache = Some(self.places.cache.clone());
        options.remote.reporter = Arc::clone(&self.screen) as Arc<dyn crate::event::Reporter>;
        Store::open_git(&place.url, &place.to_string(), &credentials, &options, create)
    }

    #[cfg(not(feature = "git"))]
    #[expect(clippy::unused_self, reason = "stands for the one above")]
    fn git_store(
        &self,
        place: &machine::GitPlace,
        _create: bool,
        _access: &AccessOptions,
    ) -> Result<Store> {
        Err(Error::usage("this build has no git remotes:")
            .object(place.to_string())
            .hint("build it with `--features git`, or use a folder or a bucket"))
    }

    /// Sees to a git remote before a repository is made there: what hosts limit is told, and a
    /// repository at GitHub must be private; with `create_bucket` it is made.
    pub(super) fn prepare_git(&self, location: &Location, create_bucket: bool) -> Result<()> {
        let Location::Git(place) = location else { return Ok(()) };
        if !place.url.starts_with("file:") {
            self.screen.note(
                "git hosts limit repositories, often to a few GB, and files to 100 MB (stash's \
                 are at most 64 MiB): for more, an object store is the better place",
            );
        }
        self.prepare_github(place, create_bucket)
    }

    #[cfg(feature = "git")]
    fn prepare_github(&self, place: &machine::GitPlace, create_bucket: bool) -> Result<()> {
        let Some((owner, name)) = place.github.clone() else { return Ok(()) };
        let access = self.access(&Location::Git(place.clone()), self.global.access())?;
        let (credentials, options) = machine::git_access(place, &access, &self.environment)?;
        let repository = crate::store::GithubRepository { owner, name };
        let api = crate::store::GITHUB_API;
        if repository.prepare(api, &credentials, &options.remote, create_bucket)? {
            self.screen.note(&format!("made the private repository {place}"));
        }
        Ok(())
    }

    #[cfg(not(feature = "git"))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "stands for the one above")]
    fn prepare_github(&self, _place: &machine::GitPlace, _create_bucket: bool) -> Result<()> {
        Ok(())
    }

    /// Tries all that a repository asks of a remote store, before one is made there.
    pub(super) fn probe(&self, store: &Store) -> Result<()> {
        if !store.is_remote() {
            return Ok(());
        }
        let probe = store.probe();
        self.remember(store);
        let took =
            |step: &crate::store::ProbeStep| format!("{} {} ms", step.what, step.took.as_millis());
        let steps: Vec<String> = probe.steps.iter().map(took).collect();
        let may_delete = probe.deletes != Some(false);
        if let Some(error) = probe.into_failure() {
            self.doubt(store.place(), &error);
            return Err(error);
        }
        self.screen.note(&format!("the store works: {}", steps.join(", ")));
        if !may_delete {
            self.screen.note(
                "append-only credentials: backups and restores need no more; prune runs elsewhere, \
                 with credentials that may delete",
            );
        }
        Ok(())
    }

    /// Forgets what was remembered of a store that fails: it may be the reason.
    pub(super) fn doubt(&self, place: Option<&RemotePlace>, error: &Error) {
        if let (Some(place), Kind::Store) = (place, error.kind()) {
            machine::forget_store(&self.places.state, place);
        }
    }

    fn remember(&self, store: &Store) {
        if let (Some(place), Some(learned)) = (store.place(), store.learned()) {
            machine::remember_store(&self.places.state, place, &learned);
        }
    }
}
