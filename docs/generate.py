"""The reference pages, from what the program itself reads: CRDs, built-in templates, rules of lint, commands.

    python docs/generate.py            writes docs/reference/
    python docs/generate.py --check    writes nothing; exit code 1 and the names of stale pages

Same sources, same bytes. A field that has no description is an
error here (exit code 2), not a hole in the page.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from json import dumps, loads
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).resolve().parent.parent
# The sources beside this file, not a release that happens to be installed.
sys.path[:0] = [str(ROOT / "operator"), str(ROOT / "docs")]

import reference_pages  # noqa: E402

from tenantprofile.cli import exits  # noqa: E402
from tenantprofile.linting.catalogue import GROUPS, RULES  # noqa: E402
from tenantprofile.names import CLI_API_VERSION  # noqa: E402
from tenantprofile.policy.findings import Rule  # noqa: E402
from tenantprofile.rendering.facts import NamespaceFacts, ProfileFacts  # noqa: E402
from tenantprofile.rendering.parameters import resolve  # noqa: E402
from tenantprofile.rendering.render import RenderError, render  # noqa: E402
from tenantprofile.rendering.templates import Example, Template, TemplateError, load_folder  # noqa: E402

REFERENCE: Final = Path("docs/reference")
Schema = Mapping[str, Any]

FORMATS: Final = {
    "cidr": "address range",
    "date-time": "time",
    "dns-label": "DNS label",
    "ip": "address",
    "label-key": "label key",
    "label-selector": "label selector",
    "label-value": "label value",
}
"""What a format is called on a page, instead of the type that carries it."""


class MissingDescriptionError(ValueError):
    """A field, parameter or template that nobody described."""


@dataclass(frozen=True, slots=True)
class Field:
    """One row of a page: a field or parameter by its dotted path."""

    path: str
    schema: Schema
    required: bool

    @property
    def description(self) -> str:
        found = str(self.schema.get("description", "")).strip()
        if not found:
            raise MissingDescriptionError(f"{self.path} has no description")
        return one_line(found)


def fields(schema: Schema, prefix: str = "") -> Iterator[Field]:
    """Every field below a schema, parents first, in the order in which they were written."""
    required = schema.get("required", ())
    for name, below in schema.get("properties", {}).items():
        path = f"{prefix}{name}"
        yield Field(path, below, name in required)
        yield from fields(below, f"{path}.")
        items = below.get("items")
        if isinstance(items, Mapping):
            yield from fields(items, f"{path}[].")


def type_of(schema: Schema, *, bounds: bool = True) -> str:
    """A schema's type in a few words, with its bounds where a reader has to keep to them."""
    if "const" in schema:
        return f"always {code(schema['const'])}"
    if "enum" in schema:
        return ", ".join(code(value) for value in schema["enum"])
    alternatives = schema.get("oneOf") or schema.get("anyOf") or ()
    if "type" not in schema and any("type" in item for item in alternatives):
        return " or ".join(_alternative(item) for item in alternatives)
    if schema.get("format") == "port":
        return {"integer": "port number", "string": "port name"}.get(schema.get("type", ""), "port")
    if schema.get("format") in FORMATS:
        return FORMATS[schema["format"]]
    if schema.get("x-kubernetes-int-or-string"):
        return "number or string"
    kind = schema.get("type", "any")
    if isinstance(kind, list):
        return " or ".join(kind)
    if kind == "array":
        items = type_of(schema.get("items", {}), bounds=False)
        items = f"({items})" if " or " in items or "`, `" in items else items
        return f"list of {items}" + (_bounds(schema, "Items") if bounds else "")
    if kind == "object":
        values = schema.get("additionalProperties")
        if isinstance(values, Mapping) and values:
            named = f"map of {type_of(values, bounds=False)}"
            return named + (_bounds(schema, "Properties") if bounds else "")
        return "object"
    if kind == "string":
        return "string" + (_bounds(schema, "Length") if bounds else "")
    return str(kind) + (_between(schema.get("minimum"), schema.get("maximum"), "") if bounds else "")


def _alternative(schema: Schema) -> str:
    """One type among several; a map's fields are named, because they have no rows of their own."""
    if "properties" in schema:
        return f"map with {', '.join(code(name) for name in schema['properties'])}"
    return type_of(schema, bounds=False)


def _bounds(schema: Schema, what: str) -> str:
    unit = {"Items": " items", "Properties": " entries", "Length": " characters"}[what]
    low = schema.get(f"min{what}", 0)
    # That a string is not empty when it is required goes without saying.
    return _between(None if low <= (what == "Length") else low, schema.get(f"max{what}"), unit)


def _between(low: float | None, high: float | None, unit: str) -> str:
    if high is None:
        if low == 1 and unit:
            return " (not empty)"
        return f" (at least {low}{unit})" if low else ""
    return f" ({low} to {high}{unit})" if low is not None else f" (at most {high}{unit})"


def one_line(text: str) -> str:
    return " ".join(text.split())


def code(value: Any) -> str:
    """A value as inline code, as one would write it in YAML's flow style."""
    return f"`{value if isinstance(value, str) and value else dumps(value)}`"


def cell(text: str) -> str:
    return one_line(text).replace("|", "\\|")


def table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell(text) for text in line) + " |" for line in lines)


def input_table(title: str, schema: Schema) -> str:
    """What a person writes: with bounds and defaults."""
    rows = []
    for field in fields(schema):
        needs = "**required**" if field.required else ""
        if "default" in field.schema:
            needs = code(field.schema["default"])
        rows.append([code(field.path), type_of(field.schema), needs, field.description])
    return table([title, "Type", "Default", "What it says"], rows)


def output_table(title: str, schema: Schema) -> str:
    """What a person reads."""
    rows = [[code(f.path), type_of(f.schema, bounds=False), f.description] for f in fields(schema)]
    return table([title, "Type", "What it says"], rows)


def refusals(schema: Schema, path: str) -> Iterator[list[str]]:
    """Where a CEL rule stands and what it answers."""
    for rule in schema.get("x-kubernetes-validations", ()):
        yield [code(path + rule.get("fieldPath", "") or "metadata.name"), _message(rule)]
    for name, below in schema.get("properties", {}).items():
        yield from refusals(below, f"{path}.{name}" if path else name)
    for part, mark in (("items", "[]"), ("additionalProperties", ".*")):
        below = schema.get(part)
        if isinstance(below, Mapping):
            yield from refusals(below, f"{path}{mark}")


def _message(rule: Mapping[str, str]) -> str:
    if "message" in rule:
        return rule["message"]
    # 'text ' + self + ' more': what stands there in place of the value is `…`.
    parts = one_line(rule["messageExpression"]).split("'")
    return "".join(part if index % 2 else "…" * bool(part.strip(" +()")) for index, part in enumerate(parts))


def crd_page(crd: Mapping[str, Any], source: str, example: str) -> str:
    names = crd["spec"]["names"]
    version = crd["spec"]["versions"][0]
    schema = version["schema"]["openAPIV3Schema"]
    columns = [
        [
            column["name"].upper(),
            "`-o wide`" if column.get("priority") else "always",
            code(column["jsonPath"]),
            column.get("description", "Time since the object was created."),
        ]
        for column in version["additionalPrinterColumns"]
    ]
    spec, status = schema["properties"]["spec"], schema["properties"]["status"]
    parts = [
        f"# {names['kind']}",
        _generated_from(source),
        one_line(schema["description"]),
        table(
            ["API version", "Scope", "`kubectl get`", "Category"],
            [
                [
                    code(f"{crd['spec']['group']}/{version['name']}"),
                    crd["spec"]["scope"],
                    ", ".join(code(name) for name in [names["plural"], *names["shortNames"]]),
                    ", ".join(code(name) for name in names["categories"]),
                ]
            ],
        ),
        "## Example",
        f"```yaml\n{example}```",
        "## spec",
        one_line(spec["description"]),
        input_table("Field", spec),
        "## What the API server refuses",
        "Besides wrong types, unknown values and sizes. Each message names what was found.",
        table(["Where", "Message"], list(refusals(schema, ""))),
        "## Columns of `kubectl get`",
        table(["Column", "Shown", "From", "Meaning"], columns),
        "## status",
        one_line(status["description"]),
        output_table("Field", status),
    ]
    return "\n\n".join(parts) + "\n"


def _generated_from(source: str) -> str:
    return f"<!-- Generated from {source} by docs/generate.py; edit that file, not this one. -->"


def templates_page(templates: Mapping[str, Template]) -> str:
    overview = [[f"[`{name}`](#{name})", first_sentence(described(t))] for name, t in templates.items()]
    parts = [
        "# Built-in templates",
        _generated_from("templates/"),
        "What `template` in a profile's `spec.policies` may name, besides PolicyTemplates in the cluster. "
        "`tenantprofile templates NAME` says the same on the command line. Values come from the entry's "
        "`parameters`, then from the profile's `spec.parameters`, then from the default.",
        table(["Template", "What it does"], overview),
    ]
    for template in templates.values():
        parts += _template_section(template)
    return "\n\n".join(parts) + "\n"


def _template_section(template: Template) -> Iterator[str]:
    yield f"## {template.name}"
    yield one_line(described(template))
    if template.purpose:
        yield f"**Purpose:** {one_line(template.purpose)}"
    if template.parameters.get("properties"):
        yield input_table("Parameter", template.parameters)
    else:
        yield "It takes no parameters."
    if template.uses:
        facts = ", ".join(code(fact) for fact in sorted(template.uses))
        yield f"Its policies depend on {facts} of each namespace."
    for index, example in enumerate(template.examples):
        title, wanted, spec = _example(template, example)
        if index == 0:
            yield f"**{title}:**\n\n{wanted}"
            yield _folded("The policy that comes of it", spec)
        else:
            yield _folded(title, f"{wanted}\n\nThe policy that comes of it:\n\n{spec}")


def _example(template: Template, example: Example) -> tuple[str, str, str]:
    """What it shows, what one writes, and the spec that comes of it."""
    labels = dict(example.namespace_labels)
    facts = NamespaceFacts("team-a", labels)
    parameters = resolve(template, {}, example.parameters)
    spec = render(template, parameters, facts, ProfileFacts("example"))
    first = {key: spec[key] for key in ("podSelector", "policyTypes") if key in spec}
    entry: dict[str, Any] = {"template": template.name}
    if example.parameters:
        entry["parameters"] = example.parameters
    where = f" (labels: {', '.join(f'{key}={value}' for key, value in labels.items())})" if labels else ""
    return (
        one_line(example.title).rstrip(".:") + where,
        f"```yaml\n{to_yaml({'policies': [entry]})}```",
        f"```yaml\n{to_yaml(first | dict(spec))}```",
    )


def _folded(title: str, text: str) -> str:
    return f"<details><summary>{escape(title)}</summary>\n\n{text}\n\n</details>"


def described(template: Template) -> str:
    if not template.description:
        raise MissingDescriptionError(f"the template {template.name} has no description")
    return template.description


def first_sentence(text: str) -> str:
    return re.split(r"(?<=\.)\s", one_line(text), maxsplit=1)[0]


def lint_rules_page() -> str:
    counts = ", ".join(
        f"{sum(rule.severity == severity for rule in RULES.values())} of severity {severity}"
        for severity in ("error", "warning", "info")
    )
    parts = [
        "# Rules of lint",
        "<!-- Generated from operator/tenantprofile/linting/catalogue.py and operator/tenantprofile/policy"
        " by docs/generate.py; edit these, not this page. -->",
        "What [`tenantprofile lint`](../commands/lint.md) judges by. `tenantprofile lint --list` says the "
        f"same on the command line. There are {len(RULES)} rules, {counts}. `--select`, `--enable` and "
        "`--disable` take a rule's id or the name of a group (in brackets below).",
        "Rules marked **guard** are also held against whatever a template renders: the operator refuses "
        "to apply a policy that breaks one of them.",
        table(
            ["Group", "Rules"],
            [
                [f"{title} (`{group}`)", ", ".join(f"[`{r.id}`](#{r.id})" for r in _of_group(group))]
                for group, title in GROUPS.items()
            ],
        ),
    ]
    for group, title in GROUPS.items():
        parts.append(f"## {title} (`{group}`)")
        for rule in _of_group(group):
            parts += _rule_section(rule)
    return "\n\n".join(parts) + "\n"


def _of_group(group: str) -> list[Rule]:
    return [rule for rule in RULES.values() if rule.group == group]


def _rule_section(rule: Rule) -> Iterator[str]:
    marks = [f"**{rule.severity}**"]
    if not rule.on:
        marks.append("only with `--enable`")
    if rule.refused_in_templates:
        marks.append("**guard**")
    yield f"### {rule.id}"
    yield f"{rule.title}. ({', '.join(marks)})"
    yield f"*Why it matters:* {rule.why}"
    yield f"*How to fix it:* {rule.fix}"


class _Dumper(yaml.SafeDumper):
    """Lists below their key are indented, as everywhere in this repository; no anchors."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def to_yaml(data: Any) -> str:
    plain = loads(dumps(data))
    return yaml.dump(plain, Dumper=_Dumper, sort_keys=False, width=100, allow_unicode=True)


def exit_codes_page() -> str:
    """The table that `tenantprofile help exit-codes` prints."""
    lines = [
        "# Exit codes",
        "",
        _generated_from("operator/tenantprofile/cli/exits.py"),
        "",
        "The numbers are stable; `tenantprofile help exit-codes` prints the same table.",
        "",
        table(["Code", "Commands", "Means"], [list(row) for row in exits.rows()]),
    ]
    return "\n".join(lines) + "\n"


def outputs_page() -> str:
    """The fields of every JSON and YAML output."""
    known = loads((ROOT / "docs" / "outputs.json").read_text(encoding="utf-8"))
    lines = [
        "# JSON and YAML outputs",
        "",
        _generated_from("docs/outputs.json"),
        "",
        f"Every output has `apiVersion: {CLI_API_VERSION}` and a `kind`, except Kubernetes' own objects and SARIF."
        " Within this version fields may be added; none is removed, renamed or changed in type. Programs should"
        " ignore fields that they do not know. A test holds every output against this list.",
    ]
    for kind, entry in known.items():
        lines += ["", f"## {kind}", "", f"Printed by `tenantprofile {entry['command']}`.", ""]
        lines += [f"- `{field}`" for field in entry["fields"] if field not in ("apiVersion", "kind")]
    return "\n".join(lines) + "\n"


def pages() -> dict[Path, str]:
    """Every page of the reference by its path in the repository."""
    found = {}
    for name, example in (("tenantprofile", "minimal"), ("policytemplate", "policytemplate-egress-proxy")):
        source = f"crds/tenantprofile.dev_{name}s.yaml"
        crd = yaml.safe_load((ROOT / source).read_text(encoding="utf-8"))
        text = (ROOT / "examples" / f"{example}.yaml").read_text(encoding="utf-8")
        found[REFERENCE / f"{name}.md"] = crd_page(crd, source, text)
    found[REFERENCE / "exit-codes.md"] = exit_codes_page()
    found[REFERENCE / "outputs.md"] = outputs_page()
    found[REFERENCE / "lint-rules.md"] = lint_rules_page()
    found[REFERENCE / "commands.md"] = reference_pages.commands_page()
    found[REFERENCE / "template-language.md"] = reference_pages.language_page()
    found[REFERENCE / "metrics.md"] = reference_pages.metrics_page()
    found[REFERENCE / "reasons.md"] = reference_pages.reasons_page()
    found[REFERENCE / "templates.md"] = templates_page(load_folder(ROOT / "templates", built_in=True))
    return found


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if a page is stale")
    check = parser.parse_args(arguments).check
    try:
        wanted = pages()
    except (MissingDescriptionError, TemplateError, RenderError, reference_pages.StaleReasonError) as error:
        print(error, file=sys.stderr)
        return 2
    there = {path.relative_to(ROOT) for path in (ROOT / REFERENCE).glob("*.md")}
    stale = 0
    for path, text in wanted.items():
        file = ROOT / path
        if path in there and file.read_text(encoding="utf-8") == text:
            continue
        stale += 1
        if check:
            print(f"{path} is not what its source says; run: python docs/generate.py", file=sys.stderr)
        else:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
            print(f"wrote {path}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
