//! How a scene begins: steps that are taken before the exploration, under the same rules.

use super::rules::Rules;
use super::steps::{Event, Plan, successors};
use super::world::{Operation, World};

/// A part of a scene's history.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    Wait(u8),
    Begin(usize, Operation),
    Publish(usize),
    /// The same, after a stop.
    PublishLate(usize),
    /// Deletes all that the actor's sweep names.
    Delete(usize),
    Crash(usize),
    /// Begins, publishes and deletes.
    Whole(usize, Operation),
}

/// Plays a history. What some rules do not allow is passed over: that is what they change.
pub(crate) fn play(world: &World, rules: &Rules, plan: &Plan, acts: &[Act]) -> World {
    let mut world = world.clone();
    for act in acts {
        match *act {
            Act::Wait(ticks) => world.now += ticks,
            Act::Begin(actor, operation) => {
                step(&mut world, rules, plan, actor, &|event| event == Event::Begin(operation));
            }
            Act::Publish(actor) => {
                step(&mut world, rules, plan, actor, &|event| matches!(event, Event::Publish(_)));
            }
            Act::PublishLate(actor) => {
                world.mishaps.freeze += 1;
                let is_late = |event| matches!(event, Event::PublishLate(_));
                if !step(&mut world, rules, plan, actor, &is_late) {
                    world.mishaps.freeze -= 1;
                }
            }
            Act::Crash(actor) => {
                world.mishaps.crash += 1;
                step(&mut world, rules, plan, actor, &|event| event == Event::Crash);
            }
            Act::Delete(actor) => delete(&mut world, rules, plan, actor),
            Act::Whole(actor, operation) => {
                let begins = |event| event == Event::Begin(operation);
                if step(&mut world, rules, plan, actor, &begins) {
                    let publishes = |event| matches!(event, Event::Publish(_));
                    step(&mut world, rules, plan, actor, &publishes);
                    delete(&mut world, rules, plan, actor);
                }
            }
        }
    }
    world
}

fn delete(world: &mut World, rules: &Rules, plan: &Plan, actor: usize) {
    while step(world, rules, plan, actor, &|event| matches!(event, Event::Delete(_))) {}
}

/// Takes a step of an actor, if it is possible.
fn step(
    world: &mut World,
    rules: &Rules,
    plan: &Plan,
    actor: usize,
    is_wanted: &dyn Fn(Event) -> bool,
) -> bool {
    let mut nexts = successors(world, rules, plan).into_iter();
    let found =
        nexts.find(|next| usize::from(next.step.actor) == actor && is_wanted(next.step.event));
    let is_found = found.is_some();
    if let Some(next) = found {
        *world = next.world;
    }
    is_found
}
