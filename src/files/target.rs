//! Writing beneath one directory, with no way out of it.
//!
//! Whatever a snapshot says, nothing outside the target is touched: every step is an `openat`
//! from the handle of the directory above, a link in the way is an error that names it, and each
//! name is checked again here. Handles may be shared between threads; nothing is locked, so two
//! writers of one name settle it as the file system does.
#![expect(clippy::disallowed_methods, reason = "files/ writes the local disk")]

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::apply::{ApplyOptions, Subject, apply};
use super::metadata::{Spot, open_regular};
use super::names::{Names, open_directory, pass_directory, stat_at};
use super::owners::Owners;
use super::stat::Stat;
use crate::error::{Error, IoContext as _, Kind, Result, io_error};
use crate::format::tree::{Node, NodeKind, validate_name};

use file::temporary_name;
pub use file::{PendingFile, TargetFile, is_temporary_name};

mod file;

/// A directory beneath which everything is written.
#[derive(Debug, Clone)]
pub struct Target {
    root: TargetDir,
}

impl Target {
    /// Opens the target; makes it, and what lies above it, if that is wanted and needed.
    ///
    /// Links on the way to the target are followed: the user chose the path. A file in its place
    /// is an error.
    pub fn open(path: &Path, create: bool) -> Result<Target> {
        if create {
            std::fs::create_dir_all(path).at("cannot make the target", path)?;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::open(path, flags, Mode::empty()).map_err(std::io::Error::from);
        let directory = Arc::new(opened.at("cannot open the target", path)?);
        Ok(Target { root: TargetDir { directory, path: path.into() } })
    }

    /// Returns the target itself.
    pub fn root(&self) -> &TargetDir {
        &self.root
    }

    /// Returns the directory that the names lead to; missing ones are made (0700) or give `None`.
    ///
    /// A link, or anything else that is no directory, in the way is an error that names it.
    pub fn directory(&self, names: &[&[u8]], create: bool) -> Result<Option<TargetDir>> {
        let mut reached = self.root.clone();
        for name in names {
            reached = match reached.find_directory(name)? {
                Some(next) => next,
                None if create => reached.make_directory(name)?,
                None => return Ok(None),
            };
        }
        Ok(Some(reached))
    }

    /// Waits until everything written to the target's file system is durable.
    pub fn sync_filesystem(&self) -> Result<()> {
        #[cfg(target_os = "linux")]
        let synced = rustix::fs::syncfs(&self.root.directory);
        #[cfg(not(target_os = "linux"))]
        let synced = {
            rustix::fs::sync();
            Ok::<(), Errno>(())
        };
        synced.map_err(|error| io_error("cannot sync", &self.root.path, error.into()))
    }

    /// Returns how many bytes an unprivileged user may still write there.
    pub fn free_bytes(&self) -> Result<u64> {
        let stat = rustix::fs::fstatvfs(&self.root.directory).map_err(|error| {
            io_error("cannot ask the free space of", &self.root.path, error.into())
        })?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// One directory of a target. Cheap to clone; clones share the handle.
#[derive(Debug, Clone)]
pub struct TargetDir {
    directory: Arc<OwnedFd>,
    path: Arc<Path>,
}

impl TargetDir {
    /// Returns its path, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the metadata of an entry, a link not followed.
    pub fn stat(&self, name: &[u8]) -> Result<Option<Stat>> {
        match stat_at(&self.directory, &self.checked(name)?) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(self.error("cannot look at", name, error)),
        }
    }

    /// Returns all entries in ascending order of names.
    pub fn list(&self) -> Result<Vec<(Vec<u8>, Stat)>> {
        let failed = |error: Errno| io_error("cannot list", &self.path, error.into());
        // A handle of its own: listing moves it, and this one may be shared.
        let directory = open_directory(&self.directory, c".").map_err(failed)?;
        let names = Names::read(directory.as_fd()).map_err(failed)?;
        let mut entries = Vec::with_capacity(names.len());
        for place in 0..names.len() {
            match stat_at(&directory, names.c_str(place)) {
                Ok(stat) => entries.push((names.get(place).to_vec(), stat)),
                Err(Errno::NOENT) => {}
                Err(error) => return Err(self.error("cannot look at", names.get(place), error)),
            }
        }
        Ok(entries)
    }

    /// Returns the subdirectory `name`; anything but a directory there is an error.
    pub fn find_directory(&self, name: &[u8]) -> Result<Option<TargetDir>> {
        let c_name = self.checked(name)?;
        // What may be passed but not listed is good enough to write in.
        let opened = match open_directory(&self.directory, &c_name) {
            Err(Errno::ACCESS) => pass_directory(&self.directory, &c_name),
            other => other,
        };
        match opened {
            Ok(directory) => {
                Ok(Some(TargetDir { directory: Arc::new(directory), path: self.join(name).into() }))
            }
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::NOTDIR | Errno::LOOP) => {
                let error = Error::failed("a link or a file is where a directory should be");
                let error = error.object(self.join(name).to_string_lossy());
                Err(error.hint("nothing is written through it; move it away, or restore elsewhere"))
            }
            Err(error) => Err(self.error("cannot open", name, error)),
        }
    }

    /// Makes a subdirectory that only the owner can enter; one that is there already is an error.
    pub fn make_directory(&self, name: &[u8]) -> Result<TargetDir> {
        rustix::fs::mkdirat(&self.directory, &*self.checked(name)?, Mode::RWXU)
            .map_err(|error| self.error("cannot make directory", name, error))?;
        self.find_directory(name)?.ok_or_else(|| self.error("cannot open", name, Errno::NOENT))
    }

    /// Makes a file under its own name, for an empty target; one that is there is an error.
    pub fn create_file(&self, name: &[u8]) -> Result<TargetFile> {
        self.create(self.checked(name)?).map_err(|error| self.error("cannot make", name, error))
    }

    /// Makes a file under a hidden name beside `name`, to be renamed over it.
    pub fn create_temporary(&self, name: &[u8]) -> Result<TargetFile> {
        validate(name, &self.path)?;
        loop {
            let temporary = self.checked(&temporary_name(name)?)?;
            match self.create(temporary) {
                Err(Errno::EXIST) => {}
                other => return other.map_err(|error| self.error("cannot make", name, error)),
            }
        }
    }

    fn create(&self, name: CString) -> Result<TargetFile, Errno> {
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let file = File::from(rustix::fs::openat(&self.directory, &*name, flags, mode)?);
        let pending = PendingFile { directory: self.clone(), name, kept: false };
        Ok(TargetFile { file, pending })
    }

    /// Opens the regular file `name` for reading, if there is one.
    pub fn open_existing(&self, name: &[u8]) -> Result<Option<(File, Stat)>> {
        if self.stat(name)?.is_none_or(|stat| stat.kind != NodeKind::File) {
            return Ok(None);
        }
        let (c_name, path) = (self.checked(name)?, self.join(name));
        open_regular(Spot { directory: Some(self.directory.as_fd()), name: &c_name, path: &path })
            .map(Some)
    }

    /// Makes a symbolic link. Its target is text and may say anything.
    pub fn symlink(&self, target: &[u8], name: &[u8]) -> Result<()> {
        rustix::fs::symlinkat(target, &self.directory, &*self.checked(name)?)
            .map_err(|error| self.error("cannot make link", name, error))
    }

    /// Returns where a link points; `None` if nothing, or something else, has the name.
    pub fn find_link(&self, name: &[u8]) -> Result<Option<Vec<u8>>> {
        match rustix::fs::readlinkat(&self.directory, &*self.checked(name)?, Vec::new()) {
            Ok(target) => Ok(Some(target.into_bytes())),
            Err(Errno::NOENT | Errno::INVAL) => Ok(None),
            Err(error) => Err(self.error("cannot read link", name, error)),
        }
    }

    /// Makes a pipe, a socket or a device, whose numbers are given; only the owner may use it.
    #[cfg(not(target_os = "macos"))]
    pub fn make_special(&self, kind: NodeKind, device: (u32, u32), name: &[u8]) -> Result<()> {
        use rustix::fs::FileType;
        let file_type = match kind {
            NodeKind::Fifo => FileType::Fifo,
            NodeKind::Socket => FileType::Socket,
            NodeKind::CharDevice => FileType::CharacterDevice,
            NodeKind::BlockDevice => FileType::BlockDevice,
            NodeKind::File | NodeKind::Directory | NodeKind::Symlink | NodeKind::Reference => {
                return Err(self.error("cannot make", name, Errno::INVAL));
            }
        };
        let number = rustix::fs::makedev(device.0, device.1);
        let mode = Mode::RUSR | Mode::WUSR;
        rustix::fs::mknodat(&self.directory, &*self.checked(name)?, file_type, mode, number)
            .map_err(|error| self.error("cannot make", name, error))
    }

    /// Makes nothing: this system has no call for it.
    #[cfg(target_os = "macos")]
    pub fn make_special(&self, _kind: NodeKind, _device: (u32, u32), name: &[u8]) -> Result<()> {
        Err(self.error("cannot make", name, Errno::NOTSUP))
    }

    /// Gives a file of this target a further name; a link is linked itself.
    pub fn hard_link(&self, existing: &TargetDir, existing_name: &[u8], name: &[u8]) -> Result<()> {
        let (old, new) = (existing.checked(existing_name)?, self.checked(name)?);
        let flags = AtFlags::empty();
        rustix::fs::linkat(&existing.directory, &*old, &self.directory, &*new, flags)
            .map_err(|error| self.error("cannot make hard link", name, error))
    }

    /// Removes anything but a directory that holds something; that nothing is there is fine.
    pub fn remove(&self, name: &[u8]) -> Result<()> {
        let c_name = self.checked(name)?;
        let unlink = |flags| rustix::fs::unlinkat(&self.directory, &*c_name, flags);
        match unlink(AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            // Systems differ in what they say of a directory.
            Err(Errno::ISDIR | Errno::PERM) => unlink(AtFlags::REMOVEDIR),
            Err(error) => Err(error),
        }
        .map_err(|error| self.error("cannot remove", name, error))
    }

    /// Removes an entry with everything below it, following no link.
    pub fn remove_tree(&self, name: &[u8]) -> Result<()> {
        super::remove::remove_tree(self.directory.as_fd(), &self.checked(name)?, &self.path)
    }

    /// Applies a node's owner, attributes, mode and time to an entry of the same kind.
    ///
    /// Returns what could not be applied. A directory gets its time when its content is done.
    pub fn apply(
        &self,
        name: &[u8],
        node: &Node,
        options: ApplyOptions,
        owners: &Owners,
    ) -> Vec<Error> {
        let c_name = match self.checked(name) {
            Ok(c_name) => c_name,
            Err(error) => return vec![error],
        };
        let path = self.join(name);
        let directory = self.directory.as_fd();
        apply(Subject { file: None, directory, name: &c_name, path: &path }, node, options, owners)
    }

    /// Makes the directory's entries durable.
    pub fn sync(&self) -> Result<()> {
        let directory = open_directory(&self.directory, c".");
        directory
            .and_then(rustix::fs::fsync)
            .map_err(|error| io_error("cannot sync", &self.path, error.into()))
    }

    fn checked(&self, name: &[u8]) -> Result<CString> {
        validate(name, &self.path)?;
        CString::new(name).map_err(|_| self.error("cannot use", name, Errno::INVAL))
    }

    fn join(&self, name: &[u8]) -> PathBuf {
        self.path.join(OsStr::from_bytes(name))
    }

    fn error(&self, doing: &str, name: &[u8], error: Errno) -> Error {
        io_error(doing, &self.join(name), error.into())
    }
}

fn validate(name: &[u8], directory: &Path) -> Result<()> {
    validate_name(name).map_err(|error| {
        let shown = format!("{} in {}", String::from_utf8_lossy(name), directory.display());
        Error::new(Kind::Damaged, "refused to write the name").object(shown).source(error)
    })
}

#[cfg(test)]
mod tests;
