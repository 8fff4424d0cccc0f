//! A node's metadata, given to what a restore has made.
//!
//! Order matters: the owner first, since changing it clears set-id bits and capabilities; then
//! extended attributes, which a mode without write permission would forbid; then the mode; the
//! times last. Set-id bits are given only together with the owner that they speak of.
//!
//! What can't be applied is returned, item by item, and never costs the content. Without being
//! root nobody can give files away, so for others a foreign owner is not even a failure.

use std::ffi::CStr;
#[cfg(target_os = "linux")]
use std::os::fd::AsRawFd as _;
use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, Uid};
use rustix::io::Errno;

use super::names::{stat_at, stat_open};
use super::owners::Owners;
use super::stat::Stat;
use super::xattrs::{Holder, address, handles_have_paths};
use crate::error::{Error, io_error};
use crate::format::cbor::Bytes;
use crate::format::tree::{Node, NodeKind};

/// Which owner a restored item gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OwnerRule {
    /// The one whose name the node has, if this machine knows it; else the one with its number.
    #[default]
    ByName,
    /// The one with the node's number.
    Numeric,
    /// Whoever runs the restore.
    Leave,
}

/// What of a node is applied beside mode and time.
#[derive(Debug, Clone, Copy)]
pub struct ApplyOptions {
    /// The owner.
    pub owner: OwnerRule,
    /// Whether extended attributes (and so ACLs) are made those of the node.
    pub xattrs: bool,
}

impl Default for ApplyOptions {
    fn default() -> Self {
        ApplyOptions { owner: OwnerRule::default(), xattrs: true }
    }
}

/// What gets the metadata: an entry of an open directory, and perhaps its own handle.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject<'a> {
    pub(super) file: Option<BorrowedFd<'a>>,
    pub(super) directory: BorrowedFd<'a>,
    pub(super) name: &'a CStr,
    /// For messages.
    pub(super) path: &'a Path,
}

/// Applies `node` to the subject; returns what could not be applied.
pub(super) fn apply(
    subject: Subject<'_>,
    node: &Node,
    options: ApplyOptions,
    owners: &Owners,
) -> Vec<Error> {
    let failed = |doing: &str, error: Errno| {
        io_error(&format!("cannot {doing}"), subject.path, error.into())
    };
    let stat = match subject.stat() {
        Ok(stat) if stat.kind == node.kind => stat,
        Ok(_) => {
            let error = Error::failed("something of another kind is now at");
            return vec![error.object(subject.path.to_string_lossy())];
        }
        Err(error) => return vec![failed("set metadata of", error)],
    };
    let mut problems = Vec::new();
    let mut mode = node.mode;
    let wanted = wanted_owner(node, options.owner, owners);
    let may_change = options.owner != OwnerRule::Leave;
    match subject.set_owner(&stat, wanted, may_change) {
        Ok(given) => mode &= given.allowed_mode(node.kind),
        Err(error) => {
            mode &= Given { user: false, group: false }.allowed_mode(node.kind);
            problems.push(failed("set the owner of", error));
        }
    }
    if options.xattrs {
        let unset = subject.set_xattrs(&node.xattrs);
        let unset = unset.into_iter();
        problems.extend(unset.map(|(name, error)| failed(&format!("set `{name}` of"), error)));
    }
    if node.kind != NodeKind::Symlink
        && let Err(error) = subject.set_mode(mode)
    {
        problems.push(failed("set the mode of", error));
    }
    if let Err(error) = subject.set_time(node) {
        problems.push(failed("set the time of", error));
    }
    problems
}

/// Returns the user and the group that a node means on this machine.
fn wanted_owner(node: &Node, rule: OwnerRule, owners: &Owners) -> (u32, u32) {
    let by_name = |name: &Option<Box<str>>, find: &dyn Fn(&str) -> Option<u32>| {
        name.as_deref().filter(|_| rule == OwnerRule::ByName).and_then(find)
    };
    let uid = by_name(&node.user, &|name| owners.find_user(name)).unwrap_or(node.uid);
    let gid = by_name(&node.group, &|name| owners.find_group(name)).unwrap_or(node.gid);
    (uid, gid)
}

/// Whether user and group are those of the node.
#[derive(Debug, Clone, Copy)]
struct Given {
    user: bool,
    group: bool,
}

impl Given {
    /// A set-id bit with another owner than meant would hand out that owner's rights.
    fn allowed_mode(self, kind: NodeKind) -> u32 {
        let user = if self.user || kind == NodeKind::Directory { 0o4000 } else { 0 };
        let group = if self.group || kind == NodeKind::Directory { 0o2000 } else { 0 };
        0o1777 | user | group
    }
}

impl Subject<'_> {
    fn stat(&self) -> Result<Stat, Errno> {
        match self.file {
            Some(file) => stat_open(file),
            None => stat_at(self.directory, self.name),
        }
    }

    fn set_owner(
        &self,
        stat: &Stat,
        (uid, gid): (u32, u32),
        may_change: bool,
    ) -> Result<Given, Errno> {
        let mut given = Given { user: stat.uid == uid, group: stat.gid == gid };
        if !may_change || (given.user && given.group) {
            return Ok(given);
        }
        if rustix::process::geteuid().is_root() {
            self.chown(Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
            return Ok(Given { user: true, group: true });
        }
        // One's own files may go to any group that one belongs to.
        if !given.group && given.user {
            match self.chown(None, Some(Gid::from_raw(gid))) {
                Ok(()) => given.group = true,
                Err(Errno::PERM) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(given)
    }

    fn chown(&self, uid: Option<Uid>, gid: Option<Gid>) -> Result<(), Errno> {
        if let Some(file) = self.file {
            return rustix::fs::fchown(file, uid, gid);
        }
        rustix::fs::chownat(self.directory, self.name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
    }

    fn set_xattrs(&self, wanted: &[(Bytes, Bytes)]) -> Vec<(String, Errno)> {
        if let Some(file) = self.file {
            return Holder::Open(file).write(wanted);
        }
        let address = address(Some(self.directory), self.name, self.path);
        Holder::Path(&address).write(wanted)
    }

    fn set_mode(&self, mode: u32) -> Result<(), Errno> {
        let mode = Mode::from_raw_mode(raw_mode(mode));
        match self.file {
            Some(file) => rustix::fs::fchmod(file, mode),
            None => self.set_mode_by_name(mode),
        }
    }

    /// `fchmodat` follows links, so the entry itself is opened first, without needing any right
    /// to it, and its mode set through the handle's own path.
    #[cfg(target_os = "linux")]
    fn set_mode_by_name(&self, mode: Mode) -> Result<(), Errno> {
        if !handles_have_paths() {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let handle = rustix::fs::openat(self.directory, self.name, flags, Mode::empty())?;
            return rustix::fs::fchmod(handle, mode);
        }
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let handle = rustix::fs::openat(self.directory, self.name, flags, Mode::empty())?;
        if stat_open(&handle)?.kind == NodeKind::Symlink {
            return Err(Errno::LOOP);
        }
        rustix::fs::chmod(format!("/proc/self/fd/{}", handle.as_raw_fd()), mode)
    }

    #[cfg(not(target_os = "linux"))]
    fn set_mode_by_name(&self, mode: Mode) -> Result<(), Errno> {
        rustix::fs::chmodat(self.directory, self.name, mode, AtFlags::SYMLINK_NOFOLLOW)
    }

    /// The time of the last access is left as it is.
    fn set_time(&self, node: &Node) -> Result<(), Errno> {
        let times = Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            last_modification: Timespec { tv_sec: node.mtime.0, tv_nsec: node.mtime.1.into() },
        };
        if let Some(file) = self.file {
            return rustix::fs::futimens(file, &times);
        }
        rustix::fs::utimensat(self.directory, self.name, &times, AtFlags::SYMLINK_NOFOLLOW)
    }
}

#[cfg(not(target_os = "macos"))]
fn raw_mode(mode: u32) -> rustix::fs::RawMode {
    mode & 0o7777
}

#[cfg(target_os = "macos")]
fn raw_mode(mode: u32) -> rustix::fs::RawMode {
    // Twelve bits fit in sixteen.
    rustix::fs::RawMode::try_from(mode & 0o7777).unwrap_or_default()
}
