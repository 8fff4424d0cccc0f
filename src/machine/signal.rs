//! Ctrl-C and its kin: the first asks the operation to stop, the second ends the process.
//!
//! A thread of its own waits for SIGINT and SIGTERM. SIGHUP is left alone:
//! whoever runs us under `nohup` has had it ignored. Ending at once is safe at any moment:
//! whatever is durable is used by the next run.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::error::{Error, Kind, Result};
use crate::event::Counters;

/// Sets `counters.stop` on the first signal; ends the process with 130 on the second.
pub fn stop_on_signals(counters: &Arc<Counters>) -> Result<()> {
    let failed = |error: std::io::Error| Error::failed("cannot wait for signals").source(error);
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(failed)?;
    let counters = Arc::clone(counters);
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            for _ in signals.forever() {
                if counters.stop.swap(true, Ordering::Relaxed) {
                    signal_hook::low_level::exit(i32::from(Kind::Interrupted.exit_code()));
                }
            }
        })
        .map_err(failed)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_signal_asks_to_stop() {
        let counters = Arc::new(Counters::default());
        stop_on_signals(&counters).unwrap();
        signal_hook::low_level::raise(SIGTERM).unwrap();
        for _ in 0..200 {
            if counters.stop.load(Ordering::Relaxed) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("the signal did not arrive");
    }
}
