"""One control plane and one operator for all attempts; the guard is installed for the second half."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

import guardinstall
from actors import acting
from attacks.attempts import ATTEMPTS, Attempt
from attacks.scene import BASELINE, Scene, scene, set_up
from attacks.table import RESULTS, recorded
from client import NAMESPACES, Client, Refused, eventually, policies_of
from controlplane import ControlPlane
from operatorprocess import OperatorProcess, install


@dataclass
class Record:
    """What a run saw. TENANTPROFILE_ATTACKS=record keeps it in results.json, in place of what was there.

    A part of the suite brings its part up to date. What is not tried any more is dropped.
    """

    keeps: bool
    outcomes: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)
    neighbours: dict[str, dict[str, Any]] = field(default_factory=dict)

    def outcome(self, attempt: Attempt, guarded: bool, outcome: str) -> None:
        """What came of an attempt."""
        seen = self.outcomes.setdefault((attempt.actor, attempt.what), {})
        seen["guarded" if guarded else "without"] = outcome
        self._write()

    def neighbour(self, attack: str, ratios: dict[str, float]) -> None:
        """What an attack cost another tenant."""
        self.neighbours[attack] = ratios
        self._write()

    def _write(self) -> None:
        if not self.keeps:
            return
        lines = [
            {"actor": a.actor, "attempt": a.what, **self.outcomes.get((a.actor, a.what), {})}
            for a in ATTEMPTS
        ]
        neighbours = [{"attack": attack, **ratios} for attack, ratios in self.neighbours.items()]
        content = {"attempts": lines, "neighbours": neighbours}
        RESULTS.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


@pytest.fixture(scope="session")
def record() -> Record:
    found = Record(os.environ.get("TENANTPROFILE_ATTACKS") == "record")
    if found.keeps and RESULTS.exists():
        known = recorded()
        for line in known["attempts"]:
            seen = {key: line[key] for key in ("without", "guarded") if key in line}
            found.outcomes[line["actor"], line["attempt"]] = seen
        for line in known["neighbours"]:
            found.neighbours[line["attack"]] = {k: v for k, v in line.items() if k != "attack"}
    return found


@pytest.fixture(scope="session")
def plane() -> Iterator[ControlPlane]:
    with ControlPlane() as running:
        install(running)
        yield running


@pytest.fixture(scope="session")
def admin(plane: ControlPlane) -> Client:
    client = Client(plane.admin_kubeconfig)
    set_up(client)
    return client


@pytest.fixture(scope="session")
def running(plane: ControlPlane, admin: Client) -> Iterator[OperatorProcess]:
    with OperatorProcess(plane) as process:
        labels = {"tenancy": "shared"}
        admin.create(NAMESPACES, {"metadata": {"name": "neighbour", "labels": labels}})
        eventually(lambda: len(admin.items(policies_of("neighbour"))) == 3)
        yield process


@pytest.fixture(scope="session", params=["without", "guarded"])
def guard(plane: ControlPlane, admin: Client, request: pytest.FixtureRequest) -> Iterator[bool]:
    """Whether the guard is in force. Installed without the pod gate, which attempts on policies do not meet."""
    if request.param == "without":
        yield False
        return
    guardinstall.install(plane)
    tenant = acting(plane, "namespaces")
    probe = {"metadata": {"name": "probe", "labels": {"tenancy": "shared"}}}

    def enforced() -> bool:
        try:
            tenant.request("POST", NAMESPACES, probe, dryRun="All")
        except Refused as error:
            return "profile-membership" in str(error)
        return False

    def read_only() -> bool:
        path = f"{policies_of('neighbour')}/{BASELINE}.default-deny"
        delegate = acting(plane, "delegate")
        try:
            delegate.request("DELETE", path, dryRun="All")
        except Refused as error:
            return "read-only" in str(error)
        return False

    def railed() -> bool:
        delegate = acting(plane, "delegate")
        body = {"metadata": {"name": "x"}, "spec": {"podSelector": {}, "ingress": [{}]}}
        try:
            delegate.request("POST", policies_of("neighbour"), body, dryRun="All")
        except Refused as error:
            return "guardrails" in str(error)
        return False

    for check in (enforced, read_only, railed):
        eventually(check, within=60.0)
    yield True
    guardinstall.remove(plane)


@pytest.fixture
def stage(
    plane: ControlPlane, admin: Client, running: OperatorProcess, guard: bool, request: pytest.FixtureRequest
) -> Iterator[Scene]:
    """The world of the attempt that the test is about."""
    attempt: Attempt = request.node.callspec.params["attempt"]
    made = scene(plane, admin, running, attempt.actor, guard)
    try:
        made.prepare()
        yield made
    finally:
        made.clean_up()
