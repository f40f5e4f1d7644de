"""GridFS: files of any size in MongoDB, with the API of PyMongo's `gridfs`.

`AsyncGridFSBucket` has an asynchronous API, `GridFSBucket` a blocking one. All of
them, and PyMongo, can read each other's files.
"""

from __future__ import annotations

from connect.eaas.mongodb._async.gridfs import (
    AsyncGridFS,
    AsyncGridFSBucket,
    AsyncGridIn,
    AsyncGridOut,
    AsyncGridOutCursor,
)
from connect.eaas.mongodb._common.gridfs import DEFAULT_CHUNK_SIZE
from connect.eaas.mongodb._sync.gridfs import GridFS, GridFSBucket, GridIn, GridOut, GridOutCursor
from connect.eaas.mongodb.gridfs._motor import AsyncIOMotorGridFSBucket
from gridfs.errors import CorruptGridFile, FileExists, GridFSError, NoFile

__all__ = [
    "DEFAULT_CHUNK_SIZE",
    "AsyncGridFS",
    "AsyncGridFSBucket",
    "AsyncGridIn",
    "AsyncGridOut",
    "AsyncGridOutCursor",
    "AsyncIOMotorGridFSBucket",
    "CorruptGridFile",
    "FileExists",
    "GridFS",
    "GridFSBucket",
    "GridFSError",
    "GridIn",
    "GridOut",
    "GridOutCursor",
    "NoFile",
]
