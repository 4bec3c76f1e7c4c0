"""One control plane and one operator for all attempts; the guard is installed for the second half."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import guardinstall
from actors import acting
from attacks.attempts import Attempt
from attacks.scene import BASELINE, Scene, scene, set_up
from client import NAMESPACES, Client, Refused, eventually, policies_of
from controlplane import ControlPlane
from operatorprocess import OperatorProcess, install


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
