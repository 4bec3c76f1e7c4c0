"""Two writers that fight: never to the advantage of the one that opens."""

from __future__ import annotations

from tenantprofile.controller.contention import LONGEST, PATIENCE, SPACING, WINDOW, Contention


def fought(times: int, every: float = 0.25) -> tuple[Contention, float]:
    contention = Contention()
    for index in range(times):
        contention.repaired("ns", "p", index * every, "other-tool")
    return contention, (times - 1) * every


def test_a_few_repairs_are_no_fight() -> None:
    contention, now = fought(PATIENCE - 1)
    assert not contention.is_contested("ns", "p", now)
    assert contention.wait("ns", "p", now, protects=False) == 0.0


def test_a_repair_that_protects_is_never_held_back_noticeably() -> None:
    contention, now = fought(500)
    assert contention.is_contested("ns", "p", now)
    assert contention.other("ns", "p") == "other-tool"
    assert 0.0 < contention.wait("ns", "p", now, protects=True) <= SPACING
    assert contention.wait("ns", "p", now + SPACING, protects=True) == 0.0


def test_a_fight_over_labels_is_slowed_down_more_and_more_but_has_an_end() -> None:
    waits = []
    for times in range(PATIENCE, PATIENCE + 30):
        contention, now = fought(times)
        waits.append(contention.wait("ns", "p", now, protects=False))
    assert waits == sorted(waits)
    assert waits[0] >= 1.0
    assert waits[-1] == LONGEST


def test_a_fight_that_has_ended_is_forgotten() -> None:
    contention, now = fought(50)
    assert not contention.is_contested("ns", "p", now + WINDOW + 1)
    assert contention.wait("ns", "p", now + WINDOW + 1, protects=False) == 0.0
    assert contention.other("ns", "another") == "somebody"
