"""How figures change with distance, document size, concurrency and the number of collections.

`python -m benches.scaling [--quick]` runs this part of the benchmark alone and prints its section.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from benches.report import Figures, Target

if TYPE_CHECKING:
    from benches.run import Benchmark, Servers

DELAYS_MS = (1, 5, 20)
DISTANT = ("PyMongo async", "mongojet", "ours unmerged", "ours")
LARGE_BYTES = (100, 3_000, 10_000, 30_000, 100_000, 330_000, 1_000_000, 4_000_000, 15_000_000)
LARGE = ("PyMongo async", "mongojet", "ours unmerged", "ours")
TASKS = (1, 10, 100, 1_000, 10_000)
MEMORY = ("PyMongo async", "ours")
COLLECTIONS = (1, 10, 100, 1_000)
LIFE = 10_000_000
BATCHES = ("Motor", "PyMongo async", "mongojet", "ours")


@dataclass
class Table:
    """A table of the report."""

    title: str
    text: str
    header: list[str]
    rows: list[list[str]]

    def lines(self) -> list[str]:
        """The table as Markdown."""
        return [
            f"### {self.title}",
            "",
            self.text,
            "",
            "| " + " | ".join(self.header) + " |",
            "| --- |" + " ---: |" * (len(self.header) - 1),
            *("| " + " | ".join(row) + " |" for row in self.rows),
            "",
        ]


@contextlib.contextmanager
def distant(servers: Servers, delay_ms: float, release: Path) -> Iterator[Servers]:
    """Put the delay between the client and MongoDB."""
    port = servers.mongodb.rsplit(":", 1)[1].strip("/")
    command = [str(release / "delay-proxy"), port, str(round(delay_ms * 1000))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            # The null server names its own port as the replica set's member.
            own = process.stdout.readline().strip()
            yield replace(servers, mongodb=f"mongodb://127.0.0.1:{own}/?directConnection=true")
        finally:
            process.kill()


def _cells(figures: Figures, names: tuple[str, ...], figure: str, form: str) -> list[str]:
    return [form.format(figures[name][figure]) if name in figures else "–" for name in names]


def _ratio(what: str, wanted: float, ours: dict[str, float] | None, other: dict[str, float] | None) -> list[Target]:
    if not ours or not other:
        return []
    value = ours["per_second"] / other["per_second"]
    return [Target(what, f"≥ {wanted:g} ×", f"{value:.2f} ×", value >= wanted)]


def _times(figures: list[dict[str, float]], figure: str) -> float:
    """How many times as high the last figure is as the first."""
    return figures[-1][figure] / figures[0][figure]


class Scaling:
    """The tables, and the targets that they serve."""

    def __init__(self, benchmark: Benchmark, release: Path) -> None:
        self.benchmark = benchmark
        self.release = release
        self.tables: list[Table] = []
        self.targets: list[Target] = []

    def run(self, servers: Servers) -> None:
        """Measure all tables."""
        self.batches(servers)
        self.sizes(servers)
        self.alone(servers)
        self.distance(servers)
        self.concurrency(servers)
        self.collections(servers)
        self.life(servers)

    def bytes_of(self, size: int) -> int:
        """The actual size of the document of this size, as BSON."""
        return Path(self.benchmark.file(size)["bson"]).stat().st_size

    def batches(self, servers: Servers) -> None:
        """`insert_many` of a thousand documents, one and eight at once."""
        from benches.run import peers

        rows = []
        with peers(BATCHES) as running:
            for concurrency, wanted in ((1, 3.0), (8, 5.0)):
                found = self.benchmark.measure(
                    running,
                    servers,
                    concurrency=concurrency,
                    work="insert_many",
                    rounds=self.benchmark.rounds,
                    seconds=self.benchmark.seconds * 2,
                )
                rows.append([str(concurrency), *_cells(found, BATCHES, "per_second", "{:.1f}")])
                what = f"insert_many of 1,000, {concurrency} at once: against PyMongo async"
                self.targets += _ratio(what, wanted, found.get("ours"), found.get("PyMongo async"))
        text = "`insert_many` of 1,000 purchase requests of 3 kB, batches/s."
        self.tables.append(Table("Batches", text, ["at once", *BATCHES], rows))

    def sizes(self, servers: Servers) -> None:
        """`insert_one` of documents up to the limit, 16 at once."""
        from benches.run import peers

        rows = []
        ours = []
        measured = LARGE_BYTES[:7] if self.benchmark.quick else LARGE_BYTES
        for size in measured:
            rounds = 1 if size > 1_000_000 else self.benchmark.rounds
            # New processes, since the memory is the peak of the process.
            with peers(LARGE) as running:
                found = self.benchmark.measure(running, servers, size=size, concurrency=16, rounds=rounds)
            ours.append(found["ours"])
            memory = _cells(found, MEMORY, "rss_mb", "{:,.0f} MB")
            rows.append(
                [f"{self.bytes_of(size) / 1000:,.3g} kB", *_cells(found, LARGE, "per_second", "{:,.0f}"), *memory]
            )
            if size in (30_000, 100_000, 330_000):
                what = f"insert_one of {size // 1000} kB, 16 at once: merged against unmerged"
                self.targets += _ratio(what, 1.0, found.get("ours"), found.get("ours unmerged"))
            if size == 330_000:
                what = "insert_one of 330 kB, 16 at once: against PyMongo async"
                self.targets += _ratio(what, 3.0, found.get("ours"), found.get("PyMongo async"))
        grown = self.bytes_of(measured[-1]) / self.bytes_of(measured[0])
        text = (
            "`insert_one`, 16 at once, inserts/s, by the size of the document, and the peak resident memory of the "
            f"client. While the documents grow by {grown:,.0f} times, the time per document grows by "
            f"{1 / _times(ours, 'per_second'):,.0f} times, and the memory by {_times(ours, 'rss_mb'):.1f} times."
        )
        header = ["document", *LARGE, *(f"{name}, memory" for name in MEMORY)]
        self.tables.append(Table("Document sizes", text, header, rows))

    def alone(self, servers: Servers) -> None:
        """One call at a time, and the event store."""
        from benches.run import peers

        with peers(("PyMongo threads", "ours threads")) as running:
            found = self.benchmark.measure(running, servers, concurrency=1, rounds=self.benchmark.rounds)
        what = "blocking insert_one, one thread: against PyMongo's blocking client"
        self.targets += _ratio(what, 2.2, found.get("ours threads"), found.get("PyMongo threads"))
        with peers(("PyMongo threads", "ours threads")) as running:
            read = self.benchmark.measure(
                running, servers, concurrency=1, rounds=self.benchmark.rounds, work="find", seconds=1
            )
        what = "blocking find of 1,000 documents to a list: against PyMongo's blocking client"
        self.targets += _ratio(what, 2.5, read.get("ours threads"), read.get("PyMongo threads"))
        names = ("ours", "ours store")
        with peers(names) as running:
            stored = self.benchmark.measure(running, servers, concurrency=64, rounds=self.benchmark.rounds)
        what = "save in the event store, 64 at once: against insert_one"
        self.targets += _ratio(what, 0.65, stored.get("ours store"), stored.get("ours"))
        rows = [
            [name, f"{one['per_second']:,.0f}", f"{one['cpu_us']:.1f}", f"{one['p50_ms']:.3f}", f"{one['p99_ms']:.3f}"]
            for figures in (found, stored)
            for name, one in figures.items()
        ]
        text = "Blocking `insert_one` in one thread; and `insert_one` and the event store's `save`, 64 at once."
        header = ["client", "calls/s", "CPU per call, µs", "p50, ms", "p99, ms"]
        self.tables.append(Table("Blocking calls and the event store", text, header, rows))

    def distance(self, servers: Servers) -> None:
        """Delays between the client and the server."""
        from benches.run import peers

        rows = []
        for delay in DELAYS_MS[-1:] if self.benchmark.quick else DELAYS_MS:
            seconds = max(self.benchmark.seconds, 0.05 * delay)
            with distant(servers, delay, self.release) as far, peers(DISTANT) as running:
                for concurrency in (1, 8, 64):
                    found = self.benchmark.measure(running, far, concurrency=concurrency, seconds=seconds)
                    for figure, form in (("per_second", "{:,.0f}/s"), ("p99_ms", "p99 {:.1f} ms")):
                        label = f"{delay} ms, {concurrency} at once" if figure == "per_second" else ""
                        rows.append([label, *_cells(found, DISTANT, figure, form)])
                    ours = found.get("ours")
                    if ours and (delay, concurrency) == (20, 64):
                        share, trips = ours["per_second"] / (concurrency / delay * 1000), ours["p99_ms"] / delay
                        what = "64 at once, 20 ms away: share of what the round trip allows"
                        self.targets.append(Target(what, "≥ 0.9", f"{share:.2f}", share >= 0.9))
                        what = "64 at once, 20 ms away: p99 in round trips"
                        self.targets.append(Target(what, "≤ 2.2", f"{trips:.2f}", trips <= 2.2))
        text = "`insert_one` of 3 kB with a delay between the client and the server, by delay and concurrency."
        self.tables.append(Table("Distance", text, ["round trip", *DISTANT], rows))

    def concurrency(self, servers: Servers) -> None:
        """From one task to ten thousand."""
        from benches.run import peers

        rows = []
        ours = []
        names = MEMORY
        for tasks in TASKS[:-1] if self.benchmark.quick else TASKS:
            with peers(names) as running:
                found = self.benchmark.measure(
                    running, servers, concurrency=tasks, seconds=max(self.benchmark.seconds, tasks / 5_000)
                )
            ours.append(found["ours"])
            cells = [*_cells(found, names, "per_second", "{:,.0f}"), *_cells(found, names, "rss_mb", "{:,.0f} MB")]
            rows.append([f"{tasks:,}", *cells])
        text = (
            "`insert_one` of 3 kB, inserts/s and the peak resident memory of the client, by the number of tasks. From "
            f"one task to the last number, the throughput grows by {_times(ours, 'per_second'):.1f} times, and the "
            f"memory by {_times(ours, 'rss_mb'):.1f} times."
        )
        header = ["tasks", *names, *(f"{name}, memory" for name in names)]
        self.tables.append(Table("Concurrency", text, header, rows))

    def collections(self, servers: Servers) -> None:
        """From one collection to a thousand, all at once."""
        from benches.run import peers

        rows = []
        ours = []
        names = ("PyMongo async", "ours unmerged", "ours")
        for count in COLLECTIONS:
            with peers(names) as running:
                found = self.benchmark.measure(running, servers, concurrency=64, work="call", collections=count)
            ours.append(found["ours"])
            memory = _cells(found, MEMORY, "rss_mb", "{:,.0f} MB")
            rows.append([f"{count:,}", *_cells(found, names, "per_second", "{:,.0f}"), *memory])
        text = (
            "`insert_one` of 3 kB, 64 at once, inserts/s; the tasks use the collections in turn. From one collection, "
            "whose inserts are merged, to the last number, where each insert is a command of its own, the throughput "
            f"changes to {_times(ours, 'per_second'):.2f} of the first, and the memory to {_times(ours, 'rss_mb'):.2f}."
        )
        header = ["collections", *names, *(f"{name}, memory" for name in MEMORY)]
        self.tables.append(Table("Collections", text, header, rows))

    def life(self, servers: Servers) -> None:
        """One process that stores ten million documents."""
        from benches.run import peers

        rows = []
        calls, stored, wanted = 0.0, [], LIFE // 10 if self.benchmark.quick else LIFE
        with peers(("ours",)) as running:
            while calls < wanted:
                found = self.benchmark.measure(running, servers, size=100, seconds=max(self.benchmark.seconds, 2.0))[
                    "ours"
                ]
                calls += found["calls"]
                stored.append(found)
                if calls >= wanted * (len(rows) + 1) / 10:
                    rows.append([f"{calls / 1e6:,.1f}", f"{found['per_second']:,.0f}", f"{found['rss_mb']:,.1f} MB"])
        text = (
            "One process that stores small documents, 64 at once: the inserts so far in millions, inserts/s, and the "
            f"peak resident memory so far. From the first to the last part, the throughput changes to "
            f"{_times(stored, 'per_second'):.2f} of the first, and the memory to {_times(stored, 'rss_mb'):.3f}."
        )
        self.tables.append(Table("Life of a process", text, ["million inserts", "inserts/s", "memory"], rows))


def main() -> None:
    """Run this part alone, and print its section."""
    from benches.run import RELEASE, Benchmark, null_server

    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="one short round of each, to see that it works")
    parser.add_argument("--only", help="the name of one table's method")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="connect-mongodb-bench-") as folder:
        benchmark = Benchmark(arguments.quick, Path(folder))
        scaling = Scaling(benchmark, RELEASE)
        with null_server(Path(benchmark.files["3 kB"]["bson"])) as null:
            getattr(scaling, arguments.only or "run")(null)
    for table in scaling.tables:
        print("\n".join(table.lines()))
    for target in scaling.targets:
        print(f"{'met   ' if target.met else 'MISSED'} {target.what}: {target.got} ({target.wanted})")


if __name__ == "__main__":
    main()
