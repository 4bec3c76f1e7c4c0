"""The test world itself: it tells outcomes apart, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from packets import requirements
from packets.flows import FAMILIES, PROTOCOLS, Flow, Outcome
from packets.netns import Netns
from packets.world import World

ROOT = Path(__file__).resolve().parents[2]
DENY_INGRESS = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "deny", "namespace": "wire"},
    "spec": {"podSelector": {"matchLabels": {"app": "closed"}}, "policyTypes": ["Ingress"]},
}


def test_without_policies_everything_is_open(world: World) -> None:
    world.add_namespace("wire")
    for name in ("one", "two"):
        world.add_pod("wire", name)
    world.add_host("outside", "203.0.113.9", "2001:db8::9")
    flows = world.flows()
    assert len(flows) == 6 * 2 * 12
    assert set(world.probe(flows).values()) == {Outcome.OPEN}


def test_a_refusal_a_closed_port_and_a_wrong_way_are_told_apart(world: World) -> None:
    world.add_namespace("wire")
    source = world.add_pod("wire", "source")
    opened, closed = world.add_pod("wire", "open"), world.add_pod("wire", "closed", {"app": "closed"})
    world.api.apply(DENY_INGRESS)
    world.settle()
    for family in FAMILIES:
        for protocol in PROTOCOLS:
            wanted = {
                Flow(source, opened, protocol, 80, family): Outcome.OPEN,
                Flow(source, closed, protocol, 80, family): Outcome.REFUSED,
                Flow(source, opened, protocol, 4242, family): Outcome.NOBODY,
            }
            assert world.probe(list(wanted)) == wanted


def test_a_broken_world_is_no_answer() -> None:
    assert Outcome.OPEN.allowed
    assert not Outcome.LOST.allowed
    with pytest.raises(ValueError, match="broken"):
        _ = Outcome.NOBODY.allowed


def test_refusals_are_known_at_once_in_both_families(world: World) -> None:
    world.add_namespace("wire")
    source, closed = world.add_pod("wire", "source"), world.add_pod("wire", "closed", {"app": "closed"})
    world.api.apply(DENY_INGRESS)
    world.settle()
    began = time.monotonic()
    found = world.probe([Flow(source, closed, p, 80, f) for p in PROTOCOLS for f in FAMILIES], timeout=5)
    assert set(found.values()) == {Outcome.REFUSED}
    assert time.monotonic() - began < 0.9


def test_a_removed_pod_is_gone_from_wire_and_cluster(world: World) -> None:
    world.add_namespace("wire")
    source, target = world.add_pod("wire", "source"), world.add_pod("wire", "target")
    address = world.parties[target].address(4)
    assert address is not None
    world.remove(target)
    found = world.prober.probe([(world.parties[source].netns.path, "TCP", address, 80, target)], 0.3)
    assert found[0][0] in (Outcome.LOST, Outcome.NO_WAY)
    assert target not in {
        f"{o['metadata'].get('namespace')}/{o['metadata']['name']}" for o in world.objects()
    }


_CHILD = """
import os, sys, time
from controlplane import ControlPlane
from packets.world import APISERVER_FLAGS, World
with ControlPlane(apiserver_flags=APISERVER_FLAGS) as plane, World(plane) as world:
    world.add_namespace("wire")
    world.add_pod("wire", "one")
    world.settle()
    spaces = [party.netns for party in world.parties.values()] + [world.node]
    print(world.engine.pid, *(os.stat(space.path).st_ino for space in spaces), flush=True)
    time.sleep(60)
"""


def test_nothing_survives_a_kill_of_the_test() -> None:
    """Namespaces without a name end with the last process that knows them, and links with them."""
    links = _links()
    child = subprocess.Popen(
        [sys.executable, "-c", _CHILD],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "dev"), str(ROOT / "operator")])},
    )
    try:
        assert child.stdout is not None
        engine, *inodes = map(int, child.stdout.readline().split())
        assert set(inodes) <= _namespaces_in_use()
        assert _links() == links  # the machine's own namespace gets no interface at all
        child.send_signal(signal.SIGKILL)
    finally:
        child.kill()
        child.wait()
    deadline = time.monotonic() + 10
    while (left := set(inodes) & _namespaces_in_use()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not left
    assert not Path(f"/proc/{engine}/exe").exists()
    assert _links() == links


def test_the_reason_is_named_where_a_program_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements, "PROGRAMS", {"no-such-program": "nosuchpackage"})
    requirements.unavailable.cache_clear()
    try:
        assert "nosuchpackage" in (requirements.unavailable() or "")
    finally:
        requirements.unavailable.cache_clear()


def test_a_namespace_is_entered_only_by_the_thread_that_asks() -> None:
    before = os.stat("/proc/self/ns/net").st_ino
    with Netns() as space:
        assert space.run(lambda: os.stat("/proc/thread-self/ns/net").st_ino) == os.stat(space.path).st_ino
    assert os.stat("/proc/thread-self/ns/net").st_ino == before


def _links() -> set[str]:
    return {path.name for path in Path("/sys/class/net").iterdir()}


def _namespaces_in_use() -> set[int]:
    """Inodes of the network namespaces that some process is in or holds open."""
    found = set()
    for place in [*Path("/proc").glob("[0-9]*/ns/net"), *Path("/proc").glob("[0-9]*/fd/*")]:
        try:
            target = os.readlink(place)
        except OSError:
            continue
        if target.startswith("net:["):
            found.add(int(target[5:-1]))
    return found


def test_the_list_of_packages_is_what_is_asked_for() -> None:
    listed = requirements.PACKAGES.read_text().split()
    assert sorted(listed) == sorted(set(requirements.PROGRAMS.values()))
