//! The bounded worlds that are explored.
//!
//! Blobs are 0 to 3. Objects 0 to 15 are there from the start; actor `n` makes 16 (n + 1) and on,
//! and owns the lanes from 8 n.

use super::scene::{BEGIN, CALM, Scene, X, Y, backup, full, garbage, prunes};
use super::scenes_log as log;
use super::script::Act;
use super::world::{Budget, Form, Kind, Mishaps, NONE, Object, Operation, one};
use super::writer::{Backup, Job};

/// Two machines save the same for the first time; they crash, and replies get lost.
fn commits() -> Scene {
    Scene::new("commits")
        .writer(vec![backup(X | Y, 0), backup(X, X)])
        .writer(vec![Job::Backup(Backup { all: X | Y, deltas: &[(1, 0)], ..Backup::default() })])
        .mishaps(Mishaps { crash: 1, lost_reply: 1, ..CALM })
}

/// Garbage is pruned just when a machine saves the same again.
fn revived() -> Scene {
    garbage("revived").writer(vec![backup(X, 0)]).actor(vec![], prunes(1, 2)).mishaps(Mishaps {
        crash: 1,
        freeze: 1,
        ..CALM
    })
}

/// The same, and somebody cannot read a condemnation.
fn revived_blindly() -> Scene {
    garbage("revived blindly")
        .past(
            BEGIN - 1,
            Object {
                units: [Form::Absent, Form::Full, Form::Absent, Form::Absent],
                ..Object::new(3, Kind::Pack)
            },
        )
        .writer(vec![backup(X, 0)])
        .actor(vec![], prunes(2, 1))
        .mishaps(Mishaps { unreadable: 1, ..CALM })
}

/// The same, and a clock jumps.
fn revived_early() -> Scene {
    garbage("revived early")
        .writer(vec![backup(X, 0)])
        .actor(vec![], prunes(1, 1))
        .mishaps(Mishaps { clock_jump: 1, ..CALM })
}

/// The same with two writers.
fn revived_twice() -> Scene {
    garbage("revived twice")
        .writer(vec![backup(X, 0), backup(X | Y, X)])
        .writer(vec![Job::Backup(Backup { all: X | Y, inline: true, ..Backup::default() })])
        .actor(vec![], prunes(1, 1))
}

/// Two pruners, and a writer who brings back what both condemn.
fn two_pruners(wide: bool) -> Scene {
    Scene::new("two pruners")
        .pack(0, &full(X))
        .pack(1, &full(X))
        .snapshot(2, 0, (1, NONE), X, one(0) | one(1))
        .writer(vec![backup(X, X)])
        .actor(vec![], prunes(1, 1))
        .actor(vec![], prunes(1, 1))
        .mishaps(Mishaps { crash: u8::from(wide), freeze: u8::from(wide), ..CALM })
}

/// X is stored as a difference from Y, and Y as one from X: reverts do that.
fn delta_cycle() -> Scene {
    Scene::new("delta cycle")
        .pack(0, &full(X))
        .pack(1, &[(0, Form::Delta(1))])
        .pack(2, &full(Y))
        .pack(3, &[(1, Form::Delta(0))])
        .snapshot(4, 0, (1, NONE), X | Y, one(0) | one(1) | one(2) | one(3))
        .actor(vec![], prunes(1, 1))
        .actor(vec![], prunes(1, 1))
        .mishaps(Mishaps { crash: 1, ..CALM })
}

/// One repacks, another condemns; a writer stores a difference from what moves.
fn repacks(wide: bool) -> Scene {
    Scene::new("repacks")
        .pack(0, &full(X | Y))
        .snapshot(1, 0, (1, NONE), X, one(0))
        .writer(vec![Job::Backup(Backup { all: X | Y, deltas: &[(1, 0)], ..Backup::default() })])
        .actor(vec![], Budget { repack: 1, sweep: 1, ..Budget::default() })
        .actor(vec![], prunes(1, u8::from(wide)))
        .mishaps(Mishaps { crash: 1, ..CALM })
}

/// A machine and its clone go on with one lane.
fn clones(wide: bool) -> Scene {
    garbage("clones")
        .writer(vec![backup(X, 0)])
        .writer(vec![backup(X | Y, 0)])
        .clone_of(0)
        .actor(vec![], prunes(1, 1))
        .mishaps(Mishaps { freeze: u8::from(wide), lost_reply: 1, ..CALM })
}

/// A clone is stopped while the other branch of the lane goes on, and is swept for.
fn clone_stopped() -> Scene {
    garbage("clone stopped")
        .writer(vec![backup(X, 0)])
        .writer(vec![backup(Y, 0)])
        .clone_of(0)
        .actor(vec![], prunes(1, 1))
        .mishaps(Mishaps { freeze: 1, ..CALM })
        .history(&[Act::Begin(0, Operation::Job), Act::Whole(2, Operation::Condemn)])
}

/// Two sites of a synced folder: objects arrive in any order, late or never.
fn synced(wide: bool) -> Scene {
    let mut scene = garbage("synced")
        .writer(vec![backup(X, 0), backup(Y, 0)])
        .actor(vec![], prunes(1, 1))
        .mishaps(Mishaps { freeze: u8::from(wide), ..CALM });
    scene.world.replicated = true;
    scene.world.actors[1].site = 1;
    scene
}

/// An append-only repository: a stranger asks to forget one snapshot and to keep another.
fn stranger(wide: bool) -> Scene {
    Scene::new("stranger")
        .pack(0, &full(X))
        .snapshot(1, 0, (1, NONE), X, one(0))
        .pack(2, &full(Y))
        .snapshot(3, 16, (1, NONE), Y, one(2))
        .writer(if wide { vec![backup(X, X)] } else { vec![] })
        .writer(vec![Job::Forget(1), Job::Unforget(3)])
        .stranger()
        .actor(vec![Job::Forget(3)], Budget { checkpoint: 1, ..prunes(1, 1) })
        .mishaps(Mishaps { crash: u8::from(wide), ..CALM })
}

/// All scenes. `wide`: with more mishaps, for runs that may take long.
pub(crate) fn all(wide: bool) -> Vec<Scene> {
    vec![
        commits(),
        revived(),
        revived_blindly(),
        revived_early(),
        revived_twice(),
        two_pruners(wide),
        delta_cycle(),
        repacks(wide),
        clones(wide),
        clone_stopped(),
        log::clones_covered(),
        log::checkpoint_swept(),
        log::two_checkpoints(wide),
        log::condemnation_stopped(),
        log::checkpoint_stopped(),
        log::log_swept(wide),
        log::own_pack_swept(wide),
        log::sweeper_stopped(),
        log::healed(wide),
        log::healer_stopped(),
        log::late_covered(wide),
        log::vouched(),
        log::forgotten(),
        log::forgotten_covered(),
        log::parent_swept(),
        synced(wide),
        stranger(wide),
    ]
}

/// Returns a scene by its name.
pub(crate) fn named(name: &str) -> Scene {
    let found = all(false).into_iter().find(|scene| scene.name == name);
    found.unwrap_or_else(|| panic!("no scene is called {name}"))
}
