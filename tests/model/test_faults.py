"""Faults that earlier versions did not survive, each on the real operator over the model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from model.server import Change, Key, Request, Webhook
from model.world import Instance, World

OPEN = {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]}


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.end()


def started(world: World, *entries: Any, count: int = 1, **spec: Any) -> Instance:
    """A synced operator with the profile `p` and the namespaces a-0 and so on."""
    for index in range(count):
        world.namespace(f"a-{index}")
    world.profile("p", *entries, **spec)
    instance = world.start()
    world.run_for(5)
    world.assert_converged()
    return instance


def settled(world: World) -> None:
    world.drain()
    world.judge()
    world.assert_converged()


def of_operator(request: Request) -> bool:
    return request.actor.startswith("operator")


# --- deletions and the cache ---


@pytest.mark.parametrize("delay", [0.0, 0.05, 0.5, 5.0])
def test_a_policy_deleted_before_its_answer_arrives_is_there_in_the_end(world: World, delay: float) -> None:
    instance = started(world)
    instance.network.delay = lambda stage, request: (
        delay
        if stage == "answer" and request.method in ("POST", "PUT") and "leases" not in request.path
        else 0.001
    )
    once: set[Key] = set()

    def rival(change: Change) -> None:
        if change.key[0] == "networkpolicies" and change.after is not None and change.key not in once:
            once.add(change.key)
            world.loop.call_soon(lambda: world.server.delete("networkpolicies", change.key[2], change.key[1]))

    world.server.listeners.append(rival)
    for index in range(10):
        world.namespace(f"b-{index}")
    world.run_for(40)
    assert len(once) == 10
    for index in range(10):
        assert world.names(f"b-{index}") == {"p.default-deny"}
    settled(world)


def test_an_answer_for_a_policy_that_was_replaced_meanwhile_counts_for_nothing(world: World) -> None:
    instance = started(world)
    instance.network.holds = lambda stage, request: stage == "answer" and request.method == "PUT" and (
        "networkpolicies" in request.path
    )  # fmt: skip
    world.server.patch("networkpolicies", "p.default-deny", {"spec": OPEN}, "a-0")
    world.run_for(0.1)
    assert instance.network.pending
    world.server.delete("networkpolicies", "p.default-deny", "a-0")
    world.server.create(
        "networkpolicies", {"metadata": {"name": "p.default-deny"}, "spec": OPEN}, namespace="a-0"
    )
    world.run_for(0.1)
    settled(world)


def test_a_deletion_during_a_pass_is_reported_under_drift_report(world: World) -> None:
    instance = started(world, "default-deny", "same-namespace", drift="Report")
    instance.network.holds = lambda stage, request: stage == "answer" and request.method == "POST" and (
        "networkpolicies" in request.path
    )  # fmt: skip
    world.profile("p", "default-deny", "same-namespace", {"template": "dns-egress"}, drift="Report")
    world.run_for(1)
    assert instance.network.pending
    world.server.delete("networkpolicies", "p.default-deny", "a-0")
    world.run_for(0.1)
    instance.network.open()
    world.run_for(60)
    assert "p.default-deny" not in world.names("a-0")
    assert not world.is_ready()
    assert any(problem["reason"] == "Drifted" for problem in world.status()["problems"])


@pytest.mark.parametrize("policies", [2, 4])
def test_every_deletion_of_others_is_counted(world: World, policies: int) -> None:
    entries = [{"template": "default-deny", "name": f"deny-{i}"} for i in range(policies)]
    started(world, *entries)
    world.server.request("DELETE", "/apis/networking.k8s.io/v1/namespaces/a-0/networkpolicies")
    world.run_for(30)
    assert world.status()["drift"]["repaired"] == policies
    settled(world)


def test_deletions_that_arrive_during_a_pass_are_counted(world: World) -> None:
    entries = [{"template": "default-deny", "name": f"deny-{i}"} for i in range(4)]
    instance = started(world, *entries)
    instance.network.delay = lambda stage, request: (
        0.3 if request.method == "POST" and stage == "answer" and "networkpolicies" in request.path else 0.001
    )
    for index in range(4):
        world.server.delete("networkpolicies", f"p.deny-{index}", "a-0")
        world.run_for(0.1)
    world.run_for(30)
    assert world.status()["drift"]["repaired"] == 4
    settled(world)


# --- the API server goes back, kinds vanish, watches misbehave ---


@pytest.mark.parametrize("cut", [True, False], ids=["watches end", "watches say nothing"])
def test_what_a_backup_lacks_is_put_back(world: World, cut: bool) -> None:
    instance = started(world)
    world.namespace("a-1")
    backup = world.server.backup()
    world.run_for(3)
    world.server.patch("networkpolicies", "p.default-deny", {"spec": OPEN}, "a-1")
    world.run_for(600)
    assert world.names("a-1") == {"p.default-deny"}
    world.server.restore(backup)
    assert not world.names("a-1")
    if cut:
        instance.network.cut()
    world.run_for(60)
    assert world.names("a-1") == {"p.default-deny"}
    settled(world)


def test_a_watch_that_broke_goes_on_where_it_was(world: World, caplog: pytest.LogCaptureFixture) -> None:
    instance = started(world)
    for index in range(5):
        world.namespace(f"b-{index}")
        world.run_for(1.3)
    before = len(instance.network.reads)
    instance.network.cut()
    world.run_for(10)
    assert "gone back" not in caplog.text
    lists = [path for _, path in instance.network.reads[before:] if "limit=500" in path]
    assert not lists
    settled(world)


def test_what_is_written_while_everything_is_read_anew_can_be_removed_later(world: World) -> None:
    instance = started(world, "default-deny", "same-namespace")
    profiles = instance.controller._state.profiles
    instance.network.holds = lambda stage, request: (
        (stage == "answer" and request.method == "POST" and request.path.endswith("networkpolicies"))
        or (
            stage == "request"
            and request.path.endswith("tenantprofiles")
            and request.query.get("limit") not in (None, "1")
        )
    )
    world.namespace("b")
    world.run_for(0.05)
    backup = world.server.backup()
    for index in range(10):
        world.server.patch("tenantprofiles", "p", {"metadata": {"annotations": {"n": str(index)}}})
    world.run_for(0.1)
    world.server.restore(backup)
    instance.network.cut()
    for _ in range(80):
        if not len(profiles):
            break
        world.run_for(0.005)
    assert len(profiles) == 0, "the test has to see the moment in which nothing is known"
    assert world.names("b") == {"p.default-deny", "p.same-namespace"}
    world.profile("p", "default-deny")
    instance.network.open()
    world.run_for(30)
    assert world.names("b") == {"p.default-deny"}
    settled(world)


def test_a_ledger_whose_first_answer_was_lost_is_kept(world: World) -> None:
    world.namespace("a")
    world.profile("p")
    instance = world.start()
    instance.network.lose("after", "POST", "configmaps", times=3)
    world.run_for(30)
    assert world.server.all("configmaps", "tenantprofile-system")
    assert instance.operator._ledger.problem is None
    settled(world)


@pytest.mark.parametrize("cut", [True, False], ids=["watches end", "watches say nothing"])
def test_a_restore_is_noticed_though_the_cluster_is_past_its_old_revision_again(
    world: World, cut: bool
) -> None:
    instance = started(world)
    world.namespace("a-1")
    backup = world.server.backup()
    world.run_for(30)
    assert world.names("a-1") == {"p.default-deny"}
    revision = world.server.revision
    world.server.restore(backup)
    while world.server.revision < revision + 100:
        world.server.patch(
            "namespaces", "default", {"metadata": {"annotations": {"n": str(world.server.revision)}}}
        )
    assert not world.names("a-1")
    if cut:
        instance.network.cut()
    world.run_for(20)
    assert world.names("a-1") == {"p.default-deny"}
    settled(world)


def test_namespaces_that_a_restore_takes_away_count_no_more(world: World) -> None:
    instance = started(world)
    backup = world.server.backup()
    for index in range(3):
        world.namespace(f"late-{index}")
    world.run_for(30)
    assert world.status()["namespaces"]["ready"] == 4
    world.server.restore(backup)
    instance.network.cut()
    world.run_for(60)
    assert world.status()["namespaces"]["ready"] == 1
    settled(world)


def test_an_edit_that_a_restore_brings_back_is_undone(world: World) -> None:
    instance = started(world)
    world.server.webhooks.append(
        Webhook(lambda request, key: of_operator(request) and key[0] == "networkpolicies", code=403)
    )
    world.server.patch("networkpolicies", "p.default-deny", {"spec": OPEN | {"egress": None}}, "a-0")
    opened = world.server.backup()
    world.server.webhooks.clear()
    world.run_for(300)
    world.assert_converged()
    world.server.restore(opened)
    instance.network.cut()
    world.run_for(60)
    world.assert_converged()


@pytest.mark.parametrize("seconds", [1, 5, 60])
def test_profiles_are_followed_again_when_their_kind_is_served_again(world: World, seconds: float) -> None:
    instance = started(world, deletionPolicy="Retain")
    world.server.vanish("tenantprofiles", "policytemplates")
    world.run_for(seconds)
    world.server.appear("tenantprofiles", "policytemplates")
    world.profile("p", "default-deny", "same-namespace")
    world.run_for(10)
    assert {"tenantprofiles", "policytemplates"} <= instance.network.watching
    assert world.names("a-0") == {"p.default-deny", "p.same-namespace"}
    world.profile("p", "default-deny")
    world.run_for(10)
    assert world.names("a-0") == {"p.default-deny"}
    settled(world)


def test_an_operator_that_starts_before_its_kinds_says_so_and_comes_to_life(world: World) -> None:
    world.server.vanish("tenantprofiles", "policytemplates")
    world.namespace("a-0")
    instance = world.start()
    world.run_for(30)
    problems = [informer.problem() for informer in instance.controller.informers]
    assert any(problem is not None and "tenantprofiles" in problem for problem in problems)
    world.server.appear("tenantprofiles", "policytemplates")
    world.profile()
    world.run_for(15)
    assert world.names("a-0") == {"p.default-deny"}
    settled(world)


@pytest.mark.parametrize("as_event", [True, False])
def test_a_watch_from_a_compacted_revision_is_begun_anew_with_pauses(world: World, as_event: bool) -> None:
    instance = started(world)
    world.server.gone_as_event = as_event
    instance.network.requests.clear()

    def compacting(_change: Change) -> None:
        world.server.compact()

    world.server.listeners.append(compacting)
    for _ in range(30):
        instance.network.cut()
        world.server.create("configmaps", {"metadata": {"generateName": "noise-"}}, namespace="default")
        world.run_for(0.1)
    lists = [r for r in instance.network.requests if r.method == "GET" and r.query.get("limit") == "500"]
    assert len(lists) < 60
    world.server.listeners.remove(compacting)
    settled(world)


def test_an_expired_continue_token_is_no_end_of_the_list(world: World) -> None:
    for index in range(1200):
        world.namespace(f"n-{index}", tenant="no")
    world.namespace("z-last")
    world.profile()
    instance = world.start()
    expired = []

    def expire(stage: Any, request: Request) -> float:
        if (
            stage == "answer"
            and request.path == "/api/v1/namespaces"
            and "limit" in request.query
            and not expired
        ):
            expired.append(request)
            world.server.compact()
            world.server.revision += 1
            world.server.compact()
        return 0.001

    instance.network.delay = expire
    world.run_for(20)
    assert expired
    assert world.names("z-last") == {"p.default-deny"}


def test_a_quiet_cluster_without_bookmarks_is_alive(world: World) -> None:
    instance = started(world)
    instance.network.silent = True
    world.run_for(1800)
    for informer in instance.controller.informers:
        assert informer.clock_since_contact() < 300


# --- bulkheads ---


def hang(world: World, prefix: str = "a-") -> None:
    world.server.webhooks.append(
        Webhook(
            lambda request, key: (
                of_operator(request) and key[0] == "networkpolicies" and key[1].startswith(prefix)
            ),
            hangs=True,
        )
    )


def test_a_webhook_that_never_answers_holds_up_nobody_else(world: World) -> None:
    instance = started(world, count=1)
    hang(world, "slow-")
    led: list[bool] = []
    changed = instance.operator._lease._changed
    instance.operator._lease._changed = lambda leads: (led.append(leads), changed(leads))[1]
    for index in range(100):
        world.namespace(f"slow-{index}")
    world.run_for(5)
    for index in range(10):
        name = f"good-{index}"
        world.namespace(name)
        world.run_for(3)
        assert world.names(name) == {"p.default-deny"}, f"{name} after 3 s"
    assert not led
    settled(world)


def test_a_retry_after_holds_back_what_it_came_for(world: World) -> None:
    started(world)
    world.server.webhooks.append(
        Webhook(
            lambda request, key: of_operator(request) and key[1].startswith("slow-"),
            code=429,
            retry_after=60,
        )
    )
    world.namespace("slow-1")
    world.run_for(2)
    world.namespace("good")
    world.run_for(2)
    assert world.names("good") == {"p.default-deny"}
    settled(world)


def test_a_404_of_a_webhook_is_no_namespace_that_goes(world: World) -> None:
    started(world)
    world.server.webhooks.append(
        Webhook(lambda request, key: of_operator(request) and key[1] == "b", code=404, message="not found")
    )
    world.namespace("b")
    world.run_for(10)
    assert not world.is_ready()
    assert any(problem["namespace"] == "b" for problem in world.status()["problems"])
    world.server.webhooks.clear()
    world.run_for(60)
    assert world.names("b") == {"p.default-deny"}
    settled(world)


def test_the_first_success_after_an_outage_wakes_what_had_failed(world: World) -> None:
    instance = started(world)
    world.server.webhooks.append(
        Webhook(lambda request, key: of_operator(request) and key[0] == "networkpolicies", code=500)
    )
    for index in range(100):
        world.namespace(f"b-{index}")
    world.run_for(240)
    world.server.webhooks.clear()
    world.namespace("first")
    world.run_for(30)
    missing = [f"b-{index}" for index in range(100) if not world.names(f"b-{index}")]
    assert not missing, len(missing)
    assert instance.ready


def test_a_thousand_failing_keys_never_stand_before_a_new_namespace(world: World) -> None:
    started(world)
    world.server.webhooks.append(
        Webhook(lambda request, key: of_operator(request) and key[1].startswith("bad-"), code=403)
    )
    for index in range(300):
        world.namespace(f"bad-{index}")
    world.run_for(60)
    for index in range(5):
        world.namespace(f"good-{index}")
        world.run_for(1)
        assert world.names(f"good-{index}") == {"p.default-deny"}


# --- deletion and truth ---


@pytest.mark.parametrize("wait", [0.0, 0.01, 0.5])
def test_retain_set_and_deleted_at_once_loses_nothing(world: World, wait: float) -> None:
    started(world, "default-deny", "same-namespace", count=20)
    world.profile("p", "default-deny", "same-namespace", deletionPolicy="Retain")
    world.run_for(wait)
    world.server.delete("tenantprofiles", "p")
    for _ in range(10):
        world.server.collect()
        world.run_for(20)
    assert len(world.server.all("networkpolicies")) == 40
    world.judge()


@pytest.mark.parametrize("entry", ["default-deny", {"template": "not-there", "name": "default-deny"}])
@pytest.mark.parametrize("suspend", [True, False])
def test_retain_holds_while_suspended_and_while_an_entry_is_broken(
    world: World, suspend: bool, entry: Any
) -> None:
    started(world, "default-deny", count=3)
    world.profile("p", entry, suspend=suspend)
    world.run_for(5)
    world.profile("p", entry, suspend=suspend, deletionPolicy="Retain")
    world.server.delete("tenantprofiles", "p")
    world.server.collect()
    world.run_for(100)
    world.server.collect()
    assert len(world.server.all("networkpolicies")) == 3


def test_retain_set_and_deleted_while_the_watch_was_down_loses_nothing(world: World) -> None:
    instance = started(world, count=3)
    instance.network.down = True
    world.profile("p", "default-deny", deletionPolicy="Retain")
    world.server.delete("tenantprofiles", "p")
    world.server.compact()
    world.run_for(3)
    instance.network.down = False
    world.run_for(60)
    assert len(world.server.all("networkpolicies")) == 3


@pytest.mark.parametrize("down", [True, False])
def test_cascade_orphan_is_honoured(world: World, down: bool) -> None:
    instance = started(world, count=5)
    if down:
        world.stop(instance)
    world.server.delete("tenantprofiles", "p", propagation="Orphan")
    world.run_for(2)
    world.server.collect()
    if down:
        world.start("operator-2")
    world.run_for(100)
    world.server.collect()
    world.run_for(100)
    assert len(world.server.all("networkpolicies")) == 5


@pytest.mark.parametrize("propagation", ["Background", "Foreground"])
def test_a_deleted_profile_takes_its_policies_along(world: World, propagation: str) -> None:
    started(world, count=5)
    world.server.delete("tenantprofiles", "p", propagation=propagation)
    world.run_for(1)
    world.server.collect()
    world.run_for(30)
    assert not world.server.all("networkpolicies")
    world.judge()


@pytest.mark.parametrize("delay", [0.001, 0.2, 2.0])
def test_ready_never_stands_while_one_policy_is_old(world: World, delay: float) -> None:
    instance = started(world, "default-deny", "same-namespace", count=40)
    instance.network.delay = lambda stage, request: (
        delay
        if stage == "request" and "networkpolicies" in request.path and request.method != "GET"
        else 0.001
    )
    for directions in (["Ingress"], ["Egress"], ["Ingress", "Egress"]):
        world.profile(
            "p", {"template": "default-deny", "parameters": {"directions": directions}}, "same-namespace"
        )
        for _ in range(200):
            world.run_for(0.05)
            if world.is_ready():
                world.assert_converged()
    settled(world)


def test_ready_never_stands_while_a_template_has_changed(world: World) -> None:
    text = "podSelector: {}\npolicyTypes: [%s]\n"
    world.template("mine", text % "Ingress")
    for index in range(40):
        world.namespace(f"a-{index}")
    world.profile("p", "mine")
    instance = world.start()
    world.run_for(20)
    assert world.is_ready()
    instance.network.delay = lambda stage, request: (
        0.2 if stage == "request" and request.method == "PUT" and "networkpolicies" in request.path else 0.001
    )
    world.template("mine", text % "Egress")
    world.run_for(0.1)
    old = 40
    while old:
        world.run_for(0.05)
        old = sum(
            body["spec"]["policyTypes"] != ["Egress"] for body in world.server.all("networkpolicies").values()
        )
        assert not (old and world.is_ready()), f"Ready=True with {old} old"
    world.run_for(5)
    assert world.is_ready()


def test_a_namespace_that_loses_its_label_keeps_the_last_good_form(world: World) -> None:
    world.namespace("a-0", tenant="yes", environment="prod")
    entry = {"template": "environment-isolation", "parameters": {"label": "environment"}}
    world.profile("p", entry)
    instance = world.start()
    world.run_for(5)
    before = world.policies("a-0")["p.environment-isolation"]["spec"]
    world.relabel("a-0", environment=None)
    world.run_for(10)
    world.server.delete("networkpolicies", "p.environment-isolation", "a-0")
    world.run_for(30)
    assert world.policies("a-0")["p.environment-isolation"]["spec"] == before
    world.server.patch("networkpolicies", "p.environment-isolation", {"spec": OPEN}, "a-0")
    world.run_for(30)
    assert world.policies("a-0")["p.environment-isolation"]["spec"] == before
    assert instance.ready


@pytest.mark.parametrize("deleted", [True, False])
@pytest.mark.parametrize("crash", [True, False])
def test_the_last_good_form_of_a_broken_entry_is_put_back_after_a_restart(
    world: World, crash: bool, deleted: bool
) -> None:
    instance = started(world, count=2)
    before = world.policies("a-0")["p.default-deny"]["spec"]
    world.profile("p", {"template": "not-there", "name": "default-deny"})
    world.run_for(5)
    world.stop(instance, crash=crash)
    if deleted:
        world.server.delete("networkpolicies", "p.default-deny", "a-0")
    else:
        world.server.patch("networkpolicies", "p.default-deny", {"spec": OPEN | {"egress": None}}, "a-0")
    world.start("operator-2")
    world.run_for(30)
    assert world.policies("a-0")["p.default-deny"]["spec"] == before
    world.profile("p", {"template": "default-deny", "parameters": {"directions": ["Ingress"]}})
    world.run_for(10)
    settled(world)
    ledger = world.server.all("configmaps", "tenantprofile-system")
    assert not [name for name, body in ledger.items() if "lastGood" in body["data"]]


def test_nothing_is_removed_while_an_entry_is_broken(world: World) -> None:
    started(world, "default-deny")
    world.profile("p", "default-deny", "not-there")
    world.run_for(5)
    world.relabel("a-0", tenant=None)
    world.run_for(60)
    assert world.names("a-0") == {"p.default-deny"}


def test_one_profiles_trouble_keeps_nothing_of_another(world: World) -> None:
    started(world, "default-deny", count=1)
    world.profile("q", "default-deny", "same-namespace")
    world.run_for(5)
    foreign = {"metadata": {"name": "p.dns-egress"}, "spec": OPEN}
    world.server.create("networkpolicies", foreign, namespace="a-0")
    world.profile("p", "default-deny", {"template": "dns-egress"})
    world.run_for(5)
    world.profile("q", "default-deny")
    world.run_for(30)
    assert "q.same-namespace" not in world.names("a-0")
    assert world.is_ready("q")
    assert not world.is_ready("p")


def test_refused_removals_are_told_also_where_the_profile_does_not_select_any_more(world: World) -> None:
    started(world, "default-deny", count=2)
    world.server.webhooks.append(
        Webhook(lambda request, _key: of_operator(request) and request.method == "DELETE", code=403)
    )
    world.relabel("a-0", tenant=None)
    world.run_for(30)
    assert not world.is_ready() or world.status().get("problems")
    assert any(problem["namespace"] == "a-0" for problem in world.status()["problems"])
    settled(world)
    assert not world.names("a-0")


def test_a_removal_held_by_a_foreign_finalizer_is_told(world: World) -> None:
    started(world, "default-deny", "same-namespace")
    world.server.patch(
        "networkpolicies", "p.same-namespace", {"metadata": {"finalizers": ["example.com/keep"]}}, "a-0"
    )
    world.run_for(5)
    world.profile("p", "default-deny")
    world.run_for(60)
    assert "p.same-namespace" in world.names("a-0")
    assert any(problem["policy"] == "same-namespace" for problem in world.status()["problems"])
    assert not world.is_ready()
    world.server.patch("networkpolicies", "p.same-namespace", {"metadata": {"finalizers": None}}, "a-0")
    settled(world)


@pytest.mark.parametrize("room", [1, 2, 3])
def test_under_a_quota_the_deny_is_among_what_stands(world: World, room: int) -> None:
    started(
        world,
        "same-namespace",
        {"template": "same-namespace", "name": "more"},
        "dns-egress",
        "default-deny",
        count=0,
    )
    world.server.quotas["b"] = room
    world.namespace("b")
    world.run_for(30)
    assert "p.default-deny" in world.names("b")
    assert len(world.names("b")) <= room


def test_an_invalid_template_is_not_one_that_is_missing(world: World) -> None:
    world.template("mine", "podSelector: {{ nonsense")
    world.profile("p", "mine")
    world.namespace("a-0")
    world.start()
    world.run_for(10)
    reasons = {problem["reason"] for problem in world.status()["problems"]}
    assert reasons
    assert "TemplateNotFound" not in reasons


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_a_connection_lost_before_or_after_a_request_took_effect(
    world: World, method: str, when: Any
) -> None:
    instance = started(world, "default-deny", "same-namespace", count=3)
    instance.network.lose(when, method, "networkpolicies" if method != "PATCH" else "tenantprofiles", times=3)
    world.namespace("b")
    world.profile("p", {"template": "default-deny", "parameters": {"directions": ["Ingress"]}})
    world.run_for(30)
    settled(world)


@pytest.mark.parametrize("crash", [True, False])
def test_policies_written_in_the_moment_before_a_crash_are_known_again(world: World, crash: bool) -> None:
    instance = started(world)
    world.namespace("b")
    world.run_for(0.02)
    assert world.names("b") == {"p.default-deny"}
    world.stop(instance, crash=crash)
    patch = {"metadata": {"labels": None}, "spec": OPEN | {"egress": None}}
    world.server.patch("networkpolicies", "p.default-deny", patch, "b")
    world.start("operator-2")
    world.run_for(30)
    settled(world)


def test_a_policy_deleted_under_drift_report_gets_its_entrys_new_form(world: World) -> None:
    started(world, "default-deny", drift="Report")
    world.server.delete("networkpolicies", "p.default-deny", "a-0")
    world.run_for(10)
    assert not world.names("a-0")
    world.profile(
        "p", {"template": "default-deny", "parameters": {"directions": ["Ingress"]}}, drift="Report"
    )
    world.run_for(10)
    assert world.policies("a-0")["p.default-deny"]["spec"]["policyTypes"] == ["Ingress"]


def test_a_refused_write_is_in_the_log_and_told_as_an_event(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    started(world)
    world.server.webhooks.append(
        Webhook(
            lambda request, key: of_operator(request) and key[:2] == ("networkpolicies", "b"),
            code=403,
            message="not on a Friday",
        )
    )
    world.namespace("b")
    world.run_for(10)
    assert "not on a Friday" in caplog.text
    events = [body for body in world.server.all("events").values() if "not on a Friday" in str(body)]
    assert {body["involvedObject"]["kind"] for body in events} == {"Namespace", "TenantProfile"}


@pytest.mark.parametrize("case", ["no namespace", "held by a stranger", "unreachable"])
def test_a_lease_that_cannot_be_had_is_said(world: World, case: str) -> None:
    lease = {
        "metadata": {"name": "tenantprofile-operator"},
        "spec": {"holderIdentity": "a stranger", "leaseDurationSeconds": 86400},
    }
    if case == "no namespace":
        world.server.delete("namespaces", "tenantprofile-system")
        world.server.finish_namespaces()
    elif case == "held by a stranger":
        world.server.create("leases", lease, namespace="tenantprofile-system")
    instance = world.start()
    if case == "unreachable":
        instance.network.lose("before", "GET", "leases", times=10**6)
    world.run_for(60)
    problem = instance.operator._lease.problem()
    assert problem is not None
    assert "tenantprofile-operator" in problem


def test_two_operators_and_a_hand_over_leave_no_gap(world: World) -> None:
    first = started(world)
    world.start("operator-2")
    world.run_for(5)
    world.stop(first)
    world.namespace("b")
    world.run_for(5)
    assert world.names("b") == {"p.default-deny"}
    settled(world)


def test_an_operator_that_was_cut_off_writes_nothing_old_when_it_is_back(world: World) -> None:
    first = started(world)
    world.start("operator-2")
    world.run_for(3)
    first.network.down = True
    world.run_for(60)
    world.profile(
        "p", {"template": "default-deny", "parameters": {"directions": ["Ingress"]}}, "same-namespace"
    )
    world.run_for(5)
    before = len(world.server.history)
    first.network.down = False
    world.run_for(120)
    touched = [
        c for c in world.server.history[before:] if isinstance(c, Change) and c.key[0] == "networkpolicies"
    ]
    assert not touched
    settled(world)


@pytest.mark.parametrize("policy", ["Delete", "Retain"])
def test_a_deleted_crd_takes_no_policies_along(world: World, policy: str) -> None:
    started(world, count=5, deletionPolicy=policy)
    world.server.vanish("tenantprofiles", "policytemplates")
    world.run_for(120)
    assert len(world.server.all("networkpolicies")) == 5


@pytest.mark.parametrize("away", [0.0, 0.005, 1.0, 5.0, 60.0])
def test_a_crd_that_is_replaced_takes_no_policies_along(world: World, away: float) -> None:
    started(world, count=5)
    world.server.vanish("tenantprofiles", "policytemplates")
    world.run_for(away)
    world.server.appear("tenantprofiles", "policytemplates")
    world.run_for(120)
    assert len(world.server.all("networkpolicies")) == 5
