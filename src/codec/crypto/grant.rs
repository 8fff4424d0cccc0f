//! Grants: an epoch's secret, sealed for the holders of key slots by their public keys.
//!
//! Three layers. The outer one opens for all who know the root secret, so that nobody else sees public
//! keys at all. Each holder's box takes the private key that follows from his slot's own secret. What
//! is innermost takes the epoch's secret: the earlier epochs, bound to the list of holders, so that who
//! does not know the epoch can't grant it.

use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use super::epochs::{EpochSet, Epochs};
use super::slot::{open_once, seal_once};
use super::{Key, MasterKeys, random_bytes};
use crate::codec::CodecError;
use crate::format::cbor::{self, Bytes};
use crate::format::key::{Grant, Granted, Older, SecretBytes};
use crate::format::{DecodeError, LIMITS};
use crate::id::ObjectHash;

/// One whom a grant is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recipient {
    /// The key slot.
    pub slot: ObjectHash,
    /// Its holder's public key.
    pub exchange: [u8; 32],
}

/// Returns the public key of a private one.
pub fn public_key(exchange: &Key) -> [u8; 32] {
    PublicKey::from(&StaticSecret::from(exchange.0)).to_bytes()
}

/// Returns the key of one holder's box. `own` and `other` are the two ends of the exchange.
fn holder_key(
    own: &StaticSecret,
    other: &PublicKey,
    grant_exchange: &[u8; 32],
    slot_exchange: &[u8; 32],
    salt: &[u8],
) -> Result<Key, CodecError> {
    let shared = own.diffie_hellman(other);
    // A public key of small order would give what anyone can compute.
    if !shared.was_contributory() {
        return Err(CodecError::WrongKey);
    }
    let parts: [&[u8]; 4] = [shared.as_bytes(), grant_exchange, slot_exchange, salt];
    Ok(Key::derive("stash 2026-11-21 grant holder", &parts))
}

fn outer_key(master: &MasterKeys, salt: &[u8]) -> Key {
    Key::derive("stash 2026-11-21 grant", &[&master.root.0, salt])
}

fn older_key(secret: &Key, salt: &[u8]) -> Key {
    Key::derive("stash 2026-11-21 grant older", &[&secret.0, salt])
}

/// Makes a grant of the highest epoch of `epochs`, with all before it.
pub fn make_grant(
    master: &MasterKeys,
    epochs: &EpochSet,
    recipients: &[Recipient],
    created: i64,
) -> Result<Grant, CodecError> {
    let Some(((epoch, secret), older)) = epochs.0.split_last() else {
        return Err(CodecError::UnknownEpoch(0));
    };
    let salt = random_bytes::<32>()?;
    let mut grant = Grant { epoch: *epoch, salt: salt.to_vec().into(), ..Grant::default() };
    let bound = grant.associated_data();
    let own = StaticSecret::from(Key::random()?.0);
    let exchange = PublicKey::from(&own).to_bytes();
    let mut granted = Granted { exchange: exchange.to_vec().into(), ..Granted::default() };
    let mut recipients = recipients.to_vec();
    recipients.sort_unstable_by_key(|recipient| recipient.slot);
    recipients.dedup_by_key(|recipient| recipient.slot);
    if recipients.len() > LIMITS.key_slots {
        return Err(CodecError::TooLong);
    }
    for Recipient { slot, exchange: theirs } in recipients {
        let key = holder_key(&own, &PublicKey::from(theirs), &exchange, &theirs, &salt)?;
        let plain = Zeroizing::new(secret.0.to_vec());
        let sealed = seal_once(&key, &[bound.as_slice(), slot.as_bytes()].concat(), plain)?;
        granted.holders.push((slot, sealed.into()));
    }
    let older = Older {
        epochs: older
            .iter()
            .map(|(epoch, secret)| (*epoch, SecretBytes(secret.0.to_vec())))
            .collect(),
        created,
        ..Older::default()
    };
    let plain = Zeroizing::new(cbor::encode(&older));
    let data = [bound.clone(), cbor::encode(&granted)].concat();
    granted.older = seal_once(&older_key(secret, &salt), &data, plain)?.into();
    let plain = Zeroizing::new(cbor::encode(&granted));
    grant.wrapped = seal_once(&outer_key(master, &salt), &bound, plain)?.into();
    Ok(grant)
}

/// A grant whose outer layer is open.
#[derive(Debug, Clone)]
pub struct OpenGrant {
    grant: Grant,
    granted: Granted,
}

impl OpenGrant {
    /// Opens the outer layer, which takes the root secret.
    pub fn open(master: &MasterKeys, grant: Grant) -> Result<OpenGrant, CodecError> {
        let bound = grant.associated_data();
        let plain = open_once(&outer_key(master, &grant.salt), &bound, &grant.wrapped)?;
        let granted: Granted = cbor::decode(&plain).map_err(|_| CodecError::BadTag)?;
        if granted.holders.len() > LIMITS.key_slots {
            return Err(CodecError::TooLong);
        }
        if granted.exchange.len() != 32 || !granted.holders.is_sorted_by(|a, b| a.0 < b.0) {
            return Err(CodecError::BadTag);
        }
        Ok(OpenGrant { grant, granted })
    }

    /// Returns the epoch that it says it gives.
    pub fn epoch(&self) -> u32 {
        self.grant.epoch
    }

    /// Returns the slots that it says it is for. [`OpenGrant::vouched`] tells whether that is true.
    pub fn holders(&self) -> impl Iterator<Item = &ObjectHash> {
        self.granted.holders.iter().map(|(slot, _)| slot)
    }

    /// Takes out what is there for the holder of a slot, by the slot's private key. `None` if it
    /// is not for that slot.
    pub fn take(&self, slot: &ObjectHash, exchange: &Key) -> Result<Option<EpochSet>, CodecError> {
        let Some((_, sealed)) = self.granted.holders.iter().find(|(holder, _)| holder == slot)
        else {
            return Ok(None);
        };
        let theirs = array(&self.granted.exchange)?;
        let ours = public_key(exchange);
        let own = StaticSecret::from(exchange.0);
        let salt = &self.grant.salt;
        let key = holder_key(&own, &PublicKey::from(theirs), &theirs, &ours, salt)?;
        let data = [self.grant.associated_data().as_slice(), slot.as_bytes()].concat();
        let secret = Key(array(&open_once(&key, &data, sealed)?)?);
        self.open_older(&secret).map(Some)
    }

    /// Returns what it holds, if its epoch is among these: then who made it knew that, and its list of
    /// holders is true.
    pub fn vouched(&self, epochs: &Epochs) -> Option<EpochSet> {
        epochs.secrets(self.grant.epoch).find_map(|secret| self.open_older(secret).ok())
    }

    fn open_older(&self, secret: &Key) -> Result<EpochSet, CodecError> {
        let bare = Granted { older: Bytes::default(), ..self.granted.clone() };
        let data = [self.grant.associated_data(), cbor::encode(&bare)].concat();
        let key = older_key(secret, &self.grant.salt);
        let plain = open_once(&key, &data, &self.granted.older)?;
        // As `cbor::decode`, but what is encoded for the comparison is a secret as well.
        let older: Older = cbor::decode_lenient(&plain).map_err(|error| match error {
            DecodeError::TooLong { .. } => CodecError::TooLong,
            _ => CodecError::BadTag,
        })?;
        if *Zeroizing::new(cbor::encode(&older)) != *plain {
            return Err(CodecError::BadTag);
        }
        if older.epochs.len() >= LIMITS.epochs {
            return Err(CodecError::TooLong);
        }
        let ascends = older.epochs.is_sorted_by(|a, b| (a.0, &a.1.0) < (b.0, &b.1.0))
            && older.epochs.first().is_none_or(|first| first.0 > 0)
            && older.epochs.last().is_none_or(|last| last.0 < self.grant.epoch);
        if !ascends {
            return Err(CodecError::BadTag);
        }
        let mut set = Vec::with_capacity(older.epochs.len().saturating_add(1));
        for (epoch, bytes) in &older.epochs {
            set.push((*epoch, Key(array(&bytes.0)?)));
        }
        set.push((self.grant.epoch, secret.clone()));
        Ok(EpochSet(set))
    }
}

fn array(bytes: &[u8]) -> Result<[u8; 32], CodecError> {
    bytes.try_into().map_err(|_| CodecError::BadTag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn master() -> MasterKeys {
        MasterKeys::from_parts([1; 32], [2; 32])
    }

    fn exchange(byte: u8) -> Key {
        Key([byte; 32])
    }

    fn recipient(byte: u8) -> Recipient {
        Recipient { slot: ObjectHash([byte; 32]), exchange: public_key(&exchange(byte)) }
    }

    fn reopened(grant: &Grant) -> OpenGrant {
        OpenGrant::open(&master(), Grant::decode(&grant.encode()).unwrap()).unwrap()
    }

    #[test]
    fn each_holder_takes_all_epochs_and_nobody_else_any() {
        let first = Epochs::default().draw().unwrap();
        let both = first.clone().into_epochs().draw().unwrap();
        let grant = make_grant(&master(), &both, &[recipient(5), recipient(4)], 7).unwrap();
        let open = reopened(&grant);
        assert_eq!(open.holders().count(), 2);
        for byte in [4, 5] {
            let taken = open.take(&recipient(byte).slot, &exchange(byte)).unwrap().unwrap();
            assert_eq!(taken.numbers(), both.numbers());
            assert!(both.clone().into_epochs().covers(&taken));
        }
        assert!(open.take(&recipient(6).slot, &exchange(6)).unwrap().is_none());
        let wrong = open.take(&recipient(5).slot, &exchange(6));
        assert_eq!(wrong.err(), Some(CodecError::BadTag));
        let other = MasterKeys::from_parts([9; 32], [2; 32]);
        assert_eq!(OpenGrant::open(&other, grant).err(), Some(CodecError::BadTag));
    }

    /// Whoever was left out knows the root secret, and may reach the store.
    #[test]
    fn who_does_not_know_an_epoch_cannot_name_holders_of_it() {
        let epochs = Epochs::default().draw().unwrap();
        let known = epochs.clone().into_epochs();
        let grant = make_grant(&master(), &epochs, &[recipient(4)], 7).unwrap();
        let mut open = reopened(&grant);
        assert!(open.vouched(&known).is_some());
        assert!(open.vouched(&Epochs::default()).is_none());
        open.granted.holders.push((recipient(5).slot, open.granted.holders[0].1.clone()));
        assert!(open.vouched(&known).is_none());
        let forged = EpochSet(vec![(epochs.numbers()[0], Key([3; 32]))]);
        let grant = make_grant(&master(), &forged, &[recipient(4)], 7).unwrap();
        assert!(reopened(&grant).vouched(&known).is_none());
    }

    #[test]
    fn a_public_key_that_gives_no_secret_is_refused() {
        let epochs = Epochs::default().draw().unwrap();
        let zero = Recipient { slot: ObjectHash([4; 32]), exchange: [0; 32] };
        let made = make_grant(&master(), &epochs, &[zero], 7);
        assert_eq!(made.err(), Some(CodecError::WrongKey));
    }
}
