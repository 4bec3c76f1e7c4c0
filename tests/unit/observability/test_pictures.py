"""The pictures of the dashboards show every panel, and Datadog's queries are translated to what is exposed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import dashboards
from tenantprofile.controller.metrics import FAMILIES

ROOT = Path(__file__).resolve().parents[3]
BOARDS = {"grafana": dashboards.grafana(), "datadog": dashboards.datadog()}
NAMES = re.compile(r"\b(?:tenantprofile|workqueue|rest_client|leader_election)_[a-z_]+\b")


@pytest.mark.parametrize("board", BOARDS)
def test_every_query_asks_for_metrics_that_there_are(board: str) -> None:
    for panel in BOARDS[board]:
        for query in panel.queries:
            assert "{$" not in query.expression
            asked = {re.sub(r"_(bucket|sum|count)$", "", name) for name in NAMES.findall(query.expression)}
            assert asked
            assert asked <= set(FAMILIES), query


def test_a_mean_is_a_sum_by_a_count() -> None:
    repairs = "sum:tenantprofile.repairs.count{$c} by {what}"
    query = f"sum:tenantprofile.time_to_repair_seconds.sum{{$c}}.as_count() / {repairs}"
    assert dashboards.promql(query).expression == (
        "sum (increase(tenantprofile_time_to_repair_seconds_sum[20s])) / sum by (what) (tenantprofile_repairs_total)"
    )


@pytest.mark.parametrize("board", BOARDS)
def test_the_picture_shows_every_panel_with_data(board: str) -> None:
    picture = (ROOT / f"docs/images/dashboard-{board}.svg").read_text()
    for panel in BOARDS[board]:
        assert panel.title in picture
    assert "no data" not in picture
    assert "prefers-color-scheme" in picture
