"""`tenantprofile status`: the profiles of a cluster at a glance, and why a namespace is not protected."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import click

from tenantprofile.analysis.protection import Answer, answer
from tenantprofile.cli.output import data_text, output_option, stop, table
from tenantprofile.cli.sources import cluster_options
from tenantprofile.names import API_VERSION
from tenantprofile.planning.profile import ProfileError, parse_profile
from tenantprofile.planning.status import condition

PROFILES: Final = f"/apis/{API_VERSION}/tenantprofiles"


@click.command()
@click.argument("profile", required=False)
@click.option("-n", "--namespace", help="Answer why this namespace is, or is not, protected.")
@click.option("--operator-namespace", default="tenantprofile-system", show_default=True)
@cluster_options
@output_option("table", "json", "yaml")
def status(
    profile: str | None,
    namespace: str | None,
    operator_namespace: str,
    kubeconfig: Path | None,
    context: str | None,
    output: str,
) -> None:
    """Show profiles at a glance, or why a namespace is not protected.

    PROFILE limits the answer to one profile. The cluster has to be named with --kubeconfig or --context.

    Exit code 0 when all that was asked for is ready (with -n: some profile protects the namespace and none fails),
    1 when not, 2 when the cluster cannot be read.
    """
    if kubeconfig is None and context is None:
        stop("no cluster is named; use --kubeconfig FILE or --context NAME")
    data = asyncio.run(_read(kubeconfig, context, profile, namespace, operator_namespace))
    if output == "table":
        click.echo("\n".join(_lines(data)))
    else:
        click.echo(data_text(_as_data(data), output))
    raise SystemExit(0 if data["ready"] else 1)


async def _read(
    kubeconfig: Path | None,
    context: str | None,
    profile: str | None,
    namespace: str | None,
    operator_namespace: str,
) -> dict[str, Any]:
    from tenantprofile.cluster.api import Api, ApiError
    from tenantprofile.cluster.credentials import Credentials, CredentialsError

    try:
        credentials = await Credentials.load(kubeconfig, context)
    except CredentialsError as error:
        stop(str(error))
    async with Api(credentials) as api:

        async def listed(path: str) -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = []
            async for page in api.pages(path):
                found.extend(page.items)
            return found

        try:
            profiles = await listed(PROFILES)
        except ApiError as error:
            if error.status == 404:
                stop("the CRD tenantprofiles.tenantprofile.dev is not installed: kubectl apply -f crds/")
            stop(f"the profiles cannot be read: {error}")
        if profile is not None:
            profiles = [item for item in profiles if item["metadata"]["name"] == profile]
            if not profiles:
                stop(f"TenantProfile {profile}: not found")
        data: dict[str, Any] = {
            "namespace": namespace,
            "operator": await _operator(api, operator_namespace),
            "profiles": profiles,
        }
        if namespace is None:
            conditions = [condition(item.get("status") or {}, "Ready") for item in profiles]
            data["ready"] = all(found.get("status") == "True" for found in conditions)
            return data
        try:
            place = f"/api/v1/namespaces/{quote(namespace, safe='')}"
            labels = (await api.get(place))["metadata"].get("labels") or {}
            policies = await listed(
                f"/apis/networking.k8s.io/v1/namespaces/{quote(namespace, safe='')}/networkpolicies"
            )
        except ApiError as error:
            stop(f"namespace {namespace}: {error}")
    answers: list[Answer] = []
    for item in profiles:
        try:
            parsed = parse_profile(item)
        except ProfileError as error:
            answers.append(Answer(str(item["metadata"]["name"]), "failing", (str(error),)))
            continue
        answers.append(
            answer(parsed, item.get("status") or {}, namespace, labels, policies, operator_namespace)
        )
    data["answers"] = answers
    states = {found.state for found in answers}
    data["ready"] = "protected" in states and not states & {"failing", "waiting", "suspended"}
    return data


async def _operator(api: Any, namespace: str) -> str:
    """Whether an operator writes, in words."""
    from tenantprofile.cluster.api import ApiError

    path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/tenantprofile-operator"
    try:
        spec = (await api.get(path)).get("spec") or {}
    except ApiError as error:
        if error.status == 404:
            return f"not running: nobody has ever held the lease {namespace}/tenantprofile-operator"
        return f"unknown: the lease cannot be read ({error.status} {error.reason})"
    holder = spec.get("holderIdentity")
    if not holder:
        return "not running: nobody holds the lease"
    try:
        renewed = datetime.fromisoformat(str(spec.get("renewTime")).replace("Z", "+00:00"))
    except ValueError:
        return f"unknown: {holder} holds the lease"
    age = (datetime.now(UTC) - renewed).total_seconds()
    if age > float(spec.get("leaseDurationSeconds") or 15):
        return f"not running: {holder} renewed the lease {age:.0f} s ago"
    return f"running: {holder} renewed the lease {max(age, 0):.0f} s ago"


def _lines(data: dict[str, Any]) -> list[str]:
    lines = [f"Operator {data['operator']}", ""]
    if data["namespace"] is None:
        rows = []
        for item in data["profiles"]:
            found = item.get("status") or {}
            ready = condition(found, "Ready")
            rows.append(
                (
                    str(item["metadata"]["name"]),
                    str(ready.get("status", "Unknown")),
                    str((found.get("namespaces") or {}).get("summary", "-")),
                    str((found.get("policies") or {}).get("ready", "-")),
                    str(ready.get("reason", "-")),
                    str(ready.get("message", "the operator has not reported on it")),
                )
            )
        return [*lines, table(("name", "ready", "namespaces", "policies", "reason", "message"), rows)]
    for found in data["answers"]:
        lines.append(
            f"{data['namespace']}: {found.state} by profile {found.profile}"
            if found.state == "protected"
            else f"{data['namespace']}: {found.state}, profile {found.profile}"
        )
        lines += [f"  why: {why}" for why in found.why]
        lines += [f"  {what}: {name}" for name, what in found.policies.items() if what != "present"]
        lines += [f"  next: {step}" for step in found.next]
    if not data["answers"]:
        lines.append("there is no TenantProfile in the cluster")
    return lines


def _as_data(data: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "apiVersion": API_VERSION,
        "kind": "Status",
        "operator": data["operator"],
        "ready": data["ready"],
    }
    if data["namespace"] is not None:
        return made | {
            "namespace": data["namespace"],
            "profiles": [found.as_data() for found in data["answers"]],
        }
    return made | {
        "profiles": [
            {"name": item["metadata"]["name"], "status": item.get("status") or {}}
            for item in data["profiles"]
        ]
    }
