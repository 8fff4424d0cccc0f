//! What has to go so that a session is gone from the snapshots of all machines.
//!
//! Lists beside snapshots tell which files held it, wherever these lay at one time or another. With a
//! session's file go what its agent keeps for this session alone: the folder of its name beside the file,
//! the folder around it, the files that share its name, and the sessions of subagents.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;

use super::snapshot::SnapshotFiles;
use crate::agents::session::RootFiles as _;
use crate::agents::{Catalog, SessionFiles, SessionShape, SessionStore};
use crate::engine::attachments::{self, KeyParts};
use crate::error::{Error, Result};
use crate::format::record::{Root, RootKind};
use crate::format::session::{KIND, SESSION_OF_MANY, SessionEntry};
use crate::repository::Repository;
use crate::repository::cache::SnapshotEntry;

/// A session by its agent's id and its own.
pub type SessionName = (String, String);

/// What goes.
#[derive(Debug, Default)]
pub struct ForgetPlan {
    /// The sessions with their titles, those of subagents among them.
    pub sessions: BTreeMap<SessionName, String>,
    /// Of each machine the absolute places that go from its snapshots.
    pub places: BTreeMap<String, BTreeSet<Vec<u8>>>,
}

impl ForgetPlan {
    /// Returns whether an entry of an attachment tells of a session that goes.
    pub fn drops(&self, kind: &str, key: &[u8]) -> bool {
        let Some(key) = KeyParts::of(key).filter(|_| kind == KIND) else { return false };
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
        let name = text(key.agent).zip(text(key.suffix));
        name.is_some_and(|name| self.sessions.contains_key(&name))
    }
}

/// One session in one file, as the list beside a snapshot tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Listed {
    host: String,
    agent: String,
    label: String,
    place: Vec<u8>,
    relative: Vec<u8>,
    id: String,
    parent: String,
    is_of_many: bool,
}

/// Finds what goes with some sessions. `entries` are the snapshots that are looked through.
///
/// # Errors
///
/// With the kind `Usage` if one lies in a file of many sessions, out of which it can't be cut.
pub fn plan_forget(
    repository: &Repository,
    catalog: &Catalog,
    entries: &[SnapshotEntry],
    wanted: &BTreeSet<SessionName>,
    temporary_folder: &Path,
) -> Result<ForgetPlan> {
    let agents: HashSet<&str> = wanted.iter().map(|(agent, _)| agent.as_str()).collect();
    let (listed, titles) = read_lists(repository, entries, &agents)?;
    let names = with_subagents(wanted, &listed);
    let mut plan = ForgetPlan::default();
    for it in listed.iter().filter(|it| names.contains(&name_of(it))) {
        let files = catalog.find(&it.agent)?.session_files();
        let store = files.find(&it.label, &it.relative);
        refuse_many(it, store)?;
        let name = name_of(it);
        let title = titles.get(&name).cloned().unwrap_or_default();
        plan.sessions.insert(name, title);
        let others: Vec<&Listed> = listed.iter().filter(|other| is_neighbour(it, other)).collect();
        let places = plan.places.entry(it.host.clone()).or_default();
        for relative in parts_of(it, store, &others) {
            places.insert(absolute(&it.place, &relative));
        }
    }
    add_trees(repository, catalog, entries, &listed, temporary_folder, &mut plan)?;
    Ok(plan)
}

fn name_of(listed: &Listed) -> SessionName {
    (listed.agent.clone(), listed.id.clone())
}

fn absolute(place: &[u8], relative: &[u8]) -> Vec<u8> {
    if relative.is_empty() { place.to_vec() } else { [place, b"/", relative].concat() }
}

/// Reads which sessions of some agents the snapshots hold, and their newest titles.
fn read_lists(
    repository: &Repository,
    entries: &[SnapshotEntry],
    agents: &HashSet<&str>,
) -> Result<(HashSet<Listed>, HashMap<SessionName, String>)> {
    let (mut listed, mut titles) = (HashSet::new(), HashMap::new());
    for head in entries {
        let whole = repository.whole(head)?;
        for root in roots_of(&whole).filter(|root| agents.contains(root.agent.as_str())) {
            let prefix = attachments::root_prefix(&root.agent, &root.label);
            for entry in attachments::read(repository, &whole.snapshot, KIND, &prefix)? {
                let entry = entry?;
                let Some(key) = KeyParts::of(&entry.key) else { continue };
                let Ok(id) = String::from_utf8(key.suffix.to_vec()) else { continue };
                let session = SessionEntry::decode(&entry.value).unwrap_or_default();
                titles.insert((root.agent.clone(), id.clone()), session.title);
                listed.insert(Listed {
                    host: whole.snapshot.host.clone(),
                    agent: root.agent.clone(),
                    label: root.label.clone(),
                    place: root.place.0.clone(),
                    relative: key.path.to_vec(),
                    id,
                    parent: session.parent,
                    is_of_many: session.flags & SESSION_OF_MANY != 0,
                });
            }
        }
    }
    Ok((listed, titles))
}

fn roots_of(entry: &SnapshotEntry) -> impl Iterator<Item = &Root> {
    entry.snapshot.roots.iter().filter(|root| root.kind == RootKind::Agent as u64)
}

/// Adds the sessions that others of them started.
fn with_subagents(
    wanted: &BTreeSet<SessionName>,
    listed: &HashSet<Listed>,
) -> BTreeSet<SessionName> {
    let mut names = wanted.clone();
    loop {
        let is_child = |it: &&Listed| {
            !it.parent.is_empty()
                && names.contains(&(it.agent.clone(), it.parent.clone()))
                && !names.contains(&name_of(it))
        };
        let children: Vec<SessionName> = listed.iter().filter(is_child).map(name_of).collect();
        if children.is_empty() {
            return names;
        }
        names.extend(children);
    }
}

fn refuse_many(listed: &Listed, store: Option<&SessionStore>) -> Result<()> {
    let path = String::from_utf8_lossy(&absolute(&listed.place, &listed.relative)).into_owned();
    let is_of_many = match store {
        Some(store) => store.shape.holds_many(),
        None => listed.is_of_many,
    };
    if !is_of_many {
        return Ok(());
    }
    let what = format!(
        "{} keeps many sessions in one file, and `{}` can't be cut out of it:",
        listed.agent, listed.id
    );
    Err(Error::usage(what).object(path.clone()).hint(format!(
        "delete it with its agent, then `stash forget --path '{path}' --dry-run` shows what goes when the \
         whole file is taken out of all snapshots; the next backup saves it as it is then"
    )))
}

/// Returns whether another session's file lies in the same root, so that it may share a folder.
fn is_neighbour(listed: &Listed, other: &Listed) -> bool {
    other.host == listed.host
        && other.agent == listed.agent
        && other.label == listed.label
        && other.id != listed.id
}

/// Returns the paths below the root of what goes with a session's file, the file first.
fn parts_of(listed: &Listed, store: Option<&SessionStore>, others: &[&Listed]) -> Vec<Vec<u8>> {
    let mut paths = vec![listed.relative.clone()];
    let Some(store) = store else { return paths };
    let (folder, file) = split(&listed.relative);
    let stem = stem_of(file);
    paths.extend(twins(store.shape, &listed.relative));
    for (parent, rest) in store.parts.iter().filter_map(|part| beside(store, part)) {
        // Below a folder that has the session's name.
        if let Some(below) = rest.strip_prefix("*/") {
            if !below.is_empty() {
                let names = [stem, listed.id.as_bytes()].into_iter().filter(|it| is_name(it));
                paths.extend(names.map(|name| absolute_below(folder, name)));
            }
            continue;
        }
        // A folder of this session alone.
        let is_named = file.starts_with(&[split(folder).1, b"."].concat());
        let is_fixed =
            store.globs.iter().any(|glob| glob.as_bytes().ends_with(&[b"/", file].concat()));
        let begins = [folder, b"/"].concat();
        let is_alone = !others.iter().any(|other| other.relative.starts_with(&begins));
        let has_own = parent.ends_with('*') && !folder.is_empty();
        if has_own && (is_named || is_fixed) && is_alone {
            paths.push(folder.to_vec());
        }
        // A file of its name.
        let ending = rest.strip_prefix('*').filter(|it| !it.contains(['*', '/', '?', '[', '{']));
        if let Some(ending) = ending.filter(|it| !it.is_empty()) {
            paths.push(absolute_below(folder, &[stem, ending.as_bytes()].concat()));
        }
    }
    paths
}

/// Returns the folder that a store's files lie in, if a pattern of parts begins in it, and the pattern's rest.
fn beside<'p>(store: &SessionStore, part: &'p str) -> Option<(&'p str, &'p str)> {
    let parents = store.globs.iter().filter_map(|glob| glob.rsplit_once('/').map(|(it, _)| it));
    let mut fitting = parents.filter_map(|parent| {
        let rest = part.strip_prefix(parent)?.strip_prefix('/')?;
        Some((part.get(..parent.len())?, rest))
    });
    // The deepest: one store may have files of two depths.
    let first = fitting.next()?;
    Some(fitting.fold(first, |best, it| if it.0.len() > best.0.len() { it } else { best }))
}

/// Returns the other forms of a session's file, of which the lists may tell only one.
fn twins(shape: SessionShape, relative: &[u8]) -> Option<Vec<u8>> {
    let swapped =
        |from: &[u8], to: &[u8]| relative.strip_suffix(from).map(|begin| [begin, to].concat());
    match shape {
        SessionShape::CodexRollout => {
            swapped(b".jsonl.zst", b".jsonl").or_else(|| swapped(b".jsonl", b".jsonl.zst"))
        }
        SessionShape::GeminiChat => {
            swapped(b".jsonl", b".json").or_else(|| swapped(b".json", b".jsonl"))
        }
        _ => None,
    }
}

fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(place) => (
            path.get(..place).unwrap_or_default(),
            path.get(place.saturating_add(1)..).unwrap_or_default(),
        ),
        None => (b"", path),
    }
}

fn stem_of(file: &[u8]) -> &[u8] {
    [&b".jsonl.zst"[..], b".jsonl", b".json"]
        .iter()
        .find_map(|ending| file.strip_suffix(*ending))
        .unwrap_or(file)
}

/// Returns whether a word names something in a folder, and nothing elsewhere: ids come from files.
fn is_name(word: &[u8]) -> bool {
    !word.is_empty() && word != b"." && word != b".." && !word.contains(&b'/')
}

fn absolute_below(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() { name.to_vec() } else { [folder, b"/", name].concat() }
}

/// Adds the files of sessions whose messages are files elsewhere in a tree: their names stand in folders
/// of snapshots.
fn add_trees(
    repository: &Repository,
    catalog: &Catalog,
    entries: &[SnapshotEntry],
    listed: &HashSet<Listed>,
    temporary_folder: &Path,
    plan: &mut ForgetPlan,
) -> Result<()> {
    let mut trees = Vec::new();
    for it in listed.iter().filter(|it| plan.sessions.contains_key(&name_of(it))) {
        let files: SessionFiles<_> = catalog.find(&it.agent)?.session_files();
        let shape = files.find(&it.label, &it.relative).map(|store| store.shape);
        if shape == Some(SessionShape::OpencodeJson) && is_name(it.id.as_bytes()) {
            trees.push(it);
        }
    }
    for head in entries.iter().filter(|_| !trees.is_empty()) {
        let whole = repository.whole(head)?;
        for root in roots_of(&whole) {
            let is_here = |it: &&&Listed| {
                it.host == whole.snapshot.host && it.agent == root.agent && it.label == root.label
            };
            let files = SnapshotFiles::new(repository, root, temporary_folder);
            for it in trees.iter().filter(is_here) {
                let places = plan.places.entry(it.host.clone()).or_default();
                let top = split(split(split(&it.relative).0).0).0;
                let below = |kind: &str, name: &[u8]| {
                    absolute_below(top, &[kind.as_bytes(), b"/", name].concat())
                };
                let messages = below("message", it.id.as_bytes());
                for name in files.list(&messages)? {
                    let message = name.strip_suffix(b".json").unwrap_or(&name);
                    places.insert(absolute(&root.place.0, &below("part", message)));
                }
                places.insert(absolute(&root.place.0, &messages));
                let file = [it.id.as_bytes(), b".json"].concat();
                for kind in ["todo", "session_diff"] {
                    places.insert(absolute(&root.place.0, &below(kind, &file)));
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(agent: &str, label: &str, relative: &str, id: &str, others: &[&str]) -> Vec<String> {
        let catalog = Catalog::builtin().unwrap();
        let files = catalog.find(agent).unwrap().session_files();
        let listed = |relative: &str, id: &str| Listed {
            host: "h".into(),
            agent: agent.into(),
            label: label.into(),
            place: b"/r".to_vec(),
            relative: relative.into(),
            id: id.into(),
            parent: String::new(),
            is_of_many: false,
        };
        let it = listed(relative, id);
        let others: Vec<Listed> = others.iter().map(|path| listed(path, path)).collect();
        let store = files.find(label, it.relative.as_slice());
        let found = parts_of(&it, store, &others.iter().collect::<Vec<_>>());
        let mut found: Vec<String> =
            found.into_iter().map(|path| String::from_utf8(path).unwrap()).collect();
        found.sort();
        found.dedup();
        found
    }

    #[test]
    fn what_an_agent_keeps_for_one_session_goes_with_it_and_nothing_else() {
        assert_eq!(
            parts("claude-code", "main", "projects/-x/a-b.jsonl", "a-b", &[]),
            ["projects/-x/a-b", "projects/-x/a-b.jsonl"]
        );
        assert_eq!(
            parts("gemini", "main", "tmp/p/chats/session-1-abcd.jsonl", "abcd-1", &[]),
            [
                "tmp/p/chats/abcd-1",
                "tmp/p/chats/session-1-abcd",
                "tmp/p/chats/session-1-abcd.json",
                "tmp/p/chats/session-1-abcd.jsonl"
            ]
        );
        let codex = "sessions/2026/11/03/rollout-1.jsonl";
        assert_eq!(
            parts("codex", "main", codex, "x", &[]),
            [codex.to_owned(), format!("{codex}.zst")]
        );
        // A session that has a folder of its own.
        let copilot = "session-state/a1/events.jsonl";
        assert_eq!(
            parts("copilot", "main", copilot, "a1", &["session-state/a12/events.jsonl"]),
            ["session-state/a1", copilot]
        );
        // One that shares its folder, alone in it or not.
        let droid = "sessions/-x/d1.jsonl";
        assert_eq!(
            parts("droid", "main", droid, "d1", &[]),
            [droid, "sessions/-x/d1.settings.json"]
        );
        // Ids lead nowhere.
        assert!(
            parts("claude-code", "main", "projects/-x/a.jsonl", "../../..", &[])
                .iter()
                .all(|path| path.starts_with("projects/-x/a"))
        );
    }
}
