"""Random small clusters and policies for hypothesis: few names, so that everything meets everything."""

from __future__ import annotations

from hypothesis import strategies as st

NAMESPACES = ("red", "green", "blue")
PORTS = (53, 80, 81, 443, 8080, 65535)
PORT_NAMES = ("web", "dns")
PROTOCOLS = ("TCP", "UDP", "SCTP")
LABELS = {"app": ("a", "b", "c"), "tier": ("front", "back")}
SPACE_LABELS = {"env": ("prod", "dev"), "team": ("one",)}
BLOCKS = (
    {"cidr": "0.0.0.0/0"},
    {"cidr": "10.0.0.0/24"},
    {"cidr": "10.0.0.0/24", "except": ["10.0.0.0/29"]},
    {"cidr": "10.0.0.4/30", "except": []},
    {"cidr": "10.0.0.2/32"},
    {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8", "192.0.2.0/25"]},
    {"cidr": "::/0", "except": ["fd00::/8"]},
    {"cidr": "2001:db8::/32"},
)
ADDRESSES = (
    "0.0.0.0",  # noqa: S104
    "9.255.255.255",
    "10.0.0.255",
    "10.0.1.0",
    "192.0.2.127",
    "192.0.2.128",
    "255.255.255.255",
    "::",
    "2001:db8::1",
    "2001:db9::",
    "fd00::1",
    "ffff::",
)


def labels(source):
    pairs = {key: st.sampled_from(values) for key, values in source.items()}
    return st.fixed_dictionaries({}, optional=pairs)


def expressions(source):
    def of(key):
        values = st.lists(st.sampled_from(source[key]), min_size=1, max_size=2, unique=True)
        listed = st.fixed_dictionaries(
            {"key": st.just(key), "operator": st.sampled_from(("In", "NotIn")), "values": values}
        )
        bare = st.fixed_dictionaries(
            {"key": st.just(key), "operator": st.sampled_from(("Exists", "DoesNotExist"))}
        )
        return st.one_of(listed, bare)

    return st.sampled_from(sorted(source)).flatmap(of)


def selectors(source):
    return st.one_of(
        st.just({}),
        st.fixed_dictionaries({"matchLabels": labels(source)}),
        st.fixed_dictionaries({"matchExpressions": st.lists(expressions(source), min_size=1, max_size=2)}),
    )


SPACE_SELECTORS = selectors({**SPACE_LABELS, "kubernetes.io/metadata.name": NAMESPACES})
PEERS = st.one_of(
    st.fixed_dictionaries({"podSelector": selectors(LABELS)}),
    st.fixed_dictionaries({"namespaceSelector": SPACE_SELECTORS}),
    st.fixed_dictionaries({"namespaceSelector": SPACE_SELECTORS, "podSelector": selectors(LABELS)}),
    st.fixed_dictionaries({"ipBlock": st.sampled_from(BLOCKS)}),
)
SELECTOR_PEERS = st.one_of(
    st.fixed_dictionaries({"podSelector": selectors(LABELS)}),
    st.fixed_dictionaries({"namespaceSelector": SPACE_SELECTORS}),
    st.fixed_dictionaries({"namespaceSelector": SPACE_SELECTORS, "podSelector": selectors(LABELS)}),
)


@st.composite
def port_items(draw):
    item = {}
    if draw(st.booleans()):
        item["protocol"] = draw(st.sampled_from(PROTOCOLS))
    form = draw(st.sampled_from(("number", "name", "range", "none")))
    if form == "number":
        item["port"] = draw(st.sampled_from(PORTS))
    elif form == "name":
        item["port"] = draw(st.sampled_from(PORT_NAMES))
    elif form == "range":
        item["port"] = draw(st.sampled_from(PORTS))
        item["endPort"] = draw(st.sampled_from([p for p in PORTS if p >= item["port"]]))
    return item


def rules(side, peers):
    return st.fixed_dictionaries(
        {},
        optional={side: st.lists(peers, max_size=2), "ports": st.lists(port_items(), max_size=2)},
    )


def policies(peers=PEERS, policy_types=None):
    kinds = policy_types or (["Ingress"], ["Egress"], ["Ingress", "Egress"], ["Egress", "Ingress"], [])
    spec = st.fixed_dictionaries(
        {"podSelector": selectors(LABELS)},
        optional={
            "policyTypes": st.sampled_from(kinds),
            "ingress": st.lists(rules("from", peers), max_size=2),
            "egress": st.lists(rules("to", peers), max_size=2),
        },
    )
    return st.tuples(st.sampled_from(NAMESPACES), spec)


def policy(index, namespace, spec):
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": f"policy-{index}", "namespace": namespace},
        "spec": spec,
    }


@st.composite
def pods(draw):
    found = []
    for index in range(draw(st.integers(2, 6))):
        declared = [
            {
                "name": name,
                "containerPort": draw(st.sampled_from(PORTS)),
                "protocol": draw(st.sampled_from(PROTOCOLS)),
            }
            for name in PORT_NAMES
            if draw(st.booleans())
        ]
        found.append(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {
                    "name": f"pod-{index}",
                    "namespace": draw(st.sampled_from(NAMESPACES)),
                    "labels": draw(labels(LABELS)),
                },
                "spec": {"containers": [{"name": "main", "ports": declared}]},
                "status": {"podIP": f"10.0.0.{index + 1}", "podIPs": [{"ip": f"10.0.0.{index + 1}"}]},
            }
        )
    return found


@st.composite
def clusters(draw, policy_strategy=None, most=5):
    """Manifests of a whole small cluster: namespaces, pods, policies."""
    spaces = [
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": name, "labels": draw(labels(SPACE_LABELS))},
        }
        for name in NAMESPACES
    ]
    drawn = draw(st.lists(policies() if policy_strategy is None else policy_strategy, max_size=most))
    return [*spaces, *draw(pods()), *(policy(i, space, spec) for i, (space, spec) in enumerate(drawn))]


def of_kind(objects, kind):
    return [o for o in objects if o["kind"] == kind]
