"""Answers to our writes, watch events, lists and rivals in every order: when all is delivered, cache and server agree.

This drives the real informer and store alone, so that thousands of orders are tried in seconds.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from model.loop import VirtualLoop
from model.network import Network
from model.server import ModelServer, Refused
from tenantprofile.cluster.api import POLICIES, Api, ApiError, Gone, policies_in
from tenantprofile.cluster.informer import Informer
from tenantprofile.controller.policies import PolicyCache
from tenantprofile.names import LABEL_PROFILE
from tenantprofile.planning.observed import Observed, observe

DENY = {"podSelector": {}, "policyTypes": ["Ingress"]}
OPEN = {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]}
PATH = policies_in("a")

steps = st.lists(
    st.one_of(
        st.sampled_from(
            [
                "create",
                "replace",
                "delete",
                "rival-create",
                "rival-edit",
                "rival-delete",
                "rival-unlabel",
                "resync",
                "compact",
                "cut",
                "wait",
                "restore",
                "backup",
            ]
        ),
        st.integers(0, 9),  # which of the gates to open
    ),
    min_size=3,
    max_size=40,
)


def policy(spec: Any = DENY, **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": "d", "labels": {LABEL_PROFILE: "p"}, **metadata}, "spec": spec}


class Rig:
    """An informer of policies, and a writer that keeps to the store's rules as the applier does."""

    def __init__(self) -> None:
        self.loop = VirtualLoop()
        self.server = ModelServer(self.loop.time)
        self.server.create("namespaces", {"metadata": {"name": "a"}})
        self.network = Network(self.server)
        self.api = Api(self.network)
        self.cache = PolicyCache()
        self.last: Observed | None = None
        self.writes: set[asyncio.Task[None]] = set()
        self.informer = Informer(
            self.api, POLICIES, self.cache.store, self._changed, self.loop.time, selector=LABEL_PROFILE
        )
        self.task = self.loop.create_task(self.informer.run())
        self.loop.run_for(1)
        self.network.holds = lambda _stage, _request: True
        self.backup = self.server.backup()

    def _changed(self, _key: Any, _before: Observed | None, after: Observed | None) -> None:
        self.last = after

    def start(self, work: Any) -> None:
        """Only one write at a time, as the reconciler's."""
        self.writes = {task for task in self.writes if not task.done()}
        if not self.writes:
            self.writes.add(self.loop.create_task(work))
        else:
            work.close()

    async def write(self, method: str) -> None:
        seen = self.cache.in_namespace("a").get("d")
        with self.cache.writing("a", "d"):
            try:
                if method == "create":
                    answer = await self.api.create(PATH, policy())
                elif seen is None:
                    return
                elif method == "replace":
                    answer = await self.api.replace(
                        f"{PATH}/d", policy(resourceVersion=seen.resource_version)
                    )
                else:
                    await self.api.delete(f"{PATH}/d", uid=seen.uid, resource_version=seen.resource_version)
                    self.cache.deleted("a", "d", seen.uid)
                    return
                self.cache.written("a", "d", observe(answer))
            except ApiError as error:
                if error.status in (404, 409) and method != "create" and seen is not None:
                    self.cache.forget("a", "d", seen.resource_version)

    async def resync(self) -> None:
        with suppress(ApiError, Gone):
            await self.informer.resync()

    def step(self, step: Any) -> None:
        if isinstance(step, int):
            if self.network.pending:
                self.network.release(self.network.pending[step % len(self.network.pending)])
        elif step in ("create", "replace", "delete"):
            self.start(self.write(step))
        elif step == "resync":
            self.loop.create_task(self.resync())
        elif step == "wait":
            self.loop.run_for(0.5)
        elif step == "compact":
            self.server.compact()
        elif step == "cut":
            self.network.cut()
        elif step == "backup":
            self.backup = self.server.backup()
        elif step == "restore":
            if self.backup[0] < self.informer._newest:
                self.server.restore(self.backup)
                self.network.reset()
                # It notices as long as the new revisions have not passed the old ones.
                self.network.open()
                self.loop.run_for(15)
                self.network.holds = lambda _stage, _request: True
        else:
            with suppress(Refused):
                self.rival(step)
        self.loop.run_for(0.001)

    def rival(self, step: str) -> None:
        if step == "rival-create":
            self.server.create("networkpolicies", policy(OPEN), namespace="a")
        elif step == "rival-edit":
            self.server.patch("networkpolicies", "d", {"spec": OPEN}, "a")
        elif step == "rival-unlabel":
            self.server.patch("networkpolicies", "d", {"metadata": {"labels": None}}, "a")
        else:
            self.server.delete("networkpolicies", "d", "a")

    def check(self) -> None:
        self.network.open()
        self.loop.run_for(120)
        body = self.server.get("networkpolicies", "d", "a")
        if body is not None and LABEL_PROFILE not in body["metadata"].get("labels", {}):
            body = None
        known = self.cache.in_namespace("a").get("d")
        assert (known is None) == (body is None), f"cache {known}, server {body}"
        if known is not None and body is not None:
            assert (known.uid, known.resource_version) == (
                body["metadata"]["uid"],
                body["metadata"]["resourceVersion"],
            )
            assert known == observe(body)
        assert len(self.cache.store) == (body is not None)


def converges(steps: list[Any]) -> None:
    rig = Rig()
    try:
        for step in steps:
            rig.step(step)
        rig.check()
    finally:
        rig.loop.end()


def test_a_create_that_finds_its_name_taken_forgets_nothing_newer() -> None:
    converges(["create", "rival-create"])


@example(["create", "rival-create"])
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=steps)
def test_cache_and_server_agree_in_the_end(steps: list[Any]) -> None:
    converges(steps)


@pytest.mark.slow
@example(["create", "rival-create"])
@settings(max_examples=10_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=steps)
def test_cache_and_server_agree_after_many_orders(steps: list[Any]) -> None:
    converges(steps)
