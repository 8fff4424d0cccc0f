//! What a person hands in: paths, lists of them, and the output of a command.
#![expect(clippy::disallowed_methods, reason = "reads the lists that the command line names")]

use std::ffi::{OsStr, OsString};
use std::io::Read as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Component, Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::error::{Error, IoContext as _, Result};

/// Variables that hold a passphrase or where one is: nothing that a backup runs needs them.
pub(super) const SECRET_VARIABLES: [&str; 6] = [
    "STASH_PASSPHRASE",
    "STASH_PASSPHRASE_FILE",
    "STASH_PASSPHRASE_COMMAND",
    "STASH_FROM_PASSPHRASE",
    "STASH_FROM_PASSPHRASE_FILE",
    "STASH_FROM_PASSPHRASE_COMMAND",
];

/// Returns this program's own file, as other programs can call it.
pub fn own_program() -> PathBuf {
    std::env::current_exe().unwrap_or_else(|_| PathBuf::from("stash"))
}

/// Returns the path from the root on, `.` and `..` resolved by the words alone: no link is
/// followed, so that a link is saved as the link that it is.
pub fn absolute_path(path: &Path) -> Result<PathBuf> {
    if path.as_os_str().is_empty() {
        return Err(Error::usage("a path is empty").hint("`.` is the current folder"));
    }
    let path = std::path::absolute(path).at("cannot tell where the path lies:", path)?;
    let mut whole = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                whole.pop();
            }
            Component::CurDir => {}
            other => whole.push(other),
        }
    }
    Ok(whole)
}

/// Reads the lines of a file, `-` being standard input. If it holds NUL bytes these part the
/// entries instead, as `find -print0` writes them. Empty entries don't count.
pub fn read_entries(file: &Path) -> Result<Vec<OsString>> {
    const DOING: &str = "cannot read the list in";
    let bytes = if file.as_os_str() == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes).at(DOING, Path::new("standard input"))?;
        bytes
    } else {
        std::fs::read(file).at(DOING, file)?
    };
    let separator = if bytes.contains(&0) { 0 } else { b'\n' };
    let entries = bytes.split(|byte| *byte == separator).filter(|entry| !entry.is_empty());
    Ok(entries.map(|entry| OsString::from_vec(entry.to_vec())).collect())
}

/// Reads the lines of a text file.
pub fn read_lines(file: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(file).at("cannot read the patterns in", file)?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// Reads a text file.
pub fn read_text(file: &Path) -> Result<String> {
    std::fs::read_to_string(file).at("cannot read", file)
}

/// Reads a file that is at most so many bytes long.
pub fn read_bytes(file: &Path, longest: u64) -> Result<Vec<u8>> {
    const DOING: &str = "cannot read";
    let opened = std::fs::File::open(file).at(DOING, file)?;
    let mut bytes = Vec::new();
    opened.take(longest.saturating_add(1)).read_to_end(&mut bytes).at(DOING, file)?;
    if bytes.len() as u64 > longest {
        return Err(Error::failed("the file is longer than any that is read here:")
            .object(file.display().to_string()));
    }
    Ok(bytes)
}

/// A running command whose output is saved. Dropped before it has ended, it is ended.
pub struct SourceCommand {
    child: Child,
    program: String,
}

impl SourceCommand {
    /// Starts a command, without the variables of our secrets; returns what it prints as well.
    pub fn start(words: &[OsString]) -> Result<(Self, ChildStdout)> {
        let (program, arguments) =
            words.split_first().ok_or_else(|| Error::usage("the command is empty"))?;
        let mut command = Command::new(program);
        command.args(arguments).stdout(Stdio::piped());
        for name in SECRET_VARIABLES {
            command.env_remove(name);
        }
        let name = String::from_utf8_lossy(OsStr::as_bytes(program)).into_owned();
        let failed = |error: std::io::Error| {
            Error::failed("cannot run the command").object(name.clone()).source(error)
        };
        let mut child = command.spawn().map_err(failed)?;
        let output = child.stdout.take();
        let command = SourceCommand { child, program: name.clone() };
        match output {
            Some(output) => Ok((command, output)),
            None => Err(failed(std::io::Error::other("it has no output"))),
        }
    }

    /// Waits for the end of a command whose output has ended; fails if it failed.
    pub fn finish(&mut self) -> Result<()> {
        let failed = || Error::failed("the command failed, so nothing was saved:");
        let status =
            self.child.wait().map_err(|error| failed().object(&*self.program).source(error))?;
        if status.success() {
            return Ok(());
        }
        Err(failed().object(&*self.program).source(format!("it ended with {status}")))
    }
}

impl Drop for SourceCommand {
    fn drop(&mut self) {
        // One that has ended already has nothing to be killed.
        drop(self.child.kill().and_then(|()| self.child.wait()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_are_resolved_by_the_words_alone() {
        for (path, whole) in [
            ("/a/b/../c", "/a/c"),
            ("/../a", "/a"),
            ("/a/./b//c/", "/a/b/c"),
            ("/", "/"),
            ("/a/..", "/"),
        ] {
            assert_eq!(absolute_path(Path::new(path)).unwrap(), Path::new(whole), "{path}");
        }
        assert!(absolute_path(Path::new("x")).unwrap().is_absolute());
        assert!(absolute_path(Path::new("")).is_err());
    }

    #[test]
    fn a_list_is_parted_by_lines_or_by_nul_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("list");
        std::fs::write(&file, "/a\n\n/b c\n").unwrap();
        assert_eq!(read_entries(&file).unwrap(), ["/a", "/b c"]);
        std::fs::write(&file, "/a\nb\0/c\0").unwrap();
        assert_eq!(read_entries(&file).unwrap(), ["/a\nb", "/c"]);
        assert!(read_entries(&folder.path().join("none")).is_err());
    }

    #[test]
    fn a_command_that_fails_says_so_and_sees_no_secret() {
        let words = |script: &str| ["/bin/sh".into(), "-c".into(), OsString::from(script)];
        let (mut command, mut output) =
            SourceCommand::start(&words("printf x${STASH_PASSPHRASE}; exit 3")).unwrap();
        let mut text = String::new();
        output.read_to_string(&mut text).unwrap();
        assert_eq!(text, "x");
        assert!(command.finish().unwrap_err().to_string().contains("exit status: 3"));
        assert!(SourceCommand::start(&["/does/not/exist".into()]).is_err());
        assert!(SourceCommand::start(&[]).is_err());
    }
}
