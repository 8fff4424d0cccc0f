//! Where a remote store lies, as a plain value.

use std::net::IpAddr;

use super::{Credentials, RemoteOptions};

/// What kind of service it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// One that speaks S3.
    S3(Provider),
    /// Google Cloud Storage.
    Google,
    /// Azure Blob Storage.
    Azure,
}

/// Whose S3 it is: what need not be said of it, and what it can't do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// Amazon's own, or any other at an endpoint.
    Amazon,
    /// Cloudflare R2.
    R2,
    /// Backblaze B2.
    B2,
    /// MinIO.
    Minio,
}

/// Where a remote store lies. Shown, it is a location that means the same place again; it never
/// holds a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemotePlace {
    /// The service.
    pub service: Service,
    /// The server, with its scheme, where the service does not say it.
    pub endpoint: Option<String>,
    /// The bucket or container.
    pub bucket: String,
    /// What comes before all names in it; may be empty, never with a slash at its ends.
    pub prefix: String,
}

impl RemotePlace {
    /// Returns the same place with the server that is really asked. A bucket of the same name at
    /// another one is another store: neither what is remembered nor what is said of one holds for
    /// the other.
    #[must_use]
    pub fn in_use(&self, credentials: &Credentials, options: &RemoteOptions) -> RemotePlace {
        let account = credentials.get("azure_storage_account_name");
        let account = account.filter(|_| self.service == Service::Azure);
        let azure = account.map(|account| format!("https://{account}.blob.core.windows.net"));
        let endpoint = options.endpoint.clone().or_else(|| self.endpoint.clone()).or(azure);
        RemotePlace { endpoint, ..self.clone() }
    }
}

/// Returns the host in `HOST` or `HOST:PORT`; an address of IPv6 stands in brackets.
pub fn host_of(authority: &str) -> &str {
    match authority.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        Some((host, _)) => host,
        None => authority.split(':').next().unwrap_or(authority),
    }
}

/// Tells whether what is sent to a host stays within this computer, so that nobody can listen. A name
/// that only looks like an address (`127.evil.example`) is as far away as any other.
pub fn is_this_computer(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

impl std::fmt::Display for RemotePlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = match self.service {
            Service::S3(Provider::Amazon) => "s3",
            Service::S3(Provider::R2) => "r2",
            Service::S3(Provider::B2) => "b2",
            Service::S3(Provider::Minio) => "minio",
            Service::Google => "gs",
            Service::Azure => "az",
        };
        match &self.endpoint {
            Some(endpoint) => write!(f, "{scheme}:{endpoint}/{}", self.bucket)?,
            None => write!(f, "{scheme}://{}", self.bucket)?,
        }
        if self.prefix.is_empty() { Ok(()) } else { write!(f, "/{}", self.prefix) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_in_use_names_the_server() {
        let place = |service| RemotePlace {
            service,
            endpoint: None,
            bucket: "b".into(),
            prefix: "p".into(),
        };
        let mut credentials = Credentials::default();
        credentials.add("azure_storage_account_name", zeroize::Zeroizing::new("me".into()));
        let at = |service, endpoint: Option<&str>| {
            let endpoint = endpoint.map(str::to_owned);
            let options = RemoteOptions { endpoint, ..RemoteOptions::default() };
            place(service).in_use(&credentials, &options).to_string()
        };
        let amazon = Service::S3(Provider::Amazon);
        assert_eq!(at(amazon, None), "s3://b/p");
        assert_eq!(at(amazon, Some("https://host")), "s3:https://host/b/p");
        assert_eq!(at(Service::Azure, None), "az:https://me.blob.core.windows.net/b/p");
        assert_eq!(
            at(Service::Azure, Some("http://127.0.0.1:1/me")),
            "az:http://127.0.0.1:1/me/b/p"
        );
    }

    #[test]
    fn only_this_computer_is_this_computer() {
        for here in ["localhost", "localhost:9000", "127.0.0.1", "127.9.8.7:1", "[::1]", "[::1]:80"]
        {
            assert!(is_this_computer(host_of(here)), "{here}");
        }
        for far in [
            "127.evil.example",
            "127.0.0.1.evil.example:80",
            "localhost.evil.example",
            "[::2]",
            "10.0.0.1",
            "",
        ] {
            assert!(!is_this_computer(host_of(far)), "{far}");
        }
    }
}
