"""Where ours differs from PyMongo on purpose, or for the driver's sake, case by case.

What is here must differ: a case that has come to be the same is taken out. `docs/compatibility.md` has the table.
"""

from __future__ import annotations

import contextlib
import os

import pytest

NO_COMMENT = "PyMongo leaves the comment and `let` out of an unordered bulk write that is unacknowledged"
REPLY_AWAITED = "listeners see the reply to an unacknowledged write, or that it was lost, since the driver awaits it"
OWN_SESSION = "a retryable write outside a transaction is sent in a session of the client's own"
RAW_IDS = "a RawBSONDocument without an _id gets one, and inserted_ids contains it"
CHECKED_FIRST = "an invalid argument is rejected before it is sent"
OF_THE_PAST = "MongoDB has removed the option"
MORE_IS_TAKEN = "this package accepts more types of arguments"
OTHER_ERROR = "an argument of a wrong type or value raises another class of exception"
SERVERS_DEFAULT = "the server's defaults are not sent"
STATES_ONLY = "listeners receive the server's reply unchanged, where PyMongo reports an expected error as a success"
NOT_CACHED = "the servers are queried each time"
DRIVERS = "the driver's own behaviour"
CONCERN_DETAILS = "the details of a write concern error do not repeat the error's labels and partial results"

DIFFERENT: dict[str, str] = {
    "insert_one: a raw document": RAW_IDS,
    "insert_one: a raw document without id": RAW_IDS,
    "insert_many: raw documents": RAW_IDS,
    "update_one: a wrong session": OTHER_ERROR,
    "update_many: a wrong session": OTHER_ERROR,
    "find_one: batch_size": SERVERS_DEFAULT,
    "find: min and max arguments": MORE_IS_TAKEN,
    "find: oplog_replay": OF_THE_PAST,
    "find: max_scan": OF_THE_PAST,
    "find, wrong: a negative skip argument": OTHER_ERROR,
    "find, wrong: a collation without locale": OTHER_ERROR,
    "find, wrong: a text for max_scan": OF_THE_PAST,
    "cursor: no options once begun": OF_THE_PAST,
    "counts: count_documents, a number": OTHER_ERROR,
    "counts: count_documents, none for a filter": OTHER_ERROR,
    "counts: distinct, a number for a filter": OTHER_ERROR,
    "aggregate_raw_batches: batches": SERVERS_DEFAULT,
    "aggregate_raw_batches: a wrong stage": SERVERS_DEFAULT,
    "bulk_write: every model": OWN_SESSION,
    "bulk_write: every model, unordered": OWN_SESSION,
    "bulk_write: every model, unordered by place": OWN_SESSION,
    "bulk_write: a wrong session": OTHER_ERROR,
    "create_index: commitQuorum": OTHER_ERROR,
    "indexes, there are some: drop_index, no collection": STATES_ONLY,
    "indexes, there are some: drop_indexes, no collection": STATES_ONLY,
    "create_collection: a wrong name": CHECKED_FIRST,
    "create_collection: a number": CHECKED_FIRST,
    "command: an unknown command, unchecked": STATES_ONLY,
    "command: an allowed error": MORE_IS_TAKEN,
    "command: an allowed code": STATES_ONLY,
    "command: an empty document": OTHER_ERROR,
    "cursor_command: no cursor": DRIVERS,
    "client: address": NOT_CACHED,
    "client: nodes": NOT_CACHED,
    "an unreachable concern: find_one_and_update": STATES_ONLY,
    "an unreachable concern: find_one_and_delete": STATES_ONLY,
    "an unreachable concern: indexes": STATES_ONLY,
    "an unreachable concern: drop": STATES_ONLY,
    "an unreachable concern: rename": STATES_ONLY,
    "an unreachable concern: aggregate": STATES_ONLY,
    "unacknowledged, bulk: unordered, a comment": NO_COMMENT,
    "a session: insert_one": OWN_SESSION,
    "a session: insert_many": OWN_SESSION,
    "a session: update_one": OWN_SESSION,
    "a session: replace_one": OWN_SESSION,
    "a session: delete_one": OWN_SESSION,
    "a session: find_one_and_update": OWN_SESSION,
    "a session: find_one_and_replace": OWN_SESSION,
    "a session: find_one_and_delete": OWN_SESSION,
    "a session: bulk_write": OWN_SESSION,
    "a session: create_collection": DRIVERS,
    "a session: client.bulk_write": OWN_SESSION,
    "a snapshot session: insert_one": DRIVERS,
    "a snapshot session: bulk_write": DRIVERS,
    "a snapshot session: update_one": DRIVERS,
    "a session without causal consistency: insert_one": OWN_SESSION,
    "a session: two of them": OWN_SESSION,
    "a session, wrong: a text for causal_consistency": OTHER_ERROR,
    "a session, wrong: a cluster time without one": OTHER_ERROR,
    "a session, wrong: a text, to insert": OTHER_ERROR,
    "a session: bound": OWN_SESSION,
    "a transaction's options: a secondary": DRIVERS,
    "watch: a collation": DRIVERS,
}


# The same, of what goes wrong on the way.
DIFFERENT_FAULTS: dict[str, str] = {
    "find_one_and_update: a concern's 91, once": STATES_ONLY,
    "update_many: a concern's 91, once": CONCERN_DETAILS,
    "client.bulk_write: a concern's 91, once": CONCERN_DETAILS,
    "find_one_and_update: a concern's 91, twice": STATES_ONLY,
    "update_many: a concern's 91, twice": CONCERN_DETAILS,
    "client.bulk_write: a concern's 91, twice": CONCERN_DETAILS,
    "find_one_and_update: a concern's 91 without labels, once": STATES_ONLY,
    "find_one_and_update: a concern's 64, once": STATES_ONLY,
    "find_one_and_update: a concern's 100, once": STATES_ONLY,
    "find_one_and_update: a concern's 79, once": STATES_ONLY,
    "commit: a concern's 64, once": STATES_ONLY,
    "abort: a concern's 64, once": STATES_ONLY,
    "with_transaction, commit: a concern's 64, once": STATES_ONLY,
    "commit: a concern's 100, once": STATES_ONLY,
    "abort: a concern's 100, once": STATES_ONLY,
    "with_transaction, commit: a concern's 100, once": STATES_ONLY,
    "an unacknowledged insert_one": REPLY_AWAITED,
}

# On the second server, nx-27017: where the libraries differ because of what it sends, and what it cannot do at all.
# `test_second_server.py` checks it.
NX_NO_CODE = "nx-27017 sends errors without a code: the driver takes them for malformed replies"
NX_COUNTS_OPTIONS = "nx-27017 inserts an option that is a document, and counts it: a reply to more than was sent"
NX_NO_LIMIT = "nx-27017 stores what is too large for MongoDB, but not each time in the same way"
NX_KEEPS_ORDER = "nx-27017 keeps the order of fields, and ours sends the _id first"
NX_NO_VALIDATION = "nx-27017 does not say what it validated, which PyMongo reads"
NX_CURSOR_CLASS = "ours returns a cursor of another class, which only shows if the call succeeds"

NX_DIFFERENT: dict[str, str] = {
    "insert_one: a comment that is a document": NX_COUNTS_OPTIONS,
    "insert_one: too large": NX_NO_LIMIT,
    "find_one: an unknown operator": NX_NO_CODE,
    "find: a slice in the projection": NX_NO_CODE,
    "find: elemMatch in the projection": NX_NO_CODE,
    "find: an unknown operator": NX_NO_CODE,
    "find: a where": NX_NO_CODE,
    "find: a where that is code": NX_NO_CODE,
    "find: a regex": NX_NO_CODE,
    "cursor: a wrong query and again": NX_NO_CODE,
    "find_raw_batches: a wrong query": NX_NO_CODE,
    "find_one_and_update: a pipeline": NX_NO_CODE,
    "counts: count_documents, an unknown operator": NX_NO_CODE,
    "aggregate: out": NX_NO_CODE,
    "aggregate: out and a concern": NX_NO_CODE,
    "aggregate: out, batchSize": NX_NO_CODE,
    "aggregate: an unknown stage": NX_NO_CODE,
    "aggregate: of a database": NX_NO_CODE,
    "aggregate: of a database, options": NX_NO_CODE,
    "aggregate: of a database, wrong": NX_NO_CODE,
    "client.bulk_write: no ids": NX_KEEPS_ORDER,
    "create_index: wildcard": NX_NO_CODE,
    "create_index: unique, refused": NX_NO_CODE,
    "create_index: twice": NX_NO_CODE,
    "create_indexes: refused": NX_NO_CODE,
    "indexes, there are some: drop_index, keys": NX_NO_CODE,
    "search indexes: create_search_index": NX_NO_CODE,
    "search indexes: create_search_indexes": NX_NO_CODE,
    "search indexes: list_search_indexes": NX_CURSOR_CLASS,
    "search indexes: list_search_indexes, a name": NX_CURSOR_CLASS,
    "renaming and dropping: rename of nothing": NX_NO_CODE,
    "renaming and dropping: drop of nothing": NX_NO_CODE,
    "renaming and dropping: drop_collection of nothing": NX_NO_CODE,
    "validate_collection: a name": NX_NO_VALIDATION,
    "validate_collection: a collection": NX_NO_VALIDATION,
    "validate_collection: options": NX_NO_VALIDATION,
    "validate_collection: full": NX_NO_VALIDATION,
    "validate_collection: background": NX_NO_VALIDATION,
    "cursor_command: an unknown command": NX_NO_CODE,
    "a write concern: aggregate": NX_NO_CODE,
    "a session: aggregate with out": NX_NO_CODE,
    "a session: validate_collection": NX_NO_VALIDATION,
    "a session: list_search_indexes": NX_CURSOR_CLASS,
    "a transaction: count_documents": NX_NO_CODE,
    "a transaction: distinct": NX_NO_CODE,
    "a transaction: aggregate": NX_NO_CODE,
    "a transaction: command": NX_NO_CODE,
    "a transaction: create_index": NX_NO_CODE,
    "a transaction: create_collection": NX_NO_CODE,
    "a transaction: aggregate with out": NX_NO_CODE,
    "a transaction: list_collection_names": NX_NO_CODE,
    "a transaction: drop": NX_NO_CODE,
    "a transaction's options: concerns": NX_COUNTS_OPTIONS,
    "a transaction's options: by place": NX_COUNTS_OPTIONS,
    "a transaction: committed": NX_NO_CODE,
    "a transaction: in conflict with another": NX_NO_CODE,
    "a transaction: two after another": NX_COUNTS_OPTIONS,
    "with_transaction: with options": NX_COUNTS_OPTIONS,
}

NX_NO_STREAMS = "its change streams send events in another shape and order, and some never end"
NX_NO_SET = "it is no member of a replica set"
NX_FIRST_WRITE = "ours numbers the first write of a client that does not know yet that the server is standalone"
NX_HANGS = "it closes its connection, or never answers"

# Groups of cases, by what comes before the colon, and cases.
NX_UNABLE: dict[str, str] = {
    "watch": NX_NO_STREAMS,
    "watch, wrong": NX_NO_STREAMS,
    "watch, with images": NX_NO_STREAMS,
    "a client's options: the set's name": NX_NO_SET,
    "a client's options: read and write concern": NX_FIRST_WRITE,
    "a client's options: journal": NX_FIRST_WRITE,
    "a client's options: a read preference": NX_FIRST_WRITE,
    "a client's options: an appname and pools": NX_FIRST_WRITE,
    "a client's options: compressors": NX_FIRST_WRITE,
    "a client's options: a direct connection": NX_FIRST_WRITE,
    "a session: database.aggregate": NX_HANGS,
}

WITH_PYMONGO = os.environ.get("COMPARE_WITH") == "pymongo"
# Depends on how fast the next batch is there.
MAY_DIFFER = {"cursor: that the server forgot"}


def differing(name: str, different: dict[str, str] = DIFFERENT) -> contextlib.AbstractContextManager[object]:
    """In which a case is compared: where it differs on purpose it must."""
    if name in MAY_DIFFER:
        return contextlib.suppress(AssertionError)
    return (
        pytest.raises(AssertionError, match=r"^\ncase ")
        if name in different and not WITH_PYMONGO
        else contextlib.nullcontext()
    )
