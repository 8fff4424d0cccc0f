//! A person's editor, for one text; and what it gave that can't be used, until it can.
//!
//! The text lies in a file of its own (0600) while it is edited, never in the place of the real one.
#![expect(clippy::disallowed_methods, reason = "hands a file to an editor, and reads it back")]

use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::environment::Environment;
use super::input::SECRET_VARIABLES;
use super::places::{Places, make_private_folder};
use crate::error::{Error, IoContext as _, Result};

/// A text longer than this, in bytes, is none that is edited here.
const LONGEST: u64 = 16 << 20;

/// Has a text edited; returns it as it is then. `name` is what the editor shows.
pub fn edited(
    text: &str,
    name: &str,
    places: &Places,
    environment: &Environment,
) -> Result<String> {
    make_private_folder(&places.state)?;
    let folder = tempfile::Builder::new().prefix("edit-").tempdir_in(&places.state);
    let folder = folder.at("cannot make a folder in", &places.state)?;
    let path = folder.path().join(name);
    write_private(&path, text)?;
    let editor = ["VISUAL", "EDITOR"].iter().find_map(|name| environment.get(name));
    let editor = editor.unwrap_or_else(|| OsString::from("vi"));
    // As git does it: the variable may hold a program and its options.
    let mut script = editor.clone();
    script.push(" \"$1\"");
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(&script).arg("editor").arg(&path);
    for name in SECRET_VARIABLES {
        shell.env_remove(name);
    }
    let failed = || {
        Error::failed("the editor failed, so nothing was changed:")
            .object(editor.to_string_lossy())
            .hint("`EDITOR` names another")
    };
    let status = shell.status().map_err(|error| failed().source(error))?;
    if !status.success() {
        return Err(failed().source(format!("it ended with {status}")));
    }
    read_bounded(&path)
}

/// Returns the text that could not be used last time, if there is one, and where it lies.
pub fn rejected(name: &str, places: &Places) -> Result<Option<(PathBuf, String)>> {
    let path = rejected_path(name, places);
    match std::fs::symlink_metadata(&path) {
        Ok(found) if found.is_file() => read_bounded(&path).map(|text| Some((path, text))),
        _ => Ok(None),
    }
}

/// Keeps a text that can't be used; returns where it lies.
pub fn keep_rejected(text: &str, name: &str, places: &Places) -> Result<PathBuf> {
    let path = rejected_path(name, places);
    write_private(&path, text)?;
    Ok(path)
}

/// Removes the text that was kept.
pub fn remove_rejected(name: &str, places: &Places) -> Result<()> {
    let path = rejected_path(name, places);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).at("cannot remove", &path)
        }
        _ => Ok(()),
    }
}

fn rejected_path(name: &str, places: &Places) -> PathBuf {
    places.state.join(format!("rejected-{name}"))
}

fn write_private(path: &Path, text: &str) -> Result<()> {
    let folder = path.parent().unwrap_or(path);
    // Made with mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(folder).at("cannot write", path)?;
    file.write_all(text.as_bytes()).at("cannot write", path)?;
    file.persist(path).map_err(|error| error.error).at("cannot write", path).map(drop)
}

fn read_bounded(path: &Path) -> Result<String> {
    let mut text = String::new();
    let file = std::fs::File::open(path).at("cannot read", path)?;
    let limit = LONGEST.saturating_add(1);
    file.take(limit).read_to_string(&mut text).at("cannot read what was edited in", path)?;
    if text.len() as u64 > LONGEST {
        return Err(Error::failed("this text is too long:").object(path.display().to_string()));
    }
    Ok(text)
}
