"""One control plane, one referee and one report for all campaigns of a run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final

import pytest

from chaos.campaign import Campaign
from chaos.report import Report
from controlplane import NO_CONTROLLER_MANAGER, ControlPlane
from operatorprocess import install
from referee import JSON_IN_STORAGE, StorageReferee

FULL: Final = os.environ.get("TENANTPROFILE_CHAOS", "") == "full"
SEED: Final = int(os.environ.get("TENANTPROFILE_CHAOS_SEED", "20"))


def scale(bounded: int, full: int) -> int:
    """A number for the run in `make test`, and one for `make chaos`."""
    return full if FULL else bounded


@pytest.fixture(scope="session")
def report() -> Iterator[Report]:
    collected = Report("full" if FULL else "bounded", SEED)
    yield collected
    if collected.campaigns:
        print(f"\nThe referee's report: {collected.write()}")


@pytest.fixture(scope="session")
def cp() -> Iterator[ControlPlane]:
    plane = ControlPlane(audit=True, apiserver_flags=[JSON_IN_STORAGE])
    if not plane.has_controller_manager:
        plane.close()
        pytest.skip(NO_CONTROLLER_MANAGER)
    with plane:
        install(plane)
        yield plane


@pytest.fixture(scope="session")
def referee(cp: ControlPlane) -> Iterator[StorageReferee]:
    with StorageReferee(cp.admin_kubeconfig, cp.etcd_url) as witness:
        yield witness


@pytest.fixture
def campaign(
    cp: ControlPlane, referee: StorageReferee, report: Report, request: pytest.FixtureRequest
) -> Iterator[Campaign]:
    """A campaign named after its test; whatever comes of it goes into the report."""
    name = request.node.name.removeprefix("test_").replace("_", " ")
    cp.wait_ready()
    with Campaign(cp, referee, name, SEED, namespaces=scale(12, 60)) as begun:
        report.campaigns.append(begun.report)
        yield begun
    # After each campaign, so that a run that is broken off leaves what it has.
    report.write()
