"""The fields of every JSON and YAML output: what programs rely on is held by docs/outputs.json.

python -m pytest tests/unit/cli/test_fields.py             holds the outputs against the list
PYTHONPATH=operator:tests python tests/unit/cli/test_fields.py   writes the list anew: look at what it takes away
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from tenantprofile.analysis.protection import Answer
from tenantprofile.cli.main import main
from tenantprofile.cli.options import Wishes
from tenantprofile.cli.output import document
from tenantprofile.cli.status import Found, Operator, _as_data
from tenantprofile.doctor.condition import Observation
from tenantprofile.names import CLI_API_VERSION

ROOT = Path(__file__).resolve().parents[3]
FIELDS = ROOT / "docs" / "outputs.json"
MAPS = (
    "source.files",
    "digests.policy",
    "digests.templates",
    "profiles[].policies",
    "namespaces[].profiles[].policies",
    "profiles[].status",
)
"""Maps whose keys are names, or that are an object of the cluster: their keys are no fields of ours."""
BODIES = ("parameters", "items[].parameters", "policies[].spec")

COMMANDS = {
    "audit": ["audit", "examples", "docs/commands/needs"],
    "connections": ["connections", "examples"],
    "diff": [
        "diff",
        "examples/production.yaml",
        "docs/commands/diff/stricter.yaml",
        "--with",
        "examples/namespaces.yaml",
        "--with",
        "examples/applications/workloads.yaml",
    ],
    "explain": ["explain", "payments/frontend", "payments/api", "examples", "--port", "443"],
    "explain, allowed": [
        "explain",
        "shop-web/deployment/web",
        "shop-stock/statefulset/stock",
        "examples",
        "--port",
        "8080",
    ],
    "lint": ["lint", "docs/commands/lint", "examples", "--today", "2026-11-21"],
    "lint --list": ["lint", "--list"],
    "needs": ["needs", "docs/commands/needs"],
    "templates": ["templates"],
    "templates NAME": ["templates", "cidr-egress"],
    "test": ["test", "docs/commands/test", "examples"],
    "version": ["version", "--client"],
}


def printed(command: list[str], form: str) -> str:
    before = Path.cwd()
    os.chdir(ROOT)
    try:
        done = CliRunner().invoke(main, [*command, "-o", form], env={"SOURCE_DATE_EPOCH": "0"})
    finally:
        os.chdir(before)
    assert done.stdout, done.stderr
    return done.stdout


def of_status() -> dict[str, Any]:
    item = {"metadata": {"name": "base", "generation": 1}, "spec": {}, "status": {"observedGeneration": 1}}
    return _as_data(Found(Operator("running", "it runs", holder="one"), [], [item]), Wishes())


def of_status_of_a_namespace() -> dict[str, Any]:
    answers = {"shop": [Answer("base", "protected", (), {"base.default-deny": "present"})]}
    return _as_data(Found(Operator("running", "it runs"), [], [], answers), Wishes(namespaces=("shop",)))


def of_doctor() -> dict[str, Any]:
    data = {"sound": True, "observations": [Observation("CRDs", "ok", "there").as_data()]}
    return document("ConditionReport", data)


OTHERS = {"status": of_status, "status -n": of_status_of_a_namespace, "doctor": of_doctor}


def outputs() -> dict[str, dict[str, Any]]:
    found = {name: json.loads(printed(command, "json")) for name, command in COMMANDS.items()}
    return found | {name: make() for name, make in OTHERS.items()}


def fields(data: Any, path: str = "") -> Iterator[str]:
    """Every field, below what is a map of names no further."""
    if isinstance(data, dict):
        for key, value in data.items():
            below = f"{path}.{key}" if path else key
            yield below
            if below not in MAPS and below not in BODIES:
                yield from fields(value, below)
    elif isinstance(data, list):
        for value in data:
            yield from fields(value, f"{path}[]")


def listed() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for name, data in outputs().items():
        entry = found.setdefault(data["kind"], {"command": name, "fields": []})
        entry["fields"] = sorted({*entry["fields"], *fields(data)})
    return found


KNOWN = json.loads(FIELDS.read_text(encoding="utf-8")) if FIELDS.exists() else {}


def test_no_field_is_taken_away_and_new_ones_are_listed() -> None:
    assert listed() == KNOWN


@pytest.mark.parametrize("name", COMMANDS)
def test_every_output_carries_its_version_and_kind_first(name: str) -> None:
    for text in (printed(COMMANDS[name], "json"), printed(COMMANDS[name], "yaml")):
        data = yaml.safe_load(text)
        assert list(data)[:2] == ["apiVersion", "kind"]
        assert data["apiVersion"] == CLI_API_VERSION


def test_json_and_yaml_say_the_same() -> None:
    for name, command in COMMANDS.items():
        assert json.loads(printed(command, "json")) == yaml.safe_load(printed(command, "yaml")), name


if __name__ == "__main__":
    FIELDS.write_text(json.dumps(listed(), indent=1) + "\n", encoding="utf-8")
