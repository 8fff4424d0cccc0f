//! `stash help` and `stash version`.

use std::sync::Arc;

use crate::cli::args::{self, HelpArguments};
use crate::cli::json;
use crate::cli::render::Screen;
use crate::error::{Error, Result};

pub(super) fn run(arguments: &HelpArguments, screen: &Arc<Screen>) -> Result<u8> {
    let topic: Vec<&str> = arguments.topic.iter().map(String::as_str).collect();
    let text = match topic.as_slice() {
        ["exit-codes"] => json::exit_codes(),
        ["json"] => json::help(),
        _ => args::help_of(&arguments.topic).ok_or_else(|| {
            Error::usage("no help on")
                .object(topic.join(" "))
                .hint("`stash help` lists the commands; the topics are `exit-codes` and `json`")
        })?,
    };
    screen.text(&text)?;
    Ok(0)
}

pub(super) fn version(screen: &Arc<Screen>) -> Result<u8> {
    let version = env!("CARGO_PKG_VERSION");
    if screen.is_json() {
        screen.message("version", &serde_json::json!({ "version": version }))?;
    } else {
        screen.text(&format!("stash {version}"))?;
    }
    Ok(0)
}
