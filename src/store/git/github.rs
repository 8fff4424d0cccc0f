//! Making a private repository at GitHub, over its REST API. A public one is refused: a backup is
//! encrypted, but who may read it can keep a copy of every state for ever.

use futures_util::StreamExt as _;
use http::{Method, Request, header};
use serde_json::Value;

use super::failure::{GitFailure, Outcome};
use super::http::{TOKEN, call};
use crate::error::{Error, Kind, Result};
use crate::store::Credentials;
use crate::store::calls::runtime;
use crate::store::remote::{RemoteOptions, Wire, open_wire};

/// An answer is no longer than this, in bytes.
const MOST_BYTES: usize = 4 << 20;

/// A repository at GitHub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GithubRepository {
    /// Whose it is: a user or an organization.
    pub owner: String,
    /// Its name.
    pub name: String,
}

impl GithubRepository {
    /// Makes sure that the repository is there and private; with `create`, makes it if it is not.
    /// Returns whether it was made. `api` is [`crate::store::GITHUB_API`], or a server that speaks like it.
    pub fn prepare(
        &self,
        api: &str,
        credentials: &Credentials,
        options: &RemoteOptions,
        create: bool,
    ) -> Result<bool> {
        let place = format!("github:{}/{}", self.owner, self.name);
        let Some(token) = credentials.get(TOKEN) else {
            return Err(Error::new(Kind::Store, "no token for").object(place).hint(
                "make one at https://github.com/settings/personal-access-tokens/new and set \
                 `GH_TOKEN`; a repository is made at https://github.com/new (choose private)",
            ));
        };
        let wire = open_wire(options, &place)?;
        let client = Client { wire, api, token };
        self.ask(&client, create).map_err(|failure| {
            Error::new(Kind::Store, "cannot use")
                .object(place)
                .source(failure.sentence)
                .hint(failure.remedy)
        })
    }

    fn ask(&self, client: &Client<'_>, create: bool) -> Outcome<bool> {
        let path = format!("/repos/{}/{}", self.owner, self.name);
        let (status, answer) = client.send(Method::GET, &path, None)?;
        match status {
            200 => return is_private(&answer).map(|()| false),
            404 if create => {}
            404 => {
                return Err(GitFailure::lasting(
                    "there is no such repository, or the token may not see it",
                    "`stash init --create-bucket` makes it, private",
                ));
            }
            _ => return Err(refusal(status, &answer)),
        }
        let (status, user) = client.send(Method::GET, "/user", None)?;
        if status != 200 {
            return Err(refusal(status, &user));
        }
        let login = user.get("login").and_then(Value::as_str).unwrap_or_default();
        let path = if login.eq_ignore_ascii_case(&self.owner) {
            "/user/repos".to_owned()
        } else {
            format!("/orgs/{}/repos", self.owner)
        };
        let wanted = serde_json::json!({
            "name": self.name,
            "private": true,
            "description": "encrypted backups, written by stash",
            "has_issues": false,
            "has_projects": false,
            "has_wiki": false,
        });
        let (status, made) = client.send(Method::POST, &path, Some(&wanted))?;
        if status != 201 {
            return Err(refusal(status, &made));
        }
        is_private(&made).map(|()| true)
    }
}

fn is_private(repository: &Value) -> Outcome<()> {
    if repository.get("private") == Some(&Value::Bool(true)) {
        return Ok(());
    }
    Err(GitFailure::lasting(
        "the repository is public",
        "make it private in its settings, or name another one",
    ))
}

fn refusal(status: u16, answer: &Value) -> GitFailure {
    let told = answer.get("message").and_then(Value::as_str).unwrap_or_default();
    let told: String = told.chars().filter(|it| !it.is_control()).take(200).collect();
    let remedy = match status {
        401 => "the token is wrong or has expired: make a new one",
        403 | 404 => "the token needs leave to administer repositories, and to write contents",
        422 => "choose another name; `github:OWNER/NAME`",
        _ => "try again later, or make the repository at https://github.com/new",
    };
    GitFailure::lasting(format!("GitHub answers {status}: {told}"), remedy)
}

struct Client<'a> {
    wire: Wire,
    api: &'a str,
    token: &'a str,
}

impl Client<'_> {
    fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Outcome<(u16, Value)> {
        let bytes = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        let mut token = header::HeaderValue::from_str(&format!("Bearer {}", self.token))
            .map_err(|_| GitFailure::lasting("the token is none", "check where it comes from"))?;
        token.set_sensitive(true);
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.api))
            .header(header::ACCEPT, "application/vnd.github+json")
            .header("X-GitHub-Api-Version", "2022-11-28")
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, token)
            .body(bytes.into())
            .map_err(|_| GitFailure::lasting("this names no repository", "check the name"))?;
        let response = call(&self.wire, request)?;
        let status = response.status().as_u16();
        let runtime = runtime().ok_or_else(|| GitFailure::odd("no threads to reach it"))?;
        let mut stream = response.into_body().bytes_stream();
        let mut bytes = Vec::new();
        while let Some(piece) = runtime.block_on(stream.next()) {
            let piece = piece.map_err(|error| GitFailure::passing(error.to_string()))?;
            bytes.extend_from_slice(&piece);
            if bytes.len() > MOST_BYTES {
                return Err(GitFailure::odd("it never ends"));
            }
        }
        Ok((status, serde_json::from_slice(&bytes).unwrap_or_default()))
    }
}
