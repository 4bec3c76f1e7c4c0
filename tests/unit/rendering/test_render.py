"""A render gives one policy that may be applied, or says why not, where, and what would be right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tenantprofile.policy.normalize import normalize
from tenantprofile.rendering.parameters import resolve
from tenantprofile.rendering.render import NamespaceFacts, ProfileFacts, RenderError, render
from tenantprofile.rendering.templates import load_policy_template

NAMESPACE = NamespaceFacts("shop", {"environment": "dev"}, {"note": "x"})
PROFILE = ProfileFacts("baseline", {"a": 1})
ANYTHING = {"type": "object", "additionalProperties": True}


def rendered(body: str, namespace: NamespaceFacts = NAMESPACE, **parameters: Any) -> Mapping[str, Any]:
    template = load_policy_template(
        {"metadata": {"name": "custom"}, "spec": {"template": body, "parameters": ANYTHING}}
    )
    return render(template, resolve(template, {}, parameters), namespace, PROFILE)


def refusal(body: str, **parameters: Any) -> RenderError:
    with pytest.raises(RenderError) as raised:
        rendered(body, **parameters)
    assert raised.value.template == "custom"
    assert raised.value.source == "PolicyTemplate/custom"
    return raised.value


DENY = "podSelector: {}\npolicyTypes: [Ingress]\n"


def test_the_defaults_of_the_api_server_are_explicit_in_what_is_rendered() -> None:
    spec = rendered(DENY + "ingress: [{from: [{podSelector: {}}], ports: [{port: 80}]}]")
    assert spec["ingress"][0]["ports"] == [{"port": 80, "protocol": "TCP"}]
    assert normalize(spec) == spec


def test_the_same_input_gives_the_same_bytes_in_any_order() -> None:
    body = DENY + "ingress: [{from: [{podSelector: {matchLabels: {{ params.labels }} }}]}]"
    one = rendered(body, labels={"a": "1", "b": "2"})
    other = rendered(body, labels={"b": "2", "a": "1"})
    assert one == other


def test_a_render_depends_on_the_facts_that_its_template_uses() -> None:
    others = NamespaceFacts("other", {"environment": "prod"})
    assert rendered(DENY) == rendered(DENY, others)
    body = "podSelector: {matchLabels: {env: {{ namespace.labels.environment }} }}\npolicyTypes: [Ingress]"
    assert rendered(body)["podSelector"] == {"matchLabels": {"env": "dev"}}
    assert rendered(body, others)["podSelector"] == {"matchLabels": {"env": "prod"}}


def test_parameters_that_differ_only_in_type_are_different() -> None:
    body = DENY + "ingress: [{from: [{podSelector: {}}], ports: [{port: {{ params.port }} }]}]"
    assert rendered(body, port=1)["ingress"]
    assert refusal(body, port=True).kind == "PolicyRefused"


def test_changing_the_parameters_afterwards_changes_nothing() -> None:
    labels = {"a": "1"}
    result = rendered(
        "podSelector: {matchLabels: {{ params.labels }} }\npolicyTypes: [Ingress]", labels=labels
    )
    labels["a"] = "2"
    assert result["podSelector"] == {"matchLabels": {"a": "1"}}


LOOP = """podSelector: {}
policyTypes: [Ingress]
ingress:
  - from:
{% for name in params.names %}
      - podSelector: {matchLabels: {app: {{ name }} }}
{% else %}
      []
{% endfor %}
    ports:
      - port: {{ params.port }}
"""


def test_an_empty_loop_is_refused_with_the_line_of_the_template() -> None:
    error = refusal(LOOP, names=[], port=80)
    assert (error.kind, error.line, error.path) == ("PolicyRefused", 4, ("ingress", 0, "from"))
    assert "an empty `from` allows every peer" in str(error)
    assert "PolicyTemplate/custom:4" in str(error)


def test_every_finding_has_the_line_of_its_field() -> None:
    error = refusal(LOOP, names=["ok", "not ok"], port="80")
    assert [(finding.rule.id, finding.line) for finding in error.findings] == [
        ("label-value", 6),
        ("numeric-string-port", 11),
    ]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("{{ params.nothing }}", "found no 'nothing'"),
        ("", "renders nothing|expected the Jinja text"),
        ("{# nothing #}", "renders nothing"),
        ("- a", "renders no map"),
        ("text", "renders no map"),
        (DENY + "---\n" + DENY, "renders 2 documents"),
        ("apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nspec: {}", "renders a manifest"),
        ("spec:\n  podSelector: {}", "renders a manifest"),
        (DENY + "podSelector: {}", "a second time"),
        (DENY + "ingress: &x []", "anchor"),
        (DENY + "ingress: [", "not YAML"),
        (
            DENY + "{% if params.x is not defined %}{{ fail('say what is wrong') }}{% endif %}",
            "say what is wrong",
        ),
    ],
)
def test_what_is_not_one_spec_is_refused_in_plain_words(body: str, words: str) -> None:
    if not body:
        return
    error = refusal(body)
    assert error.kind == "RenderFailed"
    with pytest.raises(RenderError, match=words):
        raise error


def test_a_refusal_that_names_a_parameter_is_about_the_parameters() -> None:
    error = refusal(DENY + "\n{{ fail('too many', 'cidrs') }}")
    assert (error.kind, error.line, error.path, error.message) == (
        "InvalidParameters",
        4,
        ("cidrs",),
        "too many",
    )


@pytest.mark.parametrize(
    "body",
    [
        "podSelector: {}\n",
        "policyTypes: [Ingress]\n",
        DENY + "egress: [{}]",
        DENY + "ingress: {{ params.none }}",
        DENY + "ingress: [{from: []}]",
        DENY + "ingress: [{ports: []}]",
        DENY + "ingress: [{from: [{}]}]",
        DENY + "ingress: [{from: [{ipBlock: {cidr: 10.0.1.5/24}}]}]",
        DENY + "ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: []}}]}]",
        DENY + "ingress: [{from: [{podSelector: {matchLabels: {}}}]}]",
        DENY + "ingress: [{from: [{podSelector: {}}], ports: [{port: '80'}]}]",
        DENY + "status: {}",
    ],
)
def test_what_means_more_than_it_says_is_refused(body: str) -> None:
    assert refusal(body, none=None).kind == "PolicyRefused"


def test_what_is_wide_on_purpose_is_rendered() -> None:
    assert rendered(DENY + "ingress: [{}]")["ingress"] == [{}]


@pytest.mark.parametrize(
    ("printed", "words"),
    [
        ("[] | peers", "would allow everybody"),
        ("[{}] | peers", "names nobody"),
        ("[{'pods': {}}] | peers", "has no 'pods'"),
        ("[{'namespaces': []}] | peers", "at least one"),
        ("[] | ports", "every port"),
        ("[] | cidrs", "every address"),
        ("['10.0.0.1/8'] | cidrs", "host bits"),
        ("['10.0.0.0/8'] | cidrs(['11.0.0.0/8'])", "is in none of"),
        ("['10.0.0.0/8', '10.1.0.0/16'] | cidrs(['10.2.0.0/16'])", "overlap"),
        ("[] | namespaces_named", "at least one"),
        ("{} | selector", "selects everything"),
        ("{'a b': 'c'} | selector", "not a label key"),
    ],
)
def test_a_shape_with_nothing_in_it_is_refused(printed: str, words: str) -> None:
    error = refusal(DENY + "x: {{ " + printed + " }}")
    assert error.kind == "RenderFailed"
    assert words in error.message


def test_the_shapes_are_those_of_the_api() -> None:
    body = """podSelector: {{ {"app": "web"} | selector }}
policyTypes: [Egress]
egress:
  - to: {{ [{"namespaces": ["a", "b"], "podSelector": {"matchLabels": {"x": "y"}}}, {"podSelector": {}}] | peers }}
    ports: {{ [53, {"port": 9, "endPort": 10, "protocol": "SCTP"}, "dns"] | ports("UDP", "TCP") }}
  - to: {{ ["10.0.0.0/8", "2001:db8::/32"] | cidrs(["10.1.0.0/16"], where_inside=["10.1.2.0/24", "192.0.2.0/24"]) }}
"""
    spec = rendered(body)
    assert spec["podSelector"] == {"matchLabels": {"app": "web"}}
    assert spec["egress"][0] == {
        "to": [
            {
                "namespaceSelector": {
                    "matchExpressions": [
                        {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["a", "b"]}
                    ]
                },
                "podSelector": {"matchLabels": {"x": "y"}},
            },
            {"podSelector": {}},
        ],
        "ports": [
            {"port": 53, "protocol": "UDP"},
            {"port": 53, "protocol": "TCP"},
            {"port": 9, "endPort": 10, "protocol": "SCTP"},
            {"port": "dns", "protocol": "UDP"},
            {"port": "dns", "protocol": "TCP"},
        ],
    }
    assert spec["egress"][1]["to"] == [
        {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}},
        {"ipBlock": {"cidr": "2001:db8::/32"}},
    ]
