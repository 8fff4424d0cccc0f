//! The wizard's questions. Without a person each has the answer that is proposed.

use console::Term;
use dialoguer::theme::{ColorfulTheme, SimpleTheme, Theme};
use dialoguer::{Confirm, Input, MultiSelect, Select};

use crate::cli::ask;
use crate::error::{Error, Kind, Result};
use crate::machine::SecretText;

/// Whoever answers.
pub(super) struct Questions {
    /// The terminal; `None`: every answer is the one proposed.
    terminal: Option<Term>,
    theme: Box<dyn Theme>,
}

impl Questions {
    /// Returns who is asked. With `yes` that is nobody; else there must be a terminal.
    pub(super) fn new(yes: bool) -> Result<Questions> {
        let terminal = Term::stderr();
        let is_colored = console::colors_enabled_stderr();
        let theme: Box<dyn Theme> =
            if is_colored { Box::new(ColorfulTheme::default()) } else { Box::new(SimpleTheme) };
        if yes {
            return Ok(Questions { terminal: None, theme });
        }
        if !ask::has_terminal() || !terminal.is_term() {
            return Err(Error::usage("nobody can be asked here").hint(
                "`stash setup --yes` takes what it would propose, and each answer has an option: \
                 `stash setup --help`",
            ));
        }
        Ok(Questions { terminal: Some(terminal), theme })
    }

    /// Returns whether a person answers.
    pub(super) fn is_asked(&self) -> bool {
        self.terminal.is_some()
    }

    /// Asks for one of several; returns its place.
    pub(super) fn choose(
        &self,
        question: &str,
        items: &[String],
        proposed: usize,
    ) -> Result<usize> {
        self.ask(proposed, |terminal| {
            Select::with_theme(&*self.theme)
                .with_prompt(question)
                .items(items)
                .default(proposed)
                .interact_on_opt(terminal)
        })
    }

    /// Asks for some of several; returns their places.
    pub(super) fn choose_many(
        &self,
        question: &str,
        items: &[String],
        proposed: &[bool],
    ) -> Result<Vec<usize>> {
        let all = proposed.iter().enumerate().filter(|(_, is_chosen)| **is_chosen);
        self.ask(all.map(|(place, _)| place).collect(), |terminal| {
            MultiSelect::with_theme(&*self.theme)
                .with_prompt(format!("{question} (space chooses, Enter goes on)"))
                .items(items)
                .defaults(proposed)
                .interact_on_opt(terminal)
        })
    }

    /// Asks for yes or no.
    pub(super) fn agree(&self, question: &str, proposed: bool) -> Result<bool> {
        self.ask(proposed, |terminal| {
            Confirm::with_theme(&*self.theme)
                .with_prompt(question)
                .default(proposed)
                // Else the Enter after a `y` would answer the next question.
                .wait_for_newline(true)
                .interact_on_opt(terminal)
        })
    }

    /// Asks for a line of text.
    pub(super) fn text(&self, question: &str, proposed: &str) -> Result<String> {
        self.ask(proposed.to_owned(), |terminal| {
            let input = Input::<String>::with_theme(&*self.theme)
                .with_prompt(question)
                .allow_empty(proposed.is_empty());
            let input =
                if proposed.is_empty() { input } else { input.default(proposed.to_owned()) };
            input.interact_text_on(terminal).map(Some)
        })
    }

    /// Asks for a secret, which is not shown; `None` for an empty answer.
    pub(super) fn secret(&self, question: &str) -> Result<Option<SecretText>> {
        if self.terminal.is_none() {
            return Ok(None);
        }
        Ok(ask::secret(question)?.filter(|text| !text.as_bytes().is_empty()))
    }

    /// Says something between two questions.
    pub(super) fn say(&self, line: &str) {
        if let Some(terminal) = &self.terminal {
            // What can't be shown need not stop anything.
            let _shown = terminal.write_line(line);
        }
    }

    fn ask<T>(
        &self,
        proposed: T,
        ask: impl FnOnce(&Term) -> dialoguer::Result<Option<T>>,
    ) -> Result<T> {
        let Some(terminal) = &self.terminal else { return Ok(proposed) };
        match ask(terminal) {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err(stopped()),
            Err(dialoguer::Error::IO(error)) => {
                // A list hides it, and does not bring it back when it is left so.
                let _shown = terminal.show_cursor();
                if error.kind() == std::io::ErrorKind::Interrupted {
                    return Err(stopped());
                }
                Err(Error::failed("cannot read from the terminal").source(error))
            }
        }
    }
}

/// The end of a wizard that nobody wanted to go on with.
fn stopped() -> Error {
    Error::new(Kind::Interrupted, "stopped; nothing was set up").hint("`stash setup` begins again")
}
