//! Where to save: what is proposed, and whether it works.

use std::path::PathBuf;

use super::questions::Questions;
use crate::cli::commands::open::Run;
use crate::error::{Error, Kind, Result};
use crate::machine::{self, CredentialsFile, Location};
use crate::repository::LockedRepository;
use crate::store::{Service, Store};

/// A place that was tried.
pub(super) struct Place {
    /// What names it in the configuration and on command lines.
    pub(super) text: String,
    /// The same, understood.
    pub(super) location: Location,
    /// The run that reaches it.
    pub(super) run: Run,
    /// Whether a repository lies there.
    pub(super) is_taken: bool,
    /// Credentials that were typed.
    pub(super) credentials: Option<CredentialsFile>,
}

/// Asks for a place until one works; without a person the first failure ends it.
pub(super) fn find(run: &Run, questions: &Questions) -> Result<Place> {
    let mut asked_for = run.global.repo.clone().map(|text| text.to_string_lossy().into_owned());
    loop {
        let is_given = asked_for.is_some();
        let text = match asked_for.take() {
            Some(text) => text,
            None => ask(run, questions)?,
        };
        match try_place(run, questions, &text) {
            Err(error) if questions.is_asked() && may_be_mended(&error) => {
                run.screen.warning(&error.with_hint());
                if is_given && !questions.agree("Choose another place?", true)? {
                    return Err(error);
                }
            }
            other => return other,
        }
    }
}

fn may_be_mended(error: &Error) -> bool {
    !matches!(error.kind(), Kind::Interrupted | Kind::Busy)
}

/// What the choice leads to.
enum Choice {
    Here(String),
    Folder,
    Bucket,
    Git,
}

fn ask(run: &Run, questions: &Questions) -> Result<String> {
    let mut items = Vec::new();
    let mut choices = Vec::new();
    if let Some(location) = configured(run)? {
        items.push(format!("as now: {location}"));
        choices.push(Choice::Here(location));
    }
    let own = run.places.default_repository().display().to_string();
    if !choices.iter().any(|it| matches!(it, Choice::Here(text) if *text == own)) {
        items.push(format!("a folder on this computer: {own}"));
        choices.push(Choice::Here(own));
    }
    for folder in machine::synced_folders(&run.environment) {
        let path = folder.path.join("stash").display().to_string();
        items.push(format!("{}: {path}", folder.service));
        choices.push(Choice::Here(path));
    }
    items.push("another folder or disk".to_owned());
    choices.push(Choice::Folder);
    items.push("a bucket: S3, R2, B2, MinIO, Google, Azure".to_owned());
    choices.push(Choice::Bucket);
    items.push("a git repository".to_owned());
    choices.push(Choice::Git);
    let chosen = questions.choose("Where to save?", &items, 0)?;
    match choices.into_iter().nth(chosen) {
        Some(Choice::Here(text)) => Ok(text),
        Some(Choice::Folder) => {
            let text = questions.text("Folder", "")?;
            let path = machine::absolute_path(&PathBuf::from(text.trim()))?;
            Ok(path.display().to_string())
        }
        Some(Choice::Git) => questions.text("Location, such as `github:NAME/stash-backup`", ""),
        _ => questions.text("Location, such as `s3://BUCKET/stash` or `r2:ACCOUNT/BUCKET`", ""),
    }
}

/// Returns the location that the configuration names, if it names one.
fn configured(run: &Run) -> Result<Option<String>> {
    Ok(run.config()?.main_repository().map(|it| it.location.value.clone()))
}

fn try_place(run: &Run, questions: &Questions, text: &str) -> Result<Place> {
    let location = run.location(text.trim().as_ref())?;
    let text = match location.folder() {
        Some(folder) => machine::absolute_path(folder)?.display().to_string(),
        None => text.trim().to_owned(),
    };
    let own = run.with_repository(&text, None)?;
    let (own, credentials, found) = match look(&own, &location) {
        Err(error) if error.kind() == Kind::Store && questions.is_asked() => {
            let Some(names) = key_names(&location) else { return Err(error) };
            run.screen.warning(&error.with_hint());
            if !questions.agree("Type an access key for it now?", true)? {
                return Err(error);
            }
            let credentials = ask_credentials(run, questions, names)?;
            let own = run.with_repository(&text, Some(credentials.command()))?;
            let found = look(&own, &location);
            (own, Some(credentials), found)
        }
        found => (own, None, found),
    };
    Ok(Place { text, location, run: own, is_taken: found?, credentials })
}

/// Returns whether a repository lies at a location that can be reached.
fn look(run: &Run, location: &Location) -> Result<bool> {
    match run.store(location, false) {
        Ok(store) => is_taken(run, store),
        // A folder that is missing is made.
        Err(error) if error.kind() == Kind::NoRepository => Ok(false),
        Err(error) => Err(error),
    }
}

fn is_taken(run: &Run, store: Store) -> Result<bool> {
    match LockedRepository::find(store, run.global.repo_id.as_deref()) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == Kind::NoRepository => Ok(false),
        Err(error) => Err(error),
    }
}

/// Returns what the two parts of an access key are called; `None` where there is no such thing.
fn key_names(location: &Location) -> Option<[&'static str; 2]> {
    match location {
        Location::Remote(place) => match place.service {
            Service::S3(_) => Some(["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]),
            Service::Azure => Some(["AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_KEY"]),
            Service::Google => None,
        },
        Location::Local(_) | Location::Git(_) => None,
    }
}

fn ask_credentials(
    run: &Run,
    questions: &Questions,
    [id, key]: [&str; 2],
) -> Result<CredentialsFile> {
    let value = questions.text(&format!("{id} (kept in a file that only you can read)"), "")?;
    let secret = questions.secret(&format!("{key}: "))?;
    let secret = secret.as_ref().and_then(|text| text.as_str()).unwrap_or_default();
    CredentialsFile::new(&run.places, &[(id, value.trim()), (key, secret.trim())])
}
