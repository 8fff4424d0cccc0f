//! The secrets of an open repository: whose key slots there are, and which epochs were granted to the
//! one that this run opened it with (`format-spec/2-keys.md`).
//!
//! What lies under `keys/` is read when a repository is opened, whenever a key command asks, and once
//! more when an object turns up whose epoch is not known. A tiny backup does not look.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard};

use super::remembered::Memory;
use super::state::StateFolder;
use super::{Repository, guard};
use crate::codec::CodecError;
use crate::codec::crypto::{
    EpochSet, Epochs, Key, MasterKeys, OpenGrant, Recipient, SlotSecret, make_grant, make_slot,
    object_hash, open_about,
};
use crate::error::{Error, Kind, Result};
use crate::format::LIMITS;
use crate::format::key::{About, Grant, KeySlot, SlotKind};
use crate::id::ObjectHash;
use crate::store::{Listed, ObjectName, Prefix, Store};
use crate::time::Timestamp;

/// What lies under `keys/`.
#[derive(Default)]
pub(super) struct KeyObjects {
    /// Key slots.
    pub(super) slots: Vec<(ObjectHash, KeySlot)>,
    /// Grants.
    pub(super) grants: Vec<(ObjectHash, Grant)>,
    /// What is not what its name says, or can't be read.
    pub(super) damaged: Vec<(ObjectName, Error)>,
}

impl KeyObjects {
    /// Reads everything that was listed.
    pub(super) fn load(store: &Store, rows: &[Listed]) -> Result<KeyObjects> {
        let names: Vec<ObjectName> = rows.iter().map(|row| row.name.clone()).collect();
        let grants = names.iter().filter(|name| matches!(name, ObjectName::Grant(_))).count();
        if grants > LIMITS.grants || names.len().saturating_sub(grants) > LIMITS.key_slots {
            return Err(Error::damaged("too many key slots or grants in", store.description()));
        }
        let mut objects = KeyObjects::default();
        for (name, bytes) in names.iter().zip(store.get_many(&names)) {
            objects.enter(name, &bytes?.unwrap_or_default());
        }
        Ok(objects)
    }

    fn enter(&mut self, name: &ObjectName, bytes: &[u8]) {
        let hash = name.hash();
        let is_intact = object_hash(bytes) == hash;
        // What a secret opens is authentic under any name: it is tried all the same.
        let read = if matches!(name, ObjectName::Grant(_)) {
            Grant::decode(bytes).map(|grant| self.grants.push((hash, grant)))
        } else {
            KeySlot::decode(bytes).map(|slot| self.slots.push((hash, slot)))
        };
        let what = if matches!(name, ObjectName::Grant(_)) { "grant" } else { "key slot" };
        match read {
            _ if !is_intact => {
                let error = Error::damaged(format!("{what} is damaged:"), name.to_string());
                self.damaged.push((name.clone(), error));
            }
            Ok(()) => {}
            Err(error) => {
                let doing = format!("cannot read {what}");
                let error = Error::damaged(doing, name.to_string()).source(error);
                self.damaged.push((name.clone(), error));
            }
        }
    }

    /// Lists and reads everything under `keys/`.
    pub(super) fn read(store: &Store) -> Result<KeyObjects> {
        KeyObjects::load(store, &store.list(Prefix::Keys)?)
    }

    /// Returns the grants that are this repository's, with their names.
    pub(super) fn open_grants(&self, master: &MasterKeys) -> Vec<(ObjectHash, OpenGrant)> {
        let open = |(hash, grant): &(ObjectHash, Grant)| {
            Some((*hash, OpenGrant::open(master, grant.clone()).ok()?))
        };
        self.grants.iter().filter_map(open).collect()
    }
}

/// Who opened the repository.
pub(super) struct Holder {
    /// The key slot.
    pub(super) slot: ObjectHash,
    /// Its holder's private key.
    pub(super) exchange: Key,
}

impl Holder {
    /// Takes what was granted to this holder, each grant for itself. What can't be taken is another's
    /// or damaged: an object that needs it then says so.
    pub(super) fn take(&self, grants: &[(ObjectHash, OpenGrant)]) -> Vec<(ObjectHash, EpochSet)> {
        let take = |(hash, grant): &(ObjectHash, OpenGrant)| {
            Some((*hash, grant.take(&self.slot, &self.exchange).ok()??))
        };
        grants.iter().filter_map(take).collect()
    }
}

/// The secrets. All handles to a repository share them.
pub(super) struct Keyring {
    pub(super) master: MasterKeys,
    pub(super) holder: Option<Holder>,
    epochs: Mutex<Epochs>,
    memory: Option<Memory>,
    /// Where the newest epoch is remembered. Handles with a cache of their own have no other state.
    state: Option<StateFolder>,
}

impl Keyring {
    pub(super) fn new(
        master: MasterKeys,
        holder: Option<Holder>,
        memory: Option<Memory>,
        state: Option<StateFolder>,
    ) -> Keyring {
        Keyring { master, holder, epochs: Mutex::default(), memory, state }
    }

    pub(super) fn epochs(&self) -> MutexGuard<'_, Epochs> {
        guard(&self.epochs)
    }

    /// What lies under `keys/` is about to change: the next opening reads it from the store.
    pub(super) fn forget_memory(&self) {
        if let Some(memory) = &self.memory {
            memory.forget();
        }
    }
}

/// A key slot, as people see it.
#[derive(Debug, Clone)]
pub struct SlotEntry {
    /// Its object.
    pub id: ObjectHash,
    /// What opens it.
    pub kind: SlotKind,
    /// Whose it is.
    pub label: String,
    /// When it was made (nanoseconds, UTC).
    pub created: i64,
    /// Whether this run opened the repository with it.
    pub in_use: bool,
    /// Whether a rotation of the keys left it out: it opens only what is older.
    pub left_out: bool,
}

impl Repository {
    /// Takes in what was granted to the key that opened the repository.
    pub(super) fn adopt(&self, objects: &KeyObjects) -> Result<()> {
        let keyring = &self.keyring;
        if let Some(holder) = &keyring.holder {
            let grants = objects.open_grants(&keyring.master);
            let sets = holder.take(&grants).into_iter().map(|(_, set)| set).collect();
            let mut epochs = keyring.epochs();
            *epochs = Epochs::gather(sets, &epochs);
        }
        self.use_epochs(false)
    }

    /// Opens and seals with the epochs that are known now, and remembers the newest: of one that this
    /// run drew it is certain that it is.
    pub(super) fn use_epochs(&self, is_own: bool) -> Result<()> {
        self.keys().learn(&self.keyring.epochs());
        if !is_own && self.lacks_epoch() {
            // Who was left out could read what is sealed under an older one.
            self.keys().stop_sealing(CodecError::EpochsBehind);
        }
        if let (Some(state), Some(newest)) = (&self.keyring.state, self.keys().newest_mark())
            && newest.epoch > 0
            && state.epoch().as_ref() != Some(&newest)
        {
            match state.save_epoch(&newest) {
                // Who only reads may have no leave to write: then the next opening learns it again.
                Err(_) if !is_own => {}
                result => result?,
            }
        }
        Ok(())
    }

    /// Returns whether this machine has known an epoch that was not granted to the key, as far as was
    /// read.
    pub(super) fn lacks_epoch(&self) -> bool {
        let seen = self.keyring.state.as_ref().and_then(StateFolder::epoch);
        seen.is_some_and(|seen| !self.keys().knows_mark(&seen))
    }

    /// Reads `keys/` as it is now.
    pub(super) fn key_objects(&self) -> Result<KeyObjects> {
        let objects = KeyObjects::read(self.store())?;
        if let Some(memory) = &self.keyring.memory {
            memory.write(self.header_bytes(), &objects);
        }
        self.adopt(&objects)?;
        Ok(objects)
    }

    /// Reads `keys/` as it is now, for an object of an epoch that is not known. An error if the key
    /// that opened the repository was removed.
    pub(super) fn renew_keys(&self) -> Result<()> {
        let objects = self.key_objects()?;
        let Some(holder) = &self.keyring.holder else { return Ok(()) };
        if objects.slots.iter().any(|(hash, _)| *hash == holder.slot) {
            return Ok(());
        }
        Err(Error::new(Kind::WrongPassphrase, "this key was removed from the repository:")
            .object(ObjectName::KeySlot(holder.slot).to_string())
            .hint(
                "nothing was changed; a machine whose key still opens it can add another for this \
                 one (`stash key add`)",
            ))
    }

    /// Fails if nothing may be sealed.
    pub fn refuse_unsealable(&self) -> Result<()> {
        self.keys().newest_epoch().map(drop).map_err(|error| {
            Error::failed("cannot save anything").source(error).hint(
                "everything can be read; `stash key rotate` makes keys that go on from all that are \
                 known: look whom it shows",
            )
        })
    }

    /// Returns whether a key slot is one of this repository, as what it says about itself proves.
    pub fn owns_slot(&self, slot: &KeySlot) -> bool {
        open_about(&self.keyring.master, slot).is_ok()
    }

    /// Returns whether a grant is one of this repository.
    pub fn owns_grant(&self, grant: &Grant) -> bool {
        OpenGrant::open(&self.keyring.master, grant.clone()).is_ok()
    }

    /// Returns the key slots.
    pub fn key_slots(&self) -> Result<Vec<SlotEntry>> {
        let objects = self.key_objects()?;
        let holders = self.holders(&objects);
        let entry = |(id, slot): &(ObjectHash, KeySlot)| self.slot_entry(*id, slot, &holders);
        Ok(objects.slots.iter().filter_map(entry).collect())
    }

    pub(super) fn slot_entry(
        &self,
        id: ObjectHash,
        slot: &KeySlot,
        holders: &Holders,
    ) -> Option<SlotEntry> {
        let about = open_about(&self.keyring.master, slot).unwrap_or_default();
        Some(SlotEntry {
            id,
            kind: SlotKind::from_number(slot.kind).ok()?,
            label: about.label,
            created: about.created,
            in_use: self.keyring.holder.as_ref().is_some_and(|holder| holder.slot == id),
            left_out: !holders.has(&id),
        })
    }

    /// Returns who was granted all that this key was.
    pub(super) fn holders(&self, objects: &KeyObjects) -> Holders {
        let Some(holder) = &self.keyring.holder else { return Holders(Vec::new()) };
        let grants = objects.open_grants(&self.keyring.master);
        let sets = holder.take(&grants);
        let is_head = |set: &EpochSet| !sets.iter().any(|(_, other)| other.surpasses(set));
        let mut heads: Vec<u32> =
            sets.iter().filter(|(_, set)| is_head(set)).map(|(_, set)| set.newest()).collect();
        heads.sort_unstable();
        heads.dedup();
        let epochs = self.keyring.epochs();
        let of_head = |epoch: u32| {
            let of_epoch = grants.iter().filter(|(_, it)| it.epoch() == epoch);
            of_epoch
                .filter(|(_, grant)| grant.vouched(&epochs).is_some())
                .flat_map(|(_, grant)| grant.holders().copied().collect::<Vec<_>>())
                .collect()
        };
        Holders(heads.into_iter().map(of_head).collect())
    }

    /// Adds a key slot. `kdf_memory` (KiB) raises the cost of a passphrase.
    pub fn add_key(
        &self,
        secret: &SlotSecret,
        label: &str,
        kdf_memory: Option<u32>,
        now: Timestamp,
    ) -> Result<ObjectHash> {
        let objects = self.key_objects()?;
        if objects.slots.len() >= LIMITS.key_slots {
            return Err(Error::failed("the repository has as many key slots as it may have")
                .hint("remove one with `stash key remove`"));
        }
        let about = About { label: label.to_owned(), created: now.0, ..About::default() };
        let cannot = |error| Error::failed("cannot make a key slot").source(error);
        let master = &self.keyring.master;
        let (slot, exchange) =
            make_slot(master, self.header_bytes(), secret, &about, kdf_memory).map_err(cannot)?;
        let epochs = self.keyring.epochs().all().map_err(cannot)?;
        if let Some(epochs) = epochs {
            // A rotation needs room for two.
            if objects.grants.len().saturating_add(3) > LIMITS.grants {
                return Err(Error::failed("the repository has as many grants as it may have")
                    .hint("`stash key rotate` makes one of them"));
            }
            // Granted before it is there: nobody then takes it for one that was left out.
            let recipient = Recipient {
                slot: object_hash(&slot.encode()),
                exchange: crate::codec::crypto::public_key(&exchange),
            };
            let grant = make_grant(master, &epochs, &[recipient], now.0).map_err(cannot)?;
            put_grant(self.store(), &grant)?;
        }
        let id = put_slot(self.store(), &slot)?;
        self.keyring.forget_memory();
        Ok(id)
    }

    /// Puts a key slot in another's place, even if this run opened the repository with that one.
    pub fn replace_key(
        &self,
        old: &ObjectHash,
        secret: &SlotSecret,
        label: &str,
        kdf_memory: Option<u32>,
        now: Timestamp,
    ) -> Result<ObjectHash> {
        let id = self.add_key(secret, label, kdf_memory, now)?;
        self.drop_slot(old)?;
        Ok(id)
    }

    /// Returns the ids of all key slots, those that can't be read too.
    pub fn key_slot_ids(&self) -> Result<Vec<ObjectHash>> {
        let rows = self.store().list(Prefix::Keys)?;
        let ids = rows.into_iter().filter_map(|row| match row.name {
            ObjectName::KeySlot(hash) => Some(hash),
            _ => None,
        });
        Ok(ids.collect())
    }

    /// Removes a key slot. The last one, and the one in use, stay.
    pub fn remove_key(&self, id: &ObjectHash) -> Result<()> {
        if self.keyring.holder.as_ref().is_some_and(|holder| holder.slot == *id) {
            return Err(Error::usage("this run opened the repository with that key")
                .object(id.short())
                .hint("open it with another key to remove this one"));
        }
        if self.key_slot_ids()?.len() <= 1 {
            return Err(Error::usage("the last key slot stays: without it nothing can be read"));
        }
        self.drop_slot(id)
    }

    pub(super) fn drop_slot(&self, id: &ObjectHash) -> Result<()> {
        // Else what it opened would go on opening here for a while.
        self.keyring.forget_memory();
        self.store().delete_key_slot(id)
    }
}

/// The holders of each newest epoch: one, or several where rotations met.
pub(super) struct Holders(Vec<HashSet<ObjectHash>>);

impl Holders {
    /// Returns whether a slot was granted all of them; everyone has epoch 0.
    pub(super) fn has(&self, slot: &ObjectHash) -> bool {
        self.0.iter().all(|holders| holders.contains(slot))
    }
}

pub(super) fn put_slot(store: &Store, slot: &KeySlot) -> Result<ObjectHash> {
    let bytes = slot.encode();
    let hash = object_hash(&bytes);
    store.put(ObjectName::KeySlot(hash), &[bytes.into()])?;
    Ok(hash)
}

pub(super) fn put_grant(store: &Store, grant: &Grant) -> Result<ObjectHash> {
    let bytes = grant.encode();
    let hash = object_hash(&bytes);
    store.put(ObjectName::Grant(hash), &[bytes.into()])?;
    Ok(hash)
}
