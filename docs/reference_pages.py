"""Reference pages of what the code says by itself: commands and exit codes, metrics, reasons.

Used by docs/generate.py. The meaning of a reason is written here, because it is for readers; that every reason of the
code has one, and that none is left over, is checked against the source.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click

from tenantprofile.analysis.following import Following
from tenantprofile.auditor.metrics import Metrics as AuditMetrics
from tenantprofile.auditor.metrics import Present as AuditPresent
from tenantprofile.cli.main import main as cli
from tenantprofile.rendering import builtin_filters, shape_filters

ROOT: Final = Path(__file__).resolve().parent.parent
CODE: Final = ROOT / "operator" / "tenantprofile"


class StaleReasonError(ValueError):
    """A reason of the code that no page explains, or one on the page that the code does not have."""


# --- commands ---


def commands_page() -> str:
    """Every command with its options, types, defaults and environment variables, as click knows them."""
    parts = [
        "# Commands and flags",
        _generated_from("operator/tenantprofile/cli/"),
        "`tenantprofile COMMAND --help` says the same. Every flag can be given in the environment as well; the variable"
        " is named with each. The commands are also installed as `kubectl tenantprofile`.",
        _table(
            ["Command", "What it does"],
            [
                [f"[`{name}`](#tenantprofile-{name})", _paragraphs(c)[0]]
                for name, c in sorted(cli.commands.items())
                if not c.hidden
            ],
        ),
    ]
    for name, command in sorted(cli.commands.items()):
        if command.hidden:
            continue
        parts += _command(name, command)
    return "\n\n".join(parts) + "\n"


def _command(name: str, command: click.Command) -> Iterator[str]:
    context = click.Context(command, info_name=f"tenantprofile {name}")
    yield f"## tenantprofile {name}"
    usage = " ".join(command.collect_usage_pieces(context))
    yield f"```text\ntenantprofile {name} {usage}\n```"
    yield "\n\n".join(_escape(text) for text in _paragraphs(command))
    if (ROOT / "docs" / "commands" / f"{name}.md").is_file():
        yield f"With examples: [{name}](../commands/{name}.md)."
    rows = []
    for parameter in command.params:
        if not isinstance(parameter, click.Option) or parameter.hidden:
            continue
        rows.append(
            [
                ", ".join(f"`{flag}`" for flag in [*parameter.opts, *parameter.secondary_opts]),
                "flag" if parameter.is_flag else _type(parameter),
                _default(parameter),
                _escape(parameter.help or ""),
                f"`{_variable(name, parameter)}`",
            ]
        )
    if rows:
        yield _table(["Flag", "Takes", "Default", "What it says", "In the environment"], rows)


def _type(option: click.Option) -> str:
    kind = option.type
    if isinstance(kind, click.Choice):
        return " or ".join(f"`{choice}`" for choice in kind.choices)
    if isinstance(kind, click.IntRange | click.FloatRange):
        bounds = [f"from {kind.min}"] if kind.min is not None else []
        bounds += [f"to {kind.max}"] if kind.max is not None else []
        return " ".join(["number", *bounds])
    if isinstance(kind, click.Path):
        return "file"
    return {"integer": "number", "float": "number"}.get(kind.name, "text")


def _default(option: click.Option) -> str:
    if option.required:
        return "**required**"
    if option.is_flag or not isinstance(option.default, str | int | float) or option.default == "":
        return (
            f"`{option.opts[0] if option.default else option.secondary_opts[0]}`"
            if option.secondary_opts
            else ""
        )
    return f"`{option.default}`"


def _variable(command: str, option: click.Option) -> str:
    return f"TENANTPROFILE_{command}_{option.name}".upper().replace("-", "_")


def _paragraphs(command: click.Command) -> list[str]:
    return [
        " ".join(text.split())
        for text in (command.help or "").replace("\b", "").split("\n\n")
        if text.strip()
    ]


def _escape(text: str) -> str:
    """Plain text of a help as Markdown: what looks like markup is no markup."""
    return re.sub(r"(?<!`)([*_<>\[\]])", r"\\\1", text)


# --- metrics ---


def audit_metrics() -> list[tuple[str, str, str, str]]:
    """Name, type, labels and meaning of every metric of the continuous audit, by name."""
    following = Following()
    nothing = following.judge(following.snapshot(), "2026-01-31")
    audit = AuditMetrics()
    audit.registry.register(
        AuditPresent(lambda: nothing, {"pods": float}, {"pods": lambda: None}, {"pods": int}, float, bool)
    )
    found = []
    for family in audit.registry.collect():
        labels = sorted({label for sample in family.samples for label in sample.labels} - {"le"})
        name = family.name + {"counter": "_total", "info": "_info"}.get(family.type, "")
        kind = "gauge" if family.type == "info" else family.type
        found.append((name, kind, ", ".join(f"`{label}`" for label in labels), family.documentation))
    return sorted(found)


# --- reasons ---

#: Reason: what it means, and what to do.
PROBLEMS: Final[dict[str, tuple[str, str]]] = {
    "ApplyFailed": (
        "The API server refused a write, or gave no answer.",
        "Read the message: it is the API server's.",
    ),
    "AssertionFailed": (
        "The policies would violate one of `spec.assertions`. Those from before the change stay in force.",
        "Correct the policies or the assertion; the message names the connection.",
    ),
    "BeingDeleted": (
        "Somebody deleted the policy, and finalizers keep it. It is created again as soon as it is gone.",
        "Remove the finalizers.",
    ),
    "ChangedOnWrite": (
        "The API server stored something else than was sent.",
        "Exempt the operator from the webhook or admission policy that changes NetworkPolicies.",
    ),
    "Conflict": (
        "A foreign policy has the name that the profile needs. The namespace is not protected by that entry.",
        "Rename or delete it, hand it over with the annotation `tenantprofile.dev/adopt`, or set"
        " `spec.conflicts: Replace`.",
    ),
    "Contested": (
        "Somebody keeps changing or deleting the policy.",
        "Take the right to write NetworkPolicies away from the field manager in the message.",
    ),
    "Drifted": (
        "Others changed the policy, and it is left as it is: `spec.drift` is `Report`, or the entry does not render.",
        "Look at the change; `drift: Repair` puts it back.",
    ),
    "HeldByFinalizer": (
        "The operator deleted the policy, and finalizers keep it in force.",
        "Remove the finalizers.",
    ),
    "InvalidParameters": (
        "The template's schema refuses a parameter.",
        "Correct it; the message names field, value and what would be right.",
    ),
    "InvalidSpec": ("The profile cannot be read.", "Correct the fields that the message names."),
    "PolicyRefused": (
        "The template rendered a policy that may not be applied, because it means something else than it says.",
        "Correct the template; the message names the field, the rule and the line.",
    ),
    "QuotaExceeded": (
        "A ResourceQuota does not admit the policy.",
        "Raise `count/networkpolicies.networking.k8s.io` in the namespace.",
    ),
    "RenderFailed": (
        "The template could not be carried out, or takes too long.",
        "Correct the template; the message names the line or the limit.",
    ),
    "TemplateInvalid": (
        "The PolicyTemplate exists and cannot be used.",
        "Correct it; `kubectl get policytemplates -o wide` and its status say why.",
    ),
    "TemplateNotFound": ("No template has that name.", "Correct the name, or create the PolicyTemplate."),
}

#: Condition, reason: what it means.
CONDITIONS: Final[dict[tuple[str, str], str]] = {
    ("Ready", "Applied"): "True: every policy of every selected namespace is as desired.",
    ("Ready", "NoNamespaces"): "False: the selector matches no namespace.",
    ("Ready", "Progressing"): "False: some namespaces have not been looked at since the last change.",
    ("Ready", "Suspended"): "Unknown: `spec.suspend` is true, and nothing is written.",
    ("Progressing", "Applying"): "True: namespaces are still to come.",
    ("Progressing", "Settled"): "False: nothing is waiting to be done.",
    ("Progressing", "Suspended"): "False: `spec.suspend` is true.",
    ("Degraded", "AsExpected"): "False: no problem is known.",
    ("Degraded", "Suspended"): "True: the profile is suspended, and not every policy is as desired.",
}
TEMPLATE_CONDITIONS: Final[dict[tuple[str, str], str]] = {
    ("Ready", "Valid"): "True: the template can be used.",
    ("Ready", "TemplateInvalid"): "False: it cannot be used; the message says why.",
    ("Ready", "NameTaken"): "False: a built-in template has this name.",
}

#: Reason: type, on which objects, meaning. Every problem is an Event of type Warning as well.
EVENTS: Final[dict[str, tuple[str, str, str]]] = {
    "PoliciesCreated": ("Normal", "profile, namespace", "Policies were created in a namespace."),
    "PoliciesDeleted": ("Normal", "profile", "A policy that no profile asks for any more was deleted."),
    "PolicyAdopted": (
        "Normal",
        "profile",
        "A foreign policy was taken over, because its annotation says so.",
    ),
    "PolicyRepaired": (
        "Normal; Warning on the namespace",
        "profile, namespace",
        "A policy that somebody had changed or deleted was put right. The message says what changed, and by whom.",
    ),
    "PolicyReplaced": (
        "Warning",
        "profile, namespace",
        "A foreign policy was replaced (`conflicts: Replace`). The message holds what stood there.",
    ),
    "Recovered": ("Normal", "profile", "The profile is not Degraded any more."),
}

_SPEAKERS: Final = {
    "Condition",
    "Failed",
    "Problem",
    "Refusal",
    "RenderError",
    "_on_namespace",
    "_refusal",
    "failed",
    "normal",
    "problem",
    "tell",
    "warning",
}
"""Functions of the code that take a reason."""
_NO_REASON: Final = {
    "Degraded",
    "False",
    "Namespace",
    "PolicyTemplate",
    "Ready",
    "TenantProfile",
    "True",
    "Unknown",
}
_REASON: Final = re.compile(r"(?:[A-Z][a-z]+)+")


def reasons_of_the_code() -> set[str]:
    """Every string of the code that is said as a reason: given to a function that takes one, or assigned as one."""
    found: set[str] = set()
    for folder in ("controller", "planning", "rendering"):
        for file in sorted((CODE / folder).glob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                found.update(text for text in _said(node) if _REASON.fullmatch(text))
    return found - _NO_REASON


def _said(node: ast.AST) -> Iterator[str]:
    values: list[ast.expr] = []
    if isinstance(node, ast.Call):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        values = list(node.args) if name in _SPEAKERS else []
    elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if any("reason" in ast.unparse(t).lower() or ast.unparse(t) == "ASSERTION_FAILED" for t in targets):
            values = [node.value]
    elif isinstance(node, ast.Dict):
        # What the process that renders answers: {"kind": reason, "message": …}.
        keys = [k.value for k in node.keys if isinstance(k, ast.Constant)]
        if {"kind", "message"} <= set(keys) and "apiVersion" not in keys:
            values = [node.values[keys.index("kind")]]
    for value in values:
        for part in ast.walk(value) if isinstance(value, ast.IfExp | ast.Tuple) else (value,):
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                yield part.value


def reasons_page() -> str:
    """Reasons of conditions, problems and Events. Raises StaleReasonError."""
    told = {*PROBLEMS, *EVENTS, *(reason for _, reason in [*CONDITIONS, *TEMPLATE_CONDITIONS])}
    there = reasons_of_the_code()
    if there != told:
        raise StaleReasonError(
            f"docs/reference_pages.py: not explained: {sorted(there - told)}; not in the code: {sorted(told - there)}"
        )
    return (
        "\n\n".join(
            [
                "# Reasons",
                _generated_from("operator/tenantprofile/ and docs/reference_pages.py"),
                "A reason is one word for programs and people. The same word stands in a condition, in"
                " `status.problems`, in the Event and in the log.",
                "## Problems",
                "In `status.problems`, as the reason of `Ready` (False) and `Degraded` (True), and as Warning Events on"
                " the profile and the namespace. Policies that were in force stay in force.",
                _table(
                    ["Reason", "Meaning", "What to do"],
                    [[f"`{reason}`", *texts] for reason, texts in sorted(PROBLEMS.items())],
                ),
                "## Conditions of a TenantProfile",
                _conditions(CONDITIONS),
                "## Conditions of a PolicyTemplate",
                _conditions(TEMPLATE_CONDITIONS),
                "## Events",
                "Beside one Warning for each problem above:",
                _table(
                    ["Reason", "Type", "On", "Meaning"],
                    [[f"`{reason}`", *texts] for reason, texts in sorted(EVENTS.items())],
                ),
            ]
        )
        + "\n"
    )


def _conditions(found: dict[tuple[str, str], str]) -> str:
    return _table(
        ["Condition", "Reason", "Meaning"],
        [[f"`{kind}`", f"`{reason}`", text] for (kind, reason), text in found.items()],
    )


# --- the language of templates ---


def language_page() -> str:
    """What a template may use: facts, filters and tests."""
    shapes = sorted(shape_filters.FILTERS)
    general = sorted(name for name in set(builtin_filters.FILTERS) - set(shapes) if name.isidentifier())
    # What a template writes as a call or a method is a filter with a mark within.
    marked = {name[1:] for name in builtin_filters.FILTERS if name.startswith("$")} - {
        "concat",
        "created",
        "each",
    }
    functions, methods = sorted(marked & {"fail", "range"}), sorted(marked - {"fail", "range"})
    return (
        "\n\n".join(
            [
                "# Template language",
                _generated_from("operator/tenantprofile/rendering/"),
                "A template's body is YAML of one NetworkPolicy spec, with Jinja in it: `{{ … }}` prints a value,"
                " `{% if %}`, `{% for %}` and `{% set %}` are there, and so is `{# … #}`. A value is printed as exactly"
                " one YAML value, whatever characters it has. How to write one:"
                " [write a template](../how-to/write-template.md); what keeps it from doing harm:"
                " [security](../../SECURITY.md#templates).",
                "## What it sees",
                _table(
                    ["Name", "What it is"],
                    [
                        ["`params`", "the parameters, checked against the schema, with defaults"],
                        [
                            "`namespace.name`, `namespace.labels`, `namespace.annotations`",
                            "of the namespace that it renders for",
                        ],
                        ["`profile.name`, `profile.parameters`", "of the profile that uses it"],
                    ],
                ),
                "A name, label or parameter that is not there is an error; `is defined` and `default` ask first.",
                "## Filters that make parts of a policy",
                _table(
                    ["Filter", "What it makes"],
                    [[f"`{name}`", _first(getattr(shape_filters, name).__doc__)] for name in shapes],
                ),
                "All of them refuse an empty list, because an empty list of peers or ports allows everything.",
                "## Other filters",
                ", ".join(f"`{name}`" for name in general),
                "They mean what they mean in Jinja, and what they return is bounded.",
                "## Functions and methods",
                f"Functions: {', '.join(f'`{name}`' for name in functions)}. `fail('…')` ends the rendering with a"
                " message of your own.",
                f"Methods of texts and maps: {', '.join(f'`{name}`' for name in methods)}, as in Python.",
                "## Tests",
                ", ".join(f"`{name}`" for name in sorted(builtin_filters.TESTS) if name.isidentifier()),
            ]
        )
        + "\n"
    )


def _first(text: str | None) -> str:
    return " ".join((text or "").split())


# --- form ---


def _generated_from(source: str) -> str:
    return f"<!-- Generated from {source} by docs/generate.py; edit that, not this page. -->"


def _table(header: list[str], rows: list[list[Any]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        "| " + " | ".join(" ".join(str(text).split()).replace("|", "\\|") for text in line) + " |"
        for line in lines
    )
