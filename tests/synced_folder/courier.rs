//! Two folders, and what a program that keeps them alike does in between: late, out of order, short
//! at first, and with copies that it makes when in doubt.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// How files travel.
pub(crate) struct Courier {
    pub(crate) folders: [PathBuf; 2],
    random: fastrand::Rng,
    /// What both have: if one lacks it later, it was deleted there.
    agreed: BTreeSet<PathBuf>,
    /// Files that arrived cut short, where, and the whole of them.
    short: BTreeMap<(usize, PathBuf), Vec<u8>>,
    /// Copies that it made, of which no reader must take notice.
    pub(crate) copies: Vec<PathBuf>,
    /// Files that it keeps back.
    pub(crate) held: fn(&Path) -> bool,
}

fn nothing(_: &Path) -> bool {
    false
}

/// Returns the files below a folder, by their places in it.
pub(crate) fn files(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.insert(path.strip_prefix(folder).unwrap().to_owned());
            }
        }
    }
    found
}

impl Courier {
    pub(crate) fn new(base: &Path, seed: u64) -> Courier {
        Courier {
            folders: [base.join("one/repo"), base.join("two/repo")],
            random: fastrand::Rng::with_seed(seed),
            agreed: BTreeSet::new(),
            short: BTreeMap::new(),
            copies: Vec::new(),
            held: nothing,
        }
    }

    /// Lets some of what is under way arrive.
    pub(crate) fn step(&mut self) {
        self.carry(false);
    }

    /// Lets everything arrive.
    pub(crate) fn deliver(&mut self) {
        self.carry(true);
        self.carry(true);
        self.held = nothing;
    }

    fn carry(&mut self, everything: bool) {
        let have = [files(&self.folders[0]), files(&self.folders[1])];
        let mut all: Vec<PathBuf> = have[0].union(&have[1]).cloned().collect();
        self.random.shuffle(&mut all);
        for path in all {
            if (self.held)(&path) || !(everything || self.random.u8(..10) < 6) {
                continue;
            }
            match (have[0].contains(&path), have[1].contains(&path)) {
                (true, true) => self.complete(&path),
                (here, _) => self.carry_one(&path, usize::from(!here), everything),
            }
        }
    }

    /// Brings the rest of what arrived short.
    fn complete(&mut self, path: &Path) {
        for at in 0..2 {
            if let Some(whole) = self.short.remove(&(at, path.to_owned())) {
                std::fs::write(self.folders[at].join(path), whole).unwrap();
            }
        }
        self.agreed.insert(path.to_owned());
    }

    /// Carries what only one folder has, or deletes it there too.
    fn carry_one(&mut self, path: &Path, from: usize, everything: bool) {
        let (source, target) = (self.folders[from].join(path), self.folders[1 - from].join(path));
        if self.agreed.remove(path) {
            std::fs::remove_file(source).unwrap();
            return;
        }
        // What is short itself is not sent on.
        if self.short.contains_key(&(from, path.to_owned())) {
            return;
        }
        let bytes = std::fs::read(source).unwrap();
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        match self.random.u8(..10) {
            0..3 if !everything => {
                let length = self.random.usize(..bytes.len());
                std::fs::write(&target, &bytes[..length]).unwrap();
                self.short.insert((1 - from, path.to_owned()), bytes);
            }
            3 if !everything => {
                let name = path.file_name().unwrap().to_str().unwrap();
                let name = if self.random.bool() {
                    format!("{name} (conflicted copy 2026-11-21)")
                } else {
                    format!("{name}.sync-conflict-20261121-101112-ABCDEFG")
                };
                let copy = path.with_file_name(name);
                std::fs::write(self.folders[1 - from].join(&copy), &bytes).unwrap();
                self.copies.push(copy);
                std::fs::write(&target, bytes).unwrap();
                self.agreed.insert(path.to_owned());
            }
            _ => {
                std::fs::write(&target, bytes).unwrap();
                self.agreed.insert(path.to_owned());
            }
        }
    }
}
