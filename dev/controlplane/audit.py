"""The audit log: a policy that lets tests count requests, and its reader.

Every request is recorded at level Metadata when its response is complete:
who, which verb, which object, with which result, without bodies. Leases and
the probes of the control plane itself are left out, because their number
depends on time alone (kubernetes.io/docs/tasks/debug/debug-cluster/audit).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Event = dict[str, Any]

WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})

POLICY: dict[str, Any] = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived", "ResponseStarted"],
    "omitManagedFields": True,
    "rules": [
        {"level": "None", "resources": [{"group": "coordination.k8s.io", "resources": ["leases"]}]},
        {"level": "None", "nonResourceURLs": ["/livez*", "/readyz*", "/healthz*"]},
        {"level": "Metadata"},
    ],
}

EVERYTHING: dict[str, Any] = {**POLICY, "rules": [{"level": "Metadata"}]}
"""Leases included: for tests of which rights are used."""


def read(log: Path) -> Iterator[Event]:
    """Every event written so far; a line still being written is left out."""
    if not log.exists():
        return
    with log.open(encoding="utf-8") as lines:
        for line in lines:
            if line.endswith("\n"):
                yield json.loads(line)


def is_write(event: Event) -> bool:
    """Whether a request changed an object, or would have without ``dryRun``."""
    return event.get("verb") in WRITES
