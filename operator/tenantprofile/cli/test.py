"""`tenantprofile test`: assertions about what must be allowed and what must not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import click

from tenantprofile.analysis.suite import KIND, Outcome, run
from tenantprofile.analysis.world import InputError
from tenantprofile.cli.options import Wishes, selector_option, wishes
from tenantprofile.cli.output import (
    counted,
    data_text,
    document,
    markdown_table,
    output_option,
    paint,
    read_world,
    say,
    settings_of,
    stop,
    world_options,
)
from tenantprofile.input.objects import SourceObject

_COLOURS = {"passed": "green", "skipped": "yellow"}
_SIGNS = {"passed": "PASS", "failed": "FAIL", "error": "ERROR", "skipped": "SKIP"}


@click.command()
@click.argument("files", nargs=-1, type=click.Path())
@world_options
@selector_option("assertions of objects")
@output_option("table", "wide", "json", "yaml", "name", "markdown", "junit")
def test(
    files: tuple[str, ...], kubeconfig: Path | None, context: str | None, plugin: str, output: str
) -> None:
    """Check assertions about which connections are allowed and which are denied.

    FILES are files or folders with assertions (kind NetworkAssertions) and with the objects that they
    are about: Namespaces, Pods, workloads, NetworkPolicies, TenantProfiles and so on; - is standard
    input. With --context or --kubeconfig the objects of a cluster are read as well. TenantProfiles are
    rendered as the operator renders them, and their own spec.assertions are checked, too.

    Exit code 0 when all hold, 1 when one does not, 2 when one could not be decided or the input could
    not be read.
    """
    reading = read_world(files, kubeconfig, context)
    given = wishes()
    assembly = replace(
        reading.assembly,
        objects=tuple(item for item in reading.assembly.objects if _is_asked(item, given)),
        profiles=tuple(pair for pair in reading.assembly.profiles if _is_asked(pair[1], given)),
    )
    try:
        outcomes = list(run(assembly, settings_of(plugin)))
    except InputError as error:
        stop(str(error))
    say([*reading.sources.notes, *reading.assembly.notes])
    if not outcomes:
        stop(
            "no assertions; expected objects of kind NetworkAssertions, or TenantProfiles with spec.assertions"
        )
    click.echo(_printed(outcomes, output))
    statuses = {outcome.result.status for outcome in outcomes}
    raise SystemExit(1 if "failed" in statuses else 2 if "error" in statuses else 0)


def _is_asked(item: SourceObject, given: Wishes) -> bool:
    """Whether the assertions of an object are checked: of -n, and with the labels of -l."""
    if item.kind not in (KIND, "TenantProfile"):
        return True
    labels = item.metadata.get("labels")
    is_here = item.kind != KIND or not item.namespace or given.concerns(item.namespace)
    return is_here and given.selector.matches(labels if isinstance(labels, dict) else {})


def _printed(outcomes: Sequence[Outcome], form: str) -> str:
    totals = Counter(outcome.result.status for outcome in outcomes)
    if form == "junit":
        return _junit(outcomes)
    if form in ("json", "yaml"):
        data: dict[str, Any] = {"assertions": [outcome.data() for outcome in outcomes]}
        data["totals"] = {status: totals[status] for status in _SIGNS}  # type: ignore[index]
        return data_text(document("TestReport", data), form)
    if form == "name":
        return "\n".join(outcome.assertion.name for outcome in outcomes)
    if form == "markdown":
        rows = [
            (_SIGNS[o.result.status], o.assertion.name, o.suite, "<br>".join(_explained(o))) for o in outcomes
        ]
        return markdown_table(("Result", "Assertion", "From", "Why"), rows)
    return "\n".join([*_lines(outcomes, wide=form == "wide"), _summary(totals)])


def _lines(outcomes: Sequence[Outcome], *, wide: bool = False) -> Iterator[str]:
    suite = ""
    for outcome in outcomes:
        if outcome.suite != suite:
            suite = outcome.suite
            yield suite
        result = outcome.result
        count = f"  ({counted(result.checked, outcome.unit)})" if result.status == "passed" else ""
        sign = paint(f"{_SIGNS[result.status]:<5}", _COLOURS.get(result.status, "red"))
        yield f"  {sign} {outcome.assertion.name}{count}"
        if wide and result.status == "passed":
            yield f"        {outcome.place}: {outcome.assertion}"
        for line in _explained(outcome):
            yield f"        {line}"


def _explained(outcome: Outcome) -> Iterator[str]:
    result = outcome.result
    if result.status != "passed":
        yield f"{outcome.place}: {outcome.assertion.expect} expected: {outcome.assertion}"
    if result.message:
        yield result.message
    elif result.status == "failed":
        shown = "; for example" if result.violated > len(outcome.examples) else ""
        yield f"not so for {result.violated} of {counted(result.checked, outcome.unit)}{shown}:"
    for example in outcome.examples:
        yield example.headline
        for reason in example.reasons:
            yield f"  {reason}"


def _summary(totals: Counter[Any]) -> str:
    named = [
        f"{totals[status]} {word}"
        for status, word in (
            ("passed", "passed"),
            ("failed", "failed"),
            ("error", "undecided"),
            ("skipped", "skipped"),
        )
        if totals[status]
    ]
    return f"{counted(sum(totals.values()), 'assertion')}: {', '.join(named)}"


def _junit(outcomes: Sequence[Outcome]) -> str:
    """As the JUnit reporters of CI systems read it: one suite for each object with assertions."""
    root = ElementTree.Element("testsuites", name="tenantprofile")
    suites: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        suites.setdefault(outcome.suite, []).append(outcome)
    for name, members in suites.items():
        counts = Counter(member.result.status for member in members)
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=name,
            tests=str(len(members)),
            failures=str(counts["failed"]),
            errors=str(counts["error"]),
            skipped=str(counts["skipped"]),
        )
        for member in members:
            file, _, line = member.place.rpartition(":")
            case = ElementTree.SubElement(suite, "testcase", classname=name, name=member.assertion.name)
            if line.isdigit():
                case.set("file", file)
                case.set("line", line)
            if member.result.status != "passed":
                tag = {"failed": "failure", "error": "error", "skipped": "skipped"}[member.result.status]
                first = member.examples[0].headline if member.examples else member.result.message
                told = ElementTree.SubElement(case, tag, message=first)
                told.text = "\n".join(_explained(member))
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode")
