"""Findings and rules as plain data, for JSON and YAML; the keys are documented and stay."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tenantprofile.linting.catalogue import RULES, SEVERITIES
from tenantprofile.linting.judge import Result
from tenantprofile.linting.placed import Placed
from tenantprofile.policy.findings import Rule, field_path


def as_data(result: Result) -> dict[str, Any]:
    """What a program reads: findings, those that are waived, the rules that they name, and counts."""
    named = dict.fromkeys(placed.rule for placed in (*result.findings, *result.waived))
    return {
        "findings": [_finding(placed) for placed in result.findings],
        "waived": [_finding(placed) for placed in result.waived],
        "rules": rules_as_data(named),
        "summary": {
            "objects": result.judged,
            **{severity: result.count(severity) for severity in SEVERITIES},
            "waived": len(result.waived),
        },
    }


def _finding(placed: Placed) -> dict[str, Any]:
    item = placed.item
    found: dict[str, Any] = {
        "rule": placed.rule.id,
        "severity": placed.rule.severity,
        "message": placed.message,
        "file": item.origin.source,
        "line": placed.line,
        "object": {
            "apiVersion": item.api_version,
            "kind": item.kind,
            "namespace": item.namespace,
            "name": item.name,
        },
        "field": placed.field,
        "fingerprint": placed.fingerprint,
    }
    if placed.entry:
        found["entry"] = placed.entry
    if placed.template:
        found["template"] = {
            "source": placed.template,
            "line": placed.template_line,
            "field": field_path(placed.finding.path),
        }
    if placed.namespaces:
        found["namespaces"] = list(placed.namespaces)
    if placed.waiver is not None:
        found["waiver"] = {"reason": placed.waiver.reason, "until": placed.waiver.until}
    return found


def rules_as_data(rules: Iterable[Rule] = RULES.values()) -> list[dict[str, Any]]:
    return [
        {
            "id": rule.id,
            "group": rule.group,
            "severity": rule.severity,
            "title": rule.title,
            "why": rule.why,
            "fix": rule.fix,
            "default": rule.on,
            "refusedInTemplates": rule.refused_in_templates,
        }
        for rule in rules
    ]
