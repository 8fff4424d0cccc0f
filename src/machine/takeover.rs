//! What other backup tools have kept of agents, to be taken over as snapshots.
//!
//! | tool | known by | is |
//! |---|---|---|
//! | claude-backup | `manifest.json` and `machines/*/projects`, `projects` or `config` | Claude Code's config, and sessions packed with gzip, by machine |
//! | claude-sync | `sessions/*.enc`, or `repo/sessions/*.enc` | sessions of Claude Code, encrypted (AES-256-GCM) with a key file |
//! | opencode-session-backup | `session` and `message` folders | the `storage` folder of `OpenCode` as it was |
//!
//! Finding reads names and the tools' own lists only. [`Takeover::stage`] then lays the files into a
//! private folder the way the agent keeps them, each with its own time: that of a session is the last
//! one in it, since a clone's files have the time of the clone. Of a clone the newest state is taken;
//! older commits are not read.
#![expect(clippy::disallowed_methods, reason = "reads other tools' folders, writes its own")]

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::foreign_key::ForeignKey;
use super::input::read_bytes;
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::event::Counters;
use crate::files::{ExcludeOptions, Excludes, Step, Walk};
use crate::format::tree::NodeKind;
use crate::time::Timestamp;

use stage::{date_folders, open_sealed, stage_file, time_of};

mod stage;

/// A list of another tool's is at most so long, in bytes.
const LONGEST_LIST: u64 = 64 << 20;

/// Whose backup it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakeoverKind {
    /// claude-backup's folder.
    ClaudeBackup,
    /// claude-sync's clone.
    ClaudeSync,
    /// opencode-session-backup's mirror.
    OpencodeMirror,
}

impl TakeoverKind {
    /// Returns the tool's name.
    pub fn name(self) -> &'static str {
        match self {
            TakeoverKind::ClaudeBackup => "claude-backup",
            TakeoverKind::ClaudeSync => "claude-sync",
            TakeoverKind::OpencodeMirror => "opencode-session-backup",
        }
    }
}

/// What a tool has kept of one machine.
#[derive(Debug)]
pub struct Takeover {
    /// The tool.
    pub kind: TakeoverKind,
    /// The machine, if the tool says so.
    pub host: Option<String>,
    /// The agent's id.
    pub agent: &'static str,
    /// The label of the root that the files are below.
    pub label: &'static str,
    /// When the tool last wrote, if it says so.
    pub time: Option<Timestamp>,
    /// Files to take.
    files: Vec<Source>,
}

/// One file to take.
#[derive(Debug)]
struct Source {
    from: PathBuf,
    /// Below the agent's root; for an encrypted session only its last name is known.
    below: PathBuf,
    form: Form,
    size: u64,
    modified: SystemTime,
}

/// How a file is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Plain,
    Gzip,
    Sealed,
}

/// What was laid out.
#[derive(Debug)]
pub struct Staged {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The moment that it stands for.
    pub time: Timestamp,
    /// The same whenever the same is staged.
    pub digest: String,
    /// Files that could not be taken.
    pub failed: Vec<(PathBuf, Error)>,
}

/// Finds what can be taken over from a folder: an entry for each machine.
pub fn find_takeovers(folder: &Path) -> Result<Vec<Takeover>> {
    if !folder.is_dir() {
        return Err(Error::failed("there is no folder").object(folder.display().to_string()));
    }
    let has = |name: &str| folder.join(name).is_dir();
    if is_claude_backup(folder)? {
        return claude_backup(folder);
    }
    for sessions in [folder.join("sessions"), folder.join("repo/sessions")] {
        let sealed = claude_sync(&sessions)?;
        if !sealed.files.is_empty() {
            return Ok(vec![sealed]);
        }
    }
    if has("session") && has("message") {
        return opencode_mirror(folder);
    }
    Err(Error::failed("this is no backup that can be taken over:")
        .object(folder.display().to_string())
        .hint(
            "looked for: claude-backup's `manifest.json` beside `machines`, `projects` or `config`; \
             claude-sync's `sessions/*.enc`; opencode-session-backup's `session` and `message`",
        ))
}

fn is_claude_backup(folder: &Path) -> Result<bool> {
    let has = |name: &str| folder.join(name).is_dir();
    let parts = has("machines") || has("projects") || has("config");
    Ok(parts && read_list(&folder.join("manifest.json"))?.get("version").is_some())
}

/// Returns a list of another tool's; null if there is none.
fn read_list(file: &Path) -> Result<Value> {
    if !super::agent_files::is_file(file) {
        return Ok(Value::Null);
    }
    let bytes = read_bytes(file, LONGEST_LIST)?;
    serde_json::from_slice(&bytes).map_err(|error| {
        Error::failed("cannot read").object(file.display().to_string()).source(error)
    })
}

fn claude_backup(folder: &Path) -> Result<Vec<Takeover>> {
    let manifest = read_list(&folder.join("manifest.json"))?;
    let text = |list: &Value, key: &str| {
        list.get(key).and_then(Value::as_str).filter(|it| !it.is_empty()).map(str::to_owned)
    };
    let time = |list: &Value| text(list, "lastSync").and_then(|it| moment(&it));
    let mut machines: BTreeMap<String, Takeover> = BTreeMap::new();
    let new = |host: Option<String>, time| Takeover {
        kind: TakeoverKind::ClaudeBackup,
        host,
        agent: "claude-code",
        label: "main",
        time,
        files: Vec::new(),
    };
    for place in folders_in(&folder.join("machines"))? {
        let slug = name_of(&place);
        let own = read_list(&place.join("manifest.json"))?;
        let host = text(&own, "machine").unwrap_or_else(|| slug.clone());
        let mut takeover = new(Some(host), time(&own));
        take_claude(&place, &mut takeover.files)?;
        machines.insert(slug, takeover);
    }
    // What lies at the top belongs to the machine that wrote last.
    let mut top = Vec::new();
    take_claude(folder, &mut top)?;
    if !top.is_empty() {
        let slug = text(&manifest, "machineSlug").unwrap_or_default();
        let host = text(&manifest, "machine").or_else(|| text(&manifest, "machineSlug"));
        let last = machines.entry(slug).or_insert_with(|| new(host, None));
        let known: BTreeSet<PathBuf> = last.files.iter().map(|it| it.below.clone()).collect();
        last.files.extend(top.into_iter().filter(|it| !known.contains(&it.below)));
        last.time = last.time.max(time(&manifest));
    }
    Ok(machines.into_values().filter(|takeover| !takeover.files.is_empty()).collect())
}

/// Takes what lies in a machine's folder: `config`, `projects` and `history.jsonl.gz`.
fn take_claude(place: &Path, files: &mut Vec<Source>) -> Result<()> {
    collect(&place.join("config"), Path::new(""), files)?;
    collect(&place.join("projects"), Path::new("projects"), files)?;
    let history = place.join("history.jsonl.gz");
    if super::agent_files::is_file(&history) {
        collect(&history, Path::new("history.jsonl.gz"), files)?;
    }
    for file in files.iter_mut().filter(|file| file.form == Form::Plain) {
        if file.below.as_os_str().as_bytes().ends_with(b".jsonl.gz") {
            file.form = Form::Gzip;
            file.below.set_extension("");
        }
    }
    Ok(())
}

fn claude_sync(sessions: &Path) -> Result<Takeover> {
    let mut files = Vec::new();
    collect(sessions, Path::new(""), &mut files)?;
    files.retain(|file| file.below.extension().is_some_and(|end| end == "enc"));
    for file in &mut files {
        file.form = Form::Sealed;
        file.below.set_extension("jsonl");
    }
    let kind = TakeoverKind::ClaudeSync;
    Ok(Takeover { kind, host: None, agent: "claude-code", label: "main", time: None, files })
}

fn opencode_mirror(folder: &Path) -> Result<Vec<Takeover>> {
    let mut files = Vec::new();
    collect(folder, Path::new("storage"), &mut files)?;
    files.retain(|file| file.below != Path::new("storage/sync.log"));
    let kind = TakeoverKind::OpencodeMirror;
    Ok(vec![Takeover { kind, host: None, agent: "opencode", label: "data", time: None, files }])
}

/// Collects the files at and below a place, links not followed.
fn collect(place: &Path, below: &Path, files: &mut Vec<Source>) -> Result<()> {
    if std::fs::symlink_metadata(place).is_err() {
        return Ok(());
    }
    let excludes = Arc::new(Excludes::new(&ExcludeOptions::default())?);
    for step in Walk::start(place, excludes, 1) {
        match step {
            Step::Entry(entry) if entry.stat.kind == NodeKind::File => {
                let inner = entry.path.strip_prefix(place).unwrap_or(Path::new(""));
                let nanoseconds = entry.stat.mtime;
                let seconds = Duration::from_secs(u64::try_from(nanoseconds.0).unwrap_or(0));
                let is_itself = inner.as_os_str().is_empty();
                files.push(Source {
                    below: if is_itself { below.to_owned() } else { below.join(inner) },
                    from: entry.path,
                    form: Form::Plain,
                    size: entry.stat.size,
                    modified: UNIX_EPOCH + seconds + Duration::from_nanos(nanoseconds.1.into()),
                });
            }
            Step::Failed { error, .. } => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn folders_in(place: &Path) -> Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(place) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).at("cannot list", place),
    };
    let mut folders = Vec::new();
    for entry in entries {
        let entry = entry.at("cannot list", place)?;
        if entry.file_type().at("cannot look at", place)?.is_dir() {
            folders.push(entry.path());
        }
    }
    folders.sort_unstable();
    Ok(folders)
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn moment(text: &str) -> Option<Timestamp> {
    let parsed: jiff::Timestamp = text.parse().ok()?;
    i64::try_from(parsed.as_nanosecond()).ok().map(Timestamp)
}

impl Takeover {
    /// Returns how many files there are, and their bytes as they are stored.
    pub fn stored(&self) -> (u64, u64) {
        let bytes = self.files.iter().fold(0_u64, |sum, file| sum.saturating_add(file.size));
        (self.files.len() as u64, bytes)
    }

    /// Returns whether a key is needed.
    pub fn is_sealed(&self) -> bool {
        self.files.iter().any(|file| file.form == Form::Sealed)
    }

    /// Fails if a key opens none of the files.
    pub fn try_key(&self, key: &ForeignKey) -> Result<()> {
        let mut sealed = self.files.iter().filter(|file| file.form == Form::Sealed).peekable();
        let is_none = sealed.peek().is_none();
        if is_none || sealed.take(8).any(|file| open_sealed(file, key).is_ok()) {
            return Ok(());
        }
        Err(wrong_key(key))
    }

    /// Lays the files below an empty folder as the agent keeps them.
    pub fn stage(
        &self,
        folder: &Path,
        key: Option<&ForeignKey>,
        counters: &Counters,
    ) -> Result<Staged> {
        let mut staged = Staged {
            files: 0,
            bytes: 0,
            time: Timestamp(0),
            digest: String::new(),
            failed: Vec::new(),
        };
        let mut sums = BTreeMap::new();
        for file in &self.files {
            counters.go_on()?;
            match stage_file(file, folder, key) {
                Ok(laid) => {
                    staged.files = staged.files.saturating_add(1);
                    staged.bytes = staged.bytes.saturating_add(laid.bytes);
                    staged.time = staged.time.max(laid.time);
                    sums.insert(laid.below, (laid.time.0, laid.hash));
                }
                Err(error) => staged.failed.push((file.from.clone(), error)),
            }
        }
        if let (Some(key), true) = (key, staged.files == 0 && self.is_sealed()) {
            return Err(wrong_key(key));
        }
        if let Some(time) = self.time {
            staged.time = time;
        }
        let mut digest = blake3::Hasher::new();
        digest.update(self.kind.name().as_bytes());
        for (below, (time, hash)) in sums {
            let below = below.as_os_str().as_bytes();
            digest.update(&(below.len() as u64).to_le_bytes()).update(below);
            digest.update(&time.to_le_bytes()).update(hash.as_bytes());
        }
        staged.digest = digest.finalize().to_hex().chars().take(16).collect();
        date_folders(folder, time_of(staged.time))?;
        Ok(staged)
    }
}

fn wrong_key(key: &ForeignKey) -> Error {
    Error::new(Kind::WrongPassphrase, "this key opens none of the sessions:")
        .object(key.came_from.display().to_string())
        .hint("`--key FILE` names the key file of claude-sync: `~/.claude-sync/key` where it ran")
}
