"""Writes `THIRD-PARTY-LICENSES`: what the wheels contain of others, and its licences.

Run `python -m scripts.third_party_licenses` after a change of `Cargo.lock`. `--check` compares and writes nothing.
The crates are those that are linked on any platform: no build scripts, no procedural macros, no tests. Their texts are
read from their sources, which `cargo fetch --locked` downloads.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
FILE = ROOT / "THIRD-PARTY-LICENSES"
UI_TOOLKIT = ROOT / "python/connect/eaas/mongodb/page/static/stored-events/connect-ui-toolkit.LICENSE.txt"
PACKAGE = "connect-eaas-mongodb"
APACHE = "Apache-2.0"

SOURCES_IN_C = {"tikv-jemalloc-sys": ["jemalloc/COPYING"]}
"""Licences of code that a crate contains, and that the crate's own licence does not state."""

WITHOUT_TEXT = {"base64-simd": "outref", "vsimd": "outref"}
"""Crates that do not contain the text of their licence, and one of the same authors and licence that does."""

HEAD = f"""\
Third-party licences
====================

The wheels of {PACKAGE} contain the code of others that is listed here. Some of it is in the wheels of some
platforms only. {PACKAGE} itself is licensed under the Apache License, Version 2.0: see LICENSE.

Code that is available under several licences is used under Apache-2.0 if that is one of them. The texts follow.
"""

RUST = """\
The binary contains the Rust standard library, (c) the Rust project contributors, and the crates that it consists of:
Apache-2.0 OR MIT, and of compiler-builtins Apache-2.0 WITH LLVM-exception. See https://www.rust-lang.org/policies/licenses.
"""


@dataclass(frozen=True)
class Crate:
    name: str
    version: str
    license: str
    repository: str
    folder: Path

    def __str__(self) -> str:
        return f"{self.name} {self.version}"

    @property
    def is_apache(self) -> bool:
        """Whether Apache-2.0 alone is a licence of the crate."""
        return " AND " not in self.license and APACHE in self.license.split(" OR ")

    def texts(self) -> list[str]:
        """Return the texts that must accompany the crate, in addition to that of Apache-2.0."""
        pattern = r"notice" if self.is_apache else r"licen[cs]e|copying|notice|copyright|unlicense"
        paths = [path for path in sorted(self.folder.iterdir()) if re.match(pattern, path.name, re.IGNORECASE)]
        paths += [self.folder / name for name in SOURCES_IN_C.get(self.name, ())]
        return [_normalized(path) for path in paths]


def _normalized(path: Path) -> str:
    lines = path.read_text(encoding="utf-8").replace("\t", "    ").splitlines()
    return "\n".join(line.rstrip() for line in lines).strip("\n")


def _terms(text: str) -> list[str]:
    """Return the words of a licence, without the appendix of Apache-2.0, which is not part of the licence."""
    return text.partition("END OF TERMS AND CONDITIONS")[0].split()


def _cargo(*arguments: str) -> str:
    command = ["cargo", *arguments, "--locked", "--offline"]
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def linked_crates() -> list[Crate]:
    """Return the crates of others that the binary of any platform contains."""
    packages: dict[tuple[str, str], dict[str, Any]] = {
        (package["name"], package["version"]): package
        for package in json.loads(_cargo("metadata", "--format-version", "1"))["packages"]
    }
    tree = _cargo(
        *("tree", "--package", PACKAGE, "--edges", "normal,no-proc-macro", "--target", "all"),
        *("--prefix", "none", "--no-dedupe", "--format", "{p}"),
    )
    crates = []
    for name, version in sorted({tuple(line.split()[:2]) for line in tree.splitlines() if line}):
        package = packages[name, version.removeprefix("v")]
        if name != PACKAGE:
            folder = Path(package["manifest_path"]).parent
            repository = (package["repository"] or "").removesuffix(".git")
            # The separator of old manifests.
            expression = re.sub(r"\s*/\s*", " OR ", package["license"])
            crates.append(Crate(name, package["version"], expression, repository, folder))
    return crates


def document(crates: list[Crate]) -> str:
    """Return the text of the file."""
    by_name = {crate.name: crate for crate in crates}
    of_text: dict[str, list[str]] = defaultdict(list)
    terms = _terms(_normalized(ROOT / "LICENSE"))
    for crate in crates:
        texts = crate.texts() or by_name[WITHOUT_TEXT.get(crate.name, crate.name)].texts()
        if not texts and not crate.is_apache:
            raise SystemExit(f"{crate} has no text of its licence: add a crate that has it to WITHOUT_TEXT")
        for text in dict.fromkeys(texts):
            if _terms(text) != terms:
                of_text[text].append(str(crate))

    toolkit, _, toolkit_license = _normalized(UI_TOOLKIT).partition("\n")
    parts = [
        HEAD,
        _heading("Crates"),
        *[f"{crate}: {crate.license}. {crate.repository}" for crate in crates],
        "",
        RUST,
        _heading("JavaScript"),
        f"{toolkit}\n",
    ]
    parts += [_heading(APACHE), _normalized(ROOT / "LICENSE"), ""]
    # The toolkit's copy of the licence has a line of its own.
    of_text[toolkit_license.strip("\n")].append("connect-ui-toolkit.js")
    for text, names in sorted(of_text.items(), key=lambda item: item[1]):
        parts += [_heading(", ".join(names)), text, ""]
    return "\n".join(parts)


def _heading(text: str) -> str:
    return f"{'-' * 100}\n{text}\n{'-' * 100}\n"


def main() -> None:
    """Write the file, or compare it."""
    text = document(linked_crates())
    if "--check" not in sys.argv[1:]:
        FILE.write_text(text, encoding="utf-8")
    elif not FILE.exists() or FILE.read_text(encoding="utf-8") != text:
        raise SystemExit(f"{FILE.name} is out of date: run python -m scripts.third_party_licenses")


if __name__ == "__main__":
    main()
