"""Every attempt of the table on a real API server, with the operator under its shipped RBAC.

Once without the guard and once with it. The expected outcome is part of the table, which docs/security.md
shows; after each attempt another tenant is served as ever. `make test` tries a part, of every actor and
with either outcome; `make nightly` everything; `make attacks` everything, and records what came of it.
"""

from __future__ import annotations

from typing import Any

import pytest

from attacks.attempts import ATTEMPTS, Attempt
from attacks.conftest import Record
from attacks.scene import Scene
from client import Refused, eventually


def cases(guarded: bool) -> list[Any]:
    """Attempts as parameters; those that the bounded run leaves out are slow."""
    mode = "guarded" if guarded else "without"
    chosen = {attempt.name for attempt in bounded(guarded)}
    return [
        pytest.param(
            mode,
            attempt,
            id=f"{mode}-{attempt.name}",
            marks=() if attempt.name in chosen else pytest.mark.slow,
        )
        for attempt in ATTEMPTS
    ]


def bounded(guarded: bool) -> list[Attempt]:
    """Each second attempt, by one of its actors in turn; with the guard, each eighth."""
    by_kind: dict[str, list[Attempt]] = {}
    for attempt in ATTEMPTS:
        if not attempt.slow:
            by_kind.setdefault(attempt.what, []).append(attempt)
    turns = [actors[number % len(actors)] for number, actors in enumerate(by_kind.values())]
    return turns[::8] if guarded else turns[::2]


def judged(stage: Scene, attempt: Attempt) -> str:
    """What came of an attempt."""
    try:
        attempt.act(stage)
    except Refused as error:
        # 409 and 429 are no answer to the attempt; 0 is a connection that the API server gave up.
        assert error.status in (400, 403, 404, 413, 422), error
        return "refused" if not _harmed_by_attempt(stage, attempt) else "open"
    if attempt.without == "open" and attempt.harm(stage):
        stage.neighbour_is_served()
        return "open" if attempt.harm(stage) else "harmless"
    try:
        eventually(lambda: not attempt.harm(stage), within=15.0)
    except AssertionError:
        return "open"
    return "harmless"


def _harmed_by_attempt(stage: Scene, attempt: Attempt) -> bool:
    """Whether something happened although the API server refused: always by the state of the baseline."""
    try:
        eventually(stage.protected, within=15.0)
    except AssertionError:
        return True
    return False


@pytest.mark.parametrize(("guard", "attempt"), [*cases(False), *cases(True)], indirect=["guard"])
def test_attempt(stage: Scene, attempt: Attempt, guard: bool, record: Record) -> None:
    expected = attempt.guarded if guard else attempt.without
    seen = judged(stage, attempt)
    record.outcome(attempt, guard, seen)
    assert seen == expected
    stage.neighbour_is_served()
    if expected == "harmless":
        assert not attempt.harm(stage), "the harm came back"
    assert stage.operator.alive
