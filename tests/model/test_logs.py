"""What the operator logs: nothing at rest, one line for each thing that happens, documented fields."""

from __future__ import annotations

import ast
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from model.world import World
from tenantprofile.cli.logs import FIELDS

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.end()


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture, world: World) -> pytest.LogCaptureFixture:
    """Of an operator with two profiles and five namespaces, after its start."""
    caplog.set_level(logging.INFO)
    for index in range(5):
        world.namespace(f"a-{index}")
    world.profile("p", "default-deny", "dns-egress")
    world.profile("q", "default-deny")
    world.start()
    world.run_for(10)
    assert caplog.records
    caplog.clear()
    return caplog


def lines(log: pytest.LogCaptureFixture) -> list[tuple[str, dict[str, str]]]:
    """Level and fields of each line so far, and forget them."""
    found = [
        (r.levelname, {key: getattr(r, key) for key in FIELDS if getattr(r, key, None)}) for r in log.records
    ]
    log.clear()
    return found


def test_nothing_is_logged_at_rest(world: World, log: pytest.LogCaptureFixture) -> None:
    world.run_for(4000)  # some six comparisons, and more watches that the API server ended
    assert not [record.getMessage() for record in log.records]


def test_each_thing_that_happens_to_a_namespace_is_one_line(
    world: World, log: pytest.LogCaptureFixture
) -> None:
    world.namespace("b")
    world.run_for(5)
    assert sorted(lines(log), key=str) == [
        ("INFO", {"namespace": "b", "profile": "p"}),
        ("INFO", {"namespace": "b", "profile": "q"}),
    ]
    world.server.delete("networkpolicies", "p.default-deny", "b")
    world.run_for(5)
    assert lines(log) == [("INFO", {"namespace": "b", "policy": "p.default-deny", "profile": "p"})]
    world.profile("p", "default-deny")
    world.run_for(5)
    gone = [
        ("INFO", {"namespace": name, "policy": "p.dns-egress", "profile": "p"})
        for name in sorted({*(f"a-{index}" for index in range(5)), "b"})
    ]
    assert sorted(lines(log), key=str) == gone
    world.run_for(700)
    assert not lines(log)


def test_every_field_that_is_logged_is_known_and_documented() -> None:
    used = set()
    for file in (ROOT / "operator").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Dict):
                keys = [key.value for key in node.keys if isinstance(key, ast.Constant)]
                used |= set(keys) if _is_extra(node, file) else set()
    assert used == set(FIELDS)
    page = (ROOT / "docs/observability.md").read_text()
    for name, meaning in FIELDS.items():
        assert f"| `{name}` | {meaning} |" in page


def _is_extra(node: ast.Dict, file: Path) -> bool:
    """Whether a dictionary is what a log line carries: by its line, `extra=` or `extra =`, or joined to one."""
    lines = file.read_text().splitlines()
    return any(word in lines[node.lineno - 1] for word in ("extra=", "extra = {"))
