//! Permissions: whatever the request, the gateway sends MongoDB only commands that the API key permits.
//!
//! The router connects to a recorder that implements MongoDB's wire protocol, and the oracle checks
//! the received commands. An input is either text (a line with the key and the action, then the
//! body) or the random choices of a request grammar.
#![no_main]

mod grammar;
mod oracle;
mod recorder;
mod rules;

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Method, Request, StatusCode};
use bson::{RawDocumentBuf, cstr};
use connect_eaas_mongodb::codec::ejson::{self, Style};
use connect_eaas_mongodb::gateway::{Flags, GatewayOptions, Permission, Right, Rule, keys, router};
use http_body_util::BodyExt as _;
use libfuzzer_sys::arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;
use tokio::runtime::Runtime;
use tower::ServiceExt as _;

use oracle::KEYS;
use recorder::Recorder;

struct Gateway {
    runtime: Runtime,
    router: Router,
    recorder: Recorder,
    /// The keys, in the order of [`KEYS`].
    keys: Vec<HeaderValue>,
}

fn gateway() -> &'static Gateway {
    static GATEWAY: OnceLock<Gateway> = OnceLock::new();
    GATEWAY.get_or_init(|| {
        let gateway = start();
        oracle::self_check();
        rules::self_check();
        check_recorder(&gateway);
        gateway
    })
}

fn start() -> Gateway {
    let (mut file, mut made) = (String::new(), Vec::new());
    for key in &KEYS {
        let permissions = key.grants.iter().map(|grant| {
            let rights = grant.rights.iter().map(|right| Right::from_name(right).expect("a right")).collect();
            let place = format!("*/{}/{}", grant.database, grant.collection);
            let (owner, hides) = grant.rule;
            let hidden = hides.then(|| vec![rules::HIDDEN.to_owned()]);
            let rule = Rule::parse(owner.then_some(rules::FILTER), None, hidden, None).expect("a rule");
            let rule = (!rule.is_empty()).then(|| Arc::new(rule));
            Permission { rule, ..Permission::parse(&place, rights).expect("a place") }
        });
        let (text, secret) = keys::create(&file, key.name, None, &permissions.collect::<Vec<_>>()).expect("a key");
        file = text;
        made.push(HeaderValue::try_from(secret).expect("a header"));
    }
    let path = std::env::temp_dir().join(format!("connect-mongodb-fuzz-access-{}", std::process::id()));
    let mut private = std::fs::OpenOptions::new();
    private.write(true).create(true).truncate(true).mode(0o600);
    private.open(&path).and_then(|mut opened| opened.write_all(file.as_bytes())).expect("a key file");
    let recorder = Recorder::start().expect("a port");
    let uri = format!("mongodb://{}/?serverSelectionTimeoutMS=5000", recorder.address);
    let flags =
        Flags { mongodb_uri: &uri, keys_file: &path, listen: "127.0.0.1:0", data_source: None, access_log: false };
    let options = GatewayOptions::from_flags(flags, 16).expect("options");
    drop(std::fs::remove_file(&path));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("threads");
    let router = runtime.block_on(async { router(options).expect("a router") });
    Gateway { runtime, router, recorder, keys: made }
}

impl Gateway {
    /// Sends a request. Returns the status, the response body, and the commands that MongoDB received.
    fn post(&self, key: usize, action: &str, body: &[u8]) -> Option<(StatusCode, Vec<u8>, Vec<recorder::Command>)> {
        let path = if action == "watch" { "/watch".to_owned() } else { format!("/action/{action}") };
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header("api-key", &self.keys[key])
            .header("content-type", "application/json")
            .body(Body::from(body.to_vec()))
            .ok()?;
        self.recorder.take();
        let (status, answer) = self.runtime.block_on(async {
            let answer = match self.router.clone().oneshot(request).await {
                Ok(answer) => answer,
                Err(never) => match never {},
            };
            let status = answer.status();
            (status, answer.into_body().collect().await.expect("a body").to_bytes())
        });
        Some((status, answer.to_vec(), self.recorder.take()))
    }
}

/// Checks that the target can fail: it must see the command of a request.
fn check_recorder(gateway: &Gateway) {
    let body = br#"{"dataSource":"x","database":"mine","collection":"a","pipeline":[{"$match":{"a":1}},{"$out":"b"}]}"#;
    let out = KEYS.iter().position(|key| key.name == "out").expect("a key");
    let (status, answer, commands) = gateway.post(out, "aggregate", body).expect("a request");
    assert_eq!(status, StatusCode::OK, "{}", String::from_utf8_lossy(&answer));
    let [command] = &commands[..] else { panic!("{} commands received", commands.len()) };
    assert!(oracle::covered(command, &KEYS[out]).is_ok());
    let reader = KEYS.iter().find(|key| key.name == "reader").expect("a key");
    assert!(oracle::covered(command, reader).is_err());
}

/// Parses a request in text form: `KEY ACTION`, a line break, the body.
fn parse_text(input: &[u8]) -> Option<(usize, String, Vec<u8>)> {
    let end = input.iter().position(|byte| *byte == b'\n')?;
    let (name, action) = std::str::from_utf8(&input[..end]).ok()?.split_once(' ')?;
    let key = KEYS.iter().position(|key| key.name == name)?;
    Some((key, action.to_owned(), input[end + 1..].to_vec()))
}

/// The cursor of a page.
fn cursor_of(answer: &[u8]) -> Option<&str> {
    let (_, cursor) = std::str::from_utf8(answer).ok()?.rsplit_once("],\"cursor\":\"")?;
    cursor.strip_suffix("\"}")
}

/// The body of the request for the page after that of `body`.
fn next_page(body: &[u8], cursor: &str) -> Vec<u8> {
    let first = ejson::parse_any_version(body).expect("a request");
    let mut next = RawDocumentBuf::new();
    for name in [cstr!("dataSource"), cstr!("database"), cstr!("collection")] {
        next.append(name, first.get_str(name).expect("a name"));
    }
    next.append(cstr!("cursor"), cursor);
    let mut text = Vec::new();
    ejson::write_document(&mut text, &next, Style::Relaxed).expect("text");
    text
}

fuzz_target!(|input: &[u8]| {
    let request = parse_text(input).or_else(|| grammar::request(&mut Unstructured::new(input)).ok());
    let Some((key, action, body)) = request else { return };
    let Some((answer, commands)) = checked(key, &action, &body) else { return };
    let Some(cursor) = cursor_of(&answer) else { return };
    assert!(!commands.is_empty(), "a page has no command: {}", String::from_utf8_lossy(&body));
    let next = next_page(&body, cursor);
    for other in (0..KEYS.len()).filter(|other| *other != key) {
        let (status, _, commands) = gateway().post(other, &action, &next).expect("a request");
        assert!(status.is_client_error() && commands.is_empty(), "{} has the cursor", KEYS[other].name);
    }
    let (_, commands) = checked(key, &action, &next).expect("a request");
    assert!(!commands.is_empty(), "the next page has no command: {}", String::from_utf8_lossy(&body));
});

/// Sends a request, and checks its commands. Returns the response and the commands.
fn checked(key: usize, action: &str, body: &[u8]) -> Option<(Vec<u8>, Vec<recorder::Command>)> {
    let (status, answer, commands) = gateway().post(key, action, body)?;
    let shown = || format!("{} {action} {}", KEYS[key].name, String::from_utf8_lossy(body));
    for command in &commands {
        if let Err(problem) = oracle::covered(command, &KEYS[key]) {
            panic!("{problem}\nrequest: {}\ncommand: {:?}", shown(), command);
        }
        if KEYS[key].name == rules::OWNER
            && let Err(problem) = rules::obeyed(command)
        {
            panic!("{problem}\nrequest: {}\ncommand: {:?}", shown(), command);
        }
    }
    match commands.is_empty() {
        true => assert!(status.is_client_error(), "{status} without a command: {}", shown()),
        false => assert!(status.is_success(), "{status}: {}\n{}", String::from_utf8_lossy(&answer), shown()),
    }
    Some((answer, commands))
}
