"""SECURITY.md and docs/security.md: each claim has a test that exists, and the tables are what a run recorded."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from attacks import table
from attacks.attempts import ATTEMPTS
from attacks.claims import CLAIMS

ROOT = Path(__file__).resolve().parents[3]
PAGE = re.sub(r"\s+", " ", (ROOT / "SECURITY.md").read_text(encoding="utf-8"))
CLAIMING = (
    "What the operator's account can do",
    "What it protects against",
    "What it does not protect against",
)


@pytest.mark.parametrize("words", CLAIMS)
def test_each_claim_stands_on_the_page(words: str) -> None:
    assert words in PAGE


@pytest.mark.parametrize("name", sorted({test for tests in CLAIMS.values() for test in tests}))
def test_each_claim_has_a_test_that_exists(name: str) -> None:
    path, _, function = name.partition("::")
    names = {node.name for node in ast.walk(ast.parse((ROOT / path).read_text())) if hasattr(node, "name")}
    assert function in names


@pytest.mark.parametrize("section", CLAIMING)
def test_no_item_of_a_section_makes_a_claim_without_a_test(section: str) -> None:
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8").split(f"\n## {section}\n")[1].split("\n## ")[0]
    items = [re.sub(r"\s+", " ", item) for item in re.split(r"\n- ", text)[1:]]
    assert items
    for item in items:
        # What the operator may read and write is one claim, the first of the section.
        if section == CLAIMING[0] and item.startswith(("read ", "write ", "**create")):
            continue
        assert any(words in item for words in CLAIMS), item


def test_the_results_are_of_the_attempts_that_are_tried_and_came_out_as_expected() -> None:
    for attempt, without, guarded in table.outcomes(table.recorded(), ATTEMPTS):
        assert (without, guarded) == (attempt.without, attempt.guarded), attempt.name


def test_the_pages_show_what_was_recorded() -> None:
    for path, text in table.pages(table.recorded()).items():
        assert path.read_text() == text, f"{path.name} is stale: run python -m attacks.table"


def test_what_is_open_says_what_closes_it() -> None:
    assert [a.name for a in ATTEMPTS if "open" in (a.without, a.guarded) and not a.closed_by] == []


def test_each_attempt_has_a_name_of_its_own() -> None:
    names = [attempt.name for attempt in ATTEMPTS]
    assert len(names) == len(set(names)) >= 190
