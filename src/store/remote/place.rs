//! Where a remote store lies, as a plain value.

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
