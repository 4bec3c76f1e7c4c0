"""How fast: from a new namespace to the first refused packet, and from a tampering to its end.

The engine's time is its own (it works through all policies at every change); what the operator adds
is measured apart from it. ``PACKETS_FIGURES=<file>`` writes the figures down; ``PACKETS_SAMPLES``
says how often each is measured.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from operatorprocess import OperatorProcess
from packets.api import Object
from packets.flows import Flow, Outcome
from packets.observer import FlowLog, PolicyLog, summary
from packets.tenancy import Tenancy
from packets.world import World

SAMPLES = int(os.environ.get("PACKETS_SAMPLES", "5"))
LABEL = {"protected": "yes"}
POLICIES = ["wire.default-deny", "wire.dns-egress", "wire.same-namespace"]
OPENED = {"spec": {"ingress": [{}], "egress": [{}]}}


def report(title: str, values: Sequence[float]) -> None:
    print(f"{title}: {summary(values)}")
    file = os.environ.get("PACKETS_FIGURES")
    if file:
        with Path(file).open("a") as out:
            out.write(
                json.dumps({"figure": title, "text": summary(values), "seconds": sorted(values)}) + "\n"
            )


Guard = Callable[[], Flow]
_numbers = itertools.count(1)


@pytest.fixture
def guard(world: World, tenancy: Tenancy) -> Guard:
    """Makes a protected namespace with a pod; returns a connection from a stranger that is forbidden.

    A new one each time: the operator takes longer and longer over a policy that is fought over.
    """
    world.add_namespace("stranger")
    world.add_pod("stranger", "pod")
    tenancy.profile("wire", LABEL, ["default-deny", "dns-egress", "same-namespace"])

    def make() -> Flow:
        namespace = f"guarded-{os.getpid()}-{next(_numbers)}"
        world.add_namespace(namespace, LABEL)
        pod = world.add_pod(namespace, "pod")
        tenancy.expect(namespace, POLICIES)
        world.settle()
        return Flow("stranger/pod", pod, "TCP", 8080, 4)

    return make


@pytest.fixture
def protected(guard: Guard) -> Flow:
    return guard()


def namespace_of(flow: Flow) -> str:
    return flow.destination.partition("/")[0]


@pytest.mark.usefixtures("guard")
def test_time_to_protected(world: World) -> None:
    """Namespace and pod at once, while a stranger tries to connect all the time."""
    log = PolicyLog(world.api)
    time.sleep(0.3)
    total, operators, engines, exposed = [], [], [], []
    for number in range(SAMPLES):
        namespace = f"new-{os.getpid()}-{number}"
        pod = world.wire_pod(namespace, "pod")
        with FlowLog(world, Flow("stranger/pod", pod, "TCP", 8080, 4)) as tries:
            begun = time.monotonic()
            world.add_namespace(namespace, LABEL)
            world.declare_pod(namespace, "pod")
            declared = time.monotonic()
            refused = tries.first(Outcome.REFUSED, begun)
            time.sleep(0.3)
            after = tries.outcomes(refused.begun)
        assert after == {Outcome.REFUSED}, "once refused, always refused"
        added = log.times(namespace)
        assert set(added) == set(POLICIES)
        ready = max(added.values())
        total.append(refused.known - begun)
        operators.append(ready - begun)
        engines.append(refused.known - max(declared, added["wire.default-deny"]))
        exposed.append(max(0.0, refused.known - declared))
        world.remove(pod)
        _release(world, namespace)
    report("new namespace and pod → first refused packet", total)
    report("  the operator: namespace written → its last policy announced", operators)
    report("  the engine: policy and pod known → first refused packet", engines)
    report("  exposed: pod running → first refused packet", exposed)
    assert sorted(operators)[len(operators) // 2] < 2


Tampering = Callable[[World, str], Any]


def _open(world: World, namespace: str) -> None:
    world.api.patch("NetworkPolicy", namespace, "wire.default-deny", OPENED)


def _delete_all(world: World, namespace: str) -> None:
    for name in POLICIES:
        world.api.delete("NetworkPolicy", namespace, name)


def _add_peer(world: World, namespace: str) -> None:
    change: Object = {"spec": {"ingress": [{"from": [{"namespaceSelector": {}}]}]}}
    world.api.patch("NetworkPolicy", namespace, "wire.same-namespace", change)


TAMPERINGS = [
    pytest.param("a policy is opened", _open, id="opened"),
    pytest.param("a policy gets another peer", _add_peer, id="peer added"),
    pytest.param("every policy is deleted", _delete_all, id="deleted"),
]


@pytest.mark.parametrize(("title", "tamper"), TAMPERINGS)
def test_what_a_tenant_opens_is_closed_again(
    title: str, tamper: Tampering, guard: Guard, world: World
) -> None:
    """Whether a forbidden connection comes through at all depends on who is faster, operator or engine."""
    closed, through = [], []
    for _ in range(SAMPLES):
        protected = guard()
        namespace = namespace_of(protected)
        with FlowLog(world, protected) as tries:
            tries.first(Outcome.REFUSED, 0)
            tamper(world, namespace)
            written = time.monotonic()
            _wait_for_repair(world, namespace)
            world.settle()
            settled = time.monotonic()
            time.sleep(0.1)
            assert tries.outcomes(settled) == {Outcome.REFUSED}
            last = [t.known for t in tries.tries if t.outcome is Outcome.OPEN and t.begun < settled]
        closed.append(max(0.0, last[-1] - written) if last else 0.0)
        through.append(tries.open_for(written - 0.5, settled))
        world.remove(protected.destination)
        _release(world, namespace)
    report(f"{title} → nothing comes through any more", closed)
    report("  a forbidden connection came through for", through)
    assert max(closed) < 5


@pytest.mark.parametrize(("title", "tamper"), TAMPERINGS)
def test_without_the_operator_it_stays_open(
    title: str, tamper: Tampering, protected: Flow, world: World, operator: OperatorProcess
) -> None:
    """The same with the operator stopped: open until it is back. So each tampering does open something."""
    with FlowLog(world, protected) as tries:
        operator.stop()
        try:
            tamper(world, namespace_of(protected))
            written = time.monotonic()
            opened = tries.first(Outcome.OPEN, written)
            time.sleep(2)
            assert tries.outcomes(opened.known) == {Outcome.OPEN}
        finally:
            back = time.monotonic()
            operator.start()
        report(f"{title}, operator stopped → it comes through", [opened.known - written])
        refused = tries.first(Outcome.REFUSED, back, 30)
        report("  the operator is started → refused again", [refused.known - back])
        _wait_for_repair(world, namespace_of(protected))
        world.settle()
        settled = time.monotonic()
        time.sleep(0.2)
        assert tries.outcomes(settled) == {Outcome.REFUSED}


def test_a_stopped_operator_leaves_protection_in_force(
    protected: Flow, world: World, operator: OperatorProcess
) -> None:
    with FlowLog(world, protected) as tries:
        begun = tries.first(Outcome.REFUSED, 0).begun
        operator.kill()
        time.sleep(1)
        operator.start()
        time.sleep(1)
        assert tries.outcomes(begun) == {Outcome.REFUSED}


def test_stripped_labels_open_nothing(protected: Flow, world: World, tenancy: Tenancy) -> None:
    """The policies' own labels are taken away: they come back, and nothing was open for a moment."""
    namespace = namespace_of(protected)
    with FlowLog(world, protected) as tries:
        begun = tries.first(Outcome.REFUSED, 0).begun
        for name in POLICIES:
            labels = world.api.get("NetworkPolicy", namespace, name)["metadata"]["labels"]
            gone = {"metadata": {"labels": dict.fromkeys(labels)}}
            world.api.patch("NetworkPolicy", namespace, name, gone)
        tenancy.expect(namespace, POLICIES)
        world.settle()
        assert tries.outcomes(begun) == {Outcome.REFUSED}


def test_a_namespace_that_leaves_and_comes_back(protected: Flow, world: World, tenancy: Tenancy) -> None:
    """Its label decides: without it the policies go, as declared; with it they are back at once."""
    again = []
    namespace = namespace_of(protected)
    for _ in range(SAMPLES):
        with FlowLog(world, protected) as tries:
            world.api.patch("Namespace", "", namespace, {"metadata": {"labels": {"protected": None}}})
            tries.first(Outcome.OPEN, 0)
            tenancy.expect(namespace, [])
            world.settle()
            back = time.monotonic()
            world.api.patch("Namespace", "", namespace, {"metadata": {"labels": LABEL}})
            again.append(tries.first(Outcome.REFUSED, back).known - back)
            tenancy.expect(namespace, POLICIES)
            world.settle()
    report("namespace labelled again → first refused packet", again)
    assert max(again) < 5


@pytest.mark.slow
def test_a_tenant_who_keeps_at_it(protected: Flow, world: World) -> None:
    """Opened again as soon as it is closed, for a while: the operator never gives in."""
    namespace, until = namespace_of(protected), time.monotonic() + 20
    with FlowLog(world, protected) as tries:
        begun = tries.first(Outcome.REFUSED, 0).begun
        while time.monotonic() < until:
            _open(world, namespace)
            time.sleep(0.25)
        through = [t for t in tries.tries if t.begun > begun and t.outcome is Outcome.OPEN]
        counted = [t for t in tries.tries if t.begun > begun]
        share = len(through) / len(counted)
        print(f"a tenant who opens a policy four times a second for 20 s: {share:.0%} came through")
        assert share < 0.5
        _wait_for_repair(world, namespace, 60)
        world.settle()
        settled = time.monotonic()
        time.sleep(0.3)
        assert tries.outcomes(settled) == {Outcome.REFUSED}


def _release(world: World, namespace: str) -> None:
    """Out of the profile, so that the engine's work is the same for the next sample."""
    world.api.patch("Namespace", "", namespace, {"metadata": {"labels": {"protected": None}}})


def _wait_for_repair(world: World, namespace: str, seconds: float = 20) -> None:
    """Until the policies deny again what was forbidden, as far as the API server is concerned."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = {p["metadata"]["name"]: p["spec"] for p in world.api.list("NetworkPolicy", namespace)}
        if set(found) == set(POLICIES):
            closed = found["wire.default-deny"]
            peers = [peer for rule in found["wire.same-namespace"]["ingress"] for peer in rule["from"]]
            if not closed.get("ingress") and not closed.get("egress") and peers == [{"podSelector": {}}]:
                return
        time.sleep(0.01)
    raise AssertionError("the operator did not repair what was tampered with in time")
