//! `stash config`: what holds and who said so, and changing it safely.

use serde_json::Value;

use super::open::Run;
use crate::cli::args::ConfigCommand;
use crate::cli::figures::counted;
use crate::cli::name::shown;
use crate::cli::table::{Align, Table};
use crate::error::{Error, Result};
use crate::machine::{self, Config, Setting};

use std::os::unix::ffi::OsStrExt as _;

/// What the file is called while it is edited, and when it was rejected.
const NAME: &str = "config.toml";

pub(super) fn run(run: &Run, command: &ConfigCommand) -> Result<u8> {
    match command {
        ConfigCommand::Show(_) => show(run)?,
        ConfigCommand::Check(_) => check(run)?,
        ConfigCommand::Edit(_) => edit(run)?,
        ConfigCommand::Path(_) => {
            run.screen.text(&shown(run.places.config_file().as_os_str().as_bytes()))?;
        }
    }
    Ok(0)
}

fn show(run: &Run) -> Result<()> {
    let config = run.config()?;
    let settings = config.settings(&run.global.location(), &run.environment, &run.places)?;
    if run.screen.is_json() {
        return run.screen.array(&settings);
    }
    if !config.exists {
        run.screen.note(&format!(
            "there is no configuration yet; it would be `{}`",
            shown(config.path.as_os_str().as_bytes())
        ));
    }
    run.screen.text(table(&settings).trim_end())
}

fn table(settings: &[Setting]) -> String {
    let mut table =
        Table::new([("key", Align::Left), ("value", Align::Left), ("said by", Align::Left)]);
    for setting in settings {
        table.row([
            shown(setting.key.as_bytes()),
            shown(value(&setting.value).as_bytes()),
            shown(setting.source.as_bytes()),
        ]);
    }
    table.to_string()
}

/// Returns a value as people read it: lists with commas between, `last 7` for a key of a table.
fn value(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) if values.is_empty() => "none".to_owned(),
        Value::Array(values) => values.iter().map(self::value).collect::<Vec<_>>().join(", "),
        Value::Object(object) => {
            let pairs = object.iter().map(|(key, inner)| format!("{key} {}", self::value(inner)));
            pairs.collect::<Vec<_>>().join(", ")
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

fn check(run: &Run) -> Result<()> {
    let config = run.config()?;
    let path = shown(config.path.as_os_str().as_bytes());
    if !config.exists {
        return run.screen.summary(&format!("there is no configuration; it would be `{path}`"));
    }
    check_whole(run, config)?;
    run.screen.summary(&format!(
        "`{path}` is good: {}, {}",
        match config.repositories.len() {
            1 => "1 repository".to_owned(),
            many => format!("{many} repositories"),
        },
        counted(config.jobs.len() as u64, "job"),
    ))
}

/// Checks a configuration against the agents that are known and this environment.
fn check_whole(run: &Run, config: &Config) -> Result<()> {
    config.check(&machine::agent_catalog(&run.places)?, &run.environment)
}

fn edit(run: &Run) -> Result<()> {
    let (text, old) = machine::edit_config(&run.places)?;
    let text = match machine::rejected(NAME, &run.places)? {
        Some((path, rejected)) => {
            run.screen.note(&format!(
                "this is what you wrote last time, which could not be used; remove `{}` to begin \
                 anew",
                shown(path.as_os_str().as_bytes())
            ));
            rejected
        }
        None => text,
    };
    let new = machine::edited(&text, NAME, &run.places, &run.environment)?;
    let path = shown(run.places.config_file().as_os_str().as_bytes());
    if Some(&new) == old.as_ref() {
        machine::remove_rejected(NAME, &run.places)?;
        return run.screen.summary(&format!("`{path}` stays as it is"));
    }
    let checked = Config::parse(&run.places.config_file(), &new)
        .and_then(|config| check_whole(run, &config))
        .and_then(|()| machine::replace_config(&run.places, old.as_deref(), &new));
    match checked {
        Ok(_) => {
            machine::remove_rejected(NAME, &run.places)?;
            run.screen.summary(&format!("changed `{path}`"))
        }
        Err(error) => Err(rejected(run, &new, error)?),
    }
}

/// Keeps a text that can't be used; returns the error that says so.
fn rejected(run: &Run, text: &str, error: Error) -> Result<Error> {
    let kept = machine::keep_rejected(text, NAME, &run.places)?;
    let kept = shown(kept.as_os_str().as_bytes());
    let hint = error.hint_text().map(|hint| format!("{hint}; ")).unwrap_or_default();
    Ok(error.hint(format!(
        "{hint}the old one stays; your text is kept in `{kept}`, and `stash config edit` goes on \
         with it"
    )))
}
