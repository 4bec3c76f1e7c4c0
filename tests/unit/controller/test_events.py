"""Kubernetes Events: what a person wants to see, and never a flood."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tenantprofile.controller.events import BURST, FORGET, RATE, EventRecorder, Subject


class Recorded:
    """Stands where the API client stands, and keeps what would be written."""

    def __init__(self) -> None:
        self.created: list[dict[str, Any]] = []
        self.merged: list[tuple[str, Mapping[str, Any]]] = []

    async def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        self.created.append(body)
        return body

    async def merge(self, path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        self.merged.append((path, body))
        return body


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def recorder() -> tuple[EventRecorder, Recorded, Clock]:
    api, clock = Recorded(), Clock()
    return EventRecorder(api, clock), api, clock  # type: ignore[arg-type]


PROFILE = Subject("TenantProfile", "p", "1")


async def test_what_repeats_becomes_one_event_with_a_count() -> None:
    events, api, clock = recorder()
    for index in range(1000):
        events.normal(PROFILE, "Repaired", f"ns-{index}")
    await events.flush()
    assert [(e["reason"], e["count"], e["message"]) for e in api.created] == [("Repaired", 1000, "ns-999")]
    clock.now = 60.0
    events.normal(PROFILE, "Repaired", "again")
    await events.flush()
    assert len(api.created) == 1
    assert api.merged[0][1]["count"] == 1001
    clock.now += FORGET + 1
    events.normal(PROFILE, "Repaired", "much later")
    await events.flush()
    assert len(api.created) == 2


async def test_a_namespace_that_is_gone_gets_no_events() -> None:
    events, api, _ = recorder()
    for name in ("gone", "here"):
        events.normal(Subject("Namespace", name, "u"), "PoliciesCreated", "created 5")
    events.forget("gone")
    await events.flush()
    assert [e["involvedObject"]["name"] for e in api.created] == ["here"]


async def test_a_fan_out_is_no_flood_and_bad_news_is_not_lost() -> None:
    events, api, clock = recorder()
    for index in range(5000):
        events.normal(Subject("Namespace", f"ns-{index}", "u"), "PoliciesCreated", "created 5")
        events.normal(PROFILE, "PoliciesCreated", f"created 5 in ns-{index}")
    for index in range(100):
        events.warning(Subject("Namespace", f"bad-{index}", "u"), "Conflict", "taken")
    await events.flush()
    assert len(api.created) <= BURST
    for _ in range(60):
        clock.now += 1.0
        await events.flush()
    assert len(api.created) <= BURST + 61 * RATE
    assert sum(e["reason"] == "Conflict" for e in api.created) == 100
    assert [e["count"] for e in api.created if e["involvedObject"]["name"] == "p"] == [5000]


async def test_the_profile_is_told_before_its_namespaces() -> None:
    events, api, _ = recorder()
    for index in range(500):
        events.warning(Subject("Namespace", f"ns-{index}", "u"), "Conflict", "taken")
        events.warning(PROFILE, "Conflict", f"ns-{index} is taken")
    await events.flush()
    assert api.created[0]["involvedObject"]["name"] == "p"
    assert api.created[0]["count"] == 500


async def test_an_event_stands_in_the_namespace_it_is_about() -> None:
    events, api, _ = recorder()
    events.warning(Subject("Namespace", "team-a", "u"), "PolicyRepaired", "x" * 5000)
    await events.flush()
    (event,) = api.created
    assert event["involvedObject"]["namespace"] == "team-a"
    assert len(event["message"]) <= 1024


async def test_progress_does_not_crowd_out_what_else_there_is_to_tell() -> None:
    events, api, _ = recorder()

    async def create(_path: str, body: dict[str, Any]) -> dict[str, Any]:
        api.created.append(body)
        events.normal(PROFILE, "PoliciesCreated", "a namespace more")
        return body

    api.create = create  # type: ignore[method-assign]
    events.normal(PROFILE, "PoliciesCreated", "the first namespace")
    for index in range(10):
        events.warning(Subject("Namespace", f"ns-{index}", str(index)), "Conflict", "bad")
    await events.flush()
    assert [body["reason"] for body in api.created] == ["PoliciesCreated"] + ["Conflict"] * 10
    assert api.merged == []
