"""Whatever a template or a schema asks for, it costs a bounded amount of work: refused, and refused soon.

Time is the processor's, not the clock's, and each bound is many times what the work takes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tenantprofile.rendering.errors import RenderError
from tenantprofile.rendering.facts import NamespaceFacts, ProfileFacts
from tenantprofile.rendering.parameters import resolve
from tenantprofile.rendering.render import render
from tenantprofile.rendering.templates import Template, TemplateError, builtin_templates, load_policy_template

BODY = "podSelector: {}\npolicyTypes: [Ingress]\n"
FACTS = (NamespaceFacts("shop"), ProfileFacts("p"))
MIXED = [item for number in range(3300) for item in (number, str(number), [number])]


@pytest.fixture(autouse=True)
def _soon() -> Iterator[None]:
    begin = time.process_time()
    yield
    assert time.process_time() - begin < 8


def template(body: str = BODY, **properties: Any) -> Template:
    return load_policy_template(
        {
            "metadata": {"name": "own"},
            "spec": {"template": body, "parameters": {"type": "object", "properties": properties}},
        }
    )


def refusal(made: Template, **parameters: Any) -> str:
    with pytest.raises(RenderError) as raised:
        render(made, resolve(made, {}, parameters), *FACTS)
    return str(raised.value)


RUNAWAY = "^(a+)+$"
NOT_IT = "a" * 5000 + "!"


def test_a_pattern_that_backtracks_elsewhere_is_linear_in_parameters() -> None:
    assert "text that matches" in refusal(template(a={"type": "string", "pattern": RUNAWAY}), a=NOT_IT)


def test_and_in_defaults() -> None:
    with pytest.raises(TemplateError, match="refuses its own default"):
        template(a={"type": "string", "pattern": RUNAWAY, "default": NOT_IT})


def test_and_in_pattern_properties_and_what_they_leave_over() -> None:
    made = template(
        a={
            "type": "object",
            "patternProperties": {RUNAWAY: {"type": "integer"}},
            "additionalProperties": False,
        }
    )
    assert "unknown parameter" in refusal(made, a={NOT_IT: 1})


def test_and_in_nested_schemas() -> None:
    made = template(a={"type": "array", "items": {"anyOf": [{"pattern": RUNAWAY}, {"type": "integer"}]}})
    assert refusal(made, a=[NOT_IT] * 100)


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("(?<=a)b", "RE2"),
        (r"(a)\1", "RE2"),
        ("a" * 1001, "1000 characters"),
        ("(((a{1,100}){1,100}){1,100})", "RE2"),
        ("[", "RE2"),
    ],
)
def test_a_pattern_that_cannot_be_linear_is_refused_with_its_place(pattern: str, words: str) -> None:
    with pytest.raises(TemplateError, match=words) as raised:
        template(a={"type": "string", "pattern": pattern})
    assert "properties.a.pattern" in str(raised.value)


def test_every_pattern_is_compiled_once_however_many_there_are() -> None:
    patterns = {f"^({number}|{'[a-z]{1,9}' * 50})$": {"type": "integer"} for number in range(450)}
    made = template(a={"type": "object", "patternProperties": patterns})
    assert refusal(made, a={f"key-{number}": 1 for number in range(500)})


def test_unique_items_of_mixed_values() -> None:
    made = template(a={"type": "array", "uniqueItems": True})
    assert resolve(made, {}, {"a": MIXED})["a"] == MIXED
    assert "twice" in refusal(made, a=[*MIXED, "0"])


def test_unique_items_tell_one_from_true_but_not_from_one_point_nought() -> None:
    made = template(a={"type": "array", "uniqueItems": True})
    assert resolve(made, {}, {"a": [1, True, "1"]})
    assert "twice" in refusal(made, a=[1, 1.0])


def test_trees_of_alternatives() -> None:
    tree: dict[str, Any] = {"type": "integer"}
    for _ in range(6):
        tree = {"anyOf": [tree, tree]}
    made = template(a={"type": "array", "items": tree})
    assert "steps" in refusal(made, a=["x"] * 9000)


@pytest.mark.parametrize("keyword", ["allOf", "anyOf", "oneOf"])
def test_many_alternatives_of_a_large_value(keyword: str) -> None:
    made = template(a={keyword: [{"type": "string", "title": str(number)} for number in range(400)]})
    assert "steps" in refusal(made, a={"inner": [[0] * 100] * 100})


def test_the_size_of_nested_values_is_charged_too() -> None:
    made = template(a={"allOf": [{"uniqueItems": True}] * 400})
    assert "steps" in refusal(made, a=[[0] * 15_000])


def test_defaults_filled_into_every_item_of_a_list() -> None:
    item = {"type": "object", "properties": {"b": {"default": [0] * 1000}}}
    assert "steps" in refusal(template(a={"type": "array", "items": item}), a=[{}] * 5000)


def test_options_of_an_enum() -> None:
    made = template(a={"type": "array", "items": {"enum": [f"option-{n}" for n in range(5000)]}})
    assert "steps" in refusal(made, a=["none"] * 5000)


def test_misspelt_names_beside_many_known_ones() -> None:
    made = template(**{f"parameter-{n}": {"type": "string"} for n in range(450)})
    message = refusal(made, **{f"paramter-{n}": "x" for n in range(9000)})
    assert "did you mean" in message


@pytest.mark.parametrize("depth", [25, 2000, 9000])
def test_references_are_refused_wherever_they_stand(depth: int) -> None:
    schema: Any = {"$ref": "#"}
    for _ in range(depth):
        schema = {"items": schema}
    with pytest.raises(TemplateError, match=r"\$ref|nest"):
        template(a=schema)


@pytest.mark.parametrize(
    "body",
    [
        "{% for x in range(10000) %}" + "{% if params.l | length %}{% endif %}" * 700 + "{% endfor %}",
        "{% for x in range(10000) %}"
        + "{% if params.l is covering_all_addresses %}{% endif %}" * 50
        + "{% endfor %}",
        "{% for x in range(10000) %}"
        + "{% if params.m.missing is defined %}{% endif %}" * 300
        + "{% endfor %}",
        "{% for x in range(10000) %}" + "{% if params.m.get('missing') %}{% endif %}" * 300 + "{% endfor %}",
        "{% for x in range(10000) %}" + "{% set y = 1 + 1 - 1 * 2 %}" * 300 + "{% endfor %}",
        "{% for x in range(10000) %}" + "{% set y = x if x and not x or x %}" * 300 + "{% endfor %}",
        "{% for x in range(10000) %}" + "{% set y = params.l | first | default(2) %}" * 300 + "{% endfor %}",
        "{% for x in range(10000) %}{% set y = ['10.0.0.0/8'] | cidrs(params.l) %}{% endfor %}",
        "{% set y = range(9000) | map(attribute='" + "a." * 30000 + "a', default=params.m) | list %}",
        "{% for x in range(100) %}{% for y in range(99) %}"
        + "{% set z = [[[[x]]]] == [[[[y]]]] %}" * 100
        + "{% endfor %}{% endfor %}",
    ],
)
def test_a_loop_pays_for_whatever_its_body_looks_at(body: str) -> None:
    parameters = {
        "l": [f"10.{n // 256}.{n % 256}.0/24" for n in range(2000)],
        "m": {f"key-{n}": n for n in range(3000)},
    }
    made = template(body + BODY, l={"type": "array"}, m={"type": "object", "additionalProperties": True})
    assert "more than" in refusal(made, **parameters)


def test_nested_lists_are_not_sorted() -> None:
    assert "can be sorted" in refusal(template("{% set x = [[1], [2]] | sort %}" + BODY))


def test_an_exception_is_not_held_against_every_other_one() -> None:
    made = template(
        "podSelector: {}\npolicyTypes: [Egress]\negress:\n"
        "  - to: {{ ['10.0.0.0/8'] | cidrs(where_inside=params.l) }}\n",
        l={"type": "array"},
    )
    holes = [f"10.{n // 256}.{n % 256}.0/24" for n in range(9000)]
    spec = render(made, resolve(made, {}, {"l": [*holes, "10.0.0.0/25", "11.0.0.0/24"]}), *FACTS)
    assert spec["egress"][0]["to"][0]["ipBlock"]["except"] == holes


def test_what_compiling_costs_is_bounded_as_well() -> None:
    with pytest.raises(TemplateError, match="names, operators and pieces of text"):
        template("{{ 1" + " < 1" * 15_000 + " }}")
    with pytest.raises(TemplateError, match="schemas in it"):
        template(**{f"p{n}": {"type": "string"} for n in range(501)})
    with pytest.raises(TemplateError, match="20000 values"):
        template(a={"enum": [0] * 20_001})


def test_as_many_ranges_as_parameters_may_have_are_rendered() -> None:
    made = builtin_templates()["cidr-egress"]
    cidrs = [f"10.{n // 256}.{n % 256}.0/24" for n in range(9900)]
    spec = render(made, resolve(made, {}, {"cidrs": cidrs}), *FACTS)
    assert len(spec["egress"][0]["to"]) == 9900
