"""The site of the documentation: hooks of MkDocs, which `mkdocs.yml` names.

- Files outside of `docs/` that belong to the site become pages of it.
- The fields of Connect's objects become a page.
- Links that lead out of `docs/` lead to those pages, or to the repository, if `repo_url` is set.
- Each page is there as Markdown too, and `llms.txt` and `llms-full.txt` list and contain them.
"""

from __future__ import annotations

import ast
import itertools
import posixpath
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from bs4 import BeautifulSoup
from markdownify import markdownify
from mkdocs.structure.files import File, Files, InclusionLevel

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.nav import Navigation, Section
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent

# Files of the repository that are pages of the site, and the names of the pages.
PAGES = {
    "README.md": "overview.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "clients/typescript/README.md": "typescript-client.md",
    "examples/connect-extension-mongodb/README.md": "example.md",
}
EVENTS = ROOT / "python" / "connect" / "eaas" / "mongodb" / "events.py"

OBJECTS = """\
# Objects of Connect

The classes of `connect.eaas.mongodb.events`, each with its fields. [Typed events](../models.md) describes how to use
them. A field that an object lacks is `None`. Other fields of an object are attributes too.
"""

SOURCES = {page: source for source, page in PAGES.items()}

_FENCE = re.compile(r"^ *(`{3,}|~{3,})")
_LINK = re.compile(r"(?<!!)\[(?P<text>(?:[^\[\]]|\[[^\]]*\])+)\]\((?P<target>[^()\s]+)\)")

# Parameters, each on one line.
_COMPACT = [
    (r"\n {2}\(", " ("),
    (r", default:\n {2}(`[^`]*`)\n {2}\)", r", default: \1)"),
    (r"\n {2}\u2013\n\n {2}", ": "),
]

# A page's main content as Markdown, by the page's file.
_markdown: dict[str, str] = {}
_pages: list[tuple[list[str], Page]] = []


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files outside of `docs/`."""
    for source, page in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=text, inclusion=InclusionLevel.INCLUDED))
    files.append(File.generated(config, "reference/objects.md", content=_objects(), inclusion=InclusionLevel.INCLUDED))
    return files


def _objects() -> str:
    """A table of fields for each class of Connect's objects."""
    body = ast.parse(EVENTS.read_text(encoding="utf-8")).body
    classes = [node for node in body if isinstance(node, ast.ClassDef) and ast.unparse(node.bases[0]) == "Model"]
    names = {node.name for node in classes}
    parts = [OBJECTS]
    for node in sorted(classes, key=lambda each: each.name):
        rows = []
        for field, described in itertools.pairwise(node.body):
            if isinstance(field, ast.AnnAssign) and isinstance(described, ast.Expr):
                kind = ast.unparse(field.annotation).removesuffix(" | None").replace("|", "\\|")
                links = [name for name in re.findall(r"\w+", kind) if name in names]
                shown = f"[`{kind}`](#{links[0].lower()})" if links else f"`{kind}`"
                rows.append(f"| `{ast.unparse(field.target)}` | {shown} | {_text(described)} |")
        table = "\n".join(["| field | type | meaning |", "| --- | --- | --- |", *rows]) if rows else ""
        parts.append(f"## {node.name}\n\n{ast.get_docstring(node)}\n\n{table}\n")
    return "\n".join(parts)


def _text(node: ast.Expr) -> str:
    """The description of a field, for a cell of a table."""
    return " ".join(str(ast.literal_eval(node.value)).split()).replace("|", "\\|")


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Make links right that are right in the repository."""
    name = page.file.src_uri
    source = SOURCES.get(name, f"docs/{name}")
    text = _outside_code(markdown, lambda part: _LINK.sub(lambda link: _link(link, source, name, config), part))
    _markdown[name] = text
    return text


def _outside_code(markdown: str, change: Callable[[str], str]) -> str:
    """Change what is not a block of code."""
    fence = ""
    parts: list[str] = []
    text: list[str] = []

    def flush() -> None:
        parts.append(change("".join(text)))
        text.clear()

    for line in markdown.splitlines(keepends=True):
        found = _FENCE.match(line)
        if fence:
            parts.append(line)
            if found and found[1].startswith(fence) and not line.strip(" `~\n"):
                fence = ""
        elif found:
            flush()
            fence = found[1]
            parts.append(line)
        else:
            text.append(line)
    flush()
    return "".join(parts)


def _link(link: re.Match[str], source: str, page: str, config: MkDocsConfig) -> str:
    """A link of the file `source` as the page has it."""
    text, target = link["text"], link["target"]
    parts = urlsplit(target)
    if parts.scheme or parts.netloc or not parts.path:
        return link[0]
    path = posixpath.normpath(posixpath.join(posixpath.dirname(source), parts.path))
    anchor = f"#{parts.fragment}" if parts.fragment else ""
    if f"{path}/README.md" in PAGES:
        path = f"{path}/README.md"
    if path in PAGES or path.startswith("docs/"):
        at = PAGES.get(path, path.removeprefix("docs/"))
        return f"[{text}]({posixpath.relpath(at, posixpath.dirname(page) or '.')}{anchor})"
    if config.repo_url:
        kind = "tree" if (ROOT / path).is_dir() else "blob"
        return f"[{text}]({config.repo_url.rstrip('/')}/{kind}/main/{path}{anchor})"
    return text if text.strip("`") == path else f"{text} (`{path}`)"


def on_nav(nav: Navigation, config: MkDocsConfig, files: Files) -> Navigation:
    """Note the order of the pages."""
    _pages[:] = _listed(nav, [])
    return nav


def _listed(parent: Navigation | Section, titles: list[str]) -> Iterator[tuple[list[str], Page]]:
    for item in getattr(parent, "items", None) or getattr(parent, "children", None) or []:
        if item.is_page:
            yield titles, item
        elif item.is_section:
            yield from _listed(item, [*titles, item.title])


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Note what a page of the reference is made of."""
    name = page.file.src_uri
    if re.search(r"^::: ", _markdown[name], re.MULTILINE):
        soup = BeautifulSoup(html, "html.parser")
        # The blocking forms follow from the awaited ones.
        for part in soup.select(".headerlink, .tabbed-set > input, .tabbed-labels, .tabbed-block + .tabbed-block"):
            part.decompose()
        text = markdownify(str(soup), heading_style="ATX", code_language="python")
        for pattern, replacement in _COMPACT:
            text = re.sub(pattern, replacement, text)
        _markdown[name] = text
    return html


def on_post_build(config: MkDocsConfig) -> None:
    """Write the pages as Markdown, and their lists."""
    site = Path(config.site_dir)
    index = [f"# {config.site_name}", "", f"> {config.site_description}."]
    whole = [*index]
    section: list[str] = []
    for titles, page in _pages:
        if titles != section:
            section = titles
            index += ["", f"## {': '.join(titles)}", ""]
        text = _markdown[page.file.src_uri].strip() + "\n"
        at = posixpath.join(posixpath.dirname(page.file.dest_uri), "index.md")
        (site / at).write_text(text, encoding="utf-8")
        index.append(f"- [{page.title}]({at}){_summary(text)}")
        whole += ["", "---", "", text]
    (site / "llms.txt").write_text("\n".join(index) + "\n", encoding="utf-8")
    (site / "llms-full.txt").write_text("\n".join(whole), encoding="utf-8")


def _summary(text: str) -> str:
    """The first sentence of a page."""
    for paragraph in text.split("\n\n"):
        line = " ".join(paragraph.split())
        if line and line[0].isalnum():
            plain = re.sub(r"\[([^\[\]]*)\]\([^()]*\)", r"\1", line)
            return f": {re.split(r'(?<=[.?!:]) ', plain, maxsplit=1)[0].rstrip(':')}"
    return ""
