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
from attacks.table import RESULTS
from client import NAMESPACES, Client, Refused, eventually, policies_of
from controlplane import ControlPlane
from operatorprocess import OperatorProcess, install


@dataclass
class Record:
    """What a run saw; TENANTPROFILE_ATTACKS=record keeps it in results.json, if it is everything."""

    outcomes: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)
    neighbours: list[dict[str, Any]] = field(default_factory=list)

    def outcome(self, attempt: Attempt, guarded: bool, outcome: str) -> None:
        seen = self.outcomes.setdefault((attempt.actor, attempt.what), {})
        seen["guarded" if guarded else "without"] = outcome

    def write(self) -> None:
        lines = [
            {"actor": a.actor, "attempt": a.what, **self.outcomes.get((a.actor, a.what), {})}
            for a in ATTEMPTS
        ]
        lacking = [line for line in lines if len(line) < 4]
        assert not lacking, f"not recorded, because these were not tried or failed: {lacking}"
        assert self.neighbours, "not recorded, because the neighbour's times were not taken"
        content = {"attempts": lines, "neighbours": self.neighbours}
        RESULTS.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


@pytest.fixture(scope="session")
def record() -> Iterator[Record]:
    found = Record()
    yield found
    if os.environ.get("TENANTPROFILE_ATTACKS") == "record":
        found.write()


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
