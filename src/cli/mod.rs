//! Words on a command line, words on a screen.
//!
//! `args` says what can be typed, `commands` what is done then (one short function per command:
//! resolve, call, hand over), `render` shows what happens. stdout carries what one would pipe,
//! everything else goes to stderr, questions go to the terminal and only there.

pub mod args;
pub mod ask;
pub mod commands;
pub mod figures;
pub mod json;
pub mod name;
mod progress;
pub mod render;
pub mod table;

use std::ffi::OsString;
use std::io::ErrorKind;
use std::sync::Arc;

use crate::machine::Environment;
use args::Unparsed;
use render::{Screen, ScreenOptions};

/// Runs the program with these words, its own name first; returns its exit code.
pub fn run(words: &[OsString]) -> u8 {
    let environment = Environment::of_process();
    let (screen, result) = match args::parse(words, &environment) {
        Ok(arguments) => {
            let screen = Screen::of_process(&ScreenOptions::of(&arguments.global), &environment);
            let result = commands::run(arguments, &screen, environment);
            (screen, result)
        }
        Err(unparsed) => {
            let json = words.iter().take_while(|word| *word != "--").any(|word| word == "--json");
            let options = ScreenOptions { json, verbosity: 0 };
            let screen = Screen::of_process(&options, &environment);
            let result = match unparsed {
                Unparsed::Text(text) => screen.text(&text).map(|()| 0),
                Unparsed::Wrong(error) => Err(error),
            };
            (screen, result)
        }
    };
    end(&screen, result)
}

/// Shows a failure and returns the exit code. A reader that went away (`stash ls | head`) has
/// what it wanted: that is no failure, and nobody is left to tell.
fn end(screen: &Arc<Screen>, result: crate::error::Result<u8>) -> u8 {
    match result.and_then(|code| screen.flush().map(|()| code)) {
        Ok(code) => code,
        Err(error) if screen.reader_is_gone() && error.is_io(ErrorKind::BrokenPipe) => 0,
        Err(error) => {
            screen.failure(&error);
            error.kind().exit_code()
        }
    }
}
