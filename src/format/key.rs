//! The repository's header, its key slots and grants (`format-spec/2-keys.md`).

use super::cbor::{self, Bytes, cbor_map};
use super::object::{ObjectKind, PREFIX_LENGTH, decode_bare_prefix, encode_prefix};
use super::{DecodeError, LIMITS};
use crate::id::{ObjectHash, RepositoryId};

/// Flag of a repository that only one machine uses, on its own disk.
pub const REPOSITORY_EXCLUSIVE: u64 = 1;
/// Flag of a repository in a folder that a program copies between machines.
pub const REPOSITORY_REPLICATED: u64 = 2;
/// Flag of a repository whose writers may not delete.
pub const REPOSITORY_APPEND_ONLY: u64 = 4;

cbor_map! {
    /// The repository's header: written once, never changed.
    pub struct RepositoryHeader {
        /// The repository.
        "i" => id: RepositoryId,
        /// When it was made (nanoseconds, UTC).
        "t" => created: i64,
        /// 1 exclusive, 2 replicated, 4 append-only.
        "f" => flags: u64,
        /// Seconds that a writer may go on without looking at the log again.
        "w" => window: u64,
        /// Seconds between condemning and deleting.
        "g" => grace: u64,
        /// How files are cut: 1.
        "c" => chunker: u64,
    }
}

impl RepositoryHeader {
    /// Returns the object's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = encode_prefix(ObjectKind::Repository, 0, 0).to_vec();
        bytes.extend_from_slice(&cbor::encode(self));
        bytes
    }

    /// Reads and checks an object's bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let body = decode_bare_prefix(bytes, ObjectKind::Repository)?;
        let header: RepositoryHeader = cbor::decode(body)?;
        if header.chunker != 1 {
            return Err(DecodeError::Unknown("chunker"));
        }
        let both = REPOSITORY_EXCLUSIVE | REPOSITORY_REPLICATED;
        if header.flags & both == both {
            return Err(DecodeError::Inconsistent("flags"));
        }
        if header.window == 0 || header.grace < header.window.saturating_mul(20) {
            return Err(DecodeError::Inconsistent("window and grace"));
        }
        Ok(header)
    }
}

/// What opens a slot. The numbers are the format's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum SlotKind {
    /// A random key that one machine keeps.
    Device = 1,
    /// A passphrase, through Argon2id.
    Passphrase = 2,
    /// The recovery code.
    Recovery = 3,
}

impl SlotKind {
    /// Returns the kind of a number.
    pub fn from_number(number: u64) -> Result<Self, DecodeError> {
        match number {
            1 => Ok(SlotKind::Device),
            2 => Ok(SlotKind::Passphrase),
            3 => Ok(SlotKind::Recovery),
            _ => Err(DecodeError::Unknown("key slot kind")),
        }
    }

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            SlotKind::Device => "device",
            SlotKind::Passphrase => "passphrase",
            SlotKind::Recovery => "recovery",
        }
    }
}

cbor_map! {
    /// A key slot: the repository's secrets, sealed for one holder.
    pub struct KeySlot {
        /// 1 device, 2 passphrase, 3 recovery.
        "k" => kind: u64,
        /// Argon2id's memory in KiB.
        "m" => kdf_memory: u32,
        /// Argon2id's passes.
        "t" => kdf_passes: u32,
        /// Argon2id's lanes.
        "p" => kdf_lanes: u32,
        /// 32 random bytes.
        "s" => salt: Bytes,
        /// Tells a wrong key from a damaged slot.
        "c" => check: Bytes,
        /// The sealed [`Secrets`].
        "w" => wrapped: Bytes,
        /// The sealed [`About`].
        "a" => about: Bytes,
    }
}

/// RFC 9106's second recommended option: the least that a reader accepts.
pub const KDF_FLOOR: (u32, u32, u32) = (64 << 10, 3, 4);

impl KeySlot {
    /// Returns the object's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = encode_prefix(ObjectKind::KeySlot, 0, 0).to_vec();
        bytes.extend_from_slice(&cbor::encode(self));
        bytes
    }

    /// Reads and checks an object's bytes; the cost of the KDF is bounded here.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let body = decode_bare_prefix(bytes, ObjectKind::KeySlot)?;
        let slot: KeySlot = cbor::decode(body)?;
        let kind = SlotKind::from_number(slot.kind)?;
        if slot.salt.len() != 32 || slot.check.len() != 32 {
            return Err(DecodeError::Inconsistent("key slot"));
        }
        let cost = (slot.kdf_memory, slot.kdf_passes, slot.kdf_lanes);
        if kind == SlotKind::Passphrase {
            if cost.0 > LIMITS.kdf_memory || cost.1 > LIMITS.kdf_passes || cost.2 > LIMITS.kdf_lanes
            {
                return Err(DecodeError::TooLong { what: "cost of the passphrase" });
            }
            if cost.0 < KDF_FLOOR.0 || cost.1 < KDF_FLOOR.1 || cost.2 < 1 {
                return Err(DecodeError::Inconsistent("cost of the passphrase"));
            }
        } else if cost != (0, 0, 0) {
            return Err(DecodeError::Inconsistent("key slot"));
        }
        Ok(slot)
    }

    /// Returns what the sealing of the secrets is bound to: everything but the sealed parts.
    pub fn associated_data(&self) -> Vec<u8> {
        let bare = KeySlot { wrapped: Bytes::default(), about: Bytes::default(), ..self.clone() };
        bare.encode()
    }
}

/// A byte string that is never shown, and overwritten when it is dropped.
#[derive(Clone, Default, PartialEq, zeroize::Zeroize, zeroize::ZeroizeOnDrop)]
pub struct SecretBytes(pub Vec<u8>);

impl std::fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

impl serde::Serialize for SecretBytes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for SecretBytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Bytes::deserialize(deserializer).map(|bytes| SecretBytes(bytes.0))
    }
}

cbor_map! {
    /// What a slot holds for its owner. Never stored but sealed.
    pub struct Secrets {
        /// What sealing keys come from.
        "r" => root: SecretBytes,
        /// What ids and cut points come from.
        "c" => content: SecretBytes,
        /// The repository header's bytes, so that nobody can change it unnoticed.
        "h" => header: Bytes,
    }
}

cbor_map! {
    /// What is said about a slot to those who can open the repository.
    pub struct About {
        /// Whose it is.
        "n" => label: String,
        /// When it was made (nanoseconds, UTC).
        "t" => created: i64,
        /// What secrets for its holder are sealed to: an X25519 public key, or nothing.
        "x" => exchange: Bytes,
    }
}

cbor_map! {
    /// A grant: the secret of an epoch, and of those before it, for the holders of some key slots.
    pub struct Grant {
        /// The epoch that it gives.
        "n" => epoch: u32,
        /// 32 random bytes.
        "s" => salt: Bytes,
        /// The sealed [`Granted`].
        "w" => wrapped: Bytes,
    }
}

impl Grant {
    /// Returns the object's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = encode_prefix(ObjectKind::Grant, 0, 0).to_vec();
        bytes.extend_from_slice(&cbor::encode(self));
        bytes
    }

    /// Reads and checks an object's bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let body = decode_bare_prefix(bytes, ObjectKind::Grant)?;
        let grant: Grant = cbor::decode(body)?;
        // Epoch 0 is the root secret's.
        if grant.salt.len() != 32 || grant.epoch == 0 {
            return Err(DecodeError::Inconsistent("grant"));
        }
        Ok(grant)
    }

    /// Returns what the sealing is bound to: everything but the sealed part.
    pub fn associated_data(&self) -> Vec<u8> {
        Grant { wrapped: Bytes::default(), ..self.clone() }.encode()
    }
}

cbor_map! {
    /// What a grant holds for all who can open the repository. Never stored but sealed.
    pub struct Granted {
        /// The grant's own X25519 public key.
        "x" => exchange: Bytes,
        /// Key slots, ascending, each with the epoch's secret sealed to its holder.
        "h" => holders: Vec<(ObjectHash, Bytes)>,
        /// The sealed [`Older`].
        "o" => older: Bytes,
    }
}

cbor_map! {
    /// What a grant holds for those who have its epoch's secret. Never stored but sealed.
    pub struct Older {
        /// The epochs before it, ascending, with their secrets.
        "e" => epochs: Vec<(u32, SecretBytes)>,
        /// When the grant was made (nanoseconds, UTC).
        "t" => created: i64,
    }
}

/// The shortest stored object that could be a header or slot, in bytes.
pub const SHORTEST: usize = PREFIX_LENGTH + 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(cost: (u32, u32, u32)) -> KeySlot {
        KeySlot {
            kind: 2,
            kdf_memory: cost.0,
            kdf_passes: cost.1,
            kdf_lanes: cost.2,
            salt: vec![1; 32].into(),
            check: vec![2; 32].into(),
            ..KeySlot::default()
        }
    }

    #[test]
    fn a_hostile_or_weak_cost_is_refused_before_it_is_paid() {
        assert!(KeySlot::decode(&slot(KDF_FLOOR).encode()).is_ok());
        for cost in [(5 << 20, 3, 4), (64 << 10, 33, 4), (64 << 10, 3, 17)] {
            assert!(matches!(
                KeySlot::decode(&slot(cost).encode()),
                Err(DecodeError::TooLong { .. })
            ));
        }
        for cost in [(1024, 3, 4), (64 << 10, 1, 4), (64 << 10, 3, 0)] {
            assert!(matches!(
                KeySlot::decode(&slot(cost).encode()),
                Err(DecodeError::Inconsistent(_))
            ));
        }
    }

    #[test]
    fn what_nothing_vouches_for_says_nothing_and_is_small() {
        let mut bytes = slot(KDF_FLOOR).encode();
        bytes[12] = 1;
        assert_eq!(KeySlot::decode(&bytes), Err(DecodeError::NotCanonical));
        bytes[12] = 0;
        bytes[8] = 1;
        assert_eq!(KeySlot::decode(&bytes), Err(DecodeError::NotCanonical));
        bytes.resize(LIMITS.key_object + 1, 0);
        assert_eq!(KeySlot::decode(&bytes), Err(DecodeError::TooLong { what: "object" }));
    }

    #[test]
    fn window_and_grace_are_one_invariant() {
        let mut header =
            RepositoryHeader { window: 5, grace: 100, chunker: 1, ..RepositoryHeader::default() };
        assert_eq!(RepositoryHeader::decode(&header.encode()), Ok(header.clone()));
        header.flags = REPOSITORY_EXCLUSIVE | REPOSITORY_REPLICATED;
        assert!(RepositoryHeader::decode(&header.encode()).is_err());
        header.flags = 0;
        header.grace = 99;
        assert!(RepositoryHeader::decode(&header.encode()).is_err());
    }
}
