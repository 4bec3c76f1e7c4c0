"""Why a namespace is not protected, in one answer."""

from __future__ import annotations

from typing import Any

import pytest

from tenantprofile.analysis.protection import Answer, answer
from tenantprofile.planning.profile import parse_profile

READY = {"observedGeneration": 2, "conditions": [{"type": "Ready", "status": "True", "message": "fine"}]}


def asked(labels: dict[str, str], *names: str, status: dict[str, Any] | None = None, **spec: Any) -> Answer:
    profile = parse_profile(
        {
            "metadata": {"name": "base", "uid": "1", "generation": 2},
            "spec": {
                "namespaceSelector": {
                    "matchLabels": {"tenant": "x"},
                    "matchExpressions": [{"key": "sandbox", "operator": "DoesNotExist"}],
                },
                "policies": [{"template": "default-deny"}],
                **spec,
            },
        }
    )
    policies = [
        {"metadata": {"name": name, "labels": {"tenantprofile.dev/profile": "base"}}} for name in names
    ]
    return answer(profile, READY if status is None else status, "shop", labels, policies, "system")


def test_a_namespace_with_all_policies_is_protected() -> None:
    assert asked({"tenant": "x"}, "base.default-deny").state == "protected"


@pytest.mark.parametrize(
    ("labels", "spec", "why"),
    [
        ({}, {}, "it has no label tenant; the profile selects tenant=x"),
        ({"tenant": "X"}, {}, "it has tenant=X; the profile selects tenant=x"),
        (
            {"tenant": "x", "sandbox": "1"},
            {},
            "it has sandbox=1; the profile leaves out namespaces with the label",
        ),
        ({"tenant": "x"}, {"excludedNamespaces": ["shop"]}, "it is in spec.excludedNamespaces"),
    ],
)
def test_the_label_or_field_that_leaves_it_out_is_named(labels: dict[str, str], spec: Any, why: str) -> None:
    found = asked(labels, **spec)
    assert found.state == ("excluded" if spec else "not selected")
    assert found.next
    assert found.why[0].startswith(why)


def test_what_the_operator_has_not_done_yet_is_waited_for() -> None:
    found = asked({"tenant": "x"}, status={})
    assert (found.state, found.policies) == ("waiting", {"base.default-deny": "missing"})
    assert (
        asked({"tenant": "x"}, "base.default-deny", status={**READY, "observedGeneration": 1}).state
        == "waiting"
    )


def test_a_problem_of_the_namespace_is_shown_and_one_of_another_is_not() -> None:
    here = {"namespace": "shop", "policy": "default-deny", "reason": "Conflict", "message": "NOT protected"}
    found = asked({"tenant": "x"}, status={**READY, "problems": [here, {**here, "namespace": "other"}]})
    assert found.state == "conflict"
    assert found.why == ("default-deny: Conflict: NOT protected",)


def test_a_suspended_profile_says_so() -> None:
    assert asked({"tenant": "x"}, "base.default-deny", suspend=True).state == "suspended"
