"""The main job with the real runner, and the wheel as a user installs it."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from demo.chaos import fragile_servers, run_chaos
from demo.job import run_job, servers
from demo.local_connect import local_connect
from demo.purchase_requests import purchase_requests
from demo.runner import ROOT, RUNNER_ENVIRONMENT, cextrun
from tests.servers import GIVEN_URI, START_SECONDS, needs_secantusdb

RUNNER_PYTHON = RUNNER_ENVIRONMENT / "bin" / "python"


async def test_a_thousand_requests_are_stored_once_and_equal_on_each_path() -> None:
    with servers(GIVEN_URI, f"end_to_end_{os.getpid()}") as (uri, variables):
        report = await run_job(1000, uri, variables)
    assert report.results == {"success": 1000}
    for path in report.paths:
        assert (path.sent, path.stored) == (1000, 1000), path
        assert (path.missing, path.different, path.duplicated) == (0, 0, 0), path
    assert report.perfect


async def test_a_variable_at_fault_makes_connect_deliver_again_with_its_name(tmp_path: Path) -> None:
    with servers(GIVEN_URI, f"end_to_end_{os.getpid()}") as (_, variables):
        broken = {**variables, "DB_HOST": "", "DRIVER_COLLECTION": "$x"}
        async with local_connect(broken, tmp_path) as connect:
            async with cextrun(connect, tmp_path):
                task = await connect.send_task("TQ-1", purchase_requests(1)[0])
                output = await asyncio.wait_for(task.result, 60)
            setup = next(setup for setup in connect.setup_requests if setup["event_subscriptions"])
    assert output["result"] == "retry"
    assert "DB_HOST" in output["message"]
    assert "DRIVER_COLLECTION" in output["message"]
    assert variables["API_KEY"] not in output["message"]
    # What the runner told Connect of the extension.
    (event_type,) = setup["event_subscriptions"]
    assert event_type == "asset_purchase_request_processing"
    assert {"pending", "approved", "failed"} <= set(setup["event_subscriptions"][event_type])
    assert {variable["name"]: variable["secure"] for variable in setup["variables"]}["DB_PASSWORD"] is True


SNIPPET = """
    import asyncio, copy, logging, sys
    from connect.eaas.core.decorators import event, variables
    from connect.eaas.core.extension import EventsApplicationBase
    from connect.eaas.core.responses import BackgroundResponse
    from connect.eaas.mongodb import VARIABLES, AsyncDataApiClient, AsyncMongoClient

    @variables(VARIABLES)
    class MyEventsApplication(EventsApplicationBase):
        @event('asset_purchase_request_processing', statuses=['pending', 'approved', 'failed'])
        async def handle_purchase(self, request):
            http = AsyncDataApiClient.from_config(self.config)
            self.logger.info(await http.get_default_collection().insert_one(request))
            mongo = AsyncMongoClient.from_config(self.config)
            self.logger.info(await mongo.get_default_collection().insert_one(request))
            return BackgroundResponse.done()

    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format='%(message)s')
    config = dict(line.rstrip('\\n').split('=', 1) for line in sys.stdin if line.strip())
    request = {'id': 'PR-1', 'asset': {'items': [{'quantity': '1'}]}}
    before = copy.deepcopy(request)
    app = MyEventsApplication(None, logging.getLogger(), config)
    assert asyncio.run(app.handle_purchase(request)).status == 'success'
    assert request == before
"""


@pytest.mark.skipif(not RUNNER_PYTHON.exists(), reason="the runner's environment is not set up")
def test_the_snippet_runs_on_the_wheel_beside_connect_eaas_core() -> None:
    """Against `connect-mongodb dev`, with just what it prints."""
    command = [str(Path(sys.executable).parent / "connect-mongodb"), "dev", "--format", "env"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        lines = []
        while (line := server.stdout.readline()).strip():
            lines.append(line)
        try:
            ended = subprocess.run(
                [str(RUNNER_PYTHON), "-c", textwrap.dedent(SNIPPET)],
                input="".join(lines),
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
                cwd=ROOT / "examples",
            )
        finally:
            server.terminate()
            server.wait(START_SECONDS)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.count("InsertOneResult(ObjectId('") == 2


async def test_every_event_is_stored_exactly_once_while_mongodb_is_killed() -> None:
    """Delivered one to five times each, to two runners."""
    needs_secantusdb()
    with fragile_servers("chaos", random.Random(7)) as (mongodb, variables):
        report = await run_chaos(40, mongodb, variables)
    assert report.perfect, report
    assert report.kills >= 2
    assert report.deliveries >= sum(report.results.values()) >= 40
