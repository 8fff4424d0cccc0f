//! Files that only a passphrase or a key opens: age's format (`age-encryption.org/v1`).
//!
//! Opened with `age` and its kin as well; nothing here is the repository's own format.

use zeroize::Zeroizing;

use crate::error::{Error, Result};

/// What every age file begins with.
const MAGIC: &[u8] = b"age-encryption.org/v1\n";

/// What closes a file.
pub enum Seal {
    /// A passphrase.
    Passphrase(Zeroizing<String>),
    /// Public keys, each `age1…`.
    Recipients(Vec<String>),
}

/// What opens a file.
pub enum Opener {
    /// A passphrase.
    Passphrase(Zeroizing<String>),
    /// The text of an identity file, with lines `AGE-SECRET-KEY-1…`.
    Identities(Zeroizing<String>),
}

/// Returns whether a file is an age file.
pub fn is_sealed(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

#[cfg(not(feature = "age"))]
mod age_format {
    use super::{Error, Opener, Result, Seal};

    fn missing() -> Error {
        Error::failed("this program was built without age files")
            .hint("build it with the feature `age`, or pipe the archive through `age` itself")
    }

    /// Refuses: the feature is off.
    pub fn seal(_bytes: &[u8], _seal: &Seal) -> Result<Vec<u8>> {
        Err(missing())
    }

    /// Refuses: the feature is off.
    pub fn is_by_passphrase(_bytes: &[u8]) -> Result<bool> {
        Err(missing())
    }

    /// Refuses: the feature is off.
    pub fn open(_bytes: &[u8], _opener: &Opener, _longest: u64) -> Result<Vec<u8>> {
        Err(missing())
    }
}

#[cfg(feature = "age")]
mod age_format {
    use std::io::{Read as _, Write as _};

    use age::secrecy::SecretString;
    use age::{DecryptError, Decryptor, Encryptor, Identity, Recipient, scrypt, x25519};

    use super::{Error, Opener, Result, Seal};
    use crate::error::Kind;

    /// Returns bytes as an age file.
    pub fn seal(bytes: &[u8], seal: &Seal) -> Result<Vec<u8>> {
        let failed = |error: String| Error::failed("cannot encrypt").source(error);
        let encryptor = match seal {
            Seal::Passphrase(text) => {
                Encryptor::with_user_passphrase(SecretString::from(text.as_str().to_owned()))
            }
            Seal::Recipients(texts) => {
                let recipients = texts.iter().map(|text| recipient(text));
                let recipients = recipients.collect::<Result<Vec<x25519::Recipient>>>()?;
                let recipients = recipients.iter().map(|it| it as &dyn Recipient);
                Encryptor::with_recipients(recipients).map_err(|error| failed(error.to_string()))?
            }
        };
        let mut sealed = Vec::with_capacity(bytes.len().saturating_add(1024));
        let write = || {
            let mut writer = encryptor.wrap_output(&mut sealed)?;
            writer.write_all(bytes)?;
            writer.finish().map(drop)
        };
        write().map_err(|error: std::io::Error| failed(error.to_string()))?;
        Ok(sealed)
    }

    fn recipient(text: &str) -> Result<x25519::Recipient> {
        text.parse().map_err(|reason: &str| {
            Error::usage("this is no public key of age:").object(text).source(reason).hint(
                "`age-keygen` makes a key and prints the public one, which begins with `age1`",
            )
        })
    }

    fn decryptor(bytes: &[u8]) -> Result<Decryptor<&[u8]>> {
        Decryptor::new_buffered(bytes).map_err(|error| broken(&error))
    }

    fn broken(error: &DecryptError) -> Error {
        Error::failed("cannot read the age file").source(error.to_string())
    }

    /// Returns whether a passphrase opens the file.
    pub fn is_by_passphrase(bytes: &[u8]) -> Result<bool> {
        decryptor(bytes).map(|it| it.is_scrypt())
    }

    /// Opens an age file, whose content may be `longest` bytes long.
    pub fn open(bytes: &[u8], opener: &Opener, longest: u64) -> Result<Vec<u8>> {
        let identities: Vec<Box<dyn Identity>> = match opener {
            Opener::Passphrase(text) => {
                let secret = SecretString::from(text.as_str().to_owned());
                vec![Box::new(scrypt::Identity::new(secret))]
            }
            Opener::Identities(text) => {
                let lines = text.lines().map(str::trim);
                let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
                lines.map(identity).collect::<Result<_>>()?
            }
        };
        let opened = decryptor(bytes)?
            .decrypt(identities.iter().map(|it| &**it))
            .map_err(|error| refusal(&error, opener))?;
        let mut content = Vec::new();
        let read = opened.take(longest.saturating_add(1)).read_to_end(&mut content);
        read.map_err(|error| {
            Error::failed("the age file is damaged").source(error).hint("export it once more")
        })?;
        Ok(content)
    }

    fn identity(line: &str) -> Result<Box<dyn Identity>> {
        let parsed: std::result::Result<x25519::Identity, &str> = line.parse();
        match parsed {
            Ok(identity) => Ok(Box::new(identity)),
            // What could not be read may be a key: it is not shown.
            Err(_) => Err(Error::usage("the identity file holds a line that is no key of age")
                .hint("its lines begin with `AGE-SECRET-KEY-1`, or with `#`")),
        }
    }

    fn refusal(error: &DecryptError, opener: &Opener) -> Error {
        let hint = match opener {
            Opener::Passphrase(_) => "the passphrase was given when the file was written",
            Opener::Identities(_) => {
                "`--identity FILE` names the secret key of one of its recipients"
            }
        };
        match error {
            DecryptError::DecryptionFailed
            | DecryptError::KeyDecryptionFailed
            | DecryptError::NoMatchingKeys => {
                Error::new(Kind::WrongPassphrase, "this key does not open the age file").hint(hint)
            }
            other => broken(other),
        }
    }
}

pub use age_format::{is_by_passphrase, open, seal};
