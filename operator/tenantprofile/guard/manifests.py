"""The guard's policies and bindings as they come with this package, with an installation's values put in.

The files are those of deploy/components/guard and deploy/static: there is one source for Kustomize, Helm and
this command. What an installation may set is a CEL variable of a known name, the actions of a binding, or the
namespaceSelector of the pod gate; everything else is as tested.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

import yaml

from tenantprofile.names import GROUP

Object = dict[str, Any]
Action = Literal["deny", "warn", "audit"]

POLICY: Final = "ValidatingAdmissionPolicy"
BINDING: Final = "ValidatingAdmissionPolicyBinding"
LABEL: Final = f"{GROUP}/guard"
"""On every policy and binding: the part that it belongs to."""

LABEL_STAYS: Final = f"{GROUP}/guard-stays"
"""On what stays when a part is removed, because an API server must not see it come and go."""

PARTS: Final = ("managed-objects", "membership", "pod-gate", "guardrails", "other-kinds")
GATE: Final = "pod-gate"
SELF_PROTECTION: Final = "self-protection"
OPERATOR_NAMESPACE: Final = "tenantprofile-system"
ACCOUNT: Final = "tenantprofile-operator"

ACTIONS: Final[Mapping[Action, tuple[str, ...]]] = {
    "deny": ("Deny", "Audit"),
    "warn": ("Warn", "Audit"),
    "audit": ("Audit",),
}
"""What `validationActions` says for each action."""

STATIC_SUFFIX: Final = ".static.k8s.io"
"""Names of static manifests must end so, and nothing else may (Kubernetes, KEP-5793)."""

SETTABLE: Final = frozenset(
    {"operator", "operatorNamespace", "distrusted", "guardedPrefixes", "trustedGroups", "allowed"}
)
"""Variables that hold an installation's values."""


class GuardError(ValueError):
    """What was asked for cannot be rendered; the message says why."""


@dataclass(frozen=True, slots=True)
class Values:
    """An installation's values; those of the files where nothing is set."""

    action: Action = "deny"
    distrusted: Sequence[str] = ()
    allowed_kinds: Sequence[str] = ()
    guarded_prefixes: Sequence[str] = ()
    operator_namespace: str = OPERATOR_NAMESPACE
    gate_selector: Mapping[str, Any] = field(default_factory=dict)


def default_parts() -> tuple[str, ...]:
    """Those that deploy/components/guard installs."""
    text = (_folder("guard") / "kustomization.yaml").read_text(encoding="utf-8")
    return tuple(yaml.safe_load(text)["components"])


def shipped(part: str) -> list[Object]:
    """The policies of a part, then its bindings, as they are in the files."""
    return copy.deepcopy(_read(part))


def render(parts: Iterable[str], values: Values) -> list[Object]:
    """Policies, then bindings, of these parts. Raises GuardError."""
    found: list[Object] = []
    for part in parts:
        if part == GATE and values.action != "deny":
            raise GuardError(
                f"the pod gate cannot {values.action}: Kubernetes refuses what lacks its parameter, whatever the"
                " binding's validationActions are. Leave it out until the other parts deny"
            )
        found += [_with(item, values) for item in shipped(part)]
    return sorted(found, key=lambda item: item["kind"] == BINDING)


def render_static(parts: Iterable[str], values: Values) -> tuple[list[Object], list[str]]:
    """Manifests that an API server reads from its disk, and the names of policies that cannot be such.

    A static policy takes no parameters (KEP-5793), so what is judged by profiles or by the pod gate's marker stays
    in the API. One more policy is included, which protects the guard itself.
    """
    found = [item for part in (*parts, SELF_PROTECTION) for item in render([part], values)]
    left = [
        item["metadata"]["name"] for item in found if item["kind"] == POLICY and "paramKind" in item["spec"]
    ]
    kept = []
    for item in found:
        spec = item["spec"]
        if item["metadata"]["name"] in left or spec.get("policyName") in left:
            continue
        item["metadata"]["name"] += STATIC_SUFFIX
        if item["kind"] == BINDING:
            spec["policyName"] += STATIC_SUFFIX
        kept.append(item)
    return sorted(kept, key=lambda item: item["kind"] == BINDING), left


def digest(item: Object) -> str:
    """Of what a policy or binding does, without an installation's values and the API server's defaults."""
    text = json.dumps(comparable(item), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def comparable(item: Object) -> Object:
    """A spec without an installation's values, and as it is whether or not the API server filled in defaults."""
    spec: Object = copy.deepcopy(item["spec"])
    if item["kind"] == BINDING:
        spec.pop("validationActions", None)
        resources = _without_defaults(spec.pop("matchResources", None) or {})
        if part_of(item) == GATE and not stays(item):
            resources.pop("namespaceSelector", None)
        return spec | ({"matchResources": resources} if resources else {})
    spec.setdefault("failurePolicy", "Fail")
    spec["matchConstraints"] = _without_defaults(spec.get("matchConstraints") or {})
    for rule in spec["matchConstraints"].get("resourceRules") or ():
        rule.setdefault("scope", "*")
    for variable in spec.get("variables") or ():
        if variable["name"] in SETTABLE:
            variable["expression"] = ""
    return spec


def values_of(item: Object) -> dict[str, str]:
    """The installation's values in a policy: variables by their names."""
    variables = item["spec"].get("variables") or ()
    return {v["name"]: v["expression"] for v in variables if v["name"] in SETTABLE}


def part_of(item: Object) -> str:
    """The part that an object says it belongs to; empty where it says nothing."""
    return str((item["metadata"].get("labels") or {}).get(LABEL, ""))


def stays(item: Object) -> bool:
    """Whether an object is left in place when its part is removed. It judges nothing by itself."""
    return LABEL_STAYS in (item["metadata"].get("labels") or {})


def action_of(binding: Object) -> Action:
    """The strongest of a binding's actions."""
    actions = binding["spec"].get("validationActions") or ()
    return "deny" if "Deny" in actions else "warn" if "Warn" in actions else "audit"


def weaker(one: Action, other: Action) -> Action:
    """The one of two actions that stops less."""
    order: tuple[Action, ...] = ("audit", "warn", "deny")
    return min(one, other, key=order.index)


def _with(item: Object, values: Values) -> Object:
    spec = item["spec"]
    if item["kind"] == BINDING:
        action = weaker(action_of(item), values.action)
        if action != action_of(item):
            spec["validationActions"] = list(ACTIONS[action])
        if part_of(item) == GATE and not stays(item) and values.gate_selector:
            spec["matchResources"] = {"namespaceSelector": dict(values.gate_selector)}
        return item
    account = f"system:serviceaccount:{values.operator_namespace}:{ACCOUNT}"
    wanted: dict[str, str | list[str]] = {
        "distrusted": list(values.distrusted),
        "allowed": list(values.allowed_kinds),
    }
    if values.operator_namespace != OPERATOR_NAMESPACE:
        wanted |= {"operator": account, "operatorNamespace": values.operator_namespace}
    for variable in spec.get("variables") or ():
        name = variable["name"]
        if name == "guardedPrefixes" and values.guarded_prefixes:
            shipped_ones = yaml.safe_load(variable["expression"])
            variable["expression"] = _cel([*shipped_ones, *values.guarded_prefixes])
        elif wanted.get(name):
            variable["expression"] = _cel(wanted[name])
    return item


def _cel(value: str | list[str]) -> str:
    """A CEL literal: its strings are written as JSON writes them."""
    return json.dumps(value, ensure_ascii=False)


def _without_defaults(resources: Object) -> Object:
    defaults = {"matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {}}
    return {k: v for k, v in resources.items() if not (k in defaults and v == defaults[k])}


@cache
def _read(part: str) -> list[Object]:
    folder = _folder("static") / part if part == SELF_PROTECTION else _folder("guard") / part
    found: list[Object] = []
    for name in ("policies.yaml", "bindings.yaml"):
        found += list(yaml.safe_load_all((folder / name).read_text(encoding="utf-8")))
    return found


def _folder(name: str) -> Path:
    package = Path(__file__).resolve().parents[1]
    in_wheel = package / "builtin" / name
    checkout = package.parents[1] / "deploy"
    in_checkout = {"guard": checkout / "components" / "guard", "static": checkout / "static"}[name]
    return in_wheel if in_wheel.is_dir() else in_checkout
