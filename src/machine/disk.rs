//! What a folder's file system means for a repository in it.
//!
//! A repository is *exclusive* where only one computer can write: on a local file system, outside
//! of folders that a program copies between machines. In such a synced folder it is *replicated*.
//! On everything else (NFS, SMB, FUSE, what we don't know) it is neither, which is always safe.

use std::path::Path;

use crate::format::key::{REPOSITORY_EXCLUSIVE, REPOSITORY_REPLICATED};

/// Files and folders by which a synced folder is known, in it or above it.
const SYNC_MARKS: [&str; 4] = [".stfolder", ".dropbox", ".dropbox.cache", ".owncloudsync.log"];

/// Returns the header's flags for a repository in a folder that exists.
pub fn repository_flags(folder: &Path) -> u64 {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    if folder.ancestors().any(is_synced) {
        REPOSITORY_REPLICATED
    } else if is_local(&folder) {
        REPOSITORY_EXCLUSIVE
    } else {
        0
    }
}

/// Returns whether two paths lie on one file system; false if either can't be asked.
pub fn is_same_file_system(one: &Path, other: &Path) -> bool {
    match (rustix::fs::stat(one), rustix::fs::stat(other)) {
        (Ok(one), Ok(other)) => one.st_dev == other.st_dev,
        _ => false,
    }
}

/// Returns whether a folder is there and is not empty, or whether anything else lies there.
#[expect(clippy::disallowed_methods, reason = "looks whether a target is empty, no further")]
pub fn holds_something(folder: &Path) -> bool {
    match std::fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    }
}

/// Returns whether a folder looks like the root of one that a program copies between machines.
fn is_synced(folder: &Path) -> bool {
    let name = folder.file_name().map(|name| name.to_string_lossy().to_lowercase());
    let named = name.is_some_and(|name| {
        let exact = ["icloud drive", "mobile documents", "cloudstorage", "nextcloud", "owncloud"];
        let begins = ["dropbox", "google drive", "googledrive", "onedrive"];
        exact.contains(&name.as_str())
            || begins.iter().any(|begin| {
                // `OneDrive - Company`, `Dropbox (Personal)`, `GoogleDrive-ann@example.org`
                name.strip_prefix(begin)
                    .is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
            })
    });
    named || SYNC_MARKS.iter().any(|mark| folder.join(mark).exists())
}

/// The numbers of Linux's local file systems that keep what they were told.
#[cfg(any(target_os = "linux", target_os = "android"))]
const LOCAL: [u64; 11] = [
    0xef53,      // ext2, ext3, ext4
    0x5846_5342, // XFS
    0x9123_683e, // btrfs
    0x0102_1994, // tmpfs
    0x8584_58f6, // ramfs
    0x794c_7630, // overlayfs
    0x2fc1_2fc1, // ZFS
    0xf2f5_2010, // F2FS
    0xca45_1a4e, // bcachefs
    0x3153_464a, // JFS
    0x5265_4973, // ReiserFS
];

#[cfg(any(target_os = "linux", target_os = "android"))]
fn is_local(folder: &Path) -> bool {
    #[allow(
        clippy::unnecessary_cast,
        clippy::cast_sign_loss,
        reason = "the field's type differs between processors"
    )]
    rustix::fs::statfs(folder)
        .is_ok_and(|system| LOCAL.contains(&(system.f_type as u64 & 0xffff_ffff)))
}

#[cfg(target_os = "macos")]
fn is_local(folder: &Path) -> bool {
    let Ok(system) = rustix::fs::statfs(folder) else { return false };
    let name: String = system
        .f_fstypename
        .iter()
        .map_while(|byte| u8::try_from(*byte).ok().filter(|byte| *byte != 0))
        .map(char::from)
        .collect();
    matches!(name.as_str(), "apfs" | "hfs")
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "macos")))]
fn is_local(_folder: &Path) -> bool {
    false
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test owns its folders")]
mod tests {
    use super::*;

    #[test]
    fn a_synced_folder_is_known_by_its_name_or_by_a_mark() {
        let folder = tempfile::tempdir().unwrap();
        for (name, flags) in [
            ("Dropbox/backups", REPOSITORY_REPLICATED),
            ("Dropbox (Personal)/backups", REPOSITORY_REPLICATED),
            ("OneDrive - Company/x/y", REPOSITORY_REPLICATED),
            ("GoogleDrive-ann@example.org/x", REPOSITORY_REPLICATED),
            ("dropboxes/x", 0),
        ] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(&path).unwrap();
            assert_eq!(repository_flags(&path) & REPOSITORY_REPLICATED, flags, "{name}");
        }
        let shared = folder.path().join("shared");
        std::fs::create_dir_all(shared.join(".stfolder")).unwrap();
        std::fs::create_dir_all(shared.join("below")).unwrap();
        assert_eq!(repository_flags(&shared.join("below")), REPOSITORY_REPLICATED);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_disk_of_this_computer_is_exclusive_and_a_virtual_one_is_not() {
        assert!(!is_local(Path::new("/proc")));
        assert!(is_same_file_system(Path::new("/proc"), Path::new("/proc/self")));
        assert!(!is_same_file_system(Path::new("/proc"), Path::new("/")));
        assert!(!is_same_file_system(Path::new("/proc"), Path::new("/does/not/exist")));
    }
}
