//! Where a git remote is, read from what git itself would be given: in `file://` and `ssh://` what is
//! written as `%41` is decoded, elsewhere it stands for itself.

use std::path::PathBuf;

use crate::store::{host_of, is_this_computer};

/// A place that git knows how to reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    /// A bare repository on a disk of this computer.
    Folder(PathBuf),
    /// One behind ssh.
    Ssh(SshAddress),
    /// One behind a web server: its URL, without a slash at the end.
    Http(String),
}

/// A repository behind ssh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SshAddress {
    /// `HOST` or `USER@HOST`.
    pub(super) host: String,
    pub(super) port: Option<u16>,
    pub(super) path: String,
}

impl Address {
    /// Reads `file:///…`, `https://…`, `http://…`, `ssh://…` or `USER@HOST:PATH`.
    pub(super) fn parse(url: &str) -> Option<Address> {
        if let Some(path) = url.strip_prefix("file://") {
            use std::os::unix::ffi::OsStringExt as _;
            let path =
                path.strip_prefix("localhost").filter(|it| it.starts_with('/')).unwrap_or(path);
            let folder = || PathBuf::from(std::ffi::OsString::from_vec(decoded(path)));
            return path.starts_with('/').then(|| Address::Folder(folder()));
        }
        if url.starts_with("https://") || url.starts_with("http://") {
            return Some(Address::Http(url.trim_end_matches('/').to_owned()));
        }
        let ssh = if let Some(rest) = url.strip_prefix("ssh://") {
            let rest = String::from_utf8(decoded(rest)).ok()?;
            let (host, path) = rest.split_once('/')?;
            let (host, port) = match host.rsplit_once(':') {
                // An address of IPv6 stands in brackets.
                Some((name, port)) if !port.contains(']') => (name, Some(port.parse().ok()?)),
                _ => (host, None),
            };
            let host = host.replace(['[', ']'], "");
            // `/~/x` is x in the home, as git has it.
            let is_home = path.starts_with("~/");
            let path = if is_home { path.to_owned() } else { format!("/{path}") };
            SshAddress { host, port, path }
        } else {
            let (host, path) = url.split_once(':')?;
            SshAddress { host: host.to_owned(), port: None, path: path.to_owned() }
        };
        // What begins with a dash would be an option of ssh.
        let is_plain = |text: &str| !text.is_empty() && !text.starts_with('-');
        let is_good = is_plain(&ssh.host)
            && is_plain(ssh.host.rsplit('@').next().unwrap_or_default())
            && is_plain(&ssh.path)
            && !ssh.host.contains(char::is_control)
            && !ssh.path.contains(char::is_control);
        is_good.then_some(Address::Ssh(ssh))
    }
}

/// Decodes what is written as a percent sign and two digits; whatever else follows one stays, and so
/// does a zero byte.
fn decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|_| first == b'%');
        let digits = digits.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let byte = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = byte.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let byte = byte.filter(|byte| *byte != 0);
        bytes.push(byte.unwrap_or(first));
        let taken = if byte.is_some() { 2 } else { 0 };
        rest = after.get(taken..).unwrap_or_default();
    }
    bytes
}

/// Returns a text as one word of a shell.
pub(super) fn quoted(text: &str) -> String {
    // The home of the server's user must stay outside of the quotes.
    match text.strip_prefix("~/") {
        Some(rest) => format!("~/'{}'", rest.replace('\'', r"'\''")),
        None => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// Returns the host of an http address, and whether nobody can listen on the way there.
pub(super) fn http_host(url: &str) -> (&str, bool) {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let authority = rest.split('/').next().unwrap_or(rest);
    let host = host_of(authority.rsplit('@').next().unwrap_or(authority));
    (host, scheme == "https" || is_this_computer(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_git_does() {
        let ssh = |host: &str, port, path: &str| {
            Some(Address::Ssh(SshAddress { host: host.into(), port, path: path.into() }))
        };
        for (text, expected) in [
            ("file:///srv/x.git", Some(Address::Folder("/srv/x.git".into()))),
            ("https://host/x.git/", Some(Address::Http("https://host/x.git".into()))),
            ("git@host.lan:me/x.git", ssh("git@host.lan", None, "me/x.git")),
            ("ssh://git@host/me/x.git", ssh("git@host", None, "/me/x.git")),
            ("ssh://host:2222/srv/x.git", ssh("host", Some(2222), "/srv/x.git")),
            ("ssh://host/~/x.git", ssh("host", None, "~/x.git")),
            ("ssh://[::1]:22/x", ssh("::1", Some(22), "/x")),
            ("file:///srv/a%20b%2g%00%.git", Some(Address::Folder("/srv/a b%2g%00%.git".into()))),
            ("ssh://host/a%20b", ssh("host", None, "/a b")),
            ("host:a%20b", ssh("host", None, "a%20b")),
            ("ssh://host/a%0ab", None),
            ("ssh://%2doProxyCommand=x/y", None),
            ("ssh://-oProxyCommand=x/y", None),
            ("git@-x:y", None),
            ("file://host/x", None),
            ("ssh://host", None),
        ] {
            assert_eq!(Address::parse(text), expected, "{text}");
        }
        assert_eq!(quoted("a'b"), r"'a'\''b'");
        assert_eq!(quoted("~/a b"), "~/'a b'");
        assert_eq!(http_host("http://host:80/x"), ("host", false));
        assert_eq!(http_host("http://127.0.0.1:80/x"), ("127.0.0.1", true));
        assert_eq!(http_host("https://host/x"), ("host", true));
        assert_eq!(http_host("http://[::1]:80/x"), ("::1", true));
        assert_eq!(http_host("http://127.0.0.1:80@host/x"), ("host", false));
        assert_eq!(http_host("http://127.evil.example/x"), ("127.evil.example", false));
    }
}
