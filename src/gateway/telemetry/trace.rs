//! Request IDs, and the W3C trace context that the gateway passes on to MongoDB.

use axum::http::{HeaderMap, HeaderValue};
use bson::{Bson, doc};

pub(super) const REQUEST_ID: &str = "x-request-id";
pub(super) const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";

/// The longest `X-Request-Id` that is accepted from a client, in bytes.
const MAX_REQUEST_ID_BYTES: usize = 128;
/// The longest `tracestate` that is passed on, in bytes.
const MAX_TRACESTATE_BYTES: usize = 512;

/// The client's request ID if it is valid, otherwise one of the process and the number of the request.
pub(super) fn request_id(headers: &HeaderMap, process: u64, number: u64) -> HeaderValue {
    let valid = |id: &&HeaderValue| {
        (1..=MAX_REQUEST_ID_BYTES).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
    };
    headers.get(REQUEST_ID).filter(valid).cloned().unwrap_or_else(|| generated(process, number))
}

/// 16 hexadecimal digits of the process, and at least 8 of the number.
fn generated(process: u64, number: u64) -> HeaderValue {
    let mut digits = [0; 32];
    for (index, digit) in digits.iter_mut().enumerate() {
        let half = if index < 16 { process } else { number };
        let value = (half >> (60 - 4 * (index % 16))) & 0xf;
        *digit = b"0123456789abcdef"[value as usize];
    }
    let leading_zeros = (number.leading_zeros() as usize / 4).min(8);
    digits.copy_within(16 + leading_zeros.., 16);
    let id = &digits[..32 - leading_zeros];
    HeaderValue::from_bytes(id).unwrap_or_else(|_| HeaderValue::from_static("-"))
}

/// A W3C trace context, with a span of the gateway.
pub(super) struct TraceContext {
    pub(super) trace_id: String,
    /// The client's span.
    pub(super) parent: String,
    flags: String,
    /// The gateway's span.
    pub(super) span: u64,
    pub(super) state: Option<String>,
}

impl TraceContext {
    /// Reads the context of a request; `None` if there is none or if it is invalid.
    pub(super) fn from_headers(headers: &HeaderMap, span: u64) -> Option<Self> {
        let text = headers.get(TRACEPARENT)?.to_str().ok()?;
        let mut parts = text.split('-');
        let (version, id, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let is_hex = |text: &str, length: usize| {
            text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        let is_zero = |text: &str| text.bytes().all(|byte| byte == b'0');
        let has_more = parts.next().is_some();
        let valid = is_hex(version, 2)
            && version != "ff"
            && !(version == "00" && has_more)
            && is_hex(id, 32)
            && !is_zero(id)
            && is_hex(parent, 16)
            && !is_zero(parent)
            && is_hex(flags, 2);
        let state = headers.get(TRACESTATE).and_then(|state| state.to_str().ok());
        let state = state.filter(|state| state.len() <= MAX_TRACESTATE_BYTES);
        valid.then(|| Self {
            trace_id: id.to_owned(),
            parent: parent.to_owned(),
            flags: flags.to_owned(),
            span,
            state: state.map(str::to_owned),
        })
    }

    /// Whether the client records the trace: the lowest bit of the flags.
    pub(super) fn is_sampled(&self) -> bool {
        u8::from_str_radix(&self.flags, 16).is_ok_and(|flags| flags & 1 == 1)
    }

    /// The `traceparent` of the gateway's span.
    pub(super) fn traceparent(&self) -> String {
        format!("00-{}-{:016x}-{}", self.trace_id, self.span, self.flags)
    }

    /// The `comment` of the command, which MongoDB's log and profiler show.
    pub(super) fn comment(&self) -> Bson {
        let mut comment = doc! { "traceparent": self.traceparent() };
        if let Some(state) = &self.state {
            comment.insert("tracestate", state);
        }
        Bson::Document(comment)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn traced(parent: &'static str) -> Option<String> {
        let headers = HeaderMap::from_iter([(TRACEPARENT.parse().unwrap(), HeaderValue::from_static(parent))]);
        TraceContext::from_headers(&headers, 1).map(|trace| trace.traceparent())
    }

    #[test]
    fn a_request_id_begins_with_that_of_the_process() {
        for (number, id) in [
            (0, "00000000000000ff00000000"),
            (0x1a, "00000000000000ff0000001a"),
            (0xffff_ffff, "00000000000000ffffffffff"),
            (0x1_0000_0000, "00000000000000ff100000000"),
            (u64::MAX, "00000000000000ffffffffffffffffff"),
        ] {
            assert_eq!(request_id(&HeaderMap::new(), 0xff, number), id, "{number}");
        }
        for (given, valid) in [("own-1", true), ("", false), ("two words", false)] {
            let headers = HeaderMap::from_iter([(REQUEST_ID.parse().unwrap(), HeaderValue::from_static(given))]);
            assert_eq!(request_id(&headers, 1, 1) == given, valid, "{given}");
        }
    }

    #[test]
    fn a_trace_is_passed_on_with_a_span_of_the_gateway() {
        let id = "0af7651916cd43dd8448eb211c80319c";
        assert_eq!(
            traced("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
            Some(format!("00-{id}-0000000000000001-01"))
        );
        assert!(traced("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-later").is_some());
        for invalid in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
        ] {
            assert_eq!(traced(invalid), None, "{invalid}");
        }
    }
}
