//! The bytes of a database as of one moment: its file, with pages of its log laid over it.
//!
//! Holds no buffer: what is asked for is read into the caller's memory, the file in one plain read
//! and then each page that lies in the log. Any offset and length will do; a few MiB at a time,
//! into memory aligned to 64 bytes, is fastest. May be read from several threads.

use std::fs::File;
use std::io;
use std::path::Path;

use super::overlay::Overlay;
use super::wal::read_full;

/// Where the pages come from that are not in the log.
#[derive(Debug)]
enum Base {
    File(File),
    Memory(Vec<u8>),
    /// A copy of our own, removed with its folder when it is dropped.
    Private(File, tempfile::TempDir),
}

/// A database's bytes, exact in length.
#[derive(Debug)]
pub struct Image {
    base: Base,
    log: Option<(File, Overlay)>,
    length_bytes: u64,
    page_size: u32,
}

/// The name of a private copy in its folder.
pub(super) const PRIVATE_NAME: &str = "database";

impl Image {
    /// A file as it is.
    pub(super) fn of_file(file: File, length_bytes: u64, page_size: u32) -> Image {
        Image { base: Base::File(file), log: None, length_bytes, page_size }
    }

    /// Bytes that were read already.
    pub(super) fn of_bytes(bytes: Vec<u8>, page_size: u32) -> Image {
        let length_bytes = bytes.len() as u64;
        Image { base: Base::Memory(bytes), log: None, length_bytes, page_size }
    }

    /// A private copy called [`PRIVATE_NAME`] in a folder that goes with the image.
    pub(super) fn of_private(
        folder: tempfile::TempDir,
        file: File,
        page_size: u32,
    ) -> io::Result<Image> {
        let length_bytes = file.metadata()?.len();
        Ok(Image { base: Base::Private(file, folder), log: None, length_bytes, page_size })
    }

    /// Lays pages of a log over the file.
    pub(super) fn with_log(mut self, wal: File, overlay: Overlay) -> Image {
        self.log = (!overlay.is_empty()).then_some((wal, overlay));
        self
    }

    /// Returns the exact length in bytes.
    pub fn length_bytes(&self) -> u64 {
        self.length_bytes
    }

    /// Returns the bytes in a page: a power of two from 512 to 65,536; 0 if the header makes no
    /// sense and the file is saved raw.
    pub fn page_size(&self) -> u32 {
        self.page_size
    }

    /// Returns where a private copy lies, if the image is one.
    pub(super) fn private_path(&self) -> Option<std::path::PathBuf> {
        match &self.base {
            Base::Private(_, folder) => Some(folder.path().join(PRIVATE_NAME)),
            Base::File(_) | Base::Memory(_) => None,
        }
    }

    /// Returns whether nothing of it lies where others write.
    pub(super) fn is_private(&self) -> bool {
        !matches!(self.base, Base::File(_))
    }

    /// Fills the buffer from `offset`, up to the end; returns how many bytes there were.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.length_bytes.saturating_sub(offset);
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let Some(buffer) = buffer.get_mut(..length).filter(|buffer| !buffer.is_empty()) else {
            return Ok(0);
        };
        let filled = match &self.base {
            Base::File(file) | Base::Private(file, _) => read_full(file, buffer, offset)?,
            Base::Memory(bytes) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                let bytes = bytes.get(start..).unwrap_or_default();
                let count = bytes.len().min(length);
                for (to, from) in buffer.iter_mut().zip(bytes) {
                    *to = *from;
                }
                count
            }
        };
        // What lies beyond the file's end is in the log, or zeros, as SQLite has it too.
        buffer.get_mut(filled..).unwrap_or_default().fill(0);
        if let Some((wal, overlay)) = &self.log {
            for part in overlay.parts(offset, length as u64) {
                let start = usize::try_from(part.offset.saturating_sub(offset)).unwrap_or(length);
                let size = usize::try_from(part.length).unwrap_or(0);
                let Some(page) = buffer.get_mut(start..start.saturating_add(size)) else { break };
                if read_full(wal, page, part.wal_offset)? < size {
                    return Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "the write-ahead log was cut while it was read",
                    ));
                }
            }
        }
        Ok(length)
    }

    /// Writes the image to a file of that path, for a check.
    pub(super) fn copy_to(&self, path: &Path) -> io::Result<()> {
        let file = File::options().write(true).create_new(true).open(path)?;
        let mut buffer = vec![0; 4 << 20];
        let mut offset = 0_u64;
        loop {
            let count = self.read_at(offset, &mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            let bytes = buffer.get(..count).unwrap_or_default();
            std::os::unix::fs::FileExt::write_all_at(&file, bytes, offset)?;
            offset = offset.saturating_add(count as u64);
        }
    }
}
