//! What opens a remote store: where its credentials, region and endpoint come from.
//!
//! Order: `--credentials-command`; then the service's own variables (for B2, `B2_…` before
//! `AWS_…`); then the files that its own tools keep: AWS's shared credentials and config (profile
//! `AWS_PROFILE`, else `default`), Google's application default. A command that was named and fails
//! is an error; nothing else is tried in its place. Nothing of it is ever an argument or shown.
#![expect(clippy::disallowed_methods, reason = "reads the services' own files")]

mod found;

#[cfg(feature = "git")]
pub(super) use found::printed_by;

use std::ffi::OsString;
use std::path::PathBuf;

use self::found::Found;
use super::config::{RepositoryEntry, Stated};
use super::environment::Environment;
use crate::error::{Error, IoContext as _, Result};
use crate::store::{Credentials, Provider, RemoteOptions, RemotePlace, Service};

/// What was said on the command line about reaching a remote store.
#[derive(Debug, Clone, Default)]
pub struct AccessOptions {
    /// `--region`.
    pub region: Option<String>,
    /// `--endpoint`.
    pub endpoint: Option<String>,
    /// `--ca-file`.
    pub ca_file: Option<PathBuf>,
    /// `--credentials-command`.
    pub credentials_command: Option<OsString>,
    /// `--limit-upload`, in KiB a second.
    pub upload_kib: Option<u64>,
    /// `--limit-download`, in KiB a second.
    pub download_kib: Option<u64>,
}

impl AccessOptions {
    /// Adds what the configuration says of the repository, where nothing else was said.
    pub fn or_configured(
        self,
        entry: Option<&RepositoryEntry>,
        environment: &Environment,
    ) -> Result<Self> {
        let Some(entry) = entry else { return Ok(self) };
        let text = |stated: &Option<Stated<String>>| stated.as_ref().map(|it| it.value.clone());
        let number = |stated: &Option<Stated<u32>>| stated.as_ref().map(|it| it.value.into());
        let ca_file = entry.ca_file.as_ref().map(|it| environment.expand_home(&it.value));
        Ok(AccessOptions {
            region: self.region.or(text(&entry.region)),
            endpoint: self.endpoint.or(text(&entry.endpoint)),
            ca_file: self.ca_file.or(ca_file.transpose()?),
            credentials_command: self
                .credentials_command
                .or(text(&entry.credentials_command).map(OsString::from)),
            upload_kib: self.upload_kib.or(number(&entry.limit_upload)),
            download_kib: self.download_kib.or(number(&entry.limit_download)),
        })
    }
}

/// Finds what opens the store at `place`, and how to reach it.
pub fn store_access(
    place: &RemotePlace,
    options: &AccessOptions,
    environment: &Environment,
) -> Result<(Credentials, RemoteOptions)> {
    let mut found = Found::nothing(place.service);
    match &options.credentials_command {
        Some(command) => found.take_command(command)?,
        None => found.take_variables(environment)?,
    }
    found.take_places(environment)?;
    found.check(place)?;
    let authorities = match &options.ca_file {
        Some(file) => Some(std::fs::read(file).at("cannot read the certificates in", file)?),
        None => None,
    };
    let region = options.region.clone().or(found.region);
    let endpoint = options
        .endpoint
        .as_deref()
        .or(found.endpoint.as_deref().filter(|_| place.endpoint.is_none()));
    let endpoint = match endpoint {
        Some(endpoint) => Some(whole_endpoint(endpoint)?),
        None => preset_endpoint(place, region.as_deref())?,
    };
    let bytes = |kib: u64| kib.saturating_mul(1024);
    let options = RemoteOptions {
        region,
        endpoint,
        authorities,
        upload_limit: options.upload_kib.map(bytes),
        download_limit: options.download_kib.map(bytes),
        ..RemoteOptions::default()
    };
    Ok((found.credentials, options))
}

fn whole_endpoint(text: &str) -> Result<String> {
    let text = text.trim_end_matches('/');
    if text.contains('@') {
        return Err(Error::usage("credentials don't belong into an endpoint"));
    }
    let has_scheme = text.starts_with("http://") || text.starts_with("https://");
    Ok(if has_scheme { text.to_owned() } else { format!("https://{text}") })
}

fn preset_endpoint(place: &RemotePlace, region: Option<&str>) -> Result<Option<String>> {
    match (place.service, &place.endpoint) {
        (Service::S3(Provider::B2), None) => match region {
            Some(region) => Ok(Some(format!("https://s3.{region}.backblazeb2.com"))),
            None => Err(Error::usage("which region is the B2 bucket in?")
                .hint("give `--region` or `B2_REGION`: `us-west-004`, as its endpoint shows")),
        },
        (Service::S3(Provider::R2), None) => Err(Error::usage("which R2 account is meant?").hint(
            "write `r2:ACCOUNT_ID/BUCKET` (`ACCOUNT_ID.eu` for the EU), or set `R2_ACCOUNT_ID`",
        )),
        (Service::S3(Provider::Minio), None) => Err(Error::usage("where is the MinIO server?")
            .hint("write `minio:HOST:9000/BUCKET`, or give `--endpoint`")),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn place(service: Service) -> RemotePlace {
        RemotePlace { service, endpoint: None, bucket: "b".into(), prefix: String::new() }
    }

    fn access(
        service: Service,
        options: &AccessOptions,
        pairs: &[(&str, &str)],
    ) -> Result<(Credentials, RemoteOptions)> {
        store_access(&place(service), options, &Environment::given(pairs.iter().copied()))
    }

    const S3: Service = Service::S3(Provider::Amazon);

    #[test]
    fn a_service_reads_its_own_variables() {
        let none = AccessOptions::default();
        let pairs = [
            ("AWS_ACCESS_KEY_ID", "aws"),
            ("AWS_SECRET_ACCESS_KEY", "s"),
            ("B2_KEY_ID", "b2"),
            ("B2_APPLICATION_KEY", "k"),
            ("B2_REGION", "us-west-004"),
            ("AWS_REGION", "eu-west-1"),
        ];
        let (credentials, options) = access(S3, &none, &pairs).ok().unwrap();
        assert_eq!(credentials.get("aws_access_key_id"), Some("aws"));
        assert_eq!(options.region.as_deref(), Some("eu-west-1"));
        let (credentials, options) = access(Service::S3(Provider::B2), &none, &pairs).ok().unwrap();
        assert_eq!(credentials.get("aws_access_key_id"), Some("b2"));
        assert_eq!(credentials.get("aws_secret_access_key"), Some("k"));
        let endpoint = options.endpoint.unwrap();
        assert_eq!(endpoint, "https://s3.us-west-004.backblazeb2.com");
        let azure = [(
            "AZURE_STORAGE_CONNECTION_STRING",
            "AccountName=me;AccountKey=a2V5;BlobEndpoint=http://127.0.0.1:1/me",
        )];
        let (credentials, options) = access(Service::Azure, &none, &azure).ok().unwrap();
        assert_eq!(credentials.get("azure_storage_account_key"), Some("a2V5"));
        assert_eq!(options.endpoint.as_deref(), Some("http://127.0.0.1:1/me"));
    }

    #[test]
    fn a_profile_is_read_where_no_variable_is_set() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join(".aws")).unwrap();
        let write = |name: &str, text: &str| {
            std::fs::write(home.path().join(".aws").join(name), text).unwrap();
        };
        write(
            "credentials",
            "[default]\naws_access_key_id = d\naws_secret_access_key=x\n[work]\n# c\n\
             aws_access_key_id=w\naws_secret_access_key = y = z\n",
        );
        write("config", "[profile work]\nregion = eu-north-1\n");
        let home = home.path().to_str().unwrap();
        let none = AccessOptions::default();
        let (credentials, _) = access(S3, &none, &[("HOME", home)]).ok().unwrap();
        assert_eq!(credentials.get("aws_access_key_id"), Some("d"));
        let work = [("HOME", home), ("AWS_PROFILE", "work")];
        let (credentials, options) = access(S3, &none, &work).ok().unwrap();
        assert_eq!(credentials.get("aws_secret_access_key"), Some("y = z"));
        assert_eq!(options.region.as_deref(), Some("eu-north-1"));
        let absent = [("HOME", home), ("AWS_PROFILE", "absent")];
        assert_eq!(access(S3, &none, &absent).err().unwrap().kind(), Kind::Usage);
    }

    #[test]
    fn a_command_gives_lines_or_json_and_its_failure_is_one() {
        let run = |script: &str| {
            let command = Some(OsString::from(script));
            let options =
                AccessOptions { credentials_command: command, ..AccessOptions::default() };
            access(S3, &options, &[("AWS_ACCESS_KEY_ID", "no"), ("AWS_SECRET_ACCESS_KEY", "no")])
        };
        for script in [
            "echo 'export AWS_ACCESS_KEY_ID=\"yes\"'; echo AWS_SECRET_ACCESS_KEY=s",
            "echo '{\"Version\": 1, \"AccessKeyId\": \"yes\", \"SecretAccessKey\": \"s\"}'",
            "echo '{\"Credentials\": {\"AccessKeyId\": \"yes\", \"SecretAccessKey\": \"s\"}}'",
        ] {
            let (credentials, _) = run(script).ok().unwrap();
            assert_eq!(credentials.get("aws_access_key_id"), Some("yes"), "{script}");
        }
        for script in ["exit 1", "echo hello", "true", "echo '{\"hunter2'"] {
            let error = run(script).err().unwrap();
            assert_eq!(error.kind(), Kind::Store, "{script}");
            assert!(!error.to_string().contains("hunter2"));
        }
    }

    #[test]
    fn without_credentials_the_hint_names_the_variables() {
        for (service, variable) in [
            (S3, "AWS_ACCESS_KEY_ID"),
            (Service::Google, "GOOGLE_APPLICATION_CREDENTIALS"),
            (Service::Azure, "AZURE_STORAGE_ACCOUNT"),
        ] {
            let error = access(service, &AccessOptions::default(), &[("HOME", "/nowhere")]);
            let error = error.err().unwrap();
            assert_eq!(error.kind(), Kind::Store);
            assert!(error.hint_text().unwrap().contains(variable));
        }
    }
}
