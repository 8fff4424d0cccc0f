//! The protocol of several writers and pruners (`format-spec/8-order.md`), explored exhaustively.
//!
//! Modelled: commit, condemn, repack, sweep, checkpoint, heal, forget and unforget, of two or three
//! machines at a time; decisions taken at a listing and acted on later, in any order with what
//! others do; machines that crash, that are stopped between the last look and the PUT, that never
//! hear of their own PUT, that cannot read a condemnation, whose clock or whose store's clock
//! jumps; clones that share a lane; units in records, differences from bases, copies; folders taken
//! over from a parent unread; a synced folder in which objects arrive in any order; a stranger whose
//! marks nobody honours who deletes. What a client
//! knows follows from the records that it has read. Time is ages in ticks and has no end.
//!
//! Not modelled: bytes, keys, damage; partials (they save work), pins and tags; segments that are
//! merged piecemeal; exclusive repositories (rule 29); a store that loses or hides objects; more
//! blobs, packs and actors than a scene has.
//!
//! Three promises are judged in every state: each acknowledged live snapshot is shown and whole, or
//! can be told as late from the log; nothing is late whose writer was never stopped; a condemnation
//! by itself costs no work. In states where all is done, everybody dies, and one pruner must be
//! able to sweep all that nobody needs.
//!
//! `STASH_MODEL=wide` explores more mishaps, for minutes.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a model of small numbers; a test stops where things are not as they should be"
)]

#[path = "protocol_model/explore.rs"]
mod explore;
#[path = "protocol_model/fingerprint.rs"]
mod fingerprint;
#[path = "protocol_model/judge.rs"]
mod judge;
#[path = "protocol_model/pruner.rs"]
mod pruner;
#[path = "protocol_model/reader.rs"]
mod reader;
#[path = "protocol_model/rules.rs"]
mod rules;
#[path = "protocol_model/scene.rs"]
mod scene;
#[path = "protocol_model/scenes.rs"]
mod scenes;
#[path = "protocol_model/scenes_log.rs"]
mod scenes_log;
#[path = "protocol_model/script.rs"]
mod script;
#[path = "protocol_model/steps.rs"]
mod steps;
#[path = "protocol_model/world.rs"]
mod world;
#[path = "protocol_model/writer.rs"]
mod writer;

use explore::{Exploration, explore};
use rules::Rules;
use scene::Scene;

fn explored(scene: &Scene, rules: &Rules) -> Exploration {
    explore(&scene.start(rules), rules, &scene.plan)
}

#[test]
fn under_all_rules_nothing_is_lost_late_without_reason_or_kept_for_ever() {
    let wide = std::env::var("STASH_MODEL").is_ok_and(|bounds| bounds == "wide");
    let mut states = 0;
    for scene in scenes::all(wide) {
        let found = explored(&scene, &Rules::ALL);
        println!("{}: {} states, {} steps deep", scene.name, found.states, found.depth);
        states += found.states;
        if let Some(wrong) = found.counterexample {
            panic!("{}: {}", scene.name, wrong.text());
        }
    }
    println!("{states} states");
}

/// Each rule, and the scene in which its absence shows soonest.
const SHOWN_BY: &[(&str, &str)] = &[
    ("packs_first", "commits"),
    ("snapshot_complete", "commits"),
    ("coverage_by_hash", "clone stopped"),
    ("view_is_read", "revived blindly"),
    ("view_has_no_gaps", "revived blindly"),
    ("view_of_both_places", "delta cycle"),
    ("log_g_read_whole", "log swept"),
    ("replaced_is_silent", "parent swept"),
    ("rely_on_standing", "revived"),
    ("late_places_distrusted", "own pack swept"),
    ("parent_unforgotten", "late covered"),
    ("parent_in_time", "own pack swept"),
    ("sync_again", "revived"),
    ("own_packs_checked", "own pack swept"),
    ("put_bounded", "revived"),
    ("adopted_checked", "sweeper stopped"),
    ("condemn_unneeded", "delta cycle"),
    ("condemn_old", "repacks"),
    ("unforget_early", "forgotten, covered"),
    ("unforget_checked", "forgotten, covered"),
    ("record_covered", "parent swept"),
    ("segment_replaced", "two checkpoints"),
    ("grace", "revived"),
    ("grace_by_store", "revived early"),
    ("grace_by_own", "revived early"),
    ("decide_again", "revived"),
    ("bases_first", "delta cycle"),
    ("view_of_listing", "clone stopped"),
    ("log_sweep_covered", "log swept"),
    ("sweep_first", "clone stopped"),
    ("replicas_wait", "synced"),
    ("lateness", "clone stopped"),
    ("heal_by_standing", "healed"),
    ("heal_in_time", "healer stopped"),
    ("names_by_hash", "clones covered"),
    ("segments_complete", "clones covered"),
    ("segments_first", "two checkpoints"),
    ("late_checkpoint_void", "checkpoint stopped"),
    ("open_stay", "sweeper stopped"),
    ("young_forgets_stay", "forgotten, covered"),
    ("names_stay", "condemnation stopped"),
    ("marks_repeated", "forgotten, covered"),
    ("late_unnamed", "late covered"),
    ("strangers_unheeded", "stranger"),
];

/// Rules without which nothing was found. They stay on the page for other reasons.
const NOT_MISSED: &[&str] = &["new_lane"];

#[test]
fn without_any_one_rule_something_goes_wrong() {
    for (name, number) in Rules::NAMES {
        let Some((_, scene)) = SHOWN_BY.iter().find(|(rule, _)| rule == name) else {
            assert!(NOT_MISSED.contains(name), "no scene shows what rule {name} is good for");
            continue;
        };
        let found = explored(&scenes::named(scene), &Rules::without(name));
        let Some(wrong) = found.counterexample else {
            panic!("{scene}: nothing goes wrong without rule {number} ({name})");
        };
        let steps = wrong.steps.len();
        println!("{number} ({name}), {scene}: {} after {steps} steps", wrong.wrong);
    }
}

/// Lanes are told apart by hashes, so a lane that forks harms nobody: beginning a new one keeps the
/// log tidy. If this fails, rule 5 has become necessary.
#[test]
fn a_writer_that_goes_on_in_a_forked_lane_harms_nobody() {
    for scene in ["commits", "clone stopped", "clones covered", "late covered"] {
        let found = explored(&scenes::named(scene), &Rules::without("new_lane"));
        if let Some(wrong) = found.counterexample {
            panic!("{scene}: {}", wrong.text());
        }
    }
}
