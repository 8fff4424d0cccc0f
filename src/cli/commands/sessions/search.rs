//! `stash search`: text in sessions.

use std::cell::Cell;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::list::{cut, first};
use super::pick::{Filter, Sessions, find, short_length};
use crate::cli::args::SessionsSearchArguments;
use crate::cli::commands::backup::temporary_folder;
use crate::cli::commands::open::Run;
use crate::cli::figures::counted;
use crate::cli::json::{FoundSessionLine, role_name};
use crate::cli::name;
use crate::error::{Error, Kind, Result};
use crate::event::Counters;
use crate::machine;
use crate::machine::sessions::index::{
    FoundSession, Hit, Query, SearchIndex, SearchWish, UpdateProgress, UpdateReport, index_path,
    stream,
};
use crate::machine::sessions::{SessionReader, SessionRow, SessionsWish};
use crate::time::Timestamp;

/// A title takes at most so many columns.
const TITLE: usize = 60;

pub(in crate::cli::commands) fn run(run: &Run, arguments: &SessionsSearchArguments) -> Result<u8> {
    let settings = &run.config()?.search;
    let query = if arguments.regex {
        Query::regex(&arguments.words)?
    } else {
        Query::words(&arguments.words, settings.finds_parts())?
    };
    let filter = Filter::new(run, &arguments.filter)?;
    run.stop_on_signals()?;
    // The index is compared with all that there is, so nothing is left out here.
    let sessions = find(run, &SessionsWish::default())?;
    let agents = &arguments.filter.agents;
    let agents = agents.iter().map(|name| Ok(sessions.agents.catalog.find(name)?.id.clone()));
    let agents = agents.collect::<Result<Vec<String>>>()?;
    let hosts = &arguments.filter.hosts;
    let takes = |row: &SessionRow| {
        (agents.is_empty() || agents.contains(&row.agent))
            && (hosts.is_empty() || hosts.contains(&row.host))
            && filter.takes(row)
    };
    let role = arguments.role.map(Into::into);
    let wish = SearchWish { takes: &takes, sessions: arguments.last, role };
    let (found, failed) = if arguments.no_index || !settings.keeps_index() {
        if !arguments.no_index {
            run.screen.note("all sessions are read, since `search.index` is false");
        }
        streamed(run, &sessions, &query, &wish)?
    } else {
        indexed(run, &sessions, &query, &wish, settings.finds_parts())?
    };
    tell_failed(run, &sessions.rows, &failed);
    show(run, &sessions.rows, &found)?;
    Ok(if failed.is_empty() { 0 } else { 3 })
}

type Found = (Vec<FoundSession>, Vec<(usize, Error)>);

fn streamed(run: &Run, sessions: &Sessions, query: &Query, wish: &SearchWish<'_>) -> Result<Found> {
    let folder = temporary_folder(run)?;
    let reader = reader(sessions, &folder);
    let _progress = run.screen.progress_of("reading sessions", &run.counters);
    stream(&reader, query, &sessions.rows, wish, &|| {
        Counters::add(&run.counters.done_items, 1);
        run.counters.go_on()
    })
}

fn reader<'a>(sessions: &'a Sessions, folder: &'a std::path::Path) -> SessionReader<'a> {
    SessionReader {
        catalog: &sessions.agents.catalog,
        repository: sessions.repository.as_deref(),
        temporary_folder: folder,
    }
}

fn indexed(
    run: &Run,
    sessions: &Sessions,
    query: &Query,
    wish: &SearchWish<'_>,
    finds_parts: bool,
) -> Result<Found> {
    let id = sessions.repository.as_deref().map(crate::repository::Repository::id);
    let path = index_path(&run.places, id);
    let is_first = !path.exists();
    let mut index = SearchIndex::open(&path, finds_parts)?;
    if is_first {
        run.screen.note(&format!(
            "making an index of all sessions, not encrypted, readable by you alone: `{}`; `stash search --help` \
             says how to have none",
            name::shown(path.display().to_string().as_bytes())
        ));
    }
    let mut report = None;
    // A file that was damaged is made anew, once.
    for is_last in [false, true] {
        let result = (|| {
            let updated = update(run, sessions, &mut index)?;
            let found = index.search(query, &sessions.rows, wish)?;
            report = Some(updated);
            Ok(found)
        })();
        match result {
            Err(error) if Error::kind(&error) == Kind::Damaged && !is_last => {
                run.screen.note("the search index was damaged, and is made anew");
                index = index.renew()?;
            }
            Err(error) => return Err(error),
            Ok(found) => {
                let report: UpdateReport = report.unwrap_or_default();
                run.counters.go_on()?;
                if report.is_partial {
                    run.screen
                        .note("another run is writing the index; the newest turns may be missing");
                }
                return Ok((found, report.failed));
            }
        }
    }
    Err(Error::failed("the search index can't be used").hint("`--no-index` searches without it"))
}

fn update(run: &Run, sessions: &Sessions, index: &mut SearchIndex) -> Result<UpdateReport> {
    let folder = temporary_folder(run)?;
    let reader = reader(sessions, &folder);
    let counters: &Arc<Counters> = &run.counters;
    let _progress = run.screen.progress_of("indexing sessions", counters);
    let told = Cell::new(0);
    let mut progress = |now: UpdateProgress| {
        Counters::add(&counters.done_items, now.done.saturating_sub(told.replace(now.done)));
        counters.total_items.store(now.total, Ordering::Relaxed);
    };
    index.update(&reader, &sessions.rows, &mut progress, &|| counters.go_on().is_ok())
}

/// Some that can't be read are named, so that it can be seen why.
const NAMED: usize = 3;

fn tell_failed(run: &Run, rows: &[SessionRow], failed: &[(usize, Error)]) {
    for (place, error) in failed.iter().take(NAMED) {
        let row = rows.get(*place).map(|row| format!("{} {}", row.agent, row.id));
        let row = name::shown(row.unwrap_or_default().as_bytes());
        run.screen.warning(&format!("session `{row}`: {}", error.with_hint()));
    }
    if failed.len() > NAMED {
        let sessions = counted(failed.len() as u64, "session");
        run.screen.warning(&format!("{sessions} could not be read, and are not searched"));
    }
}

fn show(run: &Run, rows: &[SessionRow], found: &[FoundSession]) -> Result<()> {
    let found: Vec<(&SessionRow, &[Hit])> = found
        .iter()
        .filter_map(|it| rows.get(it.row).map(|row| (row, it.hits.as_slice())))
        .collect();
    if run.screen.is_json() {
        let line = |(row, hits): &(&SessionRow, &[Hit])| FoundSessionLine::new(row, hits);
        return run.screen.array(&found.iter().map(line).collect::<Vec<_>>());
    }
    let length = short_length(rows);
    for (place, (row, hits)) in found.iter().enumerate() {
        let gap = if place == 0 { "" } else { "\n" };
        run.screen.text(&format!("{gap}{}", session(run, row, hits, length)))?;
    }
    match found.first() {
        Some((row, _)) => {
            run.screen.flush()?;
            let id = name::shown(first(&row.id, length).as_bytes());
            run.screen.note(&format!("`stash show {id}` shows the session"));
        }
        None => run.screen.note(&format!(
            "found nothing in {}; `stash find` looks for files by name",
            counted(rows.len() as u64, "session")
        )),
    }
    Ok(())
}

/// Returns a session and its hits as lines.
fn session(run: &Run, row: &SessionRow, hits: &[Hit], length: usize) -> String {
    let entry = &row.entry;
    let title = if entry.title.is_empty() { "(without a title)" } else { &entry.title };
    let home = run.environment.home().map(|home| home.display().to_string());
    let mut about = vec![
        name::shown(first(&row.id, length).as_bytes()),
        name::shown(row.agent.as_bytes()),
        run.screen.bold(&cut(&name::shown(title.as_bytes()), TITLE)),
        machine::show_minute(row.last(), &run.zone),
    ];
    if !entry.project.is_empty() {
        about.push(super::list::short_path(&entry.project, home.as_deref()));
    }
    let state = super::list::state(row, &run.identity.host);
    if !state.is_empty() {
        about.push(format!("({state})"));
    }
    let mut text = about.join("  ");
    for hit in hits {
        let at = hit.at.map(|at| machine::show_minute(Timestamp(at), &run.zone));
        let at = at.map(|at| format!("  {at}")).unwrap_or_default();
        // Writing to a String can't fail.
        let _ =
            write!(text, "\n  {}. {}{at}\n    {}", hit.turn, role_name(hit.role), words(run, hit));
    }
    text
}

/// Returns what a hit says, with what was found in bold.
fn words(run: &Run, hit: &Hit) -> String {
    let mut text = String::new();
    let mut place = 0;
    let letters: Vec<char> = hit.text.chars().collect();
    let part = |from: usize, to: usize| {
        let part: String = letters.get(from..to).unwrap_or_default().iter().collect();
        name::shown(part.as_bytes())
    };
    if hit.is_cut_before {
        text.push('…');
    }
    for range in &hit.ranges {
        text.push_str(&part(place, range.start));
        text.push_str(&run.screen.bold(&part(range.start, range.end)));
        place = range.end;
    }
    text.push_str(&part(place, letters.len()));
    if hit.is_cut_behind {
        text.push('…');
    }
    text
}
