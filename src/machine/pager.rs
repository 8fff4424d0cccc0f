//! A person's pager, for what is longer than a screen.

use std::io::{self, Write};
use std::process::{Child, ChildStdin, Command, Stdio};

use super::environment::Environment;
use super::input::SECRET_VARIABLES;

/// What is asked for if nobody says which: it ends by itself where all fits on the screen, and lets
/// colours through.
const USUAL: [&str; 2] = ["less", "-FRX"];

/// A pager that waits to be written to.
pub struct Pager {
    child: Child,
    input: Option<ChildStdin>,
}

impl Pager {
    /// Starts the pager that `STASH_PAGER` or `PAGER` names, else `less`. `None` if there is none, or if it
    /// is `cat` or empty: then what is to be said goes to the terminal itself.
    pub fn start(environment: &Environment) -> Option<Pager> {
        let named = ["STASH_PAGER", "PAGER"].iter().find_map(|name| environment.get(name));
        let mut command = match &named {
            Some(text) if text.is_empty() || text == "cat" => return None,
            Some(text) => {
                let mut shell = Command::new("/bin/sh");
                shell.arg("-c").arg(text);
                shell
            }
            None => {
                let [program, options] = USUAL;
                let mut less = Command::new(program);
                less.arg(options);
                less
            }
        };
        for name in SECRET_VARIABLES {
            command.env_remove(name);
        }
        let mut child = command.stdin(Stdio::piped()).spawn().ok()?;
        let input = child.stdin.take();
        Some(Pager { child, input })
    }

    /// Ends the text, and waits until the person has seen enough.
    pub fn finish(mut self) {
        drop(self.input.take());
        // How it ended is the person's.
        let _ended = self.child.wait();
    }
}

impl Write for Pager {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.input {
            Some(input) => input.write(bytes),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.input.as_mut().map_or(Ok(()), Write::flush)
    }
}
