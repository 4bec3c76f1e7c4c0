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
    assert conditions(made(tally, selected=0))["Ready"] == ("False", "NoNamespaces")
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


def test_what_was_found_before_a_change_does_not_count_until_it_is_looked_at_again() -> None:
    tally = Tally(Drift())
    for namespace in ("a", "b"):
        tally.put(namespace, Outcome(1, 1))
    assert conditions(made(tally, selected=2))["Ready"] == ("True", "Applied")
    tally.renew()
    found = conditions(made(tally, selected=2))
    assert found["Ready"] == ("False", "Progressing")
    assert found["Progressing"] == ("True", "Applying")
    assert tally.put("a", Outcome(1, 1))
    assert conditions(made(tally, selected=2))["Ready"] == ("False", "Progressing")
    tally.put("b", Outcome(1, 1))
    assert conditions(made(tally, selected=2))["Ready"] == ("True", "Applied")
    tally.pending("b")
    assert conditions(made(tally, selected=2))["Ready"] == ("False", "Progressing")


def test_what_leaves_a_namespace_without_protection_comes_first() -> None:
    tally = Tally(Drift())
    tally.put("a", Outcome(1, 0, (Problem("a", "dns", "ApplyFailed", "no"),)))
    tally.put("z", Outcome(1, 0, (Problem("z", "deny", "Conflict", "NOT protected", minor=False),)))
    found = made(tally)
    assert [problem["namespace"] for problem in found["problems"]] == ["z", "a"]
    assert conditions(found)["Degraded"] == ("True", "Conflict")


def test_trouble_in_a_namespace_that_is_not_selected_any_more_is_a_problem() -> None:
    tally = Tally(Drift())
    tally.put("kept", Outcome(1, 1))
    tally.put("left", Outcome(0, 0, (Problem("left", "deny", "ApplyFailed", "no"),), selected=False))
    found = made(tally, selected=1)
    assert found["namespaces"]["summary"] == "1/1"
    assert conditions(found)["Ready"] == ("False", "ApplyFailed")


def test_a_suspended_profile_says_what_is_not_as_desired() -> None:
    tally = Tally(Drift())
    tally.put("a", Outcome(2, 0, standing=1))
    degraded = next(c for c in made(tally, suspended=True)["conditions"] if c["type"] == "Degraded")
    assert (degraded["status"], degraded["reason"]) == ("True", "Suspended")
    assert "0 of 2 policies as desired; 1 in another form stays in force" in degraded["message"]
