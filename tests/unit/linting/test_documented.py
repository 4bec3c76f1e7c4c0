"""docs/commands/lint.md shows what the command really prints.

python -m pytest tests/unit/linting/test_documented.py       holds the page against the command
PYTHONPATH=operator python tests/unit/linting/test_documented.py    writes the page's output anew
"""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from tenantprofile.cli.main import main
from tenantprofile.linting.catalogue import RULES

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "commands" / "lint.md"
BLOCK = re.compile(r"(?<=```console\n)\$ tenantprofile (?P<command>.*)\n(?P<output>(?:(?!```).*\n)*)")
TODAY = "2026-11-21"


def printed(command: str) -> str:
    """What a documented command prints, with the exit code where it is not 0."""
    words, _, only = command.partition(" | head -n ")
    before = Path.cwd()
    os.chdir(ROOT)
    try:
        done = CliRunner().invoke(main, shlex.split(words), env={"TENANTPROFILE_LINT_TODAY": TODAY})
    finally:
        os.chdir(before)
    lines = done.output.splitlines()
    if only:
        return "\n".join([*lines[: int(only)], "…"]) + "\n"
    code = [f"[exit code {done.exit_code}]"] if done.exit_code else []
    return "\n".join([*lines, *code]) + "\n"


def commands() -> list[str]:
    return [found["command"] for found in BLOCK.finditer(PAGE.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("command", commands())
def test_a_documented_command_prints_what_the_page_says(command: str) -> None:
    shown = {found["command"]: found["output"] for found in BLOCK.finditer(PAGE.read_text(encoding="utf-8"))}
    assert printed(command) == shown[command]


def test_every_option_is_documented() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for parameter in main.commands["lint"].params:
        for option in parameter.opts:
            if option.startswith("--"):
                assert f"`{option}" in text, option


def test_every_rule_that_the_page_names_exists() -> None:
    named = re.findall(r"lint-rules\.md#([a-z-]+)", PAGE.read_text(encoding="utf-8"))
    assert named
    assert set(named) <= set(RULES)


def test_the_pre_commit_hook_runs_the_command() -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    program, *words = shlex.split(hook["entry"])
    assert program == "tenantprofile"
    done = CliRunner().invoke(main, [*words, str(ROOT / "examples" / "minimal.yaml"), *hook["args"][1:]])
    assert done.exit_code == 0, done.output


def test_the_hook_judges_this_repository_and_stops_at_none_of_its_files() -> None:
    result = CliRunner().invoke(main, ["lint", "--exclude", "tests", str(ROOT)])
    assert result.exit_code in (0, 1), result.stderr
    assert "objects judged" in result.stdout


if __name__ == "__main__":

    def anew(found: re.Match[str]) -> str:
        return f"$ tenantprofile {found['command']}\n{printed(found['command'])}"

    PAGE.write_text(BLOCK.sub(anew, PAGE.read_text(encoding="utf-8")), encoding="utf-8")
