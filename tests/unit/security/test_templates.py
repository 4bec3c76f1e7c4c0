"""Each claim that SECURITY.md makes about templates. The page's words are here, so that they cannot drift apart.

What a value can and cannot become has a suite of its own: tests/unit/rendering/test_injection.py.
"""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Any

import pytest

from tenantprofile.names import LABEL_PROFILE
from tenantprofile.planning.desired import DesiredPolicy, ProfilePlan
from tenantprofile.planning.profile import parse_profile
from tenantprofile.rendering.errors import RenderError
from tenantprofile.rendering.facts import NamespaceFacts, ProfileFacts
from tenantprofile.rendering.language import FACTS, VARIABLES
from tenantprofile.rendering.parameters import resolve
from tenantprofile.rendering.render import render
from tenantprofile.rendering.templates import TemplateError, load_policy_template

PAGE = (Path(__file__).resolve().parents[3] / "SECURITY.md").read_text(encoding="utf-8")
SECTION = re.sub(r"\s+", " ", PAGE.split("\n## Templates\n")[1].split("\n## ")[0])
END = "podSelector: {}\npolicyTypes: [Ingress]\n"

CLAIMS = {
    "Data never becomes YAML": "test_a_value_stays_a_scalar_at_its_place",
    "no file, no environment, no cluster, no clock": "test_nothing_leads_out_of_the_sandbox",
    "see `params`, `namespace` (name, labels, annotations) and `profile` (name, parameters)": "test_what_is_seen",
    "Output and loops are bounded": "test_output_and_loops_are_bounded",
    "undefined names are errors": "test_undefined_names_are_errors",
    "Patterns are RE2's, which run in linear time": "test_patterns_run_in_linear_time",
    "every step of checking parameters is charged": "test_checking_parameters_is_charged",
    "one second of processor time": "test_the_time_of_a_rendering_is_bounded_by_its_process",
    "exactly one NetworkPolicy spec that the API would take and that means what it seems to mean": (
        "test_what_comes_out_is_one_spec_that_the_api_would_take"
    ),
    "Name, namespace, labels and annotations are the operator's": "test_metadata_is_the_operator_s",
    "nested deeper than the operator walks are refused in status": "test_depth_is_refused",
}


def made(body: str, schema: Any = None, **parameters: Any) -> Any:
    template = load_policy_template(
        {
            "metadata": {"name": "own"},
            "spec": {"template": body, "parameters": schema or {"additionalProperties": True}},
        }
    )
    facts = NamespaceFacts("shop", {"team": "web"}, {"note": "x"})
    return render(template, resolve(template, {}, parameters), facts, ProfileFacts("p", {"q": 1}))


def refused(body: str, schema: Any = None, **parameters: Any) -> str:
    with pytest.raises((TemplateError, RenderError)) as raised:
        made(body, schema, **parameters)
    return str(raised.value)


@pytest.mark.parametrize(("words", "test"), CLAIMS.items())
def test_each_claim_stands_on_the_page_and_has_its_test(words: str, test: str) -> None:
    assert words in SECTION
    assert callable(globals()[test])


@pytest.mark.parametrize(
    "value", ["a\nspec: b", "{}", "[1]", "a: b", "# x", "'", '"', "&a", "*a", "!!x", "---", "true"]
)
def test_a_value_stays_a_scalar_at_its_place(value: str) -> None:
    body = "podSelector:\n  matchLabels: {a: {{ params.v }}}\npolicyTypes: [Ingress]\n"
    try:
        assert made(body, v=value)["podSelector"] == {"matchLabels": {"a": value}}
    except RenderError as error:
        assert error.kind == "PolicyRefused"  # no label's value, and it says so of the whole of it
        assert [finding.path for finding in error.findings] == [("podSelector", "matchLabels", "a")]


@pytest.mark.parametrize(
    "expression",
    [
        "''.__class__",
        "params.__class__.__mro__",
        "params['__class__']",
        "namespace.labels.__init__",
        "[].__class__.__base__.__subclasses__()",
        "params | attr('__class__')",
        "range.__globals__",
        "fail.__globals__",
        "loop.__class__",
        "self.__init__",
        "cycler.__init__.__globals__.os",
        "lipsum.__globals__",
        "config",
        "request",
        "env",
        "os",
        "now()",
        "open('/etc/passwd')",
        "lookup('v1', 'Secret')",
        "params.items.__globals__",
        "'{0.__class__}'.format(params)",
        "'%s' % params",
        "params | map(attribute='__class__') | list",
        "[params] | map(attribute='__class__') | list",
        "['a'] | map('attr', '__class__') | list",
        "['a'] | map('$fail') | list",
        "namespace.uid",
        "profile.uid",
    ],
)
def test_nothing_leads_out_of_the_sandbox(expression: str) -> None:
    os.environ["TENANTPROFILE_TEST_SECRET"] = secret = "do-not-tell"
    try:
        assert secret not in refused(f"podSelector: {{{{ {expression} }}}}\npolicyTypes: [Ingress]\n")
    finally:
        del os.environ["TENANTPROFILE_TEST_SECRET"]


@pytest.mark.parametrize("statement", ["include 'x'", "import 'x' as y", "extends 'x'", "from 'x' import y"])
def test_no_other_template_is_read(statement: str) -> None:
    assert "not part of the template language" in refused("{% " + statement + " %}" + END)


def test_what_is_seen() -> None:
    assert {"params", "namespace", "profile"} == VARIABLES
    assert {"namespace": {"name", "labels", "annotations"}, "profile": {"name", "parameters"}} == FACTS
    body = (
        "podSelector:\n  matchLabels:\n    a: {{ namespace.name }}\n    b: {{ namespace.labels.team }}\n"
        "    c: {{ namespace.annotations.note }}\n    d: {{ profile.name }}\n"
        "    e: {{ profile.parameters.q | string }}\n"
        "    f: {{ params.v }}\npolicyTypes: [Ingress]\n"
    )
    labels = {"a": "shop", "b": "web", "c": "x", "d": "p", "e": "1", "f": "y"}
    assert made(body, v="y")["podSelector"]["matchLabels"] == labels


@pytest.mark.parametrize(
    "body",
    [
        "{% for x in range(9000) %}{% for y in range(9000) %}{% endfor %}{% endfor %}",
        "{% for x in range(9000) %}" + "# " + "x" * 1000 + "\n{% endfor %}",
        "{% set a = 'aaaaaaaa' %}" + "{% set a = a ~ a %}" * 60,
        "{% set a = [1] %}" + "{% set a = a + a %}" * 60,
        "{% for x in range(9999) %}" + "{% if params.v | length %}{% endif %}" * 300 + "{% endfor %}",
    ],
)
def test_output_and_loops_are_bounded(body: str) -> None:
    begin = time.process_time()
    refused(body + END, v=[0] * 9000)
    assert time.process_time() - begin < 8


def test_undefined_names_are_errors() -> None:
    assert "unknown name" in refused("{{ nothing }}" + END)
    assert "found no 'x'" in refused("{{ params.x }}" + END)
    assert "found no 'x'" in refused("{% if namespace.labels.x == 'a' %}{% endif %}" + END)
    schema = {"properties": {"cidrs": {"type": "array"}}}
    assert 'did you mean "cidrs"' in refused("{{ params.cidr }}" + END, schema)


def test_patterns_run_in_linear_time() -> None:
    begin = time.process_time()
    schema = {"properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}}
    assert "text that matches" in refused(END, schema, a="a" * 100_000 + "!")
    assert time.process_time() - begin < 8


def test_checking_parameters_is_charged() -> None:
    schema = {"properties": {"a": {"allOf": [{"uniqueItems": True}] * 400}}}
    assert "more than 200000 steps" in refused(END, schema, a=[[0] * 15_000])


def test_the_time_of_a_rendering_is_bounded_by_its_process() -> None:
    """tests/unit/controller/test_renderer.py runs it out; here is that it is what the page says."""
    from tenantprofile.controller.render_process import PROCESSOR_SECONDS

    assert PROCESSOR_SECONDS == 1.0


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        END + "---\n" + END,
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n" + END,
        "metadata: {labels: {a: b}}\n" + END,
        END + "unknown: 1\n",
        "podSelector: {}\npolicyTypes: [Inside]\n",
        END + "ingress: [{from: []}]\n",
        END + "ingress: [{ports: []}]\n",
        END + "ingress: [{from: [{ipBlock: {cidr: 10.0.0.1/8}}]}]\n",
        END + "podSelector: {}\n",
        "podSelector: &a {}\npolicyTypes: [Ingress]\n",
    ],
)
def test_what_comes_out_is_one_spec_that_the_api_would_take(body: str) -> None:
    assert refused(body)


def test_metadata_is_the_operator_s() -> None:
    template = load_policy_template({"metadata": {"name": "own"}, "spec": {"template": END}})
    profile = parse_profile(
        {
            "metadata": {"name": "p", "uid": "u"},
            "spec": {
                "namespaceSelector": {"matchLabels": {"a": "b"}},
                "policies": [{"template": "own", "name": "entry"}],
            },
        }
    )
    (policy,) = ProfilePlan(profile, {"own": template}).desired(NamespaceFacts("shop"))
    assert isinstance(policy, DesiredPolicy)
    metadata = policy.manifest("shop")["metadata"]
    assert (metadata["name"], metadata["namespace"]) == ("p.entry", "shop")
    assert metadata["labels"][LABEL_PROFILE] == "p"


def test_depth_is_refused() -> None:
    """tests/unit/planning/test_nesting.py goes through every field."""
    deep: Any = 1
    for _ in range(9900):
        deep = [deep]
    assert "nested deeper" in refused(END, a=deep)
    assert "nested deeper" in refused(END, {"properties": {"a": {"default": deep}}})
