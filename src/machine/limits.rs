//! What the system lets this process have.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// macOS says that there is no limit, and refuses to go beyond this.
const MACOS_OPEN_FILES: Option<u64> = if cfg!(target_os = "macos") { Some(10_240) } else { None };

/// Allows as many open files as the system lets us: walks, packs and targets hold many, and the
/// usual soft limit is for programs that use `select`. A refusal changes nothing.
pub fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let current = raised(limit.current, limit.maximum, MACOS_OPEN_FILES);
    if current != limit.current {
        let raised = Rlimit { current, maximum: limit.maximum };
        // The engine lives with fewer, only slower.
        let _refused = setrlimit(Resource::Nofile, raised).is_err();
    }
}

/// Returns what to raise a limit to; no number is no limit.
fn raised(current: Option<u64>, maximum: Option<u64>, system: Option<u64>) -> Option<u64> {
    let wanted = match (maximum, system) {
        (Some(maximum), Some(system)) => Some(maximum.min(system)),
        (one, other) => one.or(other),
    };
    current.zip(wanted).map_or(current.and(wanted), |(current, wanted)| Some(current.max(wanted)))
}

/// Returns how many threads to work with: one for each processor, two at least, so that reading
/// and computing overlap.
pub fn worker_count() -> usize {
    std::thread::available_parallelism().map_or(2, std::num::NonZero::get).max(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_raised_as_far_as_the_system_goes_and_never_lowered() {
        for (current, maximum, system, expected) in [
            (Some(256), None, Some(10_240), Some(10_240)),
            (Some(256), Some(4096), Some(10_240), Some(4096)),
            (Some(20_000), None, Some(10_240), Some(20_000)),
            (None, None, Some(10_240), None),
            (Some(1024), Some(1 << 20), None, Some(1 << 20)),
            (Some(1024), None, None, None),
            (Some(1024), Some(1024), None, Some(1024)),
        ] {
            assert_eq!(raised(current, maximum, system), expected, "{current:?} {maximum:?}");
        }
    }
}
