"""etcd put back to a backup while the operator runs. No witness reads along: its own history would be gone, too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chaos.campaign import Campaign
from chaos.conftest import SEED, scale
from chaos.report import Report
from controlplane import NO_CONTROLLER_MANAGER, ControlPlane
from operatorprocess import install

A_MINUTE = 60.0
"""After the API server is back, everything is right again; the operators here compare everything less often."""


@pytest.fixture
def campaign(report: Report) -> Iterator[Campaign]:
    plane = ControlPlane(audit=True)
    if not plane.has_controller_manager:
        plane.close()
        pytest.skip(NO_CONTROLLER_MANAGER)
    no_witness: Any = SimpleNamespace(version=0)
    with plane:
        install(plane)
        with Campaign(plane, no_witness, "restored backups", SEED, namespaces=scale(12, 60)) as begun:
            report.campaigns.append(begun.report)
            yield begun
    report.write()


@pytest.mark.timeout(900)
def test_restored_backups(campaign: Campaign, tmp_path: Path) -> None:
    campaign.operator("--comparison-interval=3600")
    campaign.converge(A_MINUTE)
    for index in range(scale(2, 12)):
        with campaign.life(pause=0.1):
            campaign.wait(1.0, 3.0)
        campaign.converge(A_MINUTE)
        then = campaign.estate.remember()
        campaign.cp.back_up(tmp_path / str(index))
        with campaign.life(pause=0.1):
            campaign.wait(1.0, 4.0)
        campaign.cp.restore(tmp_path / str(index))
        campaign.estate.recall(then)
        campaign.faults["etcd put back to a backup"] += 1
        campaign.converge(A_MINUTE)
    with campaign.life(pause=0.1):
        campaign.wait(1.0, 2.0)
    campaign.converge(A_MINUTE)
    campaign.settle()
    assert campaign.estate.traces() == []
    assert campaign.estate.not_ready() == []
