//! `stash show`: the turns of a session.

use std::collections::VecDeque;
use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::ops::ControlFlow;

use super::pick::{find, pick};
use super::turns::{Style, heading, turn_text};
use crate::agents::session::{Session, Sink, Turn};
use crate::cli::args::SessionsShowArguments;
use crate::cli::commands::backup::temporary_folder;
use crate::cli::commands::open::Run;
use crate::cli::json::{SessionLine, TurnLine};
use crate::error::{Error, Result};
use crate::machine::Bare;
use crate::machine::pager::Pager;
use crate::machine::sessions::{SessionReader, SessionRow, SessionsWish};

pub(in crate::cli::commands) fn run(run: &Run, arguments: &SessionsShowArguments) -> Result<u8> {
    let at = arguments.at.as_deref().map(|text| run.moment(text, Bare::End)).transpose()?;
    let wish = SessionsWish {
        agents: arguments.agent.iter().cloned().collect(),
        hosts: arguments.host.iter().cloned().collect(),
        at,
    };
    let sessions = find(run, &wish)?;
    let row = pick(&sessions.rows, &arguments.id)?;
    let folder = temporary_folder(run)?;
    let reader = SessionReader {
        catalog: &sessions.agents.catalog,
        repository: sessions.repository.as_deref(),
        temporary_folder: &folder,
    };
    let mut shown = Shown::new(run, row, arguments);
    shown.begin()?;
    reader.read(row, &mut shown)?;
    shown.finish()
}

/// Prints turns as they come; of the last ones only so many are held.
struct Shown<'a> {
    run: &'a Run,
    row: &'a SessionRow,
    arguments: &'a SessionsShowArguments,
    style: Style,
    pager: Option<Pager>,
    /// Turns met so far.
    met: u64,
    /// The last turns, where only these are wanted.
    tail: VecDeque<(u64, Turn)>,
    gaps: Option<crate::agents::session::Gaps>,
    failure: Option<Error>,
}

impl<'a> Shown<'a> {
    fn new(run: &'a Run, row: &'a SessionRow, arguments: &'a SessionsShowArguments) -> Self {
        let is_terminal = std::io::stdout().is_terminal() && !run.screen.is_json();
        Shown {
            run,
            row,
            arguments,
            style: Style {
                is_colored: is_terminal && console::colors_enabled(),
                is_full: arguments.full,
                zone: run.zone.clone(),
            },
            pager: is_terminal.then(|| Pager::start(&run.environment)).flatten(),
            met: 0,
            tail: VecDeque::new(),
            gaps: None,
            failure: None,
        }
    }

    fn begin(&mut self) -> Result<()> {
        if self.run.screen.is_json() {
            return self.run.screen.line("session", &SessionLine::new(self.row));
        }
        let text = heading(self.row, &self.style);
        self.print(&text)
    }

    fn print(&mut self, text: &str) -> Result<()> {
        match &mut self.pager {
            Some(pager) => match pager.write_all(text.as_bytes()) {
                // The person has left the pager.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                    Err(Error::failed("the pager was left").source(error))
                }
                Err(error) => Err(Error::failed("cannot write to the pager").source(error)),
                Ok(()) => Ok(()),
            },
            None => self.run.screen.bytes(text.as_bytes()),
        }
    }

    fn show(&mut self, number: u64, turn: &Turn) -> Result<()> {
        if self.run.screen.is_json() {
            return self.run.screen.line("turn", &TurnLine::new(number, turn));
        }
        let text = turn_text(turn, &self.row.agent, &self.style);
        self.print(&text)
    }

    fn finish(mut self) -> Result<u8> {
        for (number, turn) in std::mem::take(&mut self.tail) {
            if self.failure.is_some() {
                break;
            }
            self.failure = self.show(number, &turn).err();
        }
        let was_left = self.pager.is_some()
            && self.failure.as_ref().is_some_and(|error| error.is_io(ErrorKind::BrokenPipe));
        if let Some(pager) = self.pager.take() {
            pager.finish();
        }
        match self.failure {
            Some(error) if !was_left => return Err(error),
            _ => {}
        }
        if self.met == 0 {
            self.run.screen.note("the session has no turns");
        }
        if let Some(gaps) = self.gaps {
            for remark in remarks(&gaps) {
                self.run.screen.note(&remark);
            }
        }
        Ok(0)
    }
}

impl Sink for Shown<'_> {
    fn begin(&mut self, _id: &str) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn turn(&mut self, turn: Turn) -> ControlFlow<()> {
        if self.arguments.head.is_some_and(|head| self.met >= head as u64) {
            return ControlFlow::Break(());
        }
        self.met = self.met.saturating_add(1);
        if let Some(tail) = self.arguments.tail {
            self.tail.push_back((self.met, turn));
            if self.tail.len() > tail {
                self.tail.pop_front();
            }
            return ControlFlow::Continue(());
        }
        match self.show(self.met, &turn) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                self.failure = Some(error);
                ControlFlow::Break(())
            }
        }
    }

    fn end(&mut self, session: Session) -> ControlFlow<()> {
        self.gaps = Some(session.gaps);
        ControlFlow::Continue(())
    }
}

/// Says what could not be read.
pub(super) fn remarks(gaps: &crate::agents::session::Gaps) -> Vec<String> {
    let mut remarks = Vec::new();
    if gaps.is_torn {
        remarks.push("its last record is not whole yet".to_owned());
    }
    if gaps.bad_records > 0 {
        remarks.push(format!("{} records could not be read", gaps.bad_records));
    }
    if gaps.unknown_records > 0 {
        remarks.push(format!("{} records are of a type that is not known", gaps.unknown_records));
    }
    if gaps.cut_values > 0 {
        remarks.push(format!("{} very long values are cut", gaps.cut_values));
    }
    if gaps.is_other_schema {
        remarks.push("its database is of another version: some of it may be missing".to_owned());
    }
    remarks
}
