"""The pages of docs/commands show what the commands really print.

python -m pytest tests/unit/cli/test_documented.py              holds the pages against the commands
PYTHONPATH=operator python tests/unit/cli/test_documented.py    writes their output anew
"""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from tenantprofile.cli.main import main

ROOT = Path(__file__).resolve().parents[3]
PAGES = ("audit", "connections", "diff", "explain", "help", "needs", "render", "templates", "test")
BLOCK = re.compile(r"(?<=```console\n)\$ tenantprofile (?P<command>.*)\n(?P<output>(?:(?!```).*\n)*)")
TIME = "1795219200"


def text_of(page: str) -> str:
    return (ROOT / "docs" / "commands" / f"{page}.md").read_text(encoding="utf-8")


def printed(command: str) -> str:
    """What a documented command prints, with the exit code where it is not 0."""
    words, _, only = command.partition(" | head -n ")
    before = Path.cwd()
    os.chdir(ROOT)
    try:
        done = CliRunner().invoke(
            main, shlex.split(words), env={"SOURCE_DATE_EPOCH": TIME}, prog_name="tenantprofile"
        )
    finally:
        os.chdir(before)
    # A shell shows what goes to standard error as well, and `head` does not cut that.
    lines = (done.stdout if only else done.output).splitlines()
    if only:
        return "\n".join([*lines[: int(only)], "…"]) + "\n"
    code = [f"[exit code {done.exit_code}]"] if done.exit_code else []
    return "\n".join([*lines, *code]) + "\n"


BLOCKS = [
    (page, found["command"], found["output"]) for page in PAGES for found in BLOCK.finditer(text_of(page))
]


@pytest.mark.parametrize(("page", "command", "output"), BLOCKS, ids=[f"{p}: {c}" for p, c, _ in BLOCKS])
def test_a_documented_command_prints_what_the_page_says(page: str, command: str, output: str) -> None:
    assert printed(command) == output


@pytest.mark.parametrize("page", PAGES)
def test_every_option_is_documented(page: str) -> None:
    text = text_of(page)
    for parameter in main.commands[page].params:
        for option in parameter.opts:
            if option.startswith("--"):
                assert re.search(rf"{option}\b", text), option


@pytest.mark.parametrize("page", PAGES)
def test_every_page_tells_the_exit_codes_and_shows_the_command(page: str) -> None:
    assert "Exit code 0" in text_of(page)
    assert any(name == page for name, _, _ in BLOCKS)


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)#]+)", text_of(page)):
        assert (ROOT / "docs" / "commands" / target).exists(), target


if __name__ == "__main__":

    def anew(found: re.Match[str]) -> str:
        return f"$ tenantprofile {found['command']}\n{printed(found['command'])}"

    for name in PAGES:
        path = ROOT / "docs" / "commands" / f"{name}.md"
        path.write_text(BLOCK.sub(anew, text_of(name)), encoding="utf-8")
