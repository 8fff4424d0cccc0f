//! Key slots: the repository's secrets, wrapped for whoever may open it; and recovery words.

use argon2::{Algorithm, Argon2, ParamsBuilder, Version};
use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Nonce, Tag};
use zeroize::Zeroizing;

use super::{Key, MasterKeys, constant_time_equal, object_key, public_key, random_bytes};
use crate::codec::CodecError;
use crate::format::cbor;
use crate::format::key::{About, KDF_FLOOR, KeySlot, SecretBytes, Secrets, SlotKind};
use crate::format::object::TAG_LENGTH;

/// What opens a key slot.
pub enum SlotSecret {
    /// A machine's own key.
    Device(Key),
    /// A passphrase.
    Passphrase(Zeroizing<String>),
    /// The recovery code's 256 bits.
    Recovery(Key),
}

impl SlotSecret {
    /// Returns the kind of slot that this opens.
    pub fn kind(&self) -> SlotKind {
        match self {
            SlotSecret::Device(_) => SlotKind::Device,
            SlotSecret::Passphrase(_) => SlotKind::Passphrase,
            SlotSecret::Recovery(_) => SlotKind::Recovery,
        }
    }

    /// Returns what follows from the secret and a slot's salt. A passphrase is stretched once.
    fn keys(&self, slot: &KeySlot) -> Result<SlotKeys, CodecError> {
        let material = match self {
            SlotSecret::Device(key) | SlotSecret::Recovery(key) => key.clone(),
            SlotSecret::Passphrase(text) => stretch(text, slot)?,
        };
        let kind = self.kind().name();
        let parts: [&[u8]; 2] = [&material.0, &slot.salt];
        let sealing = Key::derive(&format!("stash 2026-11-21 slot {kind}"), &parts);
        let (wrapping, check) = object_key(&sealing, b"wrap");
        let exchange = Key::derive("stash 2026-11-21 slot exchange", &parts);
        Ok(SlotKeys { wrapping, check, exchange })
    }
}

/// What follows from a slot's own secret.
struct SlotKeys {
    wrapping: Key,
    check: [u8; 32],
    exchange: Key,
}

/// What a key slot gave.
pub struct OpenSlot {
    /// The repository's secrets.
    pub master: MasterKeys,
    /// The bytes of the repository's header that the slot vouches for.
    pub header: Vec<u8>,
    /// The private key of the slot's holder, for grants.
    pub exchange: Key,
}

/// Argon2id, version 0x13, 32 bytes out.
fn stretch(passphrase: &str, slot: &KeySlot) -> Result<Key, CodecError> {
    let params = ParamsBuilder::new()
        .m_cost(slot.kdf_memory)
        .t_cost(slot.kdf_passes)
        .p_cost(slot.kdf_lanes)
        .build()
        .map_err(|_| CodecError::TooLong)?;
    let mut key = Key([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.as_bytes(), &slot.salt, &mut key.0)
        .map_err(|_| CodecError::TooLong)?;
    Ok(key)
}

fn single_use_cipher(key: &Key) -> ChaCha20Poly1305 {
    ChaCha20Poly1305::new((&key.0).into())
}

/// Seals with a key that is used this once.
pub(super) fn seal_once(
    key: &Key,
    data: &[u8],
    mut plain: Zeroizing<Vec<u8>>,
) -> Result<Vec<u8>, CodecError> {
    let tag = single_use_cipher(key)
        .encrypt_inout_detached(&Nonce::default(), data, plain.as_mut_slice().into())
        .map_err(|_| CodecError::TooLong)?;
    let mut sealed = plain.to_vec();
    sealed.extend_from_slice(&tag);
    Ok(sealed)
}

/// Opens what [`seal_once`] sealed.
pub(super) fn open_once(
    key: &Key,
    data: &[u8],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, CodecError> {
    let length = sealed.len().checked_sub(TAG_LENGTH).ok_or(CodecError::BadTag)?;
    let (text, tag) = sealed.split_at_checked(length).ok_or(CodecError::BadTag)?;
    let tag = Tag::try_from(tag).map_err(|_| CodecError::BadTag)?;
    let mut plain = Zeroizing::new(text.to_vec());
    single_use_cipher(key)
        .decrypt_inout_detached(&Nonce::default(), data, plain.as_mut_slice().into(), &tag)
        .map_err(|_| CodecError::BadTag)?;
    Ok(plain)
}

fn about_key(master: &MasterKeys, slot: &KeySlot) -> Key {
    Key::derive("stash 2026-11-21 slot about", &[&master.root.0, &slot.salt])
}

/// Makes a key slot for `secret`; the second value is its holder's private key. `header` is the
/// repository header's stored bytes. The public key is put into `about`.
pub fn make_slot(
    master: &MasterKeys,
    header: &[u8],
    secret: &SlotSecret,
    about: &About,
    kdf_memory: Option<u32>,
) -> Result<(KeySlot, Key), CodecError> {
    let mut slot = KeySlot {
        kind: secret.kind() as u64,
        salt: random_bytes::<32>()?.to_vec().into(),
        ..KeySlot::default()
    };
    if secret.kind() == SlotKind::Passphrase {
        let (memory, passes, lanes) = KDF_FLOOR;
        slot.kdf_memory = kdf_memory.unwrap_or(memory).max(memory);
        slot.kdf_passes = passes;
        slot.kdf_lanes = lanes;
    }
    let SlotKeys { wrapping, check, exchange } = secret.keys(&slot)?;
    slot.check = check.to_vec().into();
    let secrets = Secrets {
        root: SecretBytes(master.root.0.to_vec()),
        content: SecretBytes(master.content.0.to_vec()),
        header: header.to_vec().into(),
        ..Secrets::default()
    };
    let plain = Zeroizing::new(cbor::encode(&secrets));
    slot.wrapped = seal_once(&wrapping, &slot.associated_data(), plain)?.into();
    let about = About { exchange: public_key(&exchange).to_vec().into(), ..about.clone() };
    let plain = Zeroizing::new(cbor::encode(&about));
    slot.about = seal_once(&about_key(master, &slot), &slot.associated_data(), plain)?.into();
    Ok((slot, exchange))
}

/// Opens a slot.
///
/// [`CodecError::WrongKey`] means that the secret is another one; anything else is damage.
pub fn open_slot(slot: &KeySlot, secret: &SlotSecret) -> Result<OpenSlot, CodecError> {
    if slot.kind != secret.kind() as u64 {
        return Err(CodecError::WrongKey);
    }
    let SlotKeys { wrapping, check, exchange } = secret.keys(slot)?;
    let stored = <[u8; 32]>::try_from(&*slot.check).map_err(|_| CodecError::WrongKey)?;
    if !constant_time_equal(&check, &stored) {
        return Err(CodecError::WrongKey);
    }
    let plain = open_once(&wrapping, &slot.associated_data(), &slot.wrapped)?;
    // As `cbor::decode`, but what is encoded for the comparison is a secret as well.
    let secrets: Secrets = cbor::decode_lenient(&plain).map_err(|_| CodecError::BadTag)?;
    if *Zeroizing::new(cbor::encode(&secrets)) != *plain {
        return Err(CodecError::BadTag);
    }
    let key = |bytes: &SecretBytes| {
        <[u8; 32]>::try_from(bytes.0.as_slice()).map(Key).map_err(|_| CodecError::BadTag)
    };
    let master = MasterKeys { root: key(&secrets.root)?, content: key(&secrets.content)? };
    Ok(OpenSlot { master, header: secrets.header.0, exchange })
}

/// Opens what a slot says about itself.
pub fn open_about(master: &MasterKeys, slot: &KeySlot) -> Result<About, CodecError> {
    let plain = open_once(&about_key(master, slot), &slot.associated_data(), &slot.about)?;
    let about: About = cbor::decode(&plain).map_err(|_| CodecError::BadTag)?;
    if !matches!(about.exchange.len(), 0 | 32) {
        return Err(CodecError::BadTag);
    }
    Ok(about)
}

/// Writes 256 bits as 24 English words (BIP 39).
pub fn recovery_words(key: &Key) -> Result<Zeroizing<String>, CodecError> {
    let words = bip39::Mnemonic::from_entropy(&key.0).map_err(|_| CodecError::TooLong)?;
    Ok(Zeroizing::new(words.words().collect::<Vec<_>>().join(" ")))
}

/// Reads 24 words in any case, parted by any white space; `None` if a word or the checksum is
/// wrong.
pub fn read_recovery_words(text: &str) -> Option<Key> {
    let text = Zeroizing::new(
        text.split_whitespace().map(str::to_lowercase).collect::<Vec<_>>().join(" "),
    );
    let words = bip39::Mnemonic::parse_in(bip39::Language::English, text.as_str()).ok()?;
    let entropy = Zeroizing::new(words.to_entropy());
    <[u8; 32]>::try_from(entropy.as_slice()).ok().map(Key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_slot_opens_with_its_secret_and_no_other() {
        let master = MasterKeys::from_parts([1; 32], [2; 32]);
        let secrets = || {
            [
                SlotSecret::Device(Key([7; 32])),
                SlotSecret::Passphrase(Zeroizing::new("correct horse".into())),
                SlotSecret::Recovery(Key([7; 32])),
            ]
        };
        for secret in secrets() {
            let about = About { label: "laptop".into(), created: 5, ..About::default() };
            let (slot, exchange) = make_slot(&master, b"header", &secret, &about, None).unwrap();
            let slot = KeySlot::decode(&slot.encode()).unwrap();
            let opened = open_slot(&slot, &secret).unwrap();
            assert_eq!(opened.header, b"header");
            let said = open_about(&opened.master, &slot).unwrap();
            assert_eq!((said.label, said.created), (about.label, about.created));
            assert_eq!(*said.exchange, public_key(&exchange));
            assert_eq!(opened.exchange.0, exchange.0);
            for other in secrets().iter().filter(|other| other.kind() != secret.kind()) {
                assert_eq!(open_slot(&slot, other).err(), Some(CodecError::WrongKey));
            }
            let mut changed = slot.clone();
            changed.wrapped.0[3] ^= 1;
            assert_eq!(open_slot(&changed, &secret).err(), Some(CodecError::BadTag));
        }
    }

    #[test]
    fn recovery_words_come_back_and_mistyped_ones_do_not() {
        let key = Key([0xa5; 32]);
        let words = recovery_words(&key).unwrap();
        assert_eq!(words.split(' ').count(), 24);
        let typed = words.to_uppercase().replace(' ', "\n ");
        assert_eq!(read_recovery_words(&typed).unwrap().0, key.0);
        assert!(read_recovery_words(&words.replacen(' ', " zoo ", 1)).is_none());
        assert!(read_recovery_words("abandon").is_none());
    }
}
