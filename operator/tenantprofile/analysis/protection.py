"""Why a namespace is, or is not, protected by a profile: one answer from what the cluster says (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from tenantprofile.names import ANNOTATION_ADOPT, LABEL_PROFILE, SYSTEM_NAMESPACES
from tenantprofile.planning.profile import Profile
from tenantprofile.planning.status import condition
from tenantprofile.selectors import Requirement

State = Literal[
    "protected", "not selected", "excluded", "waiting", "refused", "conflict", "failing", "suspended"
]

LEFT_OUT: Final = frozenset({"not selected", "excluded"})
"""The profile has nothing to do with the namespace."""

_REFUSED: Final = frozenset(
    {
        "AssertionFailed",
        "InvalidParameters",
        "InvalidSpec",
        "PolicyRefused",
        "RenderFailed",
        "TemplateInvalid",
        "TemplateNotFound",
    }
)
_STEPS: Final[Mapping[str, str]] = {
    "ApplyFailed": "the API server refused the write; its message says what has to change",
    "AssertionFailed": "change the policies or spec.assertions of the profile; tenantprofile test finds out",
    "BeingDeleted": "let whoever set the policy's finalizers remove them",
    "ChangedOnWrite": "exempt the operator from the admission webhook or policy that changes NetworkPolicies",
    "Contested": "take away somebody's right to write the policy, or stop the tool that does",
    "HeldByFinalizer": "let whoever set the policy's finalizers remove them",
    "InvalidParameters": "correct spec.policies[].parameters; tenantprofile templates NAME documents them",
    "InvalidSpec": "correct the profile's spec; tenantprofile lint finds the fields",
    "PolicyRefused": "correct the template; tenantprofile render shows what it makes",
    "QuotaExceeded": "raise count/networkpolicies.networking.k8s.io in the namespace's ResourceQuota",
    "RenderFailed": "correct the template at the line in the message",
    "TemplateInvalid": "correct the PolicyTemplate; tenantprofile templates --context NAME says what is wrong",
    "TemplateNotFound": "correct the template's name, or create the PolicyTemplate",
}
"""What to do, by the reason in a profile's status."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One profile and one namespace.

    `why`: what keeps the profile from protecting it; `policies`: by object name, `present`, `missing`, or
    `foreign` for one that does not carry the profile's label; `next`: what to do; `missed`: how many conditions of
    the selector the namespace does not meet.
    """

    profile: str
    state: State
    why: tuple[str, ...] = ()
    policies: Mapping[str, str] = field(default_factory=dict)
    next: tuple[str, ...] = ()
    missed: int = 0

    def as_data(self) -> dict[str, Any]:
        """For JSON and YAML."""
        return {
            "profile": self.profile,
            "state": self.state,
            "why": list(self.why),
            "policies": dict(self.policies),
            "next": list(self.next),
        }


def by_nearness(answers: Iterable[Answer]) -> list[Answer]:
    """Profiles that select the namespace first; of the others, those that miss least."""
    return sorted(
        answers, key=lambda one: (one.state in LEFT_OUT, one.state == "excluded", one.missed, one.profile)
    )


def is_protected(answers: Iterable[Answer]) -> bool:
    """Whether some profile protects the namespace, and none that selects it fails."""
    states = {one.state for one in answers} - LEFT_OUT
    return states == {"protected"}


def answer(
    profile: Profile,
    status: Mapping[str, Any],
    namespace: str,
    labels: Mapping[str, str],
    policies: Iterable[Mapping[str, Any]],
    operator_namespace: str,
) -> Answer:
    """Why `namespace` is, or is not, protected by a profile. `policies`: every NetworkPolicy in it."""
    if excluded := _excluded(profile, namespace, operator_namespace):
        return Answer(profile.name, "excluded", excluded[:1], next=excluded[1:])
    unmatched = [one for one in profile.selector.requirements if not one.matches(labels)]
    if unmatched:
        return Answer(
            profile.name,
            "not selected",
            tuple(_mismatch(one, labels) for one in unmatched),
            next=_relabelling(unmatched, namespace, labels),
            missed=len(unmatched),
        )
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
        if isinstance(problem, Mapping) and problem.get("namespace") in (None, "", namespace)
    ]
    why = [_words(problem) for problem in problems]
    steps = [_STEPS[str(problem["reason"])] for problem in problems if str(problem.get("reason")) in _STEPS]
    reasons = {str(problem.get("reason")) for problem in problems}
    for name, what in present.items():
        if what == "foreign":
            if not any(names[name] == problem.get("policy") for problem in problems):
                why.append(f"NetworkPolicy {namespace}/{name} exists and is not the operator's")
            reasons.add("Conflict")
            steps.append(
                f"rename or delete NetworkPolicy {namespace}/{name}, or hand it over:"
                f" kubectl annotate networkpolicy -n {namespace} {name} {ANNOTATION_ADOPT}={profile.name}"
            )
    steps = list(dict.fromkeys(steps))
    if profile.suspend:
        off = '{"spec":{"suspend":false}}'
        patch = f"kubectl patch tenantprofile {profile.name} --type=merge -p '{off}'"
        return Answer(profile.name, "suspended", ("spec.suspend is true", *why), present, (patch,))
    if why:
        state: State = "conflict" if "Conflict" in reasons else "refused" if reasons & _REFUSED else "failing"
        return Answer(profile.name, state, tuple(why), present, tuple(steps))
    observed = status.get("observedGeneration")
    if "missing" in present.values() or observed != profile.generation:
        return Answer(
            profile.name,
            "waiting",
            _waiting(status),
            present,
            ("tenantprofile doctor looks at the operator",),
        )
    return Answer(profile.name, "protected", (), present)


def _waiting(status: Mapping[str, Any]) -> tuple[str, ...]:
    ready = condition(status, "Ready")
    said = (
        f"the operator says: {ready['message']}"
        if ready.get("message")
        else "the operator has not looked at it"
    )
    hidden = int(status.get("problemsTotal") or 0) - len(status.get("problems") or ())
    if hidden <= 0:
        return (said,)
    return said, f"the profile's status does not show {hidden} of its problems; the namespace's Events may"


def _excluded(profile: Profile, namespace: str, operator_namespace: str) -> tuple[str, ...]:
    """Which field leaves the namespace out, and what would take it in."""
    if namespace in profile.excluded:
        return (
            "it is in spec.excludedNamespaces",
            f"take {namespace} out of spec.excludedNamespaces of {profile.name}",
        )
    if (
        namespace in SYSTEM_NAMESPACES or namespace == operator_namespace
    ) and namespace not in profile.included_system:
        return (
            "it is a system namespace, and spec.includedSystemNamespaces does not name it",
            f"add {namespace} to spec.includedSystemNamespaces of {profile.name}, if it is meant to be isolated",
        )
    return ()


def _relabelling(unmatched: list[Requirement], namespace: str, labels: Mapping[str, str]) -> tuple[str, ...]:
    """The command that would let the selector match; none where a value has to be chosen."""
    changes: list[str] = []
    for wanted in unmatched:
        if wanted.operator == "In":
            changes.append(f"{wanted.key}={min(wanted.values)}")
        elif wanted.operator == "Exists":
            changes.append(f"{wanted.key}=VALUE")
        else:
            changes.append(f"{wanted.key}-")
    overwrite = " --overwrite" if any(one.operator == "In" and one.key in labels for one in unmatched) else ""
    return (f"kubectl label namespace {namespace} {' '.join(changes)}{overwrite}",)


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
