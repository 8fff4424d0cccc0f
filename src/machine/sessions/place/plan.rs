//! What is to be done to place one session.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::list::SessionRow;
use super::super::snapshot::SnapshotFiles;
use super::block::{self, BlockWork};
use super::case::{Case, no_project, opencode_project, text};
use super::compare::{Relation, TurnHashes};
use super::database::RowWork;
use super::files::{self, Beside, FileItem, FileWork, holds_lines};
use super::index::{self, Listed};
use super::project::{FoundBy, TargetProject};
use super::{Fate, SessionPlacer, SessionPlan};
use crate::agents::SessionShape;
use crate::agents::session::placement::{
    Also, FilePlacement, Placement, Placing, Rebind, RowRules,
};
use crate::agents::session::{aider_blocks, aider_ordinal};
use crate::error::{Error, Kind, Result};
use crate::files::sqlite::find_holder;
use crate::format::tree::{Category, NodeKind};
use crate::machine::refuse_running;

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
            root.clone_from(&there.place);
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
        let there = case.here.first().copied();
        if let Some(local) = case.only_place()? {
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
            is_new: fate == Fate::New,
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

fn refuse_holder(database: &Path) -> Result<()> {
    let Some(holder) = find_holder(database)? else { return Ok(()) };
    let who = holder.pid.map_or_else(|| "a process".to_owned(), |pid| format!("process {pid}"));
    Err(Error::new(Kind::Busy, format!("{who} has this database open:"))
        .object(database.display().to_string())
        .hint("end the agent first; with `--force` the rows are put in all the same, in one transaction"))
}

fn at(placing: &Placing<'_>, to: &str, also: Also) -> FilePlacement {
    match placing.at(to) {
        Placement::Files(placement) => placement,
        _ => FilePlacement { to: to.to_owned(), beside: Vec::new(), also },
    }
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
