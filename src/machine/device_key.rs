//! The key by which this machine opens a repository, and the recovery code until it is tested.
//!
//! Both are files for this user alone (0600) in the keys folder (0700), named after the repository:
//!
//! ```text
//! <repository id>.device      stash-device-key-1 <64 hex digits>
//! <repository id>.recovery    the 24 words
//! ```
//!
//! Each is written beside its place, synced, and linked into it only if nothing is there: a crash
//! leaves a whole file or none, and no key is ever overwritten. A file that others can read is
//! refused, since its key may be known to them.
//!
//! The device key may lie in the operating system's keychain instead (`keychain.rs`), as the same line;
//! its file then says `stash-device-key-1 keychain`. So nobody asks a keychain that holds nothing,
//! and a key is never in neither place: it is moved by writing the new one, reading it back, and only
//! then replacing the file.
#![expect(clippy::disallowed_methods, reason = "owns the key files")]

use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::keychain;
use super::places::make_private_folder;
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::id::{RepositoryId, from_hex, to_hex};

const DEVICE_KEY_HEAD: &str = "stash-device-key-1 ";
/// What the file says if the key lies in the keychain.
const IN_KEYCHAIN: &str = "keychain";
const MAXIMUM_FILE_BYTES: u64 = 4096;
const DOING_WRITE: &str = "cannot write the key file";

/// Where this machine's key for a repository lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyPlace {
    /// In a file for this user alone.
    File,
    /// In the operating system's keychain.
    Keychain,
}

impl KeyPlace {
    /// Returns the word for it.
    pub fn name(self) -> &'static str {
        match self {
            KeyPlace::File => "file",
            KeyPlace::Keychain => "keychain",
        }
    }
}

/// Reads this machine's key for a repository, wherever it lies; `None` if it has none.
pub fn read_device_key(
    keys: &Path,
    repository: RepositoryId,
) -> Result<Option<Zeroizing<[u8; 32]>>> {
    let path = device_key_path(keys, repository);
    let Some(text) = read_private(&path)? else { return Ok(None) };
    let text = match place_in(&text) {
        KeyPlace::File => text,
        KeyPlace::Keychain => keychain_line(&path, repository)?,
    };
    read_key(&text, &path).map(Some)
}

/// Says where this machine's key for a repository lies; `None` if it has none. The keychain is not asked.
pub fn device_key_place(keys: &Path, repository: RepositoryId) -> Result<Option<KeyPlace>> {
    let text = read_private(&device_key_path(keys, repository))?;
    Ok(text.map(|text| place_in(&text)))
}

/// Moves this machine's key to the keychain or into a file; returns whether it was elsewhere.
///
/// `unattended` is asked whether the keychain gives the key to a run that a timer starts; unless it does,
/// the key stays in its file, since backups would fail from then on.
pub fn move_device_key(
    keys: &Path,
    repository: RepositoryId,
    to: KeyPlace,
    unattended: &mut dyn FnMut() -> Result<()>,
) -> Result<bool> {
    let path = device_key_path(keys, repository);
    let Some(text) = read_private(&path)? else {
        return Err(Error::new(Kind::WrongPassphrase, "this machine has no key of its own")
            .object(path.display().to_string())
            .hint("`stash key add --device` makes one"));
    };
    match (place_in(&text), to) {
        (KeyPlace::File, KeyPlace::Keychain) => {
            read_key(&text, &path)?;
            if keychain::read(repository)?.is_some_and(|there| *there != *text) {
                return Err(Error::new(
                    Kind::WrongPassphrase,
                    "the keychain has another key of this repository, which may be in use",
                )
                .object(path.display().to_string())
                .hint(
                    "the key stays in its file; delete the entry `stash` there if nothing needs it",
                ));
            }
            keychain::write(repository, &text)?;
            let came_back = keychain_line(&path, repository).and_then(|found| {
                let is_same = *found == *text;
                is_same.then_some(()).ok_or_else(|| Error::failed("the keychain changed the key"))
            });
            if let Err(error) = came_back.and_then(|()| unattended()) {
                // What stays there is as secret as the file; the next try writes over it.
                let _removed = keychain::remove(repository);
                return Err(error);
            }
            replace_private(&path, format!("{DEVICE_KEY_HEAD}{IN_KEYCHAIN}\n").as_bytes())?;
            Ok(true)
        }
        (KeyPlace::Keychain, KeyPlace::File) => {
            let text = keychain_line(&path, repository)?;
            read_key(&text, &path)?;
            replace_private(&path, text.as_bytes())?;
            keychain::remove(repository)?;
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// Asks the keychain for a repository's key, and for nothing else: what a timer must be able to do.
pub fn probe_keychain(keys: &Path, repository: RepositoryId) -> Result<()> {
    let path = device_key_path(keys, repository);
    read_key(&keychain_line(&path, repository)?, &path).map(|_key| ())
}

fn place_in(text: &str) -> KeyPlace {
    let rest = text.strip_prefix(DEVICE_KEY_HEAD).map(str::trim_ascii_end);
    if rest == Some(IN_KEYCHAIN) { KeyPlace::Keychain } else { KeyPlace::File }
}

fn keychain_line(path: &Path, repository: RepositoryId) -> Result<Zeroizing<String>> {
    keychain::read(repository)?.ok_or_else(|| {
        Error::new(Kind::WrongPassphrase, "the keychain has no key of this repository, though so says")
            .object(path.display().to_string())
            .hint("delete that file, then `stash key add --device` with the passphrase or the recovery code")
    })
}

fn read_key(text: &str, path: &Path) -> Result<Zeroizing<[u8; 32]>> {
    let digits = text.strip_prefix(DEVICE_KEY_HEAD).map(str::trim_ascii_end);
    digits.and_then(from_hex).map(Zeroizing::new).ok_or_else(|| {
        Error::new(Kind::WrongPassphrase, "no device key of this version in")
            .object(path.display().to_string())
            .hint("move the file away and open the repository with its recovery code")
    })
}

/// Returns the repositories for which this machine has a key, in ascending order.
pub fn repositories_with_keys(keys: &Path) -> Vec<RepositoryId> {
    let entries = std::fs::read_dir(keys).into_iter().flatten().flatten();
    let mut found: Vec<RepositoryId> = entries
        .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".device")?.parse().ok())
        .collect();
    found.sort_unstable();
    found
}

/// Writes this machine's key for a repository; fails if it has one already.
pub fn write_device_key(keys: &Path, repository: RepositoryId, key: &[u8; 32]) -> Result<()> {
    let digits = Zeroizing::new(to_hex(key));
    let text = Zeroizing::new([DEVICE_KEY_HEAD, &digits, "\n"].concat());
    write_private(&device_key_path(keys, repository), text.as_bytes())
}

/// Keeps a recovery code until it is tested; fails if one is kept already.
pub fn write_pending_recovery(keys: &Path, repository: RepositoryId, words: &str) -> Result<()> {
    let text = Zeroizing::new([words, "\n"].concat());
    write_private(&pending_recovery_path(keys, repository), text.as_bytes())
}

/// Reads the recovery code that waits to be tested; `None` if none does.
pub fn read_pending_recovery(
    keys: &Path,
    repository: RepositoryId,
) -> Result<Option<Zeroizing<String>>> {
    let text = read_private(&pending_recovery_path(keys, repository))?;
    Ok(text.map(|text| Zeroizing::new(text.trim_ascii().to_owned())))
}

/// Deletes the recovery code that waits; returns whether one did.
pub fn remove_pending_recovery(keys: &Path, repository: RepositoryId) -> Result<bool> {
    let path = pending_recovery_path(keys, repository);
    match std::fs::remove_file(&path) {
        Ok(()) => sync_folder(keys).map(|()| true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).at("cannot delete the recovery code", &path),
    }
}

/// Returns where this machine's key for a repository lies, or would.
pub fn device_key_path(keys: &Path, repository: RepositoryId) -> PathBuf {
    keys.join(format!("{repository}.device"))
}

/// Returns where the recovery code waits, or would.
pub fn pending_recovery_path(keys: &Path, repository: RepositoryId) -> PathBuf {
    keys.join(format!("{repository}.recovery"))
}

fn read_private(path: &Path) -> Result<Option<Zeroizing<String>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).at("cannot open the key file", path),
    };
    // Asked of the open file: its name may mean another one by now.
    let metadata = file.metadata().at("cannot read the key file", path)?;
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(Error::new(
            Kind::WrongPassphrase,
            "other users may read or write the key file",
        )
        .object(path.display().to_string())
        .hint(format!("if nobody did: `chmod 600 '{}'`", path.display())));
    }
    let mut text = Zeroizing::new(String::with_capacity(8192));
    file.take(MAXIMUM_FILE_BYTES).read_to_string(&mut text).at("cannot read the key file", path)?;
    Ok(Some(text))
}

fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let file = new_private(path, bytes)?;
    file.persist_noclobber(path).map_err(|error| error.error).at(DOING_WRITE, path)?;
    sync_folder(path.parent().unwrap_or(Path::new(".")))
}

/// Puts another file in the place of one that is there.
fn replace_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let file = new_private(path, bytes)?;
    file.persist(path).map_err(|error| error.error).at(DOING_WRITE, path)?;
    sync_folder(path.parent().unwrap_or(Path::new(".")))
}

fn new_private(path: &Path, bytes: &[u8]) -> Result<tempfile::NamedTempFile> {
    const DOING: &str = DOING_WRITE;
    let folder = path.parent().unwrap_or(Path::new("."));
    make_private_folder(folder)?;
    // Made with 0600; wiped from the folder when dropped before it has its name.
    let mut file =
        tempfile::Builder::new().prefix(".new-").tempfile_in(folder).at(DOING, folder)?;
    file.write_all(bytes).at(DOING, path)?;
    file.as_file().sync_all().at(DOING, path)?;
    Ok(file)
}

fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|folder| folder.sync_all()).at("cannot sync the folder", folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: RepositoryId = RepositoryId([7; 16]);

    #[test]
    fn a_key_comes_back_as_it_was_written_for_its_own_repository_only() {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("keys");
        assert!(read_device_key(&keys, ID).unwrap().is_none());
        write_device_key(&keys, ID, &[0xab; 32]).unwrap();
        assert_eq!(*read_device_key(&keys, ID).unwrap().unwrap(), [0xab; 32]);
        assert!(read_device_key(&keys, RepositoryId([8; 16])).unwrap().is_none());

        let path = device_key_path(&keys, ID);
        let expected = format!("stash-device-key-1 {}\n", "ab".repeat(32));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(keys.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(std::fs::read_dir(&keys).unwrap().count(), 1);
    }

    #[test]
    fn a_key_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        write_device_key(folder.path(), ID, &[1; 32]).unwrap();
        let error = write_device_key(folder.path(), ID, &[2; 32]).unwrap_err();
        assert!(error.is_io(ErrorKind::AlreadyExists));
        assert_eq!(*read_device_key(folder.path(), ID).unwrap().unwrap(), [1; 32]);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_key_that_others_can_read_is_refused_with_the_command_that_closes_it() {
        let folder = tempfile::tempdir().unwrap();
        write_device_key(folder.path(), ID, &[1; 32]).unwrap();
        let path = device_key_path(folder.path(), ID);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = read_device_key(folder.path(), ID).unwrap_err();
        assert_eq!(error.kind(), Kind::WrongPassphrase);
        assert!(error.hint_text().unwrap().contains("chmod 600"));
    }

    #[test]
    fn a_file_that_holds_no_key_is_refused() {
        for text in ["", "stash-device-key-2 00", "stash-device-key-1 abc", "\u{0}"] {
            let folder = tempfile::tempdir().unwrap();
            write_private(&device_key_path(folder.path(), ID), text.as_bytes()).unwrap();
            let error = read_device_key(folder.path(), ID).unwrap_err();
            assert_eq!(error.kind(), Kind::WrongPassphrase, "{text}");
        }
    }

    #[test]
    fn a_recovery_code_waits_until_it_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        assert!(read_pending_recovery(folder.path(), ID).unwrap().is_none());
        write_pending_recovery(folder.path(), ID, "abandon ability able").unwrap();
        let words = read_pending_recovery(folder.path(), ID).unwrap().unwrap();
        assert_eq!(words.as_str(), "abandon ability able");
        assert!(remove_pending_recovery(folder.path(), ID).unwrap());
        assert!(!remove_pending_recovery(folder.path(), ID).unwrap());
        assert!(read_pending_recovery(folder.path(), ID).unwrap().is_none());
    }
}
