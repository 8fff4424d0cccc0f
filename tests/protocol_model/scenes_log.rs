//! Scenes about the log itself: checkpoints, marks, heals, and log records that are swept.

use super::scene::{CALM, Scene, X, Y, backup, full, garbage, prunes};
use super::script::Act;
use super::world::{Budget, Mishaps, NONE, Operation, one};
use super::writer::{Backup, Job};

/// Clones again, and a checkpoint.
pub(crate) fn clones_covered() -> Scene {
    Scene::new("clones covered")
        .pack(0, &full(X))
        .snapshot(1, 0, (1, NONE), X, one(0))
        .writer(vec![backup(X | Y, X)])
        .writer(vec![Job::Backup(Backup { all: X | Y, inline: true, ..Backup::default() })])
        .clone_of(0)
        .actor(vec![], Budget { checkpoint: 1, condemn: 1, sweep: 1, ..Budget::default() })
        .history(&[
            Act::Begin(0, Operation::Job),
            Act::Begin(1, Operation::Job),
            Act::Publish(0),
            Act::Begin(2, Operation::Checkpoint),
        ])
}

/// A checkpoint replaces everything so far, and what it replaces is swept.
pub(crate) fn checkpoint_swept() -> Scene {
    garbage("checkpoint swept")
        .snapshot(3, 0, (3, 2), X, 0)
        .writer(vec![backup(X | Y, X)])
        .actor(vec![], Budget { checkpoint: 1, condemn: 1, sweep: 1, ..Budget::default() })
        .history(&[
            Act::Whole(1, Operation::Checkpoint),
            Act::Whole(1, Operation::Condemn),
            Act::Wait(2),
        ])
}

/// Two checkpoints at once, of two pruners who do not know of each other.
pub(crate) fn two_checkpoints(wide: bool) -> Scene {
    Scene::new("two checkpoints")
        .pack(0, &full(X))
        .snapshot(1, 0, (1, NONE), X, one(0))
        .writer(vec![backup(X, X)])
        .actor(vec![], Budget { checkpoint: 2, condemn: 1, sweep: 1, ..Budget::default() })
        .actor(vec![], Budget { checkpoint: 1, ..prunes(1, u8::from(wide)) })
        .mishaps(Mishaps { freeze: u8::from(wide), ..CALM })
        .history(&[
            Act::Whole(1, Operation::Checkpoint),
            Act::Wait(3),
            Act::Begin(2, Operation::Checkpoint),
            Act::Whole(0, Operation::Job),
            Act::Whole(1, Operation::Checkpoint),
            Act::Publish(2),
            Act::Wait(2),
        ])
}

/// A checkpoint was stopped until what it wrote was swept.
pub(crate) fn checkpoint_stopped() -> Scene {
    Scene::new("checkpoint stopped")
        .pack(0, &full(X))
        .snapshot(1, 0, (1, NONE), X, one(0))
        .actor(vec![], Budget { checkpoint: 1, condemn: 1, sweep: 1, ..Budget::default() })
        .actor(vec![], prunes(1, 1))
        .mishaps(Mishaps { freeze: 1, ..CALM })
        .history(&[
            Act::Begin(0, Operation::Checkpoint),
            Act::Wait(3),
            Act::Whole(1, Operation::Condemn),
            Act::Wait(3),
            Act::Whole(1, Operation::Sweep(32)),
        ])
}

/// A writer is stopped; what it relies on is swept, and the condemnation and the sweep are then
/// covered and swept too.
pub(crate) fn log_swept(wide: bool) -> Scene {
    garbage("log swept")
        .writer(vec![backup(X, 0)])
        .actor(
            vec![],
            Budget { checkpoint: 1, condemn: 2, sweep: 2, heal: u8::from(wide), repack: 0 },
        )
        .writer(vec![backup(X | Y, X)])
        .mishaps(Mishaps { freeze: 1, ..CALM })
        .history(&[
            Act::Begin(0, Operation::Job),
            Act::Whole(1, Operation::Condemn),
            Act::Wait(3),
            Act::Whole(1, Operation::Sweep(32)),
            Act::Whole(1, Operation::Checkpoint),
            Act::Wait(3),
            Act::Whole(1, Operation::Condemn),
            Act::Wait(3),
        ])
}

/// A writer is stopped with a pack of its own, which is swept, and so is the log of that.
pub(crate) fn own_pack_swept(wide: bool) -> Scene {
    Scene::new("own pack swept")
        .writer(vec![backup(X, 0), backup(X | Y, X)])
        .actor(
            vec![],
            Budget { checkpoint: 1, condemn: 2, sweep: 2, heal: u8::from(wide), repack: 0 },
        )
        .writer(vec![backup(X | Y, X)])
        .mishaps(Mishaps { freeze: 1, ..CALM })
        .history(&[
            Act::Begin(0, Operation::Job),
            Act::Wait(3),
            Act::Whole(1, Operation::Condemn),
            Act::Wait(3),
            Act::Whole(1, Operation::Sweep(32)),
            Act::Whole(1, Operation::Checkpoint),
            Act::Wait(3),
            Act::Whole(1, Operation::Condemn),
            Act::Wait(3),
        ])
}

/// A sweeper is stopped before it deletes; its sweep is covered, and perhaps swept. What it is
/// about to delete is in the journal of a machine that crashed.
pub(crate) fn sweeper_stopped() -> Scene {
    Scene::new("sweeper stopped")
        .writer(vec![backup(X, 0)])
        .actor(vec![], Budget { checkpoint: 1, condemn: 2, sweep: 1, ..Budget::default() })
        .actor(vec![], prunes(0, 1))
        .history(&[
            Act::Begin(0, Operation::Job),
            Act::Crash(0),
            Act::Wait(3),
            Act::Whole(1, Operation::Condemn),
            Act::Wait(3),
            Act::Begin(2, Operation::Sweep(32)),
            Act::Publish(2),
            Act::Whole(1, Operation::Checkpoint),
            Act::Wait(3),
            Act::Whole(1, Operation::Condemn),
            Act::Wait(3),
        ])
}

/// A late record is looked after, while what it needs is about to go.
pub(crate) fn healed(wide: bool) -> Scene {
    garbage("healed")
        .writer(vec![backup(X, 0), backup(X | Y, X)])
        .actor(vec![], prunes(1, 1))
        .actor(vec![], Budget { heal: 1, ..prunes(u8::from(wide), u8::from(wide)) })
        .mishaps(Mishaps { freeze: 2, ..CALM })
        .history(&[
            Act::Begin(0, Operation::Job),
            Act::Whole(1, Operation::Condemn),
            Act::Wait(3),
            Act::Begin(1, Operation::Sweep(32)),
            Act::Publish(1),
        ])
}

/// Who heals was stopped, and the copies are swept before the verdict.
pub(crate) fn healer_stopped() -> Scene {
    garbage("healer stopped")
        .writer(vec![backup(X, 0)])
        .actor(vec![], prunes(2, 2))
        .actor(vec![], Budget { heal: 1, ..Budget::default() })
        .mishaps(Mishaps { freeze: 1, ..CALM })
        .history(&[
            Act::Begin(0, Operation::Job),
            Act::Whole(1, Operation::Condemn),
            Act::Wait(3),
            Act::Begin(1, Operation::Sweep(32)),
            Act::Publish(1),
            Act::PublishLate(0),
            Act::Begin(2, Operation::Heal(16)),
            Act::Delete(1),
            Act::Wait(2),
        ])
}

/// A late record, and a checkpoint after it.
pub(crate) fn late_covered(wide: bool) -> Scene {
    garbage("late covered")
        .writer(vec![backup(X, 0), backup(X, X)])
        .actor(vec![], Budget { checkpoint: 1, heal: 1, ..prunes(2, 1 + u8::from(wide)) })
        .history(&[
            Act::Begin(0, Operation::Job),
            Act::Whole(1, Operation::Condemn),
            Act::Wait(3),
            Act::Whole(1, Operation::Sweep(32)),
            Act::PublishLate(0),
        ])
}

/// A view names a checkpoint that is replaced and swept.
pub(crate) fn vouched() -> Scene {
    garbage("vouched")
        .writer(vec![backup(X, X)])
        .actor(vec![], Budget { checkpoint: 3, condemn: 2, sweep: 2, ..Budget::default() })
        .history(&[
            Act::Whole(1, Operation::Condemn),
            Act::Whole(1, Operation::Checkpoint),
            Act::Wait(3),
            Act::Begin(0, Operation::Job),
            Act::Whole(1, Operation::Checkpoint),
            Act::Whole(1, Operation::Sweep(32)),
            Act::Publish(0),
        ])
}

/// A snapshot is forgotten, and comes back, while it is pruned.
pub(crate) fn forgotten() -> Scene {
    Scene::new("forgotten")
        .pack(0, &full(X | Y))
        .snapshot(1, 0, (1, NONE), X | Y, one(0))
        .writer(vec![backup(X, X)])
        .writer(vec![Job::Forget(1), Job::Unforget(1)])
        .actor(vec![], prunes(1, 1))
}

/// The same, and the marks are covered by a checkpoint.
pub(crate) fn forgotten_covered() -> Scene {
    Scene::new("forgotten, covered")
        .pack(0, &full(X))
        .snapshot(1, 0, (1, NONE), X, one(0))
        .writer(vec![Job::Forget(1), Job::Unforget(1)])
        .writer(vec![Job::Forget(1)])
        .actor(vec![], Budget { checkpoint: 1, condemn: 1, sweep: 1, ..Budget::default() })
        .history(&[Act::Begin(0, Operation::Job), Act::Publish(0)])
}

/// The parent was forgotten and swept long ago, but for a folder that lies in a pack with others.
pub(crate) fn parent_swept() -> Scene {
    Scene::new("parent swept")
        .pack(0, &full(X))
        .pack(1, &full(Y))
        .snapshot(2, 0, (1, NONE), X | Y, one(0) | one(1))
        .forget(3, 0, (2, 2), 2, 0)
        .snapshot(4, 0, (3, 3), Y, 0)
        .writer(vec![backup(X | Y, X | Y)])
        .actor(vec![], Budget { checkpoint: 1, condemn: 2, sweep: 2, ..Budget::default() })
        .history(&[
            Act::Whole(1, Operation::Condemn),
            Act::Wait(3),
            Act::Whole(1, Operation::Sweep(32)),
            Act::Whole(1, Operation::Checkpoint),
            Act::Wait(3),
            Act::Whole(1, Operation::Condemn),
            Act::Wait(3),
        ])
}

/// Two checkpoints at once, and a condemnation that was stopped until much of the log was swept.
pub(crate) fn condemnation_stopped() -> Scene {
    Scene::new("condemnation stopped")
        .pack(0, &full(X))
        .snapshot(1, 0, (1, NONE), X, one(0))
        .writer(vec![backup(X, X)])
        .actor(vec![], Budget { checkpoint: 2, ..prunes(1, 1) })
        .actor(vec![], Budget { checkpoint: 1, ..prunes(1, 1) })
        .history(&[
            Act::Whole(1, Operation::Checkpoint),
            Act::Wait(3),
            Act::Begin(2, Operation::Checkpoint),
            Act::Whole(0, Operation::Job),
            Act::Whole(1, Operation::Checkpoint),
            Act::Publish(2),
            Act::Wait(2),
            Act::Begin(2, Operation::Condemn),
            Act::Wait(1),
            Act::Begin(1, Operation::Condemn),
            Act::Publish(2),
            Act::Wait(3),
            Act::Begin(2, Operation::Sweep(50)),
            Act::PublishLate(1),
        ])
}
