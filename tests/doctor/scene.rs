//! A machine with a home, a crontab of its own, and the program run in it.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::common_agents::Home;

/// The machine.
pub(crate) struct Scene {
    folder: tempfile::TempDir,
    pub(crate) home: Home,
    variables: Vec<(String, String)>,
}

/// What `doctor` answered.
pub(crate) struct Answers {
    pub(crate) code: i32,
    rows: BTreeMap<String, Value>,
}

impl Answers {
    /// Returns the verdict on a question.
    #[track_caller]
    pub(crate) fn verdict(&self, question: &str) -> &str {
        self.rows[question]["verdict"].as_str().unwrap()
    }

    /// Returns a field of an answer; empty if it has none.
    pub(crate) fn field(&self, question: &str, field: &str) -> String {
        match &self.rows[question][field] {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        }
    }

    /// Fails unless an answer is this verdict, with these words in evidence and remedy.
    #[track_caller]
    pub(crate) fn expect(&self, question: &str, verdict: &str, evidence: &str, remedy: &str) {
        let row = &self.rows[question];
        assert_eq!(row["verdict"], verdict, "{row}");
        assert!(self.field(question, "evidence").contains(evidence), "{row}");
        assert!(self.field(question, "remedy").contains(remedy), "{row}");
    }

    /// Returns the questions, with their verdicts.
    pub(crate) fn all(&self) -> Vec<(String, String)> {
        let row = |(name, row): (&String, &Value)| {
            (name.clone(), row["verdict"].as_str().unwrap().to_owned())
        };
        self.rows.iter().map(row).collect()
    }
}

impl Scene {
    /// A home as `make` furnishes it.
    pub(crate) fn new(make: impl FnOnce(Home) -> Home) -> Scene {
        let folder = tempfile::tempdir().unwrap();
        let mut home = make(Home::new(folder.path().join("home")));
        home.close();
        let scene = Scene { folder, home, variables: Vec::new() };
        // The account's own crontab is not this home's.
        scene.program("crontab", "cat \"$HOME/crontab\" 2>/dev/null");
        scene
    }

    /// The same, saved once.
    pub(crate) fn saved(make: impl FnOnce(Home) -> Home) -> Scene {
        let scene = Scene::new(make);
        scene.done(&["backup", "-q"]);
        scene
    }

    /// Sets a variable for all runs from now on.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// Returns a path in the home.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.home.folder().join(relative)
    }

    /// Returns a path beside the home.
    pub(crate) fn beside(&self, relative: &str) -> PathBuf {
        self.folder.path().join(relative)
    }

    /// Writes a file in the home.
    pub(crate) fn write(&self, relative: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(relative);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    fn program(&self, name: &str, script: &str) {
        let path = self.beside("bin").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        set_mode(&path, 0o755);
    }

    /// Runs the program, with nothing else in its environment.
    pub(crate) fn run(&self, words: &[&str]) -> Output {
        let path = format!("{}:/usr/bin:/bin", self.beside("bin").display());
        let variables = self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        Command::new(env!("CARGO_BIN_EXE_stash"))
            .args(words)
            .env_clear()
            .env("HOME", self.home.folder())
            .env("PATH", path)
            .env("TZ", "UTC")
            .envs(variables)
            .current_dir(self.home.folder())
            .output()
            .unwrap()
    }

    /// The same; fails unless it succeeds. Returns what it prints.
    #[track_caller]
    pub(crate) fn done(&self, words: &[&str]) -> String {
        let output = self.run(words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Asks the doctor.
    #[track_caller]
    pub(crate) fn doctor(&self, words: &[&str]) -> Answers {
        let output = self.run(&[&["doctor", "--json"], words].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        let rows: Vec<Value> = serde_json::from_slice(&output.stdout).expect(&said);
        let names = rows.iter().map(|row| row["question"].as_str().unwrap().to_owned());
        let count = rows.len();
        let rows: BTreeMap<String, Value> = names.zip(rows.iter().cloned()).collect();
        assert_eq!(rows.len(), count, "each question has one answer");
        Answers { code: output.status.code().unwrap(), rows }
    }

    /// Returns the repository's folder.
    pub(crate) fn repository(&self) -> PathBuf {
        self.path(".local/share/stash/repository")
    }

    /// Returns the key file with an ending: `device` or `recovery`.
    pub(crate) fn key_file(&self, ending: &str) -> PathBuf {
        let keys = std::fs::read_dir(self.path(".local/share/stash/keys")).unwrap();
        let mut files = keys.map(|file| file.unwrap().path());
        files.find(|file| file.extension().is_some_and(|it| it == ending)).unwrap()
    }

    /// Returns the repository's id.
    pub(crate) fn id(&self) -> String {
        self.key_file("device").file_stem().unwrap().to_str().unwrap().to_owned()
    }
}

/// Sets permissions.
pub(crate) fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// Returns permissions.
pub(crate) fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

/// Dates a file or folder days back.
pub(crate) fn date_back(path: &Path, days: u64) {
    let then = SystemTime::now() - Duration::from_hours(24 * days);
    std::fs::File::open(path).unwrap().set_modified(then).unwrap();
}
