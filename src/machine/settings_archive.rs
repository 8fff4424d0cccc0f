//! Settings of agents as one file that plain `tar` reads: `stash-config-DATE.tar.gz`.
//!
//! ```text
//! stash-config.json           what it is: format, host, time, agents, what was left out or taken out
//! AGENT/LABEL/path            a file below one of the agent's roots
//! AGENT/LABEL                 a root that is a file
//! ```
//!
//! What is read is not trusted: names, links, sizes and counts are checked before anything is kept,
//! and an archive that breaks a rule is refused whole. claude-backup's archive is known, too.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::format::tree::validate_name;

/// The longest file, in bytes.
pub(super) const LONGEST_FILE: u64 = 16 << 20;
/// All of them together, in bytes.
pub const LONGEST_ALL: u64 = 256 << 20;
/// So many entries are read.
const MOST_ENTRIES: usize = 100_000;
/// What begins every archive of ours.
const MANIFEST: &[u8] = b"stash-config.json";
const FORMAT: &str = "stash-config";
/// What claude-backup's archives hold, below Claude Code's folder.
const CLAUDE_BACKUP: [&[u8]; 7] = [
    b"settings.json",
    b"settings.local.json",
    b"CLAUDE.md",
    b"agents",
    b"hooks",
    b"skills",
    b"rules",
];
/// Names of files that hold credentials, whatever a catalog says.
const CREDENTIAL_FILES: [&[u8]; 12] = [
    b".credentials.json",
    b".encryption_key",
    b"auth.json",
    b"credentials.json",
    b"oauth_creds.json",
    b"secrets.yaml",
    b".env",
    b".netrc",
    b".npmrc",
    b".pypirc",
    b"id_rsa",
    b"id_ed25519",
];

/// What an archive says of itself.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq, Eq)]
pub struct SettingsManifest {
    /// `stash-config`.
    pub format: String,
    /// 1.
    pub version: u32,
    /// The machine that it is of.
    pub host: String,
    /// When it was made.
    pub time: String,
    /// The agents.
    pub agents: Vec<String>,
    /// Keys and lines taken out of files, by file.
    #[serde(default)]
    pub taken_out: Vec<SettingsRemark>,
    /// Files left out, and why.
    #[serde(default)]
    pub left_out: Vec<SettingsRemark>,
}

/// Something to be said about a file.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq, Eq)]
pub struct SettingsRemark {
    /// The file.
    pub file: String,
    /// What is to be said.
    pub what: String,
}

/// One file of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsFile {
    /// The agent's id.
    pub agent: String,
    /// The root's label.
    pub label: String,
    /// Its path below the root; empty for a root that is a file.
    pub below: Vec<u8>,
    /// What it holds.
    pub content: SettingsContent,
    /// Its permissions.
    pub mode: u32,
    /// When it was modified, in seconds.
    pub mtime: u64,
}

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettingsContent {
    /// Bytes.
    Bytes(Vec<u8>),
    /// It is a symbolic link that leads there.
    Link(Vec<u8>),
}

impl SettingsFile {
    /// Returns its name in the archive.
    pub fn name(&self) -> Vec<u8> {
        let mut name = format!("{}/{}", self.agent, self.label).into_bytes();
        if !self.below.is_empty() {
            name.push(b'/');
            name.extend_from_slice(&self.below);
        }
        name
    }
}

/// Returns whether a file's name says that it holds credentials.
pub(super) fn is_credential_file(below: &[u8]) -> bool {
    let name = below.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    CREDENTIAL_FILES.contains(&name)
}

/// Returns whether a link below a root leads to something below that root.
pub(super) fn stays_inside(below: &[u8], target: &[u8]) -> bool {
    let mut depth = below.split(|byte| *byte == b'/').count().saturating_sub(1);
    if target.is_empty() || target.starts_with(b"/") {
        return false;
    }
    for part in target.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => match depth.checked_sub(1) {
                Some(above) => depth = above,
                None => return false,
            },
            _ => depth = depth.saturating_add(1),
        }
    }
    true
}

/// Returns the archive of these files.
pub fn write_settings(manifest: &SettingsManifest, files: &[SettingsFile]) -> Result<Vec<u8>> {
    let failed = |error: std::io::Error| Error::failed("cannot make the archive").source(error);
    let text = serde_json::to_vec_pretty(manifest)
        .map_err(|error| Error::failed("cannot write JSON").source(error))?;
    let packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    let mut archive = tar::Builder::new(packer);
    let mut add = |name: &[u8], content: &SettingsContent, mode: u32, mtime: u64| {
        let path = Path::new(OsStr::from_bytes(name));
        let mut header = tar::Header::new_gnu();
        header.set_mode(mode & 0o777);
        header.set_mtime(mtime);
        header.set_uid(0);
        header.set_gid(0);
        match content {
            SettingsContent::Bytes(bytes) => {
                header.set_entry_type(tar::EntryType::Regular);
                header.set_size(bytes.len() as u64);
                archive.append_data(&mut header, path, bytes.as_slice())
            }
            SettingsContent::Link(target) => {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_size(0);
                archive.append_link(&mut header, path, Path::new(OsStr::from_bytes(target)))
            }
        }
    };
    add(MANIFEST, &SettingsContent::Bytes(text), 0o600, 0).map_err(failed)?;
    for file in files {
        add(&file.name(), &file.content, file.mode, file.mtime).map_err(failed)?;
    }
    archive.into_inner().and_then(flate2::write::GzEncoder::finish).map_err(failed)
}

/// Reads an archive: of ours, with its manifest, or of claude-backup.
pub fn read_settings(bytes: &[u8]) -> Result<(Option<SettingsManifest>, Vec<SettingsFile>)> {
    let entries = read_entries(&unpack(bytes)?)?;
    refuse_strange_shapes(&entries)?;
    if let Some((_, manifest)) = entries.iter().find(|(name, _)| name == MANIFEST) {
        let manifest = read_manifest(&manifest.content)?;
        let files = entries.into_iter().filter(|(name, _)| name != MANIFEST);
        let files = files.map(|(name, file)| place_ours(&name, file));
        return Ok((Some(manifest), files.collect::<Result<_>>()?));
    }
    let is_known = |name: &[u8]| {
        CLAUDE_BACKUP.contains(&name.split(|byte| *byte == b'/').next().unwrap_or_default())
    };
    if entries.is_empty() || !entries.iter().all(|(name, _)| is_known(name)) {
        return Err(Error::failed("this is no archive of settings")
            .hint("looked for: `stash-config.json` at its top, or what claude-backup exports"));
    }
    let of_claude = |(name, file): (Vec<u8>, SettingsFile)| {
        place_ours(&[b"claude-code/main/", name.as_slice()].concat(), file)
    };
    Ok((None, entries.into_iter().map(of_claude).collect::<Result<_>>()?))
}

fn refused(name: &[u8], why: &str) -> Error {
    Error::failed(format!("the archive is refused: {why}:"))
        .object(String::from_utf8_lossy(name))
        .hint("nothing was changed; `tar -tzf` lists what is in it")
}

fn unpack(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut unpacked = Vec::new();
    let mut reader = flate2::read::MultiGzDecoder::new(bytes).take(LONGEST_ALL.saturating_add(1));
    reader.read_to_end(&mut unpacked).map_err(|error| {
        Error::failed("this is no archive of settings, or it is damaged").source(error)
    })?;
    if unpacked.len() as u64 > LONGEST_ALL {
        return Err(Error::failed(
            "the archive is refused: unpacked it is longer than any that is written",
        ));
    }
    Ok(unpacked)
}

/// Returns the archive's files and links by name, each name clean.
fn read_entries(unpacked: &[u8]) -> Result<Vec<(Vec<u8>, SettingsFile)>> {
    let damaged = |error: std::io::Error| Error::failed("the archive is damaged").source(error);
    let mut archive = tar::Archive::new(unpacked);
    let mut entries = Vec::new();
    for entry in archive.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        if entries.len() >= MOST_ENTRIES {
            return Err(Error::failed("the archive is refused: it holds too many files"));
        }
        let name = clean_name(&entry.path_bytes())?;
        let header = entry.header();
        let (mode, mtime) = (header.mode().unwrap_or(0o600), header.mtime().unwrap_or(0));
        let content = match header.entry_type() {
            tar::EntryType::Directory | tar::EntryType::XGlobalHeader => continue,
            tar::EntryType::Regular | tar::EntryType::Continuous => {
                if entry.size() > LONGEST_FILE {
                    return Err(refused(&name, "a file is too long"));
                }
                let mut bytes = Vec::new();
                (&mut entry).take(LONGEST_FILE).read_to_end(&mut bytes).map_err(damaged)?;
                SettingsContent::Bytes(bytes)
            }
            tar::EntryType::Symlink => {
                let target = entry.link_name_bytes().unwrap_or_default().into_owned();
                SettingsContent::Link(target)
            }
            _ => return Err(refused(&name, "an entry is neither file, folder nor link")),
        };
        // What macOS puts beside files.
        let is_companion =
            name.rsplit(|byte| *byte == b'/').next().is_some_and(|it| it.starts_with(b"._"));
        if name.is_empty() || is_companion {
            continue;
        }
        let (agent, label, below) = (String::new(), String::new(), Vec::new());
        entries.push((name, SettingsFile { agent, label, below, content, mode, mtime }));
    }
    Ok(entries)
}

/// Returns a name without `./` at its beginning; one that leads elsewhere is an error.
fn clean_name(path: &[u8]) -> Result<Vec<u8>> {
    if path.starts_with(b"/") {
        return Err(refused(path, "an entry has an absolute path"));
    }
    let parts = path.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b"."));
    let parts: Vec<&[u8]> = parts.collect();
    if parts.iter().any(|part| *part == b".." || validate_name(part).is_err()) {
        return Err(refused(path, "an entry leads out of it"));
    }
    Ok(parts.join(&b'/'))
}

/// Refuses a name that is there twice, and what lies below a link or a file.
fn refuse_strange_shapes(entries: &[(Vec<u8>, SettingsFile)]) -> Result<()> {
    let mut names = BTreeSet::new();
    for (name, _) in entries {
        if !names.insert(name.as_slice()) {
            return Err(refused(name, "an entry is there twice"));
        }
        if is_credential_file(name) {
            return Err(refused(name, "it holds a file for credentials"));
        }
    }
    for name in &names {
        let above = name.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let mut above = above.filter_map(|(place, _)| name.get(..place));
        if above.any(|above| names.contains(above)) {
            return Err(refused(name, "an entry lies below a link or a file"));
        }
    }
    Ok(())
}

fn read_manifest(content: &SettingsContent) -> Result<SettingsManifest> {
    let SettingsContent::Bytes(bytes) = content else {
        return Err(refused(MANIFEST, "its list is a link"));
    };
    let manifest: SettingsManifest = serde_json::from_slice(bytes).map_err(|error| {
        Error::failed("cannot read the archive's `stash-config.json`").source(error)
    })?;
    if manifest.format != FORMAT || manifest.version != 1 {
        return Err(Error::failed("the archive is of a version that this program does not know")
            .hint("a newer stash reads it"));
    }
    Ok(manifest)
}

fn place_ours(name: &[u8], file: SettingsFile) -> Result<SettingsFile> {
    let mut parts = name.splitn(3, |byte| *byte == b'/');
    let mut word =
        || parts.next().and_then(|part| std::str::from_utf8(part).ok()).map(str::to_owned);
    let (Some(agent), Some(label)) = (word(), word()) else {
        return Err(refused(name, "an entry is not below `AGENT/LABEL`"));
    };
    let below = parts.next().unwrap_or_default().to_vec();
    if let SettingsContent::Link(target) = &file.content
        && !stays_inside(&below, target)
    {
        return Err(refused(name, "a link leads out of it"));
    }
    Ok(SettingsFile { agent, label, below, ..file })
}

impl SettingsManifest {
    /// Returns the manifest of an archive that is made now.
    pub fn new(host: &str, time: String, agents: Vec<String>) -> Self {
        SettingsManifest {
            format: FORMAT.to_owned(),
            version: 1,
            host: host.to_owned(),
            time,
            agents,
            ..SettingsManifest::default()
        }
    }
}

#[cfg(test)]
mod tests;
