"""A question as a person puts it: who, to whom, on which port; and every verdict that answers it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from tenantprofile.analysis.naming import side_data, words_of
from tenantprofile.analysis.world import Assembly
from tenantprofile.connectivity.addresses import (
    ALL_ADDRESSES,
    NO_ADDRESSES,
    Address,
    AddressSet,
    parse_address,
    parse_network,
)
from tenantprofile.connectivity.explanation import headline, open_ports, reasons
from tenantprofile.connectivity.policies import DIRECTIONS, Direction
from tenantprofile.connectivity.ports import ALL_PORTS, PortSet, Protocol
from tenantprofile.connectivity.services import Service, ServiceAddress, ServicePort
from tenantprofile.connectivity.settings import DEFAULT_SETTINGS, PRIVATE_ADDRESSES, Settings
from tenantprofile.connectivity.verdict import End, Verdict, in_block, isolating, verdict
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

_FORMS: Final = (
    "namespace/pod, namespace/deployment/name, namespace/service/name, namespace/NAME (all its pods),"
    " node/NAME, an address, a range such as 10.0.0.0/8, internet, or a host name"
)
_LABEL: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?")
_WITH_PORT: Final = re.compile(r"(?P<host>.+):(?P<port>[0-9]{1,5}(/[A-Za-z]+)?)")
_PODS_OF_RANGE: Final = 20


def _internet() -> AddressSet:
    """Global unicast: without private, shared, loopback, link-local, multicast and reserved ranges."""
    special = ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "192.0.0.0/24", "198.18.0.0/15", "224.0.0.0/3")
    result = AddressSet.block("0.0.0.0/0") | AddressSet.block("2000::/3")
    for cidr in special:
        result -= AddressSet.block(cidr)
    return result - PRIVATE_ADDRESSES


INTERNET: Final = _internet()


class QuestionError(ValueError):
    """A question that cannot be put to this world; the message says what would be right."""


@dataclass(frozen=True, slots=True)
class Alike:
    """Pods that no policy tells apart, by one of them; or an address. name: what an address stands for."""

    end: End
    count: int = 1
    name: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """One verdict. ports: where no port was asked about, all those of which the same is true.

    service_port: the Service's port that leads to this port of the pod. pairs: how many it is true of.
    names: what addresses of the verdict stand for, by their text.
    """

    found: Verdict
    reasons: tuple[str, ...]
    headline: str
    pairs: int = 1
    ports: PortSet | None = None
    service_port: int | None = None
    names: Mapping[str, str] = field(default_factory=dict)

    def data(self, assembly: Assembly) -> dict[str, Any]:
        """For programs."""
        found = self.found
        data: dict[str, Any] = {
            "source": self.names.get(str(found.source), str(found.source)),
            "destination": self.names.get(str(found.destination), str(found.destination)),
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
    """An end of a question: pods, addresses or a range, and the Service that led there.

    through: the address by which the Service was asked for. addresses: a range, to be divided by what
    rules say of it. remarks: what a person should know of how the end was understood.
    """

    text: str
    ends: Sequence[Alike] = ()
    service: Service | None = None
    through: ServiceAddress | None = None
    addresses: AddressSet | None = None
    remarks: tuple[str, ...] = ()


def resolve(
    world: World,
    text: str,
    settings: Settings = DEFAULT_SETTINGS,
    ports: Sequence[Asked] = (),
) -> Target:
    """An end as a person names it. Raises QuestionError, which says what would be right.

    `ns/pod`, `ns/kind/name`, `ns/service/name`, `namespace/name`, `node/name`, an address or range,
    `internet`, or a host name. An address of a Service is the Service; so is an address of a node with
    the node port of one.
    """
    if text == "internet":
        return Target(text, addresses=INTERNET)
    try:
        address = parse_address(text)
    except ValueError:
        pass
    else:
        return _address(world, text, address, settings, ports)
    try:
        network = parse_network(text)
    except ValueError:
        pass
    else:
        return Target(text, addresses=AddressSet.block(str(network)))
    parts = text.split("/")
    if len(parts) == 1:
        return _host(world, text, settings)
    if len(parts) not in (2, 3) or not all(parts):
        raise QuestionError(f"found {text!r}; expected {_FORMS}")
    if len(parts) == 2 and (found := _whole(world, text, parts[0].lower(), parts[1], settings, ports)):
        return found
    if len(parts) == 3:
        kind = _KINDS.get(parts[1].lower())
        if kind is None:
            near = nearest(parts[1].lower(), _KINDS)
            kind = next((w.kind for w in world.workloads if w.kind.lower() == parts[1].lower()), None)
            if kind is None:
                raise QuestionError(
                    f"found the kind {parts[1]!r}{near}; expected pod, deployment,"
                    " statefulset, daemonset, replicaset, job, cronjob or service"
                )
        if kind == "Service":
            return _service(world, text, parts[0], parts[2], settings)
        text = f"{parts[0]}/{kind}/{parts[2]}"
    try:
        return Target(text, _alike(world, world.find(text), settings))
    except LookupError as error:
        raise QuestionError(str(error.args[0])) from error


def split_port(text: str) -> tuple[str, str]:
    """`host:port` as (host, port); without a port, or for a bare IPv6 address, the port is empty."""
    found = _WITH_PORT.fullmatch(text)
    if found is None or (":" in found["host"] and not found["host"].startswith("[")):
        return text, ""
    return found["host"].strip("[]"), found["port"]


def _whole(
    world: World, text: str, kind: str, name: str, settings: Settings, ports: Sequence[Asked]
) -> Target | None:
    """`namespace/NAME` and `node/NAME`; None where this is a pod in a namespace of that name."""
    try:
        world.find(text)
    except LookupError:
        pass
    else:
        return None
    if kind in ("node", "nodes", "no"):
        addresses = world.nodes.get(name)
        if addresses is None:
            known = ", ".join(list(world.nodes)[:5]) or "none"
            raise QuestionError(f"no node {name!r}; the nodes known from Nodes and pods are {known}")
        for address in addresses:
            if (target := _address(world, text, address, settings, ports)).service is not None:
                return target
        return Target(text, [Alike(address, name=f"{text} ({address})") for address in addresses])
    if kind in ("namespace", "namespaces", "ns"):
        if name not in world.namespaces:
            raise QuestionError(f"no namespace {name!r}{nearest(name, world.namespaces)}")
        return _namespace(world, text, name, settings)
    return None


def _namespace(world: World, text: str, name: str, settings: Settings) -> Target:
    pods = [workload for workload in world.workloads if workload.namespace == name]
    if not pods:
        raise QuestionError(f"no pod or workload of the namespace {name!r} is in the input")
    return Target(text, _alike(world, pods, settings))


def _host(world: World, text: str, settings: Settings) -> Target:
    """A namespace by its name alone, a Service by its DNS name, or a host whose address nobody knows."""
    if text in world.namespaces:
        return _namespace(world, text, text, settings)
    labels = text.rstrip(".").split(".")
    if not all(_LABEL.fullmatch(label) for label in labels):
        raise QuestionError(f"found {text!r}; expected {_FORMS}")
    service = labels[2:3] in ([], ["svc"]) and len(labels) >= 2 and (labels[1], labels[0])
    if service and (service in world.services or labels[2:3] == ["svc"]):
        return _service(world, text, labels[1], labels[0], settings)
    if len(labels) < 2:
        raise QuestionError(
            f"found {text!r}{_meant(world, text)}; expected {_FORMS}; a bare word is a namespace"
        )
    remark = (
        f"which addresses {text} has is not in the input, and policies know addresses only:"
        " the answers are about every address outside the cluster that it may have"
    )
    return Target(text, addresses=ALL_ADDRESSES, remarks=(remark,))


def _meant(world: World, text: str) -> str:
    """What a bare word may have been meant as: a node, a pod of any namespace, or a namespace."""
    if text in world.nodes:
        return f"; did you mean node/{text}?"
    pods = [str(w) for w in world.workloads if text in (w.name, w.owner[1] if w.owner else "")]
    if pods:
        return f"; did you mean {' or '.join(sorted(pods)[:3])}?"
    return nearest(text, world.namespaces)


def _address(world: World, text: str, address: Address, settings: Settings, ports: Sequence[Asked]) -> Target:
    if pod := world.at(address):
        return Target(text, (Alike(pod),))
    if known := world.service_at(address):
        service, through = known
        target = _service(world, f"{service.namespace}/service/{service.name}", *_key(service), settings)
        remark = f"{address} is the {through.kind} of the Service {service}"
        return replace(target, through=through, remarks=(remark, *target.remarks))
    if (node := world.node_at(address)) is not None:
        for service in world.services.values():
            for port in service.ports:
                if port.node_port and (port.protocol, port.node_port) in ports:
                    target = _service(
                        world, f"{service.namespace}/service/{service.name}", *_key(service), settings
                    )
                    remark = (
                        f"{address} is an address of the node {node}, and {port.node_port} the node port of"
                        f" the Service {service}"
                    )
                    return replace(target, remarks=(remark, *target.remarks))
    return Target(text, (Alike(address),))


def _key(service: Service) -> tuple[str, str]:
    return service.namespace, service.name


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
    and one for the others, with the reasons of the first port of each. A range of addresses is divided
    into the parts that rules tell apart.
    """
    world = assembly.world
    senders = resolve(world, source, settings)
    receivers = resolve(world, destination, settings, ports)
    if senders.service is not None and senders.through is not None:
        raise QuestionError(
            f"{source} is the {senders.through.kind} of the Service {senders.service}; connections come from"
            " pods, so name a pod or workload"
        )
    senders = _divided(world, senders, receivers, "Ingress", settings)
    receivers = _divided(world, receivers, senders, "Egress", settings)
    for sender in senders.ends:
        for receiver in receivers.ends:
            for service_port, asked, remarks in _targets(receivers, receiver, ports):
                told = (
                    *remarks,
                    *senders.remarks,
                    *receivers.remarks,
                    *_rewriting(world, sender, receivers, receiver, settings),
                )
                yield from _answers(assembly, sender, receiver, asked, service_port, settings, told)


def _divided(world: World, target: Target, other: Target, direction: Direction, settings: Settings) -> Target:
    """A range as one address for each part that the other end's policies tell apart, and its pods."""
    if target.addresses is None:
        return target
    blocks: set[AddressSet] = set()
    for end in other.ends:
        if isinstance(end.end, Workload):
            for policy in isolating(world, end.end, direction, settings):
                for rule in policy.spec.rules(direction):
                    blocks |= {peer.block for peer in rule.peers or () if peer.block is not None}
    parts: dict[frozenset[AddressSet], AddressSet] = {frozenset(): target.addresses}
    for block in blocks:
        split: dict[frozenset[AddressSet], AddressSet] = {}
        for key, part in parts.items():
            for holding, piece in ((key | {block}, part & block), (key, part - block)):
                if piece:
                    split[holding] = split.get(holding, NO_ADDRESSES) | piece
        parts = split
    ends = []
    for part in sorted(parts.values(), key=lambda part: part.bounds):
        address = world.outside(part)
        if address is None:
            continue
        name = target.text if len(parts) == 1 else f"{target.text} ({_ranges(part)})"
        ends.append(Alike(address, name=name))
    if target.addresses != INTERNET and not target.remarks:
        inside = [w for w in world.workloads if any(target.addresses.contains(a) for a in w.addresses)]
        ends += [Alike(workload) for workload in inside[:_PODS_OF_RANGE]]
    if not ends:
        raise QuestionError(f"{target.text}: every address in it is one of a pod or Service; name that")
    return replace(target, ends=ends)


def _ranges(part: AddressSet) -> str:
    texts = str(part).split(",")
    shown = ", ".join(texts[:3])
    return shown if len(texts) <= 3 else f"{shown} and {len(texts) - 3} more ranges"


def _rewriting(
    world: World, sender: Alike, receivers: Target, receiver: Alike, settings: Settings
) -> Iterator[str]:
    """Where the pod may see another source address than the client's (documentation, Using Source IP)."""
    service = receivers.service
    if service is None or not isinstance(receiver.end, Workload):
        return
    client = sender.name or str(sender.end)
    outside = not isinstance(sender.end, Workload)
    through = receivers.through
    governed = bool(isolating(world, receiver.end, "Ingress", settings))
    if isinstance(sender.end, Workload):
        governed = governed or bool(isolating(world, sender.end, "Egress", settings))
    if outside and service.external:
        if not governed:
            return
        if service.external_policy == "Local":
            yield (
                f"externalTrafficPolicy of {service} is Local: the pod sees the address of the client"
                " (unless a load balancer in front replaces it)"
            )
            return
        yield (
            f"the answer depends on source address rewriting: externalTrafficPolicy of {service} is Cluster,"
            f" so through a node port, load balancer or external address the pod may see a node's address"
            f" instead of {client}; set externalTrafficPolicy: Local to keep it"
        )
    elif outside:
        yield f"{service} has no address outside the cluster; a client out there needs another way in"
    elif governed and through is not None and through.kind != "cluster IP":
        if through.proxied:
            yield (
                f"ipMode of {through.address} is Proxy: the connection leaves the cluster for the load"
                f" balancer, so egress to {through.address} counts, and the pod sees the load balancer's or"
                " a node's address"
            )
        else:
            yield (
                f"the answer depends on how the network plugin leads {through.address} to the pods from"
                " inside the cluster: where it does not, the connection leaves for that address, and the"
                " pod sees a node's address"
            )


def _answers(
    assembly: Assembly,
    sender: Alike,
    receiver: Alike,
    asked: Asked | None,
    service_port: int | None,
    settings: Settings,
    remarks: tuple[str, ...] = (),
) -> Iterator[Answer]:
    world = assembly.world
    names = {str(one.end): one.name for one in (sender, receiver) if one.name}
    words = replace(words_of(assembly), end=lambda end: names.get(str(end), str(end)))
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
            (*reasons(world, found, words, settings), *remarks),
            headline(found, words, ports),
            sender.count * receiver.count,
            ports,
            service_port,
            names,
        )


def _targets(
    target: Target, receiver: Alike, ports: Sequence[Asked]
) -> Iterator[tuple[int | None, Asked | None, tuple[str, ...]]]:
    """(port of the Service, port of the pod, remarks) of everything that was asked about."""
    service = target.service
    if service is None:
        yield from ((None, asked, ()) for asked in ports or (None,))
        return
    for port in _service_ports(service, ports):
        numbers = {id(end): _numbers(service, end, port) for end in target.ends}
        if not any(numbers.values()):
            raise QuestionError(
                f"{target.text}: port {port.port} leads to the port named {port.target!r}, which none of the"
                " pods behind the Service has"
            )
        lacking = [str(end.end) for end in target.ends if not numbers[id(end)]]
        remarks = tuple(
            f"{name} is no endpoint of port {port.port}: it has no {port.protocol} port named {port.target!r}"
            for name in lacking
        )
        if port.node_port and (port.protocol, port.node_port) in ports:
            remarks = (f"{port.node_port} is the node port of {service}, port {port.port}", *remarks)
        yield from ((port.port, (port.protocol, number), remarks) for number in numbers[id(receiver)])


def _numbers(service: Service, end: Alike, port: ServicePort) -> tuple[int, ...]:
    """The ports behind a Service port at a pod, or at an endpoint."""
    if isinstance(end.end, Workload) and service.selects(end.end):
        return service.targets(end.end, port)
    addresses = end.end.addresses if isinstance(end.end, Workload) else (end.end,)
    found = [n for e in service.endpoints if e.address in addresses for n in service.endpoint_ports(e, port)]
    return tuple(dict.fromkeys(found))


def _service_ports(service: Service, ports: Sequence[Asked]) -> Sequence[ServicePort]:
    if not ports:
        return service.ports
    found = [
        port
        for port in service.ports
        if (port.protocol, port.port) in ports or (port.protocol, port.node_port) in ports
    ]
    if not found:
        has = ", ".join(
            f"{port.port}/{port.protocol}" + (f" (node port {port.node_port})" if port.node_port else "")
            for port in service.ports
        )
        raise QuestionError(f"--port: the Service {service} has {has or 'no ports'}")
    return found


def _service(world: World, text: str, namespace: str, name: str, settings: Settings) -> Target:
    """The pods that a Service selects, or the endpoints that are given."""
    service = world.services.get((namespace, name))
    if service is None:
        near = nearest(f"{namespace}/{name}", (f"{s}/{n}" for s, n in world.services))
        raise QuestionError(f"no Service {namespace}/{name}{near}")
    if service.external_name:
        target = _host(world, service.external_name, settings)
        remark = f"{service} is another name for {service.external_name} (ExternalName)"
        return replace(target, remarks=(remark, *target.remarks))
    pods = world.behind(service)
    if pods:
        return Target(text, _alike(world, pods, settings), service)
    found = dict.fromkeys(endpoint.address for endpoint in service.endpoints)
    if found:
        listed = ", ".join(
            f"{endpoint.address}:{number}"
            for endpoint in service.endpoints
            for _, _, number in endpoint.ports
        )
        remark = f"endpoints of the Service {service}: {listed}"
        return Target(text, [Alike(world.at(a) or a) for a in found], service, remarks=(remark,))
    if not service.selector:
        raise QuestionError(
            f"the Service {service} has no selector, and no EndpointSlice in the input says what is behind it"
        )
    raise QuestionError(
        f"the Service {service} selects none of the pods given; pods that a controller makes at run time are in no"
        " manifest: read the cluster with --context"
    )


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
