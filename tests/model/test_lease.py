"""Two candidates for one lease whose requests are slow, lost and overtake each other: never two writers."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from model.loop import VirtualLoop
from model.network import Fault, Network, Stage
from model.server import ModelServer, Request
from tenantprofile.cluster.api import Api
from tenantprofile.controller.lease import Lease

NAMESPACE = "tenantprofile-system"


class Candidate:
    """One operator's lease, with a clock that began at another time."""

    def __init__(
        self, loop: VirtualLoop, server: ModelServer, identity: str, offset: float, chance: random.Random
    ) -> None:
        self.network = Network(server, identity)
        self.network.delay = self._delay
        self._chance = chance
        self.worst = 0.0
        self.lost = 0.0
        self.network.faults = [
            Fault(lambda _: chance.random() < self.lost, "before", 10**9),
            Fault(lambda _: chance.random() < self.lost, "after", 10**9),
        ]
        self.lease = Lease(
            Api(self.network),
            namespace=NAMESPACE,
            name="lease",
            identity=identity,
            changed=lambda _leads: None,
            clock=lambda: loop.time() + offset,
        )
        self.task: asyncio.Task[None] = loop.create_task(self.lease.run())

    def _delay(self, _stage: Stage, _request: Request) -> float:
        return self._chance.uniform(0.001, max(0.002, self.worst))


weather = st.tuples(
    st.sampled_from([0.0, 0.5, 3.0, 9.0, 20.0]), st.sampled_from([0.0, 0.1, 0.5, 1.0]), st.floats(1.0, 60.0)
)
"""The worst delay of each way in seconds, how many requests are lost, and for how long."""


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**20), weathers=st.lists(st.tuples(weather, weather), min_size=1, max_size=8))
def test_there_are_never_two_writers(seed: int, weathers: list[tuple[Any, Any]]) -> None:
    loop = VirtualLoop()
    chance = random.Random(seed)
    server = ModelServer(loop.time)
    try:
        candidates = [
            Candidate(loop, server, name, offset, chance) for name, offset in (("x", 0.0), ("y", 5e5))
        ]
        for pair in weathers:
            for candidate, (worst, lost, _) in zip(candidates, pair, strict=True):
                candidate.worst, candidate.lost = worst, lost
            for _ in range(int(pair[0][2] * 10)):
                loop.run_for(0.1)
                held = [candidate.lease.is_held() for candidate in candidates]
                assert held != [True, True], f"two writers at {loop.now}"
        for candidate in candidates:
            candidate.worst = candidate.lost = 0.0
        loop.run_for(60)
        assert sum(candidate.lease.is_held() for candidate in candidates) == 1
    finally:
        loop.end()


def test_the_second_takes_over_when_the_first_is_cut_off() -> None:
    loop = VirtualLoop()
    server = ModelServer(loop.time)
    chance = random.Random(1)
    try:
        first = Candidate(loop, server, "x", 0.0, chance)
        loop.run_for(1)
        second = Candidate(loop, server, "y", 7.0, chance)
        loop.run_for(30)
        assert (first.lease.is_held(), second.lease.is_held()) == (True, False)
        first.network.down = True
        taken = None
        for tick in range(600):
            loop.run_for(0.1)
            assert not (first.lease.is_held() and second.lease.is_held())
            if second.lease.is_held():
                taken = tick / 10
                break
        assert taken is not None
        assert taken < 22
    finally:
        loop.end()
