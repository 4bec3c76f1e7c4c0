"""A naive evaluator of NetworkPolicies, straight from the API documentation, manifest by manifest.

It shares no code with the engine: selectors, ports and addresses are read anew for every question.
Correct because it is short; slow because it may be.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network


def selects(selector, labels):
    selector = selector or {}
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    for term in selector.get("matchExpressions") or []:
        key, operator, values = term["key"], term["operator"], term.get("values") or []
        holds = {
            "In": key in labels and labels[key] in values,
            "NotIn": key not in labels or labels[key] not in values,
            "Exists": key in labels,
            "DoesNotExist": key not in labels,
        }[operator]
        if not holds:
            return False
    return True


def types(spec):
    return spec.get("policyTypes") or (["Ingress", "Egress"] if spec.get("egress") else ["Ingress"])


def port_matches(item, destination, protocol, port, by_address):
    if (item.get("protocol") or "TCP") != protocol:
        return False
    wanted = item.get("port")
    if wanted is None:
        return True
    if isinstance(wanted, int):
        return wanted <= port <= (item.get("endPort") or wanted)
    if isinstance(destination, str) or by_address:
        return False
    declared = [p for c in destination["spec"]["containers"] for p in c.get("ports", [])]
    return any(
        p.get("name") == wanted and p["containerPort"] == port and (p.get("protocol") or "TCP") == protocol
        for p in declared
    )


def peer_matches(peer, policy, other, namespaces):
    block = peer.get("ipBlock")
    if block is not None:
        address = ip_address(other if isinstance(other, str) else other["status"]["podIP"])
        inside = address in ip_network(block["cidr"])
        return inside and not any(address in ip_network(hole) for hole in block.get("except") or [])
    if isinstance(other, str):
        return False
    space = other["metadata"]["namespace"]
    if peer.get("namespaceSelector") is None:
        if space != policy["metadata"]["namespace"]:
            return False
    elif not selects(peer["namespaceSelector"], namespaces[space]):
        return False
    return selects(peer.get("podSelector"), other["metadata"].get("labels", {}))


def side_allows(policies, namespaces, direction, subject, other, destination, protocol, port):
    if isinstance(subject, str):
        return True
    isolated = False
    for policy in policies:
        spec = policy["spec"]
        if policy["metadata"]["namespace"] != subject["metadata"]["namespace"]:
            continue
        if not selects(spec["podSelector"], subject["metadata"].get("labels", {})):
            continue
        if direction not in types(spec):
            continue
        isolated = True
        for rule in spec.get(direction.lower()) or []:
            peers = rule.get("from" if direction == "Ingress" else "to") or [None]
            for peer in peers:
                if peer is not None and not peer_matches(peer, policy, other, namespaces):
                    continue
                by_address = direction == "Egress" and peer is not None and "ipBlock" in peer
                ports = rule.get("ports")
                if not ports or any(port_matches(p, destination, protocol, port, by_address) for p in ports):
                    return True
    return not isolated


def allowed(objects, source, destination, protocol, port):
    """source and destination: a Pod manifest or an address; whether the connection is allowed."""
    namespaces = {
        o["metadata"]["name"]: {
            "kubernetes.io/metadata.name": o["metadata"]["name"],
            **o["metadata"]["labels"],
        }
        for o in objects
        if o["kind"] == "Namespace"
    }
    policies = [o for o in objects if o["kind"] == "NetworkPolicy"]
    if source is destination:
        return True
    return side_allows(
        policies, namespaces, "Egress", source, destination, destination, protocol, port
    ) and side_allows(policies, namespaces, "Ingress", destination, source, destination, protocol, port)
