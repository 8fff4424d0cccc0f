//! Epochs: which sealing keys a holder knows, and under which one new objects are sealed.
//!
//! Epoch 0 is the root secret's, and everyone's. Later ones come by grants. Rotations of two machines
//! may meet: then no grant holds all that is known, everything can be read, and nothing is sealed
//! until a further rotation joins them.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::{Key, constant_time_equal, random_bytes};
use crate::codec::CodecError;
use crate::format::LIMITS;

/// Epochs are apart by less than this, so that two rotations at once draw different ones, and yet as
/// many follow each other as there may be.
const STEP: u32 = 1 << 22;

/// The epochs of one grant, ascending, each with its secret.
#[derive(Clone, Default)]
pub struct EpochSet(pub(super) Vec<(u32, Key)>);

impl EpochSet {
    /// Returns the epochs, ascending.
    pub fn numbers(&self) -> Vec<u32> {
        self.0.iter().map(|(epoch, _)| *epoch).collect()
    }

    /// Returns the highest of them.
    pub fn newest(&self) -> u32 {
        self.0.last().map_or(0, |(epoch, _)| *epoch)
    }

    /// Returns whether it holds all that another one does, and more.
    pub fn surpasses(&self, other: &EpochSet) -> bool {
        let has = |one: &(u32, Key)| self.0.iter().any(|mine| is_same(mine, one));
        self.0.len() > other.0.len() && other.0.iter().all(has)
    }

    /// Returns what is known to whoever has only this.
    pub fn into_epochs(self) -> Epochs {
        Epochs::gather(vec![self], &Epochs::default())
    }
}

/// All later epochs that a holder knows.
#[derive(Clone, Default)]
pub struct Epochs {
    /// Ascending. A number that is there twice has two secrets.
    known: Vec<(u32, Key)>,
    /// Whether no single grant holds them all.
    apart: bool,
}

impl Epochs {
    /// Puts together what several grants hold, and what was known before.
    pub fn gather(sets: Vec<EpochSet>, before: &Epochs) -> Epochs {
        let longest = sets.iter().map(|set| set.0.len()).max().unwrap_or(0);
        let mut known: Vec<(u32, Key)> = sets.into_iter().flat_map(|set| set.0).collect();
        known.extend(before.known.iter().cloned());
        known.sort_unstable_by_key(|(epoch, secret)| (*epoch, secret.0));
        known.dedup_by(|a, b| is_same(a, b));
        // A set holds nothing twice, so one that is as long as all together is all of them.
        Epochs { apart: longest != known.len(), known }
    }

    /// Returns the epoch that new objects are sealed under.
    pub fn newest(&self) -> Result<u32, CodecError> {
        if self.apart {
            return Err(CodecError::EpochsApart);
        }
        Ok(self.known.last().map_or(0, |(epoch, _)| *epoch))
    }

    /// Returns whether the secret of an epoch is known.
    pub fn knows(&self, epoch: u32) -> bool {
        epoch == 0 || self.known.iter().any(|(known, _)| *known == epoch)
    }

    /// Returns the secrets of an epoch: none, one, or two where rotations met.
    pub fn secrets(&self, epoch: u32) -> impl Iterator<Item = &Key> {
        self.known.iter().filter(move |(known, _)| *known == epoch).map(|(_, secret)| secret)
    }

    /// Returns whether all that a set holds is known.
    pub fn covers(&self, set: &EpochSet) -> bool {
        set.0.iter().all(|one| self.known.iter().any(|other| is_same(one, other)))
    }

    /// Returns all of them, to be granted to one more; `None` while there is only epoch 0.
    pub fn all(&self) -> Result<Option<EpochSet>, CodecError> {
        self.newest()?;
        Ok((!self.known.is_empty()).then(|| EpochSet(self.known.clone())))
    }

    /// Draws a further epoch, above all that are known.
    pub fn draw(&self) -> Result<EpochSet, CodecError> {
        let step = u32::from_le_bytes(random_bytes()?).checked_rem(STEP).unwrap_or(0);
        let highest = self.known.last().map_or(0, |(epoch, _)| *epoch);
        let epoch = highest.checked_add(step.saturating_add(1)).ok_or(CodecError::TooLong)?;
        let mut known = self.known.clone();
        known.push((epoch, Key::random()?));
        if known.len() > LIMITS.epochs {
            return Err(CodecError::TooLong);
        }
        Ok(EpochSet(known))
    }
}

fn is_same(a: &(u32, Key), b: &(u32, Key)) -> bool {
    a.0 == b.0 && constant_time_equal(&a.1.0, &b.1.0)
}

/// The sealing keys. A process may learn further ones while it runs, in all its threads at once.
pub(super) struct Ring(RwLock<Sealing>);

pub(super) struct Sealing {
    keys: Vec<(u32, Key)>,
    newest: Result<u32, CodecError>,
}

impl Ring {
    /// Returns the ring of who knows epoch 0 only.
    pub(super) fn new(first: Key) -> Ring {
        Ring(RwLock::new(Sealing { keys: vec![(0, first)], newest: Ok(0) }))
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, Sealing> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Sealing> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes further epochs; `sealing` gives an epoch's sealing key.
    pub(super) fn learn(&self, epochs: &Epochs, sealing: impl Fn(&Key) -> Key) {
        let later = epochs.known.iter().map(|(epoch, secret)| (*epoch, sealing(secret)));
        let later: Vec<(u32, Key)> = later.collect();
        let mut ring = self.write();
        ring.keys.truncate(1);
        ring.keys.extend(later);
        ring.newest = epochs.newest();
    }

    /// Seals nothing from now on.
    pub(super) fn close(&self, reason: CodecError) {
        self.write().newest = Err(reason);
    }
}

impl Sealing {
    /// Returns the epoch that new objects are sealed under, and its key.
    pub(super) fn newest(&self) -> Result<(u32, &Key), CodecError> {
        let epoch = self.newest?;
        let key = self.keys.iter().find(|(known, _)| *known == epoch);
        key.map(|(_, key)| (epoch, key)).ok_or(CodecError::UnknownEpoch(epoch))
    }

    /// Returns the keys of an epoch: more than one only where rotations met.
    pub(super) fn of(&self, epoch: u32) -> impl Iterator<Item = &Key> {
        self.keys.iter().filter(move |(known, _)| *known == epoch).map(|(_, key)| key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(list: &[(u32, u8)]) -> EpochSet {
        EpochSet(list.iter().map(|(epoch, byte)| (*epoch, Key([*byte; 32]))).collect())
    }

    fn gathered(sets: &[&[(u32, u8)]]) -> Epochs {
        Epochs::gather(sets.iter().map(|list| set(list)).collect(), &Epochs::default())
    }

    #[test]
    fn the_newest_epoch_is_that_of_the_grant_that_holds_all_others() {
        assert_eq!(gathered(&[]).newest(), Ok(0));
        assert_eq!(gathered(&[&[(3, 1)], &[(3, 1), (7, 2)]]).newest(), Ok(7));
        assert_eq!(gathered(&[&[(3, 1), (7, 2)], &[(3, 1), (7, 2)]]).newest(), Ok(7));
    }

    #[test]
    fn rotations_that_met_can_be_read_and_not_sealed_under_until_they_are_joined() {
        let apart = gathered(&[&[(3, 1), (7, 2)], &[(3, 1), (9, 3)]]);
        assert_eq!(apart.newest(), Err(CodecError::EpochsApart));
        assert!(apart.knows(7) && apart.knows(9) && !apart.knows(8));
        let joined = apart.draw().unwrap();
        assert!(joined.numbers().starts_with(&[3, 7, 9]) && joined.numbers().len() == 4);
        let all = vec![set(&[(3, 1), (7, 2)]), set(&[(3, 1), (9, 3)]), joined.clone()];
        assert_eq!(Epochs::gather(all, &Epochs::default()).newest(), Ok(joined.numbers()[3]));
        // The same number with another secret is another epoch.
        let twice = gathered(&[&[(3, 1)], &[(3, 2)]]);
        assert_eq!(twice.newest(), Err(CodecError::EpochsApart));
        assert_eq!(twice.secrets(3).count(), 2);
        let joined = twice.draw().unwrap();
        assert!(Epochs::gather(vec![joined], &twice).newest().is_ok());
    }

    /// Else a store that hides a grant, or one who was left out and writes one of his own, would have
    /// others seal under what he knows.
    #[test]
    fn what_was_known_is_not_forgotten_when_a_grant_is_gone() {
        let before = gathered(&[&[(3, 1)]]);
        let after = Epochs::gather(vec![set(&[(9, 9)])], &before);
        assert_eq!(after.newest(), Err(CodecError::EpochsApart));
        assert_eq!(Epochs::gather(Vec::new(), &before).newest(), Err(CodecError::EpochsApart));
    }
}
