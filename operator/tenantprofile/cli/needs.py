"""`tenantprofile needs`: the flows that other objects need, and which of them policies cut."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import click
import yaml

from tenantprofile.cli.output import (
    chosen,
    counted,
    data_text,
    document,
    output_option,
    read_world,
    say,
    settings_of,
    stop,
    world_options,
)
from tenantprofile.connectivity.needs import Need
from tenantprofile.connectivity.needs import entries as entries_of
from tenantprofile.connectivity.needs import needs as found_in

_STATES: Final = ("cut", "unknown", "open")


@click.command()
@click.argument("files", nargs=-1, type=click.Path())
@click.option("--all", "everything", is_flag=True, help="List what is open as well.")
@click.option(
    "--entries",
    is_flag=True,
    help="Print what is cut as entries for spec.policies of a TenantProfile, by namespace.",
)
@world_options
@output_option("table", "json", "yaml", "name", also=("text",))
def needs(
    files: tuple[str, ...],
    everything: bool,
    entries: bool,
    kubeconfig: Path | None,
    context: str | None,
    plugin: str,
    output: str,
) -> None:
    """List the flows that other objects need, and say of each whether policies leave it open.

    Webhooks and APIServices need the API server let in, Ingresses, Gateway routes and OpenShift Routes
    their controller, ServiceMonitors and PodMonitors Prometheus, probes the node; pods need DNS, and the
    hosts of ExternalName Services. A flow is open, cut (by which policies), or unknown, where it hangs on
    an address or on pods that the input does not hold. FILES are files or folders; - is standard input;
    with --context or --kubeconfig a cluster is read.

    Exit code 0 when nothing is cut, 1 when something is, 2 when the input cannot be read or names no
    such flow.
    """
    reading = read_world(files, kubeconfig, context, extra=True)
    assembly = reading.assembly
    given = chosen(assembly)
    found = found_in((item.raw for item in assembly.objects), assembly.world, settings_of(plugin))
    found = [need for need in found if given.concerns(need.namespace)]
    say(reading.notes)
    if not found:
        stop(
            "no object in the input says that a flow is needed; expected pods, webhooks, Ingresses and the like"
        )
    if entries:
        click.echo(_entries(found))
    elif output == "name":
        click.echo(
            "\n".join(dict.fromkeys(need.pods for need in found if everything or need.state != "open"))
        )
    elif output == "table":
        click.echo("\n".join(_lines(found, everything)))
    else:
        data = {"summary": _counts(found), "needs": [need.data() for need in found]}
        click.echo(data_text(document("NeedList", data), output))
    raise SystemExit(1 if any(need.state == "cut" for need in found) else 0)


def _counts(found: Sequence[Need]) -> dict[str, int]:
    return {state: sum(need.state == state for need in found) for state in _STATES}


def _lines(found: Sequence[Need], everything: bool) -> Iterator[str]:
    for need in found:
        if need.state == "open" and not everything:
            continue
        where = f", {need.protocol} {need.port}" if need.port else ""
        ends = (need.caller, need.pods) if need.direction == "Ingress" else (need.pods, need.caller)
        yield f"{need.state}: {ends[0]} → {ends[1]}{where}"
        yield f"  needed by: {'; '.join(need.by)}"
        yield f"  because: {need.reason}"
    counts = _counts(found)
    yield f"{counted(len(found), 'flow')} needed: {', '.join(f'{counts[s]} {s}' for s in _STATES)}"


def _entries(found: Sequence[Need]) -> str:
    blocks = []
    for namespace, listed in entries_of(found).items():
        text = yaml.safe_dump(listed, sort_keys=False, allow_unicode=True).rstrip()
        blocks.append(f"# for namespace {namespace}\n{text}")
    return "\n".join(blocks) or "# nothing is cut that a built-in template could open"
