"""Whether the guard's pod gate and Pod Security hold in the namespaces of profiles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tenantprofile.analysis.admission import gate, lets_host_network_through
from tenantprofile.doctor.admission import host_network_of, judged
from tenantprofile.planning.profile import Profile, parse_profile

PART = Path(__file__).resolve().parents[3] / "deploy" / "components" / "guard" / "pod-gate"
(POLICY,) = yaml.safe_load_all((PART / "policies.yaml").read_text())
BINDING, STAYS = yaml.safe_load_all((PART / "bindings.yaml").read_text())
GATED = {"tenantprofile.dev/pod-admission": "RequireBaseline"}


def bound(**spec: Any) -> dict[str, Any]:
    return {**BINDING, "spec": {**BINDING["spec"], **spec}}


def profile(name: str = "p", **spec: Any) -> Profile:
    selector = {"namespaceSelector": {"matchLabels": {"tenant": "yes"}}}
    return parse_profile(
        {"metadata": {"name": name}, "spec": {**selector, "policies": [{"template": "x"}], **spec}}
    )


def namespace(name: str, **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": {"tenant": "yes"} | labels}}


def test_the_shipped_gate_holds_what_its_selector_matches() -> None:
    found = gate([POLICY], [BINDING])
    assert found.problem == ""
    assert found.holds(GATED)
    assert not found.holds({"tenant": "yes"})


def test_a_gate_without_a_selector_holds_everything() -> None:
    assert gate([POLICY], [bound(matchResources=None)]).holds({})


def test_the_binding_that_only_keeps_the_gate_usable_holds_nothing() -> None:
    assert "does not wait for the mark" in gate([POLICY], [STAYS]).problem


def test_several_bindings_add_up() -> None:
    other = bound(matchResources={"namespaceSelector": {"matchLabels": {"tenant": "yes"}}})
    found = gate([POLICY], [BINDING, other])
    assert found.holds({"tenant": "yes"})
    assert found.holds(GATED)


@pytest.mark.parametrize(
    ("policies", "bindings", "problem"),
    [
        ([], [BINDING], "no ValidatingAdmissionPolicy of the pod gate is installed"),
        ([POLICY], [], "has no binding"),
        ([POLICY], [bound(policyName="another")], "has no binding"),
        (
            [POLICY],
            [bound(paramRef={**BINDING["spec"]["paramRef"], "parameterNotFoundAction": "Allow"})],
            "does not wait for the mark",
        ),
        ([POLICY], [bound(paramRef={"selector": {}})], "does not wait for the mark"),
    ],
)
def test_a_gate_that_holds_nothing_says_why(policies: list[Any], bindings: list[Any], problem: str) -> None:
    found = gate(policies, bindings)
    assert problem in found.problem
    assert not found.holds(GATED)


def test_doctor_names_namespaces_whose_pods_need_not_wait() -> None:
    requiring = [profile(podAdmission="RequireBaseline", excludedNamespaces=["left-out"])]
    spaces = [
        namespace("gated", **GATED),
        namespace("loose"),
        namespace("left-out"),
        {"metadata": {"name": "foreign"}},
    ]
    found = judged(requiring, spaces, gate([POLICY], [BINDING]), "tenantprofile-system")
    assert found.state == "wrong"
    assert "1 of 2 namespaces with podAdmission: RequireBaseline: loose" in found.seen
    assert "namespaceSelector does not match" in found.seen
    assert judged(requiring, spaces[:1], gate([POLICY], [BINDING]), "").state == "ok"
    absent = judged(requiring, spaces, gate([], []), "")
    assert "2 of 2" in absent.seen
    assert "no ValidatingAdmissionPolicy of the pod gate is installed" in absent.seen


def test_doctor_does_not_list_thousands_of_names() -> None:
    spaces = [namespace(f"n{index}") for index in range(1000)]
    found = judged([profile(podAdmission="RequireBaseline")], spaces, gate([], []), "")
    assert "and 995 more" in found.seen
    assert len(found.seen) < 300


@pytest.mark.parametrize(
    ("level", "through"), [("", True), ("privileged", True), ("baseline", False), ("restricted", False)]
)
def test_which_pod_security_levels_let_host_network_through(level: str, through: bool) -> None:
    labels = {"pod-security.kubernetes.io/enforce": level} if level else {}
    assert lets_host_network_through(labels) is through
    # What only warns or audits lets it through.
    assert lets_host_network_through({"pod-security.kubernetes.io/warn": "restricted"})


def test_doctor_names_namespaces_and_pods_that_no_policy_governs() -> None:
    spaces = [
        namespace("open"),
        namespace("closed", **{"pod-security.kubernetes.io/enforce": "baseline"}),
        {"metadata": {"name": "foreign"}},
    ]
    pods = [
        {"metadata": {"namespace": space, "name": "node-agent"}, "spec": {"hostNetwork": True}}
        for space in ("open", "foreign")
    ]
    found = host_network_of([profile()], spaces, pods, "")
    assert found.state == "note"
    assert "no policy governs 1 pods, which have hostNetwork: open/node-agent" in found.seen
    assert "1 of 2 namespaces of profiles let it through" in found.seen
    closed = host_network_of([profile()], spaces[1:], [], "")
    assert (closed.state, closed.seen) == ("ok", "refused in all 1 namespaces of profiles")
