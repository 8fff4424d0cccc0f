//! What a store's failure means: one sentence of ours, and what to do about it.

use std::error::Error as StdError;
use std::io::ErrorKind;

use object_store::client::{HttpError, HttpErrorKind};

use super::Store;
use super::calls::{Answer, Failed};
use crate::error::{Error, Kind};

/// A clock that is wrong by more than this is told of, in seconds: the stores refuse at 900.
const SKEW: i64 = 600;

impl Store {
    /// Turns a failed call into an error about `object`.
    pub(super) fn error(&self, doing: &str, object: &str, failed: Failed) -> Error {
        let result =
            |kind| Error::new(kind, format!("{doing} `{object}` in")).object(&*self.description);
        if let Some(io) = find::<std::io::Error>(&*failed.error).filter(|_| self.remote.is_none()) {
            if matches!(io.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) {
                // A disk that is full is an ordinary failure; anything else is the store's.
                return result(Kind::Failed)
                    .source(std::io::Error::from(ErrorKind::StorageFull))
                    .hint("nothing saved is lost; free some space and run the same command again");
            }
            return result(Kind::Store).source(std::io::Error::new(io.kind(), io.to_string()));
        }
        match explain(&failed) {
            Some((sentence, remedy)) => result(Kind::Store).source(sentence).hint(remedy),
            None => result(Kind::Store).source(failed.error),
        }
    }
}

/// Says why a call failed, and what to do; `None` if nothing better is known than its own words.
pub(super) fn explain(failed: &Failed) -> Option<(String, String)> {
    let pair = |sentence: &str, remedy: &str| Some((sentence.to_owned(), remedy.to_owned()));
    if let Some(answer) = &failed.answer {
        return refusal(answer);
    }
    #[cfg(feature = "git")]
    if let Some(failure) = find::<super::git::GitFailure>(&*failed.error) {
        return Some((failure.sentence.clone(), failure.remedy.clone()));
    }
    let http = find::<HttpError>(&*failed.error)?;
    if let Some(tls) = find_tls(http) {
        return Some((
            format!("the secure connection failed: {tls}"),
            "`--ca-file FILE` names the authority of a server of your own; a server without \
                     TLS needs `http://`"
                .to_owned(),
        ));
    }
    let text = chain(http);
    if text.contains("dns error") || text.contains("failed to lookup address") {
        return pair(
            "no such host, or no network: its name has no address",
            "check the endpoint or region for a typing error, and the network",
        );
    }
    if find::<std::io::Error>(http).is_some_and(|io| io.kind() == ErrorKind::ConnectionRefused) {
        return pair(
            "connection refused: nothing listens there",
            "check the endpoint's host and port, and that the server runs",
        );
    }
    match http.kind() {
        HttpErrorKind::Timeout => Some((
            innermost(http),
            "the server or the network hangs; what is durable is used by the next run".to_owned(),
        )),
        _ => Some((
            format!("the connection failed: {}", innermost(http)),
            "check the network and the endpoint; what is durable is used by the next run"
                .to_owned(),
        )),
    }
}

/// Says what a server meant by its refusal.
fn refusal(answer: &Answer) -> Option<(String, String)> {
    let pair = |sentence: String, remedy: &str| Some((sentence, remedy.to_owned()));
    let code = answer.code.as_str();
    let ahead = answer.ahead.unwrap_or_default();
    if code == "RequestTimeTooSkewed" || (answer.status == 403 && ahead.abs() > SKEW) {
        let (minutes, way) = (ahead.abs() / 60, if ahead > 0 { "behind" } else { "ahead of" });
        return pair(
            format!("this computer's clock is {minutes} minutes {way} the store's"),
            "set the clock (with NTP): a store takes no request that is signed with a wrong time",
        );
    }
    match code {
        "NoSuchBucket" | "ContainerNotFound" | "NotFound" if answer.status == 404 => pair(
            "there is no such bucket".to_owned(),
            "check its name; `stash init --create-bucket` makes it",
        ),
        "InvalidAccessKeyId" => pair(
            "the store does not know this access key".to_owned(),
            "check the key's id: `AWS_ACCESS_KEY_ID`, `B2_KEY_ID`, or the profile it came from",
        ),
        "SignatureDoesNotMatch" => pair(
            "the secret does not fit the access key".to_owned(),
            "check the secret: `AWS_SECRET_ACCESS_KEY`, `B2_APPLICATION_KEY`, or the profile",
        ),
        "ExpiredToken" | "TokenRefreshRequired" => pair(
            "the credentials have expired".to_owned(),
            "get new ones; `--credentials-command` asks for them at each run",
        ),
        "AuthorizationHeaderMalformed"
        | "PermanentRedirect"
        | "TemporaryRedirect"
        | "IllegalLocationConstraintException"
        | "WrongRegion" => match &answer.region {
            Some(region) => Some((
                format!("the bucket lies in region {region}"),
                format!("give `--region {region}`"),
            )),
            None => pair(
                "the bucket lies in another region".to_owned(),
                "give its region by `--region`, or its endpoint by `--endpoint`",
            ),
        },
        "SlowDown" | "ServiceUnavailable" | "InternalError" | "ServerBusy" => pair(
            format!("the store is busy or broken ({} {code})", answer.status),
            "try again later; what is durable is used by the next run",
        ),
        _ => by_status(answer),
    }
}

fn by_status(answer: &Answer) -> Option<(String, String)> {
    let pair = |sentence: String, remedy: &str| Some((sentence, remedy.to_owned()));
    match answer.status {
        301 | 302 | 307 | 308 => pair(
            "the bucket lies in another region, or at another endpoint".to_owned(),
            "give its region by `--region`, or its endpoint by `--endpoint`",
        ),
        401 => pair(
            "the store refuses the credentials".to_owned(),
            "check the key or token, and that it has not expired",
        ),
        403 if answer.code == "AuthenticationFailed" => pair(
            "the store refuses the credentials".to_owned(),
            "check the account and its key: `AZURE_STORAGE_ACCOUNT`, `AZURE_STORAGE_KEY`",
        ),
        403 => pair(
            "permission denied: these credentials may not do this".to_owned(),
            "give the key leave for it; README.md lists what stash needs, and for append-only keys",
        ),
        404 => pair(
            "there is no such bucket".to_owned(),
            "check its name; `stash init --create-bucket` makes it",
        ),
        507 => pair("the store is full".to_owned(), "free some space there, or raise its quota"),
        status if !answer.message.is_empty() => pair(
            format!("the store answered {status}: {}", answer.message),
            "if it will not pass, tell whoever runs the store",
        ),
        status => pair(
            format!("the store answered {status} {}", answer.code).trim_end().to_owned(),
            "if it will not pass, check that the endpoint is that of the store",
        ),
    }
}

fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn StdError + 'static)| (*error).source())
}

pub(super) fn find<'a, T: StdError + 'static>(
    error: &'a (dyn StdError + 'static),
) -> Option<&'a T> {
    causes(error).find_map(|error| error.downcast_ref::<T>())
}

/// TLS hides its errors inside those of I/O, in more than one layer.
pub(super) fn find_tls(error: &(dyn StdError + 'static)) -> Option<String> {
    causes(error).find_map(|error| {
        let mut io = error.downcast_ref::<std::io::Error>()?;
        loop {
            let inner = io.get_ref()?;
            if let Some(tls) = inner.downcast_ref::<rustls::Error>() {
                return Some(tls.to_string());
            }
            io = inner.downcast_ref::<std::io::Error>()?;
        }
    })
}

fn innermost(error: &HttpError) -> String {
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}

fn chain(error: &HttpError) -> String {
    causes(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
