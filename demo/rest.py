"""The collections of a local Connect: RQL filters, ordering, `limit`, `offset` and `Content-Range`."""

from __future__ import annotations

import functools
import json
import operator
import random
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any
from urllib.parse import unquote

from aiohttp import web

Row = dict[str, Any]
Test = Callable[[Row], bool]

COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
}
MAX_LIMIT = 1000


class RqlError(Exception):
    """A query that Connect would refuse."""


@dataclass
class Collections:
    """Serves collections as Connect does, and fails on request."""

    rows: dict[str, list[Row]] = field(default_factory=dict)
    """The objects of each collection, by its path."""
    requests: list[str] = field(default_factory=list)
    """The path and query of each request."""
    before: Callable[[str, int], Awaitable[web.StreamResponse | None]] | None = None
    """Called with each path and the number of the request; returns a response to send instead."""
    hidden: frozenset[str] = frozenset()
    """Top-level fields that lists leave out."""
    refused: frozenset[str] = frozenset()
    """Fields that cannot be filtered and ordered by."""
    current: web.Request | None = None
    """The request that is being answered."""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a request for a collection or an object."""
        self.current, path = request, request.match_info["path"]
        self.requests.append(f"{path}?{unquote(request.query_string)}")
        if self.before is not None:
            response = await self.before(path, len(self.requests))
            if response is not None:
                return response
        if not request.headers.get("Authorization", "").startswith("ApiKey SU-"):
            return failure(401, "AUTH_002", "API request is unauthorized.")
        if path in self.rows:
            return self._page(path, unquote(request.rel_url.raw_query_string))
        collection, _, pk = path.rpartition("/")
        for row in self.rows.get(collection, []):
            if row.get("id") == pk:
                return web.json_response(row)
        return failure(404, "NFND_000", "Object not found.")

    def _page(self, path: str, query: str) -> web.Response:
        terms = split(query, "&")
        parameters = {"limit": "100", "offset": "0"}
        tests: list[Test] = []
        ordering: list[str] = []
        try:
            for term in terms:
                name, equals, value = term.partition("=")
                if equals and name in parameters:
                    parameters[name] = value
                elif match := re.fullmatch(r"ordering\((.*)\)", term):
                    ordering += match[1].split(",")
                    if self.refused.intersection(ordering):
                        raise RqlError(term)
                elif term:
                    tests.append(self._test(term))
            limit, offset = int(parameters["limit"]), int(parameters["offset"])
        except (RqlError, ValueError) as error:
            return failure(400, "VAL_001", f"Bad filter query: {error}")
        found = [row for row in self.rows[path] if all(test(row) for test in tests)]
        # As in a database, rows that compare equal are in no order.
        random.Random(len(self.requests)).shuffle(found)
        for name in reversed(ordering):
            found.sort(key=lambda row, name=name: comparable(at(row, name.lstrip("-+"))), reverse=name[0] == "-")  # type: ignore[misc]
        rows = found[offset : offset + min(limit, MAX_LIMIT)]
        if self.hidden:
            rows = [{name: value for name, value in row.items() if name not in self.hidden} for row in rows]
        last = max(offset + len(rows) - 1, 0)
        return web.Response(
            text=json.dumps(rows),
            content_type="application/json",
            headers={"Content-Range": f"items {offset}-{last}/{len(found)}"},
        )

    def _test(self, term: str) -> Test:
        match = re.fullmatch(r"(\w+)\((.*)\)", term)
        if match is None:
            raise RqlError(term)
        name, arguments = match[1], split(match[2], ",")
        if name in ("and", "or"):
            tests = [self._test(argument) for argument in arguments]
            return lambda row: (all if name == "and" else any)(test(row) for test in tests)
        if name == "not" and len(arguments) == 1:
            test = self._test(arguments[0])
            return lambda row: not test(row)
        if len(arguments) != 2 or arguments[0] in self.refused:
            raise RqlError(term)
        prop, value = arguments
        if name == "in" and re.fullmatch(r"\(.*\)", value):
            values = set(value[1:-1].split(","))
            return lambda row: at(row, prop) in values
        if name not in COMPARISONS or " " in value:
            raise RqlError(term)
        compare, wanted = COMPARISONS[name], comparable(value)

        def holds(row: Row) -> bool:
            found = comparable(at(row, prop))
            return type(found) is type(wanted) and compare(found, wanted)

        return holds


def failure(status: int, code: str, message: str) -> web.Response:
    """Return an error as Connect does."""
    return web.json_response({"error_code": code, "errors": [message]}, status=status)


def split(text: str, separator: str) -> list[str]:
    """Split a text at separators that are not in parentheses."""
    parts, depth = [""], 0
    for character in text:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == separator and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def at(row: Any, path: str) -> Any:
    """Return the value at a path, or `None`."""
    for name in path.split("."):
        row = row.get(name) if isinstance(row, dict) else None
    return row


def comparable(value: Any) -> Any:
    """Return a time for its text, and any other value as it is."""
    return of_text(value) if isinstance(value, str) else value


@functools.lru_cache(maxsize=100_000)
def of_text(value: str) -> Any:
    """Return a time, or the text if it is none."""
    if len(value) >= 19 and value[4] == value[7] == "-" and value[10] == "T":
        try:
            time = datetime.fromisoformat(value.replace("Z", "+00:00"))
        except ValueError:
            return value
        return time if time.tzinfo else time.replace(tzinfo=timezone.utc)
    return value
