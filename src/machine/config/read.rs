//! From the text of a configuration to its values, with every error at its line.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::SpanRelativeTo;
use jiff::fmt::friendly::SpanParser;
use toml::de::{DeTable, DeValue};

use super::DOING;
use super::entries::{
    AgentEntry, AgentsOfJob, Config, JobEntry, RepositoryEntry, SearchEntry, Stated, SyncEntry,
    within_key,
};
use crate::agents::reader::{Entry, Section, Source};
use crate::agents::{categories_of, category_words, nearest};
use crate::engine::retention::{Count, Period, Policy, Within};
use crate::error::{Error, Result};
use crate::format::tree::Category;

const TOP: &[&str] = &["repository", "repositories", "jobs", "agents", "sync", "search"];
const REPOSITORY: &[&str] = &[
    "location",
    "repo_id",
    "passphrase_file",
    "passphrase_command",
    "credentials_command",
    "region",
    "endpoint",
    "ca_file",
    "limit_upload",
    "limit_download",
];
const JOB: &[&str] = &[
    "repositories",
    "agents",
    "paths",
    "only",
    "exclude",
    "secrets",
    "schedule",
    "keep",
    "overdue_after",
    "before",
    "after",
    "on_failure",
];
const KEEP: &[&str] = &[
    "last",
    "hourly",
    "daily",
    "weekly",
    "monthly",
    "yearly",
    "within",
    "within_hourly",
    "within_daily",
    "within_weekly",
    "within_monthly",
    "within_yearly",
    "tag",
];
const AGENT: &[&str] = &["enabled", "roots", "projects", "exclude", "follow_links"];
const SYNC: &[&str] = &["enabled", "agents", "projects", "only"];
const SEARCH: &[&str] = &["index", "trigram"];

/// Words that, ending a key's name, say that a secret follows.
const SECRETS: &[&str] = &["passphrase", "password", "secret", "token", "access_key", "api_key"];

/// The longest name of a repository or a job, in bytes.
const LONGEST_NAME: usize = 100;

/// Reads a configuration.
pub(super) fn config(path: &Path, text: &str) -> Result<Config> {
    let source = Source::new(DOING, path, text);
    let document = source.parse()?;
    refuse_secrets(&source, document.get_ref())?;
    let top = Section::top(&source, &document, TOP)?;
    let config = Config {
        path: path.to_owned(),
        exists: true,
        repository: name_of(&top, "repository")?,
        repositories: each(&top, "repositories", REPOSITORY, repository)?,
        jobs: each(&top, "jobs", JOB, job)?,
        agents: each(&top, "agents", AGENT, agent)?,
        sync: top.section("sync", SYNC)?.map(|it| sync(&it)).transpose()?.unwrap_or_default(),
        search: top
            .section("search", SEARCH)?
            .map(|it| search(&it))
            .transpose()?
            .unwrap_or_default(),
    };
    check_references(&config)?;
    Ok(config)
}

/// A key that would hold a secret is refused before it is called unknown, so that the reason is told.
fn refuse_secrets(source: &Source<'_>, table: &DeTable<'_>) -> Result<()> {
    for (key, value) in table {
        let name = key.get_ref().to_lowercase().replace('-', "_");
        let is_secret = SECRETS.iter().any(|word| name.ends_with(word));
        let is_value = !matches!(value.get_ref(), DeValue::Table(_));
        if is_secret && is_value {
            let text = format!(
                "`{}` would hold a secret, and a secret does not belong into this file",
                key.get_ref()
            );
            return Err(source.error(key.span().start, text).hint(
                "name what gives it: `passphrase_file`, `passphrase_command` or \
                 `credentials_command`",
            ));
        }
        if let DeValue::Table(inner) = value.get_ref() {
            refuse_secrets(source, inner)?;
        }
    }
    Ok(())
}

fn each<T>(
    top: &Section<'_>,
    key: &str,
    known: &[&str],
    read: impl Fn(&str, &Section<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    let sections = top.named_sections(key, known)?;
    sections.iter().map(|(name, section)| read(name, section)).collect()
}

fn repository(name: &str, section: &Section<'_>) -> Result<RepositoryEntry> {
    check_name(name, section)?;
    let location = section.required("location")?;
    Ok(RepositoryEntry {
        name: name.to_owned(),
        location: Stated { value: location.text.to_owned(), line: location.line() },
        repo_id: text(section, "repo_id")?,
        passphrase_file: place(section, "passphrase_file")?,
        passphrase_command: text(section, "passphrase_command")?,
        credentials_command: text(section, "credentials_command")?,
        region: text(section, "region")?,
        endpoint: text(section, "endpoint")?,
        ca_file: place(section, "ca_file")?,
        limit_upload: number(section, "limit_upload")?,
        limit_download: number(section, "limit_download")?,
    })
    .and_then(|entry| match (&entry.passphrase_file, &entry.passphrase_command) {
        (Some(_), Some(_)) => Err(section
            .error("`passphrase_file` and `passphrase_command` both say where the passphrase is")
            .hint("keep one of them")),
        _ => Ok(entry),
    })
}

fn job(name: &str, section: &Section<'_>) -> Result<JobEntry> {
    check_name(name, section)?;
    Ok(JobEntry {
        name: name.to_owned(),
        line: section.line(),
        repositories: texts(section, "repositories")?,
        agents: agents(section)?,
        paths: places(section, "paths")?,
        only: categories(section)?,
        exclude: texts(section, "exclude")?,
        without_secrets: secrets(section)?,
        schedule: text(section, "schedule")?,
        keep: keep(section)?,
        overdue_after: duration(section, "overdue_after")?,
        before: text(section, "before")?,
        after: text(section, "after")?,
        on_failure: text(section, "on_failure")?,
    })
}

fn agent(id: &str, section: &Section<'_>) -> Result<AgentEntry> {
    Ok(AgentEntry {
        id: id.to_owned(),
        line: section.line(),
        enabled: flag(section, "enabled")?,
        roots: places(section, "roots")?,
        projects: places(section, "projects")?,
        exclude: texts(section, "exclude")?,
        follow_links: flag(section, "follow_links")?,
    })
}

fn sync(section: &Section<'_>) -> Result<SyncEntry> {
    Ok(SyncEntry {
        enabled: flag(section, "enabled")?,
        agents: texts(section, "agents")?,
        projects: places(section, "projects")?,
        only: categories(section)?,
    })
}

fn search(section: &Section<'_>) -> Result<SearchEntry> {
    Ok(SearchEntry { index: flag(section, "index")?, trigram: flag(section, "trigram")? })
}

/// Names of repositories that are used must be those of sections.
fn check_references(config: &Config) -> Result<()> {
    let of_jobs = config.jobs.iter().filter_map(|job| job.repositories.as_ref());
    let of_jobs = of_jobs.flat_map(|it| it.value.iter().map(|name| (name, it.line)));
    let own = config.repository.iter().map(|it| (&it.value, it.line));
    for (name, line) in own.chain(of_jobs) {
        if config.repository(name).is_some() {
            continue;
        }
        let known = config.repositories.iter().map(|it| it.name.as_str());
        let error = config.error_at(line, format!("no repository is called `{name}`"));
        return Err(match nearest(name, known) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error.hint(format!("say where it lies: `[repositories.{name}]`")),
        });
    }
    let empty = config.jobs.iter().filter_map(|job| job.repositories.as_ref());
    match empty.into_iter().find(|it| it.value.is_empty()) {
        Some(stated) => {
            let error = config.error_at(stated.line, "a job needs a repository".to_owned());
            Err(error.hint("leave `repositories` out to use the main one"))
        }
        None => Ok(()),
    }
}

/// Names are typed on command lines, and become parts of other files' names.
fn check_name(name: &str, section: &Section<'_>) -> Result<()> {
    let is_plain = |letter: char| letter.is_alphanumeric() || "._-".contains(letter);
    let begins = name.chars().next().is_some_and(char::is_alphanumeric);
    if begins && name.len() <= LONGEST_NAME && name.chars().all(is_plain) {
        return Ok(());
    }
    Err(section.error("this name can't be used").hint(
        "letters, digits, `.`, `_` and `-` make a name, and it begins with one of the first two",
    ))
}

fn stated<T>(entry: &Entry<'_, '_>, value: T) -> Stated<T> {
    Stated { value, line: entry.line() }
}

fn text(section: &Section<'_>, key: &str) -> Result<Option<Stated<String>>> {
    let Some(entry) = section.text(key)? else { return Ok(None) };
    if entry.text.trim().is_empty() {
        return Err(entry.error(format!("`{key}` is empty")).hint("leave the line out"));
    }
    Ok(Some(stated(&entry, entry.text.to_owned())))
}

fn name_of(section: &Section<'_>, key: &str) -> Result<Option<Stated<String>>> {
    text(section, key)
}

fn number(section: &Section<'_>, key: &str) -> Result<Option<Stated<u32>>> {
    let line = section.line_of(key).unwrap_or_default();
    match section.number(key)? {
        Some(0) => Err(section.wrong_type(key, "a number above 0")),
        found => Ok(found.map(|value| Stated { value, line })),
    }
}

fn flag(section: &Section<'_>, key: &str) -> Result<Option<Stated<bool>>> {
    let Some(line) = section.line_of(key) else { return Ok(None) };
    Ok(Some(Stated { value: section.flag(key)?, line }))
}

fn texts(section: &Section<'_>, key: &str) -> Result<Option<Stated<Vec<String>>>> {
    let Some(line) = section.line_of(key) else { return Ok(None) };
    let entries = section.list(key)?;
    if let Some(empty) = entries.iter().find(|entry| entry.text.is_empty()) {
        return Err(empty.error(format!("an item of `{key}` is empty")));
    }
    let value = entries.iter().map(|entry| entry.text.to_owned()).collect();
    Ok(Some(Stated { value, line }))
}

/// Returns a path that stands for itself wherever the program runs.
fn path_of(entry: &Entry<'_, '_>) -> Result<PathBuf> {
    let path = PathBuf::from(entry.text);
    if path.is_absolute() || path.starts_with("~") {
        return Ok(path);
    }
    Err(entry
        .error(format!("the path `{}` is not absolute", entry.text))
        .hint("write it from the root on, or with `~/`"))
}

fn place(section: &Section<'_>, key: &str) -> Result<Option<Stated<PathBuf>>> {
    let Some(entry) = section.text(key)? else { return Ok(None) };
    Ok(Some(stated(&entry, path_of(&entry)?)))
}

fn places(section: &Section<'_>, key: &str) -> Result<Option<Stated<Vec<PathBuf>>>> {
    let Some(line) = section.line_of(key) else { return Ok(None) };
    let value = section.list(key)?.iter().map(path_of).collect::<Result<_>>()?;
    Ok(Some(Stated { value, line }))
}

fn agents(section: &Section<'_>) -> Result<Option<Stated<AgentsOfJob>>> {
    let Some(names) = texts(section, "agents")? else { return Ok(None) };
    let all = names.value.iter().any(|name| name == "all");
    let value = if all { AgentsOfJob::All } else { AgentsOfJob::These(names.value) };
    Ok(Some(Stated { value, line: names.line }))
}

fn categories(section: &Section<'_>) -> Result<Option<Stated<Vec<Category>>>> {
    let Some(line) = section.line_of("only") else { return Ok(None) };
    let known: Vec<&str> = category_words().collect();
    let mut value = Vec::new();
    for entry in section.list("only")? {
        entry.one_of("category", known.iter().copied())?;
        value.extend(categories_of(entry.text).unwrap_or_default());
    }
    Ok(Some(Stated { value, line }))
}

fn secrets(section: &Section<'_>) -> Result<Option<Stated<bool>>> {
    let Some(entry) = section.text("secrets")? else { return Ok(None) };
    entry.one_of("policy", ["encrypt", "exclude"].into_iter())?;
    Ok(Some(stated(&entry, entry.text == "exclude")))
}

fn duration(section: &Section<'_>, key: &str) -> Result<Option<Stated<Duration>>> {
    let Some(entry) = section.text(key)? else { return Ok(None) };
    let span = SpanParser::new().parse_span(entry.text).ok();
    let length = span.and_then(|it| it.to_duration(SpanRelativeTo::days_are_24_hours()).ok());
    let length = length.and_then(|it| Duration::try_from(it).ok()).filter(|it| !it.is_zero());
    let wrong = || {
        entry
            .error(format!("`{}` is no length of time", entry.text))
            .hint("write it as `90m`, `26h` or `3 days`")
    };
    Ok(Some(stated(&entry, length.ok_or_else(wrong)?)))
}

fn keep(section: &Section<'_>) -> Result<Option<Stated<Policy>>> {
    let Some(line) = section.line_of("keep") else { return Ok(None) };
    let Some(table) = section.section("keep", KEEP)? else { return Ok(None) };
    let mut policy = Policy::default();
    for period in Period::ALL {
        if let Some(count) = count(&table, period.name())? {
            policy.counts.push((period, count));
        }
        if let Some(entry) = table.text(&within_key(period))? {
            let span = Within::parse(entry.text).map_err(|why| entry.error(why))?;
            policy.within.push((period, span));
        }
    }
    for entry in table.list("tag")? {
        let tags = entry.text.split(',').filter(|tag| !tag.is_empty()).map(str::to_owned);
        policy.tags.push(tags.collect());
    }
    if policy.tags.iter().any(Vec::is_empty) || policy.is_empty() {
        return Err(keeps_nothing(&table));
    }
    Ok(Some(Stated { value: policy, line }))
}

fn keeps_nothing(table: &Section<'_>) -> Error {
    table.error("this policy keeps nothing").hint(
        "for example `keep = { last = 7, daily = 30, weekly = 12, monthly = 6 }`; without \
               `keep` everything is kept",
    )
}

fn count(table: &Section<'_>, key: &str) -> Result<Option<Count>> {
    if !table.is_text(key) {
        return Ok(table.number(key)?.map(Count::Number));
    }
    match table.text(key)? {
        Some(entry) if entry.text == "unlimited" => Ok(Some(Count::Unlimited)),
        _ => Err(table.wrong_type(key, "a number, or \"unlimited\"")),
    }
}
