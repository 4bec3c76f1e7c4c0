"""The guard of a cluster: read, tried by dry-runs, and taken out in the order in which nothing is ever in the way.

Bindings go before policies, and policies before the CRD that their parameters are of: a policy whose paramKind
the API server does not serve refuses every request that it matches, the administrator's too. Admission policies
are themselves never judged by policies of the API, so this works also when everything else is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from tenantprofile.cluster.api import ApiError, Object
from tenantprofile.doctor.connection import Connection, DoctorError
from tenantprofile.enforcement.objects import MANAGER
from tenantprofile.guard.inspection import Installed, bindings_of, gate_selects, inspect, policies_of
from tenantprofile.guard.manifests import stays
from tenantprofile.guard.probes import (
    MARKER,
    NAMESPACE,
    PROBES,
    PROFILE,
    USER,
    Answer,
    Probe,
    Verdict,
    judge,
    setup_problem,
)
from tenantprofile.names import API_VERSION, GROUP, VERSION

_ADMISSION: Final = "/apis/admissionregistration.k8s.io/v1"
POLICIES: Final = f"{_ADMISSION}/validatingadmissionpolicies"
BINDINGS: Final = f"{_ADMISSION}/validatingadmissionpolicybindings"

_NAMESPACE: Final = f"/api/v1/namespaces/{NAMESPACE}"
_PROFILE: Final = f"/apis/{API_VERSION}/tenantprofiles/{PROFILE}"

_FORGOTTEN: Final = 2.0
"""Seconds after which an API server has noticed that a binding is gone: it looks once a second."""


async def read(connection: Connection) -> Installed:
    """All admission policies and bindings. Raises ApiError."""
    policies, bindings, served = await asyncio.gather(
        connection.items(POLICIES), connection.items(BINDINGS), _serves_profiles(connection)
    )
    return Installed.of(policies, bindings, served)


async def prove(connection: Connection) -> list[Verdict]:
    """Try the guard by dry-runs, as the probe's account; nothing is written.

    Raises ApiError, and DoctorError where the probe's objects are missing or the account may not be used.
    """
    problem = setup_problem(await _found(connection, _NAMESPACE), await _found(connection, _PROFILE))
    if problem:
        raise DoctorError(problem)
    try:
        installed: Installed | None = await read(connection)
    except ApiError as error:
        if error.status != 403:
            raise
        installed = None
    user = await _who(connection)
    answers = await asyncio.gather(*(_tried(connection, probe, user) for probe in PROBES))
    for answer in answers:
        if answer.status in (401, 403) and "cannot impersonate" in answer.message:
            raise DoctorError(
                f"you may not act as {USER}: {answer.message}; bind the ClusterRole tenantprofile-guard-doctor to you"
            )
    reports = {report.part: report for report in inspect(installed)} if installed else {}
    labels = (await connection.get(_NAMESPACE))["metadata"].get("labels") or {}
    path = f"/apis/networking.k8s.io/v1/namespaces/{NAMESPACE}/networkpolicies?labelSelector={MARKER}%3Dtrue"
    marked = await connection.ask("GET", path, user=user)
    return judge(
        zip(PROBES, answers, strict=True),
        reports,
        gate_selects=installed is None or gate_selects(installed, labels),
        complete=bool(marked.body.get("items")),
    )


async def _found(connection: Connection, path: str) -> Object | None:
    try:
        return await connection.get(path)
    except ApiError as error:
        if error.status == 404:
            return None
        raise


async def _who(connection: Connection) -> str:
    """The user to impersonate: nobody where the caller is the probe's account already."""
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    reply = await connection.ask("POST", path, body)
    name = ((reply.body.get("status") or {}).get("userInfo") or {}).get("username")
    return "" if name == USER else USER


async def _tried(connection: Connection, probe: Probe, user: str) -> Answer:
    path = f"{probe.path}?dryRun=All&fieldManager={MANAGER}"
    reply = await connection.ask(probe.method, path, probe.body, content_type=probe.content_type, user=user)
    return Answer(reply.status, reply.message, reply.warnings)


async def remove(
    connection: Connection,
    parts: Sequence[str],
    *,
    purge: bool,
    dry_run: bool,
    within: float,
    say: Callable[[str], None],
) -> list[str]:
    """Delete the bindings of these parts, wait until they are gone, then the policies; their names, in order.

    Where a binding cannot be deleted, its policy is not. What the pod gate leaves behind is deleted with `purge` only:
    an API server stops its informer of a built-in kind with the last binding that has parameters of it, and never
    starts it again (k8s.io/apiserver, admission/plugin/policy/generic/policy_source.go).

    Raises ApiError, and DoctorError where something is not gone in time.
    """
    found = await read(connection)
    bindings = bindings_of(found, parts)
    policies = policies_of(found, parts)
    if not purge:
        bindings = [name for name in bindings if not stays(found.bindings[name])]
        policies = [name for name in policies if not stays(found.policies[name])]
    for item in [found.bindings[name] for name in bindings] + [found.policies[name] for name in policies]:
        owner = _kept_by(item)
        if owner:
            say(f"{item['metadata']['name']} is kept by {owner}: take it out there, or it will come back")
    for path, names in ((BINDINGS, bindings), (POLICIES, policies)):
        for name in names:
            await _delete(connection, f"{path}/{name}", dry_run)
            say(f"{'would delete' if dry_run else 'deleted'} {path.rpartition('/')[2]}/{name}")
        if names and not dry_run:
            await _gone(connection, path, names, within)
            await asyncio.sleep(_FORGOTTEN if path == BINDINGS else 0)
    return [*bindings, *policies]


async def _delete(connection: Connection, path: str, dry_run: bool) -> None:
    reply = await connection.ask("DELETE", f"{path}?dryRun=All" if dry_run else path)
    if reply.status >= 400 and reply.status != 404:
        raise DoctorError(f"{path}: {reply.message}")


async def _gone(connection: Connection, path: str, names: Sequence[str], within: float) -> None:
    clock = asyncio.get_running_loop().time
    end = clock() + within
    while True:
        left = {str(item["metadata"]["name"]) for item in await connection.items(path)} & set(names)
        if not left:
            return
        if clock() > end:
            kind = path.rpartition("/")[2]
            raise DoctorError(
                f"{kind} {', '.join(sorted(left))} is still there after {within:.0f} s; a finalizer keeps it."
                " Nothing that it refers to was removed; take the finalizer off and run this again"
            )
        await asyncio.sleep(0.2)


async def _serves_profiles(connection: Connection) -> bool:
    try:
        found = await connection.get(f"/apis/{GROUP}/{VERSION}")
    except ApiError as error:
        if error.status == 404:
            return False
        raise
    return any(resource.get("name") == "tenantprofiles" for resource in found.get("resources") or ())


def _kept_by(item: Object) -> str:
    """The program that would make an object again, by the marks that it leaves."""
    metadata = item["metadata"]
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    if labels.get("app.kubernetes.io/managed-by") == "Helm":
        return f"the Helm release {annotations.get('meta.helm.sh/release-name', '?')} (guard.enabled=false)"
    if "argocd.argoproj.io/tracking-id" in annotations:
        return "Argo CD"
    if any(key.startswith("kustomize.toolkit.fluxcd.io/") for key in labels):
        return "Flux"
    return ""
