//! `stash sessions forget`: takes sessions out of the snapshots of all machines.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::pick::{Sessions, find, pick};
use crate::cli::args::{PruneLimits, SessionsForgetArguments};
use crate::cli::ask;
use crate::cli::commands::backup::temporary_folder;
use crate::cli::commands::open::Run;
use crate::cli::commands::purge::{lines, way_out};
use crate::cli::commands::repository::Opened;
use crate::cli::figures::counted;
use crate::cli::json::{PurgeSummary, PurgedLine};
use crate::cli::name;
use crate::engine::mark::refuse_rollback;
use crate::engine::purge::{Purge, PurgeReport, plan_purge_with, purge_with};
use crate::error::{Error, Kind, Result};
use crate::machine::sessions::{ForgetPlan, SessionName, SessionsWish, plan_forget};
use crate::repository::cache::SnapshotEntry;
use crate::repository::snapshots::SnapshotFilter;

/// What has to be typed.
const WORD: &str = "forget";

pub(super) fn run(run: &Run, arguments: &SessionsForgetArguments) -> Result<u8> {
    run.stop_on_signals()?;
    let wish = SessionsWish {
        agents: arguments.agent.iter().cloned().collect(),
        ..SessionsWish::default()
    };
    let sessions = find(run, &wish)?;
    let mut wanted = BTreeSet::new();
    for id in &arguments.ids {
        let row = pick(&sessions.rows, id)?;
        wanted.insert((row.agent.clone(), row.id.clone()));
    }
    let Some(repository) = &sessions.repository else {
        return Err(Error::new(Kind::NoRepository, "nothing is saved yet"));
    };
    let _lock = (!arguments.dry_run).then(|| run.lock(repository.id())).transpose()?;
    refuse_lost(repository, arguments)?;
    let folder = temporary_folder(run)?;
    let forget = Forget { run, sessions: &sessions, repository, wanted: &wanted, folder: &folder };
    let (plan, entries) = forget.look()?;
    let report = forget.take_out(&plan, &entries, true)?;
    if report.snapshots.is_empty() {
        let ids = wanted.iter().map(|(_, id)| name::shown(id.as_bytes())).collect::<Vec<_>>();
        return Err(Error::failed("no snapshot holds").object(ids.join(", ")));
    }
    let mut shown = forget.titles(&plan);
    shown.extend(lines(run, &report, &entries));
    let is_shown = !run.screen.is_json() && (arguments.dry_run || !run.screen.is_quiet());
    for line in shown.iter().filter(|_| is_shown) {
        run.screen.text(line)?;
    }
    if arguments.dry_run {
        forget.say_done(&report, entries.len(), true)?;
        return Ok(0);
    }
    let (plan, entries) = if arguments.yes {
        (plan, entries)
    } else {
        consent(&report, if is_shown { &[] } else { &shown })?;
        // The question may have waited for days: what was saved meanwhile counts, too.
        run.catch_up(repository)?;
        refuse_lost(repository, arguments)?;
        forget.look()?
    };
    let report = forget.take_out(&plan, &entries, false)?;
    forget.say_done(&report, entries.len(), false)?;
    forget.say_what_stays(&plan);
    Ok(0)
}

fn refuse_lost(repository: &Opened, arguments: &SessionsForgetArguments) -> Result<()> {
    if arguments.dry_run || arguments.accepts_rollback() {
        return Ok(());
    }
    refuse_rollback(repository)
}

/// Asks; `unseen` are lines of the plan that were shown nowhere yet.
fn consent(report: &PurgeReport, unseen: &[String]) -> Result<()> {
    let snapshots = counted(report.snapshots.len() as u64, "snapshot");
    let question = format!("This is taken out of {snapshots} for good.");
    let question = [unseen, &[question]].concat().join("\n");
    match ask::typed(&question, WORD)? {
        Some(true) => Ok(()),
        Some(false) => Err(Error::new(Kind::Interrupted, "not confirmed; nothing was changed")),
        None => Err(Error::usage("nobody can be asked whether these sessions may be forgotten")
            .hint("look at it with `--dry-run`, then add `--yes`")),
    }
}

/// Which sessions go, and from where.
struct Forget<'a> {
    run: &'a Run,
    sessions: &'a Sessions,
    repository: &'a Opened,
    wanted: &'a BTreeSet<SessionName>,
    folder: &'a Path,
}

impl Forget<'_> {
    /// Finds what goes, among which snapshots.
    fn look(&self) -> Result<(ForgetPlan, Vec<SnapshotEntry>)> {
        let entries = self.repository.standing_snapshots(&SnapshotFilter::default())?;
        let catalog = &self.sessions.agents.catalog;
        let plan = plan_forget(self.repository, catalog, &entries, self.wanted, self.folder)?;
        Ok((plan, entries))
    }

    /// Takes it out of each machine's snapshots, or only tells what that would be.
    fn take_out(
        &self,
        plan: &ForgetPlan,
        entries: &[SnapshotEntry],
        is_dry_run: bool,
    ) -> Result<PurgeReport> {
        let (run, repository) = (self.run, self.repository);
        let drops = |kind: &str, key: &[u8]| plan.drops(kind, key);
        let _progress = run.screen.progress(&run.counters);
        let mut all = PurgeReport::default();
        for (host, places) in &plan.places {
            let own = |entry: &&SnapshotEntry| entry.snapshot.host == *host;
            let own: Vec<SnapshotEntry> = entries.iter().filter(own).cloned().collect();
            let what = Purge::Paths(places.iter().cloned().collect());
            let report = if is_dry_run {
                plan_purge_with(repository, &own, &what, Some(&drops), &run.counters)?
            } else {
                let (clock, screen) = (&run.clock, &*run.screen);
                purge_with(repository, &own, &what, Some(&drops), clock, &run.counters, screen)?
            };
            all.snapshots.extend(report.snapshots);
            all.untouched = all.untouched.saturating_add(report.untouched);
        }
        Ok(all)
    }

    fn titles(&self, plan: &ForgetPlan) -> Vec<String> {
        let line = |((agent, id), title): (&SessionName, &String)| {
            let is_asked = self.wanted.contains(&(agent.clone(), id.clone()));
            let by = if is_asked { "" } else { " (of a subagent)" };
            let shown = |text: &str| name::shown(text.as_bytes());
            format!("{} {}{by}: {}", shown(agent), shown(id), shown(title))
        };
        plan.sessions.iter().map(line).collect()
    }

    fn say_done(&self, report: &PurgeReport, entries: usize, dry_run: bool) -> Result<()> {
        let screen = &self.run.screen;
        if screen.is_json() {
            for purged in &report.snapshots {
                screen.message("purged", &PurgedLine::from(purged))?;
            }
            let untouched = entries.saturating_sub(report.snapshots.len()) as u64;
            let whole = PurgeReport { untouched, ..report.clone() };
            return screen.message("summary", &PurgeSummary::of(&whole, dry_run));
        }
        let snapshots = counted(report.snapshots.len() as u64, "snapshot");
        screen.summary(&if dry_run {
            format!("would be taken out of {snapshots}")
        } else {
            let way_out = way_out(self.repository, &PruneLimits::default(), false);
            format!("taken out of {snapshots}; {way_out}")
        })
    }

    /// Says where the sessions may still be.
    fn say_what_stays(&self, plan: &ForgetPlan) {
        let screen = &self.run.screen;
        let is_forgotten =
            |agent: &str, id: &str| plan.sessions.contains_key(&(agent.to_owned(), id.to_owned()));
        for row in self.sessions.rows.iter().filter(|row| is_forgotten(&row.agent, &row.id)) {
            let Some(file) = &row.local else { continue };
            let path = file.place.join(std::ffi::OsStr::from_bytes(&file.relative));
            screen.warning(&format!(
                "`{}` still lies on this machine: the next backup saves it again unless you delete or \
                 exclude it",
                name::shown(path.as_os_str().as_bytes())
            ));
        }
        let here = &self.run.identity.host;
        let others: Vec<String> = plan
            .places
            .keys()
            .filter(|host| *host != here)
            .map(|host| format!("`{}`", name::shown(host.as_bytes())))
            .collect();
        if !others.is_empty() {
            screen.note(&format!(
                "{} had it as well: what still lies there is saved again by the next backup there",
                others.join(", ")
            ));
        }
        screen.note(
            "copies in other repositories and buckets that lock objects keep it; so does what its agent \
             keeps outside of sessions, such as the history of prompts",
        );
    }
}
