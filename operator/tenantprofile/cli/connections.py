"""`tenantprofile connections`: every connection that is allowed, or every one that is not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from tenantprofile.analysis.listing import Row, by_namespace, listing
from tenantprofile.cli.output import (
    csv_text,
    data_text,
    markdown_table,
    output_option,
    read_world,
    say,
    settings_of,
    stop,
    table,
    world_options,
)

HEADER = ("source", "destination", "ports")


@click.command()
@click.argument("files", nargs=-1)
@click.option("--blocked", is_flag=True, help="List what is not allowed instead.")
@click.option(
    "--by",
    type=click.Choice(["workload", "namespace"]),
    default="workload",
    show_default=True,
    help="One row for each pair of workloads, or of namespaces with all that is open between any of"
    " their workloads.",
)
@click.option(
    "--namespace",
    "namespaces",
    multiple=True,
    help="Only connections with an end in this namespace. Repeatable.",
)
@world_options
@output_option("table", "json", "yaml", "markdown", "csv")
def connections(
    files: tuple[str, ...],
    blocked: bool,
    by: str,
    namespaces: tuple[str, ...],
    kubeconfig: Path | None,
    context: str | None,
    plugin: str,
    output: str,
) -> None:
    """List every allowed connection between workloads and address ranges, with its ports.

    FILES are files or folders with Namespaces, Pods, workloads, NetworkPolicies, TenantProfiles and
    PolicyTemplates; - is standard input. With --context or --kubeconfig a cluster is read. The order of
    rows is fixed: by source and then destination, each by namespace, kind and name, addresses last. Where
    there would be millions of rows, each stands for a group that is alike, with its number.

    Exit code 0, or 2 when the input cannot be read or holds no pod or workload.
    """
    reading = read_world(files, kubeconfig, context)
    assembly = reading.assembly
    for name in namespaces:
        if name not in assembly.world.namespaces:
            stop(f"--namespace: found {name!r}; there are {', '.join(assembly.world.namespaces) or 'none'}")
    only = frozenset(namespaces)
    ways = {"namespace": by_namespace, "workload": listing}
    rows = iter(ways[by](assembly, blocked=blocked, settings=settings_of(plugin), only=only))
    say(reading.notes)
    if not assembly.world.workloads:
        stop("no pod or workload in the input, so there is nothing between which connections could be")
    if output in ("json", "yaml"):
        click.echo(data_text({"connections": [row.data() for row in rows]}, output))
    else:
        form = {"table": table, "markdown": markdown_table, "csv": csv_text}[output]
        click.echo(form(HEADER, _texts(rows)))


def _texts(rows: Iterator[Row]) -> Iterator[tuple[str, str, str]]:
    return ((row.source, row.destination, str(row.ports)) for row in rows)
