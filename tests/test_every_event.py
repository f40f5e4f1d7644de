"""Every event type, with the payload that the real runner gives its handler, through the real runner."""

from __future__ import annotations

import asyncio
import copy
import io
import json
import re
import subprocess
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from connect.eaas.mongodb.events import EVENT_TYPES
from pymongo import MongoClient as PyMongoClient

from demo.job import alive
from demo.local_connect import LocalConnect, local_connect
from demo.purchase_requests import sample
from demo.runner import ROOT, RUNNER_ENVIRONMENT, Runner, cextrun

pytestmark = pytest.mark.skipif(
    not (RUNNER_ENVIRONMENT / "bin" / "cextrun").exists(), reason="the runner's environment is not set up"
)

BACKGROUND = [name for name, known in EVENT_TYPES.items() if known.category == "background"]
INTERACTIVE = [name for name, known in EVENT_TYPES.items() if known.category == "interactive"]
VALIDATIONS = [name for name in INTERACTIVE if name.endswith("_validation")]
TRANSFORMATIONS = [name for name, known in EVENT_TYPES.items() if known.category == "transformation"]
# Those that could be declared in `extension.json`.
DECLARED = list(EVENT_TYPES)[:25]

ACCOUNT = {"id": "VA-000-000", "name": "Vendor", "icon": "/media/icon.png"}
INSTALLATION = {
    "id": "EIN-0000-0000-0000",
    "status": "installed",
    "environment": {"id": "ENV-0000-0000-01", "extension": {"id": "SRVC-0000-0000"}, "git": {}},
    "owner": {**ACCOUNT, "role": "vendor"},
    "settings": {},
}
PRODUCT = {"id": "PRD-000-000-000", "name": "Product", "version": 2, "owner": ACCOUNT, "capabilities": {"ppu": None}}
LISTING = {"id": "LST-000-000-000", "product": PRODUCT, "contract": {"id": "CRD-1", "marketplace": {"id": "MP-1"}}}
TEMPLATES: dict[str, dict[str, Any]] = {
    "AssetRequest": sample("asset-purchase-request"),
    "TierConfigRequest": sample("tier-config-setup-request"),
    "TierAccountRequest": {"type": "update", "account": {"id": "TA-1", "version": 2}, "product": PRODUCT},
    "ListingRequest": {"type": "new", "listing": LISTING, "product": PRODUCT},
    "Listing": LISTING,
    "UsageFile": {"name": "March", "schema": "qt", "product": PRODUCT, "created_by": "a@example.com", "note": None},
    "UsageChunkFile": {"usagefile": {"id": "UF-1"}, "binding": {"hub": {"id": "HB-1"}}, "outdated": False},
    "Case": {"subject": "Ünï", "priority": 2, "issuer": {"account": ACCOUNT}, "product": PRODUCT},
    "Product": PRODUCT,
    "Contract": {"name": "Contract", "type": "distribution", "marketplace": {"id": "MP-1"}, "owner": ACCOUNT},
    "PriceListVersion": {"version": 3, "pricelist": {"id": "PL-1", "name": "Prices"}},
    "Translation": {"context": {"id": "LCX-1", "instance_id": "PRD-1"}, "locale": {"id": "ES-AR"}, "primary": False},
    "Installation": INSTALLATION,
}
PREFIXES = {
    "AssetRequest": "PR-",
    "TierConfigRequest": "TCR-",
    "TierAccountRequest": "TAR-",
    "ListingRequest": "LSTR-",
    "Listing": "LST-",
    "UsageFile": "UF-",
    "UsageChunkFile": "UFC-",
    "Case": "CA-",
    "Product": "PRD-",
    "Contract": "CRD-",
    "PriceListVersion": "PLV-",
    "Translation": "TRN-",
    "Installation": "EIN-",
}
STATE = {"Case": "state", "ListingRequest": "state"}
# A product action and a custom event, as Connect forwards them.
HTTP = {
    "method": "POST",
    "path": "/hook",
    "host": "product.example",
    "scheme": "https",
    "headers": {"Content-Type": "application/json", "Accept": "*/*"},
    "query": {"page": "1"},
}
ACTION = {"jwt_payload": {"asset_id": "AS-1", "action_id": "ACT-1", "api_url": "https://connect.example", "exp": 1}}
EVENT = {**HTTP, "body": {"event": "created", "items": [1, 2.5, None, {"a": []}]}}
SCHEDULE = {
    "id": "EFS-0000-0000-000-001",
    "name": "Refresh",
    "parameter": {"full": True, "since": None},
    "status": "enabled",
    "trigger": {"type": "recurring"},
}

# What differs from the models in objects that extensions have met.
DEVIATING: dict[str, tuple[str, dict[str, Any]]] = {
    "numbers for texts": (
        "asset_purchase_request_processing",
        {
            "id": "PR-9999-0001",
            "status": "draft",
            "asset": {
                "external_id": 7,
                "tiers": {"customer": {"external_id": 8}, "tier1": {"external_id": 9.5}},
                "params": [{"id": "a", "value": 1, "constraints": {"required": "true"}}],
            },
            "previous_approved_request": "PR-9999-0000",
        },
    ),
    "an object for a text": (
        "helpdesk_case_processing",
        {"id": "CA-9999-0001", "state": "pending", "subject": {"text": "a"}, "priority": {"level": [1]}},
    ),
    "lists and nulls": (
        "usage_file_request_processing",
        {"id": "UF-9999-0001", "status": "draft", "period": [], "records": "none", "product": None, "stats": [{}]},
    ),
}
NEVER_STORED = ("asset_change_request_processing", {"id": "PR-9999-0002", "status": "draft", "note": 2**70})


def payload(event_type: str, number: int) -> Any:
    """What the runner gives the handler of such an event."""
    known = EVENT_TYPES[event_type]
    if event_type == "product_action_execution":
        return copy.deepcopy(ACTION)
    if event_type == "product_custom_event_processing":
        return copy.deepcopy(EVENT)
    name = known.model.__name__
    obj = copy.deepcopy(TEMPLATES[name])
    if known.category == "interactive":
        # A draft has no id yet. The runner hands over what is in the task, and asks for nothing.
        del obj["id"]
        return {**obj, "status": "draft", "type": event_type.split("_")[-3]}
    return {**obj, "id": f"{PREFIXES[name]}0000-{number:04}", STATE.get(name, "status"): known.statuses[0]}


@dataclass
class Run:
    """What came of a run."""

    sent: dict[str, Any] = field(default_factory=dict)
    """By event type."""
    outputs: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    documents: list[dict[str, Any]] = field(default_factory=list)
    letters: list[dict[str, Any]] = field(default_factory=list)
    setups: list[dict[str, Any]] = field(default_factory=list)
    steps: list[tuple[str, str]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    log: str = ""

    def stored(self, event_type: str) -> list[dict[str, Any]]:
        return [document for document in self.documents if document["_connect"]["event_type"] == event_type]


def extension_path(folder: Path) -> str:
    """Where the runner finds the extension: it looks for entry points, in the order of the path."""
    metadata = folder / "every_event-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: every-event\nVersion: 1.0\n", encoding="utf-8")
    (metadata / "entry_points.txt").write_text(
        "[connect.eaas.ext]\n"
        "eventsapp = every_event:EventsApplication\n"
        "tfnapp = every_event:TransformationsApplication\n",
        encoding="utf-8",
    )
    return f"{folder}:{ROOT / 'tests' / 'runner'}"


@dataclass
class Delivery:
    """A task to hand over, and the name that its outputs go by."""

    name: str
    task_id: str
    event_type: str
    obj: Any
    more: dict[str, Any]


def deliveries(declared: bool) -> list[Delivery]:
    """A task of each event type; schedules and custom events come in two tasks, with the same content."""
    tasks = []
    for number, event_type in enumerate(DECLARED if declared else EVENT_TYPES):
        if event_type in TRANSFORMATIONS or event_type == "scheduled_execution":
            continue
        more: dict[str, Any] = {"category": EVENT_TYPES[event_type].category}
        if event_type == "installation_status_change":
            more["installation"] = INSTALLATION
        tasks.append(Delivery(event_type, f"TQ-{number}", event_type, payload(event_type, number), more))
    schedule = {**SCHEDULE, "method": "refresh" if declared else "handle_scheduled_execution"}
    for task_id in ("TQ-schedule-1", "TQ-schedule-2"):
        tasks.append(
            Delivery("scheduled_execution", task_id, "scheduled_execution", schedule, {"category": "scheduled"})
        )
    for name, (event_type, obj) in {**DEVIATING, "can never be stored": NEVER_STORED}.items():
        if declared and event_type not in DECLARED:
            continue
        tasks.append(Delivery(name, f"TQ-{name}", event_type, obj, {"category": "background"}))
    interactive = {"category": "interactive"}
    custom = "product_custom_event_processing"
    tasks.append(Delivery(custom, "TQ-custom-2", custom, payload(custom, 0), interactive))
    tasks.append(Delivery("made_up_check", "TQ-check", "made_up_check", {"a": 1}, interactive))
    if declared:
        return tasks[:-1]
    for number, event_type in enumerate(TRANSFORMATIONS):
        request = {
            "id": f"TFR-{number}",
            "status": "pending",
            "files": {"input": {"id": "MFL-1", "name": "/files/input.xlsx"}, "output": {"id": None, "name": None}},
            "batch": {"id": f"TRB-{number}"},
            "transformation": {"columns": {"input": [{"name": "number"}], "output": [{"name": "doubled"}]}},
            "stats": {"rows": {"total": 3, "processed": 0}},
        }
        more = {"category": "transformation", "data": {"method": ("double", "double_blocking")[number]}}
        tasks.append(Delivery(event_type, f"TQ-tfn-{number}", event_type, request, more))
    return tasks


async def send_all(connect: LocalConnect, runner: Runner, run: Run, declared: bool) -> None:
    """Hand every task over twice: the second time Connect delivers it again."""

    async def send(task: Delivery) -> None:
        sent = await alive(connect.send_task(task.task_id, task.obj, task.event_type, **task.more), runner)
        run.outputs.setdefault(task.name, []).append(await alive(sent.result, runner))

    tasks = deliveries(declared)
    run.sent = {task.name: copy.deepcopy(task.obj) for task in tasks}
    for _ in range(2):
        await asyncio.gather(*map(send, tasks))


def input_file(folder: Path) -> bytes:
    """A workbook with three rows, as Connect has it."""
    path = folder / "input.xlsx"
    script = (
        "import sys; from openpyxl import Workbook; book = Workbook(); sheet = book.active; sheet.title = 'Data'\n"
        "for row in (['number'], [1], [2], [3]): sheet.append(row)\n"
        "book.save(sys.argv[1])"
    )
    subprocess.run([str(RUNNER_ENVIRONMENT / "bin" / "python"), "-c", script, str(path)], check=True, timeout=60)
    return path.read_bytes()


def run_extension(folder: Path, uri: str, database: str, *, declared: bool) -> Run:
    variables = {"DB": database, "DB_HOST": uri, "DRIVER_COLLECTION": "events"}
    run = Run()

    async def main() -> None:
        async with local_connect(variables, folder) as connect:
            for name, known in EVENT_TYPES.items():
                if known.category != "interactive":
                    with_status = known.category == "background" and name != "translation_change"
                    connect.event_types[name] = STATE.get(known.model.__name__, "status") if with_status else ""
            connect.files["input.xlsx"] = input_file(folder)
            environment = {
                "PYTHONPATH": extension_path(folder),
                "EXTENSION_STYLE": "declared" if declared else "decorated",
            }
            async with cextrun(connect, folder, environment=environment) as runner:
                await send_all(connect, runner, run, declared)
                run.log = await asyncio.to_thread(runner.log)
                runner.kill()
            run.setups, run.steps, run.files = connect.setup_requests, connect.steps, connect.files

    asyncio.run(main())
    client: PyMongoClient[dict[str, Any]]
    with PyMongoClient(uri, serverSelectionTimeoutMS=10_000) as client:
        run.documents = list(client[database]["events"].find())
        run.letters = list(client[database]["events_dead_letters"].find())
    return run


@pytest.fixture(scope="module")
def decorated(tmp_path_factory: pytest.TempPathFactory, mongodb_uri: str) -> Run:
    return run_extension(tmp_path_factory.mktemp("decorated"), mongodb_uri, "every_event_decorated", declared=False)


@pytest.fixture(scope="module")
def declared(tmp_path_factory: pytest.TempPathFactory, mongodb_uri: str) -> Run:
    return run_extension(tmp_path_factory.mktemp("declared"), mongodb_uri, "every_event_declared", declared=True)


@pytest.fixture
def run(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


BOTH = pytest.mark.parametrize("run", ["decorated", "declared"], indirect=True)
EACH = [
    *((style, name) for style, names in (("decorated", EVENT_TYPES), ("declared", DECLARED)) for name in names),
]


@pytest.mark.parametrize(("run", "event_type"), EACH, indirect=["run"])
def test_the_handler_runs_and_its_answer_reaches_connect(run: Run, event_type: str) -> None:
    for output in run.outputs[event_type]:
        assert output["result"] == "success", output
        if event_type in INTERACTIVE:
            assert output["data"]["http_status"] == 200
            assert output["data"]["body"] == {"object": EVENT_TYPES[event_type].model.__name__}


@pytest.mark.parametrize(("run", "event_type"), EACH, indirect=["run"])
def test_the_event_is_stored_once_as_what_it_is(run: Run, event_type: str) -> None:
    others = {obj["id"] for _, obj in DEVIATING.values()}
    documents = [document for document in run.stored(event_type) if document.get("id") not in others]
    tasks = {document["_connect"]["task_id"] for document in documents}
    # Delivered again, with the same task, it is the same event.
    assert len(documents) == len(tasks)
    # With another task it is another event, where the content does not tell.
    twice = ("scheduled_execution", "product_custom_event_processing")
    assert len(documents) == (2 if event_type in twice else 1)
    sent = run.sent[event_type]
    for document in documents:
        known = document["_connect"]
        assert known["object"] == EVENT_TYPES[event_type].model.__name__
        assert known["extension_id"] == "SRVC-0000-0000"
        assert known["environment_id"] == "ENV-0000-0000-01"
        assert known.get("installation_id") == (
            INSTALLATION["id"] if event_type == "installation_status_change" else None
        )
        found = {name: value for name, value in document.items() if name not in ("_id", "_connect")}
        # Headers and activation texts may hold secrets, and are redacted.
        for name in ("headers", "activation_key", "params_form_url", "settings"):
            assert (name in found) == (name in sent)
            found.pop(name, None)
        assert json.dumps(found) == json.dumps({name: value for name, value in sent.items() if name in found})
        assert set(found) >= set(sent) - {"headers", "activation_key", "params_form_url", "settings"}


@pytest.mark.parametrize(
    ("run", "name"),
    [
        (style, name)
        for style, types in (("decorated", list(EVENT_TYPES)), ("declared", DECLARED))
        for name, (event_type, _) in DEVIATING.items()
        if event_type in types
    ],
    indirect=["run"],
)
def test_what_differs_from_the_model_is_stored_as_it_is_and_handled(run: Run, name: str) -> None:
    assert [output["result"] for output in run.outputs[name]] == ["success", "success"]
    event_type, obj = DEVIATING[name]
    (document,) = (document for document in run.documents if document.get("id") == obj["id"])
    assert document["_connect"]["event_type"] == event_type
    found = {field: value for field, value in document.items() if field not in ("_id", "_connect")}
    assert json.dumps(found) == json.dumps(obj)


@BOTH
def test_what_can_never_be_stored_becomes_a_dead_letter_and_is_handled(run: Run) -> None:
    assert [output["result"] for output in run.outputs["can never be stored"]] == ["success", "success"]
    # Nothing else does, and the same that is delivered again is one.
    (letter,) = run.letters
    assert letter["task_id"] == "TQ-can never be stored"
    assert not [document for document in run.documents if document.get("id") == NEVER_STORED[1]["id"]]


@BOTH
def test_nothing_else_is_stored(run: Run) -> None:
    assert {document["_connect"]["event_type"] for document in run.documents} <= set(EVENT_TYPES)


def test_the_runner_announces_every_handler(decorated: Run, declared: Run) -> None:
    subscriptions = [setup["event_subscriptions"] for setup in decorated.setups if setup["event_subscriptions"]]
    assert set(subscriptions[0]) == {*BACKGROUND, *INTERACTIVE, "made_up_check"}
    subscriptions = [setup["event_subscriptions"] for setup in declared.setups if setup["event_subscriptions"]]
    assert set(subscriptions[0]) == set(DECLARED) - {"scheduled_execution"}
    # The extension did declare them that way.
    assert "The definition of extension's capabilities in extension.json is deprecated" in declared.log


def test_an_interactive_event_that_nothing_is_known_of_is_answered_as_one(decorated: Run) -> None:
    """It lists statuses, and its name says nothing. Its store cannot be reached."""
    for output in decorated.outputs["made_up_check"]:
        assert output["result"] == "fail"
        assert output["data"]["http_status"] == 503
        assert "DATA_API_ENDPOINT" in output["message"]
        assert "Traceback" not in output["message"]


@pytest.mark.parametrize("number", range(len(TRANSFORMATIONS)))
def test_the_rows_of_a_transformation_are_transformed(decorated: Run, number: int) -> None:
    assert decorated.steps.count((f"TFR-{number}", "process")) == 2
    assert (f"TFR-{number}", "fail") not in decorated.steps
    with zipfile.ZipFile(io.BytesIO(decorated.files[f"TRB-{number}-output"])) as book:
        sheet = book.read("xl/worksheets/sheet1.xml").decode()
    assert re.findall(r"<v>(\d+)</v></c></row>", sheet)[-3:] == ["2", "4", "6"]
