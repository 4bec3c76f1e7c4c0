"""Every attempt of the table on a real API server, with the operator under its shipped RBAC.

Once without the guard and once with it. The expected outcome is part of the table, which
docs/security.md shows; after each attempt another tenant is served as ever.
"""

from __future__ import annotations

import pytest

from attacks.attempts import ATTEMPTS, Attempt
from attacks.scene import Scene
from client import Refused, eventually


def cases(guarded: bool) -> list[pytest.param]:  # type: ignore[valid-type]
    found = []
    for attempt in ATTEMPTS:
        reason = attempt.xfail_guarded if guarded else attempt.xfail
        marks = [pytest.mark.xfail(strict=False, reason=reason)] if reason else []
        marks += [pytest.mark.slow] if attempt.slow or guarded else []
        mode = "guarded" if guarded else "without"
        found.append(pytest.param(mode, attempt, id=f"{mode}-{attempt.name}", marks=marks))
    return found


def judged(stage: Scene, attempt: Attempt) -> str:
    """What came of an attempt."""
    try:
        attempt.act(stage)
    except Refused as error:
        # 409 and 429 are no answer to the attempt; 0 is a connection that the API server gave up.
        assert error.status not in (409, 429, 500), error
        refused = error.status in (400, 403, 404, 413, 422)
        assert refused, error
        if attempt.without == "harmless" and not stage.guarded:
            return "harmless" if not attempt.harm(stage) else "open"
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
def test_attempt(stage: Scene, attempt: Attempt, guard: bool) -> None:
    expected = attempt.guarded if guard else attempt.without
    assert judged(stage, attempt) == expected
    stage.neighbour_is_served()
    if expected == "harmless":
        assert not attempt.harm(stage), "the harm came back"
    assert stage.operator.alive
