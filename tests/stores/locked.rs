//! A bucket with Object Lock, on the real servers that have it: whoever holds the keys can hide what is
//! stored, and not destroy it, before its time is over.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};

use object_store::aws::{AwsAuthorizer, AwsCredential};
use object_store::client::{HttpRequest, HttpRequestBody};
use stash::codec::crypto::{Key, SlotSecret};
use stash::store::{Prefix, RemoteOptions, Store};
use stash::time::Timestamp;

use crate::scene::{Machine, place, s3_keys};

const BUCKET: &str = "stash-locked";

/// A server as its own commands see it.
struct Server {
    endpoint: String,
    credential: AwsCredential,
    region: String,
}

impl Server {
    /// Sends a signed request; returns the status and the answer.
    fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> (u16, String) {
        let uri = format!("{}/{path}", self.endpoint);
        let mut request: HttpRequest = http::Request::builder()
            .method(method)
            .uri(&uri)
            .body(HttpRequestBody::from(body.to_owned()))
            .unwrap();
        for (name, value) in headers {
            let name: http::HeaderName = name.parse().unwrap();
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let signer = AwsAuthorizer::new(&self.credential, "s3", &self.region);
        signer.try_authorize(&mut request, None).unwrap();
        let host = self.endpoint.strip_prefix("http://").unwrap();
        // It is signed, and then taken out again.
        let mut text = format!("{method} /{path} HTTP/1.1\r\nhost: {host}\r\n");
        for (name, value) in request.headers() {
            write!(text, "{name}: {}\r\n", value.to_str().unwrap()).unwrap();
        }
        let length = body.len();
        write!(text, "content-length: {length}\r\nconnection: close\r\n\r\n{body}").unwrap();
        let mut stream = std::net::TcpStream::connect(host).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        let answer = String::from_utf8_lossy(&bytes).into_owned();
        let status = answer.split_whitespace().nth(1).unwrap().parse().unwrap();
        (status, answer)
    }
}

/// Returns the first value of an element in an answer.
fn element<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(value, _)| value)
}

/// Runs where `STASH_TEST_S3` names a server, as `tests/servers/ceph.sh` does.
#[test]
fn suite_what_is_locked_can_be_hidden_and_not_destroyed() {
    let Ok(text) = std::env::var("STASH_TEST_S3") else { return };
    let words: Vec<&str> = text.split_whitespace().collect();
    let region = words.get(3).copied().unwrap_or("us-east-1").to_owned();
    let credential =
        AwsCredential { key_id: words[1].to_owned(), secret_key: words[2].to_owned(), token: None };
    let server = Server { endpoint: words[0].to_owned(), credential, region: region.clone() };
    let lockable = [("x-amz-bucket-object-lock-enabled", "true")];
    let (status, answer) = server.send("PUT", BUCKET, &lockable, "");
    assert!(status == 200 || status == 409, "{answer}");
    let rule = "<ObjectLockConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
        <ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention>\
        <Mode>GOVERNANCE</Mode><Days>1</Days></DefaultRetention></Rule></ObjectLockConfiguration>";
    let (status, answer) = server.send("PUT", &format!("{BUCKET}?object-lock="), &[], rule);
    assert_eq!(status, 200, "{answer}");

    let prefix = format!("test-{}", std::process::id());
    let options = RemoteOptions { region: Some(region), ..RemoteOptions::default() };
    let keys = s3_keys(words[1], words[2]);
    let store = Store::open_remote(&place(words[0], BUCKET, &prefix), &keys, &options).unwrap();
    let mut machine = Machine::new();
    machine.fill(1, 20);
    let repository = machine.init(&store);
    machine.save(&store).unwrap();
    machine.fill(2, 2);
    machine.save(&store).unwrap();
    machine.assert_restores(&store, "in a locked bucket");
    Machine::assert_sound(&store, "in a locked bucket");

    // What stash deletes is gone from every listing, as it must be.
    let secret = SlotSecret::Device(Key([9; 32]));
    let slot = repository.add_key(&secret, "other", None, Timestamp(machine.now)).unwrap();
    let slots = store.list(Prefix::Keys).unwrap().len();
    repository.remove_key(&slot).unwrap();
    assert_eq!(store.list(Prefix::Keys).unwrap().len(), slots - 1);

    // Nobody destroys a pack: neither a version of it, nor by writing over it.
    let pack = store.list(Prefix::Packs).unwrap().remove(0).name;
    let path = format!("{BUCKET}/{prefix}/{pack}");
    let query =
        format!("{BUCKET}?prefix={prefix}%2F{}&versions=", pack.to_string().replace('/', "%2F"));
    let (status, answer) = server.send("GET", &query, &[], "");
    assert_eq!(status, 200, "{answer}");
    let version = element(&answer, "VersionId").expect("versions are kept").to_owned();
    let (status, answer) = server.send("DELETE", &format!("{path}?versionId={version}"), &[], "");
    assert_eq!(status, 403, "{answer}");
    let (status, answer) = server.send("DELETE", &path, &[], "");
    assert!(status == 204 || status == 200, "hiding it is allowed: {answer}");
    assert!(store.get(&pack).unwrap().is_none());
    let (status, answer) = server.send("GET", &format!("{path}?versionId={version}"), &[], "");
    assert_eq!(status, 200, "{}", answer.get(..300).unwrap_or_default());
    // Taking the mark away brings it back.
    let (_, answer) = server.send("GET", &query, &[], "");
    let (_, mark) = answer.split_once("<DeleteMarker>").expect("a mark hides it");
    let mark = element(mark, "VersionId").unwrap();
    let (status, answer) = server.send("DELETE", &format!("{path}?versionId={mark}"), &[], "");
    assert!(status == 204 || status == 200, "{answer}");
    machine.assert_restores(&store, "after it was hidden and brought back");
    Machine::assert_sound(&store, "after it was hidden and brought back");
}
