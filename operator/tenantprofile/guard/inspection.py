"""How the guard in a cluster compares with the one that comes with this package."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from tenantprofile.guard.manifests import (
    BINDING,
    GATE,
    PARTS,
    POLICY,
    Action,
    Object,
    action_of,
    comparable,
    digest,
    part_of,
    shipped,
    stays,
    values_of,
    weaker,
)
from tenantprofile.names import API_VERSION
from tenantprofile.selectors import SelectorError, parse_selector

State = Literal["installed", "broken", "off"]

RENDER: Final = (
    "tenantprofile guard render --part {part} | kubectl apply --server-side --force-conflicts -f -"
)


@dataclass(frozen=True, slots=True)
class Installed:
    """What a cluster has: all of its admission policies and bindings, and whether it serves TenantProfiles."""

    policies: Mapping[str, Object]
    bindings: Mapping[str, Object]
    serves_profiles: bool

    @classmethod
    def of(cls, policies: Iterable[Object], bindings: Iterable[Object], serves_profiles: bool) -> Installed:
        return cls(
            {item["metadata"]["name"]: {**item, "kind": POLICY} for item in policies},
            {item["metadata"]["name"]: {**item, "kind": BINDING} for item in bindings},
            serves_profiles,
        )


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, and what puts it right."""

    what: str
    fix: str

    def as_data(self) -> dict[str, str]:
        return {"what": self.what, "fix": self.fix}


@dataclass(frozen=True, slots=True)
class PartReport:
    """One part of the guard in a cluster."""

    part: str
    state: State
    action: str
    """What it does to a request that it objects to: deny, warn or audit; empty where nothing is installed."""
    digests: Mapping[str, str]
    """Of each policy that is installed."""
    values: Mapping[str, str]
    """What the installation has set."""
    problems: tuple[Problem, ...]

    def as_data(self) -> dict[str, Any]:
        return {
            "part": self.part,
            "state": self.state,
            "action": self.action,
            "digests": dict(self.digests),
            "values": dict(self.values),
            "problems": [problem.as_data() for problem in self.problems],
        }


def inspect(
    installed: Installed, parts: Sequence[str] = PARTS, expected: Action = "deny"
) -> list[PartReport]:
    """Each part as it stands; a part that does less than `expected` is broken."""
    return [_part(installed, part, expected) for part in parts]


def orphans(installed: Installed) -> list[str]:
    """Bindings of the guard whose policy is not there: they do nothing."""
    return sorted(
        name
        for name, binding in installed.bindings.items()
        if part_of(binding) and binding["spec"].get("policyName") not in installed.policies
    )


def bindings_of(installed: Installed, parts: Sequence[str]) -> list[str]:
    """Every binding to a policy of these parts, whoever made it, and those that only say they belong to them."""
    names = {item["metadata"]["name"] for part in parts for item in shipped(part) if item["kind"] == POLICY}
    names |= set(policies_of(installed, parts))
    return sorted(
        name
        for name, binding in installed.bindings.items()
        if binding["spec"].get("policyName") in names or part_of(binding) in parts
    )


def policies_of(installed: Installed, parts: Sequence[str]) -> list[str]:
    """The policies of these parts that a cluster has, older names included."""
    names = {item["metadata"]["name"] for part in parts for item in shipped(part) if item["kind"] == POLICY}
    return sorted(
        name for name, policy in installed.policies.items() if name in names or part_of(policy) in parts
    )


def gate_selects(installed: Installed, labels: Mapping[str, str]) -> bool:
    """Whether a binding of the pod gate is for a namespace with these labels."""
    (policy,) = (item["metadata"]["name"] for item in shipped(GATE) if item["kind"] == POLICY)
    for binding in installed.bindings.values():
        if binding["spec"].get("policyName") == policy:
            resources = binding["spec"].get("matchResources") or {}
            try:
                if parse_selector(resources.get("namespaceSelector")).matches(labels):
                    return True
            except SelectorError:
                continue
    return False


def _part(installed: Installed, part: str, expected: Action) -> PartReport:
    wanted = shipped(part)
    policies = {i["metadata"]["name"]: i for i in wanted if i["kind"] == POLICY}
    bindings = {i["metadata"]["name"]: i for i in wanted if i["kind"] == BINDING}
    if not any(not stays(item) for item in _objects(installed, part)):
        return PartReport(part, "off", "", {}, {}, ())
    again = RENDER.format(part=part)
    problems: list[Problem] = []
    values: dict[str, str] = {}
    for name, policy in policies.items():
        there = installed.policies.get(name)
        if there is None:
            problems.append(Problem(f"policy {name} is missing", again))
            continue
        problems += _policy_problems(installed, there, policy, again)
        values |= {k: v for k, v in values_of(there).items() if v != values_of(policy).get(k)}
    action: Action | None = None
    for name, binding in bindings.items():
        there = _binding(installed, part, name, binding)
        if there is None:
            problems.append(Problem(f"binding {name} is missing: its policy judges nothing", again))
            continue
        problems += _binding_problems(there, binding, expected, part, again)
        found = action_of(there)
        if action_of(binding) == "deny":
            action = found if action is None else weaker(action, found)
        if part == GATE and not stays(binding):
            values["namespaceSelector"] = str(
                (there["spec"].get("matchResources") or {}).get("namespaceSelector") or {}
            )
    for name in orphans(installed):
        if part_of(installed.bindings[name]) == part and name not in bindings:
            fix = f"kubectl delete {BINDING.lower()} {name}"
            problems.append(Problem(f"binding {name} is for a policy that is not there", fix))
    digests = {name: digest(installed.policies[name]) for name in policies if name in installed.policies}
    state: State = "broken" if problems else "installed"
    return PartReport(part, state, action or "", digests, values, tuple(problems))


def _objects(installed: Installed, part: str) -> list[Object]:
    return [installed.policies[name] for name in policies_of(installed, [part])] + [
        installed.bindings[name] for name in bindings_of(installed, [part])
    ]


def _policy_problems(installed: Installed, there: Object, wanted: Object, again: str) -> Iterable[Problem]:
    name = there["metadata"]["name"]
    if there["metadata"].get("deletionTimestamp"):
        yield Problem(f"policy {name} is being deleted", f"remove its finalizers, then {again}")
    if digest(there) != digest(wanted):
        is_, should = comparable(there), comparable(wanted)
        fields = sorted(f for f in is_.keys() | should.keys() if is_.get(f) != should.get(f))
        yield Problem(
            f"policy {name} is not as shipped: spec.{', spec.'.join(fields)} (digest {digest(there)},"
            f" shipped {digest(wanted)})",
            again,
        )
    warnings = ((there.get("status") or {}).get("typeChecking") or {}).get("expressionWarnings") or ()
    for warning in warnings:
        first = str(warning.get("warning", "")).strip().splitlines()[:1]
        yield Problem(
            f"policy {name}: the API server warns of {warning.get('fieldRef')}: {''.join(first)}", again
        )
    kind = there["spec"].get("paramKind") or {}
    if kind.get("apiVersion") == API_VERSION and not installed.serves_profiles:
        yield Problem(
            f"policy {name} takes TenantProfiles as parameters, and the API server serves none: every request that"
            " it matches is refused, the administrator's too",
            "kubectl apply --server-side -k crds, or tenantprofile guard remove",
        )


def _binding(installed: Installed, part: str, name: str, wanted: Object) -> Object | None:
    """The binding by its name; for the pod gate any binding to its policy, one for each kind of namespace say."""
    if name in installed.bindings or part != GATE or stays(wanted):
        return installed.bindings.get(name)
    policy = wanted["spec"]["policyName"]
    others = (
        other
        for other in installed.bindings.values()
        if other["spec"].get("policyName") == policy and not stays(other)
    )
    return next(others, None)


def _binding_problems(
    there: Object, wanted: Object, expected: Action, part: str, again: str
) -> Iterable[Problem]:
    name = there["metadata"]["name"]
    if there["metadata"].get("deletionTimestamp"):
        yield Problem(f"binding {name} is being deleted", f"remove its finalizers, then {again}")
    same_part = {**there, "metadata": {**there["metadata"], "labels": wanted["metadata"]["labels"]}}
    if digest(same_part) != digest(wanted):
        is_, should = comparable(same_part), comparable(wanted)
        fields = sorted(f for f in is_.keys() | should.keys() if is_.get(f) != should.get(f))
        yield Problem(f"binding {name} is not as shipped: spec.{', spec.'.join(fields)}", again)
    found = action_of(there)
    if stays(wanted):
        return
    if part == GATE:
        if found != "deny":
            yield Problem(
                f"binding {name} says {found}, but denies all the same: Kubernetes refuses what lacks its parameter,"
                " whatever the action is",
                f"{again} says so; to open the gate, tenantprofile guard remove --part {GATE}",
            )
        return
    least = weaker(action_of(wanted), expected)
    if weaker(found, least) != least:
        yield Problem(
            f"binding {name} only {_does(found)}; expected {least}", f"{again} (--action {expected})"
        )
    elif action_of(wanted) != "deny" and weaker(found, action_of(wanted)) != found:
        yield Problem(f"binding {name} {_does(found)}, where profiles ask to {action_of(wanted)}", again)


def _does(action: Action) -> str:
    return {"deny": "denies", "warn": "warns", "audit": "audits"}[action]
