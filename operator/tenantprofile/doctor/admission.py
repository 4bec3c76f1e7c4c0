"""Whether admission holds in the namespaces of profiles what the profiles count on; only read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from tenantprofile.analysis.admission import Gate, gate, lets_host_network_through
from tenantprofile.cluster.api import NAMESPACES, PROFILES, Object
from tenantprofile.doctor.connection import Connection
from tenantprofile.doctor.observation import Observation
from tenantprofile.planning.profile import Profile, ProfileError, parse_profile

_ADMISSION: Final = "/apis/admissionregistration.k8s.io/v1"
_PODS: Final = "/api/v1/pods"
_SHOWN: Final = 5


async def pod_gate(connection: Connection, operator_namespace: str) -> Observation:
    """Namespaces whose profile requires a baseline and in which nothing holds pods back. Raises ApiError."""
    profiles = _parsed(await connection.items(PROFILES))
    requiring = [one for one in profiles if one.pod_admission == "RequireBaseline"]
    if not requiring:
        return Observation("pod gate", "ok", "no profile has podAdmission: RequireBaseline")
    found = gate(
        await connection.items(f"{_ADMISSION}/validatingadmissionpolicies"),
        await connection.items(f"{_ADMISSION}/validatingadmissionpolicybindings"),
    )
    namespaces = await connection.items(NAMESPACES)
    return judged(requiring, namespaces, found, operator_namespace)


def judged(
    requiring: Sequence[Profile], namespaces: Iterable[Object], found: Gate, operator_namespace: str
) -> Observation:
    """The same of what was read."""
    selected = [body for body in namespaces if _selected(requiring, body, operator_namespace)]
    loose = [str(body["metadata"]["name"]) for body in selected if not found.holds(_labels(body))]
    if not loose:
        return Observation(
            "pod gate", "ok", f"holds pods back in {len(selected)} namespaces until they are complete"
        )
    why = found.problem or "the binding's namespaceSelector does not match them"
    return Observation(
        "pod gate",
        "wrong",
        f"pods may start before their baseline in {len(loose)} of {len(selected)} namespaces with podAdmission:"
        f" RequireBaseline: {_listed(loose)}; {why}",
    )


async def host_network(connection: Connection, operator_namespace: str) -> Observation:
    """Namespaces of profiles that admit pods with hostNetwork, and pods that have it. Raises ApiError."""
    profiles = _parsed(await connection.items(PROFILES))
    namespaces = await connection.items(NAMESPACES)
    pods = await connection.items(_PODS, fields="spec.hostNetwork=true")
    return host_network_of(profiles, namespaces, pods, operator_namespace)


def host_network_of(
    profiles: Sequence[Profile],
    namespaces: Iterable[Object],
    pods: Iterable[Object],
    operator_namespace: str,
) -> Observation:
    """The same of what was read."""
    selected = [body for body in namespaces if _selected(profiles, body, operator_namespace)]
    names = {str(body["metadata"]["name"]) for body in selected}
    admit = [str(body["metadata"]["name"]) for body in selected if lets_host_network_through(_labels(body))]
    using = [
        f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
        for pod in pods
        if pod["metadata"]["namespace"] in names and (pod.get("spec") or {}).get("hostNetwork")
    ]
    seen: list[str] = []
    if using:
        seen.append(f"no policy governs {len(using)} pods, which have hostNetwork: {_listed(using)}")
    if admit:
        seen.append(
            f"{len(admit)} of {len(selected)} namespaces of profiles let it through (no"
            f" pod-security.kubernetes.io/enforce of baseline or restricted): {_listed(admit)}"
        )
    if not seen:
        return Observation("hostNetwork", "ok", f"refused in all {len(selected)} namespaces of profiles")
    return Observation("hostNetwork", "note", "; ".join(seen))


def _parsed(bodies: Iterable[Object]) -> list[Profile]:
    """Those that can be read; of the others, `profiles` says that they are not Ready."""
    found = []
    for body in bodies:
        try:
            found.append(parse_profile(body))
        except ProfileError:
            continue
    return found


def _selected(profiles: Iterable[Profile], namespace: Object, operator_namespace: str) -> bool:
    name = str(namespace["metadata"]["name"])
    labels = _labels(namespace)
    return any(one.selects(name, labels, operator_namespace=operator_namespace) for one in profiles)


def _labels(body: Object) -> dict[str, str]:
    labels: dict[str, str] = body["metadata"].get("labels") or {}
    return labels


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(sorted(names)[:_SHOWN]) + more
