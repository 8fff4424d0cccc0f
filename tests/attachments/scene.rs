//! Two agents, an observer that counts lines and rows, and what it noted.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use stash::engine::attachments::{KeyParts, find, read};
use stash::engine::backup::{
    AgentClass, AgentRules, AgentSource, AgentSources, BackupOptions, BackupReport,
    ObservedContent, ObservedEntry, ObservedFile, Observer, backup,
};
use stash::error::{Error, Result};
use stash::event::Counters;
use stash::files::{ExcludeOptions, Excludes};
use stash::format::record::Snapshot;
use stash::format::tree::Category;
use stash::repository::Repository;
use stash::store::Store;

use crate::common_engine::{
    LATER, Notes, SECOND, TestClock, backup_options, folders, init, latest, put, snapshots,
};

pub(crate) const KIND: &str = "sessions";

/// Something that happens to a file meanwhile.
type Disturbance = Box<dyn Fn(&Path) + Send>;

/// Notes of each `.jsonl` one entry for each session in it, which is what stands before the first `:`
/// of a line: how many lines it has, and the last one. Of each `.db` how many rows its table `turn`
/// has, or which commit is in `last`.
#[derive(Default)]
pub(crate) struct LineObserver {
    /// What it was asked: the path, and how many entries the file had.
    asked: Mutex<Vec<String>>,
    /// Whether databases came with a connection.
    pub(crate) connected: Mutex<Vec<bool>>,
    pub(crate) fails: AtomicBool,
    /// What is done before a file is looked at.
    pub(crate) before_reading: Mutex<Option<Disturbance>>,
}

impl LineObserver {
    pub(crate) fn take_asked(&self) -> Vec<String> {
        let mut asked = std::mem::take(&mut *self.asked.lock().unwrap());
        asked.sort();
        asked
    }
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn entry(suffix: &str, value: String) -> ObservedEntry {
    ObservedEntry { suffix: suffix.into(), value: value.into() }
}

impl Observer for LineObserver {
    fn kind(&self) -> &str {
        KIND
    }

    fn wants(&self, _agent: &str, _label: &str, path: &[u8]) -> bool {
        path.ends_with(b".jsonl") || path.ends_with(b".db")
    }

    fn observe(
        &self,
        file: &mut ObservedFile<'_>,
        before: &[ObservedEntry],
    ) -> Result<Vec<ObservedEntry>> {
        let asked = format!("{}/{} {}", file.agent, shown(file.relative), before.len());
        self.asked.lock().unwrap().push(asked);
        if self.fails.load(Ordering::SeqCst) {
            return Err(Error::failed("not understood"));
        }
        if let Some(work) = &*self.before_reading.lock().unwrap() {
            work(file.path);
        }
        let bytes = match &mut file.content {
            ObservedContent::Database(connection) => {
                self.connected.lock().unwrap().push(connection.is_some());
                let Some(connection) = connection else { return Ok(Vec::new()) };
                let ask = |query| connection.query_row(query, [], |row| row.get::<_, i64>(0));
                if let Ok(number) = ask("SELECT number FROM last") {
                    return Ok(vec![entry("last", format!("commit {number}"))]);
                }
                let count = ask("SELECT count(*) FROM turn")
                    .map_err(|error| Error::failed("cannot count").source(error))?;
                return Ok(vec![entry("turn", format!("{count} rows"))]);
            }
            ObservedContent::Bytes(bytes) => bytes,
        };
        let mut text = String::new();
        bytes.read_to_string(&mut text).unwrap();
        assert_eq!(text.len() as u64, file.size_bytes);
        let mut sessions: BTreeMap<&str, (u64, &str)> = BTreeMap::new();
        for line in text.lines() {
            let (session, said) = line.split_once(':').unwrap_or(("", line));
            let count = sessions.get(session).map_or(0, |it| it.0);
            sessions.insert(session, (count + 1, said));
        }
        Ok(sessions
            .iter()
            .map(|(id, (count, last))| entry(id, format!("{count} {last}")))
            .collect())
    }

    fn vanished(&self, before: Vec<ObservedEntry>, since: i64) -> Result<Vec<ObservedEntry>> {
        self.asked.lock().unwrap().push(format!("vanished {}", before.len()));
        let moment = (since - LATER) / SECOND;
        let mark = |it: ObservedEntry| {
            let value = [it.value, format!(" gone {moment}").into_bytes()].concat();
            ObservedEntry { value, ..it }
        };
        Ok(before.into_iter().map(mark).collect())
    }
}

/// Sessions and config, by the first name of the path.
struct Rules {
    only: Option<Category>,
}

impl AgentRules for Rules {
    fn class(&self, path: &[u8]) -> AgentClass {
        let category =
            if path.starts_with(b"sessions") { Category::Sessions } else { Category::Config };
        let is_read = self.only.is_none_or(|only| only == category);
        AgentClass { category, is_saved: true, is_read }
    }
}

pub(crate) struct Scene {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) repository: Repository,
    pub(crate) observer: Arc<LineObserver>,
    now: std::cell::Cell<i64>,
}

impl Scene {
    /// In a folder on the disk.
    pub(crate) fn new() -> Scene {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::folder(&folder.path().join("repository"), true).unwrap();
        Scene::over(folder, &store)
    }

    pub(crate) fn over(folder: tempfile::TempDir, store: &Store) -> Scene {
        let repository = init(store, &folders(&folder.path().join("machine")));
        std::fs::create_dir_all(folder.path().join("one")).unwrap();
        std::fs::create_dir_all(folder.path().join("two")).unwrap();
        let observer = Arc::new(LineObserver::default());
        Scene { folder, repository, observer, now: std::cell::Cell::new(LATER) }
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    pub(crate) fn put(&self, path: &str, text: &str) {
        put(&self.path(path), text);
    }

    pub(crate) fn remove(&self, path: &str) {
        let path = self.path(path);
        if path.is_dir() {
            std::fs::remove_dir_all(path).unwrap();
        } else {
            std::fs::remove_file(path).unwrap();
        }
    }

    pub(crate) fn source(&self, agent: &str, only: Option<Category>) -> AgentSource {
        AgentSource {
            agent: agent.to_owned(),
            label: "main".to_owned(),
            excludes: Arc::new(Excludes::new(&ExcludeOptions::default()).unwrap()),
            rules: Arc::new(Rules { only }),
            place: self.path(agent),
        }
    }

    pub(crate) fn both(&self) -> AgentSources {
        let roots = vec![self.source("one", None), self.source("two", None)];
        AgentSources { roots, ..AgentSources::default() }
    }

    /// Only `one`; what the other has is carried over.
    pub(crate) fn only_one(&self) -> AgentSources {
        AgentSources {
            roots: vec![self.source("one", None)],
            carried: vec!["one".to_owned(), "two".to_owned()],
            ..AgentSources::default()
        }
    }

    pub(crate) fn options(&self, agents: AgentSources) -> BackupOptions {
        let observer: Arc<dyn Observer> = Arc::clone(&self.observer) as Arc<dyn Observer>;
        let temporary_folder = self.folder.path().to_owned();
        BackupOptions { agents, observer: Some(observer), temporary_folder, ..backup_options(&[]) }
    }

    /// Moments are an hour apart, the first one 3,600 s after [`LATER`].
    pub(crate) fn save_with(&self, options: &BackupOptions) -> (BackupReport, Vec<String>) {
        self.now.set(self.now.get() + 3600 * SECOND);
        let (clock, notes) = (TestClock(self.now.get()), Notes::default());
        let report =
            backup(&self.repository, options, &clock, &Counters::default(), &notes).unwrap();
        (report, notes.take())
    }

    /// Saves both agents, with nothing to be told.
    pub(crate) fn save(&self) -> BackupReport {
        let (report, notes) = self.save_with(&self.options(self.both()));
        assert_eq!(notes, [""; 0]);
        report
    }

    /// Returns the newest snapshot.
    pub(crate) fn latest(&self) -> Snapshot {
        latest(&self.repository).snapshot
    }

    /// Returns what is noted in the newest snapshot.
    pub(crate) fn notes(&self) -> Vec<String> {
        notes_of(&self.repository, &self.latest(), b"")
    }

    pub(crate) fn count(&self) -> usize {
        snapshots(&self.repository).len()
    }
}

/// Returns entries as `agent/path suffix: value`.
pub(crate) fn notes_of(repository: &Repository, snapshot: &Snapshot, prefix: &[u8]) -> Vec<String> {
    let entries = read(repository, snapshot, KIND, prefix).unwrap();
    let line = |entry: Result<stash::engine::attachments::Entry>| {
        let entry = entry.unwrap();
        let key = KeyParts::of(&entry.key).unwrap();
        assert_eq!(key.label, b"main");
        let (agent, path, suffix) = (shown(key.agent), shown(key.path), shown(key.suffix));
        format!("{agent}/{path} {suffix}: {}", shown(&entry.value))
    };
    entries.map(line).collect()
}

/// Returns whether a snapshot has a list at all.
pub(crate) fn has_list(snapshot: &Snapshot) -> bool {
    find(snapshot, KIND).is_some()
}
