"""What must hold of any set of policies, whatever it says."""

from __future__ import annotations

import copy
import random

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tenantprofile.connectivity.addresses import AddressSet
from tenantprofile.connectivity.connections import ConnectionMap
from tenantprofile.connectivity.difference import difference
from tenantprofile.connectivity.ports import NO_PORTS
from tenantprofile.connectivity.world import World
from unit.connectivity.small_worlds import PEERS, clusters, of_kind, rules

RELAXED = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))


def table(objects):
    return ConnectionMap(World.from_objects(objects))


def changes(old, new):
    """Gained and lost, spelled out: {(sign, source, destination, ports)} with ports per pair joined."""
    found = {}
    for change in difference(old, new):
        for source, destination in change.flow.pairs():
            key = change.sign, str(source), str(destination)
            if isinstance(source, AddressSet) or isinstance(destination, AddressSet):
                key = (*key, str(change.flow.ports))
            assert key not in found
            found[key] = change.flow.ports
    return found


@RELAXED
@given(clusters(), st.sampled_from(("ingress", "egress")), st.data())
def test_a_further_rule_in_an_isolated_direction_takes_nothing_away(objects, side, data):
    """True only where the policy isolates that direction already: a first egress rule without
    policyTypes isolates egress, and then takes away."""
    policies = of_kind(objects, "NetworkPolicy")
    listed = [p for p in policies if side.capitalize() in (p["spec"].get("policyTypes") or ())]
    assume(listed)
    after = copy.deepcopy(objects)
    chosen = data.draw(st.sampled_from([p["metadata"]["name"] for p in listed]))
    rule = data.draw(rules("from" if side == "ingress" else "to", PEERS))
    for policy in of_kind(after, "NetworkPolicy"):
        if policy["metadata"]["name"] == chosen:
            policy["spec"][side] = [*policy["spec"].get(side, []), rule]
    assert not [key for key in changes(table(objects), table(after)) if key[0] == "lost"]


@RELAXED
@given(clusters())
def test_without_its_last_policy_a_namespace_is_open(objects):
    old = table(objects)
    for name in ("red", "green", "blue"):
        left = [o for o in objects if o["kind"] != "NetworkPolicy" or o["metadata"]["namespace"] != name]
        new = table(left)
        mine = [w for w in new.world.workloads if w.namespace == name]
        for one in mine:
            for other in mine:
                assert one is other or new.between(one, other).is_everything
        assert not [k for k in changes(old, new) if k[0] == "lost" and k[1].startswith(f"{name}/")]


@RELAXED
@given(clusters(), st.randoms(use_true_random=False))
def test_the_order_of_objects_never_matters(objects, chance: random.Random):
    shuffled = copy.deepcopy(objects)
    chance.shuffle(shuffled)
    one, other = table(objects), table(shuffled)
    assert list(map(str, one.connections())) == list(map(str, other.connections()))
    flows = [[(f.scope, len(list(f.pairs())), str(f.ports)) for f in t.flows()] for t in (one, other)]
    assert flows[0] == flows[1]
    assert not list(difference(one, other))


@RELAXED
@given(clusters(), clusters(most=3))
def test_the_difference_is_what_the_maps_differ_in(objects, others):
    """Also when pods come, go or change with the policies."""
    old, new = table(objects), table(others)
    found = changes(old, new)
    before = {w.key: w for w in old.world.workloads}
    after = {w.key: w for w in new.world.workloads}
    for one in before.keys() | after.keys():
        for other in before.keys() | after.keys():
            if one == other:
                continue
            names = f"{one[0]}/{one[2]}", f"{other[0]}/{other[2]}"
            was = old.between(before[one], before[other]) if {one, other} <= before.keys() else NO_PORTS
            now = new.between(after[one], after[other]) if {one, other} <= after.keys() else NO_PORTS
            assert found.get(("gained", *names), NO_PORTS) == now - was
            assert found.get(("lost", *names), NO_PORTS) == was - now


@RELAXED
@given(clusters())
def test_allowed_and_blocked_are_all_there_is(objects):
    one = table(objects)
    allowed = {(str(r.source), str(r.destination)): r.ports for r in one.connections() if _pods(r)}
    blocked = {
        (str(r.source), str(r.destination)): r.ports for r in one.connections(blocked=True) if _pods(r)
    }
    for key in allowed.keys() | blocked.keys():
        yes, no = allowed.get(key, NO_PORTS), blocked.get(key, NO_PORTS)
        assert not yes & no
        assert (yes | no).is_everything


def _pods(row):
    return not isinstance(row.source, AddressSet) and not isinstance(row.destination, AddressSet)
