//! The order in which secrets are tried on a repository.
//!
//! A passphrase whose source was named, by an option, a variable or the configuration, and nothing but
//! it; else this machine's device key; else
//! a person is asked, three times at most. What opening means is the caller's: it is handed one
//! [`Secret`] after another, and answers [`Kind::WrongPassphrase`] if that one does not fit.

use std::path::Path;

use zeroize::Zeroizing;

use super::config::RepositoryEntry;
use super::device_key::read_device_key;
use super::environment::Environment;
use super::passphrase::{
    Ask, Passphrase, SecretOptions, SecretText, configured_source, explicit_source, other_source,
};
use crate::error::{Error, Kind, Result};
use crate::id::RepositoryId;

const MAXIMUM_ASKED: u32 = 3;

/// Something that may open a repository.
pub enum Secret {
    /// The key of this machine.
    DeviceKey(Zeroizing<[u8; 32]>),
    /// What a person typed or stored: a passphrase, or the words of a recovery code.
    Text(SecretText),
}

/// Where the secrets of a repository may come from.
pub struct SecretPlaces<'a> {
    /// What was said on the command line.
    pub options: &'a SecretOptions,
    /// The variables.
    pub environment: &'a Environment,
    /// What the configuration says of the repository.
    pub entry: Option<&'a RepositoryEntry>,
    /// The folder of this machine's keys.
    pub keys: &'a Path,
}

/// Opens something with the first secret that fits.
///
/// Any other error of `open` ends the search. The error that says that nothing fitted names where
/// the secret came from, or what to set.
pub fn unlock<T>(
    places: &SecretPlaces<'_>,
    repository: RepositoryId,
    ask: &mut Ask<'_>,
    open: impl FnMut(&Secret) -> Result<T>,
) -> Result<T> {
    if let Some(passphrase) = explicit_source(places.options, places.environment)? {
        return open_named(passphrase, open);
    }
    if let Some(passphrase) = configured_source(places.entry, places.environment)? {
        return open_named(passphrase, open);
    }
    search(None, places.keys, repository, ask, open)
}

/// Opens a second repository: with what was named for it, by `other` or the configuration, and nothing
/// else; else with this machine's
/// device key; else with what was named for the first one, since people give both the same; else a
/// person is asked.
pub fn unlock_other<T>(
    other: &SecretOptions,
    places: &SecretPlaces<'_>,
    repository: RepositoryId,
    ask: &mut Ask<'_>,
    open: impl FnMut(&Secret) -> Result<T>,
) -> Result<T> {
    if let Some(passphrase) = other_source(other, places.environment)? {
        return open_named(passphrase, open);
    }
    if let Some(passphrase) = configured_source(places.entry, places.environment)? {
        return open_named(passphrase, open);
    }
    search(explicit_source(places.options, places.environment)?, places.keys, repository, ask, open)
}

/// Tries a passphrase that was named, and says where it came from if it is wrong.
fn open_named<T>(passphrase: Passphrase, mut open: impl FnMut(&Secret) -> Result<T>) -> Result<T> {
    open(&Secret::Text(passphrase.text)).map_err(|error| {
        if error.kind() == Kind::WrongPassphrase {
            error.hint(format!("it came from {}", passphrase.came_from))
        } else {
            error
        }
    })
}

fn search<T>(
    perhaps: Option<Passphrase>,
    keys: &Path,
    repository: RepositoryId,
    ask: &mut Ask<'_>,
    mut open: impl FnMut(&Secret) -> Result<T>,
) -> Result<T> {
    let mut has_key = false;
    if let Some(key) = read_device_key(keys, repository)? {
        match open(&Secret::DeviceKey(key)) {
            Err(error) if error.kind() == Kind::WrongPassphrase => has_key = true,
            other => return other,
        }
    }
    if let Some(passphrase) = perhaps {
        return open_named(passphrase, open);
    }
    let mut last = None;
    for _ in 0..MAXIMUM_ASKED {
        let Some(text) = ask("passphrase or recovery code: ")? else { break };
        match open(&Secret::Text(text)) {
            Err(error) if error.kind() == Kind::WrongPassphrase => last = Some(error),
            other => return other,
        }
    }
    Err(last.unwrap_or_else(|| nothing_fits(has_key)))
}

fn nothing_fits(has_key: bool) -> Error {
    let (what, hint) = if has_key {
        (
            "this machine's device key does not open the repository",
            "if it was removed, another machine can add a passphrase (`stash key add`): give \
             `--passphrase-file FILE`, or set `STASH_PASSPHRASE_FILE`",
        )
    } else {
        (
            "no device key on this machine, and no passphrase",
            "give `--passphrase-file FILE`, or set `STASH_PASSPHRASE_FILE`",
        )
    };
    Error::new(Kind::WrongPassphrase, what).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::super::config::Config;
    use super::super::device_key::write_device_key;
    use super::*;

    const ID: RepositoryId = RepositoryId([7; 16]);

    fn tried(
        pairs: &[(&str, &str)],
        device_key: Option<u8>,
        typed: &[&str],
        right: &str,
    ) -> (Result<()>, Vec<String>) {
        tried_with(None, pairs, device_key, typed, right)
    }

    /// Runs the search against a repository that only `right` opens; returns what was tried.
    fn tried_with(
        config: Option<&str>,
        pairs: &[(&str, &str)],
        device_key: Option<u8>,
        typed: &[&str],
        right: &str,
    ) -> (Result<()>, Vec<String>) {
        let keys = tempfile::tempdir().unwrap();
        if let Some(byte) = device_key {
            write_device_key(keys.path(), ID, &[byte; 32]).unwrap();
        }
        let mut typed = typed.iter();
        let mut ask = |_: &str| Ok(typed.next().map(|text| SecretText::new((*text).into())));
        let mut tried = Vec::new();
        let config = config.map(|text| Config::parse(Path::new("config.toml"), text).unwrap());
        let places = SecretPlaces {
            options: &SecretOptions::default(),
            environment: &Environment::given(pairs.iter().copied()),
            entry: config.as_ref().and_then(Config::main_repository),
            keys: keys.path(),
        };
        let result = unlock(&places, ID, &mut ask, |secret| {
            let name = match secret {
                Secret::DeviceKey(key) => format!("device {}", key[0]),
                Secret::Text(text) => text.as_str().unwrap().to_owned(),
            };
            tried.push(name.clone());
            let wrong = || Error::new(Kind::WrongPassphrase, "wrong passphrase");
            if name == right { Ok(()) } else { Err(wrong()) }
        });
        (result, tried)
    }

    #[test]
    fn a_named_source_is_tried_alone_and_named_when_it_fails() {
        let (result, tried) =
            tried(&[("STASH_PASSPHRASE", "bad")], Some(1), &["device 1"], "device 1");
        let error = result.unwrap_err();
        assert_eq!(error.kind(), Kind::WrongPassphrase);
        assert_eq!(error.hint_text(), Some("it came from `STASH_PASSPHRASE`"));
        assert_eq!(tried, ["bad"]);
    }

    #[test]
    fn the_configurations_source_comes_after_a_variable_and_before_the_device_key() {
        let config = "[repositories.a]\nlocation = \"/a\"\npassphrase_command = \"echo words\"";
        let (result, tried) = tried_with(Some(config), &[], Some(1), &[], "words");
        assert!(result.is_ok());
        assert_eq!(tried, ["words"]);
        let variable = [("STASH_PASSPHRASE", "said")];
        let (_, tried) = tried_with(Some(config), &variable, Some(1), &[], "said");
        assert_eq!(tried, ["said"]);
        let failing = config.replace("echo words", "exit 1");
        let (result, tried) = tried_with(Some(&failing), &[], Some(1), &[], "device 1");
        let error = result.unwrap_err();
        assert_eq!(error.kind(), Kind::WrongPassphrase);
        assert!(error.to_string().contains("repositories.a.passphrase_command"), "{error}");
        assert!(tried.is_empty(), "it never falls through");
    }

    #[test]
    fn the_device_key_opens_without_a_question() {
        let (result, tried) = tried(&[], Some(1), &["typed"], "device 1");
        assert!(result.is_ok());
        assert_eq!(tried, ["device 1"]);
    }

    #[test]
    fn a_device_key_that_no_longer_fits_falls_through_to_the_prompt() {
        let (result, tried) = tried(&[], Some(1), &["one", "two", "three"], "two");
        assert!(result.is_ok());
        assert_eq!(tried, ["device 1", "one", "two"]);
    }

    #[test]
    fn a_person_is_asked_three_times() {
        let (result, tried) = tried(&[], None, &["1", "2", "3", "4"], "4");
        assert_eq!(result.unwrap_err().kind(), Kind::WrongPassphrase);
        assert_eq!(tried, ["1", "2", "3"]);
    }

    #[test]
    fn without_a_terminal_the_error_names_the_variable() {
        let (result, tried) = tried(&[], None, &[], "x");
        let error = result.unwrap_err();
        assert_eq!(error.kind().exit_code(), 12);
        assert!(error.hint_text().unwrap().contains("STASH_PASSPHRASE_FILE"));
        assert!(tried.is_empty());
    }
}
