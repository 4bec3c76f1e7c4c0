"""`tenantprofile run`: the operator."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import uuid
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal

import click

from tenantprofile.cli import logs
from tenantprofile.cli.options import certificate_option, log_options, port_option

GC_THRESHOLDS: Final = (20_000, 50, 100)
"""Allocations, and collections of the younger generations, before a collection begins. With Python's defaults (700, 10,
10) an adoption spends 8 % of its processor time on looking for garbage (py-spy --native)."""


@click.command()
@click.option(
    "--kubeconfig",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Run outside a cluster, with this kubeconfig file. Without it: the pod's service account.",
)
@click.option("--context", help="The context in the kubeconfig file; its current context by default.")
@click.option(
    "--operator-namespace",
    "--namespace",
    "namespace",
    envvar=["TENANTPROFILE_RUN_OPERATOR_NAMESPACE", "TENANTPROFILE_RUN_NAMESPACE", "POD_NAMESPACE"],
    default="tenantprofile-system",
    show_default=True,
    help="The operator's own namespace: holds the lease, and is left out of every profile.",
)
@click.option(
    "--identity",
    envvar=["TENANTPROFILE_RUN_IDENTITY", "POD_NAME"],
    help="The name under which this process asks for the lease; unique per process. In a pod, its name.",
)
@click.option(
    "--leader-elect/--no-leader-elect",
    default=True,
    show_default=True,
    help="Write only while holding the lease; without, a second operator must be kept away otherwise.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 500),
    default=32,
    show_default=True,
    help="Namespaces worked on at once, in a fan-out with one write each; half as many more are for new namespaces"
    " and repairs only.",
)
@click.option(
    "--connections",
    type=click.IntRange(1, 1000),
    default=48,
    show_default=True,
    help="Connections to the API server, and so the most requests in flight.",
)
@click.option(
    "--comparison-interval",
    type=click.FloatRange(min=5),
    default=600.0,
    show_default=True,
    help="Seconds between two comparisons with the whole cluster, besides the watches (with jitter).",
)
@port_option("--probe-port", 8080, "Port of /livez and /readyz; 0 for none.")
@port_option(
    "--metrics-port",
    0,
    "Port of /metrics for Prometheus; 0 for none. The monitoring component and the chart use 9090.",
)
@certificate_option(
    "--metrics-cert",
    "Serve /metrics over TLS with this certificate, and --metrics-key. Read again when the files change.",
)
@certificate_option("--metrics-key", "The key of --metrics-cert.")
@click.option(
    "--metrics-secure/--no-metrics-secure",
    default=False,
    show_default=True,
    help="Answer /metrics only for bearer tokens whose owner may get the nonResourceURL /metrics (TokenReview and"
    " SubjectAccessReview). Needs --metrics-cert.",
)
@click.option(
    "--tracing/--no-tracing",
    default=False,
    show_default=True,
    help="Send OpenTelemetry traces, one from each event to the last write for it, as OTLP over HTTP. The"
    " OTEL_* variables say where to. Needs the extra: pip install 'tenantprofile-operator[otel]'.",
)
@log_options()
def run(
    kubeconfig: Path | None,
    context: str | None,
    namespace: str,
    identity: str | None,
    leader_elect: bool,
    workers: int,
    connections: int,
    comparison_interval: float,
    probe_port: int,
    metrics_port: int,
    metrics_cert: Path | None,
    metrics_key: Path | None,
    metrics_secure: bool,
    tracing: bool,
    log_format: Literal["json", "text"],
    log_level: str,
) -> None:
    """Run the operator, in a cluster or outside one.

    It ends on SIGTERM or SIGINT, giving its lease back, and with exit code 2 when it cannot go on.
    """
    # Imported here: the other commands need neither Kopf nor a cluster.
    from tenantprofile.cluster.credentials import CredentialsError
    from tenantprofile.controller.operator import Settings
    from tenantprofile.controller.operator import run as run_operator
    from tenantprofile.controller.tracing import TracingError

    if (metrics_cert is None) != (metrics_key is None):
        raise click.UsageError("--metrics-cert and --metrics-key go together")
    if metrics_secure and metrics_cert is None:
        raise click.UsageError("--metrics-secure needs --metrics-cert: tokens are not sent in the clear")
    if tracing and find_spec("opentelemetry.sdk") is None:
        raise click.UsageError("--tracing needs the extra: pip install 'tenantprofile-operator[otel]'")
    logs.configure(log_format, log_level)
    settings = Settings(
        kubeconfig=kubeconfig,
        context=context,
        namespace=namespace,
        identity=identity or f"{socket.gethostname()}_{os.getpid()}_{uuid.uuid4().hex[:8]}",
        leader_election=leader_elect,
        workers=workers,
        connections=connections,
        comparison_interval=comparison_interval,
        probe_port=probe_port,
        metrics_port=metrics_port,
        metrics_cert=metrics_cert,
        metrics_key=metrics_key,
        metrics_secure=metrics_secure,
        tracing=tracing,
    )
    gc.set_threshold(*GC_THRESHOLDS)
    try:
        asyncio.run(run_operator(settings))
    except (CredentialsError, TracingError, OSError) as error:
        click.echo(f"tenantprofile run: {error}", err=True)
        raise SystemExit(2) from error
