//! Requests to the gateway: a line with the action or with `watch` and its query string, header lines, an empty line, and
//! the body.
//! There is no MongoDB server: the target covers the code that runs before a command is sent.
#![no_main]

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::OnceLock;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Method, Request, StatusCode};
use connect_eaas_mongodb::gateway::{Flags, GatewayOptions, router};
use http_body_util::BodyExt as _;
use libfuzzer_sys::fuzz_target;
use tokio::runtime::Runtime;
use tower::ServiceExt as _;

const KEY: &str = "a-key-for-fuzzing";

fn gateway() -> &'static (Runtime, Router) {
    static GATEWAY: OnceLock<(Runtime, Router)> = OnceLock::new();
    GATEWAY.get_or_init(|| {
        let keys = std::env::temp_dir().join(format!("connect-mongodb-fuzz-{}", std::process::id()));
        let mut private = std::fs::OpenOptions::new();
        private.write(true).create(true).truncate(true).mode(0o600);
        private.open(&keys).and_then(|mut file| file.write_all(KEY.as_bytes())).expect("a key file");
        let flags = Flags {
            mongodb_uri: "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=1",
            keys_file: &keys,
            listen: "127.0.0.1:0",
            data_source: None,
            access_log: false,
        };
        let options = GatewayOptions::from_flags(flags, 16).expect("options");
        drop(std::fs::remove_file(&keys));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let router = runtime.block_on(async { router(options).expect("a router") });
        (runtime, router)
    })
}

fuzz_target!(|input: &[u8]| {
    let (head, body) = match input.windows(2).position(|two| two == b"\n\n") {
        Some(place) => (&input[..place], &input[place + 2..]),
        None => (&b"insertOne"[..], input),
    };
    let mut lines = head.split(|byte| *byte == b'\n');
    let action = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    // A change stream is a route of its own, whose parameters can be a query string.
    let (method, uri) = match action.strip_prefix("watch") {
        Some(query) if query.starts_with('?') => (Method::GET, format!("/watch{query}")),
        Some("") => (Method::POST, "/watch".to_owned()),
        _ => (Method::POST, format!("/action/{action}")),
    };
    let request = Request::builder().method(method).uri(uri).body(Body::from(body.to_vec()));
    let Ok(mut request) = request else { return };
    request.headers_mut().insert("api-key", HeaderValue::from_static(KEY));
    request.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
    for line in lines {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let (Some(name), Some(value)) = (parts.next(), parts.next()) else { continue };
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            request.headers_mut().insert(name, value);
        }
    }
    let (runtime, router) = gateway();
    let (status, body) = runtime.block_on(async {
        let answer = match router.clone().oneshot(request).await {
            Ok(answer) => answer,
            Err(never) => match never {},
        };
        let status = answer.status();
        (status, answer.into_body().collect().await.expect("a body").to_bytes())
    });
    // The gateway must not fail with an internal error, or succeed without a server.
    assert!(status.is_client_error() || status == StatusCode::SERVICE_UNAVAILABLE, "{status}: {body:?}");
    assert!(body.starts_with(b"{\"error\":\""), "{body:?}");
    assert!(!body.windows(KEY.len()).any(|part| part == KEY.as_bytes()));
});
