"""The error that PyMongo has no class for.

All others are `pymongo.errors`' own, on both paths.
"""

from __future__ import annotations

from typing import Any

from pymongo.errors import PyMongoError

__all__ = ["DataApiError"]


class DataApiError(PyMongoError):
    """The Data API answered with an error, or with something that is no answer of its own.

    What has a class of PyMongo's is raised as that (a duplicate key as
    `DuplicateKeyError`, no connection as `AutoReconnect`, no answer in time as
    `NetworkTimeout`).

    Attributes:
        status: the HTTP status, or `None` where the connection ended without one.
        error_code: the Data API's word for the error, such as `"InvalidSession"`;
            `None` where it gave none.
        code: MongoDB's error code, where the server told it.
    """

    def __init__(
        self,
        message: str = "",
        status: int | None = None,
        error_code: str | None = None,
        code: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.error_code = error_code
        self.code = code

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (str(self), self.status, self.error_code, self.code))
