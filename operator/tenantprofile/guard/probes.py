"""Requests that the guard must refuse, or must let through, and how an answer to one is read.

All are dry-runs in a namespace of their own (deploy/components/guard-probe), asked as an account that holds none of
the guard's verbs. A refusal counts only when it names the policy that it should come from: a namespace that is gone
or a right that is missing is no proof of a guard.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from tenantprofile.guard.inspection import RENDER, PartReport
from tenantprofile.guard.manifests import GATE, PARTS
from tenantprofile.names import API_VERSION, GROUP, LABEL_PROFILE

NAMESPACE: Final = "tenantprofile-probe"
PROFILE: Final = "tenantprofile-probe"
ACCOUNT: Final = "tenantprofile-guard-probe"
USER: Final = f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}"
MARKER: Final = f"{GROUP}/complete"
COMPONENT: Final = "deploy/components/guard-probe"

State = Literal["on", "trial", "unproven", "off", "broken", "unknown"]
Outcome = Literal["refused", "warned", "admitted", "absent", "unknown"]

_MERGE: Final = "application/merge-patch+json"
_POLICIES: Final = f"/apis/networking.k8s.io/v1/namespaces/{NAMESPACE}/networkpolicies"
_PLACE: Final = f"/api/v1/namespaces/{NAMESPACE}"


@dataclass(frozen=True, slots=True)
class Probe:
    """One request. `policy` is the one that must refuse it; without one nothing of the guard may."""

    what: str
    part: str
    policy: str
    method: str
    path: str
    body: Mapping[str, Any] = field(hash=False)
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a request: its HTTP status, the message of a refusal, and warnings."""

    status: int
    message: str
    warnings: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """One part, as its probes found it."""

    part: str
    state: State
    seen: tuple[str, ...]
    fix: str = ""

    def as_data(self) -> dict[str, Any]:
        return {"part": self.part, "state": self.state, "seen": list(self.seen), "fix": self.fix}


def _policy(name: str, labels: Mapping[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "labels": dict(labels or {})},
        "spec": {"podSelector": {}, **spec},
    }


def _custom(version: str, kind: str, plural: str, spec: Mapping[str, Any]) -> Probe:
    return Probe(
        f"create a {kind} of {version.partition('/')[0]}",
        "other-kinds",
        f"other-network-policy-kinds.{GROUP}",
        "POST",
        f"/apis/{version}/namespaces/{NAMESPACE}/{plural}",
        {"apiVersion": version, "kind": kind, "metadata": {"name": "probe"}, "spec": dict(spec)},
    )


_POD: Final[Mapping[str, Any]] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "probe"},
    "spec": {
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [
            {
                "name": "probe",
                "image": "never-runs",
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "capabilities": {"drop": ["ALL"]},
                },
            }
        ],
    },
}

PROBES: Final[tuple[Probe, ...]] = (
    Probe(
        "create a policy that claims to be the operator's",
        "managed-objects",
        f"managed-policies-are-read-only.{GROUP}",
        "POST",
        _POLICIES,
        _policy("probe", {LABEL_PROFILE: PROFILE}),
    ),
    Probe(
        "create a policy with the marker of the pod gate",
        "managed-objects",
        f"managed-policies-are-read-only.{GROUP}",
        "POST",
        _POLICIES,
        _policy("probe", {MARKER: "true"}),
    ),
    Probe(
        "create a policy under a profile's name",
        "managed-objects",
        f"names-of-profiles-are-reserved.{GROUP}",
        "POST",
        _POLICIES,
        _policy(f"{PROFILE}.probe"),
    ),
    Probe(
        "take a namespace out of its profile",
        "membership",
        f"profile-membership.{GROUP}",
        "PATCH",
        _PLACE,
        {"metadata": {"labels": {f"{GROUP}/probe": None}}},
        _MERGE,
    ),
    Probe(
        "change a namespace's labels through its status",
        "membership",
        f"namespace-subresources-keep-labels.{GROUP}",
        "PATCH",
        f"{_PLACE}/status",
        {"metadata": {"labels": {f"{GROUP}/probe": None}}},
        _MERGE,
    ),
    Probe(
        "create a pod where the baseline is not complete",
        GATE,
        f"pods-need-a-network-baseline.{GROUP}",
        "POST",
        f"{_PLACE}/pods",
        _POD,
    ),
    Probe(
        "create a policy that lets everybody in",
        "guardrails",
        f"guardrails.{GROUP}",
        "POST",
        _POLICIES,
        _policy("probe", ingress=[{}]),
    ),
    _custom("cilium.io/v2", "CiliumNetworkPolicy", "ciliumnetworkpolicies", {"endpointSelector": {}}),
    _custom("projectcalico.org/v3", "NetworkPolicy", "networkpolicies", {"selector": "all()"}),
    _custom("crd.projectcalico.org/v1", "NetworkPolicy", "networkpolicies", {"selector": "all()"}),
    _custom(
        "crd.antrea.io/v1beta1",
        "NetworkPolicy",
        "networkpolicies",
        {"priority": 5, "tier": "application", "appliedTo": [{"podSelector": {}}]},
    ),
    _custom(
        "networking.k8s.aws/v1alpha1",
        "ApplicationNetworkPolicy",
        "applicationnetworkpolicies",
        {"podSelector": {}},
    ),
    # What must pass: a guard that refuses everything is broken, too.
    Probe("create a policy of one's own", "", "", "POST", _POLICIES, _policy("probe")),
    Probe(
        "change a label that no profile selects by",
        "",
        "",
        "PATCH",
        _PLACE,
        {"metadata": {"labels": {"example.com/probe": "changed"}}},
        _MERGE,
    ),
)


def outcome(probe: Probe, answer: Answer) -> Outcome:
    """What an answer says about the guard, and about nothing else."""
    named = f"'{probe.policy or GROUP}'" if probe.policy else f".{GROUP}'"
    if answer.status >= 400:
        if named in answer.message and "ValidatingAdmissionPolicy" in answer.message:
            return "refused"
        return "absent" if answer.status == 404 else "unknown"
    return "warned" if any(named in warning for warning in answer.warnings) else "admitted"


def judge(
    answers: Iterable[tuple[Probe, Answer]],
    reports: Mapping[str, PartReport],
    *,
    gate_selects: bool = True,
    complete: bool = False,
) -> list[Verdict]:
    """What each part turned out to do, and last what the guard must let through.

    `reports`: what inspection has found, where it could look. gate_selects: whether the pod gate's binding selects
    the probe namespace; complete: whether the baseline of that namespace counts as complete.
    """
    listed = list(answers)
    verdicts = []
    for part in PARTS:
        own = [(probe, answer, outcome(probe, answer)) for probe, answer in listed if probe.part == part]
        report = reports.get(part)
        verdict = _verdict(part, own, report)
        if part == GATE and verdict.state == "broken" and report is not None and report.state == "installed":
            if not gate_selects:
                fix = f"give namespace {NAMESPACE} the labels that the gate's namespaceSelector asks for"
                verdict = Verdict(part, "unproven", ("the gate is not for the probe namespace",), fix)
            elif complete:
                fix = f"leave namespace {NAMESPACE} out of profiles with podAdmission: RequireBaseline"
                verdict = Verdict(part, "unproven", ("the probe namespace's baseline is complete",), fix)
        verdicts.append(verdict)
    return [*verdicts, _harmless([(p, a, outcome(p, a)) for p, a in listed if not p.part])]


def sound(verdicts: Iterable[Verdict]) -> bool:
    """Whether something guards, nothing is broken, and nothing is left unknown."""
    states = {verdict.state for verdict in verdicts if verdict.part}
    return "on" in states and not states & {"broken", "unknown", "trial"} and _passes(verdicts)


def _passes(verdicts: Iterable[Verdict]) -> bool:
    return all(verdict.state == "on" for verdict in verdicts if not verdict.part)


_Read = tuple[Probe, Answer, Outcome]


def _verdict(part: str, own: list[_Read], report: PartReport | None) -> Verdict:
    again = RENDER.format(part=part)
    seen = tuple(
        f"{probe.what}: {_words(answer, found)}" for probe, answer, found in own if found != "absent"
    )
    tried = {found for _, _, found in own if found != "absent"}
    problems = tuple(problem.what for problem in report.problems) if report else ()
    fixes = "; ".join(dict.fromkeys(problem.fix for problem in report.problems)) if report else ""
    if not tried:
        if report is None:
            return Verdict(part, "unknown", ("nothing could be tried, and the policies may not be read",))
        none = "the API server serves none of the kinds that could be tried"
        states: dict[str, State] = {"installed": "unproven", "broken": "broken", "off": "off"}
        return Verdict(part, states[report.state], (none, *problems), fixes)
    if "unknown" in tried:
        return Verdict(
            part, "unknown", seen, f"apply {COMPONENT}, and see docs/commands/doctor.md for the rights"
        )
    if tried == {"refused"}:
        # It works as a probe can tell; a policy that differs from what was tested may have other holes.
        return Verdict(part, "broken", (*seen, *problems), fixes) if problems else Verdict(part, "on", seen)
    if report is not None and report.state == "off" and "refused" not in tried:
        return Verdict(part, "off", seen, again)
    if report is not None and report.state != "off":
        if tried <= {"refused", "warned"} and report.action == "warn":
            return Verdict(part, "trial", seen, again)
        if report.action == "audit" and tried == {"admitted"}:
            return Verdict(part, "trial", ("it only audits, which no answer shows",), again)
    if report is None and tried == {"admitted"}:
        return Verdict(part, "off", seen, again)
    return Verdict(part, "broken", (*seen, *problems), fixes or again)


def _harmless(own: list[_Read]) -> Verdict:
    seen = tuple(f"{probe.what}: {_words(answer, found)}" for probe, answer, found in own)
    tried = {found for _, _, found in own}
    if tried == {"admitted"}:
        return Verdict("", "on", seen)
    if "refused" in tried or "warned" in tried:
        fix = "tenantprofile guard status says which policy differs or lacks its CRD"
        return Verdict("", "broken", seen, fix)
    return Verdict("", "unknown", seen)


def _words(answer: Answer, found: Outcome) -> str:
    if found == "unknown":
        return f"{answer.status} {answer.message}"
    if found == "refused":
        return "refused" if answer.status == 403 else f"refused ({answer.status})"
    return found


def setup_problem(namespace: Mapping[str, Any] | None, profile: Mapping[str, Any] | None) -> str:
    """What is missing of the probe's own objects; empty when nothing is."""
    if namespace is None:
        return f"there is no namespace {NAMESPACE}; apply {COMPONENT}"
    labels = namespace["metadata"].get("labels") or {}
    if labels.get(f"{GROUP}/probe") != "guard":
        return f"namespace {NAMESPACE} lacks the label {GROUP}/probe: guard; apply {COMPONENT}"
    if profile is None or not (profile.get("spec") or {}).get("guardrails"):
        return f"there is no TenantProfile {PROFILE} ({API_VERSION}) with guardrails; apply {COMPONENT}"
    return ""
