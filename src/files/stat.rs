//! What the system says about one directory entry.
//!
//! A plain copy of the numbers: no name, no handle. It holds more than a [`Node`] does, because
//! "is this still the file that was read" is answered with inode and change time, which never
//! leave this machine.
//!
//! [`Node`]: crate::format::tree::Node

use rustix::fs::FileType;
use rustix::io::Errno;

use crate::format::tree::{FileTime, NodeKind};
use crate::time::{SECOND, Timestamp};

/// One entry's metadata, without what needs further calls (link target, extended attributes).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// What it is.
    pub kind: NodeKind,
    /// Permission bits, 0 to 0o7777.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Size in bytes, as the system tells it (for a link the length of its target).
    pub size: u64,
    /// Time of the last modification.
    pub mtime: FileTime,
    /// Time of the last change of content or metadata.
    pub ctime: FileTime,
    /// The number that is unique within `device`.
    pub inode: u64,
    /// The file system.
    pub device: u64,
    /// How many names the file has.
    pub links: u64,
    /// Major and minor number, for a device; else zeros.
    pub rdev: (u32, u32),
    /// Allocated space in units of 512 bytes.
    pub blocks: u64,
}

impl Stat {
    /// Returns whether both describe one file with, as far as times can tell, the same content.
    pub fn is_same_content(&self, other: &Stat) -> bool {
        self.is_same_file(other)
            && self.kind == other.kind
            && self.size == other.size
            && self.mtime == other.mtime
            && self.ctime == other.ctime
    }

    /// Returns whether a reading that began at `began` may be trusted to show each later change.
    ///
    /// The racy-clock rule: what was changed within two seconds before, or since, may change again
    /// without its times showing it.
    pub fn is_settled(&self, began: Timestamp) -> bool {
        let limit = began.0.saturating_sub(2 * SECOND);
        [self.mtime, self.ctime].into_iter().all(|time| {
            time.0
                .checked_mul(SECOND)
                .and_then(|seconds| seconds.checked_add(i64::from(time.1)))
                .is_some_and(|nanoseconds| nanoseconds < limit)
        })
    }

    /// Returns whether both describe one file, whatever happened to it meanwhile.
    pub fn is_same_file(&self, other: &Stat) -> bool {
        self.inode == other.inode && self.device == other.device
    }

    /// Returns whether a file takes less room than its size says.
    pub fn is_sparse(&self) -> bool {
        self.kind == NodeKind::File && self.blocks.saturating_mul(512) < self.size
    }

    /// Takes over the system's answer; a kind that no node can have is "not supported".
    // The fields have other widths and signs on other systems, hence the casts.
    #[allow(
        clippy::unnecessary_cast,
        clippy::cast_sign_loss,
        clippy::cast_possible_truncation,
        clippy::useless_conversion,
        reason = "the fields' types differ between systems"
    )]
    pub(super) fn from_system(stat: &rustix::fs::Stat) -> Result<Stat, Errno> {
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => NodeKind::File,
            FileType::Directory => NodeKind::Directory,
            FileType::Symlink => NodeKind::Symlink,
            FileType::Fifo => NodeKind::Fifo,
            FileType::CharacterDevice => NodeKind::CharDevice,
            FileType::BlockDevice => NodeKind::BlockDevice,
            FileType::Socket => NodeKind::Socket,
            FileType::Unknown => return Err(Errno::OPNOTSUPP),
        };
        let is_device = matches!(kind, NodeKind::CharDevice | NodeKind::BlockDevice);
        let rdev = if is_device {
            (rustix::fs::major(stat.st_rdev) as u32, rustix::fs::minor(stat.st_rdev) as u32)
        } else {
            (0, 0)
        };
        Ok(Stat {
            kind,
            mode: u32::from(stat.st_mode) & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            size: stat.st_size as u64,
            mtime: file_time(stat.st_mtime as i64, stat.st_mtime_nsec as u32),
            ctime: file_time(stat.st_ctime as i64, stat.st_ctime_nsec as u32),
            inode: stat.st_ino as u64,
            device: stat.st_dev as u64,
            links: stat.st_nlink as u64,
            rdev,
            blocks: stat.st_blocks as u64,
        })
    }
}

/// Some file systems have shown nanoseconds beyond a second, which a node may not hold.
fn file_time(seconds: i64, nanoseconds: u32) -> FileTime {
    FileTime(seconds, nanoseconds.min(999_999_999))
}
