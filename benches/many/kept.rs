//! What was made, in a folder, so that it can be measured again.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use stash::id::{RepositoryId, from_hex};

use crate::made::{Made, Objects};

/// Writes it down.
pub fn save(made: &Made, folder: &Path) {
    for (name, objects) in [("before", &made.before), ("last-hour", &made.last_hour)] {
        for (path, bytes, stored) in objects {
            let path = folder.join(name).join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, bytes).unwrap();
            let stored = UNIX_EPOCH + Duration::from_secs(stored.unsigned_abs());
            std::fs::File::open(&path).unwrap().set_modified(stored).unwrap();
        }
    }
    let [first, second] = &made.restored;
    let text = format!("{}\n{first}\n{second}\n{}\n", made.id, made.told);
    std::fs::write(folder.join("about"), text).unwrap();
}

/// Reads it, if it is there.
pub fn load(folder: &Path) -> Option<Made> {
    let text = std::fs::read_to_string(folder.join("about")).ok()?;
    let mut lines = text.lines().map(str::to_owned);
    Some(Made {
        id: RepositoryId(from_hex(&lines.next()?)?),
        restored: [lines.next()?, lines.next()?],
        told: lines.next()?,
        before: objects(&folder.join("before")),
        last_hour: objects(&folder.join("last-hour")),
    })
}

fn objects(folder: &Path) -> Objects {
    let mut objects = Objects::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let stored: SystemTime = path.metadata().unwrap().modified().unwrap();
            let stored = stored.duration_since(UNIX_EPOCH).unwrap().as_secs().cast_signed();
            let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
            objects.push((name, std::fs::read(&path).unwrap(), stored));
        }
    }
    objects
}
