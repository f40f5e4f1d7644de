"""The documentation: its links lead somewhere, its code compiles, its commands and settings exist."""

from __future__ import annotations

import ast
import functools
import importlib
import itertools
import json
import re
import shlex
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import click
import jwt.algorithms
import pytest
import trustme
from click.testing import CliRunner
from connect.client import AsyncConnectClient
from connect.eaas.mongodb import AsyncEventStore, EventValidationError
from connect.eaas.mongodb.cli import main
from cryptography.hazmat.primitives.asymmetric import rsa
from markdown_it import MarkdownIt
from markdown_it.token import Token

from demo.local_connect import local_connect
from demo.purchase_requests import sample
from tests.gateways import create_key, gateway

ROOT = Path(__file__).parents[1]
FOLDERS = ["clients", "deploy", "docs", "examples"]
PAGES = sorted(
    str(path.relative_to(ROOT))
    for path in itertools.chain(ROOT.glob("*.md"), *((ROOT / folder).rglob("*.md") for folder in FOLDERS))
    if "node_modules" not in path.parts
)
# Written by others: what Connect's command line generates.
GENERATED = ["examples/connect-extension-mongodb/HOWTO.md"]
MARKDOWN = MarkdownIt("commonmark").enable("table")


def tokens(page: str) -> list[Token]:
    """The parts of a page, without the metadata of the site."""
    return _tokens(ROOT / page)


@functools.cache
def _tokens(path: Path) -> list[Token]:
    text = path.read_text(encoding="utf-8")
    if text.startswith("---\n"):
        # The lines keep their numbers.
        end = text.index("\n---\n", 3) + 5
        text = "\n" * text[:end].count("\n") + text[end:]
    return MARKDOWN.parse(text)


class Block(NamedTuple):
    """A block of code."""

    page: str
    line: int
    language: str
    code: str


def blocks(*languages: str) -> list[Block]:
    """The blocks of code of all pages in these languages."""
    return [
        Block(page, (token.map or [0])[0] + 1, language, token.content)
        for page in PAGES
        for token in tokens(page)
        if token.type == "fence" and (language := token.info.split(" ")[0]) in languages
    ]


def place(value: Any) -> str:
    return f"{value.page}:{value.line}" if isinstance(value, Block) else str(value)


def links(page: str) -> Iterator[str]:
    """The targets of a page's links and images."""
    for token in tokens(page):
        for inner in token.children or []:
            if inner.type in ("link_open", "image"):
                yield str(inner.attrs["href" if inner.type == "link_open" else "src"])
            elif inner.type == "html_inline":
                yield from re.findall(r'(?:src|href)="([^"]+)"', inner.content)
        if token.type == "html_block":
            yield from re.findall(r'(?:src|href)="([^"]+)"', token.content)


@functools.cache
def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as code hosts make them."""
    found: set[str] = set()
    parts = _tokens(path)
    for heading, content in itertools.pairwise(parts):
        if heading.type == "heading_open":
            text = "".join(part.content for part in content.children or [])
            slug = re.sub(r"[^\w\- ]", "", text.lower()).strip().replace(" ", "-")
            repeated = sum(each == slug or re.fullmatch(rf"{re.escape(slug)}_\d+", each) is not None for each in found)
            found.add(f"{slug}_{repeated}" if repeated else slug)
    return found


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_and_headings(page: str) -> None:
    wrong = []
    for target in links(page):
        parts = urlsplit(target)
        if parts.scheme or parts.netloc:
            continue
        path = (ROOT / page).parent / parts.path if parts.path else ROOT / page
        if not path.exists():
            wrong.append(f"{target}: there is no such file")
        elif parts.fragment and parts.fragment not in anchors(path.resolve()):
            wrong.append(f"{target}: there is no such heading")
    assert wrong == []


@pytest.mark.parametrize("page", [page for page in PAGES if page not in GENERATED])
def test_links_to_other_sites_are_well_formed(page: str) -> None:
    for target in links(page):
        parts = urlsplit(target)
        if parts.scheme or parts.netloc:
            assert parts.scheme in ("https", "mailto"), target
            assert parts.scheme == "mailto" or re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", parts.netloc), target


@pytest.mark.parametrize("block", blocks("python", "py"), ids=place)
def test_python_compiles(block: Block) -> None:
    tree = compile(
        textwrap.dedent(block.code),
        place(block),
        "exec",
        ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
        dont_inherit=True,
    )
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("connect.eaas.mongodb"):
            check_import(node)


# Modules that need `connect-eaas-core`, which the environment of the tests lacks.
NEED_CONNECT = ("connect.eaas.mongodb.web", "connect.eaas.mongodb.page")


def check_import(node: ast.ImportFrom) -> None:
    """The package has the names that are imported from it."""
    name = str(node.module)
    names = {alias.name for alias in node.names}
    if name.startswith(NEED_CONNECT):
        path = ROOT.joinpath("python", *name.split("."))
        source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        assert names - set(re.findall(r"\w+", source.read_text(encoding="utf-8"))) == set()
    else:
        module = importlib.import_module(name)
        assert {each for each in names if not hasattr(module, each)} == set()


def block_of(page: str, text: str) -> Any:
    """Compile the block of a page that contains the text; it may await."""
    (block,) = [each for each in blocks("python") if each.page == page and text in each.code]
    return compile(block.code, place(block), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)


async def run(code: Any, **names: Any) -> dict[str, Any]:
    """Run a block with these names, and return all that it defines."""
    if (waiting := eval(code, names)) is not None:
        await waiting
    return names


async def test_the_code_of_the_event_store(config: dict[str, str]) -> None:
    code = block_of("docs/store.md", "store.save")
    application = SimpleNamespace(config=config)
    for stored in (True, False):
        found = await run(code, self=application, request={"id": "PR-1", "status": "pending"})
        assert found["result"].stored is stored


async def test_the_code_of_dead_letters(config: dict[str, str]) -> None:
    store = AsyncEventStore.from_config(config)
    payload = {"id": "PR-1", "price": 2**70}
    error = EventValidationError("AssetRequest", (("price", "an integer of more than 64 bits"),))
    await store.add_dead_letter("asset_purchase_request_processing", payload, error)
    await run(block_of("docs/dead-letters.md", "store.replay"), store=store)
    assert await store.dead_letters().to_list() == []
    (event,) = await store.find().to_list()
    assert event.document == {"id": "PR-1", "price": str(2**70)}


async def test_the_code_of_backfills(config: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with local_connect({}, tmp_path) as connect:
        connect.collections.rows["requests"] = [
            {"id": "PR-1", "type": "purchase", "status": "pending", "created": "2026-01-01T00:00:00+00:00"}
        ]

        class Local(AsyncConnectClient):  # type: ignore[misc]
            def __init__(self, key: str) -> None:
                super().__init__(key.replace("…", "1:key"), endpoint=connect.http_url)

        monkeypatch.setattr("connect.client.AsyncConnectClient", Local)
        found = await run(block_of("docs/backfill.md", "store.backfill"), config=config)
    assert (found["result"].state, found["result"].stored) == ("finished", 1)


async def test_the_code_of_typed_events() -> None:
    obj = sample("asset-purchase-request") | {"status": "pending"}
    obj["asset"] = {**obj["asset"], "external_id": 5, "params": [{"id": "password", "type": "password"}]}
    found = await run(block_of("docs/models.md", "parse_event("), obj=obj)
    assert [param.id for param in found["secrets"]] == ["password"]
    (block,) = [each for each in blocks("python") if each.page == "docs/models.md" and "deviations" in each.code]
    expression, comment = block.code.strip().split("\n# ")
    assert str(eval(expression, found)) == comment


@pytest.mark.parametrize("block", blocks("json"), ids=place)
def test_json_parses(block: Block) -> None:
    json.loads(block.code)


def commands_of(block: Block) -> Iterator[list[str]]:
    """The commands of a block of shell code, each as its words."""
    code = re.sub(r"\\\n", " ", block.code)
    for line in code.splitlines():
        lexer = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        lexer.commenters = "#"
        try:
            words = list(lexer)
        except ValueError:
            # The first line of a text of several lines.
            words = line.split()
        command: list[str] = []
        for word in [*words, ";"]:
            if set(word) <= set("();<>|&"):
                yield command
                command = []
            else:
                command.append(word)


SHELL = [
    (place(block), command) for block in blocks("sh", "shell", "bash", "console") for command in commands_of(block)
]
OURS = [
    pytest.param(command[command.index("connect-mongodb") + 1 :], id=f"{at} {' '.join(command)[:60]}")
    for at, command in SHELL
    if re.match(r"(sudo .*|\w+=\S* )*connect-mongodb( |$)", " ".join(command))
]


@pytest.mark.parametrize("arguments", OURS)
def test_commands_and_their_options_exist(arguments: list[str]) -> None:
    check_command(arguments)


def check_command(arguments: list[str]) -> None:
    command: click.Command = main
    words = list(arguments)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name = words.pop(0)
        assert name in command.commands, f"there is no command {name}"
        command = command.commands[name]
    options = {name for each in command.params for name in (*each.opts, *each.secondary_opts)} | {"--help", "--version"}
    given = {word.split("=")[0] for word in words if re.match(r"-[a-z-]", word)}
    assert given - options == set()


def test_commands_in_the_text_exist() -> None:
    found = 0
    for page in PAGES:
        for token in tokens(page):
            for inner in token.children or []:
                if inner.type == "code_inline" and inner.content.startswith("connect-mongodb "):
                    words = re.findall(r"[^\s\[\]…|,]+", inner.content)[1:]
                    if words and re.fullmatch(r"[a-z-]+", words[0]):
                        check_command([word for word in words if re.fullmatch(r"-{0,2}[a-z][a-z-]*", word)])
                        found += 1
    assert found > 50


TARGETS = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def test_targets_of_make_exist() -> None:
    named = {
        word for _, command in SHELL for word in command[1:] if command[0] == "make" and re.fullmatch("[a-z-]+", word)
    }
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        named |= set(re.findall(r"`make ([a-z][a-z-]*)", text))
    assert named - TARGETS == set()
    assert len(named) > 10


# The others are parts of a key file: tests/test_gateway_rules.py follows them.
CONFIGURATIONS = [
    block for block in blocks("toml") if block.page == "docs/gateway.md" and "permissions = [" not in block.code
]


@pytest.mark.parametrize("block", CONFIGURATIONS, ids=place)
def test_the_gateway_accepts_the_configuration(
    block: Block, mongodb_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway starts with each block, with what the block leaves out, and other addresses."""
    monkeypatch.setenv("CLUSTER0_URI", mongodb_uri)
    create_key(tmp_path, "key")
    certificate = trustme.CA().issue_cert("127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(str(tmp_path / "tls.crt"))
    certificate.private_key_pem.write_to_path(str(tmp_path / "tls.key"))
    public = rsa.generate_private_key(65537, 2048).public_key()
    key = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(public)) | {"kid": "1", "alg": "RS256", "use": "sig"}
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": [key]}), encoding="utf-8")
    created = CliRunner().invoke(main, ["gateway-key", "create", "--file", str(tmp_path / "gateway-key.toml")])
    assert created.exit_code == 0, created.output
    code = re.sub(r"^listen = .*\n", "", block.code, flags=re.MULTILINE).replace('127.0.0.1:9090"', '127.0.0.1:0"')
    if "keys_file" not in code:
        code = f'keys_file = "keys.toml"\n{code}'
    if "[data_sources." not in code:
        code += '\n[data_sources.Cluster0]\nuri_env = "CLUSTER0_URI"\n'
    with gateway(tmp_path, code) as running:
        assert running.url


def test_the_start_page_highlights_its_two_lines() -> None:
    (start,) = [token for token in tokens("docs/index.md") if token.type == "fence" and "hl_lines" in token.info]
    lines = start.content.splitlines()
    marked = [lines[int(number) - 1].strip() for number in re.findall(r"\d+", start.info.split("hl_lines=")[1])]
    assert marked == ["from connect.eaas.mongodb import VARIABLES, store_event", "@store_event"]


def test_the_figures_of_the_start_page_are_those_of_the_benchmark() -> None:
    start = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    benchmarks = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    figures = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", start, re.MULTILINE)[1:]
    driver, data_api = (
        re.search(rf"^## {path} path\n.*?^### 64 at once\n(.*?)^### 512", benchmarks, re.MULTILINE | re.DOTALL)
        for path in ("Driver", "Data API")
    )
    assert driver is not None
    assert data_api is not None
    clients = ["tutorial (Motor per event)", "PyMongo async", "**ours**", "tutorial (httpx per event)", "**ours http**"]
    measured = []
    for client in clients:
        table = data_api[1] if "http" in client else driver[1]
        row = re.search(rf"^\| {re.escape(client)} \| ([\d,]+) \|", table, re.MULTILINE)
        assert row is not None
        measured.append(row[1])
    assert [figure.strip("*") for _, figure in figures] == measured


def test_the_environment_of_the_site_has_fixed_versions() -> None:
    lines = (ROOT / "requirements" / "docs.txt").read_text(encoding="utf-8").splitlines()
    assert all(re.fullmatch(r"[\w-]+==[\d.]+", line) for line in lines if not line.startswith("#"))
