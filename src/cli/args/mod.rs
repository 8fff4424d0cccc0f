//! The command tree: every command, option and example.
//!
//! Help text is written here once; everything else that shows it is made from it. restic's names
//! are used where it has one. Options about the repository, its secrets and the folders have
//! variables that `machine` reads (their order is more than a default), so their help names them by
//! hand; the others have clap's `env`.
//!
//! [`parse`] also checks what can be told from the words alone, so that no command begins on
//! arguments that contradict each other.
#![expect(
    clippy::doc_markdown,
    reason = "the comments are help text, where clap writes variables bare"
)]

mod agents;
mod backup;
mod config;
mod copy;
mod health;
mod inspect;
mod portable;
mod prune;
mod repo;
mod restore;
mod retention;
mod sessions;
mod setup;
mod upkeep;
mod values;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{ArgAction, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

pub use agents::{AgentsCheckArguments, AgentsCommand, AgentsListArguments, AgentsShowArguments};
pub use backup::{BackupArguments, CategoryWord, CompressionLevel, InitArguments, SecretsPolicy};
pub use config::ConfigCommand;
pub use copy::{CopyArguments, OtherOptions};
pub use health::{DoctorArguments, StatusArguments};
pub use inspect::{
    CatArguments, CatKind, DiffArguments, FilterOptions, FindArguments, HistoryArguments,
    LsArguments, SnapshotsArguments, StatsArguments,
};
pub use portable::{ExportConfigArguments, ImportArguments, ImportConfigArguments, ScanArguments};
pub use prune::{PruneArguments, PruneLimits};
pub use repo::{
    BackendCommand, RepoAddArguments, RepoCommand, RepoMoveArguments, RepoRemoveArguments,
    RepoUseArguments,
};
pub use restore::{Destination, DumpArguments, Overwrite, RestoreArguments, UndoArguments};
pub use retention::{
    ForgetArguments, KeepOptions, PinArguments, TagArguments, TagList, UnforgetArguments,
};
pub use sessions::{
    ExportFormat, SearchRole, SessionFilterOptions, SessionsArguments, SessionsCommand,
    SessionsExportArguments, SessionsForgetArguments, SessionsHistoryArguments,
    SessionsListArguments, SessionsRestoreArguments, SessionsSearchArguments,
    SessionsShowArguments,
};
pub use setup::SetupArguments;
pub use upkeep::{
    CheckArguments, KeyAddArguments, KeyCommand, KeyDeviceArguments, KeyHome, KeyRecoveryArguments,
    KeyRemoveArguments, KeyRotateArguments, NewPassphraseOptions, RepairCommand,
    RepairDataArguments, RepairIndexArguments, RepairSnapshotsArguments,
};
pub use values::{ReadSubset, SnapshotArgument, SnapshotName};

use crate::error::{Error, Result};
use crate::machine::{AccessOptions, Environment, LocationOptions, PlaceOptions, SecretOptions};

/// Fast, encrypted, deduplicating backup.
#[derive(Debug, Parser)]
#[command(
    name = "stash",
    version,
    max_term_width = 100,
    disable_help_subcommand = true,
    subcommand_help_heading = "Commands",
    after_help = "Examples:
  stash backup ~/work                    save a folder; the first time makes a repository
  stash snapshots                        list what is saved
  stash restore latest --target /tmp/x   get the newest state back
  stash help exit-codes                  what the exit codes mean"
)]
pub struct Arguments {
    /// What holds for every command.
    #[command(flatten)]
    pub global: GlobalOptions,
    /// The command; without one, a short introduction.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub struct GlobalOptions {
    /// Uses the repository at LOCATION: a folder, `s3://BUCKET/PREFIX`, `s3:https://HOST/BUCKET`,
    /// `r2:ACCOUNT/BUCKET`, `b2:BUCKET`, `minio:HOST:9000/BUCKET`, `gs://BUCKET`, `az://CONTAINER`,
    /// `git+ssh://HOST/PATH`, `git+file:///PATH`, `https://HOST/PATH.git`, `github:OWNER/NAME`
    /// [env: STASH_REPOSITORY]
    #[arg(short, long, global = true, value_name = "LOCATION")]
    pub repo: Option<OsString>,
    /// Reads the repository's location from FILE [env: STASH_REPOSITORY_FILE]
    #[arg(long, global = true, value_name = "FILE")]
    pub repository_file: Option<PathBuf>,
    /// Opens no repository but the one with this id
    #[arg(long, global = true, value_name = "ID", env = "STASH_REPO_ID", hide_env_values = true)]
    pub repo_id: Option<String>,
    /// Reads the passphrase from FILE [env: STASH_PASSPHRASE_FILE; the passphrase itself:
    /// STASH_PASSPHRASE]
    #[arg(short, long, global = true, value_name = "FILE", visible_alias = "password-file")]
    pub passphrase_file: Option<PathBuf>,
    /// Takes the passphrase from what COMMAND prints, run by the shell [env:
    /// STASH_PASSPHRASE_COMMAND]
    #[arg(long, global = true, value_name = "COMMAND", visible_alias = "password-command")]
    pub passphrase_command: Option<OsString>,
    /// Never taken: the check says why.
    #[arg(long, global = true, hide = true, num_args = 0..=1, alias = "password")]
    pub passphrase: Option<Option<OsString>>,
    /// Prints JSON: lines with a `message_type`, or one array for lists (`stash help json`)
    #[arg(long, global = true)]
    pub json: bool,
    /// Prints nothing but errors and what was asked for
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Names each item that changed; twice: every item
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// Waits this long (`90s`, `10m`) for another run of this machine to end
    #[arg(
        long,
        global = true,
        value_name = "DURATION",
        visible_alias = "retry-lock",
        value_parser = values::duration,
        env = "STASH_WAIT",
        hide_env_values = true
    )]
    pub wait: Option<Duration>,
    /// Keeps no local copy of the repository's index and trees
    #[arg(
        long,
        global = true,
        value_parser = FalseyValueParser::new(),
        env = "STASH_NO_CACHE",
        hide_env_values = true
    )]
    pub no_cache: bool,
    /// Keeps that copy in DIR [env: STASH_CACHE_DIR]
    #[arg(long, global = true, value_name = "DIR")]
    pub cache_dir: Option<PathBuf>,
    /// Says in which region the bucket is, where that can't be found out
    #[arg(
        long,
        global = true,
        value_name = "REGION",
        env = "STASH_REGION",
        hide_env_values = true,
        hide_short_help = true
    )]
    pub region: Option<String>,
    /// Reaches the store at URL instead of where its location says
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "STASH_ENDPOINT",
        hide_env_values = true,
        hide_short_help = true
    )]
    pub endpoint: Option<String>,
    /// Trusts the certificates in FILE (PEM) beside this computer's own
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        visible_alias = "cacert",
        env = "STASH_CA_FILE",
        hide_env_values = true,
        hide_short_help = true
    )]
    pub ca_file: Option<PathBuf>,
    /// Takes the store's credentials from what COMMAND prints, run by the shell: a JSON object, or
    /// lines such as `AWS_ACCESS_KEY_ID=…`
    #[arg(
        long,
        global = true,
        value_name = "COMMAND",
        env = "STASH_CREDENTIALS_COMMAND",
        hide_env_values = true,
        hide_short_help = true
    )]
    pub credentials_command: Option<OsString>,
    /// Sends to a remote store at most so many KiB a second
    #[arg(
        long,
        global = true,
        value_name = "KIB",
        value_parser = clap::value_parser!(u64).range(1..),
        env = "STASH_LIMIT_UPLOAD",
        hide_env_values = true,
        hide_short_help = true
    )]
    pub limit_upload: Option<u64>,
    /// Takes from a remote store at most so many KiB a second
    #[arg(
        long,
        global = true,
        value_name = "KIB",
        value_parser = clap::value_parser!(u64).range(1..),
        env = "STASH_LIMIT_DOWNLOAD",
        hide_env_values = true,
        hide_short_help = true
    )]
    pub limit_download: Option<u64>,
    /// Looks for the configuration in DIR [env: STASH_CONFIG_DIR]
    #[arg(long, global = true, value_name = "DIR", hide_short_help = true)]
    pub config_dir: Option<PathBuf>,
    /// Keeps what this machine must remember in DIR [env: STASH_STATE_DIR]
    #[arg(long, global = true, value_name = "DIR", hide_short_help = true)]
    pub state_dir: Option<PathBuf>,
    /// Keeps the keys and the default repository in DIR [env: STASH_DATA_DIR]
    #[arg(long, global = true, value_name = "DIR", hide_short_help = true)]
    pub data_dir: Option<PathBuf>,
}

impl GlobalOptions {
    /// Returns what was said about the repository's location.
    pub fn location(&self) -> LocationOptions {
        LocationOptions { location: self.repo.clone(), file: self.repository_file.clone() }
    }

    /// Returns what was said about the passphrase.
    pub fn secret(&self) -> SecretOptions {
        SecretOptions {
            file: self.passphrase_file.clone(),
            command: self.passphrase_command.clone(),
        }
    }

    /// Returns what was said about reaching a remote store.
    pub fn access(&self) -> AccessOptions {
        AccessOptions {
            region: self.region.clone(),
            endpoint: self.endpoint.clone(),
            ca_file: self.ca_file.clone(),
            credentials_command: self.credentials_command.clone(),
            upload_kib: self.limit_upload,
            download_kib: self.limit_download,
        }
    }

    /// Returns what was said about folders.
    pub fn places(&self) -> PlaceOptions {
        PlaceOptions {
            config: self.config_dir.clone(),
            state: self.state_dir.clone(),
            cache: self.cache_dir.clone(),
            data: self.data_dir.clone(),
        }
    }
}

/// A command and its own arguments.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Makes a new repository
    ///
    /// The recovery code is shown once, on a terminal only; without one it waits for `stash key
    /// recovery --show`. A passphrase given by option or variable becomes a further way to open the
    /// repository. If a repository is there already, nothing is done and the exit code is 1.
    Init(InitArguments),
    /// Sets everything up: what to save, where to, and how often
    ///
    /// Finds the coding agents that are here, asks where to save and tries the place, makes a
    /// repository there or joins the one that is, writes the configuration, saves for the first time,
    /// and proves it: a sample is read back from the repository alone and compared. Each question has
    /// an option. Run again, it changes what was set up, and never resets it.
    Setup(SetupArguments),
    /// Saves coding agents, or any paths, as a new snapshot
    ///
    /// Without a PATH, all coding agents that are found are saved: their sessions, memory, skills and
    /// settings, with live databases taken whole. Sessions and memory that an agent deletes stay in
    /// the snapshots.
    ///
    /// If the configuration has jobs, they run instead, one after the other (--job runs one): each
    /// saves its paths and agents into its repositories, runs its own commands before and after, and
    /// forgets what its policy does not keep.
    ///
    /// Only what changed since the last snapshot is read and stored; a run that finds nothing
    /// changed writes nothing. With no repository named anywhere, the first run makes a local one
    /// and shows its recovery code once. At most once a day, when it is due, a run cleans up a
    /// little after it is done, for half a minute at most.
    Backup(Box<BackupArguments>),
    /// Writes a snapshot, or a part of one, back to disk
    ///
    /// Each path that was saved comes back in DIR under its own last name; with SNAPSHOT:PATH, what
    /// PATH holds comes straight into DIR. Files that are not in the snapshot stay, unless --delete
    /// is given. Every file is verified while it is written, and a file that fails leaves the old
    /// one whole.
    Restore(Box<RestoreArguments>),
    /// Takes back the last restore into an agent's folders
    ///
    /// What was there before was saved then, and comes back; what the restore made is removed unless
    /// it has changed since. Undoing once more takes the undo back.
    Undo(UndoArguments),
    /// Lists the snapshots
    Snapshots(SnapshotsArguments),
    /// Lists the files of a snapshot
    ///
    /// Without a PATH everything in it is listed; with one, what that folder holds.
    Ls(LsArguments),
    /// Finds files by name in all snapshots
    ///
    /// PATTERN is a name with `*`, `?` and `[…]`, or a whole path if it holds a `/`.
    Find(FindArguments),
    /// Shows what differs between two snapshots
    ///
    /// The marks: `+` added, `-` removed, `M` content changed, `T` type changed, `U` only metadata
    /// changed.
    Diff(DiffArguments),
    /// Shows the versions of one file, with their times
    History(HistoryArguments),
    /// Prints a file of a snapshot, or a folder as tar
    ///
    /// The output is binary: send it into a file or another program.
    Dump(DumpArguments),
    /// Prints one object of the repository as JSON, or its bytes
    Cat(CatArguments),
    /// Shows how much is saved, and how much room it takes
    Stats(StatsArguments),
    /// Replaces, adds or removes tags of snapshots
    Tag(TagArguments),
    /// Keeps snapshots, whatever a policy says
    Pin(PinArguments),
    /// Lets policies decide again about pinned snapshots
    Unpin(PinArguments),
    /// Forgets snapshots by a policy or by name, or takes something out of them
    ///
    /// A policy keeps the newest snapshot of each period and says why; pinned and safety snapshots,
    /// and of each machine the newest with an agent's files, are kept in any case. What is
    /// forgotten can be brought back for 60 hours by `stash unforget`; its space is freed by a
    /// prune after 72 hours, and at once on this computer's own disk.
    ///
    /// `--path` without a policy, or `--agent`, takes something out of snapshots: each one that
    /// holds it is written anew without it, and the old one is forgotten. What only the old ones had
    /// is freed with `--prune`, or by `stash prune --max-unused 0`: at once on this computer's own
    /// disk, elsewhere after 72 hours and once more after the grace. Copies in other repositories, and
    /// buckets that lock objects, keep it.
    Forget(Box<ForgetArguments>),
    /// Brings forgotten snapshots back, for 60 hours
    Unforget(UnforgetArguments),
    /// Frees what no snapshot needs
    ///
    /// On this computer's own disk space is freed at once. Where other machines may write too, what
    /// nobody needs is condemned first, and deleted by a prune after the grace (usually 72 hours):
    /// a backup that goes on meanwhile loses nothing. Anything that looks as if something was wrong
    /// stops it before anything is deleted, and --accept goes on in spite of it.
    Prune(PruneArguments),
    /// Copies snapshots into another repository
    ///
    /// They are copied from the repository that --from-repo names into the one that --repo names.
    /// What is there already is not sent again, and a copy that was interrupted is ended by running
    /// it again. Into a repository made with `stash init --like`, everything goes over as it is
    /// compressed; into any other, all content is decoded and stored anew.
    Copy(Box<CopyArguments>),
    /// Verifies the repository, and says what a damage means
    ///
    /// Without options the structure is verified: that everything that is referred to is there.
    /// With --read-data all stored bytes are read and authenticated, too. Every finding names the
    /// object, the snapshots and files that it affects, and the next step; then the exit code is
    /// 13.
    Check(CheckArguments),
    /// Saves what is intact in a damaged repository
    #[command(subcommand)]
    Repair(RepairCommand),
    /// Manages what opens the repository
    #[command(subcommand)]
    Key(KeyCommand),
    /// Conversations with agents, of all machines, deleted or not: lists, shows, restores, exports
    ///
    /// A session is listed though its agent deleted it, if a backup has it. What lies on this disk
    /// and is not saved yet is listed, too.
    Sessions(Box<SessionsArguments>),
    /// Lists sessions, as `stash sessions list` does
    #[command(name = "list", hide = true)]
    SessionsList(Box<SessionsListArguments>),
    /// Shows the turns of a session
    #[command(visible_alias = "peek")]
    Show(SessionsShowArguments),
    /// Finds text in sessions of all agents and machines, deleted ones too
    ///
    /// Shows the newest sessions with a turn in which everything stands that is searched for: what was
    /// said and thought, and what tools were given and answered. The first search makes an index, later
    /// ones and backups keep it up. Files are found by name with `stash find`.
    Search(Box<SessionsSearchArguments>),
    /// Shows which coding agents are known and here, and what they keep
    #[command(subcommand)]
    Agents(AgentsCommand),
    /// Manages which repositories the configuration names
    #[command(subcommand)]
    Repo(RepoCommand),
    /// Understood for `repo use`
    #[command(subcommand, hide = true)]
    Backend(BackendCommand),
    /// Shows and changes the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Shows which files hold what looks like a live credential
    ///
    /// Names file, line and kind, never the value. Without a PATH all that the coding agents keep is
    /// looked through, as far as backups hold it; their files for nothing but credentials are only
    /// counted. What is packed (gzip, zstd) is unpacked. A database is read as the bytes of its file,
    /// what was deleted in it included; a value that lies across two of its pages is missed.
    ///
    /// Credentials are known by their form (providers' prefixes, private keys, tokens, URLs with a
    /// password) or by a name such as `api_key` beside a value that looks drawn by lot. Examples and
    /// placeholders are left out. A passphrase that reads like words is not found.
    Scan(ScanArguments),
    /// Writes the agents' settings into one file to take along
    ///
    /// Config, settings, skills and memory, as an archive that plain `tar` reads; never credentials,
    /// caches, sessions or databases. Files that hold credentials beside other things are cleaned of
    /// them, or left out, and named. Then a scan shows file, line and kind of what still looks like a
    /// credential, and asks; without a terminal it refuses unless --yes or --without-findings says
    /// what is meant.
    ExportConfig(ExportConfigArguments),
    /// Lays exported settings into the agents' folders of this machine
    ///
    /// Files that are there stay, and so do credentials; JSON that several things share is joined.
    /// --force replaces files. What is there is saved first, if there is a repository (--force needs
    /// one), and `stash undo` brings it back. Archives of claude-backup are read, too.
    ImportConfig(ImportConfigArguments),
    /// Takes over what another backup tool has kept, as snapshots
    ///
    /// DIR is a folder of claude-backup, a clone of claude-sync with its key file, or a mirror of
    /// opencode-session-backup. Machine and times are kept; the snapshots are of the agent and its
    /// categories like any other, and of a job of their own, `import`. Where the tool does not name
    /// the machine, --host does, else the tool's name stands for it. Running it again adds nothing.
    /// DIR itself is only read; of a git clone the newest state is taken, older commits are not.
    Import(ImportArguments),
    /// Shows how backups stand: per agent, of the repository, and in the exit code
    ///
    /// Looks at this machine alone, so that it is quick and works without a network.
    Status(StatusArguments),
    /// Asks whether backups and restores will work, and says what to do
    ///
    /// Looks at the configuration, the keys, the store, the agents and their databases, what agents
    /// are about to delete, and what runs the backups. Nothing is changed without --fix.
    Doctor(DoctorArguments),
    /// Explains a command or a topic
    Help(HelpArguments),
    /// Prints the version
    Version,
}

impl Command {
    /// Returns the command's name, for messages.
    pub fn name(&self) -> &'static str {
        match self {
            Command::Init(_) => "init",
            Command::Setup(_) => "setup",
            Command::Backup(_) => "backup",
            Command::Restore(_) => "restore",
            Command::Undo(_) => "undo",
            Command::Snapshots(_) => "snapshots",
            Command::Ls(_) => "ls",
            Command::Find(_) => "find",
            Command::Diff(_) => "diff",
            Command::History(_) => "history",
            Command::Dump(_) => "dump",
            Command::Cat(_) => "cat",
            Command::Stats(_) => "stats",
            Command::Tag(_) => "tag",
            Command::Pin(_) => "pin",
            Command::Unpin(_) => "unpin",
            Command::Forget(_) => "forget",
            Command::Unforget(_) => "unforget",
            Command::Prune(_) => "prune",
            Command::Copy(_) => "copy",
            Command::Check(_) => "check",
            Command::Repair(_) => "repair",
            Command::Key(_) => "key",
            Command::Sessions(_) | Command::SessionsList(_) => "sessions",
            Command::Show(_) => "show",
            Command::Search(_) => "search",
            Command::Agents(_) => "agents",
            Command::Repo(_) | Command::Backend(_) => "repo",
            Command::Config(_) => "config",
            Command::Scan(_) => "scan",
            Command::Import(_) => "import",
            Command::ExportConfig(_) => "export-config",
            Command::ImportConfig(_) => "import-config",
            Command::Status(_) => "status",
            Command::Doctor(_) => "doctor",
            Command::Help(_) => "help",
            Command::Version => "version",
        }
    }
}

/// Arguments of `help`.
#[derive(Debug, Args)]
#[command(after_help = "Topics:
  exit-codes   what the exit codes mean
  json         what `--json` prints

Examples:
  stash help backup
  stash help exit-codes")]
pub struct HelpArguments {
    /// A command (`backup`, `key add`) or a topic (`exit-codes`, `json`)
    #[arg(value_name = "TOPIC")]
    pub topic: Vec<String>,
}

/// What came of the words on the command line, if no command.
pub enum Unparsed {
    /// Help or the version was asked for: text for standard output.
    Text(String),
    /// The words make no sense.
    Wrong(Error),
}

/// Reads the words of the command line, the program's name first.
pub fn parse(words: &[OsString], environment: &Environment) -> Result<Arguments, Unparsed> {
    let arguments = without_empty_variables(Arguments::command(), environment)
        .try_get_matches_from(words)
        .and_then(|matches| Arguments::from_arg_matches(&matches))
        .map_err(|error| unparsed(&error))?;
    arguments.check().map_err(Unparsed::Wrong)?;
    Ok(arguments)
}

/// clap takes a variable that is set to nothing for a value; here it counts as not set.
fn without_empty_variables(command: clap::Command, environment: &Environment) -> clap::Command {
    command
        .mut_args(|argument| {
            let name = argument.get_env().and_then(std::ffi::OsStr::to_str);
            if name.is_some_and(|name| environment.is_empty(name)) {
                argument.env(None::<&'static str>)
            } else {
                argument
            }
        })
        .mut_subcommands(|below| without_empty_variables(below, environment))
}

/// Returns the long help of the command that `topic` names; `None` if there is none.
pub fn help_of(topic: &[String]) -> Option<String> {
    let mut command = Arguments::command();
    command.build();
    let mut found = &mut command;
    for word in topic {
        found = found.find_subcommand_mut(word)?;
    }
    Some(found.render_long_help().to_string())
}

impl Arguments {
    fn check(&self) -> Result<()> {
        if self.global.passphrase.is_some() {
            return Err(Error::usage(
                "there is no `--passphrase VALUE`: every user of this machine could read it in the \
                 list of processes",
            )
            .hint("use `--passphrase-file FILE`, `--passphrase-command COMMAND` or `STASH_PASSPHRASE`"));
        }
        match &self.command {
            Some(Command::Backup(backup)) => backup.check(),
            Some(Command::Restore(restore)) => restore.check(),
            Some(Command::Dump(dump)) => dump.check(),
            Some(Command::Ls(ls)) => ls.check(),
            Some(Command::Cat(cat)) => cat.check(),
            Some(Command::Forget(forget)) => forget.check(),
            _ => Ok(()),
        }
    }
}

/// Turns clap's message into one of ours: one line, and a hint.
fn unparsed(error: &clap::Error) -> Unparsed {
    use clap::error::ErrorKind;
    let text = error.render().to_string();
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return Unparsed::Text(text);
    }
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return Unparsed::Wrong(
            Error::usage("a command is missing after this one").hint("`--help` lists them"),
        );
    }
    // clap writes paragraphs: what is wrong, tips, usage. It puts words into single quotes.
    let text = text.replace('\'', "`");
    let mut paragraphs = text.split("\n\n");
    let first = paragraphs.next().unwrap_or_default();
    let message = first.strip_prefix("error: ").unwrap_or(first);
    let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let tip = text.lines().find_map(|line| line.trim().strip_prefix("tip: "));
    let usage = text.lines().find_map(|line| line.strip_prefix("Usage: "));
    let hint = match (tip, usage) {
        (Some(tip), _) => tip.to_owned(),
        (None, Some(usage)) => format!("usage: {usage}"),
        (None, None) => "`--help` shows what there is".to_owned(),
    };
    Unparsed::Wrong(Error::usage(message).hint(hint))
}

/// Returns the error for `--at` beside an id.
fn at_beside_id() -> Error {
    Error::usage("a snapshot's id and `--at` both say which snapshot")
        .hint("give one of them; `latest` may stand beside `--at`")
}
