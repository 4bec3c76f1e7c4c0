"""`tenantprofile explain`: may this connect to that, and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from tenantprofile.analysis.question import Answer, Asked, QuestionError, ask, split_port
from tenantprofile.analysis.world import Assembly
from tenantprofile.assertions.form import parse_port
from tenantprofile.cli.output import (
    chosen,
    data_text,
    document,
    output_option,
    read_world,
    say,
    settings_of,
    stop,
    world_options,
)


@click.command()
@click.argument("source", metavar="FROM")
@click.argument("destination", metavar="TO")
@click.argument("files", nargs=-1, type=click.Path())
@click.option(
    "--port",
    "ports",
    multiple=True,
    help="A port of the destination, such as 8080, 53/UDP or 8080/TCP; of a Service the Service's port."
    " Repeatable. Without it: all ports of the Service, or all there are.",
)
@world_options
@output_option("table", "json", "yaml", also=("text",))
def explain(
    source: str,
    destination: str,
    files: tuple[str, ...],
    ports: tuple[str, ...],
    kubeconfig: Path | None,
    context: str | None,
    plugin: str,
    output: str,
) -> None:
    """Say whether FROM may connect to TO, and which rules on which side decide it.

    FROM and TO are namespace/pod, namespace/deployment/name (or another kind of workload),
    namespace/service/name, namespace/NAME for all its pods, node/NAME, an address, a range such as
    10.0.0.0/8, internet, or a host name; TO may end in :PORT. An address of a Service leads to the pods
    behind it. With -n, a name alone is that of a workload or Service in that namespace. FILES are files or folders with
    Namespaces, Pods, workloads,
    Services, NetworkPolicies, TenantProfiles and PolicyTemplates; - is standard input. With --context
    or --kubeconfig a cluster is read.

    Exit code 0 when there is an answer, whichever it is; 2 when there is none.
    """
    destination, port = split_port(destination)
    asked = [_port(text) for text in (*ports, *([port] if port else []))]
    reading = read_world(files, kubeconfig, context)
    given = chosen(reading.assembly)
    source, destination = (_placed(name, reading.assembly, given.home) for name in (source, destination))
    try:
        answers = list(ask(reading.assembly, source, destination, asked, settings_of(plugin)))
    except QuestionError as error:
        stop(str(error))
    say(reading.notes)
    if output == "table":
        click.echo("\n".join(_lines(answers)))
    else:
        click.echo(
            data_text(
                document("Explanation", {"answers": [a.data(reading.assembly) for a in answers]}), output
            )
        )


def _placed(name: str, assembly: Assembly, namespace: str) -> str:
    """A name without a namespace is that of a workload or Service in the namespace of -n, if it has one so called."""
    if not namespace or "/" in name:
        return name
    names = {w.name for w in assembly.world.workloads if w.namespace == namespace}
    names |= {w.owner[1] for w in assembly.world.workloads if w.namespace == namespace and w.owner}
    if name in names:
        return f"{namespace}/{name}"
    services = {
        item.name for item in assembly.objects if item.kind == "Service" and item.namespace == namespace
    }
    return f"{namespace}/service/{name}" if name in services else name


def _port(text: str) -> Asked:
    try:
        numbers = list(parse_port(text).numbers.ranges())
    except ValueError as error:
        stop(f"--port: {error}")
    if len(numbers) != 1 or numbers[0][1] != numbers[0][2]:
        stop(f"--port: found {text!r}; expected one port such as 8080 or 53/UDP")
    protocol, number, _ = numbers[0]
    return protocol, number


def _lines(answers: Sequence[Answer]) -> Iterator[str]:
    for answer in answers:
        service = f" (port {answer.service_port} of the Service)" if answer.service_port else ""
        alike = f" (the same for {answer.pairs} pairs of pods)" if answer.pairs > 1 else ""
        yield f"{answer.headline}{service}{alike}"
        yield from (f"  {reason}" for reason in answer.reasons)
