"""`tenantprofile connections`: every connection that is allowed, or every one that is not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from tenantprofile.analysis.listing import Row, by_namespace, listing
from tenantprofile.cli.options import selector_option
from tenantprofile.cli.output import (
    chosen,
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

HEADER = ("source", "destination", "ports")
WIDE = (*HEADER, "source namespace", "destination namespace")


@click.command()
@click.argument("files", nargs=-1, type=click.Path())
@click.option("--blocked", is_flag=True, help="List what is not allowed instead.")
@click.option(
    "--by",
    type=click.Choice(["workload", "namespace"]),
    default="workload",
    show_default=True,
    help="One row for each pair of workloads, or of namespaces with all that is open between any of"
    " their workloads.",
)
@world_options
@selector_option("connections with an end at pods")
@output_option("table", "wide", "json", "yaml", "name", "markdown", "csv")
def connections(
    files: tuple[str, ...],
    blocked: bool,
    by: str,
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

    -o name lists the ends of the connections, each once.

    Exit code 0, or 2 when the input cannot be read or holds no pod or workload.
    """
    reading = read_world(files, kubeconfig, context)
    assembly = reading.assembly
    given = chosen(assembly)
    only = frozenset(given.namespaces)
    ways = {"namespace": by_namespace, "workload": listing}
    if not given.selector.is_everything and by == "namespace":
        stop("-l chooses pods; it cannot be combined with --by namespace")
    rows: Iterator[Row] = iter(ways[by](assembly, blocked=blocked, settings=settings_of(plugin), only=only))
    rows = with_labels(rows, (assembly.world,), given.selector)
    say(reading.notes)
    if not assembly.world.workloads:
        stop("no pod or workload in the input, so there is nothing between which connections could be")
    if output in ("json", "yaml"):
        click.echo(
            data_text(document("ConnectionList", {"connections": [row.data() for row in rows]}), output)
        )
    elif output == "name":
        click.echo("\n".join(dict.fromkeys(end for row in rows for end in (row.source, row.destination))))
    elif output == "wide":
        click.echo(table(WIDE, _wide_texts(rows)))
    else:
        form = {"table": table, "markdown": markdown_table, "csv": csv_text}[output]
        click.echo(form(HEADER, _texts(rows)))


def _texts(rows: Iterator[Row]) -> Iterator[tuple[str, str, str]]:
    return ((row.source, row.destination, str(row.ports)) for row in rows)


def _wide_texts(rows: Iterator[Row]) -> Iterator[tuple[str, ...]]:
    for row in rows:
        spaces = (row.source_namespace or "-", row.destination_namespace or "-")
        yield row.source, row.destination, str(row.ports), *spaces
