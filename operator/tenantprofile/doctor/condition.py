"""What can be read of an installation without changing anything.

Each observation stands by itself: what may not be read is `unknown`, and the others are made all the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import yaml

from tenantprofile import __version__
from tenantprofile.cluster.api import PROFILES, ApiError, Object
from tenantprofile.doctor.admission import host_network, pod_gate
from tenantprofile.doctor.connection import Connection, DoctorError
from tenantprofile.doctor.guard import read as read_guard
from tenantprofile.doctor.observation import Observation
from tenantprofile.doctor.rights import Right, lacking
from tenantprofile.guard.inspection import PartReport, inspect
from tenantprofile.names import GROUP, VERSION

DEPLOYMENT: Final = "tenantprofile-operator"
ACCOUNT: Final = "tenantprofile-operator"
LEASE: Final = "tenantprofile-operator"
LEDGER: Final = "tenantprofile-ledger"
SEAL: Final = "tenantprofile-operator-seal"  # the name of a Secret, and no secret

_CRDS: Final = ("tenantprofiles", "policytemplates")
_NETWORKING: Final = "networking.k8s.io"


async def observe(connection: Connection, namespace: str) -> list[Observation]:
    """Look at everything; `namespace` is the operator's own. Raises DoctorError where nothing answers."""
    try:
        version = await connection.get("/version")
    except ApiError as error:
        raise DoctorError(f"the API server at {connection.server} does not answer: {error}") from error
    first = Observation("API server", "ok", f"{version.get('gitVersion', '?')} at {connection.server}")
    looks: list[tuple[str, Callable[[], Awaitable[Observation]]]] = [
        *((f"CRD {plural}", lambda plural=plural: _crd(connection, plural)) for plural in _CRDS),
        ("operator", lambda: _deployment(connection, namespace)),
        ("lease", lambda: _lease(connection, namespace)),
        ("operator's rights", lambda: _rights(connection, namespace)),
        ("profiles", lambda: _profiles(connection)),
        ("guard", lambda: _guard(connection)),
        ("pod gate", lambda: pod_gate(connection, namespace)),
        ("hostNetwork", lambda: host_network(connection, namespace)),
    ]
    return [first, *await asyncio.gather(*(_look(what, look) for what, look in looks))]


async def image_of_operator(connection: Connection, namespace: str) -> str:
    """The image that the operator runs with in a cluster. Raises DoctorError."""
    try:
        deployment = await connection.get(_deployment_path(namespace))
    except ApiError as error:
        raise DoctorError(
            f"the operator's Deployment {namespace}/{DEPLOYMENT} cannot be read ({error});"
            " name an image that contains this program with --image"
        ) from error
    return str(deployment["spec"]["template"]["spec"]["containers"][0]["image"])


async def _look(what: str, look: Callable[[], Awaitable[Observation]]) -> Observation:
    try:
        return await look()
    except ApiError as error:
        if error.status == 404:
            return Observation(what, "wrong", "not there")
        return Observation(what, "unknown", str(error))


async def _crd(connection: Connection, plural: str) -> Observation:
    name = f"{plural}.{GROUP}"
    found = await connection.get(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}")
    what = f"CRD {plural}"
    conditions = {c["type"]: c["status"] for c in (found.get("status") or {}).get("conditions") or ()}
    if conditions.get("Established") != "True":
        return Observation(what, "wrong", "not established")
    versions = {one["name"]: one for one in found["spec"]["versions"] if one.get("served")}
    if VERSION not in versions:
        return Observation(what, "wrong", f"serves {', '.join(versions)}; expected {VERSION}")
    if versions[VERSION]["schema"] != _shipped(plural)["schema"]:
        return Observation(
            what, "wrong", f"{VERSION}, but not with the schema of tenantprofile {__version__}"
        )
    return Observation(what, "ok", f"{VERSION}, as in tenantprofile {__version__}")


def _shipped(plural: str) -> Any:
    """The version as this package brings it along."""
    package, name = Path(__file__).resolve().parents[1], f"{GROUP}_{plural}.yaml"
    in_wheel, in_checkout = package / "builtin" / "crds" / name, package.parents[1] / "crds" / name
    text = (in_wheel if in_wheel.is_file() else in_checkout).read_text(encoding="utf-8")
    return next(one for one in yaml.safe_load(text)["spec"]["versions"] if one["name"] == VERSION)


async def _deployment(connection: Connection, namespace: str) -> Observation:
    found = await connection.get(_deployment_path(namespace))
    available = int((found.get("status") or {}).get("availableReplicas") or 0)
    image = found["spec"]["template"]["spec"]["containers"][0]["image"]
    wanted = found["spec"].get("replicas", 1)
    seen = f"{available} of {wanted} available, image {image}"
    return Observation("operator", "ok" if available else "wrong", seen)


async def _lease(connection: Connection, namespace: str) -> Observation:
    path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{LEASE}"
    spec = (await connection.get(path)).get("spec") or {}
    holder, renewed = spec.get("holderIdentity"), spec.get("renewTime")
    if not holder or not renewed:
        return Observation("lease", "wrong", "nobody holds it")
    age = (datetime.now(UTC) - datetime.fromisoformat(renewed)).total_seconds()
    seen = f"held by {holder}, renewed {max(age, 0):.0f} s ago"
    return Observation(
        "lease", "ok" if age <= float(spec.get("leaseDurationSeconds") or 15) else "wrong", seen
    )


async def _rights(connection: Connection, namespace: str) -> Observation:
    """Those that the operator cannot do without, as deploy/base/rbac.yaml gives them."""
    verbs: Sequence[tuple[str, str, str, str]] = (
        ("get list watch", "namespaces", "", ""),
        ("get list watch create update delete", "networkpolicies", _NETWORKING, ""),
        ("get list watch", "tenantprofiles", GROUP, ""),
        ("list watch", "policytemplates", GROUP, ""),
        ("patch", "tenantprofiles", GROUP, "status"),
        ("patch", "policytemplates", GROUP, "status"),
        ("create patch", "events", "", ""),
    )
    rights = [
        Right(verb, resource, group, subresource)
        for several, resource, group, subresource in verbs
        for verb in several.split()
    ]
    leases = "leases", "coordination.k8s.io", "", namespace
    rights += [Right(verb, *leases) for verb in ("get", "create", "update")]
    rights.append(
        Right("get", "customresourcedefinitions", "apiextensions.k8s.io", name=f"{_CRDS[0]}.{GROUP}")
    )
    rights += [
        Right(verb, "configmaps", namespace=namespace, name=f"{LEDGER}-0") for verb in ("get", "update")
    ]
    rights += [Right("create", kind, namespace=namespace) for kind in ("configmaps", "secrets")]
    rights.append(Right("get", "secrets", namespace=namespace, name=SEAL))
    account = f"{namespace}:{ACCOUNT}"
    try:
        missing = await lacking(connection, rights, account)
    except ApiError as error:
        if error.status == 403:
            return Observation(
                "operator's rights", "unknown", "you may not ask (create subjectaccessreviews)"
            )
        raise
    if missing:
        return Observation("operator's rights", "wrong", f"{account} cannot {', '.join(map(str, missing))}")
    return Observation("operator's rights", "ok", f"{account} has what it needs")


async def _profiles(connection: Connection) -> Observation:
    found = await connection.items(PROFILES)
    poor = sorted(str(item["metadata"]["name"]) for item in found if not _ready(item))
    seen = f"{len(found)}, of which {len(poor)} not Ready{': ' if poor else ''}{', '.join(poor[:5])}"
    return Observation("profiles", "wrong" if poor else "ok", seen if poor else f"{len(found)}, all Ready")


async def _guard(connection: Connection) -> Observation:
    """Whether what is installed of the guard is as shipped; that nothing is, is no fault."""
    found = inspect(await read_guard(connection))
    broken = [report.part for report in found if report.state == "broken" and not _on_trial(report)]
    there = [f"{report.part} ({report.action})" for report in found if report.state != "off"]
    if broken:
        return Observation("guard", "wrong", f"broken: {', '.join(broken)}; see tenantprofile guard status")
    return Observation("guard", "ok", ", ".join(there) or "not installed")


def _on_trial(report: PartReport) -> bool:
    """Whether nothing is wrong with a part but that it does not deny yet."""
    return report.action != "deny" and all("expected deny" in problem.what for problem in report.problems)


def _ready(profile: Object) -> bool:
    conditions = (profile.get("status") or {}).get("conditions") or ()
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)


def _deployment_path(namespace: str) -> str:
    return f"/apis/apps/v1/namespaces/{namespace}/deployments/{DEPLOYMENT}"
