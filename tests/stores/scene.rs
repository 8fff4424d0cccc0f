//! Stores to run on, and a machine that keeps a folder in one.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use stash::engine::check::{CheckOptions, ReadData, check};
use stash::error::Result;
use stash::event::{Counters, Silent};
use stash::repository::Repository;
use stash::store::{Credentials, Provider, RemoteOptions, RemotePlace, Service, Store};
use zeroize::Zeroizing;

use crate::common_engine::trees::{assert_same, tree};
use crate::common_engine::{
    LATER, SECOND, folders, init, latest, noise, open, open_fresh, put, restored, save,
};
use crate::common_s3::{Behaviour, KEY, Server};

/// A store to run on, and what must live as long as it does.
pub(crate) struct Running {
    pub(crate) name: String,
    pub(crate) store: Store,
    _folder: Option<tempfile::TempDir>,
    _server: Option<Server>,
}

/// Returns options that don't wait for long.
pub(crate) fn hasty() -> RemoteOptions {
    RemoteOptions {
        silence: Duration::from_millis(1500),
        patience: Duration::from_secs(3),
        reporter: Arc::new(Silent),
        ..RemoteOptions::default()
    }
}

pub(crate) fn keys(pairs: &[(&str, &str)]) -> Credentials {
    let mut credentials = Credentials::default();
    for (name, value) in pairs {
        credentials.add(name, Zeroizing::new((*value).to_owned()));
    }
    credentials
}

pub(crate) fn s3_keys(key: &str, secret: &str) -> Credentials {
    keys(&[("aws_access_key_id", key), ("aws_secret_access_key", secret)])
}

pub(crate) fn place(endpoint: &str, bucket: &str, prefix: &str) -> RemotePlace {
    RemotePlace {
        service: Service::S3(Provider::Amazon),
        endpoint: Some(endpoint.to_owned()),
        bucket: bucket.to_owned(),
        prefix: prefix.to_owned(),
    }
}

/// Opens a bucket of the tests' own server.
pub(crate) fn connect(server: &Server, prefix: &str) -> Store {
    connect_with(server, prefix, &hasty()).unwrap()
}

pub(crate) fn connect_with(
    server: &Server,
    prefix: &str,
    options: &RemoteOptions,
) -> Result<Store> {
    let place = place(&server.endpoint(), "bucket", prefix);
    Store::open_remote(&place, &s3_keys(KEY, "secret"), options)
}

/// Returns options for git whose clock is this computer's. Real programs answer: on a busy computer
/// they may take a while.
#[cfg(feature = "git")]
pub(crate) fn git_options() -> stash::store::GitOptions {
    let options = stash::store::GitOptions::new(Arc::new(stash::machine::SystemClock));
    let remote = RemoteOptions { silence: Duration::from_secs(20), ..hasty() };
    stash::store::GitOptions { remote, ..options }
}

/// Opens a git remote; one on this disk is made if nothing is there.
#[cfg(feature = "git")]
pub(crate) fn git(url: &str, options: &stash::store::GitOptions) -> Result<Store> {
    Store::open_git(url, url, &Credentials::default(), options, true)
}

/// Returns the real servers that were started for these tests, with an own prefix each time.
fn real(prefix: &str) -> Vec<Running> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::SeqCst);
    let prefix = format!("test-{}-{number}/{prefix}", std::process::id());
    let words = |name: &str| -> Option<Vec<String>> {
        let text = std::env::var(name).ok()?;
        Some(text.split_whitespace().map(str::to_owned).collect())
    };
    let mut found = Vec::new();
    if let Some(words) = words("STASH_TEST_S3") {
        let place = place(&words[0], "stash-tests", prefix.trim_end_matches('/'));
        let options = RemoteOptions { region: words.get(3).cloned(), ..RemoteOptions::default() };
        let store = Store::open_remote(&place, &s3_keys(&words[1], &words[2]), &options).unwrap();
        store.create_bucket().unwrap();
        found.push(("STASH_TEST_S3", store));
    }
    if let Some(words) = words("STASH_TEST_AZURE") {
        let place = RemotePlace {
            service: Service::Azure,
            ..place(&words[0], "stash-tests", prefix.trim_end_matches('/'))
        };
        let pairs = [
            ("azure_storage_account_name", words[1].as_str()),
            ("azure_storage_account_key", words[2].as_str()),
        ];
        let store = Store::open_remote(&place, &keys(&pairs), &RemoteOptions::default()).unwrap();
        store.create_bucket().unwrap();
        found.push(("STASH_TEST_AZURE", store));
    }
    let running = |(name, store): (&str, Store)| Running {
        name: name.to_owned(),
        store,
        _folder: None,
        _server: None,
    };
    found.into_iter().map(running).collect()
}

/// Returns every store there is to run on, each empty.
pub(crate) fn stores(prefix: &str) -> Vec<Running> {
    let folder = tempfile::tempdir().unwrap();
    let mut all = vec![
        Running { name: "memory".into(), store: Store::memory(), _folder: None, _server: None },
        Running {
            name: "folder".into(),
            store: Store::folder(&folder.path().join("repository"), true).unwrap(),
            _folder: Some(folder),
            _server: None,
        },
    ];
    for creates in [true, false] {
        let server = Server::start(Behaviour { creates, ..Behaviour::default() });
        let store = connect(&server, prefix.trim_end_matches('/'));
        let name = format!("own server, honours creation: {creates}");
        all.push(Running { name, store, _folder: None, _server: Some(server) });
    }
    #[cfg(feature = "git")]
    {
        let folder = tempfile::tempdir().unwrap();
        let store =
            git(&format!("file://{}", folder.path().join("bare").display()), &git_options());
        all.push(Running {
            name: "git".into(),
            store: store.unwrap(),
            _folder: Some(folder),
            _server: None,
        });
    }
    all.extend(real(prefix));
    all
}

/// A machine with a folder to save.
pub(crate) struct Machine {
    pub(crate) base: tempfile::TempDir,
    pub(crate) now: i64,
}

impl Machine {
    pub(crate) fn new() -> Machine {
        Machine { base: tempfile::tempdir().unwrap(), now: LATER }
    }

    pub(crate) fn source(&self) -> PathBuf {
        self.base.path().join("source")
    }

    /// Makes the folder anew: `megabytes` that don't compress, and many small files.
    pub(crate) fn fill(&self, seed: u64, megabytes: u64) {
        for number in 0..40 {
            put(
                &self.source().join(format!("dir{}/small{number}", number % 5)),
                noise(seed + number, 900),
            );
        }
        for number in 0..megabytes {
            put(
                &self.source().join(format!("large/{number}")),
                noise(seed * 1000 + number, 1 << 20),
            );
        }
    }

    pub(crate) fn init(&self, store: &Store) -> Repository {
        init(store, &folders(self.base.path()))
    }

    pub(crate) fn open(&self, store: &Store) -> Result<Repository> {
        open(store, &folders(self.base.path()))
    }

    pub(crate) fn save(&mut self, store: &Store) -> Result<()> {
        self.now += 10 * SECOND;
        let repository = self.open(store)?;
        save(&repository, &self.source(), self.now).map(|_| ())
    }

    /// Restores the newest snapshot as a new machine would, and compares.
    pub(crate) fn assert_restores(&self, store: &Store, what: &str) {
        let repository = open_fresh(store);
        let out = tempfile::tempdir().unwrap();
        let got = restored(&repository, &latest(&repository), out.path());
        assert_same(&tree(&got), &tree(&self.source()), what);
    }

    /// Reads all that is stored.
    pub(crate) fn assert_sound(store: &Store, what: &str) {
        let repository = open_fresh(store);
        let options =
            CheckOptions { read_data: ReadData::All, threads: 3, ..CheckOptions::default() };
        let report = check(&repository, &options, &Counters::default()).unwrap();
        assert!(report.findings.is_empty(), "{what}: {:#?}", report.findings);
    }
}
