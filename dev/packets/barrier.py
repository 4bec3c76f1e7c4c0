"""When has the engine seen everything that was written so far?

Two canary pods tell. A round changes a label of their namespace, a label of the one that calls, and
the policy of the one that is called, in such a way that one of two ports opens only where all three
changes are in force, and the other, which the round before had opened, closes. The engine learns of
each kind of object in the order in which they were written, so whatever was written before the
round is in force as well, in that address family.

Without it a matrix could be probed before the engine had even heard of the policies, and a test
that expects an open connection would pass for the wrong reason.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from .api import Api
from .flows import FAMILIES, Flow, Outcome

NAMESPACE = "packets-barrier"
CALLER, CALLED = f"{NAMESPACE}/caller", f"{NAMESPACE}/called"
PORTS = (7001, 7002)
SECONDS = 30.0

_LABEL = "packets/round"


class BarrierError(RuntimeError):
    """The engine did not get there in time."""


class Barrier:
    """Rounds over the two canary pods, which have to exist."""

    def __init__(self, api: Api, probe: Callable[[Sequence[Flow], float], dict[Flow, Outcome]]) -> None:
        self._api = api
        self._probe = probe
        self._round = 0

    def prepare(self) -> None:
        """The caller may call whatever other policies its namespace gets."""
        self._api.apply(_policy("caller", "caller", {"policyTypes": ["Egress"], "egress": [{}]}))

    def wait(self, seconds: float = SECONDS) -> float:
        """Return when everything written before is in force: how many seconds that took.

        Raises BarrierError.
        """
        self._round += 1
        number, port = str(self._round), PORTS[self._round % 2]
        change = {"metadata": {"labels": {_LABEL: number}}}
        began = time.monotonic()
        self._api.apply(
            _policy(
                "called",
                "called",
                {
                    "policyTypes": ["Ingress"],
                    "ingress": [
                        {
                            "from": [
                                {
                                    "namespaceSelector": {"matchLabels": {_LABEL: number}},
                                    "podSelector": {"matchLabels": {_LABEL: number}},
                                }
                            ],
                            "ports": [{"protocol": "TCP", "port": port}],
                        }
                    ],
                },
            )
        )
        self._api.patch("Pod", NAMESPACE, "caller", change)
        self._api.patch("Namespace", "", NAMESPACE, change)
        wanted = {
            Flow(CALLER, CALLED, "TCP", other, family): Outcome.OPEN if other == port else Outcome.REFUSED
            for other in PORTS
            for family in FAMILIES
        }
        while True:
            found = self._probe(list(wanted), 0.25)
            if found == wanted:
                return time.monotonic() - began
            if time.monotonic() - began > seconds:
                said = ", ".join(f"{flow}: {outcome}" for flow, outcome in found.items())
                raise BarrierError(f"the engine did not get there in {seconds:.0f} s ({said})")
            time.sleep(0.01)


def _policy(name: str, pod: str, spec: dict[str, Any]) -> dict[str, Any]:
    selector = {"podSelector": {"matchLabels": {"packets/role": pod}}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": selector | spec,
    }
