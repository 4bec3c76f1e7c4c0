"""Parameters are completed from the schema and judged by it, with everything wrong told at once."""

from __future__ import annotations

from typing import Any

import pytest

from tenantprofile.rendering.parameters import resolve
from tenantprofile.rendering.render import RenderError
from tenantprofile.rendering.schema import ParameterSchemaError, make_validator
from tenantprofile.rendering.templates import Template, builtin_templates, load_policy_template


def template(**properties: Any) -> Template:
    return load_policy_template(
        {
            "metadata": {"name": "custom"},
            "spec": {
                "template": "podSelector: {}\npolicyTypes: [Ingress]\n",
                "parameters": {"type": "object", "properties": properties},
            },
        }
    )


def findings(of: Template, **parameters: Any) -> list[str]:
    with pytest.raises(RenderError) as raised:
        resolve(of, {}, parameters)
    assert raised.value.kind == "InvalidParameters"
    return [str(finding) for finding in raised.value.findings]


def test_defaults_are_filled_in_at_every_depth() -> None:
    service = {
        "type": "object",
        "properties": {"port": {"type": "integer", "default": 80}, "tls": {"type": "object", "default": {}}},
    }
    nested = template(
        services={"type": "array", "items": service},
        outer={"type": "object", "default": {}, "properties": {"inner": {"type": "string", "default": "x"}}},
        absent={"type": "object", "properties": {"inner": {"type": "string", "default": "x"}}},
    )
    assert resolve(nested, {}, {"services": [{}, {"port": 1}]}) == {
        "services": [{"port": 80, "tls": {}}, {"port": 1, "tls": {}}],
        "outer": {"inner": "x"},
    }


def test_defaults_are_never_shared_between_renders() -> None:
    deny = builtin_templates()["default-deny"]
    resolve(deny, {}, {})["directions"].append("broken")
    assert resolve(deny, {}, {})["directions"] == ["Ingress", "Egress"]


def test_a_profile_gives_its_policies_only_what_they_know_and_an_entry_wins() -> None:
    deny = builtin_templates()["default-deny"]
    profile = {"directions": ["Ingress"], "provider": "openshift"}
    assert resolve(deny, profile, {})["directions"] == ["Ingress"]
    assert resolve(deny, profile, {"directions": ["Egress"]})["directions"] == ["Egress"]


def test_an_unknown_parameter_of_an_entry_is_an_error_that_names_the_nearest() -> None:
    assert findings(builtin_templates()["default-deny"], direction=["Ingress"]) == [
        "direction: unknown parameter 'direction' (did you mean \"directions\"?);"
        " expected directions, podSelector"
    ]


def test_everything_wrong_is_told_with_field_value_and_what_would_be_right() -> None:
    found = findings(
        builtin_templates()["cidr-egress"],
        cidrs=["10.0.1.5/24", "x", 5],
        ports=["8080", 70000, {"port": 1, "protocol": "tcp"}],
        allowAnyAddress="yes",
    )
    expected = {
        "allowAnyAddress": ["'yes'", "true or false"],
        "cidrs[0]": ["10.0.1.5/24", "host bits", "10.0.1.0/24"],
        "cidrs[1]": ["'x'", "like 10.50.0.0/24"],
        "cidrs[2]": ["5", "a string"],
        "ports[0]": ["'8080'", "a whole number"],
        "ports[1]": ["70000", "1 to 65535"],
        "ports[2].protocol": ["'tcp'", "one of TCP, UDP, SCTP"],
    }
    for field, words in expected.items():
        (message,) = [text for text in found if text.startswith(f"{field}: ")]
        for word in words:
            assert word in message
    assert len(found) == len(expected)


def test_a_missing_parameter_is_named_with_its_description() -> None:
    assert findings(builtin_templates()["cidr-egress"]) == [
        "cidrs: missing, and required; expected Address ranges that are allowed, like 10.50.0.0/24"
    ]


@pytest.mark.parametrize(
    ("format_", "good", "bad"),
    [
        (
            "cidr",
            ["10.0.0.0/8", "2001:db8::/32"],
            ["10.0.0.1/8", "010.0.0.0/8", "::ffff:10.0.0.0/104", "10.0.0.0"],
        ),
        ("ipv4-cidr", ["10.0.0.0/8"], ["2001:db8::/32", "x"]),
        ("ipv6-cidr", ["2001:db8::/32"], ["10.0.0.0/8"]),
        ("ip", ["10.0.0.1", "::1"], ["10.0.0.1/32", "fe80::1%eth0", ""]),
        ("dns-label", ["a", "kube-system"], ["A", "-a", "a.b", "a" * 64, "", "a\n"]),
        ("label-key", ["app", "a.b/c"], ["", "a b", "a/b/c", "a\n"]),
        ("label-value", ["", "v1.2"], ["-a", "a b", "x" * 64]),
        ("port", [80, "http"], [0, 65536, "80", "a--b", ""]),
        ("label-selector", [{}, {"matchLabels": {"a": "b"}}], [{"matchLabels": {}}, {"app": "x"}]),
    ],
)
def test_a_format_tells_good_from_bad(format_: str, good: list[Any], bad: list[Any]) -> None:
    one = template(value={"format": format_})
    for value in good:
        assert resolve(one, {}, {"value": value}) == {"value": value}
    for value in bad:
        assert findings(one, value=value)


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ([], "type object"),
        ({"type": "array"}, "parameters are an object"),
        ({"properties": {"a": {"$ref": "https://example.com/x"}}}, "not a keyword"),
        ({"properties": {"a": {"typ": "string"}}}, 'did you mean "type"'),
        ({"properties": {"a": {"type": "text"}}}, "not valid"),
        ({"properties": {"a": {"type": "string", "pattern": "["}}}, "not a 'regex'|pattern|is not"),
        ({"properties": {"a": {"type": "integer", "default": "x"}}}, "refuses its own default"),
        ({"properties": {"a": {"format": "cidr", "default": "10.0.0.1/8"}}}, "refuses its own default"),
    ],
)
def test_a_schema_that_cannot_be_used_is_refused(schema: Any, words: str) -> None:
    with pytest.raises(ParameterSchemaError, match=words):
        make_validator(schema)


def test_what_openapi_writes_differently_is_understood() -> None:
    openapi = template(
        port={"x-kubernetes-int-or-string": True},
        note={"type": "string", "nullable": True, "example": "x"},
        above={"type": "integer", "minimum": 5, "exclusiveMinimum": True},
    )
    assert resolve(openapi, {}, {"port": "http", "note": None, "above": 6})["port"] == "http"
    assert len(findings(openapi, port=True, note=1, above=5)) == 3


@pytest.mark.parametrize("many", [list(range(30_000)), [[1] * 200] * 200])
def test_parameters_larger_than_any_policy_needs_are_refused_at_once(many: list[Any]) -> None:
    with pytest.raises(RenderError, match="use several policies"):
        resolve(template(value={"type": "array"}), {}, {"value": many})


def test_parameters_nested_without_end_are_refused() -> None:
    deep: Any = []
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(RenderError, match="nested deeper"):
        resolve(template(value={"type": "array"}), {}, {"value": deep})
