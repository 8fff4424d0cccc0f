//! Homes of people who use coding agents: real files and live databases, all content invented.
//!
//! ```ignore
//! let home = Home::new(folder).claude_code().opencode();
//! for file in home.files() { … }
//! ```
//!
//! Databases are in WAL mode and stay open, with rows that only their `-wal` holds, until
//! [`Home::close`]. Every file that is made is listed with the category that it must have.
#![allow(
    dead_code,
    unused_imports,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    unreachable_pub,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "each test takes what it needs, and stops where things are not as they should be"
)]

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use stash::agents::{Places, System};
use stash::format::tree::Category;

mod databases;
mod lines;
mod many;
mod projects;

#[allow(unused_imports, reason = "only benches and tests of searching make many sessions")]
pub use many::{Many, words};

/// The project that the invented sessions are about.
pub const PROJECT_FOLDER: &str = "code/shop";

/// A file that was made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HomeFile {
    /// The agent's id.
    pub agent: &'static str,
    /// The label of the root, or [`stash::agents::PROJECT`].
    pub label: &'static str,
    /// The path below the root; empty for a root that is a file.
    pub relative: String,
    /// The whole path.
    pub path: PathBuf,
    /// What it must be.
    pub category: Category,
}

/// A home with agents in it.
pub struct Home {
    folder: PathBuf,
    files: Vec<HomeFile>,
    databases: Vec<Connection>,
}

impl Home {
    /// Begins with an empty home; the folder is made.
    pub fn new(folder: impl Into<PathBuf>) -> Home {
        let folder = folder.into();
        std::fs::create_dir_all(folder.join(PROJECT_FOLDER)).unwrap();
        Home { folder, files: Vec::new(), databases: Vec::new() }
    }

    /// All agents of the first row.
    pub fn first_row(self) -> Home {
        self.claude_code()
            .opencode()
            .gemini()
            .codex()
            .openclaw()
            .aider()
            .continue_dev()
            .cursor()
            .copilot()
    }

    /// The home itself.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The project, as an absolute path.
    pub fn project(&self) -> PathBuf {
        self.folder.join(PROJECT_FOLDER)
    }

    /// The home as the agents room is told of it.
    pub fn places(&self) -> Places {
        Places::new(&self.folder, System::Linux)
    }

    /// What was made so far, in order of agent, label and path.
    pub fn files(&self) -> Vec<HomeFile> {
        let mut files = self.files.clone();
        files.sort();
        files
    }

    /// Ends all writers of databases, as when the agents are closed: what the logs hold goes into
    /// the databases, and the logs go.
    pub fn close(&mut self) {
        for database in self.databases.drain(..) {
            database.close().unwrap();
        }
        self.files.retain(|file| file.path.exists());
    }

    /// Begins to make files below a root of an agent.
    fn root(&mut self, agent: &'static str, label: &'static str, place: &str) -> Root<'_> {
        let place = self.folder.join(place);
        Root { home: self, agent, label, place }
    }

    /// The name that several agents give the project's folder: what is no letter or digit is `-`.
    fn slug(&self) -> String {
        let path = self.project();
        let text = path.to_str().unwrap();
        text.chars().map(|it| if it.is_ascii_alphanumeric() { it } else { '-' }).collect()
    }
}

/// A root that files are made in.
struct Root<'a> {
    home: &'a mut Home,
    agent: &'static str,
    label: &'static str,
    place: PathBuf,
}

impl Root<'_> {
    /// Makes a file; an empty path is the root itself.
    fn file(&mut self, category: &str, relative: &str, content: impl AsRef<[u8]>) -> &mut Self {
        let path = self.path(relative);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        self.list(category, relative);
        self
    }

    /// Makes a database in WAL mode by two scripts; what the second does stays in the log.
    fn database(&mut self, category: &str, relative: &str, schema: &str, rows: &str) -> &mut Self {
        let connection = self.open(relative, "WAL");
        connection.execute_batch(schema).unwrap();
        connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        connection.execute_batch(rows).unwrap();
        self.home.databases.push(connection);
        for end in ["", "-wal", "-shm"] {
            self.list(category, &format!("{relative}{end}"));
        }
        self
    }

    /// Makes a database with a rollback journal, as editors have.
    fn journal_database(&mut self, category: &str, relative: &str, script: &str) -> &mut Self {
        let connection = self.open(relative, "DELETE");
        connection.execute_batch(script).unwrap();
        self.home.databases.push(connection);
        self.list(category, relative);
        self
    }

    fn open(&self, relative: &str, mode: &str) -> Connection {
        let path = self.path(relative);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let connection = Connection::open(path).unwrap();
        connection.pragma_update(None, "journal_mode", mode).unwrap();
        connection.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
        connection
    }

    fn path(&self, relative: &str) -> PathBuf {
        if relative.is_empty() { self.place.clone() } else { self.place.join(relative) }
    }

    fn list(&mut self, category: &str, relative: &str) {
        let file = HomeFile {
            agent: self.agent,
            label: self.label,
            relative: relative.to_owned(),
            path: self.path(relative),
            category: Category::from_name(category).unwrap(),
        };
        assert!(file.path.exists(), "{}", file.path.display());
        self.home.files.push(file);
    }
}

/// Returns the files below a place, as paths below it; the place itself if it is a file.
pub fn files_below(place: &Path) -> Vec<String> {
    let mut found = Vec::new();
    walk(place, place, &mut found);
    found.sort();
    found
}

fn walk(root: &Path, place: &Path, found: &mut Vec<String>) {
    if place.is_dir() {
        for entry in std::fs::read_dir(place).unwrap() {
            walk(root, &entry.unwrap().path(), found);
        }
    } else {
        found.push(place.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
    }
}
