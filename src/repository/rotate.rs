//! A new sealing epoch for all holders but those who are left out (`format-spec/2-keys.md`).
//!
//! ```text
//! keys/, read anew ─▶ plan: who keeps, who is left out ─▶ grant, twice ─▶ look again ─▶ record under
//!                     (shown, agreed to)                  durable          joined?       the new epoch
//!                                                                                        ─▶ deletions
//! ```
//!
//! The first PUT decides: one grant holds the boxes of all who keep, so that a run which dies leaves
//! either no new epoch or one that every kept holder has. The second is the same once more, under
//! another salt: what is sealed from now on hangs on it. Key slots are never written again, so that
//! credentials which may only add suffice; without leave to delete, the slots of those left out stay,
//! and open what is older.

use super::keyring::{KeyObjects, put_grant};
use super::log::RecordParts;
use super::{Repository, SlotEntry};
use crate::codec::crypto::{EpochSet, Epochs, OpenGrant, Recipient, make_grant, open_about};
use crate::error::{Error, Kind, Result};
use crate::format::LIMITS;
use crate::format::key::KeySlot;
use crate::id::ObjectHash;
use crate::store::{ObjectName, Prefix};
use crate::time::Timestamp;

/// How often another machine's rotation is joined before it is the next run's turn.
const ROUNDS: usize = 4;
/// A grant is stored so often.
const COPIES: usize = 2;

/// Who will have the new epoch.
#[derive(Debug, Clone)]
pub struct RotationPlan {
    /// The slots whose holders get it.
    pub kept: Vec<SlotEntry>,
    /// The slots whose holders don't: named by the caller, or left out before. They are deleted.
    pub left_out: Vec<SlotEntry>,
    recipients: Vec<Recipient>,
    dropped: Vec<ObjectHash>,
}

/// What a rotation did.
#[derive(Debug)]
pub struct Rotated {
    /// The new epoch.
    pub epoch: u32,
    /// What could not be deleted.
    pub undeleted: Vec<(ObjectName, Error)>,
}

impl Repository {
    /// Finds out who would get a new epoch. `without` are the slots that are left out.
    pub fn plan_rotation(&self, without: &[ObjectHash]) -> Result<RotationPlan> {
        let objects = self.key_objects()?;
        self.refuse_strange_grants(&objects)?;
        let holders = self.holders(&objects);
        let is_left_out = |id: &ObjectHash| without.contains(id);
        for (name, error) in &objects.damaged {
            if matches!(name, ObjectName::KeySlot(_)) && !is_left_out(&name.hash()) {
                return Err(refused(&name.hash(), &error.to_string()));
            }
        }
        let mut plan = RotationPlan {
            kept: Vec::new(),
            left_out: Vec::new(),
            recipients: Vec::new(),
            dropped: without.to_vec(),
        };
        for (id, slot) in &objects.slots {
            let Some(entry) = self.slot_entry(*id, slot, &holders) else { continue };
            if !self.owns_slot(slot) && self.shares_its_place()? {
                if is_left_out(id) {
                    return Err(Error::usage("another repository in the same place has the slot")
                        .object(id.short()));
                }
                continue;
            }
            if entry.in_use && is_left_out(id) {
                return Err(Error::usage("this run opened the repository with that key")
                    .object(id.short())
                    .hint("open it with another key to leave this one out"));
            }
            if is_left_out(id) || entry.left_out {
                plan.dropped.push(*id);
                plan.left_out.push(entry);
            } else {
                plan.recipients.push(self.recipient(*id, slot)?);
                plan.kept.push(entry);
            }
        }
        if !plan.kept.iter().any(|entry| entry.in_use) {
            return Err(Error::new(
                Kind::WrongPassphrase,
                "the key that opened the repository would not keep it",
            )
            .hint("open it with another key; `stash key list` shows them"));
        }
        for slots in [&mut plan.kept, &mut plan.left_out] {
            slots.sort_by_key(|slot| (slot.created, slot.kind, slot.id));
        }
        plan.dropped.sort_unstable();
        plan.dropped.dedup();
        Ok(plan)
    }

    /// Returns whether another repository lies in the same place: its key slots are not to be touched.
    fn shares_its_place(&self) -> Result<bool> {
        Ok(self.store().list(Prefix::Repository)?.len() > 1)
    }

    /// A grant of an epoch that this key does not have: then others left it out, and an epoch that it
    /// drew would not follow upon theirs.
    fn refuse_strange_grants(&self, objects: &KeyObjects) -> Result<()> {
        let epochs = self.keyring.epochs();
        for (hash, grant) in objects.open_grants(&self.keyring.master) {
            if !epochs.knows(grant.epoch()) {
                let name = ObjectName::Grant(hash).to_string();
                return Err(Error::new(
                    Kind::WrongPassphrase,
                    format!("key epoch {} was not granted to this key:", grant.epoch()),
                )
                .object(name)
                .hint(
                    "rotate with a key that has it; if none of your machines made this object, \
                     delete it from the store",
                ));
            }
        }
        Ok(())
    }

    /// Returns what a slot's holder gets an epoch by.
    fn recipient(&self, id: ObjectHash, slot: &KeySlot) -> Result<Recipient> {
        let about = open_about(&self.keyring.master, slot)
            .map_err(|_| refused(&id, "what it says of itself is not of this repository"))?;
        let exchange = <[u8; 32]>::try_from(&*about.exchange)
            .map_err(|_| refused(&id, "it has no public key"))?;
        Ok(Recipient { slot: id, exchange })
    }

    /// Rotates the keys. When this returns, a record under the new epoch is durable, by which all
    /// other writers notice.
    pub fn rotate(&self, plan: &RotationPlan, now: Timestamp) -> Result<Rotated> {
        self.sync_own()?;
        let epoch = self.grant_new_epoch(plan, now)?;
        self.use_epochs(true)?;
        self.append(RecordParts { opens: true, ..RecordParts::default() }, now)?;
        Ok(Rotated { epoch, undeleted: self.clean_up(plan)? })
    }

    /// Stores a grant of a new epoch. If other machines did the same meanwhile, one more joins them.
    fn grant_new_epoch(&self, plan: &RotationPlan, now: Timestamp) -> Result<u32> {
        for _ in 0..ROUNDS {
            let objects = KeyObjects::read(self.store())?;
            if objects.grants.len().saturating_add(COPIES) > LIMITS.grants {
                return Err(Error::failed("the repository has as many grants as it may have")
                    .hint("older ones can be deleted by a key of the store that may delete"));
            }
            self.refuse_changed(plan, &objects)?;
            let drawn = self.keyring.epochs().draw().map_err(cannot_rotate)?;
            for _ in 0..COPIES {
                self.put_verified(&drawn, &plan.recipients, now)?;
            }
            let objects = KeyObjects::read(self.store())?;
            let sets = self.granted(&objects);
            let mut epochs = self.keyring.epochs();
            *epochs = Epochs::gather([sets, vec![drawn]].concat(), &epochs);
            if let Ok(newest) = epochs.newest() {
                return Ok(newest);
            }
        }
        Err(Error::new(Kind::Busy, "other machines kept rotating the keys during this run")
            .hint("run the same command again"))
    }

    fn granted(&self, objects: &KeyObjects) -> Vec<EpochSet> {
        let Some(holder) = &self.keyring.holder else { return Vec::new() };
        let grants = objects.open_grants(&self.keyring.master);
        holder.take(&grants).into_iter().map(|(_, set)| set).collect()
    }

    /// Fails if what was agreed to is no more so: a slot is gone, or another machine's rotation left one
    /// out.
    fn refuse_changed(&self, plan: &RotationPlan, objects: &KeyObjects) -> Result<()> {
        self.adopt(objects)?;
        self.refuse_strange_grants(objects)?;
        let holders = self.holders(objects);
        let is_there = |id: &ObjectHash| objects.slots.iter().any(|(slot, _)| slot == id);
        let changed = plan.kept.iter().find(|kept| !is_there(&kept.id) || !holders.has(&kept.id));
        match changed {
            None => Ok(()),
            Some(entry) => {
                Err(Error::new(Kind::Busy, "another machine changed the keys meanwhile:")
                    .object(entry.id.short())
                    .hint("run the same command again, and look who is left out"))
            }
        }
    }

    /// Stores a grant that its own holder has opened as a reader would.
    fn put_verified(
        &self,
        epochs: &EpochSet,
        recipients: &[Recipient],
        now: Timestamp,
    ) -> Result<()> {
        let master = &self.keyring.master;
        let grant = make_grant(master, epochs, recipients, now.0).map_err(cannot_rotate)?;
        let open = OpenGrant::open(master, grant.clone()).map_err(cannot_rotate)?;
        let known = epochs.clone().into_epochs();
        let is_sound = self.keyring.holder.as_ref().is_some_and(|holder| {
            let taken = open.take(&holder.slot, &holder.exchange);
            taken.is_ok_and(|set| set.is_some_and(|set| known.covers(&set)))
        });
        if !is_sound || !open.holders().eq(sorted(recipients).iter()) {
            return Err(Error::failed("a grant failed its check before upload")
                .hint("this machine's memory may be faulty; nothing was stored; run it again"));
        }
        put_grant(self.store(), &grant).map(drop)
    }

    /// Deletes the slots of those left out, and grants that the new one surpasses.
    fn clean_up(&self, plan: &RotationPlan) -> Result<Vec<(ObjectName, Error)>> {
        let objects = KeyObjects::read(self.store())?;
        let mut undeleted = Vec::new();
        for id in &plan.dropped {
            if let Err(error) = self.drop_slot(id) {
                undeleted.push((ObjectName::KeySlot(*id), error));
            }
        }
        for hash in self.surpassed(plan, &objects) {
            if let Err(error) = self.store().delete_grant(&hash) {
                undeleted.push((ObjectName::Grant(hash), error));
            }
        }
        self.keyring.forget_memory();
        Ok(undeleted)
    }

    /// Returns the grants that nobody needs any more: damaged ones, and those of which the new one
    /// holds more, for all their holders who are to have it. One for a slot that was added meanwhile
    /// stays.
    fn surpassed(&self, plan: &RotationPlan, objects: &KeyObjects) -> Vec<ObjectHash> {
        let epochs = self.keyring.epochs();
        let grants = objects.open_grants(&self.keyring.master);
        let sets: Vec<Option<EpochSet>> =
            grants.iter().map(|(_, grant)| grant.vouched(&epochs)).collect();
        let is_planned = |slot: &ObjectHash| {
            plan.dropped.contains(slot) || plan.recipients.iter().any(|it| it.slot == *slot)
        };
        let is_old = |set: &EpochSet| sets.iter().flatten().any(|other| other.surpasses(set));
        let old = grants.iter().zip(&sets).filter(|((_, grant), set)| {
            set.as_ref().is_some_and(is_old) && grant.holders().all(is_planned)
        });
        let damaged = objects.damaged.iter().filter_map(|(name, _)| match name {
            ObjectName::Grant(hash) => Some(*hash),
            _ => None,
        });
        old.map(|((hash, _), _)| *hash).chain(damaged).collect()
    }
}

fn sorted(recipients: &[Recipient]) -> Vec<ObjectHash> {
    let mut slots: Vec<ObjectHash> = recipients.iter().map(|recipient| recipient.slot).collect();
    slots.sort_unstable();
    slots
}

fn refused(id: &ObjectHash, why: &str) -> Error {
    Error::failed(format!("a new epoch can't be given to key slot {}: {why}", id.short())).hint(
        format!(
            "leave it out: `--without {0}`, or remove it first: `stash key remove {0}`",
            id.short()
        ),
    )
}

fn cannot_rotate(error: crate::codec::CodecError) -> Error {
    Error::failed("cannot rotate the keys").source(error)
}
