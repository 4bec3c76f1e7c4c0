"""The guard of a cluster: read, and taken out in the order in which nothing is ever in the way.

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
from tenantprofile.guard.inspection import Installed, bindings_of, policies_of
from tenantprofile.names import GROUP, VERSION

_ADMISSION: Final = "/apis/admissionregistration.k8s.io/v1"
POLICIES: Final = f"{_ADMISSION}/validatingadmissionpolicies"
BINDINGS: Final = f"{_ADMISSION}/validatingadmissionpolicybindings"

_FORGOTTEN: Final = 2.0
"""Seconds after which an API server has noticed that a binding is gone: it looks once a second."""


async def read(connection: Connection) -> Installed:
    """All admission policies and bindings. Raises ApiError."""
    policies, bindings, served = await asyncio.gather(
        connection.items(POLICIES), connection.items(BINDINGS), _serves_profiles(connection)
    )
    return Installed.of(policies, bindings, served)


async def remove(
    connection: Connection,
    parts: Sequence[str],
    *,
    dry_run: bool,
    within: float,
    say: Callable[[str], None],
) -> list[str]:
    """Delete the bindings of these parts, wait until they are gone, then the policies; their names, in order.

    Where a binding stays, its policy does. Raises ApiError, and DoctorError where something is not gone in time.
    """
    found = await read(connection)
    bindings, policies = bindings_of(found, parts), policies_of(found, parts)
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
