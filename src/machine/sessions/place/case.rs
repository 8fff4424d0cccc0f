//! What has to be known of a session before it can be planned where it goes.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::disk::DiskFiles;
use super::super::list::SessionRow;
use super::super::local::LocalFile;
use super::super::read::root_of;
use super::super::snapshot::SnapshotFiles;
use super::SessionPlacer;
use super::database::OpencodeProject;
use super::project::{FoundBy, ProjectWish, TargetProject, git_folder, git_top, root_commit};
use crate::agents::session::RootFiles as _;
use crate::agents::{Agent, PROJECT, SessionShape};
use crate::engine::inspect::dump::FileReader;
use crate::error::{Error, Kind, Result};
use crate::id::SnapshotId;
use crate::machine::{FoundAgent, is_file};
use crate::repository::Repository;

/// What is known of a session that is being placed.
pub(super) struct Case<'a> {
    pub(super) row: &'a SessionRow,
    pub(super) agent: Arc<Agent>,
    pub(super) found: FoundAgent,
    pub(super) shape: SessionShape,
    pub(super) snapshot: SnapshotId,
    pub(super) saved: SnapshotFiles<'a>,
    pub(super) relative: String,
    /// Where it is on this machine.
    pub(super) here: Vec<&'a SessionRow>,
    pub(super) project: TargetProject,
}

impl<'a> SessionPlacer<'a> {
    pub(super) fn repository(&self) -> Result<&'a Repository> {
        self.reader
            .repository
            .ok_or_else(|| Error::new(Kind::NoRepository, "no repository to take the session from"))
    }

    pub(super) fn case(&'a self, row: &'a SessionRow) -> Result<Case<'a>> {
        let repository = self.repository()?;
        let found = self.agents.known(&row.agent, self.environment)?;
        let agent = Arc::clone(&found.agent);
        let shape = self.reader.shape(row)?;
        let newest = row.snapshot.ok_or_else(|| {
            Error::failed("the session is not saved:")
                .object(row.id.clone())
                .hint("`stash backup` saves it")
        })?;
        let snapshot = self.reader.holding(row, newest)?;
        let root = root_of(repository, snapshot, row)?;
        let saved = SnapshotFiles::new(repository, &root, self.reader.temporary_folder);
        let relative = String::from_utf8(row.relative.clone()).map_err(|_| {
            Error::failed("the session's file has a name that is no text")
                .object(String::from_utf8_lossy(&row.relative))
        })?;
        let is_it =
            |it: &&SessionRow| it.local.is_some() && it.agent == row.agent && it.id == row.id;
        let here = self.rows.iter().filter(is_it).collect();
        let project = self.target(row, &found, shape, &saved)?;
        Ok(Case { row, agent, found, shape, snapshot, saved, relative, here, project })
    }

    /// Finds the project's folder on this machine.
    fn target(
        &self,
        row: &SessionRow,
        found: &FoundAgent,
        shape: SessionShape,
        saved: &SnapshotFiles<'_>,
    ) -> Result<TargetProject> {
        let home = self.environment.home();
        let old_home = old_home(row, found, home.as_deref());
        let remote = match shape {
            SessionShape::CodexRollout => codex_remote(saved, row)?,
            _ => None,
        };
        let mut candidates: Vec<PathBuf> = Vec::new();
        if self.project.is_none() && remote.is_some() {
            candidates = self.rows.iter().map(|row| PathBuf::from(&row.entry.project)).collect();
            candidates.sort_unstable();
            candidates.dedup();
            candidates.retain(|folder| folder.is_absolute() && git_folder(folder).is_some());
        }
        let wish = ProjectWish {
            old: &row.entry.project,
            old_home: old_home.as_deref(),
            home: home.as_deref(),
            named: self.project,
            remote: remote.as_deref(),
            root_commit: None,
            candidates: &candidates,
        };
        Ok(wish.find())
    }
}

impl Case<'_> {
    /// Returns where the agent's root lies on this machine.
    pub(super) fn root(&self) -> Result<PathBuf> {
        root_place(&self.found, &self.row.label, &self.project)
    }

    /// Returns the one file that holds the session here; two are an error.
    pub(super) fn only_place(&self) -> Result<Option<&LocalFile>> {
        let locals: Vec<&LocalFile> =
            self.here.iter().filter_map(|row| row.local.as_ref()).collect();
        let below = |bytes: &[u8]| PathBuf::from(std::ffi::OsStr::from_bytes(bytes));
        let mut places: Vec<PathBuf> =
            locals.iter().map(|file| file.place.join(below(&file.relative))).collect();
        if self.shape == SessionShape::ClaudeJsonl {
            // A list tells one of them; the agent finds none if there are two.
            places.extend(self.transcripts()?);
        }
        places.sort_unstable();
        places.dedup();
        if places.len() > 1 {
            let places: Vec<String> = places.iter().map(|it| it.display().to_string()).collect();
            return Err(Error::failed(
                "the session lies here more than once, so that its agent may not find it:",
            )
            .object(places.join(", "))
            .hint("move all but one of them away"));
        }
        Ok(locals.first().copied())
    }

    /// Returns the transcripts of this name in all projects' folders of the root.
    fn transcripts(&self) -> Result<Vec<PathBuf>> {
        let mut parts = self.relative.split('/');
        let (Some(top), Some(_)) = (parts.next(), parts.next()) else { return Ok(Vec::new()) };
        let rest: PathBuf = parts.collect();
        let root = self.root()?;
        let folders = DiskFiles::new(&root).list(top.as_bytes())?.into_iter();
        let folders =
            folders.map(|name| root.join(top).join(std::ffi::OsStr::from_bytes(&name)).join(&rest));
        Ok(folders.filter(|path| is_file(path)).collect())
    }

    pub(super) fn remarks(&self) -> Vec<String> {
        let path = self.project.path.display();
        match self.project.found {
            FoundBy::Missing => vec![format!(
                "its project is not on this machine; it is placed for `{path}`, which is not there: `--project-dir \
                 DIR` names another folder"
            )],
            FoundBy::Repository => {
                vec![format!("its project is not where it was; `{path}` has the same git remote")]
            }
            FoundBy::Named | FoundBy::Same | FoundBy::Home | FoundBy::Unknown => Vec::new(),
        }
    }

    pub(super) fn resume(&self, id: &str) -> Option<String> {
        let command = self.agent.restore.as_ref()?.resume.as_ref()?.replace("{id}", &quoted(id));
        let folder = self.project.path.to_str().filter(|path| !path.is_empty());
        Some(match folder {
            Some(folder) => format!("cd {} && {command}", quoted(folder)),
            None => command,
        })
    }
}

/// Returns where a root lies on this machine: the one of the same label, else the first of its kind.
fn root_place(found: &FoundAgent, label: &str, project: &TargetProject) -> Result<PathBuf> {
    let declared = found.agent.declared_label(label);
    if declared == Some(PROJECT) {
        return if project.path.as_os_str().is_empty() {
            Err(no_project(&project.path))
        } else {
            Ok(project.path.clone())
        };
    }
    let same = found.roots.iter().find(|root| root.label == label);
    let kin =
        || found.roots.iter().find(|root| found.agent.declared_label(&root.label) == declared);
    let root = same.or_else(kin).filter(|root| root.problem.is_none());
    root.map(|root| root.place.clone()).ok_or_else(|| {
        Error::failed(format!(
            "this machine has no place for the root `{label}` of {}",
            found.agent.name
        ))
        .hint("`stash agents show` tells where its roots are looked for")
    })
}

pub(super) fn no_project(folder: &Path) -> Error {
    Error::failed("the session belongs into its project's folder, which is not on this machine:")
        .object(folder.display().to_string())
        .hint("`--project-dir DIR` names the folder")
}

/// Returns the home on the machine where a session ran: an agent's root lies below it where it lies below
/// this one.
fn old_home(row: &SessionRow, found: &FoundAgent, home: Option<&Path>) -> Option<String> {
    let declared = found.agent.declared_label(&row.label);
    let roots = found.roots.iter().filter(|it| found.agent.declared_label(&it.label) == declared);
    let was = std::str::from_utf8(&row.place).ok()?;
    let mut below = roots.filter_map(|root| root.place.strip_prefix(home?).ok()?.to_str());
    below.find_map(|below| {
        let old = was.strip_suffix(below)?.strip_suffix('/')?;
        (!below.is_empty() && !old.is_empty()).then(|| old.to_owned())
    })
}

/// Returns the address of the git repository that a rollout's first line states.
fn codex_remote(saved: &SnapshotFiles<'_>, row: &SessionRow) -> Result<Option<String>> {
    use std::io::Read as _;
    /// A first line that holds the whole prompt is about 20 KB.
    const LONGEST: u64 = 1 << 20;
    let mut reader = saved.reader()?;
    let Some(node) = saved.node(&mut reader, &row.relative)? else { return Ok(None) };
    let mut bytes = Vec::new();
    let content = FileReader::new(&mut reader, &node).take(LONGEST).read_to_end(&mut bytes);
    content.map_err(|error| Error::failed("cannot read from the snapshot").source(error))?;
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let record: Option<serde_json::Value> = serde_json::from_slice(line).ok();
    let url = record.as_ref().and_then(|it| it.pointer("/payload/git/repository_url")?.as_str());
    Ok(url.map(str::to_owned))
}

/// Returns the project that `OpenCode` takes a folder for.
pub(super) fn opencode_project(folder: &Path, path: &str) -> OpencodeProject {
    let Some(top) = git_top(folder) else {
        let is_there = folder.is_dir();
        return OpencodeProject {
            id: is_there.then(|| "global".to_owned()),
            worktree: if is_there { "/".to_owned() } else { path.to_owned() },
            path: if is_there { path.trim_start_matches('/').to_owned() } else { String::new() },
        };
    };
    let below = folder.strip_prefix(top).unwrap_or(Path::new(""));
    OpencodeProject {
        id: git_folder(top).and_then(|git| root_commit(&git)),
        worktree: top.display().to_string(),
        path: below.display().to_string(),
    }
}

pub(super) fn text(path: &Path) -> Result<String> {
    path.to_str().map(str::to_owned).ok_or_else(|| {
        Error::failed("the project's folder has a name that is no text")
            .object(path.display().to_string())
    })
}

/// Returns a word as a shell takes it for just that.
fn quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+:@%".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}
