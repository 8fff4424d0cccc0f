//! Lays the files of a settings archive into the folders where this machine's agents keep theirs.
//!
//! First a plan, which is all that a dry run does; then it is carried out without another decision.
//! What is there stays; files that are joined get the keys that they lack. By force files are
//! replaced, but credentials that are there stay, and nothing is written through a link.

use std::ffi::OsStr;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use super::agent_sources::FoundAgent;
use super::settings_archive::{LONGEST_FILE, SettingsContent, SettingsFile};
use super::settings_export::PROFILE;
use crate::agents::PathKind;
use crate::agents::secrets::{Cleaned, clean};
use crate::engine::restore::join_json;
use crate::error::{Error, IoContext as _, Result};
use crate::files::{Target, TargetDir};
use crate::format::tree::{Category, NodeKind};

/// What becomes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettingsFate {
    /// It is made.
    New,
    /// It is there already, and is the same.
    Same,
    /// It is there, and is joined with the archive's.
    Joined,
    /// It is there, and is replaced.
    Replaced,
    /// What is there stays, for this reason.
    Kept(&'static str),
    /// It is passed over, for this reason.
    Skipped(&'static str),
}

/// What becomes of one file of the archive.
#[derive(Debug)]
pub struct PlannedSetting {
    /// Its name in the archive.
    pub name: Vec<u8>,
    /// The agent.
    pub agent: String,
    /// What becomes of it.
    pub fate: SettingsFate,
    /// Where it goes; `None` if it is passed over.
    pub place: Option<SettingsPlace>,
    content: SettingsContent,
    mode: u32,
}

/// Where a file goes: a folder that is the agent's, and names below it.
#[derive(Debug, Clone)]
pub struct SettingsPlace {
    folder: PathBuf,
    names: Vec<Vec<u8>>,
}

impl SettingsPlace {
    /// Returns the whole path.
    pub fn path(&self) -> PathBuf {
        let names = self.names.iter().map(|name| OsStr::from_bytes(name));
        names.fold(self.folder.clone(), |path, name| path.join(name))
    }

    fn last(&self) -> Option<(&[u8], Vec<&[u8]>)> {
        let (last, above) = self.names.split_last()?;
        Some((last, above.iter().map(Vec::as_slice).collect()))
    }

    /// Returns the folder that the file goes into.
    fn open(&self, create: bool) -> Result<Option<TargetDir>> {
        let Some((_, above)) = self.last() else { return Ok(None) };
        if !create && !self.folder.is_dir() {
            return Ok(None);
        }
        Target::open(&self.folder, create)?.directory(&above, create)
    }
}

/// Plans the file of an agent that is known here; `None`: it is not.
pub fn plan_setting(
    found: Option<&FoundAgent>,
    file: SettingsFile,
    force: bool,
) -> Result<PlannedSetting> {
    let mut planned = PlannedSetting {
        name: file.name(),
        agent: file.agent.clone(),
        fate: SettingsFate::New,
        place: None,
        content: file.content,
        mode: (file.mode & 0o755) | 0o600,
    };
    let skipped = |planned: PlannedSetting, why| {
        Ok(PlannedSetting { fate: SettingsFate::Skipped(why), place: None, ..planned })
    };
    let Some(found) = found else { return skipped(planned, "this agent is not known here") };
    let class = found.agent.classify(&file.label, &file.below);
    let category = class.map_or(Category::Other, |class| class.category);
    if category == Category::Secrets {
        return Err(Error::failed("the archive is refused: it holds a file for credentials:")
            .object(String::from_utf8_lossy(&planned.name))
            .hint("nothing was changed; `tar -tzf` lists what is in it"));
    }
    if !PROFILE.contains(&category) || class.is_some_and(|class| class.run_time) {
        return skipped(planned, "it is no setting");
    }
    let Some(place) = place_of(found, &file.label, &file.below) else {
        return skipped(planned, "this machine has no place for it");
    };
    let is_mixed = class.is_some_and(|class| class.mixed_secrets);
    if is_mixed {
        planned.mode = 0o600;
    }
    let merge = class.and_then(|class| class.merge);
    let key = merge.and_then(|merge| merge.key.as_deref());
    let way = Way { joins: merge.is_some(), is_mixed, key, force };
    let (fate, content) = decide(&place, &planned.content, &way)?;
    if let Some(content) = content {
        planned.content = content;
    }
    Ok(PlannedSetting { fate, place: Some(place), ..planned })
}

fn place_of(found: &FoundAgent, label: &str, below: &[u8]) -> Option<SettingsPlace> {
    let root = found.roots.iter().find(|root| root.label == label)?;
    match root.kind {
        PathKind::File if below.is_empty() => {
            let name = root.place.file_name()?.as_bytes().to_vec();
            Some(SettingsPlace { folder: root.place.parent()?.to_owned(), names: vec![name] })
        }
        PathKind::Folder if !below.is_empty() => {
            let names = below.split(|byte| *byte == b'/').map(<[u8]>::to_vec).collect();
            Some(SettingsPlace { folder: root.place.clone(), names })
        }
        _ => None,
    }
}

/// How a file that is there is treated.
struct Way<'a> {
    joins: bool,
    is_mixed: bool,
    key: Option<&'a str>,
    force: bool,
}

/// Says what becomes of a file, and what is written if that is not what the archive holds.
fn decide(
    place: &SettingsPlace,
    content: &SettingsContent,
    way: &Way<'_>,
) -> Result<(SettingsFate, Option<SettingsContent>)> {
    let kept = |why| Ok((SettingsFate::Kept(why), None));
    let Ok(directory) = place.open(false) else {
        return kept("a link or a file is where a folder should be");
    };
    let (Some(directory), Some((name, _))) = (directory, place.last()) else {
        return Ok((SettingsFate::New, None));
    };
    let Some(stat) = directory.stat(name)? else { return Ok((SettingsFate::New, None)) };
    let bytes = match (stat.kind, content) {
        (NodeKind::Symlink, SettingsContent::Link(target)) => {
            let is_same = directory.find_link(name)?.as_ref() == Some(target);
            return if is_same {
                Ok((SettingsFate::Same, None))
            } else {
                kept("another link is there")
            };
        }
        (NodeKind::Symlink, SettingsContent::Bytes(_)) => {
            return kept("a link is there, and nothing is written through it");
        }
        (NodeKind::File, SettingsContent::Bytes(bytes)) => bytes,
        _ => return kept("something else is there"),
    };
    if stat.size > LONGEST_FILE {
        return kept("what is there is too long");
    }
    let Some((file, _)) = directory.open_existing(name)? else { return kept("it can't be read") };
    let mut there = Vec::new();
    file.take(LONGEST_FILE).read_to_end(&mut there).at("cannot read", &place.path())?;
    if there == *bytes {
        return Ok((SettingsFate::Same, None));
    }
    if way.joins || (way.force && way.is_mixed) {
        return joined(name, &there, bytes, way);
    }
    if way.force { Ok((SettingsFate::Replaced, None)) } else { kept("a file is there") }
}

/// Joins JSON. By force the archive's values win, and what only the file that is there has stays:
/// its credentials among that.
fn joined(
    name: &[u8],
    there: &[u8],
    bytes: &[u8],
    way: &Way<'_>,
) -> Result<(SettingsFate, Option<SettingsContent>)> {
    let parse = |bytes| serde_json::from_slice::<serde_json::Value>(bytes);
    let (Ok(own), Ok(archived)) = (parse(there), parse(bytes)) else {
        let is_free = clean(name, there)? == Cleaned::AsItIs;
        return Ok(match (way.force, is_free) {
            (true, true) => (SettingsFate::Replaced, None),
            (true, false) => (SettingsFate::Kept("it holds credentials of this machine"), None),
            (false, _) => (SettingsFate::Kept("it can't be joined"), None),
        });
    };
    let joined = if way.force && !way.joins {
        join_json(archived, own.clone(), way.key)
    } else {
        join_json(own.clone(), archived, way.key)
    };
    if joined == own {
        return Ok((SettingsFate::Same, None));
    }
    let mut text = serde_json::to_vec_pretty(&joined)
        .map_err(|error| Error::failed("cannot write JSON").source(error))?;
    text.push(b'\n');
    Ok((SettingsFate::Joined, Some(SettingsContent::Bytes(text))))
}

impl PlannedSetting {
    /// Returns whether something is written.
    pub fn writes(&self) -> bool {
        matches!(self.fate, SettingsFate::New | SettingsFate::Joined | SettingsFate::Replaced)
    }

    /// Writes the file, whole or not at all.
    pub fn write(&self) -> Result<()> {
        let Some(place) = self.place.as_ref().filter(|_| self.writes()) else { return Ok(()) };
        let (Some(directory), Some((name, _))) = (place.open(true)?, place.last()) else {
            return Ok(());
        };
        let bytes = match &self.content {
            SettingsContent::Link(target) => return directory.symlink(target, name),
            SettingsContent::Bytes(bytes) => bytes,
        };
        let mode = directory.stat(name)?.map_or(self.mode, |stat| stat.mode & 0o777);
        let file = directory.create_temporary(name)?;
        file.write_at(0, bytes)?;
        let permissions = std::fs::Permissions::from_mode(mode);
        file.file().set_permissions(permissions).at("cannot write", &place.path())?;
        file.sync()?;
        file.rename_over(name)
    }

    /// Returns the path that it is written to.
    pub fn path(&self) -> Option<PathBuf> {
        self.place.as_ref().map(SettingsPlace::path)
    }
}
