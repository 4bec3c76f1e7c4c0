"""network-config-analyzer, called in-process, as a judge that no one here wrote.

Known deviations of the oracle, and what is done about each so that the rest can be compared:

1. Simulated kube-dns. Its file loader adds a made-up kube-dns (and ingress controller) when a policy
   mentions one. The loader is left aside: pods, namespaces and policies are handed over as parsed.
2. policyTypes. It refuses [Egress, Ingress] in this order and rules of a direction that is not
   listed, and takes a missing policyTypes with `egress: []` for Egress. The API server accepts the
   first two, ignores such rules, and needs a rule for the default. Policies are handed over with
   policyTypes written out in its order and without ignored rules.
3. ipBlock never matches pods. The engine is asked with `ip_blocks_match_pods` off.
4. Alike pods. It drops pods beyond the second with equal labels and owner: each gets a label of its own.
5. A pod to itself is a matter of policy there and always allowed here: not compared.
6. Exists and DoesNotExist of a podSelector beside a namespaceSelector are looked up in the policy's own
   namespace only (its parse_label_selector_requirement passes self.namespace; In and NotIn do not).
   There they are written as In and NotIn of every value that any pod has for the key.
7. A selector that is null selects nothing there and everything in the API: written out as `{}`.
"""

from __future__ import annotations

import contextlib
import io
from collections import defaultdict
from ipaddress import ip_address

from tenantprofile.connectivity import intervals
from tenantprofile.connectivity.addresses import ALL_ADDRESSES, NO_ADDRESSES, AddressSet, position
from tenantprofile.connectivity.ports import EVERY_PORT, NO_PORTS, PROTOCOLS, PortSet

NUMBERS = dict(zip((6, 17, 132), PROTOCOLS, strict=True))
V6_FIRST = position(ip_address("::"))


def connectivity(objects):
    """What the oracle makes of manifests.

    Returns ({(source, destination): PortSet}, {pod: {PortSet: AddressSet}} outbound, and inbound);
    pods by "namespace/name", parts without any port left out.
    """
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        found, pods = _analyse(objects)
        return _maps(found, pods)


def readable(policy, values):
    """A policy in the form that the oracle reads as the API server would (deviations 2, 6 and 7).

    values: those of all pods' labels, by key.
    """
    spec = policy["spec"]
    types = spec.get("policyTypes") or (["Ingress", "Egress"] if spec.get("egress") else ["Ingress"])
    kept = {"podSelector": spec.get("podSelector") or {}, "policyTypes": sorted(types, reverse=True)}
    for direction in types:
        if spec.get(direction.lower()) is not None:
            side = "from" if direction == "Ingress" else "to"
            kept[direction.lower()] = [
                {**rule, side: [_spelled_out(peer, values) for peer in rule[side]]}
                if rule.get(side)
                else rule
                for rule in spec[direction.lower()]
            ]
    return {**policy, "spec": kept}


def _spelled_out(peer, values):
    expressions = (peer.get("podSelector") or {}).get("matchExpressions")
    if "namespaceSelector" not in peer or not expressions:
        return peer
    written = []
    for term in expressions:
        if term["operator"] in ("Exists", "DoesNotExist"):
            operator = "In" if term["operator"] == "Exists" else "NotIn"
            known = sorted(values.get(term["key"], ())) or ["no-pod-has-this"]
            term = {"key": term["key"], "operator": operator, "values": known}
        written.append(term)
    return {**peer, "podSelector": {**peer["podSelector"], "matchExpressions": written}}


def distinct(pod):
    """A pod that the oracle takes for no other (deviation 4)."""
    metadata = pod["metadata"]
    labels = {**metadata.get("labels", {}), "oracle": metadata["name"]}
    return {**pod, "metadata": {**metadata, "labels": labels}}


def _analyse(objects):
    from nca.CoreDS.Peer import BasePeerSet
    from nca.NetworkConfig.NetworkConfig import NetworkConfig
    from nca.NetworkConfig.NetworkLayer import PolicyConnectionsFilter
    from nca.NetworkConfig.PeerContainer import PeerContainer
    from nca.NetworkConfig.PoliciesFinder import PoliciesFinder
    from nca.NetworkConfig.TopologyObjectsFinder import NamespacesFinder, PodsFinder

    BasePeerSet.reset()
    spaces, pods, policies = NamespacesFinder(), PodsFinder(), PoliciesFinder()
    pods.namespaces_finder = spaces
    for manifest in objects:
        if manifest["kind"] == "Namespace":
            metadata = manifest["metadata"]
            own = {"kubernetes.io/metadata.name": metadata["name"]}
            labelled = {**metadata, "labels": {**metadata.get("labels", {}), **own}}
            spaces.parse_yaml_code_for_ns({**manifest, "metadata": labelled})
    for manifest in objects:
        if manifest["kind"] == "Pod":
            pods.add_eps_from_yaml(distinct(manifest))
    peers = PeerContainer(pods.peer_set, spaces.namespaces, [], pods.representative_peers)
    policies.set_peer_container(peers)
    values = defaultdict(set)
    for manifest in objects:
        if manifest["kind"] == "Pod":
            for key, value in manifest["metadata"].get("labels", {}).items():
                values[key].add(value)
    for manifest in objects:
        if manifest["kind"] == "NetworkPolicy":
            policies.parse_yaml_code_for_policy(readable(manifest, values), "generated")
    policies.parse_policies_in_parse_queue()
    wanted = PolicyConnectionsFilter.only_all_allowed_connections()
    found = NetworkConfig("generated", peers, policies).allowed_connections(res_conns_filter=wanted)
    known = BasePeerSet()
    index = {
        known.min_pod_index + at: f"{p.namespace.name}/{p.name}" for p, at in known.peer_to_index.items()
    }
    return found.all_allowed_conns, index


def _maps(found, index):
    from nca.CoreDS.Peer import BasePeerSet

    pairs = defaultdict(lambda: NO_PORTS)
    outbound = {name: {NO_PORTS: ALL_ADDRESSES} for name in index.values()}
    inbound = {name: {NO_PORTS: ALL_ADDRESSES} for name in index.values()}
    every = BasePeerSet.get_all_peers_and_ip_blocks_interval()
    for raw in found:
        dimensions = dict(zip(found.active_dimensions, raw, strict=True))
        ports = _ports(dimensions)
        if not ports:
            continue
        ends = []
        for name in ("src_peers", "dst_peers"):
            chosen = dimensions.get(name, every)
            ends.append(([pod for at, pod in index.items() if at in chosen], _addresses(chosen)))
        (sources, from_addresses), (destinations, to_addresses) = ends
        for source in sources:
            for destination in destinations:
                if source != destination:
                    pairs[source, destination] |= ports
            outbound[source] = _join(outbound[source], to_addresses, ports)
        for destination in destinations:
            inbound[destination] = _join(inbound[destination], from_addresses, ports)
    for parts in (*outbound.values(), *inbound.values()):
        parts.pop(NO_PORTS, None)
    return dict(pairs), outbound, inbound


def _ports(dimensions):
    protocols, numbers = dimensions.get("protocols"), dimensions.get("dst_ports")
    result = NO_PORTS
    for number, protocol in NUMBERS.items():
        if protocols is not None and number not in protocols:
            continue
        if numbers is None:
            result |= EVERY_PORT[protocol]
        else:
            for each in getattr(numbers, "port_set", numbers):
                result |= PortSet.of(protocol, each.start, each.end)
    return result


def _addresses(chosen):
    from nca.CoreDS.Peer import BasePeerSet

    known = BasePeerSet()
    bounds = intervals.EMPTY
    for each in chosen:
        if each.end <= known.max_ipv4_index:
            bounds = intervals.union(bounds, intervals.interval(each.start, each.end))
        elif each.end <= known.max_ipv6_index:
            shift = V6_FIRST - known.min_ipv6_index
            bounds = intervals.union(bounds, intervals.interval(each.start + shift, each.end + shift))
    return AddressSet(bounds)


def _join(parts, addresses, ports):
    split = {}
    for before, part in parts.items():
        for joined, piece in ((before | ports, part & addresses), (before, part - addresses)):
            if piece:
                split[joined] = split.get(joined, NO_ADDRESSES) | piece
    return split
