//! The client of each service: what `object_store` must be told, and what it can't do, which is
//! finding a bucket's region and making a bucket.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, header};
use object_store::aws::{
    AmazonS3Builder, AmazonS3ConfigKey, AwsAuthorizer, AwsCredentialProvider, Checksum,
};
use object_store::azure::{
    AzureAuthorizer, AzureConfigKey, AzureCredentialProvider, MicrosoftAzureBuilder,
};
use object_store::client::{HttpRequest, HttpRequestBody, HttpResponse, HttpService as _};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};

use super::wire::Wire;
use super::{Credentials, Provider, RemoteOptions, RemotePlace, Service};
use crate::store::calls::{Failed, note_request, traced};

/// What a client is made of.
pub(super) struct Settings<'a> {
    pub(super) place: &'a RemotePlace,
    pub(super) credentials: &'a Credentials,
    pub(super) endpoint: Option<String>,
    pub(super) options: &'a RemoteOptions,
    pub(super) wire: Wire,
}

/// The bucket itself, for what concerns it as a whole.
pub(super) enum Bucket {
    S3 {
        name: String,
        url: String,
        region: String,
        wire: Wire,
        credentials: AwsCredentialProvider,
        is_amazon: bool,
    },
    Azure {
        name: String,
        url: String,
        account: String,
        wire: Wire,
        credentials: AzureCredentialProvider,
    },
    Google {
        name: String,
    },
}

type Opened = (Bucket, Arc<dyn ObjectStore>);
type StoreResult<T> = object_store::Result<T>;

/// Opens the client.
pub(super) async fn open(settings: &Settings<'_>) -> Result<Opened, Failed> {
    match settings.place.service {
        Service::S3(provider) => s3(settings, provider).await,
        Service::Google => traced(async { google(settings) }).await,
        Service::Azure => traced(async { azure(settings) }).await,
    }
}

fn retry(options: &RemoteOptions) -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(200),
            max_backoff: Duration::from_secs(10),
            base: 2.0,
        },
        max_retries: 12,
        retry_timeout: options.patience,
    }
}

fn plain_http(endpoint: Option<&String>) -> ClientOptions {
    let is_plain = endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"));
    ClientOptions::new().with_allow_http(is_plain)
}

async fn s3(settings: &Settings<'_>, provider: Provider) -> Result<Opened, Failed> {
    let (options, place) = (settings.options, settings.place);
    let endpoint = settings.endpoint.as_ref();
    let told = options.region.clone().or_else(|| options.learned.region.clone());
    let usual = match provider {
        Provider::R2 => Some("auto".to_owned()),
        Provider::B2 => endpoint.and_then(|endpoint| region_of_b2(endpoint)),
        Provider::Amazon | Provider::Minio => None,
    };
    let told = told.or(usual);
    let build = |region: &str| -> StoreResult<(Bucket, Arc<dyn ObjectStore>)> {
        let is_amazon = endpoint.is_none();
        let mut builder = AmazonS3Builder::new();
        let known = settings.credentials.known(|name| name.parse::<AmazonS3ConfigKey>().ok());
        for (key, value) in known {
            builder = builder.with_config(key, value);
        }
        builder = builder
            .with_bucket_name(&place.bucket)
            .with_region(region)
            .with_retry(retry(options))
            // One answer for each object, which says why; not every server knows the other way.
            .with_disable_bulk_delete(true)
            .with_client_options(plain_http(endpoint))
            .with_http_connector(settings.wire.clone());
        let url = match endpoint {
            // An endpoint that begins with the bucket's name is the bucket itself.
            Some(endpoint) if is_virtual(endpoint, &place.bucket) => {
                builder = builder
                    .with_virtual_hosted_style_request(true)
                    .with_endpoint(endpoint.as_str());
                endpoint.clone()
            }
            Some(endpoint) => {
                builder = builder.with_endpoint(endpoint.as_str());
                format!("{endpoint}/{}", place.bucket)
            }
            None => {
                // A dot in a bucket's name does not fit under the server's certificate.
                let is_virtual = !place.bucket.contains('.');
                builder = builder
                    .with_virtual_hosted_style_request(is_virtual)
                    // Buckets with Object Lock ask for it; other makers' servers may not know it.
                    .with_checksum_algorithm(Checksum::SHA256);
                format!("https://s3.{region}.amazonaws.com/{}", place.bucket)
            }
        };
        let client = builder.build()?;
        let bucket = Bucket::S3 {
            name: place.bucket.clone(),
            url,
            region: region.to_owned(),
            wire: settings.wire.clone(),
            credentials: Arc::clone(client.credentials()),
            is_amazon,
        };
        Ok((bucket, Arc::new(client)))
    };
    if let Some(region) = told {
        return traced(async { build(&region) }).await;
    }
    let (bucket, client) = traced(async { build("us-east-1") }).await?;
    match bucket.find_region().await? {
        Some(region) if region != "us-east-1" => traced(async { build(&region) }).await,
        _ => Ok((bucket, client)),
    }
}

fn region_of_b2(endpoint: &str) -> Option<String> {
    let host = endpoint.split("//").nth(1)?;
    Some(host.strip_prefix("s3.")?.split_once('.')?.0.to_owned())
}

fn is_virtual(endpoint: &str, bucket: &str) -> bool {
    let host = endpoint.split("//").nth(1).unwrap_or(endpoint);
    host.strip_prefix(bucket).is_some_and(|rest| rest.starts_with('.'))
}

fn google(settings: &Settings<'_>) -> StoreResult<Opened> {
    let mut builder = GoogleCloudStorageBuilder::new();
    for (key, value) in settings.credentials.known(|name| name.parse::<GoogleConfigKey>().ok()) {
        builder = builder.with_config(key, value);
    }
    builder = builder
        .with_bucket_name(&settings.place.bucket)
        .with_retry(retry(settings.options))
        .with_client_options(plain_http(settings.endpoint.as_ref()))
        .with_http_connector(settings.wire.clone());
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_base_url(endpoint);
    }
    let bucket = Bucket::Google { name: settings.place.bucket.clone() };
    Ok((bucket, Arc::new(builder.build()?)))
}

fn azure(settings: &Settings<'_>) -> StoreResult<Opened> {
    let mut builder = MicrosoftAzureBuilder::new();
    for (key, value) in settings.credentials.known(|name| name.parse::<AzureConfigKey>().ok()) {
        builder = builder.with_config(key, value);
    }
    let name = settings.place.bucket.clone();
    builder = builder
        .with_container_name(&name)
        .with_retry(retry(settings.options))
        .with_client_options(plain_http(settings.endpoint.as_ref()))
        .with_http_connector(settings.wire.clone());
    let account = builder.get_config_value(&AzureConfigKey::AccountName).unwrap_or_default();
    let mut endpoint = format!("https://{account}.blob.core.windows.net");
    if let Some(told) = &settings.endpoint {
        endpoint.clone_from(told);
        builder = builder.with_endpoint(told.clone());
    }
    let client = builder.build()?;
    let bucket = Bucket::Azure {
        url: format!("{endpoint}/{name}"),
        name,
        account,
        wire: settings.wire.clone(),
        credentials: Arc::clone(client.credentials()),
    };
    Ok((bucket, Arc::new(client)))
}

impl Bucket {
    pub(super) fn name(&self) -> &str {
        match self {
            Bucket::S3 { name, .. } | Bucket::Azure { name, .. } | Bucket::Google { name } => name,
        }
    }

    pub(super) fn region(&self) -> Option<&str> {
        match self {
            Bucket::S3 { region, .. } => Some(region),
            _ => None,
        }
    }

    /// Asks the server where the bucket lies: one that lies elsewhere is refused by name of its
    /// region. Any other refusal will come again, where it can be told better.
    async fn find_region(&self) -> Result<Option<String>, Failed> {
        let Bucket::S3 { url, wire, .. } = self else { return Ok(None) };
        let call = async {
            let url = format!("{url}?list-type=2&max-keys=1");
            let response = wire.call(self.signed(Method::GET, &url, String::new()).await?).await;
            let response = response.map_err(generic)?;
            let header = response.headers().get("x-amz-bucket-region");
            let region = header.and_then(|region| region.to_str().ok()).map(str::to_owned);
            if response.status().is_success() { Ok(region) } else { Err(refused(&response)) }
        };
        match traced(call).await {
            Ok(region) => Ok(region),
            Err(Failed { answer: Some(answer), .. }) => Ok(answer.region.clone()),
            Err(failed) => Err(failed),
        }
    }

    /// Makes the bucket; says whether this service can.
    pub(super) async fn create(&self) -> StoreResult<bool> {
        let (wire, request) = match self {
            Bucket::Google { .. } => return Ok(false),
            Bucket::S3 { url, region, wire, is_amazon, .. } => {
                let body = if *is_amazon && region != "us-east-1" {
                    format!(
                        "<CreateBucketConfiguration \
                         xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><LocationConstraint>\
                         {region}</LocationConstraint></CreateBucketConfiguration>"
                    )
                } else {
                    String::new()
                };
                (wire, self.signed(Method::PUT, url, body).await?)
            }
            Bucket::Azure { url, wire, .. } => {
                let url = format!("{url}?restype=container");
                (wire, self.signed(Method::PUT, &url, String::new()).await?)
            }
        };
        let response = wire.call(request).await.map_err(generic)?;
        if response.status().is_success() { Ok(true) } else { Err(refused(&response)) }
    }

    async fn signed(&self, method: Method, url: &str, body: String) -> StoreResult<HttpRequest> {
        note_request(url);
        let mut request = http::Request::builder()
            .method(method)
            .uri(url)
            .header(header::CONTENT_LENGTH, body.len())
            .body(HttpRequestBody::from(body))
            .map_err(generic)?;
        match self {
            Bucket::S3 { credentials, region, .. } => {
                let credential = credentials.get_credential().await?;
                AwsAuthorizer::new(&credential, "s3", region).try_authorize(&mut request, None)?;
            }
            Bucket::Azure { credentials, account, .. } => {
                let credential = credentials.get_credential().await?;
                AzureAuthorizer::new(&credential, account).try_authorize(&mut request)?;
            }
            Bucket::Google { .. } => {}
        }
        Ok(request)
    }
}

fn generic(error: impl std::error::Error + Send + Sync + 'static) -> object_store::Error {
    object_store::Error::Generic { store: "bucket", source: Box::new(error) }
}

/// What a refusal says was noted by the wire.
fn refused(response: &HttpResponse) -> object_store::Error {
    let status = response.status();
    let source = format!("the server answered {status}").into();
    object_store::Error::Generic { store: "bucket", source }
}
