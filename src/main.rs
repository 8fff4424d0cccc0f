//! The binary `stash`: the command line of the library of that name.

use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().collect();
    ExitCode::from(stash::cli::run(&words))
}
