"""GridFS under Motor's name."""

from __future__ import annotations

import warnings
from typing import Any

from connect.eaas.mongodb._async.gridfs import AsyncGridFSBucket
from connect.eaas.mongodb._common.gridfs import DEFAULT_CHUNK_SIZE

__all__ = ["AsyncIOMotorGridFSBucket"]


class AsyncIOMotorGridFSBucket(AsyncGridFSBucket):
    """`AsyncGridFSBucket`, with Motor's arguments."""

    def __init__(
        self,
        database: Any,
        bucket_name: str = "fs",
        chunk_size_bytes: int = DEFAULT_CHUNK_SIZE,
        write_concern: Any = None,
        read_preference: Any = None,
        collection: str | None = None,
    ) -> None:
        """Create a bucket; `collection` is the deprecated name of `bucket_name`."""
        if collection is not None:
            warnings.warn(
                'the "collection" parameter is deprecated, use "bucket_name" instead', DeprecationWarning, stacklevel=2
            )
            bucket_name = collection
        super().__init__(database, bucket_name, chunk_size_bytes, write_concern, read_preference)
