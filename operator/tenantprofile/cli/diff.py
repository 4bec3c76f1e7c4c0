"""`tenantprofile diff`: what a change means, in connections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from tenantprofile.analysis.listing import ChangedRow, changes
from tenantprofile.analysis.world import InputError, assemble
from tenantprofile.cli.options import selector_option, wishes
from tenantprofile.cli.output import (
    Reading,
    counted,
    csv_text,
    data_text,
    document,
    markdown_table,
    output_option,
    read_world,
    say,
    settings_of,
    stop,
    table,
    with_labels,
    world_options,
)

HEADER = ("change", "source", "destination", "ports")


@click.command()
@click.argument("inputs", metavar="[OLD] NEW", nargs=-1, type=click.Path())
@click.option(
    "--with",
    "shared",
    multiple=True,
    metavar="FILES",
    help="Files or folders that belong to both sides, such as Namespaces and workloads. Repeatable.",
)
@world_options
@selector_option("connections with an end at pods")
@output_option("table", "wide", "json", "yaml", "name", "markdown", "csv")
def diff(
    inputs: tuple[str, ...],
    shared: tuple[str, ...],
    kubeconfig: Path | None,
    context: str | None,
    plugin: str,
    output: str,
) -> None:
    """Say which connections are gained and which are lost from OLD to NEW.

    OLD and NEW are files or folders, or - for standard input, with NetworkPolicies or TenantProfiles
    and the Namespaces and workloads that they concern (or those with --with). With --context or
    --kubeconfig, OLD is the cluster and only NEW is given: what would change if it were applied.
    -f FILE is NEW as well.
    Two texts that differ and mean the same have no difference.

    Exit code 0 when both mean the same, 1 when they do not, 2 when one cannot be read.
    """
    live = kubeconfig is not None or context is not None
    given = wishes()
    if given.filenames and len(inputs) < (1 if live else 2):
        inputs = (*inputs, "")  # NEW is what -f names
    if len(inputs) != (1 if live else 2):
        stop(
            f"found {counted(len(inputs), 'input')}; expected "
            + ("NEW alone beside a cluster" if live else "OLD and NEW, or a cluster and NEW")
        )
    new = read_world((*filter(None, inputs[-1:]), *shared), kubeconfig, context)
    old = _cluster_of(new) if live else read_world((inputs[0], *shared), None, None, filenames=False)
    for name, side in (("OLD", old), ("NEW", new)):
        if not side.assembly.world.workloads:
            stop(f"{name} has no pods or workloads, between which connections could be; add them by --with")
    worlds = (old.assembly.world, new.assembly.world)
    found = list(changes(*worlds, settings_of(plugin)))
    for name in given.namespaces:
        if not any(name in world.namespaces for world in worlds):
            stop(f"--namespace: found {name!r}, which neither side has")
    wanted = set(with_labels((one.row for one in found), worlds, given.selector))
    found = [
        one
        for one in found
        if one.row in wanted
        and (given.concerns(one.row.source_namespace) or given.concerns(one.row.destination_namespace))
    ]
    say(_notes(old, new))
    click.echo(_printed(found, output))
    raise SystemExit(1 if found else 0)


def _cluster_of(reading: Reading) -> Reading:
    """The cluster by itself, from the same reading: what changes there meanwhile is no difference."""
    sources = reading.sources
    objects = [item for item in sources.objects if not item.origin.is_file]
    try:
        return Reading(replace(sources, notes=[]), assemble([*objects, *sources.replaced]))
    except InputError as error:
        stop(str(error))


def _notes(old: Reading, new: Reading) -> list[str]:
    before = [f"OLD: {note}" for note in old.notes if note not in new.notes]
    return [*before, *(f"NEW: {note}" for note in new.notes)]


def _printed(found: Sequence[ChangedRow], form: str) -> str:
    rows = [(one.sign, one.row.source, one.row.destination, str(one.row.ports)) for one in found]
    gained = sum(one.sign == "gained" for one in found)
    if form in ("json", "yaml"):
        data = {
            "gained": [one.row.data() for one in found if one.sign == "gained"],
            "lost": [one.row.data() for one in found if one.sign == "lost"],
        }
        return data_text(document("ConnectionDiff", data), form)
    if form == "csv":
        return csv_text(HEADER, rows)
    if form == "name":
        return "\n".join(dict.fromkeys(end for one in found for end in (one.row.source, one.row.destination)))
    if not found:
        return "no difference: both allow the same connections"
    if form == "wide":
        spaces = [(one.row.source_namespace or "-", one.row.destination_namespace or "-") for one in found]
        wide = [(*row, *space) for row, space in zip(rows, spaces, strict=True)]
        shown = table((*HEADER, "source namespace", "destination namespace"), wide)
    else:
        shown = (table if form == "table" else markdown_table)(HEADER, rows)
    return f"{shown}\n\n{counted(gained, 'connection')} gained, {len(found) - gained} lost"
