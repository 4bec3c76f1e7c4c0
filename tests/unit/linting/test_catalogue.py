"""The catalogue: every rule explained, tested, and told apart from the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from tenantprofile.linting import catalogue
from tenantprofile.linting.catalogue import GROUPS, RULES, SEVERITIES, UnknownRuleError, choose
from tenantprofile.policy.findings import Rule

UNIT = Path(__file__).resolve().parents[1]
TESTS = "\n".join(
    file.read_text(encoding="utf-8")
    for folder in ("linting", "policy")
    for file in (UNIT / folder).glob("test_*.py")
    if file.name != "test_catalogue.py"
)


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.id)
def test_a_rule_is_explained_and_tested(rule: Rule) -> None:
    assert rule.severity in SEVERITIES
    assert rule.group in GROUPS
    assert not rule.title.endswith(".")
    assert rule.why.endswith((".", "…", ")")) or rule.why.endswith(".")
    assert rule.fix.endswith(".")
    assert f'"{rule.id}"' in TESTS


def test_every_rule_that_is_defined_is_in_the_catalogue() -> None:
    """A rule that is left out of it never fires, and nothing else would say so."""
    for value in vars(catalogue).values():
        if isinstance(value, Rule):
            assert RULES.get(value.id) is value, value.id


def test_every_refusal_is_an_error_or_a_warning_that_is_on() -> None:
    for rule in RULES.values():
        if rule.refused_in_templates:
            assert rule.severity != "info"
            assert rule.on


def test_rules_are_chosen_by_id_and_group_and_disabling_has_the_last_word() -> None:
    assert choose() == {rule.id for rule in RULES.values() if rule.on}
    assert choose(select=["every-peer"]) == {"every-peer"}
    assert choose(select=["every-peer"], enable=["port-range"]) == {"every-peer", "port-range"}
    assert choose(select=["records"], disable=["missing-owner"]) == {"missing-purpose"}
    with pytest.raises(UnknownRuleError, match="did you mean"):
        choose(disable=["evry-peer"])
