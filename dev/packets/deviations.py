"""Where the enforcement engine (kube-router 2.10) is known to differ from the NetworkPolicy API.

Written down, so that a difference on the wire is either here or a bug of ours. Each is shown by a
test (tests/packets/test_deviations.py), which fails when the engine gets it right one day. `advice`
is what an author of policies can do about it, for engines other than this one as well.

The parties are those of `populate`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from .api import Object
from .flows import Flow, Protocol
from .world import World

NAMESPACE = "deviations"


@dataclass(frozen=True, slots=True)
class Deviation:
    """A policy that is enforced wrongly: which flows show it, and what the API says of them."""

    name: str
    title: str
    advice: str
    lint_rule: str
    """The rule of `tenantprofile lint` that finds such policies."""
    policies: tuple[Object, ...]
    flows: tuple[Flow, ...]
    """At least one of them shows it; which one may change from one synchronisation to the next."""
    allowed_by_api: bool


def populate(world: World) -> None:
    """Pods that serve, one that calls, and a host outside."""
    world.add_namespace(NAMESPACE)
    world.add_pod(NAMESPACE, "client", {"app": "client"})
    world.add_pod(NAMESPACE, "server", {"app": "server"}, [("http", "TCP", 8080)])
    for name, metrics in (("one", 9090), ("two", 9091)):
        ports: list[tuple[str, Protocol, int]] = [("http", "TCP", 8080), ("metrics", "TCP", metrics)]
        world.add_pod(NAMESPACE, name, {"app": "several"}, ports)
    world.add_host("in-both", "10.50.0.10")


def _policy(name: str, spec: Mapping[str, Any]) -> Object:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": dict(spec),
    }


def _pods(app: str) -> dict[str, Any]:
    return {"matchLabels": {"app": app}}


def _flow(source: str, destination: str, port: int) -> Flow:
    return Flow(f"{NAMESPACE}/{source}", destination, "TCP", port, 4)


DEVIATIONS: Final[tuple[Deviation, ...]] = (
    Deviation(
        "both-directions",
        "One policy for both directions that selects both ends: what it allows in one direction, it "
        "allows in the other",
        "Write one policy for each direction.",
        "both-directions",
        (
            _policy(
                "both",
                {
                    "podSelector": {},
                    "policyTypes": ["Ingress", "Egress"],
                    "ingress": [{"from": [{"podSelector": {}}]}],
                },
            ),
        ),
        (_flow("client", f"{NAMESPACE}/server", 8080),),
        False,
    ),
    Deviation(
        "named-port-nobody-has",
        "A named port that no selected pod has: every port is open",
        "Write ports as numbers.",
        "named-port",
        (
            _policy(
                "unknown-name",
                {
                    "podSelector": _pods("server"),
                    "policyTypes": ["Ingress"],
                    "ingress": [
                        {
                            "from": [{"podSelector": _pods("client")}],
                            "ports": [{"protocol": "TCP", "port": "nobody-has"}],
                        }
                    ],
                },
            ),
        ),
        (_flow("client", f"{NAMESPACE}/server", 9091),),
        False,
    ),
    Deviation(
        "several-named-ports",
        "Pods with several named ports that do not all agree on the numbers: a name opens another pod's "
        "number as well",
        "Write ports as numbers.",
        "named-port",
        (
            _policy(
                "several-names",
                {
                    "podSelector": _pods("several"),
                    "policyTypes": ["Ingress"],
                    "ingress": [
                        {
                            "from": [{"podSelector": _pods("client")}],
                            "ports": [{"protocol": "TCP", "port": "metrics"}],
                        }
                    ],
                },
            ),
        ),
        (_flow("client", f"{NAMESPACE}/two", 9090), _flow("client", f"{NAMESPACE}/one", 9091)),
        False,
    ),
    Deviation(
        "overlapping-blocks",
        "Overlapping address ranges of which one has an exception: the exception wins over the other range",
        "Write ranges that do not overlap.",
        "overlapping-ranges",
        (
            _policy(
                "overlap",
                {
                    "podSelector": _pods("client"),
                    "policyTypes": ["Egress"],
                    "egress": [
                        {
                            "to": [
                                {"ipBlock": {"cidr": "10.50.0.0/16", "except": ["10.50.0.0/24"]}},
                                {"ipBlock": {"cidr": "10.50.0.0/20"}},
                            ]
                        }
                    ],
                },
            ),
        ),
        (_flow("client", "in-both", 443),),
        True,
    ),
)
