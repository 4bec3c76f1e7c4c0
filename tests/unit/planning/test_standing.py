"""A profile's status is counted right, bounded, and moves only when something moved."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tenantprofile.planning.status import Drift, Outcome, Problem, Tally, status

problems = st.builds(
    Problem,
    st.sampled_from([f"ns-{i}" for i in range(40)]),
    st.just("p"),
    st.sampled_from(["Conflict", "ApplyFailed"]),
    st.text(max_size=2000),
)
outcomes = st.builds(
    lambda desired, missing, found: Outcome(desired, desired - min(missing, desired), tuple(found)),
    st.integers(0, 50),
    st.integers(0, 50),
    st.lists(problems, max_size=3),
)


def made(
    tally: Tally, before: dict[str, Any] | None = None, now: str = "t1", **options: Any
) -> dict[str, Any]:
    return status(
        tally,
        **{"generation": 3, "selected": len(tally.outcomes), "before": before or {}, "now": now} | options,
    )


def conditions(found: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {c["type"]: (c["status"], c["reason"]) for c in found["conditions"]}


@given(steps=st.lists(st.tuples(st.sampled_from("abcdefgh"), st.none() | outcomes), max_size=60))
def test_counts_equal_those_taken_from_scratch(steps: list[tuple[str, Outcome | None]]) -> None:
    tally = Tally(Drift())
    latest: dict[str, Outcome] = {}
    for namespace, outcome in steps:
        tally.put(namespace, outcome)
        latest.pop(namespace, None)
        if outcome is not None:
            latest[namespace] = outcome
    found = made(tally)
    assert found["policies"] == {
        "desired": sum(o.desired for o in latest.values()),
        "ready": sum(o.ready for o in latest.values()),
    }
    good = sum(o.is_ready for o in latest.values())
    assert found["namespaces"]["ready"] == good
    assert found["namespaces"]["failing"] == len(latest) - good
    assert found["problemsTotal"] == sum(len(o.problems) for o in latest.values())


def test_the_status_is_bounded_whatever_the_cluster_holds() -> None:
    tally = Tally(Drift(10**9, "2026-01-01T00:00:00Z", "x" * 5000))
    for index in range(3000):
        found = tuple(Problem(f"{'n' * 58}{index}", "p" * 63, "ApplyFailed", "é" * 5000) for _ in range(5))
        tally.put(f"ns-{index}", Outcome(50, 0, found))
    text = json.dumps(made(tally), ensure_ascii=False).encode()
    assert len(text) < 32 * 1024


def test_times_move_only_with_the_conditions_status() -> None:
    tally = Tally(Drift())
    tally.put("a", Outcome(1, 1))
    first = made(tally)
    assert made(tally, before=first, now="t2") == first
    tally.put("a", Outcome(1, 0, (Problem("a", "p", "Conflict", "taken"),)))
    second = made(tally, before=first, now="t2")
    times = {c["type"]: c["lastTransitionTime"] for c in second["conditions"]}
    assert times == {"Ready": "t2", "Degraded": "t2", "Progressing": "t1"}


def test_conditions_say_how_it_stands() -> None:
    tally = Tally(Drift())
    assert conditions(made(tally, selected=0))["Ready"] == ("True", "NoNamespaces")
    found = conditions(made(tally, selected=2))
    assert found["Ready"] == ("False", "Progressing")
    assert found["Progressing"] == ("True", "Applying")
    tally.put("a", Outcome(2, 2))
    tally.put("b", Outcome(2, 2))
    assert conditions(made(tally)) == {
        "Ready": ("True", "Applied"),
        "Progressing": ("False", "Settled"),
        "Degraded": ("False", "AsExpected"),
    }
    assert conditions(made(tally, suspended=True))["Ready"] == ("Unknown", "Suspended")
    whole = Problem("", "x", "TemplateNotFound", "no such template")
    found = conditions(made(tally, profile_problems=(whole,)))
    assert found["Ready"] == ("False", "TemplateNotFound")
    assert found["Degraded"] == ("True", "TemplateNotFound")


def test_repairs_go_on_counting_after_a_restart() -> None:
    tally = Tally(Drift(7, "t0", "ns/p: spec changed"))
    assert Drift.from_status(made(tally)) == tally.drift
