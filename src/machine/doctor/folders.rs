//! This machine's own folders: closed to others, writable, without old leftovers, and with room.
#![expect(clippy::disallowed_methods, reason = "looks at this machine's own folders")]

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::fix::{Fix, FixStep};
use super::{Answer, Verdict, counted, named, size};
use crate::machine::Places;

/// What a run has left is old when it was last touched so long ago: no run lasts a day.
const OLD: Duration = Duration::from_hours(24);
/// With less room than this nothing can be relied on, in bytes.
const TOO_LITTLE: u64 = 64 << 20;
/// With less room than this a larger backup may fail, in bytes.
const LITTLE: u64 = 1 << 30;

/// Asks whether the folders of state, cache and keys can be written, and are closed to others.
pub fn own_folders(places: &Places) -> Answer {
    const NAME: &str = "own folders";
    let folders = [places.state.clone(), places.cache.clone(), places.keys()];
    let (mut broken, mut open, mut steps) = (Vec::new(), Vec::new(), Vec::new());
    for folder in &folders {
        let shown = folder.display();
        match folder.metadata() {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                if let Some(why) = cannot_be_made(folder) {
                    broken.push(format!("`{shown}` can't be made: {why}"));
                }
            }
            Err(error) => broken.push(format!("`{shown}`: {error}")),
            Ok(found) if !found.is_dir() => broken.push(format!("`{shown}` is no folder")),
            Ok(found) => {
                if let Err(error) = tempfile::Builder::new().prefix(PROBE).tempfile_in(folder) {
                    broken.push(format!("`{shown}` can't be written: {error}"));
                }
                let mode = found.permissions().mode() & 0o777;
                if mode & 0o077 != 0 {
                    open.push(format!("`{shown}` is open to other users ({mode:o})"));
                    steps.push(FixStep::SetMode { path: folder.clone(), mode: 0o700 });
                }
            }
        }
    }
    let fix = |steps: Vec<FixStep>| Fix {
        what: format!("closes {} to other users (0700)", counted(steps.len() as u64, "folder")),
        needs_consent: false,
        steps,
    };
    let answer = match (broken.is_empty(), open.is_empty()) {
        (true, true) => {
            return Answer::ok(NAME, "state, cache and keys can be written, and are closed to others");
        }
        (false, _) => Answer::broken(NAME, named(&[broken, open].concat()))
            .remedy("let your user own these folders, or name others: `--state-dir`, `--cache-dir`, `--data-dir`"),
        (true, false) => {
            Answer::problem(NAME, named(&open)).remedy("`chmod 700` closes them; `--fix` does it")
        }
    };
    if steps.is_empty() { answer } else { answer.fix(fix(steps)) }
}

/// Returns why a folder that is not there can't be made; `None` if it can.
fn cannot_be_made(folder: &Path) -> Option<String> {
    let above = folder.ancestors().find(|above| above.symlink_metadata().is_ok())?;
    if !above.is_dir() {
        return Some(format!("`{}` is no folder", above.display()));
    }
    tempfile::Builder::new().prefix(PROBE).tempfile_in(above).err().map(|error| error.to_string())
}

/// What this question itself makes for a moment begins so.
const PROBE: &str = ".stash-doctor-";

/// Asks whether runs that died have left something behind.
pub fn leftovers(places: &Places) -> Answer {
    const NAME: &str = "leftovers";
    let mut old = Vec::new();
    // Private copies of databases, each in a folder of its own.
    collect(&places.cache.join("tmp"), |_| true, &mut old);
    // A key that was never whole, and small files that were to replace others.
    collect(&places.keys(), |name| name.starts_with(".new-"), &mut old);
    for base in [&places.state, &places.cache] {
        collect(base, is_temporary, &mut old);
        for folder in subfolders(base) {
            collect(&folder, is_temporary, &mut old);
        }
    }
    if old.is_empty() {
        return Answer::ok(NAME, "nothing that a run has left");
    }
    let bytes: u64 = old.iter().map(|path| bytes_below(path)).sum();
    let evidence = format!(
        "{} that runs have left more than a day ago take {}, the first `{}`",
        counted(old.len() as u64, "item"),
        size(bytes),
        old.first().map(|it| it.display().to_string()).unwrap_or_default()
    );
    let what = format!("removes {} that runs have left", counted(old.len() as u64, "item"));
    let steps = old.into_iter().map(|path| FixStep::Remove { path }).collect();
    Answer::note(NAME, evidence).remedy("`--fix` removes them").fix(Fix {
        what,
        needs_consent: false,
        steps,
    })
}

fn is_temporary(name: &str) -> bool {
    name.starts_with(".tmp") || name.starts_with(PROBE)
}

fn collect(folder: &Path, wanted: impl Fn(&str) -> bool, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let touched = entry.metadata().and_then(|it| it.modified()).ok();
        let is_old = touched.is_some_and(|it| it.elapsed().is_ok_and(|past| past > OLD));
        if is_old && wanted(&entry.file_name().to_string_lossy()) {
            found.push(entry.path());
        }
    }
}

fn subfolders(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders.map(|entry| entry.path()).collect()
}

fn bytes_below(path: &Path) -> u64 {
    match path.symlink_metadata() {
        Ok(found) if found.is_dir() => {
            let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
            entries.map(|entry| entry.metadata().map_or(0, |it| it.len())).sum()
        }
        Ok(found) => found.len(),
        Err(_) => 0,
    }
}

/// Asks whether there is room where the repository, if it is on this computer, and our own folders lie.
pub fn free_space(places: &Places, repository: Option<&Path>) -> Answer {
    const NAME: &str = "free space";
    let own = [("state", places.state.as_path()), ("cache", places.cache.as_path())];
    let all = repository.map(|folder| ("repository", folder)).into_iter().chain(own);
    let mut seen: Vec<String> = Vec::new();
    let mut worst = Verdict::Ok;
    for (what, folder) in all {
        let there = folder.ancestors().find(|above| above.exists()).unwrap_or(folder);
        match rustix::fs::statvfs(there) {
            Ok(found) => {
                let free = found.f_bavail.saturating_mul(found.f_frsize);
                worst = worst.max(verdict_of(free));
                seen.push(format!("{} for the {what}", size(free)));
            }
            Err(error) => {
                worst = worst.max(Verdict::Note);
                seen.push(format!("not known for the {what}: {error}"));
            }
        }
    }
    let answer = Answer::new(NAME, worst, seen.join(", "));
    match worst {
        Verdict::Ok | Verdict::Skipped | Verdict::Note => answer,
        Verdict::Problem | Verdict::Broken => answer.remedy(
            "free some space: `stash forget` with a policy and `stash prune` shrink the repository, and \
             the cache may be deleted at any time",
        ),
    }
}

fn verdict_of(free_bytes: u64) -> Verdict {
    match free_bytes {
        0..TOO_LITTLE => Verdict::Broken,
        TOO_LITTLE..LITTLE => Verdict::Problem,
        _ => Verdict::Ok,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_room_is_told_before_a_backup_fails() {
        assert_eq!(verdict_of(0), Verdict::Broken);
        assert_eq!(verdict_of(TOO_LITTLE), Verdict::Problem);
        assert_eq!(verdict_of(LITTLE), Verdict::Ok);
    }
}
