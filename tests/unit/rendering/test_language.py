"""Templates are written in a small part of Jinja, from which nothing leads out and nothing runs away."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tenantprofile.input.documents import DocumentError
from tenantprofile.rendering.environment import LanguageError, RunError, compile_source
from tenantprofile.rendering.placeholders import SlotReader

FACTS: dict[str, Any] = {"name": "shop", "labels": {"environment": "dev", "items": "5"}, "annotations": {}}


def data(source: str, **params: Any) -> Any:
    output = compile_source(source).run(params, FACTS, {"name": "baseline", "parameters": {}})
    documents = list(SlotReader(output.text, "test", output.slots))
    return documents[0].data if documents else None


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("{% macro m() %}{% endmacro %}", "macro"),
        ("{% call x() %}{% endcall %}", "call"),
        ("{% filter upper %}x{% endfilter %}", "filter"),
        ("{% set x %}x{% endset %}", "block set"),
        ("{% set params.x = 1 %}", "attribute"),
        ("{% include 'x' %}", "include"),
        ("{% import 'x' as y %}", "import"),
        ("{% from 'x' import y %}", "import"),
        ("{% extends 'x' %}", "extends"),
        ("{% block x %}{% endblock %}", "block"),
        ("{% with a = 1 %}{% endwith %}", "with"),
        ("{% autoescape true %}{% endautoescape %}", "template language"),
        ("{% for a in [1] recursive %}{% endfor %}", "recursive"),
        ("{% set params = 1 %}", "cannot be set"),
        ("{{ range(*[1]) }}", r"\*"),
        ("{{ params.get('x')() }}", "only functions and methods"),
        ("{{ params.x() }}", "no method"),
        ("{{ 'x'.format(1) }}", "no method"),
        ("{{ 'x'.ljust(10) }}", "no method"),
        ("{{ 'x'.encode() }}", "no method"),
        ("{{ lipsum() }}", "no function"),
        ("{{ dict() }}", "no function"),
        ("{{ cycler(1) }}", "no function"),
        ("{{ namespace() }}", "no function"),
        ("{{ self }}", "self"),
        ("{{ self.x }}", "self"),
        ("{{ unknown }}", "unknown name"),
        ("{{ param.x }}", r"did you mean \"params\""),
        ("{{ 'x' | center(9) }}", "no filter"),
        ("{{ params | attr('x') }}", "no filter"),
        ("{{ params | tojson }}", "no filter"),
        ("{{ params | pprint }}", "no filter"),
        ("{{ 1 is divisibleby 1 }}", "no test"),
        ("{% if false %}{{ 1 | nothing }}{% endif %}", "no filter"),
        ("{{ " + "(" * 500 + "1" + ")" * 500 + " }}", "deeply nested"),
        ("{{ " + "[" * 70 + "]" * 70 + " }}", "nesting"),
        ("{{ " + "-" * 5000 + "1 }}", "nest"),
        ("{{ 1" + "0" * 5000 + " }}", "too large"),
        ("x" * (64 * 1024 + 1), "KiB"),
        ("a: \ue000", r"U\+E000"),
        ("a: \u2028", r"U\+2028"),
        ("{{ params", "unexpected end|expected"),
    ],
)
def test_what_is_not_part_of_the_language_is_refused_before_anything_runs(source: str, word: str) -> None:
    with pytest.raises(LanguageError, match=word):
        compile_source(source)


def test_a_language_error_names_its_line() -> None:
    with pytest.raises(LanguageError) as raised:
        compile_source("a: 1\nb:\n  - {{ 1 | nothing }}\n")
    assert raised.value.line == 3


@pytest.mark.parametrize(
    "source",
    [
        "{{ params.__class__ }}",
        "{{ params['__class__'] }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ params.get.__globals__ }}",
        "{{ namespace.labels.items.__self__ }}",
        "{{ (1).real }}",
        "{{ [params] | map(attribute='__class__') }}",
        "{{ [params] | map(attribute='get') }}",
        "{{ [params] | map('$fail', 'x') }}",
        "{{ ['x'] | map('attr', '__class__') }}",
        "{{ [params] | selectattr('__class__') }}",
        "{% for x in [1] %}{{ loop.__class__ }}{% endfor %}",
        "{% for x in [1] %}{{ loop.cycle }}{% endfor %}",
        "{% for x in [1] %}{{ loop }}{% endfor %}",
        "{{ [params.missing] }}",
        "{{ params.missing }}",
        "{{ params.missing.deeper is defined }}",
        "{{ params.missing == 1 }}",
        "{{ 'x' if false }}",
        "{% if params.missing %}{% endif %}",
        "{% for c in 'text' %}{% endfor %}",
        "{{ '%s' % 5 }}",
        "{{ 'x' * 3 }}",
        "{{ [1] * 3 }}",
        "{{ 2 ** 3 }}",
        "{{ 1 // 0 }}",
        "{{ {1: 2} }}",
        "{{ '\\ue000' }}",
    ],
)
def test_nothing_leads_out_of_the_values_and_nothing_undefined_passes(source: str) -> None:
    with pytest.raises(RunError):
        data("a: 1\n" + source)


@pytest.mark.parametrize(
    "source",
    [
        "{{ range(10 ** 9) }}",
        "{{ range(1000000000) }}",
        "{% for x in range(1000000000) %}{% endfor %}",
        "{{ 'a' * 1000000000 }}",
        "{% for a in range(5000) %}{% for b in range(5000) %}x{% endfor %}{% endfor %}",
        "{% for a in range(99) %}{% for b in range(99) %}{% for c in range(99) %}{{ a }}{% endfor %}{% endfor %}"
        "{% endfor %}",
        "{% for a in range(9000) %}" + "x" * 1000 + "{% endfor %}",
        "{% set a = 'aaaaaaaa' %}" + "{% set a = a ~ a %}" * 60 + "{{ a }}",
        "{% set a = 'aaaaaaaa' %}" + "{% set a = a + a %}" * 60 + "{{ a }}",
        "{% set a = [1] %}" + "{% set a = a + a %}" * 60 + "{{ a }}",
        "{% set a = [1] %}" + "{% set a = [a, a] %}" * 60 + "{{ a }}",
        "{% set a = [1] %}{% set b = [1] %}"
        + "{% set a = [a, a] %}{% set b = [b, b] %}" * 60
        + "{{ a == b }}",
        "{% set a = {'x': 1} %}" + "{% set a = {'x': a, 'y': a} %}" * 60 + "{{ a }}",
        "{% set a = [1] %}" + "{% set a = [a] %}" * 700 + "{{ a }}",
        "{% set a = 'a,' | replace('a', 'a' ~ 'a') %}"
        + "{% set a = a | replace('a', 'aaaaaaaaaa') %}" * 20
        + "{{ a }}",
        "{% set a = range(5000) | join('" + "x" * 1000 + "') %}{{ a }}",
        "{% set a = 9223372036854775807 %}" + "{% set a = a * a %}" * 30 + "{{ a }}",
        "{% set l = range(5000) %}{% for x in range(5000) %}{% if x in l | sort %}{% endif %}{% endfor %}",
        "{% set l = range(5000) %}{% for x in range(5000) %}{% if x in l %}{% endif %}{% endfor %}",
        "{% set l = range(5000) %}{% for x in range(5000) %}{% if 'x' is in(l) %}{% endif %}{% endfor %}",
        "{% set l = range(5000) %}{% set y = range(5000) | select('in', l) %}",
        "{% set l = [[1] | list] + range(5000) %}{% for x in range(5000) %}{% set y = l | unique %}{% endfor %}",
        "{% set t = range(9000) | join(' ' ~ '"
        + "y" * 20
        + "') %}{% set y = t.strip(t) %}{{ fail('not stopped') if false }}",
        "{% set l = range(5000) %}{% for x in range(5000) %}{% set y = l | map('string') %}{% endfor %}",
        "{% set l = range(5000) %}{% for x in range(5000) %}{% set y = l[1:] %}{% endfor %}",
    ],
)
def test_what_would_run_away_is_stopped_soon(source: str) -> None:
    begin = time.process_time()
    with pytest.raises(RunError):
        data(source)
    assert time.process_time() - begin < 5


def test_a_runtime_error_names_its_line() -> None:
    source = "a: 1\n{% for x in [1, 2] %}\nb{{ x }}:\n  - {{ params.missing }}\n{% endfor %}\n"
    with pytest.raises(RunError) as raised:
        data(source)
    assert raised.value.line == 4


def test_a_key_of_a_map_wins_over_the_methods_of_python() -> None:
    assert data("a: {{ namespace.labels.items }}") == {"a": "5"}
    assert data("a: {{ namespace.labels.items() }}") == {"a": [["environment", "dev"], ["items", "5"]]}


def test_expressions_loops_and_filters_work_as_people_expect() -> None:
    source = """
{% set wanted = params.tiers | selectattr("on") | map(attribute="name") | sort %}
count: {{ wanted | length }}
{# a comment #}
tiers:
{% for name in wanted if name != "c" %}
  - {name: {{ name }}, first: {{ loop.first }}, label: "{{ name }}-{{ loop.index }}"}
{% else %}
  - none
{% endfor %}
prefix: {{ params.host.removeprefix("www.").split(".")[0] | upper }}
fallback: {{ params.missing | default("x") }}
both: {{ [1] + [2, 3][1:] }}
chosen: {{ "yes" if "a" in wanted and not "z" in wanted else "no" }}
raw: {% raw %}'{{ kept }}'{% endraw %}
"""
    tiers = [{"name": "b", "on": True}, {"name": "a", "on": True}, {"name": "x", "on": False}]
    assert data(source, tiers=tiers, host="www.example.com") == {
        "count": 2,
        "tiers": [
            {"name": "a", "first": True, "label": "a-1"},
            {"name": "b", "first": False, "label": "b-2"},
        ],
        "prefix": "EXAMPLE",
        "fallback": "x",
        "both": [1, 3],
        "chosen": "yes",
        "raw": "{{ kept }}",
    }


def test_sorting_and_uniqueness_tell_cases_apart() -> None:
    assert data("a: {{ ['b', 'B', 'a', 'b'] | unique | sort }}") == {"a": ["B", "a", "b"]}


@pytest.mark.parametrize(
    ("source", "uses"),
    [
        ("{{ params.x }}", set()),
        ("{{ namespace.name }}", {"namespace.name"}),
        ("{{ namespace['labels'] }}", {"namespace.labels"}),
        ("{{ namespace.labels.get(profile.name) }}", {"namespace.labels", "profile.name"}),
        ("{% set n = namespace %}", {"namespace.name", "namespace.labels", "namespace.annotations"}),
        ("{{ namespace[params.x] }}", {"namespace.name", "namespace.labels", "namespace.annotations"}),
        ("{{ profile | items }}", {"profile.name", "profile.parameters"}),
    ],
)
def test_a_template_tells_which_facts_it_uses(source: str, uses: set[str]) -> None:
    assert compile_source(source).uses == uses


def test_a_structure_inside_a_string_and_a_key_that_is_no_string_are_refused() -> None:
    for source in ("a: x{{ [1] }}", 'a: "{{ {} }}"', "a: x{{ none }}", "{{ 1 }}: a", "{{ [1] }}: a"):
        with pytest.raises(DocumentError, match="expected a string"):
            data(source)


def test_a_printed_key_that_is_there_already_is_refused() -> None:
    with pytest.raises(DocumentError, match="a second time"):
        data("podSelector: {}\n{{ params.key }}: {}", key="podSelector")
