//! Converts the driver's errors and the errors in replies to the core's errors. No other module classifies them.

use std::fmt;
use std::io;
use std::time::Duration;

use bson::{Document, RawDocumentBuf, doc};
use mongodb::error::{Error as DriverError, ErrorKind as DriverErrorKind, WriteConcernError, WriteFailure};

use super::Namespace;
use super::time_limit::TimedOut;
use crate::config::DriverSettings;
use crate::error::{Error, ErrorKind, Result, excerpt};

/// The attempted operation, for messages: `insert into events.requests at host:27017`.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    /// Verb and preposition, as in "insert into".
    pub doing: &'static str,
    /// The namespace of the operation.
    pub namespace: &'a Namespace,
    /// The settings that contain the hosts, and the secrets to hide.
    pub settings: &'a DriverSettings,
}

/// Why the user's OIDC callback failed.
#[derive(Debug)]
pub struct CallbackFailed(pub String);

impl fmt::Display for Attempt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} at {}", self.doing, self.namespace, self.settings.hosts)
    }
}

/// Returns the error class that PyMongo assigns to one of MongoDB's error codes
/// (<https://www.mongodb.com/docs/manual/reference/error-codes/>).
fn kind_of_code(code: i32) -> ErrorKind {
    match code {
        11000 | 11001 | 12582 => ErrorKind::DuplicateKey,
        43 => ErrorKind::CursorNotFound,
        50 => ErrorKind::ExecutionTimeout,
        // "Not writable primary" and "node is recovering".
        10107 | 13435 | 10058 | 11600 | 11602 | 13436 | 189 | 91 => ErrorKind::NotPrimary,
        _ => ErrorKind::Operation,
    }
}

/// Returns whether the server rejected a command because of its content, before executing any of it.
pub(super) fn is_malformed_command(error: &Error) -> bool {
    match error.kind {
        // BadValue, FailedToParse, TypeMismatch, Overflow, InvalidLength, InvalidBSON, BSONObjectTooLarge.
        ErrorKind::Operation => matches!(error.code, None | Some(2 | 9 | 14 | 15 | 16 | 22 | 10334)),
        ErrorKind::Configuration | ErrorKind::InvalidBson => true,
        _ => false,
    }
}

/// Returns whether the driver could not parse the reply as one to its command.
pub(super) fn is_malformed_reply(error: &DriverError) -> bool {
    matches!(&*error.kind, DriverErrorKind::InvalidResponse { .. } | DriverErrorKind::BsonDeserialization(_))
}

/// Returns whether the error is a network error.
pub(super) fn is_network_error(error: &DriverError) -> bool {
    matches!(&*error.kind, DriverErrorKind::Io(_) | DriverErrorKind::ConnectionPoolCleared { .. })
        || TimedOut::of(error).is_some_and(|timed_out| timed_out.kind == ErrorKind::NetworkTimeout)
}

/// Returns whether no server was selected in time.
pub(super) fn is_selection_timeout(error: &DriverError) -> bool {
    matches!(&*error.kind, DriverErrorKind::ServerSelection { .. })
        || TimedOut::of(error).is_some_and(|timed_out| timed_out.kind == ErrorKind::ServerSelectionTimeout)
}

/// Returns whether no server has replied, not even with an error.
pub(super) fn is_unreachable(error: &DriverError) -> bool {
    matches!(&*error.kind, DriverErrorKind::Io(_) | DriverErrorKind::ServerSelection { .. })
}

impl Attempt<'_> {
    /// Converts the error of resolving a DNS seed list within `timeout`.
    pub(super) fn unresolved(&self, timeout: Duration, error: &DriverError) -> Error {
        let reason = match &*error.kind {
            DriverErrorKind::DnsResolve { message, .. } => excerpt(message, 300),
            DriverErrorKind::Io(_) => format!("no response within {} s", timeout.as_secs_f32()),
            _ => return self.failed(error),
        };
        let hosts = &self.settings.hosts;
        Error::new(
            ErrorKind::ServerSelectionTimeout,
            format!(
                "{self}: the DNS records of {hosts} could not be resolved ({reason}): a mongodb+srv:// host needs an \
                 SRV record _mongodb._tcp.{hosts}; check the host name and the DNS, or use host:port"
            ),
        )
    }

    /// Returns an error if the reply reports that the write concern was not satisfied.
    pub(super) fn check_write_concern(&self, reply: RawDocumentBuf) -> Result<RawDocumentBuf> {
        let Ok(concern) = reply.get_document("writeConcernError") else { return Ok(reply) };
        let mut error = self.write_concern_not_met(&Document::try_from(concern).unwrap_or_default());
        if let Ok(labels) = reply.get_array("errorLabels") {
            error.labels = labels.into_iter().flatten().filter_map(|l| l.as_str().map(str::to_owned)).collect();
        }
        Err(error)
    }

    /// Converts one of the driver's errors.
    pub(super) fn failed(&self, error: &DriverError) -> Error {
        let mut failed = self.classified(error);
        failed.message = self.settings.without_secrets(&failed.message);
        failed.labels = error.labels().iter().cloned().collect();
        failed.labels.extend(TimedOut::of(error).into_iter().flat_map(TimedOut::labels));
        failed.labels.sort_unstable();
        failed
    }

    /// Returns the error of a write of one statement, if the reply contains one.
    pub(super) fn written(&self, reply: &Document) -> Result<()> {
        match self.inserted_each(1, reply).and_then(|mut results| results.pop()) {
            Some(result) => result,
            None => Ok(()),
        }
    }

    /// Returns the result of each document of an insert as if it had been sent alone, or `None`
    /// if all were stored.
    pub(super) fn inserted_each(&self, count: usize, reply: &Document) -> Option<Vec<Result<()>>> {
        let rejected = reply.get_array("writeErrors").map(Vec::as_slice).unwrap_or_default();
        let concern = reply.get_document("writeConcernError").ok();
        if rejected.is_empty() && concern.is_none() {
            return None;
        }
        let labels: Vec<String> = reply
            .get_array("errorLabels")
            .into_iter()
            .flatten()
            .filter_map(|label| label.as_str().map(str::to_owned))
            .collect();
        // A write concern error applies to all documents that were written.
        let all = concern.map(|concern| Error { labels: labels.clone(), ..self.write_concern_not_met(concern) });
        let mut results = vec![all.map_or(Ok(()), Err); count];
        for write in rejected.iter().filter_map(bson::Bson::as_document) {
            let index = write.get_i32("index").ok().and_then(|index| usize::try_from(index).ok());
            if let Some(result) = index.and_then(|index| results.get_mut(index)) {
                let mut alone = write.clone();
                alone.insert("index", 0);
                *result = Err(Error { labels: labels.clone(), ..self.rejected(&alone) });
            }
        }
        Some(results)
    }

    /// Converts a write error from the server.
    fn rejected(&self, write: &Document) -> Error {
        let code = write.get_i32("code").unwrap_or_default();
        let message = write.get_str("errmsg").unwrap_or_default();
        self.write_error(code, message, None, None).with_details(raw(write))
    }

    /// Converts a write concern error from the server.
    fn write_concern_not_met(&self, concern: &Document) -> Error {
        let code = concern.get_i32("code").unwrap_or_default();
        let message = concern.get_str("errmsg").unwrap_or_default();
        let timed_out = concern.get_document("errInfo").is_ok_and(|info| info.get_bool("wtimeout").unwrap_or(false));
        let kind = if timed_out { ErrorKind::WTimeout } else { ErrorKind::WriteConcern };
        let text = format!("{message} ({self}; the write was applied, but the write concern was not satisfied)");
        Error::new(kind, self.settings.without_secrets(&text)).with_code(Some(code)).with_details(raw(concern))
    }

    fn write_error(
        &self,
        code: i32,
        message: &str,
        info: Option<&Document>,
        response: Option<&RawDocumentBuf>,
    ) -> Error {
        let kind = match kind_of_code(code) {
            ErrorKind::DuplicateKey => ErrorKind::DuplicateKey,
            _ => ErrorKind::Write,
        };
        Error::new(kind, self.settings.without_secrets(&format!("{message} ({self})")))
            .with_code(Some(code))
            .with_details(first_write_error(response).or_else(|| raw(&write_error_document(0, code, message, info))))
    }

    fn write_concern_error(&self, concern: &WriteConcernError) -> Error {
        self.write_concern_not_met(&write_concern_error(concern))
    }

    fn classified(&self, error: &DriverError) -> Error {
        let hosts = &self.settings.hosts;
        match &*error.kind {
            DriverErrorKind::ServerSelection { message, .. } => Error::new(
                ErrorKind::ServerSelectionTimeout,
                format!(
                    "{self}: no suitable server was found in time; check the address, that MongoDB runs there, and that \
                     the network lets this host reach it. {message}"
                ),
            ),
            DriverErrorKind::Authentication { message, .. } => Error::new(
                ErrorKind::Operation,
                format!("{self}: authentication failed ({message}); check user, password and authSource"),
            )
            .with_code(Some(18)),
            DriverErrorKind::Custom(custom) if let Some(CallbackFailed(problem)) = custom.downcast_ref() => {
                Error::new(ErrorKind::Operation, format!("{self}: authentication failed: {}", excerpt(problem, 300)))
                    .with_code(Some(18))
            }
            DriverErrorKind::Custom(custom) if let Some(timed_out) = custom.downcast_ref::<TimedOut>() => {
                let details = timed_out.details();
                Error::new(timed_out.kind, format!("{self}: {}", timed_out.message))
                    .with_code(details.as_ref().map(|(code, _)| *code))
                    .with_details(details.as_ref().and_then(|(_, document)| raw(document)))
            }
            DriverErrorKind::Io(io_error) if io_error.kind() == io::ErrorKind::TimedOut => {
                Error::new(ErrorKind::NetworkTimeout, format!("{self}: no response in time ({io_error})"))
            }
            DriverErrorKind::Io(io_error) => Error::new(
                ErrorKind::AutoReconnect,
                format!(
                    "{self}: the connection was lost or could not be established ({io_error}); the next call reconnects"
                ),
            ),
            DriverErrorKind::ConnectionPoolCleared { message, .. } => Error::new(
                ErrorKind::AutoReconnect,
                format!("{self}: the connection was lost ({message}); the next call reconnects"),
            ),
            DriverErrorKind::DnsResolve { message, .. } => Error::new(
                ErrorKind::ServerSelectionTimeout,
                format!("{self}: {hosts} does not resolve ({message}); check the host name"),
            ),
            DriverErrorKind::Command(command) => {
                let hint = match command.code {
                    13 => "; grant the user a role that allows this on the database",
                    _ => "",
                };
                Error::new(kind_of_code(command.code), format!("{} ({self}{hint})", command.message))
                    .with_code(Some(command.code))
                    .with_details(error.server_response().cloned())
            }
            DriverErrorKind::Write(WriteFailure::WriteError(write)) => {
                self.write_error(write.code, &write.message, write.details.as_ref(), error.server_response())
            }
            DriverErrorKind::Write(WriteFailure::WriteConcernError(concern)) => self.write_concern_error(concern),
            DriverErrorKind::InvalidArgument { message, .. } if message.contains("document must be within") => {
                Error::new(ErrorKind::DocumentTooLarge, format!("{message} ({self})"))
            }
            DriverErrorKind::InvalidArgument { message, .. } if message.starts_with("Message length ") => {
                Error::new(ErrorKind::DocumentTooLarge, format!("{self}: command document too large ({message})"))
            }
            DriverErrorKind::InvalidArgument { message, .. } => {
                Error::new(ErrorKind::Configuration, format!("{message} ({self})"))
            }
            DriverErrorKind::Transaction { message, .. } => {
                Error::new(ErrorKind::InvalidOperation, format!("{message} ({self})"))
            }
            DriverErrorKind::InvalidTlsConfig { message, .. } => Error::new(
                ErrorKind::Configuration,
                format!(
                    "{self}: the TLS settings cannot be used ({message}); check tlsCAFile and tlsCertificateKeyFile"
                ),
            ),
            DriverErrorKind::Shutdown => {
                Error::new(ErrorKind::InvalidOperation, format!("{self}: the client is closed; create a new one"))
            }
            DriverErrorKind::InvalidResponse { message, .. } => {
                Error::new(ErrorKind::Protocol, format!("{self}: the response is not valid ({message})"))
            }
            DriverErrorKind::IncompatibleServer { message, .. } if message.contains("load balancing") => {
                Error::new(ErrorKind::Configuration, format!("{self}: {message} Remove loadBalanced=true"))
            }
            DriverErrorKind::IncompatibleServer { message, .. } => {
                Error::new(ErrorKind::Configuration, format!("{self}: {message}; MongoDB 4.2 or later is required"))
            }
            other => Error::new(ErrorKind::Operation, format!("{self}: {other}"))
                .with_details(error.server_response().cloned()),
        }
    }
}

/// Builds a write error as the server sends it, from what the driver keeps: it drops `keyPattern`
/// and `keyValue`, which `errmsg` contains as text.
fn write_error_document(index: usize, code: i32, message: &str, info: Option<&Document>) -> Document {
    let mut error = doc! { "index": i32::try_from(index).unwrap_or(i32::MAX), "code": code };
    if let Some(info) = info {
        error.insert("errInfo", info.clone());
    }
    error.insert("errmsg", message);
    error
}

/// Builds a write concern error as the server sends it.
fn write_concern_error(error: &WriteConcernError) -> Document {
    let mut document = doc! { "code": error.code };
    if !error.code_name.is_empty() {
        document.insert("codeName", error.code_name.clone());
    }
    document.insert("errmsg", error.message.clone());
    if let Some(info) = &error.details {
        document.insert("errInfo", info.clone());
    }
    document
}

/// Returns the first write error in the server's response.
fn first_write_error(response: Option<&RawDocumentBuf>) -> Option<RawDocumentBuf> {
    let errors = response?.get_array("writeErrors").ok()?;
    Some(errors.into_iter().next()?.ok()?.as_document()?.to_owned())
}

fn raw(document: &Document) -> Option<RawDocumentBuf> {
    RawDocumentBuf::try_from(document).ok()
}

/// Converts the driver's results.
pub(super) trait Attempted<T> {
    fn attempted(self, attempt: &Attempt<'_>) -> Result<T>;
}

impl<T> Attempted<T> for mongodb::error::Result<T> {
    fn attempted(self, attempt: &Attempt<'_>) -> Result<T> {
        self.map_err(|error| attempt.failed(&error))
    }
}
