"""The mark of a complete baseline: when it is written, that it stays, and that nothing is written for it at rest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from model.judge import MARK, is_marked
from model.machine import ALLOW, ALLOW_PORT, BROKEN, DENY, OPEN
from model.server import Change, Key, Request, Webhook
from model.world import Instance, World

REQUIRE = "RequireBaseline"


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.end()


def started(world: World, *entries: Any, **spec: Any) -> Instance:
    world.namespace("a")
    world.profile("p", *entries, **{"podAdmission": REQUIRE, **spec})
    instance = world.start()
    world.run_for(5)
    return instance


def settled(world: World) -> None:
    world.drain()
    world.judge()
    world.assert_converged()


def writes(world: World, since: int = 0) -> list[Change]:
    """Writes of policies by operators."""
    return [
        change
        for change in world.server.history[since:]
        if isinstance(change, Change)
        and change.key[0] == "networkpolicies"
        and change.actor.startswith("operator")
    ]


def refuse(world: World, *names: str) -> None:
    """Writes of these policies by an operator are refused."""

    def matches(request: Request, key: Key) -> bool:
        return key[0] == "networkpolicies" and key[2] in names and request.actor.startswith("operator")

    world.server.webhooks.append(Webhook(matches, code=403))


def label(world: World, name: str, value: str | None, **more: Any) -> None:
    """Somebody sets or removes the mark's label."""
    world.server.patch("networkpolicies", name, {"metadata": {"labels": {MARK: value}, **more}}, "a")


def test_the_mark_is_written_last_and_on_its_own(world: World) -> None:
    started(world, DENY, ALLOW)
    made = writes(world)
    assert [is_marked(change.after) for change in made] == [False, False, True]
    assert made[-1].key[2] == "p.default-deny"
    assert made[-1].before is not None
    assert made[-1].before["spec"] == made[-1].after["spec"]  # type: ignore[index]
    settled(world)


def test_without_the_wish_nothing_is_marked(world: World) -> None:
    started(world, DENY, ALLOW, podAdmission="Immediate")
    assert world.marks("a") == set()
    assert len(writes(world)) == 2
    settled(world)


def test_at_rest_and_after_restarts_nothing_is_written(world: World) -> None:
    instance = started(world, DENY, ALLOW)
    settled(world)
    before = len(world.server.history)
    for crash in (False, True):
        world.stop(instance, crash=crash)
        instance = world.start(f"operator-{crash}")
        world.run_for(1500)
    assert writes(world, before) == []
    settled(world)


def test_a_key_of_the_seal_that_is_lost_costs_no_write_and_no_mark(world: World) -> None:
    instance = started(world, DENY, ALLOW)
    settled(world)
    world.stop(instance)
    world.server.delete("secrets", "tenantprofile-operator-seal", "tenantprofile-system")
    before = len(world.server.history)
    world.start("operator-2")
    world.run_for(60)
    assert writes(world, before) == []
    assert world.marks("a") == {"p.default-deny"}


@pytest.mark.parametrize("refused", ["p.default-deny", "p.same-namespace"])
def test_a_refused_write_keeps_the_mark_away(world: World, refused: str) -> None:
    refuse(world, refused)
    started(world, DENY, ALLOW)
    world.run_for(60)
    assert world.names("a") == {"p.default-deny", "p.same-namespace"} - {refused}
    assert world.marks("a") == set()
    world.server.webhooks.clear()
    settled(world)
    assert world.marks("a") == {"p.default-deny"}


def test_a_broken_entry_keeps_the_mark_away(world: World) -> None:
    started(world, DENY, BROKEN)
    settled(world)
    assert world.names("a") == {"p.default-deny"}
    assert world.marks("a") == set()


def test_a_conflict_keeps_the_mark_away(world: World) -> None:
    world.namespace("a")
    world.server.create(
        "networkpolicies", {"metadata": {"name": "p.same-namespace"}, "spec": OPEN}, namespace="a"
    )
    world.profile("p", DENY, ALLOW, podAdmission=REQUIRE)
    world.start()
    world.run_for(60)
    assert world.marks("a") == set()
    world.server.delete("networkpolicies", "p.same-namespace", "a")
    settled(world)
    assert world.marks("a") == {"p.default-deny"}


def test_a_policy_that_a_webhook_changes_keeps_the_mark_away(world: World) -> None:
    def matches(request: Request, key: Key) -> bool:
        return key[0] == "networkpolicies" and request.actor.startswith("operator")

    world.server.webhooks.append(Webhook(matches, mutate=lambda body: {**body, "spec": OPEN}))
    started(world, DENY, ALLOW)
    world.run_for(60)
    assert world.marks("a") == set()


def test_every_profile_that_asks_for_it_has_to_stand(world: World) -> None:
    refuse(world, "q.same-namespace")
    world.profile("q", ALLOW, podAdmission=REQUIRE)
    started(world, DENY)
    world.run_for(60)
    assert world.marks("a") == set()
    world.server.webhooks.clear()
    settled(world)
    assert world.marks("a") == {"p.default-deny"}


def test_a_profile_that_does_not_ask_for_it_need_not_stand(world: World) -> None:
    refuse(world, "q.same-namespace")
    world.profile("q", ALLOW)
    started(world, DENY)
    assert world.marks("a") == {"p.default-deny"}


def test_a_suspended_profile_is_not_known_to_stand(world: World) -> None:
    world.profile("q", ALLOW, podAdmission=REQUIRE, suspend=True)
    started(world, DENY)
    settled(world)
    assert world.marks("a") == set()
    world.profile("q", ALLOW, podAdmission=REQUIRE)
    settled(world)
    assert world.marks("a") == {"p.default-deny"}
    world.profile("q", ALLOW, podAdmission=REQUIRE, suspend=True)
    settled(world)
    assert world.marks("a") == {"p.default-deny"}


@pytest.mark.parametrize("entries", [[DENY, ALLOW_PORT], [DENY, BROKEN], [DENY]])
def test_the_mark_stays_through_edits_and_their_failures(world: World, entries: list[Any]) -> None:
    started(world, DENY, ALLOW)
    settled(world)
    gone: list[int] = []
    world.server.listeners.append(
        lambda change: gone.append(change.revision) if not world.marks("a") else None
    )
    refuse(world, "p.same-namespace")
    world.profile("p", *entries, podAdmission=REQUIRE)
    world.run_for(60)
    assert world.marks("a") == {"p.default-deny"}
    world.profile("p", {**DENY, "parameters": {"directions": ["Ingress"]}}, ALLOW, podAdmission=REQUIRE)
    settled(world)
    assert gone == []


def test_the_mark_moves_before_its_bearer_goes(world: World) -> None:
    started(world, DENY, ALLOW)
    settled(world)
    gone: list[int] = []
    world.server.listeners.append(
        lambda change: gone.append(change.revision) if not world.marks("a") else None
    )
    world.profile("p", ALLOW, podAdmission=REQUIRE)
    settled(world)
    assert world.marks("a") == {"p.same-namespace"}
    assert gone == []


def test_the_mark_moves_with_the_profile_that_asks_for_it(world: World) -> None:
    world.profile("q", ALLOW, podAdmission=REQUIRE)
    started(world, DENY)
    settled(world)
    gone: list[int] = []
    world.server.listeners.append(
        lambda change: gone.append(change.revision) if not world.marks("a") else None
    )
    world.profile("p", DENY)
    settled(world)
    assert world.marks("a") == {"q.same-namespace"}
    assert gone == []


def test_the_mark_goes_when_no_profile_asks_for_it(world: World) -> None:
    started(world, DENY, ALLOW)
    settled(world)
    before = len(world.server.history)
    world.profile("p", DENY, ALLOW)
    settled(world)
    assert world.marks("a") == set()
    assert len(writes(world, before)) == 1


def test_the_mark_goes_with_the_policies_and_is_not_taken_over_by_a_new_namespace(world: World) -> None:
    started(world, DENY, ALLOW)
    settled(world)
    world.relabel("a", tenant="no")
    settled(world)
    assert world.policies("a") == {}
    refuse(world, "p.same-namespace")
    world.relabel("a", tenant="yes")
    world.run_for(60)
    assert world.names("a") == {"p.default-deny"}
    assert world.marks("a") == set()


@pytest.mark.parametrize("incomplete", [False, True])
def test_a_stripped_mark_is_put_back(world: World, incomplete: bool) -> None:
    started(world, DENY, ALLOW)
    settled(world)
    if incomplete:
        refuse(world, "p.same-namespace")
        world.profile("p", DENY, ALLOW_PORT, podAdmission=REQUIRE)
        world.run_for(60)
    before = len(world.server.history)
    label(world, "p.default-deny", None)
    world.run_for(5)
    assert world.marks("a") == {"p.default-deny"}
    assert len([change for change in writes(world, before) if is_marked(change.after)]) == 1


@pytest.mark.parametrize("down", [False, True])
def test_a_forged_mark_is_taken_off(world: World, down: bool) -> None:
    refuse(world, "p.same-namespace")
    instance = started(world, DENY, ALLOW)
    assert world.marks("a") == set()
    if down:
        world.stop(instance)
    label(world, "p.default-deny", "true")
    if down:
        world.start("operator-2")
    world.run_for(5)
    assert world.marks("a") == set()
    world.judge()


def test_a_mark_with_a_forged_digest_is_taken_off(world: World) -> None:
    """The digest can be worked out by everybody; the seal cannot."""
    world.namespace("b")
    started(world, DENY, ALLOW)
    settled(world)
    marked = world.policies("b")["p.default-deny"]["metadata"]
    world.namespace("c")
    refuse(world, "p.same-namespace")
    world.run_for(5)
    world.server.patch(
        "networkpolicies",
        "p.default-deny",
        {"metadata": {"labels": marked["labels"], "annotations": marked["annotations"]}},
        "c",
    )
    world.run_for(5)
    assert world.marks("c") == set()
    world.judge()


def test_a_deleted_bearer_is_marked_again_only_when_everything_stands(world: World) -> None:
    started(world, DENY, ALLOW)
    settled(world)
    refuse(world, "p.same-namespace")
    for name in ("p.default-deny", "p.same-namespace"):
        world.server.delete("networkpolicies", name, "a")
    world.run_for(60)
    assert world.names("a") == {"p.default-deny"}
    assert world.marks("a") == set()
    world.server.webhooks.clear()
    settled(world)
    assert world.marks("a") == {"p.default-deny"}


def test_a_mark_whose_answer_is_lost_is_not_written_twice(world: World) -> None:
    world.namespace("a")
    world.profile("p", DENY, ALLOW, podAdmission=REQUIRE)
    instance = world.start()
    instance.network.lose("after", "PUT")
    settled(world)
    assert len([change for change in writes(world) if change.key[1] == "a"]) == 3
