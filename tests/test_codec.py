"""The codec against PyMongo's: the same bytes, the same objects, the same errors."""

from __future__ import annotations

import copy
import json
import pickle
import re
import sys
from collections import OrderedDict, UserDict, defaultdict
from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any
from uuid import UUID

import bson
import pytest
from bson import SON, Code, CodecOptions, Int64, ObjectId, json_util
from bson.errors import InvalidBSON, InvalidDocument
from bson.raw_bson import RawBSONDocument
from connect.eaas.mongodb import _native
from hypothesis import given, settings
from hypothesis import strategies as st

from demo.purchase_requests import purchase_requests, sample
from tests.strategies import bson_scalars, documents, json_scalars, keys, plain_keys

CORPUS = Path(__file__).parent / "data" / "bson-corpus"


def same(left: Any, right: Any) -> bool:
    """Whether two values are equal, and of the same types all through."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, float):
        return bson.encode({"": left}) == bson.encode({"": right})
    return bool(left == right)


@given(documents(bson_scalars, keys))
@settings(max_examples=400, deadline=None)
def test_bytes_and_objects_are_those_of_bson(document: dict[str, Any]) -> None:
    encoded = _native.bson_encode(document)
    assert encoded == bson.encode(document)
    try:
        decoded = bson.decode(encoded)
    except InvalidBSON as refused:
        # A DatetimeMS that no datetime can hold.
        with pytest.raises(InvalidBSON) as ours:
            _native.bson_decode(encoded)
        assert str(ours.value) == str(refused)
    else:
        assert same(_native.bson_decode(encoded), decoded)


@given(documents(json_scalars, keys))
@settings(max_examples=200, deadline=None)
def test_what_json_has_is_encoded_as_bson_encodes_it(document: dict[str, Any]) -> None:
    assert _native.bson_encode(document) == bson.encode(document)


@given(documents(bson_scalars, plain_keys))
@settings(max_examples=300, deadline=None)
def test_ejson_says_the_same_as_json_util(document: dict[str, Any]) -> None:
    raw = bson.encode(document)
    try:
        expected = bson.decode(raw)
    except InvalidBSON:
        return
    written = _native.ejson_encode(document)
    # What we write, PyMongo reads; what PyMongo writes, we read; both give the same BSON.
    options = json_util.CANONICAL_JSON_OPTIONS
    assert same(_native.ejson_decode(written), expected)
    theirs = json_util.dumps(RawBSONDocument(raw), json_options=options)
    assert _native.bson_encode(_native.ejson_decode(theirs.encode())) == bson.encode(expected)
    read = json_util.loads(written.decode(), json_options=options)
    assert bson.encode(read) == bson.encode(json_util.loads(theirs, json_options=options))


@given(st.binary(max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_bytes_decode_or_fail_as_with_bson(data: bytes) -> None:
    _decode_as_bson(data, with_message=ARRAY not in data)


@given(documents(bson_scalars, keys), st.data())
@settings(max_examples=300, deadline=None)
def test_damaged_documents_decode_or_fail_as_with_bson(document: dict[str, Any], data: st.DataObject) -> None:
    encoded = bytearray(bson.encode(document))
    for _ in range(data.draw(st.integers(1, 3))):
        encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    # Where a value runs past the end of its array, bson reads on and reports what it meets after it.
    _decode_as_bson(bytes(encoded), with_message=ARRAY not in encoded)


ARRAY = b"\x04"
# {"a": [[], [{}]]} with another length of the inner list, and with another type of its element.
OVERRUNS = [
    "250000000461001d0000000430000500000000043100110000000330000500000000630000",
    "250000000461001d000000043000050000000004310009000000034f000d00000000000000",
]


@pytest.mark.parametrize("data", OVERRUNS)
def test_a_value_that_runs_past_the_end_of_its_array_is_invalid(data: str) -> None:
    _decode_as_bson(bytes.fromhex(data), with_message=False)


def _decode_as_bson(data: bytes, with_message: bool = True) -> None:
    try:
        expected = bson.decode(data)
    except Exception as refused:
        with pytest.raises(type(refused)) as ours:
            _native.bson_decode(data)
        assert ours.type is type(refused)
        if with_message:
            assert str(ours.value) == str(refused)
    else:
        assert same(_native.bson_decode(data), expected)


def corpus(kind: str) -> list[Any]:
    cases = []
    for file in sorted(CORPUS.glob("*.json")):
        suite = json.loads(file.read_text(encoding="utf-8"))
        for case in suite.get(kind, []):
            cases.append(pytest.param(suite, case, id=f"{file.stem}: {case['description']}"))
    return cases


@pytest.mark.parametrize(("suite", "case"), corpus("valid"))
def test_corpus_documents_decode_as_with_bson_and_come_back(suite: Any, case: Any) -> None:
    data = bytes.fromhex(case["canonical_bson"])
    try:
        expected = bson.decode(data)
    except InvalidBSON:
        with pytest.raises(InvalidBSON):
            _native.bson_decode(data)
        return
    decoded = _native.bson_decode(data)
    assert repr(decoded) == repr(expected)
    assert _native.bson_encode(decoded) == bson.encode(expected)
    if "degenerate_bson" in case:
        degenerate = bytes.fromhex(case["degenerate_bson"])
        assert repr(_native.bson_decode(degenerate)) == repr(bson.decode(degenerate))


@pytest.mark.parametrize(("suite", "case"), corpus("decodeErrors"))
def test_corpus_errors_are_refused_as_with_bson(suite: Any, case: Any) -> None:
    _decode_as_bson(bytes.fromhex(case["bson"]))


class Frozen(Mapping[str, Any]):
    """A mapping that is no dict."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values_ = values

    def __getitem__(self, key: str) -> Any:
        return self.values_[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_)

    def __len__(self) -> int:
        return len(self.values_)


@pytest.mark.parametrize(
    "document",
    [
        SON([("b", 1), ("a", {"c": SON(x=1)})]),
        OrderedDict(b=1, _id=2),
        defaultdict(list, {"a": [1]}),
        MappingProxyType({"a": MappingProxyType({"b": ()})}),
        Frozen({"a": 1, "_id": 5, "f": Frozen({"_id": 1, "a": 2})}),
        RawBSONDocument(bson.encode({"a": {"b": 1}})),
        {"raw": RawBSONDocument(bson.encode({"a": {"b": 1}})), "list": [RawBSONDocument(bson.encode({}))]},
        {"a": 1, "nested": {"a": 1, "_id": 2}, "_id": 3},
        {
            "big": Int64(1),
            "max": 2**63 - 1,
            "min": -(2**63),
            "edge": [2**31 - 1, 2**31, -(2**31), -(2**31) - 1],
        },
    ],
    ids=lambda document: type(document).__name__,
)
def test_all_kinds_of_mappings_are_encoded_as_bson_encodes_them(document: Any) -> None:
    assert _native.bson_encode(document) == bson.encode(document)
    assert bson.encode(json_util.loads(_native.ejson_encode(document).decode())) == bson.encode(document)


class Strange:
    def __repr__(self) -> str:
        return "Strange()"


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ({"a": {1: 2}}, "a"),
        ({1: 2}, None),
        ({b"a": 1}, None),
        ({"a": {"x\0y": 1}}, "a"),
        ({"x\0y": 1}, None),
        ({"a": 2**63}, "a"),
        ({"a": [{"b": -(2**63) - 1}]}, "a[0].b"),
        ({"a": Strange()}, "a"),
        ({"asset": {"items": [{}, {}, {"quantity": Decimal("1.5")}]}}, "asset.items[2].quantity"),
        ({"a": {1, 2}}, "a"),
        ({"a": "\ud800"}, "a"),
        ({"a": UUID(int=1)}, "a"),
        ({"_id": Strange()}, "_id"),
    ],
    ids=str,
)
def test_what_bson_refuses_is_refused_by_the_same_class_with_the_path(document: Any, path: str | None) -> None:
    with pytest.raises(Exception) as theirs:
        bson.encode(document)
    for encode in (_native.bson_encode, _native.ejson_encode):
        with pytest.raises(theirs.type) as ours:
            encode(document)
        assert ours.type is theirs.type
        if path is not None:
            assert f"'{path}'" in str(ours.value)
        if isinstance(ours.value, InvalidDocument) and path is not None:
            assert ours.value.document is document


def test_an_error_does_not_show_the_value() -> None:
    with pytest.raises(InvalidDocument) as refused:
        _native.bson_encode({"password": {"hunter2"}})
    assert "hunter2" not in str(refused.value)
    assert "use a list" in str(refused.value)


@pytest.mark.parametrize("document", [[], "text", 1, None, Strange()], ids=repr)
def test_what_is_no_mapping_is_a_type_error(document: Any) -> None:
    for encode in (_native.bson_encode, _native.ejson_encode, bson.encode):
        with pytest.raises(TypeError):
            encode(document)


@pytest.mark.parametrize("kind", ["dict", "list", "mapping"])
def test_recursion_without_end_is_a_recursion_error(kind: str) -> None:
    inner: Any = {} if kind == "dict" else []
    if kind == "mapping":
        holder: dict[str, Any] = {}
        inner = Frozen(holder)
        holder["again"] = inner
    elif kind == "dict":
        inner["again"] = inner
    else:
        inner.append(inner)
    for encode in (_native.bson_encode, _native.ejson_encode):
        with pytest.raises(RecursionError):
            encode({"a": inner})


def test_deep_documents_do_not_overflow_the_stack() -> None:
    limit = sys.getrecursionlimit()
    document: dict[str, Any] = {}
    for _ in range(50_000):
        document = {"a": document}
    sys.setrecursionlimit(10**6)
    try:
        with pytest.raises(RecursionError):
            _native.bson_encode(document)
    finally:
        sys.setrecursionlimit(limit)
    while document:
        document = document["a"]
    data = b"\x05\0\0\0\0"
    for _ in range(20_000):
        data = (len(data) + 8).to_bytes(4, "little") + b"\x03a\0" + data + b"\0"
    with pytest.raises((InvalidBSON, RecursionError)):
        _native.bson_decode(data)


def test_a_document_that_changes_while_it_is_encoded_does_no_harm() -> None:
    document: dict[str, Any] = {}

    class Meddler(Mapping[str, Any]):
        def __getitem__(self, key: str) -> Any:
            document.clear()
            document.update({str(number): "x" * 100 for number in range(1000)})
            return 1

        def __iter__(self) -> Iterator[str]:
            return iter(["a"])

        def __len__(self) -> int:
            return 1

    document.update({"first": Meddler(), "list": [1, 2, 3], "last": "text"})
    bson.decode(_native.bson_encode(document))


def test_encoding_leaves_the_document_as_it_was() -> None:
    for request in [*purchase_requests(20), sample("tier-config-setup-request")]:
        before = json.dumps(request)
        assert bson.decode(_native.bson_encode(request)) == request
        assert json.dumps(request) == before


def test_a_default_dict_gets_no_id() -> None:
    document: Any = defaultdict(ObjectId)
    _native.bson_encode(document)
    assert not document


def test_decoded_ids_and_dates_are_objects_like_any_other() -> None:
    given = ObjectId("0123456789ab0123456789ab")
    dates = [datetime(year, 12, 31, 23, 58, 59, 987_000) for year in (1, 255, 256, 1969, 2024, 9999)]
    found = _native.bson_decode(bson.encode({"id": given, "dates": dates}))
    assert found["dates"] == dates
    for one, expected in [(found["id"], given), *zip(found["dates"], dates, strict=True)]:
        assert type(one) is type(expected)
        assert hash(one) == hash(expected)
        assert pickle.loads(pickle.dumps(one)) == copy.copy(one) == expected
        assert repr(one) == repr(expected)
    assert given.binary == found["id"].binary
    assert found["id"].generation_time == given.generation_time


def test_names_and_texts_that_begin_and_end_alike_are_told_apart() -> None:
    # As cached names and texts are compared by their ends before they are compared as a whole.
    words = [f"{'a' * 8}{middle}{'z' * 8}" for middle in ("", "b", "c", "bb", "bc", "b" * 24, "b" * 23 + "c")]
    words += ["a" * length for length in range(100)] + ["é" * 8, "é" * 8 + "a", "$ref ", "$re"]
    document = {word: {word: [other for other in words if other != word]} for word in words}
    for _ in range(3):
        assert _native.bson_decode(bson.encode(document)) == document


def test_decoding_uses_pymongos_defaults() -> None:
    data = bson.encode({"a": Int64(5), "d": bson.decode(bson.encode({"x": 1}))})
    assert same(_native.bson_decode(data), bson.decode(data, CodecOptions()))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{",
        b'{"a": }',
        b'{"a": {"$oid": "zz"}}',
        b'{"a": {"$date": "yesterday"}}',
        b"\xff",
        b'"a"',
    ],
)
def test_what_is_no_ejson_is_invalid_bson(text: bytes) -> None:
    with pytest.raises(InvalidBSON, match="Extended JSON"):
        _native.ejson_decode(text)


WRAPPER = {"$oid": "6193504e1be4ab27791c8133"}


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ({"a": WRAPPER}, "a"),
        ({"a": [1, {"$date": "2020-01-01T00:00:00Z", "b": 1}]}, "a[1]"),
        ({"a": UserDict({"$numberInt": "1"})}, "a"),
        ({"a": {"b": {"$undefined": True}}}, "a.b"),
        ({"a": RawBSONDocument(bson.encode({"b": [{"$minKey": 1}]}))}, "a"),
        ({"a": Code("f", {"b": WRAPPER})}, "a"),
    ],
)
def test_a_document_that_ejson_would_read_as_another_type_is_refused(document: Any, path: str) -> None:
    with pytest.raises(InvalidDocument, match=re.escape(f"(in '{path}')")):
        _native.ejson_encode(document)
    # BSON can tell them apart.
    assert _native.bson_encode(document) == bson.encode(document)


def test_a_raw_document_that_looks_like_another_type_as_a_whole_is_refused() -> None:
    with pytest.raises(InvalidDocument, match="oid"):
        _native.ejson_encode(RawBSONDocument(bson.encode(WRAPPER)))


def test_other_names_with_a_dollar_are_names() -> None:
    document = {"a": {"$gt": 1, "$oid": "x"}, "b": {"$ref": "c", "$id": 1}, "$oid": 5}
    assert list(_native.ejson_decode(_native.ejson_encode(document))) == ["a", "b", "$oid"]


@pytest.mark.parametrize("depth", [120, 170, 199])
def test_ejson_is_read_as_deep_as_mongodb_stores(depth: int) -> None:
    document: dict[str, Any] = {}
    for _ in range(depth):
        document = {"a": document}
    assert _native.ejson_decode(_native.ejson_encode(document)) == document


def test_ejson_that_is_nested_too_deep_is_refused() -> None:
    for opening, closing in (('{"a":', "}"), ("[", "]"), ('{"$code":"","$scope":', "}"), ('{"$date":', "}")):
        text = '{"a":' + opening * 100_000 + "1" + closing * 100_000 + "}"
        with pytest.raises(InvalidBSON):
            _native.ejson_decode(text.encode())
