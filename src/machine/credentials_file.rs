//! Credentials of a store that a person typed: a 0600 file beside the configuration, which names it.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::places::{Places, make_private_folder};
use crate::error::{Error, IoContext as _, Result};

const DOING: &str = "cannot write the credentials";

/// A file with credentials that is removed unless it is kept.
pub struct CredentialsFile {
    file: tempfile::NamedTempFile,
    folder: PathBuf,
}

impl CredentialsFile {
    /// Writes lines `NAME=VALUE`, as `--credentials-command` prints them.
    pub fn new(places: &Places, pairs: &[(&str, &str)]) -> Result<CredentialsFile> {
        let folder = places.config.join("credentials");
        make_private_folder(&folder)?;
        // Made with mode 0600.
        let mut file =
            tempfile::Builder::new().prefix(".new-").tempfile_in(&folder).at(DOING, &folder)?;
        for (name, value) in pairs {
            if value.chars().any(char::is_control) {
                return Err(Error::usage(format!("`{name}` can't hold a control character")));
            }
            let line = Zeroizing::new(format!("{name}={value}\n"));
            file.write_all(line.as_bytes()).at(DOING, &folder)?;
        }
        file.as_file().sync_all().at(DOING, &folder)?;
        Ok(CredentialsFile { file, folder })
    }

    /// Returns the command that prints them now.
    pub fn command(&self) -> OsString {
        command_for(self.file.path()).into()
    }

    /// Keeps them under a name; returns the command that prints them from then on.
    pub fn keep(self, name: &str) -> Result<String> {
        let path = self.folder.join(name);
        self.file.persist(&path).map_err(|error| error.error).at(DOING, &path)?;
        std::fs::OpenOptions::new()
            .read(true)
            .open(&self.folder)
            .and_then(|folder| folder.sync_all())
            .at(DOING, &self.folder)?;
        Ok(command_for(&path))
    }
}

fn command_for(path: &Path) -> String {
    format!("cat '{}'", path.display().to_string().replace('\'', r"'\''"))
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test owns its folders")]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::machine::{Environment, PlaceOptions};

    #[test]
    fn what_is_not_kept_leaves_no_file_and_what_is_kept_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("it's home");
        let environment = Environment::given([("HOME", home.to_str().unwrap())]);
        let places = Places::find(&PlaceOptions::default(), &environment).unwrap();
        let listed = || std::fs::read_dir(places.config.join("credentials")).unwrap().count();
        drop(CredentialsFile::new(&places, &[("A", "1")]).unwrap());
        assert_eq!(listed(), 0);
        let file = CredentialsFile::new(&places, &[("A", "1"), ("B", "2")]).unwrap();
        let command = file.keep("main").unwrap();
        let path = places.config.join("credentials/main");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let printed = std::process::Command::new("sh").args(["-c", &command]).output().unwrap();
        assert_eq!(printed.stdout, b"A=1\nB=2\n");
        assert!(CredentialsFile::new(&places, &[("A", "1\n2")]).is_err());
    }
}
