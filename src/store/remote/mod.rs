//! Stores behind a network: S3 and what speaks like it, Google's, Azure's.
//!
//! | file | owns |
//! |---|---|
//! | `place` | where a store lies, as a plain value |
//! | `credentials` | what opens it |
//! | `wire` | requests and responses: tries, silence, limits, what refusals say |
//! | `body`, `throttle` | bytes on their way |
//! | `service` | the client of each service, and making a bucket |
//! | `probe` | what a store can do, found out by doing it |
//! | `seen` | ranges fetched lately |
//!
//! **Patience**: a request ends when nothing moved for [`RemoteOptions::silence`] (30 s), is begun
//! again for at most [`RemoteOptions::patience`] (2 min) after it was first sent, and so takes at
//! most the sum of both. A server that never answered since the store was opened is not asked
//! twice. Slow is not silent: a transfer may take as long as something moves.

mod body;
mod credentials;
mod place;
mod probe;
mod seen;
mod service;
mod throttle;
mod wire;

use std::sync::Arc;
use std::time::Duration;

pub use credentials::Credentials;
pub use place::{Provider, RemotePlace, Service, host_of, is_this_computer};
pub use probe::{Probe, ProbeStep};

use object_store::ObjectStore;
use object_store::prefix::PrefixStore;

use self::seen::Seen;
use self::service::{Bucket, Settings};
use self::throttle::Throttle;
pub(super) use self::wire::Wire;
use super::Store;
use super::calls::runtime;
use super::objects::Creation;
use crate::error::{Error, Kind, Result};
use crate::event::{Reporter, Silent};
use crate::format::LIMITS;

/// Range reads are widened to steps of this, in bytes: a watcher learns less of what is read.
const GRID: u64 = 256 << 10;
/// How long an answer may be, in bytes: an object, or a page of a listing.
const LONGEST_ANSWER: u64 = LIMITS.object as u64 + (1 << 20);
/// How long a connection may take to come about.
const CONNECTING: Duration = Duration::from_secs(10);

/// What was found out about a store, and need not be found out again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Learned {
    /// The bucket's region.
    pub region: Option<String>,
    /// Whether it refuses to make what is there already. Nothing depends on it.
    pub creates: Option<bool>,
}

/// How to reach a remote store.
#[derive(Clone)]
pub struct RemoteOptions {
    /// The region, where it must be told.
    pub region: Option<String>,
    /// The server, in place of what the location says.
    pub endpoint: Option<String>,
    /// Certificates (PEM) that are trusted beside those of this computer.
    pub authorities: Option<Vec<u8>>,
    /// How fast to send, in bytes a second.
    pub upload_limit: Option<u64>,
    /// How fast to receive, in bytes a second.
    pub download_limit: Option<u64>,
    /// How long nothing may move.
    pub silence: Duration,
    /// How long a request that fails in passing is begun again.
    pub patience: Duration,
    /// What is known already.
    pub learned: Learned,
    /// Who is told of further tries.
    pub reporter: Arc<dyn Reporter>,
}

impl Default for RemoteOptions {
    fn default() -> Self {
        RemoteOptions {
            region: None,
            endpoint: None,
            authorities: None,
            upload_limit: None,
            download_limit: None,
            silence: Duration::from_secs(30),
            patience: Duration::from_mins(2),
            learned: Learned::default(),
            reporter: Arc::new(Silent),
        }
    }
}

/// What a remote store is beside its objects.
pub(super) struct Remote {
    bucket: Bucket,
    place: RemotePlace,
    pub(super) seen: Seen,
    /// Who is told of further tries.
    pub(super) reporter: Arc<dyn Reporter>,
}

impl Store {
    /// Returns the store at `place`. Asks the server for the bucket's region if nobody told it;
    /// otherwise nothing is sent yet.
    pub fn open_remote(
        place: &RemotePlace,
        credentials: &Credentials,
        options: &RemoteOptions,
    ) -> Result<Store> {
        let used = place.in_use(credentials, options);
        let description = used.to_string();
        let fail = |doing: &str| Error::new(Kind::Store, doing).object(description.clone());
        let runtime = runtime().ok_or_else(|| fail("cannot start the threads that reach"))?;
        let wire = open_wire(options, &description)?;
        let wire = Wire { most_bytes: Some(LONGEST_ANSWER), ..wire };
        let endpoint = options.endpoint.clone().or_else(|| place.endpoint.clone());
        let settings = Settings { place, credentials, endpoint, options, wire };
        let (bucket, inner) = runtime.block_on(service::open(&settings)).map_err(|failed| {
            let error = fail("cannot open");
            match super::failure::explain(&failed) {
                Some((sentence, remedy)) => error.source(sentence).hint(remedy),
                None => error.source(failed.error),
            }
        })?;
        let inner: Arc<dyn ObjectStore> = if place.prefix.is_empty() {
            inner
        } else {
            Arc::new(PrefixStore::new(inner, place.prefix.as_str()))
        };
        // B2 takes no conditions; elsewhere it costs nothing to ask.
        let creates = options.learned.creates.unwrap_or(place.service != Service::S3(Provider::B2));
        let creation = Creation::new(creates);
        if options.learned.creates.is_some() {
            creation.note(creates);
        }
        Ok(Store {
            inner,
            description: description.into(),
            grid: GRID,
            folder: None,
            is_remote: true,
            creation: Arc::new(creation),
            gathers: false,
            copies: None,
            remote: Some(Arc::new(Remote {
                bucket,
                place: used,
                seen: Seen::default(),
                reporter: Arc::clone(&options.reporter),
            })),
            record_patience: Duration::ZERO,
            refuses_deletion: Arc::default(),
        })
    }

    /// Makes the bucket that this store is in. One that is there already, and ours, is no error.
    pub fn create_bucket(&self) -> Result<()> {
        let Some(remote) = &self.remote else { return Ok(()) };
        match self.block_on(super::calls::traced(remote.bucket.create())) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Error::usage("stash makes no buckets in this service:")
                .object(self.description())
                .hint("make it in the service's own console, then run `stash init` again")),
            Err(failed) if is_own(&failed) => Ok(()),
            Err(failed) => Err(self.error("cannot make", remote.bucket.name(), failed)),
        }
    }

    /// Returns where a remote store is, with the server that is really asked.
    pub fn place(&self) -> Option<&RemotePlace> {
        self.remote.as_ref().map(|remote| &remote.place)
    }

    /// Returns what was found out about a remote store, to be remembered.
    pub fn learned(&self) -> Option<Learned> {
        let remote = self.remote.as_ref()?;
        Some(Learned {
            region: remote.bucket.region().map(str::to_owned),
            creates: self.creation.known(),
        })
    }
}

fn is_own(failed: &super::calls::Failed) -> bool {
    let code = failed.answer.as_ref().map(|answer| answer.code.as_str());
    matches!(code, Some("BucketAlreadyOwnedByYou" | "ContainerAlreadyExists"))
}

enum WireError {
    Authorities,
    Client(reqwest::Error),
}

/// Prepares what sends requests.
pub(super) fn open_wire(options: &RemoteOptions, description: &str) -> Result<Wire> {
    wire(options).map_err(|error| match error {
        WireError::Authorities => Error::usage("the file of `--ca-file` holds no certificate")
            .hint("it must be PEM: `-----BEGIN CERTIFICATE-----`"),
        WireError::Client(error) => {
            Error::new(Kind::Store, "cannot prepare to reach").object(description).source(error)
        }
    })
}

fn wire(options: &RemoteOptions) -> Result<Wire, WireError> {
    // Already done by an earlier store, or by a program that uses this crate: both are fine.
    let _earlier = rustls::crypto::ring::default_provider().install_default();
    let mut client = reqwest::Client::builder()
        .user_agent(concat!("stash/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECTING.min(options.silence))
        .redirect(reqwest::redirect::Policy::none())
        .http1_only();
    if let Some(pem) = &options.authorities {
        let authorities =
            reqwest::Certificate::from_pem_bundle(pem).map_err(|_| WireError::Authorities)?;
        if authorities.is_empty() {
            return Err(WireError::Authorities);
        }
        client = client.tls_certs_merge(authorities);
    }
    let (upload, download) = throttles(options);
    Ok(Wire {
        client: client.build().map_err(WireError::Client)?,
        silence: options.silence,
        upload,
        download,
        reporter: Arc::clone(&options.reporter),
        most_bytes: None,
        has_answered: Arc::default(),
    })
}

/// A limit that all share that go one way.
pub(super) type Limit = Option<Arc<Throttle>>;

/// Returns the limits of both ways: sending, and receiving.
pub(super) fn throttles(options: &RemoteOptions) -> (Limit, Limit) {
    let throttle = |limit: Option<u64>| limit.map(|limit| Arc::new(Throttle::new(limit)));
    (throttle(options.upload_limit), throttle(options.download_limit))
}
