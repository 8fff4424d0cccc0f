//! A bare repository on a disk of this computer, read and written as git itself does: objects, loose
//! and in packs, and one ref that is replaced under its lock.
//!
//! New objects are written loose and made durable before the ref is; `git gc` packs them, and
//! removes what no ref reaches. An object that is about to be referred to is always written anew,
//! even if it lies there: one that lies there unreferenced may be about to be removed.

mod lock;
mod packs;

use std::collections::HashSet;
use std::io::{BufRead, BufReader, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use super::failure::{GitFailure, Outcome};
use super::object::{Kind, NewObject, Oid};
use super::pack::deflate;
use super::received::Received;
use super::state::State;
use super::{Backend, Pushed, Tip};
use lock::Lock;
use packs::Packs;

/// A bare repository.
pub(super) struct Bare {
    folder: PathBuf,
    /// Its own folder of objects, and those that it borrows from.
    objects: Vec<PathBuf>,
    packs: Packs,
    branch: String,
}

impl Bare {
    /// Opens the repository; with `create`, makes it where nothing is.
    pub(super) fn open(path: &Path, branch: &str, create: bool) -> Outcome<Bare> {
        let folder = match [path.to_owned(), path.join(".git")].into_iter().find(|it| is_git(it)) {
            Some(folder) => folder,
            None if create && is_empty(path) => {
                make(path).map_err(|error| GitFailure::disk("cannot make it", &error))?;
                path.to_owned()
            }
            None => {
                return Err(GitFailure::lasting(
                    "there is no git repository",
                    "`stash init` makes one where nothing is; so does `git init --bare`",
                ));
            }
        };
        refuse_unknown(&folder)?;
        let objects = with_alternates(folder.join("objects"));
        let packs = Packs::default();
        Ok(Bare { folder, objects, packs, branch: branch.to_owned() })
    }

    fn read_ref(&self) -> Outcome<Option<Oid>> {
        let name = format!("refs/heads/{}", self.branch);
        let fail = |error| GitFailure::disk("cannot read the branch", &error);
        let odd = || GitFailure::odd(&format!("`{name}` is no plain branch"));
        if let Some(bytes) = read_file(&self.folder.join(&name)).map_err(fail)? {
            let text = String::from_utf8_lossy(&bytes);
            return Oid::parse(text.trim()).map(Some).ok_or_else(odd);
        }
        let packed = read_file(&self.folder.join("packed-refs")).map_err(fail)?.unwrap_or_default();
        let packed = String::from_utf8_lossy(&packed);
        let line = packed.lines().find_map(|line| line.split_once(' ').filter(|it| it.1 == name));
        line.map(|(oid, _)| Oid::parse(oid).ok_or_else(odd)).transpose()
    }

    /// Reads an object; `None` if it is not there.
    fn read(&mut self, oid: Oid) -> Outcome<Option<(Kind, Vec<u8>)>> {
        if let Some(found) = self.read_loose(oid)? {
            return Ok(Some(found));
        }
        if let Some(found) = self.packs.read(oid, &self.objects)? {
            return Ok(Some(found));
        }
        // `git gc` may just have moved it.
        self.packs.forget();
        match self.read_loose(oid)? {
            Some(found) => Ok(Some(found)),
            None => self.packs.read(oid, &self.objects),
        }
    }

    fn read_loose(&self, oid: Oid) -> Outcome<Option<(Kind, Vec<u8>)>> {
        let fail = |error: std::io::Error| GitFailure::disk("cannot read an object", &error);
        for folder in &self.objects {
            let file = match open_file(&loose_path(folder, oid)) {
                Ok(Some(file)) => file,
                Ok(None) => continue,
                Err(error) => return Err(fail(error)),
            };
            let mut bytes = BufReader::new(flate2::bufread::ZlibDecoder::new(BufReader::new(file)));
            let mut head = Vec::new();
            bytes.by_ref().take(64).read_until(0, &mut head).map_err(fail)?;
            let head = String::from_utf8_lossy(&head);
            let parts = head.trim_end_matches('\0').split_once(' ');
            let parts = parts.and_then(|(kind, length)| {
                Some((Kind::parse(kind)?, length.parse::<usize>().ok()?))
            });
            let (kind, length) = parts.ok_or_else(|| damaged(oid))?;
            let mut content = Vec::new();
            let most = crate::format::LIMITS.object as u64 + 1;
            bytes.take(most).read_to_end(&mut content).map_err(fail)?;
            if content.len() != length {
                return Err(damaged(oid));
            }
            return Ok(Some((kind, content)));
        }
        Ok(None)
    }

    fn write(&self, object: &NewObject) -> std::io::Result<()> {
        let Some(folder) = self.objects.first() else { return Err(ErrorKind::NotFound.into()) };
        let path = loose_path(folder, object.oid);
        let parent = path.parent().unwrap_or(folder);
        make_folder(parent)?;
        let mut parts = vec![format!("{} {}\0", object.kind.word(), object.len()).into()];
        parts.extend(object.parts.iter().cloned());
        let bytes = deflate(Vec::new(), &NewObject { parts, ..object.clone() });
        // `git gc` removes what is called so and was left behind by a writer that died.
        let mut file = tempfile::Builder::new().prefix("tmp_obj_").tempfile_in(folder)?;
        file.write_all(&bytes)?;
        rustix::fs::fchmod(file.as_file(), rustix::fs::Mode::from_raw_mode(0o444))?;
        file.as_file().sync_all()?;
        file.persist(&path).map_err(|error| error.error)?;
        Ok(())
    }

    /// Replaces the ref, if it still is what it was.
    fn replace(&self, old: Option<Oid>, new: Oid) -> Outcome<Pushed> {
        let path = self.folder.join("refs/heads").join(&self.branch);
        let fail = |error: std::io::Error| GitFailure::disk("cannot write the branch", &error);
        make_durably(path.parent().unwrap_or(&self.folder), 0o777).map_err(fail)?;
        let lock = Lock::take(&self.folder, &path)?;
        if self.read_ref()? != old {
            return Ok(Pushed::Moved);
        }
        lock.write(&format!("{new}\n")).map_err(fail)?;
        if !lock.commit(&path).map_err(fail)? {
            return Ok(Pushed::Moved);
        }
        path.parent().map_or(Ok(()), sync_folder).map_err(fail)?;
        Ok(Pushed::Done)
    }
}

impl Backend for Bare {
    fn tip(&mut self) -> Outcome<Tip> {
        Ok(Tip { commit: self.read_ref()? })
    }

    fn trees(&mut self, commit: Oid, _known: &State, received: &mut Received) -> Outcome<()> {
        self.fetch(&[commit], received)
    }

    fn fetch(&mut self, wanted: &[Oid], received: &mut Received) -> Outcome<()> {
        for oid in wanted {
            if let Some((kind, bytes)) = self.read(*oid)? {
                if super::object::oid_of(kind, &[&bytes]) != *oid {
                    return Err(damaged(*oid));
                }
                received.add(*oid, kind, bytes)?;
            }
        }
        Ok(())
    }

    fn push(&mut self, old: Option<Oid>, new: Oid, objects: &[NewObject]) -> Outcome<Pushed> {
        if self.read_ref()? != old {
            return Ok(Pushed::Moved);
        }
        let fail = |error| GitFailure::disk("cannot write an object", &error);
        let mut folders = HashSet::new();
        for object in objects {
            self.write(object).map_err(fail)?;
            if let Some(own) = self.objects.first() {
                folders.extend([loose_path(own, object.oid).parent().unwrap_or(own).to_owned()]);
                folders.insert(own.clone());
            }
        }
        // The names too are durable before anything refers to them.
        folders.iter().try_for_each(|folder| sync_folder(folder)).map_err(fail)?;
        self.replace(old, new)
    }
}

fn damaged(oid: Oid) -> GitFailure {
    GitFailure::lasting(
        format!("the git repository's object {oid} is damaged"),
        "run `git fsck` there; `stash check --read-data` says what it costs",
    )
}

fn loose_path(objects: &Path, oid: Oid) -> PathBuf {
    let text = oid.to_string();
    let (folder, file) = text.split_at(2);
    objects.join(folder).join(file)
}

#[expect(clippy::disallowed_methods, reason = "the store owns the repository's folder")]
fn rename(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::rename(from, to)
}

#[expect(clippy::disallowed_methods, reason = "the store owns the repository's folder")]
fn open_file(path: &Path) -> std::io::Result<Option<std::fs::File>> {
    match std::fs::File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[expect(clippy::disallowed_methods, reason = "the store owns the repository's folder")]
fn remove(path: &Path) -> std::io::Result<()> {
    std::fs::remove_file(path)
}

fn read_file(path: &Path) -> std::io::Result<Option<Vec<u8>>> {
    let Some(mut file) = open_file(path)? else { return Ok(None) };
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

#[expect(clippy::disallowed_methods, reason = "the store owns the repository's folder")]
fn make_folder(path: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(path)
}

/// Makes a folder and those around it that are missing, each durable.
fn make_durably(path: &Path, mode: u32) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    if path.is_dir() {
        return Ok(());
    }
    let around = path.parent().filter(|around| !around.as_os_str().is_empty());
    around.map_or(Ok(()), |around| make_durably(around, mode))?;
    match std::fs::DirBuilder::new().mode(mode).create(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    match sync_folder(around.unwrap_or(Path::new("."))) {
        // A folder that may be passed through, but not read.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(()),
        result => result,
    }
}

#[expect(clippy::disallowed_methods, reason = "the store owns the repository's folder")]
fn sync_folder(path: &Path) -> std::io::Result<()> {
    std::fs::File::open(path)?.sync_all()
}

fn is_git(path: &Path) -> bool {
    path.join("objects").is_dir() && path.join("HEAD").is_file()
}

#[expect(clippy::disallowed_methods, reason = "the store owns the repository's folder")]
fn is_empty(path: &Path) -> bool {
    match std::fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == ErrorKind::NotFound,
    }
}

/// Makes a bare repository, for its owner alone.
#[expect(clippy::disallowed_methods, reason = "the store owns the repository's folder")]
fn make(path: &Path) -> std::io::Result<()> {
    for folder in ["objects/pack", "objects/info", "refs/heads", "refs/tags"] {
        make_durably(&path.join(folder), 0o700)?;
    }
    let config = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n";
    // `HEAD` last: with it, it is a repository.
    for (name, text) in [("config", config), ("HEAD", "ref: refs/heads/stash\n")] {
        let mut file = std::fs::File::create(path.join(name))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        sync_folder(path)?;
    }
    Ok(())
}

/// Refuses what a repository's config announces and this doesn't know.
fn refuse_unknown(folder: &Path) -> Outcome<()> {
    let bytes = read_file(&folder.join("config"))
        .map_err(|error| GitFailure::disk("cannot read its config", &error))?;
    let text = String::from_utf8_lossy(&bytes.unwrap_or_default()).to_lowercase();
    let values = text.lines().filter_map(|line| line.split_once('='));
    for (key, value) in values.map(|(key, value)| (key.trim(), value.trim())) {
        if matches!((key, value), ("objectformat", "sha256") | ("refstorage", "reftable")) {
            return Err(GitFailure::lasting(
                format!("the git repository uses {value}, which stash does not know"),
                "make one with `git init --bare --object-format=sha1 --ref-format=files`",
            ));
        }
    }
    Ok(())
}

/// Returns the folder of objects and those that it says it borrows from.
fn with_alternates(own: PathBuf) -> Vec<PathBuf> {
    let mut folders = vec![own];
    let mut at = 0;
    while let Some(folder) = folders.get(at).cloned() {
        at += 1;
        let Ok(Some(bytes)) = read_file(&folder.join("info/alternates")) else { continue };
        for line in String::from_utf8_lossy(&bytes).lines().filter(|line| !line.starts_with('#')) {
            let other = folder.join(line);
            if !line.is_empty() && !folders.contains(&other) && folders.len() < 16 {
                folders.push(other);
            }
        }
    }
    folders
}
