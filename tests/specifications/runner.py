"""Runs a test of the unified test format with an asynchronous client, this package's or PyMongo's."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import inspect
import re
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from bson import json_util
from pymongo import (
    DeleteMany,
    DeleteOne,
    InsertOne,
    MongoClient,
    ReadPreference,
    ReplaceOne,
    ReturnDocument,
    UpdateMany,
    UpdateOne,
    WriteConcern,
    monitoring,
)
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.asynchronous.mongo_client import AsyncMongoClient
from pymongo.client_session_shared import TransactionOptions
from pymongo.cursor import CursorType
from pymongo.errors import (
    BulkWriteError,
    ClientBulkWriteException,
    ConfigurationError,
    ConnectionFailure,
    InvalidOperation,
    NotPrimaryError,
    OperationFailure,
    PyMongoError,
)
from pymongo.operations import SearchIndexModel
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import make_read_preference
from pymongo.server_api import ServerApi

from tests.specifications.matching import ABSENT, Matcher, told

# Events of these commands are not observed, unless a test asks for them.
SENSITIVE = {"authenticate", "saslstart", "saslcontinue", "getnonce", "createuser", "updateuser", "copydbgetnonce"}
SENSITIVE |= {"copydbsaslstart", "copydb", "configurefailpoint", "hello", "ismaster"}
MODES = ["primary", "primaryPreferred", "secondary", "secondaryPreferred", "nearest"]
# The server is there: one of a kind that is not there is not waited for.
SELECTION_MS = 3_000
# How often a test that waits for events looks.
LOOK_SECONDS = 0.02
WAIT_SECONDS = 10


class NotSupportedError(Exception):
    """The runner, or PyMongo's API, does not have what a test uses."""


def snake(name: str) -> str:
    """A name of the specification in Python's spelling: `maxTimeMS` is `max_time_ms`."""
    return re.sub(r"(?<=[a-z0-9])([A-Z]+)", lambda found: f"_{found[1].lower()}", name)


def parsed(text: str) -> Any:
    """Parses a file of the specification."""
    return json_util.loads(text)


class Observer(monitoring.CommandListener):
    """Records the command events of a client."""

    def __init__(self, kinds: list[str], ignored: list[str], sensitive: bool) -> None:
        self._kinds = {kind.lower() for kind in kinds}
        self._ignored = {name.lower() for name in ignored} | (set() if sensitive else SENSITIVE)
        self._lock = threading.Lock()
        self._events: list[Any] = []

    def _observe(self, event: Any) -> None:
        if type(event).__name__.lower() in self._kinds and event.command_name.lower() not in self._ignored:
            with self._lock:
                self._events.append(event)

    started = succeeded = failed = _observe

    @property
    def events(self) -> list[Any]:
        with self._lock:
            return list(self._events)


class Server:
    """The server that tests run on, by a client of PyMongo that is not tested."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.client: MongoClient[dict[str, Any]] = MongoClient(uri, serverSelectionTimeoutMS=10_000)
        self.version = tuple(self.client.server_info()["versionArray"][:3])
        hello = self.client.admin.command("hello")
        self.topology = "replicaset" if "setName" in hello else "sharded" if "msg" in hello else "single"

    def satisfies(self, requirements: list[dict[str, Any]]) -> bool:
        """Whether one of a test's requirements is met."""
        return not requirements or any(self._satisfies(one) for one in requirements)

    def _satisfies(self, requirement: Mapping[str, Any]) -> bool:
        def version(text: str) -> tuple[int, ...]:
            return tuple(int(part) for part in (text.split(".") + ["0", "0"])[:3])

        return (
            self.topology in requirement.get("topologies", [self.topology])
            and version(requirement.get("minServerVersion", "0")) <= self.version
            and self.version[: requirement.get("maxServerVersion", "").count(".") + 1]
            <= version(requirement.get("maxServerVersion", "999"))
            and not requirement.get("auth")
            and not requirement.get("csfle")
            and all(name == "enableTestCommands" for name in requirement.get("serverParameters", {}))
        )

    def prepare(self, initial_data: list[dict[str, Any]]) -> None:
        """Creates the collections that a test begins with."""
        for given in initial_data:
            database = self.client[given["databaseName"]]
            database.drop_collection(given["collectionName"])
            collection = database.get_collection(given["collectionName"], write_concern=WriteConcern("majority"))
            options = given.get("createOptions", {})
            if options or not given["documents"]:
                database.create_collection(given["collectionName"], **options)
            if given["documents"]:
                collection.insert_many(copy.deepcopy(given["documents"]))

    def clean(self) -> None:
        """Ends what a test may have left."""
        for name in ("failCommand", "onPrimaryTransactionalWrite"):
            with contextlib.suppress(PyMongoError):
                self.client.admin.command("configureFailPoint", name, mode="off")
        with contextlib.suppress(PyMongoError):
            self.client.admin.command("killAllSessions", [])

    def close(self) -> None:
        self.client.close()


class Test:
    """A test while it runs."""

    __test__ = False

    def __init__(self, server: Server, make_client: Callable[..., Any]) -> None:
        self.server = server
        self.make_client = make_client
        self.entities: dict[str, Any] = {}
        self.observers: dict[str, Observer] = {}
        self.session_ids: dict[str, Any] = {}
        self.matcher = Matcher(self.entity, lambda name: self.session_ids[name])
        self._closers: list[Callable[[], Any]] = []

    def entity(self, name: str) -> Any:
        return self.entities[name]

    async def create(self, specifications: list[dict[str, Any]]) -> None:
        """Creates entities."""
        for specification in specifications:
            ((kind, fields),) = specification.items()
            self.entities[fields["id"]] = await self._created(kind, fields)

    async def _created(self, kind: str, given: Mapping[str, Any]) -> Any:
        if kind == "client":
            if any(not name.startswith("command") for name in given.get("observeEvents", [])):
                raise NotSupportedError("events of connections and servers")
            options = dict(given.get("uriOptions") or {})
            if "serverApi" in given:
                api = given["serverApi"]
                options["server_api"] = ServerApi(api["version"], api.get("strict"), api.get("deprecationErrors"))
            if "autoEncryptOpts" in given:
                raise NotSupportedError("encryption")
            observer = Observer(
                given.get("observeEvents", []),
                given.get("ignoreCommandMonitoringEvents", []),
                given.get("observeSensitiveCommands", False),
            )
            self.observers[given["id"]] = observer
            options = {"serverSelectionTimeoutMS": SELECTION_MS, "heartbeatFrequencyMS": 500, **options}
            client = self.make_client(self.server.uri, event_listeners=[observer], **options)
            self._closers.append(client.close)
            await client.admin.command("ping", read_preference=ReadPreference.NEAREST)
            observer._events.clear()
            return client
        if kind == "database":
            return self.entity(given["client"]).get_database(
                given["databaseName"], **concerns(given.get("databaseOptions", {}))
            )
        if kind == "collection":
            return self.entity(given["database"]).get_collection(
                given["collectionName"], **concerns(given.get("collectionOptions", {}))
            )
        if kind == "session":
            options = {snake(name): value for name, value in given.get("sessionOptions", {}).items()}
            if "default_transaction_options" in options:
                options["default_transaction_options"] = TransactionOptions(
                    **transaction_options(options["default_transaction_options"])
                )
            options.pop("default_timeout_ms", None)
            session = self.entity(given["client"]).start_session(**options)
            self.session_ids[given["id"]] = session.session_id
            self._closers.insert(0, session.end_session)
            return session
        raise NotSupportedError(f"an entity of type {kind}")

    async def close(self) -> None:
        for close in self._closers:
            with contextlib.suppress(PyMongoError):
                await close()

    # Operations.

    async def run(self, operations: list[dict[str, Any]]) -> None:
        for operation in operations:
            await self.operate(operation)

    async def operate(self, operation: Mapping[str, Any]) -> None:
        """Runs an operation, and checks its result or its error."""
        name, given = operation["name"], dict(operation.get("arguments", {}))
        if operation["object"] == "testRunner":
            await self._special(name, given)
            return
        holder = self.entity(operation["object"])
        expected = operation.get("expectError")
        ignores = operation.get("ignoreResultAndError", False)
        try:
            result = await Operations(self).call(holder, name, given)
        except (NotSupportedError, AssertionError, asyncio.CancelledError):
            raise
        except Exception as error:
            if ignores:
                return
            if expected is None:
                raise AssertionError(f"{name} failed: {type(error).__name__}: {error}") from error
            self._check_error(expected, error, name)
            return
        if ignores:
            return
        assert expected is None, f"{name} did not fail: {expected!r} was expected, and it returned {result!r}"
        if "expectResult" in operation:
            self.matcher.match(operation["expectResult"], coerced(name, result), f"the result of {name}")
        if "saveResultAsEntity" in operation:
            self.entities[operation["saveResultAsEntity"]] = result

    def _check_error(self, expected: Mapping[str, Any], given: Exception, name: str) -> None:
        error: Any = given
        if isinstance(given, ClientBulkWriteException) and given.error:
            error = given.error
        shown = f"{name} failed with {type(error).__name__} ({getattr(error, 'code', None)}): {error}"
        if "isClientError" in expected:
            is_client = not isinstance(error, PyMongoError) or isinstance(error, (InvalidOperation, ConfigurationError))
            is_client |= isinstance(error, ConnectionFailure) and not isinstance(error, NotPrimaryError)
            assert is_client == expected["isClientError"], shown
        if "errorContains" in expected:
            details = getattr(error, "details", None)
            text = f"{error} {details}".lower()
            assert expected["errorContains"].lower() in text, shown
        if "errorCode" in expected:
            assert getattr(error, "code", None) == expected["errorCode"], shown
        if "errorCodeName" in expected:
            assert (error.details or {}).get("codeName") == expected["errorCodeName"], shown
        if "isTimeoutError" in expected:
            assert getattr(error, "timeout", False) == expected["isTimeoutError"], shown
        for label in expected.get("errorLabelsContain", []):
            assert given.has_error_label(label), f"{shown}: without {label}"  # type: ignore[attr-defined]
        for label in expected.get("errorLabelsOmit", []):
            assert not given.has_error_label(label), f"{shown}: with {label}"  # type: ignore[attr-defined]
        if "errorResponse" in expected:
            self.matcher.match(expected["errorResponse"], error.details, f"{shown}: the reply")
        for field, attribute in (("writeErrors", "write_errors"), ("writeConcernErrors", "write_concern_errors")):
            if field in expected:
                of_errors = getattr(given, attribute)
                actual = (
                    {str(one["idx"]): {"code": one["code"]} for one in of_errors}
                    if field == "writeErrors"
                    else [{"code": one["code"], "message": one.get("errmsg")} for one in of_errors]
                )
                self.matcher.match(expected[field], actual, field)
        if "expectResult" in expected:
            self.matcher.match(expected["expectResult"], partial_result(given), f"the partial result of {name}")

    async def _special(self, name: str, given: dict[str, Any]) -> None:
        if name == "failPoint":
            self.server.client.admin.command(given["failPoint"])
        elif name == "createEntities":
            await self.create(given["entities"])
        elif name == "assertSessionTransactionState":
            is_open = given["state"] in ("starting", "in_progress")
            assert self.entity(given["session"]).in_transaction == is_open, (
                f"the transaction's state is not {given['state']}"
            )
        elif name in ("assertSameLsidOnLastTwoCommands", "assertDifferentLsidOnLastTwoCommands"):
            started = [e for e in self.observers[given["client"]].events if hasattr(e, "command")]
            same = started[-1].command["lsid"] == started[-2].command["lsid"]
            assert same == ("Same" in name), name
        elif name in ("assertCollectionExists", "assertCollectionNotExists"):
            there = given["collectionName"] in self.server.client[given["databaseName"]].list_collection_names()
            assert there == (name == "assertCollectionExists"), name
        elif name in ("assertIndexExists", "assertIndexNotExists"):
            collection = self.server.client[given["databaseName"]][given["collectionName"]]
            assert (given["indexName"] in collection.index_information()) == (name == "assertIndexExists"), name
        elif name in ("assertEventCount", "waitForEvent"):
            await self._count_events(name, given)
        elif name == "wait":
            await asyncio.sleep(given["ms"] / 1000)
        else:
            raise NotSupportedError(name)

    async def _count_events(self, name: str, given: Mapping[str, Any]) -> None:
        def count() -> int:
            found = 0
            for event in self.observers[given["client"]].events:
                with contextlib.suppress(AssertionError):
                    self.matcher.match_event(given["event"], event, "")
                    found += 1
            return found

        if name == "assertEventCount":
            assert count() == given["count"], f"{count()} events like {given['event']}, not {given['count']}"
            return
        for _ in range(int(WAIT_SECONDS / LOOK_SECONDS)):
            if count() >= given["count"]:
                return
            await asyncio.sleep(LOOK_SECONDS)
        raise AssertionError(f"{count()} events like {given['event']}, not {given['count']}")

    def check_events(self, specifications: list[dict[str, Any]]) -> None:
        """Checks the events of each client."""
        for specification in specifications:
            if specification.get("eventType", "command") != "command":
                raise NotSupportedError("events of connections and servers")
            events, expected = self.observers[specification["client"]].events, specification["events"]
            shown = "\n  ".join(map(told, events))
            for place, one in enumerate(expected):
                assert place < len(events), f"event {place} is missing, of {expected}\n  {shown}"
                self.matcher.match_event(one, events[place], f"event {place}")
            if not specification.get("ignoreExtraEvents"):
                assert len(events) == len(expected), f"{len(events)} events, not {len(expected)}:\n  {shown}"

    def check_outcome(self, outcome: list[dict[str, Any]]) -> None:
        """Checks the documents that are stored."""
        for expected in outcome:
            collection = self.server.client[expected["databaseName"]].get_collection(
                expected["collectionName"], read_concern=ReadConcern("local")
            )
            documents = list(collection.find({}, sort=[("_id", 1)]))
            assert documents == expected["documents"], f"{documents} are stored, not {expected['documents']}"


def concerns(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a database or a collection."""
    options: dict[str, Any] = {}
    for name, value in given.items():
        if name == "readConcern":
            options["read_concern"] = ReadConcern(**value)
        elif name == "writeConcern":
            spelled = {"journal": "j", "wtimeoutMS": "wtimeout"}
            options["write_concern"] = WriteConcern(**{spelled.get(key, key): one for key, one in value.items()})
        elif name == "readPreference":
            options["read_preference"] = preference(value)
        else:
            raise NotSupportedError(name)
    return options


def preference(given: Mapping[str, Any]) -> Any:
    mode = given.get("mode", "primary")
    number = [one.lower() for one in MODES].index(mode.lower())
    return make_read_preference(number, given.get("tagSets"), given.get("maxStalenessSeconds", -1))


def transaction_options(given: Mapping[str, Any]) -> dict[str, Any]:
    options = concerns({key: value for key, value in given.items() if key != "maxCommitTimeMS"})
    if "maxCommitTimeMS" in given:
        options["max_commit_time_ms"] = given["maxCommitTimeMS"]
    return options


def keys(given: Any) -> Any:
    """A sort order or an index, in the form that PyMongo takes."""
    return list(given.items()) if isinstance(given, Mapping) else given


MODELS: dict[str, Any] = {
    "insertOne": InsertOne,
    "updateOne": UpdateOne,
    "updateMany": UpdateMany,
    "replaceOne": ReplaceOne,
    "deleteOne": DeleteOne,
    "deleteMany": DeleteMany,
}


def model(given: Mapping[str, Any]) -> Any:
    ((kind, fields),) = given.items()
    parameters = inspect.signature(MODELS[kind].__init__).parameters
    arguments = {}
    for name, value in fields.items():
        spelled = snake(name)
        if spelled not in parameters:
            raise NotSupportedError(f"{kind} with {name}")
        arguments[spelled] = keys(value) if name == "hint" else value
    return MODELS[kind](**arguments)


class Operations:
    """The operations of entities, as calls of PyMongo's API."""

    def __init__(self, test: Test) -> None:
        self.test = test

    async def call(self, holder: Any, name: str, given: dict[str, Any]) -> Any:
        if "timeoutMS" in given or "timeoutMode" in given:
            raise NotSupportedError("timeoutMS")
        if "session" in given:
            given["session"] = self.test.entity(given["session"])
        special = getattr(self, f"_{snake(name)}", None)
        if special is not None:
            return await special(holder, given)
        return await done(getattr(holder, snake(name))(**self.arguments(holder, snake(name), given)))

    def arguments(self, holder: Any, method: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments in PyMongo's spelling: its parameters, and the server's options."""
        kind = next(
            (
                one
                for one in (AsyncCollection, AsyncDatabase, AsyncMongoClient, AsyncClientSession)
                if type(holder).__name__ == one.__name__
            ),
            None,
        )
        function = getattr(kind, method, None) if kind else None
        if function is None:
            raise NotSupportedError(f"{type(holder).__name__}.{method}")
        if method == "find_one":
            function = AsyncCollection.find
        named = inspect.signature(function).parameters
        if method in ("find", "find_one"):
            from pymongo.asynchronous.cursor import AsyncCursor

            named = inspect.signature(AsyncCursor.__init__).parameters
        takes_more = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in named.values())
        arguments: dict[str, Any] = {}
        for name, value in given.items():
            spelled = snake(name)
            if name in ("hint", "keys") or (name == "sort" and method.startswith("find")):
                value = keys(value)
            elif name == "readPreference":
                value = preference(value)
            elif name == "returnDocument":
                value = ReturnDocument.AFTER if value == "After" else ReturnDocument.BEFORE
            elif name == "cursorType":
                value = {"tailable": CursorType.TAILABLE, "tailableAwait": CursorType.TAILABLE_AWAIT}.get(value, 0)
            elif name == "writeConcern":
                value = concerns({name: value})["write_concern"]
            elif name == "fieldName" and method == "distinct":
                spelled = "key"
            elif name == "commandName":
                continue
            if spelled in named:
                arguments[spelled] = value
            elif takes_more:
                arguments[name] = value
            else:
                raise NotSupportedError(f"{method} with {name}")
        return arguments

    # Cursors.

    async def _find(self, holder: Any, given: dict[str, Any]) -> Any:
        return await (await self._cursor(holder, given)).to_list()

    async def _cursor(self, holder: Any, given: dict[str, Any]) -> Any:
        wait = given.pop("maxAwaitTimeMS", None)
        cursor = holder.find(**self.arguments(holder, "find", given))
        return cursor if wait is None else cursor.max_await_time_ms(wait)

    async def _create_find_cursor(self, holder: Any, given: dict[str, Any]) -> Any:
        cursor = await self._cursor(holder, given)
        return await Started.of(cursor)

    async def _aggregate(self, holder: Any, given: dict[str, Any]) -> Any:
        if "maxAwaitTimeMS" in given:
            raise NotSupportedError("maxAwaitTimeMS of aggregate")
        return await (await done(holder.aggregate(**self.arguments(holder, "aggregate", given)))).to_list()

    async def _create_command_cursor(self, holder: Any, given: dict[str, Any]) -> Any:
        return await Started.of(await self._command_cursor(holder, given))

    async def _run_cursor_command(self, holder: Any, given: dict[str, Any]) -> Any:
        return await (await self._command_cursor(holder, given)).to_list()

    async def _command_cursor(self, holder: Any, given: dict[str, Any]) -> Any:
        if "cursorTimeout" in given or "cursorType" in given:
            raise NotSupportedError("cursorType of a command")
        command = {given["commandName"]: given["command"][given["commandName"]]} | given["command"]
        options: dict[str, Any] = {"session": given["session"]} if "session" in given else {}
        if "readPreference" in given:
            options["read_preference"] = preference(given["readPreference"])
        if "maxTimeMS" in given:
            options["max_await_time_ms"] = given["maxTimeMS"]
        if "comment" in given:
            options["comment"] = given["comment"]
        cursor = await done(holder.cursor_command(command, **options))
        if "batchSize" in given:
            cursor.batch_size(given["batchSize"])
        return cursor

    async def _create_change_stream(self, holder: Any, given: dict[str, Any]) -> Any:
        return await done(holder.watch(**self.arguments(holder, "watch", given)))

    async def _iterate_until_document_or_error(self, holder: Any, given: dict[str, Any]) -> Any:
        return await holder.next()

    async def _iterate_once(self, holder: Any, given: dict[str, Any]) -> Any:
        return await holder.try_next()

    async def _close(self, holder: Any, given: dict[str, Any]) -> Any:
        await holder.close()

    async def _list_indexes(self, holder: Any, given: dict[str, Any]) -> Any:
        return await (await done(holder.list_indexes(**self.arguments(holder, "list_indexes", given)))).to_list()

    async def _list_index_names(self, holder: Any, given: dict[str, Any]) -> Any:
        raise NotSupportedError("listIndexNames")

    async def _list_databases(self, holder: Any, given: dict[str, Any]) -> Any:
        return await (await done(holder.list_databases(**given))).to_list()

    _list_database_objects = _list_databases

    async def _list_collections(self, holder: Any, given: dict[str, Any]) -> Any:
        given = {"cursor": {"batchSize": given.pop("batchSize")}, **given} if "batchSize" in given else given
        return await (await done(holder.list_collections(**given))).to_list()

    _list_collection_objects = _list_collections

    # Databases and collections.

    async def _run_command(self, holder: Any, given: dict[str, Any]) -> Any:
        command = {given["commandName"]: given["command"][given["commandName"]]} | given["command"]
        options: dict[str, Any] = {"session": given["session"]} if "session" in given else {}
        if "readPreference" in given:
            options["read_preference"] = preference(given["readPreference"])
        return await holder.command(command, **options)

    async def _create_collection(self, holder: Any, given: dict[str, Any]) -> Any:
        name, session = given.pop("collection"), given.pop("session", None)
        # PyMongo would look first whether the collection exists.
        return await holder.create_collection(name, check_exists=False, session=session, **given)

    async def _drop_collection(self, holder: Any, given: dict[str, Any]) -> Any:
        return await holder.drop_collection(given.pop("collection"), **given)

    async def _modify_collection(self, holder: Any, given: dict[str, Any]) -> Any:
        raise NotSupportedError("modifyCollection")

    async def _rename(self, holder: Any, given: dict[str, Any]) -> Any:
        return await holder.rename(given.pop("to"), **given)

    async def _bulk_write(self, holder: Any, given: dict[str, Any]) -> Any:
        given["requests"] = [model(one) for one in given["requests"]]
        return await holder.bulk_write(**self.arguments(holder, "bulk_write", given))

    async def _client_bulk_write(self, holder: Any, given: dict[str, Any]) -> Any:
        given["models"] = [model(one) for one in given["models"]]
        given["verbose_results"] = given.pop("verboseResults", False)
        return await holder.bulk_write(**self.arguments(holder, "bulk_write", given))

    async def _create_search_index(self, holder: Any, given: dict[str, Any]) -> Any:
        return await holder.create_search_index(SearchIndexModel(**given["model"]))

    async def _create_search_indexes(self, holder: Any, given: dict[str, Any]) -> Any:
        return await holder.create_search_indexes([SearchIndexModel(**one) for one in given["models"]])

    async def _list_search_indexes(self, holder: Any, given: dict[str, Any]) -> Any:
        options = given.get("aggregationOptions", {})
        return await (await done(holder.list_search_indexes(given.get("name"), **options))).to_list()

    # Sessions.

    async def _start_transaction(self, holder: Any, given: dict[str, Any]) -> Any:
        return await done(holder.start_transaction(**transaction_options(given)))

    async def _with_transaction(self, holder: Any, given: dict[str, Any]) -> Any:
        operations = given.pop("callback")

        async def callback(_session: Any) -> None:
            for operation in operations:
                # Errors of the callback are the transaction's.
                nested, arguments = operation["name"], copy.deepcopy(operation.get("arguments", {}))
                if operation["object"] == "testRunner":
                    await self.test.operate(operation)
                    continue
                expects_error = "expectError" in operation
                try:
                    await Operations(self.test).call(self.test.entity(operation["object"]), nested, dict(arguments))
                except PyMongoError as error:
                    if expects_error:
                        self.test._check_error(operation["expectError"], error, nested)
                    raise

        return await holder.with_transaction(callback, **transaction_options(given))


class Started:
    """A cursor that has been started: PyMongo's sends its query when it is first read."""

    def __init__(self, cursor: Any, first: Any) -> None:
        self.cursor = cursor
        self.first = first

    @classmethod
    async def of(cls, cursor: Any) -> Started:
        try:
            return cls(cursor, await cursor.next())
        except StopAsyncIteration:
            return cls(cursor, ABSENT)

    async def next(self) -> Any:
        if self.first is not ABSENT:
            first, self.first = self.first, ABSENT
            return first
        return await self.cursor.next()

    async def try_next(self) -> Any:
        try:
            return await self.next()
        except StopAsyncIteration:
            return None

    async def close(self) -> None:
        await self.cursor.close()


async def done(result: Any) -> Any:
    return await result if inspect.isawaitable(result) else result


def coerced(operation: str, result: Any) -> Any:
    """A result in the specification's form."""
    if getattr(result, "acknowledged", True) is False:
        return {"acknowledged": False}
    if operation == "insertOne":
        return {"insertedId": result.inserted_id}
    if operation == "insertMany":
        return {"insertedIds": {str(place): one for place, one in enumerate(result.inserted_ids)}}
    if operation in ("deleteOne", "deleteMany"):
        return {"deletedCount": result.deleted_count}
    if operation in ("updateOne", "updateMany", "replaceOne"):
        counts = {"matchedCount": result.matched_count, "modifiedCount": result.modified_count}
        counts["upsertedCount"] = 0 if result.upserted_id is None else 1
        return counts if result.upserted_id is None else counts | {"upsertedId": result.upserted_id}
    if operation == "bulkWrite":
        return bulk_counts(result)
    if operation == "clientBulkWrite":
        return client_bulk_counts(result)
    return result


def bulk_counts(result: Any) -> dict[str, Any]:
    return {
        "deletedCount": result.deleted_count,
        "insertedCount": result.inserted_count,
        "matchedCount": result.matched_count,
        "modifiedCount": result.modified_count,
        "upsertedCount": result.upserted_count,
        "upsertedIds": {str(place): one for place, one in (result.upserted_ids or {}).items()},
    }


def client_bulk_counts(result: Any) -> dict[str, Any]:
    counts = {
        name: getattr(result, snake(name))
        for name in ("deletedCount", "insertedCount", "matchedCount", "modifiedCount", "upsertedCount")
    }
    verbose = result.has_verbose_results

    def updated(one: Any) -> dict[str, Any]:
        counts = {"matchedCount": one.matched_count, "modifiedCount": one.modified_count}
        return counts if one.upserted_id is None else counts | {"upsertedId": one.upserted_id}

    each: dict[str, Callable[[], dict[str, Any]]] = {
        "insertResults": lambda: {str(k): {"insertedId": v.inserted_id} for k, v in result.insert_results.items()},
        "updateResults": lambda: {str(k): updated(v) for k, v in result.update_results.items()},
        "deleteResults": lambda: {str(k): {"deletedCount": v.deleted_count} for k, v in result.delete_results.items()},
    }
    return counts | {name: make() if verbose else {} for name, make in each.items()}


def partial_result(error: Any) -> Any:
    if isinstance(error, ClientBulkWriteException):
        return client_bulk_counts(error.partial_result) if error.partial_result else None
    if isinstance(error, BulkWriteError):
        from pymongo.results import BulkWriteResult

        return bulk_counts(BulkWriteResult(dict(error.details), True))
    if isinstance(error, OperationFailure):
        return error.details
    return None


@contextlib.asynccontextmanager
async def prepared(server: Server, file: Mapping[str, Any], make_client: Callable[..., Any]) -> AsyncIterator[Test]:
    """A test whose data and entities are there."""
    server.prepare(file.get("initialData", []))
    test = Test(server, make_client)
    try:
        await test.create(copy.deepcopy(file.get("createEntities", [])))
        yield test
    finally:
        server.clean()
        await test.close()


async def run(
    server: Server, file: Mapping[str, Any], specification: Mapping[str, Any], make_client: Callable[..., Any]
) -> None:
    """Runs a test. Raises `AssertionError` if it fails, and `NotSupportedError` if it cannot run."""
    if "skipReason" in specification:
        raise NotSupportedError(specification["skipReason"])
    for one in (file, specification):
        if not server.satisfies(one.get("runOnRequirements", [])):
            raise NotSupportedError("the server does not meet the requirements")
    async with prepared(server, file, make_client) as test:
        await test.run(copy.deepcopy(specification["operations"]))
        test.check_events(copy.deepcopy(specification.get("expectEvents", [])))
        test.check_outcome(specification.get("outcome", []))
