"""Cases of codec options."""

from __future__ import annotations

import datetime
from collections import OrderedDict
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from bson import (
    SON,
    Binary,
    CodecOptions,
    DatetimeMS,
    UuidRepresentation,
)
from bson.codec_options import DatetimeConversion, TypeRegistry
from bson.raw_bson import RawBSONDocument
from pymongo import (
    InsertOne,
)

from tests.comparison.cases.common import OLD_DATE, OLD_UUID, Document, Money, MoneyCodec, aggregated, case, table
from tests.comparison.harness import Call, World, outcome


def coded(call: Callable[[World, Any], Any], **options: Any) -> Call:
    """A call with a collection that has these codec options."""
    return lambda w: call(w, w.collection.with_options(codec_options=CodecOptions(**options)))


async def there_and_back(w: World, collection: Any) -> Any:
    """Every kind of call that returns documents."""
    await collection.insert_one({"_id": 9, "when": OLD_DATE, "sub": {"a": [{"b": 1}]}, "id": OLD_UUID.bytes})
    return [
        await collection.find_one(9),
        await collection.find({"_id": {"$gte": 4}}).sort("_id").to_list(),
        await aggregated(collection, [{"$match": {"_id": 9}}]),
        await collection.distinct("when"),
        await collection.find_one_and_update({"_id": 9}, {"$set": {"a": 1}}),
    ]


async def uuids(w: World, collection: Any) -> Any:
    inserted = await outcome(lambda: collection.insert_one({"_id": 9, "a": OLD_UUID}))
    for subtype in (3, 4):
        w.setup.things.insert_one({"_id": 20 + subtype, "a": Binary(OLD_UUID.bytes, subtype)})
    found = await outcome(lambda: collection.find({"_id": {"$gte": 9}}).sort("_id").to_list())
    by_value = await outcome(lambda: collection.find_one({"a": OLD_UUID}, {"_id": 1}))
    return inserted, found, by_value


MONEY = TypeRegistry([MoneyCodec()])
FALLBACK = TypeRegistry(fallback_encoder=lambda value: str(value) if isinstance(value, Decimal) else value)


async def money(w: World, collection: Any) -> Any:
    return [
        await outcome(lambda: collection.insert_one({"_id": 9, "price": Money(5), "more": [{"price": Money(6)}]})),
        await outcome(lambda: collection.find_one(9)),
        await outcome(lambda: collection.find_one({"price": Money(5)}, {"price": 1})),
        await outcome(lambda: collection.update_one({"_id": 9}, {"$set": {"price": Money(7)}})),
        await outcome(lambda: collection.find({"_id": 9}).to_list()),
        await outcome(lambda: aggregated(collection, [{"$match": {"price": Money(7)}}])),
        await outcome(lambda: collection.distinct("price")),
        await outcome(lambda: collection.bulk_write([InsertOne({"_id": 10, "price": Money(8)})])),
        await outcome(lambda: collection.find_one_and_update({"_id": 10}, {"$set": {"price": Money(9)}})),
        await outcome(lambda: collection.delete_one({"price": Money(9)})),
    ]


async def decimals(w: World, collection: Any) -> Any:
    return [
        await outcome(lambda: collection.insert_one({"_id": 9, "price": Decimal("1.5")})),
        await outcome(lambda: collection.insert_one({"_id": 10, "price": object()})),
        await outcome(lambda: collection.find_one({"price": Decimal("1.5")})),
    ]


def with_odd_values(setup: Any) -> None:
    # Dates outside Python's range and text that is not UTF-8 are unsupported: see `LACKING`.
    setup.things.insert_one({"_id": 30, "first": DatetimeMS(-62135596800000), "last": DatetimeMS(253402300799999)})
    setup.things.insert_one({"_id": 31, "near": DatetimeMS(0), "text": "x\x00y"})


async def odd_values(w: World, collection: Any) -> Any:
    return await outcome(lambda: collection.find_one(30)), await outcome(lambda: collection.find_one(31))


PARIS = datetime.timezone(datetime.timedelta(hours=1))
table(
    "codec options",
    {
        "tz_aware": coded(there_and_back, tz_aware=True),
        "tzinfo": coded(there_and_back, tz_aware=True, tzinfo=PARIS),
        "a SON": coded(there_and_back, document_class=SON),
        "an OrderedDict": coded(there_and_back, document_class=OrderedDict),
        "a class of dicts": coded(there_and_back, document_class=Document),
        "raw documents": coded(there_and_back, document_class=RawBSONDocument),
    },
)
# The commands are not compared, because PyMongo's listeners receive the values before they are encoded.
table(
    "codec options",
    {
        "uuid, unspecified": coded(uuids),
        "uuid, standard": coded(uuids, uuid_representation=UuidRepresentation.STANDARD),
        "uuid, python": coded(uuids, uuid_representation=UuidRepresentation.PYTHON_LEGACY),
        "uuid, java": coded(uuids, uuid_representation=UuidRepresentation.JAVA_LEGACY),
        "uuid, csharp": coded(uuids, uuid_representation=UuidRepresentation.CSHARP_LEGACY),
        "a codec": coded(money, type_registry=MONEY),
        "a codec and a class": coded(money, type_registry=MONEY, document_class=SON, tz_aware=True),
        "no codec": coded(money),
        "a fallback": coded(decimals, type_registry=FALLBACK),
        "no fallback": coded(decimals),
    },
    commands=False,
)
table(
    "codec options, odd values",
    {
        "strict": coded(odd_values),
        "errors are ignored": coded(odd_values, unicode_decode_error_handler="ignore"),
        "errors are replaced": coded(odd_values, unicode_decode_error_handler="replace"),
        "milliseconds": coded(odd_values, datetime_conversion=DatetimeConversion.DATETIME_MS),
        "automatic": coded(odd_values, datetime_conversion=DatetimeConversion.DATETIME_AUTO),
        "clamped": coded(odd_values, datetime_conversion=DatetimeConversion.DATETIME_CLAMP),
        "clamped and aware": coded(odd_values, datetime_conversion=DatetimeConversion.DATETIME_CLAMP, tz_aware=True),
    },
    prepare=with_odd_values,
)


@case("codec options", commands=False)
async def of_a_client(w: World) -> Any:
    client = w.open(tz_aware=True, document_class=SON, uuidRepresentation="standard")
    things = client[w.database.name].things
    await things.insert_one({"_id": 9, "a": OLD_UUID})
    return client.codec_options, await things.find({"_id": {"$gte": 4}}).to_list(), things.codec_options.tz_aware


@case("codec options", commands=False)
async def of_a_clients_registry(w: World) -> Any:
    client = w.open(type_registry=MONEY, tzinfo=PARIS, tz_aware=True, datetime_conversion="DATETIME_MS")
    return await money(w, client[w.database.name].things)


@case("codec options")
async def of_errors(w: World) -> Any:
    things = w.collection.with_options(codec_options=CodecOptions(document_class=SON, tz_aware=True))
    return await outcome(lambda: things.insert_one({"_id": 4, "when": OLD_DATE}))
