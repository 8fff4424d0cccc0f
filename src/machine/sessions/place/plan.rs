//! What is to be done to place one session.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::list::SessionRow;
use super::super::read::root_of;
use super::super::snapshot::SnapshotFiles;
use super::block::{self, BlockWork};
use super::compare::{Relation, TurnHashes};
use super::database::{OpencodeProject, RowWork};
use super::files::{self, Beside, FileItem, FileWork, holds_lines};
use super::index::{self, Listed};
use super::project::{FoundBy, ProjectWish, TargetProject, git_folder, git_top, root_commit};
use super::{Fate, SessionPlacer, SessionPlan};
use crate::agents::session::placement::{
    Also, FilePlacement, Placement, Placing, Rebind, RowRules,
};
use crate::agents::session::{aider_blocks, aider_ordinal};
use crate::agents::{Agent, PROJECT, SessionShape};
use crate::engine::inspect::dump::FileReader;
use crate::error::{Error, Kind, Result};
use crate::files::sqlite::find_holder;
use crate::format::tree::{Category, NodeKind};
use crate::id::SnapshotId;
use crate::machine::{FoundAgent, refuse_running};
use crate::repository::Repository;

/// A plan, and what it needs.
pub(super) struct Prepared<'a> {
    pub(super) plan: SessionPlan,
    saved: SnapshotFiles<'a>,
    work: Work,
}

enum Work {
    Files { work: FileWork, also: Also, project: String },
    Rows { work: Box<RowWork>, live: PathBuf, relative: Vec<u8> },
    Block(BlockWork),
}

/// What is known of a session that is being placed.
struct Case<'a> {
    row: &'a SessionRow,
    agent: Arc<Agent>,
    found: FoundAgent,
    shape: SessionShape,
    snapshot: SnapshotId,
    saved: SnapshotFiles<'a>,
    relative: String,
    /// Where it is on this machine.
    here: Vec<&'a SessionRow>,
    project: TargetProject,
}

impl<'a> SessionPlacer<'a> {
    pub(super) fn prepare(&'a self, row: &'a SessionRow) -> Result<Prepared<'a>> {
        let case = self.case(row)?;
        let project = text(&case.project.path)?;
        let root = case.root()?;
        let registered = match case.shape {
            SessionShape::GeminiChat if case.agent.id == "gemini" && !project.is_empty() => {
                Some(index::gemini_name(&root, &project)?)
            }
            _ => None,
        };
        let (agent, relative) = (Arc::clone(&case.agent), case.relative.clone());
        let placing = Placing {
            agent: &agent.id,
            shape: case.shape,
            id: &row.id,
            relative: &relative,
            old_project: &row.entry.project,
            new_project: &project,
            registered: registered.as_deref(),
        };
        if self.as_copy && case.agent.id != "claude-code" {
            return Err(Error::failed(format!(
                "{} is not known to take a session under another id:",
                case.agent.name
            ))
            .object(row.id.clone())
            .hint("`--force` replaces the one that is here; `stash undo` brings it back"));
        }
        match placing.placement() {
            Placement::Files(placement) => self.files(case, root, &placing, placement),
            Placement::Rows(rules) => self.rows(case, root, rules),
            Placement::Block => self.block(case, &root),
            Placement::Impossible(reason) => Err(Error::failed(format!(
                "a single session of {} can't be put back: {reason}",
                case.agent.name
            ))
            .hint(format!(
                "`stash restore --agent {} --target DIR` gives its files",
                case.agent.id
            ))),
        }
    }

    fn repository(&self) -> Result<&'a Repository> {
        self.reader
            .repository
            .ok_or_else(|| Error::new(Kind::NoRepository, "no repository to take the session from"))
    }

    fn case(&'a self, row: &'a SessionRow) -> Result<Case<'a>> {
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

    /// Returns how the turns here relate to those that are saved.
    fn turns(&self, case: &Case<'_>, here: &SessionRow) -> Result<(Relation, bool)> {
        let (mut one, mut other) = (TurnHashes::default(), TurnHashes::default());
        self.reader.read(here, &mut one)?;
        self.reader.read_saved(case.row, case.snapshot, &mut other)?;
        let is_same_session = one.is_empty() || other.is_empty() || one.begins_as(&other);
        Ok((one.relation(&other), is_same_session))
    }

    fn fate(&self, relation: Option<Relation>, case: &Case<'_>, path: &Path) -> Result<Fate> {
        match relation {
            None => Ok(Fate::New),
            Some(Relation::Equal) => Ok(Fate::Same),
            Some(Relation::Shorter) => Ok(Fate::Grows),
            Some(_) if self.force => Ok(Fate::Replaced),
            Some(Relation::Longer) => Ok(Fate::Longer),
            Some(Relation::Diverged) => {
                let copies = case.agent.id == "claude-code";
                let hint =
                    if copies { ", `--as-copy` adds the saved one under another id" } else { "" };
                Err(Error::failed("the session here went another way than the saved one:")
                    .object(path.display().to_string())
                    .hint(format!("`--force` replaces it (`stash undo` brings it back){hint}")))
            }
        }
    }

    fn files(
        &'a self,
        mut case: Case<'a>,
        mut root: PathBuf,
        placing: &Placing<'_>,
        mut placement: FilePlacement,
    ) -> Result<Prepared<'a>> {
        let mut id = case.row.id.clone();
        let mut copy = None;
        if self.as_copy {
            let new = new_uuid(&id)?;
            placement = at(placing, &placement.to.replace(&id, &new), placement.also);
            copy = Some((id, new.clone()));
            id = new;
        } else if let Some(there) = case.only_place()? {
            // Where its agent has it is its place.
            root = root_place(&case.found, &there.label, &case.project)?;
            placement = at(placing, &String::from_utf8_lossy(&there.relative), placement.also);
        }
        let node = {
            let mut reader = case.saved.reader()?;
            case.saved.node(&mut reader, case.relative.as_bytes())?
        };
        let node = node.filter(|node| node.kind == NodeKind::File).ok_or_else(|| {
            Error::failed("the snapshot does not hold the session's file:")
                .object(case.relative.clone())
        })?;
        let path = root.join(&placement.to);
        let mut relation = files::relation(&path, &node, &case.saved)?;
        let is_lines =
            holds_lines(placement.to.as_bytes()) && holds_lines(case.relative.as_bytes());
        if let Some(there) = case.here.first().filter(|_| copy.is_none())
            && !is_lines
            && matches!(relation, Some(it) if it != Relation::Equal)
        {
            relation = Some(self.turns(&case, there)?.0);
            let endings =
                [&placement.to, &case.relative].map(|it| it.rsplit('.').next() == Some("zst"));
            if endings == [true, false] || endings == [false, true] {
                return Err(Error::failed(
                    "the session is compressed in one place and plain in the other:",
                )
                .object(path.display().to_string())
                .hint("it is here; `stash show` reads both"));
            }
        }
        let mut fate = match copy {
            Some(_) => Fate::Copied,
            None => self.fate(relation, &case, &path)?,
        };
        let beside = Beside {
            agent: &case.agent,
            label: &case.row.label,
            replaces: fate == Fate::Replaced,
            grows: fate == Fate::Grows,
        };
        let mut items = Vec::new();
        if fate != Fate::Longer {
            items = files::beside(&placement, &case.relative, &root, &case.saved, &beside)?;
        }
        if fate == Fate::Same
            && (!items.is_empty() || !index::is_listed(placement.also, &root, &case.row.id)?)
        {
            fate = Fate::Completed;
        } else if fate.writes() {
            if case.shape.is_database() && relation.is_some() {
                refuse_holder(&path)?;
            }
            items.push(FileItem { node, to: placement.to.clone() });
        }
        if fate == Fate::Grows && !self.force {
            refuse_running(&case.found)?;
        }
        let rules = case.agent.restore.as_ref();
        let refresh = rules.is_some_and(|it| it.refresh_mtime.contains(&Category::Sessions));
        let mut remarks = case.remarks();
        if refresh && fate.writes() {
            remarks.push(format!(
                "it got the present time, since {} deletes old ones by it",
                case.agent.name
            ));
        }
        if matches!(placement.also, Also::ClineList | Also::RooList) && fate.writes() {
            remarks.push(
                "close the editor first: it writes its own list of tasks over this one".to_owned(),
            );
        }
        let project = text(&case.project.path)?;
        let resume = case.resume(&id);
        let work = FileWork { root, items, refresh, copy };
        let project_path = std::mem::replace(
            &mut case.project,
            TargetProject { path: PathBuf::new(), found: FoundBy::Unknown },
        );
        Ok(Prepared {
            plan: SessionPlan { id, fate, project: project_path, path, remarks, resume },
            saved: case.saved,
            work: Work::Files { work, also: placement.also, project },
        })
    }

    fn rows(
        &'a self,
        case: Case<'a>,
        root: PathBuf,
        rules: &'static RowRules,
    ) -> Result<Prepared<'a>> {
        let mut live = if case.relative.is_empty() { root } else { root.join(&case.relative) };
        let there = case.only_place()?;
        if let Some(local) = there.and_then(|there| there.local.as_ref()) {
            let relative = String::from_utf8_lossy(&local.relative).into_owned();
            live =
                if relative.is_empty() { local.place.clone() } else { local.place.join(relative) };
        }
        let id = case.row.id.clone();
        let mut new_id = id.clone();
        let mut remarks = case.remarks();
        let mut relation = None;
        if let Some(there) = there {
            let (found, is_same_session) = self.turns(&case, there)?;
            relation = Some(found);
            if rules.renumbers && !is_same_session {
                relation = None;
                new_id = self.free_number(&id, &case.row.agent);
                remarks
                    .push(format!("`{id}` is another session here, so that it becomes `{new_id}`"));
            }
        }
        let fate = self.fate(relation, &case, &live)?;
        if fate.writes() && !self.force {
            refuse_holder(&live)?;
        }
        let project = (case.row.entry.project.clone(), text(&case.project.path)?);
        let opencode = (rules.rebind == Rebind::Opencode && project.0 != project.1)
            .then(|| opencode_project(&case.project.path, &project.1));
        if let Some(opencode) = opencode.as_ref().filter(|it| it.worktree == "/")
            && fate.writes()
        {
            let id = opencode.id.as_deref().unwrap_or_default();
            remarks.push(format!("`{}` is in no git repository: its project is `{id}`", project.1));
        }
        let resume = case.resume(&new_id);
        let work = RowWork {
            rules,
            id,
            new_id: new_id.clone(),
            project,
            opencode,
            replaces: fate == Fate::Replaced,
        };
        let plan = SessionPlan {
            id: new_id,
            fate,
            project: case.project,
            path: live.clone(),
            remarks,
            resume,
        };
        let relative = case.relative.into_bytes();
        Ok(Prepared {
            plan,
            saved: case.saved,
            work: Work::Rows { work: Box::new(work), live, relative },
        })
    }

    /// Returns the next number of a day that no session here has.
    fn free_number(&self, id: &str, agent: &str) -> String {
        let day = id.split('_').next().unwrap_or(id);
        let numbers = self.rows.iter().filter(|row| row.agent == agent && row.local.is_some());
        let numbers = numbers
            .filter_map(|row| row.id.strip_prefix(day)?.strip_prefix('_')?.parse::<u64>().ok());
        format!("{day}_{}", numbers.max().unwrap_or(0).saturating_add(1))
    }

    fn block(&'a self, case: Case<'a>, root: &Path) -> Result<Prepared<'a>> {
        let path =
            if case.relative.is_empty() { root.to_owned() } else { root.join(&case.relative) };
        if !path.parent().is_some_and(Path::is_dir) {
            return Err(no_project(root));
        }
        let input = case.saved.unpacked(case.relative.as_bytes())?;
        let input = input.ok_or_else(|| Error::failed("the snapshot does not hold the history"))?;
        let mut blocks = {
            use crate::error::IoContext as _;
            #[expect(clippy::disallowed_methods, reason = "a private copy")]
            let mut file = std::fs::File::open(&input).at("cannot open", &input)?;
            aider_blocks(&mut file)?
        };
        let ordinal = aider_ordinal(&case.row.id).filter(|it| *it < blocks.len() && *it > 0);
        let Some(ordinal) = ordinal else {
            return Err(Error::failed("the snapshot's history does not hold the session")
                .object(case.row.id.clone()));
        };
        let block = blocks.swap_remove(ordinal);
        let relation = block::relation(&path, &block)?;
        let fate = self.fate(relation, &case, &path)?;
        let plan = SessionPlan {
            id: case.row.id.clone(),
            fate,
            path: path.clone(),
            remarks: case.remarks(),
            resume: case.resume(&case.row.id),
            project: case.project,
        };
        Ok(Prepared { plan, saved: case.saved, work: Work::Block(BlockWork { path, block }) })
    }
}

impl Case<'_> {
    /// Returns where the agent's root lies on this machine.
    fn root(&self) -> Result<PathBuf> {
        root_place(&self.found, &self.row.label, &self.project)
    }

    /// Returns the one place where the session is here; two are an error.
    fn only_place(&self) -> Result<Option<&SessionRow>> {
        let mut places: Vec<String> = self
            .here
            .iter()
            .filter_map(|row| row.local.as_ref())
            .map(|file| {
                let below = Path::new(std::ffi::OsStr::from_bytes(&file.relative));
                file.place.join(below).display().to_string()
            })
            .collect();
        places.sort_unstable();
        places.dedup();
        if places.len() > 1 {
            return Err(Error::failed(
                "the session lies here more than once, so that its agent may not find it:",
            )
            .object(places.join(", "))
            .hint("move all but one of them away"));
        }
        Ok(self.here.first().copied())
    }

    fn remarks(&self) -> Vec<String> {
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

    fn resume(&self, id: &str) -> Option<String> {
        let command = self.agent.restore.as_ref()?.resume.as_ref()?.replace("{id}", &quoted(id));
        let folder = self.project.path.to_str().filter(|path| !path.is_empty());
        Some(match folder {
            Some(folder) => format!("cd {} && {command}", quoted(folder)),
            None => command,
        })
    }
}

impl Prepared<'_> {
    /// Does it. Returns the files that were made.
    pub(super) fn run(&self, row: &SessionRow) -> Result<Vec<PathBuf>> {
        if !self.plan.fate.writes() {
            return Ok(Vec::new());
        }
        match &self.work {
            Work::Block(work) => work.run(),
            Work::Rows { work, live, relative } => {
                let saved = self.saved.unpacked(relative)?.ok_or_else(|| {
                    Error::failed("the snapshot does not hold the session's database")
                })?;
                let is_new = !live.exists();
                work.run(&saved, live)?;
                Ok(if is_new { vec![live.clone()] } else { Vec::new() })
            }
            Work::Files { work, also, project } => {
                let mut made = Vec::new();
                if *also == Also::GeminiRegister && !project.is_empty() {
                    let name = index::gemini_name(&work.root, project)?;
                    made.extend(index::gemini_claim(&work.root, &name, project)?);
                }
                made.extend(work.run(&self.saved)?);
                let listed = Listed {
                    id: &row.id,
                    title: &row.entry.title,
                    started_ms: row.entry.started.or(row.entry.last).unwrap_or(0) / 1_000_000,
                    turns: row.entry.turns,
                    project: (&row.entry.project, project),
                };
                made.extend(index::list(*also, &work.root, &self.saved, &listed)?);
                Ok(made)
            }
        }
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

fn no_project(folder: &Path) -> Error {
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

fn refuse_holder(database: &Path) -> Result<()> {
    let Some(holder) = find_holder(database)? else { return Ok(()) };
    let who = holder.pid.map_or_else(|| "a process".to_owned(), |pid| format!("process {pid}"));
    Err(Error::new(Kind::Busy, format!("{who} has this database open:"))
        .object(database.display().to_string())
        .hint("end the agent first; with `--force` the rows are put in all the same, in one transaction"))
}

/// Returns the project that `OpenCode` takes a folder for.
fn opencode_project(folder: &Path, path: &str) -> OpencodeProject {
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

fn at(placing: &Placing<'_>, to: &str, also: Also) -> FilePlacement {
    match placing.at(to) {
        Placement::Files(placement) => placement,
        _ => FilePlacement { to: to.to_owned(), beside: Vec::new(), also },
    }
}

fn text(path: &Path) -> Result<String> {
    path.to_str().map(str::to_owned).ok_or_else(|| {
        Error::failed("the project's folder has a name that is no text")
            .object(path.display().to_string())
    })
}

/// Returns a new id as Claude Code has them, as long as the old one.
fn new_uuid(old: &str) -> Result<String> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(|error| {
        Error::failed("the system gives no random bytes").source(error.to_string())
    })?;
    // Version 4, variant 1.
    let [.., version, _, variant, _, _, _, _, _, _, _] = &mut bytes;
    *version = *version & 0x0f | 0x40;
    *variant = *variant & 0x3f | 0x80;
    let hex = crate::id::to_hex(&bytes);
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    let new = [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-");
    if new.len() != old.len() {
        return Err(
            Error::failed("the session's id is none that a copy could get another of:").object(old)
        );
    }
    Ok(new)
}

/// Returns a word as a shell takes it for just that.
fn quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+:@%".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}
