//! Locations behind a network, as people paste them.
//!
//! | form | means |
//! |---|---|
//! | `s3://BUCKET/PREFIX`, `s3:BUCKET/PREFIX` | S3: Amazon's, or at the endpoint of `--endpoint` |
//! | `s3:https://HOST/BUCKET/PREFIX`, `s3:HOST/BUCKET/PREFIX` | S3 at that server (restic's form) |
//! | `r2:ACCOUNT/BUCKET/PREFIX`, `r2:ACCOUNT.eu/…`, `r2:BUCKET/…` | Cloudflare R2; the account's id with its jurisdiction, or from `R2_ACCOUNT_ID` |
//! | `b2:BUCKET/PREFIX`, `b2:BUCKET:PREFIX` | Backblaze B2; its region from `--region` or `B2_REGION` |
//! | `minio:HOST:PORT/BUCKET/PREFIX`, `minio:https://…` | MinIO; without TLS only on this computer, or where `http://` says so |
//! | `gs://BUCKET/PREFIX`, `gs:BUCKET:/PREFIX` | Google Cloud Storage |
//! | `az://CONTAINER/PREFIX`, `azure:CONTAINER:/PREFIX` | Azure; the account from `AZURE_STORAGE_ACCOUNT` |
//! | `git+ssh://…`, `git+https://…`, `git+file://…`, `USER@HOST:PATH`, `https://….git`, `github:OWNER/NAME` | a git remote; `#BRANCH` behind it names another branch than `stash` |
//!
//! Nobody's secret belongs into a location, which every user of this computer can read in the list
//! of processes: one that holds a password is refused, and not shown.

use super::environment::Environment;
use crate::error::{Error, Result};
use crate::store::{Provider, RemotePlace, Service, host_of, is_this_computer};

/// A repository in a git remote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitPlace {
    /// What git would be given.
    pub url: String,
    /// The branch, where another than the usual one is named.
    pub branch: Option<String>,
    /// The owner and the name at GitHub, if it was named so.
    pub github: Option<(String, String)>,
}

/// What a location that is no folder means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Far {
    Store(RemotePlace),
    Git(GitPlace),
}

/// Reads a location; `None` if it has none of the forms above.
pub(super) fn parse(text: &str, environment: &Environment) -> Result<Option<Far>> {
    if let Some(git) = git(text)? {
        return Ok(Some(Far::Git(git)));
    }
    let Some((scheme, rest)) = text.split_once(':') else { return Ok(None) };
    let service = match scheme {
        "s3" => Service::S3(Provider::Amazon),
        "r2" => Service::S3(Provider::R2),
        "b2" => Service::S3(Provider::B2),
        "minio" => Service::S3(Provider::Minio),
        "gs" => Service::Google,
        "az" | "azure" => Service::Azure,
        _ => return Ok(None),
    };
    refuse_secrets(rest)?;
    let (endpoint, path) = server(service, rest, environment)?;
    place(service, endpoint, path).map(|place| Some(Far::Store(place)))
}

/// Parts the server, if one is named, from the bucket and what follows.
fn server<'a>(
    service: Service,
    rest: &'a str,
    environment: &Environment,
) -> Result<(Option<String>, &'a str)> {
    for scheme in ["https://", "http://"] {
        if let Some(rest) = rest.strip_prefix(scheme) {
            let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
            // Azure's emulator has the account before the container.
            let (account, path) = match (service, path.split_once('/')) {
                (Service::Azure, Some((account, path))) if is_this_computer(host_of(host)) => {
                    (format!("/{account}"), path)
                }
                _ => (String::new(), path),
            };
            return Ok((Some(format!("{scheme}{host}{account}")), path));
        }
    }
    let (is_url, path) = match rest.strip_prefix("//") {
        Some(path) => (true, path),
        None => (false, rest),
    };
    let (first, after) = path.split_once('/').unwrap_or((path, ""));
    let is_host = first.contains(['.', ':']) || first == "localhost";
    match service {
        Service::S3(Provider::R2) => r2(first, after, path, environment),
        Service::S3(Provider::Minio) if is_host => {
            let scheme = if is_this_computer(host_of(first)) { "http" } else { "https" };
            Ok((Some(format!("{scheme}://{first}")), after))
        }
        Service::S3(Provider::Amazon) if is_host && !is_url && !after.is_empty() => {
            Ok((Some(format!("https://{first}")), after))
        }
        _ => Ok((None, path)),
    }
}

fn r2<'a>(
    first: &str,
    after: &'a str,
    path: &'a str,
    environment: &Environment,
) -> Result<(Option<String>, &'a str)> {
    let id = first.split('.').next().unwrap_or(first);
    let is_account = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let of = |account: &str| format!("https://{account}.r2.cloudflarestorage.com");
    if is_account {
        return Ok((Some(of(first)), after));
    }
    for name in ["R2_ACCOUNT_ID", "CLOUDFLARE_ACCOUNT_ID"] {
        if let Some(account) = environment.text(name)? {
            return Ok((Some(of(&account)), path));
        }
    }
    Ok((None, path))
}

fn place(service: Service, endpoint: Option<String>, path: &str) -> Result<RemotePlace> {
    // restic parts the bucket from the rest by a colon.
    let end = path.find(['/', ':']).unwrap_or(path.len());
    let (bucket, prefix) = path.split_at(end);
    let prefix = prefix.trim_start_matches(':').trim_matches('/');
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if bucket.is_empty() || !bucket.bytes().all(allowed) {
        return Err(Error::usage("the location names no bucket")
            .hint("write `s3://BUCKET/PREFIX`, or `s3:https://HOST/BUCKET/PREFIX`"));
    }
    let odd = |part: &str| matches!(part, "" | "." | "..") || part.contains(char::is_control);
    if !prefix.is_empty() && prefix.split('/').any(odd) {
        return Err(Error::usage("the location's folder has an empty or dotted part")
            .hint("write it as `s3://BUCKET/one/two`"));
    }
    Ok(RemotePlace { service, endpoint, bucket: bucket.to_owned(), prefix: prefix.to_owned() })
}

fn refuse_secrets(rest: &str) -> Result<()> {
    let authority = rest.split("//").nth(1).unwrap_or(rest);
    let authority = authority.split('/').next().unwrap_or(authority);
    if authority.contains('@') || rest.contains(['?', '#']) {
        return Err(Error::usage("credentials and queries don't belong into a location").hint(
            "give keys by variables such as `AWS_ACCESS_KEY_ID`, or by `--credentials-command`",
        ));
    }
    Ok(())
}

fn git(text: &str) -> Result<Option<GitPlace>> {
    let (text, branch) = match text.rsplit_once('#') {
        Some((text, branch)) if !branch.is_empty() => (text, Some(branch.to_owned())),
        _ => (text, None),
    };
    let plain = |url: &str| {
        Ok(Some(GitPlace { url: url.to_owned(), branch: branch.clone(), github: None }))
    };
    if let Some(rest) = text.strip_prefix("github:") {
        let names = rest.trim_start_matches('/');
        let names = names.strip_suffix(".git").unwrap_or(names);
        let (owner, name) = names
            .split_once('/')
            .filter(|(owner, name)| !owner.is_empty() && !name.is_empty() && !name.contains('/'))
            .ok_or_else(|| {
                Error::usage("this names no GitHub repository").hint("write `github:OWNER/NAME`")
            })?;
        return Ok(Some(GitPlace {
            url: format!("https://github.com/{owner}/{name}.git"),
            branch,
            github: Some((owner.to_owned(), name.to_owned())),
        }));
    }
    let url = text.strip_prefix("git+").unwrap_or(text);
    let is_git = url.len() != text.len();
    for scheme in ["https://", "http://"] {
        if let Some(rest) = url.strip_prefix(scheme) {
            let host = rest.split('/').next().unwrap_or(rest);
            if host.contains('@') {
                return Err(Error::usage("a git location holds no user and no token").hint(
                    "a token comes from `STASH_GIT_TOKEN`, `GH_TOKEN` or a credentials command",
                ));
            }
            let is_repository = is_git || ends_like_git(rest);
            if is_repository && rest.contains('?') {
                return Err(Error::usage("a git location holds no query").hint(
                    "a token comes from `STASH_GIT_TOKEN`, `GH_TOKEN` or a credentials command",
                ));
            }
            return if is_repository { plain(url) } else { Ok(None) };
        }
    }
    if let Some(rest) = url.strip_prefix("ssh://") {
        let host = rest.split('/').next().unwrap_or(rest);
        if host.split_once('@').is_some_and(|(user, _)| user.contains(':')) {
            return Err(
                Error::usage("a git location holds no password").hint("ssh has keys for that")
            );
        }
        let is_repository = is_git || ends_like_git(rest);
        return if is_repository { plain(url) } else { Ok(None) };
    }
    if is_git {
        return if url.starts_with("file://") { plain(url) } else { Ok(None) };
    }
    // `git@host:path`, as forges show it.
    let scp = text.split_once('@').and_then(|(user, rest)| Some((user, rest.split_once(':')?)));
    let word = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|it| it.is_ascii_alphanumeric() || b"._-".contains(&it))
    };
    match scp {
        Some((user, (host, path))) if word(user) && word(host) && !path.is_empty() => plain(text),
        _ => Ok(None),
    }
}

fn ends_like_git(path: &str) -> bool {
    path.trim_end_matches('/').strip_suffix(".git").is_some()
}

/// Returns what is behind the `USER@` that an address begins with; `@` elsewhere is a letter of a path.
fn without_user(address: &str) -> &str {
    let end = address.find(['/', ':']).unwrap_or(address.len());
    let at = address.get(..end).and_then(|user| user.rfind('@'));
    at.and_then(|at| address.get(at + 1..)).unwrap_or(address)
}

impl std::fmt::Display for GitPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Who is asked for access is not needed to know which place is meant.
        let url = self.url.as_str();
        if let Some(rest) = url.strip_prefix("ssh://") {
            write!(f, "ssh://{}", without_user(rest))?;
        } else if url.starts_with("file://") {
            // Without the word it would be a folder.
            write!(f, "git+{url}")?;
        } else if url.starts_with("https://") || url.starts_with("http://") {
            f.write_str(url)?;
        } else {
            f.write_str(without_user(url))?;
        }
        match &self.branch {
            Some(branch) => write!(f, "#{branch}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn shown(text: &str) -> String {
        let environment = Environment::given([("R2_ACCOUNT_ID", "fromthevariable")]);
        match parse(text, &environment).unwrap() {
            Some(Far::Store(place)) => {
                // What is shown means the same place again.
                let again = parse(&place.to_string(), &environment).unwrap();
                assert_eq!(again, Some(Far::Store(place.clone())), "{text}");
                place.to_string()
            }
            Some(Far::Git(git)) => format!("git {git}"),
            None => "none".to_owned(),
        }
    }

    #[test]
    fn locations_are_understood_as_people_paste_them() {
        let account = "0123456789abcdef0123456789abcdef";
        for (text, expected) in [
            ("s3://bucket", "s3://bucket"),
            ("s3://bucket/a/b/", "s3://bucket/a/b"),
            ("s3://dotted.bucket/a", "s3://dotted.bucket/a"),
            ("s3:bucket/a", "s3://bucket/a"),
            ("s3:https://host:9000/bucket/a", "s3:https://host:9000/bucket/a"),
            ("s3:http://127.0.0.1:9000/bucket", "s3:http://127.0.0.1:9000/bucket"),
            ("s3:s3.example.com/bucket/a", "s3:https://s3.example.com/bucket/a"),
            ("b2:bucket/a", "b2://bucket/a"),
            ("b2:bucket:a/b", "b2://bucket/a/b"),
            ("minio:host.lan:9000/bucket", "minio:https://host.lan:9000/bucket"),
            ("minio://localhost:9000/bucket/a", "minio:http://localhost:9000/bucket/a"),
            ("minio:bucket/a", "minio://bucket/a"),
            ("gs://bucket/a", "gs://bucket/a"),
            ("gs:bucket:/a", "gs://bucket/a"),
            ("az://container/a", "az://container/a"),
            ("azure:container:/", "az://container"),
            (
                "az:http://127.0.0.1:10000/devstoreaccount1/c/a",
                "az:http://127.0.0.1:10000/devstoreaccount1/c/a",
            ),
            ("r2:bucket/a", "r2:https://fromthevariable.r2.cloudflarestorage.com/bucket/a"),
            ("git@github.com:me/backup.git", "git github.com:me/backup.git"),
            ("https://github.com/me/backup.git", "git https://github.com/me/backup.git"),
            ("git+https://host/x", "git https://host/x"),
            ("git+ssh://git@host/x", "git ssh://host/x"),
            ("git+file:///srv/x.git", "git git+file:///srv/x.git"),
            ("git+file:///srv/x.git#laptop", "git git+file:///srv/x.git#laptop"),
            ("git@host:x.git#a/b", "git host:x.git#a/b"),
            ("git@host:p@th://x.git", "git host:p@th://x.git"),
            ("git+ssh://host/p@th/x", "git ssh://host/p@th/x"),
            ("git+ssh://me@host:22/p@th/x", "git ssh://host:22/p@th/x"),
            ("git+https://host/p@th/x", "git https://host/p@th/x"),
            ("git+file:///srv/a@b.git", "git git+file:///srv/a@b.git"),
            ("minio:[::1]:9000/bucket", "minio:http://[::1]:9000/bucket"),
            ("minio:[::1]/bucket", "minio:http://[::1]/bucket"),
            ("minio:127.evil.example/bucket", "minio:https://127.evil.example/bucket"),
            ("github:me/backup", "git https://github.com/me/backup.git"),
            ("/a/b:c", "none"),
            ("https://host/page", "none"),
            ("sftp:host:path", "none"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
        let r2 = shown(&format!("r2:{account}.eu/bucket/a"));
        assert_eq!(r2, format!("r2:https://{account}.eu.r2.cloudflarestorage.com/bucket/a"));
    }

    #[test]
    fn what_holds_a_secret_or_no_bucket_is_refused_and_not_shown() {
        for text in [
            "s3:https://key:hunter2@host/bucket",
            "s3://key:hunter2@bucket/a",
            "s3:https://host/bucket?token=hunter2",
            "git+https://me:hunter2@host/x",
            "https://hunter2@github.com/me/x.git",
            "ssh://me:hunter2@host/x.git",
            "git+https://host/x.git?token=hunter2",
            "https://host/x?token=hunter2.git",
            "s3://",
            "s3:https://host",
            "s3://bucket/a//b",
            "s3://bucket/../b",
            "github:me",
        ] {
            let error = parse(text, &Environment::given([])).unwrap_err();
            assert_eq!(error.kind(), Kind::Usage, "{text}");
            assert!(!format!("{error} {:?}", error.hint_text()).contains("hunter2"), "{text}");
        }
    }
}
