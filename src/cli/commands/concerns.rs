//! What `stash status` warns of.

use super::open::Run;
use super::repository::Opened;
use super::status::Status;
use crate::engine::backup::AgentSources;
use crate::format::record::{SNAPSHOT_INCOMPLETE, SNAPSHOT_SAFETY};
use crate::machine::doctor::{self, ScheduleFound, Verdict};
use crate::machine::{self, MachineAgents};
use crate::repository::cache::SnapshotEntry;

/// Returns what should be seen to, one line each.
pub(super) fn concerns(
    run: &Run,
    status: &Status,
    opened: Option<&Opened>,
    entries: &[SnapshotEntry],
    agents: &MachineAgents,
    sources: &AgentSources,
) -> Vec<String> {
    let mut warnings = Vec::new();
    for agent in status.agents.iter().filter(|it| it.is_odd && it.is_enabled) {
        let found = agents.found.iter().find(|found| found.agent.id == agent.id);
        let root = found.and_then(|found| found.roots.iter().find(|root| root.is_usable()));
        let place = root.map(|it| it.place.display().to_string()).unwrap_or_default();
        warnings.push(format!(
            "{}: no session was recognised in `{place}`; everything there is saved all the same",
            agent.id
        ));
    }
    let host = &run.identity.host;
    let newest = entries.iter().rev().find(|entry| {
        entry.forgotten.is_none()
            && entry.snapshot.host == *host
            && entry.snapshot.flags & SNAPSHOT_SAFETY == 0
    });
    if newest.is_some_and(|entry| entry.snapshot.flags & SNAPSHOT_INCOMPLETE != 0) {
        warnings.push(
            "some items could not be read by the last backup; the next one names them".into(),
        );
    }
    if let Some(opened) = opened {
        let keys = run.places.keys();
        if machine::pending_recovery_path(&keys, opened.id()).exists() {
            warnings.push(
                "the recovery code waits to be written down: `stash key recovery --show`".into(),
            );
        }
        let second = second_target(run, opened, sources);
        warnings.extend(second.filter(|it| it.verdict > Verdict::Note).map(|it| it.evidence));
    }
    for job in &status.jobs {
        if let Some(failure) = &job.failure {
            warnings.push(format!("the newest run of `{}` failed: {failure}", job.job));
        }
    }
    match (&status.schedule, status.is_overdue()) {
        (ScheduleFound::Nothing, true) => {
            let wanted = status.jobs.iter().find_map(|job| job.schedule.as_deref());
            warnings.push(format!(
                "nothing runs backups by itself; `crontab -e` and this line do: `{}`",
                doctor::cron_line(wanted)
            ));
        }
        (ScheduleFound::Off { what, remedy }, _) => warnings.push(format!("{what}: {remedy}")),
        _ => {}
    }
    warnings
}

fn second_target(run: &Run, opened: &Opened, sources: &AgentSources) -> Option<doctor::Answer> {
    let config = run.config().ok()?;
    let others = config.repositories.iter();
    let others: Vec<_> =
        others.filter_map(|it| config.location_of(it, &run.environment).ok()).collect();
    let sources = sources.roots.iter().map(|root| root.place.as_path());
    Some(doctor::same_disk(&opened.location, &others, sources))
}
