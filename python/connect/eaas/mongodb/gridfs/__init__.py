"""GridFS: files in MongoDB, of any size, with the API of PyMongo's `gridfs`.

`AsyncGridFSBucket` and its files are awaited, `GridFSBucket` and its files
block. What one of them, or PyMongo, has stored can be read by all.
"""

from __future__ import annotations

from connect.eaas.mongodb.gridfs._async import (
    AsyncGridFS,
    AsyncGridFSBucket,
    AsyncGridIn,
    AsyncGridOut,
    AsyncGridOutCursor,
)
from connect.eaas.mongodb.gridfs._motor import AsyncIOMotorGridFSBucket
from connect.eaas.mongodb.gridfs._shared import DEFAULT_CHUNK_SIZE
from connect.eaas.mongodb.gridfs._sync import GridFS, GridFSBucket, GridIn, GridOut, GridOutCursor
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
