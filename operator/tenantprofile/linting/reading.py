"""Objects become what lint judges. What cannot be used is a finding, and the rest goes on without it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tenantprofile.connectivity.manifests import KINDS, ManifestError, labels_of, pod_template
from tenantprofile.connectivity.policies import PolicySpec, parse_spec
from tenantprofile.connectivity.workloads import Workload, selects_single_pods
from tenantprofile.connectivity.world import World
from tenantprofile.input.documents import MAX_DEPTH
from tenantprofile.input.nesting import deeper_than
from tenantprofile.input.objects import SourceObject
from tenantprofile.input.unread import makers, misspelt, refused_version
from tenantprofile.linting.catalogue import (
    DUPLICATE_OBJECT,
    INVALID_OBJECT,
    OBJECT_NAME,
    REMOVED_API,
    UNKNOWN_KIND,
)
from tenantprofile.linting.placed import Placed
from tenantprofile.names import API_VERSION, GROUP, LABEL_MANAGED_BY, LABEL_NAMESPACE_NAME, MANAGED_BY
from tenantprofile.policy.findings import Finding, Path, Rule, nearest, shown
from tenantprofile.policy.validity import UNKNOWN_FIELD
from tenantprofile.rendering.facts import NamespaceFacts

_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_FIELDS: Final = ("apiVersion", "kind", "metadata", "spec")
_CLUSTER_SCOPED: Final = frozenset({"Namespace", "TenantProfile", "PolicyTemplate"})


@dataclass(frozen=True, slots=True)
class Input:
    """What there is to judge. complete: nothing else exists, so what is missing here is missing.

    namespaces_given: by objects of their own, and so with all their labels.
    """

    policies: Sequence[SourceObject]
    profiles: Sequence[SourceObject]
    templates: Sequence[SourceObject]
    namespaces: Mapping[str, NamespaceFacts]
    namespaces_given: frozenset[str]
    pods: Mapping[str, Sequence[Workload]]
    world: World
    services: Sequence[SourceObject]
    complete: bool
    makers: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """By namespace: kinds whose controllers make pods that are not in the input, with how many there are."""
    findings: list[Placed] = field(default_factory=list)


def is_managed(item: SourceObject) -> bool:
    """Whether a policy carries the operator's label."""
    labels = item.metadata.get("labels")
    return isinstance(labels, Mapping) and labels.get(LABEL_MANAGED_BY) == MANAGED_BY


def parsed(spec: Any) -> PolicySpec | None:
    """A spec as the engine reads it; None where the API server would refuse it."""
    try:
        return parse_spec(spec)
    except ManifestError:
        return None


def read(objects: Iterable[SourceObject], complete: bool = False, others: Sequence[Workload] = ()) -> Input:
    """Sorts objects by what they are; findings are about those that are nothing usable.

    others: pods that there are besides, and that were read before.
    """
    objects = tuple(objects)
    findings: list[Placed] = []
    kinds: dict[str, list[SourceObject]] = defaultdict(list)
    for item in _each_once(objects, findings):
        known = KINDS.get(item.kind) == item.group
        if not isinstance(item.raw.get("metadata"), Mapping):
            if known or item.group in (GROUP, "extensions"):
                message = f"found {shown(item.raw.get('metadata'))}"
                findings.append(_about(INVALID_OBJECT, item, ("metadata",), message, "a map with a name"))
        elif item.kind in ("TenantProfile", "PolicyTemplate") and item.group == GROUP:
            if item.api_version != API_VERSION:
                findings.append(_removed(item, API_VERSION))
            else:
                kinds[item.kind].append(item)
        elif item.kind == "NetworkPolicy" and (known or item.group == "extensions"):
            if item.api_version != "networking.k8s.io/v1":
                findings.append(_removed(item, "networking.k8s.io/v1"))
            _check_name(item, findings)
            _check_metadata(item, findings)
            _check_fields(item, findings)
            kinds["NetworkPolicy"].append(item)
        elif meant := misspelt(item):
            message = f"found the kind {shown(item.kind)}, which {item.group or 'the core API'} does not have"
            findings.append(_about(UNKNOWN_KIND, item, ("kind",), message, meant))
        elif expected := refused_version(item):
            findings.append(_removed(item, expected))
        elif known or pod_template(item.raw):
            kinds[item.kind].append(item)
    world = _world(kinds, findings).joined_by(others)
    pods: dict[str, list[Workload]] = defaultdict(list)
    for workload in world.workloads:
        pods[workload.namespace].append(workload)
    return Input(
        policies=kinds["NetworkPolicy"],
        profiles=kinds["TenantProfile"],
        templates=kinds["PolicyTemplate"],
        namespaces=_namespaces(kinds, world),
        namespaces_given=frozenset(item.name for item in kinds["Namespace"]),
        pods=dict(pods),
        world=world,
        services=kinds["Service"],
        complete=complete,
        makers=makers(objects),
        findings=findings,
    )


def _each_once(objects: Iterable[SourceObject], findings: list[Placed]) -> Iterable[SourceObject]:
    seen: dict[tuple[str, str, str, str], SourceObject] = {}
    for item in objects:
        namespace = "" if item.kind in _CLUSTER_SCOPED else item.namespace or "default"
        key = (item.group, item.kind, namespace, item.name)
        if KINDS.get(item.kind) != item.group and item.group not in (GROUP, "extensions"):
            yield item  # what is not judged may be given as often as it pleases
            continue
        first = seen.setdefault(key, item) if item.name else item
        if first is item:
            yield item
        elif first.raw != item.raw:
            findings.append(
                _about(
                    DUPLICATE_OBJECT,
                    item,
                    ("metadata", "name"),
                    f"{item} is given a second time, with different content; the first is {first.place()}",
                )
            )


def _world(kinds: dict[str, list[SourceObject]], findings: list[Placed]) -> World:
    """What policies apply to. An object that the API server would refuse is told of and left out."""
    relevant = [kind for kind in kinds if kind not in ("NetworkPolicy", "TenantProfile", "PolicyTemplate")]
    written = [kinds[kind] for kind in ("NetworkPolicy", "TenantProfile", "PolicyTemplate")]
    single = any(_selects_single_pods(item.raw.get("spec")) for items in written for item in items)
    try:
        return World.from_objects((item.raw for kind in relevant for item in kinds[kind]), single_pods=single)
    except ManifestError:
        for kind in relevant:
            kinds[kind] = [item for item in kinds[kind] if _usable(item, findings)]
    return World.from_objects((item.raw for kind in relevant for item in kinds[kind]), single_pods=single)


def _selects_single_pods(spec: object) -> bool:
    # What is nested that deep is refused elsewhere, and cannot be printed.
    return deeper_than(spec, MAX_DEPTH) is None and selects_single_pods(str(spec))


def _usable(item: SourceObject, findings: list[Placed]) -> bool:
    try:
        World.from_objects((item.raw,))
    except ManifestError as error:
        findings.append(_about(INVALID_OBJECT, item, error.path, error.message))
        return False
    return True


def _check_name(item: SourceObject, findings: list[Placed]) -> None:
    name = item.metadata.get("name")
    if item.metadata.get("generateName") and not name:
        return
    if name is not None and not isinstance(name, str):
        message = f"found {shown(name)}"
        findings.append(_about(OBJECT_NAME, item, ("metadata", "name"), message, "a string (quote it)"))
    elif name is None or len(name) > 253 or not _NAME.fullmatch(name):
        findings.append(
            _about(OBJECT_NAME, item, ("metadata", "name"), f"found {shown(name)} as the name", "a DNS name")
        )


def _check_metadata(item: SourceObject, findings: list[Placed]) -> None:
    namespace = item.metadata.get("namespace")
    if namespace is not None and not isinstance(namespace, str):
        message = f"found {shown(namespace)}"
        findings.append(
            _about(INVALID_OBJECT, item, ("metadata", "namespace"), message, "a string (quote it)")
        )
    for name in ("labels", "annotations"):
        try:
            labels_of(item.metadata.get(name), f"metadata.{name}")
        except ManifestError as error:
            findings.append(_about(INVALID_OBJECT, item, error.path, error.message))


def _check_fields(item: SourceObject, findings: list[Placed]) -> None:
    for key in item.raw:
        if key not in _FIELDS and key != "status":
            message = f"the API has no field {shown(key)} here{nearest(key, _FIELDS)}"
            findings.append(_about(UNKNOWN_FIELD, item, (key,), message, ", ".join(_FIELDS)))


def _removed(item: SourceObject, expected: str) -> Placed:
    return _about(REMOVED_API, item, ("apiVersion",), f"found {item.api_version} for a {item.kind}", expected)


def _about(rule: Rule, item: SourceObject, path: Path, message: str, expected: str = "") -> Placed:
    return Placed(Finding(rule, path, message, expected=expected), item, path)


def _namespaces(kinds: Mapping[str, list[SourceObject]], world: World) -> dict[str, NamespaceFacts]:
    """Namespaces that are given, and those that something is in, with the one label that all have."""
    found: dict[str, NamespaceFacts] = {}
    for item in kinds["Namespace"]:
        annotations = item.metadata.get("annotations")
        found[item.name] = NamespaceFacts(
            item.name,
            world.namespaces[item.name].labels,
            annotations if isinstance(annotations, Mapping) else {},
        )
    mentioned = {item.namespace or "default" for item in kinds["NetworkPolicy"]} | set(world.namespaces)
    for name in mentioned - found.keys():
        found[name] = NamespaceFacts(name, {LABEL_NAMESPACE_NAME: name})
    return {name: found[name] for name in sorted(found)}
