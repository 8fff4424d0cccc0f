//! Arguments of `sessions`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::prune::Doubt;
use crate::agents::session::Role;

/// Arguments of `sessions` and its commands.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  stash sessions
  stash sessions --agent codex --last 10
  stash sessions show 5c0d2b7e
  stash sessions search lost cent
  stash sessions history 5c0d2b7e
  stash sessions restore 5c0d2b7e
  stash sessions export 5c0d2b7e --format html
  stash sessions forget 5c0d2b7e --dry-run"
)]
pub struct SessionsArguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Option<SessionsCommand>,
    /// Without a command they are listed.
    #[command(flatten)]
    pub list: SessionsListArguments,
}

/// What to do with sessions.
#[derive(Debug, Subcommand)]
pub enum SessionsCommand {
    /// Lists the sessions of all agents and machines, newest first
    List(SessionsListArguments),
    /// Shows the turns of a session
    #[command(visible_alias = "peek")]
    Show(SessionsShowArguments),
    /// Finds text in sessions
    Search(SessionsSearchArguments),
    /// Shows how a session grew from snapshot to snapshot
    History(SessionsHistoryArguments),
    /// Brings sessions back to where their agents find them
    ///
    /// A session of another machine, home or folder is placed for the project's folder here, and the command that
    /// resumes it is printed. It never comes back twice under one id, and never replaces a longer
    /// one unless `--force` says so.
    Restore(SessionsRestoreArguments),
    /// Writes a session into one file: Markdown, HTML or JSON
    Export(SessionsExportArguments),
    /// Takes sessions out of all snapshots of all machines
    Forget(SessionsForgetArguments),
}

/// Which sessions.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Which sessions")]
pub struct SessionFilterOptions {
    /// Sessions of these agents, by id
    #[arg(long = "agent", value_name = "ID", value_delimiter = ',')]
    pub agents: Vec<String>,
    /// Sessions that worked in this folder or below it; a word without `/` is looked for in its path
    #[arg(long, value_name = "PATH")]
    pub project: Option<String>,
    /// Sessions of this machine; may be repeated
    #[arg(long = "machine", value_name = "NAME", visible_alias = "host")]
    pub hosts: Vec<String>,
    /// Sessions with a turn at or after this time
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Sessions that began at or before this time
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Sessions that were active on this day
    #[arg(long, value_name = "DAY", conflicts_with_all = ["since", "until"])]
    pub date: Option<String>,
    /// Only sessions that are no more where they were
    #[arg(long)]
    pub deleted: bool,
}

/// Arguments of `sessions list`.
#[derive(Debug, Clone, Default, Args)]
#[command(after_help = "Examples:
  stash sessions list
  stash list --project ~/code/shop --since 'last monday'
  stash list --deleted --last 20
  stash list --expiring                  what its agent will delete within three days
  stash list --json")]
pub struct SessionsListArguments {
    /// Which sessions.
    #[command(flatten)]
    pub filter: SessionFilterOptions,
    /// Only sessions that their agent will delete within three days
    #[arg(long)]
    pub expiring: bool,
    /// Lists subagents' sessions, too
    #[arg(short, long)]
    pub all: bool,
    /// Lists the newest N
    #[arg(long, value_name = "N")]
    pub last: Option<usize>,
}

/// Arguments of `sessions show`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  stash show 5c0d2b7e
  stash show 5c0d2b7e --tail 6 --full
  stash show 5c0d2b7e --at '3 days ago'
  stash show 5c0d2b7e --json")]
pub struct SessionsShowArguments {
    /// The session: its id, or the beginning of it
    #[arg(value_name = "ID")]
    pub id: String,
    /// Shows the first N turns
    #[arg(long, value_name = "N", conflicts_with = "tail")]
    pub head: Option<usize>,
    /// Shows the last N turns
    #[arg(long, value_name = "N")]
    pub tail: Option<usize>,
    /// Shows what tools were given and what they answered, and what the model thought, in full
    #[arg(long)]
    pub full: bool,
    /// Shows the session as the newest snapshot at or before this time has it
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    /// The session of this agent, if several have one of that id
    #[arg(long, value_name = "ID")]
    pub agent: Option<String>,
    /// The session of this machine, if several have it
    #[arg(long = "machine", value_name = "NAME", visible_alias = "host")]
    pub host: Option<String>,
}

/// Arguments of `search`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  stash search basket cent                  turns with both words, in any order
  stash search \"lost cent\" basket          a phrase and a word
  stash search --regex 'fn \\w+_total' --agent codex
  stash search deadlock --project ~/code/shop --since 'last monday'
  stash search --deleted --role user invoice --json

Upper and lower case and accents are the same, and words are whole (`trigram = true` in the
configuration's [search] finds parts of words of three letters and more). What stands between the letters of
a word is not compared, and no sign is syntax; a word without letters and digits is looked for as it is.

The index is a file in the cache that this user alone can read, and holds the text of sessions as
it is, not encrypted. It can be deleted at any time. `index = false` in [search] keeps none.")]
pub struct SessionsSearchArguments {
    /// Words that all stand in one turn, in any order; several in one argument are a phrase
    #[arg(value_name = "WORDS", required = true)]
    pub words: Vec<String>,
    /// Takes each of the WORDS for a regular expression; `(?i)` ignores case
    #[arg(short = 'e', long)]
    pub regex: bool,
    /// Finds only what was said by one of these
    #[arg(long, value_name = "ROLE")]
    pub role: Option<SearchRole>,
    /// Shows the newest N sessions
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub last: usize,
    /// Reads all sessions instead of the index, and writes none
    #[arg(long)]
    pub no_index: bool,
    /// Which sessions.
    #[command(flatten)]
    pub filter: SessionFilterOptions,
}

/// Who said it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SearchRole {
    /// The person
    User,
    /// The model, with what it gave to tools
    Assistant,
    /// What tools answered
    Tool,
}

impl From<SearchRole> for Role {
    fn from(role: SearchRole) -> Role {
        match role {
            SearchRole::User => Role::User,
            SearchRole::Assistant => Role::Assistant,
            SearchRole::Tool => Role::Tool,
        }
    }
}

/// Arguments of `sessions history`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  stash sessions history 5c0d2b7e")]
pub struct SessionsHistoryArguments {
    /// The session: its id, or the beginning of it
    #[arg(value_name = "ID")]
    pub id: String,
    /// The session of this agent, if several have one of that id
    #[arg(long, value_name = "ID")]
    pub agent: Option<String>,
    /// The session of this machine, if several have it
    #[arg(long = "machine", value_name = "NAME", visible_alias = "host")]
    pub host: Option<String>,
}

/// Arguments of `sessions restore`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  stash sessions restore 5c0d2b7e
  stash sessions restore 5c0d2b7e --at '3 days ago' --as-copy
  stash sessions restore 5c0d2b7e --project-dir ~/work/shop
  stash sessions restore --deleted --project ~/code/shop --dry-run
  stash sessions restore --machine desktop --last 5 --yes")]
pub struct SessionsRestoreArguments {
    /// The sessions: their ids, or the beginnings of them
    #[arg(value_name = "ID")]
    pub ids: Vec<String>,
    /// Which sessions, where no ids are given.
    #[command(flatten)]
    pub filter: SessionFilterOptions,
    /// The newest N
    #[arg(long, value_name = "N", conflicts_with = "ids", help_heading = "Which sessions")]
    pub last: Option<usize>,
    /// All that are saved
    #[arg(long, conflicts_with = "ids", help_heading = "Which sessions")]
    pub all: bool,
    /// Sessions as the newest snapshot at or before this time has them
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    /// The folder of the project on this machine
    #[arg(long, value_name = "DIR")]
    pub project_dir: Option<PathBuf>,
    /// Replaces a session that is longer here or went another way, after a safety snapshot; writes to a
    /// database though its agent runs
    #[arg(long)]
    pub force: bool,
    /// Adds the session under a new id beside the one that is here, where its agent takes that (Claude Code)
    #[arg(long)]
    pub as_copy: bool,
    /// Shows what would be done; writes nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Asks nothing
    #[arg(short, long)]
    pub yes: bool,
}

/// How a session is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// Markdown: a heading for each turn, tools folded
    Md,
    /// One page that needs no network: dark and light, with a search box
    Html,
    /// One document, with nothing left out
    Json,
}

impl ExportFormat {
    /// Returns what its files end in.
    pub fn extension(self) -> &'static str {
        match self {
            ExportFormat::Md => "md",
            ExportFormat::Html => "html",
            ExportFormat::Json => "json",
        }
    }
}

/// Arguments of `sessions export`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  stash sessions export 5c0d2b7e                        stash-AGENT-ID-DATE.md
  stash sessions export 5c0d2b7e --output talk.html
  stash sessions export 5c0d2b7e --format json | jq '.turns[0]'
  stash sessions export 5c0d2b7e --without-findings > talk.md

What looks like a credential is shown before anything is written: the turn and the kind, never the
value. It is asked about; where nobody can be asked the command ends with exit code 2.")]
pub struct SessionsExportArguments {
    /// The session: its id, or the beginning of it
    #[arg(value_name = "ID")]
    pub id: String,
    /// How it is written [default: as the ending of FILE says, else md]
    #[arg(short, long, value_name = "FORMAT")]
    pub format: Option<ExportFormat>,
    /// The file to write, which must not be there yet; `-` is standard output
    ///
    /// Without it the export goes to standard output, or if that is a terminal into
    /// `stash-AGENT-ID-DATE.md` in the current folder.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Takes what tools were given and answered at any length, and what the model thought; JSON always
    /// has both
    #[arg(long)]
    pub full: bool,
    /// Takes the session as the newest snapshot at or before this time has it
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    /// The session of this agent, if several have one of that id
    #[arg(long, value_name = "ID")]
    pub agent: Option<String>,
    /// The session of this machine, if several have it
    #[arg(long = "machine", value_name = "NAME", visible_alias = "host")]
    pub host: Option<String>,
    /// Leaves in what looks like a credential, without asking
    #[arg(short, long)]
    pub yes: bool,
    /// Replaces what looks like a credential by `[removed: KIND]`
    #[arg(long, conflicts_with = "yes")]
    pub without_findings: bool,
}

/// Arguments of `sessions forget`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  stash sessions forget 5c0d2b7e --dry-run
  stash sessions forget 5c0d2b7e
  stash sessions forget 5c0d2b7e 019a5c00 --yes && stash prune --max-unused 0

Each snapshot that holds one is written anew without it, and the old one forgotten. What still lies on
a disk is left there, and the next backup saves it again. Copies in other repositories and buckets
that lock objects keep it. A session in a database of many can't be cut out of it.")]
pub struct SessionsForgetArguments {
    /// The sessions: their ids, or the beginnings of them
    #[arg(value_name = "ID", required = true)]
    pub ids: Vec<String>,
    /// Shows what would be taken out; writes nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Takes them out without asking
    #[arg(short, long)]
    pub yes: bool,
    /// Sessions of this agent, if several have one of that id
    #[arg(long, value_name = "ID")]
    pub agent: Option<String>,
    /// Goes on in spite of a doubt: `rollback`
    #[arg(long, value_name = "DOUBT", value_delimiter = ',')]
    pub accept: Vec<Doubt>,
}

impl SessionsForgetArguments {
    /// Returns whether the loss of what this machine wrote last is accepted.
    pub fn accepts_rollback(&self) -> bool {
        self.accept.contains(&Doubt::Rollback)
    }
}
