"""The flows that other objects say must be open, and whether policies leave them open.

A webhook is called by the API server, an Ingress by its controller, a ServiceMonitor by Prometheus: the
objects that say so are in the input, and the policies beside them often forget it. Each such flow is
`open`, `cut` (with the policies that cut it) or `unknown`, where the answer hangs on an address or a
pod that the input does not hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from tenantprofile.connectivity.addresses import ALL_IPV4, Address, AddressSet, parse_address
from tenantprofile.connectivity.policies import Direction, Peer, Policy, Rule
from tenantprofile.connectivity.ports import PROTOCOLS, Protocol
from tenantprofile.connectivity.services import Service, ServicePort
from tenantprofile.connectivity.settings import DEFAULT_SETTINGS, Settings
from tenantprofile.connectivity.verdict import End, is_node, isolating, verdict
from tenantprofile.connectivity.workloads import Workload
from tenantprofile.connectivity.world import World
from tenantprofile.names import LABEL_NAMESPACE_NAME
from tenantprofile.selectors import Selector, SelectorError, parse_selector

State = Literal["open", "cut", "unknown"]
What = Literal["api server", "ingress", "monitoring", "dns", "external name", "probe"]

_WEBHOOKS: Final = ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration")
_ROUTES: Final = ("HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute")
_CONTROLLERS: Final = frozenset(
    {"ingress-nginx", "nginx-ingress", "traefik", "contour", "envoy", "kong", "haproxy-ingress"}
    | {
        "kubernetes-ingress",
        "aws-load-balancer-controller",
        "istio-ingressgateway",
        "ambassador",
        "emissary-ingress",
    }
)
"""Values of `app.kubernetes.io/name` or `app` by which the charts of ingress controllers label their pods."""
_CONTROLLER_NAMESPACES: Final = frozenset({"openshift-ingress", "ingress-nginx"})
_AMBIENT: Final = ("169.254.7.127", "fd16:9254:7127:1337:ffff:ffff:ffff:ffff")
"""From where kubelet probes reach pods of Istio's ambient mesh (istio, cni/README, HOST_PROBE_SNAT_IP)."""
_KUBE_DNS: Final = {"k8s-app": "kube-dns"}


@dataclass(frozen=True, slots=True)
class Need:
    """One flow. by: the objects that ask for it. namespace: where its pods are. count: alike pods.

    policies: those that cut it, or on which it depends. callers: namespaces that the connection comes from.
    selector: labels of the pods, as the object behind it selects them.
    """

    what: What
    by: tuple[str, ...]
    caller: str
    namespace: str
    pods: str
    protocol: Protocol | None
    port: int | None
    state: State
    reason: str
    policies: tuple[Policy, ...] = ()
    count: int = 1
    direction: Direction = "Ingress"
    selector: tuple[tuple[str, str], ...] = ()
    callers: tuple[str, ...] = ()
    addresses: tuple[Address, ...] = ()

    @property
    def text(self) -> str:
        """The flow in one line."""
        where = f", {self.protocol} {self.port}" if self.port else ""
        ends = (self.caller, self.pods) if self.direction == "Ingress" else (self.pods, self.caller)
        return f"{ends[0]} → {ends[1]}{where} ({', '.join(self.by)}): {self.state}, {self.reason}"

    def data(self) -> dict[str, Any]:
        """For programs."""
        return {
            "what": self.what,
            "by": list(self.by),
            "caller": self.caller,
            "namespace": self.namespace,
            "pods": self.pods,
            "count": self.count,
            "direction": self.direction,
            "protocol": self.protocol,
            "port": self.port,
            "state": self.state,
            "reason": self.reason,
            "policies": [str(policy) for policy in self.policies],
            "text": self.text,
        }


def needs(
    objects: Iterable[object],
    world: World,
    settings: Settings = DEFAULT_SETTINGS,
    what: frozenset[What] | None = None,
) -> list[Need]:
    """Every flow that objects need, sorted; what: only of these sorts.

    Objects are manifests as YAML gives them; lists are opened, and fields of wrong types are passed over.
    """
    finder = _Finder(objects, world, settings)
    found = finder.find(what)
    return _merged(need for need in found if what is None or need.what in what)


def entries(found: Iterable[Need]) -> dict[str, list[dict[str, Any]]]:
    """What is cut as entries of a profile (`spec.policies`), by namespace.

    Where the addresses of the API server are not known, every address is let in on the one port.
    """
    result: dict[str, list[dict[str, Any]]] = {}
    for need in found:
        if need.state == "cut" and (entry := _entry(need)) is not None:
            there = result.setdefault(need.namespace, [])
            names = {one["name"] for one in there}
            if all({k: v for k, v in one.items() if k not in ("name", "purpose")} != entry for one in there):
                base = f"{entry['template']}-{need.port}" if need.port else str(entry["template"])
                name = next(
                    n for n in (base, *(f"{base}-{i}" for i in range(2, len(there) + 3))) if n not in names
                )
                purpose = f"{need.caller} needs it for {need.by[0]}."
                there.append({"name": name, "purpose": purpose[0].upper() + purpose[1:], **entry})
    return result


def _entry(need: Need) -> dict[str, Any] | None:
    pods: dict[str, Any] = {"matchLabels": dict(need.selector)} if need.selector else {}
    if need.what == "dns":
        return {"template": "dns-egress", "parameters": {}}
    if need.what == "external name" or need.port is None or need.protocol != "TCP":
        return None
    parameters: dict[str, Any]
    if need.what == "api server":
        if need.addresses:
            parameters = {"cidrs": [f"{a}/{a.max_prefixlen}" for a in need.addresses]}
        else:
            parameters = {"cidrs": ["0.0.0.0/0", "::/0"], "allowAnyAddress": True}
        return {
            "template": "cidr-ingress",
            "parameters": {**parameters, "ports": [need.port], "podSelector": pods},
        }
    if need.what == "probe":
        cidrs = [f"{_AMBIENT[0]}/32", f"{_AMBIENT[1]}/128"]
        parameters = {"cidrs": cidrs, "ports": [need.port], "podSelector": pods}
        return {"template": "cidr-ingress", "parameters": parameters}
    if not need.callers:
        return None
    parameters = {"namespaces": list(need.callers), "ports": [need.port], "podSelector": pods}
    if need.what == "monitoring":
        return {"template": "monitoring-scrape", "parameters": {**parameters, "scraperPods": {}}}
    return {"template": "allow-from-namespaces", "parameters": parameters}


@dataclass(frozen=True, slots=True)
class _Caller:
    """Who connects. pods and addresses: what it may be, as far as the input says. all_of: each must get
    through; otherwise one that does is enough."""

    what: What
    name: str
    pods: tuple[Workload, ...] = ()
    addresses: tuple[Address, ...] = ()
    by_address: bool = False

    @property
    def namespaces(self) -> tuple[str, ...]:
        return tuple(sorted({pod.namespace for pod in self.pods}))


@dataclass(slots=True)
class _Finder:
    objects: Iterable[object]
    world: World
    settings: Settings
    _kinds: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict)

    def find(self, what: frozenset[What] | None) -> Iterator[Need]:
        """Those of these sorts; what takes a look at every pod only where it is asked for."""
        for raw in _each(self.objects):
            self._kinds.setdefault(str(raw.get("kind")), []).append(raw)
        yield from self._api_server()
        yield from self._ingress()
        yield from self._monitoring()
        if what is None or "dns" in what:
            yield from self._dns()
        if what is None or "external name" in what:
            yield from self._external_names()
        if what is None or "probe" in what:
            yield from self._probes()

    def _of(self, kind: str, *groups: str) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
        """(namespace, name, manifest) of a kind."""
        for raw in self._kinds.get(kind, ()):
            group = str(raw.get("apiVersion") or "").rpartition("/")[0]
            if group in groups:
                metadata = _map(raw.get("metadata"))
                yield _text(metadata.get("namespace")) or "default", _text(metadata.get("name")), raw

    # --- the API server ---

    def _api_server(self) -> Iterator[Need]:
        caller = self._api_server_caller()
        for kind in _WEBHOOKS:
            for _, name, raw in self._of(kind, "admissionregistration.k8s.io"):
                for webhook in _maps(raw.get("webhooks")):
                    by = f"{kind} {name}, webhook {_text(webhook.get('name'))}"
                    yield from self._called(caller, by, _map(webhook.get("clientConfig")).get("service"))
        for _, name, raw in self._of("APIService", "apiregistration.k8s.io"):
            yield from self._called(caller, f"APIService {name}", _map(raw.get("spec")).get("service"))
        for _, name, raw in self._of("CustomResourceDefinition", "apiextensions.k8s.io"):
            webhook = _map(_map(_map(raw.get("spec")).get("conversion")).get("webhook"))
            service = _map(webhook.get("clientConfig")).get("service")
            yield from self._called(caller, f"CustomResourceDefinition {name}, conversion", service)

    def _api_server_caller(self) -> _Caller:
        service = self.world.services.get(("default", "kubernetes"))
        addresses = tuple(endpoint.address for endpoint in service.endpoints) if service else ()
        agents = tuple(w for w in self.world.workloads if w.labels.get("k8s-app") == "konnectivity-agent")
        return _Caller("api server", "the API server", agents, addresses, by_address=True)

    def _called(self, caller: _Caller, by: str, raw: object) -> Iterator[Need]:
        reference = _map(raw)
        if not reference:
            return  # by URL, or an APIService that the API server serves itself
        port = reference.get("port") or 443
        namespace, name = _text(reference.get("namespace")), _text(reference.get("name"))
        yield from self._to_service(caller, by, namespace, name, port)

    # --- ingress ---

    def _ingress(self) -> Iterator[Need]:
        for namespace, name, raw in self._of("Ingress", "networking.k8s.io"):
            spec = _map(raw.get("spec"))
            backends = [_map(spec.get("defaultBackend"))]
            for rule in _maps(spec.get("rules")):
                backends += [_map(path.get("backend")) for path in _maps(_map(rule.get("http")).get("paths"))]
            for backend in backends:
                if service := _map(backend.get("service")):
                    port = _map(service.get("port"))
                    yield from self._to_service(
                        self._controller("the ingress controller"),
                        f"Ingress {namespace}/{name}",
                        namespace,
                        _text(service.get("name")),
                        port.get("number") or port.get("name"),
                    )
        for kind in _ROUTES:
            for namespace, name, raw in self._of(kind, "gateway.networking.k8s.io"):
                spec = _map(raw.get("spec"))
                caller = self._gateway(namespace, spec)
                for rule in _maps(spec.get("rules")):
                    for backend in _maps(rule.get("backendRefs")):
                        if backend.get("kind", "Service") == "Service":
                            space = _text(backend.get("namespace")) or namespace
                            yield from self._to_service(
                                caller,
                                f"{kind} {namespace}/{name}",
                                space,
                                _text(backend.get("name")),
                                backend.get("port"),
                            )
        for namespace, name, raw in self._of("Route", "route.openshift.io"):
            spec = _map(raw.get("spec"))
            for target in (_map(spec.get("to")), *_maps(spec.get("alternateBackends"))):
                if target.get("kind", "Service") == "Service" and target:
                    yield from self._to_service(
                        self._controller("the OpenShift router"),
                        f"Route {namespace}/{name}",
                        namespace,
                        _text(target.get("name")),
                        _map(spec.get("port")).get("targetPort"),
                    )

    def _controller(self, name: str) -> _Caller:
        pods = tuple(
            w
            for w in self.world.workloads
            if {w.labels.get("app.kubernetes.io/name"), w.labels.get("app")} & _CONTROLLERS
            or w.namespace in _CONTROLLER_NAMESPACES
        )
        main = tuple(
            w for w in pods if w.labels.get("app.kubernetes.io/component", "controller") == "controller"
        )
        return _Caller("ingress", name, main or pods)

    def _gateway(self, namespace: str, spec: Mapping[str, Any]) -> _Caller:
        """The pods of the Gateways that a route is attached to, which carry the Gateway's name."""
        parents = {
            (_text(ref.get("namespace")) or namespace, _text(ref.get("name")))
            for ref in _maps(spec.get("parentRefs"))
        }
        pods = tuple(
            w
            for w in self.world.workloads
            if (w.namespace, w.labels.get("gateway.networking.k8s.io/gateway-name")) in parents
        )
        return _Caller("ingress", "the Gateway", pods) if pods else self._controller("the Gateway")

    # --- monitoring ---

    def _monitoring(self) -> Iterator[Need]:
        caller = self._prometheus()
        services = {
            (namespace, name): _labels(raw)
            for namespace, name, raw in self._of("Service", "")
            if (namespace, name) in self.world.services
        }
        for namespace, name, raw in self._of("ServiceMonitor", "monitoring.coreos.com"):
            spec = _map(raw.get("spec"))
            selector = _selector(spec.get("selector"))
            for (space, service), labels in services.items():
                if selector is None or not selector.matches(labels) or not _watches(spec, namespace, space):
                    continue
                for endpoint in _maps(spec.get("endpoints")):
                    by = f"ServiceMonitor {namespace}/{name}"
                    port, target = endpoint.get("port"), endpoint.get("targetPort")
                    yield from self._to_service(caller, by, space, service, port, target)
        for namespace, name, raw in self._of("PodMonitor", "monitoring.coreos.com"):
            spec = _map(raw.get("spec"))
            selector = _selector(spec.get("selector"))
            pods = [
                w
                for w in self.world.workloads
                if selector is not None
                and selector.matches(w.labels)
                and _watches(spec, namespace, w.namespace)
            ]
            for endpoint in _maps(spec.get("podMetricsEndpoints")):
                port = endpoint.get("portNumber") or endpoint.get("port") or endpoint.get("targetPort")
                for pod in pods:
                    for number in _pod_ports(pod, port, "TCP"):
                        by, equal = f"PodMonitor {namespace}/{name}", _equal(selector)
                        yield self._to_pod(caller, by, pod, "TCP", number, equal)

    def _prometheus(self) -> _Caller:
        pods = [
            w
            for w in self.world.workloads
            if "prometheus" in (w.labels.get("app.kubernetes.io/name"), w.labels.get("app"))
        ]
        for kind in ("Prometheus", "PrometheusAgent"):
            for namespace, name, _ in self._of(kind, "monitoring.coreos.com"):
                if namespace in self.world.namespaces and not pods:
                    labels = {
                        "app.kubernetes.io/name": "prometheus",
                        "app.kubernetes.io/instance": name,
                        "app.kubernetes.io/managed-by": "prometheus-operator",
                        "operator.prometheus.io/name": name,
                        "prometheus": name,
                    }
                    pods.append(Workload(namespace, kind, name, labels))
        return _Caller("monitoring", "Prometheus", tuple(pods))

    # --- a connection to pods ---

    def _to_service(
        self, caller: _Caller, by: str, namespace: str, name: str, port: object, target: object = None
    ) -> Iterator[Need]:
        """port: a number or name of the Service; target: of its pods, which has the last word."""
        service = self.world.services.get((namespace, name))
        if service is None:
            reason = f"the Service {namespace}/{name} is not in the input"
            yield self._unknown(caller, by, namespace, f"{namespace}/service/{name}", reason)
            return
        pods = self.world.behind(service)
        if not pods:
            if service.selector:
                reason = f"none of the pods of the Service {service} is in the input"
                yield self._unknown(caller, by, namespace, f"{namespace}/service/{name}", reason)
            return
        for pod in pods:
            for protocol, number in _numbers(service, pod, port, target):
                yield self._to_pod(caller, by, pod, protocol, number, service.selector)

    def _unknown(self, caller: _Caller, by: str, namespace: str, pods: str, reason: str) -> Need:
        return Need(caller.what, (by,), caller.name, namespace, pods, None, None, "unknown", reason)

    def _to_pod(
        self,
        caller: _Caller,
        by: str,
        pod: Workload,
        protocol: Protocol,
        port: int,
        selector: tuple[tuple[str, str], ...],
    ) -> Need:
        state, reason, policies = self._judge(caller, pod, protocol, port)
        owner = f"{pod.namespace}/{'/'.join(pod.owner)}" if pod.owner else str(pod)
        return Need(
            caller.what,
            (by,),
            caller.name,
            pod.namespace,
            owner,
            protocol,
            port,
            state,
            reason,
            policies,
            selector=selector,
            callers=caller.namespaces,
            addresses=caller.addresses,
        )

    def _judge(
        self, caller: _Caller, pod: Workload, protocol: Protocol, port: int
    ) -> tuple[State, str, tuple[Policy, ...]]:
        if is_node(pod, self.settings):
            return "open", "the pods use their node's network, which no policy governs", ()
        policies = isolating(self.world, pod, "Ingress", self.settings)
        ends: tuple[End, ...] = (*caller.pods, *caller.addresses)
        if ends:
            return self._judge_ends(caller, ends, pod, protocol, port)
        if not policies:
            return "open", "no policy isolates the pods for Ingress", ()
        names = _listed(policies)
        rules = [(p, r) for p in policies for r in p.spec.rules("Ingress") if _fits(r, pod, protocol, port)]
        for policy, rule in rules:
            blocks = [peer.block for peer in rule.peers or () if peer.block is not None]
            if rule.peers is None or (caller.by_address and any(block >= ALL_IPV4 for block in blocks)):
                return "open", f"{policy} lets everybody in on this port", ()
        peers = [peer for _, rule in rules for peer in rule.peers or ()]
        blocks = [peer.block for peer in peers if peer.block is not None]
        if caller.by_address:
            if blocks:
                reason = f"{names} lets {_joined(blocks)} in, and the address of {caller.name} is not known"
                return "unknown", reason, policies
            if any(_may_be_konnectivity(peer) for peer in peers):
                reason = (
                    f"{names} lets kube-system in, which is right where konnectivity-agent pods make the call"
                )
                return "unknown", reason, policies
            return "cut", f"{names} lets no address in on this port", policies
        if peers:
            return (
                "unknown",
                f"the pods of {caller.name} are not in the input, and {names} names who may",
                policies,
            )
        return "cut", f"{names} lets nobody in on this port", policies

    def _judge_ends(
        self, caller: _Caller, ends: Sequence[End], pod: Workload, protocol: Protocol, port: int
    ) -> tuple[State, str, tuple[Policy, ...]]:
        found = [verdict(self.world, end, pod, protocol, port, self.settings) for end in ends]
        allowed = [one for one in found if one.allowed]
        if len(allowed) == len(found) or (caller.by_address and caller.pods and allowed):
            return "open", f"{allowed[0].source} gets through", ()
        denied = next(one for one in found if not one.allowed)
        sides = [side for side in (denied.egress, denied.ingress) if not side.allowed]
        policies = tuple(policy for side in sides for policy in side.isolated_by)
        if "address unknown" in denied.depends:
            return "unknown", f"it hangs on the address of {denied.source}, which is not known", policies
        if allowed:
            return "unknown", f"{allowed[0].source} gets through and {denied.source} does not", policies
        where = "out" if not denied.egress.allowed else "in"
        return "cut", f"{_listed(policies)} does not let {denied.source} {where} on this port", policies

    # --- from pods ---

    def _senders(self) -> Iterator[tuple[str, tuple[Policy, ...], list[Workload]]]:
        """Pods of each namespace by the policies that isolate them for egress."""
        groups: dict[tuple[str, tuple[Policy, ...]], list[Workload]] = {}
        for pod in self.world.workloads:
            if not is_node(pod, self.settings):
                policies = isolating(self.world, pod, "Egress", self.settings)
                groups.setdefault((pod.namespace, policies), []).append(pod)
        for (namespace, policies), pods in groups.items():
            yield namespace, policies, pods

    def _dns(self) -> Iterator[Need]:
        servers = [
            w
            for w in self.world.workloads
            if (w.namespace == "kube-system" and w.labels.get("k8s-app") == "kube-dns")
            or (w.namespace == "openshift-dns" and "dns.operator.openshift.io/daemonset-dns" in w.labels)
        ]
        for namespace, policies, pods in self._senders():
            clients = [pod for pod in pods if pod not in servers]
            if not clients:
                continue
            state, reason = self._names_resolve(clients[0], policies, servers)
            text = str(clients[0]) if len(clients) == 1 else f"{len(clients)} pods such as {clients[0]}"
            yield Need(
                "dns",
                ("names are resolved",),
                "the cluster's DNS",
                namespace,
                text,
                "UDP",
                53,
                state,
                reason,
                policies if state != "open" else (),
                len(clients),
                "Egress",
            )

    def _names_resolve(
        self, pod: Workload, policies: tuple[Policy, ...], servers: Sequence[Workload]
    ) -> tuple[State, str]:
        if not policies:
            return "open", "no policy isolates the pods for Egress"
        for server in servers:
            port = next(iter(server.numbers("dns", "UDP")), 53)
            if verdict(self.world, pod, server, "UDP", port, self.settings).allowed:
                return "open", f"{server} is reached"
        rules = [r for p in policies for r in p.spec.rules("Egress") if _asks_dns(r)]
        if any(r.peers is None for r in rules):
            return "open", "every destination may be asked"
        peers = [peer for rule in rules for peer in rule.peers or ()]
        if not servers and any(_is_kube_dns(peer) for peer in peers):
            return "open", "the DNS pods of kube-system may be asked, as kubeadm labels them"
        if any(peer.block is not None or (not servers and peer.namespaces is not None) for peer in peers):
            return "unknown", f"{_listed(policies)} lets something be asked on a DNS port; is it the DNS?"
        return "cut", f"{_listed(policies)} lets no DNS be asked"

    def _external_names(self) -> Iterator[Need]:
        senders = list(self._senders())
        for service in self.world.services.values():
            if not service.external_name or service.external_name.endswith(".svc.cluster.local"):
                continue
            states = [
                _outside(policies, service.ports)
                for namespace, policies, _ in senders
                if namespace == service.namespace
            ]
            if not states:
                continue
            if all(state == "cut" for state in states):
                state: State = "cut"
                reason = "policies let no pod of the namespace reach an address outside"
            elif all(state == "open" for state in states):
                state, reason = "open", "every pod of the namespace reaches every address"
            else:
                state, reason = (
                    "unknown",
                    "which addresses it has, and which pods use it, is not in the input",
                )
            isolated = {p: None for n, ps, _ in senders if n == service.namespace for p in ps}
            port = service.ports[0] if service.ports else None
            yield Need(
                "external name",
                (f"Service {service}",),
                service.external_name,
                service.namespace,
                f"pods in {service.namespace}",
                port.protocol if port else None,
                port.port if port else None,
                state,
                reason,
                tuple(isolated) if state != "open" else (),
                direction="Egress",
            )

    # --- probes ---

    def _probes(self) -> Iterator[Need]:
        """The kubelet connects from the pod's own node, which is always let in, except in an ambient mesh."""
        specs = {
            (namespace, kind, name): _pod_spec(raw)
            for kind, raws in self._kinds.items()
            for raw in raws
            for namespace, name in [_place(raw)]
        }
        ambient = tuple(parse_address(text) for text in _AMBIENT[:1])
        for pod in self.world.workloads:
            spec = specs.get(pod.key)
            policies = isolating(self.world, pod, "Ingress", self.settings)
            if not spec or not policies:
                continue
            mesh = self.world.namespaces[pod.namespace].labels.get("istio.io/dataplane-mode") == "ambient"
            for number in sorted({n for port in _probe_ports(spec) for n in _pod_ports(pod, port, "TCP")}):
                caller = _Caller("probe", "the kubelet", addresses=ambient if mesh else ())
                equal = tuple(sorted(pod.labels.items())) if mesh else ()
                if mesh:
                    yield self._to_pod(caller, "probes in Istio's ambient mesh", pod, "TCP", number, equal)
                    continue
                owner = f"{pod.namespace}/{'/'.join(pod.owner)}" if pod.owner else str(pod)
                reason = "a pod's own node is always let in"
                yield Need(
                    "probe", ("probes",), "the kubelet", pod.namespace, owner, "TCP", number, "open", reason
                )


# --- rules ---


def _fits(rule: Rule, pod: Workload, protocol: Protocol, port: int) -> bool:
    if rule.numbers.contains(protocol, port):
        return True
    return any(own == protocol and port in pod.numbers(name, protocol) for name, own in rule.names)


def _asks_dns(rule: Rule) -> bool:
    return any(rule.numbers.contains("UDP", port) for port in (53, 5353)) or any(
        protocol == "UDP" for _, protocol in rule.names
    )


def _is_kube_dns(peer: Peer) -> bool:
    return (
        peer.namespaces is not None
        and peer.namespaces.matches({LABEL_NAMESPACE_NAME: "kube-system"})
        and peer.pods.matches(_KUBE_DNS)
    )


def _may_be_konnectivity(peer: Peer) -> bool:
    return (
        peer.namespaces is not None
        and peer.namespaces.matches({LABEL_NAMESPACE_NAME: "kube-system"})
        and peer.pods.matches({"k8s-app": "konnectivity-agent"})
    )


def _outside(policies: tuple[Policy, ...], ports: tuple[ServicePort, ...]) -> State:
    """Whether an address that nobody knows is reached, on one of these ports (none: on any)."""
    if not policies:
        return "open"
    rules = [
        rule
        for policy in policies
        for rule in policy.spec.rules("Egress")
        if not ports or any(rule.numbers.contains(port.protocol, port.port) for port in ports)
    ]
    blocks = [peer.block for rule in rules for peer in rule.peers or () if peer.block is not None]
    if any(rule.peers is None for rule in rules) or any(block >= ALL_IPV4 for block in blocks):
        return "open"
    return "unknown" if blocks else "cut"


def _numbers(service: Service, pod: Workload, port: object, target: object) -> Iterator[tuple[Protocol, int]]:
    """The pod's ports behind what an object calls a port of the Service."""
    if target is not None and port is None:
        matching = [p for p in service.ports if target in (p.target, p.name, p.port)]
        if not matching:
            yield from (("TCP", number) for number in _pod_ports(pod, target, "TCP"))
            return
    else:
        matching = [p for p in service.ports if port is None or port in (p.port, p.name, p.target)]
        exact = [p for p in matching if port in (p.port, p.name)]
        matching = exact or matching
    for found in matching:
        yield from ((found.protocol, number) for number in service.targets(pod, found))


def _pod_ports(pod: Workload, port: object, protocol: Protocol) -> tuple[int, ...]:
    if isinstance(port, bool):
        return ()
    if isinstance(port, int):
        return (port,) if 1 <= port <= 65535 else ()
    return pod.numbers(port, protocol) if isinstance(port, str) and protocol in PROTOCOLS else ()


# --- manifests of kinds that nobody checks ---


def _each(objects: Iterable[object]) -> Iterator[Mapping[str, Any]]:
    for raw in objects:
        if not isinstance(raw, Mapping):
            continue
        if isinstance(raw.get("items"), list) and str(raw.get("kind", "")).endswith("List"):
            yield from _each(raw["items"])
        else:
            yield raw


def _map(raw: object) -> Mapping[str, Any]:
    return raw if isinstance(raw, Mapping) else {}


def _maps(raw: object) -> list[Mapping[str, Any]]:
    return [item for item in raw if isinstance(item, Mapping)] if isinstance(raw, list) else []


def _text(raw: object) -> str:
    return raw if isinstance(raw, str) else ""


def _labels(raw: Mapping[str, Any]) -> dict[str, str]:
    labels = _map(_map(raw.get("metadata")).get("labels"))
    return {key: value for key, value in labels.items() if isinstance(key, str) and isinstance(value, str)}


def _place(raw: Mapping[str, Any]) -> tuple[str, str]:
    metadata = _map(raw.get("metadata"))
    return _text(metadata.get("namespace")) or "default", _text(metadata.get("name"))


def _selector(raw: object) -> Selector | None:
    if not isinstance(raw, Mapping):
        return None
    try:
        return parse_selector(raw)
    except SelectorError:
        return None


def _equal(selector: Selector | None) -> tuple[tuple[str, str], ...]:
    requirements = selector.requirements if selector else ()
    return tuple(
        (r.key, next(iter(r.values))) for r in requirements if r.operator == "In" and len(r.values) == 1
    )


def _watches(spec: Mapping[str, Any], home: str, namespace: str) -> bool:
    chosen = _map(spec.get("namespaceSelector"))
    if chosen.get("any") is True:
        return True
    names = chosen.get("matchNames")
    return namespace in names if isinstance(names, list) and names else namespace == home


def _pod_spec(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    spec = _map(raw.get("spec"))
    if raw.get("kind") == "CronJob":
        spec = _map(_map(spec.get("jobTemplate")).get("spec"))
    template = _map(spec.get("template"))
    return _map(template.get("spec")) if template else spec


def _probe_ports(spec: Mapping[str, Any]) -> Iterator[int | str]:
    for container in _maps(spec.get("containers")):
        for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
            for way in ("httpGet", "tcpSocket", "grpc"):
                port = _map(_map(container.get(probe)).get(way)).get("port")
                if isinstance(port, int | str) and not isinstance(port, bool):
                    yield port


# --- words ---


def _merged(found: Iterable[Need]) -> list[Need]:
    """One need for alike pods and for all objects that ask for the same flow; cut first, then unknown."""
    together: dict[object, list[Need]] = {}
    for need in found:
        key = (need.what, need.caller, need.pods, need.protocol, need.port, need.state, need.reason)
        together.setdefault(key, []).append(need)
    result = []
    for same in together.values():
        by = tuple(dict.fromkeys(name for need in same for name in need.by))
        first = same[0]
        count = first.count if first.what in ("dns", "external name") else len(same) // len(by) or 1
        values = {name: getattr(first, name) for name in first.__dataclass_fields__}
        result.append(Need(**{**values, "by": by, "count": count}))
    order = {"cut": 0, "unknown": 1, "open": 2}
    return sorted(result, key=lambda n: (order[n.state], n.namespace, n.what, n.pods, n.port or 0, n.by))


def _listed(policies: Sequence[Policy]) -> str:
    names = [str(policy) for policy in policies]
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _joined(blocks: Sequence[AddressSet]) -> str:
    texts = [str(block) for block in dict.fromkeys(blocks)]
    return ", ".join(texts[:3]) + (f" and {len(texts) - 3} more ranges" if len(texts) > 3 else "")
