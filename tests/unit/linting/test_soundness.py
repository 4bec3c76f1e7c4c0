"""What lint says of several policies is true of the connections, asked of the engine.

A rule, peer or port that is called superfluous or dead can be taken out, all of them at once, and every
connection stays as it was. A tenant's policy that is not said to widen the baseline opens nothing.
"""

from __future__ import annotations

import copy
import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenantprofile.connectivity.connections import ConnectionMap
from tenantprofile.connectivity.world import World
from tenantprofile.input.objects import read_text
from tenantprofile.linting.catalogue import RULES
from tenantprofile.linting.judge import lint
from tenantprofile.names import LABEL_MANAGED_BY, MANAGED_BY
from tenantprofile.policy.normalize import normalize
from unit.connectivity.small_worlds import clusters, of_kind
from unit.linting.judged import TODAY

RUNS = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
DEAD = ("contained-rule", "never-matches", "selects-nothing", "peer-selects-nothing", "named-port-nowhere")


def judged(objects, chosen):
    items = [item for n, raw in enumerate(objects) for item in read_text(json.dumps(raw), f"{n}.json")]
    return lint(items, TODAY, frozenset(chosen), complete=True).findings


def connections(objects):
    world = World.from_objects(objects)
    table = ConnectionMap(world)
    return {(str(c.source), str(c.destination), str(c.ports)) for c in table.connections()}


def normal(objects):
    """The same objects with the API server's defaults written out, so that taking out a rule is only that."""
    found = copy.deepcopy(objects)
    for policy in of_kind(found, "NetworkPolicy"):
        policy["spec"] = normalize(policy["spec"])
    return found


def without(objects, findings):
    """The objects without what the findings are about."""
    found = copy.deepcopy(objects)
    policies = {
        (p["metadata"]["namespace"], p["metadata"]["name"]): p for p in of_kind(found, "NetworkPolicy")
    }
    for placed in findings:
        policy = policies[placed.item.namespace, placed.item.name]
        _take_out(policy["spec"], placed.path[1:], placed.rule.id)
    for policy in of_kind(found, "NetworkPolicy"):
        _swept(policy["spec"])
    return found


GONE = {"gone": True}


def _take_out(spec, path, rule):
    if path[0] == "podSelector":
        spec["podSelector"] = GONE
        return
    rules = spec[path[0]]
    if len(path) == 2:
        rules[path[1]] = GONE
    elif rules[path[1]] is not GONE:
        rules[path[1]][path[2]][path[3]] = GONE


def _swept(spec):
    """Takes out what is marked; a rule that loses its last peer or port allows nothing, so it goes, too."""
    for side in ("ingress", "egress"):
        kept = []
        for rule in spec.get(side, ()):
            if rule is GONE:
                continue
            lists = {key: [item for item in rule[key] if item is not GONE] for key in rule}
            if all(lists.values()):
                kept.append(lists)
        spec[side] = kept
    if spec["podSelector"] is GONE:
        spec["podSelector"] = {"matchLabels": {"nobody": "has-this"}}


@RUNS
@given(clusters())
def test_what_lint_calls_contained_can_be_taken_out(objects):
    objects = normal(objects)
    findings = judged(objects, ["contained-rule"])
    assert connections(without(objects, findings)) == connections(objects)


@RUNS
@given(clusters(), st.sampled_from(DEAD[1:]))
def test_what_lint_calls_dead_can_be_taken_out(objects, rule):
    objects = normal(objects)
    findings = judged(objects, [rule])
    assert connections(without(objects, findings)) == connections(objects)


@RUNS
@given(clusters(), st.data())
def test_a_policy_that_does_not_widen_opens_nothing(objects, data):
    policies = of_kind(objects, "NetworkPolicy")
    if not policies:
        return
    own = data.draw(st.sampled_from(policies))
    for policy in policies:
        if policy is not own:
            policy["metadata"]["labels"] = {LABEL_MANAGED_BY: MANAGED_BY}
    if judged(objects, ["widens-baseline", "widens-within"]):
        return
    alone = World.from_objects([item for item in objects if item is not own])
    beside = World.from_objects(objects)
    before, after = ConnectionMap(alone), ConnectionMap(beside)
    for source in alone.workloads:
        for destination in alone.workloads:
            if source is not destination:
                one = _workload(beside, source), _workload(beside, destination)
                assert after.between(*one) <= before.between(source, destination)


def _workload(world, other):
    return next(workload for workload in world.workloads if workload.key == other.key)


def test_the_names_of_rules_here_exist() -> None:
    assert set(DEAD) <= set(RULES)
