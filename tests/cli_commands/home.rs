//! A home, and the program run in it.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// An empty home with one folder `work` to save.
pub(crate) struct Home {
    folder: tempfile::TempDir,
}

/// What a run came to.
pub(crate) struct Output {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Output {
    /// Returns itself, if the exit code is the expected one.
    #[track_caller]
    pub(crate) fn code(self, expected: i32) -> Self {
        assert_eq!(self.code, expected, "stdout: {}\nstderr: {}", self.out, self.err);
        self
    }

    /// Returns stdout's lines, each of which is JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Vec<serde_json::Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Home {
    pub(crate) fn new() -> Self {
        let home = Home { folder: tempfile::tempdir().unwrap() };
        std::fs::create_dir(home.path("work")).unwrap();
        home
    }

    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.folder.path().join(relative)
    }

    pub(crate) fn text(&self, relative: &str) -> String {
        self.path(relative).to_str().unwrap().to_owned()
    }

    pub(crate) fn write(&self, relative: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(relative);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    pub(crate) fn read(&self, relative: &str) -> String {
        std::fs::read_to_string(self.path(relative)).unwrap()
    }

    /// Returns the program, to be run in the home.
    pub(crate) fn command(&self) -> assert_cmd::Command {
        let mut command = assert_cmd::Command::cargo_bin("stash").unwrap();
        command
            .env_clear()
            .env("HOME", self.folder.path())
            .env("PATH", "/usr/bin:/bin")
            .env("STASH_HOST", "laptop")
            .env("USER", "ann")
            .env("TZ", "UTC")
            .current_dir(self.folder.path());
        command
    }

    pub(crate) fn run(&self, words: &[&str]) -> Output {
        finish(self.command().args(words))
    }

    /// Runs with one more variable.
    pub(crate) fn run_with(&self, name: &str, value: &str, words: &[&str]) -> Output {
        finish(self.command().env(name, value).args(words))
    }

    /// Runs with something on standard input.
    pub(crate) fn run_on(&self, input: &[u8], words: &[&str]) -> Output {
        finish(self.command().write_stdin(input).args(words))
    }

    /// Saves `work`; returns the new snapshot's id, empty if there is none.
    #[track_caller]
    pub(crate) fn save(&self) -> String {
        let output = self.run(&["backup", "work", "--json"]).code(0);
        let summary = output.json().pop().unwrap();
        assert_eq!(summary["message_type"], "summary");
        summary["snapshot_id"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn repository(&self) -> PathBuf {
        self.path(".local/share/stash/repository")
    }

    /// Returns the key files with an ending: `device` or `recovery`.
    pub(crate) fn key_files(&self, ending: &str) -> Vec<PathBuf> {
        let keys = self.path(".local/share/stash/keys");
        let files = std::fs::read_dir(keys).unwrap().map(|file| file.unwrap().path());
        files.filter(|file| file.extension().is_some_and(|it| it == ending)).collect()
    }

    /// Returns the stored packs.
    pub(crate) fn packs(&self) -> Vec<PathBuf> {
        inventory(&self.repository().join("packs"))
            .into_iter()
            .map(|item| self.repository().join("packs").join(item.0))
            .filter(|path| path.is_file())
            .collect()
    }
}

fn finish(command: &mut assert_cmd::Command) -> Output {
    let output = command.output().unwrap();
    Output {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Returns every item below a folder with its metadata and content, in ascending order.
pub(crate) fn inventory(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut items = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).into_iter().flatten() {
            let path = entry.unwrap().path();
            let metadata = path.symlink_metadata().unwrap();
            let content = if metadata.is_symlink() {
                format!("-> {}", std::fs::read_link(&path).unwrap().display())
            } else if metadata.is_file() {
                stash::id::to_hex(&std::fs::read(&path).unwrap())
            } else {
                String::new()
            };
            let said = format!(
                "{:o} {}:{} {}.{} x{} {content}",
                metadata.mode(),
                metadata.uid(),
                metadata.gid(),
                metadata.mtime(),
                metadata.mtime_nsec(),
                if metadata.is_dir() { 0 } else { metadata.nlink() },
            );
            items.push((path.strip_prefix(folder).unwrap().to_owned(), said));
            if metadata.is_dir() {
                folders.push(path);
            }
        }
    }
    items.sort();
    items
}

/// Returns bytes that do not compress, the same for the same seed.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[4]
    };
    (0..length).map(|_| next()).collect()
}
