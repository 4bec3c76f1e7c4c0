"""The generated reference pages."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from tenantprofile.cli.main import main

ROOT = Path(__file__).resolve().parents[3]
SOURCES = ("docs", "crds", "templates", "examples", "operator")


def generate(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(root / "docs" / "generate.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in SOURCES:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def pages(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (root / "docs" / "reference").glob("*.md")}


def test_the_pages_say_what_the_sources_say() -> None:
    done = generate(ROOT, "--check")
    assert done.returncode == 0, done.stderr


def test_the_same_sources_give_the_same_bytes(copy: Path) -> None:
    before = pages(copy)
    shutil.rmtree(copy / "docs" / "reference")

    done = generate(copy)

    assert done.returncode == 0, done.stderr
    assert {name: text for name, text in before.items() if name in pages(copy)} == pages(copy)
    assert set(pages(copy)) >= {"tenantprofile.md", "policytemplate.md", "templates.md"}


def test_a_stale_page_is_named_and_not_written_by_a_check(copy: Path) -> None:
    crd = copy / "crds" / "tenantprofile.dev_tenantprofiles.yaml"
    crd.write_text(crd.read_text().replace("auditors read it", "somebody reads it"))
    before = pages(copy)

    done = generate(copy, "--check")

    assert done.returncode == 1
    assert "docs/reference/tenantprofile.md is not what its source says" in done.stderr
    assert pages(copy) == before


def test_a_field_without_a_description_is_an_error(copy: Path) -> None:
    crd = copy / "crds" / "tenantprofile.dev_tenantprofiles.yaml"
    crd.write_text(crd.read_text().replace("description: The label's key.", "description: ''"))

    done = generate(copy, "--check")

    assert done.returncode not in (0, 1), "an error is no stale page"
    assert "namespaceSelector.matchExpressions[].key has no description" in done.stderr


def test_a_reason_that_no_page_explains_is_an_error(copy: Path) -> None:
    code = copy / "operator" / "tenantprofile" / "controller" / "apply.py"
    code.write_text(code.read_text().replace('"Conflict",', '"Occupied",'))

    done = generate(copy, "--check")

    assert done.returncode == 2
    assert "not explained: ['Occupied']; not in the code: ['Conflict']" in done.stderr


def test_every_flag_of_every_command_is_on_the_page(copy: Path) -> None:
    text = pages(copy)["commands.md"].decode()
    for name, command in main.commands.items():
        if command.hidden:
            continue
        section = text.split(f"\n## tenantprofile {name}\n")[1].split("\n## ")[0]
        for parameter in command.params:
            if getattr(parameter, "hidden", False):
                continue
            for flag in parameter.opts:
                assert not flag.startswith("-") or f"`{flag}`" in section, (name, flag)


def test_the_variables_on_the_page_are_those_that_the_commands_read(copy: Path) -> None:
    (row,) = re.findall(r"\| `--list` \|.*", pages(copy)["commands.md"].decode())
    (variable,) = re.findall(r"TENANTPROFILE_\w+", row)
    done = CliRunner().invoke(main, ["lint"], env={variable: "1"}, auto_envvar_prefix="TENANTPROFILE")
    assert done.exit_code == 0
    assert "empty-peers" in done.output
