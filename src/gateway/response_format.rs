//! The format of a response: how values are written, and what is around documents.

use crate::codec::ejson::Style;
use crate::data_api::protocol::{EJSON, JSON};

/// The media type of NDJSON.
pub(super) const NDJSON: &str = "application/x-ndjson";

/// The format of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ResponseFormat {
    pub(super) style: Style,
    pub(super) framing: Framing,
}

/// What is around the documents of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// `{"documents": […]}`.
    Array,
    /// NDJSON: a document per line, and nothing else.
    Lines,
}

impl ResponseFormat {
    /// One body of this style.
    pub(super) const fn of(style: Style) -> Self {
        Self { style, framing: Framing::Array }
    }

    /// The media type of the response.
    pub(super) const fn media_type(self) -> &'static str {
        match (self.framing, self.style) {
            (Framing::Lines, _) => NDJSON,
            (Framing::Array, Style::Plain) => JSON,
            (Framing::Array, _) => EJSON,
        }
    }
}

/// The style of this name: the parameter `format` of NDJSON and of change streams.
pub(super) fn style_of(name: &str) -> Option<Style> {
    match name {
        "relaxed" => Some(Style::Relaxed),
        "canonical" => Some(Style::Canonical),
        "plain" => Some(Style::Plain),
        _ => None,
    }
}
