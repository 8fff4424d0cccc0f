//! What opens a remote store: where its credentials, region and endpoint come from.
//!
//! Order: `--credentials-command`; then the service's own variables (for B2, `B2_…` before
//! `AWS_…`); then the files that its own tools keep: AWS's shared credentials and config (profile
//! `AWS_PROFILE`, else `default`), Google's application default. A command that was named and fails
//! is an error; nothing else is tried in its place. Nothing of it is ever an argument or shown.
#![expect(clippy::disallowed_methods, reason = "reads the services' own files")]

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use zeroize::Zeroizing;

use super::environment::Environment;
use super::input::SECRET_VARIABLES;
use crate::error::{Error, IoContext as _, Kind, Result};
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

/// Finds what opens the store at `place`, and how to reach it.
pub fn store_access(
    place: &RemotePlace,
    options: &AccessOptions,
    environment: &Environment,
) -> Result<(Credentials, RemoteOptions)> {
    let mut found = Found { service: place.service, ..Found::default_of(place.service) };
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

/// What has been found so far; what was found first counts.
struct Found {
    service: Service,
    credentials: Credentials,
    region: Option<String>,
    endpoint: Option<String>,
}

const AWS: &[&str] = &[
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
];
const B2: &[&str] = &[
    "B2_KEY_ID",
    "B2_APPLICATION_KEY_ID",
    "B2_ACCOUNT_ID",
    "B2_APPLICATION_KEY",
    "B2_ACCOUNT_KEY",
];
const GOOGLE: &[&str] = &[
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_SERVICE_ACCOUNT",
    "GOOGLE_SERVICE_ACCOUNT_PATH",
    "GOOGLE_SERVICE_ACCOUNT_KEY",
    "GOOGLE_BEARER_TOKEN",
];
const AZURE: &[&str] = &[
    "AZURE_STORAGE_CONNECTION_STRING",
    "AZURE_STORAGE_ACCOUNT",
    "AZURE_STORAGE_ACCOUNT_NAME",
    "AZURE_STORAGE_KEY",
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_ACCESS_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_STORAGE_SAS_KEY",
    "AZURE_STORAGE_TOKEN",
    "AZURE_STORAGE_CLIENT_ID",
    "AZURE_STORAGE_CLIENT_SECRET",
    "AZURE_STORAGE_TENANT_ID",
    "AZURE_CLIENT_ID",
    "AZURE_CLIENT_SECRET",
    "AZURE_TENANT_ID",
    "AZURE_FEDERATED_TOKEN_FILE",
];

impl Found {
    fn default_of(service: Service) -> Found {
        Found { service, credentials: Credentials::default(), region: None, endpoint: None }
    }

    /// Takes one setting under whatever name people give it.
    fn take(&mut self, name: &str, value: Zeroizing<String>) {
        let name = name.to_ascii_lowercase();
        let name = match name.as_str() {
            "b2_key_id" | "b2_application_key_id" | "b2_account_id" | "accesskeyid" => {
                "aws_access_key_id"
            }
            "b2_application_key" | "b2_account_key" | "secretaccesskey" => "aws_secret_access_key",
            "sessiontoken" => "aws_session_token",
            "azure_storage_account" => "azure_storage_account_name",
            "azure_storage_key" => "azure_storage_account_key",
            "azure_storage_connection_string" => return self.take_connection(&value),
            "aws_region" | "aws_default_region" | "b2_region" | "region" => {
                self.region.get_or_insert_with(|| value.to_string());
                return;
            }
            "aws_endpoint_url_s3" | "aws_endpoint_url" | "azure_storage_endpoint" | "endpoint" => {
                self.endpoint.get_or_insert_with(|| value.to_string());
                return;
            }
            other => other,
        };
        self.credentials.add(name, value);
    }

    fn take_connection(&mut self, text: &str) {
        for (name, value) in text.split(';').filter_map(|pair| pair.split_once('=')) {
            let name = match name.trim() {
                "AccountName" => "azure_storage_account_name",
                "AccountKey" => "azure_storage_account_key",
                "SharedAccessSignature" => "azure_storage_sas_token",
                "BlobEndpoint" => "azure_storage_endpoint",
                _ => continue,
            };
            self.take(name, Zeroizing::new(value.trim().to_owned()));
        }
    }

    fn take_variables(&mut self, environment: &Environment) -> Result<()> {
        let lists: &[&[&str]] = match self.service {
            Service::S3(Provider::B2) => &[B2, AWS],
            Service::S3(_) => &[AWS],
            Service::Google => &[GOOGLE],
            Service::Azure => &[AZURE],
        };
        for list in lists {
            for name in *list {
                if let Some(value) = environment.text(name)? {
                    self.take(name, Zeroizing::new(value));
                }
            }
            // An id of one kind and a secret of another fit nobody's lock.
            if !self.credentials.is_empty() {
                break;
            }
        }
        match self.service {
            Service::S3(_) if self.credentials.is_empty() => self.take_profile(environment),
            Service::Google if self.credentials.is_empty() => {
                let home = environment.home().unwrap_or_default();
                let file = home.join(".config/gcloud/application_default_credentials.json");
                if let Some(path) = file.to_str().filter(|_| file.exists()) {
                    let path = Zeroizing::new(path.to_owned());
                    self.take("google_application_credentials", path);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Takes region and endpoint, which are no secrets, from variables.
    fn take_places(&mut self, environment: &Environment) -> Result<()> {
        let names: &[&str] = match self.service {
            Service::S3(Provider::B2) => &["B2_REGION", "AWS_REGION", "AWS_DEFAULT_REGION"],
            Service::S3(Provider::Amazon | Provider::Minio) => {
                &["AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]
            }
            Service::S3(Provider::R2) | Service::Google => &[],
            Service::Azure => &["AZURE_STORAGE_ENDPOINT"],
        };
        for name in names {
            if let Some(value) = environment.text(name)? {
                self.take(name, Zeroizing::new(value));
            }
        }
        Ok(())
    }

    fn take_profile(&mut self, environment: &Environment) -> Result<()> {
        let home = environment.home().unwrap_or_default();
        let profile = environment.text("AWS_PROFILE")?;
        let name = profile.as_deref().unwrap_or("default");
        let files = [
            ("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials", name.to_owned()),
            ("AWS_CONFIG_FILE", ".aws/config", format!("profile {name}")),
        ];
        let mut process = None;
        let mut is_there = false;
        for (variable, usual, section) in files {
            let file = environment.get(variable).map_or_else(|| home.join(usual), PathBuf::from);
            let Ok(text) = std::fs::read_to_string(&file).map(Zeroizing::new) else { continue };
            let wanted = |own: &str| own == section || own == name;
            for (key, value) in section_of(&text, wanted) {
                is_there = true;
                match key {
                    "credential_process" => process = Some(OsString::from(value)),
                    "aws_access_key_id"
                    | "aws_secret_access_key"
                    | "aws_session_token"
                    | "region" => self.take(key, Zeroizing::new(value.to_owned())),
                    "endpoint_url" => self.take("endpoint", Zeroizing::new(value.to_owned())),
                    _ => {}
                }
            }
        }
        if let Some(profile) = profile.filter(|_| !is_there) {
            return Err(Error::usage(format!("there is no AWS profile `{profile}`"))
                .hint("`AWS_PROFILE` names it; it should be in `~/.aws/credentials`"));
        }
        match process {
            Some(command) if self.credentials.is_empty() => self.take_command(&command),
            _ => Ok(()),
        }
    }

    /// Runs a command in a shell and takes what it prints: a JSON object, or lines `NAME=VALUE`.
    fn take_command(&mut self, command: &OsString) -> Result<()> {
        let text = printed_by(command)?;
        let text = text.as_str();
        let failed = command_failed;
        if text.trim_start().starts_with('{') {
            // What the parser complains of could show a part of a secret.
            let json: serde_json::Value = serde_json::from_str(text)
                .map_err(|_| failed("its JSON is cut or wrong".into()))?;
            // Google's key files are such objects themselves.
            if json.get("private_key").is_some() || json.get("refresh_token").is_some() {
                self.take("google_service_account_key", Zeroizing::new(text.to_owned()));
                return Ok(());
            }
            let object = json.get("Credentials").unwrap_or(&json).as_object();
            for (name, value) in object.into_iter().flatten() {
                if let Some(value) = value.as_str() {
                    self.take(name, Zeroizing::new(value.to_owned()));
                }
            }
        } else {
            for (name, value) in text.lines().filter_map(|line| line.split_once('=')) {
                let name = name.trim().trim_start_matches("export ").trim();
                let value = value.trim().trim_matches(['"', '\'']);
                self.take(name, Zeroizing::new(value.to_owned()));
            }
        }
        if self.credentials.is_empty() {
            return Err(failed("it printed neither JSON nor lines `NAME=VALUE`".to_owned()));
        }
        Ok(())
    }

    fn check(&self, place: &RemotePlace) -> Result<()> {
        let has = |name: &str| self.credentials.get(name).is_some();
        let (is_enough, hint) = match self.service {
            Service::S3(provider) => (
                (has("aws_access_key_id") && has("aws_secret_access_key"))
                    || has("aws_web_identity_token_file")
                    || has("aws_container_credentials_relative_uri")
                    || has("aws_container_credentials_full_uri"),
                if provider == Provider::B2 {
                    "set `B2_KEY_ID` and `B2_APPLICATION_KEY`, or give `--credentials-command`"
                } else {
                    "set `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, fill `~/.aws/credentials`, \
                     or give `--credentials-command`"
                },
            ),
            Service::Google => (
                !self.credentials.is_empty(),
                "set `GOOGLE_APPLICATION_CREDENTIALS` to a key file, or give `--credentials-command`",
            ),
            Service::Azure => (
                has("azure_storage_account_name")
                    && [
                        "azure_storage_account_key",
                        "azure_storage_access_key",
                        "azure_storage_sas_token",
                        "azure_storage_sas_key",
                        "azure_storage_token",
                        "azure_storage_client_secret",
                        "azure_client_secret",
                        "azure_federated_token_file",
                    ]
                    .into_iter()
                    .any(has),
                "set `AZURE_STORAGE_ACCOUNT` and `AZURE_STORAGE_KEY` (or a SAS token), or give \
                 `--credentials-command`",
            ),
        };
        if is_enough {
            return Ok(());
        }
        Err(Error::new(Kind::Store, "no credentials for").object(place.to_string()).hint(hint))
    }
}

fn command_failed(why: String) -> Error {
    Error::new(Kind::Store, "the command that gives the store's credentials failed")
        .source(why)
        .hint("a command that was named is never replaced by another source")
}

/// Runs a command that gives credentials in a shell; returns what it prints.
pub(super) fn printed_by(command: &OsString) -> Result<Zeroizing<String>> {
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(command).stdout(Stdio::piped()).stderr(Stdio::inherit());
    for name in SECRET_VARIABLES {
        shell.env_remove(name);
    }
    let output = shell.output().map_err(|error| command_failed(error.to_string()))?;
    let text = Zeroizing::new(output.stdout);
    if !output.status.success() {
        return Err(command_failed(format!("it ended with {}", output.status)));
    }
    let text = std::str::from_utf8(&text).map_err(|_| command_failed("no text came".to_owned()))?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// Returns the settings of the sections of an INI text that are wanted.
fn section_of(text: &str, wanted: impl Fn(&str) -> bool) -> impl Iterator<Item = (&str, &str)> {
    let mut is_wanted = false;
    text.lines().map(str::trim).filter_map(move |line| {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.split(']').next()) {
            is_wanted = wanted(name.trim());
            return None;
        }
        let is_comment = line.starts_with(['#', ';']);
        let (key, value) = line.split_once('=').filter(|_| is_wanted && !is_comment)?;
        Some((key.trim(), value.trim()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
