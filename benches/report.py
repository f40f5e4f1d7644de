"""What the benchmark measured, as tables, plots and a verdict for each target."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

Figures = dict[str, dict[str, float]]


@dataclass
class Report:
    """The figures of a run."""

    machine: str
    versions: str
    date: str
    rounds: int
    seconds: float
    minutes: float = 0.0
    main: dict[tuple[str, int], Figures] = field(default_factory=dict)
    sizes: dict[tuple[str, str, int], Figures] = field(default_factory=dict)
    reads: dict[str, Figures] = field(default_factory=dict)
    real: dict[str, Figures] = field(default_factory=dict)
    growth: dict[str, float] = field(default_factory=dict)
    first: dict[str, float] = field(default_factory=dict)
    imports: dict[str, float] = field(default_factory=dict)
    weights: dict[str, float] = field(default_factory=dict)
    codec: dict[str, float] = field(default_factory=dict)
    models: dict[str, float] = field(default_factory=dict)
    gateway: dict[tuple[str, int], Figures] = field(default_factory=dict)
    gateway_about: str = ""
    scaling: list[list[str]] = field(default_factory=list)
    more_targets: list[Target] = field(default_factory=list)


@dataclass
class Target:
    """A target, and what it came to."""

    what: str
    wanted: str
    got: str
    met: bool


def targets(report: Report) -> list[Target]:
    """Each target with its figure."""
    found: list[Target] = []

    def ratio(what: str, wanted: float, got: Callable[[], float], least: bool = True) -> None:
        try:
            value = got()
        except (KeyError, ZeroDivisionError):
            return
        met = value >= wanted if least else value <= wanted
        found.append(Target(what, f"{'≥' if least else '≤'} {wanted:g} ×", f"{value:.2f} ×", met))

    def rate(path: str, concurrency: int, name: str) -> float:
        return report.main[path, concurrency][name]["per_second"]

    def against(path: str, concurrency: int, ours: str, other: str) -> Callable[[], float]:
        return lambda: rate(path, concurrency, ours) / rate(path, concurrency, other)

    for other, wanted in (
        ("mongojet", 6.0),
        ("PyMongo async", 12.0),
        ("Motor", 25.0),
        ("rust insert_one", 4.5),
    ):
        ratio(f"driver, 64 at once: throughput against {other}", wanted, against("driver", 64, "ours", other))
    ratio("driver, 64, unmerged: against mongojet", 1.5, against("driver", 64, "ours unmerged", "mongojet"))
    ratio(
        "driver, 64, unmerged: against rust insert_one", 1.2, against("driver", 64, "ours unmerged", "rust insert_one")
    )
    ratio("driver, 512 against its own 64", 1.0, lambda: rate("driver", 512, "ours") / rate("driver", 64, "ours"))
    for other, wanted in (("PyMongo async", 1 / 10), ("mongojet", 1 / 6)):
        ratio(
            f"driver, 64: CPU per insert against {other}",
            round(wanted, 3),
            lambda other=other: (  # type: ignore[misc]
                report.main["driver", 64]["ours"]["cpu_us"] / report.main["driver", 64][other]["cpu_us"]
            ),
            least=False,
        )
    ratio("driver, 1: against mongojet", 1.3, against("driver", 1, "ours", "mongojet"))
    ratio("driver, 1: against rust insert_one", 0.87, against("driver", 1, "ours", "rust insert_one"))
    ratio(
        "driver, 64, on SecantusDB: against PyMongo async",
        6.0,
        lambda: report.real["driver"]["ours"]["per_second"] / report.real["driver"]["PyMongo async"]["per_second"],
    )
    ratio("Data API, 64: against aiohttp", 5.0, against("http", 64, "ours http", "aiohttp"))
    ratio("Data API, 64: against reqwest", 1.5, against("http", 64, "ours http", "reqwest"))
    ratio("Data API, 64, unmerged: against reqwest", 0.8, against("http", 64, "ours http unmerged", "reqwest"))
    ratio("Data API, 1: against reqwest", 0.75, against("http", 1, "ours http", "reqwest"))
    ratio("Data API, 1: against aiohttp", 1.5, against("http", 1, "ours http", "aiohttp"))

    def tutorial(path: str, ours: str, name: str) -> Callable[[], float]:
        return lambda: (
            max(rate(path, at, ours) for at in (64, 512))
            / max(report.main[path, at][name]["per_second"] for at in (1, 8, 64, 512) if name in report.main[path, at])
        )

    motor, httpx = "tutorial (Motor per event)", "tutorial (httpx per event)"
    ratio("driver: against the tutorial's code, each at its best", 200.0, tutorial("driver", "ours", motor))
    ratio("Data API: against the tutorial's code, each at its best", 500.0, tutorial("http", "ours http", httpx))
    served = [figures for (_, connections), figures in report.gateway.items() if connections == 64]
    if served:
        ratio(
            "gateway, 64 connections: throughput against Express, the least round of its actions",
            6.0,
            lambda: min(figures["ours"]["least_ratio"] for figures in served),
        )
        used = max(figures["ours"]["cpu_us"] for figures in served)
        what = "gateway, 64 connections: its CPU per request, the greater of its actions"
        found.append(Target(what, "≤ 35 µs", f"{used:.1f} µs", used <= 35))
    codec = report.codec
    ratio("encode against bson's C extension", 2.5, lambda: codec["bson.encode"] / codec["ours encode"])
    ratio("EJSON encode against json.dumps", 6.0, lambda: codec["json.dumps"] / codec["ours EJSON encode"])
    ratio("decode against bson's C extension", 1.5, lambda: codec["bson.decode"] / codec["ours decode"])
    parsed = report.models
    for other, wanted in (("msgspec.convert", 1.0), ("pydantic model_validate", 3.0)):
        ratio(f"an event into a model: against {other}", wanted, lambda o=other: parsed[o] / parsed["our AssetRequest"])  # type: ignore[misc]
    find = report.reads.get("find of 1,000, 1 at once", {})
    ratio(
        "find of 1,000 documents to a list: against PyMongo async",
        2.5,
        lambda: find["ours"]["per_second"] / find["PyMongo async"]["per_second"],
    )
    main = report.main["driver", 64]
    p99, p50 = main["ours"]["p99_ms"], main["PyMongo async"]["p50_ms"]
    found.append(Target("driver, 64: p99 against PyMongo async's p50", f"< {p50:.2f} ms", f"{p99:.2f} ms", p99 < p50))
    grown = report.growth["growth"] / 2**20
    inserts = f"memory over {report.growth['inserts']:,.0f} inserts"
    found.append(Target(inserts, "< 5 MB", f"{grown:.1f} MB", grown < 5))
    first = report.first["ours"]
    what = "a new process's first stored event, beyond starting Python"
    found.append(Target(what, "≤ 50 ms", f"{first:.1f} ms", first <= 50))
    weight = report.weights["connect-eaas-mongodb"]
    found.append(Target("the wheel", "≤ 6.5 MB", f"{weight:.1f} MB", weight <= 6.5))
    ratio(
        "import against import bson",
        1.3,
        lambda: report.imports["import connect.eaas.mongodb"] / report.imports["import bson"],
        least=False,
    )
    return found + report.more_targets


def _table(figures: Figures) -> list[str]:
    lines = [
        "| client | inserts/s | CPU per insert, µs | p50, ms | p99, ms | p99.9, ms |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, one in figures.items():
        times = " | ".join(f"{one[key]:.3f}" for key in ("p50_ms", "p99_ms", "p999_ms"))
        shown = f"**{name}**" if name.startswith("ours") else name
        lines.append(f"| {shown} | {one['per_second']:,.0f} | {one['cpu_us']:.1f} | {times} |")
    return lines


def gateway_section(found: dict[tuple[str, int], Figures], about: str) -> list[str]:
    """The section on the gateway and its peer."""
    busy = max(one["load_us"] * one["per_second"] / 1e4 for figures in found.values() for one in figures.values())
    lines = [
        "## The gateway, next to Express",
        "",
        "`connect-mongodb gateway` (*ours*) and the Data API of MongoDB's Express template (`benches/express`: the",
        "driver without Mongoose, in production mode), both in front of the null server, on the same two cores. Plain",
        "JSON; each connection has one request in flight. CPU is the server's, of all its processes and threads. The",
        f"load generator used at most {busy:.0f} % of a core.",
        "",
        f"Express: {about}.",
        "",
    ]
    for action in dict.fromkeys(action for action, _ in found):
        lines += [
            f"### {action}",
            "",
            "| connections | server | requests/s | CPU per request, µs | p50, ms | p99, ms |",
            "| ---: | --- | ---: | ---: | ---: | ---: |",
        ]
        for (of, connections), figures in found.items():
            for name, one in figures.items() if of == action else ():
                times = f"{one['p50_ms']:.3f} | {one['p99_ms']:.3f}"
                shown = f"**{name}**" if name == "ours" else name
                lines.append(f"| {connections} | {shown} | {one['per_second']:,.0f} | {one['cpu_us']:.1f} | {times} |")
        lines.append("")
    return lines


def _plot(report: Report, path: str, title: str, out: Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    figures = report.main[path, 64]
    shown = [name for name in figures if "insert_many" not in name]
    names = sorted(shown, key=lambda name: figures[name]["per_second"])
    colours = ["#00684a" if name.startswith("ours") else "#9aa5ab" for name in names]
    chart, axes = pyplot.subplots(1, 3, figsize=(13, 0.42 * len(names) + 1.2), sharey=True)
    for axis, (key, label, form) in zip(
        axes,
        (
            ("per_second", "inserts per second", "{:,.0f}"),
            ("cpu_us", "CPU per insert, µs (log)", "{:.1f}"),
            ("p99_ms", "p99 latency, ms (log)", "{:.2f}"),
        ),
        strict=True,
    ):
        values = [figures[name][key] for name in names]
        bars = axis.barh(names, values, color=colours)
        axis.bar_label(bars, [form.format(value) for value in values], padding=3, fontsize=8)
        axis.set_title(label, fontsize=10)
        if key != "per_second":
            axis.set_xscale("log")
        low, high = axis.get_xlim()
        axis.set_xlim(low, high * (1.25 if key == "per_second" else 4))
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
    chart.suptitle(title, fontsize=11)
    chart.tight_layout()
    matplotlib.rcParams["svg.hashsalt"] = "connect-eaas-mongodb"
    chart.savefig(out, metadata={"Date": None})
    pyplot.close(chart)


def write(report: Report, folder: Path) -> Path:
    """Write the report and its plots into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    plots = folder / "plots"
    plots.mkdir(exist_ok=True)
    _plot(report, "driver", "Driver path, 64 calls at once, null server", plots / "driver.svg")
    _plot(report, "http", "Data API path, 64 calls at once, null server", plots / "data-api.svg")
    found = targets(report)
    lines = [
        "# Benchmarks",
        "",
        "These tables compare this package (**ours**) with its peers in one run of `make bench`. Each call inserts one",
        "purchase request (3 kB unless stated otherwise), on uvloop, as in the runner. The *null server* acknowledges",
        "writes and stores nothing, so the client is measured; the two share the machine's cores. CPU is that of the",
        "client process: user and system time of all threads.",
        "",
        f"{report.machine}. {report.versions}. {report.date}; {report.minutes:.0f} minutes. The tables at 1, 64",
        f"and 512 at once are medians of {report.rounds} rounds of {report.seconds:g} s; the clients take turns.",
        "",
        "## Targets",
        "",
        f"{sum(target.met for target in found)} of {len(found)} targets are met.",
        "",
        "| what | target | measured | |",
        "| --- | ---: | ---: | --- |",
        *(f"| {t.what} | {t.wanted} | {t.got} | {'met' if t.met else '**missed**'} |" for t in found),
        "",
        "[performance.md](performance.md) explains the missed targets, and where the time goes.",
        "",
        "## Driver path",
        "",
        "![Throughput, CPU and latency of the driver path](plots/driver.svg)",
        "",
    ]
    for path, title in (("driver", ""), ("http", "## Data API path")):
        if title:
            lines += [title, "", "![Throughput, CPU and latency of the Data API path](plots/data-api.svg)", ""]
        for (of, concurrency), figures in report.main.items():
            if of == path:
                lines += [f"### {concurrency} at once", "", *_table(figures), ""]
    if report.gateway:
        lines += gateway_section(report.gateway, report.gateway_about)
    lines += ["## Other sizes, inserts/s", ""]
    for path in ("driver", "http"):
        columns = [(size, at) for of, size, at in report.sizes if of == path]
        of_path = [figures for (of, _, _), figures in report.sizes.items() if of == path]
        names = list(dict.fromkeys(name for figures in of_path for name in figures))
        lines.append("| client | " + " | ".join(f"{size}, {at}" for size, at in columns) + " |")
        lines.append("| --- |" + " ---: |" * len(columns))
        for name in names:
            cells = [report.sizes[path, size, at].get(name, {}).get("per_second") for size, at in columns]
            lines.append(f"| {name} | " + " | ".join("–" if cell is None else f"{cell:,.0f}" for cell in cells) + " |")
        lines.append("")
    lines += ["## Reads, calls/s", ""]
    for name, figures in report.reads.items():
        lines.append(f"- {name}: " + ", ".join(f"{peer} {one['per_second']:,.0f}" for peer, one in figures.items()))
    lines += ["", "## How the figures scale", ""]
    for table in report.scaling:
        lines += table
    lines += ["", "## On SecantusDB, through the real gateway, 64 at once", ""]
    for figures in report.real.values():
        lines += [*_table(figures), ""]
    lines += ["## Codec, imports, growth", "", "| what | µs |", "| --- | ---: |"]
    lines += [f"| {name} | {took:.2f} |" for name, took in report.codec.items()]
    lines += [f"| a purchase request into a model: {name} | {took:.2f} |" for name, took in report.models.items()]
    lines += ["", "| what | ms |", "| --- | ---: |"]
    lines += [f"| {name}, beyond starting Python | {took:.1f} |" for name, took in report.imports.items()]
    lines += [
        f"| a new process's first stored event, beyond starting Python: {name} | {took:.1f} |"
        for name, took in report.first.items()
    ]
    lines += ["", "| wheel, compressed | MB |", "| --- | ---: |"]
    lines += [f"| {name} | {weight:.1f} |" for name, weight in report.weights.items()]
    growth = report.growth
    lines += [
        "",
        f"Memory of the client process over {growth['inserts']:,.0f} inserts at 64 at once, after a warm-up:"
        f" {growth['before'] / 2**20:.0f} MB, and {growth['growth'] / 2**20:+.1f} MB.",
        "",
    ]
    out = folder / "benchmarks.md"
    out.write_text("\n".join(lines), encoding="utf-8")
    return out
