//! What a machine keeps: files that come back to earlier content, and a database that does.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// The content of each file.
pub type Prints = BTreeMap<PathBuf, [u8; 32]>;

/// Files of one machine.
pub struct Tree {
    pub folder: PathBuf,
    /// Copies of the database as it was.
    past: PathBuf,
    own: u64,
    round: u64,
}

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// Content of which the machines have the same: what one stores the others rely upon.
fn shared(number: u64) -> Vec<u8> {
    let length = 300 + (number * number * 211) % 300_000;
    noise(number, length as usize)
}

impl Tree {
    pub fn new(home: &Path, own: u64) -> Tree {
        let (folder, past) = (home.join("work"), home.join("past"));
        std::fs::create_dir_all(folder.join("deep/deeper")).unwrap();
        std::fs::create_dir_all(&past).unwrap();
        let tree = Tree { folder, past, own, round: 0 };
        for number in 0..12 {
            std::fs::write(tree.place(number), shared(number)).unwrap();
        }
        let database = rusqlite::Connection::open(tree.database()).unwrap();
        database
            .execute_batch(
                "PRAGMA journal_mode = DELETE; CREATE TABLE note (id INTEGER PRIMARY KEY, text);
                 BEGIN",
            )
            .unwrap();
        for number in 0..6000 {
            let text = stash::id::to_hex(&noise(number, 90));
            database.execute("INSERT INTO note (text) VALUES (?1)", [text]).unwrap();
        }
        database.execute_batch("COMMIT").unwrap();
        tree
    }

    fn database(&self) -> PathBuf {
        self.folder.join("notes.db")
    }

    fn place(&self, number: u64) -> PathBuf {
        let folder = ["", "deep", "deep/deeper"][(number % 3) as usize];
        self.folder.join(folder).join(format!("file-{number}"))
    }

    /// Changes a few things.
    pub fn edit(&mut self, random: &mut fastrand::Rng) {
        self.round += 1;
        for _ in 0..random.u32(1..5) {
            match random.u32(..10) {
                0..=3 => std::fs::write(self.place(random.u64(..24)), shared(random.u64(..40))),
                4 => {
                    let own = noise(self.own << 32 | self.round, random.usize(1000..200_000));
                    std::fs::write(self.folder.join(format!("own-{}", random.u32(..6))), own)
                }
                5 => {
                    let path = self.folder.join("log.jsonl");
                    let mut file =
                        std::fs::File::options().create(true).append(true).open(path).unwrap();
                    let line = stash::id::to_hex(&noise(random.u64(..), 300));
                    writeln!(file, "{{\"machine\":{},\"text\":\"{line}\"}}", self.own)
                }
                6 => {
                    // Gone already, more often than not.
                    let _gone = std::fs::remove_file(self.place(random.u64(..24)));
                    Ok(())
                }
                7 | 8 => self.change_rows(random),
                _ => self.go_back(random),
            }
            .unwrap();
        }
    }

    /// Changes rows, by numbers that the machines share: their databases differ, their pages less so.
    fn change_rows(&self, random: &mut fastrand::Rng) -> std::io::Result<()> {
        let database = rusqlite::Connection::open(self.database()).unwrap();
        let text = stash::id::to_hex(&noise(random.u64(..50), 90));
        for _ in 0..random.u32(1..8) {
            let row = random.u32(1..6000);
            database.execute("UPDATE note SET text = ?2 WHERE id = ?1", (row, &text)).unwrap();
        }
        drop(database);
        let kept = self.past.join(format!("{}", random.u32(..3)));
        std::fs::copy(self.database(), kept).map(drop)
    }

    /// Puts the database back to what it was.
    fn go_back(&self, random: &mut fastrand::Rng) -> std::io::Result<()> {
        let kept = self.past.join(format!("{}", random.u32(..3)));
        if kept.exists() { std::fs::copy(kept, self.database()).map(drop) } else { Ok(()) }
    }
}

/// Returns the content of every file below a folder.
pub fn prints(folder: &Path) -> Prints {
    let mut found = Prints::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(next).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let print = *blake3::hash(&std::fs::read(&path).unwrap()).as_bytes();
                found.insert(path.strip_prefix(folder).unwrap().to_owned(), print);
            }
        }
    }
    found
}
