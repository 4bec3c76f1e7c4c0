"""`tenantprofile lint`: what is wrong or doubtful in policies, profiles and templates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import click

from tenantprofile import __version__
from tenantprofile.cli import complete
from tenantprofile.cli.options import (
    Wishes,
    cluster_options,
    operator_namespace_option,
    output_option,
    reading_options,
    selector_option,
    wishes,
)
from tenantprofile.cli.output import data_text, document, named, read_files, resource_name, say, stop
from tenantprofile.cli.progress import working
from tenantprofile.cli.sources import SourceError, Sources
from tenantprofile.input.objects import SourceObject
from tenantprofile.linting.catalogue import RULES, SEVERITIES, UnknownRuleError, choose
from tenantprofile.linting.data import as_data, rules_as_data
from tenantprofile.linting.judge import Result
from tenantprofile.linting.judge import lint as judge
from tenantprofile.linting.placed import Placed
from tenantprofile.linting.sarif import as_sarif
from tenantprofile.linting.text import as_markdown, as_text, rules_as_markdown, rules_as_text
from tenantprofile.linting.waivers import is_date
from tenantprofile.policy.findings import Severity

Output = Literal["table", "wide", "json", "yaml", "name", "markdown", "sarif"]


@click.command()
@click.argument("files", nargs=-1, type=click.Path())
@reading_options
@cluster_options
@click.option("--list", "list_rules", is_flag=True, help="List the rules, and judge nothing.")
@selector_option("objects")
@click.option(
    "--select",
    multiple=True,
    shell_complete=complete.rules,
    metavar="RULE",
    help="Judge by these rules or groups only.",
)
@click.option(
    "--enable", multiple=True, shell_complete=complete.rules, metavar="RULE", help="Judge by these as well."
)
@click.option(
    "--disable", multiple=True, shell_complete=complete.rules, metavar="RULE", help="Do not judge by these."
)
@click.option(
    "--fail-on",
    type=click.Choice([*SEVERITIES, "never"]),
    default="warning",
    show_default=True,
    help="The mildest finding for which the exit code is 1.",
)
@click.option(
    "--complete",
    "everything",
    is_flag=True,
    help="The input is all there is: a peer that nothing in it matches is a finding. Always so"
    " for a cluster.",
)
@click.option("--show-waived", is_flag=True, help="Print waived findings as well (table).")
@operator_namespace_option
@click.option("--today", metavar="DATE", help="The day for which waivers are judged, if not this one.")
@output_option("table", "wide", "json", "yaml", "name", "markdown", "sarif")
def lint(
    files: tuple[str, ...],
    kubeconfig: Path | None,
    context: str | None,
    list_rules: bool,
    select: tuple[str, ...],
    enable: tuple[str, ...],
    disable: tuple[str, ...],
    fail_on: Severity | Literal["never"],
    everything: bool,
    show_waived: bool,
    operator_namespace: str,
    today: str | None,
    output: Output,
) -> None:
    """Find what is wrong or doubtful in NetworkPolicies, TenantProfiles and PolicyTemplates.

    FILES are files, folders, or - for standard input. Namespaces, pods, workloads and Services among them
    let more rules find something. --select, --enable and --disable take ids of rules or names of groups,
    several with commas or by repeating the option.

    Exit code 0 when nothing of the --fail-on severity or worse is found, 1 when there is, 2 when lint
    could not run or there is nothing to judge.
    """
    try:
        chosen = choose(_names(select), _names(enable), _names(disable))
    except UnknownRuleError as error:
        stop(f"{error}; see tenantprofile lint --list")
    if list_rules:
        click.echo(_rules(output))
        return
    if not named(files) and kubeconfig is None and context is None:
        stop("nothing to judge; give files, folders or - for standard input, or a cluster with --context")
    if today is not None and not is_date(today):
        stop(f"--today: found {today!r}; expected a date like 2027-01-31")
    try:
        sources = read_files(files, kubeconfig=kubeconfig, context=context)
    except SourceError as error:
        stop(str(error))
    day = today or datetime.now(UTC).date().isoformat()
    with working("judging"):
        result = judge(sources.objects, day, chosen, everything or bool(sources.cluster), operator_namespace)
    say(sources.notes)
    if not result.judged and not result.findings and not result.waived:
        stop(f"there is nothing to judge: {_nothing(sources)}")
    result = _about(result, wishes())
    click.echo(_printed(result, output, show_waived))
    if fail_on != "never" and result.reaches(fail_on):
        raise SystemExit(1)


def _about(result: Result, given: Wishes) -> Result:
    """What is found in the namespaces of -n, and of objects that -l chooses."""

    def is_meant(placed: Placed) -> bool:
        item = placed.item
        home = item.name if item.kind == "Namespace" else item.namespace
        spaces = {home} if home else set(placed.namespaces)
        return (not spaces or any(map(given.concerns, spaces))) and given.selector.matches(
            {str(key): str(value) for key, value in labels_of(item).items()}
        )

    return replace(
        result,
        findings=tuple(filter(is_meant, result.findings)),
        waived=tuple(filter(is_meant, result.waived)),
    )


def labels_of(item: SourceObject) -> Mapping[Any, Any]:
    """An object's labels, which may be malformed."""
    labels = item.metadata.get("labels")
    return labels if isinstance(labels, Mapping) else {}


def _names(given: tuple[str, ...]) -> list[str]:
    return [name.strip() for names in given for name in names.split(",") if name.strip()]


def _nothing(sources: Sources) -> str:
    """Why there is nothing to judge, with what there is instead."""
    kinds = Counter(item.kind for item in sources.objects)
    there = ", ".join(f"{number} {kind}" for kind, number in kinds.most_common(5))
    return (
        "no NetworkPolicy, TenantProfile or PolicyTemplate in the input, which holds"
        f" {there or 'no Kubernetes object'}{', …' if len(kinds) > 5 else ''}"
    )


def _printed(result: Result, output: Output, show_waived: bool) -> str:
    if output in ("table", "wide"):
        return as_text(result, show_waived=show_waived or output == "wide")
    if output == "name":
        return "\n".join(dict.fromkeys(resource_name(placed.item) for placed in result.findings))
    if output == "markdown":
        return as_markdown(result)
    return data_text(
        as_sarif(result, __version__) if output == "sarif" else document("LintReport", as_data(result)),
        "yaml" if output == "yaml" else "json",
    )


def _rules(output: Output) -> str:
    if output in ("table", "wide"):
        return rules_as_text()
    if output == "name":
        return "\n".join(RULES)
    if output == "markdown":
        return rules_as_markdown()
    if output == "sarif":
        stop("--list has no SARIF output; the SARIF output of a run has the rules")
    return data_text(
        document("LintRuleList", {"rules": rules_as_data()}), "yaml" if output == "yaml" else "json"
    )
