"""The checks ask what the API means: the connectivity engine expects the same of every step."""

from __future__ import annotations

import pytest

from tenantprofile.connectivity.verdict import verdict
from tenantprofile.connectivity.world import World
from tenantprofile.doctor.enforcement import check_names
from tenantprofile.enforcement import objects
from tenantprofile.enforcement.attempts import LANES, PORTS, Attempt, Lane, lanes_of
from tenantprofile.enforcement.judgement import everything, expected
from tenantprofile.enforcement.plan import Check, Parties, Step, checks, portability_checks
from tenantprofile.policy.rules import check_spec

NAMESPACE = "tenantprofile-doctor-1"
PARTIES = Parties(NAMESPACE, ("10.0.3.7", "2001:db8::7"), ("10.0.4.9", "2001:db8::9"))
ALL = (*checks(PARTIES), *portability_checks(PARTIES))
STEPS = [
    pytest.param(check, step, id=f"{check.name} {number}")
    for check in ALL
    for number, step in enumerate(check.steps)
]


def world(step: Step, family: int) -> World:
    """The canary with a step's policies, where pods have only the addresses of one family."""
    made = [objects.namespace(NAMESPACE, 60)]
    client, server = (
        next(a for a in found if (":" in a) == (family == 6)) for found in (PARTIES.client, PARTIES.server)
    )
    pods = (
        (objects.client("image", "token", 60, [server]), client),
        (objects.server("image", "token", 60), server),
    )
    for pod, address in pods:
        pod["metadata"]["namespace"] = NAMESPACE
        made.append(pod | {"status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}})
    for name, spec in step.policies.items():
        policy = objects.policy(name, spec)
        policy["metadata"]["namespace"] = NAMESPACE
        made.append(policy)
    return World.from_objects(made)


@pytest.mark.parametrize(("check", "step"), STEPS)
@pytest.mark.parametrize("lane", LANES, ids=str)
def test_a_step_expects_what_the_connectivity_engine_says(check: Check, step: Step, lane: Lane) -> None:
    known = world(step, lane.family)
    (client,), (server,) = known.find(f"{NAMESPACE}/client"), known.find(f"{NAMESPACE}/server")
    allowed = {
        Attempt(lane, port).key
        for port in PORTS
        if verdict(known, client, server, lane.protocol, port).allowed
    }
    assert allowed == expected(step, lane)


@pytest.mark.parametrize(("check", "step"), STEPS)
def test_a_step_can_fail_in_every_lane(check: Check, step: Step) -> None:
    """Something is to be closed, so a plugin that enforces nothing does not pass."""
    for lane in LANES:
        assert expected(step, lane) < everything([lane])


@pytest.mark.parametrize("check", ALL, ids=lambda check: check.name)
def test_policies_are_valid_and_a_check_of_a_known_weakness_names_its_rule(check: Check) -> None:
    found = [
        finding for step in check.steps for spec in step.policies.values() for finding in check_spec(spec)
    ]
    assert not [finding for finding in found if finding.rule.severity == "error"]
    if check.rule:
        assert check.rule in {finding.rule.id for finding in found}


def test_the_basic_checks_keep_clear_of_known_weaknesses() -> None:
    """A plugin does not fail a check for something that the check is not about."""
    for check in checks(PARTIES):
        for step in check.steps:
            for spec in step.policies.values():
                rules = {
                    finding.rule.id for finding in check_spec(spec) if finding.rule.group == "portability"
                }
                assert rules <= {check.rule}, check.name


def test_what_is_needed_comes_before_what_needs_it() -> None:
    names = [check.name for check in ALL]
    assert names == check_names()
    for check in ALL:
        assert not check.needs or names.index(check.needs) < names.index(check.name)


def test_without_a_second_family_its_lanes_are_not_tried() -> None:
    assert {lane.family for lane in lanes_of(("10.0.3.7",), PARTIES.server)} == {4}
    single = Parties(NAMESPACE, ("10.0.3.7",), ("10.0.4.9",))
    text = str([step.policies for check in checks(single) for step in check.steps])
    assert "2001" not in text


def test_a_namespace_that_somebody_labelled_is_no_canary() -> None:
    ours = objects.namespace("tenantprofile-doctor-12ab34cd", 60)
    assert objects.is_canary(ours)
    labelled = objects.namespace("payments", 60)
    assert not objects.is_canary(labelled)
    del ours["metadata"]["annotations"]
    assert not objects.is_canary(ours)
