//! Registers and lists that agents keep of their sessions, brought up to date.
#![expect(clippy::disallowed_methods, reason = "registers lie among the agent's files")]

use std::path::{Path, PathBuf};

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::agents::session::RootFiles;
use crate::agents::session::placement::{Also, slug};
use crate::error::{Error, IoContext as _, Result};
use crate::machine::{replace_file, write_new_file};

/// A register is never longer than this, in bytes.
const LONGEST: u64 = 64 << 20;
/// So many projects of one name are looked at.
const MOST_OF_A_NAME: u32 = 10_000;
/// Gemini CLI's register, and its mark in each project's folders.
const GEMINI_REGISTER: &str = "projects.json";
const GEMINI_MARK: &str = ".project_root";

/// Returns the name that Gemini CLI's register has for a project, or that is free for it. Names whose folders
/// are marked as another project's are that one's, whatever the register says.
pub(super) fn gemini_name(root: &Path, project: &str) -> Result<String> {
    let register = gemini_register(root)?;
    let projects = register.get("projects").and_then(Value::as_object);
    let is_free = |name: &str| {
        let marks = ["tmp", "history"].map(|top| root.join(top).join(name).join(GEMINI_MARK));
        marks.iter().all(|mark| match std::fs::read_to_string(mark) {
            Ok(owner) => owner.trim() == project,
            Err(_) => true,
        })
    };
    let is_name =
        |name: &str| !name.is_empty() && name != ".." && name != "." && !name.contains('/');
    let registered = projects.and_then(|it| it.get(project)).and_then(Value::as_str);
    if let Some(name) = registered.filter(|name| is_name(name) && is_free(name)) {
        return Ok(name.to_owned());
    }
    let taken = |name: &str| {
        let mut owners = projects.into_iter().flatten();
        owners.any(|(owner, its)| owner != project && its.as_str() == Some(name))
    };
    let name = slug::gemini(project);
    let candidates = (0..MOST_OF_A_NAME).map(|number| match number {
        0 => name.clone(),
        number => format!("{name}-{number}"),
    });
    let mut free = candidates.filter(|name| !taken(name) && is_free(name));
    free.next().ok_or_else(|| Error::failed("no name is free for the project").object(project))
}

/// Notes a project under a name: first its marks, then the register.
pub(super) fn gemini_claim(root: &Path, name: &str, project: &str) -> Result<Vec<PathBuf>> {
    let mut made = Vec::new();
    for top in ["tmp", "history"] {
        let folder = root.join(top).join(name);
        let mark = folder.join(GEMINI_MARK);
        if !mark.exists() {
            refuse_links(root, &folder)?;
            std::fs::create_dir_all(&folder).at("cannot make the folder", &folder)?;
            write_new_file(&mark, project.as_bytes())?;
            made.push(mark);
        }
    }
    let mut register = gemini_register(root)?;
    let projects = register.entry("projects").or_insert_with(|| Value::Object(Map::new()));
    let path = root.join(GEMINI_REGISTER);
    let Some(projects) = projects.as_object_mut() else { return Err(not_understood(&path)) };
    if projects.get(project).and_then(Value::as_str) != Some(name) {
        projects.insert(project.to_owned(), Value::String(name.to_owned()));
        made.extend(write(&path, &Value::Object(register))?);
    }
    Ok(made)
}

fn gemini_register(root: &Path) -> Result<Map<String, Value>> {
    let path = root.join(GEMINI_REGISTER);
    let Some(bytes) = read(&path)? else { return Ok(Map::new()) };
    serde_json::from_slice(&bytes).map_err(|error| not_understood(&path).source(error))
}

/// What a list says of a session.
#[derive(Debug, Clone)]
pub(super) struct Listed<'a> {
    /// The session's id.
    pub(super) id: &'a str,
    /// Its title.
    pub(super) title: &'a str,
    /// When it began (milliseconds).
    pub(super) started_ms: i64,
    /// Its turns.
    pub(super) turns: u64,
    /// The project's folder where it ran, and here.
    pub(super) project: (&'a str, &'a str),
}

/// Brings the list of sessions up to date, with what the list of the snapshot says of this one, or with
/// what is known of it. Returns the list's file if it was made.
pub(super) fn list(
    also: Also,
    root: &Path,
    saved: &dyn RootFiles,
    listed: &Listed<'_>,
) -> Result<Vec<PathBuf>> {
    let Some((file, key)) = list_of(also) else { return Ok(Vec::new()) };
    let path = root.join(file);
    refuse_links(root, path.parent().unwrap_or(root))?;
    let here = read(&path)?;
    // Roo Code makes its list anew from the folders.
    if also == Also::RooList && here.is_none() {
        return Ok(Vec::new());
    }
    let mut entry =
        saved_entry(saved, file, key, listed.id).unwrap_or_else(|| new_entry(also, listed));
    bind(&mut entry, listed.project);
    let entry = Value::Object(entry);
    let bytes = here.unwrap_or_else(|| b"[]".to_vec());
    let understood = |error: serde_json::Error| not_understood(&path).source(error);
    if bytes.trim_ascii_start().starts_with(b"{") {
        let mut whole: Map<String, Value> = serde_json::from_slice(&bytes).map_err(understood)?;
        let Some(entries) = whole.get_mut("entries").and_then(Value::as_array_mut) else {
            return Err(not_understood(&path));
        };
        if entries.iter().any(|it| it.get(key).and_then(Value::as_str) == Some(listed.id)) {
            return Ok(Vec::new());
        }
        entries.push(entry);
        return write(&path, &whole);
    }
    // What is there stays as it is written.
    let mut entries: Vec<Box<RawValue>> = serde_json::from_slice(&bytes).map_err(understood)?;
    let is_it = |it: &RawValue| {
        let value: Option<Value> = serde_json::from_str(it.get()).ok();
        value.is_some_and(|value| value.get(key).and_then(Value::as_str) == Some(listed.id))
    };
    if entries.iter().any(|it| is_it(it)) {
        return Ok(Vec::new());
    }
    entries.push(serde_json::value::to_raw_value(&entry).map_err(understood)?);
    write(&path, &entries)
}

/// Returns whether the list that makes a session visible names it; so it does where there is no such list.
pub(super) fn is_listed(also: Also, root: &Path, id: &str) -> Result<bool> {
    let Some((file, key)) = list_of(also) else { return Ok(true) };
    let Some(bytes) = read(&root.join(file))? else { return Ok(also == Also::RooList) };
    let whole: Option<Value> = serde_json::from_slice(&bytes).ok();
    let entries =
        whole.as_ref().and_then(|it| it.as_array().or_else(|| it.get("entries")?.as_array()));
    let is_it = |it: &Value| it.get(key).and_then(Value::as_str) == Some(id);
    Ok(entries.is_some_and(|entries| entries.iter().any(is_it)))
}

/// Returns an agent's list of sessions, and which key of its entries has the id.
fn list_of(also: Also) -> Option<(&'static str, &'static str)> {
    match also {
        Also::ContinueList => Some(("sessions/sessions.json", "sessionId")),
        Also::ClineList => Some(("state/taskHistory.json", "id")),
        Also::RooList => Some(("tasks/_index.json", "id")),
        Also::Nothing | Also::GeminiRegister => None,
    }
}

/// Returns what the snapshot's list says of a session.
fn saved_entry(
    saved: &dyn RootFiles,
    file: &str,
    key: &str,
    id: &str,
) -> Option<Map<String, Value>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    let input = saved.open(file.as_bytes()).ok()??;
    input.take(LONGEST).read_to_end(&mut bytes).ok()?;
    let whole: Value = serde_json::from_slice(&bytes).ok()?;
    let entries = whole.as_array().or_else(|| whole.get("entries")?.as_array())?;
    let found = entries.iter().find(|it| it.get(key).and_then(Value::as_str) == Some(id))?;
    found.as_object().cloned()
}

fn new_entry(also: Also, listed: &Listed<'_>) -> Map<String, Value> {
    let entry = match also {
        Also::ContinueList => json!({
            "sessionId": listed.id,
            "title": listed.title,
            "dateCreated": listed.started_ms.to_string(),
            "workspaceDirectory": listed.project.0,
            "messageCount": listed.turns,
        }),
        Also::ClineList => json!({
            "id": listed.id,
            "ts": listed.started_ms,
            "task": listed.title,
            "tokensIn": 0,
            "tokensOut": 0,
            "totalCost": 0,
            "cwdOnTaskInitialization": listed.project.0,
        }),
        _ => json!({
            "id": listed.id,
            "number": 1,
            "ts": listed.started_ms,
            "task": listed.title,
            "tokensIn": 0,
            "tokensOut": 0,
            "totalCost": 0,
            "workspace": listed.project.0,
        }),
    };
    entry.as_object().cloned().unwrap_or_default()
}

/// Binds an entry to the project's folder here; one that is an address stays one.
fn bind(entry: &mut Map<String, Value>, (old, new): (&str, &str)) {
    if old == new || old.is_empty() || new.is_empty() {
        return;
    }
    for key in ["workspaceDirectory", "cwdOnTaskInitialization", "workspace"] {
        let Some(Value::String(folder)) = entry.get_mut(key) else { continue };
        if folder == old {
            new.clone_into(folder);
        } else if folder.strip_prefix("file://") == Some(old) {
            *folder = format!("file://{new}");
        }
    }
}

fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Ok(found) if found.len() > LONGEST || !found.is_file() => return Err(not_understood(path)),
        found => found.at("cannot look at", path)?,
    };
    std::fs::read(path).at("cannot read", path).map(Some)
}

/// Writes a file whole or not at all. Returns it if it was not there.
fn write(path: &Path, value: &impl serde::Serialize) -> Result<Vec<PathBuf>> {
    let bytes = serde_json::to_vec_pretty(value).map_err(|error| {
        Error::failed("cannot write").object(path.display().to_string()).source(error)
    })?;
    if std::fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink()) {
        return Err(Error::failed("a link is where the agent's own file should be:")
            .object(path.display().to_string())
            .hint("nothing is written through it"));
    }
    if path.exists() {
        return replace_file(path, &bytes).map(|()| Vec::new());
    }
    let folder = path.parent().unwrap_or(path);
    std::fs::create_dir_all(folder).at("cannot make the folder", folder)?;
    write_new_file(path, &bytes).map(|()| vec![path.to_owned()])
}

/// Fails if a folder below the root is a link: nothing is written through it.
fn refuse_links(root: &Path, folder: &Path) -> Result<()> {
    let below = folder.ancestors().take_while(|it| *it != root);
    for part in below {
        if std::fs::symlink_metadata(part).is_ok_and(|found| found.is_symlink()) {
            return Err(Error::failed("a link is where a folder should be:")
                .object(part.display().to_string())
                .hint("nothing is written through it; move it away"));
        }
    }
    Ok(())
}

fn not_understood(path: &Path) -> Error {
    Error::failed("this file is not as its agent writes it, so it is left alone:")
        .object(path.display().to_string())
        .hint("start the agent once, which repairs it, and try again")
}
