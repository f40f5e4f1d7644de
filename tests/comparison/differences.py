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
