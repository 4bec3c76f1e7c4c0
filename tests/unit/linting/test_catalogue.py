"""The catalogue: every rule explained, tested, and told apart from the others."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import replace
from pathlib import Path

import pytest

from tenantprofile import linting, policy, rendering
from tenantprofile.input.objects import read_text
from tenantprofile.linting import judge
from tenantprofile.linting.catalogue import GROUPS, RULES, SEVERITIES, UnknownRuleError, choose
from tenantprofile.policy.findings import Finding, Rule

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


def test_every_rule_that_a_module_makes_is_in_the_catalogue() -> None:
    for package in (linting, policy, rendering):
        for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            for name, value in vars(importlib.import_module(found.name)).items():
                if isinstance(value, Rule):
                    assert RULES.get(value.id) is value, f"{found.name}.{name} is in no list of rules"


def test_a_finding_by_a_rule_that_is_not_in_the_catalogue_is_not_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stray = replace(RULES["every-peer"], id="stray")
    monkeypatch.setattr(judge, "check_spec", lambda spec: [Finding(stray, (), "found")])
    text = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: a}, spec: {podSelector: {}}}"
    with pytest.raises(RuntimeError, match="stray"):
        judge.lint(read_text(text, "a.yaml"), "2027-01-31")


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
