"""One control plane that the tests of this folder share, with its audit log."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from controlplane import NO_CONTROLLER_MANAGER, ControlPlane


@pytest.fixture(scope="package")
def plane() -> Iterator[ControlPlane]:
    with ControlPlane(audit=True) as running:
        yield running


@pytest.fixture
def controller_manager(plane: ControlPlane) -> ControlPlane:
    """The shared control plane, for what only a controller-manager does."""
    if not plane.has_controller_manager:
        pytest.skip(NO_CONTROLLER_MANAGER)
    return plane
