"""Services as names for pods and ports: what a connection to a Service really reaches.

A policy never sees the Service: it applies to the pods behind it, at their target ports
(documentation, Network Policies).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from tenantprofile.connectivity.addresses import Address, parse_address
from tenantprofile.connectivity.manifests import ManifestError, as_list, as_map, labels_of
from tenantprofile.connectivity.ports import MAX_PORT, PROTOCOLS, Protocol
from tenantprofile.connectivity.workloads import Workload


@dataclass(frozen=True, slots=True)
class ServicePort:
    """A Service's port and where it leads: a number, or a name that each pod resolves."""

    protocol: Protocol
    port: int
    target: int | str
    name: str = ""
    node_port: int | None = None


AddressKind = Literal["cluster IP", "external IP", "load balancer address"]


@dataclass(frozen=True, slots=True)
class ServiceAddress:
    """An address of a Service. proxied: clients in the cluster go through the load balancer, too
    (`status.loadBalancer.ingress[].ipMode: Proxy`)."""

    address: Address
    kind: AddressKind
    proxied: bool = False


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address behind a Service, with its ports as (name, protocol, number)."""

    address: Address
    ports: tuple[tuple[str, Protocol, int], ...]


@dataclass(frozen=True, slots=True)
class Service:
    """A Service. Its pods are those that it selects; without any, the endpoints count that are given.

    external_policy: `spec.externalTrafficPolicy`. external_name: the host of an ExternalName Service.
    """

    namespace: str
    name: str
    selector: tuple[tuple[str, str], ...]
    ports: tuple[ServicePort, ...]
    type: str = "ClusterIP"
    addresses: tuple[ServiceAddress, ...] = ()
    external_policy: str = "Cluster"
    external_name: str = ""
    endpoints: tuple[Endpoint, ...] = ()

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def external(self) -> bool:
        """Whether clients outside the cluster can reach it: node ports, load balancer, external IPs."""
        return self.type in ("NodePort", "LoadBalancer") or any(
            a.kind != "cluster IP" for a in self.addresses
        )

    def endpoint_ports(self, endpoint: Endpoint, port: ServicePort) -> tuple[int, ...]:
        """The numbers behind a Service port at an endpoint: those of the same name and protocol."""
        return tuple(
            number
            for name, protocol, number in endpoint.ports
            if protocol == port.protocol and (name == port.name or len(self.ports) == 1)
        )

    def selects(self, workload: Workload) -> bool:
        return (
            bool(self.selector)
            and workload.namespace == self.namespace
            and all(workload.labels.get(key) == value for key, value in self.selector)
        )

    def targets(self, workload: Workload, port: ServicePort) -> tuple[int, ...]:
        """The pod's port numbers behind a Service port; empty when the pod lacks the name."""
        if isinstance(port.target, int):
            return (port.target,)
        return workload.numbers(port.target, port.protocol)


def parse_service(namespace: str, name: str, raw: Mapping[str, Any]) -> Service:
    """A Service manifest as a value. Raises ManifestError."""
    spec, status = as_map(raw.get("spec"), "spec"), as_map(raw.get("status"), "status")
    kind = str(spec.get("type") or "ClusterIP")
    external = kind == "ExternalName"
    selector = {} if external else labels_of(spec.get("selector"), "spec.selector")
    ports = as_list(spec.get("ports"), "spec.ports")
    return Service(
        namespace,
        name,
        tuple(sorted(selector.items())),
        tuple(_port(as_map(p, f"spec.ports[{i}]"), f"spec.ports[{i}]") for i, p in enumerate(ports)),
        kind,
        () if external else tuple(_service_addresses(spec, status)),
        str(spec.get("externalTrafficPolicy") or "Cluster"),
        str(spec.get("externalName") or "") if external else "",
    )


def parse_endpoints(raw: Mapping[str, Any]) -> tuple[str, tuple[Endpoint, ...]]:
    """The Service's name and its ready endpoints, from an EndpointSlice or Endpoints. Raises ManifestError.

    An EndpointSlice names its Service by label; ready is true unless it says otherwise
    (API documentation, EndpointConditions).
    """
    metadata = as_map(raw.get("metadata"), "metadata")
    if raw.get("kind") == "Endpoints":
        found = [
            endpoint
            for index, subset in enumerate(as_list(raw.get("subsets"), "subsets"))
            for endpoint in _subset(as_map(subset, f"subsets[{index}]"), f"subsets[{index}]")
        ]
        return str(metadata.get("name") or ""), tuple(found)
    if raw.get("addressType") == "FQDN":
        return "", ()
    ports = _endpoint_ports(raw.get("ports"), "ports")
    found = []
    for index, item in enumerate(as_list(raw.get("endpoints"), "endpoints")):
        path = f"endpoints[{index}]"
        endpoint = as_map(item, path)
        if as_map(endpoint.get("conditions"), f"{path}.conditions").get("ready") is False:
            continue
        for text in as_list(endpoint.get("addresses"), f"{path}.addresses"):
            found.append(Endpoint(_address(text, f"{path}.addresses"), ports))
    labels = as_map(metadata.get("labels"), "metadata.labels")
    return str(labels.get(SERVICE_NAME_LABEL) or ""), tuple(found)


SERVICE_NAME_LABEL: Final = "kubernetes.io/service-name"
"""By which an EndpointSlice names its Service (API documentation, EndpointSlice)."""


def _subset(subset: Mapping[str, Any], path: str) -> list[Endpoint]:
    ports = _endpoint_ports(subset.get("ports"), f"{path}.ports")
    addresses = as_list(subset.get("addresses"), f"{path}.addresses")
    where = f"{path}.addresses"
    return [Endpoint(_address(as_map(item, where).get("ip"), where), ports) for item in addresses]


def _endpoint_ports(raw: object, path: str) -> tuple[tuple[str, Protocol, int], ...]:
    found = []
    for index, item in enumerate(as_list(raw, path)):
        port = as_map(item, f"{path}[{index}]")
        protocol, number = port.get("protocol") or "TCP", port.get("port")
        if protocol not in PROTOCOLS:
            raise ManifestError(f"{path}[{index}].protocol", f"found {protocol!r}; expected TCP, UDP or SCTP")
        if number is not None:
            found.append((str(port.get("name") or ""), protocol, _number(number, f"{path}[{index}].port")))
    return tuple(found)


def _service_addresses(spec: Mapping[str, Any], status: Mapping[str, Any]) -> Iterator[ServiceAddress]:
    seen: set[Address] = set()
    texts = [spec.get("clusterIP"), *as_list(spec.get("clusterIPs"), "spec.clusterIPs")]
    for text in texts:
        if text and text != "None" and (address := _address(text, "spec.clusterIP")) not in seen:
            seen.add(address)
            yield ServiceAddress(address, "cluster IP")
    for text in as_list(spec.get("externalIPs"), "spec.externalIPs"):
        yield ServiceAddress(_address(text, "spec.externalIPs"), "external IP")
    balancer = as_map(status.get("loadBalancer"), "status.loadBalancer")
    path = "status.loadBalancer.ingress"
    for index, item in enumerate(as_list(balancer.get("ingress"), path)):
        entry = as_map(item, f"{path}[{index}]")
        if entry.get("ip"):
            address = _address(entry["ip"], f"{path}[{index}].ip")
            yield ServiceAddress(address, "load balancer address", entry.get("ipMode") == "Proxy")


def _address(text: object, path: str) -> Address:
    if not isinstance(text, str):
        raise ManifestError(path, f"found {text!r}; expected an address")
    try:
        return parse_address(text)
    except ValueError as error:
        raise ManifestError(path, str(error)) from error


def _number(raw: object, path: str) -> int:
    if not isinstance(raw, int) or isinstance(raw, bool) or not 1 <= raw <= MAX_PORT:
        raise ManifestError(path, f"found {raw!r}; expected a number from 1 to {MAX_PORT}")
    return raw


def _port(raw: Mapping[str, Any], path: str) -> ServicePort:
    protocol = raw.get("protocol") or "TCP"
    if protocol not in PROTOCOLS:
        raise ManifestError(f"{path}.protocol", f"found {protocol!r}; expected TCP, UDP or SCTP")
    port = _number(raw.get("port"), f"{path}.port")
    target = raw.get("targetPort") or port
    if not isinstance(target, int | str) or isinstance(target, bool):
        raise ManifestError(f"{path}.targetPort", f"found {target!r}; expected a number or a name")
    if isinstance(target, int):
        target = _number(target, f"{path}.targetPort")
    node_port = raw.get("nodePort") or None
    if node_port is not None:
        node_port = _number(node_port, f"{path}.nodePort")
    return ServicePort(protocol, port, target, str(raw.get("name") or ""), node_port)
