"""docs/semantics.md names cases and recipes that exist."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from tenantprofile.connectivity.settings import DEFAULT_SETTINGS

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "semantics.md").read_text(encoding="utf-8")
TABLES = ROOT / "tests" / "conformance" / "connectivity"


def test_every_upstream_case_that_the_page_names_is_in_the_tables() -> None:
    cases = {case["name"] for case in _cases(yaml.safe_load((TABLES / "upstream_e2e.yaml").read_text()))}
    named = {
        name
        for source in re.findall(r"e2e ((?:\"[^\"]+\"(?:, )?)+)", PAGE)
        for name in re.findall(r"\"([^\"]+)\"", source)
    }
    assert len(named) > 20
    assert named <= cases


def test_every_recipe_that_the_page_names_is_in_the_tables() -> None:
    recipes = {
        str(item["recipe"])[:2] for item in _cases(yaml.safe_load((TABLES / "recipes.yaml").read_text()))
    }
    named = {
        number for group in re.findall(r"recipes? ((?:\d\d(?:, )?)+)", PAGE) for number in group.split(", ")
    }
    assert named
    assert named <= recipes


def test_every_setting_is_on_the_page() -> None:
    for name, _ in DEFAULT_SETTINGS.alternatives():
        assert f"| `{name}` |" in PAGE


def test_links_lead_somewhere() -> None:
    for page in (ROOT / "docs" / "semantics.md", ROOT / "docs" / "commands" / "lint.md"):
        for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
            assert target.startswith("https://") or (page.parent / target).exists(), target


def _cases(data: object) -> list[dict[str, object]]:
    if isinstance(data, list):
        return data
    assert isinstance(data, dict)
    return next(value for value in data.values() if isinstance(value, list))
