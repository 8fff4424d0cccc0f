//! Questions to the person at the terminal.
//!
//! They go to the terminal itself, not to stdin or stderr, so `pg_dump | stash backup --stdin`
//! can ask. If neither stdin nor stderr is a terminal nobody is there to answer (a timer, a
//! script), and nothing is asked, even where the process could reach some terminal.

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, IsTerminal as _, Write as _};

use crate::error::{Error, Result};
use crate::machine::SecretText;

/// Returns whether somebody is there to answer.
pub fn has_terminal() -> bool {
    (std::io::stdin().is_terminal() || std::io::stderr().is_terminal())
        && OpenOptions::new().read(true).write(true).open("/dev/tty").is_ok()
}

/// Asks for a secret, without echo; `None` if nobody is there.
pub fn secret(question: &str) -> Result<Option<SecretText>> {
    if !has_terminal() {
        return Ok(None);
    }
    let text = rpassword::prompt_password(question)
        .map_err(|error| Error::failed("cannot read from the terminal").source(error))?;
    Ok(Some(SecretText::new(text.into_bytes())))
}

/// Asks for a yes or no, where only `y` and `yes` mean yes; `None` if nobody is there.
pub fn consent(question: &str) -> Result<Option<bool>> {
    if !has_terminal() {
        return Ok(None);
    }
    let failed = |error| Error::failed("cannot read from the terminal").source(error);
    let mut terminal =
        OpenOptions::new().read(true).write(true).open("/dev/tty").map_err(failed)?;
    write!(terminal, "{question} [y/N] ").map_err(failed)?;
    let mut answer = String::new();
    BufReader::new(terminal).read_line(&mut answer).map_err(failed)?;
    Ok(Some(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")))
}

/// Asks for a word to be typed, so that nobody agrees by the way; `None` if nobody is there.
pub fn typed(question: &str, word: &str) -> Result<Option<bool>> {
    if !has_terminal() {
        return Ok(None);
    }
    let failed = |error| Error::failed("cannot read from the terminal").source(error);
    let mut terminal =
        OpenOptions::new().read(true).write(true).open("/dev/tty").map_err(failed)?;
    write!(terminal, "{question} Type `{word}` to go on: ").map_err(failed)?;
    let mut answer = String::new();
    BufReader::new(terminal).read_line(&mut answer).map_err(failed)?;
    Ok(Some(answer.trim() == word))
}

/// Shows a secret on the terminal itself, below a line that says what it is; false if nobody is
/// there, and then nothing was shown.
pub fn show_secret(title: &str, text: &str) -> Result<bool> {
    if !has_terminal() {
        return Ok(false);
    }
    let mut terminal = OpenOptions::new()
        .write(true)
        .open("/dev/tty")
        .map_err(|error| Error::failed("cannot write to the terminal").source(error))?;
    write!(terminal, "\n{title}\n\n")
        .and_then(|()| writeln!(terminal, "{}", in_lines(text).as_str()))
        .map_err(|error| Error::failed("cannot write to the terminal").source(error))?;
    Ok(true)
}

/// Sets words in lines of six, so that they are easy to copy by hand.
fn in_lines(words: &str) -> zeroize::Zeroizing<String> {
    let mut text = zeroize::Zeroizing::new(String::with_capacity(words.len().saturating_mul(2)));
    for (place, word) in words.split_whitespace().enumerate() {
        text.push_str(if place % 6 == 0 { "    " } else { " " });
        text.push_str(word);
        if place % 6 == 5 {
            text.push('\n');
        }
    }
    text
}
