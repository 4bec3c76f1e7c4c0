"""An audit as evidence: what was looked at, when, by which version, with digests, for people and programs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tenantprofile import __version__
from tenantprofile.analysis.audit import Audit, NamespaceCoverage
from tenantprofile.analysis.naming import policy_data
from tenantprofile.analysis.world import Assembly
from tenantprofile.connectivity.coverage import Coverage
from tenantprofile.connectivity.policies import DIRECTIONS, Policy
from tenantprofile.policy.normalize import canonical

CSV_COLUMNS = (
    "kind",
    "namespace",
    "name",
    "ingress",
    "egress",
    "ingressPolicies",
    "egressPolicies",
    "profiles",
    "templates",
)


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What the audit's own result does not hold: when (RFC 3339), and of what."""

    time: str
    cluster: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of every file's text, by its name."""
    notes: Sequence[str] = ()


def evidence(assembly: Assembly, found: Audit, circumstances: Circumstances) -> dict[str, Any]:
    """The whole evidence as data; Markdown and CSV are made from the same."""
    return {
        "apiVersion": "tenantprofile.dev/v1alpha1",
        "kind": "CoverageEvidence",
        "time": circumstances.time,
        "tool": {"name": "tenantprofile", "version": __version__},
        "source": {
            "cluster": circumstances.cluster,
            "files": dict(sorted(circumstances.files.items())),
            "excludedNamespaces": list(found.excluded),
            "notes": list(circumstances.notes),
        },
        "digests": _digests(assembly),
        "totals": totals(found),
        "uncovered": {
            direction.lower(): {
                "pods": [str(pod.workload) for pod in found.open(direction)],
                "namespaces": [space.name for space in found.unguarded(direction)],
            }
            for direction in DIRECTIONS
        },
        "widening": [
            {
                **policy_data(assembly, one.policy),
                "method": one.method,
                "connections": one.gained,
                "examples": list(one.examples),
            }
            for one in found.widenings
        ],
        "namespaces": [_namespace(assembly, space) for space in found.namespaces],
        "pods": [_pod(assembly, pod) for pod in found.pods],
    }


def totals(found: Audit) -> dict[str, Any]:
    """Counts and percentages; percentages of nothing are 100, because nothing is left open."""
    countable = [pod for pod in found.pods if not pod.exempt]
    result: dict[str, Any] = {
        "pods": len(countable),
        "hostNetworkPods": len(found.pods) - len(countable),
        "namespaces": len(found.namespaces),
    }
    for direction in DIRECTIONS:
        pods = len(countable) - len(found.open(direction))
        spaces = len(found.namespaces) - len(found.unguarded(direction))
        result[direction.lower()] = {
            "podsCovered": pods,
            "podsPercent": percent(pods, len(countable)),
            "namespacesCovered": spaces,
            "namespacesPercent": percent(spaces, len(found.namespaces)),
        }
    return result


def percent(part: int, whole: int) -> float:
    """One decimal, rounded down: 99.95 % is not everything."""
    return 100.0 if part == whole else int(1000 * part / whole) / 10


def rows(assembly: Assembly, found: Audit) -> Iterator[tuple[str, ...]]:
    """One row per namespace, then one per pod, for CSV; lists are joined by spaces."""
    for space in found.namespaces:
        policies = (space.default_ingress, space.default_egress)
        yield ("Namespace", "", space.name, *_row(assembly, policies, exempt=False))
    for pod in found.pods:
        policies = (pod.ingress, pod.egress)
        row = _row(assembly, policies, exempt=pod.exempt)
        yield (pod.workload.kind, pod.workload.namespace, pod.workload.name, *row)


def _row(
    assembly: Assembly, policies: tuple[tuple[Policy, ...], tuple[Policy, ...]], *, exempt: bool
) -> tuple[str, ...]:
    sources = [assembly.source_of(policy) for side in policies for policy in side]
    state = ["exempt" if exempt else "covered" if side else "open" for side in policies]
    names = [" ".join(policy.name for policy in side) for side in policies]
    profiles = " ".join(sorted({source.profile for source in sources if source.profile}))
    templates = " ".join(sorted({source.template for source in sources if source.template}))
    return (*state, *names, profiles, templates)


def markdown(data: Mapping[str, Any]) -> str:
    """The evidence for people: a page that can be filed as it is."""
    total, source = data["totals"], data["source"]
    files = [f"`{name}` (SHA-256 `{digest}`)" for name, digest in source["files"].items()]
    lines = [
        "# Coverage by network policies",
        "",
        f"- Time: {data['time']}",
        f"- Tool: {data['tool']['name']} {data['tool']['version']}",
        *([f"- Cluster: {source['cluster']}"] if source["cluster"] else []),
        *([f"- Files: {'; '.join(files)}"] if files else []),
        f"- Policies: {data['digests']['count']}, SHA-256 of all `{data['digests']['policies']}`",
        *([f"- Left out: {', '.join(source['excludedNamespaces'])}"] if source["excludedNamespaces"] else []),
        *(f"- Note: {note}" for note in source["notes"]),
        "",
        "| direction | pods covered | namespaces covered |",
        "|---|---|---|",
    ]
    for direction in ("ingress", "egress"):
        part = total[direction]
        lines.append(
            f"| {direction} | {part['podsCovered']} of {total['pods']} ({part['podsPercent']} %)"
            f" | {part['namespacesCovered']} of {total['namespaces']} ({part['namespacesPercent']} %) |"
        )
    if total["hostNetworkPods"]:
        lines += [
            "",
            f"{total['hostNetworkPods']} pods use their node's network, which no policy can cover.",
        ]
    for direction in ("ingress", "egress"):
        part = data["uncovered"][direction]
        for what in ("namespaces", "pods"):
            lines += ["", f"## {what.capitalize()} without {direction} coverage", ""]
            lines += [f"- {name}" for name in part[what]] or ["None."]
    lines += ["", "## Policies beside the profiles that widen them", ""]
    for one in data["widening"]:
        effect = (
            f"{one['connections']} connections gained, for example {'; '.join(one['examples'])}"
            if one["method"] == "connections"
            else f"by its rules {', '.join(one['examples'])}"
        )
        lines.append(f"- {one['namespace']}/{one['name']} ({one['source']}): {effect}")
    if not data["widening"]:
        lines.append("None.")
    lines += ["", "## What covers each namespace", "", "| namespace | pods | ingress | egress | profiles |"]
    lines.append("|---|---|---|---|---|")
    for space in data["namespaces"]:
        lines.append(
            f"| {space['name']} | {space['pods']} | {_named(space['ingress'])} | {_named(space['egress'])}"
            f" | {', '.join(space['profiles']) or '–'} |"
        )
    return "\n".join(lines) + "\n"


def _named(side: Mapping[str, Any]) -> str:
    policies = ", ".join(policy["name"] for policy in side["policies"]) or "no policy for every pod"
    return f"{policies}; {side['uncoveredPods']} pods open" if side["uncoveredPods"] else policies


def _namespace(assembly: Assembly, space: NamespaceCoverage) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": space.name,
        "pods": space.pods,
        "hostNetworkPods": space.exempt,
        "profiles": list(space.profiles),
    }
    for direction in DIRECTIONS:
        found[direction.lower()] = {
            "covered": bool(space.default(direction)),
            "uncoveredPods": space.uncovered(direction),
            "policies": [policy_data(assembly, policy) for policy in space.default(direction)],
        }
    return found


def _pod(assembly: Assembly, pod: Coverage) -> dict[str, Any]:
    workload = pod.workload
    found: dict[str, Any] = {
        "namespace": workload.namespace,
        "kind": workload.kind,
        "name": workload.name,
        "exempt": pod.exempt,
    }
    if workload.owner:
        found["owner"] = "/".join(workload.owner)
    for direction in DIRECTIONS:
        found[direction.lower()] = [policy_data(assembly, policy) for policy in pod.by(direction)]
    return found


def _digests(assembly: Assembly) -> dict[str, Any]:
    """Over the normal form of every policy's spec, so that equal policies have equal digests."""
    each = {
        f"{namespace}/{name}": hashlib.sha256(canonical(source.manifest.get("spec") or {})).hexdigest()
        for (namespace, name), source in sorted(assembly.policies.items())
    }
    used = {source.template for source in assembly.policies.values() if source.template}
    everything = json.dumps(each, sort_keys=True, separators=(",", ":")).encode()
    return {
        "algorithm": "SHA-256",
        "count": len(each),
        "policies": hashlib.sha256(everything).hexdigest(),
        "templates": {
            name: template.digest for name, template in sorted(assembly.templates.items()) if name in used
        },
        "policy": each,
    }
