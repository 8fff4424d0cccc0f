//! The settings that open a store, one source after the other.
#![expect(clippy::disallowed_methods, reason = "reads the services' own files")]

use std::ffi::OsString;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::error::{Error, Kind, Result};
use crate::machine::environment::Environment;
use crate::machine::input::SECRET_VARIABLES;
use crate::store::{Credentials, Provider, RemotePlace, Service};

fn command_failed(why: String) -> Error {
    Error::new(Kind::Store, "the command that gives the store's credentials failed")
        .source(why)
        .hint("a command that was named is never replaced by another source")
}

/// How long such a command may take.
const PATIENCE: Duration = Duration::from_mins(1);
/// One that prints more than this, in bytes, gives no credentials.
const MOST_BYTES: u64 = 1 << 20;

/// Runs a command that gives credentials in a shell; returns what it prints.
pub(in crate::machine) fn printed_by(command: &OsString) -> Result<Zeroizing<String>> {
    printed_within(command, PATIENCE)
}

fn printed_within(command: &OsString, patience: Duration) -> Result<Zeroizing<String>> {
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(command).stdout(Stdio::piped()).stderr(Stdio::inherit());
    for name in SECRET_VARIABLES {
        shell.env_remove(name);
    }
    let failed = |error: std::io::Error| command_failed(error.to_string());
    let mut child = shell.stdin(Stdio::null()).spawn().map_err(failed)?;
    let output = child.stdout.take();
    let (sender, receiver) = mpsc::channel();
    // Beside, since a child of the command's may hold its output open for ever.
    std::thread::spawn(move || {
        let mut text = Zeroizing::new(Vec::new());
        let read = output.map_or(Ok(0), |it| it.take(MOST_BYTES).read_to_end(&mut text));
        let _gone = sender.send(read.map(|_| text));
    });
    let late = || command_failed(format!("it took more than {} s", patience.as_secs_f32()));
    let Ok(read) = receiver.recv_timeout(patience) else {
        end(&mut child);
        return Err(late());
    };
    let Some(status) = ended(&mut child, patience).map_err(failed)? else {
        end(&mut child);
        return Err(late());
    };
    if !status.success() {
        return Err(command_failed(format!("it ended with {status}")));
    }
    let text = read.map_err(failed)?;
    let text = std::str::from_utf8(&text).map_err(|_| command_failed("no text came".to_owned()))?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// Waits for the end of a command that has nothing more to say.
fn ended(child: &mut Child, patience: Duration) -> std::io::Result<Option<ExitStatus>> {
    const STEP: Duration = Duration::from_millis(10);
    for _ in 0..=patience.as_millis() / STEP.as_millis() {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        std::thread::sleep(STEP);
    }
    Ok(None)
}

fn end(child: &mut Child) {
    // One that has ended by itself is as well.
    let _ended = child.kill().is_ok() && child.wait().is_ok();
}

/// What has been found so far; what was found first counts.
pub(super) struct Found {
    service: Service,
    pub(super) credentials: Credentials,
    pub(super) region: Option<String>,
    pub(super) endpoint: Option<String>,
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
    /// Begins with nothing.
    pub(super) fn nothing(service: Service) -> Found {
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

    /// Takes what the service's own variables hold, or else its own files.
    pub(super) fn take_variables(&mut self, environment: &Environment) -> Result<()> {
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
    pub(super) fn take_places(&mut self, environment: &Environment) -> Result<()> {
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
    pub(super) fn take_command(&mut self, command: &OsString) -> Result<()> {
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

    /// Refuses to go on with what can open nothing.
    pub(super) fn check(&self, place: &RemotePlace) -> Result<()> {
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

    #[test]
    fn a_command_that_never_ends_is_not_waited_for() {
        let short = Duration::from_millis(300);
        for script in ["exec sleep 20", "echo x; exec 1>&-; exec sleep 20", "sleep 20 & echo x"] {
            let begun = jiff::Timestamp::now();
            let error = printed_within(&script.into(), short).unwrap_err();
            assert!(error.to_string().contains("more than 0.3 s"), "{error}");
            assert!(jiff::Timestamp::now().as_second() - begun.as_second() < 10, "{script}");
        }
        let long = Duration::from_mins(1);
        assert_eq!(printed_within(&"echo x".into(), long).unwrap().as_str(), "x\n");
    }
}
