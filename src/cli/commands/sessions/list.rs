//! `stash sessions list`.

use super::pick::{Filter, find, short_length, wish};
use crate::cli::args::SessionsListArguments;
use crate::cli::commands::open::Run;
use crate::cli::figures::{count, counted, size};
use crate::cli::json::SessionLine;
use crate::cli::name;
use crate::cli::table::{Align, Table};
use crate::error::Result;
use crate::machine;
use crate::machine::sessions::{SessionRow, SessionState};
use crate::time::Clock as _;

/// A title takes at most so many columns.
const TITLE: usize = 48;
/// A project's folder takes at most so many.
const PROJECT: usize = 28;

pub(in crate::cli::commands) fn run(run: &Run, arguments: &SessionsListArguments) -> Result<u8> {
    let filter = Filter::new(run, &arguments.filter)?;
    let mut sessions = find(run, &wish(&arguments.filter))?;
    let now = run.clock.now();
    let length = short_length(&sessions.rows);
    sessions.rows.retain(|row| {
        filter.takes(row)
            && (arguments.all || row.entry.parent.is_empty())
            && (!arguments.expiring || row.local.as_ref().is_some_and(|file| file.is_expiring(now)))
    });
    if let Some(last) = arguments.last {
        sessions.rows.truncate(last);
    }
    if run.screen.is_json() {
        let lines: Vec<SessionLine> = sessions.rows.iter().map(SessionLine::new).collect();
        return run.screen.array(&lines).map(|()| 0);
    }
    if sessions.rows.is_empty() {
        run.screen.note("no session; `stash agents list` shows where they are looked for");
        return Ok(0);
    }
    run.screen.text(table(run, &sessions.rows, length).to_string().trim_end())?;
    let unsaved = sessions.rows.iter().filter(|row| row.state == SessionState::Unsaved).count();
    if unsaved > 0 {
        let sessions = counted(unsaved as u64, "session");
        run.screen.note(&format!("{sessions} not saved yet; `stash backup` saves all"));
    }
    Ok(0)
}

fn table(run: &Run, rows: &[SessionRow], length: usize) -> Table {
    let mut table = Table::new([
        ("id", Align::Left),
        ("agent", Align::Left),
        ("title", Align::Left),
        ("project", Align::Left),
        ("last", Align::Left),
        ("turns", Align::Right),
        ("size", Align::Right),
        ("", Align::Left),
    ]);
    let home = run.environment.home().map(|home| home.display().to_string());
    for row in rows {
        let last = row.entry.last.map(crate::time::Timestamp);
        table.row([
            name::shown(first(&row.id, length).as_bytes()),
            name::shown(row.agent.as_bytes()),
            cut(&name::shown(row.entry.title.as_bytes()), TITLE),
            cut_front(&short_path(&row.entry.project, home.as_deref()), PROJECT),
            last.map(|last| machine::show_minute(last, &run.zone)).unwrap_or_default(),
            count(row.entry.turns),
            size(row.entry.bytes),
            state(row, &run.identity.host),
        ]);
    }
    table
}

/// What is worth saying of where it is.
pub(super) fn state(row: &SessionRow, host: &str) -> String {
    let word = match row.state {
        SessionState::Saved | SessionState::Elsewhere => "",
        other => other.name(),
    };
    let machine = if row.host == host { "" } else { &row.host };
    let machine = name::shown(machine.as_bytes());
    [word, &machine].into_iter().filter(|it| !it.is_empty()).collect::<Vec<_>>().join(", ")
}

/// Returns the first letters of an id.
pub(super) fn first(id: &str, length: usize) -> &str {
    id.char_indices().nth(length).and_then(|(end, _)| id.get(..end)).unwrap_or(id)
}

/// Cuts a text to so many letters.
pub(super) fn cut(text: &str, letters: usize) -> String {
    if text.chars().count() <= letters {
        return text.to_owned();
    }
    text.chars().take(letters.saturating_sub(1)).chain(['…']).collect()
}

/// Cuts a path's beginning.
fn cut_front(text: &str, letters: usize) -> String {
    let count = text.chars().count();
    if count <= letters {
        return text.to_owned();
    }
    let rest = count.saturating_sub(letters.saturating_sub(1));
    ['…'].into_iter().chain(text.chars().skip(rest)).collect()
}

pub(super) fn short_path(path: &str, home: Option<&str>) -> String {
    let rest = home.and_then(|home| path.strip_prefix(home));
    let shown = match rest {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("~{rest}"),
        _ => path.to_owned(),
    };
    name::shown(shown.as_bytes())
}
