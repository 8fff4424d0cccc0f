//! The key of claude-sync, and what it opens: AES-256-GCM, as nonce (12 bytes), tag (16), content.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

use super::input::read_bytes;
use crate::error::{Error, Kind, Result};

const NONCE: usize = 12;
const TAG: usize = 16;

/// A key, and where it came from.
pub struct ForeignKey {
    /// Its file.
    pub came_from: PathBuf,
    key: LessSafeKey,
}

impl ForeignKey {
    /// Reads a key file: 32 bytes, or these in base64.
    pub fn read(file: &Path) -> Result<ForeignKey> {
        let bytes = Zeroizing::new(read_bytes(file, 1024)?);
        let wrong = || {
            Error::new(Kind::WrongPassphrase, "this is no key file of claude-sync:")
                .object(file.display().to_string())
                .hint("it holds 32 bytes, or these in base64")
        };
        let raw = if bytes.len() == 32 {
            bytes.clone()
        } else {
            let decoded = base64::engine::general_purpose::STANDARD.decode(bytes.trim_ascii());
            Zeroizing::new(decoded.map_err(|_| wrong())?)
        };
        let key = UnboundKey::new(&AES_256_GCM, &raw).map_err(|_| wrong())?;
        Ok(ForeignKey { came_from: file.to_owned(), key: LessSafeKey::new(key) })
    }

    /// Opens what was sealed with it; `None` if it was not, or is damaged.
    pub fn open(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, rest) = sealed.split_at_checked(NONCE)?;
        let (tag, content) = rest.split_at_checked(TAG)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        // ring wants the tag at the end.
        let mut whole = Vec::with_capacity(rest.len());
        whole.extend_from_slice(content);
        whole.extend_from_slice(tag);
        let length = self.key.open_in_place(nonce, Aad::empty(), &mut whole).ok()?.len();
        whole.truncate(length);
        Some(whole)
    }
}
