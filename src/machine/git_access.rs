//! What opens a git remote: where its token comes from, and what ssh is told.
//!
//! Order: `--credentials-command`; then `STASH_GIT_TOKEN`; then, for GitHub alone, `GH_TOKEN` and
//! `GITHUB_TOKEN`: a token is shown to nobody but the host that it is for. ssh has its own keys. A
//! command may print lines `NAME=VALUE` (those variables, or `username` and `password` as git's own
//! helpers do), JSON, or just a token.
#![expect(clippy::disallowed_methods, reason = "reads the certificates that a person names")]

use std::sync::Arc;

use zeroize::Zeroizing;

use super::clock::SystemClock;
use super::environment::Environment;
use super::input::SECRET_VARIABLES;
use super::remote_location::GitPlace;
use super::store_access::{AccessOptions, printed_by};
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::store::{Credentials, GIT_BRANCH, GitOptions, RemoteOptions};

/// The variable that holds a token for any host.
const OWN: &str = "STASH_GIT_TOKEN";
/// Those that hold one for GitHub.
const GITHUB: [&str; 2] = ["GH_TOKEN", "GITHUB_TOKEN"];

/// Finds what opens the git remote at `place`, and how to reach it.
pub fn git_access(
    place: &GitPlace,
    options: &AccessOptions,
    environment: &Environment,
) -> Result<(Credentials, GitOptions)> {
    let mut credentials = Credentials::default();
    if let Some(command) = &options.credentials_command {
        take_printed(&printed_by(command)?, &mut credentials)?;
    } else {
        let is_github = place.url.starts_with("https://github.com/");
        for name in [OWN].into_iter().chain(GITHUB.into_iter().filter(|_| is_github)) {
            if let Some(token) = environment.text(name)?.filter(|token| !token.is_empty()) {
                credentials.add("git_token", Zeroizing::new(token));
            }
        }
    }
    let authorities = match &options.ca_file {
        Some(file) => Some(std::fs::read(file).at("cannot read the certificates in", file)?),
        None => None,
    };
    let bytes = |kib: u64| kib.saturating_mul(1024);
    let remote = RemoteOptions {
        authorities,
        upload_limit: options.upload_kib.map(bytes),
        download_limit: options.download_kib.map(bytes),
        ..RemoteOptions::default()
    };
    let withheld = SECRET_VARIABLES.into_iter().chain([OWN]).chain(GITHUB);
    let git = GitOptions {
        branch: place.branch.clone().unwrap_or_else(|| GIT_BRANCH.to_owned()),
        withheld: withheld.map(str::to_owned).collect(),
        remote,
        ..GitOptions::new(Arc::new(SystemClock))
    };
    Ok((credentials, git))
}

/// Takes what a command printed.
fn take_printed(text: &str, credentials: &mut Credentials) -> Result<()> {
    let mut take = |name: &str, value: &str| {
        let name = name.trim().trim_start_matches("export ").trim().to_ascii_lowercase();
        let value = Zeroizing::new(value.trim().trim_matches(['"', '\'']).to_owned());
        match name.as_str() {
            "stash_git_token" | "git_token" | "gh_token" | "github_token" | "token"
            | "password" => credentials.add("git_token", value),
            "username" => credentials.add("git_username", value),
            _ => {}
        }
    };
    let text = text.trim();
    if text.starts_with('{') {
        let json: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
        for (name, value) in json.as_object().into_iter().flatten() {
            take(name, value.as_str().unwrap_or_default());
        }
    } else if text.contains('=') && !is_word(text) {
        text.lines().filter_map(|line| line.split_once('=')).for_each(|(name, value)| {
            take(name, value);
        });
    } else if is_word(text) {
        take("token", text);
    }
    if credentials.get("git_token").is_some() {
        return Ok(());
    }
    Err(Error::new(Kind::Store, "the command that gives the git remote's token printed none")
        .hint("it may print just the token, as `gh auth token` does, or `STASH_GIT_TOKEN=…`"))
}

/// Tells whether a text may be a token: one word, and not `NAME=VALUE`.
fn is_word(text: &str) -> bool {
    let has_name =
        text.split_once('=').is_some_and(|(_, value)| !value.trim_matches('=').is_empty());
    !text.is_empty() && !text.contains(char::is_whitespace) && !has_name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(url: &str, command: Option<&str>, pairs: &[(&str, &str)]) -> Option<String> {
        let place = GitPlace { url: url.into(), branch: None, github: None };
        let options = AccessOptions {
            credentials_command: command.map(Into::into),
            ..AccessOptions::default()
        };
        let environment = Environment::given(pairs.iter().copied());
        let (credentials, git) = git_access(&place, &options, &environment).unwrap();
        assert!(git.withheld.iter().any(|name| name == "GH_TOKEN"));
        credentials.get("git_token").map(str::to_owned)
    }

    #[test]
    fn githubs_token_goes_to_github_and_nowhere_else() {
        let pairs = [("GH_TOKEN", "gh"), ("GITHUB_TOKEN", "github")];
        assert_eq!(token("https://github.com/a/b.git", None, &pairs).as_deref(), Some("gh"));
        for url in ["https://github.com.evil.example/a.git", "https://host/github.com/b.git"] {
            assert_eq!(token(url, None, &pairs), None, "{url}");
        }
        let own = [("STASH_GIT_TOKEN", "own"), ("GH_TOKEN", "gh")];
        assert_eq!(token("https://host/x.git", None, &own).as_deref(), Some("own"));
    }

    #[test]
    fn a_command_prints_a_token_in_one_of_several_ways() {
        let url = "https://host/x.git";
        for script in [
            "echo t0ken==",
            "echo STASH_GIT_TOKEN=t0ken==",
            "printf 'protocol=https\\nusername=me\\npassword=t0ken==\\n'",
            "echo '{\"token\": \"t0ken==\"}'",
        ] {
            let found = token(url, Some(script), &[("STASH_GIT_TOKEN", "no")]);
            assert_eq!(found.as_deref(), Some("t0ken=="), "{script}");
        }
        let mut none = Credentials::default();
        assert!(take_printed("nothing=here\n", &mut none).is_err());
    }
}
