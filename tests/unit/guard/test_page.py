"""docs/commands/guard.md names every option, and shows what `render` prints."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from tenantprofile.cli.main import main

FOLDER = Path(__file__).resolve().parents[3] / "docs" / "commands"
PAGE = (FOLDER / "guard.md").read_text(encoding="utf-8")
GUARD = main.commands["guard"]
assert isinstance(GUARD, click.Group)


@pytest.mark.parametrize("name", ["render", "status", "remove"])
def test_every_option_is_documented_in_its_section(name: str) -> None:
    (section,) = re.findall(rf"\n## {name}\n(.*?)(?=\n## )", PAGE, re.DOTALL)
    for parameter in GUARD.commands[name].params:
        for option in parameter.opts:
            if option.startswith("--"):
                assert re.search(rf"`{option}\b", section), option


def test_every_link_leads_somewhere() -> None:
    for page in (PAGE, (FOLDER.parent / "guard.md").read_text(encoding="utf-8")):
        for target in re.findall(r"\]\(([^)#]+)", page):
            assert (FOLDER / target).exists() or (FOLDER.parent / target).exists(), target


def test_what_the_page_shows_is_what_is_printed() -> None:
    (command, shown), *_ = re.findall(
        r"```console\n\$ tenantprofile (guard render .*?) \| head -n \d+\n(.*?)```", PAGE, re.DOTALL
    )
    done = CliRunner().invoke(main, shlex.split(command))
    assert done.stdout.startswith(shown)
