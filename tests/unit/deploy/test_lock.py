"""The lock says everything that pyproject.toml asks for, by hash; an audit that saw nothing says so."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from vulnerabilities import judge, pins

ROOT = Path(__file__).resolve().parents[3]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())


def locked(name: str) -> dict[str, list[Version]]:
    """Versions by name; several where they differ by platform or Python."""
    found: dict[str, list[Version]] = {}
    for match in re.finditer(r"^([\w.-]+)==([\w.!+]+)", (ROOT / "requirements" / name).read_text(), re.M):
        found.setdefault(match[1].lower(), []).append(Version(match[2]))
    return found


def asked(*groups: str) -> list[Requirement]:
    found = list(PROJECT["project"]["dependencies"]) if "" in groups else []
    for group in filter(None, groups):
        if group in PROJECT["project"]["optional-dependencies"]:
            found += PROJECT["project"]["optional-dependencies"][group]
            continue
        found += [entry for entry in PROJECT["dependency-groups"][group] if isinstance(entry, str)]
    return [Requirement(entry) for entry in found]


@pytest.mark.parametrize(
    ("file", "groups"),
    [
        ("operator.txt", ("",)),
        ("otel.txt", ("", "otel")),
        ("build.txt", ("build",)),
        ("dev.txt", ("", "build", "docs", "dev")),
    ],
)
def test_what_pyproject_asks_for_is_locked(file: str, groups: tuple[str, ...]) -> None:
    versions = locked(file)
    for requirement in asked(*groups):
        name = requirement.name.lower()
        assert name in versions, f"{name} is not in requirements/{file}; run: make lock"
        for version in versions[name]:
            assert version in requirement.specifier, f"{name} {version}; run: make lock"


def test_the_operator_is_tested_with_what_it_is_shipped_with() -> None:
    tested = locked("dev.txt")
    for name, versions in locked("operator.txt").items():
        assert tested[name] == versions, f"{name}; run: make lock"


@pytest.mark.parametrize("file", ["operator.txt", "otel.txt", "build.txt", "dev.txt"])
def test_every_pin_has_hashes_and_no_address(file: str) -> None:
    text = (ROOT / "requirements" / file).read_text()
    assert "://" not in text
    for entry in re.split(r"\n(?=[\w])", text)[1:]:
        assert "--hash=sha256:" in entry, entry.splitlines()[0]


def clean(name: str) -> dict[str, Any]:
    return {"name": name, "version": "1", "vulns": []}


def test_an_audit_that_saw_everything_may_say_that_nothing_is_known() -> None:
    answer = judge({"a", "b"}, {"dependencies": [clean("a"), clean("b")]}, "")
    assert (answer.code, answer.text) == (0, "no known vulnerabilities in 2 packages")


@pytest.mark.parametrize(
    ("report", "complaint", "said"),
    [
        (None, "ERROR: cannot connect", "2 of 2 packages could not be looked up: ERROR: cannot connect"),
        (None, "", "no answer"),
        ({"dependencies": []}, "", "2 of 2 packages"),
        (
            {"dependencies": [clean("a"), {"name": "b", "skip_reason": "not found"}]},
            "",
            "1 of 2 packages could not be looked up: not found",
        ),
    ],
)
def test_an_audit_that_saw_nothing_says_so(report: Any, complaint: str, said: str) -> None:
    answer = judge({"a", "b"}, report, complaint)
    assert answer.code == 2
    assert answer.text.startswith("not audited: ")
    assert said in answer.text


def test_what_was_found_is_named() -> None:
    bad = clean("a") | {"vulns": [{"id": "PYSEC-1", "fix_versions": ["2"]}]}
    answer = judge({"a", "b"}, {"dependencies": [bad]}, "")
    assert answer.code == 1
    assert "a 1: PYSEC-1, fixed in 2" in answer.text


def test_pins_are_those_of_this_machine() -> None:
    text = 'a==1 \\\n    --hash=sha256:0\nb==2 ; python_version < "3" \\\n    --hash=sha256:0\n'
    assert pins(text) == {"a"}
