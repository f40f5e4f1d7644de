//! `Configuration` errors of the gateway's files. They never contain a value that may be secret.

use crate::error::{Error, ErrorKind, Result, excerpt};

/// Fails with a `Configuration` error.
pub(super) fn config_error<T>(message: impl Into<String>) -> Result<T> {
    Err(Error::new(ErrorKind::Configuration, message))
}

/// Describes a TOML error by its line, without the values that the parser quotes.
pub(super) fn toml_error(file: &str, text: &str, error: &toml_edit::de::Error) -> Error {
    let line = error.span().map(|span| text.get(..span.start).map_or(1, |before| before.matches('\n').count() + 1));
    let line = line.map_or_else(String::new, |line| format!(" (line {line})"));
    // Serde quotes invalid values in its messages.
    let mut message = error.message().to_owned();
    if let (Some(first), Some(last)) = (message.find('"'), message.rfind('"')) {
        message.replace_range(first..=last, "\"…\"");
    }
    if let Some((variant, expected)) = message.strip_prefix("unknown variant `").and_then(|rest| rest.split_once('`')) {
        message = format!("unknown value of {} characters{expected}", variant.chars().count());
    }
    Error::new(ErrorKind::Configuration, format!("{file} cannot be used{line}: {}", excerpt(&message, 300)))
}
