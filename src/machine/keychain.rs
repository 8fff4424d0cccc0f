//! The operating system's keychain, as a place for this machine's keys: the secret service of a Linux
//! desktop, the keychain of macOS.
//!
//! An entry's service is `stash`, its user the repository's id, its secret one line of text (some
//! services hold nothing else). Whoever asks waits for a bounded time: a locked keychain may ask
//! a person who is not there. A build without the feature `keychain` has none.

use std::path::Path;
use std::process::{Command, Stdio};

use zeroize::Zeroizing;

use super::environment::Environment;
use crate::error::{Error, Kind, Result};
use crate::id::RepositoryId;

/// Reads a repository's entry; `None` if there is none.
pub(super) fn read(repository: RepositoryId) -> Result<Option<Zeroizing<String>>> {
    system::within_patience("read the keychain", move || system::read(&repository.to_string()))
}

/// Writes a repository's entry, over one that is there.
pub(super) fn write(repository: RepositoryId, text: &Zeroizing<String>) -> Result<()> {
    let text = text.clone();
    system::within_patience("write to the keychain", move || {
        system::write(&repository.to_string(), &text)
    })
}

/// Removes a repository's entry, if there is one.
pub(super) fn remove(repository: RepositoryId) -> Result<()> {
    system::within_patience("delete from the keychain", move || {
        system::remove(&repository.to_string())
    })
}

/// Asks whether a run that a timer starts can read a repository's key: this program is run once more, with
/// nothing of a terminal's or a desktop's environment. `XDG_RUNTIME_DIR`, which a user's service
/// manager sets, leads to the desktop's bus; without it the same is found at its usual place.
pub fn probe_unattended(
    environment: &Environment,
    keys: &Path,
    repository: RepositoryId,
) -> Result<()> {
    const DOING: &str = "cannot run this program once more";
    let program = std::env::current_exe().map_err(|error| Error::failed(DOING).source(error))?;
    let mut command = Command::new(program);
    command.args(["key", "device", "--json", "--probe"]).arg(repository.to_string());
    command.arg("--keys").arg(keys).env_clear().env("PATH", "/usr/bin:/bin");
    for name in ["HOME", "XDG_RUNTIME_DIR"] {
        if let Some(value) = environment.get(name) {
            command.env(name, value);
        }
    }
    command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let status = command.status().map_err(|error| Error::failed(DOING).source(error))?;
    if status.success() { Ok(()) } else { Err(Error::failed(format!("it ended with {status}"))) }
}

/// Says that the keychain did not do something.
fn failed(doing: &str, why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(Kind::WrongPassphrase, format!("cannot {doing}")).source(why).hint(
        "unlock it by signing in to the desktop; without one, `stash key device --to file` keeps the key \
         in a file for this user alone, and `--passphrase-file FILE` opens the repository meanwhile",
    )
}

#[cfg(all(feature = "keychain", any(target_os = "linux", target_os = "macos")))]
mod system {
    use std::sync::mpsc::{RecvTimeoutError, channel};
    use std::time::Duration;

    #[cfg(target_os = "macos")]
    use apple_native_keyring_store::keychain::Store;
    use keyring_core::api::CredentialStoreApi as _;
    use keyring_core::{Entry, Error as KeychainError};
    #[cfg(target_os = "linux")]
    use zbus_secret_service_keyring_store::Store;
    use zeroize::Zeroizing;

    use super::failed;
    use crate::error::Result;

    const SERVICE: &str = "stash";
    /// A person may be asked to unlock it: long enough to type a password, short enough for a timer.
    const PATIENCE: Duration = Duration::from_secs(20);

    /// Runs a task of the keychain on a thread of its own, which is left behind if it hangs.
    pub(super) fn within_patience<T: Send + 'static>(
        doing: &'static str,
        task: impl FnOnce() -> Result<T, KeychainError> + Send + 'static,
    ) -> Result<T> {
        let (sender, receiver) = channel();
        let spawned = std::thread::Builder::new().name("keychain".to_owned()).spawn(move || {
            // Nobody listens any more if it took too long.
            let _late = sender.send(task());
        });
        spawned.map_err(|error| failed(doing, error))?;
        match receiver.recv_timeout(PATIENCE) {
            Ok(result) => result.map_err(|error| failed(doing, error)),
            Err(RecvTimeoutError::Timeout) => {
                Err(failed(doing, format!("no answer within {} s", PATIENCE.as_secs())))
            }
            Err(RecvTimeoutError::Disconnected) => Err(failed(doing, "its client broke off")),
        }
    }

    fn entry(user: &str) -> Result<Entry, KeychainError> {
        Store::new()?.build(SERVICE, user, None)
    }

    pub(super) fn read(user: &str) -> Result<Option<Zeroizing<String>>, KeychainError> {
        match entry(user)?.get_password() {
            Ok(text) => Ok(Some(Zeroizing::new(text))),
            Err(KeychainError::NoEntry) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn write(user: &str, text: &str) -> Result<(), KeychainError> {
        entry(user)?.set_password(text)
    }

    pub(super) fn remove(user: &str) -> Result<(), KeychainError> {
        match entry(user)?.delete_credential() {
            Err(KeychainError::NoEntry) => Ok(()),
            other => other,
        }
    }
}

#[cfg(not(all(feature = "keychain", any(target_os = "linux", target_os = "macos"))))]
#[expect(clippy::unnecessary_wraps, reason = "the same shape as where there is a keychain")]
mod system {
    use std::convert::Infallible;

    use zeroize::Zeroizing;

    use super::failed;
    use crate::error::Result;

    pub(super) fn within_patience<T>(
        doing: &'static str,
        _task: impl FnOnce() -> Result<T, Infallible>,
    ) -> Result<T> {
        Err(failed(doing, "this build has no keychain (its feature `keychain` is off)"))
    }

    pub(super) fn read(_user: &str) -> Result<Option<Zeroizing<String>>, Infallible> {
        Ok(None)
    }

    pub(super) fn write(_user: &str, _text: &str) -> Result<(), Infallible> {
        Ok(())
    }

    pub(super) fn remove(_user: &str) -> Result<(), Infallible> {
        Ok(())
    }
}
