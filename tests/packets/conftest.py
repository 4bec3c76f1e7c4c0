"""One world of real packets for all tests of this folder, emptied after each.

Where the machine cannot do it, every test here is skipped with the reason. ``PACKETS_REQUIRED=1``
turns the skip into a failure, for machines that are meant to do it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from controlplane import ControlPlane
from packets.requirements import unavailable
from packets.world import APISERVER_FLAGS, World


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
