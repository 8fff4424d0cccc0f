//! Passphrases: where one comes from, and what a new one must be.
//!
//! `--passphrase-file` or `--passphrase-command`, else one of `STASH_PASSPHRASE`,
//! `STASH_PASSPHRASE_FILE`, `STASH_PASSPHRASE_COMMAND`; else what the configuration says of the
//! repository. Two of the same rank contradict each other.
//! A source that was named and fails is an error; nothing else is tried in its place.
//!
//! Of a file's or command's text one trailing newline is dropped, nothing else. Texts live in
//! memory that is wiped, have no `Debug`, and are never shown; messages name only their source.
#![expect(clippy::disallowed_methods, reason = "reads passphrase files")]

use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use zeroize::Zeroizing;

use super::config::RepositoryEntry;
use super::environment::Environment;
use crate::error::{Error, Kind, Result};

/// How many characters a new passphrase must have.
pub const MINIMUM_PASSPHRASE_CHARS: usize = 8;

/// A file or command that gives more than this is no passphrase.
const MAXIMUM_PASSPHRASE_BYTES: usize = 4096;

/// A secret text of any bytes, wiped when dropped.
#[derive(Clone)]
pub struct SecretText(Zeroizing<Vec<u8>>);

impl SecretText {
    /// Takes the bytes over.
    pub fn new(bytes: Vec<u8>) -> Self {
        SecretText(Zeroizing::new(bytes))
    }

    /// Returns the bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the text, if it is UTF-8: a recovery code is, a passphrase need not be.
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    fn char_count(&self) -> usize {
        self.as_str().map_or(self.0.len(), |text| text.chars().count())
    }
}

/// A passphrase and where it came from.
pub struct Passphrase {
    /// The passphrase.
    pub text: SecretText,
    /// Its source, for messages, in backquotes.
    pub came_from: String,
}

/// What was said on the command line about the passphrase.
#[derive(Debug, Clone, Default)]
pub struct SecretOptions {
    /// `--passphrase-file`.
    pub file: Option<PathBuf>,
    /// `--passphrase-command`.
    pub command: Option<OsString>,
}

/// Asks a person for a secret; `None` if there is no terminal to ask on.
pub type Ask<'a> = dyn FnMut(&str) -> Result<Option<SecretText>> + 'a;

/// Reads the passphrase from the source that was named, if one was.
pub fn explicit_source(
    options: &SecretOptions,
    environment: &Environment,
) -> Result<Option<Passphrase>> {
    source_of(options, environment, &OWN)
}

/// Reads the passphrase of a second repository from the source that was named for it, if one was:
/// `--from-passphrase-file` or `--from-passphrase-command`, else `STASH_FROM_PASSPHRASE` and its kin.
pub fn other_source(
    options: &SecretOptions,
    environment: &Environment,
) -> Result<Option<Passphrase>> {
    source_of(options, environment, &OTHER)
}

/// Reads the passphrase from the source that the configuration names for a repository, if it does.
pub fn configured_source(
    entry: Option<&RepositoryEntry>,
    environment: &Environment,
) -> Result<Option<Passphrase>> {
    let Some(entry) = entry else { return Ok(None) };
    let file = entry.passphrase_file.as_ref();
    let options = SecretOptions {
        file: file.map(|it| environment.expand_home(&it.value)).transpose()?,
        command: entry.passphrase_command.as_ref().map(|it| it.value.clone().into()),
    };
    let key = |name: &str| format!("repositories.{}.{name}", entry.name);
    let names = [key("passphrase_file"), key("passphrase_command")];
    from_options(&options, names.each_ref().map(String::as_str))
}

/// What the sources of a passphrase are called.
struct SourceNames {
    options: [&'static str; 2],
    text: &'static str,
    file: &'static str,
    command: &'static str,
}

const OWN: SourceNames = SourceNames {
    options: ["--passphrase-file", "--passphrase-command"],
    text: "STASH_PASSPHRASE",
    file: "STASH_PASSPHRASE_FILE",
    command: "STASH_PASSPHRASE_COMMAND",
};

const OTHER: SourceNames = SourceNames {
    options: ["--from-passphrase-file", "--from-passphrase-command"],
    text: "STASH_FROM_PASSPHRASE",
    file: "STASH_FROM_PASSPHRASE_FILE",
    command: "STASH_FROM_PASSPHRASE_COMMAND",
};

fn source_of(
    options: &SecretOptions,
    environment: &Environment,
    names: &SourceNames,
) -> Result<Option<Passphrase>> {
    if let Some(passphrase) = from_options(options, names.options)? {
        return Ok(Some(passphrase));
    }
    let text = environment.get(names.text);
    let file = environment.get(names.file);
    let command = environment.get(names.command);
    match (text, file, command) {
        (None, None, None) => Ok(None),
        (Some(text), None, None) => {
            let text = SecretText::new(text.into_encoded_bytes());
            Ok(Some(Passphrase { text, came_from: format!("`{}`", names.text) }))
        }
        (None, Some(file), None) => from_file(Path::new(&file), names.file).map(Some),
        (None, None, Some(command)) => from_command(&command, names.command).map(Some),
        _ => Err(Error::usage(format!(
            "more than one of `{}`, `{}` and `{}` is set",
            names.text, names.file, names.command
        ))
        .hint("set one of them")),
    }
}

/// Returns a new passphrase: from the `--new-…` options, else typed twice.
pub fn new_passphrase(options: &SecretOptions, ask: &mut Ask<'_>) -> Result<Passphrase> {
    let names = ["--new-passphrase-file", "--new-passphrase-command"];
    let passphrase = match from_options(options, names)? {
        Some(passphrase) => passphrase,
        None => typed_twice(ask)?,
    };
    passphrase.check_new()?;
    Ok(passphrase)
}

impl Passphrase {
    /// Refuses what is too short to protect anything; only for passphrases that are being made.
    pub fn check_new(&self) -> Result<()> {
        if self.text.char_count() < MINIMUM_PASSPHRASE_CHARS {
            return Err(Error::usage(format!(
                "a passphrase needs at least {MINIMUM_PASSPHRASE_CHARS} characters"
            ))
            .hint(format!("it came from {}; several words are easier to keep", self.came_from)));
        }
        Ok(())
    }
}

fn typed_twice(ask: &mut Ask<'_>) -> Result<Passphrase> {
    let no_terminal = || {
        Error::new(Kind::WrongPassphrase, "no new passphrase, and no terminal to ask on")
            .hint("give `--new-passphrase-file FILE`")
    };
    let text = ask("new passphrase: ")?.ok_or_else(no_terminal)?;
    let again = ask("the same again: ")?.ok_or_else(no_terminal)?;
    if text.as_bytes() != again.as_bytes() {
        return Err(Error::usage("the two passphrases differ").hint("nothing was changed"));
    }
    Ok(Passphrase { text, came_from: "the terminal".to_owned() })
}

fn from_options(options: &SecretOptions, names: [&str; 2]) -> Result<Option<Passphrase>> {
    let [file_name, command_name] = names;
    match (&options.file, &options.command) {
        (Some(_), Some(_)) => {
            Err(Error::usage(format!("`{file_name}` and `{command_name}` were both given"))
                .hint("give one of them"))
        }
        (Some(file), None) => from_file(file, file_name).map(Some),
        (None, Some(command)) => from_command(command, command_name).map(Some),
        (None, None) => Ok(None),
    }
}

fn from_file(path: &Path, by: &str) -> Result<Passphrase> {
    let came_from = format!("`{by}` ({})", path.display());
    let text = std::fs::File::open(path)
        .and_then(read_bounded)
        .map_err(|error| failed_source(&came_from).source(error))?;
    finished(text, came_from)
}

/// Runs the command in a shell; it may talk to the user, only its standard output is taken.
fn from_command(command: &OsString, by: &str) -> Result<Passphrase> {
    let came_from = format!("`{by}`");
    let failed = |error: std::io::Error| failed_source(&came_from).source(error);
    let mut child = Command::new("/bin/sh")
        .arg("-c")
        .arg(command)
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let text = child.stdout.take().map(read_bounded);
    // The pipe is closed by now, so a command that goes on writing ends, and wait returns.
    let status = child.wait().map_err(failed)?;
    if !status.success() {
        return Err(failed_source(&came_from).source(format!("the command ended with {status}")));
    }
    finished(text.transpose().map_err(failed)?.unwrap_or_default(), came_from)
}

/// Reads into one buffer that never moves, so that no copy stays behind in memory.
fn read_bounded(source: impl Read) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let limit = MAXIMUM_PASSPHRASE_BYTES.saturating_add(1);
    let mut text = Zeroizing::new(Vec::with_capacity(limit.saturating_mul(2)));
    source.take(u64::try_from(limit).unwrap_or(u64::MAX)).read_to_end(&mut text)?;
    if text.len() == limit {
        let message = format!("longer than {MAXIMUM_PASSPHRASE_BYTES} bytes");
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, message));
    }
    Ok(text)
}

fn finished(mut text: Zeroizing<Vec<u8>>, came_from: String) -> Result<Passphrase> {
    if text.last() == Some(&b'\n') {
        text.pop();
        if text.last() == Some(&b'\r') {
            text.pop();
        }
    }
    if text.is_empty() {
        return Err(failed_source(&came_from).source("it is empty"));
    }
    Ok(Passphrase { text: SecretText(text), came_from })
}

fn failed_source(came_from: &str) -> Error {
    Error::new(Kind::WrongPassphrase, format!("cannot read the passphrase from {came_from}"))
        .hint("a source that was named is never replaced by another")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(options: &SecretOptions, pairs: &[(&str, &str)]) -> Result<Option<(Vec<u8>, String)>> {
        let found = explicit_source(options, &Environment::given(pairs.iter().copied()))?;
        Ok(found.map(|found| (found.text.as_bytes().to_vec(), found.came_from)))
    }

    fn by_command(command: &str) -> SecretOptions {
        SecretOptions { file: None, command: Some(command.into()) }
    }

    fn file_with(bytes: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file.as_file(), bytes).unwrap();
        file
    }

    #[test]
    fn an_option_beats_the_variables_and_one_newline_is_dropped() {
        let none = SecretOptions::default();
        assert_eq!(read(&none, &[]).unwrap(), None);
        let (text, from) = read(&none, &[("STASH_PASSPHRASE", "by variable")]).unwrap().unwrap();
        assert_eq!((text.as_slice(), from.as_str()), (&b"by variable"[..], "`STASH_PASSPHRASE`"));

        let file = file_with(b" two\n\n");
        let options = SecretOptions { file: Some(file.path().to_owned()), command: None };
        let (text, from) = read(&options, &[("STASH_PASSPHRASE", "x")]).unwrap().unwrap();
        assert_eq!(text, b" two\n");
        assert!(from.starts_with("`--passphrase-file`"));

        let (text, _) = read(&by_command("printf 'a b\\r\\n'"), &[]).unwrap().unwrap();
        assert_eq!(text, b"a b");
        let by_variable = [("STASH_PASSPHRASE_COMMAND", "printf '\\377'")];
        assert_eq!(read(&none, &by_variable).unwrap().unwrap().0, b"\xff");
    }

    #[test]
    fn two_sources_of_one_rank_are_wrong_usage() {
        let none = SecretOptions::default();
        let two = [("STASH_PASSPHRASE", "a"), ("STASH_PASSPHRASE_FILE", "/b")];
        assert_eq!(read(&none, &two).unwrap_err().kind(), Kind::Usage);
        let two = SecretOptions { file: Some("/a".into()), command: Some("b".into()) };
        assert_eq!(read(&two, &[]).unwrap_err().kind(), Kind::Usage);
    }

    #[test]
    fn a_named_source_that_fails_is_an_error_and_shows_no_secret() {
        let empty = file_with(b"\n");
        let long = file_with(&[b'x'; MAXIMUM_PASSPHRASE_BYTES + 1]);
        let missing = SecretOptions { file: Some("/nowhere/at/all".into()), command: None };
        let cases = [
            missing,
            SecretOptions { file: Some(empty.path().into()), command: None },
            SecretOptions { file: Some(long.path().into()), command: None },
            by_command("echo hunter22; exit 3"),
            by_command("yes hunter22"),
            by_command("true"),
        ];
        for options in cases {
            let error = read(&options, &[("STASH_PASSPHRASE", "other")]).unwrap_err();
            assert_eq!(error.kind(), Kind::WrongPassphrase);
            assert!(!error.to_string().contains("hunter22"), "{error}");
        }
    }

    #[test]
    fn a_new_passphrase_is_long_enough_and_typed_twice() {
        let typing = |texts: &[&str]| {
            let mut texts = texts.iter().copied();
            let mut ask = move |_: &str| Ok(texts.next().map(|text| SecretText::new(text.into())));
            new_passphrase(&SecretOptions::default(), &mut ask).map(|new| new.text.0.to_vec())
        };
        assert_eq!(typing(&["long enough", "long enough"]).unwrap(), b"long enough");
        assert_eq!(typing(&["äöüäöüäö", "äöüäöüäö"]).unwrap().len(), 16);
        assert_eq!(typing(&["äöüäöüä", "äöüäöüä"]).unwrap_err().kind(), Kind::Usage);
        assert_eq!(typing(&["long enough", "long  enough"]).unwrap_err().kind(), Kind::Usage);
        assert_eq!(typing(&[]).unwrap_err().kind(), Kind::WrongPassphrase);
    }
}
