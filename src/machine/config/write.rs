//! Changing the configuration, with the comments and the order that it has.
//!
//! A change is made to the text that was read, checked as a whole, and put in its place by a rename:
//! a crash leaves the old file or the new one. What a person changed meanwhile is never overwritten.
//! A file that is a symbolic link, as those of dotfiles are, is replaced where the link leads.

use std::fs::{File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, Value};

use super::entries::within_key;
use super::{Config, read_text};
use crate::engine::retention::{Count, Policy};
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::machine::places::{Places, make_private_folder};

/// What stands at the head of a new file.
const HEAD: &str = "\
# The configuration of stash. `stash config show` tells what holds, and who said so;
# `stash config edit` checks a change before it counts. No key holds a secret.
";

const DOING: &str = "cannot write the configuration";

/// A configuration that is being changed.
pub struct ConfigDraft {
    document: DocumentMut,
}

impl ConfigDraft {
    fn parse(path: &Path, text: &str) -> Result<Self> {
        let document = text.parse::<DocumentMut>().map_err(|error| {
            Error::new(Kind::Config, super::DOING)
                .object(path.display().to_string())
                .source(error.message().to_owned())
        })?;
        Ok(ConfigDraft { document })
    }

    /// Sets the value of a key, such as `["jobs", "agents", "keep"]`; sections that are missing are
    /// made. What was said before in a comment beside it stays.
    pub fn set(&mut self, path: &[&str], value: impl Into<Value>) {
        let Some((key, sections)) = path.split_last() else { return };
        let mut table = self.document.as_table_mut() as &mut dyn toml_edit::TableLike;
        for (depth, section) in sections.iter().enumerate() {
            let is_last = depth.saturating_add(1) == sections.len();
            let item = table.entry(section).or_insert_with(|| {
                let mut made = Table::new();
                made.set_implicit(!is_last);
                Item::Table(made)
            });
            if !item.is_table_like() {
                *item = Item::Table(Table::new());
            }
            let Some(next) = item.as_table_like_mut() else { return };
            table = next;
        }
        let mut value = value.into();
        if let Some(old) = table.get(key).and_then(Item::as_value) {
            *value.decor_mut() = old.decor().clone();
        }
        match table.get_mut(key) {
            Some(item) => *item = Item::Value(value),
            None => {
                table.insert(key, Item::Value(value));
            }
        }
    }

    /// Sets numbers under one key, as in `keep = { last = 7 }`, unless something stands there.
    pub fn set_numbers_if_absent(&mut self, path: &[&str], numbers: &[(&str, i64)]) {
        let mut item = Some(self.document.as_item());
        for key in path {
            item = item.and_then(|item| item.get(key));
        }
        if item.is_none() {
            let table: InlineTable = numbers.iter().map(|(key, number)| (*key, *number)).collect();
            self.set(path, table);
        }
    }

    /// Sets a list of texts.
    pub fn set_list<'t>(&mut self, path: &[&str], texts: impl IntoIterator<Item = &'t str>) {
        self.set(path, Value::Array(texts.into_iter().collect::<Array>()));
    }

    /// Sets what a job keeps.
    pub fn set_policy(&mut self, job: &str, policy: &Policy) {
        let mut table = InlineTable::new();
        for (period, count) in &policy.counts {
            let count = match count {
                Count::Number(number) => Value::from(i64::from(*number)),
                Count::Unlimited => Value::from("unlimited"),
            };
            table.insert(period.name(), count);
        }
        for (period, within) in &policy.within {
            table.insert(within_key(*period), within.to_string().into());
        }
        if !policy.tags.is_empty() {
            let tags = policy.tags.iter().map(|tags| tags.join(","));
            table.insert("tag", Value::Array(tags.collect::<Array>()));
        }
        self.set(&["jobs", job, "keep"], table);
    }

    /// Removes a key or a section, with the comments that belong to it; returns whether it was there.
    pub fn remove(&mut self, path: &[&str]) -> bool {
        let Some((key, sections)) = path.split_last() else { return false };
        let mut table = self.document.as_table_mut() as &mut dyn toml_edit::TableLike;
        for section in sections {
            let found = table.get_mut(section).and_then(Item::as_table_like_mut);
            let Some(next) = found else { return false };
            table = next;
        }
        table.remove(key).is_some()
    }
}

/// Changes the configuration; one that is missing is made. Returns it as it is then.
pub fn change_config(
    places: &Places,
    change: impl FnOnce(&mut ConfigDraft, &Config) -> Result<()>,
) -> Result<Config> {
    let path = places.config_file();
    let old = read_text(&path)?;
    let text = old.clone().unwrap_or_else(|| HEAD.to_owned());
    let config = Config { exists: old.is_some(), ..Config::parse(&path, &text)? };
    let mut draft = ConfigDraft::parse(&path, &text)?;
    // Comments of a file that says nothing belong to no key, and would end up below the first one.
    let head = if draft.document.is_empty() { text } else { String::new() };
    if !head.is_empty() {
        draft = ConfigDraft::parse(&path, "")?;
    }
    change(&mut draft, &config)?;
    let gap = if head.is_empty() || head.ends_with("\n\n") { "" } else { "\n" };
    replace_config(places, old.as_deref(), &format!("{head}{gap}{}", draft.document))
}

/// Puts a new text in the place of the one that was read (`None`: there was none), if it is a
/// configuration, and if the file is still as it was then.
pub fn replace_config(places: &Places, old: Option<&str>, new: &str) -> Result<Config> {
    let path = places.config_file();
    let config = Config::parse(&path, new)?;
    make_private_folder(&places.config)?;
    make_private_folder(&places.state)?;
    let lock = places.state.join("config.lock");
    let _lock = lock_file(&lock).at("cannot lock the configuration with", &lock)?;
    if read_text(&path)?.as_deref() != old {
        return Err(Error::new(Kind::Busy, "the configuration was changed meanwhile")
            .object(path.display().to_string())
            .hint("nothing was written; run the same command again"));
    }
    if old != Some(new) {
        write_whole(&target_of(&path)?, new.as_bytes())?;
    }
    Ok(config)
}

/// Returns the text of the configuration, or of a new one, for a person to change; and what is to be
/// handed to [`replace_config`] as the old one.
pub fn edit_config(places: &Places) -> Result<(String, Option<String>)> {
    let old = read_text(&places.config_file())?;
    Ok((old.clone().unwrap_or_else(|| HEAD.to_owned()), old))
}

fn lock_file(path: &Path) -> std::io::Result<File> {
    let file = File::options().create(true).truncate(false).write(true).open(path)?;
    file.lock()?;
    Ok(file)
}

/// Returns the file itself, if a link stands in its place.
fn target_of(path: &Path) -> Result<PathBuf> {
    if std::fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink()) {
        return std::fs::canonicalize(path).at(DOING, path);
    }
    Ok(path.to_owned())
}

fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(path);
    // Made with mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(folder).at(DOING, path)?;
    file.write_all(bytes).at(DOING, path)?;
    file.as_file().set_permissions(Permissions::from_mode(0o600)).at(DOING, path)?;
    file.as_file().sync_all().at(DOING, path)?;
    file.persist(path).map_err(|error| error.error).at(DOING, path)?;
    File::open(folder).and_then(|folder| folder.sync_all()).at(DOING, folder)
}
