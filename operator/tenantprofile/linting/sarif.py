"""Findings as SARIF 2.1.0 (OASIS), which code hosts show at the lines of a pull request.

Waived findings are there as results with a suppression, so that the host closes them as accepted.
An object that was read from a cluster has a logical location only: there is no file to point into.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import Any, Final
from urllib.parse import quote

from tenantprofile.linting.catalogue import GROUPS, RULES
from tenantprofile.linting.judge import Result
from tenantprofile.linting.placed import Placed
from tenantprofile.policy.findings import Rule

SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_BASE: Final = "%SRCROOT%"
_LEVELS: Final = {"error": "error", "warning": "warning", "info": "note"}


def as_sarif(result: Result, version: str) -> dict[str, Any]:
    """One run with every rule's description and every result."""
    index = {rule: number for number, rule in enumerate(RULES)}
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "tenantprofile lint",
                        "semanticVersion": version,
                        "version": version,
                        "rules": [_rule(rule) for rule in RULES.values()],
                    }
                },
                "columnKind": "unicodeCodePoints",
                "originalUriBaseIds": {_BASE: {"description": {"text": "The folder that was checked."}}},
                "results": [
                    _result(placed, index[placed.rule.id]) for placed in (*result.findings, *result.waived)
                ],
            }
        ],
    }


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "name": "".join(word.capitalize() for word in rule.id.split("-")),
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.why},
        "help": {
            "text": f"{rule.why}\n\n{rule.fix}",
            "markdown": f"{rule.why}\n\n**How to fix it:** {rule.fix}",
        },
        "defaultConfiguration": {"level": _LEVELS[rule.severity], "enabled": rule.on},
        "properties": {"tags": ["networkpolicy", rule.group], "group": GROUPS[rule.group]},
    }


def _result(placed: Placed, index: int) -> dict[str, Any]:
    item = placed.item
    location: dict[str, Any] = {
        "logicalLocations": [
            {
                "name": item.name,
                "fullyQualifiedName": f"{item}{' ' if placed.path else ''}{placed.field}",
                "kind": "object",
            }
        ]
    }
    if item.origin.is_file:
        location["physicalLocation"] = {
            "artifactLocation": _artifact(item.origin.source),
            "region": {"startLine": placed.line or 1, "startColumn": placed.column or 1},
        }
    result: dict[str, Any] = {
        "ruleId": placed.rule.id,
        "ruleIndex": index,
        "level": _LEVELS[placed.rule.severity],
        "message": {"text": f"{item}: {placed.message}"},
        "locations": [location],
        "partialFingerprints": {"tenantprofileLint/v1": placed.fingerprint},
    }
    properties: dict[str, Any] = {"field": placed.field}
    if placed.entry:
        properties["entry"] = placed.entry
    if placed.template:
        properties["template"] = placed.template_place
    if placed.namespaces:
        properties["namespaces"] = list(placed.namespaces)
    result["properties"] = properties
    if placed.waiver is not None:
        result["suppressions"] = [
            {
                "kind": "inSource",
                "status": "accepted",
                "justification": f"{placed.waiver.reason} (until {placed.waiver.until})",
            }
        ]
    return result


def _artifact(source: str) -> dict[str, str]:
    """A relative path is relative to the folder that was checked; blanks and the like are escaped."""
    path = PurePath(source)
    if path.is_absolute():
        return {"uri": path.as_uri()}
    parts = [part for part in path.parts if part != "."]
    return {"uri": quote("/".join(parts)), "uriBaseId": _BASE}
