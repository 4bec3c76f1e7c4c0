"""The operator as a process: everything started in order, watched, and ended together.

Order: probes first (they answer during everything else), then Kopf's doors and the first comparison
side by side, then, once this operator holds the lease and knows everything, the workers.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import kopf

from tenantprofile.cluster.api import Api, ApiError
from tenantprofile.cluster.credentials import Credentials
from tenantprofile.cluster.policies import PolicyCache, PolicyInformer
from tenantprofile.controller import handlers
from tenantprofile.controller.board import StatusBoard
from tenantprofile.controller.controller import Controller
from tenantprofile.controller.events import EventRecorder
from tenantprofile.controller.health import Health
from tenantprofile.controller.lease import Lease
from tenantprofile.controller.ledger import Ledger
from tenantprofile.controller.probes import ProbeServer
from tenantprofile.controller.queue import Priority, WorkQueue
from tenantprofile.controller.reconcile import Reconciler
from tenantprofile.controller.seal import Seal
from tenantprofile.controller.state import State
from tenantprofile.planning.observed import Observed

logger = logging.getLogger(__name__)

LEDGER_PAUSE: Final = 1.0
"""Seconds before a ledger that could not be read is read again."""
LAST_WRITES: Final = 5.0
"""Seconds that the last writes of the ledger may take at the end."""
KOPF_PAUSE: Final = 2.0
"""Seconds before Kopf is started again after it ended by itself."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How the operator runs; each field is a flag of `tenantprofile run`, which documents it."""

    kubeconfig: Path | None = None
    context: str | None = None
    namespace: str = "tenantprofile-system"
    identity: str = ""
    leader_election: bool = True
    workers: int = 32
    connections: int = 48
    comparison_interval: float = 600.0
    probe_port: int = 8080


async def run(settings: Settings) -> None:
    """Run until a signal. Raises CredentialsError and OSError (a port that is taken)."""
    credentials = await Credentials.load(settings.kubeconfig, settings.context)
    async with Api(credentials, connections=settings.connections) as api:
        await _Operator(settings, credentials, api).run()


class _Operator:
    def __init__(self, settings: Settings, credentials: Credentials, api: Api) -> None:
        clock = time.monotonic
        self._settings = settings
        self._credentials = credentials
        self._api = api
        self._clock = clock
        self._state = State(operator_namespace=settings.namespace)
        self._cache = PolicyCache()
        self._queue = WorkQueue(clock)
        self._board = StatusBoard(api, self._state)
        self._events = EventRecorder(api, clock)
        self._ledger = Ledger(api, settings.namespace)
        self._seal = Seal()
        self._controller = Controller(
            api, self._state, self._cache, self._queue, self._board, self._ledger, clock
        )
        self._reconciler = Reconciler(
            api, self._state, self._cache, self._ledger, self._seal, self._board, self._events, clock
        )
        self._informer = PolicyInformer(api, self._cache, self._policy_changed, clock)
        self._lease = Lease(
            api,
            namespace=settings.namespace,
            name="tenantprofile-operator",
            identity=settings.identity,
            changed=self._leading_changed,
            clock=clock,
        )
        self._leads = not settings.leader_election
        self._may_write = asyncio.Event()
        self._turn = asyncio.Event()

    def _policy_changed(
        self, namespace: str, name: str, before: Observed | None, body: Mapping[str, Any] | None
    ) -> None:
        seen = self._cache.in_namespace(namespace).get(name) if body is not None else None
        if seen is not None:
            self._reconciler.seen(namespace, name, seen)
        if not self._state.complete:
            return  # a difference says nothing about who made it: nothing was known yet
        if self._reconciler.is_own_write(namespace, name, seen):
            return
        self._reconciler.drift_seen(namespace, name, before, body)
        self._board.pending(namespace)
        self._queue.add(namespace, Priority.HIGH)

    async def run(self) -> None:
        health = Health(
            clock=self._clock,
            last_contact={
                "policies": lambda: self._informer.last_contact,
                "namespaces": lambda: self._controller.last_contact,
            },
            compared_at=lambda: self._controller.compared_at,
            longest_wait=lambda: self._queue.oldest() if self._may_write.is_set() else 0.0,
            complete=self._knows_everything,
            comparison_interval=self._settings.comparison_interval,
        )
        probes = ProbeServer(
            self._settings.probe_port,
            live=(health.stream_is_stale, health.queue_is_stuck, health.comparison_is_late),
            ready=(health.caches_are_incomplete,),
        )
        await probes.start()
        tasks: list[Coroutine[Any, Any, None]] = [
            self._doors(),
            self._informer.run(),
            self._controller.follow_namespaces(),
            self._controller.keep_comparing(self._informer, self._settings.comparison_interval),
            self._events.run(),
            self._board.run(self._may_write.is_set),
            self._ledger.run(self._may_write.is_set),
            self._wait_until_complete(),
            self._open_or_close(),
            *(self._work(Priority.LOW) for _ in range(self._settings.workers)),
            # A new namespace finds one free while a fan-out keeps all the others busy.
            *(self._work(Priority.HIGH) for _ in range(-(-self._settings.workers // 2))),
        ]
        if self._settings.leader_election:
            self._api.may_write = self._lease.is_held
            tasks.append(self._lease.run())
        running = [asyncio.create_task(task) for task in tasks]
        # Beside the lists; nothing waits for it.
        connecting = asyncio.create_task(self._api.open_connections(self._settings.workers))
        try:
            # The doors end on a signal; anything else that ends has failed.
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                await task
        finally:
            self._may_write.clear()
            connecting.cancel()
            await self._keep_ledger()
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            await probes.stop()

    def _knows_everything(self) -> bool:
        return self._state.complete and self._cache.complete

    def _leading_changed(self, leads: bool) -> None:
        self._leads = leads
        self._may_write.clear()
        self._turn.set()

    async def _open_or_close(self) -> None:
        """Workers write only while this operator leads, knows everything, and has read its ledger."""
        while True:
            await self._turn.wait()
            self._turn.clear()
            if not (self._leads and self._knows_everything()):
                continue
            try:
                await self._seal.load(self._api, self._settings.namespace)
                found = await self._ledger.load()
            except ApiError as error:
                logger.warning("the ledger was not read, trying again: %s", error)
                await asyncio.sleep(LEDGER_PAUSE)
                self._turn.set()
                continue
            if not found:
                self._reconciler.enter_what_is_there()
            self._ledger.keep_only(record.uid for record in self._state.namespaces.values())
            if self._leads:
                self._may_write.set()

    async def _keep_ledger(self) -> None:
        """Before the lease is given back."""
        if self._leads:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_WRITES):
                    await self._ledger.flush()

    async def _work(self, lowest: Priority) -> None:
        await self._controller.work(self._reconciler, self._may_write, lowest)

    async def _wait_until_complete(self) -> None:
        while not self._knows_everything():
            await asyncio.sleep(0.02)
        logger.info("everything is known")
        self._turn.set()
        await asyncio.Event().wait()

    async def _doors(self) -> None:
        """Kopf, until a signal. It ends by itself on watch errors other than 410; then it starts again."""
        while True:
            try:
                await kopf.operator(
                    registry=handlers.registry(self._controller, self._credentials),
                    clusterwide=True,
                    standalone=True,
                )
                return
            except Exception as error:
                logger.warning("the watch on profiles and templates broke (%r); starting it again", error)
                await asyncio.sleep(KOPF_PAUSE)
