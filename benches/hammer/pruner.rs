//! A machine that prunes.

use std::time::Duration;

use crate::Scene;
use crate::machine::Fate;

/// Prunes until the hammering is over.
pub fn run(scene: &Scene, number: u64, seed: u64) {
    let machine = scene.machine(&format!("pruner{number}"));
    machine.join();
    let mut random = fastrand::Rng::with_seed(seed * 1000 + 500 + number);
    let mut fate = Fate::new(25, 5, scene.long_stops);
    while scene.goes_on() {
        let unused = ["0", "5%", "30%"][random.usize(..3)];
        let words = ["prune", "--max-unused", unused, "--accept", "half", "--json"];
        let outcome = machine.run_own(&words, fate.draw(&mut random, "prune"));
        fate.learn("prune", &outcome);
        scene.tally.lock().unwrap().count_prune(&outcome);
        std::thread::sleep(Duration::from_millis(random.u64(200..2500)));
    }
}
