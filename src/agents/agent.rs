//! An agent's definition as a value: what its file says, checked.

use std::path::PathBuf;
use std::sync::OnceLock;

use super::rules::RuleSet;
use super::template::PlaceTemplate;
use super::words::{
    Evidence, HookFormat, MergeFormat, PathKind, Payload, PidPlace, PurgeClock, RetentionUnit,
    RunningKind, SessionPlacement, SessionShape, System,
};
use crate::format::tree::Category;

/// How sure a statement is, and what else is to be said about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Basis {
    /// How sure it is.
    pub evidence: Evidence,
    /// A remark for people.
    pub note: Option<String>,
}

/// Where a definition comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// It came with the program.
    Builtin,
    /// A file of the user.
    File(PathBuf),
}

/// One coding agent.
#[derive(Debug, Clone)]
pub struct Agent {
    /// Its id: lower case, digits and `-`.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// Further names that the command line understands.
    pub aliases: Vec<String>,
    /// The names of its programs.
    pub programs: Vec<String>,
    /// The evidence of entries that state none, and a remark about the agent.
    pub basis: Basis,
    /// Where it keeps things.
    pub declared_roots: Vec<RootDefinition>,
    /// What its files are; the first rule that matches decides.
    pub rules: Vec<FileRule>,
    /// What it keeps in the user's projects.
    pub projects: Option<Projects>,
    /// Where its sessions lie, and in which shape.
    pub sessions: Vec<SessionStore>,
    /// How to see that it runs.
    pub running: Vec<RunningCheck>,
    /// What it deletes by itself; `None`: not known.
    pub retention: Option<Retention>,
    /// Where it takes hooks.
    pub hooks: Vec<HookPlace>,
    /// What a restore must mind.
    pub restore: Option<RestoreRules>,
    /// Where the definition comes from.
    pub origin: Origin,
    /// The rules, made ready for matching when first needed.
    pub(super) compiled: OnceLock<RuleSet>,
}

/// One root of an agent, wherever it lies.
#[derive(Debug, Clone, PartialEq)]
pub struct RootDefinition {
    /// Its name in snapshots.
    pub label: String,
    /// Folder or file.
    pub kind: PathKind,
    /// Variables that move it; the first one that is set wins.
    pub variables: Vec<Variable>,
    /// Its places without a variable: for all systems, and those that differ.
    pub places: Vec<PlaceTemplate>,
    /// The systems whose places are not `places`.
    pub system_places: Vec<(System, Vec<PlaceTemplate>)>,
    /// Whether it shows that the agent is there.
    pub detects: Detects,
    /// Whether it belongs to others too, so that only what a rule names is the agent's.
    pub shared: bool,
    /// How sure that is.
    pub basis: Basis,
}

impl RootDefinition {
    /// Returns its places on a system.
    pub fn places_on(&self, system: System) -> &[PlaceTemplate] {
        let own = self.system_places.iter().find(|(its, _)| *its == system);
        own.map_or(&self.places, |(_, places)| places)
    }
}

/// A variable that moves a root.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// What is appended to its value; may be empty.
    pub append: String,
    /// What separates several places in its value.
    pub separator: Option<String>,
    /// What a relative value is relative to: another root, or `project` for each project. `None`:
    /// a relative value can't be used.
    pub relative: Option<String>,
    /// Values that name no place.
    pub ignore: Vec<String>,
}

/// What of a root shows that the agent is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Detects {
    /// Nothing.
    No,
    /// That the root is there.
    Presence,
    /// That one of these is below it; they may hold wildcards.
    Holding(Vec<String>),
}

/// What some files are.
#[derive(Debug, Clone, PartialEq)]
pub struct FileRule {
    /// The labels of the roots that it holds for.
    pub roots: Vec<String>,
    /// Patterns of paths below the root; none for a root that is a file.
    pub globs: Vec<String>,
    /// What the files are.
    pub category: Category,
    /// Whether credentials lie inside something larger.
    pub mixed_secrets: bool,
    /// Whether they mean something to the running agent only, and are never restored.
    pub run_time: bool,
    /// How they are restored if something is there: by merging. `None`: by replacing.
    pub merge: Option<Merge>,
    /// Whether they are large and can be done without; a dry run says so.
    pub optional: bool,
    /// Whether they are restored only onto the machine that they came from.
    pub same_machine: bool,
    /// How sure that is.
    pub basis: Basis,
}

/// How a file is merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merge {
    /// Its format.
    pub format: MergeFormat,
    /// The key by which objects in a list are the same.
    pub key: Option<String>,
}

/// What an agent keeps in the user's projects.
#[derive(Debug, Clone, PartialEq)]
pub struct Projects {
    /// A folder that holds one of these paths is a project of the agent.
    pub markers: Vec<String>,
    /// Files that name projects.
    pub registries: Vec<Registry>,
    /// How sure that is.
    pub basis: Basis,
}

/// A file that names projects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registry {
    /// The label of its root.
    pub root: String,
    /// Its path below the root.
    pub file: String,
}

/// Where sessions lie, and in which shape.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionStore {
    /// The shape.
    pub shape: SessionShape,
    /// The labels of the roots.
    pub roots: Vec<String>,
    /// Patterns of the files that hold sessions; none for a root that is a file.
    pub globs: Vec<String>,
    /// Patterns of what belongs to a session beside its file.
    pub parts: Vec<String>,
    /// Patterns of files that list sessions, or hold their titles.
    pub index: Vec<String>,
    /// How sure that is.
    pub basis: Basis,
}

/// One way to see that an agent runs.
#[derive(Debug, Clone, PartialEq)]
pub struct RunningCheck {
    /// The way.
    pub kind: RunningKind,
    /// The labels of the roots; none for a port.
    pub roots: Vec<String>,
    /// Patterns of the files; none for a port and for a root that is a file.
    pub globs: Vec<String>,
    /// Where a pid file names the process.
    pub pid: Option<PidPlace>,
    /// Host and port.
    pub address: Option<String>,
    /// How sure that is.
    pub basis: Basis,
}

/// What an agent deletes by itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Retention {
    /// Whether it deletes sessions.
    pub deletes: bool,
    /// After how many days, if nothing else is set.
    pub days: Option<u32>,
    /// By which clock, if that is known.
    pub clock: Option<PurgeClock>,
    /// The setting that raises it.
    pub setting: Option<RetentionSetting>,
    /// Patterns, below the setting's root, of what it never deletes.
    pub exempt: Vec<String>,
    /// How sure that is.
    pub basis: Basis,
}

/// The setting that says after how many days an agent deletes sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetentionSetting {
    /// The label of its root.
    pub root: String,
    /// The settings file, below the root.
    pub file: String,
    /// The key; `.` separates levels.
    pub key: String,
    /// How it states days.
    pub unit: RetentionUnit,
    /// The least that it takes.
    pub minimum_days: Option<u32>,
    /// The days to offer to whoever wants to keep sessions.
    pub offer_days: Option<u32>,
    /// A further key of the file; nothing is deleted where it is `false`.
    pub switch: Option<String>,
}

/// A place where an agent takes hooks.
#[derive(Debug, Clone, PartialEq)]
pub struct HookPlace {
    /// The label of the root; `None`: `file` is a place of its own, with a placeholder.
    pub root: Option<String>,
    /// The file (or folder) that hooks are written into.
    pub file: String,
    /// The form that it wants.
    pub format: HookFormat,
    /// The events that matter to a backup.
    pub events: Vec<String>,
    /// How the hook is told what happened.
    pub payload: Payload,
    /// How sure that is.
    pub basis: Basis,
}

/// What a restore must mind.
#[derive(Debug, Clone, PartialEq)]
pub struct RestoreRules {
    /// Categories whose files get the present time, since the agent deletes by it.
    pub refresh_mtime: Vec<Category>,
    /// What decides where a session must lie.
    pub placement: SessionPlacement,
    /// What else must be brought up to date.
    pub also: Option<String>,
    /// The command that resumes a session; `{id}` stands for its id.
    pub resume: Option<String>,
    /// How sure that is.
    pub basis: Basis,
}
