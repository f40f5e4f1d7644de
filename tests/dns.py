"""A DNS server for one MongoDB cluster: `python -m tests.dns PORT` serves cluster0.connect.test."""

from __future__ import annotations

import socket
import struct
import sys

A, TXT, SRV = 1, 16, 33


def name(text: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in text.split(".")) + b"\0"


def records(port: int) -> dict[tuple[str, int], bytes]:
    return {
        ("_mongodb._tcp.cluster0.connect.test", SRV): struct.pack(">HHH", 0, 0, port) + name("shard0.connect.test"),
        ("cluster0.connect.test", TXT): bytes([len("authSource=admin")]) + b"authSource=admin",
        ("shard0.connect.test", A): bytes([127, 0, 0, 1]),
    }


def answer(query: bytes, known: dict[tuple[str, int], bytes]) -> bytes:
    """Answer a query of one question (RFC 1035)."""
    place, labels = 12, []
    while length := query[place]:
        labels.append(query[place + 1 : place + 1 + length].decode())
        place += 1 + length
    (kind,) = struct.unpack(">H", query[place + 1 : place + 3])
    question = query[12 : place + 5]
    asked = ".".join(labels).lower()
    found = known.get((asked, kind))
    code = 0 if any(asked == owner for owner, _ in known) else 3
    header = query[:2] + struct.pack(">HHHHH", 0x8580 | code, 1, int(found is not None), 0, 0)
    if found is None:
        return header + question
    return header + question + b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 60, len(found)) + found


def main() -> None:
    known = records(int(sys.argv[1]))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 53))
        while True:
            query, asker = server.recvfrom(4096)
            server.sendto(answer(query, known), asker)


if __name__ == "__main__":
    main()
