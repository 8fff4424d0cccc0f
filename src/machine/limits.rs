//! What the system lets this process have.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Allows as many open files as the system lets us: walks, packs and targets hold many, and the
/// usual soft limit is for programs that use `select`. A refusal changes nothing.
pub fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        // The engine lives with fewer, only slower.
        let _refused = setrlimit(Resource::Nofile, raised).is_err();
    }
}

/// Returns how many threads to work with: one for each processor, two at least, so that reading
/// and computing overlap.
pub fn worker_count() -> usize {
    std::thread::available_parallelism().map_or(2, std::num::NonZero::get).max(2)
}
