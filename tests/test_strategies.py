"""What the property tests rest on."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import pytest
from bson import Binary, Code, Int64
from hypothesis import given
from hypothesis import strategies as st

from tests.servers import free_port
from tests.strategies import bson_scalars


@pytest.mark.parametrize("kind", [Code, Int64, Binary])
def test_a_failure_is_reported_and_not_what_hypothesis_makes_of_it(kind: type[Any]) -> None:
    """While it shrinks, hypothesis must take no value of a subclass for one that it drew."""

    @given(st.lists(bson_scalars, max_size=2))
    def fails(values: list[Any]) -> None:
        assert kind not in map(type, values), "found"

    with pytest.raises(AssertionError, match="found"):
        fails()


def some_ports(into: Any) -> None:
    into.put([free_port() for _ in range(50)])
    # A port is reserved as long as its process runs.
    into.put(None)
    into.join()


def test_no_port_is_given_twice_nor_to_an_outgoing_connection() -> None:
    context = multiprocessing.get_context("spawn")
    queues = [context.JoinableQueue() for _ in range(3)]
    children = [context.Process(target=some_ports, args=(queue,)) for queue in queues]
    for child in children:
        child.start()
    ports = [port for queue in queues for port in queue.get(timeout=60)]
    for queue in queues:
        assert queue.get(timeout=60) is None
        for _ in range(2):
            queue.task_done()
    for child in children:
        child.join(60)
    assert len(set(ports)) == 150
    outgoing = Path("/proc/sys/net/ipv4/ip_local_port_range")
    if outgoing.exists():
        first, last = map(int, outgoing.read_text(encoding="utf-8").split())
        assert not [port for port in ports if first <= port <= last]
