//! What every command begins with: where we are, which repository is meant, what opens it.

use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;

use crate::cli::args::GlobalOptions;
use crate::cli::ask;
use crate::cli::render::Screen;
use crate::error::{Kind, Result};
use crate::event::Counters;
use crate::id::RepositoryId;
use crate::machine::{
    self, Bare, Chosen, Environment, Identity, Places, RunLock, Secret, SystemClock,
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
        })
    }

    /// Returns which repository is meant.
    pub fn chosen(&self) -> Result<Chosen> {
        machine::choose(&self.global.location(), &self.environment, &self.places)
    }

    /// Opens a repository with the first secret that fits; `open` tries one.
    pub fn unlock<T>(
        &self,
        repository: RepositoryId,
        open: impl FnMut(&Secret) -> Result<T>,
    ) -> Result<T> {
        machine::unlock(
            &self.global.secret(),
            &self.environment,
            &self.places.keys(),
            repository,
            &mut ask::secret,
            open,
        )
    }

    /// Returns the passphrase that was named for this run, if one was: what `init` and the first
    /// backup make a slot of.
    pub fn named_passphrase(&self) -> Result<Option<machine::Passphrase>> {
        machine::explicit_source(&self.global.secret(), &self.environment)
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
