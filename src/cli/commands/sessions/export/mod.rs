//! `stash sessions export`: a session as one file for people, or for programs.
//!
//! The session is read once. What is to be written goes to a file that nobody sees yet, and is looked
//! through for credentials on the way; only when the person has agreed it gets its name, or goes to
//! standard output. So nothing is written that was not looked through, even of a session that grows meanwhile.

mod clean;
mod html;
mod markdown;
mod words;

use std::io::{IsTerminal as _, Read as _, Write};
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use clean::Cleaner;
use words::Style;

use super::list::first;
use super::pick::{find, pick, short_length};
use super::show::remarks;
use crate::agents::session::{Gaps, Part, Session, Sink, Turn};
use crate::cli::args::{ExportFormat, SessionsExportArguments};
use crate::cli::ask;
use crate::cli::commands::backup::temporary_folder;
use crate::cli::commands::open::Run;
use crate::cli::figures::{counted, size};
use crate::cli::json::{SessionExport, SessionFinding, SessionLine, TurnLine};
use crate::cli::name;
use crate::error::{Error, Kind, Result};
use crate::machine::sessions::{SessionReader, SessionRow, SessionsWish};
use crate::machine::{self, Bare, NewFile, Spool};
use crate::time::Clock as _;

/// Standard output, where a file is asked for.
const STDOUT: &str = "-";
/// Copied to standard output in pieces of so many bytes.
const PIECE: usize = 64 << 10;

pub(super) fn run(run: &Run, arguments: &SessionsExportArguments) -> Result<u8> {
    run.stop_on_signals()?;
    let at = arguments.at.as_deref().map(|text| run.moment(text, Bare::End)).transpose()?;
    let wish = SessionsWish {
        agents: arguments.agent.iter().cloned().collect(),
        hosts: arguments.host.iter().cloned().collect(),
        at,
    };
    let sessions = find(run, &wish)?;
    let row = pick(&sessions.rows, &arguments.id)?;
    let format = format_of(run, arguments);
    let length = short_length(&sessions.rows);
    let target = target(run, arguments, first(&row.id, length), &row.agent, format)?;
    let folder = temporary_folder(run)?;
    let out = match &target {
        Some(path) => Out::File(NewFile::create(path)?),
        None => Out::Stdout(Spool::create(&folder)?),
    };
    let reader = SessionReader {
        catalog: &sessions.agents.catalog,
        repository: sessions.repository.as_deref(),
        temporary_folder: &folder,
    };
    let mut export = Export::new(run, arguments, format, out);
    export.begin(row)?;
    reader.read(row, &mut export)?;
    let (out, told) = export.finish()?;
    decide(run, arguments, &told, target.is_some())?;
    match out {
        Out::File(file) => file.finish()?,
        Out::Stdout(spool) => copy_out(run, spool)?,
    }
    say_done(run, &told, target.as_deref(), format)
}

fn format_of(run: &Run, arguments: &SessionsExportArguments) -> ExportFormat {
    let ending = arguments.output.as_deref().and_then(|file| file.extension()?.to_str());
    let usual = if run.screen.is_json() { ExportFormat::Json } else { ExportFormat::Md };
    arguments.format.unwrap_or(match ending {
        Some("html" | "htm") => ExportFormat::Html,
        Some("json") => ExportFormat::Json,
        Some("md" | "markdown") => ExportFormat::Md,
        _ => usual,
    })
}

/// Returns the file to write; `None` is standard output.
fn target(
    run: &Run,
    arguments: &SessionsExportArguments,
    id: &str,
    agent: &str,
    format: ExportFormat,
) -> Result<Option<PathBuf>> {
    let path = match &arguments.output {
        Some(file) if file.as_os_str() == STDOUT => return Ok(None),
        Some(file) => machine::absolute_path(file)?,
        None if !std::io::stdout().is_terminal() => return Ok(None),
        None => {
            let moment = machine::show_moment(run.clock.now(), &run.zone);
            let date = moment.split(' ').next().unwrap_or_default();
            let name =
                format!("stash-{}-{}-{date}.{}", plain(agent), plain(id), format.extension());
            machine::absolute_path(Path::new(&name))?
        }
    };
    if machine::exists(&path) {
        return Err(Error::failed("something of this name is there already:")
            .object(shown(&path))
            .hint("`--output FILE` names another"));
    }
    Ok(Some(path))
}

/// Returns a word that is safe in a file's name: ids come from files of agents.
fn plain(word: &str) -> String {
    let letter = |it: char| if it.is_ascii_alphanumeric() || it == '_' { it } else { '-' };
    word.chars().take(64).map(letter).collect()
}

fn shown(path: &Path) -> String {
    name::shown(path.as_os_str().as_bytes())
}

/// Where an export waits.
enum Out {
    File(NewFile),
    Stdout(Spool),
}

impl Out {
    fn write(&mut self, text: &str) -> Result<()> {
        let result = match self {
            Out::File(file) => file.write_all(text.as_bytes()),
            Out::Stdout(spool) => spool.write_all(text.as_bytes()),
        };
        result.map_err(|error| Error::failed("cannot write the export").source(error))
    }
}

/// What was written.
struct Told {
    cleaner: Cleaner,
    turns: u64,
    bytes: u64,
    gaps: Gaps,
}

/// Writes turns as they come.
struct Export<'a> {
    run: &'a Run,
    format: ExportFormat,
    style: Style,
    out: Out,
    told: Told,
    failure: Option<Error>,
}

impl<'a> Export<'a> {
    fn new(
        run: &'a Run,
        arguments: &SessionsExportArguments,
        format: ExportFormat,
        out: Out,
    ) -> Self {
        let cleaner = Cleaner { removes: arguments.without_findings, ..Cleaner::default() };
        let style = Style { agent: String::new(), is_full: arguments.full, zone: run.zone.clone() };
        let told = Told { cleaner, turns: 0, bytes: 0, gaps: Gaps::default() };
        Export { run, format, style, out, told, failure: None }
    }

    fn write(&mut self, text: &str) -> Result<()> {
        self.told.bytes = self.told.bytes.saturating_add(text.len() as u64);
        self.out.write(text)
    }

    fn begin(&mut self, row: &SessionRow) -> Result<()> {
        let row = self.told.cleaner.row(row)?;
        self.style.agent.clone_from(&row.agent);
        let text = match self.format {
            ExportFormat::Md => markdown::head(&row, &self.style),
            ExportFormat::Html => html::head(&row, &self.style),
            ExportFormat::Json => {
                format!("{{\"session\":{},\n\"turns\":[", json(&SessionLine::new(&row))?)
            }
        };
        self.write(&text)
    }

    fn add(&mut self, mut turn: Turn) -> Result<()> {
        self.run.counters.go_on()?;
        self.told.turns = self.told.turns.saturating_add(1);
        let number = self.told.turns;
        // Programs get all of it.
        if !self.style.is_full && self.format != ExportFormat::Json {
            turn.parts.retain(|part| !matches!(part, Part::Reasoning(_)));
        }
        // Looked through as a whole: where a tool's words are cut, half a key could be left.
        self.told.cleaner.turn(number, &mut turn)?;
        let text = match self.format {
            ExportFormat::Md => markdown::turn(number, &turn, &self.style),
            ExportFormat::Html => html::turn(number, &turn, &self.style),
            ExportFormat::Json => {
                let comma = if number > 1 { "," } else { "" };
                format!("{comma}\n{}", json(&TurnLine::new(number, &turn))?)
            }
        };
        self.write(&text)
    }

    fn finish(mut self) -> Result<(Out, Told)> {
        if let Some(error) = self.failure.take() {
            return Err(error);
        }
        let text = match self.format {
            ExportFormat::Md => String::new(),
            ExportFormat::Html => html::tail(),
            ExportFormat::Json => "\n]}\n".to_owned(),
        };
        self.write(&text)?;
        Ok((self.out, self.told))
    }
}

fn json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::failed("cannot write JSON").source(error))
}

impl Sink for Export<'_> {
    fn begin(&mut self, _id: &str) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn turn(&mut self, turn: Turn) -> ControlFlow<()> {
        match self.add(turn) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                self.failure = Some(error);
                ControlFlow::Break(())
            }
        }
    }

    fn end(&mut self, session: Session) -> ControlFlow<()> {
        self.told.gaps = session.gaps;
        ControlFlow::Continue(())
    }
}

/// Shows what looks like a credential, never the value, and lets the person decide.
fn decide(
    run: &Run,
    arguments: &SessionsExportArguments,
    told: &Told,
    is_file: bool,
) -> Result<()> {
    let Cleaner { findings, count, removes } = &told.cleaner;
    let done = if *removes { "replaced what looks like" } else { "this looks like" };
    for finding in findings {
        let kind = finding.kind;
        if run.screen.is_json() && is_file {
            let line = SessionFinding { turn: finding.turn, kind: kind.id };
            run.screen.line("session_finding", &line)?;
            continue;
        }
        let place = match finding.turn {
            0 => "above the turns".to_owned(),
            turn => format!("turn {turn}"),
        };
        run.screen.warning(&format!("{place}: {done} a credential: {}", kind.name));
    }
    if *count == 0 || *removes || arguments.yes {
        return Ok(());
    }
    let question = format!("{} in it. Write it all the same?", counted(*count, "finding"));
    match ask::consent(&question)? {
        Some(true) => Ok(()),
        Some(false) => Err(Error::new(Kind::Interrupted, "not confirmed; nothing was written")),
        None => Err(Error::usage(
            "something looks like a credential, and nobody can be asked; nothing was written",
        )
        .hint("`--without-findings` replaces each by `[removed: KIND]`, `--yes` leaves them in")),
    }
}

fn copy_out(run: &Run, spool: Spool) -> Result<()> {
    let mut file = spool.finish()?;
    let mut piece = vec![0; PIECE];
    loop {
        let count = file
            .read(&mut piece)
            .map_err(|error| Error::failed("cannot read the temporary file again").source(error))?;
        if count == 0 {
            return run.screen.flush();
        }
        run.screen.bytes(piece.get(..count).unwrap_or_default())?;
    }
}

fn say_done(run: &Run, told: &Told, file: Option<&Path>, format: ExportFormat) -> Result<u8> {
    if let Some(path) = file {
        if run.screen.is_json() {
            let line = SessionExport {
                file: shown(path),
                format: format.extension(),
                turns: told.turns,
                bytes: told.bytes,
                findings: told.cleaner.count,
                removed: told.cleaner.removes,
            };
            run.screen.message("session_export_summary", &line)?;
        } else {
            run.screen.summary(&format!(
                "wrote {} into `{}` ({})",
                counted(told.turns, "turn"),
                shown(path),
                size(told.bytes)
            ))?;
        }
    }
    if told.turns == 0 {
        run.screen.note("the session has no turns");
    }
    for remark in remarks(&told.gaps) {
        run.screen.note(&remark);
    }
    Ok(0)
}
