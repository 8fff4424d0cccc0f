//! Extended attributes: read whole, and made equal to what a snapshot holds.
//!
//! POSIX ACLs are the attributes `system.posix_acl_*` and need nothing of their own. A file system
//! without attributes has none. Links are never followed: an entry is addressed through its open
//! directory, so neither a long path nor a directory swapped meanwhile leads elsewhere.

use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::OnceLock;

use rustix::fs::XattrFlags;
use rustix::io::Errno;

use crate::format::cbor::Bytes;

/// What a value or a list of names may take; the system's own limit is 64 KiB.
const VALUE_LIMIT: usize = 1 << 20;

/// Names and values in ascending order of names.
pub(super) type Xattrs = Vec<(Bytes, Bytes)>;

/// Whose attributes are meant.
#[derive(Debug, Clone, Copy)]
pub(super) enum Holder<'a> {
    /// Something open for reading or writing.
    Open(BorrowedFd<'a>),
    /// The entry at a path, not followed; see [`address`].
    Path(&'a CStr),
}

/// Returns a path for the entry `name` of an open directory, or else `path` itself.
///
/// Only where the system can't name an entry through a handle is `path` used.
pub(super) fn address(directory: Option<BorrowedFd<'_>>, name: &CStr, path: &Path) -> CString {
    let through_handle = directory.filter(|_| handles_have_paths()).and_then(|directory| {
        let mut bytes = format!("/proc/self/fd/{}/", directory.as_raw_fd()).into_bytes();
        bytes.extend_from_slice(name.to_bytes());
        CString::new(bytes).ok()
    });
    through_handle.or_else(|| CString::new(path.as_os_str().as_bytes()).ok()).unwrap_or_default()
}

/// Returns whether `/proc/self/fd` is there.
pub(super) fn handles_have_paths() -> bool {
    static THERE: OnceLock<bool> = OnceLock::new();
    cfg!(target_os = "linux") && *THERE.get_or_init(|| rustix::fs::stat(c"/proc/self/fd/").is_ok())
}

impl Holder<'_> {
    /// Reads all attributes.
    pub(super) fn read(self) -> Result<Xattrs, Errno> {
        let names = match grow(|buffer| self.list(buffer)) {
            Ok(names) if names.is_empty() => return Ok(Xattrs::new()),
            Ok(names) => names,
            Err(error) if is_unsupported(error) => return Ok(Xattrs::new()),
            Err(error) => return Err(error),
        };
        let mut found = Xattrs::new();
        for name in names.split_inclusive(|&byte| byte == 0) {
            let Ok(name) = CStr::from_bytes_with_nul(name) else { continue };
            match grow(|buffer| self.get(name, buffer)) {
                Ok(value) => found.push((name.to_bytes().into(), value.into())),
                // Removed meanwhile.
                Err(error) if is_absent(error) => {}
                Err(error) => return Err(error),
            }
        }
        found.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        Ok(found)
    }

    /// Makes the attributes those of `wanted`; returns what could not be set or removed.
    pub(super) fn write(self, wanted: &[(Bytes, Bytes)]) -> Vec<(String, Errno)> {
        let mut failed = Vec::new();
        let existing = self.read().unwrap_or_default();
        for (name, _) in &existing {
            let stays = wanted.iter().any(|(other, _)| other == name) || is_label(name);
            if !stays
                && let Ok(c_name) = CString::new(name.0.as_slice())
                && let Err(error) = self.remove(&c_name)
                && !is_absent(error)
            {
                failed.push((String::from_utf8_lossy(name).into_owned(), error));
            }
        }
        for pair in wanted.iter().filter(|pair| !existing.contains(pair)) {
            let set = match CString::new(pair.0.0.as_slice()) {
                Ok(name) => self.set(&name, &pair.1),
                Err(_) => Err(Errno::INVAL),
            };
            if let Err(error) = set {
                failed.push((String::from_utf8_lossy(&pair.0).into_owned(), error));
            }
        }
        failed
    }

    fn list(self, buffer: &mut [u8]) -> Result<usize, Errno> {
        match self {
            Holder::Open(file) => rustix::fs::flistxattr(file, buffer),
            Holder::Path(path) => rustix::fs::llistxattr(path, buffer),
        }
    }

    fn get(self, name: &CStr, buffer: &mut [u8]) -> Result<usize, Errno> {
        match self {
            Holder::Open(file) => rustix::fs::fgetxattr(file, name, buffer),
            Holder::Path(path) => rustix::fs::lgetxattr(path, name, buffer),
        }
    }

    fn set(self, name: &CStr, value: &[u8]) -> Result<(), Errno> {
        match self {
            Holder::Open(file) => rustix::fs::fsetxattr(file, name, value, XattrFlags::empty()),
            Holder::Path(path) => rustix::fs::lsetxattr(path, name, value, XattrFlags::empty()),
        }
    }

    fn remove(self, name: &CStr) -> Result<(), Errno> {
        match self {
            Holder::Open(file) => rustix::fs::fremovexattr(file, name),
            Holder::Path(path) => rustix::fs::lremovexattr(path, name),
        }
    }
}

/// Calls with a larger buffer as long as the answer does not fit.
fn grow(mut call: impl FnMut(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut small = [0_u8; 512];
    match call(&mut small) {
        Ok(length) => return Ok(small.get(..length).unwrap_or_default().to_vec()),
        Err(Errno::RANGE) => {}
        Err(error) => return Err(error),
    }
    let mut size = 64 << 10;
    loop {
        let mut buffer = vec![0; size];
        match call(&mut buffer) {
            Ok(length) => {
                buffer.truncate(length);
                buffer.shrink_to_fit();
                return Ok(buffer);
            }
            Err(Errno::RANGE) if size < VALUE_LIMIT => size = size.saturating_mul(4),
            Err(error) => return Err(error),
        }
    }
}

/// Labels that the system itself puts on every new file are not removed.
fn is_label(name: &[u8]) -> bool {
    name.starts_with(b"security.") && name != b"security.capability"
}

fn is_unsupported(error: Errno) -> bool {
    error == Errno::NOTSUP || error == Errno::OPNOTSUPP || error == Errno::NOSYS
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn is_absent(error: Errno) -> bool {
    error == Errno::NODATA
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn is_absent(error: Errno) -> bool {
    error == Errno::NOATTR
}
