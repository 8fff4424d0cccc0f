//! A probe says in one plain sentence what is wrong, and what to do.

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use stash::error::{Error, Kind};
use stash::store::{RemoteOptions, Store};

use crate::common_s3::{Action, Behaviour, KEY, Server};
use crate::scene::{connect, hasty, place, s3_keys};

fn failure(result: Result<Store, Error>) -> Error {
    match result {
        Ok(store) => store.probe().into_failure().expect("the store works"),
        Err(error) => error,
    }
}

fn assert_says(error: &Error, sentence: &str, remedy: &str) {
    assert_eq!(error.kind(), Kind::Store, "{error}");
    assert!(error.to_string().contains(sentence), "{error}");
    let hint = error.hint_text().unwrap_or_default();
    assert!(hint.contains(remedy), "{error}: {hint}");
    assert_eq!(error.to_string().lines().count(), 1, "{error}");
}

#[test]
fn a_store_that_works_is_told_with_its_times_and_nothing_stays_behind() {
    for creates in [true, false] {
        let server = Server::start(Behaviour { creates, ..Behaviour::default() });
        let store = connect(&server, "r");
        let probe = store.probe();
        let steps: Vec<_> = probe.steps.iter().map(|step| step.what).collect();
        assert_eq!(steps, ["list", "put", "get", "range", "create if absent", "delete"]);
        assert_eq!((probe.creates, probe.deletes), (Some(creates), Some(true)));
        assert!(probe.into_failure().is_none());
        assert_eq!(server.names("bucket"), Vec::<String>::new());
        assert_eq!(store.learned().unwrap().creates, Some(creates));
    }
}

#[test]
fn a_key_that_may_not_delete_is_good_enough() {
    let server = Server::start(Behaviour::default());
    let store = connect(&server, "r");
    server.rule(|request| {
        if request.method == "DELETE" { Action::Refuse(403, "AccessDenied") } else { Action::Serve }
    });
    let probe = store.probe();
    assert_eq!(probe.deletes, Some(false));
    assert!(probe.into_failure().is_none());
    // What had to stay is no stranger's.
    assert_eq!(store.list_all().unwrap(), (Vec::new(), Vec::new()));
}

#[test]
fn a_refusal_is_one_sentence_and_a_remedy() {
    let server = Server::start(Behaviour::default());
    let open = |bucket: &str, key: &str| {
        let place = place(&server.endpoint(), bucket, "r");
        failure(Store::open_remote(&place, &s3_keys(key, "secret"), &hasty()))
    };
    assert_says(&open("bucket", "OTHER"), "does not know this access key", "AWS_ACCESS_KEY_ID");
    assert_says(&open("none", KEY), "there is no such bucket", "--create-bucket");
    for (method, doing) in [("PUT", "cannot store"), ("GET", "cannot list")] {
        server.rule(move |request| {
            let denied = request.method == method && !request.query.contains("max-keys");
            if denied { Action::Refuse(403, "AccessDenied") } else { Action::Serve }
        });
        let error = open("bucket", KEY);
        assert_says(&error, "permission denied", "docs/stores.md");
        assert!(error.to_string().contains(doing), "{error}");
    }
    for (status, code, sentence, remedy) in [
        (403, "SignatureDoesNotMatch", "the secret does not fit", "AWS_SECRET_ACCESS_KEY"),
        (403, "RequestTimeTooSkewed", "clock", "set the clock"),
        (400, "ExpiredToken", "have expired", "--credentials-command"),
        (301, "PermanentRedirect", "another region", "--region"),
        (400, "OtherTrouble", "the store answered 400: no", "whoever runs the store"),
    ] {
        server.rule(move |_| Action::Refuse(status, code));
        assert_says(&open("bucket", KEY), sentence, remedy);
    }
    server.rule(|_| Action::Refuse(503, "SlowDown"));
    assert_says(&open("bucket", KEY), "busy or broken", "later");
}

#[test]
fn a_clock_that_is_wrong_is_told_whatever_the_server_calls_it() {
    let server = Server::start(Behaviour { clock_ahead: -7200, ..Behaviour::default() });
    let store = connect(&server, "r");
    server.rule(|_| Action::Refuse(403, "AccessDenied"));
    let error = store.probe().into_failure().unwrap();
    assert_says(&error, "clock is 120 minutes ahead of", "set the clock");
}

#[test]
fn the_region_is_found_out_and_a_wrong_one_is_told() {
    let server = Server::start(Behaviour { region: "garage", ..Behaviour::default() });
    let store = connect(&server, "r");
    assert_eq!(store.learned().unwrap().region.as_deref(), Some("garage"));
    assert!(store.probe().into_failure().is_none());
    let options = RemoteOptions { region: Some("eu-west-9".into()), ..hasty() };
    let place = place(&server.endpoint(), "bucket", "r");
    let error = failure(Store::open_remote(&place, &s3_keys(KEY, "s"), &options));
    assert_says(&error, "lies in region garage", "--region garage");
}

#[test]
fn a_bucket_is_made_when_it_is_asked_for() {
    let server = Server::start(Behaviour::default());
    let place = place(&server.endpoint(), "fresh", "r");
    let store = Store::open_remote(&place, &s3_keys(KEY, "secret"), &hasty()).unwrap();
    store.create_bucket().unwrap();
    assert!(store.probe().into_failure().is_none());
}

#[test]
fn no_server_no_name_and_no_tls_are_told_apart() {
    let open = |endpoint: &str, options: &RemoteOptions| {
        let place = place(endpoint, "bucket", "r");
        failure(Store::open_remote(&place, &s3_keys(KEY, "secret"), options))
    };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let error = open(&format!("http://127.0.0.1:{port}"), &hasty());
    assert_says(&error, "connection refused", "port");
    let error = open("http://no-such-host.invalid", &hasty());
    assert_says(&error, "no such host", "endpoint");
    // A server without TLS where TLS is expected.
    let server = Server::start(Behaviour::default());
    let error = open(&server.endpoint().replace("http:", "https:"), &hasty());
    assert!(matches!(error.kind(), Kind::Store), "{error}");
    assert!(error.to_string().contains("secure connection"), "{error}");
}

/// A server whose certificate nobody knows but who is told by `--ca-file`.
#[test]
fn a_certificate_of_ones_own_is_trusted_when_it_is_given() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let Ok(connection) = rustls::ServerConnection::new(Arc::clone(&config)) else { return };
            let mut stream = rustls::StreamOwned::new(connection, stream);
            let mut head = [0; 4096];
            if stream.read(&mut head).is_ok() {
                let answer = "HTTP/1.1 404 x\r\nContent-Length: 41\r\nConnection: close\r\n\r\n\
                              <Error><Code>NoSuchBucket</Code> </Error>";
                let _sent = stream.write_all(answer.as_bytes());
            }
        }
    });
    let endpoint = format!("https://localhost:{port}");
    let open = |options: &RemoteOptions| {
        let place = place(&endpoint, "bucket", "r");
        failure(Store::open_remote(&place, &s3_keys(KEY, "secret"), options))
    };
    assert_says(&open(&hasty()), "the secure connection failed", "--ca-file");
    let authorities = Some(made.cert.pem().into_bytes());
    let error = open(&RemoteOptions { authorities, ..hasty() });
    assert_says(&error, "there is no such bucket", "--create-bucket");
    let authorities = Some(b"no certificate".to_vec());
    let error = open(&RemoteOptions { authorities, ..hasty() });
    assert_eq!(error.kind(), Kind::Usage);
}
