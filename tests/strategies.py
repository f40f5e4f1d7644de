"""Documents for hypothesis: all that BSON can hold."""

from __future__ import annotations

import datetime
import re
from collections import OrderedDict
from typing import Any

from bson import (
    SON,
    Binary,
    Code,
    DatetimeMS,
    DBRef,
    Decimal128,
    Int64,
    MaxKey,
    MinKey,
    ObjectId,
    Regex,
    Timestamp,
)
from hypothesis import strategies as st


def exactly(kind: type[Any], strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Refuse values of a subclass: a `Code` is a `str`, an `Int64` an `int`, a `Binary` is `bytes`.

    Hypothesis draws none of those here, but while it shrinks a failure it asks each branch of a
    `one_of` whether it could have drawn the value of another, and goes by `isinstance`. A `Code` that
    it takes for a drawn text ends its run with a `KeyError` in place of the failure.
    """
    return strategy.filter(lambda value: type(value) is kind)


int64s = exactly(int, st.integers(-(2**63), 2**63 - 1))
texts = exactly(str, st.text(st.characters(exclude_categories=["Cs"]), max_size=12))
keys = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
plain_keys = keys.filter(lambda key: not key.startswith("$"))

json_scalars = st.one_of(st.none(), st.booleans(), int64s, st.floats(allow_nan=False), texts)

datetimes = st.datetimes(datetime.datetime(1, 1, 2), datetime.datetime(9999, 12, 30))

bson_scalars = st.one_of(
    json_scalars,
    exactly(bytes, st.binary(max_size=20)),
    st.binary(min_size=12, max_size=12).map(ObjectId),
    datetimes,
    datetimes.map(lambda moment: moment.replace(tzinfo=datetime.timezone(datetime.timedelta(hours=5)))),
    int64s.map(Int64),
    int64s.map(DatetimeMS),
    st.decimals(allow_nan=False, places=3, min_value=-(10**15), max_value=10**15).map(Decimal128),
    st.tuples(st.binary(max_size=16), st.sampled_from([1, 2, 3, 4, 5, 6, 128])).map(lambda v: Binary(*v)),
    st.tuples(keys, st.sampled_from([0, re.I, re.M | re.S, re.X])).map(lambda v: Regex(*v)),
    st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)).map(lambda v: Timestamp(*v)),
    st.just(MinKey()),
    st.just(MaxKey()),
    texts.map(Code),
    texts.map(lambda text: Code(text, {"x": 1})),
    st.builds(DBRef, texts.filter(bool), st.binary(min_size=12, max_size=12).map(ObjectId)),
)


def documents(scalars: st.SearchStrategy[Any], names: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    """Documents of these values, nested in all ways."""
    values = st.recursive(
        scalars,
        lambda inner: st.one_of(
            st.lists(inner, max_size=4),
            st.lists(inner, max_size=3).map(tuple),
            st.dictionaries(names, inner, max_size=4),
            st.dictionaries(names, inner, max_size=3).map(SON),
            st.dictionaries(names, inner, max_size=3).map(OrderedDict),
        ),
        max_leaves=20,
    )
    return st.dictionaries(st.one_of(names, st.just("_id")), values, max_size=6)
