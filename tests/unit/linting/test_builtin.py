"""What is shipped is free of findings: every built-in template with every example, and the examples."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tenantprofile.input.objects import SourceObject, read_text
from tenantprofile.linting.judge import lint
from tenantprofile.linting.profiles import made_up
from tenantprofile.names import API_VERSION
from tenantprofile.rendering.templates import Example, Template, builtin_templates
from tenantprofile.selectors import parse_selector

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = [
    pytest.param(template, example, id=f"{name}: {example.title}")
    for name, template in builtin_templates().items()
    for example in template.examples
]


def profile(template: Template, example: Example) -> list[SourceObject]:
    """The example as an entry, beside the DNS that every denied egress needs."""
    entry = {
        "template": template.name,
        "name": "example",
        "owner": "platform",
        "parameters": dict(example.parameters),
    }
    labels = {"tenant": "a", **example.namespace_labels}
    dns = [{"template": "dns-egress", "owner": "platform"}] if template.name != "dns-egress" else []
    objects = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team-a", "labels": labels}},
        {
            "apiVersion": API_VERSION,
            "kind": "TenantProfile",
            "metadata": {"name": "example"},
            "spec": {"namespaceSelector": {"matchLabels": {"tenant": "a"}}, "policies": [entry, *dns]},
        },
    ]
    return [
        item for number, raw in enumerate(objects) for item in read_text(json.dumps(raw), f"{number}.json")
    ]


@pytest.mark.parametrize(("template", "example"), EXAMPLES)
def test_an_example_of_a_template_is_free_of_findings(template: Template, example: Example) -> None:
    result = lint(profile(template, example), "2026-11-21")
    assert [(placed.rule.id, placed.message) for placed in result.findings] == []
    assert result.waived == ()


@pytest.mark.parametrize("file", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda file: file.name)
def test_a_shipped_example_has_no_findings_that_count(file: Path) -> None:
    result = lint(read_text(file.read_text(encoding="utf-8"), file.name), "2026-11-21")
    assert [(p.rule.id, p.message) for p in result.findings if p.rule.severity != "info"] == []


def test_a_made_up_namespace_is_one_that_the_selector_matches() -> None:
    raw = {
        "matchLabels": {"tenant": "a"},
        "matchExpressions": [{"key": "tier", "operator": "Exists"}, {"key": "x", "operator": "DoesNotExist"}],
    }
    facts = made_up(parse_selector(raw))
    assert parse_selector(raw).matches(facts.labels)
