"""How answers to probes are read: only a refusal that names the policy proves anything."""

from __future__ import annotations

import pytest

from tenantprofile.guard.inspection import Installed, PartReport, inspect
from tenantprofile.guard.manifests import BINDING, PARTS, POLICY, Values, render
from tenantprofile.guard.probes import PROBES, Answer, Probe, Verdict, judge, outcome, sound

REPORTS = {
    report.part: report
    for report in inspect(
        Installed.of(
            [d for d in render(PARTS, Values()) if d["kind"] == POLICY],
            [d for d in render(PARTS, Values()) if d["kind"] == BINDING],
            True,
        )
    )
}
NOTHING = {report.part: report for report in inspect(Installed.of([], [], True))}


def refusal(probe: Probe) -> Answer:
    words = f"forbidden: ValidatingAdmissionPolicy '{probe.policy}' with binding 'b' denied request: no"
    return Answer(422 if probe.part == "pod-gate" else 403, words)


def as_it_should_be(probe: Probe) -> Answer:
    if probe.part == "other-kinds":
        return Answer(404, "the server could not find the requested resource")
    return refusal(probe) if probe.part else Answer(201, "")


def verdicts(
    reports: dict[str, PartReport], *different: tuple[str, Answer], **facts: bool
) -> dict[str, Verdict]:
    changes = dict(different)
    answers = [(probe, changes.get(probe.what) or as_it_should_be(probe)) for probe in PROBES]
    return {verdict.part: verdict for verdict in judge(answers, reports, **facts)}


POLICY_NAME = "profile-membership.tenantprofile.dev"
MEMBERSHIP = "take a namespace out of its profile"
POD = "create a pod where the baseline is not complete"
OWN = "create a policy of one's own"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer(403, "ValidatingAdmissionPolicy 'profile-membership.tenantprofile.dev' with binding"), "refused"),
        (Answer(403, 'namespaces "x" is forbidden: User "y" cannot patch resource "namespaces"'), "unknown"),
        (Answer(403, "ValidatingAdmissionPolicy 'somebody-elses' with binding 'b' denied request"), "unknown"),
        (Answer(500, "Internal error"), "unknown"),
        (Answer(200, ""), "admitted"),
        (Answer(404, "not found"), "absent"),
        (Answer(200, "", [f"299 - Validation failed for ValidatingAdmissionPolicy '{POLICY_NAME}'"]), "warned"),
        (Answer(200, "", ["299 - unknown field"]), "admitted"),
    ],
)  # fmt: skip
def test_a_refusal_counts_only_from_the_policy_that_it_should_come_from(
    answer: Answer, expected: str
) -> None:
    (probe,) = (probe for probe in PROBES if probe.what == MEMBERSHIP)
    assert outcome(probe, answer) == expected


def test_all_is_on_when_every_probe_is_refused_by_its_policy() -> None:
    found = verdicts(REPORTS)
    assert {part: v.state for part, v in found.items()} == {
        **dict.fromkeys(PARTS, "on"),
        "other-kinds": "unproven",
        "": "on",
    }
    assert sound(found.values())


def test_one_request_that_is_admitted_makes_a_part_broken_and_the_whole_unsound() -> None:
    found = verdicts(REPORTS, (MEMBERSHIP, Answer(200, "")))
    assert found["membership"].state == "broken"
    assert "guard render --part membership" in found["membership"].fix
    assert not sound(found.values())


def test_a_request_that_failed_otherwise_proves_nothing() -> None:
    found = verdicts(REPORTS, (MEMBERSHIP, Answer(403, "User cannot patch")))
    assert found["membership"].state == "unknown"
    assert not sound(found.values())


def test_without_reports_the_requests_alone_are_judged() -> None:
    found = verdicts({})
    assert found["membership"].state == "on"
    assert found["other-kinds"].state == "unknown"


def test_what_is_not_installed_is_off() -> None:
    admitted = [(probe.what, Answer(201, "")) for probe in PROBES if probe.part != "other-kinds"]
    found = verdicts(NOTHING, *admitted)
    assert {v.state for part, v in found.items() if part} == {"off"}
    assert not sound(found.values())


@pytest.mark.parametrize("facts", [{"gate_selects": False}, {"complete": True}])
def test_a_gate_that_has_nothing_to_refuse_here_is_unproven(facts: dict[str, bool]) -> None:
    assert verdicts(REPORTS, (POD, Answer(201, "")), **facts)["pod-gate"].state == "unproven"
    assert verdicts(REPORTS, (POD, Answer(201, "")))["pod-gate"].state == "broken"


def test_a_guard_that_refuses_what_must_pass_is_broken() -> None:
    words = "ValidatingAdmissionPolicy 'profile-membership.tenantprofile.dev' with binding 'b' denied request"
    found = verdicts(REPORTS, (OWN, Answer(422, words)))
    assert found[""].state == "broken"
    assert not sound(found.values())
