//! Files that are written from beginning to end, for this user alone, and appear whole or not at all.

use std::fs::File;
use std::io::{self, BufWriter, Seek as _, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::error::{Error, IoContext as _, Result};

/// A new file (0600) that has its name once it is finished; dropped before that it was never there.
pub struct NewFile {
    path: PathBuf,
    file: BufWriter<NamedTempFile>,
}

impl NewFile {
    /// Begins a file that will lie at `path`.
    pub fn create(path: &Path) -> Result<NewFile> {
        let folder = path.parent().unwrap_or(path);
        let file = NamedTempFile::new_in(folder).at("cannot write", path)?;
        Ok(NewFile { path: path.to_owned(), file: BufWriter::new(file) })
    }

    /// Gives the file its name. One that is there is an error, and stays as it is.
    pub fn finish(self) -> Result<()> {
        const DOING: &str = "cannot write";
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error);
        let file = file.at(DOING, &self.path)?;
        file.as_file().sync_all().at(DOING, &self.path)?;
        let placed = file.persist_noclobber(&self.path).map_err(|error| error.error);
        placed.at(DOING, &self.path).map(drop)
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// What waits on the disk, without a name, until it is known whether it may be shown.
pub struct Spool(BufWriter<File>);

impl Spool {
    /// Begins one on the file system of a folder.
    pub fn create(folder: &Path) -> Result<Spool> {
        let file = tempfile::tempfile_in(folder).at("cannot make a temporary file in", folder)?;
        Ok(Spool(BufWriter::new(file)))
    }

    /// Returns what was written, to be read from its beginning.
    pub fn finish(self) -> Result<File> {
        let failed = |error| Error::failed("cannot write a temporary file").source(error);
        let mut file =
            self.0.into_inner().map_err(io::IntoInnerError::into_error).map_err(failed)?;
        file.rewind().map_err(failed)?;
        Ok(file)
    }
}

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
