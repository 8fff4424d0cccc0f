//! `stash import`: what another backup tool has kept, as snapshots.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

use super::open::Run;
use super::repository::Opened;
use crate::agents::{AgentRoot, PathKind, RootSource};
use crate::cli::args::ImportArguments;
use crate::cli::figures::{counted, size};
use crate::cli::json::TakenOverLine;
use crate::cli::name;
use crate::codec::Compression;
use crate::engine::backup::{AgentSources, BackupOptions, backup};
use crate::error::{Error, Kind, Result};
use crate::files::{ExcludeOptions, Excludes};
use crate::id::SnapshotId;
use crate::machine::{
    self, AgentWish, ForeignKey, FoundAgent, MachineAgents, Takeover, find_takeovers,
};
use crate::repository::snapshots::SnapshotFilter;
use crate::time::{Clock as _, Timestamp};

/// The job of all imported snapshots: none of them is ever a parent of another job's.
const JOB: &str = "import";

pub(super) fn run(run: &Run, arguments: &ImportArguments) -> Result<u8> {
    run.stop_on_signals()?;
    let folder = machine::absolute_path(&arguments.folder)?;
    let found = find_takeovers(&folder)?;
    if arguments.host.is_some() && found.len() > 1 {
        return Err(Error::usage("`--host` names one machine, and the folder holds several")
            .hint("each is imported under its own name"));
    }
    let key = key(run, arguments, &folder, &found)?;
    if let Some(key) = &key {
        found.iter().try_for_each(|takeover| takeover.try_key(key))?;
    }
    if arguments.dry_run {
        for takeover in &found {
            let (files, bytes) = takeover.stored();
            let row = Row { files, bytes, time: takeover.time, snapshot: None, was_there: false };
            show(run, arguments, takeover, &row)?;
        }
        return Ok(0);
    }
    let repository = run.current_repository()?;
    let _lock = run.lock(repository.id())?;
    let mut failed = 0_u64;
    for takeover in &found {
        failed = failed.saturating_add(one(run, arguments, &repository, takeover, key.as_ref())?);
    }
    Ok(if failed == 0 { 0 } else { 3 })
}

/// Reads the key, where one is needed: the one that is named, or that lies where the tool keeps it.
fn key(
    run: &Run,
    arguments: &ImportArguments,
    folder: &Path,
    found: &[Takeover],
) -> Result<Option<ForeignKey>> {
    if !found.iter().any(Takeover::is_sealed) {
        return Ok(None);
    }
    if let Some(file) = &arguments.key {
        return ForeignKey::read(file).map(Some);
    }
    let beside = folder.parent().map(|above| above.join("key"));
    let usual = run.environment.home().map(|home| home.join(".claude-sync/key"));
    let places = [Some(folder.join("key")), beside, usual];
    let file =
        places.into_iter().flatten().find(|file| machine::is_file(file)).ok_or_else(|| {
            Error::new(
                Kind::WrongPassphrase,
                "these sessions are encrypted, and there is no key file",
            )
            .hint("`--key FILE` names it: `~/.claude-sync/key` where claude-sync ran")
        })?;
    ForeignKey::read(&file).map(Some)
}

/// Takes over what was kept of one machine; returns how many files could not be taken.
fn one(
    run: &Run,
    arguments: &ImportArguments,
    repository: &Opened,
    takeover: &Takeover,
    key: Option<&ForeignKey>,
) -> Result<u64> {
    let agents = MachineAgents::find(&run.places, &run.environment)?;
    let known = agents.known(takeover.agent, &run.environment)?;
    let here = known.roots.iter().find(|root| root.label == takeover.label);
    let named = here.map(|root| root.place.clone());
    let named =
        named.ok_or_else(|| Error::failed("the agent has no root").object(takeover.label))?;
    let temporary = super::backup::temporary_folder(run)?;
    let staging = tempfile::tempdir_in(&temporary)
        .map_err(|error| Error::failed("cannot make a temporary folder").source(error))?;
    // The root has the name in the snapshot that it has on a disk.
    let place = staging.path().join(named.file_name().unwrap_or_default());
    machine::make_private_folder(&place)?;
    let staged = takeover.stage(&place, key, &run.counters)?;
    for (path, error) in &staged.failed {
        let path = name::shown(path.as_os_str().as_bytes());
        run.screen.warning(&format!("{path} was not taken: {error}"));
    }
    if staged.files == 0 {
        return Err(Error::failed("nothing could be taken over"));
    }
    let now = run.clock.now();
    let time = Timestamp(staged.time.0.min(now.0));
    let tags = [format!("import:{}", takeover.kind.name()), format!("import-{}", staged.digest)];
    let host = host(arguments, takeover);
    let row = |snapshot, was_there| Row {
        files: staged.files,
        bytes: staged.bytes,
        time: Some(time),
        snapshot,
        was_there,
    };
    if let Some(id) = find_earlier(repository, &host, &tags)? {
        show(run, arguments, takeover, &row(Some(id), true))?;
        return Ok(staged.failed.len() as u64);
    }
    let root = AgentRoot {
        label: takeover.label.to_owned(),
        kind: PathKind::Folder,
        place: place.clone(),
        source: RootSource::User,
        exists: true,
        problem: None,
        inside: None,
        shows_agent: true,
    };
    let found = FoundAgent { roots: vec![root], program: None, ..known };
    let excludes = ExcludeOptions::default();
    let sources = agents.sources_of(&[&found], &AgentWish::default(), &excludes)?;
    let sources =
        AgentSources { carried: Vec::new(), gathered: Some(vec![(place, named)]), ..sources };
    let options = options(run, sources, host, tags.to_vec(), time)?;
    let report = backup(repository, &options, &run.clock, &run.counters, &*run.screen)?;
    show(run, arguments, takeover, &row(report.snapshot, false))?;
    Ok((staged.failed.len() as u64).saturating_add(report.statistics.errors))
}

fn host(arguments: &ImportArguments, takeover: &Takeover) -> String {
    // Never this machine's name by a guess: the snapshot would count as its own.
    let named = arguments.host.clone().or_else(|| takeover.host.clone());
    named.unwrap_or_else(|| takeover.kind.name().to_owned())
}

/// Returns the snapshot of an earlier import of the same.
fn find_earlier(repository: &Opened, host: &str, tags: &[String]) -> Result<Option<SnapshotId>> {
    let filter = SnapshotFilter {
        hosts: vec![host.to_owned()],
        tags: vec![tags.to_vec()],
        job: Some(JOB.to_owned()),
        ..SnapshotFilter::default()
    };
    Ok(repository.snapshots(&filter)?.first().map(|entry| entry.id))
}

fn options(
    run: &Run,
    agents: AgentSources,
    host: String,
    tags: Vec<String>,
    time: Timestamp,
) -> Result<BackupOptions> {
    Ok(BackupOptions {
        agents,
        paths: Vec::new(),
        excludes: Arc::new(Excludes::new(&ExcludeOptions::default())?),
        host,
        user: run.identity.user.clone(),
        job: JOB.to_owned(),
        tags,
        time: Some(time),
        offset_minutes: machine::offset_minutes(time, &run.zone).into(),
        force: false,
        always: true,
        is_safety: false,
        dry_run: false,
        compression: Compression::Auto,
        threads: machine::worker_count(),
        check_databases_after: None,
        observer: None,
        temporary_folder: super::backup::temporary_folder(run)?,
    })
}

/// What is said of one machine.
struct Row {
    files: u64,
    bytes: u64,
    time: Option<Timestamp>,
    snapshot: Option<SnapshotId>,
    was_there: bool,
}

fn show(run: &Run, arguments: &ImportArguments, takeover: &Takeover, row: &Row) -> Result<()> {
    let host = host(arguments, takeover);
    if run.screen.is_json() {
        let line = TakenOverLine {
            dry_run: arguments.dry_run,
            from: takeover.kind.name(),
            hostname: host,
            agent: takeover.agent,
            files: row.files,
            bytes: row.bytes,
            time: row.time.map(Timestamp::to_rfc3339),
            snapshot_id: row.snapshot,
            was_there: row.was_there,
        };
        return run.screen.message("taken_over", &line);
    }
    let what = format!(
        "{} of {} on `{}` that {} kept ({})",
        counted(row.files, "file"),
        takeover.agent,
        name::shown(host.as_bytes()),
        takeover.kind.name(),
        size(row.bytes),
    );
    let time = row.time.map(|time| machine::show_moment(time, &run.zone));
    let time = time.map_or_else(String::new, |time| format!(", as of {time}"));
    let line = match (row.was_there, row.snapshot) {
        (true, Some(id)) => format!("there already, as snapshot {}: {what}", id.short()),
        (false, Some(id)) => format!("took over {what}{time}; snapshot {}", id.short()),
        _ => format!("would take over {what}{time}"),
    };
    run.screen.summary(&line)
}
