//! `stash backup`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Map;

use super::also::{self, Brought};
use super::maintenance;
use super::open::Run;
use super::repository::{Make, Opened};
use crate::cli::args::{BackupArguments, SecretsPolicy};
use crate::cli::figures::{count, counted, duration, size};
use crate::cli::json::{BackupContributor, BackupSummary};
use crate::cli::name;
use crate::codec::crypto::object_hash;
use crate::engine::backup::{
    AgentSources, BackupOptions, BackupReport, StreamSource, backup, backup_stream,
};
use crate::error::{Error, Kind, Result};
use crate::files::{ExcludeOptions, Excludes};
use crate::machine::{self, AgentWish, Bare, Location, MachineAgents, SourceCommand};
use crate::time::{Clock as _, Timestamp};

/// A job's name is shown and stored with each snapshot: longer ones are cut, and told apart by a
/// hash.
const JOB_LENGTH: usize = 512;

/// Private copies that a run which was killed has left are removed when they are this old.
const COPY_AGE: Duration = Duration::from_hours(24);

/// When a run began, by both clocks.
struct Began {
    time: Timestamp,
    boot: i64,
}

/// What is to be saved, wherever it goes.
struct Wish {
    paths: Vec<PathBuf>,
    /// The coding agents of this machine, if they are to be saved.
    agents: Option<MachineAgents>,
    excludes: ExcludeOptions,
    time: Option<Timestamp>,
    began: Began,
}

pub(super) fn run(run: &Run, arguments: &BackupArguments) -> Result<u8> {
    run.stop_on_signals()?;
    let paths = paths(arguments)?;
    let agents = agents(run, arguments, &paths)?;
    let excludes = exclude_options(arguments)?;
    // Patterns that make no sense must not leave a new repository behind.
    Excludes::new(&excludes)?;
    let time = arguments.time.as_deref().map(|text| run.moment(text, Bare::Start)).transpose()?;
    let began = Began { time: run.clock.now(), boot: run.clock.boot_nanoseconds() };
    let wish = Wish { paths, agents, excludes, time, began };
    let (repository, report) = match save_main(run, arguments, &wish) {
        Ok(saved) => saved,
        Err(error) => return Err(without_main(run, arguments, &wish, error)),
    };
    let failed = match report.snapshot.or(report.parent) {
        Some(id) if !arguments.dry_run => also::each(run, arguments, |other| {
            also::bring(run, &repository, other, id, arguments.compression.into())
        })?,
        _ => 0,
    };
    maintenance::after_backup(run, arguments, &repository);
    Ok(if report.statistics.errors > 0 || failed > 0 { 3 } else { 0 })
}

/// Saves into the repository that is meant, and says what was saved.
fn save_main(
    run: &Run,
    arguments: &BackupArguments,
    wish: &Wish,
) -> Result<(Opened, BackupReport)> {
    let make = if arguments.dry_run { Make::InMemory } else { Make::Default };
    let repository = run.repository(make)?;
    let _lock = (!arguments.dry_run).then(|| run.lock(repository.id())).transpose()?;
    let options = options(run, arguments, wish, &repository)?;
    let progress = run.screen.progress(&run.counters);
    let report = save(run, arguments, &repository, &options);
    drop(progress);
    let report = report?;
    show(run, arguments, &repository, &options, &report, &wish.began)?;
    Ok((repository, report))
}

/// Saves straight into the further repositories, since the main one failed; returns that failure.
fn without_main(run: &Run, arguments: &BackupArguments, wish: &Wish, error: Error) -> Error {
    let may_help =
        matches!(error.kind(), Kind::Store | Kind::Damaged | Kind::NoRepository | Kind::Failed);
    let is_stream = arguments.stdin || arguments.stdin_from_command;
    if arguments.also.is_empty() || arguments.dry_run || is_stream || !may_help {
        return error;
    }
    run.screen
        .warning(&format!("{}; saving straight into the other repositories", error.with_hint()));
    let saved = also::each(run, arguments, |other| {
        let options = options(run, arguments, wish, other)?;
        let report = save(run, arguments, other, &options)?;
        let stored_bytes = report.statistics.stored_bytes;
        Ok(Brought { snapshot: report.snapshot, was_there: false, stored_bytes })
    });
    match saved {
        Err(other) if other.kind() == Kind::Interrupted => other,
        _ => error,
    }
}

fn options(
    run: &Run,
    arguments: &BackupArguments,
    wish: &Wish,
    repository: &Opened,
) -> Result<BackupOptions> {
    let skip = own_folders(run, arguments, repository);
    let excludes = ExcludeOptions { skip, ..wish.excludes.clone() };
    let agents = match &wish.agents {
        Some(agents) => agents.sources(&agent_wish(arguments), &excludes)?,
        None => AgentSources::default(),
    };
    let places = wish.agents.as_ref().map(|found| found.whole_places(&agents));
    let elsewhere = places.unwrap_or_default();
    let moment = wish.time.unwrap_or(wish.began.time);
    Ok(BackupOptions {
        agents,
        excludes: Arc::new(Excludes::new(&excludes)?.with_elsewhere(elsewhere.into_iter())),
        host: arguments.host.clone().unwrap_or_else(|| run.identity.host.clone()),
        user: run.identity.user.clone(),
        job: arguments.job.clone().unwrap_or_else(|| job_of(wish)),
        paths: wish.paths.clone(),
        tags: tags(arguments),
        time: wish.time,
        offset_minutes: machine::offset_minutes(moment, &run.zone).into(),
        force: arguments.force,
        always: arguments.always,
        is_safety: false,
        dry_run: arguments.dry_run,
        compression: arguments.compression.into(),
        threads: machine::worker_count(),
        check_databases_after: arguments.check_databases.interval(),
        temporary_folder: temporary_folder(run)?,
    })
}

fn save(
    run: &Run,
    arguments: &BackupArguments,
    repository: &Opened,
    options: &BackupOptions,
) -> Result<BackupReport> {
    let (clock, counters, screen) = (&run.clock, &*run.counters, &*run.screen);
    let path = || options.paths.first().cloned().unwrap_or_default();
    if arguments.stdin_from_command {
        let (mut command, mut output) = SourceCommand::start(&arguments.paths)?;
        let source =
            StreamSource { reader: &mut output, path: path(), finish: &mut || command.finish() };
        return backup_stream(repository, options, source, clock, counters, screen);
    }
    if arguments.stdin {
        let mut input = std::io::stdin();
        let source = StreamSource { reader: &mut input, path: path(), finish: &mut || Ok(()) };
        return backup_stream(repository, options, source, clock, counters, screen);
    }
    backup(repository, options, clock, counters, screen)
}

/// Returns what to save, as absolute paths; for a stream the path that it gets in the snapshot.
fn paths(arguments: &BackupArguments) -> Result<Vec<PathBuf>> {
    if arguments.stdin || arguments.stdin_from_command {
        let below_root = Path::new("/").join(&arguments.stdin_filename);
        let path = machine::absolute_path(&below_root)?;
        return match path.file_name() {
            Some(_) => Ok(vec![path]),
            None => Err(Error::usage("`--stdin-filename` is no file's name")),
        };
    }
    let mut words: Vec<OsString> = arguments.paths.clone();
    for file in &arguments.files_from {
        words.extend(machine::read_entries(file)?);
    }
    if words.is_empty() && !arguments.files_from.is_empty() {
        return Err(Error::usage("nothing to save: the list of paths is empty"));
    }
    words.iter().map(|path| machine::absolute_path(Path::new(path))).collect()
}

/// Returns the agents of this machine, if they are to be saved: where no path is named, or where
/// one of them is.
fn agents(
    run: &Run,
    arguments: &BackupArguments,
    paths: &[PathBuf],
) -> Result<Option<MachineAgents>> {
    if arguments.agents.is_empty() && !paths.is_empty() {
        if arguments.only.is_empty() {
            return Ok(None);
        }
        return Err(Error::usage("`--only` chooses among agents' files, and a path has none")
            .hint("leave the path out, or name an agent with `--agent`"));
    }
    let found = MachineAgents::find(&run.places, &run.environment)?;
    if found.chosen(&arguments.agents)?.is_empty() {
        return Err(Error::usage("no coding agent was found, and no path is named")
            .hint("`stash backup PATH` saves any path; `stash agents list` shows where agents are looked for"));
    }
    Ok(Some(found))
}

fn agent_wish(arguments: &BackupArguments) -> AgentWish {
    AgentWish {
        agents: arguments.agents.clone(),
        only: arguments.only.iter().flat_map(|word| word.0.iter().copied()).collect(),
        without_secrets: arguments.secrets == SecretsPolicy::Exclude,
    }
}

/// All runs for agents are of one line, whatever is chosen: what is not chosen is carried over.
fn job_of(wish: &Wish) -> String {
    match (&wish.agents, wish.paths.is_empty()) {
        (Some(_), true) => "agents".to_owned(),
        (Some(_), false) => job_name_of(&["agents".to_owned(), job_name(&wish.paths)]),
        (None, _) => job_name(&wish.paths),
    }
}

fn tags(arguments: &BackupArguments) -> Vec<String> {
    let mut tags: Vec<String> =
        arguments.tags.iter().filter(|tag| !tag.is_empty()).cloned().collect();
    tags.sort_unstable();
    tags.dedup();
    tags
}

fn exclude_options(arguments: &BackupArguments) -> Result<ExcludeOptions> {
    let mut exclude_lines = Vec::new();
    for file in &arguments.exclude_file {
        exclude_lines.extend(machine::read_lines(file)?);
    }
    Ok(ExcludeOptions {
        exclude: patterns(&arguments.exclude)?,
        iexclude: patterns(&arguments.iexclude)?,
        exclude_lines,
        exclude_if_present: patterns(&arguments.exclude_if_present)?,
        exclude_caches: arguments.leaves_out_caches(),
        exclude_larger_than: arguments.exclude_larger_than,
        one_file_system: arguments.one_file_system,
        gitignore: arguments.gitignore,
        skip: Vec::new(),
    })
}

/// Returns patterns as text, which they must be.
pub(super) fn patterns(words: &[OsString]) -> Result<Vec<String>> {
    let text = |word: &OsString| {
        word.to_str().map(str::to_owned).ok_or_else(|| {
            Error::usage("this pattern is not valid UTF-8:")
                .object(name::shown(word.as_bytes()))
                .hint("`?` stands for a letter that can't be written")
        })
    };
    words.iter().map(text).collect()
}

/// The folders that no backup holds: what is in them is made from the repository, or is it.
fn own_folders(run: &Run, arguments: &BackupArguments, repository: &Opened) -> Vec<PathBuf> {
    let own = [&run.places.cache, &run.places.state];
    let also = arguments.also.iter().filter_map(|text| run.location(text).ok());
    let folders = repository.folder().into_iter().chain(own.map(PathBuf::as_path));
    let mut folders: Vec<PathBuf> = folders.map(Path::to_owned).collect();
    folders.extend(also.filter_map(|location| location.folder().map(Path::to_owned)));
    folders
}

/// Returns where private copies of databases go: beside the cache, which no backup includes.
pub(super) fn temporary_folder(run: &Run) -> Result<PathBuf> {
    let folder = run.places.cache.join("tmp");
    machine::make_private_folder(&folder)?;
    machine::remove_older(&folder, COPY_AGE);
    Ok(folder)
}

/// Returns a name that is the same whenever the same paths are given.
fn job_name(paths: &[PathBuf]) -> String {
    let mut names: Vec<String> =
        paths.iter().map(|path| name::shown(path.as_os_str().as_bytes())).collect();
    names.sort_unstable();
    names.dedup();
    job_name_of(&names)
}

fn job_name_of(names: &[String]) -> String {
    let whole = names.join(" ");
    if whole.len() <= JOB_LENGTH {
        return whole;
    }
    let end = whole.floor_char_boundary(JOB_LENGTH);
    let begin = whole.get(..end).unwrap_or_default();
    format!("{begin}… {}", object_hash(whole.as_bytes()))
}

fn show(
    run: &Run,
    arguments: &BackupArguments,
    repository: &Opened,
    options: &BackupOptions,
    report: &BackupReport,
    began: &Began,
) -> Result<()> {
    let took = run.clock.boot_nanoseconds().saturating_sub(began.boot);
    let took = Duration::from_nanos(u64::try_from(took).unwrap_or(0));
    let is_beside =
        |folder: &Path| sources(options).any(|path| machine::is_same_file_system(path, folder));
    let mut also = arguments.also.iter().filter_map(|text| run.location(text).ok());
    let is_elsewhere =
        |other: Location| other.folder().is_none_or(|folder| folder.exists() && !is_beside(folder));
    let same_disk = repository.folder().is_some_and(is_beside) && !also.any(is_elsewhere);
    let left_out = own_left_out(repository, report);
    if run.screen.is_json() {
        let summary = summary(run, options, report, began, took, same_disk);
        return run.screen.message("summary", &summary);
    }
    if let Some(path) = left_out {
        run.screen.note(&format!("left out the repository itself, `{}`", path.display()));
    }
    if options.dry_run {
        for line in dry_run_lines(report) {
            run.screen.summary(&line)?;
        }
        return Ok(());
    }
    run.screen.summary(&line(report, took))?;
    if same_disk {
        run.screen.summary("same disk: a second target is missing")?;
    }
    Ok(())
}

/// Returns the places that are read.
fn sources(options: &BackupOptions) -> impl Iterator<Item = &Path> {
    let agents = options.agents.roots.iter().map(|root| root.place.as_path());
    agents.chain(options.paths.iter().map(PathBuf::as_path))
}

fn own_left_out<'a>(repository: &Opened, report: &'a BackupReport) -> Option<&'a PathBuf> {
    let folder = repository.folder()?;
    let is_it = |path: &&PathBuf| {
        path.as_path() == folder || path.canonicalize().ok() == folder.canonicalize().ok()
    };
    report.own_left_out.iter().find(is_it)
}

fn line(report: &BackupReport, took: Duration) -> String {
    let statistics = &report.statistics;
    let text = match (report.snapshot, report.parent) {
        (None, Some(parent)) => format!(
            "nothing changed: {}, {} in {}; nothing was written, the newest snapshot stays {}",
            counted(statistics.files, "file"),
            size(statistics.bytes),
            duration(took),
            parent.short(),
        ),
        (id, _) => format!(
            "saved {}, {} in {}: {} new, {} changed, {} unchanged; added {}, stored as {}; \
             snapshot {}",
            counted(statistics.files, "file"),
            size(statistics.bytes),
            duration(took),
            count(statistics.files_new),
            count(statistics.files_changed),
            count(report.files_unchanged),
            size(statistics.added_bytes),
            size(statistics.stored_bytes),
            id.map(|id| id.short()).unwrap_or_default(),
        ),
    };
    match statistics.errors {
        0 => text,
        errors => format!("{text} (without {} that failed)", counted(errors, "item")),
    }
}

fn dry_run_lines(report: &BackupReport) -> Vec<String> {
    let statistics = &report.statistics;
    let mut lines = vec![format!(
        "would read {} of {}: {} new, {} changed, {} unchanged; {} left out",
        size(report.bytes_to_read),
        size(statistics.bytes),
        count(statistics.files_new),
        count(statistics.files_changed),
        count(report.files_unchanged),
        counted(report.excluded_items, "item"),
    )];
    if !report.contributors.is_empty() {
        lines.push("most of it lies in".to_owned());
    }
    lines.extend(report.contributors.iter().map(|it| {
        let files = if it.files == 1 {
            String::new()
        } else {
            format!("  ({})", counted(it.files, "file"))
        };
        format!("{:>12}  {}{files}", size(it.bytes), name::shown(&it.path))
    }));
    lines
}

fn summary(
    run: &Run,
    options: &BackupOptions,
    report: &BackupReport,
    began: &Began,
    took: Duration,
    same_disk: bool,
) -> BackupSummary {
    let statistics = &report.statistics;
    let largest = report.contributors.iter().map(|it| {
        let mut item = Map::new();
        name::insert(&mut item, "item", &it.path);
        BackupContributor { bytes: it.bytes, files: it.files, item }
    });
    BackupSummary {
        dry_run: options.dry_run,
        files_new: statistics.files_new,
        files_changed: statistics.files_changed,
        files_unmodified: report.files_unchanged,
        dirs_new: report.directories_new,
        blobs_added: report.blobs_added,
        data_added: if options.dry_run { report.bytes_to_read } else { statistics.added_bytes },
        data_added_packed: statistics.stored_bytes,
        total_files_processed: statistics.files,
        total_dirs_processed: statistics.directories,
        total_bytes_processed: statistics.bytes,
        total_duration: took.as_secs_f64(),
        backup_start: began.time.to_rfc3339(),
        backup_end: run.clock.now().to_rfc3339(),
        excluded_items: report.excluded_items,
        error_count: statistics.errors,
        snapshot_id: report.snapshot,
        parent: report.parent,
        same_disk,
        largest: largest.collect::<Vec<_>>(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_named_by_its_paths_whatever_their_order() {
        let job = |paths: &[&str]| job_name(&paths.iter().map(PathBuf::from).collect::<Vec<_>>());
        assert_eq!(job(&["/b", "/a", "/b"]), "/a /b");
        assert_eq!(job(&["/a\n"]), "/a\\n");
        let many: Vec<String> = (0..200).map(|number| format!("/folder/{number}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let (all, fewer) = (job(&many), job(many.split_last().unwrap().1));
        assert!(all.len() < 600 && all != fewer);
    }
}
