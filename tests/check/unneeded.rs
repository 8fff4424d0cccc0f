//! What a prune leaves that nobody needs.

use stash::engine::check::{CheckOptions, ReadData, check};
use stash::engine::prune::{Limit, PruneOptions};
use stash::event::Counters;

use crate::common_engine::noise;
use crate::common_engine::timed::{HOUR, World, assert_restores};

/// Beside what is needed stays what is not, and its base may go: a difference that nobody can read,
/// and nobody needs.
#[test]
fn a_difference_that_nobody_needs_may_lack_its_base() {
    let world = World::new();
    let machine = world.machine("one");
    for number in 0..6 {
        machine.put(&format!("changing-{number}"), noise(number, 110_000));
    }
    let first = machine.save();
    world.pass(HOUR);
    for number in 0..6 {
        let mut bytes = noise(number, 110_000);
        bytes[50_000] ^= 1;
        machine.put(&format!("changing-{number}"), bytes);
    }
    machine.put("kept", noise(100, 900_000));
    let second = machine.save();
    world.pass(HOUR);
    for number in 0..6 {
        std::fs::remove_file(machine.source.join(format!("changing-{number}"))).unwrap();
    }
    let third = machine.save();
    machine.forget(first);
    machine.forget(second);
    let options = PruneOptions { max_unused: Limit::Unlimited, ..PruneOptions::default() };
    for _ in 0..3 {
        world.pass(73 * HOUR);
        machine.prune_with(&options).unwrap();
    }
    assert!(!machine.repository.cache().units_with_bases().unwrap().is_empty(), "a difference");
    for read_data in [ReadData::None, ReadData::All] {
        let options = CheckOptions { read_data, threads: 2, ..CheckOptions::default() };
        let report = check(&machine.repository, &options, &Counters::default()).unwrap();
        assert!(report.is_clean(), "{:#?}", report.findings);
        let is_told = report.notes.iter().any(|it| it.text.contains("no snapshot needs"));
        assert!(is_told, "{:#?}", report.notes);
    }
    assert_restores(&world, &[third]);
}
