"""Why a namespace is, or is not, protected by a profile: one answer from what the cluster says (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tenantprofile.names import LABEL_PROFILE, SYSTEM_NAMESPACES
from tenantprofile.planning.profile import Profile
from tenantprofile.planning.status import condition
from tenantprofile.selectors import Requirement

State = Literal["protected", "not selected", "waiting", "failing", "suspended"]


@dataclass(frozen=True, slots=True)
class Answer:
    """One profile and one namespace.

    `why`: what keeps the profile from protecting it; `policies`: by object name, `present`, `missing`, or
    `foreign` for one that does not carry the profile's label; `next`: what to do.
    """

    profile: str
    state: State
    why: tuple[str, ...] = ()
    policies: Mapping[str, str] = field(default_factory=dict)
    next: tuple[str, ...] = ()

    def as_data(self) -> dict[str, Any]:
        """For JSON and YAML."""
        return {
            "profile": self.profile,
            "state": self.state,
            "why": list(self.why),
            "policies": dict(self.policies),
            "next": list(self.next),
        }


def answer(
    profile: Profile,
    status: Mapping[str, Any],
    namespace: str,
    labels: Mapping[str, str],
    policies: Iterable[Mapping[str, Any]],
    operator_namespace: str,
) -> Answer:
    """Why `namespace` is, or is not, protected by a profile. `policies`: every NetworkPolicy in it."""
    unmatched = _unmatched(profile, namespace, labels, operator_namespace)
    if unmatched:
        return Answer(profile.name, "not selected", tuple(unmatched))
    found = {str(policy["metadata"]["name"]): policy for policy in policies}
    names = {profile.object_name(entry.name): entry.name for entry in profile.entries}
    present = {
        name: "missing"
        if name not in found
        else "present"
        if _is_ours(found[name], profile.name)
        else "foreign"
        for name in names
    }
    problems = [
        problem
        for problem in status.get("problems") or ()
        if isinstance(problem, Mapping) and problem.get("namespace") in (None, namespace)
    ]
    why = [_words(problem) for problem in problems]
    steps: list[str] = []
    for name, what in present.items():
        if what == "foreign" and not any(names[name] == problem.get("policy") for problem in problems):
            why.append(f"NetworkPolicy {namespace}/{name} exists and is not the operator's")
            steps.append(f"rename or delete NetworkPolicy {namespace}/{name}, or annotate it to hand it over")
    if profile.suspend:
        return Answer(
            profile.name, "suspended", ("spec.suspend is true", *why), present, ("set spec.suspend to false",)
        )
    if why:
        return Answer(profile.name, "failing", tuple(why), present, tuple(steps))
    observed = status.get("observedGeneration")
    if "missing" in present.values() or observed != profile.generation:
        ready = condition(status, "Ready")
        said = (
            f"the operator says: {ready['message']}"
            if ready.get("message")
            else "the operator has not looked at it"
        )
        return Answer(
            profile.name,
            "waiting",
            (said,),
            present,
            ("check that the operator runs and holds its lease: tenantprofile doctor",),
        )
    return Answer(profile.name, "protected", (), present)


def _unmatched(
    profile: Profile, namespace: str, labels: Mapping[str, str], operator_namespace: str
) -> list[str]:
    if namespace in profile.excluded:
        return ["it is in spec.excludedNamespaces"]
    if (
        namespace in SYSTEM_NAMESPACES or namespace == operator_namespace
    ) and namespace not in profile.included_system:
        return ["it is a system namespace, and spec.includedSystemNamespaces does not name it"]
    return [
        _mismatch(requirement, labels)
        for requirement in profile.selector.requirements
        if not requirement.matches(labels)
    ]


def _mismatch(wanted: Requirement, labels: Mapping[str, str]) -> str:
    has = f"has {wanted.key}={labels[wanted.key]}" if wanted.key in labels else f"has no label {wanted.key}"
    values = " or ".join(f"{wanted.key}={value}" for value in sorted(wanted.values))
    expected = {
        "In": f"the profile selects {values}",
        "NotIn": f"the profile leaves out {values}",
        "Exists": f"the profile selects namespaces with the label {wanted.key}",
        "DoesNotExist": f"the profile leaves out namespaces with the label {wanted.key}",
    }[wanted.operator]
    return f"it {has}; {expected}"


def _is_ours(policy: Mapping[str, Any], profile: str) -> bool:
    labels = policy["metadata"].get("labels")
    return isinstance(labels, Mapping) and labels.get(LABEL_PROFILE) == profile


def _words(problem: Mapping[str, Any]) -> str:
    return f"{problem.get('policy') or 'profile'}: {problem.get('reason')}: {problem.get('message')}"
