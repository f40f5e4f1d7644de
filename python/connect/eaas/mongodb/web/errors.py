"""Errors of MongoDB as Connect's `ClientError`, which a web application responds with."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from bson.errors import InvalidDocument
from connect.client import ClientError
from connect.eaas.mongodb.errors import DataApiError
from connect.eaas.mongodb.events import EventValidationError
from pymongo.errors import (
    ConfigurationError,
    ConnectionFailure,
    DocumentTooLarge,
    ExecutionTimeout,
    OperationFailure,
    PyMongoError,
    WTimeoutError,
)

__all__ = ["client_error", "client_errors"]

logger = logging.getLogger("eaas.webapp")


class Response(NamedTuple):
    """What the caller of the web application gets."""

    status_code: int
    error_code: str
    message: str


UNREACHABLE: Final = Response(503, "MONGODB_UNREACHABLE", "The database is not reachable. Try again later.")
BUSY: Final = Response(503, "MONGODB_BUSY", "The database could not complete the operation. Try again.")
TIMEOUT: Final = Response(504, "MONGODB_TIMEOUT", "The database did not complete the operation in time.")
DUPLICATE_KEY: Final = Response(409, "MONGODB_DUPLICATE_KEY", "An object with the same key exists.")
VALIDATION: Final = Response(400, "MONGODB_VALIDATION", "The object does not satisfy the rules of its collection.")
INVALID_KEY: Final = Response(400, "MONGODB_VALIDATION", "The object cannot be stored: a key is not valid.")
INVALID_INTEGER: Final = Response(400, "MONGODB_VALIDATION", "The object cannot be stored: an integer exceeds 64 bits.")
INVALID_TEXT: Final = Response(400, "MONGODB_VALIDATION", "The object cannot be stored: a text is not valid Unicode.")
TOO_LARGE: Final = Response(413, "MONGODB_TOO_LARGE", "The object is larger than 16 MiB.")
DENIED: Final = Response(500, "MONGODB_DENIED", "The database denies the extension access.")
OTHER: Final = Response(500, "MONGODB_ERROR", "The operation on the database failed.")

DUPLICATE_KEY_CODES: Final = {11000, 11001, 12582}
VALIDATION_CODE: Final = 121
TOO_LARGE_CODES: Final = {17280, 10334}
DENIED_CODES: Final = {13, 18, 8000}
"""`Unauthorized`, `AuthenticationFailed`, and Atlas's error of both."""
RETRYABLE_LABELS: Final = ("TransientTransactionError", "RetryableWriteError")


def client_error(error: Exception) -> ClientError:
    """Return Connect's error for an error of MongoDB, as `connect-eaas-core` responds with it.

    The response contains no message of MongoDB, since that can contain hosts and data: it is logged, as the logger
    `eaas.webapp`. A missing or invalid variable is named, without its value.

    Args:
        error: an error of `pymongo.errors`, of encoding a document, or an `EventValidationError`.

    Returns:
        An error with `status_code`, `error_code` and `errors`: 503 if MongoDB is unreachable, 504 if it does not
        respond in time, 409 for a duplicate key, 400 for an object that cannot be stored, and 500 for others.
    """
    response = _response_to(error) or OTHER
    if response.status_code >= 500:
        logger.error("%s: %s: %s", response.error_code, type(error).__name__, error)
    result = ClientError(
        message=response.message,
        status_code=response.status_code,
        error_code=response.error_code,
        errors=[response.message],
    )
    result.__cause__ = error
    return result


@contextmanager
def client_errors() -> Iterator[None]:
    """Raise errors of MongoDB as `client_error` returns them, in code that uses a client of its own.

    The dependencies of this package do so already.
    """
    try:
        yield
    except Exception as error:
        if _response_to(error) is None:
            raise
        raise client_error(error) from error


def _response_to(error: Exception) -> Response | None:
    """Return the response to an error of MongoDB or of this package, or `None` for others."""
    if isinstance(error, PyMongoError):
        return _response_to_mongodb(error)
    if isinstance(error, EventValidationError):
        return Response(400, "MONGODB_VALIDATION", str(error))
    if isinstance(error, DocumentTooLarge):
        return TOO_LARGE
    if isinstance(error, NotImplementedError):
        return Response(501, "MONGODB_NOT_SUPPORTED", str(error)) if "Data API" in str(error) else None
    # Values of JSON that BSON cannot represent. A Python object of another type is an error of the endpoint.
    if isinstance(error, InvalidDocument):
        return None if "cannot encode object" in str(error) else INVALID_KEY
    if isinstance(error, OverflowError):
        return INVALID_INTEGER if "8-byte ints" in str(error) else None
    if isinstance(error, UnicodeEncodeError):
        return INVALID_TEXT if "surrogates" in error.reason else None
    return None


def _response_to_mongodb(error: PyMongoError) -> Response:
    if isinstance(error, ConfigurationError):
        return Response(500, "MONGODB_CONFIGURATION", str(error))
    if isinstance(error, ConnectionFailure):
        return UNREACHABLE
    if isinstance(error, (ExecutionTimeout, WTimeoutError)):
        return TIMEOUT
    if any(map(error.has_error_label, RETRYABLE_LABELS)):
        return BUSY
    codes = _codes(error)
    if codes and codes <= DUPLICATE_KEY_CODES:
        return DUPLICATE_KEY
    if codes == {VALIDATION_CODE}:
        return VALIDATION
    if codes & TOO_LARGE_CODES:
        return TOO_LARGE
    if codes & DENIED_CODES:
        return DENIED
    if isinstance(error, DataApiError):
        return _response_to_status(error.status)
    return OTHER


def _codes(error: PyMongoError) -> set[int]:
    """Return MongoDB's codes of the error: one, or those of all writes of a batch that failed."""
    details: Any = getattr(error, "details", None)
    failed = details.get("writeErrors") if isinstance(details, dict) else None
    if isinstance(failed, list) and failed:
        return {write.get("code", 0) for write in failed}
    code = error.code if isinstance(error, (OperationFailure, DataApiError)) else None
    return set() if code is None else {code}


def _response_to_status(status: int | None) -> Response:
    """Return the response to a failure of the Data API, by its HTTP status."""
    if status is None or status in (429, 502, 503):
        return UNREACHABLE
    if status == 504:
        return TIMEOUT
    if status == 413:
        return TOO_LARGE
    return DENIED if status in (401, 403) else OTHER
