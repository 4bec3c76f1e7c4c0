"""What the API server does to an object between the request and etcd: defaults, pruning, field managers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final

Object = dict[str, Any]
Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Kind:
    """One resource and what its strategy allows (registry/*/strategy.go; CRDs have one strategy for all)."""

    api_version: str
    plural: str
    kind: str
    namespaced: bool
    has_generation: bool = False
    custom: bool = False
    """A CRD with the status subresource: what is not status counts a generation, and an update needs a version."""
    unconditional: bool = True
    """Whether an update may leave out resourceVersion."""
    create_on_update: bool = False

    @property
    def group(self) -> str:
        return self.api_version.rpartition("/")[0]

    @property
    def prefix(self) -> str:
        """The path of the API group and version."""
        return f"/apis/{self.api_version}" if self.group else f"/api/{self.api_version}"


KINDS: Final = {
    kind.plural: kind
    for kind in (
        Kind("v1", "namespaces", "Namespace", namespaced=False),
        Kind("v1", "configmaps", "ConfigMap", namespaced=True),
        Kind("v1", "secrets", "Secret", namespaced=True),
        Kind("v1", "events", "Event", namespaced=True, create_on_update=True),
        Kind("networking.k8s.io/v1", "networkpolicies", "NetworkPolicy", True, has_generation=True),
        Kind("coordination.k8s.io/v1", "leases", "Lease", True, unconditional=False, create_on_update=True),
        Kind(
            "apiextensions.k8s.io/v1",
            "customresourcedefinitions",
            "CustomResourceDefinition",
            namespaced=False,
        ),
        *(
            Kind("tenantprofile.dev/v1alpha1", plural, kind, False, True, custom=True, unconditional=False)
            for plural, kind in (("tenantprofiles", "TenantProfile"), ("policytemplates", "PolicyTemplate"))
        ),
    )
}

PROFILE_DEFAULTS: Final[Object] = {
    "conflicts": "Report",
    "deletionPolicy": "Delete",
    "drift": "Repair",
    "selectAllNamespaces": False,
    "suspend": False,
}
"""As in crds/tenantprofile.dev_tenantprofiles.yaml."""


def defaulted(kind: Kind, raw: Mapping[str, Any]) -> Object:
    """The object in the form in which it is stored. It does not validate."""
    body = deepcopy(dict(raw))
    metadata = body["metadata"] = {
        k: v for k, v in body.get("metadata", {}).items() if v not in (None, {}, [], "")
    }
    body |= {"apiVersion": kind.api_version, "kind": kind.kind}
    if kind.plural == "networkpolicies":
        body.pop("status", None)
        body["spec"] = _policy_spec(body.get("spec") or {})
    elif kind.plural == "namespaces":
        metadata.setdefault("labels", {})["kubernetes.io/metadata.name"] = metadata["name"]
        body["spec"] = {"finalizers": ["kubernetes"]}
    elif kind.plural == "tenantprofiles":
        body["spec"] = {**PROFILE_DEFAULTS, **(body.get("spec") or {})}
    elif kind.plural == "secrets":
        body.setdefault("type", "Opaque")
    return body


def _policy_spec(spec: Mapping[str, Any]) -> Object:
    """`SetDefaults_NetworkPolicy` and what `omitempty` leaves out (networking/v1 types.go, defaults.go)."""
    stored: Object = {"podSelector": _selector(spec.get("podSelector") or {})}
    types = list(spec.get("policyTypes") or ())
    stored["policyTypes"] = types or ["Ingress", *(["Egress"] if spec.get("egress") else [])]
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        if spec.get(direction):
            stored[direction] = [_rule(rule or {}, peers) for rule in spec[direction]]
    return stored


def _rule(rule: Mapping[str, Any], peers: str) -> Object:
    stored: Object = {}
    if rule.get("ports"):
        stored["ports"] = [
            {"protocol": "TCP", **{k: v for k, v in port.items() if v is not None}} for port in rule["ports"]
        ]
    if rule.get(peers):
        stored[peers] = [_peer(peer) for peer in rule[peers]]
    return stored


def _peer(peer: Mapping[str, Any]) -> Object:
    stored: Object = {}
    for key in ("podSelector", "namespaceSelector"):
        if peer.get(key) is not None:
            stored[key] = _selector(peer[key])
    if peer.get("ipBlock") is not None:
        stored["ipBlock"] = {k: v for k, v in peer["ipBlock"].items() if v}
    return stored


def _selector(selector: Mapping[str, Any]) -> Object:
    return {key: deepcopy(value) for key, value in selector.items() if value}


def merge(target: Any, patch: Any) -> Any:
    """A JSON merge patch (RFC 7386)."""
    if not isinstance(patch, Mapping):
        return deepcopy(patch)
    merged = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


# --- field managers ---

_ATOMIC: Final = {("spec", "podSelector"), ("spec", "policyTypes"), ("spec", "ingress"), ("spec", "egress")}
_NOT_MANAGED: Final = {
    "uid", "resourceVersion", "generation", "creationTimestamp", "name", "namespace", "managedFields",
    "deletionTimestamp", "deletionGracePeriodSeconds",
}  # fmt: skip


def managed(
    before: Object | None, after: Object, manager: str, now: str, subresource: str = ""
) -> list[Object]:
    """`metadata.managedFields` after an update: who wrote a field last owns it (documentation, Field Management)."""
    old = dict(_leaves(before)) if before is not None else {}
    new = dict(_leaves(after))
    changed = {path for path, value in new.items() if path not in old or old[path] != value}
    entries: list[Object] = []
    mine: Object | None = None
    for entry in before["metadata"].get("managedFields", []) if before is not None else []:
        same = (entry["manager"], entry["operation"], entry.get("subresource", "")) == (
            manager, "Update", subresource,
        )  # fmt: skip
        paths = {path for path in _paths(entry["fieldsV1"]) if path in new and (same or path not in changed)}
        if same:
            paths |= changed
        kept = {**entry, "fieldsV1": _fields(paths)}
        if same:
            mine = kept
            if changed:
                kept["time"] = now
        if paths:
            entries.append(kept)
    if mine is None and changed:
        entries.append(
            {
                "apiVersion": after["apiVersion"],
                "fieldsType": "FieldsV1",
                "fieldsV1": _fields(changed),
                "manager": manager,
                "operation": "Update",
                **({"subresource": subresource} if subresource else {}),
                "time": now,
            }
        )
    return entries


def _leaves(body: Mapping[str, Any], at: Path = ()) -> Iterator[tuple[Path, Any]]:
    for key, value in body.items():
        path = (*at, key)
        if (not at and key in ("apiVersion", "kind")) or (at == ("metadata",) and key in _NOT_MANAGED):
            continue
        if isinstance(value, Mapping) and path not in _ATOMIC:
            if path not in (("metadata",), ("spec",)):
                yield path, None
            yield from _leaves(value, path)
        else:
            yield path, value


def _fields(paths: set[Path]) -> Object:
    fields: Object = {}
    for path in sorted(paths):
        at = fields
        for key in path:
            at = at.setdefault(f"f:{key}", {})
        at["."] = {}
    return fields


def _paths(fields: Mapping[str, Any], at: Path = ()) -> Iterator[Path]:
    for key, value in fields.items():
        if key == ".":
            yield at
        else:
            yield from _paths(value, (*at, key.removeprefix("f:")))


Mutate = Callable[[Object], Object]
