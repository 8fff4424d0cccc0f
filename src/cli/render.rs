//! The screen: events and reports as lines, a progress line, or JSON lines.
//!
//! | | people | `--json` |
//! |---|---|---|
//! | results, lists | stdout | stdout: lines with a `message_type`, or one array |
//! | items (`-v`, `-vv`) | stdout | stdout, `verbose_status` |
//! | warnings, items that failed | stderr | stderr, `warning`, `error` |
//! | why the run failed | stderr | stderr, `exit_error` |
//! | progress | stderr, if it is a terminal | stdout, `status` |
//!
//! `-q` leaves out progress, notes and summaries, never warnings, failures or what was asked for.
//! Colour is used on a terminal only, and not if `NO_COLOR` is set. Lines are written whole under
//! a lock, so threads can't mix theirs. If stdout's reader goes away the error says so, and
//! [`Screen::reader_is_gone`] lets the program end quietly; stderr's going away is ignored, since
//! there is nobody left to tell, and the work matters more.

use std::collections::VecDeque;
use std::io::{BufWriter, ErrorKind, IsTerminal as _, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use serde_json::{Map, Value};

use super::args::GlobalOptions;
use super::json::{ExitError, ItemError, Message, VerboseStatus, Warning};
use super::name;
use super::progress::{Figures, Progress};
use crate::error::{Error, Result};
use crate::event::{Action, Counters, Event, Reporter};
use crate::machine::{Environment, SystemClock};

/// What was said on the command line about the screen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ScreenOptions {
    /// `--json`.
    pub json: bool,
    /// -1 is `-q`, 1 is `-v`, 2 is `-vv`.
    pub verbosity: i8,
}

impl ScreenOptions {
    /// Returns what these options say.
    pub fn of(options: &GlobalOptions) -> Self {
        let verbosity = match options.verbose {
            0 if options.quiet => -1,
            verbose => i8::try_from(verbose).unwrap_or(i8::MAX),
        };
        ScreenOptions { json: options.json, verbosity }
    }
}

/// So many warnings of a run are kept.
const KEPT_WARNINGS: usize = 20;

/// Where everything is shown.
pub struct Screen {
    options: ScreenOptions,
    /// Whether stderr is a terminal, so that a progress line makes sense.
    shows_progress: bool,
    colored: bool,
    /// Whether stdout shows bold letters.
    emphasizes: bool,
    /// What the items are being done for: the command's name.
    during: Mutex<&'static str>,
    out: Mutex<Box<dyn Write + Send>>,
    err: Mutex<Box<dyn Write + Send>>,
    /// Taken before `out` and `err`, so that the line is off while others are written.
    bar: Mutex<Option<ProgressBar>>,
    /// Whether each line to stdout is written at once, for somebody who watches.
    watched: bool,
    reader_gone: AtomicBool,
    /// The last warnings, to be remembered with the run.
    warnings: Mutex<VecDeque<String>>,
}

impl Screen {
    /// Returns the screen on this process's stdout and stderr.
    pub fn of_process(options: &ScreenOptions, environment: &Environment) -> Arc<Self> {
        let terminal = std::io::stderr().is_terminal();
        let out = BufWriter::new(std::io::stdout());
        let dumb = environment.get("TERM").is_some_and(|name| name == "dumb");
        Arc::new(Screen {
            shows_progress: terminal && !dumb,
            colored: terminal && !dumb && environment.get("NO_COLOR").is_none(),
            watched: std::io::stdout().is_terminal(),
            emphasizes: std::io::stdout().is_terminal()
                && !dumb
                && environment.get("NO_COLOR").is_none(),
            ..Screen::new(*options, Box::new(out), Box::new(std::io::stderr()))
        })
    }

    /// Returns a screen on two writers, without colour or a progress line.
    pub fn new(
        options: ScreenOptions,
        out: Box<dyn Write + Send>,
        err: Box<dyn Write + Send>,
    ) -> Self {
        Screen {
            options,
            shows_progress: false,
            colored: false,
            emphasizes: false,
            during: Mutex::new(""),
            out: Mutex::new(out),
            err: Mutex::new(err),
            bar: Mutex::new(None),
            watched: false,
            reader_gone: AtomicBool::new(false),
            warnings: Mutex::default(),
        }
    }

    /// Returns whether JSON was asked for.
    pub fn is_json(&self) -> bool {
        self.options.json
    }

    /// Returns whether notes and summaries are left out.
    pub fn is_quiet(&self) -> bool {
        self.options.verbosity < 0
    }

    /// Says which command is running, for the `during` of items that fail.
    pub fn begin(&self, command: &'static str) {
        *lock(&self.during) = command;
    }

    /// Prints text that was asked for, to stdout; a last newline is added if it has none.
    pub fn text(&self, text: &str) -> Result<()> {
        self.print(text.strip_suffix('\n').unwrap_or(text))
    }

    /// Prints the line that says what was done, to stdout; not with `-q`, and not with `--json`,
    /// where [`Screen::message`] says it. That nobody reads it is no failure of what was done.
    pub fn summary(&self, line: &str) -> Result<()> {
        if self.is_quiet() || self.is_json() { Ok(()) } else { self.print_at_once(line) }
    }

    /// Prints a remark for people to stderr; not with `-q` or `--json`.
    pub fn note(&self, line: &str) {
        if !self.is_quiet() && !self.is_json() {
            self.tell(line);
        }
    }

    /// Prints a JSON line with a `message_type`, to stdout. That nobody reads it is no failure.
    pub fn message(&self, message_type: &str, fields: &impl Serialize) -> Result<()> {
        self.print_at_once(&json_line(message_type, fields, None))
    }

    /// Prints one of many JSON lines with a `message_type`: a reader that went away ends the run.
    pub fn line(&self, message_type: &str, fields: &impl Serialize) -> Result<()> {
        self.print(&json_line(message_type, fields, None))
    }

    /// Prints a list as one JSON array, to stdout.
    pub fn array(&self, items: &impl Serialize) -> Result<()> {
        let text = serde_json::to_string(items)
            .map_err(|error| Error::failed("cannot write JSON").source(error))?;
        self.print(&text)
    }

    /// Returns the last warnings that were shown since this was asked before.
    pub fn take_warnings(&self) -> Vec<String> {
        lock(&self.warnings).drain(..).collect()
    }

    /// Shows something that is no failure.
    pub fn warning(&self, message: &str) {
        {
            let mut warnings = lock(&self.warnings);
            warnings.push_back(message.to_owned());
            if warnings.len() > KEPT_WARNINGS {
                warnings.pop_front();
            }
        }
        if self.is_json() {
            self.tell(&json_line("warning", &Warning { message }, None));
        } else {
            self.tell(&format!("stash: {} {message}", self.painted("33", "warning:")));
        }
    }

    /// Shows why the run failed, and what to do.
    pub fn failure(&self, error: &Error) {
        if self.is_json() {
            self.tell(&json_line("exit_error", &ExitError::from(error), None));
            return;
        }
        let text = one_line(&error.to_string());
        let text = format!("stash: {} {text}", self.painted("1;31", "error:"));
        match error.hint_text() {
            None => self.tell(&text),
            Some(hint) => {
                let hint = one_line(hint);
                self.tell(&format!("{text}\n{} {hint}", self.painted("1", "hint:")));
            }
        }
    }

    /// Returns whether stdout's reader went away: then nothing more need be said.
    pub fn reader_is_gone(&self) -> bool {
        self.reader_gone.load(Ordering::Relaxed)
    }

    /// Writes bytes to stdout as they are.
    pub fn bytes(&self, bytes: &[u8]) -> Result<()> {
        let mut out = lock(&self.out);
        out.write_all(bytes).map_err(|error| self.lost_reader(error))
    }

    /// Writes out what waits; the program does so once more at its end.
    pub fn flush(&self) -> Result<()> {
        lock(&self.out).flush().map_err(|error| self.lost_reader(error))
    }

    /// Shows how far a run is until the answer is dropped.
    pub fn progress(self: &Arc<Self>, counters: &Arc<Counters>) -> Progress {
        Progress::start(self, None, Arc::clone(counters), Arc::new(SystemClock))
    }

    /// Does the same on a terminal for something that is no run of its own, and says what it is.
    pub fn progress_of(self: &Arc<Self>, task: &'static str, counters: &Arc<Counters>) -> Progress {
        Progress::start(self, Some(task), Arc::clone(counters), Arc::new(SystemClock))
    }

    /// Returns how often to show progress; `None` is never.
    pub(super) fn progress_interval(&self) -> Option<Duration> {
        match (self.is_quiet(), self.is_json()) {
            (true, _) => None,
            (false, true) => Some(Duration::from_secs(1)),
            (false, false) => self.shows_progress.then_some(Duration::from_millis(200)),
        }
    }

    /// Shows how far a run is, now.
    pub(super) fn show_progress(&self, figures: &Figures) {
        if self.is_json() {
            // The run matters more than a reader of its progress.
            drop(self.message("status", &figures.status));
            return;
        }
        let mut bar = lock(&self.bar);
        let bar = bar.get_or_insert_with(progress_line);
        bar.set_message(figures.line());
    }

    /// Takes the progress line away.
    pub(super) fn end_progress(&self) {
        if let Some(bar) = lock(&self.bar).take() {
            bar.finish_and_clear();
        }
    }

    /// Writes a line to stdout.
    fn print(&self, line: &str) -> Result<()> {
        self.beside_progress(|| {
            let mut out = lock(&self.out);
            out.write_all(line.as_bytes())?;
            out.write_all(b"\n")?;
            if self.watched { out.flush() } else { Ok(()) }
        })
        .map_err(|error| self.lost_reader(error))
    }

    /// Writes a line to stdout for whoever follows the run; if nobody does, the run goes on.
    fn print_at_once(&self, line: &str) -> Result<()> {
        match self.print(line).and_then(|()| self.flush()) {
            Err(_) if self.reader_is_gone() => Ok(()),
            other => other,
        }
    }

    /// Writes a line to stderr.
    fn tell(&self, line: &str) {
        self.beside_progress(|| {
            // Keeps the order in which things were said, where both go to the same place.
            drop(lock(&self.out).flush());
            let mut err = lock(&self.err);
            // One call per line, and nobody left to tell if it fails.
            drop(err.write_all(format!("{line}\n").as_bytes()).and_then(|()| err.flush()));
        });
    }

    /// Does something while the progress line is off the terminal.
    fn beside_progress<T>(&self, write: impl FnOnce() -> T) -> T {
        match &*lock(&self.bar) {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    fn lost_reader(&self, error: std::io::Error) -> Error {
        if error.kind() == ErrorKind::BrokenPipe {
            self.reader_gone.store(true, Ordering::Relaxed);
        }
        Error::failed("cannot write to standard output").source(error)
    }

    /// Returns a text for stdout in bold, if that is a terminal that shows it.
    pub fn bold(&self, text: &str) -> String {
        let is_bold = self.emphasizes && !self.is_json() && !text.is_empty();
        if is_bold { format!("\u{1b}[1m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    fn painted(&self, color: &str, text: &str) -> String {
        if self.colored { format!("\u{1b}[{color}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    fn item(&self, path: &[u8], action: Action, size_bytes: u64) {
        let wanted = if action == Action::Unchanged { 2 } else { 1 };
        if self.options.verbosity < wanted {
            return;
        }
        let line = if self.is_json() {
            let fields = VerboseStatus { action, size: size_bytes };
            json_line("verbose_status", &fields, Some(path))
        } else {
            format!("{:<10} {}", word(action), name::shown(path))
        };
        // Events have no answer; a later write tells that the reader went away.
        drop(self.print(&line));
    }

    fn item_failed(&self, path: &[u8], error: &Error) {
        if self.is_json() {
            let message = Message { message: error.to_string() };
            let fields = ItemError { error: message, during: *lock(&self.during) };
            self.tell(&json_line("error", &fields, Some(path)));
            return;
        }
        let text = one_line(&error.to_string());
        let path = name::shown(path);
        let named = text.contains(&path);
        let item = if named { String::new() } else { format!("`{path}`: ") };
        self.tell(&format!("stash: {} {item}{text}", self.painted("1;31", "error:")));
    }
}

impl Reporter for Screen {
    fn event(&self, event: &Event<'_>) {
        match event {
            Event::Item { path, action, size_bytes } => self.item(path, *action, *size_bytes),
            Event::ItemFailed { path, error } => self.item_failed(path, error),
            Event::Warning { message } => self.warning(&one_line(message)),
        }
    }
}

fn word(action: Action) -> &'static str {
    match action {
        Action::New => "new",
        Action::Modified => "modified",
        Action::Unchanged => "unchanged",
        Action::Deleted => "deleted",
        Action::Skipped => "skipped",
    }
}

/// Returns an object as a line: its `message_type` first, then the fields, a name last.
fn json_line(message_type: &str, fields: &impl Serialize, item: Option<&[u8]>) -> String {
    #[derive(Serialize)]
    struct Line<'a, F> {
        message_type: &'a str,
        #[serde(flatten)]
        fields: &'a F,
        #[serde(flatten)]
        item: Map<String, Value>,
    }
    let mut names = Map::new();
    if let Some(path) = item {
        name::insert(&mut names, "item", path);
    }
    let line = Line { message_type, fields, item: names };
    serde_json::to_string(&line).expect("every shape is a struct or map with text keys")
}

/// Returns text with whatever could act on the terminal escaped; messages hold names of files.
fn one_line(text: &str) -> String {
    name::shown(text.as_bytes())
}

fn progress_line() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{wide_msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar
}

/// A panic elsewhere does not make a line of text unusable.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    /// Collects what is written.
    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl Paper {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    /// Shows the same things on a screen; returns what stdout and stderr got.
    fn shown(json: bool, verbosity: i8) -> (String, String) {
        let (out, err) = (Paper::default(), Paper::default());
        let options = ScreenOptions { json, verbosity };
        let screen = Screen::new(options, Box::new(out.clone()), Box::new(err.clone()));
        screen.begin("backup");
        let error = Error::failed("cannot read").source(std::io::Error::other("disk on fire"));
        for action in [Action::New, Action::Unchanged] {
            screen.event(&Event::Item { path: b"/a\xff", action, size_bytes: 3 });
        }
        screen.event(&Event::ItemFailed { path: b"/b\n", error: &error });
        screen.event(&Event::Warning { message: "odd\u{1b}[2J" });
        screen.note("by the way");
        screen.summary("all saved").unwrap();
        screen.failure(&Error::new(Kind::Busy, "held").object("x").hint("wait"));
        (out.text(), err.text())
    }

    #[test]
    fn people_see_lines_and_what_matters_even_when_quiet() {
        let (out, err) = shown(false, 0);
        assert_eq!(out, "all saved\n");
        let failed = "stash: error: `/b\\n`: cannot read: disk on fire\n\
                      stash: warning: odd\\u{1b}[2J\n";
        let held = "stash: error: held `x`\nhint: wait\n";
        assert_eq!(err, format!("{failed}by the way\n{held}"));

        let (out, err) = shown(false, -1);
        assert_eq!(out, "");
        assert_eq!(err, format!("{failed}{held}"));
    }

    #[test]
    fn items_are_shown_as_verbosely_as_asked_for() {
        let new = "new        /a\\xff\n";
        let unchanged = "unchanged  /a\\xff\n";
        assert_eq!(shown(false, 1).0, format!("{new}all saved\n"));
        assert_eq!(shown(false, 2).0, format!("{new}{unchanged}all saved\n"));
    }

    #[test]
    fn json_lines_say_the_same_with_exact_names() {
        let (out, err) = shown(true, 1);
        let lines = |text: &str| -> Vec<Value> {
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        };
        assert_eq!(
            lines(&out),
            [serde_json::json!({"message_type": "verbose_status", "action": "new", "size": 3,
                "item": "/a\u{fffd}", "item_b64": "L2H/"})]
        );
        assert_eq!(
            lines(&err),
            [
                serde_json::json!({"message_type": "error", "during": "backup", "item": "/b\n",
                    "error": {"message": "cannot read: disk on fire"}}),
                serde_json::json!({"message_type": "warning", "message": "odd\\u{1b}[2J"}),
                serde_json::json!({"message_type": "exit_error", "code": 11, "message": "held `x`",
                    "hint": "wait"}),
            ]
        );
    }

    #[test]
    fn a_reader_that_went_away_is_noticed() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let options = ScreenOptions::default();
        let screen = Screen::new(options, Box::new(Gone), Box::new(Gone));
        assert!(!screen.reader_is_gone());
        assert!(screen.text("x").is_err());
        assert!(screen.reader_is_gone());
        screen.warning("nobody hears this");
    }
}
