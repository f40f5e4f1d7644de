"""Converts PyMongo's write models to statements for `bulk_write`, and replies to its results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from connect.eaas.mongodb._native import _replacement, _update, _write_filter
from pymongo import common
from pymongo.collation import validate_collation_or_none
from pymongo.errors import ClientBulkWriteException, InvalidOperation
from pymongo.results import ClientBulkWriteResult, DeleteResult, InsertOneResult, UpdateResult

Statement = tuple[str, Any, bool]
ClientStatement = tuple[str, str, Any, bool]


def _document(document: Any) -> Any:
    common.validate_is_document_type("document", document)
    return document


def _collation(collation: Any) -> Any:
    return validate_collation_or_none(collation)


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


class _Collector:
    """Collects the statements of a collection's `bulk_write`; PyMongo's models call its methods."""

    def __init__(self) -> None:
        self.statements: list[Statement] = []

    def add_insert(self, document: Any) -> bool:
        self.statements.append(("insert", _document(document), True))
        return True

    def add_update(
        self,
        selector: Any,
        update: Any,
        multi: bool,
        upsert: bool | None = None,
        collation: Any = None,
        array_filters: Any = None,
        hint: Any = None,
        sort: Any = None,
    ) -> None:
        more = _given(
            upsert=upsert, collation=_collation(collation), arrayFilters=array_filters, hint=hint, sort=sort or None
        )
        statement = {"q": _write_filter(selector), "u": _update(update), "multi": multi, **more}
        self.statements.append(("update", statement, not multi))

    def add_replace(
        self,
        selector: Any,
        replacement: Any,
        upsert: bool | None = None,
        collation: Any = None,
        hint: Any = None,
        sort: Any = None,
    ) -> None:
        more = _given(upsert=upsert, collation=_collation(collation), hint=hint, sort=sort or None)
        statement = {"q": _write_filter(selector), "u": _replacement(replacement), **more}
        self.statements.append(("update", statement, True))

    def add_delete(self, selector: Any, limit: int, collation: Any = None, hint: Any = None) -> None:
        statement = {"q": _write_filter(selector), "limit": limit, **_given(collation=_collation(collation), hint=hint)}
        self.statements.append(("delete", statement, limit == 1))


class _ClientCollector:
    """Collects the statements of a client's `bulk_write`; PyMongo's models call its methods."""

    def __init__(self) -> None:
        self.statements: list[ClientStatement] = []

    def _add(self, kind: str, namespace: str, statement: Any, retryable: bool) -> None:
        self.statements.append((kind, namespace, statement, retryable))

    def add_insert(self, namespace: str, document: Any) -> None:
        self._add("insert", namespace, _document(document), True)

    def add_update(
        self,
        namespace: str,
        selector: Any,
        update: Any,
        multi: bool,
        upsert: bool | None = None,
        collation: Any = None,
        array_filters: Any = None,
        hint: Any = None,
        sort: Any = None,
    ) -> None:
        more = _given(
            upsert=upsert, arrayFilters=array_filters, hint=hint, collation=_collation(collation), sort=sort or None
        )
        statement = {"filter": _write_filter(selector), "updateMods": _update(update), "multi": multi, **more}
        self._add("update", namespace, statement, not multi)

    def add_replace(
        self,
        namespace: str,
        selector: Any,
        replacement: Any,
        upsert: bool | None = None,
        collation: Any = None,
        hint: Any = None,
        sort: Any = None,
    ) -> None:
        more = _given(upsert=upsert, hint=hint, collation=_collation(collation), sort=sort or None)
        statement = {"filter": _write_filter(selector), "updateMods": _replacement(replacement), "multi": False, **more}
        self._add("update", namespace, statement, True)

    def add_delete(self, namespace: str, selector: Any, multi: bool, collation: Any = None, hint: Any = None) -> None:
        more = _given(hint=hint, collation=_collation(collation))
        self._add("delete", namespace, {"filter": _write_filter(selector), "multi": multi, **more}, not multi)


def _listed(name: str, requests: Any) -> Sequence[Any]:
    if not isinstance(requests, list):
        raise TypeError(f"{name} must be a list, not {type(requests)}")
    if not requests:
        raise InvalidOperation("No operations to execute")
    return requests


def collect(requests: Any) -> list[Statement]:
    """Return the statements of a collection's `bulk_write`, each with its command and retryability."""
    collector = _Collector()
    for request in _listed("requests", requests):
        add = getattr(request, "_add_to_bulk", None)
        if add is None:
            raise TypeError(f"{request!r} is not a valid request")
        add(collector)
    return collector.statements


def collect_client(models: Any) -> list[ClientStatement]:
    """Return the statements of a client's `bulk_write`, each with its command, namespace and retryability."""
    collector = _ClientCollector()
    for model in _listed("models", models):
        if getattr(model, "_namespace", "") is None:
            raise InvalidOperation(
                "MongoClient.bulk_write requires a namespace to be provided for each write operation"
            )
        add = getattr(model, "_add_to_client_bulk", None)
        if add is None:
            raise TypeError(f"{model!r} is not a valid request")
        add(collector)
    return collector.statements


def client_result(
    statements: list[ClientStatement],
    ids: list[Any],
    counts: dict[str, int],
    replies: list[dict[str, Any]],
    concern_errors: list[dict[str, Any]],
    successful: bool,
    verbose: bool,
) -> ClientBulkWriteResult:
    """Return PyMongo's result of a client's `bulk_write`.

    Raises:
        pymongo.errors.ClientBulkWriteException: a write failed.
    """
    details: dict[str, Any] = {
        "anySuccessful": successful,
        "error": None,
        "writeErrors": [],
        "writeConcernErrors": concern_errors,
        "nInserted": counts.get("nInserted", 0),
        "nUpserted": counts.get("nUpserted", 0),
        "nMatched": counts.get("nMatched", 0),
        "nModified": counts.get("nModified", 0),
        "nDeleted": counts.get("nDeleted", 0),
        "insertResults": {},
        "updateResults": {},
        "deleteResults": {},
    }
    namespaces = list(dict.fromkeys(namespace for _, namespace, _, _ in statements))
    for reply in replies:
        index = int(reply["idx"])
        kind, namespace, statement, _ = statements[index]
        if not reply.get("ok"):
            fields = {"document": statement} if kind == "insert" else dict(statement)
            details["writeErrors"].append({**reply, "op": {kind: namespaces.index(namespace), **fields}})
            continue
        if not verbose:
            continue
        if kind == "insert":
            details["insertResults"][index] = InsertOneResult(ids[index], acknowledged=True)
        elif kind == "update":
            details["updateResults"][index] = UpdateResult(reply, acknowledged=True, in_client_bulk=True)
        else:
            details["deleteResults"][index] = DeleteResult(reply, acknowledged=True)
    if details["writeErrors"] or concern_errors:
        raise ClientBulkWriteException(details, verbose)
    return ClientBulkWriteResult(details, acknowledged=True, has_verbose_results=verbose)
