"""One world of real packets for all tests of this folder, emptied after each.

Where the machine cannot do it, every test here is skipped with the reason. ``PACKETS_REQUIRED=1``
turns the skip into a failure, for machines that are meant to do it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from controlplane import ControlPlane
from operatorprocess import OperatorProcess, install
from packets.requirements import unavailable
from packets.tenancy import Tenancy
from packets.world import APISERVER_FLAGS, PORTS, World


@pytest.fixture(scope="session", autouse=True)
def _possible() -> None:
    reason = unavailable()
    if reason is None:
        return
    if os.environ.get("PACKETS_REQUIRED"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def plane(_possible: None) -> Iterator[ControlPlane]:
    with ControlPlane(apiserver_flags=APISERVER_FLAGS) as running:
        yield running


@pytest.fixture(scope="session")
def shared(plane: ControlPlane) -> Iterator[World]:
    with World(plane) as world:
        yield world


@pytest.fixture
def world(shared: World) -> Iterator[World]:
    """The shared world, without pods, hosts and policies of other tests."""
    yield shared
    shared.clear()
    shared.ports = PORTS


@pytest.fixture(scope="session")
def operator(shared: World, plane: ControlPlane) -> Iterator[OperatorProcess]:
    """The operator as it is shipped: its own process, its own account, the RBAC of the base."""
    install(plane)
    with OperatorProcess(plane).start() as running:
        yield running


@pytest.fixture
def tenancy(operator: OperatorProcess, world: World) -> Iterator[Tenancy]:
    made = Tenancy(world.api)
    yield made
    made.clear()
