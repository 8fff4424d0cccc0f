//! A git remote as a store: one branch, whose one commit's tree holds the objects as files.
//!
//! | file | owns |
//! |---|---|
//! | `address` | where a remote is |
//! | `object`, `pack`, `packet` | git's own forms, to bytes and back |
//! | `state` | what the branch holds, and the trees that say so |
//! | `keeper` | two threads: one reads, one gathers what is stored or deleted and pushes it |
//! | `adapter` | the calls of an object store |
//! | `bare` | a repository on a disk of this computer |
//! | `smart`, `ssh`, `http` | git's protocol, and the two ways to speak it |
//! | `github` | making a private repository |
//! | `received`, `mirror` | what came, and what is kept of it in the cache |
//!
//! **A push is the compare-and-swap.** It names the commit that it replaces, and the server refuses
//! it if another writer was there first. Then the new state is read, the same changes (put this
//! file, delete that one) are made to *it*, and it is tried again: nothing of the other's is lost,
//! and nothing that was deleted comes back. Commits have no parents, so what is deleted is
//! unreachable at once, and the server frees it at its own pace. Only new objects travel: the
//! others are in the server already, and a tree may name them.
//!
//! **Durable**: a put returns when its push was accepted. Puts and deletes that come while a push
//! is under way share the next one.
//!
//! **Reading**: a listing asks for the branch's commit; if it is not the one that is known, the
//! trees that changed are fetched (`have` names the tree that is known). Blobs are fetched by their
//! ids when they are read, several in one request, and kept for as long as the process lives. A
//! machine without a cache fetches commit and trees alone from servers that allow `filter` (the
//! forges do); from others (`uploadpack.allowFilter` is off) everything, once.
//!
//! **Times** (page 8): git has none for objects, so `.stash-times` in each directory says when a
//! file was put. The time is never earlier than the newest in the state that the push replaces;
//! over http it is the server's own clock that counts. It is written once and read by every clone,
//! so an age only grows; a writer whose clock is behind can't make its object seem older than what
//! others put last; one whose clock is ahead makes things seem young, which delays deleting. The
//! time of the store itself (`Store::now`) is what a put would get now. If it differs from a
//! machine's own by more than an hour, prune refuses, as with every store.
//!
//! **Why no library.** libgit2 (git2 0.21, measured: 80 s of processor time, libssh2 and
//! OpenSSL) pushes, but over `file://` it overwrote what another writer had pushed between its look
//! and its update, it refuses to make a tree that names blobs which are not on this disk, and it
//! knows no `filter`: each machine would need a whole copy of the repository. gix 0.90 has no push;
//! its parts that carry one bring, with HTTP, a second cryptography library among them. What
//! is needed of the protocol (one ref, whole objects) is in these files; they bring `flate2` and its
//! three crates. ssh is the program that people have set up, with its agent, keys and known hosts;
//! no git program is run here.

mod adapter;
mod address;
mod bare;
mod failure;
mod github;
mod http;
mod keeper;
mod mirror;
mod object;
mod pack;
mod packet;
mod received;
mod smart;
mod ssh;
mod state;

use std::path::PathBuf;
use std::sync::Arc;

use self::adapter::GitStore;
use self::address::Address;
use self::bare::Bare;
pub(super) use self::failure::GitFailure;
use self::failure::Outcome;
pub use self::github::GithubRepository;
use self::http::Http;
use self::keeper::Keeper;
use self::mirror::Mirror;
use self::object::{NewObject, Oid};
use self::received::Received;
use self::smart::Smart;
use self::ssh::Ssh;
use self::state::State;
use super::remote::{RemoteOptions, open_wire, throttles};
use super::{Credentials, Store};
use crate::error::{Error, Kind, Result};
use crate::time::Clock;

/// The branch that holds a repository, where nobody names another.
pub const GIT_BRANCH: &str = "stash";

/// Where GitHub's REST API is.
pub const GITHUB_API: &str = "https://api.github.com";

/// How to reach a git remote.
#[derive(Clone)]
pub struct GitOptions {
    /// The branch.
    pub branch: String,
    /// The folder for what is kept of it; may be deleted at any moment.
    pub cache: Option<PathBuf>,
    /// This computer's clock.
    pub clock: Arc<dyn Clock>,
    /// The program that speaks ssh, and what it is told first.
    pub ssh: Vec<String>,
    /// Variables that it must not see.
    pub withheld: Vec<String>,
    /// How long nothing may move, limits, certificates, and who is told of further tries. How long
    /// is tried is git's own affair here: three times more.
    pub remote: RemoteOptions,
}

impl GitOptions {
    /// Returns the usual options.
    pub fn new(clock: Arc<dyn Clock>) -> GitOptions {
        GitOptions {
            branch: GIT_BRANCH.to_owned(),
            cache: None,
            clock,
            ssh: vec!["ssh".to_owned()],
            withheld: Vec::new(),
            remote: RemoteOptions::default(),
        }
    }
}

/// What the branch is at.
struct Tip {
    commit: Option<Oid>,
}

/// What came of a push.
#[derive(Debug, PartialEq, Eq)]
enum Pushed {
    Done,
    /// The branch is not at the commit that was to be replaced.
    Moved,
}

/// A repository of git, wherever it is.
trait Backend: Send {
    /// Asks which commit the branch is at.
    fn tip(&mut self) -> Outcome<Tip>;

    /// Fetches a commit and at least what it needs for the next round of reading its trees.
    fn trees(&mut self, commit: Oid, known: &State, received: &mut Received) -> Outcome<()>;

    /// Fetches objects. What is not there is left out.
    fn fetch(&mut self, wanted: &[Oid], received: &mut Received) -> Outcome<()>;

    /// Sets the branch from one commit to another, whose new objects are given.
    fn push(&mut self, old: Option<Oid>, new: Oid, objects: &[NewObject]) -> Outcome<Pushed>;

    /// Returns by how many nanoseconds the remote's clock is ahead of ours, if it has one.
    fn clock_ahead(&self) -> Option<i64> {
        None
    }
}

impl Store {
    /// Returns the store in the git remote at `url`, which is shown as `description`. With `create`,
    /// a repository on this computer's disk is made if nothing is there.
    pub fn open_git(
        url: &str,
        description: &str,
        credentials: &Credentials,
        options: &GitOptions,
        create: bool,
    ) -> Result<Store> {
        let fail = |failure: GitFailure| {
            Error::new(Kind::Store, "cannot open")
                .object(description)
                .source(failure.sentence)
                .hint(failure.remedy)
        };
        let address = Address::parse(url).ok_or_else(|| {
            Error::usage("this is no address of a git repository:").object(description)
        })?;
        if !is_branch(&options.branch) {
            return Err(Error::usage("this is no name of a branch:").object(options.branch.clone()));
        }
        let wire = match &address {
            Address::Http(_) => Some(open_wire(&options.remote, description)?),
            Address::Folder(_) | Address::Ssh(_) => None,
        };
        // Both threads share one line.
        let limits = throttles(&options.remote);
        let open = || -> Outcome<Box<dyn Backend>> {
            match &address {
                Address::Folder(path) => {
                    Bare::open(path, &options.branch, create).map(|it| Box::new(it) as Box<_>)
                }
                Address::Ssh(address) => Ok(Box::new(Smart::new(
                    Ssh::new(address, options, limits.clone()),
                    &options.branch,
                ))),
                Address::Http(url) => {
                    let Some(wire) = wire.clone() else { return Err(GitFailure::odd("no wire")) };
                    let http = Http::new(url, wire, credentials, &options.clock)?;
                    Ok(Box::new(Smart::new(http, &options.branch)))
                }
            }
        };
        let mirror = Mirror::open(options.cache.as_deref(), url, &options.branch);
        let backends = [open().map_err(fail)?, open().map_err(fail)?];
        let keeper = Keeper::start(backends, mirror, options);
        let store = GitStore::new(keeper);
        Ok(Store { gathers: true, ..Store::from_object_store(Arc::new(store), description) }
            .remote())
    }
}

/// Tells whether git would take a name for a branch; narrower than git itself.
fn is_branch(name: &str) -> bool {
    let is_word = |word: &str| {
        !word.is_empty()
            && !word.starts_with(['.', '-'])
            && !word.ends_with('.')
            && !word.to_lowercase().ends_with(".lock")
            && !word.contains("..")
            && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    name.split('/').all(is_word)
}
