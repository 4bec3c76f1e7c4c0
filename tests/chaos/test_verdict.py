"""The judge is judged first: each kind of harm is seen, and what is no harm is not called so."""

from __future__ import annotations

from typing import Any

from chaos.verdict import Verdict, Wish, judge
from referee import Sighting

KEY = ("ns", "p.deny")


def seen(version: int, kind: str, spec: str = "a", uid: str = "u1") -> Sighting:
    return Sighting(version / 10, kind, *KEY, spec, "tenantprofile-operator", version, uid)


def verdict(*sightings: Sighting, wishes: list[Wish] | None = None, **more: Any) -> Verdict:
    wished = {KEY: wishes or [Wish(0, 10, "a"), Wish(50, 60, "b")]}
    more = {"own_deletions": set(), "is_own_edit": lambda spec: spec.startswith("edit"), **more}
    return judge(sightings, wished, **more)


def test_a_creation_and_a_change_as_wanted_are_no_harm() -> None:
    found = verdict(seen(20, "ADDED"), seen(70, "MODIFIED", "b"))
    assert not found.complaints()
    assert found.sightings == 2


def test_a_deletion_that_nobody_asked_for_is_lost_protection_also_when_it_is_made_good() -> None:
    found = verdict(seen(20, "ADDED"), seen(30, "DELETED"), seen(40, "ADDED", uid="u2"))
    assert [(m.cause, m.seconds) for m in found.lost] == [("LOST: deleted while wanted", 1.0)]
    assert found.complaints()


def test_a_deletion_by_the_test_is_told_apart_and_timed() -> None:
    found = verdict(seen(20, "ADDED"), seen(30, "DELETED"), seen(35, "ADDED", uid="u2"), own_deletions={"u1"})
    assert not found.complaints()
    assert [m.seconds for m in found.tenant] == [0.5]


def test_an_edit_by_the_test_that_stays_is_a_complaint() -> None:
    found = verdict(seen(20, "ADDED"), seen(30, "MODIFIED", "edit 1"))
    assert "never repaired" in found.complaints()[0]


def test_a_spec_that_nobody_wanted_is_wrong() -> None:
    assert verdict(seen(20, "ADDED"), seen(30, "MODIFIED", "wider")).wrong


def test_a_spec_from_the_future_is_wrong() -> None:
    assert verdict(seen(20, "ADDED"), seen(30, "MODIFIED", "b")).wrong


def test_during_a_change_both_the_old_and_the_new_are_right() -> None:
    assert not verdict(seen(20, "ADDED"), seen(55, "MODIFIED", "b")).complaints()
    assert not verdict(seen(55, "ADDED")).complaints()


def test_an_old_wish_may_arrive_late_but_not_over_a_newer_one() -> None:
    late = verdict(seen(65, "ADDED"), seen(70, "MODIFIED", "b"))
    assert (late.late, late.back, late.complaints()) == (1, 0, [])
    back = verdict(seen(61, "ADDED", "b"), seen(65, "MODIFIED"), seen(70, "MODIFIED", "b"))
    assert back.back == 1
    assert back.complaints()
    assert not back.complaints(may_go_back=True)


def test_a_deletion_once_it_is_not_wanted_any_more_is_right() -> None:
    wishes = [Wish(0, 10, "a"), Wish(50, 60, None)]
    assert not verdict(seen(20, "ADDED"), seen(55, "DELETED"), wishes=wishes).complaints()
    assert verdict(seen(20, "ADDED"), seen(45, "DELETED"), wishes=wishes).lost


def test_an_older_form_of_the_profile_may_reach_a_namespace_that_is_newer() -> None:
    wishes = [Wish(0, 0, "a"), Wish(0, 0, None), Wish(50, 60, "b")]
    found = verdict(seen(65, "ADDED"), seen(70, "MODIFIED", "b"), wishes=wishes)
    assert (found.late, found.complaints()) == (1, [])
