//! Which repository is meant: what `--repo` and its kin say, or the default.
//!
//! Order: `-r/--repo` or `--repository-file`, then `STASH_REPOSITORY` or `STASH_REPOSITORY_FILE`,
//! then the configuration, then the default local one. Two of the same rank contradict each other: a
//! usage error. A plain word that names a repository of the configuration means that one; a folder
//! of the same name is `./word`.
//!
//! A location is a folder's path, `file:///…`, `local:…` (restic's word), or a store behind a network
//! (`remote_location`). Anything else that begins with `word:` is taken for another kind of store
//! and refused, never for a folder of that name: a mistyped URL must not become a local backup.
//! `~/` means the home, since shells leave it alone in `--repo=~/x`. A refused text is shown only
//! up to its colon: it may hold a password.
#![expect(clippy::disallowed_methods, reason = "reads the file that names the repository")]

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use super::config::{Config, RepositoryEntry};
use super::environment::Environment;
use super::places::Places;
use super::remote_location::{self, Far, GitPlace};
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::store::RemotePlace;

/// What was said on the command line about the repository.
#[derive(Debug, Clone, Default)]
pub struct LocationOptions {
    /// `-r/--repo`.
    pub location: Option<OsString>,
    /// `--repository-file`.
    pub file: Option<PathBuf>,
}

/// Where a repository lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A folder of this computer, as an absolute path.
    Local(PathBuf),
    /// A store behind a network.
    Remote(RemotePlace),
    /// A git remote.
    Git(GitPlace),
}

impl Location {
    /// Reads one location as people write it.
    pub fn parse(text: &OsStr, environment: &Environment) -> Result<Self> {
        let bytes = text.as_bytes();
        if bytes.is_empty() {
            return Err(Error::usage("the repository's location is empty"));
        }
        if let Some(rest) = bytes.strip_prefix(b"file://") {
            return file_url(rest).map(Location::Local);
        }
        let bytes = match bytes.strip_prefix(b"local:") {
            Some(bytes) => bytes,
            None => match text.to_str().map(|text| remote_location::parse(text, environment)) {
                Some(Err(error)) => return Err(error),
                Some(Ok(Some(Far::Store(place)))) => return Ok(Location::Remote(place)),
                Some(Ok(Some(Far::Git(place)))) => return Ok(Location::Git(place)),
                Some(Ok(None)) | None => bytes,
            },
        };
        if let Some(scheme) = scheme(bytes) {
            return Err(unreachable_scheme(scheme));
        }
        let path = Path::new(OsStr::from_bytes(bytes));
        let path = environment.expand_home(path)?;
        std::path::absolute(&path).at("cannot use the location", &path).map(Location::Local)
    }

    /// Returns the folder, if this is one.
    pub fn folder(&self) -> Option<&Path> {
        match self {
            Location::Local(path) => Some(path),
            Location::Remote(_) | Location::Git(_) => None,
        }
    }
}

impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Location::Local(path) => write!(f, "{}", path.display()),
            Location::Remote(place) => write!(f, "{place}"),
            Location::Git(place) => write!(f, "{place}"),
        }
    }
}

/// The repository that is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chosen {
    /// One that somebody named, and where they did, for messages.
    Named {
        /// The location.
        location: Location,
        /// Who named it, in backquotes.
        came_from: String,
    },
    /// Nobody named any: the default local one, which need not exist.
    Default(Location),
}

impl Chosen {
    /// Returns where the repository lies.
    pub fn location(&self) -> &Location {
        match self {
            Chosen::Named { location, .. } | Chosen::Default(location) => location,
        }
    }
}

/// Decides which repository is meant.
///
/// With nothing but restic's variables set, and no default repository there yet, that is
/// [`Kind::NoRepository`]: the user may think that stash writes into restic's.
pub fn choose(
    options: &LocationOptions,
    environment: &Environment,
    places: &Places,
    config: &Config,
) -> Result<Chosen> {
    if options.location.is_some() && options.file.is_some() {
        return Err(two_names("--repo", "--repository-file"));
    }
    if let Some(text) = &options.location {
        return named_or_entry(text, "`--repo`".to_owned(), environment, config);
    }
    if let Some(file) = &options.file {
        return named_in_file(file, "--repository-file", environment);
    }
    match (environment.get("STASH_REPOSITORY"), environment.get("STASH_REPOSITORY_FILE")) {
        (Some(_), Some(_)) => Err(two_names("STASH_REPOSITORY", "STASH_REPOSITORY_FILE")),
        (Some(text), None) => {
            named_or_entry(&text, "`STASH_REPOSITORY`".to_owned(), environment, config)
        }
        (None, Some(file)) => named_in_file(Path::new(&file), "STASH_REPOSITORY_FILE", environment),
        (None, None) => match config.main_repository() {
            Some(entry) => chosen_entry(entry, environment, config),
            None => default(environment, places),
        },
    }
}

/// Returns whether an option or a variable names the repository, whatever the configuration says.
pub fn is_named(options: &LocationOptions, environment: &Environment) -> bool {
    let variables = ["STASH_REPOSITORY", "STASH_REPOSITORY_FILE"];
    options.location.is_some()
        || options.file.is_some()
        || variables.iter().any(|name| environment.get(name).is_some())
}

/// Returns the repository of a section of the configuration.
pub fn chosen_entry(
    entry: &RepositoryEntry,
    environment: &Environment,
    config: &Config,
) -> Result<Chosen> {
    let location = config.location_of(entry, environment)?;
    let file = config.path.file_name().unwrap_or_default().to_string_lossy();
    Ok(Chosen::Named { location, came_from: format!("`{file}:{}`", entry.location.line) })
}

/// Reads a location, or the name of a repository of the configuration.
pub fn read_location(text: &OsStr, environment: &Environment, config: &Config) -> Result<Location> {
    match text.to_str().and_then(|name| config.repository(name)) {
        Some(entry) => config.location_of(entry, environment),
        None => Location::parse(text, environment),
    }
}

fn named_or_entry(
    text: &OsStr,
    came_from: String,
    environment: &Environment,
    config: &Config,
) -> Result<Chosen> {
    Ok(Chosen::Named { location: read_location(text, environment, config)?, came_from })
}

/// Returns the repository that is copied from: `--from-repo` or `--from-repository-file`, else
/// `STASH_FROM_REPOSITORY` or `STASH_FROM_REPOSITORY_FILE`; `None` if nobody named one.
pub fn choose_source(
    location: Option<&OsStr>,
    file: Option<&Path>,
    environment: &Environment,
    config: &Config,
) -> Result<Option<Location>> {
    let variables = ["STASH_FROM_REPOSITORY", "STASH_FROM_REPOSITORY_FILE"];
    let (text, listed) = (environment.get(variables[0]), environment.get(variables[1]));
    let chosen = match (location, file, &text, &listed) {
        (Some(_), Some(_), ..) => Err(two_names("--from-repo", "--from-repository-file")),
        (Some(text), None, ..) => {
            named_or_entry(text, "`--from-repo`".to_owned(), environment, config)
        }
        (None, Some(file), ..) => named_in_file(file, "--from-repository-file", environment),
        (None, None, Some(_), Some(_)) => Err(two_names(variables[0], variables[1])),
        (None, None, Some(text), None) => {
            named_or_entry(text, format!("`{}`", variables[0]), environment, config)
        }
        (None, None, None, Some(file)) => named_in_file(Path::new(file), variables[1], environment),
        (None, None, None, None) => return Ok(None),
    }?;
    Ok(Some(chosen.location().clone()))
}

fn named(text: &OsStr, came_from: String, environment: &Environment) -> Result<Chosen> {
    Ok(Chosen::Named { location: Location::parse(text, environment)?, came_from })
}

fn named_in_file(file: &Path, by: &str, environment: &Environment) -> Result<Chosen> {
    let bytes = std::fs::read(file).at("cannot read the repository's location from", file)?;
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii();
    named(OsStr::from_bytes(line), format!("`{by}` ({})", file.display()), environment)
}

fn default(environment: &Environment, places: &Places) -> Result<Chosen> {
    let path = places.default_repository();
    let restic = ["RESTIC_REPOSITORY", "RESTIC_REPOSITORY_FILE"];
    if let Some(name) = restic.into_iter().find(|name| environment.get(name).is_some())
        && !path.exists()
    {
        return Err(Error::new(
            Kind::NoRepository,
            format!("no repository named; `{name}` is set, but stash cannot use restic's"),
        )
        .hint("name one of its own: `--repo DIR` or `STASH_REPOSITORY`"));
    }
    Ok(Chosen::Default(Location::Local(path)))
}

fn two_names(one: &str, other: &str) -> Error {
    Error::usage(format!("`{one}` and `{other}` both name a repository")).hint("give one of them")
}

/// Returns what stands before the first colon, if it looks like the name of a kind of store.
fn scheme(bytes: &[u8]) -> Option<&[u8]> {
    let colon = bytes.iter().position(|byte| *byte == b':')?;
    let scheme = bytes.get(..colon)?;
    let plausible = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.@_".contains(byte);
    (!scheme.is_empty() && scheme.iter().all(plausible)).then_some(scheme)
}

fn unreachable_scheme(scheme: &[u8]) -> Error {
    // `user@host:path`: what stands before the at sign is nobody's business.
    let scheme = scheme.rsplit(|byte| *byte == b'@').next().unwrap_or(scheme);
    let scheme = String::from_utf8_lossy(scheme);
    Error::usage(format!("stash does not know stores of the kind `{scheme}:…`")).hint(format!(
        "it knows folders, `s3:`, `r2:`, `b2:`, `minio:`, `gs:`, `az:` and git remotes; for a folder of that name \
         write `./{scheme}:…`"
    ))
}

/// Reads what follows `file://`: an absolute path, or `localhost` and one.
fn file_url(rest: &[u8]) -> Result<PathBuf> {
    let path = rest.strip_prefix(b"localhost").unwrap_or(rest);
    let decoded = percent_decode(path).filter(|path| path.first() == Some(&b'/'));
    decoded.map(|path| PathBuf::from(OsString::from_vec(path))).ok_or_else(|| {
        Error::usage("this is no `file` URL of an absolute path on this computer")
            .hint("write `file:///folder`, or just the folder's path")
    })
}

fn percent_decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(&byte) = rest.next() {
        if byte == b'%' {
            let pair = [*rest.next()?, *rest.next()?];
            let [value] = crate::id::from_hex(std::str::from_utf8(&pair).ok()?)?;
            decoded.push(value);
        } else {
            decoded.push(byte);
        }
    }
    (!decoded.contains(&0)).then_some(decoded)
}

#[cfg(test)]
mod tests {
    use super::super::places::PlaceOptions;
    use super::*;

    fn chosen(options: &LocationOptions, pairs: &[(&str, &str)]) -> Result<Chosen> {
        let pairs = pairs.iter().copied().chain([("HOME", "/h")]);
        let environment = Environment::given(pairs);
        let places = Places::find(&PlaceOptions::default(), &environment)?;
        choose(options, &environment, &places, &Config::default())
    }

    fn by_option(text: &str) -> LocationOptions {
        LocationOptions { location: Some(text.into()), file: None }
    }

    #[test]
    fn the_order_is_option_then_variable_then_default() {
        let variables = [("STASH_REPOSITORY", "/variable"), ("RESTIC_REPOSITORY", "/restic")];
        let named = |path: &str, by: &str| Chosen::Named {
            location: Location::Local(path.into()),
            came_from: by.into(),
        };
        assert_eq!(chosen(&by_option("/o"), &variables).unwrap(), named("/o", "`--repo`"));
        let none = LocationOptions::default();
        assert_eq!(chosen(&none, &variables).unwrap(), named("/variable", "`STASH_REPOSITORY`"));
        assert!(matches!(chosen(&none, &[]).unwrap(), Chosen::Default(_)));
    }

    #[test]
    fn a_file_may_hold_the_location() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file.as_file(), b"/in/a/file\n").unwrap();
        let options = LocationOptions { location: None, file: Some(file.path().to_owned()) };
        let location = chosen(&options, &[]).unwrap().location().clone();
        assert_eq!(location, Location::Local("/in/a/file".into()));
        let name = file.path().to_str().unwrap();
        let by_variable = chosen(&LocationOptions::default(), &[("STASH_REPOSITORY_FILE", name)]);
        assert_eq!(by_variable.unwrap().location(), &location);
    }

    #[test]
    fn two_names_of_one_rank_contradict_each_other() {
        let both = [("STASH_REPOSITORY", "/a"), ("STASH_REPOSITORY_FILE", "/b")];
        let error = chosen(&LocationOptions::default(), &both).unwrap_err();
        assert_eq!(error.kind(), Kind::Usage);
        let both = LocationOptions { location: Some("/a".into()), file: Some("/b".into()) };
        assert_eq!(chosen(&both, &[]).unwrap_err().kind(), Kind::Usage);
    }

    #[test]
    fn restics_variable_alone_gives_a_hint() {
        let error = chosen(&LocationOptions::default(), &[("RESTIC_REPOSITORY", "/r")]);
        let error = error.unwrap_err();
        assert_eq!(error.kind().exit_code(), 10);
        assert!(error.hint_text().unwrap().contains("STASH_REPOSITORY"));
    }

    #[test]
    fn folders_are_understood_as_people_write_them() {
        for (text, path) in [
            ("/a/b", "/a/b"),
            ("file:///a%20b", "/a b"),
            ("file://localhost/a", "/a"),
            ("local:/a", "/a"),
            ("~/a", "/h/a"),
            ("/a:b", "/a:b"),
            ("./../a", "./../a"),
        ] {
            let location = chosen(&by_option(text), &[]).unwrap().location().clone();
            let expected = std::path::absolute(path).unwrap();
            assert_eq!(location, Location::Local(expected), "{text}");
        }
    }

    #[test]
    fn other_stores_are_refused_without_showing_a_password() {
        for text in [
            "s3:https://key:hunter2@example.com/b",
            "sftp://ann:hunter2@host/x",
            "https://ann:hunter2@host/x.git",
            "host:folder",
            "file://otherhost/x",
            "file://x",
            "file:///%zz",
            "",
        ] {
            let error = chosen(&by_option(text), &[]).unwrap_err();
            assert_eq!(error.kind(), Kind::Usage, "{text}");
            let shown = format!("{error} {:?}", error.hint_text());
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
}
