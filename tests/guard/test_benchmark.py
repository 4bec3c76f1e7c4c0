"""The benchmark of the guard measures what it says: requests that pass, without the guard and with it."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.guard import measure, table


def test_it_measures_both_requests_at_each_number_of_profiles() -> None:
    figures = measure(10, counts=(0, 1))
    assert {(figure.request, figure.profiles) for figure in figures} == {
        (request, count) for request in ("namespace update", "policy create") for count in (0, 1)
    }
    for figure in figures:
        assert len(figure.without) == len(figure.guarded) == 20
        assert figure.ratio > 0
        assert figure.cpu_guarded >= 0
    assert len(table(figures).splitlines()) == 2 + len(figures)
