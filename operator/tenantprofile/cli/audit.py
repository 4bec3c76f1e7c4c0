"""`tenantprofile audit`: what is covered, what is not, and evidence of it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from tenantprofile.analysis.audit import Audit
from tenantprofile.analysis.audit import audit as audited
from tenantprofile.analysis.evidence import (
    CSV_COLUMNS,
    Circumstances,
    evidence,
    markdown,
    rows,
    share,
    totals,
)
from tenantprofile.analysis.world import OPERATOR_NAMESPACE
from tenantprofile.cli import logs
from tenantprofile.cli.options import certificate_option, log_options, port_option, selector_option
from tenantprofile.cli.output import (
    Reading,
    chosen,
    counted,
    csv_text,
    data_text,
    named,
    output_option,
    read_world,
    say,
    settings_of,
    stop,
    table,
    world_options,
)
from tenantprofile.connectivity.policies import DIRECTIONS

if TYPE_CHECKING:
    from tenantprofile.auditor.process import Settings


@click.command()
@click.argument("files", nargs=-1, type=click.Path())
@click.option(
    "--exclude",
    "excluded",
    multiple=True,
    metavar="NAMESPACE",
    help="Leave a namespace out, for example kube-system; the evidence says so. Repeatable.",
)
@click.option(
    "--system",
    multiple=True,
    metavar="NAMESPACE",
    help="Count a namespace apart, as kube-*, openshift-* and the operator's own are. Repeatable.",
)
@click.option(
    "--serve",
    is_flag=True,
    help="Follow a cluster instead, and serve metrics, a report and a picture until SIGTERM.",
)
@click.option(
    "--round-interval",
    type=click.FloatRange(min=0.1),
    default=10.0,
    show_default=True,
    help="With --serve: the least seconds between two rounds.",
)
@port_option("--probe-port", 8080, "With --serve: port of /healthz and /readyz; 0 for none.")
@port_option(
    "--metrics-port",
    9090,
    "With --serve: port of /metrics, /report.json, /report.md and the picture; 0 for none.",
)
@certificate_option(
    "--metrics-cert", "With --serve: serve that port over TLS with this certificate, and --metrics-key."
)
@certificate_option("--metrics-key", "With --serve: the key of --metrics-cert.")
@click.option(
    "--operator-namespace",
    envvar=["TENANTPROFILE_AUDIT_OPERATOR_NAMESPACE", "POD_NAMESPACE"],
    default=OPERATOR_NAMESPACE,
    show_default=True,
    help="With --serve: the operator's namespace, which is left out of every profile.",
)
@log_options("With --serve: the form of log lines.", "With --serve: the least that is logged.")
@partial(world_options, exclude=("--exclude-file",))
@selector_option("pods")
@output_option("table", "wide", "json", "yaml", "name", "markdown", "csv")
def audit(
    files: tuple[str, ...],
    excluded: tuple[str, ...],
    system: tuple[str, ...],
    serve: bool,
    round_interval: float,
    probe_port: int,
    metrics_port: int,
    metrics_cert: Path | None,
    metrics_key: Path | None,
    operator_namespace: str,
    log_format: Literal["json", "text"],
    log_level: str,
    kubeconfig: Path | None,
    context: str | None,
    plugin: str,
    output: str,
) -> None:
    """Name every pod and namespace that policies do not restrict, in each direction, and what covers the rest.

    There are three levels: open (no policy isolates the pod), open to all (isolated, but its policies
    together allow every peer on every port) and restricted. A namespace is restricted when policies
    restrict every pod in it, also those yet to come. Namespaces of the system are counted apart and do
    not decide the exit code. Policies of
    tenants that let through what a profile's policies stop are listed with what they add. JSON, YAML,
    Markdown and CSV are evidence: with time, versions and digests of what was judged (the time is that
    of SOURCE_DATE_EPOCH where it is set). FILES are files or folders; - is standard input; with
    --context or --kubeconfig a cluster is read. With --serve a cluster is followed, by default the one
    that the process runs in.

    Exit code 0 when everything is restricted, 1 when something is not, 2 when the input cannot be read
    or holds no pod or workload that could be found restricted.
    """
    if serve:
        if named(files):
            stop("--serve follows a cluster; expected no files")
        from tenantprofile.auditor.process import Settings

        logs.configure(log_format, log_level)
        _serve(
            Settings(
                kubeconfig=kubeconfig,
                context=context,
                operator_namespace=operator_namespace,
                excluded=excluded,
                system=system,
                semantics=settings_of(plugin),
                round_interval=round_interval,
                probe_port=probe_port,
                metrics_port=metrics_port,
                metrics_cert=metrics_cert,
                metrics_key=metrics_key,
            )
        )
        return
    reading = read_world(files, kubeconfig, context)
    given = chosen(reading.assembly)
    others = [name for name in reading.assembly.world.namespaces if not given.concerns(name)]
    found = audited(
        reading.assembly, excluded=(*excluded, *others), system=system, settings=settings_of(plugin)
    )
    if not given.selector.is_everything:
        pods = tuple(pod for pod in found.pods if given.selector.matches(pod.workload.labels))
        spaces = {pod.workload.namespace for pod in pods}
        kept = tuple(space for space in found.namespaces if space.name in spaces)
        found = replace(found, pods=pods, namespaces=kept)
        reading.sources.notes.append("only pods that --selector chooses are counted, and their namespaces")
    if not found.pods and not found.namespaces:
        say(reading.notes)
        stop(
            "there is nothing to audit: no pod, workload or namespace in the input, or all of them are excluded"
        )
    if output in ("table", "wide", "name", "csv"):
        say(reading.notes)
    if output in ("table", "wide"):
        click.echo("\n".join(_lines(reading, found)))
    if output == "wide":
        click.echo(
            "\n" + table(CSV_COLUMNS, ([str(cell) for cell in row] for row in rows(reading.assembly, found)))
        )
    elif output == "name":
        open_ones = [*found.open("Ingress"), *found.open("Egress")]
        click.echo("\n".join(dict.fromkeys(str(pod.workload) for pod in open_ones)))
    elif output == "table":
        pass
    elif output == "csv":
        click.echo(csv_text(CSV_COLUMNS, rows(reading.assembly, found)))
    else:
        data = evidence(reading.assembly, found, _circumstances(reading))
        click.echo(markdown(data).rstrip("\n") if output == "markdown" else data_text(data, output))
    if found.complete and not found.countable():
        stop("no pod or workload that policies can govern in the input: only namespaces were judged")
    raise SystemExit(0 if found.complete else 1)


def _serve(settings: Settings) -> None:
    # Imported here: the other uses need no cluster.
    from tenantprofile.auditor.process import run
    from tenantprofile.cluster.credentials import CredentialsError

    try:
        asyncio.run(run(settings))
    except (CredentialsError, OSError) as error:
        stop(str(error))


def _circumstances(reading: Reading) -> Circumstances:
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    try:
        time = datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)
    except (ValueError, OverflowError, OSError):
        stop(f"SOURCE_DATE_EPOCH: found {epoch!r}; expected seconds since 1970")
    sources = reading.sources
    return Circumstances(
        time.strftime("%Y-%m-%dT%H:%M:%SZ"), sources.cluster, sources.digests, tuple(reading.notes)
    )


def _lines(reading: Reading, found: Audit) -> Iterator[str]:
    yield _summary(totals(found))
    if exempt := sum(pod.exempt for pod in found.pods):
        yield f"{counted(exempt, 'pod')} with hostNetwork cannot be covered by any policy"
    if found.system:
        yield ""
        yield f"Namespaces of the system, counted apart: {', '.join(sorted(found.system))}"
        yield _summary(totals(found, system=True))
    for direction in DIRECTIONS:
        name = direction.lower()
        yield from _section(
            f"Namespaces in which a new pod would be open for {name}",
            [space.name for space in found.unguarded(direction)],
        )
        yield from _section(
            f"Namespaces in which a new pod would be isolated but open to all for {name}",
            [space.name for space in found.spaces_at(direction, "open to all")],
        )
        yield from _section(f"Pods open for {name}", [str(pod.workload) for pod in found.open(direction)])
        yield from _section(
            f"Pods isolated but open to all for {name}",
            [str(pod.workload) for pod in found.at(direction, "open to all")],
        )
    yield from _section(
        "Pods with hostNetwork, which no policy can cover", [str(pod.workload) for pod in found.exempt]
    )
    yield from _section(
        "Namespaces of a profile whose Pod Security level lets pods with hostNetwork through",
        list(found.admitting),
    )
    yield from _section("Policies beside the profiles that widen them", list(_widenings(found)))
    cut = [need for need in found.needs if need.state == "cut"]
    yield from _section("Flows that other objects need and policies cut", [need.text for need in cut])
    yield ""
    yield table(("namespace", "pods", "profiles", "templates"), _namespaces(reading, found))


def _summary(total: dict[str, Any]) -> str:
    rows = []
    for direction in ("ingress", "egress"):
        part = total[direction]
        rows.append(
            (
                direction,
                share(part["podsCovered"], total["pods"]),
                str(part["podsOpenToAll"]),
                str(part["podsOpen"]),
                share(part["namespacesCovered"], total["namespaces"]),
            )
        )
    header = ("direction", "pods restricted", "open to all", "open", "namespaces restricted")
    return table(header, rows)


def _section(title: str, items: list[str]) -> Iterator[str]:
    if items:
        yield ""
        yield f"{title} ({len(items)}):"
        yield from (f"  {item}" for item in items)


def _widenings(found: Audit) -> Iterator[str]:
    for one in found.widenings:
        if one.method == "connections":
            gained = counted(one.gained, "connection")
            yield f"{one.policy} ({one.source.item.place()}) adds {gained}: {'; '.join(one.examples)}"
        else:
            yield f"{one.policy} ({one.source.item.place()}) adds the rules {', '.join(one.examples)}"


def _namespaces(reading: Reading, found: Audit) -> Iterator[tuple[str, ...]]:
    templates: dict[str, set[str]] = {}
    for (namespace, _), source in reading.assembly.policies.items():
        if source.template:
            templates.setdefault(namespace, set()).add(source.template)
    for space in found.namespaces:
        used: Any = templates.get(space.name, ())
        yield space.name, str(space.pods), ", ".join(space.profiles) or "-", ", ".join(sorted(used)) or "-"
