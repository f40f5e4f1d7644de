"""Approvals of a marketplace as a graph whose checkpoints LangGraph keeps in MongoDB."""

from __future__ import annotations

import asyncio
import operator
from contextlib import ExitStack
from typing import Annotated, Any, TypedDict

from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.mongodb import MongoDBSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, Send, interrupt

from tests.apps.libraries import Drivers, Journal


class State(TypedDict):
    request: str
    checks: Annotated[list[str], operator.add]
    approved: bool
    seal: bytes


class Check(TypedDict):
    name: str


def receive(state: State) -> dict[str, Any]:
    return {"checks": [f"received {state['request']}"], "seal": b"\x00\xff"}


def check(state: Check) -> dict[str, Any]:
    return {"checks": [f"checked {state['name']}"]}


def checks(state: State) -> list[Send]:
    return [Send("check", {"name": name}) for name in ("country", "credit", "stock")]


def ask(state: State) -> dict[str, Any]:
    answer = interrupt({"request": state["request"], "checks": len(state["checks"])})
    return {"approved": answer == "yes", "checks": [f"asked: {answer}"]}


def route(state: State) -> str:
    return "fulfil" if state["approved"] else END


def fail_once(state: State) -> dict[str, Any]:
    if state["request"] == "PR-FAIL" and "repaired" not in state["checks"]:
        raise RuntimeError("the supplier is away")
    return {"checks": ["fulfilled"]}


class Shipping(TypedDict):
    request: str
    checks: Annotated[list[str], operator.add]


def graph(saver: Any) -> Any:
    shipping = StateGraph(Shipping)
    shipping.add_node("pack", lambda state: {"checks": [f"packed {state['request']}"]})
    shipping.add_node("send", lambda state: {"checks": ["sent"]})
    shipping.add_edge(START, "pack")
    shipping.add_edge("pack", "send")
    builder = StateGraph(State)
    builder.add_node("receive", receive)
    builder.add_node("check", check)
    builder.add_node("ask", ask)
    builder.add_node("fulfil", fail_once)
    builder.add_node("ship", shipping.compile())
    builder.add_edge(START, "receive")
    builder.add_conditional_edges("receive", checks, ["check"])
    builder.add_edge("check", "ask")
    builder.add_conditional_edges("ask", route, ["fulfil", END])
    builder.add_edge("fulfil", "ship")
    return builder.compile(checkpointer=saver)


def thread(name: str) -> Any:
    return {"configurable": {"thread_id": name, "checkpoint_ns": ""}}


def snapshot(state: Any) -> Any:
    return [
        state.values,
        state.next,
        state.metadata,
        [[task.name, repr(task.error), len(task.interrupts)] for task in state.tasks],
    ]


def blocking(saver: Any, journal: Journal) -> None:
    approvals = graph(saver)
    first = thread("first")
    journal.note("interrupted", approvals.invoke({"request": "PR-1", "checks": []}, first, durability="sync"))
    journal.note("waiting", snapshot(approvals.get_state(first)))
    journal.note("resumed", approvals.invoke(Command(resume="yes"), first, durability="sync"))
    journal.note("history", [snapshot(state) for state in approvals.get_state_history(first)])
    history = list(approvals.get_state_history(first, limit=20))
    before = next(state for state in history if state.next == ("fulfil",))
    forked = approvals.update_state(before.config, {"checks": ["changed by hand"]})
    journal.note("forked", approvals.invoke(None, forked, durability="sync"))
    journal.note("filtered", [one.metadata["step"] for one in saver.list(first, filter={"source": "update"})])
    journal.note("limited", [one.metadata["step"] for one in saver.list(first, limit=2, before=before.config)])
    journal.note("everywhere", len(list(saver.list(None))))

    second = thread("second")
    approvals.invoke({"request": "PR-2", "checks": []}, second, durability="exit")
    journal.note("refused", approvals.invoke(Command(resume="no"), second, durability="exit"))
    failing = thread("failing")
    approvals.invoke({"request": "PR-FAIL", "checks": []}, failing, durability="sync")
    journal.refused("failed", lambda: approvals.invoke(Command(resume="yes"), failing, durability="sync"))
    journal.note("after the failure", snapshot(approvals.get_state(failing)))
    pending = saver.get_tuple(failing)
    journal.note("pending writes", sorted([channel, repr(value)] for _, channel, value in pending.pending_writes))
    approvals.update_state(failing, {"checks": ["repaired"]}, as_node="ask")
    journal.note("repaired", approvals.invoke(None, failing, durability="sync"))
    saver.delete_thread("second")
    journal.note("deleted", [saver.get_tuple(second), saver.get_tuple(thread("never"))])


async def awaited(saver: Any, journal: Journal) -> None:
    approvals = graph(saver)
    fourth = thread("fourth")
    seen = [
        list(step) async for step in approvals.astream({"request": "PR-4", "checks": []}, fourth, durability="sync")
    ]
    journal.note("streamed", sorted(seen))
    journal.note("awaited", await approvals.ainvoke(Command(resume="yes"), fourth, durability="sync"))
    journal.note("awaited history", [snapshot(state) async for state in approvals.aget_state_history(fourth)])
    await asyncio.gather(
        *(approvals.ainvoke({"request": f"PR-{n}", "checks": []}, thread(f"many-{n}")) for n in range(5))
    )
    journal.note("at once", [(await approvals.aget_state(thread(f"many-{n}"))).next for n in range(5)])
    await saver.adelete_thread("many-0")


def by_hand(saver: Any, journal: Journal) -> None:
    """The saver's own methods, with what graphs seldom keep."""
    checkpoint = empty_checkpoint()
    config = saver.put(
        thread("by hand"), checkpoint, {"source": "input", "step": -1, "nested": {"a": {"b": [1, None]}}}, {}
    )
    saver.put_writes(config, [("channel", {"x": b"\x00"}), ("other", [1.5, 2**40, "ü"])], "task", "path")
    saver.put_writes(config, [("channel", "not kept: there is one already")], "task", "path")
    found = saver.get_tuple(config)
    journal.note("by hand", [found.metadata, [write[1:] for write in found.pending_writes], found.parent_config])
    journal.note("nested filter", len(list(saver.list(None, filter={"nested": {"a": {"b": [1, None]}}}))))
    journal.refused("an operator", lambda: saver.get_tuple(thread({"$ne": ""})))
    journal.refused("an operator in a filter", lambda: list(saver.list(None, filter={"$where": "1"})))


async def main(drivers: Drivers, journal: Journal) -> None:
    client = drivers.sync_client(drivers.uri)
    saver = MongoDBSaver(client, drivers.database)
    again = MongoDBSaver(client, drivers.database, ttl=1_000_000)
    await asyncio.to_thread(blocking, saver, journal)
    await awaited(again, journal)
    by_hand(saver, journal)
    names = ("others", "others_writes")
    with ExitStack() as stack:
        if drivers.given:
            other = MongoDBSaver(client, drivers.database, *names)
        else:
            # The saver makes a client of its own.
            other = stack.enter_context(MongoDBSaver.from_conn_string(drivers.uri, drivers.database, *names))
        result = graph(other).invoke({"request": "PR-9", "checks": []}, thread("other"), durability="sync")
        journal.note("another saver", result)
    saver.close()
