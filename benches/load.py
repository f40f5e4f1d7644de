"""The load generator of the gateway's benchmark: `python -m benches.load` takes orders on standard
input, one JSON object a line, and answers each with a line of figures.

One thread, one request under way on each connection, the same bytes each time: what it costs is next
to nothing but the kernel's share, so that the server is what is measured. HTTP clients cost more.
"""

from __future__ import annotations

import json
import os
import re
import select
import socket
import sys
import time
from pathlib import Path
from typing import Any

from benches.client import cpu_seconds, figures

WARM_UP_SECONDS = 0.2
ANSWER_SECONDS = 10
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")

HEAD = re.compile(rb"HTTP/1\.1 (\d+) .*?\r\ncontent-length: *(\d+)\r\n(?:.*?\r\n)??\r\n", re.DOTALL | re.IGNORECASE)


class LoadError(Exception):
    """What keeps the figures from meaning anything."""


def cpu_of(pids: list[int]) -> float:
    """What these processes have used, of all their threads, in seconds."""
    ticks = 0
    for pid in pids:
        # After the name, which may hold anything: the state is the third field of the line.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / TICKS_PER_SECOND


class Connections:
    """So many connections, each with a request under way or none."""

    def __init__(self, port: int, count: int, request: bytes, status: int) -> None:
        self.request = request
        self.status = str(status).encode()
        self.poll = select.epoll()
        self.sockets: dict[int, socket.socket] = {}
        self.begun: dict[int, float] = {}
        for _ in range(count):
            connection = socket.create_connection(("127.0.0.1", port), ANSWER_SECONDS)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.sockets[connection.fileno()] = connection
            self.poll.register(connection, select.EPOLLIN)

    def run(self, seconds: float) -> list[float]:
        """Send requests for so long, and take all answers; how long each took, in seconds."""
        took: list[float] = []
        partly: dict[int, bytes] = {}
        now, request, status, begun, sockets = time.perf_counter, self.request, self.status, self.begun, self.sockets
        under_way = len(sockets)
        until = now() + seconds
        for number, connection in sockets.items():
            begun[number] = now()
            connection.sendall(request)
        while under_way:
            ready = self.poll.poll(ANSWER_SECONDS)
            if not ready:
                raise LoadError(f"{under_way} answers did not come within {ANSWER_SECONDS} seconds")
            for number, _ in ready:
                connection = sockets[number]
                answer = connection.recv(65536)
                if not answer:
                    raise LoadError("the server closed a connection")
                if number in partly:
                    answer = partly.pop(number) + answer
                head = HEAD.match(answer)
                if head is None or len(answer) < head.end() + int(head[2]):
                    partly[number] = answer
                    continue
                if head[1] != status:
                    raise LoadError(f"the server answered {answer[:500]!r}")
                ended = now()
                took.append(ended - begun[number])
                if ended < until:
                    begun[number] = ended
                    connection.sendall(request)
                else:
                    under_way -= 1
        return took

    def close(self) -> None:
        """Close them all."""
        self.poll.close()
        for connection in self.sockets.values():
            connection.close()


def run(order: dict[str, Any]) -> dict[str, float]:
    """Carry an order out."""
    request = Path(order["request"]).read_bytes()
    connections = Connections(order["port"], order["connections"], request, order["status"])
    try:
        connections.run(WARM_UP_SECONDS)
        begun, server, own = time.perf_counter(), cpu_of(order["pids"]), cpu_seconds()
        took = connections.run(order["seconds"])
        elapsed = time.perf_counter() - begun
        server, own = cpu_of(order["pids"]) - server, cpu_seconds() - own
    finally:
        connections.close()
    return {**figures(took, elapsed, server), "load_us": own * 1e6 / max(len(took), 1)}


def main() -> None:
    """Take orders until there are no more."""
    for line in sys.stdin:
        try:
            answer: dict[str, Any] = run(json.loads(line))
        except (LoadError, OSError) as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
