"""`tenantprofile doctor --enforcement`, as a person calls it, with a real engine on a real wire.

The two pods are its own; a small kubelet runs their commands in networks of their own.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from packets.api import Api, Object
from packets.deviations import DEVIATIONS
from packets.kubelet import OPERATOR, Kubelet
from packets.world import World, wait_until
from tenantprofile.enforcement.objects import PREFIX

BASICS = ("deny-ingress", "deny-egress", "ingress", "egress", "namespaces", "ip-block", "except")


@pytest.fixture
def kubelet(world: World) -> Iterator[Kubelet]:
    with Kubelet(world) as running:
        yield running
        assert running.failure is None


def start(world: World, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "tenantprofile", "doctor", "--enforcement", "--image=none"),
            *(f"--kubeconfig={world.cluster.admin_kubeconfig}", *arguments),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(OPERATOR)},
    )


def finish(running: subprocess.Popen[str], code: int) -> tuple[str, str]:
    out, err = running.communicate(timeout=240)
    assert running.returncode == code, f"{running.returncode}\n{out}\n{err}"
    return out, err


def verdicts(text: str) -> dict[str, dict[str, str]]:
    """By check and lane."""
    return {
        check["name"]: {f"{lane['protocol']} {lane['family']}": lane["verdict"] for lane in check["lanes"]}
        for check in json.loads(text)["checks"]
    }


def canaries(api: Api) -> list[str]:
    names = [item["metadata"]["name"] for item in api.list("Namespace")]
    return [name for name in names if name.startswith(PREFIX)]


def leave_out(*names: str) -> list[str]:
    return [f"--leave-out={name}" for name in names]


def policy(name: str, namespace: str, spec: dict[str, Any]) -> Object:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


def test_an_engine_that_enforces_is_said_to(world: World, kubelet: Kubelet) -> None:
    out, err = finish(start(world), 0)
    table = out.splitlines()
    assert table[0].split() == ["CHECK", "TCP", "IPV4", "UDP", "IPV4", "TCP", "IPV6", "UDP", "IPV6", "AFTER"]
    assert [row.split()[0] for row in table[1:10]] == [*BASICS, "end-port", "named-ports"]
    assert all(row.split()[1:5] == ["enforced"] * 4 for row in table[1:10]), out
    assert table[-1] == "everything that was checked is enforced"
    assert "both pods were on one node" in err
    assert canaries(world.api) == []


@pytest.mark.slow
def test_the_known_deviations_of_this_engine_are_found(world: World, kubelet: Kubelet) -> None:
    asked = [
        *leave_out(*(set(BASICS) - {"ip-block"}), "end-port", "named-ports"),
        "--patience=5",
        "--portability",
    ]
    out, _ = finish(start(world, *asked, "-o", "json"), 1)
    found = {name: set(lanes.values()) for name, lanes in verdicts(out).items()}
    assert found == {
        "ip-block": {"enforced"},
        "both-directions": {"notEnforced"},
        "unknown-port-name": {"notEnforced"},
        "overlapping-ranges": {"tooStrict"},
    }
    rules = {check["lintRule"] for check in json.loads(out)["checks"] if check["lintRule"]}
    assert rules == {deviation.lint_rule for deviation in DEVIATIONS}


def test_without_an_engine_nothing_is_enforced(world: World, kubelet: Kubelet) -> None:
    """A stopped engine leaves in force what was, and does not know of the canary."""
    world.settle()
    world.engine.stop()
    try:
        out, _ = finish(start(world, "--patience=3", "-o", "json"), 1)
    finally:
        world.engine.start()
        world.settle()
    found = verdicts(out)
    assert set(BASICS) < set(found)
    assert {verdict for lanes in found.values() for verdict in lanes.values()} == {"notEnforced"}
    assert canaries(world.api) == []


@contextmanager
def ipv6_passes(world: World) -> Iterator[None]:
    """Keep a rule before those of the engine that lets all IPv6 pass, as if it knew IPv4 alone."""
    ending = threading.Event()

    def keep() -> None:
        while not ending.wait(0.05):
            if world.node.command("ip6tables", "-w", "-S", "FORWARD", "1").strip() != "-A FORWARD -j ACCEPT":
                world.node.command(*["ip6tables", "-w", "-I", "FORWARD", "1", "-j", "ACCEPT"])

    thread = threading.Thread(target=keep)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()
        while "-A FORWARD -j ACCEPT\n" in world.node.command("ip6tables", "-w", "-S", "FORWARD"):
            world.node.command(*["ip6tables", "-w", "-D", "FORWARD", "-j", "ACCEPT"])


def test_a_family_that_is_forgotten_is_seen(world: World, kubelet: Kubelet) -> None:
    only = leave_out(*BASICS[1:], "end-port", "named-ports")
    with ipv6_passes(world):
        out, _ = finish(start(world, *only, "--patience=5", "-o", "json"), 1)
    assert verdicts(out)["deny-ingress"] == {
        "TCP IPv4": "enforced",
        "UDP IPv4": "enforced",
        "TCP IPv6": "notEnforced",
        "UDP IPv6": "notEnforced",
    }


@pytest.mark.slow
def test_a_lane_that_is_closed_without_policies_is_unknown(world: World, kubelet: Kubelet) -> None:
    rule = ["PREROUTING", "-p", "udp", "--dport", "8080:8083", "-j", "DROP"]
    world.node.command("ip6tables", "-t", "raw", "-A", *rule)
    try:
        only = leave_out(*BASICS[1:], "end-port", "named-ports")
        out, _ = finish(start(world, *only, "--patience=4", "-o", "json"), 1)
    finally:
        world.node.command("ip6tables", "-t", "raw", "-D", *rule)
    assert verdicts(out)["deny-ingress"] == {
        "TCP IPv4": "enforced",
        "UDP IPv4": "enforced",
        "TCP IPv6": "enforced",
        "UDP IPv6": "unknown",
    }


@pytest.mark.slow
def test_policies_of_others_in_its_namespace_are_named(world: World, kubelet: Kubelet) -> None:
    """Such as those of a TenantProfile for every namespace."""
    running = start(world, "--patience=3")

    def interfere() -> None:
        wait_until(lambda: bool(canaries(world.api)), 20, "the canary's namespace")
        (namespace,) = canaries(world.api)
        world.api.apply(policy("tenants.default-deny", namespace, {"podSelector": {}}))

    other = threading.Thread(target=interfere)
    other.start()
    _, err = finish(running, 2)
    other.join()
    assert "tenants.default-deny" in err
    assert "DoesNotExist" in err
    assert canaries(world.api) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGHUP, marks=pytest.mark.slow)])
def test_an_interrupted_run_leaves_nothing(number: signal.Signals, world: World, kubelet: Kubelet) -> None:
    running = start(world)
    assert running.stderr is not None
    for line in running.stderr:
        if line.startswith("2 of "):
            break
    assert canaries(world.api)
    running.send_signal(number)
    _, err = finish(running, 128 + number)
    assert "cleaning up" in err
    assert canaries(world.api) == []
    assert not [name for name in world.parties if name.startswith(PREFIX)]


@pytest.mark.slow
def test_the_page_shows_what_is_printed(world: World, kubelet: Kubelet) -> None:
    """But for the seconds and the name of the namespace."""
    out, err = finish(start(world, "--portability", "--patience=5"), 1)
    page = (OPERATOR.parent / "docs" / "commands" / "doctor.md").read_text(encoding="utf-8")
    shown = {_without_figures(line) for line in page.splitlines()}
    progress = [
        re.sub(r"of 12", "of 9", line) for line in err.splitlines() if not re.match(r"1[012] of", line)
    ]
    missing = [line for line in [*progress, *out.splitlines()] if _without_figures(line) not in shown]
    assert missing == []


def _without_figures(line: str) -> str:
    """Columns may be wider where a verdict is longer."""
    return " ".join(re.sub(r"[0-9.]+ s$|(?<=doctor-)[0-9a-f]{8}", "…", line).split())
