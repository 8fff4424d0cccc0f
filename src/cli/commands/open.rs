//! What every command begins with: where we are, which repository is meant, what opens it.

use std::ffi::OsString;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::tz::TimeZone;

use crate::cli::args::GlobalOptions;
use crate::cli::ask;
use crate::cli::render::Screen;
use crate::error::{Kind, Result};
use crate::event::Counters;
use crate::id::RepositoryId;
use crate::machine::{
    self, AccessOptions, Bare, Chosen, Config, Environment, Identity, Location, Places,
    RepositoryEntry, RunLock, Secret, SecretPlaces, SystemClock,
};
use crate::time::{Clock as _, Timestamp};

/// One run of the program: all that its command may need of the outside.
///
/// From here on nobody reads the environment.
pub struct Run {
    /// What was said on the command line.
    pub global: GlobalOptions,
    /// Where things are shown; the reporter of every operation.
    pub screen: Arc<Screen>,
    /// Sums of the operation, and its stop switch.
    pub counters: Arc<Counters>,
    /// The folders of this machine.
    pub places: Places,
    /// The names that go into snapshots.
    pub identity: Identity,
    /// The zone in which people write and read times.
    pub zone: TimeZone,
    /// What time it is.
    pub clock: SystemClock,
    pub(super) environment: Environment,
    config: OnceLock<Config>,
}

impl Run {
    /// Finds out where we are.
    pub fn new(
        global: GlobalOptions,
        screen: &Arc<Screen>,
        environment: Environment,
    ) -> Result<Self> {
        Ok(Run {
            places: Places::find(&global.places(), &environment)?,
            identity: Identity::find(&environment)?,
            zone: machine::local_zone(),
            clock: SystemClock,
            counters: Arc::default(),
            screen: Arc::clone(screen),
            global,
            environment,
            config: OnceLock::new(),
        })
    }

    /// Returns the same run for another repository, with the configuration as it is by now.
    pub(super) fn with_repository(
        &self,
        location: &str,
        credentials_command: Option<OsString>,
    ) -> Result<Self> {
        let mut global = self.global.clone();
        global.repo = Some(location.into());
        global.repository_file = None;
        global.credentials_command = credentials_command.or(global.credentials_command);
        Run::new(global, &self.screen, self.environment.clone())
            .map(|run| Run { counters: Arc::clone(&self.counters), ..run })
    }

    /// Returns the configuration, which is read when first asked for: commands that do without it
    /// work although it is wrong.
    pub fn config(&self) -> Result<&Config> {
        if let Some(config) = self.config.get() {
            return Ok(config);
        }
        let config = Config::load(&self.places)?;
        Ok(self.config.get_or_init(|| config))
    }

    /// Returns what the configuration says of the repository at a location.
    pub fn entry_at(&self, location: &Location) -> Result<Option<&RepositoryEntry>> {
        Ok(self.config()?.repository_at(location, &self.environment))
    }

    /// Returns how the store at a location is reached.
    pub(super) fn access(
        &self,
        location: &Location,
        options: AccessOptions,
    ) -> Result<AccessOptions> {
        options.or_configured(self.entry_at(location)?, &self.environment)
    }

    /// Returns which repository is meant.
    pub fn chosen(&self) -> Result<Chosen> {
        let config = self.config()?;
        machine::choose(&self.global.location(), &self.environment, &self.places, config)
    }

    /// Opens the repository at a location with the first secret that fits; `open` tries one.
    pub fn unlock<T>(
        &self,
        location: &Location,
        repository: RepositoryId,
        open: impl FnMut(&Secret) -> Result<T>,
    ) -> Result<T> {
        self.unlock_asking(location, repository, &mut ask::secret, open)
    }

    /// Does the same; `ask` asks a person.
    pub(super) fn unlock_asking<T>(
        &self,
        location: &Location,
        repository: RepositoryId,
        ask: &mut machine::Ask<'_>,
        open: impl FnMut(&Secret) -> Result<T>,
    ) -> Result<T> {
        let options = self.global.secret();
        let (entry, keys) = (self.entry_at(location)?, self.places.keys());
        let places =
            SecretPlaces { options: &options, environment: &self.environment, entry, keys: &keys };
        machine::unlock(&places, repository, ask, open)
    }

    /// Returns the passphrase that was named for this run, if one was: what `init` and the first
    /// backup make a slot of.
    pub fn named_passphrase(&self, location: &Location) -> Result<Option<machine::Passphrase>> {
        match machine::explicit_source(&self.global.secret(), &self.environment)? {
            Some(passphrase) => Ok(Some(passphrase)),
            None => machine::configured_source(self.entry_at(location)?, &self.environment),
        }
    }

    /// Takes this machine's run lock, waiting as long as `--wait` says.
    pub fn lock(&self, repository: RepositoryId) -> Result<RunLock> {
        self.waiting(Duration::ZERO, |wait| {
            RunLock::take(&self.places.state, repository, wait, &self.clock, &self.counters)
        })
    }

    /// Takes a lock, waiting as long as `--wait` says, else for `usual`; says so if it must be waited
    /// for.
    pub(super) fn waiting<T>(
        &self,
        usual: Duration,
        take: impl Fn(Duration) -> Result<T>,
    ) -> Result<T> {
        let wait = self.global.wait.unwrap_or(usual);
        match take(Duration::ZERO) {
            Err(error) if error.kind() == Kind::Busy && !wait.is_zero() => {
                self.screen.note(&format!("{error}; waiting"));
                take(wait)
            }
            result => result,
        }
    }

    /// Lets Ctrl-C stop the operation at its next step; a second one ends the program.
    pub fn stop_on_signals(&self) -> Result<()> {
        machine::stop_on_signals(&self.counters)
    }

    /// Reads a TIME, and tells which instant it is: a time that was understood wrongly loses data.
    pub fn moment(&self, text: &str, bare: Bare) -> Result<Timestamp> {
        let moment = machine::parse_moment(text, self.clock.now(), &self.zone, bare)?;
        self.screen.note(&format!("`{text}` is {}", machine::show_moment(moment, &self.zone)));
        Ok(moment)
    }
}
