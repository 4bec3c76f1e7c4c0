"""What a profile says of itself: conditions, columns, problems; and never too much of it."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from client import NAMESPACES, PROFILES, TEMPLATES, Object, eventually, policies_of
from cluster.conftest import World
from controlplane import ControlPlane
from operatorprocess import OperatorProcess

pytestmark = pytest.mark.usefixtures("operator")

DENY_INGRESS = "podSelector: {}\npolicyTypes: [Ingress]\n"


def test_the_columns_tell_at_a_glance(cp: ControlPlane, world: World) -> None:
    world.profile("default-deny", "dns-egress")
    for _ in range(3):
        world.namespace()
    world.is_ready()
    eventually(lambda: world.status()["namespaces"]["summary"] == "3/3")
    header, row = cp.kubectl("get", "tp", world.tag, "-o", "wide").stdout.splitlines()
    assert header.split() == [
        "NAME",
        "READY",
        "NAMESPACES",
        "POLICIES",
        "REPAIRED",
        "AGE",
        "REASON",
        "MESSAGE",
    ]
    assert row.split()[:5] == [world.tag, "True", "3/3", "6", "0"]
    assert "Applied" in row


@pytest.mark.parametrize(
    ("entry", "reason", "words"),
    [
        ({"template": "no-such"}, "TemplateNotFound", ["no-such", "default-deny"]),
        (
            {"template": "dns-egress", "parameters": {"provider": ["kube-dsn"]}},
            "InvalidParameters",
            ["provider", "kube-dsn", "kube-dns"],
        ),
        (
            {"template": "cidr-egress", "parameters": {"cidrs": ["10.0.1.5/24"], "ports": [443]}},
            "InvalidParameters",
            ["cidrs", "10.0.1.5/24", "10.0.1.0/24"],
        ),
    ],
    ids=["template", "parameter", "host bits"],
)
def test_a_wrong_entry_is_named_with_what_would_be_right(
    world: World, entry: dict[str, object], reason: str, words: list[str]
) -> None:
    world.profile("default-deny", entry)
    namespace = world.namespace()
    status = world.is_degraded(reason)
    assert status["problemsTotal"] == 1
    assert status["problems"][0]["policy"] == entry["template"]
    for word in words:
        assert word in status["problems"][0]["message"]
    assert world.condition("Ready")["status"] == "False"
    # What can be applied is applied.
    world.has(namespace, f"{world.tag}.default-deny")


def test_a_profile_that_selects_nothing_is_not_ready_and_says_so(world: World) -> None:
    world.profile("default-deny")
    ready = eventually(
        lambda: world.condition("Ready").get("reason") == "NoNamespaces" and world.condition("Ready")
    )
    assert ready["status"] == "False"
    assert world.status()["namespaces"]["summary"] == "0/0"


def test_a_broken_edit_keeps_the_last_good_policies_and_their_repair(world: World) -> None:
    name = f"{world.tag}-own"
    world.template(name, DENY_INGRESS)
    profile = world.profile(name)
    namespace = world.namespace()
    world.has(namespace, f"{profile}.{name}")
    world.is_ready()
    before = world.policy(namespace, f"{profile}.{name}")
    world.template(name, "podSelector: {}\npolicyTypes: [Ingress]\ningress:\n  - from: []\n")
    status = world.is_degraded("PolicyRefused")
    message = status["problems"][0]["message"]
    assert f"PolicyTemplate/{name}:4" in message
    assert world.policy(namespace, f"{profile}.{name}") == before
    # The last good form is kept up, also in a namespace that is new.
    world.client.merge(f"{policies_of(namespace)}/{profile}.{name}", {"spec": {"ingress": [{}]}})
    eventually(lambda: world.policy(namespace, f"{profile}.{name}")["spec"] == before["spec"])
    another = world.namespace()
    world.has(another, f"{profile}.{name}")
    # Mended, it goes on.
    world.template(name, "podSelector: {}\npolicyTypes: [Ingress, Egress]\n")
    world.is_ready()
    assert world.policy(namespace, f"{profile}.{name}")["spec"]["policyTypes"] == ["Ingress", "Egress"]


def test_a_refused_entry_prevents_removals_after_a_restart_too(
    world: World, start: Callable[..., OperatorProcess], operator: OperatorProcess
) -> None:
    name = f"{world.tag}-own"
    world.template(name, DENY_INGRESS)
    profile = world.profile(name, "dns-egress")
    namespace = world.namespace()
    both = {f"{profile}.{name}", f"{profile}.dns-egress"}
    world.has(namespace, *both)
    operator.stop()
    world.client.delete(f"{TEMPLATES}/{name}")
    world.profile(name)
    start()
    world.is_degraded("TemplateNotFound")
    assert world.names(namespace) == both


def test_a_template_of_the_cluster_is_used_and_its_changes_arrive(world: World) -> None:
    name = f"{world.tag}-own"
    profile = world.profile({"template": name, "parameters": {"port": 8080}})
    namespace = world.namespace()
    world.is_degraded("TemplateNotFound")
    body = (
        "podSelector: {}\npolicyTypes: [Ingress]\ningress:\n  - from:\n      - podSelector: {}\n"
        "    ports:\n      - {protocol: TCP, port: {{ params.port }}}\n"
    )
    schema = {"type": "object", "properties": {"port": {"type": "integer", "default": 1}}}
    world.template(name, body, parameters=schema)
    world.has(namespace, f"{profile}.{name}")
    world.is_ready()
    rule = world.policy(namespace, f"{profile}.{name}")["spec"]["ingress"][0]
    assert rule["ports"] == [{"protocol": "TCP", "port": 8080}]
    world.template(name, body.replace("TCP", "UDP"), parameters=schema)
    eventually(
        lambda: (
            world.policy(namespace, f"{profile}.{name}")["spec"]["ingress"][0]["ports"][0]["protocol"]
            == "UDP"
        )
    )
    status = eventually(lambda: world.client.get(f"{TEMPLATES}/{name}").get("status"))
    assert status["conditions"][0]["status"] == "True"
    assert status["usedBy"] == 1


def test_a_template_may_not_take_a_built_ins_name(world: World) -> None:
    world.template("default-deny", "podSelector: {}\npolicyTypes: [Ingress]\ningress: [{}]\n")
    condition = eventually(lambda: world.client.get(f"{TEMPLATES}/default-deny")["status"]["conditions"][0])
    assert (condition["status"], condition["reason"]) == ("False", "NameTaken")
    profile = world.profile("default-deny")
    namespace = world.namespace()
    world.has(namespace, f"{profile}.default-deny")
    assert "ingress" not in world.policy(namespace, f"{profile}.default-deny")["spec"]


def test_a_template_that_cannot_be_compiled_names_its_line(world: World) -> None:
    world.template(f"{world.tag}-own", "podSelector: {}\n{% include 'x' %}\n")
    condition = eventually(
        lambda: world.client.get(f"{TEMPLATES}/{world.tag}-own")["status"]["conditions"][0]
    )
    assert condition["reason"] == "TemplateInvalid"
    assert f"{world.tag}-own:2" in condition["message"]


def test_a_template_that_uses_the_namespace_fails_only_where_it_must(world: World) -> None:
    profile = world.profile("default-deny", "environment-isolation")
    labelled, bare = world.namespace(environment="prod"), world.namespace()
    world.has(labelled, f"{profile}.default-deny", f"{profile}.environment-isolation")
    world.has(bare, f"{profile}.default-deny")
    status = eventually(lambda: world.status() if world.status().get("problems") else None)
    assert [p["namespace"] for p in status["problems"]] == [bare]
    assert status["namespaces"] == {"selected": 2, "ready": 1, "failing": 1, "summary": "1/2"}
    world.relabel(bare, environment="dev")
    world.is_ready()
    rule = world.policy(bare, f"{profile}.environment-isolation")["spec"]["ingress"][0]
    assert "dev" in json.dumps(rule)


def test_status_stays_small_however_much_is_wrong(world: World) -> None:
    count = 60
    spaces = [world.namespace(tenant="") for _ in range(count)]
    for namespace in spaces:
        for entry in ("default-deny", "dns-egress"):
            world.client.create(
                policies_of(namespace),
                {
                    "apiVersion": "networking.k8s.io/v1",
                    "kind": "NetworkPolicy",
                    "metadata": {"name": f"{world.tag}.{entry}"},
                    "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
                },
            )
    world.profile("default-deny", "dns-egress")
    for namespace in spaces:
        world.relabel(namespace, tenant=world.tag)
    status = eventually(lambda: world.status() if world.status().get("problemsTotal") == 2 * count else None)
    assert len(status["problems"]) == 20
    assert status["namespaces"]["failing"] == count
    assert len(json.dumps(status)) < 32 * 1024

    # Nor do Events become a flood: about one second's worth of each kind, not two hundred and forty.
    def told() -> list[Object]:
        return world.client.items(
            f"{NAMESPACES}/default/events", fieldSelector=f"involvedObject.name={world.tag}"
        )

    eventually(told)
    assert len(told()) <= 3


def test_conditions_follow_the_generation_and_keep_their_times(world: World) -> None:
    profile = world.profile("default-deny")
    world.namespace()
    first = {c["type"]: c for c in world.is_ready()["conditions"]}
    assert set(first) == {"Ready", "Progressing", "Degraded"}
    world.profile("default-deny", "dns-egress")
    generation = world.client.get(f"{PROFILES}/{profile}")["metadata"]["generation"]
    second = {c["type"]: c for c in world.is_ready()["conditions"]}
    assert {c["observedGeneration"] for c in second.values()} == {generation}
    assert second["Degraded"]["lastTransitionTime"] == first["Degraded"]["lastTransitionTime"]


def test_probes_tell_live_and_ready(operator: OperatorProcess) -> None:
    assert operator.probe("livez") == (True, "ok\n")
    assert operator.probe("readyz") == (True, "ok\n")
