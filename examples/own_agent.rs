//! A backup tool for an agent of one's own. The agent is data: `own_agent.toml`.
//!
//! ```sh
//! export SCRIBE_BACKUP=/backups/scribe SCRIBE_PASSPHRASE="correct horse battery staple"
//! cargo run --example own_agent -- backup
//! cargo run --example own_agent -- list
//! cargo run --example own_agent -- restore 3f9a0c21
//! ```
#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "it is a program of its own")]

use std::path::Path;

use stash::{AgentDefinition, Error, Result, Stash, StashOptions};

/// Does what the words say; returns what there is to be said.
pub fn run(words: &[&str], home: &Path, folder: &Path, passphrase: &str) -> Result<String> {
    let agent = AgentDefinition::from_toml(include_str!("own_agent.toml"))?;
    let stash = Stash::open_or_create(folder, passphrase, StashOptions::default())?;
    match words {
        ["backup"] => {
            let saved = stash.back_up(&agent, home)?;
            Ok(format!("{} files in snapshot {}", saved.files, saved.id.short()))
        }
        ["list"] => {
            let line = |it: &stash::StashSnapshot| {
                let (id, time) = (it.id.short(), it.time.to_rfc3339());
                format!("{id}  {time}  {}  {} files\n", it.host, it.files)
            };
            Ok(stash.snapshots()?.iter().map(line).collect())
        }
        ["restore", wanted] => {
            let all = stash.snapshots()?;
            let found = all.iter().find(|it| it.id.to_string().starts_with(wanted));
            let found = found.ok_or_else(|| Error::failed("no such snapshot").object(*wanted))?;
            let restored = stash.restore(&found.id, &agent, home)?;
            Ok(format!("{} files written", restored.written))
        }
        _ => Err(Error::usage("say `backup`, `list` or `restore ID`")),
    }
}

fn main() -> Result<()> {
    let variable = |name: &str| {
        std::env::var(name).map_err(|_| Error::usage("this variable is not set:").object(name))
    };
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (home, folder) = (variable("HOME")?, variable("SCRIBE_BACKUP")?);
    let said = run(&words, home.as_ref(), folder.as_ref(), &variable("SCRIBE_PASSPHRASE")?)?;
    println!("{said}");
    Ok(())
}
