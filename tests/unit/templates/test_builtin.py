"""The built-in templates: complete, documented, and exact about the peers and ports that matter."""

from __future__ import annotations

from typing import Any

import pytest

from tenantprofile.policy.normalize import normalize
from tenantprofile.policy.rules import check_spec
from tenantprofile.rendering.parameters import resolve
from tenantprofile.rendering.render import NamespaceFacts, ProfileFacts, RenderError, render
from tenantprofile.rendering.templates import (
    Example,
    Template,
    TemplateError,
    builtin_templates,
    load_policy_template,
    load_template_text,
)

TEMPLATES = builtin_templates()
EXAMPLES = [
    pytest.param(template, example, id=f"{name}: {example.title}")
    for name, template in TEMPLATES.items()
    for example in template.examples
]
# What the examples show on purpose, and lint then warns of.
WIDE_ON_PURPOSE = {"every-address"}


def spec(name: str, labels: dict[str, str] | None = None, **parameters: Any) -> Any:
    template = TEMPLATES[name]
    return render(
        template,
        resolve(template, {}, {key.rstrip("_"): value for key, value in parameters.items()}),
        NamespaceFacts("shop", labels or {}),
        ProfileFacts("baseline"),
    )


def test_all_templates_are_there() -> None:
    assert set(TEMPLATES) == {
        "allow-from-namespaces",
        "allow-from-workload",
        "apiserver-egress",
        "cidr-egress",
        "default-deny",
        "dns-egress",
        "environment-isolation",
        "ingress-system-access",
        "monitoring-scrape",
        "same-namespace",
        "shared-services-egress",
    }


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
def test_a_template_is_documented_with_three_examples(template: Template) -> None:
    assert template.built_in
    assert template.description
    assert template.purpose
    assert len(template.examples) >= 3

    def documented(schema: Any, name: str) -> None:
        for field, part in schema.get("properties", {}).items():
            if schema is template.parameters:
                assert part.get("description"), f"{name}.{field}"
            documented(part, f"{name}.{field}")

    documented(template.parameters, template.name)


@pytest.mark.parametrize(("template", "example"), EXAMPLES)
def test_an_example_renders_clean_and_as_the_api_server_stores_it(
    template: Template, example: Example
) -> None:
    parameters = resolve(template, {}, example.parameters)
    facts = NamespaceFacts("shop", example.namespace_labels)
    found = render(template, parameters, facts, ProfileFacts("baseline"))
    assert normalize(found) == found
    assert "policyTypes" in found
    serious = [finding for finding in check_spec(found) if finding.rule.severity in ("error", "warning")]
    assert {finding.rule.id for finding in serious} <= WIDE_ON_PURPOSE


def test_default_deny_allows_nothing() -> None:
    assert spec("default-deny") == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


@pytest.mark.parametrize(
    ("provider", "peer", "ports"),
    [
        ("kube-dns", "kube-system", [53]),
        ("coredns", "kube-system", [53]),
        ("gardener", "kube-system", [53, 8053]),
        ("openshift", "openshift-dns", [5353]),
        ("node-local", "169.254.20.10/32", [53]),
        ("gke-cloud-dns", "169.254.169.254/32", [53]),
    ],
)
def test_dns_goes_to_the_peer_and_port_of_its_provider_over_udp_and_tcp(
    provider: str, peer: str, ports: list[int]
) -> None:
    (rule,) = spec("dns-egress", provider=provider)["egress"]
    (to,) = rule["to"]
    if "/" in peer:
        assert to == {"ipBlock": {"cidr": peer}}
    else:
        assert to["namespaceSelector"] == {"matchLabels": {"kubernetes.io/metadata.name": peer}}
    if peer == "kube-system":
        assert to["podSelector"] == {"matchLabels": {"k8s-app": "kube-dns"}}
    assert rule["ports"] == [
        {"port": port, "protocol": protocol} for port in ports for protocol in ("UDP", "TCP")
    ]


def test_several_dns_providers_are_several_rules() -> None:
    assert len(spec("dns-egress", provider=["kube-dns", "node-local"])["egress"]) == 2


def test_monitoring_scrapes_the_pods_that_opted_in() -> None:
    found = spec("monitoring-scrape")
    assert found["podSelector"] == {"matchLabels": {"metrics": "enabled"}}
    assert found["ingress"][0]["ports"] == [{"port": 9090, "protocol": "TCP"}]


@pytest.mark.parametrize(
    ("direction", "fields"),
    [("Ingress", {"ingress"}), ("Egress", {"egress"}), ("Both", {"ingress", "egress"})],
)
def test_the_ingress_system_is_allowed_in_the_direction_that_was_asked_for(
    direction: str, fields: set[str]
) -> None:
    found = spec("ingress-system-access", direction=direction)
    assert {"ingress", "egress"} & set(found) == fields
    assert {d.lower() for d in found["policyTypes"]} == fields


def test_a_direction_that_does_not_fit_the_namespaces_of_a_workload_is_refused() -> None:
    ends = {"from_": {"matchLabels": {"a": "b"}}, "to": {"matchLabels": {"c": "d"}}, "ports": [80]}
    with pytest.raises(RenderError, match="direction Egress"):
        spec("allow-from-workload", **ends, toNamespaces=["x"])
    with pytest.raises(RenderError, match="direction Ingress"):
        spec("allow-from-workload", **ends, direction="Egress", fromNamespaces=["x"])


def test_namespaces_are_allowed_by_name_or_by_selector() -> None:
    with pytest.raises(RenderError, match="not both"):
        spec("allow-from-namespaces", namespaces=["a"], namespaceSelector={"matchLabels": {"a": "b"}})
    with pytest.raises(RenderError, match="nobody to allow"):
        spec("allow-from-namespaces")


def test_an_environment_is_the_namespaces_own_and_never_a_negation() -> None:
    found = spec("environment-isolation", {"environment": "dev"}, alsoFrom=["test", "dev"])
    assert found["ingress"][0]["from"][0]["namespaceSelector"]["matchExpressions"] == [
        {"key": "environment", "operator": "In", "values": ["dev", "test"]}
    ]


@pytest.mark.parametrize("labels", [{}, {"environment": ""}])
def test_a_namespace_without_an_environment_is_told_in_plain_words(labels: dict[str, str]) -> None:
    with pytest.raises(RenderError, match="no value for the label environment") as raised:
        spec("environment-isolation", labels)
    assert raised.value.kind == "RenderFailed"


@pytest.mark.parametrize("cidrs", [["0.0.0.0/0"], ["::/0"], ["0.0.0.0/1", "128.0.0.0/1"]])
def test_every_address_needs_an_explicit_word(cidrs: list[str]) -> None:
    with pytest.raises(RenderError, match="allowAnyAddress: true") as raised:
        spec("cidr-egress", cidrs=cidrs)
    assert (raised.value.kind, raised.value.path) == ("InvalidParameters", ("cidrs",))
    assert spec("cidr-egress", cidrs=cidrs, allowAnyAddress=True)


def test_metadata_addresses_are_taken_out_of_wide_ranges() -> None:
    found = spec("cidr-egress", cidrs=["0.0.0.0/0", "fd00::/8"], allowAnyAddress=True)
    assert [peer["ipBlock"]["except"] for peer in found["egress"][0]["to"]] == [
        ["169.254.0.0/16", "100.64.0.0/10"],
        ["fd00:ec2::254/128"],
    ]
    assert "metadata-address" not in {finding.rule.id for finding in check_spec(found)}


def test_an_exception_outside_of_every_range_is_refused() -> None:
    with pytest.raises(RenderError, match="is in none of"):
        spec("cidr-egress", cidrs=["10.0.0.0/8"], **{"except": ["192.0.2.0/24"]})


def test_the_api_server_is_reached_by_its_addresses() -> None:
    found = spec("apiserver-egress", addresses=["10.0.0.1", "2001:db8::1"])
    assert [peer["ipBlock"]["cidr"] for peer in found["egress"][0]["to"]] == [
        "10.0.0.1/32",
        "2001:db8::1/128",
    ]
    with pytest.raises(RenderError, match="whole address space"):
        spec("apiserver-egress", addresses=["0.0.0.0/0"])


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("podSelector: {}", 1, "front matter"),
        ("---\ndescription: x\n", 1, "front matter"),
        ("---\ndescription: x\ndescripton: y\n---\n", 3, "did you mean"),
        ("---\na: [\n---\n", 3, "front matter: not YAML"),
        ("---\ndescription: x\nparameters:\n  properties:\n    a: {typ: string}\n---\n", 5, "not a keyword"),
        ("---\ndescription: x\n---\npodSelector: {}\n{{ 1 | nothing }}", 5, "no filter"),
        ("---\ndescription: x\n---\n{% macro x() %}{% endmacro %}", 4, "macro"),
        ("---\ndescription: x\n---\n{{ params.typo }}", None, "params.typo"),
        ("---\nexamples:\n  - {name: x}\n---\n", 3, "an example has"),
    ],
)
def test_a_template_that_cannot_be_used_says_where_and_why(text: str, line: int | None, words: str) -> None:
    with pytest.raises(TemplateError, match=words) as raised:
        load_template_text("mine", text, "templates/mine.yaml.j2")
    assert raised.value.line == line
    assert raised.value.name == "mine"


@pytest.mark.parametrize(
    "manifest",
    [
        {},
        {"metadata": {"name": "x"}, "spec": {}},
        {"metadata": {"name": "x"}, "spec": {"template": 5}},
        {"metadata": {"name": "x"}, "spec": {"template": "{{ x", "parameters": {}}},
        {"metadata": {"name": "x"}, "spec": {"template": "a", "parameters": []}},
        {"metadata": {"name": "x"}, "spec": {"template": "a", "parameters": {"properties": {"a": 5}}}},
        {"metadata": {"name": "x"}, "spec": {"template": "a", "description": 5}},
    ],
)
def test_a_policytemplate_that_cannot_be_used_is_an_error_of_its_own_kind(manifest: Any) -> None:
    with pytest.raises(TemplateError):
        load_policy_template(manifest)


def test_templates_are_equal_if_they_render_the_same() -> None:
    manifest = {"metadata": {"name": "x"}, "spec": {"template": "podSelector: {}"}}
    one, same = load_policy_template(manifest), load_policy_template(manifest)
    other = load_policy_template({"metadata": {"name": "x"}, "spec": {"template": "podSelector: {} "}})
    assert one == same
    assert hash(one) == hash(same)
    assert one != other
