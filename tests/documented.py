"""README, quick start and how-to guides as tests: what each fenced block is, and how it is run.

A comment before a block says what it is; readers do not see it:

    <!-- file: NAME -->           the block is written to NAME in the folder in which the page's commands run
    <!-- run: offline -->         the commands need no cluster: tests/unit/documentation checks the output
    <!-- run: cluster -->         they are run on the local control plane, in order: tests/cluster/test_docs.py
    <!-- run: no, REASON -->      they are not run, and why
    <!-- operator: stop|start --> before the next block, the operator is stopped or started

The folder has `examples`, `deploy`, `crds` and `docs` in it, as the repository's root has. In output, `…` stands for
anything; ages, times, the operator's identity and the width of columns do not
count.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [
    ROOT / "README.md",
    DOCS / "quick-start.md",
    *sorted(page for page in (DOCS / "how-to").glob("*.md") if page.name != "index.md"),
    DOCS / "troubleshooting.md",
]
SHARED = ("crds", "deploy", "docs", "examples")

_BLOCK = re.compile(
    r"(?P<marks>(?:^[ ]*<!-- (?:file|run|operator): [^\n]* -->\n+)*)"
    r"^(?P<indent>[ ]*)```(?P<language>\w*)\n(?P<text>.*?)^(?P=indent)```$",
    re.M | re.S,
)
_MARK = re.compile(r"<!-- (?P<key>file|run|operator): (?P<value>[^\n]*) -->")


@dataclass(frozen=True)
class Step:
    """One command of a block, and what the page shows of its output."""

    command: str
    output: str


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str
    file: str = ""
    run: str = ""
    operator: str = ""

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def steps(self) -> list[Step]:
        """The commands: each begins with `$ `, and goes on where a line ends with a backslash."""
        found: list[Step] = []
        command, output = "", ""
        lines = iter(self.text.splitlines())
        for line in lines:
            if line.startswith("$ "):
                if command:
                    found.append(Step(command, output))
                command, output = line[2:], ""
                while command.endswith("\\"):
                    command = command[:-1].rstrip() + " " + next(lines).strip()
            else:
                output += line + "\n"
        return [*found, Step(command, output)]


def blocks(page: Path) -> Iterator[Block]:
    """The page's blocks, in order."""
    text = page.read_text(encoding="utf-8")
    for found in _BLOCK.finditer(text):
        marks = {mark["key"]: mark["value"] for mark in _MARK.finditer(found["marks"])}
        indent = found["indent"]
        body = "".join(line.removeprefix(indent) for line in found["text"].splitlines(keepends=True))
        line = text.count("\n", 0, found.start("language")) + 1
        yield Block(page, line, found["language"], body, **marks)


def folder(page: Path, path: Path) -> Path:
    """A folder in which the page's commands work: the repository's own folders, and the page's files."""
    path.mkdir(parents=True, exist_ok=True)
    for name in SHARED:
        if not (path / name).exists():
            (path / name).symlink_to(ROOT / name)
    for block in blocks(page):
        if block.file:
            (path / block.file).write_text(block.text, encoding="utf-8")
    return path


_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_IDENTITY = re.compile(r"\boperator-\d+\b")
_AGE = re.compile(r"\b(?:\d+[dhms]|\d+ms)+\b|\b\d+ s ago\b")


def same(shown: str, printed: str) -> bool:
    """Whether a command printed what the page shows."""
    pattern = ".*?".join(re.escape(part) for part in _plain(shown).split("…"))
    return re.fullmatch(pattern, _plain(printed), re.S) is not None


def _plain(text: str) -> str:
    text = _IDENTITY.sub("<operator>", _AGE.sub("<age>", _TIME.sub("<time>", text)))
    return "\n".join(" ".join(line.split()) for line in text.strip().splitlines())


def rewritten(page: Path, outputs: dict[tuple[int, int], str]) -> str:
    """The page with other outputs, by block and step."""
    text = page.read_text(encoding="utf-8")
    number = -1

    def anew(found: re.Match[str]) -> str:
        nonlocal number
        number += 1
        if not any(block == number for block, _ in outputs):
            return found[0]
        indent, lines, step = found["indent"], [], -1
        for line in found["text"].splitlines():
            if line.removeprefix(indent).startswith("$ "):
                step += 1
                lines.append(line)
                goes_on = line.endswith("\\")
                if not goes_on:
                    lines += _indented(outputs.get((number, step)), indent)
                continue
            if step >= 0 and lines and lines[-1].endswith("\\"):
                lines.append(line)
                if not line.endswith("\\"):
                    lines += _indented(outputs.get((number, step)), indent)
            elif (number, step) not in outputs:
                lines.append(line)
        body = "\n".join(lines) + "\n"
        return found[0].replace(found["text"], body)

    return _BLOCK.sub(anew, text)


def _indented(output: str | None, indent: str) -> list[str]:
    return [(indent + line).rstrip() for line in (output or "").rstrip().splitlines()]
