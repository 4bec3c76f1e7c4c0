"""Whatever is read as a profile, a template or a policy: an answer or a declared error, and never past the charge.

The short runs are part of `make test`; the long ones, with ten times hypothesis's patience, of `make nightly`.
"""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenantprofile.planning.desired import ProfilePlan
from tenantprofile.planning.profile import ProfileError, parse_profile
from tenantprofile.policy.normalize import normalize
from tenantprofile.policy.rules import check_spec, refused
from tenantprofile.rendering.builtin_filters import FILTERS, TESTS
from tenantprofile.rendering.errors import RenderError
from tenantprofile.rendering.facts import NamespaceFacts, ProfileFacts
from tenantprofile.rendering.language import METHODS
from tenantprofile.rendering.parameters import resolve
from tenantprofile.rendering.render import render
from tenantprofile.rendering.templates import TemplateError, builtin_templates, load_policy_template

QUICK = settings(deadline=None, max_examples=120, suppress_health_check=list(HealthCheck))
LONG = settings(deadline=None, max_examples=5000, suppress_health_check=list(HealthCheck))
SECONDS_EACH = 10
"""Of the processor, for one example; the rendering process is given one, and the charge is to stop it before."""

WORDS = st.sampled_from(
    [
        *(
            "name",
            "template",
            "parameters",
            "spec",
            "metadata",
            "policies",
            "properties",
            "items",
            "default",
            "type",
        ),
        *(
            "pattern",
            "enum",
            "anyOf",
            "not",
            "required",
            "format",
            "cidr",
            "object",
            "array",
            "string",
            "integer",
        ),
        *(
            "podSelector",
            "matchLabels",
            "matchExpressions",
            "policyTypes",
            "ingress",
            "egress",
            "from",
            "to",
            "ports",
        ),
        *(
            "ipBlock",
            "cidr",
            "except",
            "10.0.0.0/8",
            "::/0",
            "Ingress",
            "Egress",
            "TCP",
            "key",
            "operator",
            "values",
        ),
        *(
            "In",
            "namespaceSelector",
            "assertions",
            "drift",
            "default-deny",
            "cidr-egress",
            "port",
            "endPort",
            "$ref",
        ),
        *(
            "additionalProperties",
            "patternProperties",
            "uniqueItems",
            "nullable",
            "exclusiveMinimum",
            "a",
            "(a+)+$",
        ),
    ]
)
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.text(max_size=8) | st.just(2**63)
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.text(max_size=4), inner, max_size=5)
    ),
    max_leaves=25,
)

PIECES = st.sampled_from(
    [
        *(f"| {name}" for name in sorted(FILTERS) if not name.startswith("$")),
        *(f"is {name}" for name in sorted(TESTS)),
        *(f".{name}(" for name in sorted(METHODS)),
        *(
            "{{",
            "}}",
            "{%",
            "%}",
            "{#",
            "#}",
            "-%}",
            "{%- ",
            "(",
            ")",
            "[",
            "]",
            "[1:]",
            "{",
            "}",
            ",",
            ":",
            "~",
            "|",
        ),
        *(
            "if",
            "elif",
            "else",
            "endif",
            "for",
            "in",
            "endfor",
            "set",
            "=",
            "not",
            "and",
            "or",
            "==",
            "<",
            "!=",
            "**",
        ),
        *(
            "params",
            "namespace.name",
            "namespace.labels",
            "profile",
            "loop.index",
            "x",
            "range(9999)",
            "fail('no')",
        ),
        *(
            "params.a",
            ".b",
            "['c']",
            "1",
            "2.5",
            "-1",
            "'text'",
            "none",
            "true",
            "*",
            "+",
            "-",
            "/",
            "//",
            "%",
            "\n",
        ),
        *(
            "podSelector: {}\n",
            "policyTypes: [Ingress]\n",
            "- ",
            "  ",
            "a: ",
            "&x ",
            "*x",
            "!!set ",
            "<<: ",
            "---\n",
        ),
    ]
)
EXPRESSIONS = st.recursive(
    st.sampled_from(
        ["1", "'10.0.0.0/8'", "params.a", "params", "namespace.labels", "x", "[]", "range(9999)", "2.5"]
    ),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(sorted(name for name in FILTERS if not name.startswith("$")))).map(
            lambda pair: f"({pair[0]}) | {pair[1]}"
        ),
        st.tuples(
            inner, st.sampled_from(["in", "==", "<", "+", "*", "~", "and", "or", "%", "//"]), inner
        ).map(lambda parts: f"({parts[0]}) {parts[1]} ({parts[2]})"),
        st.tuples(inner, st.sampled_from(sorted(TESTS)), inner).map(lambda p: f"({p[0]}) is {p[1]}({p[2]})"),
        st.tuples(inner, st.sampled_from(sorted(METHODS)), inner).map(lambda p: f"({p[0]}).{p[1]}({p[2]})"),
        st.lists(inner, max_size=3).map(lambda parts: f"[{', '.join(parts)}]"),
    ),
    max_leaves=10,
)
BODIES = (
    st.lists(PIECES, max_size=40).map(" ".join)
    | st.text(max_size=200)
    | EXPRESSIONS.map(lambda e: f"podSelector: {{{{ {e} }}}}\npolicyTypes: [Ingress]\n")
    | st.tuples(EXPRESSIONS, EXPRESSIONS).map(
        lambda p: f"{{% for x in {p[0]} %}}{{% set y = {p[1]} %}}{{% endfor %}}podSelector: {{}}\n"
    )
)
NAMESPACE = NamespaceFacts("shop", {"team": "web"}, {"note": "x"})


def rendered(body: Any, schema: Any, parameters: Any) -> None:
    begin = time.process_time()
    try:
        template = load_policy_template(
            {"metadata": {"name": "own"}, "spec": {"template": body, "parameters": schema}}
        )
        given_ = parameters if isinstance(parameters, dict) else {"a": parameters}
        spec = render(template, resolve(template, given_, {}), NAMESPACE, ProfileFacts("p", given_))
        assert not refused(check_spec(spec))
        assert normalize(spec) == spec
    except (TemplateError, RenderError) as error:
        assert str(error)
    assert time.process_time() - begin < SECONDS_EACH


def profile(raw: Any) -> None:
    begin = time.process_time()
    try:
        made = parse_profile(raw)
    except ProfileError as error:
        assert error.complaints
        return
    ProfilePlan(made, builtin_templates()).desired(NAMESPACE)
    assert time.process_time() - begin < SECONDS_EACH


def judged(spec: Any) -> None:
    begin = time.process_time()
    for finding in check_spec(spec):
        assert str(finding)
    assert time.process_time() - begin < SECONDS_EACH


ANY_SCHEMA = st.fixed_dictionaries({"properties": st.dictionaries(WORDS, JSON, max_size=3)})
OPEN_SCHEMA = st.just({"type": "object", "additionalProperties": True})
PROFILES = st.fixed_dictionaries(
    {"metadata": st.just({"name": "p", "uid": "u"}) | JSON},
    optional={
        "spec": JSON
        | st.fixed_dictionaries(
            {
                "namespaceSelector": st.just({"matchLabels": {"a": "b"}}) | JSON,
                "policies": st.lists(
                    st.fixed_dictionaries(
                        {"template": st.sampled_from(sorted(builtin_templates())) | JSON},
                        optional={"name": JSON, "parameters": JSON, "purpose": JSON, "owner": JSON},
                    ),
                    min_size=1,
                    max_size=3,
                )
                | JSON,
            },
            optional=dict.fromkeys(
                ("parameters", "drift", "assertions", "suspend", "excludedNamespaces", "conflicts"), JSON
            ),
        )
    },
)


@QUICK
@given(BODIES, OPEN_SCHEMA, JSON)
def test_any_template_body_yields_a_policy_or_a_declared_error(
    body: Any, schema: Any, parameters: Any
) -> None:
    rendered(body, schema, parameters)


@QUICK
@given(ANY_SCHEMA | JSON, JSON)
def test_any_schema_and_parameters_yield_a_policy_or_a_declared_error(schema: Any, parameters: Any) -> None:
    rendered("podSelector: {}\npolicyTypes: [Ingress]\n", schema, parameters)


@QUICK
@given(st.fixed_dictionaries({"metadata": JSON, "spec": JSON}) | st.fixed_dictionaries({"spec": JSON}))
def test_any_object_is_a_template_or_a_declared_error(raw: Any) -> None:
    try:
        load_policy_template(raw)
    except TemplateError as error:
        assert str(error)


@QUICK
@given(PROFILES)
def test_any_object_is_a_profile_or_a_declared_error(raw: Any) -> None:
    profile(raw)


@QUICK
@given(st.dictionaries(WORDS, JSON, max_size=5))
def test_any_policy_is_judged(spec: Any) -> None:
    judged(spec)


@pytest.mark.slow
@LONG
@given(BODIES, OPEN_SCHEMA | ANY_SCHEMA, JSON)
def test_any_template_for_long(body: Any, schema: Any, parameters: Any) -> None:
    rendered(body, schema, parameters)


@pytest.mark.slow
@LONG
@given(PROFILES, st.dictionaries(WORDS, JSON, max_size=6))
def test_any_profile_and_policy_for_long(raw: Any, spec: Any) -> None:
    profile(raw)
    judged(spec)
