"""The page of stored events: what its requests return, on both paths, and what each caller sees."""

from __future__ import annotations

import datetime
import inspect
import json
import re
from typing import Any

import pytest
from connect.eaas.mongodb import AsyncEventStore, EventStore, EventValidationError
from connect.eaas.mongodb._async.page import AsyncEventsPage
from connect.eaas.mongodb._common.page import MANY, Access, Answer, PageError, Window, recent
from connect.eaas.mongodb._common.store import INDEXES, LETTER_INDEXES, event_query, letter_query
from connect.eaas.mongodb._sync.page import EventsPage

PURCHASE = "asset_purchase_request_processing"
CHANGE = "asset_change_request_processing"
OWNER = Access(None)
MINE = Access("EIN-1")
OTHERS = Access("EIN-2")
UTC = datetime.timezone.utc
STORES: list[Any] = [AsyncEventStore, EventStore]


async def result(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


@pytest.fixture(
    params=[(store, path) for store in STORES for path in ("driver", "data_api")],
    ids=lambda param: f"{param[0].__name__}-{param[1]}",
)
def store(request: pytest.FixtureRequest, config: dict[str, str]) -> Any:
    cls, path = request.param
    return cls.from_config(config, path=path)


@pytest.fixture
def driver_store(config: dict[str, str]) -> EventStore:
    return EventStore.from_config(config, path="driver")


class Page:
    """Requests of one caller."""

    def __init__(self, store: Any, access: Access) -> None:
        cls: Any = AsyncEventsPage if isinstance(store, AsyncEventStore) else EventsPage
        self._page = cls(store, access)

    async def get(self, path: str, *pairs: tuple[str, str]) -> Any:
        return json.loads((await self.answer(path, *pairs)).body)

    async def answer(self, path: str, *pairs: tuple[str, str]) -> Answer:
        answer: Answer = await result(self._page.answer(path, pairs))
        return answer

    async def refused(self, path: str, *pairs: tuple[str, str]) -> PageError:
        with pytest.raises(PageError) as raised:
            await self.answer(path, *pairs)
        assert json.loads(raised.value.body) == {
            "error_code": raised.value.error_code,
            "errors": raised.value.errors,
        }
        return raised.value


def request_object(number: int, **more: Any) -> dict[str, Any]:
    asset = {"product": {"id": f"PRD-{number % 2}"}, "tiers": {"customer": {"id": f"TA-{number % 3}"}}}
    return {"id": f"PR-{number}", "type": "purchase", "marketplace": {"id": "MP-1"}, "asset": asset, **more}


async def saved(
    store: Any, number: int, installation: str | None = "EIN-1", event_type: str = PURCHASE, **more: Any
) -> str:
    """Store an event; return the record's id."""
    obj = request_object(number, **more)
    done = await result(store.save(event_type, obj, task_id=f"TQ-{number}", installation_id=installation))
    record_id: str = done.id
    return record_id


def received(reader: Any, record_id: str, hours: float) -> None:
    """Change when an event was received, to some hours ago."""
    time = datetime.datetime.now(UTC) - datetime.timedelta(hours=hours)
    reader.update_one({"_id": record_id}, {"$set": {"_connect.received_at": time}})


async def letter(store: Any, number: int, installation: str | None = "EIN-1", size: int = 0) -> None:
    """Store a dead letter."""
    obj = request_object(number, price=2**70, text="x" * size)
    with pytest.raises(EventValidationError) as invalid:
        await result(store.save(PURCHASE, obj))
    await result(
        store.add_dead_letter(PURCHASE, obj, invalid.value, task_id=f"TQ-{number}", installation_id=installation)
    )


async def test_events_are_listed_newest_first_in_pages_with_connects_content_range(store: Any) -> None:
    ids = [await saved(store, number, status="pending") for number in range(12)]
    page = Page(store, OWNER)
    first = await page.answer("events")
    assert first.content_range == "items 0-9/12"
    assert [event["id"] for event in json.loads(first.body)] == ids[:1:-1]
    last = await page.answer("events", ("limit", "5"), ("offset", "10"))
    assert last.content_range == "items 10-11/12"
    assert [event["id"] for event in json.loads(last.body)] == [ids[1], ids[0]]
    event = json.loads(last.body)[1]
    assert event.pop("received_at").endswith("Z")
    assert event == {
        "id": ids[0],
        "event_type": PURCHASE,
        "object": "AssetRequest",
        "object_id": "PR-0",
        "status": "pending",
        "product": "PRD-0",
        "marketplace": "MP-1",
        "accounts": ["TA-0"],
        "installations": ["EIN-1"],
        "environment": None,
        "task": "TQ-0",
        "deviations": 0,
    }
    assert (await page.answer("events", ("status", "failed"))).content_range == "items 0-0/0"


async def test_each_filter_selects_its_events_and_several_values_are_alternatives(store: Any, reader: Any) -> None:
    for number, (event_type, status) in enumerate([(PURCHASE, "pending"), (CHANGE, "failed"), (CHANGE, "approved")]):
        record_id = await saved(store, number, f"EIN-{number}", event_type, status=status)
        received(reader, record_id, 10 * (number + 1))
    page = Page(store, OWNER)

    async def found(*pairs: tuple[str, str]) -> list[str]:
        return sorted(event["object_id"] for event in await page.get("events", *pairs))

    assert await found(("event_type", CHANGE)) == ["PR-1", "PR-2"]
    assert await found(("status", "failed"), ("status", "pending")) == ["PR-0", "PR-1"]
    assert await found(("product", "PRD-1")) == ["PR-1"]
    assert await found(("marketplace", "MP-1"), ("event_type", PURCHASE)) == ["PR-0"]
    assert await found(("account", "TA-2")) == ["PR-2"]
    assert await found(("object_id", "PR-1")) == ["PR-1"]
    assert await found(("installation", "EIN-2")) == ["PR-2"]
    assert await found(("status", " ")) == ["PR-0", "PR-1", "PR-2"]
    now = datetime.datetime.now(datetime.timezone(datetime.timedelta(hours=2)))
    ago = [(now - datetime.timedelta(hours=hours)).isoformat() for hours in (15, 25)]
    assert await found(("since", ago[0])) == ["PR-0"]
    assert await found(("since", ago[1]), ("until", ago[0])) == ["PR-1"]
    # In a query string, an unescaped + arrives as a space.
    assert await found(("until", ago[1].replace("+", " "))) == ["PR-2"]


INVALID: dict[str, tuple[str, tuple[tuple[str, str], ...], str]] = {
    "unknown filter": ("events", (("colour", "red"),), "colour: there is no such parameter; known are: event_type, "),
    "operator": ("events", (("status[$ne]", "x"),), r"status\[\$ne\]: there is no such parameter"),
    "unknown filter of dead letters": ("dead-letters", (("status", "x"),), "status: there is no such parameter"),
    "parameter of a record": ("events/PR-1:1", (("limit", "1"),), "limit: there is no such parameter; known are: none"),
    "time without a zone": ("events", (("since", "2026-01-31T12:00:00"),), "since: .* has no time zone: append Z"),
    "time beyond the calendar": ("events", (("since", "0001-01-01T00:00:00+05:00"),), "since: .* is not a time"),
    "date without a zone": ("events", (("until", "2026-01-31"),), "until: .* has no time zone"),
    "no time": ("events", (("until", "yesterday"),), "until: 'yesterday' is not a time such as 2026-01-31T12:00:00Z"),
    "times in the wrong order": (
        "events",
        (("since", "2026-01-02T00:00:00Z"), ("until", "2026-01-01T00:00:00Z")),
        "since: the time must be before that of until",
    ),
    "two times": ("events", (("since", "2026-01-02T00:00:00Z"),) * 2, "since: give one value"),
    "limit of 0": ("events", (("limit", "0"),), "limit: '0' is not a number from 1 to 100"),
    "large limit": ("events", (("limit", "101"),), "limit: '101' is not a number from 1 to 100"),
    "limit that is no number": ("events", (("limit", "ten"),), "limit: 'ten' is not a number"),
    "negative offset": ("events", (("offset", "-1"),), "offset: '-1' is not a number from 0"),
    "offset beyond MongoDB's": ("events", (("offset", "9" * 30),), "offset: .* is not a number from 0"),
    "page beyond the end": ("events", (("offset", "60"),), "offset: 60 is beyond the end, because there are 1 events"),
    "page of dead letters beyond the end": ("dead-letters", (("offset", "1"),), "there are 0 dead letters"),
    "unknown period": ("numbers", (("period", "year"),), "period: 'year' is none of day, week, month"),
}


@pytest.mark.parametrize("case", INVALID)
async def test_what_cannot_be_read_is_refused_with_what_is_wrong(case: str, driver_store: EventStore) -> None:
    path, pairs, message = INVALID[case]
    await saved(driver_store, 1)
    error = await Page(driver_store, OWNER).refused(path, *pairs)
    assert (error.status_code, error.error_code) == (400, "VAL_001")
    assert re.search(message, error.errors[0]), error.errors


@pytest.mark.parametrize(
    "path", ["", "secrets", "events/none", "objects", "objects/none", "dead-letters/none", "numbers/1"]
)
async def test_what_does_not_exist_is_not_found(path: str, driver_store: EventStore) -> None:
    assert (await Page(driver_store, OWNER).refused(path)).status_code == 404


async def test_a_record_is_given_as_it_is_stored(store: Any) -> None:
    obj: dict[str, Any] = {"external_id": 9007199254740993, "activation_key": "secret", "_id": 5, "id": "PR/1 %?#"}
    record_id = await saved(store, 1, **obj)
    record = await Page(store, OWNER).get(f"events/{record_id}")
    assert record["document"] == {**request_object(1), **obj, "activation_key": "***"}
    assert record["object_id"] == "PR/1 %?#"
    answer = await Page(store, OWNER).answer(f"events/{record_id}")
    assert "9007199254740993" in answer.body
    assert [event["id"] for event in await Page(store, OWNER).get("objects/PR/1 %?#")] == [record_id]


async def test_a_record_lists_its_deviations(driver_store: EventStore) -> None:
    record_id = await saved(driver_store, 1, note=7)
    page = Page(driver_store, OWNER)
    assert (await page.get("events"))[0]["deviations"] == 1
    assert (await page.get(f"events/{record_id}"))["deviations"] == [
        {"path": "note", "expected": "a string", "actual": "int"}
    ]


async def test_the_history_of_an_object_has_all_its_records_newest_first(store: Any) -> None:
    ids = [await saved(store, 1, status=status) for status in ("pending", "inquiring", "approved")]
    await saved(store, 2)
    answer = await Page(store, OWNER).answer("objects/PR-1", ("limit", "2"))
    assert answer.content_range == "items 0-1/3"
    assert [event["id"] for event in json.loads(answer.body)] == [ids[2], ids[1]]


async def test_dead_letters_are_listed_and_given_with_what_is_wrong(store: Any) -> None:
    await letter(store, 1)
    await letter(store, 2, size=1_500_000)
    page = Page(store, OWNER)
    listed = await page.answer("dead-letters")
    assert listed.content_range == "items 0-1/2"
    assert "data" not in json.loads(listed.body)[0]
    small = (await page.get("dead-letters", ("object_id", "PR-1")))[0]
    assert small["errors"] == [{"path": "price", "message": "an integer that needs more than 64 bits"}]
    whole = await page.get(f"dead-letters/{small['id']}")
    assert json.loads(whole["data"])["price"] == 2**70
    assert whole["parts"] == 1
    large = await page.get(f"dead-letters/{(await page.get('dead-letters', ('task_id', 'TQ-2')))[0]['id']}")
    assert (large["parts"], len(large["data"])) == (2, large["part_characters"])


async def test_numbers_count_events_per_hour_and_type_and_what_failed(store: Any, reader: Any) -> None:
    for number, (event_type, status, hours) in enumerate(
        [
            (PURCHASE, "pending", 0),
            (PURCHASE, "failed", 0),
            (CHANGE, "rejected", 3),
            (CHANGE, "approved", 30),
            (CHANGE, "failed", 24 * 8),
            (PURCHASE, None, 24 * 31),
        ]
    ):
        received(reader, await saved(store, number, event_type=event_type, status=status), hours)
    await letter(store, 9)
    page = Page(store, OWNER)
    day = await page.get("numbers")
    assert [(one["event_type"], one["events"], one["failed"]) for one in day["events"]] == [
        (CHANGE, 1, 1),
        (PURCHASE, 2, 1),
    ]
    first, last = (datetime.datetime.fromisoformat(one["hour"].replace("Z", "+00:00")) for one in day["events"])
    assert (first.minute, first.second, first.microsecond) == (0, 0, 0)
    assert last - first == datetime.timedelta(hours=3)
    since, until = (datetime.datetime.fromisoformat(day[name].replace("Z", "+00:00")) for name in ("since", "until"))
    assert until - since == datetime.timedelta(days=1)
    assert until - last == datetime.timedelta(hours=1)
    assert day["failed"] == [
        {"event_type": CHANGE, "status": "rejected", "events": 1},
        {"event_type": PURCHASE, "status": "failed", "events": 1},
    ]
    assert day["dead_letters"] == [{"event_type": PURCHASE, "dead_letters": 1}]
    for period, events in (("week", 4), ("month", 5)):
        numbers = await page.get("numbers", ("period", period))
        assert sum(one["events"] for one in numbers["events"]) == events
    assert (await page.get("numbers", ("product", "PRD-1")))["events"][0]["events"] == 1
    counted = await result(store.numbers(since=since, event_type=PURCHASE))
    assert [(one.hour, one.event_type, one.status, one.events) for one in counted] == [
        (last, PURCHASE, "failed", 1),
        (last, PURCHASE, "pending", 1),
    ]


async def test_an_installation_sees_its_own_events_only(store: Any) -> None:
    mine = await saved(store, 1, "EIN-1", status="failed")
    others = await saved(store, 2, "EIN-2", status="failed")
    nobodys = await saved(store, 3, None, status="failed")
    await letter(store, 4, "EIN-1")
    await letter(store, 5, "EIN-2")
    letters = {one["object_id"]: one["id"] for one in await Page(store, OWNER).get("dead-letters")}
    assert len(await Page(store, OWNER).get("events")) == 3
    page = Page(store, MINE)
    listed = await page.answer("events")
    assert listed.content_range == "items 0-0/1"
    assert [event["id"] for event in json.loads(listed.body)] == [mine]
    assert (await page.answer("events", ("object_id", "PR-2"))).content_range == "items 0-0/0"
    assert (await page.get("events", ("installation", "EIN-1")))[0]["id"] == mine
    assert (await page.get(f"events/{mine}"))["id"] == mine
    for path in (
        f"events/{others}",
        f"events/{nobodys}",
        "objects/PR-2",
        "objects/PR-3",
        f"dead-letters/{letters['PR-5']}",
    ):
        hidden = await page.refused(path)
        absent = await page.refused(path[:-1] + "~")
        # What is another's looks like what does not exist.
        assert (hidden.status_code, hidden.error_code) == (absent.status_code, absent.error_code) == (404, "NFND_000")
    assert [one["object_id"] for one in await page.get("dead-letters")] == ["PR-4"]
    assert (await page.get(f"dead-letters/{letters['PR-4']}"))["id"] == letters["PR-4"]
    numbers = await page.get("numbers")
    assert [one["events"] for one in numbers["events"]] == [1]
    assert numbers["failed"] == [{"event_type": PURCHASE, "status": "failed", "events": 1}]
    assert numbers["dead_letters"] == [{"event_type": PURCHASE, "dead_letters": 1}]


@pytest.mark.parametrize("path", ["events", "dead-letters", "numbers"])
@pytest.mark.parametrize("asked", [["EIN-2"], ["EIN-1", "EIN-2"], ["$ne"], ["EIN-1x"]], ids="/".join)
async def test_a_parameter_does_not_show_the_events_of_another_installation(
    path: str, asked: list[str], driver_store: EventStore
) -> None:
    await saved(driver_store, 2, "EIN-2")
    error = await Page(driver_store, MINE).refused(path, *(("installation", one) for one in asked))
    assert (error.status_code, error.errors) == (
        403,
        ["installation: you can see the events of your own installation only"],
    )


async def test_content_that_is_delivered_for_two_installations_is_one_record_that_both_see(
    store: Any, reader: Any
) -> None:
    ids = [await saved(store, 1, one) for one in (None, "EIN-1", "EIN-1", "EIN-2", "EIN-3", "EIN-2")]
    assert len(set(ids)) == 1
    assert reader.count_documents({}) == 1
    for access, seen in ((OWNER, ["EIN-1", "EIN-2", "EIN-3"]), (MINE, ["EIN-1"]), (OTHERS, ["EIN-2"])):
        # An installation does not learn of the others.
        assert (await Page(store, access).get("events"))[0]["installations"] == seen
        assert (await Page(store, access).get(f"events/{ids[0]}"))["installations"] == seen
    stored = await result(store.latest("PR-1"))
    assert (stored.installation_id, stored.installation_ids) == ("EIN-1", ("EIN-1", "EIN-2", "EIN-3"))
    assert await result(store.count(installation="EIN-2")) == 1


async def test_the_context_tells_the_owner_what_is_missing_and_others_only_who_they_are(store: Any) -> None:
    context = await Page(store, OWNER).get("context")
    is_driver = context["path"] == "driver"
    assert context["owner"] is True
    assert context["collection"].endswith(store.collection.name)
    assert context["missing_indexes"] == (list(INDEXES) if is_driver else None)
    assert PURCHASE in context["event_types"]
    theirs = await Page(store, MINE).get("context")
    assert (theirs["owner"], theirs["installation"]) == (False, "EIN-1")
    assert {"collection", "missing_indexes"}.isdisjoint(theirs)
    if is_driver:
        await result(store.ensure_indexes())
        assert (await Page(store, OWNER).get("context"))["missing_indexes"] == []


def test_a_page_of_many_events_is_read_from_the_newest() -> None:
    wanted = {"status": ["failed"]}
    first = Window(10, 0)
    assert list(recent(wanted, first, MANY)) == [wanted]
    assert list(recent({**wanted, "since": 1}, first, MANY + 1)) == [{**wanted, "since": 1}]
    assert list(recent(wanted, Window(10, MANY), MANY + 1)) == [wanted]
    hour, day, all_time = recent(wanted, first, MANY + 1)
    assert hour["since"] - day["since"] > datetime.timedelta(hours=22)
    assert all_time == wanted
    until = datetime.datetime(2026, 1, 2, tzinfo=UTC)
    hour, _, _ = recent({"until": until}, first, MANY + 1)
    assert hour == {"until": until, "since": until - datetime.timedelta(hours=1)}


async def test_a_list_of_many_events_has_the_newest_whenever_they_were_received(
    driver_store: EventStore, reader: Any
) -> None:
    now = datetime.datetime.now(UTC)
    # Three in the last hour, and the rest long ago.
    hours = [0.1, 0.2, 0.3, *(100 + number for number in range(MANY + 20))]
    reader.insert_many(
        {"_id": f"{number}", "_connect": {"received_at": now - datetime.timedelta(hours=ago), "object_id": f"{number}"}}
        for number, ago in enumerate(hours)
    )
    page = Page(driver_store, OWNER)
    for limit, offset in ((2, 0), (3, 0), (5, 0), (2, 2), (10, MANY)):
        answer = await page.answer("events", ("limit", str(limit)), ("offset", str(offset)))
        assert [event["id"] for event in json.loads(answer.body)] == [str(offset + one) for one in range(limit)]
        assert answer.content_range == f"items {offset}-{offset + limit - 1}/{MANY + 23}"


FILTERS: dict[str, dict[str, Any]] = {
    "connect_installation": {"installation": "EIN-1"},
    "connect_event_type": {"event_type": PURCHASE},
    "connect_status": {"status": ["pending"]},
    "connect_product": {"product": ["PRD-1"]},
    "connect_marketplace": {"marketplace": ["MP-1"]},
    "connect_accounts": {"account": ["TA-1"]},
    "connect_history": {"object_id": ["PR-1"]},
    "connect_numbers": {"since": datetime.datetime(2026, 1, 1, tzinfo=UTC)},
}
ORDER = {"_connect.received_at": -1, "_connect.receipt": -1}


@pytest.mark.parametrize("index", FILTERS)
async def test_each_filter_is_read_from_an_index_that_has_the_order_of_the_list(
    index: str, driver_store: EventStore, reader: Any
) -> None:
    driver_store.ensure_indexes()
    for number in range(5):
        await saved(driver_store, number, f"EIN-{number}", status=f"status {number}")
    query = event_query(**FILTERS[index])
    # First the field of the filter, and then the order: the server reads no more events than it returns.
    fields = list(INDEXES[index])
    assert fields[: fields.index("_connect.received_at")] == [name for name in query if name not in ORDER]
    assert {**dict.fromkeys(query, 1), **ORDER}.items() <= {**INDEXES[index], **ORDER}.items()
    for command in (
        {"find": reader.name, "filter": query, "sort": ORDER, "limit": 10},
        {"aggregate": reader.name, "pipeline": [{"$match": query}, {"$count": "n"}], "cursor": {}},
    ):
        plan = reader.database.command({"explain": command, "verbosity": "queryPlanner"})
        assert stages_of(plan)["IXSCAN"] == index
        assert "COLLSCAN" not in stages_of(plan)


def stages_of(plan: dict[str, Any]) -> dict[str, str | None]:
    """The stages of the winning plan, each with the name of its index."""
    if "stages" in plan:
        plan = plan["stages"][0]["$cursor"]
    found: dict[str, str | None] = {}
    stage = plan["queryPlanner"]["winningPlan"]
    stage = stage.get("queryPlan", stage)
    while stage:
        found[stage["stage"]] = stage.get("indexName")
        stage = stage.get("inputStage")
    return found


def test_numbers_need_no_field_that_their_indexes_lack() -> None:
    needed = {"_connect.received_at", "_connect.event_type", "_connect.status"}
    assert needed <= set(INDEXES["connect_numbers"])
    assert needed | {"_connect.installation_id"} == set(INDEXES["connect_installation"]) - {"_connect.receipt"}
    cases: list[tuple[str, dict[str, Any]]] = [
        ("connect_received", {}),
        ("connect_installation", {"installation": "EIN-1"}),
    ]
    for index, wanted in cases:
        assert [*letter_query(**wanted), "received_at"] in (
            list(LETTER_INDEXES[index]),
            [*list(LETTER_INDEXES[index])[1:2], *list(LETTER_INDEXES[index])[:1], "received_at"],
        )
