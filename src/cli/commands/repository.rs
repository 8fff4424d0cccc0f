//! Opening the repository that is meant, and making one.
//!
//! **Making, in this order**: this machine's device key and the recovery code are on disk before
//! the repository is; then come the key slots, and the header last. A crash in between leaves files
//! for an id that no repository has, and perhaps slots without a header: neither opens or blocks
//! anything, and the next run makes the repository with an id and keys of its own. One process of
//! this machine makes a repository at a time.

use std::ops::Deref;
use std::path::Path;
use std::time::Duration;

use zeroize::Zeroizing;

use super::open::Run;
use crate::cli::ask;
use crate::codec::crypto::{Key, SlotSecret, random_bytes, read_recovery_words, recovery_words};
use crate::error::{Error, Kind, Result};
use crate::format::key::{REPOSITORY_APPEND_ONLY, REPOSITORY_EXCLUSIVE};
use crate::id::RepositoryId;
use crate::machine::{self, Chosen, Location, Secret, SecretText, SharedLock};
use crate::repository::{InitOptions, LocalFolders, LockedRepository, Repository};
use crate::store::Store;
use crate::time::Clock as _;

/// Whether a repository may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Make {
    /// What is not there is an error.
    Never,
    /// The default one is made if nothing is there.
    Default,
    /// If nothing is there, an empty one in memory stands for the default one: for dry runs.
    InMemory,
}

/// An open repository.
pub struct Opened {
    /// Where it lies.
    pub location: Location,
    repository: Repository,
    shared: Option<SharedLock>,
}

impl Opened {
    /// Returns the lock that all who use a repository on this computer's own disk share; `None` in
    /// others.
    pub fn shared_lock(&self) -> Option<&SharedLock> {
        self.shared.as_ref()
    }

    /// Returns its folder, if it is in one of this computer.
    pub fn folder(&self) -> Option<&Path> {
        self.location.folder()
    }
}

impl Deref for Opened {
    type Target = Repository;

    fn deref(&self) -> &Repository {
        &self.repository
    }
}

/// How long a run waits for a deletion to end if nobody says: cleaning up after a backup takes half a
/// minute at most.
const DELETION: Duration = Duration::from_mins(1);

impl Run {
    /// Opens the repository that is meant.
    pub fn repository(&self, make: Make) -> Result<Opened> {
        self.repository_of(&self.chosen()?, make)
    }

    /// Opens this repository.
    pub(super) fn repository_of(&self, chosen: &Chosen, make: Make) -> Result<Opened> {
        let location = chosen.location();
        if let (Chosen::Default(_), Some(folder)) = (chosen, location.folder())
            && make != Make::Never
            && is_unborn(folder)?
        {
            return match make {
                Make::InMemory => self.stand_in(location),
                _ => self.make_default(location, folder),
            };
        }
        let store = self.store(location, false).map_err(|error| match (chosen, error.kind()) {
            (Chosen::Default(_), Kind::NoRepository) => {
                error.hint("`stash backup PATH` makes it; `-r` names another place")
            }
            _ => error,
        })?;
        self.open(store, location)
    }

    /// Opens the repository that is meant as a timer does: nobody is asked for a secret.
    pub(super) fn repository_unasked(&self) -> Result<Opened> {
        let chosen = self.chosen()?;
        let location = chosen.location();
        let store = self.store(location, false)?;
        let folders = self.local_folders();
        self.open_by(store, location, self.wanted_id(location)?, |locked| {
            self.unlock_asking(location, locked.id(), &mut |_| Ok(None), |secret| {
                try_secret(locked, secret, &folders)
            })
        })
    }

    /// Opens the repository that is meant as far as this machine remembers it: one behind a network is
    /// not asked for anything, and must have been opened here before. Nobody is asked for a secret.
    pub(super) fn repository_remembered(&self) -> Result<Opened> {
        let chosen = self.chosen()?;
        let location = chosen.location();
        if location.folder().is_some() {
            return self.repository_unasked();
        }
        let folders = self.local_folders();
        let description = machine::opened_description(&self.places.state, location);
        let remembered = description.zip(folders.cache.as_deref());
        let locked =
            remembered.and_then(|(text, cache)| LockedRepository::remembered(&text, cache));
        let locked = locked.ok_or_else(|| {
            Error::new(Kind::NoRepository, "nothing is remembered here of the repository")
                .object(location.to_string())
                .hint("`--check` asks its store")
        })?;
        let ask = &mut |_: &str| Ok(None);
        let repository = self.unlock_asking(location, locked.id(), ask, |secret| {
            try_secret(&locked, secret, &folders)
        })?;
        Ok(Opened { location: location.clone(), repository, shared: None })
    }

    /// Opens the repository, and reads what other writers did.
    pub fn current_repository(&self) -> Result<Opened> {
        let repository = self.repository(Make::Never)?;
        self.catch_up(&repository)?;
        Ok(repository)
    }

    /// Reads what other writers did. A record that can't be read is told, and goes missing.
    pub fn catch_up(&self, repository: &Repository) -> Result<()> {
        for damaged in repository.sync()?.damaged {
            self.screen.warning(&format!(
                "{}; the snapshot in it, or data that only it names, is missing here",
                damaged.error
            ));
        }
        Ok(())
    }

    /// Makes a repository at the place that is meant; one that is there already is an error.
    /// With `like` it takes the same units as that one.
    pub fn make_repository(
        &self,
        create_bucket: bool,
        like: Option<&Repository>,
        options: &InitOptions,
    ) -> Result<Opened> {
        let chosen = self.chosen()?;
        let _one_at_a_time = self.lock(RepositoryId::default())?;
        self.make(chosen.location(), create_bucket, like, options)
    }

    /// Makes a repository at another place, that takes the same units and is as careful about what
    /// writers may delete.
    pub(super) fn make_at(
        &self,
        location: &Location,
        create_bucket: bool,
        like: &Repository,
    ) -> Result<Opened> {
        let _one_at_a_time = self.lock(RepositoryId::default())?;
        let header = like.header();
        let options = InitOptions {
            flags: header.flags & REPOSITORY_APPEND_ONLY,
            window: header.window,
            grace: header.grace,
            ..InitOptions::default()
        };
        self.make(location, create_bucket, Some(like), &options)
    }

    /// Returns whether what is at a place was cut off while it was made.
    pub(super) fn is_unborn_at(&self, location: &Location) -> Result<bool> {
        Repository::is_unborn(&self.store(location, false)?)
    }

    /// Makes the default repository, unless another process just did.
    fn make_default(&self, location: &Location, folder: &Path) -> Result<Opened> {
        let _one_at_a_time = self.lock(RepositoryId::default())?;
        if is_unborn(folder)? {
            self.make(location, false, None, &InitOptions::default())
        } else {
            self.open(Store::folder(folder, false)?, location)
        }
    }

    /// Returns an empty repository that leaves no trace.
    fn stand_in(&self, location: &Location) -> Result<Opened> {
        self.screen.note("no repository yet; the first backup makes it");
        let internal = |error| Error::failed("cannot make a repository").source(error);
        let secret = SlotSecret::Device(Key::random().map_err(internal)?);
        let repository = Repository::init(
            &Store::memory(),
            &InitOptions::default(),
            &[(secret, String::new())],
            self.clock.now(),
            &LocalFolders::default(),
        )?;
        Ok(Opened { location: location.clone(), repository, shared: None })
    }

    /// Finds the repository that is meant, as it is now, without opening it.
    pub fn find_locked(&self) -> Result<LockedRepository> {
        let chosen = self.chosen()?;
        let location = chosen.location();
        let store = self.store(location, false)?;
        let locked = LockedRepository::find(store, self.wanted_id(location)?)?;
        self.warn_of_damage(&locked);
        Ok(locked)
    }

    fn warn_of_damage(&self, locked: &LockedRepository) {
        for (_, error) in locked.damaged_slots() {
            self.screen.warning(&error.to_string());
        }
    }

    /// Returns which repository must be the one at a location, if that was said.
    fn wanted_id(&self, location: &Location) -> Result<Option<&str>> {
        let entry = self.entry_at(location)?.and_then(|it| it.repo_id.as_ref());
        Ok(self.global.repo_id.as_deref().or(entry.map(|it| it.value.as_str())))
    }

    pub(super) fn locked(&self, store: Store, wanted: Option<&str>) -> Result<LockedRepository> {
        let folders = self.local_folders();
        let (cache, now) = (folders.cache.as_deref(), self.clock.now());
        let locked = LockedRepository::find_remembered(store, wanted, cache, now)?;
        self.warn_of_damage(&locked);
        Ok(locked)
    }

    /// Opens a repository whose header is missing or damaged, by the copy in a key slot.
    pub fn repository_without_header(&self) -> Result<Opened> {
        let chosen = self.chosen()?;
        let location = chosen.location();
        let locked = LockedRepository::find_without_header(self.store(location, false)?)?;
        let folders = self.local_folders();
        if self.named_passphrase(location)?.is_none() {
            let keys = self.places.keys();
            for id in machine::repositories_with_keys(&keys) {
                let Ok(Some(key)) = machine::read_device_key(&keys, id) else { continue };
                match locked.unlock(&SlotSecret::Device(Key(*key)), &folders) {
                    Err(error) if error.kind() == Kind::WrongPassphrase => {}
                    result => return self.opened(result?, location),
                }
            }
        }
        let nobody = RepositoryId::default();
        let repository =
            self.unlock(location, nobody, |secret| try_secret(&locked, secret, &folders))?;
        self.opened(repository, location)
    }

    fn open(&self, store: Store, location: &Location) -> Result<Opened> {
        let folders = self.local_folders();
        self.open_by(store, location, self.wanted_id(location)?, |locked| {
            self.unlock(location, locked.id(), |secret| try_secret(locked, secret, &folders))
        })
    }

    /// Opens the repository at a location; `unlock` tries secrets on it.
    pub(super) fn open_by(
        &self,
        store: Store,
        location: &Location,
        wanted: Option<&str>,
        unlock: impl Fn(&LockedRepository) -> Result<Repository>,
    ) -> Result<Opened> {
        let place = store.place().cloned();
        let locked = self.locked(store, wanted);
        let locked = locked.inspect_err(|error| self.doubt(place.as_ref(), error))?;
        let repository = match unlock(&locked) {
            // What was remembered of the key slots may be older than the slot that would fit.
            Err(error) if error.kind() == Kind::WrongPassphrase => match locked.renewed()? {
                Some(renewed) => unlock(&renewed)?,
                None => return Err(error),
            },
            result => result?,
        };
        self.opened(repository, location)
    }

    fn make(
        &self,
        location: &Location,
        create_bucket: bool,
        like: Option<&Repository>,
        options: &InitOptions,
    ) -> Result<Opened> {
        let passphrase = self.named_passphrase(location)?;
        if let Some(passphrase) = &passphrase {
            passphrase.check_new()?;
        }
        self.prepare_git(location, create_bucket)?;
        let store = self.store(location, true)?;
        if create_bucket {
            store.create_bucket()?;
        }
        self.probe(&store)?;
        Repository::refuse_occupied(&store)?;
        let internal = |error| Error::failed("cannot make a repository").source(error);
        let id = RepositoryId(random_bytes().map_err(internal)?);
        let device = Key::random().map_err(internal)?;
        let recovery = Key::random().map_err(internal)?;
        let words = recovery_words(&recovery).map_err(internal)?;
        let keys = self.places.keys();
        machine::write_device_key(&keys, id, &device.0)?;
        machine::write_pending_recovery(&keys, id, &words)?;
        let mut secrets = vec![
            (SlotSecret::Device(device), self.identity.host.clone()),
            (SlotSecret::Recovery(recovery), "recovery code".to_owned()),
        ];
        if let Some(passphrase) = &passphrase {
            let text = passphrase_text(&passphrase.text)?;
            secrets.push((SlotSecret::Passphrase(text), "passphrase".to_owned()));
        }
        let options = InitOptions {
            id: Some(id),
            flags: location.folder().map_or(0, machine::repository_flags) | options.flags,
            ..options.clone()
        };
        let now = self.clock.now();
        let folders = self.local_folders();
        let made = match like {
            Some(like) => like.init_like(&store, &options, &secrets, now, &folders)?,
            None => Repository::init(&store, &options, &secrets, now, &folders)?,
        };
        self.show_made(location, &words)?;
        self.opened(made, location)
    }

    fn opened(&self, repository: Repository, location: &Location) -> Result<Opened> {
        if location.folder().is_none() {
            let description = repository.store().description();
            machine::remember_opened(&self.places.state, location, description);
        }
        let is_exclusive = repository.header().flags & REPOSITORY_EXCLUSIVE != 0;
        let take = |folder: &Path| {
            self.waiting(DELETION, |wait| {
                SharedLock::take(folder, wait, &self.clock, &self.counters)
            })
        };
        let shared = location.folder().filter(|_| is_exclusive).map(take).transpose()?;
        Ok(Opened { location: location.clone(), repository, shared })
    }

    /// Says that the repository is made; the recovery code goes to a terminal or nowhere.
    fn show_made(&self, location: &Location, words: &Zeroizing<String>) -> Result<()> {
        self.screen.note(&format!("made the repository `{location}`"));
        if ask::show_secret(
            "Its recovery code, which opens it when this computer is lost. Keep it elsewhere:",
            words,
        )? {
            self.screen.note("`stash key recovery --test` checks that you kept it");
        } else {
            self.screen.note(
                "its recovery code waits to be written down: `stash key recovery --show` on a \
                 terminal",
            );
        }
        Ok(())
    }

    /// Returns where the cache and this machine's memory lie.
    pub fn local_folders(&self) -> LocalFolders {
        LocalFolders {
            cache: (!self.global.no_cache).then(|| self.places.cache.clone()),
            state: Some(self.places.state.clone()),
        }
    }
}

fn is_unborn(folder: &Path) -> Result<bool> {
    if folder.exists() { Repository::is_unborn(&Store::folder(folder, false)?) } else { Ok(true) }
}

/// Tries one secret: what a person typed may be a passphrase or the recovery code.
pub(super) fn try_secret(
    locked: &LockedRepository,
    secret: &Secret,
    folders: &LocalFolders,
) -> Result<Repository> {
    let text = match secret {
        Secret::DeviceKey(key) => {
            return locked.unlock(&SlotSecret::Device(Key(**key)), folders);
        }
        Secret::Text(text) => text,
    };
    if let Some(key) = text.as_str().and_then(read_recovery_words) {
        match locked.unlock(&SlotSecret::Recovery(key), folders) {
            Err(error) if error.kind() == Kind::WrongPassphrase => {}
            other => return other,
        }
    }
    locked.unlock(&SlotSecret::Passphrase(passphrase_text(text)?), folders)
}

/// Returns a passphrase as the format wants it: text.
pub fn passphrase_text(text: &SecretText) -> Result<Zeroizing<String>> {
    text.as_str()
        .map(|text| Zeroizing::new(text.to_owned()))
        .ok_or_else(|| Error::new(Kind::WrongPassphrase, "the passphrase is not valid UTF-8"))
}
