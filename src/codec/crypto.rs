//! Keys, ids and sealing (`format-spec/2-keys.md`).
//!
//! Two random 256-bit secrets make a repository: the *root* secret, from which sealing keys come,
//! and the *content* secret, from which ids and cut points come (a second repository may share
//! it). Sub-keys are BLAKE3 `derive_key`. Each stored object has a key of its own; units are sealed
//! with ChaCha20-Poly1305 (RFC 8439) under it, the unit's number being the nonce.

mod epochs;
mod grant;
mod slot;

use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Nonce, Tag};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

pub use epochs::{EpochSet, Epochs};
pub use grant::{OpenGrant, Recipient, make_grant, public_key};
pub use slot::{
    OpenSlot, SlotSecret, make_slot, open_about, open_slot, read_recovery_words, recovery_words,
};

use epochs::Ring;

use super::CodecError;
use crate::format::object::{ObjectHeader, ObjectKind, TAG_LENGTH};
use crate::format::pack::BlobKind;
use crate::id::{BlobId, ObjectHash, RepositoryId, SnapshotId};

/// 32 secret bytes: no `Debug`, overwritten when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Key(pub [u8; 32]);

impl Key {
    /// Draws a key from the operating system.
    pub fn random() -> Result<Key, CodecError> {
        Ok(Key(random_bytes()?))
    }

    fn derive(context: &str, material: &[&[u8]]) -> Key {
        let mut hasher = blake3::Hasher::new_derive_key(context);
        for part in material {
            hasher.update(part);
        }
        let key = Key(*hasher.finalize().as_bytes());
        hasher.zeroize();
        key
    }
}

/// Draws random bytes from the operating system.
pub fn random_bytes<const N: usize>() -> Result<[u8; N], CodecError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| CodecError::NoRandomness)?;
    Ok(bytes)
}

/// Returns the name of stored bytes.
pub fn object_hash(bytes: &[u8]) -> ObjectHash {
    ObjectHash(*blake3::hash(bytes).as_bytes())
}

/// A repository's two secrets.
#[derive(Clone)]
pub struct MasterKeys {
    root: Key,
    content: Key,
}

impl MasterKeys {
    /// Draws the secrets of a new repository.
    pub fn random() -> Result<Self, CodecError> {
        Ok(MasterKeys { root: Key::random()?, content: Key::random()? })
    }

    /// Draws the secrets of a repository that shares ids and cut points with this one, and nothing
    /// that opens it.
    pub fn sharing_content(&self) -> Result<Self, CodecError> {
        Ok(MasterKeys { root: Key::random()?, content: self.content.clone() })
    }

    /// Returns secrets made of fixed bytes, for vectors and tests.
    pub fn from_parts(root: [u8; 32], content: [u8; 32]) -> Self {
        MasterKeys { root: Key(root), content: Key(content) }
    }
}

/// Everything derived from a repository's secrets. May be shared between threads.
pub struct RepositoryKeys {
    ids: [Key; 4],
    snapshot: Key,
    gear: Key,
    name: Key,
    repository: RepositoryId,
    sealing: Ring,
}

impl RepositoryKeys {
    /// Derives the sub-keys. Sealing keys are bound to the repository's id.
    pub fn derive(master: &MasterKeys, repository: &RepositoryId) -> Self {
        let content = |purpose: &str| {
            Key::derive(&format!("stash 2026-11-21 content {purpose}"), &[&master.content.0])
        };
        RepositoryKeys {
            ids: BlobKind::ALL.map(|kind| content(&format!("id {}", kind.name()))),
            snapshot: content("id snapshot"),
            gear: content("gear"),
            name: content("name"),
            repository: *repository,
            sealing: Ring::new(sealing_key(&master.root, repository)),
        }
    }

    /// Takes the secrets of later epochs. From then on objects of these can be opened, in all
    /// threads, and new ones are sealed under the newest.
    pub fn learn(&self, epochs: &Epochs) {
        self.sealing.learn(epochs, |secret| sealing_key(secret, &self.repository));
    }

    /// Seals nothing from now on, for this reason.
    pub fn stop_sealing(&self, reason: CodecError) {
        self.sealing.close(reason);
    }

    /// Returns whether equal content has equal ids and cuts under both.
    pub fn shares_content_with(&self, other: &RepositoryKeys) -> bool {
        constant_time_equal(&self.gear.0, &other.gear.0)
    }

    /// Returns a blob's id.
    pub fn blob_id(&self, kind: BlobKind, plain: &[u8]) -> BlobId {
        BlobId(*blake3::keyed_hash(self.id_key(kind), plain).as_bytes())
    }

    pub(super) fn id_key(&self, kind: BlobKind) -> &[u8; 32] {
        let [data, list, tree, attachment] = &self.ids;
        match kind {
            BlobKind::Data => &data.0,
            BlobKind::List => &list.0,
            BlobKind::Tree => &tree.0,
            BlobKind::Attachment => &attachment.0,
        }
    }

    /// Returns a snapshot's id.
    pub fn snapshot_id(&self, encoded: &[u8]) -> SnapshotId {
        SnapshotId(*blake3::keyed_hash(&self.snapshot.0, encoded).as_bytes())
    }

    /// Returns the number that decides whether a directory is cut before `name`.
    pub fn name_hash(&self, name: &[u8]) -> u64 {
        let hash = blake3::keyed_hash(&self.name.0, name);
        hash.as_bytes().first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }

    /// Returns the key that cut points come from.
    pub fn gear_key(&self) -> &[u8; 32] {
        &self.gear.0
    }

    /// Returns the epoch that new objects are sealed under.
    pub fn newest_epoch(&self) -> Result<u32, CodecError> {
        self.sealing.read().newest().map(|(epoch, _)| epoch)
    }

    /// Returns what to know the newest epoch by again; `None` if nothing may be sealed.
    pub fn newest_mark(&self) -> Option<EpochMark> {
        self.sealing.read().newest().ok().map(|(epoch, key)| EpochMark { epoch, mark: mark(key) })
    }

    /// Returns whether an epoch is the one that was known before, and not another of its number.
    pub fn knows_mark(&self, known: &EpochMark) -> bool {
        self.sealing.read().of(known.epoch).any(|key| mark(key) == known.mark)
    }

    /// Makes header and sealer of a new object. `context` is mixed with random bytes into the
    /// salt, so that a clone of this machine with the same random state still gets other keys.
    pub fn seal_object(
        &self,
        kind: ObjectKind,
        features: u32,
        context: &[&[u8]],
    ) -> Result<ObjectSealer, CodecError> {
        let random = Zeroizing::new(random_bytes::<32>()?);
        let mut hasher = blake3::Hasher::new_derive_key("stash 2026-11-21 salt");
        hasher.update(random.as_slice());
        for part in context {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        self.seal_object_with_salt(kind, features, *hasher.finalize().as_bytes())
    }

    /// The same with a given salt, for vectors. A salt must never be used twice.
    pub fn seal_object_with_salt(
        &self,
        kind: ObjectKind,
        features: u32,
        salt: [u8; 32],
    ) -> Result<ObjectSealer, CodecError> {
        let ring = self.sealing.read();
        let (epoch, sealing) = ring.newest()?;
        let keyed = ObjectHeader::keyed(kind, features, epoch, salt);
        let (key, check) = object_key(sealing, &keyed);
        let header = ObjectHeader::new(keyed, epoch, check);
        Ok(ObjectSealer::new(header, &key))
    }

    /// Returns what opens the units of the object with this header.
    pub fn open_object(&self, header: ObjectHeader) -> Result<ObjectSealer, CodecError> {
        let ring = self.sealing.read();
        let mut failure = CodecError::UnknownEpoch(header.epoch);
        for sealing in ring.of(header.epoch) {
            let (key, check) = object_key(sealing, &header.keyed_part());
            if constant_time_equal(&check, &header.check()) {
                return Ok(ObjectSealer::new(header, &key));
            }
            failure = CodecError::WrongKey;
        }
        Err(failure)
    }
}

/// What tells an epoch from others, and nothing of its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpochMark {
    /// Its number.
    pub epoch: u32,
    /// A hash of its sealing key.
    pub mark: [u8; 16],
}

fn mark(sealing: &Key) -> [u8; 16] {
    let hash = blake3::keyed_hash(&sealing.0, b"known");
    hash.as_bytes().first_chunk().copied().unwrap_or_default()
}

fn sealing_key(secret: &Key, repository: &RepositoryId) -> Key {
    Key::derive("stash 2026-11-21 sealing", &[&secret.0, repository.as_bytes()])
}

fn constant_time_equal(a: &[u8; 32], b: &[u8; 32]) -> bool {
    // `blake3::Hash` compares in constant time.
    blake3::Hash::from_bytes(*a) == blake3::Hash::from_bytes(*b)
}

/// Derives an object's key and its check; the check commits to the key.
fn object_key(sealing: &Key, keyed_header: &[u8]) -> (Key, [u8; 32]) {
    let mut output = blake3::Hasher::new_keyed(&sealing.0).update(keyed_header).finalize_xof();
    let mut key = Key([0; 32]);
    let mut check = [0; 32];
    output.fill(&mut key.0);
    output.fill(&mut check);
    output.zeroize();
    (key, check)
}

/// What role a sealed piece plays; part of what its tag is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A unit of blobs of one kind.
    Unit(BlobKind),
    /// The footer: a table or a record's body.
    Footer,
    /// The trailer.
    Trailer,
}

impl Role {
    fn number(self) -> u8 {
        match self {
            Role::Unit(kind) => kind as u8,
            Role::Footer => 0xfe,
            Role::Trailer => 0xff,
        }
    }
}

/// Seals and opens the units of one object.
pub struct ObjectSealer {
    header: ObjectHeader,
    header_hash: [u8; 32],
    cipher: ChaCha20Poly1305,
}

impl ObjectSealer {
    fn new(header: ObjectHeader, key: &Key) -> Self {
        ObjectSealer {
            header,
            header_hash: *blake3::hash(&header.bytes).as_bytes(),
            cipher: ChaCha20Poly1305::new((&key.0).into()),
        }
    }

    /// Returns the object's header.
    pub fn header(&self) -> &ObjectHeader {
        &self.header
    }

    fn bound_to(&self, role: Role, number: u32) -> (Nonce, [u8; 37]) {
        let mut data = [0; 37];
        let (hash, rest) = data.split_at_mut(32);
        hash.copy_from_slice(&self.header_hash);
        let [n0, n1, n2, n3] = number.to_le_bytes();
        rest.copy_from_slice(&[role.number(), n0, n1, n2, n3]);
        let mut nonce = Nonce::default();
        for (place, byte) in nonce.iter_mut().zip([n0, n1, n2, n3]) {
            *place = byte;
        }
        (nonce, data)
    }

    /// Seals `plain` in place and appends the tag. A number is used once in an object.
    pub fn seal(&self, role: Role, number: u32, plain: &mut Vec<u8>) -> Result<(), CodecError> {
        let (nonce, data) = self.bound_to(role, number);
        let tag = self
            .cipher
            .encrypt_inout_detached(&nonce, &data, plain.as_mut_slice().into())
            .map_err(|_| CodecError::TooLong)?;
        plain.extend_from_slice(&tag);
        Ok(())
    }

    /// Opens a sealed piece in place; returns the plaintext's part of the buffer.
    pub fn open<'a>(
        &self,
        role: Role,
        number: u32,
        sealed: &'a mut [u8],
    ) -> Result<&'a [u8], CodecError> {
        let (nonce, data) = self.bound_to(role, number);
        let length = sealed.len().checked_sub(TAG_LENGTH).ok_or(CodecError::BadTag)?;
        let (text, tag) = sealed.split_at_mut_checked(length).ok_or(CodecError::BadTag)?;
        let tag = Tag::try_from(&*tag).map_err(|_| CodecError::BadTag)?;
        self.cipher
            .decrypt_inout_detached(&nonce, &data, (&mut *text).into(), &tag)
            .map_err(|_| CodecError::BadTag)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> RepositoryKeys {
        RepositoryKeys::derive(&MasterKeys::from_parts([1; 32], [2; 32]), &RepositoryId([3; 16]))
    }

    #[test]
    fn a_sealed_piece_opens_only_in_its_own_place() {
        let sealer = keys().seal_object(ObjectKind::Pack, 0, &[b"x"]).unwrap();
        let role = Role::Unit(BlobKind::Data);
        let mut sealed = b"secret".to_vec();
        sealer.seal(role, 5, &mut sealed).unwrap();
        let opener = keys().open_object(*sealer.header()).unwrap();
        assert_eq!(opener.open(role, 5, &mut sealed.clone()).unwrap(), b"secret");
        for (role, number) in [(Role::Unit(BlobKind::Tree), 5), (role, 6), (Role::Footer, 5)] {
            assert_eq!(opener.open(role, number, &mut sealed.clone()), Err(CodecError::BadTag));
        }
        let other = keys().seal_object(ObjectKind::Pack, 0, &[b"x"]).unwrap();
        assert_eq!(other.open(role, 5, &mut sealed.clone()), Err(CodecError::BadTag));
        for place in 0..sealed.len() {
            let mut flipped = sealed.clone();
            flipped[place] ^= 1;
            assert_eq!(opener.open(role, 5, &mut flipped), Err(CodecError::BadTag));
        }
        assert_eq!(opener.open(role, 5, &mut [0; 15]), Err(CodecError::BadTag));
    }

    #[test]
    fn another_repository_or_a_changed_header_does_not_open() {
        let sealer = keys().seal_object(ObjectKind::Pack, 0, &[]).unwrap();
        let mut header = *sealer.header();
        let foreign = RepositoryKeys::derive(
            &MasterKeys::from_parts([1; 32], [2; 32]),
            &RepositoryId([4; 16]),
        );
        assert_eq!(foreign.open_object(header).err(), Some(CodecError::WrongKey));
        header.bytes[20] ^= 1;
        assert_eq!(keys().open_object(header).err(), Some(CodecError::WrongKey));
        header.epoch = 9;
        assert_eq!(keys().open_object(header).err(), Some(CodecError::UnknownEpoch(9)));
    }

    #[test]
    fn what_is_learnt_is_sealed_under_and_nobody_else_opens_it() {
        let rotated = keys();
        let before = rotated.seal_object(ObjectKind::Pack, 0, &[]).unwrap();
        let epochs = Epochs::default().draw().unwrap();
        let newest = epochs.newest();
        rotated.learn(&epochs.into_epochs());
        let after = rotated.seal_object(ObjectKind::Pack, 0, &[]).unwrap();
        assert_eq!((before.header().epoch, after.header().epoch), (0, newest));
        assert!(rotated.open_object(*before.header()).is_ok());
        assert!(rotated.open_object(*after.header()).is_ok());
        let left_out = keys().open_object(*after.header());
        assert_eq!(left_out.err(), Some(CodecError::UnknownEpoch(newest)));
        rotated.stop_sealing(CodecError::EpochsBehind);
        let closed = rotated.seal_object(ObjectKind::Pack, 0, &[]);
        assert_eq!(closed.err(), Some(CodecError::EpochsBehind));
        assert!(rotated.open_object(*after.header()).is_ok());
    }

    #[test]
    fn kinds_have_ids_of_their_own() {
        let ids = BlobKind::ALL.map(|kind| keys().blob_id(kind, b"same"));
        for (place, id) in ids.iter().enumerate() {
            assert!(!ids[..place].contains(id));
        }
    }
}
