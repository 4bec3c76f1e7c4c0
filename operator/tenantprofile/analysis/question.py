"""A question as a person puts it: who, to whom, on which port; and every verdict that answers it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tenantprofile.analysis.naming import side_data, words_of
from tenantprofile.analysis.world import Assembly
from tenantprofile.connectivity.addresses import parse_address
from tenantprofile.connectivity.explanation import headline, open_ports, reasons
from tenantprofile.connectivity.policies import DIRECTIONS
from tenantprofile.connectivity.ports import ALL_PORTS, PortSet, Protocol
from tenantprofile.connectivity.services import Service, ServicePort
from tenantprofile.connectivity.settings import DEFAULT_SETTINGS, Settings
from tenantprofile.connectivity.verdict import End, Verdict, in_block, verdict
from tenantprofile.connectivity.workloads import Workload
from tenantprofile.connectivity.world import World
from tenantprofile.policy.findings import nearest

_KINDS: Final = {
    alias: kind
    for kind, aliases in {
        "Pod": ("pod", "pods", "po"),
        "Deployment": ("deployment", "deployments", "deploy"),
        "StatefulSet": ("statefulset", "statefulsets", "sts"),
        "DaemonSet": ("daemonset", "daemonsets", "ds"),
        "ReplicaSet": ("replicaset", "replicasets", "rs"),
        "Job": ("job", "jobs"),
        "CronJob": ("cronjob", "cronjobs", "cj"),
        "Service": ("service", "services", "svc"),
    }.items()
    for alias in aliases
}

Asked = tuple[Protocol, int]


class QuestionError(ValueError):
    """A question that cannot be put to this world; the message says what would be right."""


@dataclass(frozen=True, slots=True)
class Alike:
    """Pods that no policy tells apart, by one of them; or an address."""

    end: End
    count: int = 1


@dataclass(frozen=True, slots=True)
class Answer:
    """One verdict. ports: where no port was asked about, all those of which the same is true.

    service_port: the Service's port that leads to this port of the pod. pairs: how many it is true of.
    """

    found: Verdict
    reasons: tuple[str, ...]
    headline: str
    pairs: int = 1
    ports: PortSet | None = None
    service_port: int | None = None

    def data(self, assembly: Assembly) -> dict[str, Any]:
        """For programs."""
        found = self.found
        data: dict[str, Any] = {
            "source": str(found.source),
            "destination": str(found.destination),
            "protocol": found.protocol,
            "port": found.port,
            "allowed": found.allowed,
            "reasons": list(self.reasons),
            "egress": side_data(assembly, found.egress),
            "ingress": side_data(assembly, found.ingress),
            "depends": list(found.depends),
            "pairs": self.pairs,
        }
        if self.ports is not None:
            data["ports"] = str(self.ports)
        if self.service_port is not None:
            data["servicePort"] = self.service_port
        return data


@dataclass(frozen=True, slots=True)
class Target:
    """An end of a question: pods or an address, and the Service that led there."""

    text: str
    ends: Sequence[Alike]
    service: Service | None = None


def resolve(world: World, text: str, settings: Settings = DEFAULT_SETTINGS) -> Target:
    """`ns/pod`, `ns/kind/name`, `ns/service/name` or an address. Raises QuestionError."""
    try:
        address = parse_address(text)
    except ValueError:
        pass
    else:
        return Target(text, (Alike(world.at(address) or address),))
    parts = text.split("/")
    if len(parts) not in (2, 3) or not all(parts):
        raise QuestionError(
            f"found {text!r}; expected namespace/pod, namespace/deployment/name, namespace/service/name or"
            " an address"
        )
    if len(parts) == 3:
        kind = _KINDS.get(parts[1].lower())
        if kind is None:
            raise QuestionError(
                f"found the kind {parts[1]!r}{nearest(parts[1].lower(), _KINDS)}; expected pod, deployment,"
                " statefulset, daemonset, replicaset, job, cronjob or service"
            )
        if kind == "Service":
            return _service(world, text, parts[0], parts[2], settings)
        text = f"{parts[0]}/{kind}/{parts[2]}"
    try:
        return Target(text, _alike(world, world.find(text), settings))
    except LookupError as error:
        raise QuestionError(str(error.args[0])) from error


def ask(
    assembly: Assembly,
    source: str,
    destination: str,
    ports: Sequence[Asked],
    settings: Settings = DEFAULT_SETTINGS,
) -> Iterator[Answer]:
    """Every answer, one for each group of pods that are alike. Raises QuestionError.

    With a Service as destination the ports are the Service's, and the answers are about the pods
    behind it. Without ports: those of the Service; otherwise all, in one answer for those that are open
    and one for the others, with the reasons of the first port of each.
    """
    world = assembly.world
    senders, receivers = resolve(world, source, settings), resolve(world, destination, settings)
    for sender in senders.ends:
        for receiver in receivers.ends:
            for service_port, asked in _targets(receivers, receiver, ports):
                yield from _answers(assembly, sender, receiver, asked, service_port, settings)


def _answers(
    assembly: Assembly,
    sender: Alike,
    receiver: Alike,
    asked: Asked | None,
    service_port: int | None,
    settings: Settings,
) -> Iterator[Answer]:
    world, words = assembly.world, words_of(assembly)
    chosen: list[tuple[Asked, PortSet | None]]
    if asked is not None:
        chosen = [(asked, None)]
    else:
        reach = open_ports(world, sender.end, receiver.end, settings)
        parts = [part for part in (reach, ALL_PORTS - reach) if part]
        chosen = [(next((p, first) for p, first, _ in part.ranges()), part) for part in parts]
    for (protocol, port), ports in chosen:
        found = verdict(world, sender.end, receiver.end, protocol, port, settings)
        yield Answer(
            found,
            reasons(world, found, words, settings),
            headline(found, words, ports),
            sender.count * receiver.count,
            ports,
            service_port,
        )


def _targets(
    target: Target, receiver: Alike, ports: Sequence[Asked]
) -> Iterator[tuple[int | None, Asked | None]]:
    service = target.service
    if service is None:
        yield from ((None, asked) for asked in ports or (None,))
        return
    chosen = _service_ports(service, ports)
    for port in chosen:
        workload = receiver.end
        numbers = service.targets(workload, port) if isinstance(workload, Workload) else ()
        if not numbers:
            raise QuestionError(
                f"{target.text}: port {port.port} leads to the port named {port.target!r}, which"
                f" {workload} does not have"
            )
        yield from ((port.port, (port.protocol, number)) for number in numbers)


def _service_ports(service: Service, ports: Sequence[Asked]) -> Sequence[ServicePort]:
    if not ports:
        return service.ports
    found = [port for port in service.ports if (port.protocol, port.port) in ports]
    if not found:
        has = ", ".join(f"{port.port}/{port.protocol}" for port in service.ports)
        raise QuestionError(f"--port: the Service {service.namespace}/{service.name} has {has or 'no ports'}")
    return found


def _service(world: World, text: str, namespace: str, name: str, settings: Settings) -> Target:
    service = world.services.get((namespace, name))
    if service is None:
        near = nearest(f"{namespace}/{name}", (f"{s}/{n}" for s, n in world.services))
        raise QuestionError(f"no Service {namespace}/{name}{near}")
    pods = world.behind(service)
    if not pods:
        raise QuestionError(f"the Service {namespace}/{name} selects none of the pods given")
    return Target(text, _alike(world, pods, settings), service)


def _alike(world: World, workloads: Sequence[Workload], settings: Settings) -> list[Alike]:
    blocks = {
        peer.block
        for policy in world.policies
        for direction in DIRECTIONS
        for rule in policy.spec.rules(direction)
        for peer in rule.peers or ()
        if peer.block is not None
    }
    groups: dict[Any, list[Workload]] = {}
    for workload in workloads:
        key = (
            workload.namespace,
            workload.owner or (workload.kind, workload.name),
            tuple(sorted(workload.labels.items())),
            workload.ports,
            (workload.host_network, workload.node if workload.host_network else None),
            frozenset(block for block in blocks if in_block(workload, block, settings)),
        )
        groups.setdefault(key, []).append(workload)
    return [Alike(group[0], len(group)) for group in groups.values()]
