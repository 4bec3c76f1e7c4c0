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
from tenantprofile.connectivity.coverage import Coverage, Level
from tenantprofile.connectivity.policies import DIRECTIONS, Policy
from tenantprofile.names import CLI_API_VERSION
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


def evidence(
    assembly: Assembly, found: Audit, circumstances: Circumstances, *, restricted_pods: bool = True
) -> dict[str, Any]:
    """The whole evidence as data; Markdown and CSV are made from the same.

    restricted_pods: list also pods that are restricted in both directions, which most are.
    """
    return {
        "apiVersion": CLI_API_VERSION,
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
        "system": {"names": sorted(found.system), **totals(found, system=True)},
        "uncovered": _at(found, "open"),
        "openToAll": _at(found, "open to all"),
        "needs": {
            **{
                state: sum(need.state == state for need in found.needs)
                for state in ("open", "cut", "unknown")
            },
            "list": [need.data() for need in found.needs if need.state != "open"],
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
        "pods": [
            _pod(assembly, pod) for pod in found.pods if restricted_pods or pod.exempt or not pod.covered
        ],
    }


def _at(found: Audit, level: Level) -> dict[str, Any]:
    return {
        direction.lower(): {
            "pods": [str(pod.workload) for pod in found.at(direction, level)],
            "namespaces": [space.name for space in found.spaces_at(direction, level)],
        }
        for direction in DIRECTIONS
    }


def totals(found: Audit, *, system: bool = False) -> dict[str, Any]:
    """Counts and percentages of what is restricted, of tenants or else of the system's namespaces.

    Percentages of nothing are null.
    """
    countable, spaces = found.countable(system=system), found.spaces(system=system)
    exempt = [p for p in found.pods if p.exempt and (p.workload.namespace in found.system) == system]
    result: dict[str, Any] = {
        "pods": len(countable),
        "hostNetworkPods": len(exempt),
        "namespaces": len(spaces),
    }
    for direction in DIRECTIONS:
        covered = len(found.at(direction, "restricted", system=system))
        guarded = len(found.spaces_at(direction, "restricted", system=system))
        result[direction.lower()] = {
            "podsCovered": covered,
            "podsPercent": percent(covered, len(countable)),
            "podsOpen": len(found.at(direction, "open", system=system)),
            "podsOpenToAll": len(found.at(direction, "open to all", system=system)),
            "namespacesCovered": guarded,
            "namespacesPercent": percent(guarded, len(spaces)),
            "namespacesOpen": len(found.spaces_at(direction, "open", system=system)),
            "namespacesOpenToAll": len(found.spaces_at(direction, "open to all", system=system)),
        }
    return result


def share(part: int, whole: int) -> str:
    """`3 of 4 (75.0 %)`, for people; of nothing there is no percentage."""
    return f"{part} of {whole} ({percent(part, whole)} %)" if whole else f"{part} of {whole}"


def percent(part: int, whole: int) -> float | None:
    """One decimal, rounded down: 99.95 % is not everything. None of nothing."""
    if not whole:
        return None
    return 100.0 if part == whole else int(1000 * part / whole) / 10


def rows(assembly: Assembly, found: Audit) -> Iterator[tuple[str, ...]]:
    """One row per namespace, then one per pod, for CSV; lists are joined by spaces."""
    for space in found.namespaces:
        policies = (space.default_ingress, space.default_egress)
        yield ("Namespace", "", space.name, *_row(assembly, policies, _states(space)))
    for pod in found.pods:
        policies = (pod.ingress, pod.egress)
        row = _row(assembly, policies, ["exempt", "exempt"] if pod.exempt else _states(pod))
        yield (pod.workload.kind, pod.workload.namespace, pod.workload.name, *row)


def _states(one: Coverage | NamespaceCoverage) -> list[str]:
    return [one.level(direction) for direction in DIRECTIONS]


def _row(
    assembly: Assembly, policies: tuple[tuple[Policy, ...], tuple[Policy, ...]], state: list[str]
) -> tuple[str, ...]:
    sources = [assembly.source_of(policy) for side in policies for policy in side]
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
        "| direction | pods restricted | pods open to all | pods open | namespaces restricted |",
        "|---|---|---|---|---|",
    ]
    for direction in ("ingress", "egress"):
        part = total[direction]
        lines.append(
            f"| {direction} | {share(part['podsCovered'], total['pods'])}"
            f" | {part['podsOpenToAll']} | {part['podsOpen']}"
            f" | {share(part['namespacesCovered'], total['namespaces'])} |"
        )
    if total["hostNetworkPods"]:
        lines += [
            "",
            f"{total['hostNetworkPods']} pods use their node's network, which no policy can cover.",
        ]
    if apart := data["system"]["names"]:
        lines += ["", f"Counted apart, as namespaces of the system: {', '.join(apart)}."]
    for direction in ("ingress", "egress"):
        part = data["openToAll"][direction]
        for what in ("namespaces", "pods"):
            if part[what]:
                lines += ["", f"## {what.capitalize()} isolated but open to all for {direction}", ""]
                lines += [f"- {name}" for name in part[what]]
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
    if data["needs"]["list"]:
        lines += ["", "## Flows that other objects need", ""]
        lines += [f"- {need['state']}: {need['text']}" for need in data["needs"]["list"]]
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
    if side["level"] == "open to all":
        policies = f"{policies}; together they allow everything"
    if side["openToAllPods"]:
        policies = f"{policies}; {side['openToAllPods']} pods open to all"
    return f"{policies}; {side['uncoveredPods']} pods open" if side["uncoveredPods"] else policies


def _namespace(assembly: Assembly, space: NamespaceCoverage) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": space.name,
        "pods": space.pods,
        "hostNetworkPods": space.exempt,
        "system": space.system,
        "profiles": list(space.profiles),
    }
    for direction in DIRECTIONS:
        found[direction.lower()] = {
            "covered": space.level(direction) == "restricted",
            "level": space.level(direction),
            "uncoveredPods": space.uncovered(direction),
            "openToAllPods": space.wide(direction),
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
        "ingressLevel": "exempt" if pod.exempt else pod.ingress_level,
        "egressLevel": "exempt" if pod.exempt else pod.egress_level,
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
