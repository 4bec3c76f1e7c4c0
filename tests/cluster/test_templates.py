"""Every built-in template, applied to a real API server and read back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from client import Client, Refused, eventually, policies_of
from cluster.conftest import World, quiet
from operatorprocess import OperatorProcess
from referee import Referee
from tenantprofile.policy.normalize import normalize
from tenantprofile.policy.rules import check_spec
from tenantprofile.rendering.facts import NamespaceFacts, ProfileFacts
from tenantprofile.rendering.parameters import resolve
from tenantprofile.rendering.render import render
from tenantprofile.rendering.templates import builtin_templates

TEMPLATES = builtin_templates()
EXAMPLES = [
    pytest.param(name, example, id=f"{name}-{index}")
    for name, template in TEMPLATES.items()
    for index, example in enumerate(template.examples)
]


def test_every_template_has_at_least_three_examples() -> None:
    assert len(TEMPLATES) == 11
    assert {name for name, template in TEMPLATES.items() if len(template.examples) < 3} == set()


@pytest.mark.parametrize(("name", "example"), EXAMPLES)
def test_what_is_rendered_is_what_is_read_back(admin: Client, name: str, example: Any) -> None:
    facts = NamespaceFacts(
        "default", {"kubernetes.io/metadata.name": "default"} | example.namespace_labels, {}
    )
    parameters = resolve(TEMPLATES[name], {}, example.parameters)
    spec = dict(render(TEMPLATES[name], parameters, facts, ProfileFacts("p", {})))
    body = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "read-back"},
        "spec": spec,
    }
    stored = admin.request("POST", policies_of("default"), body, dryRun="All")
    assert stored["spec"] == spec, "the API server's defaults are explicit in what is rendered"
    assert normalize(stored["spec"]) == normalize(spec)


def test_all_templates_together_cause_no_drift(
    world: World, operator: OperatorProcess, referee: Referee
) -> None:
    entries = [
        {"template": name, "name": f"{name}-{index}"[:63], "parameters": dict(example.parameters)}
        for name, template in TEMPLATES.items()
        for index, example in enumerate(template.examples)
    ]
    labels = {
        key: value
        for template in TEMPLATES.values()
        for example in template.examples
        for key, value in example.namespace_labels.items()
    }
    for half in (entries[::2], entries[1::2]):
        world.profile(*half)
        namespace = world.namespace(**labels)
        world.is_ready(within=30)
        assert len(world.names(namespace)) == len(half)
    assert not quiet(referee, 2)
    assert world.status()["drift"]["repaired"] == 0


selectors = st.fixed_dictionaries(
    {},
    optional={
        "matchLabels": st.dictionaries(st.sampled_from(["a", "b/c"]), st.sampled_from(["", "x"]), max_size=2),
        "matchExpressions": st.lists(
            st.one_of(
                st.fixed_dictionaries(
                    {
                        "key": st.just("k"),
                        "operator": st.sampled_from(["In", "NotIn"]),
                        "values": st.just(["v"]),
                    }
                ),
                st.fixed_dictionaries(
                    {"key": st.just("k"), "operator": st.sampled_from(["Exists", "DoesNotExist"])},
                    optional={"values": st.just([])},
                ),
            ),
            max_size=2,
        ),
    },
)
ports = st.fixed_dictionaries(
    {},
    optional={
        "protocol": st.sampled_from(["TCP", "UDP", "SCTP"]),
        "port": st.sampled_from([80, 443, "http", 1]),
    },
)
peers = st.one_of(
    st.fixed_dictionaries({"podSelector": selectors}, optional={"namespaceSelector": selectors}),
    st.fixed_dictionaries({"namespaceSelector": selectors}),
    st.fixed_dictionaries(
        {
            "ipBlock": st.fixed_dictionaries(
                {"cidr": st.sampled_from(["10.0.0.0/8", "::/0"])}, optional={"except": st.just([])}
            )
        }
    ),
)


def rules(direction: str) -> st.SearchStrategy[Any]:
    rule = st.fixed_dictionaries(
        {},
        optional={
            direction: st.one_of(st.none(), st.lists(peers, max_size=2)),
            "ports": st.one_of(st.none(), st.lists(ports, max_size=2)),
        },
    )
    return st.one_of(st.none(), st.lists(rule, max_size=2))


specs = st.fixed_dictionaries(
    {"podSelector": selectors},
    optional={
        "ingress": rules("from"),
        "egress": rules("to"),
        "policyTypes": st.sampled_from([["Ingress"], ["Egress"], ["Ingress", "Egress"], [], None]),
    },
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(spec=specs)
def test_normalising_does_what_the_api_server_does(admin: Client, spec: dict[str, Any]) -> None:
    body = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "any"},
        "spec": spec,
    }
    try:
        stored = admin.request("POST", policies_of("default"), body, dryRun="All")["spec"]
    except Refused as error:
        assert error.status == 422
        assert [f for f in check_spec(spec) if f.rule.group == "api"], (
            f"the API server refuses what the rules let through: {json.dumps(spec)}: {error}"
        )
        return
    assert normalize(stored) == normalize(spec)
    assert not [f for f in check_spec(spec) if f.rule.group == "api" and f.rule.severity == "error"]


def test_a_profile_is_applied_in_place_when_a_template_uses_the_namespace(
    world: World, operator: OperatorProcess
) -> None:
    profile = world.profile("environment-isolation")
    namespace = world.namespace(environment="dev")
    world.has(namespace, f"{profile}.environment-isolation")
    uid = world.policy(namespace, f"{profile}.environment-isolation")["metadata"]["uid"]
    world.relabel(namespace, environment="prod")
    eventually(
        lambda: "prod" in json.dumps(world.policy(namespace, f"{profile}.environment-isolation")["spec"])
    )
    assert world.policy(namespace, f"{profile}.environment-isolation")["metadata"]["uid"] == uid
